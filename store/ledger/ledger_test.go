package ledger

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// twin is the naive set.
type twin map[uint64]bool

func TestAgainstTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var r Ranges
		set := twin{}
		at := uint64(0)
		for range 300 {
			var s uint64
			switch random.IntN(4) {
			case 0: // anywhere
				s = uint64(random.IntN(400)) + 1
			default: // on, sometimes with a gap
				at += 1 + uint64(random.IntN(8)/7*random.IntN(5))
				s = at
			}
			if got, want := r.Look(s) == Seen, set[s]; got != want {
				t.Fatalf("round %d: %d seen %v, want %v", round, s, got, want)
			}
			r.Put(s)
			set[s] = true
		}
		check(t, &r, set)
		data := r.Append(nil)
		back, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		check(t, &back, set)
		if !bytes.Equal(back.Append(nil), data) {
			t.Fatal("the encoding changed on its way")
		}
	}
}

func check(t *testing.T, r *Ranges, set twin) {
	t.Helper()
	highest := uint64(0)
	for s := range set {
		highest = max(highest, s)
	}
	if r.Count() != uint64(len(set)) || r.Highest() != highest || r.Gaps() != highest-uint64(len(set)) {
		t.Fatalf("count %d highest %d gaps %d, want %d, %d", r.Count(), r.Highest(), r.Gaps(), len(set), highest)
	}
	for s := uint64(1); s <= highest+2; s++ {
		if got := r.Look(s); (got == Seen) != set[s] || got == Maybe {
			t.Fatalf("%d: verdict %d, in the set %v", s, got, set[s])
		}
	}
}

// TestForgetting: what was put is never New again, what was not never Seen
// below the point of certainty, and counts stay exact.
func TestForgetting(t *testing.T) {
	var r Ranges
	const n = MaxRanges + 1000
	for i := uint64(1); i <= n; i++ {
		r.Put(3 * i)
	}
	if len(r.spans) != MaxRanges || r.Count() != n || r.Highest() != 3*n {
		t.Fatalf("%d spans, count %d, highest %d", len(r.spans), r.Count(), r.Highest())
	}
	for _, c := range []struct {
		sequence uint64
		want     Verdict
	}{{3, Maybe}, {4, Maybe}, {1, Maybe}, {3 * n, Seen}, {3*n - 1, New}, {3*n + 1, New}} {
		if got := r.Look(c.sequence); got != c.want {
			t.Errorf("%d: verdict %d, want %d", c.sequence, got, c.want)
		}
	}
	r.Put(4) // was looked for and not found
	if r.Count() != n+1 {
		t.Errorf("count %d after a late one", r.Count())
	}
	back, err := Parse(r.Append(nil))
	if err != nil || back.Count() != n+1 || back.Look(4) != Maybe || back.Look(3*n) != Seen {
		t.Errorf("encoding: %v, count %d", err, back.Count())
	}
}

func TestNextIsCheap(t *testing.T) {
	var r Ranges
	r.Put(1)
	next := uint64(2)
	if n := testing.AllocsPerRun(1000, func() {
		if r.Look(next) != New {
			t.Fatal("seen")
		}
		r.Put(next)
		next++
	}); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
}

func FuzzParse(f *testing.F) {
	var r Ranges
	for _, s := range []uint64{1, 2, 3, 7, 9, 1 << 40} {
		r.Put(s)
		f.Add(r.Append(nil))
	}
	f.Add([]byte{1, 5, 2, 1, 9})
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		back, err := Parse(r.Append(nil))
		if err != nil || back.Count() != r.Count() || back.Highest() != r.Highest() {
			t.Errorf("%x: %v, count %d became %d", data, err, r.Count(), back.Count())
		}
	})
}
