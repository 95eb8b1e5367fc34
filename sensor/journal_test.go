package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJournal: the reason and the place of a rule that is refused, once, in
// the form that is asked for.
func TestJournal(t *testing.T) {
	c := site(t, map[string]string{
		"suricata.yaml": "%YAML 1.1\n---\nrule-files: [DIR/a.rules]\nlogging:\n  outputs:\n  - file: {enabled: yes, filename: a.json, type: json, level: info}\n  - file: {enabled: yes, filename: b.log}\n  - file: {enabled: no, filename: c.log}\n",
		"a.rules":       "alert tcp any any -> any any (depth:3; within:4; sid:2;)\n",
	})
	c.LogDir = t.TempDir()
	if _, err := Check(c); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(c.LogDir, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	got := read("a.json")
	for _, want := range []string{`"event_type":"engine","engine":{"message":"depth needs preceding content`, `error parsing signature`, "1 rules failed"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("no single %s in\n%s", want, got)
		}
	}
	if n := strings.Count(got, `"module":"detect"`); n != 3 {
		t.Errorf("%d messages of detect, want 3:\n%s", n, got)
	}
	if text := read("b.log"); !strings.Contains(text, "Error: detect-depth: depth needs") || strings.Contains(text, "rule files processed") {
		t.Errorf("of level notice:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(c.LogDir, "c.log")); err == nil {
		t.Error("a log that is off is written")
	}
}
