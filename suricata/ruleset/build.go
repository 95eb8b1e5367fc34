package ruleset

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

// Tuning is what the operator wants of the rules, in the order in which it is applied.
type Tuning struct {
	Ignore []string // patterns of the names of rule files that are left out
	disable,
	enable,
	drop []matcher
	edits []edit
}

// Read adds a file of the operator's: kind is disable, enable, drop or modify.
// Lines that are wrong are told and left out.
func (t *Tuning) Read(kind string, f File) (problems []error) {
	var list []matcher
	switch kind {
	case "modify":
		var edits []edit
		edits, problems = parseEdits(f)
		t.edits = append(t.edits, edits...)
		return problems
	case "disable":
		list, problems = parseMatchers(f)
		t.disable = append(t.disable, list...)
	case "enable":
		list, problems = parseMatchers(f)
		t.enable = append(t.enable, list...)
	case "drop":
		list, problems = parseMatchers(f)
		t.drop = append(t.drop, list...)
	default:
		panic("ruleset: tuning of kind " + kind)
	}
	return problems
}

// A Set is what an update makes.
type Set struct {
	Rules   []*Rule           // by identity, in the order of their files
	Beside  map[string][]byte // files that rules refer to, by their name beside the rule file
	Classes []byte            // classification.config; nil if no source has one
	Counts  Counts
	// Problems are what is wrong with files and rules; the rules are off.
	Problems []error

	compiler *suricata.Compiler // nil: rules are parsed only
}

// Counts say what was done.
type Counts struct {
	Rules    int `json:"rules"`
	Enabled  int `json:"enabled"`
	TunedOff int `json:"disabled_by_operator"`
	TunedOn  int `json:"enabled_by_operator"`
	Dropping int `json:"dropping"`
	Modified int `json:"modified"`
	Flowbits int `json:"enabled_for_flowbits"`
	Refused  int `json:"refused"` // rules that do not parse
}

