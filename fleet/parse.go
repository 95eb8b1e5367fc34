package fleet

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hauberk/hauberk/event"
)

// Limits of a selector.
const (
	// MaxSelector bounds its text, in bytes: 1,800 node ids.
	MaxSelector = 64 << 10
	// maxDepth bounds parentheses and nots within each other, so that no text
	// exhausts the stack.
	maxDepth = 100
	// maxValues bounds the values of one condition: matching looks at each.
	maxValues = 2048
)

// SyntaxError says what is wrong with a selector, and where.
type SyntaxError struct {
	Offset  int // bytes from the start of the text
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("selector, character %d: %s", e.Offset+1, e.Problem)
}

// ParseSelector reads the grammar of docs/formats/selector.md. Its errors are
// *SyntaxError.
func ParseSelector(text string) (Selector, error) {
	if len(text) > MaxSelector {
		return Selector{}, &SyntaxError{0, fmt.Sprintf("it has %d bytes, the limit is %d", len(text), MaxSelector)}
	}
	if !utf8.ValidString(text) {
		return Selector{}, &SyntaxError{0, "it is not UTF-8"}
	}
	p := parser{text: text}
	if err := p.next(); err != nil {
		return Selector{}, err
	}
	if p.kind == tokenEnd {
		return Selector{}, p.fail(`it is empty; write "all" for every node`)
	}
	root, err := p.or(0)
	if err != nil {
		return Selector{}, err
	}
	if p.kind != tokenEnd {
		return Selector{}, p.fail(fmt.Sprintf("%s where the selector should end, or go on with and, or", p.seen()))
	}
	return Selector{root}, nil
}

// keywords cannot be keys or unquoted values.
var keywords = map[string]bool{"all": true, "and": true, "or": true, "not": true, "in": true, "percent": true}

// isWord reports whether an unquoted key or value may have this byte.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-/:@*?+", c) >= 0
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted
	tokenSign // ( ) , = != < >=
)

// parser is a recursive descent parser with one token of look-ahead.
type parser struct {
	text string
	at   int // first byte not read

	kind  tokenKind // of the token looked at
	value string    // its text, unquoted
	start int       // its offset
}

func (p *parser) fail(problem string) error { return &SyntaxError{p.start, problem} }

// seen describes the token for an error.
func (p *parser) seen() string {
	switch p.kind {
	case tokenEnd:
		return "the end"
	default:
		return strconv.Quote(p.text[p.start:min(p.at, p.start+40)])
	}
}

func (p *parser) next() error {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.start, p.value = p.at, ""
	if p.at == len(p.text) {
		p.kind = tokenEnd
		return nil
	}
	switch c := p.text[p.at]; {
	case isWord(c):
		for p.at < len(p.text) && isWord(p.text[p.at]) {
			p.at++
		}
		p.kind, p.value = tokenWord, p.text[p.start:p.at]
	case c == '"':
		return p.quoted()
	case strings.IndexByte("(),=<", c) >= 0:
		p.at++
		p.kind, p.value = tokenSign, p.text[p.start:p.at]
	case strings.HasPrefix(p.text[p.at:], "!=") || strings.HasPrefix(p.text[p.at:], ">="):
		p.at += 2
		p.kind, p.value = tokenSign, p.text[p.start:p.at]
	default:
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
		return p.fail(fmt.Sprintf("%q has no place here; values with other characters are written in double quotes", r))
	}
	return nil
}

func (p *parser) quoted() error {
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			p.kind, p.value = tokenQuoted, b.String()
			return nil
		case '\\':
			if p.at++; p.at == len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\\' {
				return &SyntaxError{p.at - 1, `after a backslash only \ or " may stand`}
			}
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return p.fail("this quote is never closed")
}

func (p *parser) is(kind tokenKind, value string) bool { return p.kind == kind && p.value == value }

// take goes on if the token is that one.
func (p *parser) take(kind tokenKind, value string) (bool, error) {
	if !p.is(kind, value) {
		return false, nil
	}
	return true, p.next()
}

func (p *parser) expect(sign, where string) error {
	ok, err := p.take(tokenSign, sign)
	if err == nil && !ok {
		return p.fail(fmt.Sprintf("%s where %q should stand, %s", p.seen(), sign, where))
	}
	return err
}

func (p *parser) or(depth int) (node, error)  { return p.chain(depth, "or", opOr, p.and) }
func (p *parser) and(depth int) (node, error) { return p.chain(depth, "and", opAnd, p.not) }

// chain reads one or more operands joined by a word. Operands that are
// chains of the same kind are taken in, so that printing and reading agree.
func (p *parser) chain(depth int, word string, o op, operand func(int) (node, error)) (node, error) {
	first, err := operand(depth)
	if err != nil {
		return node{}, err
	}
	kids := []node{first}
	for {
		more, err := p.take(tokenWord, word)
		if err != nil {
			return node{}, err
		}
		if !more {
			break
		}
		kid, err := operand(depth)
		if err != nil {
			return node{}, err
		}
		kids = append(kids, kid)
	}
	if len(kids) == 1 {
		return kids[0], nil
	}
	out := node{op: o}
	for _, kid := range kids {
		if kid.op == o {
			out.kids = append(out.kids, kid.kids...)
		} else {
			out.kids = append(out.kids, kid)
		}
	}
	return out, nil
}

