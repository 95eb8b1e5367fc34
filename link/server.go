package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

// Handler is what a gateway does for its nodes. Its methods run in the
// connection's goroutine and must not block for long. An error that is a
// *Refusal chooses what the node is told; any other is REASON_UNAVAILABLE.
type Handler interface {
	// Enrol serves a machine without a certificate; the connection ends
	// after the answer.
	Enrol(ctx context.Context, from netip.AddrPort, r *EnrolRequest) (*Enrolled, error)
	// Renew serves a member or a lapsed node; held is its certificate, whose
	// key the CSR must be of.
	Renew(ctx context.Context, id Identity, held *x509.Certificate, r *RenewRequest) (*Renewed, error)
	// Accept decides on a member's hello. The Welcome's zero fields are
	// filled by the server: protocol, dictionary, heartbeat, limits, credits,
	// time. What is sent to c meanwhile, from any goroutine, follows the
	// Welcome. The Node gets everything that follows.
	Accept(ctx context.Context, c *Conn, h *Hello) (*Welcome, Node, error)
}

// Node is the gateway's side of one accepted connection. Its methods are
// called one at a time, in the order of arrival, until Closed.
type Node interface {
	// Batch takes over a checked batch; its Done must be called once, from
	// any goroutine, when the bus has it.
	Batch(b *Inbound)
	Status(s *Status)
	ConfigResult(r *ConfigResult)
	Result(r *fleet.CommandResult)
	// Closed is the last call: the connection is gone, for that reason.
	Closed(err error)
}

// ServerConfig is the fixed part of a Server. Zero durations and limits mean
// the default.
type ServerConfig struct {
	TLS   *tls.Config           // from ServerTLS
	Roots func() *x509.CertPool // authorities of the nodes
	// Admit is asked before the TLS handshake, the expensive part; a refused
	// connection is closed at once. Nil admits all.
	Admit     func(from netip.AddrPort) bool
	Gateway   string        // id, told in Welcome
	Heartbeat time.Duration // DefaultHeartbeat
	// Patience is how long a stranger may take from connecting to the end of
	// its first frame. Default 10 s.
	Patience time.Duration
	// WriteTimeout is how long the peer may leave a full socket unread.
	// Default 5 s.
	WriteTimeout time.Duration
	// MaxPending bounds connections before their first frame. Default 1024.
	MaxPending int
	// MaxQueued bounds the bytes waiting to be written to one connection.
	// Default 2 MiB.
	MaxQueued int
	Now       func() time.Time // wall clock, for certificates; time.Now
	Log       *slog.Logger
	Metrics   *obs.Registry
}

