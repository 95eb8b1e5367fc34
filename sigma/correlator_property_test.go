package sigma_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hauberk/hauberk/sigma"
)

// past is one match in the history that the naive correlation keeps whole.
type past struct {
	sec, n int
	letter string
}

// naiveCorrelations judge all matches of a group since its last hit, anew at
// each match.
var naiveCorrelations = []struct {
	rule  string
	holds func(window []past) bool
}{
	{"type: event_count\nrules: [A, B]\ngroup-by: [user]\ntimespan: 10s\ncondition: {gte: 4}", func(w []past) bool {
		n := 0
		for _, p := range w {
			if p.letter != "C" {
				n++
			}
		}
		return n >= 4
	}},
	{"type: value_count\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s\ncondition: {field: n, gt: 2}", func(w []past) bool {
		seen := map[int]bool{}
		for _, p := range w {
			seen[p.n] = true
		}
		return len(seen) > 2
	}},
	{"type: value_sum\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s\ncondition: {field: n, gte: 9}", func(w []past) bool {
		sum := 0
		for _, p := range w {
			sum += p.n
		}
		return sum >= 9
	}},
	{"type: temporal\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s", func(w []past) bool {
		seen := map[string]bool{}
		for _, p := range w {
			seen[p.letter] = true
		}
		return len(seen) == 3
	}},
	{"type: temporal\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s\ncondition: C and (A or B)", func(w []past) bool {
		seen := map[string]bool{}
		for _, p := range w {
			seen[p.letter] = true
		}
		return seen["C"] && (seen["A"] || seen["B"])
	}},
	{"type: temporal_ordered\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s", func(w []past) bool {
		for i, a := range w {
			for j := i + 1; j < len(w) && a.letter == "A"; j++ {
				for k := j + 1; k < len(w) && w[j].letter == "B"; k++ {
					if w[k].letter == "C" {
						return true
					}
				}
			}
		}
		return false
	}},
}

// TestCorrelatorEqualsNaive: on random scripts in order of time, what is
// judged at each match agrees with a history that is kept whole.
func TestCorrelatorEqualsNaive(t *testing.T) {
	for i, c := range naiveCorrelations {
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		r := newRun(t, correlationRule("X", c.rule), sigma.Limits{})
		history := map[string][]past{}
		hits := 0
		for sec, step := 0, 0; step < 4000; step++ {
			sec += rng.IntN(4)
			p := past{sec, rng.IntN(4), string("ABC"[rng.IntN(3)])}
			user := []string{"bob", "eve"}[rng.IntN(2)]
			if rng.IntN(8) == 0 {
				r.corr.Advance(at(sec))
			}
			r.n = step % 26
			got := r.step(fmt.Sprintf("%d %s %s %d", p.sec, p.letter, user, p.n))
			var window []past
			for _, h := range append(history[user], p) {
				if h.sec >= sec-10 {
					window = append(window, h)
				}
			}
			history[user] = window
			counts := i != 0 || p.letter != "C" // a match of no member judges nothing
			want := counts && c.holds(window)
			if (len(got) == 1) != want {
				t.Fatalf("%s\nstep %d: hits %v, naive %v for %v", c.rule, step, got, want, window)
			}
			if want {
				history[user] = nil
				hits++
			}
		}
		if hits < 20 {
			t.Errorf("only %d hits: %s", hits, c.rule)
		}
	}
}
