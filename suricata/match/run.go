package match

import (
	"bytes"
	"math"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/pcre"
)

// DefaultLimit is how many tries one evaluation has: Suricata's
// inspection-recursion-limit.
const DefaultLimit = 3000

// Buffer is what a chain is evaluated against.
type Buffer struct {
	Data   []byte
	Offset uint64 // of Data[0] in its stream; 0 for whole buffers
	Little bool   // byte order of a DCERPC header, for numbers that follow it
}

// State is what evaluations of one rule share, and what they cost.
type State struct {
	Vars  []uint64 // by place in Env.Vars
	Limit int      // tries of one evaluation; 0: DefaultLimit
	// Lookup answers dataset, datajson and datarep; nil: nothing is found.
	Lookup func(*suricata.DataStep, []byte) bool
	// Other answers conditions this package does not know (asn1); nil: false.
	Other func(*suricata.Option, []byte, int) bool

	// PCRE is the working memory of expressions; its StepLimit bounds each.
	PCRE pcre.Scratch

	Steps   int // tries so far, summed over evaluations
	Scanned int // bytes searched so far
	Exceed  int // evaluations that reached the limit, and expressions that reached theirs

	decoded []byte
}

// verdict of a step and all after it.
type verdict int8

const (
	yes  verdict = 1
	no   verdict = 0  // another occurrence before may help
	stop verdict = -1 // none will
)

// run is one evaluation.
type run struct {
	*State
	ops   []op
	prog  *Program
	buf   Buffer
	at    int // where relative steps start
	again int // where a pcre search begins again, from the buffer's start; 0: not again
	tries int
}

// Match reports whether the buffer satisfies the chain. Absent chains are the
// caller's: a program with an Absent step only sees buffers that are there.
func (p *Program) Match(b Buffer, st *State) bool {
	if st.Limit == 0 {
		st.Limit = DefaultLimit
	}
	r := run{State: st, ops: p.ops, prog: p, buf: b}
	v := r.from(0)
	st.Steps += r.tries
	return v == yes
}

// from evaluates step i and those after it.
func (r *run) from(i int) verdict {
	if i == len(r.ops) {
		return yes
	}
	if r.tries++; r.tries >= r.Limit {
		if r.tries == r.Limit {
			r.Exceed++
		}
		return stop
	}
	o := &r.ops[i]
	v := no
	switch s := o.step.(type) {
	case *suricata.Content:
		return r.content(i, o, s)
	case *suricata.PCREStep:
		return r.pcre(i, o, s)
	case *suricata.Base64:
		return r.base64(s)
	case *suricata.IsDataAt:
		v = r.dataAt(o, s)
	case *suricata.ByteTest:
		v = truth(r.byteTest(o, s))
	case *suricata.ByteJump:
		v = truth(r.byteJump(o, s))
	case *suricata.ByteExtract:
		v = truth(r.byteExtract(o, s))
	case *suricata.ByteMath:
		v = truth(r.byteMath(o, s))
	case *suricata.Size:
		if v = stop; s.Match(uint64(len(r.buf.Data)) + r.buf.Offset) {
			v = yes
		}
	case *suricata.Absent:
		v = truth(s.OrElse)
	case *suricata.Entropy:
		v = truth(entropyMatches(s, r.buf.Data))
	case *suricata.DataStep:
		v = truth(r.Lookup != nil && r.Lookup(s, r.buf.Data))
	case *suricata.Other:
		v = truth(r.Other != nil && r.Other(&s.Option, r.buf.Data, r.at))
	}
	if v != yes {
		return v
	}
	return r.from(i + 1)
}

