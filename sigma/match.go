package sigma

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/hauberk/hauberk/sigma/internal/pattern"
)

// Scratch holds what one goroutine needs to match events with one Set. It is
// reused from event to event, so that matching does not allocate.
type Scratch struct {
	set *Set
	ev  Event
	// epoch marks what belongs to the current event, so that nothing has to
	// be cleared between events.
	epoch   uint32
	slots   []slotValue
	memo    []uint32 // per predicate: epoch<<1 | result
	tried   []uint32 // per rule: epoch in which it became a candidate
	scanned []uint32 // per index: epoch in which its automaton ran
	// possible tells, per predicate with an index, the epoch in which a
	// literal that it needs occurred: without one it is false.
	possible   []uint32
	hits       []int32
	candidates []RuleID
	matches    []RuleID
	// Candidates counts the rules evaluated since the Scratch was made.
	Candidates uint64
}

// maxEpoch is the last epoch that fits beside a result bit.
const maxEpoch = 1<<31 - 1

// slotValue is the value of a slot for the current event.
type slotValue struct {
	epoch    uint32
	present  bool
	hasText  bool // text is valid
	isFolded bool // folded and ends are valid
	val      Value
	text     []byte // of a value that is not a list
	buf      []byte // memory for text
	folded   []byte // all texts in ASCII lower case, one after the other
	ends     []int32
}

// NewScratch makes the working memory for one goroutine.
func (s *Set) NewScratch() *Scratch {
	return &Scratch{
		set:      s,
		slots:    make([]slotValue, len(s.slots)),
		memo:     make([]uint32, len(s.predicates)),
		tried:    make([]uint32, len(s.rules)),
		scanned:  make([]uint32, len(s.indexes)),
		possible: make([]uint32, len(s.predicates)),
	}
}

// Match gives the detections that an event of a class matches, in rising
// order. The result is valid until the next Match with the same Scratch.
//
// For each field that rules of the class have literals in, one automaton finds
// the rules that can match at all; only those are evaluated, each predicate at
// most once. Several goroutines may call Match, each with its own Scratch.
func (s *Set) Match(ev Event, class ClassID, sc *Scratch) []RuleID {
	if sc.set != s {
		panic("sigma: Scratch of another Set")
	}
	sc.begin(ev)
	p := &s.plans[class]
	bit := uint64(1) << class
	for _, i := range p.indexes {
		sc.scan(i, bit)
	}
	for _, r := range p.always {
		sc.candidate(r, bit)
	}
	for _, r := range sc.candidates {
		if sc.eval(s.rules[r].root) {
			sc.matches = append(sc.matches, r)
		}
	}
	sc.Candidates += uint64(len(sc.candidates))
	slices.Sort(sc.matches)
	sc.ev = nil
	return sc.matches
}

func (sc *Scratch) begin(ev Event) {
	if sc.epoch++; sc.epoch > maxEpoch {
		clear(sc.memo)
		clear(sc.tried)
		clear(sc.scanned)
		clear(sc.possible)
		for i := range sc.slots {
			sc.slots[i].epoch = 0
		}
		sc.epoch = 1
	}
	sc.ev = ev
	sc.matches = sc.matches[:0]
	sc.candidates = sc.candidates[:0]
}

// scan runs one automaton and notes what its hits make possible.
func (sc *Scratch) scan(i int32, bit uint64) {
	x := &sc.set.indexes[i]
	sc.scanned[i] = sc.epoch
	v := sc.load(x.slot)
	if !v.present {
		return
	}
	sc.hits = sc.hits[:0]
	for t := range v.count() {
		sc.hits = x.dfa.Scan(v.raw(t), sc.hits)
	}
	for _, h := range sc.hits {
		for _, leaf := range x.leaves[x.leafAt[h]:x.leafAt[h+1]] {
			sc.possible[leaf] = sc.epoch
		}
		for _, r := range x.rules[x.at[h]:x.at[h+1]] {
			sc.candidate(r, bit)
		}
	}
}

// candidate notes a rule for evaluation, once per event.
func (sc *Scratch) candidate(r RuleID, bit uint64) {
	if sc.tried[r] != sc.epoch && sc.set.rules[r].classes&bit != 0 {
		sc.tried[r] = sc.epoch
		sc.candidates = append(sc.candidates, r)
	}
}

// eval gives the truth of a reference, see node.
func (sc *Scratch) eval(ref int32) bool {
	if ref < 0 {
		return sc.test(^ref)
	}
	n := &sc.set.nodes[ref]
	kids := sc.set.kids[n.first : n.first+n.count]
	switch n.op {
	case treeTrue:
		return true
	case treeAnd:
		for _, k := range kids {
			if !sc.eval(k) {
				return false
			}
		}
		return true
	case treeOr:
		for _, k := range kids {
			if sc.eval(k) {
				return true
			}
		}
	case treeNot:
		return !sc.eval(kids[0])
	case treeAtLeast:
		left := n.n
		for _, k := range kids {
			if sc.eval(k) {
				if left--; left == 0 {
					return true
				}
			}
		}
	}
	return false
}

