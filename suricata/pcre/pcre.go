// Package pcre matches regular expressions with the byte semantics of PCRE2,
// as rules for network sensors write them: \s includes the vertical tab, $
// stands before a final newline, bytes over 0x7f are plain bytes, case is
// folded in ASCII only (pcre2pattern(3), 10.42, no UTF, newline is LF).
//
// An expression is parsed to a tree and compiled to a program of small
// instructions. Three engines run it:
//
//   - the automaton (automaton.go): a lazily built DFA of bounded memory that
//     says in one table look-up per byte whether there is a match. Most
//     subjects have none, and are done here;
//   - the backtracker (backtrack.go): finds where the match and its groups are,
//     and alone knows look-around, back-references, atomic groups and the
//     like. Its steps are counted;
//   - the thread list (threads.go): finds the same as the backtracker in time
//     linear in the subject, for expressions that need nothing special. It
//     takes over when the backtracker has used up its budget.
//
// So an expression that the automaton knows is answered in linear time
// whatever the subject; any other ends with ErrLimit at the latest when the
// steps are used up.
package pcre

import (
	"bytes"
	"errors"
	"fmt"
)

// Flags change the meaning of an expression, as letters after it do in a rule.
type Flags uint8

// The flags with their letters in a rule.
const (
	Caseless      Flags = 1 << iota // i: letters match both cases
	DotAll                          // s: . matches a newline
	Multiline                       // m: ^ and $ match at each line
	Extended                        // x: white space and # comments are ignored
	Anchored                        // A: a match begins where the search begins
	DollarEndOnly                   // E: $ does not match before a final newline
	Ungreedy                        // G: quantifiers are lazy, and greedy with ?
)

// Letter returns the flag that a letter after the expression stands for, and
// false for letters that are not about matching (R, U, H and other buffers).
func Letter(c byte) (Flags, bool) {
	switch c {
	case 'i':
		return Caseless, true
	case 's':
		return DotAll, true
	case 'm':
		return Multiline, true
	case 'x':
		return Extended, true
	case 'A':
		return Anchored, true
	case 'E':
		return DollarEndOnly, true
	case 'G':
		return Ungreedy, true
	}
	return 0, false
}

// Error is a reason why an expression does not compile, and where.
type Error struct {
	Offset int // in bytes from the start of the expression
	Reason string
}

func (e *Error) Error() string {
	return fmt.Sprintf("parse expression at offset %d: %s", e.Offset, e.Reason)
}

// ErrLimit says that the backtracker used up its steps: whether there is a
// match is not known.
var ErrLimit = errors.New("match expression: step limit exceeded")

// Regexp is a compiled expression. It is immutable and safe for concurrent
// use with one Scratch per goroutine.
type Regexp struct {
	expr   string
	flags  Flags
	groups int            // capturing groups, without the whole match
	names  map[string]int // group numbers by name

	steps    *program // for the backtracker
	linear   *program // for the automaton and the thread list; nil if there is none
	reason   string   // why linear is nil
	anchored bool     // a match begins at the start of the search
	first    *set     // bytes a match can begin with; nil if it may be empty
	required literal
}

// literal is a text that each match contains.
type literal struct {
	text []byte // in lower case if fold
	fold bool
}

// Compile parses expr, without delimiters, and prepares it for matching. The
// error is an *Error.
func Compile(expr string, flags Flags) (*Regexp, error) {
	p := &parser{src: expr, flags: flags, names: map[string]int{}}
	tree, err := p.parse()
	if err != nil {
		return nil, err
	}
	re := &Regexp{expr: expr, flags: flags, groups: p.groups, names: p.names}
	if re.steps, err = compile(tree, p.groups, false); err != nil {
		return nil, err
	}
	if re.reason = unfit(tree); re.reason == "" {
		linear, err := compile(tree, p.groups, true)
		if err == nil {
			re.linear = linear
		} else {
			re.reason = "too large for the automaton"
		}
	}
	re.anchored = flags&Anchored != 0 || startsAnchored(tree)
	if first, nullable := firstBytes(tree); !nullable {
		re.first = &first
	}
	re.required = requiredLiteral(tree)
	return re, nil
}

// String returns the expression as it was given.
func (re *Regexp) String() string { return re.expr }

// Groups returns the number of capturing groups, without the whole match.
func (re *Regexp) Groups() int { return re.groups }

// GroupNumber returns the number of the group called name.
func (re *Regexp) GroupNumber(name string) (int, bool) {
	n, ok := re.names[name]
	return n, ok
}

// Linear reports whether every match is decided in time linear in the
// subject, and if not, what in the expression forbids it.
func (re *Regexp) Linear() (ok bool, reason string) { return re.linear != nil, re.reason }

// Required returns the longest text found that each match contains, for
// prefiltering; fold says that letters match both cases, and text is then
// in lower case. Text is nil if nothing is certain.
func (re *Regexp) Required() (text []byte, fold bool) { return re.required.text, re.required.fold }

// Match searches subject from start (0 to len(subject)) for the leftmost
// match, and of those there the one PCRE prefers. What lies before start is
// seen by look-behind, \b and ^. It returns where the match begins and ends;
// the groups are in s until its next use. It does not allocate once s has
// seen subjects of this kind.
func (re *Regexp) Match(s *Scratch, subject []byte, start int) (from, to int, ok bool, err error) {
	s.slots = grow(s.slots, 2*(re.groups+1))
	for i := range s.slots {
		s.slots[i] = -1
	}
	if lit := re.required; !lit.fold && lit.text != nil && !bytes.Contains(subject[start:], lit.text) {
		return 0, 0, false, nil
	}
	if re.linear == nil {
		err = re.backtrack(s, subject, start, s.limit())
	} else if re.possible(s, subject, start) {
		if err = re.backtrack(s, subject, start, linearBudget); err != nil {
			re.runThreads(s, subject, start)
			err = nil
		}
	}
	if err != nil || s.slots[1] < 0 {
		return 0, 0, false, err
	}
	return int(s.slots[0]), int(s.slots[1]), true, nil
}

// linearBudget is how many steps the backtracker gets for an expression that
// the thread list knows as well: the latter costs about as much for a kilobyte.
const linearBudget = 20_000

// DefaultStepLimit is the limit of a zero Scratch: about five milliseconds.
const DefaultStepLimit = 1_000_000

// Scratch is the working memory of one goroutine, for any number of
// expressions. Its zero value is ready.
type Scratch struct {
	// StepLimit bounds the steps of one Match of an expression that is not
	// linear; 0 stands for DefaultStepLimit.
	StepLimit int
	// Steps counts the steps of the backtracker, for a cost meter. It only
	// grows.
	Steps uint64

	slots   []int32 // begin and end of each group, -1 unset
	stack   []frame
	marks   []int32 // registers of loops and barriers
	dfas    map[*Regexp]*dfa
	dfaSize int // bytes in all dfas
	work    workset
	threads [2]threadList
	path    []pathStep
}

func (s *Scratch) limit() int {
	if s.StepLimit > 0 {
		return s.StepLimit
	}
	return DefaultStepLimit
}

// Group returns where group n of the last match is; ok is false if it took
// no part. Group 0 is the whole match.
func (s *Scratch) Group(n int) (from, to int, ok bool) {
	if n < 0 || 2*n+1 >= len(s.slots) || s.slots[2*n] < 0 || s.slots[2*n+1] < 0 {
		return 0, 0, false
	}
	return int(s.slots[2*n]), int(s.slots[2*n+1]), true
}

func grow(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}
