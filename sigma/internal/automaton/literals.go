package automaton

import (
	"cmp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of the sets that are looked at: more alternatives make hits frequent
// and the automaton large.
const (
	maxNeeded = 64 // literals of one expression
	maxExact  = 16 // texts that a part of it stands for
	maxClass  = 8  // characters of a class that are told apart
)

// FromRegexp gives literals of which any text that matches expr (Perl syntax
// as of package regexp) holds at least one; nil when there are none. cost says
// how frequent a literal is expected to be: the cheapest set is taken.
func FromRegexp(expr string, cost func(text []byte) float64) [][]byte {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	x := extractor{cost}
	return x.best(x.extract(re.Simplify()))
}

type extractor struct{ cost func([]byte) float64 }

// texts is what is known about a part of an expression.
type texts struct {
	exact  []string // all texts it stands for; nil: unknown or too many
	needed []string // one of these occurs in any text it stands for; nil: none known
}

// best turns what is known into a set of literals.
func (x extractor) best(t texts) [][]byte {
	needed := x.cheaper(t.needed, t.exact)
	var out [][]byte
	for _, s := range needed {
		out = append(out, []byte(s))
	}
	return out
}

// cheaper takes the better of two sets; a set with the empty text is none.
func (x extractor) cheaper(a, b []string) []string {
	b = shortest(b)
	switch {
	case len(b) == 0 || b[0] == "" || len(b) > maxNeeded:
		return a
	case len(a) == 0 || x.total(b) < x.total(a):
		return b
	}
	return a
}

func (x extractor) total(set []string) (sum float64) {
	for _, s := range set {
		sum += x.cost([]byte(s))
	}
	return sum
}

// shortest leaves out the texts that hold another one, shortest first.
func shortest(set []string) []string {
	sorted := slices.Clone(set)
	slices.SortFunc(sorted, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	var out []string
	for _, s := range sorted {
		if !slices.ContainsFunc(out, func(o string) bool { return strings.Contains(s, o) }) {
			out = append(out, s)
		}
	}
	return out
}

func (x extractor) extract(re *syntax.Regexp) texts {
	switch re.Op {
	case syntax.OpLiteral:
		return x.literal(re)
	case syntax.OpCharClass:
		return class(re)
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return texts{exact: []string{""}}
	case syntax.OpCapture:
		return x.extract(re.Sub[0])
	case syntax.OpPlus:
		return texts{needed: x.need(x.extract(re.Sub[0]))}
	case syntax.OpRepeat:
		if re.Min > 0 {
			return texts{needed: x.need(x.extract(re.Sub[0]))}
		}
	case syntax.OpQuest:
		if t := x.extract(re.Sub[0]); t.exact != nil && len(t.exact) < maxExact {
			return texts{exact: append([]string{""}, t.exact...)}
		}
	case syntax.OpConcat:
		return x.concat(re.Sub)
	case syntax.OpAlternate:
		return x.alternate(re.Sub)
	}
	return texts{}
}

func (x extractor) need(t texts) []string { return x.cheaper(t.needed, t.exact) }

// concat multiplies the exact texts of neighbours as long as they are few.
func (x extractor) concat(subs []*syntax.Regexp) texts {
	var needed []string
	run, whole := []string{""}, true
	for _, sub := range subs {
		t := x.extract(sub)
		needed = x.cheaper(needed, t.needed)
		if t.exact == nil || len(run)*len(t.exact) > maxExact {
			needed = x.cheaper(needed, run)
			run, whole = t.exact, false
			if run == nil {
				run = []string{""}
			}
			continue
		}
		var next []string
		for _, a := range run {
			for _, b := range t.exact {
				if !slices.Contains(next, a+b) {
					next = append(next, a+b)
				}
			}
		}
		run = next
	}
	if whole {
		return texts{exact: run, needed: needed}
	}
	return texts{needed: x.cheaper(needed, run)}
}

func (x extractor) alternate(subs []*syntax.Regexp) texts {
	var exact, needed []string
	allExact, allNeeded := true, true
	for _, sub := range subs {
		t := x.extract(sub)
		allExact = allExact && t.exact != nil
		exact = append(exact, t.exact...)
		n := x.need(t)
		allNeeded = allNeeded && n != nil
		needed = append(needed, n...)
	}
	var out texts
	if allExact && len(exact) <= maxExact {
		out.exact = exact
	}
	if allNeeded && len(needed) <= maxNeeded {
		out.needed = shortest(needed)
	}
	return out
}

// class gives the characters of a small class, which names every character
// that folds to it.
func class(re *syntax.Regexp) texts {
	var out []string
	for i := 0; i+1 < len(re.Rune); i += 2 {
		for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
			s := string(r)
			if r < utf8.RuneSelf {
				s = strings.ToLower(s)
			}
			if r == utf8.RuneError || len(out) == maxClass {
				return texts{}
			}
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return texts{exact: out}
}

// literal gives the text of a node. Where Unicode folding is on, it is cut at
// letters that fold to or from something outside ASCII: k (Kelvin sign), s
// (long s), and everything outside ASCII itself.
func (x extractor) literal(re *syntax.Regexp) texts {
	text := string(re.Rune)
	if strings.ContainsRune(text, utf8.RuneError) {
		return texts{} // matches any invalid byte
	}
	if re.Flags&syntax.FoldCase == 0 {
		return texts{exact: []string{text}}
	}
	text = strings.ToLower(text)
	pieces := strings.FieldsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf || r == 'k' || r == 's' })
	if len(pieces) == 1 && pieces[0] == text {
		return texts{exact: []string{text}}
	}
	var best []string
	for _, p := range pieces {
		best = x.cheaper(best, []string{p})
	}
	return texts{needed: best}
}