// test gives the truth of a predicate, which is worked out once per event.
func (sc *Scratch) test(id int32) bool {
	if m := sc.memo[id]; m>>1 == sc.epoch {
		return m&1 == 1
	}
	p := &sc.set.predicates[id]
	if p.index != noIndex && sc.possible[id] != sc.epoch && sc.scanned[p.index] == sc.epoch {
		return false
	}
	result := sc.work(p)
	m := sc.epoch << 1
	if result {
		m |= 1
	}
	sc.memo[id] = m
	return result
}

func (sc *Scratch) work(p *predicate) bool {
	v := sc.load(p.slot)
	switch {
	case p.op == opPresent:
		return v.present
	case p.op == opEmpty:
		return v.empty()
	case !v.present:
		return false
	case p.op == opFieldRef:
		return sc.fieldRef(p, v)
	case p.op == opNumber && v.val.Kind != KindText && v.val.Kind != KindList && v.val.Kind != KindIP:
		return compareNumbers(p.cmp, number{i: v.val.Int, f: float64(v.val.Int), isInt: true}, p.num)
	case p.op == opTime && v.val.Kind == KindTime:
		return compareNumbers(p.cmp, p.part.of(time.Unix(0, v.val.Int).UTC()), p.num)
	case p.op == opCIDR && v.val.Kind == KindIP:
		a, ok := netip.AddrFromSlice(v.val.Bytes)
		return ok && p.net.Contains(a.Unmap())
	}
	for i := range v.count() {
		t := v.raw(i)
		if p.folded {
			t = v.fold(i)
		}
		if p.matchText(t) {
			return true
		}
	}
	return false
}

func (sc *Scratch) fieldRef(p *predicate, v *slotValue) bool {
	o := sc.load(p.other)
	if !o.present {
		return false
	}
	for i := range v.count() {
		for j := range o.count() {
			a, b := v.raw(i), o.raw(j)
			if p.folded {
				a, b = v.fold(i), o.fold(j)
			}
			if p.related(a, b) {
				return true
			}
		}
	}
	return false
}

// load gives a slot's value, asking the event at most once.
func (sc *Scratch) load(id int32) *slotValue {
	v := &sc.slots[id]
	if v.epoch == sc.epoch {
		return v
	}
	v.epoch, v.hasText, v.isFolded = sc.epoch, false, false
	d := &sc.set.slots[id]
	if d.element == wholeField {
		v.present = sc.ev.Value(d.field, &v.val) && !v.val.isNothing()
		return v
	}
	base := sc.load(d.base)
	v.present = base.present && int(d.element) < base.count()
	if v.present {
		v.val = Value{Kind: KindText, Bytes: base.raw(int(d.element))}
	}
	return v
}

// count is the number of texts of a present value.
func (v *slotValue) count() int {
	if v.val.Kind == KindList {
		return len(v.val.List)
	}
	return 1
}

// raw gives text i.
func (v *slotValue) raw(i int) []byte {
	switch v.val.Kind {
	case KindText:
		return v.val.Bytes
	case KindList:
		return v.val.List[i]
	}
	if !v.hasText {
		v.text = v.format()
		v.hasText = true
	}
	return v.text
}

// format writes a value that is not text into the slot's memory.
func (v *slotValue) format() []byte {
	v.buf = v.buf[:0]
	switch v.val.Kind {
	case KindInt:
		v.buf = strconv.AppendInt(v.buf, v.val.Int, 10)
	case KindBool:
		v.buf = strconv.AppendBool(v.buf, v.val.Int != 0)
	case KindTime:
		v.buf = time.Unix(0, v.val.Int).UTC().AppendFormat(v.buf, time.RFC3339Nano)
	case KindIP:
		if a, ok := netip.AddrFromSlice(v.val.Bytes); ok {
			v.buf = a.Unmap().AppendTo(v.buf)
		}
	}
	return v.buf
}

// fold gives text i in ASCII lower case.
func (v *slotValue) fold(i int) []byte {
	if !v.isFolded {
		v.isFolded = true
		v.folded, v.ends = v.folded[:0], v.ends[:0]
		for j := range v.count() {
			v.folded = pattern.FoldASCII(v.folded, v.raw(j))
			v.ends = append(v.ends, int32(len(v.folded)))
		}
	}
	start := int32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.folded[start:v.ends[i]]
}

// empty reports whether the slot is absent or has an empty text or list.
func (v *slotValue) empty() bool {
	if !v.present {
		return true
	}
	switch v.val.Kind {
	case KindText, KindIP:
		return len(v.val.Bytes) == 0
	case KindList:
		for _, t := range v.val.List {
			if len(t) == 0 {
				return true
			}
		}
	}
	return false
}
