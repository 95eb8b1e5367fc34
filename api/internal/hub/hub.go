// Package hub hands what happens live to any number of listeners, each with a
// bounded queue: a listener that does not keep up loses items and is told how
// many, and never slows the others.
package hub

import (
	"sync"
	"sync/atomic"
)

// Kind says what an item is.
type Kind uint8

// The kinds, as bits of Subscribe's mask.
const (
	Alert Kind = 1 << iota // an alert that is new, repeated, or has another state
	Node                   // a node's presence
)

// Item is one thing that happened.
type Item struct {
	Kind   Kind
	JSON   []byte // one object, without a line end
	Tenant string // whose it is
}

// Hub is the meeting point. The zero value is ready.
type Hub struct {
	mu   sync.Mutex
	subs map[*Sub]struct{}
}

// Sub is one listener's queue.
type Sub struct {
	C       <-chan Item
	c       chan Item
	kinds   Kind
	hub     *Hub
	dropped atomic.Uint64
}

// Subscribe starts a queue of size items of the kinds; Close ends it.
func (h *Hub) Subscribe(kinds Kind, size int) *Sub {
	s := &Sub{c: make(chan Item, size), kinds: kinds, hub: h}
	s.C = s.c
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs == nil {
		h.subs = map[*Sub]struct{}{}
	}
	h.subs[s] = struct{}{}
	return s
}

// Close takes the listener out.
func (s *Sub) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs, s)
}

// Dropped returns how many items were lost since the last call.
func (s *Sub) Dropped() uint64 { return s.dropped.Swap(0) }

// Publish hands the item to everybody who listens to its kind.
func (h *Hub) Publish(i Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		if s.kinds&i.Kind == 0 {
			continue
		}
		select {
		case s.c <- i:
		default:
			s.dropped.Add(1)
		}
	}
}
