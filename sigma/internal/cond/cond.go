// Package cond parses the conditions of Sigma rules:
//
//	expr  = and { "or" and }
//	and   = not { "and" not }
//	not   = "not" not | term
//	term  = name | count "of" ( "them" | pattern ) | "(" expr ")"
//	count = "all" | "any" | number
//
// Keywords are read in any case; names are letters, digits and _ - . and, in
// patterns, *.
package cond

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxDepth bounds nesting, so that a hostile condition cannot exhaust the stack.
const MaxDepth = 64

// Op is the kind of an Expr.
type Op uint8

// The kinds of expressions.
const (
	Invalid Op = iota
	Name       // Text is the search's name
	And        // Kids
	Or         // Kids
	Not        // Kids[0]
	Of         // Count of the searches that match Text, or all when Count is All
)

// All is the Count of "all of".
const All = -1

// Them is the Text of "of them".
const Them = ""

// Expr is a node of a parsed condition.
type Expr struct {
	Op     Op
	Text   string
	Count  int
	Kids   []*Expr
	Offset int // bytes from the start of the condition
}

// Error is a syntax error and its place.
type Error struct {
	Offset int // bytes from the start of the condition
	Reason string
}

// Error gives the reason without the place.
func (e *Error) Error() string { return e.Reason }

// Parse reads a condition.
func Parse(text string) (*Expr, error) {
	p := &parser{text: text}
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok == "" {
		return nil, &Error{0, "empty condition"}
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.tok != "" {
		return nil, p.errorf("unexpected %q", p.tok)
	}
	return e, nil
}

type parser struct {
	text string
	pos  int    // after tok
	tok  string // current token, "" at the end
	at   int    // offset of tok
}

func (p *parser) errorf(format string, args ...any) error {
	return &Error{p.at, fmt.Sprintf(format, args...)}
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '*'
}

func (p *parser) next() error {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	p.at = p.pos
	if p.pos == len(p.text) {
		p.tok = ""
		return nil
	}
	switch c := p.text[p.pos]; {
	case c == '(' || c == ')':
		p.pos++
	case wordByte(c):
		for p.pos < len(p.text) && wordByte(p.text[p.pos]) {
			p.pos++
		}
	case c == '|':
		return p.errorf("aggregation expressions (\"| count() ...\") are not part of Sigma 2: use a correlation rule")
	default:
		return p.errorf("unexpected character %q", c)
	}
	p.tok = p.text[p.at:p.pos]
	return nil
}

func (p *parser) is(word string) bool { return strings.EqualFold(p.tok, word) }

func (p *parser) or(depth int) (*Expr, error)  { return p.chain(depth, "or", Or, p.and) }
func (p *parser) and(depth int) (*Expr, error) { return p.chain(depth, "and", And, p.not) }

func (p *parser) chain(depth int, word string, op Op, sub func(int) (*Expr, error)) (*Expr, error) {
	first, err := sub(depth)
	if err != nil || !p.is(word) {
		return first, err
	}
	e := &Expr{Op: op, Kids: []*Expr{first}, Offset: first.Offset}
	for p.is(word) {
		if err := p.next(); err != nil {
			return nil, err
		}
		kid, err := sub(depth)
		if err != nil {
			return nil, err
		}
		e.Kids = append(e.Kids, kid)
	}
	return e, nil
}

func (p *parser) not(depth int) (*Expr, error) {
	if depth > MaxDepth {
		return nil, p.errorf("nested deeper than %d", MaxDepth)
	}
	if !p.is("not") {
		return p.term(depth)
	}
	at := p.at
	if err := p.next(); err != nil {
		return nil, err
	}
	kid, err := p.not(depth + 1)
	if err != nil {
		return nil, err
	}
	return &Expr{Op: Not, Kids: []*Expr{kid}, Offset: at}, nil
}

func (p *parser) term(depth int) (*Expr, error) {
	switch {
	case p.tok == "":
		return nil, p.errorf("condition ends where a search identifier is expected")
	case p.tok == ")" || p.is("and") || p.is("or") || p.is("of"):
		return nil, p.errorf("%q where a search identifier is expected", p.tok)
	case p.tok == "(":
		if err := p.next(); err != nil {
			return nil, err
		}
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.tok != ")" {
			return nil, p.errorf("missing closing parenthesis")
		}
		return e, p.next()
	}
	word, at := p.tok, p.at
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.is("of") {
		return p.of(word, at)
	}
	if strings.Contains(word, "*") {
		return nil, &Error{at, fmt.Sprintf("pattern %q without \"1 of\" or \"all of\"", word)}
	}
	if strings.EqualFold(word, "them") {
		return nil, &Error{at, "\"them\" without \"1 of\" or \"all of\""}
	}
	return &Expr{Op: Name, Text: word, Offset: at}, nil
}

func (p *parser) of(count string, at int) (*Expr, error) {
	n := All
	switch {
	case strings.EqualFold(count, "all"):
	case strings.EqualFold(count, "any"):
		n = 1
	default:
		v, err := strconv.Atoi(count)
		if err != nil || v < 1 {
			return nil, &Error{at, fmt.Sprintf("%q before \"of\": expected \"all\" or a number from 1", count)}
		}
		n = v
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok == "" || p.tok == "(" || p.tok == ")" {
		return nil, p.errorf("expected \"them\" or a pattern after \"of\"")
	}
	e := &Expr{Op: Of, Count: n, Text: p.tok, Offset: at}
	if p.is("them") {
		e.Text = Them
	}
	return e, p.next()
}

// Select gives the indices of the names that a pattern of "of" means: all that
// do not begin with "_" for Them, else those that match it.
func Select(pattern string, names []string) []int {
	var out []int
	for i, n := range names {
		if pattern == Them {
			if !strings.HasPrefix(n, "_") {
				out = append(out, i)
			}
		} else if glob(pattern, n) {
			out = append(out, i)
		}
	}
	return out
}

// glob matches a name against a pattern whose only wildcard is *.
func glob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}

// Walk calls fn for e and everything below it.
func (e *Expr) Walk(fn func(*Expr)) {
	fn(e)
	for _, k := range e.Kids {
		k.Walk(fn)
	}
}

// Resolve checks that every name and pattern of e means at least one of names,
// and that no count is larger than what its pattern means.
func (e *Expr) Resolve(names []string) error {
	var errs []error
	e.Walk(func(x *Expr) {
		switch x.Op {
		case Name:
			if len(Select(x.Text, names)) == 0 {
				errs = append(errs, &Error{x.Offset, fmt.Sprintf("search identifier %q is not defined", x.Text)})
			}
		case Of:
			n := len(Select(x.Text, names))
			what := x.Text
			if x.Text == Them {
				what = "them"
			}
			switch {
			case n == 0:
				errs = append(errs, &Error{x.Offset, fmt.Sprintf("no search identifier matches %q", what)})
			case x.Count > n:
				errs = append(errs, &Error{x.Offset, fmt.Sprintf("\"%d of %s\", but there are only %d", x.Count, what, n)})
			}
		}
	})
	if len(errs) == 0 {
		return nil
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// HasNot reports whether e holds a negation.
func (e *Expr) HasNot() bool {
	found := false
	e.Walk(func(x *Expr) { found = found || x.Op == Not })
	return found
}
