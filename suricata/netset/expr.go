// Package netset reads the address and port expressions of rule headers and
// of suricata.yaml's variables, and resolves them to sorted, disjoint ranges.
//
// Suricata's rule for negation is applied: all groups are flattened, a member
// under an odd number of ! is taken away, and what has no positive member
// starts from everything. So [10.0.0.0/8,[!10.1.0.0/16]] is the same as
// [10.0.0.0/8,!10.1.0.0/16].
package netset

import (
	"errors"
	"fmt"
	"strings"
)

// An Expr is an address or port expression: a tree of groups, variables and
// leaves.
type Expr struct {
	Not   bool
	Var   string // name without $
	Leaf  string // any, an address, prefix or range; a port or port range
	Group []Expr
}

// Any reports whether the expression is the word any.
func (e *Expr) Any() bool { return !e.Not && e.Leaf == "any" }

// String prints the expression without blanks.
func (e *Expr) String() string {
	var b strings.Builder
	e.print(&b)
	return b.String()
}

func (e *Expr) print(b *strings.Builder) {
	if e.Not {
		b.WriteByte('!')
	}
	switch {
	case e.Var != "":
		b.WriteString("$" + e.Var)
	case e.Leaf != "":
		b.WriteString(e.Leaf)
	default:
		b.WriteByte('[')
		for i := range e.Group {
			if i > 0 {
				b.WriteByte(',')
			}
			e.Group[i].print(b)
		}
		b.WriteByte(']')
	}
}

const blanks = " \t\r\n"

// maxNesting bounds the depth of groups, as Suricata does.
const maxNesting = 64

// Parse reads an address or port expression. Leaves are checked when the
// expression is resolved.
func Parse(s string) (Expr, error) {
	e, rest, err := parseExpr(s, 0)
	if err == nil && strings.TrimSpace(rest) != "" {
		err = fmt.Errorf("%q follows the expression", strings.TrimSpace(rest))
	}
	return e, err
}

func parseExpr(s string, depth int) (e Expr, rest string, err error) {
	if depth > maxNesting {
		return e, s, fmt.Errorf("groups are nested more than %d deep", maxNesting)
	}
	s = strings.TrimLeft(s, blanks)
	if strings.HasPrefix(s, "!") {
		e.Not = true
		s = strings.TrimLeft(s[1:], blanks)
	}
	if strings.HasPrefix(s, "!") {
		return e, s, errors.New("double negation")
	}
	if strings.HasPrefix(s, "[") {
		return parseGroup(e, s[1:], depth)
	}
	n := strings.IndexAny(s, ",]")
	if n < 0 {
		n = len(s)
	}
	word := strings.TrimRight(s[:n], blanks)
	switch {
	case word == "" || word == "$":
		return e, s, errors.New("empty expression")
	case strings.ContainsAny(word, "[!() \t;"):
		return e, s, fmt.Errorf("%q is no address, port or variable", word)
	case word[0] == '$':
		e.Var = word[1:]
	default:
		e.Leaf = strings.ToLower(word)
	}
	if e.Not && e.Leaf == "any" {
		return e, s, errors.New("!any matches nothing")
	}
	return e, s[n:], nil
}

func parseGroup(e Expr, s string, depth int) (Expr, string, error) {
	for {
		member, rest, err := parseExpr(s, depth+1)
		if err != nil {
			return e, s, err
		}
		e.Group = append(e.Group, member)
		rest = strings.TrimLeft(rest, blanks)
		switch {
		case strings.HasPrefix(rest, ","):
			s = rest[1:]
		case strings.HasPrefix(rest, "]"):
			return e, rest[1:], nil
		default:
			return e, s, errors.New("[ is not closed")
		}
	}
}
