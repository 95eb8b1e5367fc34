package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/internal/run"
)

// Conn is the gateway's side of one connection. Its sending methods may be
// called from any goroutine; they queue and return. Idle, it holds no buffer.
type Conn struct {
	s    *Server
	t    *tls.Conn
	from netip.AddrPort
	id   Identity
	node Node

	header [frame.HeaderSize]byte // of the frame being read

	next *Conn // in the server's flush queue

	mu      sync.Mutex
	out     []Encoded
	queued  int   // bytes in out
	busy    bool  // in the flush queue or being flushed
	held    bool  // what is sent waits until the Welcome stands before it
	last    bool  // close after flushing; nothing more is queued
	failure error // why it ended, once it did
	ordered int64 // when Send last queued something, Unix ms
	rx      Receiver
}

// Identity returns who the node is, by its certificate.
func (c *Conn) Identity() Identity { return c.id }

// Remote returns the node's address.
func (c *Conn) Remote() netip.AddrPort { return c.from }

// SendConfig pushes a config.
func (c *Conn) SendConfig(v *Config) error { return c.order(&Frame{Body: &Frame_Config{Config: v}}) }

// SendCommand sends a command. To send one to many, use EncodeCommand and
// Send.
func (c *Conn) SendCommand(v *fleet.SignedCommand) error {
	return c.order(&Frame{Body: &Frame_Command{Command: v}})
}

// SendMode sends the mode the node shall be in.
func (c *Conn) SendMode(v *fleet.SignedMode) error {
	return c.order(&Frame{Body: &Frame_Mode{Mode: v}})
}

// EncodeCommand returns the frame of a command, for Send.
func EncodeCommand(v *fleet.SignedCommand) (Encoded, error) {
	return Encode(&Frame{Body: &Frame_Command{Command: v}})
}

// EncodeMode returns the frame of a mode, for Send.
func EncodeMode(v *fleet.SignedMode) (Encoded, error) {
	return Encode(&Frame{Body: &Frame_Mode{Mode: v}})
}

// Grant replaces the window of a class, in bytes; 0 withdraws it.
func (c *Conn) Grant(class event.Class, window uint64) error {
	c.mu.Lock()
	c.rx.Granted(class, window)
	c.mu.Unlock()
	return c.send(&Frame{Body: &Frame_Credit{Credit: &Credit{Class: class, Window: window}}})
}

// Goaway tells the node why, and closes the connection once that is written.
func (c *Conn) Goaway(why Reason, detail string, retry time.Duration) {
	e, err := Encode(&Frame{Body: &Frame_Goaway{Goaway: &Goaway{Reason: why, Detail: cut(detail), Retry: uint32(retry / time.Millisecond)}}})
	if err != nil {
		c.fail(err)
		return
	}
	c.queue(e, true)
}

// cut bounds a text a peer is told.
func cut(s string) string { return s[:min(len(s), 500)] }

func (c *Conn) order(f *Frame) error {
	e, err := Encode(f)
	if err != nil {
		return err
	}
	return c.Send(e)
}

func (c *Conn) send(f *Frame) error {
	e, err := Encode(f)
	if err != nil {
		return err
	}
	return c.queue(e, false)
}

// Send queues an encoded order. It fails if the connection ended or if the
// peer left too much unread, which ends it.
func (c *Conn) Send(e Encoded) error {
	c.mu.Lock()
	c.ordered = time.Now().UnixMilli()
	c.mu.Unlock()
	return c.queue(e, false)
}

// spared is for how long after an order a Status, which most often answers
// it, needs no StatusAck: the node has just heard from us. It saves a third
// of what stopping a whole fleet costs.
const spared = time.Second

// answerStatus acknowledges a Status.
func (c *Conn) answerStatus() error {
	c.mu.Lock()
	since := time.Now().UnixMilli() - c.ordered
	c.mu.Unlock()
	if since >= 0 && since < spared.Milliseconds() {
		return nil
	}
	return c.send(&Frame{Body: &Frame_StatusAck{StatusAck: &StatusAck{Time: c.s.cfg.Now().UnixNano()}}})
}

