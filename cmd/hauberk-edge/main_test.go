package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const config = `interfaces: [eth0]
tables: {sessions: 1024}
local: {v4: 10.9.0.0/24}
vips: [{name: web, address: 203.0.113.10, ports: 80, backends: [{address: 10.2.0.11}]}]
`

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edge.yaml")
	for _, test := range []struct {
		text       string
		args       []string
		code       int
		out, error string
	}{
		{config, []string{"--check-config"}, 0, "", ""},
		{config, []string{"--print-config"}, 0, "scheduler: mh", ""},
		{config + "vipz: 1\n", []string{"--check-config"}, exitConfig, "", `line 5: unknown key "vipz"`},
		{config, []string{"--version"}, 0, "hauberk-edge dev", ""},
		{config, []string{"again"}, 1, "", `unexpected argument "again"`},
		{config, []string{"--help"}, 0, "", "--check-config"},
		{config, nil, 1, "", "eth0: "}, // there is no such interface
	} {
		text := test.text
		if test.args == nil {
			text = strings.Replace(text, "eth0", "no-such-if0", 1)
			test.error = "no-such-if0: "
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run(append(test.args, "--config", path), &out, &errs)
		if code != test.code || !strings.Contains(out.String(), test.out) || !strings.Contains(errs.String(), test.error) {
			t.Errorf("%v: exit %d, %q, %q", test.args, code, out.String(), errs.String())
		}
	}
}
