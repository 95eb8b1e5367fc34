// Package gctune keeps the memory of an idle process small and the garbage
// collector of a busy one cheap. The collector's price is paid for each byte
// that is allocated, so that the same setting cannot serve both: while a
// process allocates little its heap may only grow by half of what lives, and
// under load, when the memory is worth its processor time, to three times.
package gctune

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Settings of GOGC, and when to change them.
const (
	// IdlePercent is how much the heap of an idle process may grow.
	IdlePercent = 50
	// BusyPercent is how much the heap of a busy one may.
	BusyPercent = 200
	// busyRate is the allocation, bytes/s, from which on a process is busy:
	// at it, collecting an idle process's heap of 10 MB by halves takes some
	// 2 % of a core.
	busyRate = 4 << 20
	// period is how often the rate is read.
	period = 2 * time.Second
	// patience is for how many periods a process must be quiet to be idle.
	patience = 5
)

// Run sets GOGC by what the process does, until the context ends.
func Run(ctx context.Context) error {
	t := tuner{set: func(percent int) { debug.SetGCPercent(percent) }, release: debug.FreeOSMemory}
	t.start()
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := allocated()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := allocated()
		t.see((now - last) / uint64(period/time.Second))
		last = now
	}
}

// allocated is how many bytes the process ever allocated on its heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// tuner decides.
type tuner struct {
	set     func(percent int)
	release func() // gives unused memory back to the kernel
	busy    bool
	quiet   int // periods since the last busy one
}

func (t *tuner) start() { t.set(IdlePercent) }

// see takes the rate of one period, in bytes/s.
func (t *tuner) see(rate uint64) {
	if rate >= busyRate {
		t.quiet = 0
		if !t.busy {
			t.busy = true
			t.set(BusyPercent)
		}
		return
	}
	if t.quiet++; t.busy && t.quiet >= patience {
		t.busy = false
		t.set(IdlePercent)
		t.release()
	}
}
