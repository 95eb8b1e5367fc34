package collecttest

import (
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
)

// memory is the in-memory twin of the collector's sink: it keeps every event
// and lets tests wait for one.
type memory struct {
	mu     sync.Mutex
	events []*event.Event
	grown  chan struct{} // closed and replaced when events come
}

func newMemory() *memory { return &memory{grown: make(chan struct{})} }

// Emit keeps a copy that went through the wire's form, as the master would
// have it.
func (m *memory) Emit(_ event.Class, _ int64, e *event.Event) {
	wire, err := e.MarshalVT()
	kept := &event.Event{}
	if err == nil {
		err = kept.UnmarshalVT(wire)
	}
	if err != nil {
		panic("collecttest: " + err.Error())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, kept)
}

// Flush wakes those who wait.
func (m *memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.grown)
	m.grown = make(chan struct{})
}

// wait returns the first event, of all so far and those to come, that
// satisfies want.
func (m *memory) wait(t *testing.T, what string, want func(*event.Event) bool) *event.Event {
	t.Helper()
	timeout := time.After(patience)
	for next := 0; ; {
		m.mu.Lock()
		events, grown := m.events[next:], m.grown
		next = len(m.events)
		m.mu.Unlock()
		for _, e := range events {
			if want(e) {
				return e
			}
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("not told within %s: %s", patience, what)
		}
	}
}
