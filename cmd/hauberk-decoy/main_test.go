package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(good, []byte("interface: eth0\naddresses: [192.0.2.2/24]\ntraps: [198.51.100.0/24]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("interface: eth0\nadresses: [192.0.2.2/24]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      []string
		out, fail string
	}{
		{args: []string{"help"}, out: "hauberk-decoy answers"},
		{args: []string{"version"}, out: "hauberk-decoy dev"},
		{args: []string{"fly"}, fail: `no command "fly"`},
		{args: []string{"run", "--config", good, "--check-config"}},
		{args: []string{"run", "--config", good, "--print-config"}, out: "- 198.51.100.0/24"},
		{args: []string{"run", "--config", bad, "--check-config"}, fail: `unknown key "adresses"`},
		{args: []string{"netstat", "--socket", filepath.Join(dir, "none")}, fail: "is the decoy running?"},
	} {
		var out bytes.Buffer
		err := dispatch(c.args, &out)
		if c.fail == "" && err != nil || c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) || !strings.Contains(out.String(), c.out) {
			t.Errorf("%v: %v\n%s", c.args, err, out.String())
		}
	}
}
