package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hauberk/hauberk/agent/internal/breaker"
	"github.com/hauberk/hauberk/agent/internal/cgroup"
	"github.com/hauberk/hauberk/agent/internal/collect"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/node/identity"
	"github.com/hauberk/hauberk/node/spool"
)

// Run runs the agent until the context ends. Its pipeline:
//
//  1. the loader puts BPF programs in place          (child process, once, sequential)
//  2. the collector reads the kernel                 (child process, restarted alone)
//  3. supervise reads the collector's pipe           (parallel; one frame after the other)
//  4. the spool gives positions and writes segments  (in 3's goroutine, one lock)
//  5. the link's client sends, and takes acks        (parallel; its own goroutine)
//
// Beside it, each in its goroutine: the breaker samples, the housekeeper
// flushes the spool and watches the clock, the command runner, the status
// socket. What one of them finds out wakes supervise, which alone starts and
// stops the collector.
//
// At the end the collector is stopped first, so that what it still had
// reaches the spool and, if the gateway is there, the gateway.
func (a *Agent) Run(ctx context.Context) error {
	defer a.spool.Close()
	a.limit()
	if g := a.limits(); g != nil {
		defer g.Remove()
	}
	a.noteStart()

	linkCtx, stopLink := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLink()
	links, _ := run.NewGroup(linkCtx)
	links.Go("link", a.runLink)

	g, gctx := run.NewGroup(ctx)
	g.Go("collector", a.supervise)
	g.Go("breaker", a.watch)
	g.Go("housekeeper", a.keepHouse)
	g.Go("commands", a.runCommands)
	g.Go("status", a.serveStatus)
	if a.deps.Ready != nil {
		a.deps.Ready(a.headline())
	}
	<-gctx.Done()
	err := g.Wait()
	a.unpin()
	a.note("stop", fmt.Sprint("agent ends: ", context.Cause(ctx)))
	a.drain()
	stopLink()
	return errors.Join(err, links.Wait())
}

// unpin takes BPF programs out of the kernel; the next collector needs the
// loader.
func (a *Agent) unpin() {
	if !*a.deps.Loader {
		return
	}
	a.mu.Lock()
	config := a.cfg.collector()
	a.child.load = true
	a.mu.Unlock()
	if err := collect.Unpin(config); err != nil {
		a.log.Error("BPF programs stay pinned", "cause", err)
	}
}

// drainTime is how long the end waits for the gateway to take what is left;
// the rest waits in the spool.
const drainTime = time.Second

func (a *Agent) drain() {
	for end := time.Now().Add(drainTime); time.Now().Before(end) && a.spool.Backlog() > 0 && a.connected(); {
		time.Sleep(10 * time.Millisecond)
	}
}

func (a *Agent) connected() bool {
	a.mu.Lock()
	client := a.client
	a.mu.Unlock()
	return client != nil && client.State().Connected
}

// limit makes the collector's control group, or says why there is none.
func (a *Agent) limit() {
	a.mu.Lock()
	l := cgroup.Limits{CPU: a.cfg.Limits.CPU, Memory: uint64(a.cfg.Limits.Memory)}
	a.mu.Unlock()
	if l == (cgroup.Limits{}) {
		return
	}
	g, err := cgroup.Make("/proc", fmt.Sprintf("hauberk-collector-%d", os.Getpid()), l)
	if err != nil {
		a.log.Warn("collector is not limited by the kernel; the breaker watches it", "cause", err)
		return
	}
	a.mu.Lock()
	a.group = g
	a.mu.Unlock()
	a.log.Info("collector is limited", "groups", g.Detail)
}

// limits returns the collector's control group, nil if there is none.
func (a *Agent) limits() *cgroup.Group {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.group
}

func (a *Agent) noteStart() {
	detail := fmt.Sprintf("incarnation %d", a.spool.Incarnation())
	if r := a.spool.Recovered(); r.Sequence > 0 {
		detail += fmt.Sprintf(", recovered incarnation %d up to %d", r.Incarnation, r.Sequence)
	}
	a.log.Info("agent starts", "version", a.deps.Version, "data_dir", a.dataDir, "detail", detail)
	a.note("start", detail)
}

// note makes an event of something that happened to the agent itself.
func (a *Agent) note(reason, detail string) {
	e := &event.Event{Collector: event.Collector_COLLECTOR_AGENT, Body: &event.Event_Status{Status: &event.NodeStatus{
		Reason: reason, Detail: detail, Version: a.deps.Version, Mode: a.modeWord(),
	}}}
	body, err := e.MarshalVT()
	if err != nil {
		a.log.Error("status event not made", "cause", err)
		return
	}
	a.spool.Append([]spool.In{{Class: event.Class_CLASS_PRIORITY, Observed: time.Now().UnixNano(), Body: body}})
}

