package sigma

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"
)

// Report says of every rule in a folder whether it is supported.
type Report struct {
	Rules []Verdict // by file and line
	Stats Stats
}

// Verdict is one line of a Report.
type Verdict struct {
	File    string
	Line    int
	Title   string
	ID      string
	Level   Level
	Source  LogSource
	Kind    string   // detection, correlation, filter; "" when it could not be read
	Errors  []*Error // none: supported
	Classes []string // of a detection: the classes of events it is matched against
	// Idle: supported, but no class of events serves its log source.
	Idle bool
	// Missing: fields the schema does not have, see AbsentMissing. Never: for
	// want of them no event can match.
	Missing []string
	Never   bool
	// Untriggered: evaluated at every event of its classes, because it needs
	// no literal text.
	Untriggered bool
}

// Supported is the number of rules without errors.
func (r *Report) Supported() int {
	n := 0
	for _, v := range r.Rules {
		if len(v.Errors) == 0 {
			n++
		}
	}
	return n
}

// Check parses and compiles all rules at and below root, for a report to
// people. The error is about opt.
func Check(fsys fs.FS, root string, opt Options) (*Report, error) {
	rules, parseErrs := ParseFS(fsys, root)
	set, compileErrs, err := Compile(rules, opt)
	if err != nil {
		return nil, err
	}
	rep := &Report{Stats: set.Stats()}
	byRule := map[*Rule]RuleID{}
	for id := range set.rules {
		byRule[set.rules[id].rule] = RuleID(id)
	}
	untriggered := set.untriggered()
	for _, r := range rules {
		v := Verdict{File: r.File, Line: r.Line, Title: r.Title, ID: r.ID, Level: r.Level, Source: r.LogSource, Kind: r.kind()}
		if id, ok := byRule[r]; ok && r.Detection != nil {
			for _, cl := range set.Classes(id) {
				v.Classes = append(v.Classes, set.classes[cl].Name)
			}
			v.Idle, v.Untriggered = len(v.Classes) == 0, untriggered[id]
			v.Missing, v.Never = set.Missing(id), set.Never(id)
		}
		rep.Rules = append(rep.Rules, v)
	}
	for _, e := range compileErrs {
		if i, ok := rep.owner(e); ok {
			rep.Rules[i].Errors = append(rep.Rules[i].Errors, e)
		}
	}
	for _, e := range parseErrs {
		rep.Rules = append(rep.Rules, Verdict{File: e.File, Line: e.Line, Title: e.Title, ID: e.ID, Errors: []*Error{e}})
	}
	slices.SortStableFunc(rep.Rules, func(a, b Verdict) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return rep, nil
}

// owner finds the rule an error belongs to: the last of its file that begins
// at or before the error's line.
func (rep *Report) owner(e *Error) (int, bool) {
	best, found := 0, false
	for i, v := range rep.Rules {
		if v.File == e.File && v.Line <= e.Line && (!found || v.Line > rep.Rules[best].Line) {
			best, found = i, true
		}
	}
	return best, found
}

func (r *Rule) kind() string {
	switch {
	case r.Detection != nil:
		return "detection"
	case r.Correlation != nil:
		return "correlation"
	case r.Filter != nil:
		return "filter"
	}
	return ""
}
