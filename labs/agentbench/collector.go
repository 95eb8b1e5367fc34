package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/frame"
)

// collector is a running collector process with the benchmark as its master.
type collector struct {
	b     *benchmark
	cmd   *exec.Cmd
	in    *os.File
	dir   string
	done  chan struct{}
	start time.Time

	mu       sync.Mutex
	grown    chan struct{}
	tally    tally
	status   *event.NodeStatus
	statuses int // received so far
	keep     int // events to keep for the wire's figures
	kept     []*event.Event
	peakPSS  uint64
	readFail error
}

// tally counts what was told of the storm's processes.
type tally struct {
	execs     int // with the program as executable, or nameless
	args      int // argv complete
	parent    int // first ancestor known by name
	container int
	exits     int
	bytes     int // of all events, marshalled
	events    int
}

// config is the YAML the agent would send.
func config(dir, method string) []byte {
	return []byte("dir: " + dir + "\nprocess:\n  method: " + method + "\nstatus_interval: 200ms\nlogin:\n  method: off\n")
}

// startCollector runs the loader, samples its memory, and the collector.
func (b *benchmark) startCollector(method string) (*collector, error) {
	dir, err := os.MkdirTemp(b.dir, method)
	if err != nil {
		return nil, err
	}
	c := &collector{b: b, dir: dir, done: make(chan struct{}), grown: make(chan struct{}), start: time.Now()}
	if method == "ebpf" {
		loader := exec.Command(b.agent, "loader")
		loader.Stdin, loader.Stderr = bytes.NewReader(config(dir, method)), os.Stderr
		if err := loader.Start(); err != nil {
			return nil, fmt.Errorf("start loader: %w", err)
		}
		stop := sample(loader.Process.Pid, &c.peakPSS)
		err := loader.Wait()
		stop()
		if err != nil {
			return nil, fmt.Errorf("loader: %w", err)
		}
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.in = inW
	c.cmd = exec.Command(b.agent, "collector")
	c.cmd.ExtraFiles = []*os.File{inR, outW}
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start collector: %w", err)
	}
	inR.Close()
	outW.Close()
	if err := frame.Write(inW, append([]byte{'C'}, config(dir, method)...)); err != nil {
		return nil, fmt.Errorf("configure collector: %w", err)
	}
	go c.read(outR)
	if err := c.wait("the process sensor to be active", func() bool {
		for _, s := range c.status.GetSensors() {
			if s.Name == "process" && s.State == event.SensorState_SENSOR_STATE_ACTIVE {
				return true
			}
		}
		return false
	}); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// read takes frames until the collector ends (docs/formats/collector.md).
func (c *collector) read(out io.Reader) {
	defer close(c.done)
	var buf []byte
	for {
		body, err := frame.Read(out, buf, 1<<20)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.mu.Lock()
				c.readFail = err
				c.mu.Unlock()
			}
			return
		}
		buf = body
		c.mu.Lock()
		switch body[0] {
		case 'E':
			c.takeEvents(body[1:])
		case 'S':
			status := &event.NodeStatus{}
			if err := status.UnmarshalVT(body[1:]); err == nil {
				c.status = status
				c.statuses++
			}
		}
		close(c.grown)
		c.grown = make(chan struct{})
		c.mu.Unlock()
	}
}

func (c *collector) takeEvents(body []byte) {
	for len(body) >= 13 {
		n := int(binary.LittleEndian.Uint32(body[9:]))
		var e event.Event
		if err := e.UnmarshalVT(body[13 : 13+n]); err != nil {
			c.readFail = err
			return
		}
		body = body[13+n:]
		c.tally.events++
		c.tally.bytes += n
		c.take(&e)
	}
}

func (c *collector) take(e *event.Event) {
	program := c.b.storm.program
	ours := string(e.Process.GetExecutable()) == program
	if e.GetExit() != nil && ours {
		c.tally.exits++
	}
	if e.GetExec() == nil || e.GetExec().Snapshot {
		return
	}
	above := e.Process.GetAncestors()
	child := len(above) > 0 && bytes.Contains(above[0].Args, []byte(stormCommand))
	if !ours && !child {
		return
	}
	c.tally.execs++
	if string(e.Process.Args) == c.b.wantArgs {
		c.tally.args++
	}
	if child && string(above[0].Executable) == c.b.storm.self {
		c.tally.parent++
	}
	if e.Process.ContainerId == containerID {
		c.tally.container++
	}
	if len(c.kept) < c.keep {
		c.kept = append(c.kept, e)
	}
}

// patience bounds every wait.
const patience = 2 * time.Minute

// wait waits until the condition, evaluated under the lock after each frame,
// holds.
func (c *collector) wait(what string, holds func() bool) error {
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		ok, grown, fail := holds(), c.grown, c.readFail
		c.mu.Unlock()
		switch {
		case ok:
			return nil
		case fail != nil:
			return fail
		}
		select {
		case <-grown:
		case <-c.done:
			return fmt.Errorf("wait for %s: the collector ended", what)
		case <-timeout:
			return fmt.Errorf("wait for %s: not within %s", what, patience)
		case <-c.b.ctx.Done():
			return context.Cause(c.b.ctx)
		}
	}
}

// account reads a counter of the last status.
func (c *collector) counter(name, label string) uint64 {
	for _, counter := range c.status.GetCounters() {
		if counter.Name == name && counter.Label == label {
			return counter.Value
		}
	}
	return 0
}

const records = "hauberk_collect_kernel_records_total"

func (c *collector) account() (made, seen, lost uint64) {
	return c.counter(records, "stage=made"), c.counter(records, "stage=seen"), c.counter(records, "stage=lost")
}

// settle waits for a status made later than now in which nothing waits any
// more: everything made before now is seen or lost by then.
func (c *collector) settle() error {
	c.mu.Lock()
	last := c.statuses + 1 // one may be on its way
	c.mu.Unlock()
	return c.wait("the account to close", func() bool {
		made, seen, lost := c.account()
		return c.statuses > last && made == seen+lost
	})
}

// cpu returns the CPU time of the process so far, s (proc(5), schedstat).
func (c *collector) cpu() float64 { return cpuOf(c.cmd.Process.Pid) }

func cpuOf(pid int) float64 {
	var sum uint64
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended
		}
		field, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseUint(field, 10, 64)
		sum += n
	}
	return float64(sum) / 1e9
}

// memory reads PSS and anonymous memory of a process, bytes.
func memory(pid int) (pss, anonymous uint64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "Pss:":
			pss = kib << 10
		case "Anonymous:":
			anonymous = kib << 10
		}
	}
	return pss, anonymous
}

// sample notes the highest PSS of a process, at once and then ten times a second.
func sample(pid int, peak *uint64) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			pss, _ := memory(pid)
			*peak = max(*peak, pss)
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(quit); <-done }
}

// stop ends the collector and removes what the loader pinned.
func (c *collector) stop() error {
	c.in.Close()
	err := c.cmd.Wait()
	<-c.done
	if unmount := syscall.Unmount(filepath.Join(c.dir, "bpf"), syscall.MNT_DETACH); unmount != nil && !errors.Is(unmount, syscall.EINVAL) && !errors.Is(unmount, syscall.ENOENT) {
		err = errors.Join(err, unmount)
	}
	return err
}
