package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// BenchmarkReload takes over a day's changes of the public rules: 150 are
// added, 300 changed, 20 removed.
func BenchmarkReload(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(need.Data(b, "etopen"), "*.rules"))
	if err != nil {
		b.Fatal(err)
	}
	var before, after strings.Builder
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			before.WriteString(line)
			if line == "\n" || line[0] == '#' {
				continue
			}
			switch n++; {
			case n <= 20:
			case n <= 320:
				after.WriteString(strings.Replace(line, "msg:\"", "msg:\"Changed ", 1))
			case n <= 470:
				after.WriteString(line + strings.Replace(line, "sid:", "priority:1; sid:9", 1))
			default:
				after.WriteString(line)
			}
		}
	}
	c := DefaultConfig()
	c.Exclusive = true
	c.LogDir = b.TempDir()
	load := func(text string) Config {
		path := filepath.Join(b.TempDir(), "some.rules")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		with := c
		with.Rules = []string{path}
		return with
	}
	one, two := load(before.String()), load(after.String())
	pl, err := open(one, func(Problem) {})
	if err != nil {
		b.Fatal(err)
	}
	tree, err := two.load()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		set, err := loadRules(two, tree, pl.registry, pl.engine.Rules(), nil, func(Problem) {})
		if err != nil {
			b.Fatal(err)
		}
		if set.Len() < 19000 {
			b.Fatal(set.Len())
		}
	}
}
