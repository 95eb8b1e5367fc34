package ebpf_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/ebpf"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/agent/internal/collecttest"
	"github.com/hauberk/hauberk/internal/need"
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
