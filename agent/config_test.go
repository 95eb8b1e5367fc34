package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/conf"
)

func TestDefaultsAreValidAndPrintable(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := conf.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path, nil)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if effectiveHash(&again) != effectiveHash(&c) {
		t.Errorf("the printed config reads as another:\n%s", text)
	}
}

func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte("log: {level: warn}\nspool: {max_bytes: 8MiB}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	local, err := Load(path, func(c *Config) { c.Log.Level = "error" })
	if err != nil {
		t.Fatal(err)
	}
	c, err := local.withCentral([]byte("log: {level: debug}\nspool: {max_bytes: 16MiB}\nlimits: {cpu: 0.125}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != "error" || c.Spool.MaxBytes != 8<<20 || c.Limits.CPU != 0.125 || c.Limits.Memory != DefaultConfig().Limits.Memory {
		t.Errorf("flags, file, centre, defaults: %+v", c.Shared)
	}
}

func TestProblemsAreAllNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	bad := "data_dir: relative\ngateways: [nowhere]\nlog: {level: loud}\nspool: {max_bytes: 1}\nlimits: {cpu: -1, memory: 1}\nbreaker: {samples: 0, max_pause: 1s}\ncollect: {interval: 1h}\n"
	if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, nil)
	if err == nil {
		t.Fatal("taken")
	}
	for _, key := range []string{"data_dir", "gateways", "log.level", "spool.max_bytes", "limits.cpu", "limits.memory", "breaker.samples", "breaker.max_pause", "collect: ", "interval: "} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in: %v", key, err)
		}
	}
	if err := os.WriteFile(path, []byte("log:\n  level: info\n  colour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("unknown key: %v", err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "4KiB": 4096, "64MiB": 64 << 20, " 2 GiB ": 2 << 30} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s is %d, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "9999999999GiB", "MiB", "1 MB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func FuzzCentralConfig(f *testing.F) {
	f.Add([]byte("log: {level: debug}\n"))
	f.Add([]byte("limits: {cpu: .nan}\ncollect: &a [*a]\n"))
	local := DefaultConfig()
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := local.withCentral(body)
		if err != nil {
			return
		}
		if c.DataDir != local.DataDir || c.Collect.Dir != "" {
			t.Fatalf("the centre changed what is local: %q", body)
		}
		if c.Limits.CPU != 0 && !(c.Limits.CPU > 0 && c.Limits.CPU <= local.Safety.MaxCPU) {
			t.Fatalf("limits.cpu %g", c.Limits.CPU)
		}
	})
}
