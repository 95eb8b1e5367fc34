package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/run"
)

// session is one welcomed connection of a client.
type session struct {
	c         *Client
	t         *tls.Conn
	creds     *Credentials
	sender    Sender
	heartbeat time.Duration
	maxBatch  int
	renewing  bool
	quiet     int // heartbeats since the last batch
}

const (
	// minHeartbeat and maxHeartbeat bound what a gateway can ask for.
	minHeartbeat = 100 * time.Millisecond
	maxHeartbeat = 10 * time.Minute
	// quietHeartbeats without a batch give back what compressing keeps: most
	// hosts are idle most of the time.
	quietHeartbeats = 2
	// writeTimeout is how long a gateway may leave a full socket unread.
	writeTimeout = 30 * time.Second
)

func (c *Client) newSession(t *tls.Conn, creds *Credentials, w *Welcome) (*session, error) {
	if w.Protocol < MinProtocol || w.Protocol > Protocol {
		return nil, broken("gateway chose protocol %d", w.Protocol)
	}
	s := &session{c: c, t: t, creds: creds, maxBatch: MaxBatch}
	s.heartbeat = min(max(time.Duration(w.Heartbeat)*time.Millisecond, minHeartbeat), maxHeartbeat)
	if w.MaxBatch > 0 {
		s.maxBatch = min(s.maxBatch, int(w.MaxBatch))
	}
	for _, credit := range w.Credits {
		if err := s.sender.Credit(credit); err != nil {
			return nil, err
		}
	}
	if err := c.useDictionary(w.Dictionary); err != nil {
		return nil, broken("gateway chose dictionary %#x", w.Dictionary)
	}
	if len(w.Gateways) > 0 {
		c.gateways = w.Gateways
	}
	c.source.Rewind()
	for _, ack := range w.Acked {
		c.source.Acked(ack.Class, Position{ack.Incarnation, ack.Sequence})
	}
	c.owner.Welcome(w)
	return s, nil
}

// serve reads in one goroutine and does everything else in this one, until
// the connection ends.
func (s *session) serve(ctx context.Context) error {
	frames := make(chan *Frame)
	over := make(chan struct{})
	reader := make(chan error, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		reader <- run.Protect(func() error { return s.read(frames, over) })
	})
	err := s.work(ctx, frames, reader)
	close(over)
	s.t.NetConn().Close()
	reading.Wait()
	return err
}

func (s *session) read(frames chan<- *Frame, over <-chan struct{}) error {
	for {
		s.t.SetReadDeadline(time.Now().Add(silence(s.heartbeat)))
		f, err := readFrame(s.t)
		if err != nil {
			return err
		}
		select {
		case frames <- f:
		case <-over:
			return nil
		}
	}
}

func (s *session) work(ctx context.Context, frames <-chan *Frame, reader <-chan error) error {
	ticker := time.NewTicker(s.heartbeat) // monotonic: a clock that jumps moves no heartbeat
	defer ticker.Stop()
	for {
		if err := s.pump(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f := <-frames:
			if err := s.take(f); err != nil {
				return err
			}
		case err := <-reader:
			return fmt.Errorf("connection to gateway: %w", err)
		case <-s.c.source.Ready():
		case f := <-s.c.out:
			if err := s.write(f); err != nil {
				return err
			}
		case <-s.c.nudge:
			if err := s.status(); err != nil {
				return err
			}
		case <-ticker.C:
			if err := s.status(); err != nil {
				return err
			}
		}
	}
}

func (s *session) write(f *Frame) error {
	s.t.SetWriteDeadline(time.Now().Add(writeTimeout))
	return writeFrame(s.t, f)
}

// status sends a heartbeat, and a request for a new certificate when it is
// time.
func (s *session) status() error {
	if s.quiet++; s.quiet >= quietHeartbeats {
		s.c.dropCompressor()
	}
	if err := s.write(&Frame{Body: &Frame_Status{Status: s.c.owner.Status()}}); err != nil {
		return err
	}
	leaf := s.creds.Leaf
	if s.renewing || !s.c.mayRenew(s.creds) || s.c.cfg.Now().Before(renewAt(s.creds.Identity.Node, leaf.NotBefore, leaf.NotAfter)) {
		return nil
	}
	request, err := renewRequest(s.creds)
	if err != nil {
		return err
	}
	s.renewing = true
	return s.write(request)
}

// pump sends batches while there are any and credit for them, the priority
// class first.
func (s *session) pump() error {
	for {
		sent := false
		for _, class := range classes {
			room := s.sender.Room(class)
			if room == 0 {
				continue
			}
			b, err := s.c.source.Next(class, min(room, s.maxBatch))
			if err != nil {
				return err
			}
			if b == nil {
				continue
			}
			if err := s.batch(b); err != nil {
				return err
			}
			sent = true
			break // look at the priority class again
		}
		if !sent {
			return nil
		}
	}
}

func (s *session) batch(b *Outgoing) error {
	if err := s.c.useDictionary(s.c.dictionary); err != nil {
		return err
	}
	s.quiet = 0
	payload, encoding := s.c.compressor.Compress(b.Payload)
	f := &Batch{
		Class: b.Class, Incarnation: b.Incarnation, FirstSequence: b.First, LastSequence: b.Last,
		Events: uint32(b.Events), Encoding: encoding, Size: uint32(len(b.Payload)), Payload: payload,
	}
	s.sender.Sent(b.Class, Position{b.Incarnation, b.Last}, len(b.Payload))
	n := &s.c.n
	n.sent.Inc()
	n.sentEvents.Add(uint64(b.Events))
	n.wire.Add(uint64(len(payload)))
	n.raw.Add(uint64(len(b.Payload)))
	return s.write(&Frame{Body: &Frame_Batch{Batch: f}})
}

// take acts on a frame of the gateway.
func (s *session) take(f *Frame) error {
	owner := s.c.owner
	switch v := f.Body.(type) {
	case *Frame_Ack:
		if err := s.sender.Acked(v.Ack); err != nil {
			return err
		}
		s.c.source.Acked(v.Ack.Class, Position{v.Ack.Incarnation, v.Ack.Sequence})
	case *Frame_Credit:
		return s.sender.Credit(v.Credit)
	case *Frame_Config:
		if len(v.Config.Body) > MaxConfig {
			return broken("config of %d bytes", len(v.Config.Body))
		}
		if result := owner.Config(v.Config); result != nil {
			return s.write(&Frame{Body: &Frame_ConfigResult{ConfigResult: result}})
		}
	case *Frame_Command:
		owner.Command(v.Command)
	case *Frame_Mode:
		owner.Mode(v.Mode)
	case *Frame_Renewed:
		if !s.renewing {
			return broken("renewed certificate nobody asked for")
		}
		return s.c.store(v.Renewed)
	case *Frame_StatusAck:
		s.c.setState(func(st *State) { st.Skew = time.Duration(v.StatusAck.Time - s.c.cfg.Now().UnixNano()) })
	case *Frame_Goaway:
		return v.Goaway.refusal()
	case nil:
		s.c.n.skipped.Inc()
	default:
		return broken("frame %T out of place", v)
	}
	return nil
}