func (c *Conn) queue(e Encoded, last bool) error {
	c.mu.Lock()
	if c.failure != nil || c.last {
		c.mu.Unlock()
		return net.ErrClosed
	}
	if c.queued += len(e); c.queued > c.s.cfg.MaxQueued {
		c.mu.Unlock()
		c.s.n.slowReader.Inc()
		err := errors.New("peer leaves its frames unread")
		c.fail(err)
		return err
	}
	c.out = append(c.out, e)
	c.last = last
	c.wake()
	return nil
}

// wake unlocks, and has what is queued flushed unless that is under way.
func (c *Conn) wake() {
	wake := !c.busy && !c.held && len(c.out) > 0
	c.busy = c.busy || wake
	c.mu.Unlock()
	if wake {
		c.s.flushes.put(c)
	}
}

// hold keeps back what the Handler sends while it decides on a Hello.
func (c *Conn) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// release sends first and then what was held back; without first it drops it.
func (c *Conn) release(first Encoded) {
	c.mu.Lock()
	c.held = false
	if first == nil {
		c.out, c.queued = nil, 0
	} else {
		c.out = append([]Encoded{first}, c.out...)
		c.queued += len(first)
	}
	c.wake()
}

// flush writes what is queued, several frames in one TLS record.
func (c *Conn) flush() {
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		c.mu.Lock()
		if len(c.out) == 0 || c.failure != nil {
			c.out, c.queued, c.busy = nil, 0, false
			last := c.last
			c.mu.Unlock()
			if last {
				// Closing now could reset the connection before the peer
				// read why; it closes itself, or is closed.
				time.AfterFunc(farewell, func() { c.fail(net.ErrClosed) })
			}
			return
		}
		frames := c.out
		c.out, c.queued = nil, 0
		c.mu.Unlock()
		*buf = (*buf)[:0]
		for _, e := range frames {
			*buf = append(*buf, e...)
		}
		c.t.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout))
		if _, err := c.t.Write(*buf); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.s.n.slowReader.Inc()
			}
			c.fail(err)
		}
	}
}

// farewell is how long a peer may take to close after a Goaway.
const farewell = time.Second

// fail ends the connection; its goroutine then calls end.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.failure == nil {
		c.failure = err
	}
	c.mu.Unlock()
	// Without a close_notify: what matters was said in a Goaway, and writing
	// to a peer that does not read would block.
	c.t.NetConn().Close()
}

// begin does the handshake and serves the first frame. c.node is set if the
// connection goes on.
func (c *Conn) begin(ctx context.Context) error {
	s := c.s
	c.t.SetDeadline(time.Now().Add(s.cfg.Patience))
	if err := c.t.Handshake(); err != nil {
		s.n.refusedHandshake.Inc()
		return err
	}
	state := c.t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		s.n.refusedHandshake.Inc()
		return broken("peer does not speak %s", ALPN)
	}
	standing, id, err := judge(state.PeerCertificates, s.cfg.Roots(), s.cfg.Now())
	if err != nil {
		s.n.refusedCertificate.Inc()
		return &Refusal{Reason: Reason_REASON_UNAUTHORIZED, Detail: err.Error()}
	}
	c.id = id
	f, err := c.read(MaxFirstFrame)
	if err != nil {
		return err
	}
	switch v := f.Body.(type) {
	case *Frame_Enrol:
		return c.enrol(ctx, standing, v.Enrol)
	case *Frame_Renew:
		if standing == Stranger {
			return &Refusal{Reason: Reason_REASON_UNAUTHORIZED, Detail: "only a node with a certificate can renew it"}
		}
		if err := c.renew(ctx, v.Renew); err != nil {
			return err
		}
		c.Goaway(Reason_REASON_SHUTDOWN, "connect with the new certificate", 0)
		return c.linger()
	case *Frame_Hello:
		return c.hello(ctx, standing, v.Hello)
	}
	return broken("first frame is neither hello, enrol nor renew")
}

