// Package breaker decides when the agent must get out of the host's way: CPU
// or memory over its bound in so many samples in a row opens it, and the
// collector is stopped; after a pause it is tried again, and each trip that
// follows soon makes the next pause longer.
//
// The core is pure: samples and a monotonic clock in, decisions out.
// sample.go reads samples from /proc.
package breaker

import (
	"fmt"
	"time"
)

// Limits are the bounds; 0 means no bound.
type Limits struct {
	CPU      float64       // cores
	Memory   uint64        // bytes, proportional set size
	Samples  int           // in a row over a bound before it trips
	Pause    time.Duration // after the first trip
	MaxPause time.Duration // doubling ends here
}

// Sample is what the watched processes used so far.
type Sample struct {
	At     time.Duration // monotonic, from any origin
	CPU    time.Duration // user and system, since the processes began
	Memory uint64        // bytes now
}

// State is what the collector may do.
type State uint8

const (
	Running State = iota + 1 // watching
	Idle                     // tripped: the collector must not run
	Trying                   // runs again; a trip now doubles the pause
)

func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Idle:
		return "idle"
	case Trying:
		return "trying"
	}
	return "invalid"
}

// Trip is why it opened.
type Trip struct {
	What    string        // "cpu" or "memory"
	Value   float64       // cores or bytes, of the last sample
	Limit   float64       // the bound
	Samples int           // in a row
	Pause   time.Duration // until it is tried again
}

func (t *Trip) String() string {
	if t.What == "cpu" {
		return fmt.Sprintf("cpu %.3f cores over the bound of %.3f in %d samples in a row, idle for %s", t.Value, t.Limit, t.Samples, t.Pause)
	}
	return fmt.Sprintf("memory %.1f MiB over the bound of %.1f MiB in %d samples in a row, idle for %s", t.Value/(1<<20), t.Limit/(1<<20), t.Samples, t.Pause)
}

// Breaker holds the state. It is not safe for concurrent use. Make it with
// New.
type Breaker struct {
	limits Limits
	state  State
	trips  int // without a recovery in between
	until  time.Duration
	calm   int // samples in a row within bounds, while trying
	over   struct{ cpu, memory int }
	last   Sample
	known  bool // last is of the running processes
}

// recovery is how many calm samples while trying, times Limits.Samples, make
// it running again.
const recovery = 3

// New returns a breaker that lets the collector run.
func New(l Limits) *Breaker { return &Breaker{limits: l, state: Running} }

// State returns the state.
func (b *Breaker) State() State { return b.state }

// SetLimits replaces the bounds; counts in a row go on.
func (b *Breaker) SetLimits(l Limits) { b.limits = l }

// Restarted says that the watched processes are new: CPU counts from 0.
func (b *Breaker) Restarted() { b.known = false }

// Sample judges one sample while the collector runs. It returns the trip if
// this one trips it.
func (b *Breaker) Sample(s Sample) *Trip {
	if b.state == Idle {
		return nil
	}
	cores := b.cores(s)
	cpuOver := count(&b.over.cpu, b.limits.CPU > 0 && cores > b.limits.CPU)
	memoryOver := count(&b.over.memory, b.limits.Memory > 0 && s.Memory > b.limits.Memory)
	switch {
	case cpuOver >= b.limits.Samples && cpuOver > 0:
		return b.trip(s.At, Trip{What: "cpu", Value: cores, Limit: b.limits.CPU, Samples: cpuOver})
	case memoryOver >= b.limits.Samples && memoryOver > 0:
		return b.trip(s.At, Trip{What: "memory", Value: float64(s.Memory), Limit: float64(b.limits.Memory), Samples: memoryOver})
	}
	if b.state == Trying && count(&b.calm, cpuOver == 0 && memoryOver == 0) >= recovery*b.limits.Samples {
		b.state, b.trips = Running, 0
	}
	return nil
}

// cores returns the CPU used since the last sample, 0 if there is none. A
// clock that stands still or goes back gives 0.
func (b *Breaker) cores(s Sample) float64 {
	cores := 0.0
	if elapsed, used := s.At-b.last.At, s.CPU-b.last.CPU; b.known && elapsed > 0 && used > 0 {
		cores = float64(used) / float64(elapsed)
	}
	b.last, b.known = s, true
	return cores
}

// count counts in a row.
func count(n *int, again bool) int {
	if *n++; !again {
		*n = 0
	}
	return *n
}

func (b *Breaker) trip(at time.Duration, t Trip) *Trip {
	t.Pause = b.limits.MaxPause
	if shifted := b.limits.Pause << min(b.trips, 30); shifted > 0 && shifted < t.Pause {
		t.Pause = shifted
	}
	b.trips++
	b.state, b.until, b.calm = Idle, at+t.Pause, 0
	b.over.cpu, b.over.memory = 0, 0
	b.known = false
	return &t
}

// Due reports whether the pause is over, and if so begins to try.
func (b *Breaker) Due(at time.Duration) bool {
	if b.state != Idle || at < b.until {
		return false
	}
	b.state = Trying
	return true
}
