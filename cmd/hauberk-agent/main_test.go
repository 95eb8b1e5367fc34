package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{good: "limits: {cpu: 0.125}\n", bad: "limits: {cpu: fast}\ncolour: red\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args      string
		out, fail string // what they contain
	}{
		{"", "hauberk-agent enroll --server", ""},
		{"help", dataDirWord, ""},
		{"version", "hauberk-agent dev", ""},
		{"fly", "", `no command "fly"`},
		{"run --data-dir " + dir + " --config " + good + " --check-config", "", ""},
		{"run --data-dir " + dir + " --config " + good + " --print-config --log-level debug", "cpu: 0.125", ""},
		{"run --data-dir " + dir + " --print-config --gateways a:1,b:2", "- b:2", ""},
		{"run --config " + bad, "", "line 1"},
		{"run --config " + bad, "", "line 2"},
		{"run --config " + filepath.Join(dir, "absent"), "", "no such file"},
		{"run stray", "", `unexpected argument "stray"`},
		{"enroll", "", "--server and --token"},
		{"enroll --server localhost:1 --token hbk1.x --data-dir " + dir, "", "was it cut?"},
		{"status --data-dir " + dir, "", "does it run"},
		{"identity --data-dir " + dir, "", "not enrolled"},
	} {
		var out strings.Builder
		err := dispatch(strings.Fields(c.args), &out)
		switch {
		case c.fail == "" && err != nil:
			t.Errorf("%s: %v", c.args, err)
		case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)):
			t.Errorf("%s: %v, want %q", c.args, err, c.fail)
		case !strings.Contains(out.String(), c.out):
			t.Errorf("%s printed\n%s", c.args, out.String())
		}
		if strings.Contains(c.args, bad) && !errors.Is(err, errConfig) {
			t.Errorf("%s: not a failure of the configuration: %v", c.args, err)
		}
	}
}

const dataDirWord = "--data-dir DIR (default /"
