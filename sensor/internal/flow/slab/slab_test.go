package slab

import (
	"math/rand/v2"
	"testing"
)

// A slab against a map: random births and deaths, stale handles asked for.
func TestSlabAgainstItsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s Slab[uint64]
	if s.Len() != 0 || s.Get(0) != nil || s.Get(1<<32|1) != nil {
		t.Error("an empty slab has records")
	}
	live := map[Handle]uint64{}
	var order, dead []Handle
	for step := range 200_000 {
		if len(order) > 0 && rng.IntN(100) < 48 {
			i := rng.IntN(len(order))
			h := order[i]
			order[i] = order[len(order)-1]
			order = order[:len(order)-1]
			delete(live, h)
			dead = append(dead, h)
			if !s.Release(h) || s.Release(h) {
				t.Fatalf("step %d: release", step)
			}
			continue
		}
		h, p := s.New()
		if *p != 0 {
			t.Fatalf("step %d: a new record holds %d", step, *p)
		}
		*p = rng.Uint64()
		if _, there := live[h]; there || h == 0 || s.At(h.Index()) != p || s.Handle(h.Index()) != h {
			t.Fatalf("step %d: handle %#x", step, h)
		}
		live[h] = *p
		order = append(order, h)
	}
	for h, want := range live {
		if p := s.Get(h); p == nil || *p != want {
			t.Fatalf("%#x: lost", h)
		}
	}
	for _, h := range dead {
		if s.Get(h) != nil {
			t.Fatalf("%#x: stale, and somebody's", h)
		}
	}
	if s.Len() != len(live) || int(s.End()) < len(live) {
		t.Errorf("%d records of %d", s.Len(), len(live))
	}
}

// Blocks of all sizes never overlap, keep their bytes, and the budget holds.
func TestArenaAgainstItsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const budget = 8 << 20
	a := NewArena(budget)
	type held struct {
		b    Block
		fill byte
		size int
	}
	var live []held
	refused := 0
	for step := range 30_000 {
		if len(live) > 0 && rng.IntN(100) < 45 {
			i := rng.IntN(len(live))
			h := live[i]
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
			for _, c := range a.Bytes(h.b) {
				if c != h.fill {
					t.Fatalf("step %d: a block of %d was written by another", step, h.size)
				}
			}
			a.Free(h.b)
		} else {
			n := 1 << rng.IntN(19)
			n -= rng.IntN(n)
			b := a.Alloc(n)
			if b == 0 {
				refused++
				continue
			}
			bytes := a.Bytes(b)
			if len(bytes) < n || len(bytes) > max(128, 2*n) && n <= 1<<maxShift {
				t.Fatalf("step %d: %d bytes for %d", step, len(bytes), n)
			}
			fill := byte(rng.Uint32())
			for i := range bytes {
				bytes[i] = fill
			}
			live = append(live, held{b, fill, len(bytes)})
		}
		if a.Held() > budget || a.Used() > a.Held() {
			t.Fatalf("step %d: held %d, used %d", step, a.Held(), a.Used())
		}
	}
	if refused == 0 {
		t.Error("the budget was never reached")
	}
	used := 0
	for _, h := range live {
		used += h.size
	}
	if used != a.Used() {
		t.Errorf("used %d, counted %d", used, a.Used())
	}
	for _, h := range live {
		a.Free(h.b)
	}
	a.Free(0)
	if a.Used() != 0 {
		t.Errorf("%d bytes leaked", a.Used())
	}
	// All that memory serves one class as well as another.
	for n := 0; n < budget/128; n++ {
		if a.Alloc(100) == 0 {
			t.Fatalf("refused with %d of %d bytes used", a.Used(), a.Budget())
		}
	}
	if a.Alloc(1) != 0 || a.Alloc(1<<30) != 0 {
		t.Error("beyond the budget")
	}
}
