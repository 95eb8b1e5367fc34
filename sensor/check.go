package sensor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/detect/state"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
	"github.com/hauberk/hauberk/suricata/netset"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// A Problem is one thing wrong with the configuration or a rule.
type Problem struct {
	// Fatal says that Suricata would not start with it under -T; the others
	// leave something out and go on.
	Fatal bool
	// Part is what it is about: config, outputs, classification, reference, threshold, detect, logs.
	Part string
	// Text says place and reason.
	Text string

	rule *badRule // What it is about; nil if about no rule.
}

// badRule is a rule that is refused.
type badRule struct {
	keyword, reason, text, file string
	line                        int
	again                       bool // It is not the rule's first problem.
}

// A Report is what Check found.
type Report struct {
	Files    int // rule files read
	Loaded   int // rules that would run
	Failed   int // rules that are refused
	Skipped  int // rules whose "requires" is not met
	Problems []Problem

	compiled []*suricata.Compiled      // the rules that would run
	known    map[string]*suricata.Rule // by text: of the set that will be replaced
	siteFiles
	storesFiles bool // The output file-store is on.
}

// siteFiles is what the files beside the rules say.
type siteFiles struct {
	classes    siteconf.Classes
	thresholds []siteconf.Entry
	data       *state.Data
}

// Fatal says whether a problem is.
func (r *Report) Fatal() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Fatal })
}

func (r *Report) add(fatal bool, part string, err error) {
	if err == nil {
		return
	}
	// Only a join at the top: one further down has its place written before it.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			r.add(fatal, part, e)
		}
		return
	}
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	r.Problems = append(r.Problems, Problem{Fatal: fatal, Part: part, Text: text})
}

// refuse adds the problem of a rule.
func (r *Report) refuse(e *suricata.Error) {
	if e.Problem == suricata.Unmet {
		r.Skipped++
		r.add(false, "detect", e)
		return
	}
	r.add(e.Problem == suricata.Invalid, "detect", e)
	bad := &badRule{keyword: e.Keyword, reason: e.Original(), text: e.Rule, file: e.File, line: e.RuleLine}
	if n := len(r.Problems) - 2; n >= 0 {
		before := r.Problems[n].rule
		bad.again = before != nil && before.file == bad.file && before.line == bad.line
	}
	if !bad.again {
		r.Failed++
	}
	p := &r.Problems[len(r.Problems)-1]
	if p.rule = bad; bad.reason != e.Reason {
		p.Text += " (" + bad.reason + ")"
	}
}

// Tally says how many rules were read, in the original's words.
func (r *Report) Tally() string {
	return fmt.Sprintf("%d rule files processed. %d rules successfully loaded, %d rules failed, %d rules skipped", r.Files, r.Loaded, r.Failed, r.Skipped)
}

// Check reads the configuration, the files beside it and all rules, and
// reports every problem. The error is of what kept it from looking further.
func Check(c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	tree, err := c.load()
	if err != nil {
		return nil, err
	}
	r := &Report{}
	for _, w := range tree.Warnings {
		r.Problems = append(r.Problems, Problem{Part: "config", Text: w.String()})
	}
	vars := variables(tree)
	r.site(tree, vars)
	r.readData(c, tree, nil)
	if !c.NoDetection {
		r.rules(ruleFiles(c, tree), vars)
	}
	return r, r.keep(tree, c.LogDir)
}

// keep writes the report to the sensor's own log in a folder, if one is given.
func (r *Report) keep(tree *yamlconf.Tree, dir string) error {
	if dir == "" {
		return nil
	}
	j, err := openJournal(tree, dir)
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		j.problem(p)
	}
	j.rules(r)
	if !r.Fatal() {
		j.say(levelNotice, "suricata", "Configuration provided was successfully loaded. Exiting.")
	}
	return j.close()
}

// variables are those of vars.address-groups and vars.port-groups.
func variables(tree *yamlconf.Tree) netset.Vars {
	read := func(path string) map[string]string {
		group := make(map[string]string)
		if n := tree.Node(path); n != nil {
			for _, c := range n.Children {
				group[c.Name] = c.Value
			}
		}
		return group
	}
	return netset.Vars{AddressGroups: read("vars.address-groups"), PortGroups: read("vars.port-groups")}
}

