package netstack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/hauberk/hauberk/netstack/engine"
)

// Listener takes connections, as net.TCPListener does.
type Listener struct {
	s         *Stack
	addr      netip.AddrPort
	accepting sync.Mutex
	ready     chan struct{}

	// All below belongs to the stack's lock.
	queue  []*Conn
	paused bool
	err    error
}

// Listen takes connections to an address of network tcp, tcp4 or tcp6; without a host to all of ours.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	at, err := resolve(context.Background(), network, address)
	if err != nil || network[:3] != "tcp" {
		return nil, fmt.Errorf("listen on %s %s: %w", network, address, first(err, net.UnknownNetworkError(network)))
	}
	s.lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, net.ErrClosed)
	}
	if at, err = s.eng.Listen(at, (*handler)(s)); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, system(err))
	}
	l := &Listener{s: s, addr: at, ready: make(chan struct{}, 1)}
	s.doors[at] = l
	return l, nil
}

// ListenAll takes every connection that no other listener does: to all ports of all our addresses and traps. A connection's
// LocalAddr says where it went.
func (s *Stack) ListenAll() (net.Listener, error) {
	s.lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return nil, fmt.Errorf("listen on all ports: %w", net.ErrClosed)
	}
	if s.doors[netip.AddrPort{}] != nil {
		return nil, fmt.Errorf("listen on all ports: %w", system(engine.ErrInUse))
	}
	s.eng.ListenAll((*handler)(s))
	l := &Listener{s: s, ready: make(chan struct{}, 1)}
	s.doors[netip.AddrPort{}] = l
	return l, nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	for {
		c, err := l.take()
		if c != nil {
			return c, nil
		}
		if err != nil {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
		}
		<-l.ready
	}
}

func (l *Listener) take() (*Conn, error) {
	l.s.lock()
	defer l.s.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	if len(l.queue) == 0 {
		return nil, nil
	}
	c := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	if l.paused && len(l.queue) <= l.s.cfg.Backlog/2 {
		l.pause(false)
	}
	return c, nil
}

func (l *Listener) pause(on bool) {
	l.paused = on
	l.s.eng.Pause(l.addr, on)
}

// Close ends the listening and the connections nobody has accepted.
func (l *Listener) Close() error {
	l.s.lock()
	defer l.s.mu.Unlock()
	if l.err != nil {
		return net.ErrClosed
	}
	l.end(net.ErrClosed)
	delete(l.s.doors, l.addr)
	return nil
}

func (l *Listener) end(err error) {
	l.err = err
	l.s.eng.Unlisten(l.addr)
	for _, c := range l.queue {
		l.s.eng.Abort(c.id)
	}
	l.queue = nil
	token(l.ready)
}

// Addr is where the listener is.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

var _ engine.Handler = (*handler)(nil)
