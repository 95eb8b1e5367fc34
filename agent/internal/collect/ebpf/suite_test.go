package ebpf_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/ebpf"
	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/agent/internal/collecttest"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/tinyelf"
)

func load(t *testing.T, change func(*ebpf.LoadConfig)) ebpf.LoadConfig {
	config := ebpf.LoadConfig{
		Pins: filepath.Join(t.TempDir(), "bpf"), BulkRing: 1 << 20, PriorityRing: 64 << 10, WakeBytes: 64 << 10,
		Directory: true, Network: true, Denied: true, DeniedPerSecond: 500,
	}
	if change != nil {
		change(&config)
	}
	if err := ebpf.Load(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ebpf.Unpin(config.Pins); err != nil {
			t.Error(err)
		}
	})
	return config
}

func TestSuite(t *testing.T) {
	need.BPF(t)
	collecttest.Run(t, func(t *testing.T, target collecttest.Target) source.Source {
		s, err := ebpf.Open(ebpf.Config{Load: load(t, nil), Interval: 20 * time.Millisecond, Sensitive: []string{target.Sensitive}}, target.Host, target.Counters)
		if err != nil {
			t.Fatal(err)
		}
		for _, feature := range []string{"network", "denied"} {
			if reason := s.Missing(feature); reason != "" {
				t.Errorf("no %s: %s", feature, reason)
			}
		}
		return s
	})
}

// count is a sink that counts execs of one program.
type count struct {
	executable string
	execs      atomic.Int64
	flushed    chan struct{}
}

func (c *count) Emit(_ event.Class, _ int64, e *event.Event) {
	if e.GetExec() != nil && string(e.Process.Executable) == c.executable {
		c.execs.Add(1)
	}
}

func (c *count) Flush() {
	select {
	case c.flushed <- struct{}{}:
	default:
	}
}

// run runs a source until all that was made is seen or lost, and ends it.
func run(t *testing.T, config ebpf.Config, sink *count) ebpf.Account {
	t.Helper()
	counters := &obs.Registry{}
	s, err := ebpf.Open(config, host.New(1024, counters), counters)
	if err != nil {
		t.Fatal(err)
	}
	sink.flushed = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, sink) }()
	timeout := time.After(20 * time.Second)
	for {
		a, err := s.Account()
		if err != nil {
			t.Fatal(err)
		}
		if a.Made == a.Seen+a.Lost {
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			return a
		}
		select {
		case <-sink.flushed:
		case <-timeout:
			t.Fatalf("the account does not close: %+v", a)
		}
	}
}

// TestFrozen makes more records than the ring holds while nobody reads: every
// one is seen or counted as lost, and a second reader goes on where the first
// ended.
func TestFrozen(t *testing.T) {
	need.BPF(t)
	config := ebpf.Config{Load: load(t, func(c *ebpf.LoadConfig) { c.BulkRing, c.WakeBytes = 64<<10, 16<<10 }), Interval: 10 * time.Millisecond}
	program := filepath.Join(t.TempDir(), "true")
	if err := tinyelf.WriteExit(program); err != nil {
		t.Fatal(err)
	}
	storm := func(n int) {
		for range n {
			if err := exec.Command(program).Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := &count{executable: program}
	storm(500)
	a := run(t, config, first)
	if a.Lost == 0 || first.execs.Load() == 0 || first.execs.Load() >= 500 {
		t.Fatalf("%d of 500 execs seen, account %+v: want some, not all", first.execs.Load(), a)
	}
	second := &count{executable: program}
	storm(50)
	b := run(t, config, second)
	if second.execs.Load() != 50 || b.Lost != a.Lost {
		t.Fatalf("%d of 50 execs seen after the pause, account %+v after %+v", second.execs.Load(), b, a)
	}
}

// TestLoad keeps what fits, replaces what does not, and leaves nothing.
func TestLoad(t *testing.T) {
	need.BPF(t)
	config := load(t, nil)
	before, err := os.ReadDir(config.Pins)
	if err != nil {
		t.Fatal(err)
	}
	if err := ebpf.Load(config); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadDir(config.Pins); len(again) != len(before) || again[0].Name() != before[0].Name() {
		t.Fatalf("pins %v became %v", before, again)
	}
	config.Network = false
	if err := ebpf.Load(config); err != nil {
		t.Fatal(err)
	}
	counters := &obs.Registry{}
	s, err := ebpf.Open(ebpf.Config{Load: config, Interval: time.Second}, host.New(64, counters), counters)
	if err != nil {
		t.Fatal(err)
	}
	if s.Capabilities().Has(source.Connect) || !s.Capabilities().Has(source.Denied) || s.Missing("network") != "turned off" {
		t.Fatalf("capabilities %s, network missing because %q", s.Capabilities(), s.Missing("network"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Run(ctx, &count{}) // closes it
	for range 2 {
		if err := ebpf.Unpin(config.Pins); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ebpf.Open(ebpf.Config{Load: config}, host.New(64, counters), counters); err == nil {
		t.Fatal("opened what is not pinned")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), config.Pins) {
		t.Fatalf("still mounted: %v", err)
	}
}
