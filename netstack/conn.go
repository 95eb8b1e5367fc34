package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/netstack/engine"
)

// Conn is a TCP connection, as net.TCPConn is.
type Conn struct {
	s             *Stack
	local, remote netip.AddrPort
	id            engine.ID

	reading, writing   sync.Mutex // One Read and one Write at a time.
	readable, writable chan struct{}

	// All below belongs to the stack's lock.
	want     []byte // The buffer of a Read that waits.
	got      int    // What was put there.
	tail     []byte // What was not read when the peer's end came.
	opened   bool
	eof      bool
	over     bool // The engine has forgotten the connection.
	closed   bool // By Close.
	half     bool // By CloseWrite.
	err      error
	rdl, wdl deadline
}

func newConn(s *Stack, local, remote netip.AddrPort) *Conn {
	return &Conn{s: s, local: local, remote: remote, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

// drain moves what the engine holds into the connection.
func (c *Conn) drain(e *engine.Stack) {
	if info, ok := e.Lookup(c.id); ok && info.ReceiveQueue > 0 {
		c.tail = make([]byte, info.ReceiveQueue)
		e.Read(c.id, c.tail)
	}
}

// Read reads what has come, waiting for the first byte.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		n, done, err := c.tryRead(p)
		if done {
			return n, c.wrap("read", err)
		}
		<-c.readable
	}
}

// tryRead reads without waiting; when it is not done p is where Data puts the next bytes.
func (c *Conn) tryRead(p []byte) (n int, done bool, err error) {
	c.s.lock()
	defer c.s.mu.Unlock()
	c.want = nil
	if n, c.got = c.got, 0; n > 0 {
		return n, true, nil
	}
	switch {
	case c.closed:
		return 0, true, net.ErrClosed
	case c.rdl.passed:
		return 0, true, os.ErrDeadlineExceeded
	case len(p) == 0:
		return 0, true, nil
	case len(c.tail) > 0:
		n = copy(p, c.tail)
		c.tail = c.tail[n:]
		return n, true, nil
	}
	if !c.over && !c.eof {
		n, _ = c.s.eng.Read(c.id, p)
	}
	switch {
	case n > 0:
		return n, true, nil
	case c.over && c.err != nil && !c.eof:
		return 0, true, system(c.err)
	case c.eof || c.over:
		return 0, true, io.EOF
	}
	c.want = p
	return 0, false, nil
}

// Write writes all of p, waiting while the send buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	total := 0
	for {
		n, err := c.tryWrite(p[total:])
		total += n
		if err != nil || total == len(p) {
			return total, c.wrap("write", err)
		}
		<-c.writable
	}
}

func (c *Conn) tryWrite(p []byte) (int, error) {
	c.s.lock()
	defer c.s.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.wdl.passed:
		return 0, os.ErrDeadlineExceeded
	case c.over && c.err != nil:
		return 0, system(c.err)
	case c.over || c.half:
		return 0, syscall.EPIPE
	case len(p) == 0:
		return 0, nil
	}
	n, err := c.s.eng.Write(c.id, p)
	if err != nil {
		return n, syscall.EPIPE
	}
	return n, nil
}

// Close ends the connection; what was written is still sent. Bytes that were not read make it a reset.
func (c *Conn) Close() error {
	c.s.lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.closed, c.want = true, nil
	c.rdl.stop()
	c.wdl.stop()
	if !c.over {
		if len(c.tail) > 0 {
			c.s.eng.Abort(c.id)
		} else {
			c.s.eng.Close(c.id)
		}
	}
	token(c.readable)
	token(c.writable)
	return nil
}

// CloseWrite says that we send no more; the peer may.
func (c *Conn) CloseWrite() error {
	c.s.lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.half = true
	c.s.eng.CloseWrite(c.id)
	return nil
}

// LocalAddr is our end.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is the other end.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline makes reads fail from t on; the zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.rdl, t, c.readable) }

// SetWriteDeadline makes writes fail from t on; the zero time means never.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.wdl, t, c.writable) }