func (c *ServerConfig) fill() error {
	if c.TLS == nil || c.Roots == nil {
		return errors.New("link server: TLS and Roots must be given")
	}
	setDefault(&c.Heartbeat, DefaultHeartbeat)
	setDefault(&c.Patience, 10*time.Second)
	setDefault(&c.WriteTimeout, 5*time.Second)
	setDefault(&c.MaxPending, 1024)
	setDefault(&c.MaxQueued, 2<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = &obs.Registry{}
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server accepts and keeps the connections of one gateway. Make it with
// NewServer.
type Server struct {
	cfg     ServerConfig
	handler Handler
	inflate *Decompressor
	pending chan struct{} // one token per connection before its first frame
	flushes flushQueue
	n       serverCounters

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// NewServer returns a server that has not yet begun to listen.
func NewServer(cfg ServerConfig, h Handler) (*Server, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	inflate, err := NewDecompressor()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, handler: h, inflate: inflate,
		pending: make(chan struct{}, cfg.MaxPending),
		conns:   map[*Conn]struct{}{},
	}
	s.flushes.wake.L = &s.flushes.mu
	s.n.register(s, cfg.Metrics)
	return s, nil
}

const (
	// flushers write what connections have queued. More than cores, so that
	// one unread socket does not hold up the others.
	flushersPerCore = 8
	// drain is how long Serve waits at its end for connections to take their
	// Goaway.
	drain = 2 * time.Second
	// acceptPause is the pause after a failed accept (no file descriptors).
	acceptPause = 50 * time.Millisecond
)

// Serve accepts connections until the context ends, then tells every node to
// go away and waits for its goroutines. It closes the listener. Serve may run
// once per Server.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	g, ctx := run.NewGroup(ctx)
	for range flushersPerCore * runtime.GOMAXPROCS(0) {
		g.Go("write to nodes", func(context.Context) error { s.flushLoop(); return nil })
	}
	var conns sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	g.Go("accept nodes", func(ctx context.Context) error {
		err := s.acceptLoop(ctx, l, &conns)
		s.shutdown(&conns)
		s.flushes.close()
		return err
	})
	return g.Wait()
}

func (s *Server) acceptLoop(ctx context.Context, l net.Listener, conns *sync.WaitGroup) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return ctx.Err()
			}
			s.n.acceptFailed.Inc()
			s.cfg.Log.Warn("accept failed", "cause", err)
			if run.Sleep(ctx, acceptPause) != nil {
				return nil
			}
			continue
		}
		s.n.accepted.Inc()
		from := remoteOf(nc)
		if s.cfg.Admit != nil && !s.cfg.Admit(from) {
			s.n.refusedAdmission.Inc()
			nc.Close()
			continue
		}
		select {
		case s.pending <- struct{}{}:
		default:
			s.n.refusedPending.Inc()
			nc.Close()
			continue
		}
		conns.Add(1)
		go s.meet(ctx, nc, from, conns)
	}
}

// shutdown asks all to go away, waits for them, and closes who stays.
func (s *Server) shutdown(conns *sync.WaitGroup) {
	for _, c := range s.snapshot() {
		c.Goaway(Reason_REASON_SHUTDOWN, "", 0)
	}
	gone := make(chan struct{})
	go func() { conns.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(drain):
		for _, c := range s.snapshot() {
			c.fail(net.ErrClosed)
		}
		<-gone
	}
}

func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

func remoteOf(nc net.Conn) netip.AddrPort {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// meet brings a connection from accept to its first frame answered; then the
// loop goes on in a fresh goroutine, because the handshake's stack is several
// times what an idle connection needs.
func (s *Server) meet(ctx context.Context, nc net.Conn, from netip.AddrPort, conns *sync.WaitGroup) {
	if t, ok := nc.(*net.TCPConn); ok {
		// Heartbeats find a silent peer; kernel probes only wake idle hosts.
		t.SetKeepAlive(false)
	}
	c := &Conn{s: s, t: tls.Server(nc, s.cfg.TLS), from: from}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	err := run.Protect(func() error { return c.begin(ctx) })
	<-s.pending
	if err != nil || c.node == nil {
		c.end(err)
		conns.Done()
		return
	}
	go func() {
		defer conns.Done()
		c.end(run.Protect(func() error { return c.loop(ctx) }))
	}()
}

// serverCounters are what a Server counts.
type serverCounters struct {
	accepted, acceptFailed                             *obs.Counter
	refusedAdmission, refusedPending, refusedHandshake *obs.Counter
	refusedCertificate, refusedHello, refusedEnrol     *obs.Counter
	brokenProtocol, slowReader, silent, panicked       *obs.Counter
	skippedFrames, batches, events, wireBytes          *obs.Counter
	rawBytes, failedBatches, enrolled, renewed         *obs.Counter
}

func (n *serverCounters) register(s *Server, r *obs.Registry) {
	refused := func(reason string) *obs.Counter {
		return r.Counter("hauberk_link_connections_refused_total", "reason="+reason, "Connections of nodes that were refused.")
	}
	ended := func(reason string) *obs.Counter {
		return r.Counter("hauberk_link_connections_cut_total", "reason="+reason, "Connections of nodes that the gateway cut.")
	}
	n.accepted = r.Counter("hauberk_link_connections_accepted_total", "", "TCP connections accepted on the nodes' port.")
	n.acceptFailed = r.Counter("hauberk_link_accept_failures_total", "", "Failed accept calls.")
	n.refusedAdmission, n.refusedPending = refused("admission"), refused("pending")
	n.refusedHandshake, n.refusedCertificate = refused("handshake"), refused("certificate")
	n.refusedHello, n.refusedEnrol = refused("hello"), refused("enrol")
	n.brokenProtocol, n.slowReader = ended("protocol"), ended("slow_reader")
	n.silent, n.panicked = ended("silent"), ended("panic")
	n.skippedFrames = r.Counter("hauberk_link_frames_skipped_total", "", "Frames of an unknown kind, skipped.")
	n.batches = r.Counter("hauberk_link_batches_total", "", "Batches received and checked.")
	n.events = r.Counter("hauberk_link_events_total", "", "Events received and checked.")
	n.wireBytes = r.Counter("hauberk_link_batch_bytes_total", "form=wire", "Bytes of batches.")
	n.rawBytes = r.Counter("hauberk_link_batch_bytes_total", "form=raw", "Bytes of batches.")
	n.failedBatches = r.Counter("hauberk_link_batches_failed_total", "", "Batches the bus did not take; the node sends them again.")
	n.enrolled = r.Counter("hauberk_link_enrolments_total", "", "Machines enrolled.")
	n.renewed = r.Counter("hauberk_link_renewals_total", "", "Certificates renewed.")
	r.Gauge("hauberk_link_connections", "", "Open connections of nodes.", func() uint64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return uint64(len(s.conns))
	})
}

