package pcre

// op says what a node of the tree is.
type op uint8

const (
	opEmpty   op = iota + 1
	opSet        // one byte of a set
	opCat        // subs one after another
	opAlt        // subs, the first preferred
	opRepeat     // subs[0], min to max times
	opCapture    // subs[0] as group n
	opAtomic     // subs[0], first way only
	opLook       // subs[0] matches (or not) from here
	opBehind     // subs[0] matches (or not) up to here
	opAssert     // a zero-width test of the bytes around
	opBackref    // the text of group n
	opCond       // condition n or cond; subs[0] if so, else subs[1]
	opKeep       // \K: the match is said to begin here
)

// greed says which number of repeats is tried first.
type greed uint8

const (
	greedy greed = iota + 1
	lazy
	possessive
)

// assertion is a zero-width test.
type assertion uint8

const (
	atStart       assertion = iota + 1 // \A, ^
	atLineStart                        // (?m)^
	atEnd                              // \z
	atFinal                            // \Z, $: at the end or before a final newline
	atLineEnd                          // (?m)$
	atSearchStart                      // \G
	atBoundary                         // \b
	notBoundary                        // \B
)

// unlimited is the maximum of * and +.
const unlimited = -1

type node struct {
	op       op
	set      set
	subs     []*node
	min, max int // max is unlimited or >= min
	greed    greed
	n        int  // group of opCapture, opBackref or opCond
	fold     bool // opBackref ignores case
	negative bool // opLook, opBehind
	assert   assertion
	cond     *node // opCond: an opLook or opBehind; nil for group n
}

func cat(subs ...*node) *node {
	if len(subs) == 1 {
		return subs[0]
	}
	if len(subs) == 0 {
		return &node{op: opEmpty}
	}
	return &node{op: opCat, subs: subs}
}

// nullable reports whether n can match the empty text; in doubt it says yes.
func (n *node) nullable() bool {
	switch n.op {
	case opSet:
		return false
	case opCat:
		for _, s := range n.subs {
			if !s.nullable() {
				return false
			}
		}
		return true
	case opAlt, opCond:
		for _, s := range n.subs {
			if s.nullable() {
				return true
			}
		}
		return false
	case opRepeat:
		return n.min == 0 || n.subs[0].nullable()
	case opCapture, opAtomic:
		return n.subs[0].nullable()
	}
	return true
}

// width returns how many bytes n matches if that is always the same.
func (n *node) width() (w int, fixed bool) {
	switch n.op {
	case opEmpty, opLook, opBehind, opAssert, opKeep:
		return 0, true
	case opSet:
		return 1, true
	case opCat:
		for _, s := range n.subs {
			sw, ok := s.width()
			if !ok {
				return 0, false
			}
			w += sw
		}
		return w, true
	case opAlt, opCond:
		for i, s := range n.subs {
			sw, ok := s.width()
			if !ok || i > 0 && sw != w {
				return 0, false
			}
			w = sw
		}
		return w, true
	case opRepeat:
		sw, ok := n.subs[0].width()
		return n.min * sw, ok && n.min == n.max
	case opCapture, opAtomic:
		return n.subs[0].width()
	}
	return 0, false
}

// unfit says what in the tree the automaton does not know; empty if nothing.
func unfit(n *node) string {
	switch n.op {
	case opLook, opBehind:
		return "look-around"
	case opBackref:
		return "back-reference"
	case opAtomic:
		return "atomic group"
	case opCond:
		return "conditional"
	case opKeep:
		return "\\K"
	case opAssert:
		if n.assert == atSearchStart {
			return "\\G"
		}
	case opRepeat:
		if n.greed == possessive {
			return "possessive quantifier"
		}
		if n.max == unlimited && n.subs[0].nullable() {
			return "loop over what may be empty"
		}
	}
	for _, s := range n.subs {
		if why := unfit(s); why != "" {
			return why
		}
	}
	return ""
}

// startsAnchored reports whether n only matches at the start of the subject
// or of the search.
func startsAnchored(n *node) bool {
	switch n.op {
	case opAssert:
		return n.assert == atSearchStart || n.assert == atStart
	case opCat:
		return startsAnchored(n.subs[0])
	case opAlt:
		for _, s := range n.subs {
			if !startsAnchored(s) {
				return false
			}
		}
		return true
	case opCapture, opAtomic:
		return startsAnchored(n.subs[0])
	case opRepeat:
		return n.min > 0 && startsAnchored(n.subs[0])
	}
	return false
}

// firstBytes returns the bytes that a match of n can begin with; they mean
// nothing if n may match without consuming.
func firstBytes(n *node) (first set, nullable bool) {
	switch n.op {
	case opSet:
		return n.set, false
	case opCat:
		for _, s := range n.subs {
			f, empty := firstBytes(s)
			first.addSet(&f)
			if !empty {
				return first, false
			}
		}
		return first, true
	case opAlt:
		for _, s := range n.subs {
			f, empty := firstBytes(s)
			first.addSet(&f)
			nullable = nullable || empty
		}
		return first, nullable
	case opCond:
		return anySet, true
	case opBackref:
		return anySet, true
	case opCapture, opAtomic:
		return firstBytes(n.subs[0])
	case opRepeat:
		f, empty := firstBytes(n.subs[0])
		return f, empty || n.min == 0
	}
	return first, true
}