func (c *Conn) setDeadline(d *deadline, t time.Time, wake chan struct{}) error {
	c.s.lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.wrap("set", net.ErrClosed)
	}
	d.set(c.s, t, wake)
	return nil
}

// SetNoDelay turns Nagle's algorithm off (true, as at first) or on.
func (c *Conn) SetNoDelay(on bool) error {
	c.s.Do(func(e *engine.Stack) { e.SetNagle(c.id, !on) })
	return nil
}

// SetKeepAlivePeriod makes a connection silent for d be probed; 0: never.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	c.s.Do(func(e *engine.Stack) { e.SetKeepAlive(c.id, int64(d)) })
	return nil
}

func (c *Conn) wrap(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// system gives the errno programs look for.
func system(err error) error {
	for ours, theirs := range map[error]error{
		engine.ErrReset: syscall.ECONNRESET, engine.ErrRefused: syscall.ECONNREFUSED, engine.ErrTimeout: syscall.ETIMEDOUT,
		engine.ErrUnreachable: syscall.EHOSTUNREACH, engine.ErrAborted: syscall.ECONNABORTED, engine.ErrNoRoom: syscall.ENOBUFS,
		engine.ErrInUse: syscall.EADDRINUSE, engine.ErrNotOurs: syscall.EADDRNOTAVAIL, engine.ErrTooLong: syscall.EMSGSIZE,
	} {
		if err == ours {
			return theirs
		}
	}
	return err
}

// deadline is a time after which an operation fails; it belongs to the stack's lock.
type deadline struct {
	timer  *time.Timer
	turn   int // Tells a timer that was overtaken by another set.
	passed bool
}

func (d *deadline) stop() {
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadline) set(s *Stack, t time.Time, wake chan struct{}) {
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.passed = true
		token(wake)
		return
	}
	turn := d.turn
	d.timer = time.AfterFunc(wait, func() {
		s.lock()
		defer s.mu.Unlock()
		if d.turn == turn {
			d.passed = true
			token(wake)
		}
	})
}

// Dial connects to an address of network tcp, tcp4 or tcp6, or makes a PacketConn towards it of udp, udp4 or udp6.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext is Dial that ends with ctx; it fits http.Transport. A host that is no address is looked up with the system's
// resolver.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", address, err)}
	}
	to, err := resolve(ctx, network, address)
	if err != nil {
		return fail(err)
	}
	if network[:3] == "udp" {
		c, err := s.dialPacket(to)
		if err != nil {
			return fail(err)
		}
		return c, nil
	}
	c := newConn(s, netip.AddrPort{}, to)
	s.lock()
	if s.closed != nil {
		s.mu.Unlock()
		return fail(net.ErrClosed)
	}
	i := s.number(c)
	if c.id, err = s.eng.Dial(netip.AddrPort{}, to, (*handler)(s), i); err != nil {
		s.conns[i] = nil
		s.free = append(s.free, i)
		s.mu.Unlock()
		return fail(system(err))
	}
	info, _ := s.eng.Lookup(c.id)
	c.local = info.Local
	s.mu.Unlock()
	select {
	case <-c.writable:
	case <-ctx.Done():
		_ = c.Close()
		return fail(ctx.Err())
	}
	s.lock()
	defer s.mu.Unlock()
	if !c.opened {
		return fail(system(c.err))
	}
	return c, nil
}

// resolve makes an address and port of text.
func resolve(ctx context.Context, network, address string) (netip.AddrPort, error) {
	var none netip.AddrPort
	family := ""
	switch network {
	case "tcp", "udp":
	case "tcp4", "udp4", "tcp6", "udp6":
		family = network[3:]
	default:
		return none, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return none, err
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		p, err := net.DefaultResolver.LookupPort(ctx, network, service)
		if err != nil {
			return none, err
		}
		n = uint64(p)
	}
	if host == "" {
		if family == "4" {
			return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), nil
		}
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)), nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		all, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+family, host)
		if err != nil {
			return none, err
		}
		a = all[0]
	}
	a = a.Unmap()
	if family == "4" && !a.Is4() || family == "6" && !a.Is6() {
		return none, &net.AddrError{Err: "wrong family for " + network, Addr: address}
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}
