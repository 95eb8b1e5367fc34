package pcre

import (
	"slices"
)

// Limits of the automata in one Scratch.
const (
	// maxStates bounds one automaton. Expressions of rules need 10 to 200
	// states; those with large counts over overlapping classes need many more,
	// which are forgotten and built anew.
	maxStates = 1000
	// maxFlushes is how often one search may forget all states before it gives
	// up on the automaton: then states are not used again often enough.
	maxFlushes = 3
	// maxDFABytes bounds all automata of one Scratch.
	maxDFABytes = 16 << 20
)

// context is what an assertion must know of the byte before.
type context uint8

const (
	beginning context = iota + 1 // there is none
	newline
	wordByte
	otherByte
)

// dfa is an automaton under construction. A state is a set of instructions
// and a context; which of the instructions are preferred does not matter for
// whether there is a match. A state is known by where its transitions begin in
// trans. Symbols are classes of bytes, a newline that ends
// the subject, and the end itself: so every assertion is decided exactly.
type dfa struct {
	code     []inst
	anchored bool
	asserts  bool // the program has assertions, so contexts differ
	class    [256]uint8
	bytes    []byte // one byte of each class
	stride   int
	trans    []int32 // per state and symbol: unknown, or 2*next, + 1 if it matched before the symbol
	first    *set    // without assertions: bytes that lead out of the initial state
	states   [][]uint16
	contexts []context
	index    map[string]int32
	initial  [otherByte + 1]int32
	key      []byte
	size     int // bytes
}

// unknown is a transition not yet built, dead the state that never matches.
const (
	unknown = -1
	dead    = 0
)

// possible reports whether there is a match from start on: exactly, unless it
// gives up and says yes.
func (re *Regexp) possible(s *Scratch, subject []byte, start int) bool {
	d := s.dfas[re]
	if d == nil {
		if s.dfas == nil {
			s.dfas = map[*Regexp]*dfa{}
		}
		d = newDFA(re)
		s.dfas[re] = d
		s.dfaSize += d.size
	}
	before := d.size
	matched := d.run(s, subject, start)
	if s.dfaSize += d.size - before; s.dfaSize > maxDFABytes {
		clear(s.dfas)
		s.dfaSize = 0
	}
	return matched
}

func newDFA(re *Regexp) *dfa {
	d := &dfa{code: re.linear.code, anchored: re.anchored, first: re.first}
	var sets []set
	for i := range d.code {
		switch in := &d.code[i]; in.op {
		case iSet:
			if !slices.Contains(sets, *in.set) {
				sets = append(sets, *in.set)
			}
		case iAssert:
			d.asserts = true
		}
	}
	if d.asserts {
		sets = append(sets, newlineSet, wordSet)
	}
	if d.asserts || d.anchored {
		d.first = nil
	}
	d.classify(sets)
	d.stride = len(d.bytes) + 2
	d.reset()
	return d
}

// classify splits the bytes into classes that no set tells apart.
func (d *dfa) classify(sets []set) {
	classes := 1
	for i := range sets {
		var split [256]int // the class of the members, by the class they were in
		var size, in [256]int
		for b := range 256 {
			size[d.class[b]]++
			if sets[i].has(byte(b)) {
				in[d.class[b]]++
			}
		}
		for b := range 256 {
			c := d.class[b]
			if !sets[i].has(byte(b)) || in[c] == size[c] && split[c] == 0 {
				continue
			}
			if split[c] == 0 {
				split[c] = classes
				classes++
			}
			d.class[b] = uint8(split[c])
		}
	}
	d.bytes = make([]byte, classes)
	for b := range 256 {
		d.bytes[d.class[b]] = byte(b)
	}
}

// reset forgets all states but the dead one.
func (d *dfa) reset() {
	d.trans, d.states, d.contexts = d.trans[:0], d.states[:0], d.contexts[:0]
	d.index = map[string]int32{}
	d.size = 1 << 10
	d.state(nil, otherByte)
	for i := range d.initial {
		d.initial[i] = unknown
	}
}

// state returns the number of a state, adding it if it is new. The
// instructions are sorted.
func (d *dfa) state(pcs []int32, ctx context) int32 {
	if !d.asserts || len(pcs) == 0 {
		ctx = otherByte
	}
	d.key = append(d.key[:0], byte(ctx))
	for _, pc := range pcs {
		d.key = append(d.key, byte(pc), byte(pc>>8))
	}
	if n, ok := d.index[string(d.key)]; ok {
		return n
	}
	n := int32(len(d.trans))
	list := make([]uint16, len(pcs))
	for i, pc := range pcs {
		list[i] = uint16(pc)
	}
	d.states = append(d.states, list)
	d.contexts = append(d.contexts, ctx)
	for range d.stride {
		d.trans = append(d.trans, unknown)
	}
	d.index[string(d.key)] = n
	d.size += 4*d.stride + 2*len(d.key) + 64
	return n
}

