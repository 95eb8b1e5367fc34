package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/perf"
	wire "github.com/hauberk/hauberk/link"
)

// benchmark is one run. Steps, in order, each sequential:
//  1. storms: pairs without and with the eBPF collector   -> captured, CPU, memory
//  2. kernel: the same with bpf_stats, an empty program beside -> ns per exec
//  3. frozen: a storm while the collector is stopped      -> the account
//  4. wire: the events of a storm in batches              -> bytes
//  5. peers: the process connector, auditd                -> the same figures
type benchmark struct {
	ctx      context.Context
	dir      string
	agent    string
	execs    int
	rounds   int
	storm    *storm
	wantArgs string
}

func (b *benchmark) run(report *perf.Report) error {

	if _, err := b.storm.run(b.ctx, b.execs/10); err != nil { // warm up
		return err
	}
	for _, step := range []func(*perf.Report) error{b.storms, b.kernel, b.frozen, b.connector, b.audit} {
		if err := step(report); err != nil {
			return err
		}
	}
	return nil
}

// measured is a pair: a storm alone, and one under a monitor.
type measured struct {
	alone, with cost
	monitor     float64 // CPU of the monitor, s
	tally       tally
	lost        uint64
	exact       bool
}

func (m measured) share() float64    { return m.monitor / m.with.cpu }
func (m measured) slowdown() float64 { return m.with.cpu / m.alone.cpu }

// pair measures a storm alone and one with the collector.
func (b *benchmark) pair(c *collector, execs int) (measured, error) {
	var m measured
	var err error
	c.mu.Lock()
	c.tally = tally{}
	c.mu.Unlock()
	before := c.cpu()
	made, seen, lost := c.account()
	if m.with, err = b.storm.run(b.ctx, execs); err != nil {
		return m, err
	}
	if err := c.settle(); err != nil {
		return m, err
	}
	m.monitor = c.cpu() - before
	c.mu.Lock()
	defer c.mu.Unlock()
	m.tally = c.tally
	nowMade, nowSeen, nowLost := c.account()
	m.lost = nowLost - lost
	m.exact = nowMade-made == nowSeen-seen+nowLost-lost
	return m, nil
}

func (b *benchmark) storms(report *perf.Report) error {
	var all []measured
	var pss, anonymous, peak []float64
	for range b.rounds {
		alone, err := b.storm.run(b.ctx, b.execs)
		if err != nil {
			return err
		}
		c, err := b.startCollector("ebpf")
		if err != nil {
			return err
		}
		c.keep = 2000
		stop := sample(c.cmd.Process.Pid, &c.peakPSS)
		m, err := b.pair(c, b.execs)
		stop()
		if err != nil {
			return errors.Join(err, c.stop())
		}
		m.alone = alone
		p, a := memory(c.cmd.Process.Pid)
		pss, anonymous, peak = append(pss, float64(p)), append(anonymous, float64(a)), append(peak, float64(c.peakPSS))
		all = append(all, m)
		kept := c.kept
		if err := c.stop(); err != nil {
			return err
		}
		if len(all) == b.rounds {
			if err := b.wire(report, kept); err != nil {
				return err
			}
		}
	}
	b.reportStorms(report, "eBPF", all)
	const mb = 1e6
	report.Add(perf.Figure{Name: "collector after a storm, PSS", Value: perf.Median(pss) / mb, Unit: "MB", Target: "both processes at most 15 MB", Reached: perf.Median(pss)/mb <= 12})
	report.Add(perf.Figure{Name: "collector after a storm, anonymous memory", Value: perf.Median(anonymous) / mb, Unit: "MB", Target: "both processes at most 7 MB", Reached: perf.Median(anonymous)/mb <= 4})
	report.Add(perf.Figure{Name: "highest PSS of loader and collector", Value: perf.Median(peak) / mb, Unit: "MB", Target: "with the master at most 18 MB", Reached: perf.Median(peak)/mb <= 18, Note: "10 Hz; one after the other"})
	return nil
}

// reportStorms adds the figures every monitor of processes has.
func (b *benchmark) reportStorms(report *perf.Report, name string, all []measured) {
	column := func(value func(measured) float64) float64 {
		var values []float64
		for _, m := range all {
			values = append(values, value(m))
		}
		return perf.Median(values)
	}
	percent := func(count func(tally) int) float64 {
		return column(func(m measured) float64 { return 100 * float64(count(m.tally)) / float64(b.total()) })
	}
	target := func(s string) string {
		if name == "eBPF" {
			return s
		}
		return "for comparison"
	}
	reached := func(ok bool) bool { return ok || name != "eBPF" }
	add := func(figure string, value float64, unit, want string, ok bool, note string) {
		report.Add(perf.Figure{Name: name + ": " + figure, Value: value, Unit: unit, Target: target(want), Reached: reached(ok), Note: note})
	}
	for _, f := range []struct {
		name  string
		count func(tally) int
	}{
		{"execs captured", func(t tally) int { return t.execs }}, {"argv complete", func(t tally) int { return t.args }},
		{"parent complete", func(t tally) int { return t.parent }}, {"container known", func(t tally) int { return t.container }},
	} {
		value := percent(f.count)
		add(f.name, value, "%", "100.00 %", value == 100, fmt.Sprintf("%d processes, median of %d storms", b.total(), len(all)))
	}
	if name == "eBPF" {
		exact := 0
		for _, m := range all {
			if m.exact {
				exact++
			}
		}
		add("storms in which seen + lost = made", float64(exact), fmt.Sprintf("of %d", len(all)), "all", exact == len(all), "")
	}
	share := 100 * column(measured.share)
	perExec := column(func(m measured) float64 { return 1e6 * m.alone.cpu / float64(b.total()) })
	add("CPU of the collector / of the storm", share, "%", "2 %", share <= 2, fmt.Sprintf("the storm alone takes %.0f us per process", perExec))
	slower := column(measured.slowdown)
	add("storm's CPU with / without", slower, "x", "x1.02", slower <= 1.02, "")
}

