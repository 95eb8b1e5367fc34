package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/internal/run"
)

const roleVariable = "HAUBERK_BUSBENCH_ROLE"

// child runs as a process of its own until its stdin ends: "bare" is an empty
// Go program, anything else the JSON of a broker's config.
func child(ctx context.Context, role string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		cancel()
	}()
	if role == "bare" {
		fmt.Println("ready")
		<-ctx.Done()
		return nil
	}
	var config broker.Config
	if err := json.Unmarshal([]byte(role), &config); err != nil {
		return err
	}
	return broker.Run(ctx, config, broker.Deps{Ready: func() { fmt.Println("ready") }})
}

// process is a child.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	opened  time.Duration // from start to "ready"
}

func spawn(role string) (*process, error) {
	p := &process{command: exec.Command("/proc/self/exe")}
	p.command.Env = append(os.Environ(), roleVariable+"="+role)
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("child did not get ready: %w", err)
	}
	p.opened = time.Since(start)
	return p, nil
}

func (p *process) stop() {
	p.stdin.Close()
	if err := p.command.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "busbench: child:", err)
	}
}

// kill ends the child as kill -9 does.
func (p *process) kill() error {
	if err := p.command.Process.Kill(); err != nil {
		return err
	}
	_ = p.command.Wait() // reports the kill
	return nil
}

// resident returns a field of /proc/<pid>/status in MB.
func (p *process) resident(field string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in status", field)
}

// cpu returns the child's CPU time in clock ticks of 10 ms.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

const (
	idleTime   = 20 * time.Second
	reopenSize = 256 << 20
)

// idle measures a broker with two waiting consumers, and its opening after a
// kill -9 with a full log.
func idle(ctx context.Context, report *perf.Report, dir string) error {
	config := brokerConfig(filepath.Join(dir, "idle"))
	role, err := json.Marshal(config)
	if err != nil {
		return err
	}
	bare, err := spawn("bare")
	if err != nil {
		return err
	}
	floor, err := bare.resident("VmRSS")
	bare.stop()
	if err != nil {
		return err
	}
	server, err := spawn(string(role))
	if err != nil {
		return err
	}
	if err := waitIdle(ctx, report, server, config.Socket, floor); err != nil {
		return err
	}
	client, err := connect(ctx, config.Socket)
	if err != nil {
		return err
	}
	err = publish(ctx, client, bodies(), reopenSize/messageSize)
	client.Close()
	if err != nil {
		return err
	}
	if err := server.kill(); err != nil {
		return err
	}
	if server, err = spawn(string(role)); err != nil {
		return err
	}
	defer server.stop()
	opened := server.opened.Seconds()
	report.Add(perf.Figure{
		Name: "open the log after kill -9", Value: opened, Unit: "s", Target: "at most 3 s", Reached: opened <= 3,
		Note: fmt.Sprintf("%d messages of 300 bytes, compressed by the client; process start included", reopenSize/messageSize),
	})
	after, err := server.resident("VmRSS")
	if err != nil {
		return err
	}
	peak, err := server.resident("VmHWM")
	if err != nil {
		return err
	}
	report.Add(perf.Figure{
		Name: "resident after opening that log", Value: after, Unit: "MB", Peer: "an empty Go program", PeerValue: floor,
		Target: "at most 60 MB", Reached: after <= 60, Note: fmt.Sprintf("highest during opening: %.0f MB", peak),
	})
	return nil
}