func truth(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// num is a number of the rule, or the variable it names.
func (r *run) num(n suricata.Num, variable int) int {
	if variable < 0 {
		return int(n.N)
	}
	if variable >= len(r.Vars) {
		return 0
	}
	return int(int32(min(r.Vars[variable], math.MaxInt32)))
}

func (r *run) wide(n suricata.Num, variable int) uint64 {
	if variable < 0 {
		return uint64(n.N)
	}
	if variable >= len(r.Vars) {
		return 0
	}
	return r.Vars[variable]
}

// window is where a content may lie, before it is clipped to the buffer. ok is
// false if it lies before what is left of the stream.
func (r *run) window(o *op, c *suricata.Content, start int) (lo, hi int, ok bool) {
	size := len(r.buf.Data)
	hi = size
	if c.Relative {
		lo = start
		distance := 0
		if c.HasDistance {
			distance = r.num(c.Distance, o.distance)
			lo = max(lo+distance, 0)
		}
		if c.HasWithin {
			hi = min(hi, start+r.num(c.Within, o.within)+distance)
			if start == 0 {
				return lo, hi, r.cut(&hi)
			}
		}
		if hi < 0 {
			hi = size // as an unsigned number it is beyond the end
		}
		return lo, hi, true
	}
	lo = r.num(c.Offset, o.offset)
	if c.HasDepth {
		hi = r.num(c.Depth, o.depth)
		if o.depth < 0 && o.offset < 0 {
			hi += lo // depth counts from the offset
		}
		if !r.cut(&hi) {
			return lo, hi, false
		}
	}
	if o.depth >= 0 || o.offset >= 0 {
		hi += lo
	}
	return lo, hi, true
}

// cut moves the end of a window from the stream's start to the buffer's.
func (r *run) cut(hi *int) bool {
	off := r.buf.Offset
	switch {
	case off == 0 || *hi >= 0 && uint64(*hi) >= off+uint64(len(r.buf.Data)):
		return true
	case *hi < 0 || uint64(*hi) <= off:
		return false
	}
	*hi -= int(off)
	return true
}

// content looks for a pattern, and again behind it while what follows fails.
func (r *run) content(i int, o *op, c *suricata.Content) verdict {
	size, start, next := len(r.buf.Data), r.at, 0
	for {
		lo, hi, ok := r.window(o, c, start)
		if !ok {
			return no
		}
		if next != 0 {
			lo = next
		}
		hi = min(hi, size)
		if lo > hi || hi <= 0 {
			if c.Negated {
				return r.from(i + 1)
			}
			return no
		}
		found := -1
		if hi-lo >= len(o.pattern) && (!c.EndsWith || hi == size) {
			found = r.search(r.buf.Data[lo:hi], o.pattern, c.NoCase)
		}
		if found < 0 {
			switch {
			case c.Negated:
				return r.from(i + 1)
			case c.Relative:
				return no
			}
			return stop // independent of what came before
		}
		end := lo + found + len(o.pattern)
		if c.Negated {
			return r.negated(i, o, c, end, hi-lo)
		}
		r.at = end
		if !c.EndsWith || end == size {
			if v := r.from(i + 1); v != no {
				return v
			}
			if !o.retry {
				return stop
			}
		}
		next = end - len(o.pattern) + 1
		if r.tries++; r.tries >= r.Limit { // each occurrence costs, also without steps behind it
			r.Exceed++
			return stop
		}
	}
}

// negated ends a search for a pattern that should not be there but is. searched
// is the length of the window.
func (r *run) negated(i int, o *op, c *suricata.Content, end, searched int) verdict {
	switch {
	case c.EndsWith && searched != end:
		return r.from(i + 1) // it does not end the buffer
	case o.single:
		return stop
	}
	return no
}

// search finds the first occurrence, -1 if there is none.
func (r *run) search(data, pattern []byte, fold bool) int {
	r.Scanned += len(data)
	if !fold {
		return bytes.Index(data, pattern)
	}
	return indexFold(data, pattern)
}

// pcre runs an expression, and again behind its match while what follows fails.
func (r *run) pcre(i int, o *op, s *suricata.PCREStep) verdict {
	start := r.at
	r.again = 0
	for {
		from, ok := r.pcreOnce(s)
		if !ok {
			return no
		}
		if !o.retry {
			return r.from(i + 1)
		}
		if v := r.from(i + 1); v != no {
			return v
		}
		if from < 0 {
			return no // negated: there is no occurrence to go on from
		}
		r.at, r.again = start, from+1
	}
}

// pcreOnce searches once. from is where the match begins, -1 for a negated one.
func (r *run) pcreOnce(s *suricata.PCREStep) (from int, ok bool) {
	base := 0
	if s.Relative {
		base = min(r.at, len(r.buf.Data))
	}
	begin := max(r.again-base, 0)
	subject := r.buf.Data[base:]
	if begin > len(subject) {
		return -1, s.Negated
	}
	r.Scanned += len(subject) - begin
	from, to, found, err := s.Regexp.Match(&r.PCRE, subject, begin)
	if err != nil { // not known whether it matches: as in Suricata it does not, negated or not
		r.Exceed++
		return -1, false
	}
	if found == s.Negated {
		return -1, false
	}
	if s.Negated {
		return -1, true
	}
	r.at = base + to
	return base + from, true
}

// dataAt answers isdataat.
func (r *run) dataAt(o *op, s *suricata.IsDataAt) verdict {
	at := r.wide(s.At, o.offset)
	size := uint64(len(r.buf.Data))
	const absurd = 100_000_000 // beyond any buffer
	var there bool
	switch {
	case o.offset >= 0 && at >= absurd:
		there = false
	case s.Relative:
		there = uint64(r.at)+at <= size
	default:
		there = at < size
	}
	switch {
	case there != s.Not:
		return yes
	case o.offset >= 0 || s.Relative && s.Not:
		return no
	}
	return stop
}

// base64 decodes and, if the rule looks at what was decoded, ends the chain there.
func (r *run) base64(s *suricata.Base64) verdict {
	data := r.buf.Data
	if s.Relative {
		data = data[min(r.at, len(data)):]
	}
	if off := int(s.Offset.N); off > 0 {
		if off >= len(data) {
			return no
		}
		data = data[off:]
	}
	if n := int(s.Bytes.N); n > 0 && n < len(data) {
		data = data[:n]
	}
	r.decoded = appendBase64(r.decoded[:0], data)
	if len(r.decoded) == 0 {
		return no
	}
	if r.prog.decoded == nil {
		return no // as in Suricata: decoding alone is no match
	}
	inner := run{State: r.State, ops: r.prog.decoded.ops, prog: r.prog.decoded, buf: Buffer{Data: r.decoded}, tries: r.tries}
	v := inner.from(0)
	r.tries = inner.tries
	if v == yes {
		return yes
	}
	return no
}

// entropyMatches computes the Shannon entropy of the part and compares it.
func entropyMatches(e *suricata.Entropy, data []byte) bool {
	data = data[min(e.Offset, len(data)):]
	if e.Bytes > 0 {
		data = data[:min(e.Bytes, len(data))]
	}
	if len(data) == 0 {
		return false
	}
	var counts [256]int
	for _, c := range data {
		counts[c]++
	}
	h := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(data))
			h -= p * math.Log2(p)
		}
	}
	switch e.Op {
	case "=":
		return math.Abs(h-e.Value) < 0.00001
	case "!=":
		return math.Abs(h-e.Value) >= 0.00001
	case "<":
		return h < e.Value
	case "<=":
		return h <= e.Value
	case ">":
		return h > e.Value
	case ">=":
		return h >= e.Value
	}
	return e.Value < h && h < e.High
}
