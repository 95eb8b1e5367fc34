// Package obs counts without a metrics library: the agent links no Prometheus
// client, its counters travel in its status. Every drop, skip, truncation and
// fallback in Hauberk has a counter with a reason; this is where it stands.
package obs

import (
	"sort"
	"sync"
	"sync/atomic"
)

// Counter is a monotonic count, safe for concurrent use. The zero value is
// ready.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns the count.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Reading is one counter's name, closed label ("reason=full", or empty) and
// value. A gauge is read like a counter.
type Reading struct {
	Name  string
	Label string
	Value uint64
	Help  string
	Gauge bool
}

// Registry is a set of named counters and gauges. The zero value is ready.
type Registry struct {
	mu      sync.Mutex
	entries map[[2]string]*entry
}

type entry struct {
	help    string
	counter *Counter
	gauge   func() uint64
}

// Counter returns the counter of that name (hauberk_<part>_<noun>_<unit>_total)
// and label ("reason=full" or empty), making it at first use.
func (r *Registry) Counter(name, label, help string) *Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(name, label, help)
	if e.counter == nil {
		e.counter = &Counter{}
	}
	return e.counter
}

// Gauge registers a value read when asked for.
func (r *Registry) Gauge(name, label, help string, read func() uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entry(name, label, help).gauge = read
}

func (r *Registry) entry(name, label, help string) *entry {
	if r.entries == nil {
		r.entries = map[[2]string]*entry{}
	}
	key := [2]string{name, label}
	e := r.entries[key]
	if e == nil {
		e = &entry{help: help}
		r.entries[key] = e
	}
	return e
}

// Readings returns every counter and gauge, sorted by name and label.
func (r *Registry) Readings() []Reading {
	r.mu.Lock()
	out := make([]Reading, 0, len(r.entries))
	for key, e := range r.entries {
		reading := Reading{Name: key[0], Label: key[1], Help: e.help, Gauge: e.gauge != nil}
		if e.gauge != nil {
			reading.Value = e.gauge()
		} else {
			reading.Value = e.counter.Value()
		}
		out = append(out, reading)
	}
	r.mu.Unlock()
	sort.Slice(out, func(i, j int) bool {
		if out[i].Name != out[j].Name {
			return out[i].Name < out[j].Name
		}
		return out[i].Label < out[j].Label
	})
	return out
}
