// Package crash kills the platform's processes at random under load and then
// counts: no acknowledged event or alert may be lost, none stored twice.
//
// The load is a simulated node whose every event has an identity it remembers
// as acknowledged or not, so that the count is exact. Every tenth event is one
// that a rule of ours alerts on, with an executable of its own, so that each
// must become one alert.
package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/labs/loop"
	"github.com/hauberk/hauberk/labs/sim"
)

// Options of a run.
type Options struct {
	Rounds int    // kills
	Seed   uint64 // of the choice of victims and pauses
	Rate   int    // events/s of the load
	Agent  bool   // run the agent too, and kill it and its collector
	Log    io.Writer
}

// Report is what a run counted.
type Report struct {
	Kills         map[string]int // by process
	Made, Acked   uint64
	Missing       uint64 // acknowledged, not stored
	Twice         uint64 // stored more than once
	Alerts        uint64 // acknowledged events that must be alerts
	AlertsMissing uint64
	AlertsTwice   uint64
	// AgentTwice counts identities of the real agent stored more than once.
	AgentTwice uint64
}

// Lossless reports whether nothing acknowledged was lost or doubled.
func (r Report) Lossless() bool {
	return r.Missing == 0 && r.Twice == 0 && r.AlertsMissing == 0 && r.AlertsTwice == 0 && r.AgentTwice == 0
}

const (
	// perBatch is how many events one batch of the load holds; the last of
	// each batch is the one that alerts.
	perBatch = 10
	// settle bounds the wait for the platform to be whole again and to have
	// stored what was acknowledged.
	settle = 3 * time.Minute
	// restored bounds the wait for acknowledgements after one kill.
	restored = time.Minute
	// maxWaiting stops the load while so many batches are unacknowledged.
	maxWaiting = 2000
)

// config lets every loud event be an alert of its own (many alerts of one rule
// within a minute would else fold into one), and has the node come back soon
// although its connections never last.
const config = "detect: {fold: {storm: 10000}}\ngateway: {max_backoff: 1s}\n"

// Run builds nothing: it starts the given binaries on the data directory,
// kills, stops everything and counts.
func Run(ctx context.Context, b loop.Binaries, data string, o Options) (Report, error) {
	report := Report{Kills: map[string]int{}}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	file := filepath.Join(filepath.Dir(data), "crash.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return report, err
	}
	args := []string{"--listen-nodes", "127.0.0.1:17443", "--config", file}
	if !o.Agent {
		args = append(args, "--no-agent")
	}
	p, err := loop.Up(ctx, b, data, args...)
	if err != nil {
		return report, err
	}
	defer func() { p.Kill() }()
	node, err := join(ctx, p)
	if err != nil {
		return report, err
	}
	g, loadCtx := run.NewGroup(ctx)
	loading, stopLoad := context.WithCancel(loadCtx)
	g.Go("node", node.Run)
	g.Go("load", func(context.Context) error { return load(loading, node, o.Rate, &report) })

	for round := range o.Rounds {
		if err := run.Sleep(ctx, time.Duration(random.IntN(1500))*time.Millisecond); err != nil {
			stopLoad()
			return report, err
		}
		name, err := strike(p, random)
		if err != nil {
			stopLoad()
			return report, err
		}
		report.Kills[name]++
		fmt.Fprintf(o.Log, "round %d: killed %s; acknowledged %d\n", round+1, name, node.AckedUpTo())
		if name == "up" {
			p.Kill()
			if p, err = loop.Up(ctx, b, data, args...); err != nil {
				stopLoad()
				return report, fmt.Errorf("start again after kill -9 of up: %w", err)
			}
		}
		if err := goesOn(ctx, node); err != nil {
			stopLoad()
			return report, fmt.Errorf("after the kill of %s in round %d: %w\n%s", name, round+1, err, p.Output())
		}
	}
	stopLoad()
	settled, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	last, err := node.Send([]*event.Event{quiet(0)})
	if err != nil {
		return report, err
	}
	if err := node.AwaitAck(settled, last); err != nil {
		return report, err
	}
	report.Made, report.Acked = last, node.AckedUpTo()
	return report, count(settled, p, node, &report)
}

// goesOn waits until what was sent after a kill is acknowledged, so that each
// kill meets a platform under load and not one that still starts.
func goesOn(ctx context.Context, node *sim.Node) error {
	ctx, cancel := context.WithTimeout(ctx, restored)
	defer cancel()
	mark, err := node.Send([]*event.Event{quiet(0)})
	if err != nil {
		return err
	}
	return node.AwaitAck(ctx, mark)
}

func join(ctx context.Context, p *loop.Platform) (*sim.Node, error) {
	token, err := p.Token(ctx)
	if err != nil {
		return nil, err
	}
	return sim.Join(ctx, "127.0.0.1:17443", token, "crash-lab")
}

