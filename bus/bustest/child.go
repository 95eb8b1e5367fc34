package bustest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
)

// Role is what a child process does until ctx ends, told by its argument in
// JSON. It reports on out, one line for each fact.
type Role func(ctx context.Context, argument []byte, out io.Writer) error

const (
	roleVariable     = "HAUBERK_BUSTEST_ROLE"
	argumentVariable = "HAUBERK_BUSTEST_ARGUMENT"
	// patience bounds every wait for another process; a test never passes
	// because of it.
	patience = 60 * time.Second
)

// Main is for TestMain: in the test process it runs the tests, in a child
// that Spawn started, the child's role.
func Main(m *testing.M, roles map[string]Role) {
	name := os.Getenv(roleVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	role := map[string]Role{"producer": produce, "consumer": consume, "transformer": transform}[name]
	if role == nil {
		role = roles[name]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// The parent holds the other end of stdin: it closes when the parent dies.
	go func() {
		if _, err := io.Copy(io.Discard, os.Stdin); err == nil {
			os.Exit(3)
		}
	}()
	if err := role(ctx, []byte(os.Getenv(argumentVariable)), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Process is a child process.
type Process struct {
	command *exec.Cmd
	lines   chan string
	stdin   io.Closer
	ended   bool
}

// Spawn starts this test binary again in a role. The child is killed at the
// latest when the test ends.
func Spawn(t testing.TB, role string, argument any, attributes *syscall.SysProcAttr) *Process {
	t.Helper()
	text, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{command: exec.Command(os.Args[0]), lines: make(chan string, 1<<16)}
	p.command.Env = append(os.Environ(), roleVariable+"="+role, argumentVariable+"="+string(text))
	p.command.Stderr = os.Stderr
	p.command.SysProcAttr = attributes
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() { p.Kill(t) })
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Line waits for the next line that the child reports.
func (p *Process) Line(t testing.TB) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("child %v ended early", p.command.Process.Pid)
		}
		return line
	case <-time.After(patience):
		t.Fatalf("child %v reported nothing for %s", p.command.Process.Pid, patience)
	}
	return ""
}

// Kill ends the child with SIGKILL, waits and returns the lines that it
// reported and nobody read.
func (p *Process) Kill(t testing.TB) []string { return p.end(t, syscall.SIGKILL) }

// Stop ends the child with SIGTERM and waits.
func (p *Process) Stop(t testing.TB) []string { return p.end(t, syscall.SIGTERM) }

func (p *Process) end(t testing.TB, with os.Signal) []string {
	t.Helper()
	if p.ended {
		return nil
	}
	p.ended = true
	if err := p.command.Process.Signal(with); err != nil {
		t.Errorf("signal child: %v", err)
	}
	var rest []string
	for line := range p.lines {
		rest = append(rest, line)
	}
	err := p.command.Wait()
	if with == syscall.SIGTERM && err != nil {
		t.Errorf("child ended with %v", err)
	}
	p.stdin.Close()
	return rest
}

// task is the argument of the roles below.
type task struct {
	Bus   bus.Config
	Group bus.Group
	Key   string
	// Hang makes a consumer report what it got and never return from its
	// handler; a transformer hangs after its result, before the commit.
	Hang bool
}

func decode(argument []byte) (task, error) {
	var t task
	err := json.Unmarshal(argument, &t)
	return t, err
}

// produce publishes 0, 1, 2 ... under one key and reports each acknowledged.
func produce(ctx context.Context, argument []byte, out io.Writer) error {
	task, err := decode(argument)
	if err != nil {
		return err
	}
	client, err := bus.Open(ctx, task.Bus, nil, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	for i := 0; ctx.Err() == nil; i++ {
		client.PublishAsync(ctx, numbered(task.Key, i), func(err error) {
			if err == nil {
				fmt.Fprintln(out, i)
			}
		})
	}
	return nil
}

// consume reports the value of each message before its handler returns.
func consume(ctx context.Context, argument []byte, out io.Writer) error {
	task, err := decode(argument)
	if err != nil {
		return err
	}
	client, err := bus.Open(ctx, task.Bus, nil, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Consume(ctx, task.Group, func(ctx context.Context, batch []bus.Message) error {
		for _, m := range batch {
			fmt.Fprintln(out, string(m.Value))
		}
		if task.Hang {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
}

// transform copies events to alerts exactly once and reports each call.
func transform(ctx context.Context, argument []byte, out io.Writer) error {
	task, err := decode(argument)
	if err != nil {
		return err
	}
	client, err := bus.Open(ctx, task.Bus, nil, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	calls := 0
	return client.Transform(ctx, task.Group, func(ctx context.Context, batch []bus.Message) ([]bus.Message, error) {
		calls++
		fmt.Fprintln(out, "call", len(batch))
		if task.Hang && calls == 3 {
			fmt.Fprintln(out, "hang")
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return toAlerts(batch), nil
	})
}