// site reads the files beside the rules. One that is not there is left out.
func (r *Report) site(tree *yamlconf.Tree, vars netset.Vars) {
	eachOutput(tree, func(n *yamlconf.Node) {
		r.storesFiles = r.storesFiles || n.Name == "file-store"
		if lacks := lacking(n); lacks != "" {
			r.add(false, "outputs", errors.New(lacks))
		}
	})
	for _, f := range []struct {
		part, key, def, invalid string
		parse                   func(text []byte, file string) error
	}{
		{"classification", "classification-file", "/etc/suricata/classification.config", "Invalid Classification Config in", func(text []byte, file string) error {
			var err error
			r.classes, err = siteconf.ParseClasses(text, file)
			return err
		}},
		{"reference", "reference-config-file", "/etc/suricata/reference.config", "Invalid Reference Config in", func(text []byte, file string) error {
			_, err := siteconf.ParseReferences(text, file)
			return err
		}},
		{"threshold", "threshold-file", "/etc/suricata/threshold.config", "Error loading threshold configuration", func(text []byte, file string) error {
			var err error
			r.thresholds, err = siteconf.ParseThresholds(text, file, vars)
			return err
		}},
	} {
		path := tree.String(f.key, f.def)
		text, err := os.ReadFile(path)
		if err != nil {
			if path != f.def || !errors.Is(err, fs.ErrNotExist) {
				r.add(false, f.part, fmt.Errorf("read %s: %w", f.key, err))
			}
			continue
		}
		before := len(r.Problems)
		r.add(true, f.part, f.parse(text, path))
		for i := before; i < len(r.Problems); i++ {
			r.Problems[i].Text = f.invalid + " " + r.Problems[i].Text
		}
	}
}

// ruleFiles are the files to read, patterns among them still unresolved.
func ruleFiles(c Config, tree *yamlconf.Tree) []string {
	files := slices.Clone(c.Rules)
	list := tree.Node("rule-files")
	if c.Exclusive || list == nil {
		return files
	}
	dir := tree.String("default-rule-path", "/etc/suricata/rules")
	for _, n := range list.Children {
		if filepath.IsAbs(n.Value) {
			files = append(files, n.Value)
		} else {
			files = append(files, filepath.Join(dir, n.Value))
		}
	}
	return files
}

// rules loads and compiles all rules.
func (r *Report) rules(patterns []string, vars netset.Vars) {
	files, err := matchPatterns(patterns)
	r.add(true, "detect", err)
	r.Files = len(files)
	set, err := suricata.Load(suricata.Options{Known: r.known}, files...)
	r.add(true, "detect", err)
	for _, e := range slices.Concat(set.Errors, set.Skipped) {
		r.refuse(e)
	}
	defer func() {
		if slices.ContainsFunc(r.compiled, r.noStore) {
			r.Problems = append(r.Problems, Problem{Part: "detect", Text: `One or more rule(s) depends on the file-store output log which is not enabled. Enable the output "file-store"`})
		}
	}()
	compiler := suricata.NewCompiler(vars)
	for _, rule := range set.Rules {
		compiled, err := compiler.Compile(rule)
		if err == nil && r.known[rule.Text()] == nil {
			_, err = match.CompileRule(compiled)
		}
		if err == nil {
			err = r.data.Prepare(compiled)
		}
		if err != nil {
			r.refuseCompiled(rule, err)
			continue
		}
		r.Loaded++
		r.compiled = append(r.compiled, compiled)
	}
}

// refuseCompiled adds the problems of a rule that does not compile.
func (r *Report) refuseCompiled(rule *suricata.Rule, err error) {
	var list suricata.Errors
	if !errors.As(err, &list) {
		list = suricata.Errors{{File: rule.File, Line: rule.Line, Column: 1, SID: rule.SID, Reason: err.Error(), Problem: suricata.Invalid}}
	}
	for _, e := range list {
		e.Rule, e.RuleLine = rule.String(), rule.Line
		r.refuse(e)
	}
}

// matchPatterns gives the files that patterns name; the errors are of those that name none.
func matchPatterns(patterns []string) (files []string, err error) {
	for _, p := range patterns {
		found, bad := filepath.Glob(p)
		if bad != nil || len(found) == 0 {
			err = errors.Join(err, fmt.Errorf("no rule files match the pattern %s", p))
			continue
		}
		files = append(files, found...)
	}
	return files, err
}