// Build makes a set of files. Of rules with the same identity the highest
// revision stays, the first of equals. With vars, a rule is off that asks for another variable.
func Build(files []File, t *Tuning, vars *netset.Vars) *Set {
	s := &Set{Beside: map[string][]byte{}}
	if vars != nil {
		s.compiler = suricata.NewCompiler(*vars)
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	s.merge(files, t)
	for i, r := range s.Rules {
		s.Rules[i] = s.tune(r, t)
	}
	s.resolveFlowbits()
	beside := map[string][]byte{}
	for _, f := range files {
		beside[f.Name] = f.Data
	}
	for _, r := range s.Rules {
		s.finish(r, beside)
	}
	s.classes(files)
	for _, r := range s.Rules {
		if r.Enabled {
			s.Counts.Enabled++
		}
	}
	s.Counts.Rules = len(s.Rules)
	return s
}

// merge reads the rules of files.
func (s *Set) merge(files []File, t *Tuning) {
	at := map[ID]int{}
	for _, f := range files {
		if path.Ext(f.Name) != ".rules" || slices.ContainsFunc(t.Ignore, func(p string) bool { return wildcard(p, path.Base(f.Name)) }) {
			continue
		}
		for _, r := range parseFile(f) {
			switch i, seen := at[r.ID]; {
			case !seen:
				at[r.ID] = len(s.Rules)
				s.Rules = append(s.Rules, r)
			case r.Rev > s.Rules[i].Rev:
				s.Rules[i] = r
			}
		}
	}
}

// tune applies the operator's files to a rule.
func (s *Set) tune(r *Rule, t *Tuning) *Rule {
	if r.Enabled && matches(t.disable, r) {
		r.Enabled = false
		s.Counts.TunedOff++
	}
	if !r.Enabled && matches(t.enable, r) {
		r.Enabled = true
		s.Counts.TunedOn++
	}
	if matches(t.drop, r) && !r.silent() {
		_, rest, _ := strings.Cut(r.Text, " ")
		r.Text = "drop " + rest
		s.Counts.Dropping++
	}
	before := r.Text
	for i := range t.edits {
		if !t.edits[i].match(r) {
			continue
		}
		changed, err := t.edits[i].apply(r)
		if err != nil {
			s.Problems = append(s.Problems, fmt.Errorf("rule %s: %w", r.ID, err))
		}
		r = changed
	}
	if r.Text != before {
		s.Counts.Modified++
	}
	return r
}

// finish looks whether a rule works, and brings along the files it refers to.
func (s *Set) finish(r *Rule, beside map[string][]byte) {
	if !r.Enabled {
		return
	}
	if err := s.attach(r, beside); err != nil {
		s.refuse(r, err)
		return
	}
	if err := s.parse(r); err != nil {
		s.refuse(r, err)
	}
}

// parse says why the rule language refuses a rule. One that asks for another
// version of it is well.
func (s *Set) parse(r *Rule) error {
	parsed := suricata.ParseText(r.Text, "", suricata.Options{})
	if len(parsed.Errors) > 0 {
		e := parsed.Errors[0]
		return fmt.Errorf("column %d: %s: %s", e.Column, e.Keyword, e.Reason)
	}
	if s.compiler == nil || len(parsed.Rules) == 0 {
		return nil
	}
	_, err := s.compiler.Compile(parsed.Rules[0])
	return err
}

func (s *Set) refuse(r *Rule, err error) {
	_, file, _ := strings.Cut(r.File, "/")
	s.Problems = append(s.Problems, fmt.Errorf("rule %s of %s is off: %w", r.ID, file, err))
	s.Counts.Refused++
	r.Enabled = false
}

// attach finds the files that a rule's options name, beside the rule's own
// file or below the root of its source. They get names of their content, so
// that an update never changes a file under rules in use.
func (s *Set) attach(r *Rule, beside map[string][]byte) error {
	type change struct {
		from, to int
		name     string
	}
	var changes []change
	for from, to := range r.spans {
		at, size := fileArgument(r.Text[from:to])
		if size == 0 {
			continue
		}
		name := r.Text[from+at : from+at+size]
		source, _, _ := strings.Cut(r.File, "/")
		data, ok := beside[path.Join(path.Dir(r.File), path.Clean("/"+name))]
		if !ok {
			data, ok = beside[path.Join(source, path.Clean("/"+name))]
		}
		if !ok {
			return fmt.Errorf("its file %s is not in the source", name)
		}
		kept := "datasets/" + digest(data) + path.Ext(name)
		s.Beside[kept] = data
		changes = append(changes, change{from + at, from + at + size, kept})
	}
	for _, c := range slices.Backward(changes) {
		r.Text = r.Text[:c.from] + c.name + r.Text[c.to:]
	}
	return nil
}

// fileArgument finds where an option names a file; size 0: nowhere.
func fileArgument(option string) (at, size int) {
	keyword, arg, _ := strings.Cut(option, ":")
	start := len(keyword) + 1
	switch strings.TrimSpace(keyword) {
	case "filemd5", "filesha1", "filesha256", "lua":
		name := strings.TrimSpace(arg)
		name = strings.TrimSpace(strings.TrimPrefix(name, "!"))
		return start + strings.Index(arg, name), len(name)
	case "dataset":
		for part := range strings.SplitSeq(arg, ",") {
			words := strings.Fields(part)
			if len(words) == 2 && words[0] == "load" {
				return start + strings.LastIndex(part, words[1]), len(words[1])
			}
			start += len(part) + 1
		}
	}
	return 0, 0
}

// classes merges the classification files of the sources: of a class said
// twice the more severe stays.
func (s *Set) classes(files []File) {
	type class struct{ line, priority string }
	byName := map[string]class{}
	var names []string
	for _, f := range files {
		if path.Base(f.Name) != "classification.config" {
			continue
		}
		for _, line := range lines(f.Data) {
			_, arg, _ := strings.Cut(line, ":")
			fields := strings.Split(arg, ",")
			if len(fields) != 3 {
				s.Problems = append(s.Problems, fmt.Errorf("classification %q: want NAME,TEXT,PRIORITY", line))
				continue
			}
			name, priority := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[2])
			had, seen := byName[name]
			if !seen {
				names = append(names, name)
			}
			if !seen || len(priority) < len(had.priority) || len(priority) == len(had.priority) && priority < had.priority {
				byName[name] = class{line, priority}
			}
		}
	}
	if len(names) == 0 {
		return
	}
	var out bytes.Buffer
	for _, name := range names {
		out.WriteString(byName[name].line + "\n")
	}
	s.Classes = out.Bytes()
}

// Text is the rule file.
func (s *Set) Text() []byte {
	var out bytes.Buffer
	for _, r := range s.Rules {
		out.WriteString(r.String())
		out.WriteByte('\n')
	}
	return out.Bytes()
}