func waitIdle(ctx context.Context, report *perf.Report, server *process, socket string, floor float64) error {
	client, err := connect(ctx, socket)
	if err != nil {
		return err
	}
	defer client.Close()
	group, groupCtx := run.NewGroup(ctx)
	groupCtx, cancel := context.WithCancel(groupCtx)
	defer cancel()
	ignore := func(context.Context, []bus.Message) error { return nil }
	for _, name := range []string{bus.GroupDetect, bus.GroupStore} {
		group.Go(name, func(context.Context) error {
			return client.Consume(groupCtx, bus.Group{Name: name, Topics: []string{bus.Events, bus.Alerts}, Mode: bus.AtLeastOnce, Instance: "bench"}, ignore)
		})
	}
	if err := run.Sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	mine, before := cpu(), time.Duration(0)
	if before, err = server.cpu(); err != nil {
		return err
	}
	if err := run.Sleep(ctx, idleTime); err != nil {
		return err
	}
	after, err := server.cpu()
	if err != nil {
		return err
	}
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / idleTime.Seconds() }
	brokerShare, clientShare := share(after-before), share(cpu()-mine)
	report.Add(perf.Figure{Name: "idle broker with two consumers waiting", Value: brokerShare, Unit: "% of a core", Target: "at most 0.5 %", Reached: brokerShare <= 0.5,
		Note: "clock ticks of 10 ms"})
	report.Add(perf.Figure{Name: "two idle consumers", Value: clientShare, Unit: "% of a core", Target: "at most 0.5 %", Reached: clientShare <= 0.5})
	resident, err := server.resident("VmRSS")
	if err != nil {
		return err
	}
	report.Add(perf.Figure{Name: "idle broker, resident above the floor", Value: resident - floor, Unit: "MB", Peer: "an empty program of the same binary", PeerValue: floor,
		Ratio: resident / floor, Target: "at most 20 MB", Reached: resident-floor <= 20, Note: "ratio: whole against whole"})
	cancel()
	return group.Wait()
}

// latency measures one hop: publish, broker, consumer's handler, one message
// at a time.
func latency(ctx context.Context, report *perf.Report, dir string) error {
	const warmup, n = 50, 1000
	place := filepath.Join(dir, "latency")
	client, stop, err := embedded(ctx, place, false)
	if err != nil {
		return err
	}
	defer stop()
	group, groupCtx := run.NewGroup(ctx)
	groupCtx, cancel := context.WithCancel(groupCtx)
	defer cancel()
	var sent atomic.Int64
	arrived := make(chan time.Duration, 1)
	group.Go("consumer", func(context.Context) error {
		return client.Consume(groupCtx, bus.Group{Name: bus.GroupDetect, Topics: []string{bus.Events}, Mode: bus.AtLeastOnce, Instance: "bench"},
			func(_ context.Context, batch []bus.Message) error {
				for range batch {
					arrived <- time.Duration(time.Now().UnixNano() - sent.Load())
				}
				return nil
			})
	})
	var hops []float64
	for i := range warmup + n {
		sent.Store(time.Now().UnixNano())
		if err := client.Publish(ctx, bus.Message{Topic: bus.Events, Key: fmt.Appendf(nil, "%d", i%keys), Value: make([]byte, messageSize)}); err != nil {
			return err
		}
		select {
		case d := <-arrived:
			if i >= warmup {
				hops = append(hops, d.Seconds()*1e3)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	const polls = 200
	before := cpu()
	for range polls {
		if _, err := client.Fill(ctx); err != nil {
			return err
		}
	}
	poll := (cpu() - before).Seconds() * 1e3 / polls
	report.Add(perf.Figure{Name: "ask for the fill once", Value: poll, Unit: "ms CPU", Target: "at most 5 ms", Reached: poll <= 5,
		Note: "client and broker; the gateway asks every 1 to 2 s"})
	cancel()
	median, worst := perf.Median(hops), perf.Quantile(hops, 0.99)
	report.Add(perf.Figure{Name: "one hop, publish to handler, median", Value: median, Unit: "ms", Target: "at most 10 ms", Reached: median <= 10,
		Note: "linger 2 ms included; an alert passes two hops"})
	report.Add(perf.Figure{Name: "one hop, publish to handler, p99", Value: worst, Unit: "ms", Target: "at most 50 ms", Reached: worst <= 50})
	return group.Wait()
}