// run feeds the subject to the automaton until it knows the answer.
func (d *dfa) run(s *Scratch, subject []byte, start int) bool {
	ctx := contextBefore(subject, start)
	if d.initial[ctx] == unknown {
		d.initial[ctx] = d.state([]int32{0}, ctx)
	}
	at, flushes := d.initial[ctx], 0
	end := len(subject)
	final := end > start && subject[end-1] == '\n'
	if final {
		end--
	}
	for pos := start; pos < end; pos++ {
		if d.first != nil && at == d.initial[ctx] {
			for pos < end && !d.first.has(subject[pos]) {
				pos++
			}
			if pos == end {
				break
			}
		}
		next := d.trans[int(at)+int(d.class[subject[pos]])]
		if next == unknown {
			if len(d.states) >= maxStates {
				if flushes++; flushes > maxFlushes {
					return true
				}
				at = d.flush(s, at)
				d.initial[ctx] = d.state([]int32{0}, ctx)
			}
			next = d.build(&s.work, at, int(d.class[subject[pos]]))
		}
		if next&1 != 0 {
			return true
		}
		if at = next >> 1; at == dead {
			return false
		}
	}
	if final {
		next := d.known(s, at, d.stride-2)
		if next&1 != 0 {
			return true
		}
		at = next >> 1
	}
	return d.known(s, at, d.stride-1)&1 != 0
}

func (d *dfa) known(s *Scratch, at int32, symbol int) int32 {
	if next := d.trans[int(at)+symbol]; next != unknown {
		return next
	}
	return d.build(&s.work, at, symbol)
}

// flush forgets all states but at, and returns its new number.
func (d *dfa) flush(s *Scratch, at int32) int32 {
	s.work.next = s.work.next[:0]
	for _, pc := range d.states[int(at)/d.stride] {
		s.work.next = append(s.work.next, int32(pc))
	}
	ctx := d.contexts[int(at)/d.stride]
	d.reset()
	return d.state(s.work.next, ctx)
}

// contextBefore is the context of a search that starts at start.
func contextBefore(subject []byte, start int) context {
	if start == 0 {
		return beginning
	}
	return contextOf(subject[start-1])
}

func contextOf(b byte) context {
	switch {
	case b == '\n':
		return newline
	case isWord(b):
		return wordByte
	}
	return otherByte
}

// workset is what building a transition needs.
type workset struct {
	seen  []uint32 // generation in which an instruction was reached
	gen   uint32
	stack []int32
	next  []int32
	slots []int32 // of the thread being followed
}

// begin forgets which instructions were reached.
func (w *workset) begin(code int) {
	if len(w.seen) < code+1 {
		w.seen = make([]uint32, max(code+1, 2*len(w.seen)))
		w.gen = 0
	}
	if w.gen++; w.gen == 0 {
		clear(w.seen)
		w.gen = 1
	}
}

// build works out one transition: where the instructions of a state lead
// without consuming, given the symbol that comes, and from there by consuming it.
func (d *dfa) build(w *workset, at int32, symbol int) int32 {
	w.begin(len(d.code))
	isEnd, isFinal := symbol == d.stride-1, symbol == d.stride-2
	b := byte('\n')
	if !isFinal && !isEnd {
		b = d.bytes[symbol]
	}
	matched := false
	w.stack, w.next = w.stack[:0], w.next[:0]
	for _, pc := range d.states[int(at)/d.stride] {
		w.stack = append(w.stack, int32(pc))
	}
	for len(w.stack) > 0 {
		pc := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if w.seen[pc] == w.gen {
			continue
		}
		w.seen[pc] = w.gen
		switch i := &d.code[pc]; i.op {
		case iSet:
			if !isEnd && i.set.has(b) {
				w.next = append(w.next, pc+1)
			}
		case iSplit:
			w.stack = append(w.stack, i.x, i.y)
		case iJump:
			w.stack = append(w.stack, i.x)
		case iSave:
			w.stack = append(w.stack, pc+1)
		case iAssert:
			if passes(assertion(i.x), d.contexts[int(at)/d.stride], b, isFinal, isEnd) {
				w.stack = append(w.stack, pc+1)
			}
		case iMatch:
			matched = true
		}
	}
	var to int32 = dead
	if !isEnd && !matched {
		if !d.anchored {
			w.next = append(w.next, 0)
		}
		slices.Sort(w.next)
		to = d.state(w.next, contextOf(b))
	}
	to <<= 1
	if matched {
		to |= 1
	}
	d.trans[int(at)+symbol] = to
	return to
}

// passes evaluates a zero-width test between a context and the byte that
// comes, which may be a newline that ends the subject, or none.
func passes(a assertion, before context, b byte, isFinal, isEnd bool) bool {
	switch a {
	case atStart:
		return before == beginning
	case atLineStart:
		return before == beginning || before == newline && !isEnd
	case atEnd:
		return isEnd
	case atFinal:
		return isEnd || isFinal
	case atLineEnd:
		return isEnd || b == '\n'
	}
	after := !isEnd && isWord(b)
	return ((before == wordByte) != after) == (a == atBoundary)
}
