package automaton

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// maxAlternatives bounds how many literals one regular expression asks for.
const maxAlternatives = 64

// FromRegexp gives literals of which any text that matches expr (Perl syntax
// as of package regexp) holds at least one; nil when there are none. cost says
// how frequent a literal is expected to be: the cheapest set is taken.
func FromRegexp(expr string, cost func(text []byte) float64) [][]byte {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return needed(re.Simplify(), cost)
}

func needed(re *syntax.Regexp, cost func([]byte) float64) [][]byte {
	switch re.Op {
	case syntax.OpLiteral:
		return one(re, cost)
	case syntax.OpCapture, syntax.OpPlus:
		return needed(re.Sub[0], cost)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needed(re.Sub[0], cost)
		}
	case syntax.OpConcat:
		var best [][]byte
		for _, sub := range re.Sub {
			if n := needed(sub, cost); n != nil && (best == nil || Total(n, cost) < Total(best, cost)) {
				best = n
			}
		}
		return best
	case syntax.OpAlternate:
		var all [][]byte
		for _, sub := range re.Sub {
			n := needed(sub, cost)
			if n == nil || len(all)+len(n) > maxAlternatives {
				return nil
			}
			all = append(all, n...)
		}
		return all
	}
	return nil
}

// one gives the literal of a node. Where Unicode folding is on, it is cut at
// letters that fold to or from something outside ASCII: k (Kelvin sign), s
// (long s), and everything outside ASCII itself.
func one(re *syntax.Regexp, cost func([]byte) float64) [][]byte {
	text := string(re.Rune)
	if strings.ContainsRune(text, utf8.RuneError) {
		return nil // matches any invalid byte
	}
	if re.Flags&syntax.FoldCase == 0 {
		return [][]byte{[]byte(text)}
	}
	var best []byte
	for _, piece := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r >= utf8.RuneSelf || r == 'k' || r == 's'
	}) {
		if b := []byte(piece); best == nil || cost(b) < cost(best) {
			best = b
		}
	}
	if best == nil {
		return nil
	}
	return [][]byte{best}
}

// Total is the cost of a set.
func Total(set [][]byte, cost func([]byte) float64) float64 {
	sum := 0.0
	for _, t := range set {
		sum += cost(t)
	}
	return sum
}
