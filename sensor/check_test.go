package sensor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// site writes a configuration and its files, and gives a Config of them.
func site(t *testing.T, files map[string]string) Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := DefaultConfig()
	c.File, c.LogDir = filepath.Join(dir, "suricata.yaml"), dir
	return c
}

const yaml = `%YAML 1.1
---
vars:
  address-groups: {HOME_NET: "[10.0.0.0/8]"}
default-rule-path: DIR
rule-files: ["*.rules"]
classification-file: DIR/classification.config
reference-config-file: DIR/reference.config
threshold-file: DIR/absent
`

func TestCheck(t *testing.T) {
	c := site(t, map[string]string{
		"suricata.yaml":         yaml,
		"classification.config": "config classification: a,A,1\n",
		"reference.config":      "config reference: url http://\n",
		"a.rules":               `alert tcp $HOME_NET any -> any any (msg:"a"; content:"x"; sid:1;)` + "\n",
		"b.rules":               `alert tcp any any -> any any (msg:"b"; content:"y"; sid:2;)` + "\n",
	})
	r, err := Check(c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Files != 2 || r.Loaded != 2 || r.Fatal() || len(r.Problems) != 1 || r.Problems[0].Part != "threshold" {
		t.Errorf("%+v", r)
	}
	c.Rules, c.Exclusive = []string{filepath.Join(c.LogDir, "b.rules")}, true
	if r, err := Check(c); err != nil || r.Loaded != 1 {
		t.Errorf("with -S: %+v, %v", r, err)
	}
}

func TestCheckReportsAll(t *testing.T) {
	c := site(t, map[string]string{
		"suricata.yaml":    yaml,
		"reference.config": "nothing good\nnor this\n",
		"absent":           "not this either\n",
		"a.rules": `alert tcp any any -> any any (nonsense; sid:1;)
alert tcp $NOWHERE any -> any any (sid:2;)
alert tcp any any -> any any (sid:3;)
`,
	})
	c.Set = []string{"rule-files.1=missing.rules"}
	r, err := Check(c)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, p := range r.Problems {
		if p.Fatal {
			got.WriteString(p.Part + ": " + p.Text + "\n")
		}
	}
	for _, want := range []string{
		"threshold: Error loading threshold configuration ", "absent:1: ", "reference: Invalid Reference Config in ", "reference.config:2", "a.rules:1:", "sid 1: nonsense", "NOWHERE", "match the pattern",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("no %q in\n%s", want, got.String())
		}
	}
	if r.Loaded != 1 || strings.Count(got.String(), "\n") != 6 {
		t.Errorf("%d loaded\n%s", r.Loaded, got.String())
	}
}

// TestOutputsThatAreNot: what a configuration asks for and nothing writes is said.
func TestOutputsThatAreNot(t *testing.T) {
	c := site(t, map[string]string{
		"suricata.yaml": yaml + `outputs:
  - fast: {}
  - http-log: {enabled: yes}
  - tls-log: {enabled: no}
  - eve-log: {filetype: redis, types: [alert]}
  - eve-log: {types: [alert, nonesuch, flow, http: {extended: yes}, nor-this: {}, ftp: {enabled: no}]}
`,
		"a.rules": "",
	})
	r, err := Check(c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range r.Problems {
		if p.Part == "outputs" {
			got = append(got, p.Text)
		}
	}
	if len(got) != 3 || !strings.Contains(got[0], "http-log") || !strings.Contains(got[1], "redis") || !strings.HasSuffix(got[2], "type nonesuch, nor-this") {
		t.Errorf("%q", got)
	}
}

func TestConfigProblems(t *testing.T) {
	c := Config{NoDetection: true, Rules: []string{"x"}, LogDir: "/nowhere", Checksums: "some"}
	err := c.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("got %v", err)
	}
	c = DefaultConfig()
	c.File = "/nowhere/suricata.yaml"
	if _, err := Check(c); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestDumpConfig(t *testing.T) {
	c := site(t, map[string]string{"suricata.yaml": "%YAML 1.1\n---\na: {b: yes}\n"})
	c.Set = []string{"a.b=no"}
	var b bytes.Buffer
	if err := DumpConfig(c, &b); err != nil || b.String() != "a = (null)\na.b = no\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// TestCheckUpstream checks public rules against the default file.
func TestCheckUpstream(t *testing.T) {
	c := DefaultConfig()
	etc := need.Data(t, "suricata-etc")
	c.File = filepath.Join(etc, "suricata.yaml")
	c.Set = []string{"classification-file=" + filepath.Join(etc, "classification.config"), "reference-config-file=" + filepath.Join(etc, "reference.config")}
	c.Rules, c.Exclusive = []string{filepath.Join(need.Data(t, "etopen"), "emerging-d*.rules")}, true
	r, err := Check(c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Loaded == 0 || r.Fatal() {
		t.Errorf("%d rules of %d files, %v", r.Loaded, r.Files, r.Problems)
	}
}

func TestAnalyse(t *testing.T) {
	c := site(t, map[string]string{
		"suricata.yaml": yaml,
		"a.rules":       `alert ip 10.0.0.1 any -> any any (msg:"a"; sid:1; rev:2;)` + "\n" + `alert tcp any any -> any any (content:"<x"; sid:2;)` + "\n",
	})
	if _, err := Analyse(c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.LogDir, "rules.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"id":1,"gid":1,"rev":2,"msg":"a","type":"ip_only"}`, `<x`, `"id":2,"gid":1,"rev":0,"msg":"","type":"stream"}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	c.LogDir = ""
	if _, err := Analyse(c); err == nil {
		t.Error("written without a folder")
	}
}
