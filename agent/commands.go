package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/hauberk/hauberk/node"
	"github.com/hauberk/hauberk/node/command"
)

// commandFuncs are the commands an agent knows.
func (a *Agent) commandFuncs() map[string]command.Func {
	return map[string]command.Func{
		"ping":                a.ping,
		"status":              a.statusCommand,
		"restart-collector":   a.restartCollector,
		"collect-diagnostics": a.diagnostics,
		"set-log-level":       a.setLogLevel,
	}
}

func (a *Agent) ping(context.Context, map[string]string, func(uint32)) (string, error) {
	return "pong", nil
}

func (a *Agent) statusCommand(context.Context, map[string]string, func(uint32)) (string, error) {
	out, err := json.MarshalIndent(a.Status(), "", " ")
	return string(out), err
}

// restartCollector replaces the collector, loader included, and waits for
// the new one.
func (a *Agent) restartCollector(ctx context.Context, _ map[string]string, progress func(uint32)) (string, error) {
	if ok, why := a.wanted(); !ok {
		return "", fmt.Errorf("the collector does not run: %s", why)
	}
	a.mu.Lock()
	old := a.child.pid
	a.child.stale, a.child.load = true, true
	a.mu.Unlock()
	a.look()
	progress(50)
	for {
		a.mu.Lock()
		pid := a.child.pid
		a.mu.Unlock()
		if pid != 0 && pid != old {
			return fmt.Sprintf("collector %d replaced by %d", old, pid), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the new collector: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// setLogLevel changes the level until the next start or config.
func (a *Agent) setLogLevel(_ context.Context, arguments map[string]string, _ func(uint32)) (string, error) {
	level := arguments["level"]
	if _, err := parseLevel(level); err != nil {
		return "", fmt.Errorf("argument level: %w", err)
	}
	if a.deps.LogLevel == nil {
		return "", fmt.Errorf("this agent's log level is fixed")
	}
	a.setLevel(level)
	return "log level " + level, nil
}

// diagnostics gathers what someone far away needs to understand this agent:
// its status, its memory, and where its goroutines stand. It holds no secret.
func (a *Agent) diagnostics(_ context.Context, _ map[string]string, progress func(uint32)) (string, error) {
	var b strings.Builder
	if err := a.Status().Write(&b); err != nil {
		return "", err
	}
	progress(30)
	h := node.ThisHost()
	fmt.Fprintf(&b, "\nhost %s, %s, kernel %s, %s, %d processors\n", h.Name, h.OS, h.Kernel, h.Arch, runtime.NumCPU())
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(&b, "heap %d KiB, from the system %d KiB, %d collections\n", m.HeapAlloc>>10, m.Sys>>10, m.NumGC)
	a.mu.Lock()
	pid := a.child.pid
	a.mu.Unlock()
	for _, who := range []string{"self", fmt.Sprint(pid)} {
		data, err := os.ReadFile("/proc/" + who + "/smaps_rollup")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "Pss:") || strings.HasPrefix(line, "Anonymous:") {
				fmt.Fprintf(&b, "process %s %s", who, line)
			}
		}
	}
	for _, r := range a.metrics.Readings() {
		if r.Value > 0 {
			fmt.Fprintf(&b, "%s{%s} %d\n", r.Name, r.Label, r.Value)
		}
	}
	progress(60)
	stacks := make([]byte, 8<<10)
	b.WriteString("\n")
	b.Write(stacks[:runtime.Stack(stacks, true)])
	return b.String(), nil
}
