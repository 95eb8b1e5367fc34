// Package sim is a simulated node that joins a real gateway: it enrols with a
// token, sends the events it is given, and knows which of them the gateway has
// acknowledged. labs/crash and labs/loopbench count with it.
package sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Node is a simulated node. Safe for concurrent use.
type Node struct {
	ID     event.NodeID
	client *link.Client
	key    *ecdsa.PrivateKey

	mu       sync.Mutex
	creds    *link.Credentials
	roots    [][]byte
	queue    []*link.Outgoing // sent or to be sent, oldest first
	next     int              // the first of queue not handed out on this connection
	sequence uint64
	acked    uint64
	ready    chan struct{}
	changed  chan struct{} // closed and replaced at each ack
}

// Join enrols a node called host at the gateway.
func Join(ctx context.Context, gateway, token, host string) (*Node, error) {
	t, err := link.ParseToken(token)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	enrolled, err := link.Enrol(ctx, gateway, t, key, &link.EnrolRequest{Host: host, Kind: "agent"})
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", host, err)
	}
	creds, err := link.NewCredentials(enrolled.Chain, key, enrolled.Roots)
	if err != nil {
		return nil, err
	}
	id, err := event.NodeIDFrom(enrolled.Node)
	if err != nil {
		return nil, err
	}
	n := &Node{ID: id, key: key, creds: creds, roots: enrolled.Roots, ready: make(chan struct{}, 1), changed: make(chan struct{})}
	n.client = link.NewClient(link.ClientConfig{
		Gateways: []string{gateway}, Incarnation: 1,
		BackoffMin: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond,
	}, n, n)
	return n, nil
}

// Run stays connected until the context ends.
func (n *Node) Run(ctx context.Context) error { return n.client.Run(ctx) }

// Send queues events as one batch, observed now, and returns the sequence of
// the last.
func (n *Node) Send(events []*event.Event) (uint64, error) { return n.SendAt(time.Now(), events) }

// SendAt is Send for events that happened and were observed at a time.
func (n *Node) SendAt(at time.Time, events []*event.Event) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := event.NewBuilder(n.ID, 1, event.Class_CLASS_BULK)
	first := n.sequence + 1
	for _, e := range events {
		n.sequence++
		if err := b.Add(n.sequence, at.UnixNano(), at.UnixNano(), e); err != nil {
			return 0, err
		}
	}
	batch := b.Take()
	batch.Node, batch.Incarnation = nil, 0 // the gateway knows them better
	payload, err := batch.MarshalVT()
	if err != nil {
		return 0, err
	}
	n.queue = append(n.queue, &link.Outgoing{
		Class: event.Class_CLASS_BULK, Incarnation: 1, First: first, Last: n.sequence,
		Events: len(events), Payload: payload,
	})
	n.wake()
	return n.sequence, nil
}

func (n *Node) wake() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// AckedUpTo returns the last acknowledged sequence.
func (n *Node) AckedUpTo() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acked
}

// AwaitAck waits until everything up to the sequence is acknowledged.
func (n *Node) AwaitAck(ctx context.Context, sequence uint64) error {
	for {
		n.mu.Lock()
		acked, changed := n.acked, n.changed
		n.mu.Unlock()
		if acked >= sequence {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("node %s: acknowledged up to %d, want %d: %w; link: %+v", n.ID, acked, sequence, ctx.Err(), n.client.State())
		}
	}
}

// Waiting returns how many batches are not acknowledged.
func (n *Node) Waiting() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queue)
}

// Next implements link.Source.
func (n *Node) Next(class event.Class, limit int) (*link.Outgoing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if class != event.Class_CLASS_BULK || n.next >= len(n.queue) || len(n.queue[n.next].Payload) > limit {
		return nil, nil
	}
	o := n.queue[n.next]
	n.next++
	return o, nil
}

// Ready implements link.Source.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Acked implements link.Source.
func (n *Node) Acked(class event.Class, upTo link.Position) {
	if class != event.Class_CLASS_BULK || upTo.Incarnation != 1 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	done := 0
	for done < len(n.queue) && n.queue[done].Last <= upTo.Sequence {
		done++
	}
	n.queue = n.queue[done:]
	n.next = max(0, n.next-done)
	if upTo.Sequence > n.acked {
		n.acked = upTo.Sequence
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// Rewind implements link.Source.
func (n *Node) Rewind() {
	n.mu.Lock()
	n.next = 0
	n.mu.Unlock()
	n.wake()
}

// Credentials implements link.Owner.
func (n *Node) Credentials() (*link.Credentials, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.creds, nil
}

// Renewed implements link.Owner.
func (n *Node) Renewed(r *link.Renewed) error {
	creds, err := link.NewCredentials(r.Chain, n.key, n.roots)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.creds = creds
	n.mu.Unlock()
	return nil
}

// Hello implements link.Owner.
func (n *Node) Hello() *link.Hello { return &link.Hello{Kind: "agent", Incarnation: 1} }

// Status implements link.Owner.
func (n *Node) Status() *link.Status {
	return &link.Status{Status: &event.NodeStatus{Reason: "heartbeat", Mode: "run"}}
}

// Welcome implements link.Owner.
func (n *Node) Welcome(*link.Welcome) {}

// Config implements link.Owner: a simulated node has nothing to configure.
func (n *Node) Config(c *link.Config) *link.ConfigResult {
	return &link.ConfigResult{Version: c.Version, Hash: c.Hash}
}

// Command implements link.Owner: it answers every command.
func (n *Node) Command(*fleet.SignedCommand) {}

// Mode implements link.Owner.
func (n *Node) Mode(*fleet.SignedMode) {}