// Inbound is a batch that passed every check of the protocol.
type Inbound struct {
	Class       event.Class
	Incarnation uint32
	First, Last uint64 // sequence
	Events      int
	payload     []byte // scrubbed event.Batch
	conn        *Conn
	ticket      uint64
}

// Size returns the bytes of the batch before compression.
func (b *Inbound) Size() int { return len(b.payload) }

// Record returns the batch as one bus record, a marshalled event.Batch, with
// node and tenant from the certificate and the host as given.
func (b *Inbound) Record(host *event.Host) ([]byte, error) {
	return stamp(b.payload, b.conn.id, b.Incarnation, host)
}

// Done tells what became of the batch: nil when the bus has it, and the node
// may forget it; an error cuts the connection, and the node sends it again.
func (b *Inbound) Done(err error) {
	if err != nil {
		b.conn.s.n.failedBatches.Inc()
		b.conn.Goaway(Reason_REASON_UNAVAILABLE, "batch not stored", time.Second)
		return
	}
	c := b.conn
	c.mu.Lock()
	ack := c.rx.Done(b.Class, b.ticket)
	c.mu.Unlock()
	if ack != nil {
		c.send(&Frame{Body: &Frame_Ack{Ack: ack}})
	}
}

// flushQueue holds connections with something to write, each at most once.
type flushQueue struct {
	mu         sync.Mutex
	wake       sync.Cond
	head, tail *Conn
	closed     bool
}

func (q *flushQueue) put(c *Conn) {
	q.mu.Lock()
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
	q.mu.Unlock()
	q.wake.Signal()
}

// take waits for a connection; nil when the queue is closed and empty.
func (q *flushQueue) take() *Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == nil {
		if q.closed {
			return nil
		}
		q.wake.Wait()
	}
	c := q.head
	if q.head, c.next = c.next, nil; q.head == nil {
		q.tail = nil
	}
	return c
}

func (q *flushQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake.Broadcast()
}

func (s *Server) flushLoop() {
	for c := s.flushes.take(); c != nil; c = s.flushes.take() {
		c.flush()
	}
}

// refusalOf returns err as what a node is told. Details of failures behind
// the gateway stay in its log.
func refusalOf(err error) *Refusal {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, ErrProtocol):
		return &Refusal{Reason: Reason_REASON_PROTOCOL, Detail: err.Error()}
	default:
		return &Refusal{Reason: Reason_REASON_UNAVAILABLE, Detail: "the gateway could not answer; see its log"}
	}
}

func describe(err error) string {
	if err == nil {
		return "closed"
	}
	return fmt.Sprint(err)
}
