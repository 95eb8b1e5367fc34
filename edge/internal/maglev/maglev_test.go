package maglev

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func some(n int) []Backend {
	out := make([]Backend, n)
	for i := range out {
		out[i] = Backend{Key: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1), Index: uint32(i), Weight: 1}
	}
	return out
}

func fill(t testing.TB, size int, backends []Backend) []uint32 {
	t.Helper()
	table, err := Fill(size, backends)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestWalkersVisitAll holds the bijection and its inverse, for every size.
func TestWalkersVisitAll(t *testing.T) {
	for size := 2; size <= 1<<12; size *= 2 {
		for _, b := range some(5) {
			w := newWalker(size, b)
			seen := make([]bool, size)
			for k := range uint32(size) {
				e := w.entry(k)
				if seen[e] {
					t.Fatalf("%d entries: %d is visited twice", size, e)
				}
				seen[e] = true
				if got := w.visit(e); got != k {
					t.Fatalf("%d entries: visit of %d is %d, want %d", size, e, got, k)
				}
			}
		}
	}
}

// TestFillIsTheFirstVisit compares with the definition, done the slow way.
func TestFillIsTheFirstVisit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		backends := some(2 + random.IntN(40))
		for i := range backends {
			backends[i].Weight = uint32(random.IntN(4) * random.IntN(200))
		}
		backends[0].Weight = 7
		const size = 1 << 11
		table := fill(t, size, backends)
		for e := range uint32(size) {
			best, want := uint64(never), uint32(0)
			for _, b := range backends {
				if b.Weight == 0 {
					continue
				}
				w := newWalker(size, b)
				if at := w.visits(e); at < best {
					best, want = at, b.Index
				}
			}
			if table[e] != want {
				t.Fatalf("entry %d belongs to %d, want %d", e, table[e], want)
			}
		}
	}
}

// TestOnlyWhatMustMoves: a backend that leaves, comes or changes weight touches
// no entry between two others.
func TestOnlyWhatMustMoves(t *testing.T) {
	backends := some(37)
	size := Size(len(backends))
	before := fill(t, size, backends)
	changed := func(name string, after []uint32, allowed func(from, to uint32) bool) {
		t.Helper()
		moved := 0
		for e := range before {
			if before[e] == after[e] {
				continue
			}
			moved++
			if !allowed(before[e], after[e]) {
				t.Fatalf("%s: entry %d moved from %d to %d", name, e, before[e], after[e])
			}
		}
		if moved == 0 {
			t.Fatalf("%s: nothing moved", name)
		}
	}
	without := slices.Delete(slices.Clone(backends), 5, 6)
	changed("leaves", fill(t, size, without), func(from, _ uint32) bool { return from == 5 })
	more := append(slices.Clone(backends), Backend{Key: "10.9.9.9:80", Index: 99, Weight: 1})
	changed("comes", fill(t, size, more), func(_, to uint32) bool { return to == 99 })
	// Both weights must be on one scale, as they are in a configuration.
	heavy := slices.Clone(backends)
	heavy[7].Weight = 3
	changed("weighs more", fill(t, size, heavy), func(_, to uint32) bool { return to == 7 })
	slices.Reverse(without)
	if !slices.Equal(fill(t, size, without), fill(t, size, slices.Delete(slices.Clone(backends), 5, 6))) {
		t.Error("the order of the backends matters")
	}
}

// TestShares holds the bounds that docs/perf/edge-maglev.md publishes.
func TestShares(t *testing.T) {
	for n, bound := range map[int]float64{10: 1.05, 100: 1.10, 1000: 1.15} {
		if got := Imbalance(fill(t, Size(n), some(n)), some(n)); got > bound {
			t.Errorf("%d backends: the fullest has %.3f times its share, want at most %.2f", n, got, bound)
		}
	}
	weighted := some(20)
	for i := range weighted {
		weighted[i].Weight = uint32(1 + i%5*10)
	}
	if got := Imbalance(fill(t, 1<<16, weighted), weighted); got > 1.10 {
		t.Errorf("weighted: %.3f times the share, want at most 1.10", got)
	}
	one := some(3)
	one[0].Weight, one[1].Weight = 0, 0
	for e, index := range fill(t, MinSize, one) {
		if index != 2 {
			t.Fatalf("entry %d belongs to %d, which has no weight", e, index)
		}
	}
}

func TestFillRefuses(t *testing.T) {
	if _, err := Fill(1000, some(3)); err == nil {
		t.Error("1000 entries are taken")
	}
	if _, err := Fill(1024, append(some(3), some(1)...)); err == nil {
		t.Error("a key may come twice")
	}
	if _, err := Fill(1024, []Backend{{Key: "a", Weight: MaxWeight + 1}}); err == nil {
		t.Error("any weight is taken")
	}
	if _, err := Fill(1024, []Backend{{Key: "a"}}); !errors.Is(err, ErrNone) {
		t.Errorf("no weight at all: %v", err)
	}
}

func BenchmarkFill(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		backends := some(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				fill(b, Size(n), backends)
			}
		})
	}
}