func (c *Conn) enrol(ctx context.Context, standing Standing, r *EnrolRequest) error {
	if standing != Stranger {
		return &Refusal{Reason: Reason_REASON_UNAUTHORIZED, Detail: "this machine has a certificate already"}
	}
	out, err := c.s.handler.Enrol(ctx, c.from, r)
	if err != nil {
		c.s.n.refusedEnrol.Inc()
		return err
	}
	c.s.n.enrolled.Inc()
	if err := c.send(&Frame{Body: &Frame_Enrolled{Enrolled: out}}); err != nil {
		return err
	}
	c.Goaway(Reason_REASON_SHUTDOWN, "connect with the certificate", 0)
	return c.linger()
}

func (c *Conn) renew(ctx context.Context, r *RenewRequest) error {
	held := c.t.ConnectionState().PeerCertificates[0]
	out, err := c.s.handler.Renew(ctx, c.id, held, r)
	if err != nil {
		return err
	}
	c.s.n.renewed.Inc()
	return c.send(&Frame{Body: &Frame_Renewed{Renewed: out}})
}

// linger waits until the peer took the last frame and closed, or the deadline.
func (c *Conn) linger() error {
	var one [1]byte
	for {
		if _, err := c.t.Read(one[:]); err != nil {
			return nil
		}
	}
}

func (c *Conn) hello(ctx context.Context, standing Standing, h *Hello) error {
	s := c.s
	if standing != Member {
		s.n.refusedHello.Inc()
		if standing == Lapsed {
			return &Refusal{Reason: Reason_REASON_RENEW_ONLY}
		}
		return &Refusal{Reason: Reason_REASON_UNAUTHORIZED, Detail: "hello needs a certificate: enrol first"}
	}
	if h.Protocol < MinProtocol {
		s.n.refusedHello.Inc()
		return &Refusal{Reason: Reason_REASON_VERSION, Detail: "the gateway no longer speaks this version of the protocol"}
	}
	c.hold()
	w, node, err := s.handler.Accept(ctx, c, h)
	if err != nil {
		c.release(nil)
		s.n.refusedHello.Inc()
		return err
	}
	c.fillWelcome(w, h)
	c.mu.Lock()
	for _, credit := range w.Credits {
		c.rx.Granted(credit.Class, credit.Window)
	}
	c.mu.Unlock()
	c.node = node
	first, err := Encode(&Frame{Body: &Frame_Welcome{Welcome: w}})
	if err != nil {
		return err
	}
	c.release(first)
	return nil
}

func (c *Conn) fillWelcome(w *Welcome, h *Hello) {
	cfg := &c.s.cfg
	w.Protocol = min(h.Protocol, Protocol)
	w.Dictionary = choose(h.Dictionaries)
	setDefault(&w.Gateway, cfg.Gateway)
	setDefault(&w.Heartbeat, uint32(cfg.Heartbeat/time.Millisecond))
	setDefault(&w.Time, cfg.Now().UnixNano())
	w.MaxFrame, w.MaxBatch = MaxFrame, MaxBatch
	if w.Credits == nil {
		w.Credits = []*Credit{
			{Class: event.Class_CLASS_PRIORITY, Window: DefaultPriorityWindow},
			{Class: event.Class_CLASS_BULK, Window: DefaultBulkWindow},
		}
	}
}

// loop reads frames until the connection ends.
func (c *Conn) loop(ctx context.Context) error {
	for {
		// One deadline for waiting and for the whole frame: a peer that
		// drips bytes is as silent as one that sends none.
		c.t.SetReadDeadline(time.Now().Add(silence(c.s.cfg.Heartbeat)))
		f, err := c.read(MaxFrame)
		if err != nil {
			return err
		}
		if err := c.serve(ctx, f); err != nil {
			return err
		}
	}
}

