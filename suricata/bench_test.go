package suricata_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/suricata"
)

// BenchmarkLoad parses and compiles the 29,617 public rules, enabled and not.
func BenchmarkLoad(b *testing.B) {
	files, err := filepath.Glob(filepath.Join(need.Data(b, "etopen"), "*.rules"))
	if err != nil {
		b.Fatal(err)
	}
	var texts []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	b.ReportAllocs()
	rules := 0
	for b.Loop() {
		c := suricata.NewCompiler(site)
		rules = 0
		for _, text := range texts {
			set := suricata.ParseText(text, "", suricata.Options{Disabled: true})
			for _, r := range append(set.Rules, set.Disabled...) {
				if _, err := c.Compile(r); err != nil {
					b.Fatal(err)
				}
				rules++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rules), "ns/rule")
}
