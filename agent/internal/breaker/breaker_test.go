package breaker

import (
	"os"
	"testing"
	"time"
)

var limits = Limits{CPU: 0.2, Memory: 100, Samples: 3, Pause: time.Minute, MaxPause: 5 * time.Minute}

// world feeds a breaker one sample per second.
type world struct {
	b   *Breaker
	now time.Duration
	cpu time.Duration
}

func (w *world) run(seconds int, cores float64, memory uint64) *Trip {
	for range seconds {
		w.now += time.Second
		w.cpu += time.Duration(cores * float64(time.Second))
		if trip := w.b.Sample(Sample{w.now, w.cpu, memory}); trip != nil {
			return trip
		}
	}
	return nil
}

func TestTripsAfterSamplesInARow(t *testing.T) {
	w := &world{b: New(limits)}
	w.run(1, 0, 50)
	for range 10 { // two of three, again and again
		if w.run(2, 0.5, 50) != nil || w.run(1, 0.1, 50) != nil {
			t.Fatal("tripped without three in a row")
		}
	}
	trip := w.run(3, 0.5, 50)
	if trip == nil || trip.What != "cpu" || trip.Pause != time.Minute || w.b.State() != Idle {
		t.Fatalf("no trip: %v", trip)
	}
	w = &world{b: New(limits)}
	if trip := w.run(3, 0, 101); trip == nil || trip.What != "memory" {
		t.Fatalf("memory: %v", trip)
	}
}

func TestPausesDoubleAndRecover(t *testing.T) {
	w := &world{b: New(limits)}
	w.run(1, 0, 0)
	for i, want := range []time.Duration{1, 2, 4, 5, 5} {
		trip := w.run(4, 1, 0)
		if trip == nil || trip.Pause != want*time.Minute {
			t.Fatalf("trip %d: %v", i, trip)
		}
		if w.now += trip.Pause - 1; w.b.Due(w.now) {
			t.Fatal("tried before the pause was over")
		}
		if w.now++; !w.b.Due(w.now) || w.b.State() != Trying {
			t.Fatal("not tried after the pause")
		}
		w.cpu = 0 // a new process
		w.run(1, 0, 0)
	}
	if w.run(recovery*limits.Samples-1, 0.1, 50); w.b.State() != Running {
		t.Fatalf("%s after calm", w.b.State())
	}
	if trip := w.run(3, 1, 0); trip == nil || trip.Pause != time.Minute {
		t.Fatalf("after recovery: %v", trip)
	}
}

func TestClockStandsStill(t *testing.T) {
	b := New(limits)
	for range 10 {
		if trip := b.Sample(Sample{time.Second, time.Hour, 0}); trip != nil {
			t.Fatalf("tripped on time that did not pass: %v", trip)
		}
		if trip := b.Sample(Sample{0, 2 * time.Hour, 0}); trip != nil {
			t.Fatalf("tripped on time that went back: %v", trip)
		}
	}
}

func TestRestartedProcessIsNoBurst(t *testing.T) {
	w := &world{b: New(limits)}
	w.run(5, 0.1, 0)
	w.b.Restarted()
	w.cpu = 100 * time.Second // of another pair of processes
	if trip := w.run(3, 0.1, 0); trip != nil {
		t.Fatal(trip)
	}
}

func TestReadSelf(t *testing.T) {
	s, err := Read("/proc", time.Second, os.Getpid(), 1<<30)
	if err != nil || s.Memory < 100<<10 || s.At != time.Second {
		t.Fatalf("%+v, %v", s, err)
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("12 (a) b) c) S 1 1 1 0 -1 4194560 100 0 0 0 7 9 0 0 20 0 1 0 100 0 0"), []byte("Pss:   12 kB\n"))
	f.Add([]byte(")"), []byte("Pss:\n"))
	f.Fuzz(func(t *testing.T, stat, rollup []byte) {
		parseStat(stat)
		parseKB(rollup, "Pss:")
	})
}

func TestParseStatWithHostileName(t *testing.T) {
	n, err := parseStat([]byte("12 (a) b) c) S 1 1 1 0 -1 4194560 100 0 0 0 7 9 0 0 20 0 1 0 100 0 0"))
	if err != nil || n != 16 {
		t.Fatalf("%d ticks, %v", n, err)
	}
}
