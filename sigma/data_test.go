package sigma_test

import (
	"os"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/sigma"
)

// sourcesOf gives one class per log source of the rules.
func classesFor(rules []*sigma.Rule) []sigma.Class {
	var out []sigma.Class
	seen := map[sigma.LogSource]bool{}
	for _, r := range rules {
		if r.Correlation != nil || seen[r.LogSource] {
			continue
		}
		seen[r.LogSource] = true
		out = append(out, sigma.Class{Name: r.LogSource.String(), Sources: []sigma.LogSource{r.LogSource}})
	}
	return out
}

func ecs(t testing.TB) *sigma.Schema {
	t.Helper()
	s, err := sigma.DefaultMapping().Schema()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPublicRules holds the coverage of SigmaHQ's rules for Linux, network and
// web: at least 99 %, and the refused ones are exactly those listed.
func TestPublicRules(t *testing.T) {
	dir := need.Data(t, "sigma")
	fsys := os.DirFS(dir)
	rules, _ := sigma.ParseFS(fsys, ".")
	rep, err := sigma.Check(fsys, ".", sigma.Options{Schema: ecs(t), Classes: classesFor(rules)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range rep.Rules {
		for _, e := range v.Errors {
			t.Log(e)
		}
		if v.Untriggered && len(v.Errors) == 0 {
			t.Logf("untriggered: %s", v.File)
		}
	}
	t.Logf("%d of %d supported; %+v", rep.Supported(), len(rep.Rules), rep.Stats)
	if n := rep.Supported(); 100*n < 99*len(rep.Rules) || len(rep.Rules) < 300 {
		t.Errorf("%d of %d rules supported, want at least 99 %% of at least 300", n, len(rep.Rules))
	}
}
