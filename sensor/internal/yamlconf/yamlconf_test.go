package yamlconf

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hauberk/hauberk/internal/need"
)

const sample = `%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[10.0.0.0/8]"
default_log_dir: /tmp
stream: {midstream: On, memcap: 1.5 mb, depth: 0x10}
outputs:
  - fast:
      enabled: yes
  - eve-log:
      types: [alert, {http: {extended: no}}]
empty:
`

func parse(t *testing.T, text string) *Tree {
	t.Helper()
	tree, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestDump(t *testing.T) {
	tree := parse(t, sample)
	for _, s := range []string{"outputs.0.fast.enabled=no", "outputs[1].eve-log.enabled=yes", "new.name= a b"} {
		if err := tree.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := tree.Dump(&b); err != nil {
		t.Fatal(err)
	}
	want := `vars = (null)
vars.address-groups = (null)
vars.address-groups.HOME_NET = [10.0.0.0/8]
default-log-dir = /tmp
stream = (null)
stream.midstream = On
stream.memcap = 1.5 mb
stream.depth = 0x10
outputs = (null)
outputs.0 = fast
outputs.0.fast = (null)
outputs.0.fast.enabled = no
outputs.1 = eve-log
outputs.1.eve-log = (null)
outputs.1.eve-log.types = (null)
outputs.1.eve-log.types.0 = alert
outputs.1.eve-log.types.1 = http
outputs.1.eve-log.types.1.http = (null)
outputs.1.eve-log.types.1.http.extended = no
outputs.1.eve-log.enabled = yes
empty = 
new = (null)
new.name = a b
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	if len(tree.Warnings) != 1 || tree.Warnings[0].String() != `x.yaml:6: "default_log_dir" is read as "default-log-dir"` {
		t.Errorf("warnings %v", tree.Warnings)
	}
}

func TestValues(t *testing.T) {
	tree := parse(t, sample)
	if !tree.Bool("stream.midstream", false) || tree.Bool("outputs.1.eve-log.types.1.http.extended", true) || !tree.Bool("absent", true) {
		t.Error("a boolean is wrong")
	}
	if v, err := tree.Size("stream.memcap", 0); err != nil || v != 3<<19 {
		t.Errorf("size %d, %v", v, err)
	}
	if v, err := tree.Int("stream.depth", 0); err != nil || v != 16 {
		t.Errorf("int %d, %v", v, err)
	}
	if v := tree.String("stream", "def"); v != "def" {
		t.Errorf("a node with children has the value %q", v)
	}
	want := `x.yaml:7: stream.midstream: want a size such as 64kb, not "On"`
	if _, err := tree.Size("stream.midstream", 0); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := tree.Int("stream.midstream", 0); err == nil {
		t.Error("On was read as a number")
	}
}

func TestRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"no header":    "a: b\n",
		"a list":       "%YAML 1.1\n---\n- a\n",
		"broken":       "%YAML 1.1\n---\na: [\n",
		"key is a map": "%YAML 1.1\n---\n? {a: b}\n: c\n",
		"include":      "%YAML 1.1\n---\ninclude: x\n",
		"deep":         "%YAML 1.1\n---\na: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
	} {
		if _, err := Parse("x", []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, s := range []string{"a", "=b", "a..b=c"} {
		if err := parse(t, sample).Set(s); err == nil {
			t.Errorf("set %q: no error", s)
		}
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("%YAML 1.1\n---\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.yaml", "a: 1\nb: 2\ninclude: [one.yaml, two.yaml]\nc: !include three.yaml\n")
	write("one.yaml", "a: one\n")
	write("two.yaml", "d: {e: two}\nvars.port-groups.A_B: \"[1,2]\"\n")
	write("three.yaml", "f: three\n")
	tree, err := Load(filepath.Join(dir, "main.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"a": "one", "b": "2", "c.f": "three", "d.e": "two", "vars.port-groups.A_B": "[1,2]"} {
		if got := tree.String(path, ""); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	write("loop.yaml", "include: loop.yaml\n")
	if _, err := Load(filepath.Join(dir, "loop.yaml")); err == nil {
		t.Error("a file that includes itself was read")
	}
}

// TestUpstream reads the default file and those of upstream's tests.
func TestUpstream(t *testing.T) {
	tree, err := Load(filepath.Join(need.Data(t, "suricata-etc"), "suricata.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"outputs.1": "eve-log", "vars.port-groups.HTTP_PORTS": "80", "suricata-version": "8.0",
		"outputs.1.eve-log.types.0": "alert", "app-layer.protocols.tls.detection-ports.dp": "443",
	} {
		if got := tree.String(path, ""); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	read := 0
	err = filepath.WalkDir(need.Data(t, "suricata-verify"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "suricata.yaml" {
			return err
		}
		if _, err := Load(path); err != nil && !strings.Contains(err.Error(), "no such file") {
			t.Error(err)
		}
		read++
		return nil
	})
	if err != nil || read < 300 {
		t.Errorf("read %d files, %v", read, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("%YAML 1.1\n---\na: &x [b, *x]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := Parse("f", text)
		if err != nil {
			return
		}
		var b strings.Builder
		if err := tree.Dump(&b); err != nil {
			t.Fatal(err)
		}
	})
}
