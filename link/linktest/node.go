package linktest

import (
	"sync"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Node is a node in memory: a link.Source of events that are made in it and
// a link.Owner that notes what it is told. Safe for concurrent use.
type Node struct {
	Creds *link.Credentials
	// Store is called with a renewed certificate, if set.
	Store func(*link.Renewed) (*link.Credentials, error)

	ready chan struct{}

	mu       sync.Mutex
	sequence uint64
	waiting  map[event.Class][]waiting
	next     map[event.Class]int
	commands []*fleet.SignedCommand
	modes    []*fleet.SignedMode
	configs  []*link.Config
	welcomes []*link.Welcome
}

type waiting struct {
	first, last uint64
	events      int
	payload     []byte
}

// NewNode returns a node with those credentials.
func NewNode(creds *link.Credentials) *Node {
	return &Node{Creds: creds, ready: make(chan struct{}, 1), waiting: map[event.Class][]waiting{}, next: map[event.Class]int{}}
}

// Make makes n small events of a class, ten to a batch.
func (n *Node) Make(class event.Class, count int) {
	n.mu.Lock()
	for count > 0 {
		b := &event.Batch{FirstSequence: n.sequence + 1, Class: class, BaseTime: 1, Schema: event.Schema}
		for len(b.Events) < min(10, count) {
			b.Events = append(b.Events, &event.Event{Process: &event.Process{Pid: 1, Name: []byte("made by linktest")}})
		}
		count -= len(b.Events)
		n.sequence = b.LastSequence()
		payload, err := b.MarshalVT()
		if err != nil {
			panic(err)
		}
		n.waiting[class] = append(n.waiting[class], waiting{b.FirstSequence, n.sequence, len(b.Events), payload})
	}
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// Unacked returns how many batches wait for acknowledgement.
func (n *Node) Unacked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiting[event.Class_CLASS_BULK]) + len(n.waiting[event.Class_CLASS_PRIORITY])
}

// Next implements link.Source.
func (n *Node) Next(class event.Class, limit int) (*link.Outgoing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.next[class]
	if i >= len(n.waiting[class]) || len(n.waiting[class][i].payload) > limit {
		return nil, nil
	}
	n.next[class]++
	w := n.waiting[class][i]
	return &link.Outgoing{Class: class, Incarnation: 1, First: w.first, Last: w.last, Events: w.events, Payload: w.payload}, nil
}

// Ready implements link.Source.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Acked implements link.Source.
func (n *Node) Acked(class event.Class, upTo link.Position) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.waiting[class]) > 0 && n.waiting[class][0].last <= upTo.Sequence {
		n.waiting[class] = n.waiting[class][1:]
		n.next[class] = max(0, n.next[class]-1)
	}
}

// Rewind implements link.Source.
func (n *Node) Rewind() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.next)
}

// Credentials implements link.Owner.
func (n *Node) Credentials() (*link.Credentials, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.Creds, nil
}

// Renewed implements link.Owner.
func (n *Node) Renewed(r *link.Renewed) error {
	creds, err := n.Store(r)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.Creds = creds
	n.mu.Unlock()
	return nil
}

// Hello implements link.Owner.
func (n *Node) Hello() *link.Hello {
	return &link.Hello{Version: "test", Kind: "agent", Incarnation: 1}
}

// Status implements link.Owner.
func (n *Node) Status() *link.Status { return &link.Status{} }

// Welcome implements link.Owner.
func (n *Node) Welcome(w *link.Welcome) {
	n.mu.Lock()
	n.welcomes = append(n.welcomes, w)
	n.mu.Unlock()
}

// Config implements link.Owner.
func (n *Node) Config(c *link.Config) *link.ConfigResult {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.configs = append(n.configs, c)
	return &link.ConfigResult{Version: c.Version, Hash: c.Hash}
}

// Command implements link.Owner.
func (n *Node) Command(c *fleet.SignedCommand) {
	n.mu.Lock()
	n.commands = append(n.commands, c)
	n.mu.Unlock()
}

// Mode implements link.Owner.
func (n *Node) Mode(m *fleet.SignedMode) {
	n.mu.Lock()
	n.modes = append(n.modes, m)
	n.mu.Unlock()
}

// Told returns the commands and modes the node was sent.
func (n *Node) Told() ([]*fleet.SignedCommand, []*fleet.SignedMode) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.commands, n.modes
}