// load sends batches until the context ends.
func load(ctx context.Context, node *sim.Node, rate int, report *Report) error {
	tick := time.NewTicker(time.Second * perBatch / time.Duration(rate))
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			report.Alerts = n
			return nil
		case <-tick.C:
		}
		for node.Waiting() > maxWaiting {
			if run.Sleep(ctx, 50*time.Millisecond) != nil {
				report.Alerts = n
				return nil
			}
		}
		events := make([]*event.Event, perBatch)
		for i := range events {
			events[i] = quiet(n*perBatch + uint64(i))
		}
		events[perBatch-1] = loud(n)
		if _, err := node.Send(events); err != nil {
			return err
		}
	}
}

// quiet is an exec that no rule minds.
func quiet(n uint64) *event.Event {
	return &event.Event{Process: &event.Process{
		Pid: uint32(1000 + n%30000), Start: n + 1, Executable: []byte("/usr/bin/true"), Name: []byte("true"),
		Args: fmt.Appendf(nil, "true\x00%d", n),
	}, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}
}

// loud is a write to /etc/ld.so.preload by an executable of its own, so that
// its alert folds with no other.
func loud(n uint64) *event.Event {
	return &event.Event{Process: &event.Process{
		Pid: uint32(1000 + n%30000), Start: n + 1, Executable: fmt.Appendf(nil, "/opt/crash/%d", n), Name: []byte("x"),
		Args: fmt.Appendf(nil, "/opt/crash/%d", n),
	}, Body: &event.Event_File{File: &event.FileChange{
		Action: event.FileAction_FILE_ACTION_CREATED, Path: []byte("/etc/ld.so.preload"),
	}}}
}

// alertSummary is how detect sums up a loud event.
var alertSummary = regexp.MustCompile(`created by (\d+) \(`)

// strike kills one of the platform's processes at random and returns its name.
func strike(p *loop.Platform, random *rand.Rand) (string, error) {
	victims, err := loop.Processes(p.PID())
	if err != nil {
		return "", err
	}
	v := victims[random.IntN(len(victims))]
	if v.Name == "up" {
		return v.Name, nil // the caller kills it, to start it again
	}
	if err := syscall.Kill(v.PID, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return "", fmt.Errorf("kill %s (%d): %w", v.Name, v.PID, err)
	}
	return v.Name, nil
}

// count reads back every identity and every alert of the load. What was
// acknowledged may still be on its way from the bus, and what was killed last
// still starting: it asks until all is there or the context ends.
func count(ctx context.Context, p *loop.Platform, node *sim.Node, report *Report) error {
	for {
		err := countOnce(ctx, p, node, report)
		if err == nil && report.Missing == 0 && report.AlertsMissing == 0 {
			return nil
		}
		if run.Sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

func countOnce(ctx context.Context, p *loop.Platform, node *sim.Node, report *Report) error {
	total, distinct, err := countEvents(ctx, p, `host.id:="`+node.ID.String()+`"`)
	if err != nil {
		return err
	}
	report.Twice, report.Missing = total-distinct, report.Acked-distinct
	if total, distinct, err = countEvents(ctx, p, `host.id:!="`+node.ID.String()+`"`); err != nil {
		return err
	}
	report.AgentTwice = total - distinct
	alerts := map[string]int{}
	out, err := p.CLI(ctx, "alerts", "--state", "all", "--limit", "0", "--json")
	if err != nil {
		return err
	}
	err = eachLine(out, func(row map[string]any) {
		if m := alertSummary.FindStringSubmatch(fmt.Sprint(row["summary"])); m != nil {
			alerts[m[1]]++
		}
	})
	if err != nil {
		return err
	}
	report.AlertsMissing, report.AlertsTwice = 0, 0
	for n := range report.Alerts {
		switch c := alerts[strconv.FormatUint(n, 10)]; {
		case c == 0:
			report.AlertsMissing++
		case c > 1:
			report.AlertsTwice++
		}
	}
	return nil
}

// countEvents counts the rows a filter selects, and their identities.
func countEvents(ctx context.Context, p *loop.Platform, filter string) (total, distinct uint64, err error) {
	out, err := p.CLI(ctx, "query", filter+" | stats count() total, count_uniq(event.id) distinct", "--since", "24h", "--json")
	if err != nil {
		return 0, 0, err
	}
	err = eachLine(out, func(row map[string]any) {
		total, _ = strconv.ParseUint(fmt.Sprint(row["total"]), 10, 64)
		distinct, _ = strconv.ParseUint(fmt.Sprint(row["distinct"]), 10, 64)
	})
	return total, distinct, err
}

func eachLine(out []byte, each func(map[string]any)) error {
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var row map[string]any
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return fmt.Errorf("row %q: %w", s.Text(), err)
		}
		each(row)
	}
	return s.Err()
}
