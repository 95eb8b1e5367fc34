// Command verify runs upstream's acceptance tests, suricata-verify, against a
// sensor: it prints how many pass by protocol, the reason of each failure, and
// how that compares with what Suricata 8.0.8 passes.
//
//	go run ./labs/verify -sensor bin/hauberk-sensor            all
//	go run ./labs/verify -sensor bin/hauberk-sensor -v smtp    those with smtp in the name, each told
//
// What a test is says spec.go, how it is run run.go, what it checks check.go.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	sensor  string
	data    string
	keep    string
	jobs    int
	timeout time.Duration
	table   string
	json    bool
	verbose bool
	words   []string
}

func main() {
	var o options
	flag.StringVar(&o.sensor, "sensor", "bin/hauberk-sensor", "the binary under test")
	flag.StringVar(&o.data, "data", dataDir(), "folder with suricata-verify and suricata-etc")
	flag.StringVar(&o.keep, "keep", "", "leave the output of each test in a folder below this one")
	flag.IntVar(&o.jobs, "j", runtime.NumCPU(), "tests that run at once")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "time for one run of the sensor")
	flag.StringVar(&o.table, "table", "", "also write the table to this file")
	flag.BoolVar(&o.json, "json", false, "print one JSON object per test and nothing else")
	flag.BoolVar(&o.verbose, "v", false, "tell each test, not only those that fail")
	flag.Parse()
	o.words = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := verify(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func dataDir() string {
	if d := os.Getenv("HAUBERK_DATA"); d != "" {
		return d
	}
	return "../shared/data"
}

func verify(ctx context.Context, o options, w io.Writer) error {
	root := filepath.Join(o.data, "suricata-verify")
	tests, err := find(filepath.Join(root, "tests"), o.words)
	if err != nil {
		return err
	}
	peer, err := passes(filepath.Join(root, "passes-8.0.8.txt"))
	if err != nil {
		return err
	}
	r, err := newRunner(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	results := runAll(ctx, r, tests, o.jobs)
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(w)
		for _, res := range results {
			if err := enc.Encode(res); err != nil {
				return err
			}
		}
		return nil
	}
	failures, table := report(results, peer, o.verbose)
	if o.table != "" {
		if err := os.WriteFile(o.table, []byte(title+table), 0o644); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, failures+"\n"+table)
	return err
}

const title = `# The sensor under upstream's acceptance tests

Made by ` + "`go run ./labs/verify -sensor bin/hauberk-sensor -table docs/perf/sensor-verify.md`" + ` from suricata-verify.

`

// runAll gives the results in the order of the tests.
func runAll(ctx context.Context, r *runner, tests []test, jobs int) []result {
	results := make([]result, len(tests))
	next := make(chan int)
	var wg sync.WaitGroup
	for range max(jobs, 1) {
		wg.Go(func() {
			for i := range next {
				results[i] = r.test(ctx, tests[i])
			}
		})
	}
	for i := range tests {
		next <- i
	}
	close(next)
	wg.Wait()
	return results
}

// passes reads the names of the tests that Suricata passes.
func passes(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := make(map[string]bool)
	for name := range strings.FieldsSeq(string(text)) {
		set[name] = true
	}
	return set, nil
}

// A tally counts the tests of a family that count: those Suricata passes.
type tally struct{ pass, of int }

// report gives a line per failure, and the table.
func report(results []result, peer map[string]bool, verbose bool) (failures, table string) {
	var b strings.Builder
	families := make(map[string]*tally)
	all, extra := tally{}, 0
	for _, res := range results {
		counts := peer[res.Name]
		if verbose || counts && res.Status != passed {
			fmt.Fprintf(&b, "%-7s %s %s\n", res.Status, res.Name, res.Reason)
		}
		if !counts {
			if res.Status == passed {
				extra++
			}
			continue
		}
		all.add(res)
		for _, f := range res.Families {
			if families[f] == nil {
				families[f] = &tally{}
			}
			families[f].add(res)
		}
	}
	names := make([]string, 0, len(families))
	for f := range families {
		names = append(names, f)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := families[b].of - families[a].of; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	failures = b.String()
	b.Reset()
	fmt.Fprintf(&b, "| family | passed | of Suricata's | share |\n|---|---|---|---|\n")
	for _, f := range names {
		families[f].line(&b, f)
	}
	all.line(&b, "all")
	fmt.Fprintf(&b, "\n%d more pass that Suricata 8.0.8 does not. A skipped test counts as failed; a test may be of two families.\n", extra)
	return failures, b.String()
}

func (t *tally) add(res result) {
	t.of++
	if res.Status == passed {
		t.pass++
	}
}

func (t *tally) line(b *strings.Builder, name string) {
	fmt.Fprintf(b, "| %s | %d | %d | %.0f %% |\n", name, t.pass, t.of, 100*float64(t.pass)/float64(max(t.of, 1)))
}
