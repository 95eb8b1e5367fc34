package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/hauberk/hauberk/agent/internal/breaker"
	"github.com/hauberk/hauberk/agent/internal/pipe"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/node/spool"
)

const (
	// quitPatience is how long the collector may take to flush and end.
	quitPatience = 5 * time.Second
	// loadPatience bounds the loader; parsing BTF takes a second on a slow
	// machine under load.
	loadPatience = time.Minute
	// settled is how long a collector must live for its restarts to begin
	// again without a pause.
	settled = time.Minute
)

// childState is what is known and wanted of the collector.
type childState struct {
	pid    int
	since  time.Time
	stale  bool // a running one must be replaced
	load   bool // the loader must run before the next start
	failed string
	note   string // why there is no eBPF, from the loader
}

// wanted reports whether the collector shall run, and why not.
func (a *Agent) wanted() (bool, string) {
	if m := a.mode.State(); m.Stopped {
		return false, "stopped by " + m.Author
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.breaker.State() == breaker.Idle {
		return false, "idle: the breaker tripped"
	}
	return true, ""
}

// supervise keeps a collector running while one is wanted.
func (a *Agent) supervise(ctx context.Context) error {
	backoff := run.Backoff{Min: a.deps.BackoffMin, Max: a.deps.BackoffMax}
	for ctx.Err() == nil {
		if ok, _ := a.wanted(); !ok {
			// Stopped or idle costs the host nothing: no program stays in
			// its kernel.
			a.unpin()
			select {
			case <-ctx.Done():
			case <-a.wake:
			}
			continue
		}
		began := time.Now()
		err := a.collectOnce(ctx)
		if ctx.Err() != nil || err == nil {
			continue
		}
		if time.Since(began) > settled {
			backoff.Reset()
		}
		a.restarts.Inc()
		a.mu.Lock()
		a.child.failed = err.Error()
		a.mu.Unlock()
		pause := backoff.Next()
		a.log.Error("collector ended; starting it again", "cause", err, "in", pause.Round(time.Millisecond))
		a.note("collector", err.Error())
		run.Sleep(ctx, pause) // its error is the loop's condition
	}
	return nil
}

// collectOnce runs one collector to its end: nil if it was asked to.
func (a *Agent) collectOnce(ctx context.Context) error {
	a.mu.Lock()
	load, config := a.child.load, a.cfg.collector()
	a.child.load, a.child.stale = false, false
	a.mu.Unlock()
	text, err := conf.Encode(config)
	if err != nil {
		return err
	}
	if load && *a.deps.Loader {
		a.load(ctx, text)
	}
	c, err := a.start(text)
	if err != nil {
		return err
	}
	a.setChild(c.cmd.Process.Pid)
	defer a.setChild(0)
	if g := a.limits(); g != nil {
		if err := g.Add(c.cmd.Process.Pid); err != nil {
			a.log.Warn("collector is not limited by its control group", "cause", err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Protect(func() error { return a.listen(c.out) }) }()
	for {
		select {
		case err := <-ended:
			// Its output ended, or is nonsense: so does it.
			c.in.Close()
			waited := c.end(0)
			return errors.Join(err, waited)
		case <-ctx.Done():
		case <-a.wake:
			if ok, _ := a.wanted(); ok && !a.isStale() {
				continue
			}
		}
		pipe.Write(c.in, pipe.KindQuit, nil)
		c.in.Close()
		c.end(quitPatience)
		<-ended // what it still said
		return nil
	}
}

func (a *Agent) isStale() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.child.stale
}

func (a *Agent) setChild(pid int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.child.pid, a.child.since = pid, time.Now()
	a.breaker.Restarted()
	if pid != 0 {
		a.child.failed = ""
	} else {
		a.sensors, a.collected = nil, nil
		a.statusOut++
	}
}

// process is a running collector with its pipes.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader

	done chan struct{} // closed once it ended, after err is set
	err  error
}

// start starts a collector and gives it its config.
func (a *Agent) start(config []byte) (*process, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start collector: %w", err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return nil, fmt.Errorf("start collector: %w", err)
	}
	c := &process{cmd: a.deps.Spawn("collector"), in: inW, out: outR, done: make(chan struct{})}
	c.cmd.ExtraFiles = []*os.File{inR, outW} // descriptors 3 and 4, pipe.InFD and OutFD
	c.cmd.Stderr = os.Stderr
	err = c.cmd.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, fmt.Errorf("start collector: %w", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if err := pipe.Write(inW, pipe.KindConfig, config); err != nil {
		inW.Close()
		return nil, errors.Join(fmt.Errorf("configure collector: %w", err), c.end(0))
	}
	return c, nil
}

// end waits for the process, kills it if it takes longer than patience, and
// returns how it ended.
func (c *process) end(patience time.Duration) error {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		c.cmd.Process.Kill() // fails if it ended meanwhile
		<-c.done
	}
	if c.err == nil {
		return errors.New("collector ended by itself")
	}
	return fmt.Errorf("collector: %w", c.err)
}

// load runs the loader to its end. That it fails is no failure of the agent:
// the collector uses what this kernel allows.
func (a *Agent) load(ctx context.Context, config []byte) {
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	cmd := a.deps.Spawn("loader")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		cmd.Stderr = os.Stderr
		err = cmd.Start()
	}
	if err == nil {
		stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
		_, err = stdin.Write(config)
		stdin.Close()
		err = errors.Join(err, cmd.Wait())
		stop()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.child.note = ""
	if err != nil && ctx.Err() != context.Canceled {
		a.child.note = "loader: " + err.Error()
		a.log.Warn("no eBPF; other sources take over", "cause", err)
	}
}

// listen takes what the collector says until its output ends.
func (a *Agent) listen(out io.Reader) error {
	skipped := a.metrics.Counter("hauberk_agent_pipe_frames_skipped_total", "", "Frames of the collector of an unknown kind.")
	var buf []byte
	var events []spool.In
	for {
		kind, body, grown, err := pipe.Read(out, buf)
		buf = grown
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from collector: %w", err)
		}
		switch kind {
		case pipe.KindEvents:
			events = events[:0]
			err := pipe.Events(body, func(e pipe.Event) error {
				events = append(events, spool.In{Class: e.Class, Observed: e.Observed, Body: e.Body})
				return nil
			})
			a.spool.Append(events)
			if err != nil {
				return fmt.Errorf("read from collector: %w", err)
			}
		case pipe.KindStatus:
			s := &event.NodeStatus{}
			if err := s.UnmarshalVT(body); err != nil {
				return fmt.Errorf("read status from collector: %w", err)
			}
			a.heard(s)
		default:
			skipped.Inc()
		}
		if cap(buf) > maxKeptBuffer {
			buf = nil
		}
	}
}

// maxKeptBuffer is how large a pipe buffer may stay after one large frame.
const maxKeptBuffer = 128 << 10

// heard takes over the collector's status and tells what changed.
func (a *Agent) heard(s *event.NodeStatus) {
	a.mu.Lock()
	changed := sensorChanges(a.sensors, s.Sensors)
	lost := lostEvents(s.Counters) - lostEvents(a.collected)
	a.sensors, a.collected = s.Sensors, s.Counters
	if len(changed) > 0 {
		a.statusOut++
	}
	client := a.client
	a.mu.Unlock()
	for _, text := range changed {
		a.log.Info("sensor", "state", text)
		a.note("sensor", text)
	}
	if lost > 0 && lost < 1<<62 { // a new collector counts from 0
		a.note("loss", fmt.Sprintf("%d events lost in the kernel or the collector", lost))
	}
	if len(changed) > 0 && client != nil {
		client.Nudge()
	}
}
