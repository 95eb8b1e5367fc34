package suricata_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/suricata"
)

// load reads the rule files that match a pattern below a folder of the data.
func load(t testing.TB, folder, pattern string) *suricata.Set {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(need.Data(t, folder), pattern))
	if err != nil || len(files) == 0 {
		t.Fatal("no rule files", err)
	}
	set, err := suricata.Load(suricata.Options{Disabled: true}, files...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestETOpen: every enabled rule of the public set parses, and all but
// three of those that are commented out: they can never match.
func TestETOpen(t *testing.T) {
	set := load(t, "etopen", "*.rules")
	if n := len(set.Rules); n != 19237 {
		t.Errorf("%d enabled rules, want 19237", n)
	}
	if n := len(set.Disabled); n != 10380 {
		t.Errorf("%d disabled rules, want 10380 of 10383", n)
	}
	for _, e := range set.Errors {
		t.Error(e)
	}
}

// TestPrintParse: the printed text of a rule parses to the same text, over all
// public rules and the rules of suricata-verify.
func TestPrintParse(t *testing.T) {
	for folder, pattern := range map[string]string{"etopen": "*.rules", "suricata-verify": "tests/*/*.rules"} {
		t.Run(folder, func(t *testing.T) {
			set := load(t, folder, pattern)
			for _, r := range append(set.Rules, set.Disabled...) {
				identity(t, r)
			}
		})
	}
}

func identity(t testing.TB, r *suricata.Rule) {
	t.Helper()
	text := r.String()
	again, err := suricata.Parse(text)
	if err != nil {
		var errs suricata.Errors
		errors.As(err, &errs)
		t.Errorf("%s:%d: printed rule does not parse: %v\n%s", r.File, r.Line, errs, text)
		return
	}
	if got := again.String(); got != text {
		t.Errorf("%s:%d: printed twice:\n%s\n%s", r.File, r.Line, text, got)
	}
}
