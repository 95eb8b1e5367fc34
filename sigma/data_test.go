package sigma_test

import (
	"os"
	"path"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/sigma"
)

// classesFor gives one class per log source of the rules.
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
// web: every one of them compiles, and all but three need a literal text.
func TestPublicRules(t *testing.T) {
	fsys := os.DirFS(need.Data(t, "sigma"))
	rules, _ := sigma.ParseFS(fsys, ".")
	rep, err := sigma.Check(fsys, ".", sigma.Options{Schema: ecs(t), Classes: classesFor(rules)})
	if err != nil {
		t.Fatal(err)
	}
	var untriggered []string
	for _, v := range rep.Rules {
		for _, e := range v.Errors {
			t.Error(e)
		}
		if v.Idle {
			t.Errorf("%s: no class serves %s", v.File, v.Source)
		}
		if v.Untriggered {
			untriggered = append(untriggered, path.Base(v.File))
		}
	}
	want := []string{"zeek_rdp_public_listener.yml", "file_event_lnx_susp_long_filename_pattern.yml", "proxy_ua_empty.yml"}
	if !slices.Equal(untriggered, want) {
		t.Errorf("untriggered: %v, want %v", untriggered, want)
	}
	if len(rep.Rules) < 300 {
		t.Errorf("only %d rules", len(rep.Rules))
	}
}

// TestAutomatonBudget: the automata of all Linux rules take at most 1 MB.
func TestAutomatonBudget(t *testing.T) {
	set, _ := linuxSet(t)
	if st := set.Stats(); st.AutomatonBytes > 1e6 || st.Rules < 200 {
		t.Errorf("%+v", st)
	}
}
