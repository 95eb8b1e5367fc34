// Command busbench measures the bus on this machine: CPU per 300-byte message
// published and consumed through the embedded broker, beside writing and
// reading the same messages as length-prefixed records of a file in the same
// run; latency of a hop; and what the broker costs when idle and on opening.
// It writes docs/perf/bus.{json,md}.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	out := flag.String("out", "docs/perf", "folder for bus.json and bus.md")
	messages := flag.Int("messages", 300_000, "messages of a throughput round")
	rounds := flag.Int("rounds", 5, "rounds, whose median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch role := os.Getenv(roleVariable); role {
	case "":
		err = bench(ctx, *out, *messages, *rounds)
	default:
		err = child(ctx, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "busbench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, out string, messages, rounds int) error {
	dir, err := os.MkdirTemp("", "busbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	report := &perf.Report{Area: "bus", Command: "go run ./labs/busbench", Lessons: lessons}
	// First, because writing back what throughput leaves disturbs it.
	if err := latency(ctx, report, dir); err != nil {
		return fmt.Errorf("measure latency: %w", err)
	}
	for _, sync := range []bool{false, true} {
		if err := throughput(ctx, report, dir, sync, messages, rounds); err != nil {
			return fmt.Errorf("measure throughput: %w", err)
		}
	}
	if err := idle(ctx, report, dir); err != nil {
		return fmt.Errorf("measure the idle broker: %w", err)
	}
	return report.Write(os.Stdout, out)
}

const lessons = `
- On the events topic a message is a whole link batch, so the cost of a message is shared by its events.
- The floor has no index, no checksum, no network and no second process; what the bus adds to it is compression (Snappy halves the log at
  about the CPU that the smaller write saves; zstd costs twice the whole publish), two copies through a socket, checksums and the client's bookkeeping.
- fsync before every acknowledgement costs little CPU but a disk's latency for each batch, on the broker's one goroutine.
- A hop is the linger plus about half a millisecond: a long poll answers at the first byte.
  Measured right after the fsync rounds, while the kernel wrote back, its p99 once was 332 ms: the broker's one goroutine waits for the disk.
- A fetch that waits holds up the next one on its connection, so its wait (500 ms), not the poll's cost, bounds the pause after a rebalance.
- Opening after a kill -9 reads the log into memory once; the peak is about 1.5 times the log, which is why retention is capped.
`

// embedded runs a broker in this process; stop ends it and waits.
func embedded(ctx context.Context, dir string, sync bool) (*bus.Client, func(), error) {
	config := brokerConfig(dir)
	config.Sync = sync
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- broker.Run(ctx, config, broker.Deps{Ready: func() { close(ready) }}) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return nil, nil, err
	}
	client, err := connect(ctx, config.Socket)
	if err != nil {
		cancel()
		<-ended
		return nil, nil, err
	}
	return client, func() {
		client.Close()
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "busbench: broker:", err)
		}
	}, nil
}

func brokerConfig(dir string) broker.Config {
	config := broker.DefaultConfig()
	config.Dir, config.Socket = filepath.Join(dir, "log"), filepath.Join(dir, "bus.sock")
	return config
}

func connect(ctx context.Context, socket string) (*bus.Client, error) {
	config := bus.DefaultConfig()
	config.Brokers = []string{"unix:" + socket}
	return bus.Open(ctx, config, nil, nil)
}
