// Command agentbench measures what the agent's collector costs and misses: storms of
// short processes with and without it, in pairs, beside the process connector
// and auditd on the same host. It needs root, builds the agent itself, and
// writes docs/perf/agent.json and agent.md.
//
//	go run ./labs/agentbench [-execs 50000] [-rounds 3]
//	go run ./labs/agentbench -quick     only the storms beside eBPF, writes nothing
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == stormCommand {
		if err := stormMain(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	execs := flag.Int("execs", 50000, "short processes per storm")
	rounds := flag.Int("rounds", 3, "pairs of storms with and without")
	agent := flag.String("agent", "", "hauberk-agent binary (default: built for the run)")
	out := flag.String("out", "docs/perf", "where to write agent.json and agent.md")
	quick := flag.Bool("quick", false, "only the storms beside eBPF; write nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *execs, *rounds, *quick, *agent, *out); err != nil {
		log.Fatal(err)
	}
}

// bench runs everything in a directory of its own.
func bench(ctx context.Context, execs, rounds int, quick bool, agent, out string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("agentbench loads programs into the kernel: run it as root")
	}
	dir, err := os.MkdirTemp("", "agentbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if agent == "" {
		agent = filepath.Join(dir, "hauberk-agent")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", agent, "./cmd/hauberk-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build the agent: %w", err)
		}
	}
	b := &benchmark{ctx: ctx, dir: dir, agent: agent, execs: execs, rounds: rounds}
	if b.storm, err = newStorm(dir); err != nil {
		return err
	}
	defer b.storm.close()
	b.wantArgs = strings.Join(b.storm.args(), "\x00") + "\x00"
	report := &perf.Report{Area: "agent", Command: "go run ./labs/agentbench"}
	if quick {
		if err := b.storms(report); err != nil {
			return err
		}
		return report.Write(os.Stdout, dir)
	}
	if err := b.run(report); err != nil {
		return err
	}
	return report.Write(os.Stdout, out)
}
