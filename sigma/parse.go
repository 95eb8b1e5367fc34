package sigma

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/sigma/internal/cond"
	"github.com/hauberk/hauberk/sigma/internal/yamlx"
)

// MaxFileSize bounds a rule file, in bytes. SigmaHQ's rules have at most 9 kilobytes
// each; a file that joins hundreds of them still fits.
const MaxFileSize = 4 << 20

// maxTitle is the specification's bound of a title, in characters.
const maxTitle = 256

// Parse reads all rules of a file. Each document that is not a valid rule
// gives an error, the others a rule.
func Parse(file string, data []byte) ([]*Rule, []*Error) {
	if len(data) > MaxFileSize {
		return nil, []*Error{{File: file, Reason: fmt.Sprintf("file larger than %d bytes", MaxFileSize)}}
	}
	var rules []*Rule
	var errs []*Error
	for _, doc := range yamlx.Split(data) {
		if doc.Err != nil {
			errs = append(errs, &Error{File: file, Line: doc.Err.Line, Column: doc.Err.Column, Reason: doc.Err.Reason})
			continue
		}
		p := &ruleParser{rule: &Rule{File: file, Line: doc.Line}}
		p.document(doc.Root)
		if p.err != nil {
			errs = append(errs, p.err)
			continue
		}
		rules = append(rules, p.rule)
	}
	return rules, errs
}

// ParseFS reads every .yml and .yaml file at and below root, in lexical order.
// A file or folder that cannot be read is one more error.
func ParseFS(fsys fs.FS, root string) ([]*Rule, []*Error) {
	var rules []*Rule
	var errs []*Error
	walk := func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			errs = append(errs, &Error{File: name, Reason: "read: " + err.Error()})
			return nil
		}
		if ext := path.Ext(name); d.IsDir() || ext != ".yml" && ext != ".yaml" {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			errs = append(errs, &Error{File: name, Reason: "read: " + err.Error()})
			return nil
		}
		r, e := Parse(name, data)
		rules, errs = append(rules, r...), append(errs, e...)
		return nil
	}
	if err := fs.WalkDir(fsys, root, walk); err != nil {
		errs = append(errs, &Error{File: root, Reason: "walk: " + err.Error()})
	}
	return rules, errs
}

// ruleParser fills one rule and keeps the first error.
type ruleParser struct {
	rule *Rule
	err  *Error
}

func (p *ruleParser) fail(n *yaml.Node, format string, args ...any) {
	p.failAt(Position{n.Line, n.Column}, format, args...)
}

func (p *ruleParser) failAt(at Position, format string, args ...any) {
	if p.err == nil {
		p.err = p.rule.errorAt(at, format, args...)
	}
}

func (r *Rule) errorAt(at Position, format string, args ...any) *Error {
	if at.Line == 0 {
		at.Line = r.Line
	}
	return &Error{File: r.File, Line: at.Line, Column: at.Column, Title: r.Title, ID: r.ID, Reason: fmt.Sprintf(format, args...)}
}

func (p *ruleParser) document(root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		p.fail(root, "a rule must be a map of attributes")
		return
	}
	// The identity first, so that every error can name the rule.
	for _, a := range pairs(root) {
		switch a.key.Value {
		case "title":
			p.rule.Title = p.text(a.value, "title")
		case "id":
			p.rule.ID = p.text(a.value, "id")
		}
	}
	var detection, correlation, filter, source, generate *yaml.Node
	for _, a := range pairs(root) {
		switch a.key.Value {
		case "detection":
			detection = a.value
		case "correlation":
			correlation = a.value
		case "filter":
			filter = a.value
		case "logsource":
			source = a.value
		case "generate":
			generate = a.value
		case "action":
			p.fail(a.key, "\"action\" is a form of Sigma 1 (rule collections) and not part of Sigma 2")
		default:
			p.metadata(a.key, a.value)
		}
	}
	if p.rule.Title == "" {
		p.fail(root, "title is missing")
	}
	if len([]rune(p.rule.Title)) > maxTitle {
		p.fail(root, "title is longer than %d characters", maxTitle)
	}
	if source != nil {
		p.logSource(source)
	}
	switch {
	case p.err != nil:
	case count(detection, correlation, filter) > 1:
		p.fail(root, "a rule has one of detection, correlation and filter, not several")
	case correlation != nil:
		p.correlation(correlation)
		// The specification lists generate beside level, its examples and
		// pySigma have it within correlation: both are read.
		if generate != nil && p.oneOf(generate, "generate", "true", "false") == "true" {
			p.rule.Correlation.Generate = true
		}
	case detection == nil && filter == nil:
		p.fail(root, "detection is missing")
	case source == nil:
		p.fail(root, "logsource is missing")
	case filter != nil:
		p.filter(filter)
	default:
		p.rule.Detection = p.detection(detection)
	}
}

func count(nodes ...*yaml.Node) (n int) {
	for _, x := range nodes {
		if x != nil {
			n++
		}
	}
	return n
}

type pair struct{ key, value *yaml.Node }

func pairs(n *yaml.Node) []pair {
	out := make([]pair, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, pair{n.Content[i], n.Content[i+1]})
	}
	return out
}

var date = regexp.MustCompile(`^\d{4}[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01])$`)

