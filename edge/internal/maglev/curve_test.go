package maglev

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/perf"
)

var publish = flag.String("publish", "", "write the figures into this folder (docs/perf)")

// classic is Maglev's own fill (NSDI 2016, section 3.4), to compare with.
func classic(size int, backends []Backend) []uint32 {
	offset, skip := make([]int, len(backends)), make([]int, len(backends))
	for i, b := range backends {
		h := fnv.New128a()
		h.Write([]byte(b.Key)) // never fails
		sum := h.Sum(nil)
		var one, two uint64
		for j := range 8 {
			one, two = one<<8|uint64(sum[j]), two<<8|uint64(sum[8+j])
		}
		offset[i], skip[i] = int(one%uint64(size)), int(two%uint64(size-1))+1
	}
	table := make([]uint32, size)
	taken := make([]bool, size)
	for n := 0; ; {
		for i, b := range backends {
			for taken[offset[i]] {
				offset[i] = (offset[i] + skip[i]) % size
			}
			taken[offset[i]], table[offset[i]] = true, b.Index
			if n++; n == size {
				return table
			}
		}
	}
}

// moves is how much of a table moves when one of the backends leaves, beside
// what the leaver had: the mean over several leavers.
func moves(backends []Backend, fill func([]Backend) []uint32) float64 {
	before := fill(backends)
	var moved, had int
	for i := 0; i < len(backends); i += max(1, len(backends)/5) {
		after := fill(slices.Delete(slices.Clone(backends), i, i+1))
		for e := range before {
			if before[e] == backends[i].Index {
				had++
			}
			if before[e] != after[e] {
				moved++
			}
		}
	}
	return float64(moved) / float64(had)
}

// TestCurve holds what docs/perf/edge-maglev.md publishes, and writes it with
//
//	go test ./edge/internal/maglev -run TestCurve -publish $PWD/docs/perf
func TestCurve(t *testing.T) {
	sizes := []int{10, 100}
	if *publish != "" {
		sizes = []int{2, 5, 10, 20, 50, 100, 200, 500, 1000}
	}
	report := perf.Report{Area: "edge-maglev", Command: "go test ./edge/internal/maglev -run TestCurve -publish $PWD/docs/perf"}
	var curve strings.Builder
	curve.WriteString("| backends | entries | fullest / mean | moved / ideal | Maglev's own fill, 65,537 entries: fullest / mean | moved / ideal |\n|---|---|---|---|---|---|\n")
	for _, n := range sizes {
		backends := some(n)
		size := Size(n)
		ours := func(b []Backend) []uint32 { return fill(t, size, b) }
		moved, even := moves(backends, ours), Imbalance(ours(backends), backends)
		if moved != 1 {
			t.Errorf("%d backends: %.3f of the ideal moves, want exactly 1", n, moved)
		}
		if *publish == "" {
			continue
		}
		theirs := func(b []Backend) []uint32 { return classic(65537, b) }
		peerMoved, peerEven := moves(backends, theirs), Imbalance(theirs(backends), backends)
		fmt.Fprintf(&curve, "| %d | %d | %.3f | %.2f | %.3f | %.2f |\n", n, size, even, moved, peerEven, peerMoved)
		bound := map[int]float64{10: 1.05, 100: 1.15, 1000: 1.15}[n]
		if bound == 0 {
			continue
		}
		const peer = "Maglev's own fill, 65,537 entries"
		report.Add(perf.Figure{Name: fmt.Sprintf("share moved beside the ideal when one of %d leaves", n), Value: moved, Unit: "", Peer: peer, PeerValue: peerMoved, Target: "at most 1.1", Reached: moved <= 1.1})
		report.Add(perf.Figure{Name: fmt.Sprintf("fullest of %d backends beside the mean", n), Value: even, Unit: "", Peer: peer, PeerValue: peerEven, Target: fmt.Sprintf("at most %.2f", bound), Reached: even <= bound})
	}
	if *publish == "" {
		return
	}
	report.Lessons = `- Who owns an entry depends on each backend alone (the first to visit it), so the share that moves is the ideal at every size, and a
  weight that grows only wins entries. Maglev's fill lets one leaver push the others along.
- The price is that shares are not exact: with m entries a backend they scatter by about sqrt(m/2). The table grows with the backends
  (1,000 entries each, in powers of two), which keeps the fullest of 1,000 near 1.09. A backend that
  makes the table grow (the 17th, 33rd, 66th, ...) moves most choices of new flows once; sessions stay where they are.
- Backends that are down count for the size, so a table never changes its size, and with it every choice, because of health.

` + curve.String()
	if err := report.Write(os.Stdout, filepath.Clean(*publish)); err != nil {
		t.Fatal(err)
	}
}
