// Package ruleset loads Sigma rules from folders and compiles them for the
// events of Hauberk. One bad rule never stops the others: it is a problem with
// a file, a line and a reason.
package ruleset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hauberk/hauberk/detect/internal/attack"
	"github.com/hauberk/hauberk/detect/internal/match"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

// Source is a folder of rules and the name alerts give it.
type Source struct {
	Name string
	FS   fs.FS
}

// Signature says in one text what the files of the source are, by name, size
// and time of change: it differs when a rule was edited.
func (s Source) Signature() string {
	var b strings.Builder
	// What cannot be read has no place in the signature; loading reports it.
	_ = fs.WalkDir(s.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return b.String()
}

// Dir is a folder of the file system as a source, named by its path.
func Dir(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Source{}, fmt.Errorf("open rules: %w", err)
	}
	if !info.IsDir() {
		return Source{}, fmt.Errorf("open rules: %s is not a folder", path)
	}
	return Source{Name: filepath.Clean(path), FS: os.DirFS(path)}, nil
}

// Rules is a compiled rule set: immutable, safe for concurrent use.
type Rules struct {
	Set  *sigma.Set
	View *match.View
	// Info has one entry for each rule of Set, by RuleID.
	Info []Info
	// Problems are the rules that were refused, by source.
	Problems []Problem
	// Correlated reports whether there are correlations; Span is the longest
	// timespan of them.
	Correlated bool
	Span       time.Duration
}

// Problem is a rule that was refused.
type Problem struct {
	Source string
	Err    *sigma.Error
}

// Info is what alerts of a rule say about it.
type Info struct {
	Key            string // id, else name, else title
	Title          string
	Description    string
	Severity       event.Severity
	Techniques     []string
	TechniqueNames []string
	Tactics        []string
	FalsePositives []string
	References     []string
	Source         string
	// Raises: matches are alerts, not only food for a correlation. Feeds:
	// some correlation looks at its matches.
	Raises, Feeds bool
}

// Load parses and compiles the rules of all sources. disabled names rules by
// id. The error is about the sources, never about a rule.
func Load(sources []Source, disabled []string) (*Rules, error) {
	out := &Rules{}
	var rules []*sigma.Rule
	origin := map[*sigma.Rule]string{}
	for _, s := range sources {
		parsed, errs := sigma.ParseFS(s.FS, ".")
		for _, r := range parsed {
			if slices.Contains(disabled, r.Ref()) {
				continue
			}
			// File names repeat over sources; errors are told apart by them.
			r.File = filepath.Join(s.Name, r.File)
			origin[r] = s.Name
			rules = append(rules, r)
		}
		for _, e := range errs {
			out.Problems = append(out.Problems, Problem{s.Name, e})
		}
	}
	view, err := match.NewView(rules)
	if err != nil {
		return nil, fmt.Errorf("compile rules: %w", err)
	}
	out.View = view
	set, errs, err := sigma.Compile(rules, Options(view, sigma.AbsentMissing))
	if err != nil {
		return nil, fmt.Errorf("compile rules: %w", err)
	}
	out.Set = set
	for _, e := range errs {
		source := ""
		for _, s := range sources {
			if strings.HasPrefix(e.File, s.Name+string(filepath.Separator)) {
				source = s.Name
			}
		}
		out.Problems = append(out.Problems, Problem{source, e})
	}
	for id := range set.Len() {
		r := set.Rule(sigma.RuleID(id))
		if r.Correlation != nil {
			out.Correlated, out.Span = true, max(out.Span, r.Correlation.Timespan)
		}
		out.Info = append(out.Info, infoOf(r, origin[r], set.Standalone(sigma.RuleID(id))))
	}
	for id := range set.Len() {
		if c := set.Rule(sigma.RuleID(id)).Correlation; c != nil {
			for _, ref := range c.Rules {
				if member, ok := set.Lookup(ref); ok {
					out.Info[member].Feeds = true
				}
			}
		}
	}
	return out, nil
}

// Options are how rules are compiled for Hauberk's events.
func Options(v *match.View, missing sigma.MissingPolicy) sigma.Options {
	return sigma.Options{Schema: v.Schema, Classes: match.Classes(), Missing: missing}
}

var severities = [...]event.Severity{
	sigma.LevelNone:          event.Severity_SEVERITY_MEDIUM,
	sigma.LevelInformational: event.Severity_SEVERITY_INFORMATIONAL,
	sigma.LevelLow:           event.Severity_SEVERITY_LOW,
	sigma.LevelMedium:        event.Severity_SEVERITY_MEDIUM,
	sigma.LevelHigh:          event.Severity_SEVERITY_HIGH,
	sigma.LevelCritical:      event.Severity_SEVERITY_CRITICAL,
}

func infoOf(r *sigma.Rule, source string, raises bool) Info {
	i := Info{
		Key: r.Ref(), Title: r.Title, Description: strings.TrimSpace(r.Description), Severity: severities[r.Level],
		Techniques: r.Techniques(), FalsePositives: r.FalsePositives, References: r.References, Source: source, Raises: raises,
	}
	for _, t := range i.Techniques {
		i.TechniqueNames = append(i.TechniqueNames, attack.Technique(t))
	}
	for _, t := range r.Tactics() {
		i.Tactics = append(i.Tactics, attack.Tactic(t))
	}
	return i
}
