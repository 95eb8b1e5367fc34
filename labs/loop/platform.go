// Package loop runs the whole platform as a user does: it builds the binaries,
// starts `hauberk up` on a data directory of its own, attacks this host in
// harmless ways and looks at what the operator's commands and the console say.
// Its tests are the whole-system tests; labs/crash and labs/loopbench use it
// to kill and to measure.
package loop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Binaries are the paths of the built programs.
type Binaries struct{ Hauberk, Agent string }

// Build builds the binaries of this checkout into dir, as `make build` does.
func Build(ctx context.Context, dir string) (Binaries, error) {
	var b Binaries
	var err error
	if b.Hauberk, err = BuildOne(ctx, dir, "hauberk"); err != nil {
		return b, err
	}
	b.Agent, err = BuildOne(ctx, dir, "hauberk-agent")
	return b, err
}

// BuildOne builds one binary of this checkout into dir and returns its path.
func BuildOne(ctx context.Context, dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/"+name)
	c.Dir = moduleRoot()
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", path, err, out)
	}
	return path, nil
}

func moduleRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Platform is a running `hauberk up`.
type Platform struct {
	Binaries
	Data     string
	Console  string // https://127.0.0.1:PORT
	Password string // one-time, of user admin; empty after the first start
	Ready    time.Duration

	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu     sync.Mutex
	output bytes.Buffer
}

var (
	consoleLine  = regexp.MustCompile(`(?m)^\s*console\s+(https://\S+)`)
	passwordLine = regexp.MustCompile(`(?m)^\s*password\s+(\S+)`)
)

// readyWord is on the last line `up` prints when everything runs.
const readyWord = "Ctrl-C stops"

// Up starts `hauberk up` on the data directory with ports the kernel picks,
// and waits until it says it is ready.
func Up(ctx context.Context, b Binaries, data string, args ...string) (*Platform, error) {
	p := &Platform{Binaries: b, Data: data, done: make(chan struct{})}
	args = append([]string{"up", "--data-dir", data, "--listen-console", "127.0.0.1:0", "--listen-nodes", "127.0.0.1:0"}, args...)
	p.cmd = exec.Command(b.Hauberk, args...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = p.cmd.Stdout
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		defer close(p.done)
		p.read(out, ready)
		p.err = p.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-p.done:
		return nil, fmt.Errorf("hauberk up ended: %v\n%s", p.err, p.Output())
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("hauberk up is not ready: %w\n%s", ctx.Err(), p.Output())
	}
	p.Ready = time.Since(began)
	if m := consoleLine.FindStringSubmatch(p.Output()); m != nil {
		p.Console = m[1]
	}
	if m := passwordLine.FindStringSubmatch(p.Output()); m != nil {
		p.Password = m[1]
	}
	return p, nil
}

func (p *Platform) read(out io.Reader, ready chan<- struct{}) {
	s := bufio.NewScanner(out)
	said := false
	for s.Scan() {
		p.mu.Lock()
		p.output.WriteString(s.Text() + "\n")
		p.mu.Unlock()
		if !said && strings.Contains(s.Text(), readyWord) {
			said = true
			close(ready)
		}
	}
}

// Output is what `up` printed so far.
func (p *Platform) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// PID is the supervisor's.
func (p *Platform) PID() int { return p.cmd.Process.Pid }

// Stop sends what Ctrl-C sends and waits for the end.
func (p *Platform) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return p.err
}

// Kill ends the supervisor at once; its processes end by the death signal.
func (p *Platform) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// CLI runs an operator's command against this platform and returns its
// standard output.
func (p *Platform) CLI(ctx context.Context, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, p.Hauberk, append(args, "--data-dir", p.Data)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return out, fmt.Errorf("hauberk %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

// Token makes a token with which one node can join.
func (p *Platform) Token(ctx context.Context) (string, error) {
	out, err := p.CLI(ctx, "token", "create", "--json")
	if err != nil {
		return "", err
	}
	var token struct{ Token string }
	if err := json.Unmarshal(out, &token); err != nil {
		return "", fmt.Errorf("token %s: %w", out, err)
	}
	return token.Token, nil
}

// Gateway returns the address at which nodes connect.
func (p *Platform) Gateway(ctx context.Context) (string, error) {
	s, err := p.Status(ctx)
	return s.Addresses.Nodes, err
}

// Status is the part of `hauberk status --json` the labs look at.
type Status struct {
	Addresses struct{ Nodes string }
	Events    struct {
		Produced, Stored  uint64
		Rejected, Dropped map[string]uint64
		Difference        int64
	}
	Ingest struct {
		Stopped bool
		Reason  string
	}
}

// Status asks for it. A platform that is not well is no error.
func (p *Platform) Status(ctx context.Context) (Status, error) {
	var s Status
	out, err := p.CLI(ctx, "status", "--json")
	if len(out) == 0 && err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// Alert is the part of `hauberk alerts --json` the tests look at.
type Alert struct {
	ID       string `json:"id"`
	RuleID   string `json:"rule_id"`
	RuleName string `json:"rule_name"`
	Severity string `json:"severity"`
	State    string `json:"state"`
	Count    uint64 `json:"count"`
	Raw      string `json:"-"` // the whole line
}

// Alerts returns all alerts, newest first.
func (p *Platform) Alerts(ctx context.Context) ([]Alert, error) {
	out, err := p.CLI(ctx, "alerts", "--json")
	if err != nil {
		return nil, err
	}
	var list []Alert
	for line := range bytes.Lines(out) {
		var a Alert
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("alert %q: %w", line, err)
		}
		a.Raw = string(line)
		list = append(list, a)
	}
	return list, nil
}

// AwaitAlert polls until an alert satisfies want, or the context ends.
func (p *Platform) AwaitAlert(ctx context.Context, want func(Alert) bool) (Alert, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := p.Alerts(ctx)
		if err != nil {
			return Alert{}, err
		}
		for _, a := range list {
			if want(a) {
				return a, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			var names []string
			for _, a := range list {
				names = append(names, a.RuleName)
			}
			return Alert{}, fmt.Errorf("no such alert: %w; there are %q", ctx.Err(), names)
		}
	}
}

// AwaitOnline polls until a node is online, or the context ends.
func (p *Platform) AwaitOnline(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := p.CLI(ctx, "nodes", "--state", "online", "--json")
		if err != nil || len(out) > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no node is online: %w", ctx.Err())
		}
	}
}
