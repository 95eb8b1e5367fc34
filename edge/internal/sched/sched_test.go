package sched

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/edge/internal/maglev"
)

func backends(weights ...uint32) []Backend {
	out := make([]Backend, len(weights))
	for i, w := range weights {
		out[i].Backend = maglev.Backend{Key: fmt.Sprintf("10.0.0.%d:80", i+1), Index: uint32(i + 1), Weight: w}
	}
	return out
}

func table(t *testing.T, kind Kind, b []Backend, seed uint64, flows int) []uint32 {
	t.Helper()
	out, err := Table(kind, b, seed, flows)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func count(table []uint32) map[uint32]int {
	out := map[uint32]int{}
	for _, index := range table {
		out[index]++
	}
	return out
}

func TestRoundRobinStartsAnywhere(t *testing.T) {
	first := map[uint32]bool{}
	for seed := range uint64(64) {
		got := table(t, RoundRobin, backends(5, 0, 1, 9), seed, 0)
		first[got[0]] = true
		slices.Sort(got)
		if !slices.Equal(got, []uint32{1, 3, 4}) {
			t.Fatalf("each backend with a weight once, whatever it is: %v", got)
		}
	}
	if len(first) != 3 {
		t.Errorf("64 balancers begin with %v only", first)
	}
}

func TestWeightedRoundRobin(t *testing.T) {
	got := table(t, WeightedRoundRobin, backends(50, 10, 20, 0), 7, 0)
	if want := map[uint32]int{1: 5, 2: 1, 3: 2}; len(got) != 8 || fmt.Sprint(count(got)) != fmt.Sprint(want) {
		t.Fatalf("%v has %v, want %v", got, count(got), want)
	}
	run := 1
	for i := 1; i < 2*len(got); i++ {
		if run++; got[i%len(got)] != got[(i-1)%len(got)] {
			run = 1
		}
		if run > 3 {
			t.Fatalf("%v sends %d in a row to one backend", got, run)
		}
	}
	odd := table(t, WeightedRoundRobin, backends(4096, 4095, 1), 7, 0)
	if n := count(odd); math.Abs(float64(n[1]-n[2])) > 1 || len(odd) != Entries(WeightedRoundRobin, 3) {
		t.Errorf("shares that need a long table: %v of %d", n, len(odd))
	}
}

// TestWeightedLeastLevels pours flows and looks where sessions per weight end.
func TestWeightedLeastLevels(t *testing.T) {
	b := backends(1, 1, 2, 1)
	b[0].Sessions, b[1].Sessions, b[2].Sessions, b[3].Sessions = 100, 0, 60, 1000
	const flows = 200
	got := count(table(t, WeightedLeast, b, 3, flows))
	var total int
	for _, n := range got {
		total += n
	}
	// 100+0+60+200 over weight 4 is a level of 90: the first has more, so it gets
	// none and (60+200)/3 is the level of the other two.
	if got[1] != 0 || got[4] != 0 {
		t.Fatalf("those with more than their share get entries: %v", got)
	}
	if share := float64(got[2]) / float64(total); math.Abs(share-260.0/3/flows) > 0.01 {
		t.Errorf("the empty one gets %.3f of the flows, want %.3f", share, 260.0/3/flows)
	}
	even := count(table(t, WeightedLeast, backends(1, 3), 3, 0))
	if even[2] != 3*even[1] {
		t.Errorf("without sessions it is wrr, not %v", even)
	}
}

func TestHashTablesKeepTheirSize(t *testing.T) {
	for _, kind := range []Kind{Source, Maglev} {
		all := table(t, kind, backends(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 1, 0)
		fewer := table(t, kind, backends(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), 99, 0)
		if len(all) != len(fewer) || len(all) != Entries(kind, 17) {
			t.Fatalf("%s: %d entries become %d when backends are down", kind, len(all), len(fewer))
		}
		for i := range all {
			if all[i] <= 8 && all[i] != fewer[i] {
				t.Fatalf("%s: entry %d moved although its backend is up", kind, i)
			}
		}
	}
}

func TestNobody(t *testing.T) {
	for kind := range names {
		if got := table(t, kind, backends(0, 0), 1, 5); len(got) != 0 {
			t.Errorf("%s: %v", kind, got)
		}
	}
	if _, err := Table(0, backends(1), 1, 1); err == nil {
		t.Error("a scheduler that is none")
	}
}

func TestNames(t *testing.T) {
	for kind, name := range names {
		var got Kind
		if err := got.UnmarshalText([]byte(name)); err != nil || got != kind {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	var k Kind
	if k.UnmarshalText([]byte("maglev")) != nil || k != Maglev || k.UnmarshalText([]byte("fo")) == nil {
		t.Error("maglev is a name, fo is none")
	}
}
