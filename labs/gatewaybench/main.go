// Command gatewaybench measures the gateway as `hauberk up` runs it: real
// control plane, embedded etcd and embedded broker, each side a process of
// its own. It plays the nodes itself.
//
//	go run ./labs/gatewaybench -nodes 19000
//
// It measures what an idle mutually authenticated connection costs the
// gateway in memory, a command with its acknowledgement (to the bus) in CPU,
// how long it takes to stop the whole fleet, and the gateway's share of the
// CPU of an event. The floor beside memory and handshakes is a process that
// holds bare TLS connections, one goroutine each.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	nodes := flag.Int("nodes", 19000, "connections; at most 19,000 with 20,000 file descriptors")
	rounds := flag.Int("rounds", 5, "commands, and stops, sent to every node; medians count")
	events := flag.Int("events", 400_000, "events sent through the gateway")
	out := flag.String("out", "docs/perf", "where the figures go")
	role := flag.String("role", "", "internal: be the engines, the gateway or the floor")
	dir := flag.String("dir", "", "internal: folder of the engines")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return bench(ctx, *nodes, *rounds, *events, *out) }
	if *role != "" {
		run = func() error { return child(ctx, *role, *dir) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gatewaybench:", err)
		os.Exit(1)
	}
}

// platform is the processes under measurement and our connections to them.
type platform struct {
	engines, gateway *process
	admin            *control.Admin
	bus              *bus.Client
	acks             *acks
}

