package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// crowd is all nodes.
type crowd struct {
	nodes []*node
	bare  []*tls.Conn // of the floor
}

type node struct {
	certificate tls.Certificate
	conn        *tls.Conn
	write       sync.Mutex
	acked       chan uint64 // sequence
	dictionary  uint32
}

func (c *crowd) close() {
	for _, n := range c.nodes {
		if n != nil && n.conn != nil {
			n.conn.NetConn().Close()
		}
	}
	for _, conn := range c.bare {
		if conn != nil {
			conn.NetConn().Close()
		}
	}
}

const (
	// connectors is how many handshakes run at once: a storm's worth, without
	// running into timeouts on two cores.
	connectors = 16
	// patience only ends a run that hangs.
	patience = 2 * time.Minute
)

// each calls f for 0 to n-1 from several goroutines and returns the first
// failure.
func each(n int, f func(int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, connectors)
	for range connectors {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// enrolAll makes nodes by the token. They share a key, which only saves time.
func enrolAll(ctx context.Context, address, text string, n int) (*crowd, error) {
	token, err := link.ParseToken(text)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &crowd{nodes: make([]*node, n)}
	return c, each(n, func(i int) error {
		out, err := link.Enrol(ctx, address, token, key, &link.EnrolRequest{Host: fmt.Sprintf("web-%05d.example.net", i), Kind: "agent", Version: "bench"})
		if err != nil {
			return err
		}
		c.nodes[i] = &node{certificate: tls.Certificate{Certificate: out.Chain[:1], PrivateKey: key}, acked: make(chan uint64, 16)}
		return nil
	})
}

func dial(address string, certificate tls.Certificate) (*tls.Conn, error) {
	return tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN}, Certificates: []tls.Certificate{certificate},
	})
}

func connectBare(address string, n int) (*crowd, error) {
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	c := &crowd{bare: make([]*tls.Conn, n)}
	return c, each(n, func(i int) error {
		conn, err := dial(address, *certificate)
		if err != nil {
			return err
		}
		c.bare[i] = conn
		var one [1]byte // it says that the handshake is over on its side
		_, err = io.ReadFull(conn, one[:])
		return err
	})
}

// connect says hello for all, and lets them answer orders.
func (c *crowd) connect(address string) error {
	hello, err := link.Encode(linktest.HelloFrame())
	if err != nil {
		return err
	}
	return each(len(c.nodes), func(i int) error {
		n := c.nodes[i]
		if n.conn, err = dial(address, n.certificate); err != nil {
			return err
		}
		if _, err := n.conn.Write(hello); err != nil {
			return err
		}
		body, err := frame.Read(n.conn, nil, link.MaxFrame)
		if err != nil {
			return fmt.Errorf("read welcome: %w", err)
		}
		f, err := link.Decode(body)
		if err != nil {
			return err
		}
		if f.GetWelcome() == nil {
			return fmt.Errorf("no welcome but %v", f)
		}
		n.dictionary = f.GetWelcome().Dictionary
		go n.obey()
		return nil
	})
}

// obey acknowledges every order until the connection ends.
func (n *node) obey() {
	var buf []byte
	for {
		body, err := frame.Read(n.conn, buf, link.MaxFrame)
		if err != nil {
			return
		}
		buf = body
		f, err := link.Decode(body)
		if err != nil {
			return
		}
		switch v := f.Body.(type) {
		case *link.Frame_Command:
			c := &fleet.Command{}
			if err := c.UnmarshalVT(v.Command.Command); err != nil {
				return
			}
			n.say(&link.Frame{Body: &link.Frame_Result{Result: &fleet.CommandResult{
				Command: c.Id, State: fleet.CommandState_COMMAND_STATE_DONE, Time: time.Now().UnixNano(),
			}}})
		case *link.Frame_Mode:
			m := &fleet.Mode{}
			if err := m.UnmarshalVT(v.Mode.Mode); err != nil {
				return
			}
			n.say(&link.Frame{Body: &link.Frame_Status{Status: &link.Status{ModeEpoch: m.Epoch, Stopped: m.Stopped}}})
		case *link.Frame_Ack:
			n.acked <- v.Ack.Sequence
		}
	}
}

func (n *node) say(f *link.Frame) error {
	e, err := link.Encode(f)
	if err != nil {
		return err
	}
	n.write.Lock()
	defer n.write.Unlock()
	_, err = n.conn.Write(e)
	return err
}

