// Package netstack is a TCP/IP stack in user space with the face of package net: listeners, connections and packet
// connections over any port.Port, so that Go servers run on it unchanged.
//
//	s, err := netstack.New(cfg, port)
//	go s.Run(ctx)
//	l, err := s.Listen("tcp", ":80")
//	http.Serve(l, handler)
//
// The core (package engine) has no lock. A Stack has one, taken once for a batch of frames and once for a call of the
// net API; in a process with one queue and GOMAXPROCS=1, which is how it is meant to run, nobody ever waits for it. Those
// who want the last factor give Do a function and register engine.Handler and engine.Receiver there: their callbacks run on
// the owning goroutine, in the received frame, without a copy, an allocation or a switch of goroutines.
package netstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
)

// Config is a stack's. What the port says (MAC, MTU, L3, checksums) is filled in by New, as is an empty seed.
type Config struct {
	Engine engine.Config
	// Backlog is how many connections may wait for Accept on one listener, and datagrams for a read on one socket. When
	// it is reached new connections are not answered, and datagrams are dropped.
	Backlog int
}

// DefaultConfig is a server's: no address yet.
func DefaultConfig() Config {
	c := Config{Engine: engine.DefaultConfig(), Backlog: 1024}
	c.Engine.KeepIdle = int64(15 * time.Second) // As package net does.
	return c
}

// Validate reports every problem.
func (c *Config) Validate() error {
	var bad error
	if c.Backlog < 1 {
		bad = fmt.Errorf("backlog %d: want 1 or more", c.Backlog)
	}
	return errors.Join(bad, c.Engine.Validate())
}

// Stack is a stack on one port.
type Stack struct {
	cfg   Config
	port  *tap
	start time.Time

	mu      sync.Mutex
	wanted  atomic.Int32 // Goroutines that want mu while Run may sleep with it.
	asleep  atomic.Bool
	eng     *engine.Stack
	conns   []*Conn // By number, which engine keeps as user; 0 is nobody's.
	free    []uint64
	doors   map[netip.AddrPort]*Listener
	sockets map[*PacketConn]struct{}
	closed  error // Why the stack has ended.
}

// New makes a stack on p, which it owns from now on: Run closes it.
func New(cfg Config, p port.Port) (*Stack, error) {
	info := p.Info()
	e := &cfg.Engine
	e.MTU, e.L3, e.TxChecksum = info.MTU, info.L3, info.TxChecksum
	copy(e.MAC[:], info.MAC)
	if e.Seed == [16]byte{} {
		if _, err := rand.Read(e.Seed[:]); err != nil {
			return nil, fmt.Errorf("choose seed: %w", err)
		}
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Stack{
		cfg: cfg, port: &tap{Port: p}, start: time.Now(), conns: make([]*Conn, 1), doors: map[netip.AddrPort]*Listener{},
		sockets: map[*PacketConn]struct{}{},
	}
	var err error
	s.eng, err = engine.New(*e, s.port, s.clock())
	return s, err
}

func (s *Stack) clock() int64 { return int64(time.Since(s.start)) }

// lock takes the stack from Run, waking it when it sleeps.
func (s *Stack) lock() {
	if s.mu.TryLock() {
		return
	}
	s.wanted.Add(1)
	if s.asleep.Load() {
		s.port.Wake()
	}
	s.mu.Lock()
	s.wanted.Add(-1)
}

// batch is how many frames are received at once.
const batch = 64

// Run moves frames until ctx ends or the port does. The pipeline, all sequential: receive a batch, give it to the engine,
// run its timers, let goroutines answer, flush what all have sent, and wait when there was nothing.
func (s *Stack) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.port.Wake)
	defer stop()
	rx := make([]port.Frame, batch)
	for {
		s.mu.Lock()
		n, err := s.port.Receive(rx)
		now := s.clock()
		for i := range n {
			s.eng.Input(now, rx[i])
		}
		s.port.Release(rx[:n]...)
		s.eng.Advance(now)
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		err = errors.Join(err, s.port.Flush())
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err == nil && n == 0 {
			err = s.sleep()
		}
		if err != nil {
			s.shutdown(err)
			s.mu.Unlock()
			err = errors.Join(err, s.port.Close())
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		s.mu.Unlock()
	}
}

