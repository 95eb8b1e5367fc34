package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/internal/tinyelf"
	"github.com/hauberk/hauberk/labs/loop"
	"github.com/hauberk/hauberk/labs/sim"
	"github.com/hauberk/hauberk/store/storetest"
)

// meter tells what CPU time a platform's processes have used since it was made.
type meter struct {
	processes []loop.Process
	start     []time.Duration
}

func newMeter(p *loop.Platform) (*meter, error) {
	list, err := loop.Processes(p.PID())
	if err != nil {
		return nil, err
	}
	m := &meter{processes: list}
	for _, one := range list {
		t, err := loop.CPUTime(one.PID)
		if err != nil {
			return nil, err
		}
		m.start = append(m.start, t)
	}
	return m, nil
}

// usage is seconds of CPU by process name.
type usage map[string]float64

func (m *meter) read() (usage, error) {
	u := usage{}
	for i, one := range m.processes {
		t, err := loop.CPUTime(one.PID)
		if err != nil {
			return nil, err
		}
		u[one.Name] += (t - m.start[i]).Seconds()
	}
	return u, nil
}

func (u usage) all() float64 {
	sum := 0.0
	for _, s := range u {
		sum += s
	}
	return sum
}

// shares names the processes and what each took of a unit, most first.
func (u usage) shares(unit float64) string {
	var names []string
	for name := range u {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return u[names[i]] > u[names[j]] })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.3g", name, u[name]/unit)
	}
	return strings.Join(names, ", ")
}

// storm makes processes that end at once as fast as the machine does, and
// reports what that costs the whole agent and the whole platform.
func storm(ctx context.Context, report *perf.Report, p *loop.Platform, work string, count int) error {
	program := filepath.Join(work, "short")
	if err := tinyelf.WriteExit(program); err != nil {
		return err
	}
	before, err := settled(ctx, p, 1)
	if err != nil {
		return err
	}
	m, err := newMeter(p)
	if err != nil {
		return err
	}
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do %s --number=$i --config=/etc/storm/main.yaml -o /var/tmp/out; i=$((i+1)); done", count, program)
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	if err := shell.Run(); err != nil {
		return fmt.Errorf("storm: %w", err)
	}
	storm := (shell.ProcessState.UserTime() + shell.ProcessState.SystemTime()).Seconds()
	after, err := settled(ctx, p, before.Events.Produced+uint64(count))
	if err != nil {
		return err
	}
	used, err := m.read()
	if err != nil {
		return err
	}
	agent := used["run"] + used["collector"]
	report.Add(perf.Figure{
		Name: fmt.Sprintf("storm of %d processes from a shell: CPU of both processes of the agent (with TLS and compression) / of the storm", count), Value: agent / storm * 100, Unit: "%",
		Peer: fmt.Sprintf("the storm: %.0f us per process", storm/float64(count)*1e6), Target: "2 %", Reached: agent/storm <= 0.02,
	})
	events := after.Events.Produced - before.Events.Produced
	report.Add(perf.Figure{
		Name:  fmt.Sprintf("the same storm: CPU of the platform for each of the %d events that came of it (us: %s)", events, used.shares(float64(events)/1e6)),
		Value: used.all() / float64(events) * 1e6, Unit: "us", Target: "none", Reached: true,
	})
	return nil
}

// strangers is how many events of the pipeline's load lie in the future, which
// the store rejects: the account must show them.
const strangers = 250

// pipeline sends events from a simulated agent, as fast as the gateway grants
// credit, until all are on disk and searchable, and reports the CPU of all
// processes for each, and whether every one is accounted for.
func pipeline(ctx context.Context, report *perf.Report, b loop.Binaries, work string, count int) error {
	p, err := loop.Up(ctx, b, filepath.Join(work, "p"), "--no-agent")
	if err != nil {
		return err
	}
	defer p.Stop()
	gateway, err := p.Gateway(ctx)
	if err != nil {
		return err
	}
	token, err := p.Token(ctx)
	if err != nil {
		return err
	}
	node, err := sim.Join(ctx, gateway, token, "pipeline")
	if err != nil {
		return err
	}
	g, nodeCtx := run.NewGroup(ctx)
	running, stop := context.WithCancel(nodeCtx)
	defer stop()
	g.Go("node", func(context.Context) error { return node.Run(running) })
	m, err := newMeter(p)
	if err != nil {
		return err
	}
	const perBatch = 250
	const ahead = 400 // batches not acknowledged
	maker := storetest.NewMaker(1)
	began := time.Now()
	var last uint64
	for sent := 0; sent < count; sent += perBatch {
		for node.Waiting() > ahead {
			if err := run.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		now := time.Now()
		at := now
		if sent == 0 {
			at = now.Add(30 * 24 * time.Hour)
		}
		if last, err = node.SendAt(at, maker.Batch(perBatch, now.UnixNano()).Events); err != nil {
			return err
		}
	}
	if err := node.AwaitAck(ctx, last); err != nil {
		return err
	}
	s, err := settled(ctx, p, last)
	if err != nil {
		return err
	}
	wall := time.Since(began).Seconds()
	used, err := m.read()
	if err != nil {
		return err
	}
	stop()
	if err := g.Wait(); err != nil {
		return err
	}
	each := used.all() / float64(last) * 1e6
	report.Add(perf.Figure{
		Name:  fmt.Sprintf("pipeline, agent's socket to on disk and searchable, CPU of all processes per event (%.0f events/s; us: %s)", float64(last)/wall, used.shares(float64(last)/1e6)),
		Value: each, Unit: "us", Target: "25 us", Reached: each <= 25,
	})
	out, err := p.CLI(ctx, "query", `host.id:="`+node.ID.String()+`" | stats count() total, count_uniq_hash(event.id) distinct`, "--since", "24h", "--json")
	if err != nil {
		return err
	}
	difference := int64(last) - int64(s.Events.Stored) - int64(s.Events.Rejected["too_new"])
	exact := s.Events.Produced == last && difference == 0 && s.Events.Rejected["too_new"] == strangers &&
		strings.Contains(string(out), fmt.Sprintf(`"total":"%d"`, s.Events.Stored)) && strings.Contains(string(out), fmt.Sprintf(`"distinct":"%d"`, s.Events.Stored))
	report.Add(perf.Figure{
		Name:  fmt.Sprintf("produced %d - stored %d - rejected %v; a search counts them: %s", last, s.Events.Stored, s.Events.Rejected, strings.TrimSpace(string(out))),
		Value: float64(difference), Unit: "events", Target: "0", Reached: exact,
	})
	return nil
}

// settled waits until at least so many events were produced and all are
// accounted for, and returns the account.
func settled(ctx context.Context, p *loop.Platform, produced uint64) (loop.Status, error) {
	var s loop.Status
	err := await(ctx, func() (bool, error) {
		var err error
		s, err = p.Status(ctx)
		return s.Events.Produced >= produced && s.Events.Difference == 0, err
	}, 200*time.Millisecond)
	return s, err
}