const (
	// batchEvents is about what a busy host makes in the 100 ms between two
	// reads of its ring.
	batchEvents = 200
	// senders is how many nodes send at once, and inFlight how many batches
	// each leaves unacknowledged.
	senders  = 16
	inFlight = 4
)

// send sends about that many exec events from some nodes and waits for all
// acknowledgements. It returns how many there were.
func (c *crowd) send(events int) (int, error) {
	frames := make([][]*link.Frame, senders) // compressed before the clock runs
	total := 0
	for s := range frames {
		host := linktest.NewHost(uint64(9000 + s))
		compressor, err := link.NewCompressor(c.nodes[s].dictionary)
		if err != nil {
			return 0, err
		}
		for total < events*(s+1)/senders {
			b := host.Batch(batchEvents)
			f, err := batchFrame(compressor, b)
			if err != nil {
				return 0, err
			}
			frames[s] = append(frames[s], f)
			total += len(b.Events)
		}
		compressor.Close()
	}
	return total, each(senders, func(s int) error {
		n, waiting := c.nodes[s], 0
		await := func() error {
			select {
			case <-n.acked:
				waiting--
				return nil
			case <-time.After(patience):
				return errors.New("a batch was not acknowledged")
			}
		}
		for _, f := range frames[s] {
			if waiting == inFlight {
				if err := await(); err != nil {
					return err
				}
			}
			if err := n.say(f); err != nil {
				return err
			}
			waiting++
		}
		last := frames[s][len(frames[s])-1].GetBatch().LastSequence
		for {
			select {
			case sequence := <-n.acked:
				if sequence == last {
					return nil
				}
			case <-time.After(patience):
				return errors.New("the last batch was not acknowledged")
			}
		}
	})
}

func batchFrame(c *link.Compressor, b *event.Batch) (*link.Frame, error) {
	raw, err := b.MarshalVT()
	if err != nil {
		return nil, err
	}
	payload, encoding := c.Compress(raw)
	return &link.Frame{Body: &link.Frame_Batch{Batch: &link.Batch{
		Class: b.Class, Incarnation: 1, FirstSequence: b.FirstSequence, LastSequence: b.LastSequence(),
		Events: uint32(len(b.Events)), Encoding: encoding, Size: uint32(len(raw)), Payload: append([]byte(nil), payload...),
	}}}, nil
}

// acks counts acknowledgements as they arrive on the bus.
type acks struct {
	cancel context.CancelFunc
	done   chan error

	mu      sync.Mutex
	changed chan struct{}
	counts  map[string]int // by command id, or epochName
	seen    map[string]bool
}

func epochName(epoch uint64) string { return "epoch " + strconv.FormatUint(epoch, 10) }

// count reads results and presence from the bus.
func count(ctx context.Context, client *bus.Client) *acks {
	a := &acks{done: make(chan error, 1), changed: make(chan struct{}), counts: map[string]int{}, seen: map[string]bool{}}
	ctx, a.cancel = context.WithCancel(ctx)
	go func() { a.done <- client.Tail(ctx, []string{bus.Results, bus.Presence}, bus.FromStart(), a.take) }()
	return a
}

func (a *acks) stop() {
	a.cancel()
	<-a.done
}

func (a *acks) take(_ context.Context, messages []bus.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range messages {
		if m.Topic == bus.Results {
			a.counts[string(m.Key)]++
			continue
		}
		p := &fleet.Presence{}
		if err := p.UnmarshalVT(m.Value); err != nil {
			return err
		}
		a.seen[string(m.Key)] = true
		if p.ModeEpoch != 0 {
			a.counts[epochName(p.ModeEpoch)]++
		}
	}
	close(a.changed)
	a.changed = make(chan struct{})
	return nil
}

func (a *acks) until(what string, reached func() bool) error {
	deadline := time.After(patience)
	for {
		a.mu.Lock()
		ok, changed := reached(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case err := <-a.done:
			a.done <- err
			return fmt.Errorf("bus ended while waiting for %s: %w", what, err)
		case <-deadline:
			return fmt.Errorf("waited %s for %s", patience, what)
		}
	}
}

// online waits until that many nodes are known to the bus.
func (a *acks) online(n int) error {
	return a.until("presence of all nodes", func() bool { return len(a.seen) >= n })
}

// wait waits until that many nodes acknowledged an order.
func (a *acks) wait(name string, n int) error {
	return a.until(fmt.Sprintf("all acknowledgements of %s", name), func() bool { return a.counts[name] >= n })
}