// sleep waits for frames, the engine's next timer, or somebody who wants the stack; mu is held, so that nobody touches the
// port meanwhile.
func (s *Stack) sleep() error {
	s.asleep.Store(true)
	defer s.asleep.Store(false)
	if s.wanted.Load() > 0 {
		return nil
	}
	wait := time.Duration(max(0, min(s.eng.Next()-s.clock(), int64(time.Hour))))
	if wait == 0 {
		return nil
	}
	return s.port.Wait(wait)
}

// shutdown tells everybody that the stack has ended.
func (s *Stack) shutdown(err error) {
	if s.closed != nil {
		return
	}
	s.closed = err
	for _, c := range s.conns {
		if c != nil {
			s.eng.Abort(c.id)
		}
	}
	for _, l := range s.doors {
		l.end(err)
	}
	for p := range s.sockets {
		p.end()
	}
	_ = s.port.Flush() // The resets; when the port has gone nobody can be told.
}

// Do runs f with the engine, while nobody else uses it. Callbacks that f registers run inside Run, and must not call the
// net API of the same stack.
func (s *Stack) Do(f func(*engine.Stack)) {
	s.lock()
	defer s.mu.Unlock()
	f(s.eng)
}

// number keeps a connection and gives its number.
func (s *Stack) number(c *Conn) uint64 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.conns[i] = c
		return i
	}
	s.conns = append(s.conns, c)
	return uint64(len(s.conns) - 1)
}

// handler is how the engine speaks to the net API; it runs with mu held.
type handler Stack

func (h *handler) conn(e *engine.Stack, id engine.ID) *Conn { return h.conns[e.User(id)] }

// Opened gives a connection to who dialled it, or to its listener.
func (h *handler) Opened(e *engine.Stack, id engine.ID) {
	if c := h.conn(e, id); c != nil {
		c.opened = true
		token(c.writable)
		return
	}
	info, _ := e.Lookup(id)
	l := h.door(info.Local)
	if l == nil {
		e.Abort(id)
		return
	}
	c := newConn((*Stack)(h), info.Local, info.Remote)
	c.id, c.opened = id, true
	e.SetUser(id, (*Stack)(h).number(c))
	l.queue = append(l.queue, c)
	if len(l.queue) >= h.cfg.Backlog {
		l.pause(true)
	}
	token(l.ready)
}

// Data fills the buffer of a reader that waits; the rest stays with the engine.
func (h *handler) Data(e *engine.Stack, id engine.ID, p []byte) int {
	c := h.conn(e, id)
	if c == nil {
		return len(p)
	}
	n := 0
	if c.want != nil {
		n = copy(c.want, p)
		c.want, c.got = nil, n
	}
	token(c.readable)
	return n
}

// EOF takes over what was not read: the engine forgets it with TIME_WAIT.
func (h *handler) EOF(e *engine.Stack, id engine.ID) {
	c := h.conn(e, id)
	if c == nil {
		return
	}
	c.drain(e)
	c.eof = true
	token(c.readable)
}

func (h *handler) Writable(e *engine.Stack, id engine.ID) {
	if c := h.conn(e, id); c != nil {
		token(c.writable)
	}
}

func (h *handler) Closed(e *engine.Stack, id engine.ID, err error) {
	i := e.User(id)
	c := h.conns[i]
	if c == nil {
		return
	}
	h.conns[i] = nil
	h.free = append(h.free, i)
	c.over, c.err = true, err
	token(c.readable)
	token(c.writable)
}

// door is the listener of a local address.
func (h *handler) door(a netip.AddrPort) *Listener {
	any4, any6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if l := h.doors[a]; l != nil {
		return l
	}
	if l := h.doors[netip.AddrPortFrom(any4, a.Port())]; l != nil && a.Addr().Is4() {
		return l
	}
	if l := h.doors[netip.AddrPortFrom(any6, a.Port())]; l != nil {
		return l
	}
	return h.doors[netip.AddrPort{}]
}

// token puts the one token into a channel that says "look again".
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