// modeWord is NodeStatus.mode.
func (a *Agent) modeWord() string {
	if a.mode.State().Stopped {
		return "stopped"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.breaker.State() == breaker.Idle {
		return "idle"
	}
	return "run"
}

// enrolPoll is how often an agent without identity looks for one.
const enrolPoll = 2 * time.Second

// runLink waits for an identity, then stays connected.
func (a *Agent) runLink(ctx context.Context) error {
	if !a.awaitIdentity(ctx) {
		return nil
	}
	return a.client.Run(ctx)
}

func (a *Agent) awaitIdentity(ctx context.Context) bool {
	for {
		a.mu.Lock()
		joined := a.identity != nil
		a.mu.Unlock()
		if joined {
			return true
		}
		if run.Sleep(ctx, enrolPoll) != nil {
			return false
		}
	}
}

func (a *Agent) runCommands(ctx context.Context) error {
	if !a.awaitIdentity(ctx) {
		return nil
	}
	return a.commands.Run(ctx)
}

// watch samples master and collector for the breaker.
func (a *Agent) watch(ctx context.Context) error {
	failed := a.metrics.Counter("hauberk_agent_breaker_blind_total", "", "Samples of CPU and memory that could not be read.")
	for {
		a.mu.Lock()
		interval, pid := a.cfg.Breaker.Interval, a.child.pid
		a.mu.Unlock()
		if run.Sleep(ctx, interval) != nil {
			return nil
		}
		pids := []int{os.Getpid()}
		if pid != 0 {
			pids = append(pids, pid)
		}
		sample, err := breaker.Read("/proc", a.now(), pids...)
		if err != nil {
			failed.Inc()
			continue
		}
		a.judge(sample)
	}
}

// judge feeds the breaker and acts on what it decides.
func (a *Agent) judge(sample breaker.Sample) {
	a.mu.Lock()
	trip := a.breaker.Sample(sample)
	due := trip == nil && a.breaker.Due(sample.At)
	if trip != nil || due {
		a.statusOut++
	}
	client := a.client
	a.mu.Unlock()
	switch {
	case trip != nil:
		a.trips.Inc()
		a.log.Error("breaker tripped; the collector is stopped", "cause", trip)
		a.note("breaker", trip.String())
	case due:
		a.log.Info("breaker tries again")
		a.note("breaker", "trying again")
	default:
		return
	}
	a.look()
	if client != nil {
		client.Nudge()
	}
}

// housekeeping is the pause between two rounds of keepHouse.
const housekeeping = time.Second

// keepHouse flushes the spool, watches the wall clock and looks for an
// enrolment.
func (a *Agent) keepHouse(ctx context.Context) error {
	clock := clockWatch{wall: time.Now().UnixNano(), mono: a.now()}
	old := a.spool.Backlog()
	defer trimLater()()
	for run.Sleep(ctx, housekeeping) == nil {
		if jump := clock.step(time.Now().UnixNano(), a.now()); jump != 0 {
			a.jumps.Inc()
			a.log.Warn("wall clock jumped", "by", jump)
			a.note("clock", fmt.Sprintf("wall clock jumped by %s", jump))
		}
		// A backlog that outlives a round is not just on its way.
		backlog := a.spool.Backlog()
		if old > 0 && backlog > 0 {
			if err := a.spool.Sync(); err != nil {
				a.log.Error("spool not flushed", "cause", err)
			}
		}
		old = backlog
		a.lookForIdentity()
	}
	return nil
}

func (a *Agent) lookForIdentity() {
	a.mu.Lock()
	joined := a.identity != nil
	a.mu.Unlock()
	if joined {
		return
	}
	id, err := identity.Load(a.path("identity"))
	if err == nil {
		err = a.join(id)
	}
	if err != nil && !errors.Is(err, identity.ErrNotEnrolled) {
		a.log.Error("identity unusable", "cause", err)
	}
}

// clockWatch compares the wall clock with the monotonic one.
type clockWatch struct {
	wall int64 // Unix ns
	mono time.Duration
}

// jumpFrom is the smallest difference that counts: NTP slews by 0.5 ms a
// second, a suspended host stands still in both.
const jumpFrom = 2 * time.Second

// step returns by how much the wall clock jumped since the last step, 0 if it
// did not.
func (c *clockWatch) step(wall int64, mono time.Duration) time.Duration {
	jump := time.Duration(wall-c.wall) - (mono - c.mono)
	c.wall, c.mono = wall, mono
	if jump > -jumpFrom && jump < jumpFrom {
		return 0
	}
	return jump
}

// sensorChanges says which sensors are not as they were.
func sensorChanges(before, after []*event.Sensor) []string {
	old := map[string]string{}
	for _, s := range before {
		old[s.Name] = sensorText(s)
	}
	var out []string
	for _, s := range after {
		if text := sensorText(s); old[s.Name] != text {
			out = append(out, text)
		}
	}
	return out
}

// sensorText is a sensor in one line: "process active by ebpf/tp_btf".
func sensorText(s *event.Sensor) string {
	state := strings.ToLower(strings.TrimPrefix(s.State.String(), "SENSOR_STATE_"))
	text := s.Name + " " + state
	if s.Method != "" {
		text += " by " + s.Method
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

// lostEvents sums the counters of events that were made and not delivered.
func lostEvents(counters []*event.Counter) uint64 {
	n := uint64(0)
	for _, c := range counters {
		if strings.Contains(c.Name+c.Label, "lost") || strings.Contains(c.Name, "dropped") {
			n += c.Value
		}
	}
	return n
}