func (c *Conn) serve(ctx context.Context, f *Frame) error {
	switch v := f.Body.(type) {
	case *Frame_Batch:
		return c.batch(v.Batch)
	case *Frame_Status:
		c.node.Status(v.Status)
		return c.answerStatus()
	case *Frame_Result:
		v.Result.Node, v.Result.Tenant = append([]byte(nil), c.id.Node[:]...), c.id.Tenant
		if len(v.Result.Output) > fleet.MaxOutput {
			return broken("result of %d bytes", len(v.Result.Output))
		}
		c.node.Result(v.Result)
	case *Frame_ConfigResult:
		c.node.ConfigResult(v.ConfigResult)
	case *Frame_Renew:
		return c.renew(ctx, v.Renew)
	case *Frame_Goaway:
		return v.Goaway.refusal()
	case nil:
		c.s.n.skippedFrames.Inc()
	default:
		return broken("frame %T out of place", v)
	}
	return nil
}

func (c *Conn) batch(b *Batch) error {
	s := c.s
	payload, err := s.inflate.Decompress(b)
	if err != nil {
		return err
	}
	payload, err = scrub(payload, b)
	if err != nil {
		return err
	}
	c.mu.Lock()
	ticket, err := c.rx.Arrived(b)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	s.n.batches.Inc()
	s.n.events.Add(uint64(b.Events))
	s.n.wireBytes.Add(uint64(len(b.Payload)))
	s.n.rawBytes.Add(uint64(b.Size))
	c.node.Batch(&Inbound{
		Class: b.Class, Incarnation: b.Incarnation, First: b.FirstSequence, Last: b.LastSequence,
		Events: int(b.Events), payload: payload, conn: c, ticket: ticket,
	})
	return nil
}

// read reads one frame into a pooled buffer; the frame owns its memory.
func (c *Conn) read(limit int) (*Frame, error) {
	// The prefix goes into the connection, so that waiting for the next frame
	// holds no pooled buffer.
	if _, err := io.ReadFull(c.t, c.header[:]); err != nil {
		return nil, err
	}
	buf := getBuffer()
	defer putBuffer(buf)
	body, err := frame.ReadBody(c.t, c.header, *buf, limit)
	*buf = body
	if err != nil {
		if errors.Is(err, frame.ErrTooLarge) {
			return nil, broken("%v", err)
		}
		return nil, err
	}
	return Decode(body)
}

// end is the last thing the connection's goroutine does.
func (c *Conn) end(err error) {
	s := c.s
	c.mu.Lock()
	if c.failure != nil {
		err = c.failure
	}
	c.mu.Unlock()
	var gone *Refusal
	var panicked *run.PanicError
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.n.silent.Inc()
	case errors.As(err, &panicked):
		s.n.panicked.Inc()
		s.cfg.Log.Error("panic while serving a node", "node", c.id.Node, "remote", c.from, "cause", err)
	case errors.Is(err, ErrProtocol):
		s.n.brokenProtocol.Inc()
		s.cfg.Log.Warn("node cut off", "node", c.id.Node, "remote", c.from, "cause", err)
		c.tell(refusalOf(err))
	case errors.As(err, &gone) && c.node == nil:
		c.tell(gone)
	case c.node == nil && c.t.ConnectionState().HandshakeComplete:
		s.cfg.Log.Warn("node refused", "node", c.id.Node, "remote", c.from, "cause", err)
		c.tell(refusalOf(err))
	}
	c.fail(net.ErrClosed)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	if c.node != nil {
		c.node.Closed(err)
	}
}

// tell sends a Goaway and gives the peer a moment to read it.
func (c *Conn) tell(r *Refusal) {
	c.t.SetReadDeadline(time.Now().Add(2 * farewell))
	c.Goaway(r.Reason, r.Detail, r.Retry)
	c.linger()
}
