package health

import (
	"context"
	"hash/fnv"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"github.com/hauberk/hauberk/internal/run"
)

// A Target is one backend of one VIP.
type Target struct {
	Key   string // stable; a target of a known key keeps its health
	To    netip.AddrPort
	Check Check
}

// Health is what is known of a target.
type Health struct {
	// Up is false until enough good probes came, or true with the type none.
	Up    bool
	Since time.Time // of Up's last change; zero: never
	Error string    // of the last probe; empty: it was good
	// Probes and Failures since the target is known.
	Probes, Failures uint64

	run int // good probes in a row, or bad ones as a negative number
}

// Note adds the outcome of a probe and reports whether Up changed. A count of
// rise and fall is of probes in a row: one that fails now and then does not
// add up. The first probe decides at once: nobody is held back by a restart.
func (h *Health) Note(c *Check, now time.Time, err error) bool {
	first := h.Probes == 0
	h.Probes++
	h.Error = ""
	if err == nil {
		h.run = max(h.run, 0) + 1
	} else {
		h.run = min(h.run, 0) - 1
		h.Failures++
		h.Error = err.Error()
	}
	up := h.Up
	switch {
	case first, h.run >= c.Rise, -h.run >= c.Fall:
		up = h.run > 0
	}
	if up == h.Up {
		return false
	}
	h.Up, h.Since = up, now
	return true
}

// A Checker probes targets. Make one with New.
type Checker struct {
	// Changed is told, without its lock held, that the health of some target is
	// another than before.
	changed func()
	mark    uint32

	mu      sync.Mutex
	watched map[string]*watched
}

type watched struct {
	target Target
	health Health
	cancel context.CancelFunc
	done   chan struct{}
}

// New returns a checker without targets. Its probes carry the mark if it is
// not 0 (SO_MARK, which needs root).
func New(mark uint32, changed func()) *Checker {
	return &Checker{mark: mark, changed: changed, watched: map[string]*watched{}}
}

// Set replaces the targets. Those that stay as they are keep their health and
// their rhythm; those whose check changed keep their health.
func (c *Checker) Set(ctx context.Context, targets []Target) {
	wanted := make(map[string]*Target, len(targets))
	for i := range targets {
		wanted[targets[i].Key] = &targets[i]
	}
	var ended []*watched
	c.mu.Lock()
	for key, w := range c.watched {
		t := wanted[key]
		if t != nil && reflect.DeepEqual(*t, w.target) {
			delete(wanted, key)
			continue
		}
		w.cancel()
		ended = append(ended, w)
		if t == nil {
			delete(c.watched, key)
		}
	}
	for key, t := range wanted {
		next := &watched{target: *t, done: make(chan struct{})}
		if old := c.watched[key]; old != nil && old.target.To == t.To {
			next.health = old.health
		}
		if t.Check.Type == None {
			next.health.Up = true
		}
		var own context.Context
		own, next.cancel = context.WithCancel(ctx)
		c.watched[key] = next
		go func() {
			defer close(next.done)
			c.watch(own, next)
		}()
	}
	c.mu.Unlock()
	for _, w := range ended {
		<-w.done
	}
}

// Close ends all probes and waits for them.
func (c *Checker) Close() { c.Set(context.Background(), nil) }

// Of returns the health of every target by its key.
func (c *Checker) Of() map[string]Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]Health, len(c.watched))
	for key, w := range c.watched {
		out[key] = w.health
	}
	return out
}

// Settled reports whether each target has been probed once.
func (c *Checker) Settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watched {
		if w.health.Probes == 0 && w.target.Check.Type != None {
			return false
		}
	}
	return true
}

// watch probes one target. The first probe comes soon; the others at a place
// within the interval that the key decides, so that a thousand targets are
// not probed in one moment.
func (c *Checker) watch(ctx context.Context, w *watched) {
	if w.target.Check.Type == None {
		return
	}
	pause := spread(w.target.Key, min(w.target.Check.Interval, firstWithin))
	for {
		if run.Sleep(ctx, pause) != nil {
			return
		}
		began := time.Now()
		err := run.Protect(func() error { return probe(ctx, &w.target.Check, w.target.To, c.mark) })
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		first := w.health.Probes == 0
		changed := w.health.Note(&w.target.Check, time.Now(), err)
		c.mu.Unlock()
		if (changed || first) && c.changed != nil {
			c.changed()
		}
		pause = max(w.target.Check.Interval-time.Since(began), 0)
		if first {
			pause = spread(w.target.Key, w.target.Check.Interval)
		}
	}
}

// firstWithin bounds how long a new target waits for its first probe.
const firstWithin = 500 * time.Millisecond

// spread is a moment within a span that depends on the key alone.
func spread(key string, within time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(key)) // never fails
	return time.Duration(h.Sum64() % uint64(within))
}