// total is how many processes a storm makes.
func (b *benchmark) total() int { return b.execs / workers * workers }

// wire packs the events of a storm as link does.
func (b *benchmark) wire(report *perf.Report, events []*event.Event) error {
	const perBatch = 200
	compressor, err := wire.NewCompressor(wire.Dictionary)
	if err != nil {
		return err
	}
	raw, packed, n := 0, 0, 0
	builder := event.NewBuilder(event.NewNodeID(), 1, event.Class_CLASS_BULK)
	for i, e := range events {
		if err := builder.Add(uint64(i+1), int64(i+1)*200_000, 0, e); err != nil {
			return err
		}
		if builder.Len() == perBatch {
			data, err := builder.Take().MarshalVT()
			if err != nil {
				return err
			}
			payload, _ := compressor.Compress(data)
			raw, packed, n = raw+len(data), packed+len(payload), n+perBatch
		}
	}
	if n == 0 {
		return errors.New("no events for the wire")
	}
	report.Add(perf.Figure{
		Name: "one exec event on the wire", Value: float64(packed) / float64(n), Unit: "bytes", Peer: "before zstd", PeerValue: float64(raw) / float64(n),
		Target: "30 bytes", Reached: packed <= 30*n, Note: fmt.Sprintf("storm's execs in batches of %d, shared dictionary; they differ in pid and times only", perBatch),
	})
	return nil
}

// kernel measures what the programs cost by the kernel's own count, beside an
// empty program on the same tracepoint.
func (b *benchmark) kernel(report *perf.Report) error {
	c, err := b.startCollector("ebpf")
	if err != nil {
		return err
	}
	defer c.stop()
	empty, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "empty", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_process_exec", License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("load an empty program: %w", err)
	}
	defer empty.Close()
	attached, err := link.AttachTracing(link.TracingOptions{Program: empty})
	if err != nil {
		return fmt.Errorf("attach an empty program: %w", err)
	}
	defer attached.Close()
	enabled, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("count the time of programs: %w", err)
	}
	if _, err := b.storm.run(b.ctx, b.execs); err != nil {
		enabled.Close()
		return err
	}
	enabled.Close()
	spent, err := programTimes("empty", "on_exec", "on_fork", "on_exit")
	if err != nil {
		return err
	}
	exec := spent["on_exec"]
	report.Add(perf.Figure{
		Name: "kernel side per exec", Value: exec / 1e3, Unit: "us", Peer: "empty program", PeerValue: spent["empty"] / 1e3,
		Target: "2.0 us with the working directory", Reached: exec <= 2000, Note: "mean of a storm, bpf_stats",
	})
	life := exec + spent["on_fork"] + spent["on_exit"]
	report.Add(perf.Figure{
		Name: "kernel side per process life", Value: life / 1e3, Unit: "us", Target: "3 us (research)", Reached: life <= 3000,
		Note: fmt.Sprintf("fork %.2f, exec %.2f, exit %.2f us", spent["on_fork"]/1e3, exec/1e3, spent["on_exit"]/1e3),
	})
	return nil
}

// programTimes returns the mean run time of the loaded programs of those
// names, ns; of several with one name, the one that ran most.
func programTimes(names ...string) (map[string]float64, error) {
	times, most := map[string]float64{}, map[string]uint64{}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		program, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone since
		}
		info, err := program.Info()
		if err == nil {
			for _, name := range names {
				stats, err := program.Stats()
				if info.Name == name && err == nil && stats.RunCount > most[name] {
					most[name] = stats.RunCount
					times[name] = float64(stats.Runtime.Nanoseconds()) / float64(stats.RunCount)
				}
			}
		}
		program.Close()
	}
	for _, name := range names {
		if most[name] == 0 {
			return nil, fmt.Errorf("program %s did not run", name)
		}
	}
	return times, nil
}

// frozen stops the collector while a storm runs.
func (b *benchmark) frozen(report *perf.Report) error {
	c, err := b.startCollector("ebpf")
	if err != nil {
		return err
	}
	defer c.stop()
	if err := c.settle(); err != nil {
		return err
	}
	made, seen, lost := c.account()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	_, err = b.storm.run(b.ctx, b.execs)
	if err := errors.Join(err, c.cmd.Process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	nowMade, nowSeen, nowLost := c.account()
	made, seen, lost = nowMade-made, nowSeen-seen, nowLost-lost
	report.Add(perf.Figure{
		Name: "frozen collector: made - seen - lost", Value: float64(int64(made - seen - lost)), Unit: "records", Target: "0",
		Reached: made == seen+lost && lost > 0 && made >= uint64(3*b.total()), Note: fmt.Sprintf("%d processes while stopped: made %d, seen %d, lost %d", b.total(), made, seen, lost),
	})
	return nil
}

// connector measures the process connector with the same storms.
func (b *benchmark) connector(report *perf.Report) error {
	var all []measured
	for range b.rounds {
		alone, err := b.storm.run(b.ctx, b.execs)
		if err != nil {
			return err
		}
		c, err := b.startCollector("cn_proc")
		if err != nil {
			return err
		}
		m, err := b.pair(c, b.execs)
		if err := errors.Join(err, c.stop()); err != nil {
			return err
		}
		m.alone = alone
		all = append(all, m)
	}
	b.reportStorms(report, "process connector", all)
	return nil
}

// say tells the terminal what was left out and why.
func say(format string, args ...any) { io.WriteString(os.Stderr, fmt.Sprintf(format+"\n", args...)) }
