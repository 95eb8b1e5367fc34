// Command crashbench kills the processes of a running platform at random
// under load, then counts what was lost or doubled, and writes
// docs/perf/crash.{json,md}. As root it kills the agent and its collector too.
//
//	go run ./labs/crashbench -rounds 200 -seed 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/labs/crash"
	"github.com/hauberk/hauberk/labs/loop"
)

func main() {
	o := crash.Options{Agent: os.Geteuid() == 0, Log: os.Stderr}
	flag.IntVar(&o.Rounds, "rounds", 200, "kills")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the choice of victims and pauses")
	flag.IntVar(&o.Rate, "rate", 1000, "events/s of the load")
	out := flag.String("out", "docs/perf", "where to write the figures, empty for nowhere")
	keep := flag.String("data", "", "data directory to keep (default: a temporary one); its path must be short")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, o, *out, *keep); err != nil {
		log.Fatal("crashbench: ", err)
	}
}

func measure(ctx context.Context, o crash.Options, out, data string) error {
	work, err := os.MkdirTemp("", "hbk")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binaries, err := loop.Build(ctx, work)
	if err != nil {
		return err
	}
	if data == "" {
		data = work + "/d"
	}
	r, err := crash.Run(ctx, binaries, data, o)
	if err != nil {
		return err
	}
	fmt.Printf("%+v\n", r)
	if out == "" {
		if !r.Lossless() {
			return errors.New("something acknowledged was lost or doubled")
		}
		return nil
	}
	report := perf.Report{Area: "crash", Command: fmt.Sprintf("go run ./labs/crashbench -rounds %d -seed %d -rate %d", o.Rounds, o.Seed, o.Rate)}
	var kills []string
	for name, n := range r.Kills {
		kills = append(kills, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(kills)
	report.Add(perf.Figure{Name: "kill -9 under load: " + strings.Join(kills, ", "), Value: float64(o.Rounds), Unit: "rounds", Target: "200", Reached: o.Rounds >= 200})
	zero := func(name string, n uint64) {
		report.Add(perf.Figure{Name: name, Value: float64(n), Unit: "", Target: "0", Reached: n == 0})
	}
	zero(fmt.Sprintf("acknowledged events missing in the store (of %d)", r.Acked), r.Missing)
	zero("events stored twice", r.Twice)
	zero(fmt.Sprintf("alerts missing (of %d that acknowledged events had to become)", r.Alerts), r.AlertsMissing)
	zero("alerts there twice", r.AlertsTwice)
	if o.Agent {
		zero("events of the real agent stored twice", r.AgentTwice)
	}
	return report.Write(os.Stdout, out)
}
