package main

import (
	"fmt"
	"math"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/internal/perf"
)

// report compares the two, first whether the comparison counts. share is the
// size of the small mix in the large.
func report(r *perf.Report, ours, theirs *sensor, share float64, sums []string) {
	packets := ours.seen.counter("decoder.pkts")
	same := packets == theirs.seen.counter("decoder.pkts")
	apart := differences(ours.seen, theirs.seen)
	forward, back := agreement(theirs.seen, ours.seen), agreement(ours.seen, theirs.seen)
	valid := same && len(apart) == 0 && math.Min(forward, back) >= 0.995
	r.Add(perf.Figure{Name: "valid: same packets", Value: packets, Unit: "packets", Peer: theirs.name, PeerValue: theirs.seen.counter("decoder.pkts"), Target: "equal", Reached: same})
	r.Add(perf.Figure{Name: "valid: event types more than 1 % apart", Value: float64(len(apart)), Target: "0", Reached: len(apart) == 0, Note: strings.Join(apart, ", ")})
	r.Add(perf.Figure{Name: "valid: the reference's alerts (sid, flow) that ours has", Value: 100 * forward, Unit: "%", Target: ">= 99.5", Reached: forward >= 0.995, Note: "most missing: " + strings.Join(missingSIDs(theirs.seen, ours.seen), ", ")})
	r.Add(perf.Figure{Name: "valid: our alerts that the reference has", Value: 100 * back, Unit: "%", Target: ">= 99.5", Reached: back >= 0.995, Note: "most surplus: " + strings.Join(missingSIDs(ours.seen, theirs.seen), ", ")})
	note := "input: " + strings.Join(sums, "; ")
	if !valid {
		note = "the checks above fail, so this run does not count yet; " + note
	}
	speed := theirs.slope() / ours.slope()
	r.Add(perf.Figure{Name: "CPU of the large mix less the small", Value: ours.slope(), Unit: "s", Peer: theirs.name, PeerValue: theirs.slope(), Target: "<= 1/3.4, goal 1/4", Reached: valid && speed >= 3.4, Note: fmt.Sprintf("1/%.2f; %s", speed, note)})
	peak, flows := median(ours.large, peakOf), ours.seen.counter("flow.total")
	r.Add(perf.Figure{Name: "peak memory on the large mix", Value: peak, Unit: "MB", Peer: theirs.name, PeerValue: median(theirs.large, peakOf), Target: "<= 200", Reached: peak <= 200, Note: fmt.Sprintf("%.0f flows in all", flows)})
	load := median(ours.empty, cpuOf)
	r.Add(perf.Figure{Name: "loading all rules, with start and end", Value: load, Unit: "s CPU", Peer: theirs.name, PeerValue: median(theirs.empty, cpuOf), Target: "<= 1/10", Reached: load <= median(theirs.empty, cpuOf)/10})
	event := ours.perEvent(share)
	r.Add(perf.Figure{Name: "one EVE event", Value: event, Unit: "us", Peer: theirs.name, PeerValue: theirs.perEvent(share), Target: "< 1", Reached: event > 0 && event < 1, Note: "a difference of two runs: below 0 is noise"})
}

// flowTable adds the figures of the benchmark in sensor/internal/flow.
func flowTable(r *perf.Report) error {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", "DecodeAndFlow", "-benchmem", "-count", "5", "./sensor/internal/flow").CombinedOutput()
	if err != nil {
		return fmt.Errorf("run the flow table's benchmark: %w\n%s", err, out)
	}
	var rates, allocs []float64
	for _, m := range regexp.MustCompile(`(?m)^BenchmarkDecodeAndFlow\S*\s+\d+\s+([\d.]+) ns/op.*?(\d+) allocs/op`).FindAllStringSubmatch(string(out), -1) {
		ns, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		rates, allocs = append(rates, 1e3/ns), append(allocs, n)
	}
	rate, alloc := perf.Median(rates), perf.Median(allocs)
	r.Add(perf.Figure{Name: "decode and flow table, 200,000 flows in random order", Value: rate, Unit: "Mpps", Target: ">= 10", Reached: rate >= 10})
	r.Add(perf.Figure{Name: "allocations per packet there", Value: alloc, Target: "0", Reached: alloc == 0})
	return nil
}

const lessons = `
Both sensors read the same mix with labs/sensorbench/suricata.yaml; what ours lacks is off in the reference. CPU is that of a control
group, memory the largest resident set, and the slope between two sizes leaves loading out. The first four lines say whether the
comparison counts; while one of them says no, the ratio is a hint only. Flows are compared by their ends.

- Loading is far below the reference's: nothing is compiled to automata, and rules that come again are neither parsed nor compiled
  (BenchmarkReload in sensor/).
- What halved the CPU of the first version: texts of one to three bytes, which have matches everywhere, are searched for only at the
  ports and protocols of their rules, or a longer text of the same buffer in their place; buffers that a rule transforms (dotprefix in
  one in three rules on names) have a search too, instead of being tried one by one; streams and growing buffers are searched once.
- What is left: about a third is the search of payloads, a sixth the collector, the rest is spread over misses of the caches. A
  segment in order is searched twice, on arrival for rules on packets and when acknowledged for rules on streams; the two could share
  one search. Rules are 110 MB of pointers, which every collection walks: its cost, and half of the memory, are theirs.
- Memory peaked at the end at first: all flows that end at once were written to one buffer. A flood of SYN showed it.
- One thread reads and judges: flows are not yet dealt to several.
- The flow table misses the cache four times a packet with 200,000 flows in random order: bucket, record (two lines), decoded packet.
  Tags in the buckets and a record of two lines would be next.
`
