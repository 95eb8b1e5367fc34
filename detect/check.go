package detect

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/detect/internal/match"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/sigma"
)

// RuleReport says of every rule in a folder whether Hauberk supports it, and
// why not.
type RuleReport struct {
	Dir       string        `json:"dir"`
	Rules     []RuleVerdict `json:"rules"` // by file and line
	Supported int           `json:"supported"`
	Refused   int           `json:"refused"`
	Idle      int           `json:"idle"` // of the supported: no event of ours can match
}

// RuleVerdict is about one rule.
type RuleVerdict struct {
	File      string   `json:"file"` // below the folder
	Line      int      `json:"line,omitempty"`
	Title     string   `json:"title,omitempty"`
	ID        string   `json:"id,omitempty"`
	Kind      string   `json:"kind,omitempty"` // detection, correlation or filter
	Level     string   `json:"level,omitempty"`
	LogSource string   `json:"log_source,omitempty"` // product/category/service
	Supported bool     `json:"supported"`
	Reasons   []string `json:"reasons,omitempty"` // of the refusal: line:column: why
	Notes     []string `json:"notes,omitempty"`   // of a supported rule
}

// CheckRules reads, parses and compiles all rules below dir, as detect would.
// It fails only when dir cannot be read.
func CheckRules(dir string) (*RuleReport, error) {
	source, err := ruleset.Dir(dir)
	if err != nil {
		return nil, err
	}
	parsed, _ := sigma.ParseFS(source.FS, ".")
	view, err := match.NewView(parsed)
	if err != nil {
		return nil, fmt.Errorf("check rules: %w", err)
	}
	lenient, err := sigma.Check(source.FS, ".", ruleset.Options(view, sigma.AbsentMissing))
	if err != nil {
		return nil, fmt.Errorf("check rules: %w", err)
	}
	// A field that no event has is no error, but the author should know.
	strict, err := sigma.Check(source.FS, ".", ruleset.Options(view, sigma.RefuseMissing))
	if err != nil {
		return nil, fmt.Errorf("check rules: %w", err)
	}
	missing := map[[2]string][]string{}
	key := func(v *sigma.Verdict) [2]string { return [2]string{v.File, fmt.Sprint(v.Line)} }
	for i := range strict.Rules {
		for _, e := range strict.Rules[i].Errors {
			missing[key(&strict.Rules[i])] = append(missing[key(&strict.Rules[i])], e.Reason)
		}
	}
	r := &RuleReport{Dir: dir}
	for i := range lenient.Rules {
		r.add(&lenient.Rules[i], missing[key(&lenient.Rules[i])])
	}
	return r, nil
}

func (r *RuleReport) add(v *sigma.Verdict, missing []string) {
	x := RuleVerdict{
		File: v.File, Line: v.Line, Title: v.Title, ID: v.ID, Kind: v.Kind, Level: v.Level.String(), Supported: len(v.Errors) == 0,
	}
	if v.Kind == "detection" {
		x.LogSource = v.Source.String()
	}
	for _, e := range v.Errors {
		x.Reasons = append(x.Reasons, strings.TrimPrefix(fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Reason), "0:0: "))
	}
	if !x.Supported {
		r.Refused++
		r.Rules = append(r.Rules, x)
		return
	}
	r.Supported++
	if v.Idle {
		r.Idle++
		x.Notes = append(x.Notes, "no event of Hauberk serves this log source")
	}
	for _, m := range missing {
		if !v.Idle && !slices.Contains(x.Notes, m) {
			x.Notes = append(x.Notes, m)
		}
	}
	r.Rules = append(r.Rules, x)
}

// WriteText writes the report for people: each refused rule with its reasons,
// each note, and the sums. With all it lists the other rules, too.
func (r *RuleReport) WriteText(w io.Writer, all bool) error {
	var b strings.Builder
	for _, v := range r.Rules {
		state := "ok"
		switch {
		case !v.Supported:
			state = "refused"
		case len(v.Notes) > 0:
			state = "note"
		case !all:
			continue
		}
		fmt.Fprintf(&b, "%-8s %s:%d  %s\n", state, v.File, v.Line, v.Title)
		for _, reason := range v.Reasons {
			fmt.Fprintf(&b, "         %s\n", reason)
		}
		for _, note := range v.Notes {
			fmt.Fprintf(&b, "         %s\n", note)
		}
	}
	fmt.Fprintf(&b, "%d rules: %d supported (%d of them have no events here), %d refused\n", len(r.Rules), r.Supported, r.Idle, r.Refused)
	_, err := io.WriteString(w, b.String())
	return err
}