func (p *parser) not(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, p.fail(fmt.Sprintf("more than %d parentheses and nots within each other", maxDepth))
	}
	negated, err := p.take(tokenWord, "not")
	if err != nil {
		return node{}, err
	}
	if !negated {
		return p.primary(depth)
	}
	kid, err := p.not(depth + 1)
	return node{op: opNot, kids: []node{kid}}, err
}

func (p *parser) primary(depth int) (node, error) {
	switch {
	case p.is(tokenSign, "("):
		if err := p.next(); err != nil {
			return node{}, err
		}
		inner, err := p.or(depth + 1)
		if err != nil {
			return node{}, err
		}
		return inner, p.expect(")", "to close the parenthesis")
	case p.is(tokenWord, "all"):
		return node{op: opAll}, p.next()
	case p.is(tokenWord, "percent"):
		return p.percent()
	case p.kind == tokenWord && !keywords[p.value]:
		return p.predicate()
	}
	return node{}, p.fail(fmt.Sprintf("%s where a condition should stand: key=value, key in (a, b), id=..., host=web-*, percent(salt) < 10, all, not, (", p.seen()))
}

func (p *parser) percent() (node, error) {
	n := node{}
	if err := p.next(); err != nil {
		return n, err
	}
	if err := p.expect("(", "after percent"); err != nil {
		return n, err
	}
	if p.kind == tokenQuoted || p.kind == tokenWord && !keywords[p.value] {
		n.key = p.value
		if err := p.next(); err != nil {
			return n, err
		}
	}
	if err := p.expect(")", "after the salt of percent"); err != nil {
		return n, err
	}
	switch {
	case p.is(tokenSign, "<"):
		n.op = opBelow
	case p.is(tokenSign, ">="):
		n.op = opAtLeast
	default:
		return n, p.fail(fmt.Sprintf("%s where < or >= should stand, after percent(...)", p.seen()))
	}
	if err := p.next(); err != nil {
		return n, err
	}
	bucket, ok := parsePercent(p.value)
	if p.kind != tokenWord || !ok {
		return n, p.fail(fmt.Sprintf("%s where a number from 0 to 100 with at most two decimals should stand", p.seen()))
	}
	n.bucket = bucket
	return n, p.next()
}

// parsePercent returns hundredths of a percent.
func parsePercent(s string) (int, bool) {
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	hundredths := math.Round(v * (Buckets / 100))
	if err != nil || v < 0 || v > 100 || math.Abs(v*(Buckets/100)-hundredths) > 1e-6 {
		return 0, false
	}
	return int(hundredths), true
}

func (p *parser) predicate() (node, error) {
	n := node{key: p.value, op: opIn}
	if f, ok := fields[n.key]; ok {
		n.field, n.key = f, ""
	}
	if name, ok := strings.CutPrefix(n.key, labelPrefix); ok {
		if name == "" {
			return n, p.fail("a label needs a name after label.")
		}
		n.key = name
	}
	if err := p.next(); err != nil {
		return n, err
	}
	switch {
	case p.is(tokenSign, "!="), p.is(tokenSign, "="):
		if p.value == "!=" {
			n.op = opNotIn
		}
		if err := p.next(); err != nil {
			return n, err
		}
		return n, p.addValue(&n)
	case p.is(tokenWord, "not"):
		n.op = opNotIn
		if err := p.next(); err != nil {
			return n, err
		}
		if !p.is(tokenWord, "in") {
			return n, p.fail(fmt.Sprintf("%s where in should stand, after not", p.seen()))
		}
	case !p.is(tokenWord, "in"):
		return n, p.fail(fmt.Sprintf("%s where =, !=, in or not in should stand", p.seen()))
	}
	if err := p.next(); err != nil {
		return n, err
	}
	if err := p.expect("(", "after in"); err != nil {
		return n, err
	}
	for {
		if err := p.addValue(&n); err != nil {
			return n, err
		}
		more, err := p.take(tokenSign, ",")
		if err != nil {
			return n, err
		}
		if !more {
			return n, p.expect(")", "after the values of in")
		}
	}
}

func (p *parser) addValue(n *node) error {
	if p.kind != tokenQuoted && (p.kind != tokenWord || keywords[p.value]) {
		return p.fail(fmt.Sprintf("%s where a value should stand", p.seen()))
	}
	if n.field == fieldID {
		id, err := event.ParseNodeID(strings.ToLower(p.value))
		if err != nil {
			return p.fail(fmt.Sprintf("%s is no node id: want 32 hexadecimal digits", p.seen()))
		}
		if i, ok := slices.BinarySearchFunc(n.ids, id, compareIDs); !ok {
			n.ids = slices.Insert(n.ids, i, id)
		}
		p.value = id.String()
	}
	if len(n.values) >= maxValues {
		return p.fail(fmt.Sprintf("more than %d values", maxValues))
	}
	if !slices.Contains(n.values, p.value) {
		n.values = append(n.values, p.value)
	}
	return p.next()
}
