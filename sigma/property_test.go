package sigma_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/sigmatest"
)

// compare runs n generated events through the matcher and the naive evaluator.
func compare(t *testing.T, rules []*sigma.Rule, opt sigma.Options, n int) (matches int) {
	t.Helper()
	set, errs, err := sigma.Compile(rules, opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	if opt.Mapping == nil {
		opt.Mapping = sigma.DefaultMapping()
	}
	twin := sigmatest.NewNaive(set, opt)
	gen := sigmatest.NewGenerator(1, rules, opt.Schema, opt.Classes, opt.Mapping)
	sc := set.NewScratch()
	for i := range n {
		ev, class := gen.Next()
		got := set.Match(ev, class, sc)
		want := twin.Match(ev, class, nil)
		matches += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("event %d of class %s: got %v, naive %v\n%s\n%s", i, opt.Classes[class].Name, titles(set, got), titles(set, want), show(opt.Schema, ev), rulesText(set, got, want))
		}
	}
	return matches
}

func titles(s *sigma.Set, ids []sigma.RuleID) (out []string) {
	for _, id := range ids {
		out = append(out, s.Rule(id).Title)
	}
	return out
}

func rulesText(s *sigma.Set, a, b []sigma.RuleID) string {
	var out strings.Builder
	for id := range sigma.RuleID(s.Len()) {
		if slices.Contains(a, id) != slices.Contains(b, id) {
			fmt.Fprintf(&out, "%s:%d %+v\n", s.Rule(id).File, s.Rule(id).Line, s.Rule(id).Detection)
		}
	}
	return out.String()
}

func show(s *sigma.Schema, ev sigma.Record) string {
	var out bytes.Buffer
	for i, f := range s.Fields() {
		if v := ev[i]; v.Kind != sigma.KindInvalid {
			fmt.Fprintf(&out, "  %s: %q %q %d\n", f.Name, v.Bytes, v.List, v.Int)
		}
	}
	return out.String()
}

// TestMatcherEqualsNaivePublic: on events generated from SigmaHQ's rules, the
// matcher and the naive evaluator agree.
func TestMatcherEqualsNaivePublic(t *testing.T) {
	dir := need.Data(t, "sigma")
	rules, errs := sigma.ParseFS(os.DirFS(dir), ".")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	n := 100_000
	if testing.Short() {
		n = 3_000
	}
	m := compare(t, rules, sigma.Options{Schema: ecs(t), Classes: classesFor(rules)}, n)
	t.Logf("%d events, %d matches", n, m)
	if m < n/4 {
		t.Errorf("only %d matches in %d events: the generator is too far from the rules", m, n)
	}
}