// metadata reads the attributes without meaning for the match; unknown ones
// are allowed by the specification.
func (p *ruleParser) metadata(key, v *yaml.Node) {
	r := p.rule
	switch key.Value {
	case "name":
		r.Name = p.text(v, "name")
	case "taxonomy":
		r.Taxonomy = p.text(v, "taxonomy")
		if r.Taxonomy != "sigma" {
			p.fail(v, "taxonomy %q is not supported, only \"sigma\"", r.Taxonomy)
		}
	case "status":
		r.Status = p.oneOf(v, "status", "stable", "test", "experimental", "deprecated", "unsupported")
	case "description":
		r.Description = p.text(v, "description")
	case "license":
		r.License = p.text(v, "license")
	case "author":
		r.Author = p.text(v, "author")
	case "date", "modified":
		d := p.text(v, key.Value)
		if !date.MatchString(d) {
			p.fail(v, "%s %q is not a date (YYYY-MM-DD)", key.Value, d)
		}
		d = strings.ReplaceAll(d, "/", "-")
		if key.Value == "date" {
			r.Date = d
		} else {
			r.Modified = d
		}
	case "references":
		r.References = p.texts(v, "references")
	case "tags":
		r.Tags = p.texts(v, "tags")
	case "fields":
		r.Fields = p.texts(v, "fields")
	case "falsepositives":
		r.FalsePositives = p.texts(v, "falsepositives")
	case "scope":
		r.Scope = p.texts(v, "scope")
	case "level":
		word := p.oneOf(v, "level", levelNames[1:]...)
		for i, n := range levelNames {
			if n == word {
				r.Level = Level(i)
			}
		}
	case "related":
		p.related(v)
	}
}

func (p *ruleParser) related(v *yaml.Node) {
	if v.Kind != yaml.SequenceNode {
		p.fail(v, "related must be a list")
		return
	}
	for _, item := range v.Content {
		var rel Related
		if item.Kind != yaml.MappingNode {
			p.fail(item, "related: expected a map with id and type")
			return
		}
		for _, a := range pairs(item) {
			switch a.key.Value {
			case "id":
				rel.ID = p.text(a.value, "related id")
			case "type":
				rel.Type = p.oneOf(a.value, "related type", "derived", "obsolete", "merged", "renamed", "similar")
			}
		}
		p.rule.Related = append(p.rule.Related, rel)
	}
}

// text gives a scalar's text; null is "".
func (p *ruleParser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode {
		p.fail(n, "%s must be a text", what)
		return ""
	}
	if n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func (p *ruleParser) oneOf(n *yaml.Node, what string, words ...string) string {
	s := p.text(n, what)
	for _, w := range words {
		if s == w {
			return s
		}
	}
	p.fail(n, "%s %q is not one of %s", what, s, strings.Join(words, ", "))
	return ""
}

// texts gives a list of scalars; a single scalar is a list of one.
func (p *ruleParser) texts(n *yaml.Node, what string) []string {
	if n.Kind == yaml.ScalarNode {
		if n.Tag == "!!null" {
			return nil
		}
		return []string{n.Value}
	}
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s must be a list", what)
		return nil
	}
	var out []string
	for _, item := range n.Content {
		out = append(out, p.text(item, what))
	}
	return out
}

func (p *ruleParser) logSource(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "logsource must be a map")
		return
	}
	l := &p.rule.LogSource
	for _, a := range pairs(n) {
		switch a.key.Value {
		case "category":
			l.Category = p.text(a.value, "category")
		case "product":
			l.Product = p.text(a.value, "product")
		case "service":
			l.Service = p.text(a.value, "service")
		}
	}
	if *l == (LogSource{}) {
		p.fail(n, "logsource gives none of category, product and service")
	}
}

func (p *ruleParser) filter(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "filter must be a map")
		return
	}
	f := &Filter{Position: Position{n.Line, n.Column}}
	body := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	for _, a := range pairs(n) {
		if a.key.Value == "rules" {
			f.Rules = p.texts(a.value, "filter rules")
			continue
		}
		body.Content = append(body.Content, a.key, a.value)
	}
	if len(f.Rules) == 0 {
		p.fail(n, "filter names no rules")
		return
	}
	if d := p.detection(body); d != nil {
		f.Detection = *d
		if len(d.Conditions) > 1 {
			p.failAt(d.Conditions[1].Position, "a filter has one condition, not %d", len(d.Conditions))
		}
	}
	p.rule.Filter = f
}

// condition parses a condition and checks the names in it.
func (p *ruleParser) condition(n *yaml.Node, names []string) Condition {
	c := Condition{Text: n.Value, Position: Position{n.Line, n.Column}}
	if n.Kind != yaml.ScalarNode {
		p.fail(n, "condition must be a text")
		return c
	}
	expr, err := cond.Parse(n.Value)
	if err == nil {
		err = expr.Resolve(names)
	}
	if err != nil {
		at := c.Position
		if ce := (*cond.Error)(nil); errors.As(err, &ce) && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && !strings.Contains(n.Value, "\n") {
			at.Column += ce.Offset
			if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
				at.Column++
			}
		}
		p.failAt(at, "condition %q: %s", n.Value, strings.ReplaceAll(err.Error(), "\n", "; "))
		return c
	}
	c.expr = expr
	return c
}