func bench(ctx context.Context, nodes, rounds, events int, out string) error {
	dir, err := os.MkdirTemp("", "gatewaybench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	report := &perf.Report{Area: "gateway", Command: fmt.Sprintf("go run ./labs/gatewaybench -nodes %d", nodes)}
	floor, err := measureFloor(dir, nodes)
	if err != nil {
		return fmt.Errorf("measure the floor: %w", err)
	}
	p, err := startPlatform(ctx, dir)
	if err != nil {
		return fmt.Errorf("start the platform: %w", err)
	}
	defer p.end()
	crowd, err := measureIdle(ctx, report, p, nodes, floor)
	if err != nil {
		return fmt.Errorf("measure idle connections: %w", err)
	}
	defer crowd.close()
	if err := measureOrders(ctx, report, p, crowd, rounds); err != nil {
		return fmt.Errorf("measure orders: %w", err)
	}
	if err := measureEvents(report, p, crowd, events); err != nil {
		return fmt.Errorf("measure events: %w", err)
	}
	return report.Write(os.Stdout, out)
}

func startPlatform(ctx context.Context, dir string) (*platform, error) {
	p := &platform{}
	var err error
	if p.engines, err = start("engines", dir); err != nil {
		return nil, err
	}
	if p.gateway, err = start("gateway", dir); err != nil {
		p.end()
		return nil, err
	}
	if p.admin, err = control.OpenAdmin(ctx, gatewayConfig(dir), control.AdminDeps{}); err != nil {
		p.end()
		return nil, err
	}
	if p.bus, err = bus.Open(ctx, busConfig(dir), slog.New(slog.DiscardHandler), nil); err != nil {
		p.end()
		return nil, err
	}
	p.acks = count(ctx, p.bus)
	return p, nil
}

func (p *platform) end() {
	if p.acks != nil {
		p.acks.stop()
	}
	if p.bus != nil {
		p.bus.Close()
	}
	if p.admin != nil {
		p.admin.Close()
	}
	for _, c := range []*process{p.gateway, p.engines} {
		if c != nil {
			c.end()
		}
	}
}

// floor is what bare TLS costs.
type floor struct{ kb, handshake float64 }

func measureFloor(dir string, nodes int) (floor, error) {
	g, err := start("floor", dir)
	if err != nil {
		return floor{}, err
	}
	defer g.end()
	before, err := g.memory()
	if err != nil {
		return floor{}, err
	}
	crowd, err := connectBare(g.address, nodes)
	if err != nil {
		return floor{}, err
	}
	defer crowd.close()
	after, err := g.memory()
	if err != nil {
		return floor{}, err
	}
	return floor{(after.AnonKB - before.AnonKB) / float64(nodes), (after.CPU - before.CPU) * 1e6 / float64(nodes)}, nil
}

func measureIdle(ctx context.Context, report *perf.Report, p *platform, nodes int, f floor) (*crowd, error) {
	token, _, err := p.admin.CreateToken(ctx, control.TokenSpec{
		Tenant: "bench", Uses: control.TokenUnlimited, Labels: map[string]string{"role": "web", "room": "f2", "env": "prod"},
	})
	if err != nil {
		return nil, err
	}
	start, err := p.gateway.memory()
	if err != nil {
		return nil, err
	}
	crowd, err := enrolAll(ctx, p.gateway.address, token, nodes)
	if err != nil {
		return nil, err
	}
	before, err := p.gateway.memory()
	if err != nil {
		return nil, err
	}
	if err := crowd.connect(p.gateway.address); err != nil {
		return nil, err
	}
	if err := p.acks.online(nodes); err != nil {
		return nil, err
	}
	after, err := p.gateway.memory()
	if err != nil {
		return nil, err
	}
	kb := (after.AnonKB - before.AnonKB) / float64(nodes)
	report.Add(perf.Figure{
		Name: "gateway's memory per idle mTLS connection", Value: kb, Unit: "KB", Peer: "bare TLS, one goroutine", PeerValue: f.kb,
		Target: "20 KB", Reached: kb <= 20, Note: fmt.Sprintf("%d enrolled nodes, anonymous resident memory after a collection", nodes),
	})
	report.Add(perf.Figure{
		Name: "gateway's CPU per node that connects", Value: (after.CPU - before.CPU) * 1e6 / float64(nodes), Unit: "us", Peer: "bare TLS handshake", PeerValue: f.handshake,
		Target: "none", Reached: true, Note: "handshake, enrolment read from etcd, presence to the bus",
	})
	report.Add(perf.Figure{
		Name: "gateway's CPU per node that enrols", Value: (before.CPU - start.CPU) * 1e6 / float64(nodes), Unit: "us", Peer: "bare TLS handshake", PeerValue: f.handshake,
		Target: "none", Reached: true, Note: "handshake, certificate, transaction in etcd",
	})
	return crowd, nil
}

func measureOrders(ctx context.Context, report *perf.Report, p *platform, crowd *crowd, rounds int) error {
	n := float64(len(crowd.nodes))
	var commands, commandSeconds, stops, stopSeconds []float64
	for round := range rounds {
		m, err := p.order(len(crowd.nodes), func() (string, error) {
			c, err := p.admin.SendCommand(ctx, control.CommandSpec{Selector: "role=web", Name: "ping", Author: "bench"})
			return c.GetId(), err
		})
		if err != nil {
			return err
		}
		commands, commandSeconds = append(commands, m.CPU*1e6/n), append(commandSeconds, m.Seconds)
		m, err = p.order(len(crowd.nodes), func() (string, error) {
			mode, err := p.admin.SetMode(ctx, &fleet.Mode{Selector: "all", Stopped: round%2 == 0, Author: "bench"})
			return epochName(mode.GetEpoch()), err
		})
		if err != nil {
			return err
		}
		stops, stopSeconds = append(stops, m.CPU*1e6/n), append(stopSeconds, m.Seconds)
	}
	what := fmt.Sprintf("median of %d rounds to %d nodes", rounds, len(crowd.nodes))
	cpu := perf.Median(commands)
	report.Add(perf.Figure{
		Name: "gateway's CPU per command and acknowledgement", Value: cpu, Unit: "us",
		Target: "30 us", Reached: cpu <= 30, Note: what + ", selector evaluated, result on the bus",
	})
	seconds := perf.Median(stopSeconds)
	report.Add(perf.Figure{
		Name: "whole fleet stopped or resumed, from the operator's call to the last acknowledgement read from the bus", Value: seconds, Unit: "s",
		Target: "1.5 s", Reached: seconds <= 1.5, Note: what + "; the nodes are played on the same cores and do not verify the signature",
	})
	report.Add(perf.Figure{
		Name: "gateway's CPU per stop and acknowledgement", Value: perf.Median(stops), Unit: "us", Target: "none", Reached: true, Note: what + ", presence on the bus",
	})
	report.Add(perf.Figure{
		Name: "one command to all nodes, last result read from the bus", Value: perf.Median(commandSeconds), Unit: "s", Target: "none", Reached: true, Note: what,
	})
	return nil
}

// order gives an order and waits for all acknowledgements on the bus.
func (p *platform) order(nodes int, give func() (string, error)) (measure, error) {
	before, err := p.gateway.cpu()
	if err != nil {
		return measure{}, err
	}
	began := time.Now()
	name, err := give()
	if err != nil {
		return measure{}, err
	}
	if err := p.acks.wait(name, nodes); err != nil {
		return measure{}, err
	}
	took := time.Since(began).Seconds()
	after, err := p.gateway.cpu()
	return measure{CPU: after - before, Seconds: took}, err
}

func measureEvents(report *perf.Report, p *platform, crowd *crowd, events int) error {
	before, err := p.gateway.cpu()
	if err != nil {
		return err
	}
	sent, err := crowd.send(events)
	if err != nil {
		return err
	}
	after, err := p.gateway.cpu()
	if err != nil {
		return err
	}
	report.Add(perf.Figure{
		Name: "gateway's CPU per event, from its socket to the bus's acknowledgement", Value: (after - before) * 1e6 / float64(sent), Unit: "us",
		Target: "none", Reached: true, Note: fmt.Sprintf("%d exec events in batches of %d; part of the pipeline's 25 us", sent, batchEvents),
	})
	return nil
}

func gatewayConfig(dir string) control.Config {
	c := control.DefaultConfig()
	c.Etcd.Endpoints = []string{"unix:" + filepath.Join(dir, "etcd.sock")}
	c.SealingKey = filepath.Join(dir, "sealing.key")
	c.Listen = "127.0.0.1:0"
	c.Heartbeat = 5 * time.Minute // idle means idle
	c.Handshakes = 1_000_000      // the storm is what we measure
	return c
}

func busConfig(dir string) bus.Config {
	c := bus.DefaultConfig()
	c.Brokers = []string{"unix:" + filepath.Join(dir, "bus.sock")}
	return c
}
