package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/hauberk/hauberk/netstack/engine"
)

// PacketConn sends and receives datagrams, as net.UDPConn does.
type PacketConn struct {
	s      *Stack
	addr   netip.AddrPort
	remote netip.AddrPort // Of Dial: who we speak with; else invalid.

	reading sync.Mutex
	ready   chan struct{}

	// All below belongs to the stack's lock.
	queue    []datagram // A ring.
	head, n  int
	dropped  uint64
	closed   bool
	rdl, wdl deadline
}

// datagram is one that waits to be read.
type datagram struct {
	local, remote netip.AddrPort
	data          []byte
}

// ListenPacket receives datagrams to an address of network udp, udp4 or udp6; without a host to all of ours.
func (s *Stack) ListenPacket(network, address string) (*PacketConn, error) {
	at, err := resolve(context.Background(), network, address)
	if err != nil || network[:3] != "udp" {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, first(err, net.UnknownNetworkError(network)))
	}
	p, err := s.bind(at, netip.AddrPort{})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return p, nil
}

// dialPacket makes a connected socket.
func (s *Stack) dialPacket(to netip.AddrPort) (*PacketConn, error) {
	any := netip.IPv6Unspecified()
	if to.Addr().Is4() {
		any = netip.IPv4Unspecified()
	}
	return s.bind(netip.AddrPortFrom(any, 0), to)
}

func (s *Stack) bind(at, remote netip.AddrPort) (*PacketConn, error) {
	s.lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return nil, net.ErrClosed
	}
	p := &PacketConn{s: s, remote: remote, ready: make(chan struct{}, 1), queue: make([]datagram, 16)}
	var err error
	if p.addr, err = s.eng.Bind(at, p); err != nil {
		return nil, system(err)
	}
	s.sockets[p] = struct{}{}
	return p, nil
}

// Datagram keeps a datagram for a reader; the engine calls it.
func (p *PacketConn) Datagram(_ *engine.Stack, local, remote netip.AddrPort, b []byte) {
	if p.remote.IsValid() && p.remote != remote {
		return
	}
	if p.n == len(p.queue) {
		if p.n >= p.s.cfg.Backlog {
			p.dropped++
			return
		}
		grown := make([]datagram, min(2*p.n, p.s.cfg.Backlog))
		for i := range p.n {
			grown[i] = p.queue[(p.head+i)%p.n]
		}
		p.queue, p.head = grown, 0
	}
	d := &p.queue[(p.head+p.n)%len(p.queue)]
	d.local, d.remote, d.data = local, remote, append(d.data[:0], b...)
	p.n++
	token(p.ready)
}

// ReadMsg waits for a datagram and says from whom it is and which of our addresses it was sent to.
func (p *PacketConn) ReadMsg(b []byte) (n int, local, remote netip.AddrPort, err error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	for {
		n, local, remote, err = p.tryRead(b)
		if err != nil {
			return 0, local, remote, &net.OpError{Op: "read", Net: "udp", Source: p.LocalAddr(), Err: err}
		}
		if n >= 0 {
			return n, local, remote, nil
		}
		<-p.ready
	}
}

func (p *PacketConn) tryRead(b []byte) (n int, local, remote netip.AddrPort, err error) {
	p.s.lock()
	defer p.s.mu.Unlock()
	switch {
	case p.closed:
		return 0, local, remote, net.ErrClosed
	case p.rdl.passed:
		return 0, local, remote, os.ErrDeadlineExceeded
	case p.n == 0:
		return -1, local, remote, nil
	}
	d := &p.queue[p.head]
	p.head = (p.head + 1) % len(p.queue)
	p.n--
	return copy(b, d.data), d.local, d.remote, nil
}

// WriteMsg sends a datagram from one of our addresses (unspecified: the one that fits) to remote.
func (p *PacketConn) WriteMsg(b []byte, local netip.Addr, remote netip.AddrPort) error {
	p.s.lock()
	defer p.s.mu.Unlock()
	err := net.ErrClosed
	if !p.closed {
		if p.wdl.passed {
			err = os.ErrDeadlineExceeded
		} else {
			err = system(p.s.eng.SendTo(netip.AddrPortFrom(local, p.addr.Port()), remote, b))
		}
	}
	if err != nil {
		return &net.OpError{Op: "write", Net: "udp", Source: p.LocalAddr(), Addr: net.UDPAddrFromAddrPort(remote), Err: err}
	}
	return nil
}

// ReadFrom is net.PacketConn's.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, remote, err := p.ReadMsg(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(remote), nil
}

// WriteTo is net.PacketConn's; addr must be a *net.UDPAddr.
func (p *PacketConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: addr, Err: &net.AddrError{Err: "not a UDP address", Addr: addr.String()}}
	}
	remote := to.AddrPort()
	if err := p.WriteMsg(b, p.addr.Addr(), netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Read is net.Conn's, of a socket that Dial made.
func (p *PacketConn) Read(b []byte) (int, error) {
	n, _, _, err := p.ReadMsg(b)
	return n, err
}

// Write is net.Conn's, of a socket that Dial made.
func (p *PacketConn) Write(b []byte) (int, error) {
	if err := p.WriteMsg(b, p.addr.Addr(), p.remote); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Dropped counts datagrams that came while the queue was full.
func (p *PacketConn) Dropped() uint64 {
	p.s.lock()
	defer p.s.mu.Unlock()
	return p.dropped
}

// Close ends the socket.
func (p *PacketConn) Close() error {
	p.s.lock()
	defer p.s.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.end()
	delete(p.s.sockets, p)
	return nil
}

func (p *PacketConn) end() {
	p.closed = true
	p.rdl.stop()
	p.wdl.stop()
	p.s.eng.Unbind(p.addr)
	token(p.ready)
}

// LocalAddr is where the socket is bound.
func (p *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.addr) }

// RemoteAddr is who Dial named, or nil.
func (p *PacketConn) RemoteAddr() net.Addr {
	if !p.remote.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(p.remote)
}

// SetDeadline sets both deadlines.
func (p *PacketConn) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline makes reads fail from t on; the zero time means never.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.s.lock()
	defer p.s.mu.Unlock()
	p.rdl.set(p.s, t, p.ready)
	return nil
}

// SetWriteDeadline makes writes fail from t on; the zero time means never.
func (p *PacketConn) SetWriteDeadline(t time.Time) error {
	p.s.lock()
	defer p.s.mu.Unlock()
	p.wdl.set(p.s, t, p.ready)
	return nil
}
