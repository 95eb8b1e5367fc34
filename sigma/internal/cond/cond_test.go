package cond

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// write gives an expression in prefix form.
func write(e *Expr) string {
	var kids []string
	for _, k := range e.Kids {
		kids = append(kids, write(k))
	}
	list := "(" + strings.Join(kids, " ") + ")"
	switch e.Op {
	case And:
		return "and" + list
	case Or:
		return "or" + list
	case Not:
		return "not" + list
	case Of:
		return fmt.Sprintf("of(%d %q)", e.Count, e.Text)
	}
	return e.Text
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "a"},
		{"a or b and c", "or(a and(b c))"},
		{"a and b or c and not d", "or(and(a b) and(c not(d)))"},
		{"not not a", "not(not(a))"},
		{"not (a or b) and c", "and(not(or(a b)) c)"},
		{"not 1 of a* and b", `and(not(of(1 "a*")) b)`},
		{"all of them", `of(-1 "")`},
		{"ALL OF THEM", `of(-1 "")`},
		{"any of x_*_y", `of(1 "x_*_y")`},
		{"3 of sel*", `of(3 "sel*")`},
		{"a-b.c or 5638f7c0-ac70-491d-8465-2a65075e0d86", "or(a-b.c 5638f7c0-ac70-491d-8465-2a65075e0d86)"},
		{" ( ( a ) ) ", "a"},
	} {
		e, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		} else if got := write(e); got != c.want {
			t.Errorf("%s: %s, want %s", c.in, got, c.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for in, offset := range map[string]int{
		"": 0, "a b": 2, "a and": 5, "or a": 0, "(a": 2, "a)": 1, "0 of x*": 0, "x of y": 0, "1 of": 4, "1 of (": 5, "a & b": 2, "a*": 0, "not": 3, "a | count()": 2,
	} {
		_, err := Parse(in)
		ce, ok := err.(*Error)
		if !ok || ce.Offset != offset || ce.Reason == "" {
			t.Errorf("%q: error %#v, want one at %d", in, err, offset)
		}
	}
}

func TestSelect(t *testing.T) {
	names := []string{"sel_a", "sel_b", "filter", "_hidden", "a_sel_b"}
	for pattern, want := range map[string][]int{
		Them: {0, 1, 2, 4}, "sel_*": {0, 1}, "*_b": {1, 4}, "*": {0, 1, 2, 3, 4}, "_*": {3}, "s*_*a": {0}, "filter": {2}, "sel_a*a": nil, "*sel*": {0, 1, 4},
	} {
		if got := Select(pattern, names); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", pattern, got, want)
		}
	}
}

// FuzzParse: no text makes the parser panic; errors are within the text; what
// parses once parses again after it was written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a and not (b or 1 of c*)", "all of them", "((a", "a | count() > 5", "not not not a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			if ce, ok := err.(*Error); !ok || ce.Offset < 0 || ce.Offset > len(s) || ce.Reason == "" {
				t.Errorf("error %#v", err)
			}
			return
		}
		again, err := Parse(infix(e))
		if err != nil || write(again) != write(e) {
			t.Errorf("%q becomes %q, error %v", s, infix(e), err)
		}
	})
}

// infix gives an expression in the language of conditions, fully bracketed.
func infix(e *Expr) string {
	var kids []string
	for _, k := range e.Kids {
		kids = append(kids, "("+infix(k)+")")
	}
	switch e.Op {
	case And:
		return strings.Join(kids, " and ")
	case Or:
		return strings.Join(kids, " or ")
	case Not:
		return "not " + kids[0]
	case Of:
		count, what := fmt.Sprint(e.Count), e.Text
		if e.Count == All {
			count = "all"
		}
		if e.Text == Them {
			what = "them"
		}
		return count + " of " + what
	}
	return e.Text
}
