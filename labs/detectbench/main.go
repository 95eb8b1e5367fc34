// Command detectbench measures detection on this machine: CPU per event from
// the bytes of a bus record to the alerts, beside decoding alone; how fast an
// alert follows its event over the embedded broker; what the rules take in
// memory. It writes docs/perf/detect.{json,md}. Run it in the root of the
// repository.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/perf"
)

const lessons = `Events are the execs recorded on a build host (rules/testdata/benign.jsonl.gz), in batches of 200 as an agent sends them,
with full argv and ancestors. The figure is the CPU time of the whole process, garbage collection included, through the very
function that the bus calls: decode, match, judge, fold, encode. Publishing costs nothing here; the bus's own cost is in bus.md.
Rounds of all variants take turns, so that other load hits them alike, and the median counts. "Decoding alone" is
UnmarshalVTUnsafe of the same bytes: what any consumer of the bus pays first.

- Most of the time goes into decoding and into garbage: an event is some ten objects (process, ancestors, body). Strings and
  bytes borrow from the record, which halves it.
- Matching is the other half. All rules share one automaton per field, so SigmaHQ's rules, which more than double the number,
  do not double the cost of our own; but theirs for auditd look at every exec by its arguments. One regular expression whose
  only literal was "/" had cost a quarter of everything; our own rules have no such one any more, and a test refuses those without
  any literal.
- Latency is that of an idle bus: publish, fetch, judge, publish, fetch, with 2 ms of linger at each publisher. It was
  measured while other jobs used both cores.`

func main() {
	dir := flag.String("out", "docs/perf", "folder for detect.json and detect.md")
	rounds := flag.Int("rounds", 7, "rounds, whose median counts")
	samples := flag.Int("latency", 200, "alerts whose latency is measured")
	sigmaDir := flag.String("sigma", "../shared/data/sigma/linux", "SigmaHQ's Linux rules; absent: not measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, *dir, *sigmaDir, *rounds, *samples); err != nil {
		fmt.Fprintln(os.Stderr, "detectbench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, dir, sigmaDir string, rounds, samples int) error {
	report := &perf.Report{Area: "detect", Command: "go run ./labs/detectbench", Lessons: lessons}
	corpus, err := load("rules/testdata/benign.jsonl.gz")
	if err != nil {
		return err
	}
	if err := throughput(ctx, report, corpus, sigmaDir, rounds); err != nil {
		return fmt.Errorf("measure throughput: %w", err)
	}
	if err := latency(ctx, report, samples); err != nil {
		return fmt.Errorf("measure latency: %w", err)
	}
	return report.Write(os.Stdout, dir)
}

// variant is one way through the same bytes.
type variant struct {
	name string
	pass func(context.Context, []bus.Message) error
	ns   []float64 // CPU per event, one value a round
}

func throughput(ctx context.Context, report *perf.Report, corpus []*event.Event, sigmaDir string, rounds int) error {
	messages, events, err := batches(corpus, 100)
	if err != nil {
		return err
	}
	variants := []*variant{{name: "decoding alone", pass: decode}}
	before := heap()
	own, stop, err := open(ctx, detect.Rules{Embedded: true})
	if err != nil {
		return err
	}
	defer stop()
	memory := float64(heap()-before) / (1 << 20)
	variants = append(variants, &variant{name: "own rules", pass: own.handle})
	if _, err := os.Stat(sigmaDir); err == nil {
		abs, err := absolute(sigmaDir)
		if err != nil {
			return err
		}
		both, stop, err := open(ctx, detect.Rules{Embedded: true, Dirs: []string{abs}})
		if err != nil {
			return err
		}
		defer stop()
		variants = append(variants, &variant{name: "own and SigmaHQ's rules", pass: both.handle})
	}
	for range rounds {
		for _, v := range variants {
			runtime.GC()
			began := cpu()
			if err := v.pass(ctx, messages); err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			v.ns = append(v.ns, float64(cpu()-began)/float64(events))
		}
	}
	floor := perf.Median(variants[0].ns) / 1000
	for i, v := range variants[1:] {
		us, most := perf.Median(v.ns)/1000, float64(5*(i+1))
		report.Add(perf.Figure{Name: "CPU per event, record to alert, " + v.name, Value: us, Unit: "us", Peer: variants[0].name, PeerValue: floor,
			Target: fmt.Sprintf("<= %g, of the pipeline's 25", most), Reached: us <= most})
		report.Add(perf.Figure{Name: "events/s per core, " + v.name, Value: 1e6 / us, Unit: "events/s", Target: fmt.Sprintf(">= %.0f", 1e6/most), Reached: us <= most})
	}
	report.Add(perf.Figure{Name: "memory of the own rules, compiled, with one scratch per core", Value: memory, Unit: "MB", Target: "<= 8", Reached: memory <= 8})
	return nil
}

func decode(_ context.Context, messages []bus.Message) error {
	for _, m := range messages {
		var b event.Batch
		if err := b.UnmarshalVTUnsafe(m.Value); err != nil {
			return err
		}
	}
	return nil
}

// cpu is the CPU time of the process.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
