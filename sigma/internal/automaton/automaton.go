// Package automaton finds many short literals in a text at once: an
// Aho-Corasick automaton (Aho and Corasick, CACM 1975) compiled to a full
// transition table, so that each byte costs two loads and no branch.
//
// It is a prefilter. Letters match in any ASCII case, and bytes that are rare
// in the literals share a class, which keeps a row within Classes entries and
// the table small; both make false hits possible, never a miss.
package automaton

import (
	"bytes"
	"slices"
)

// Classes is how many kinds of bytes the automaton tells apart, a power of two
// so that a row is found by a shift.
const (
	classBits = 6
	Classes   = 1 << classBits
)

// Literal is a text to find.
type Literal struct {
	Text  []byte // not empty; upper case matches as lower case
	Start bool   // only at the start of a text
	End   bool   // only at the end of a text
}

// DFA is immutable after New and safe for concurrent use.
type DFA struct {
	class [256]uint8
	// Exactly one of the tables is set; 16 bits suffice for most rule sets.
	small []uint16
	large []uint32
	// States from final on end a literal; outs[outAt[s-final]:outAt[s-final+1]]
	// are their outputs.
	final uint32
	outAt []uint32
	outs  []output
}

type output struct {
	literal int32
	length  int32
	start   bool
	end     bool
}

type trieNode struct {
	next   map[uint8]int32
	fail   int32
	outs   []output
	number uint32
}

// New compiles literals; a hit is reported as the index of the literal.
func New(literals []Literal) *DFA {
	d := &DFA{}
	d.chooseClasses(literals)
	nodes := []*trieNode{{next: map[uint8]int32{}}}
	for i, l := range literals {
		at := int32(0)
		for _, c := range l.Text {
			cl := d.class[c]
			n, ok := nodes[at].next[cl]
			if !ok {
				n = int32(len(nodes))
				nodes = append(nodes, &trieNode{next: map[uint8]int32{}})
				nodes[at].next[cl] = n
			}
			at = n
		}
		nodes[at].outs = append(nodes[at].outs, output{int32(i), int32(len(l.Text)), l.Start, l.End})
	}
	order := link(nodes)
	d.number(nodes, order)
	d.fill(nodes, order)
	return d
}

// chooseClasses gives the bytes that are most frequent in the literals a class
// each, the others one together, and bytes of no literal class 0.
func (d *DFA) chooseClasses(literals []Literal) {
	var freq [256]int
	for _, l := range literals {
		for _, c := range l.Text {
			freq[lower(c)]++
		}
	}
	var order []int
	for c, n := range freq {
		if n > 0 {
			order = append(order, c)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if freq[a] != freq[b] {
			return freq[b] - freq[a]
		}
		return a - b
	})
	for i, c := range order {
		d.class[c] = uint8(min(i+1, Classes-1))
	}
	for c := 'A'; c <= 'Z'; c++ {
		d.class[c] = d.class[c+'a'-'A']
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// link sets the failure links breadth first, collects inherited outputs, and
// returns that order.
func link(nodes []*trieNode) []int32 {
	order := []int32{0}
	for head := 0; head < len(order); head++ {
		at := order[head]
		for _, cl := range keys(nodes[at].next) {
			kid := nodes[at].next[cl]
			order = append(order, kid)
			if at == 0 {
				continue
			}
			f := nodes[at].fail
			for {
				if n, ok := nodes[f].next[cl]; ok {
					nodes[kid].fail = n
					break
				}
				if f == 0 {
					break
				}
				f = nodes[f].fail
			}
			nodes[kid].outs = append(nodes[kid].outs, nodes[nodes[kid].fail].outs...)
		}
	}
	return order
}

func keys(m map[uint8]int32) []uint8 {
	out := make([]uint8, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// number puts states with outputs last, so that one comparison finds them.
func (d *DFA) number(nodes []*trieNode, order []int32) {
	n := uint32(0)
	for _, at := range order {
		if len(nodes[at].outs) == 0 {
			nodes[at].number = n
			n++
		}
	}
	d.final = n
	for _, at := range order {
		if outs := nodes[at].outs; len(outs) > 0 {
			nodes[at].number = n
			n++
			d.outAt = append(d.outAt, uint32(len(d.outs)))
			d.outs = append(d.outs, outs...)
		}
	}
	d.outAt = append(d.outAt, uint32(len(d.outs)))
}

func (d *DFA) fill(nodes []*trieNode, order []int32) {
	table := make([]uint32, len(nodes)<<classBits)
	for _, at := range order {
		row := table[nodes[at].number<<classBits:][:Classes]
		if at != 0 {
			copy(row, table[nodes[nodes[at].fail].number<<classBits:][:Classes])
		}
		for cl, kid := range nodes[at].next {
			row[cl] = nodes[kid].number
		}
	}
	if len(nodes) > 1<<16 {
		d.large = table
		return
	}
	d.small = make([]uint16, len(table))
	for i, s := range table {
		d.small[i] = uint16(s)
	}
}

// Scan appends the index of each literal found in text to hits. A literal that
// occurs n times is reported up to n times.
func (d *DFA) Scan(text []byte, hits []int32) []int32 {
	if d.small != nil {
		return scan(d, d.small, text, hits)
	}
	return scan(d, d.large, text, hits)
}

func scan[T uint16 | uint32](d *DFA, table []T, text []byte, hits []int32) []int32 {
	s, final := uint32(0), d.final
	for i, c := range text {
		s = uint32(table[s<<classBits|uint32(d.class[c])])
		if s >= final {
			hits = d.report(s, i+1, len(text), hits)
		}
	}
	return hits
}

func (d *DFA) report(s uint32, end, size int, hits []int32) []int32 {
	for _, o := range d.outs[d.outAt[s-d.final]:d.outAt[s-d.final+1]] {
		if o.start && end != int(o.length) || o.end && end != size {
			continue
		}
		hits = append(hits, o.literal)
	}
	return hits
}

// Size is the memory of the tables in bytes.
func (d *DFA) Size() int {
	return len(d.class) + 2*len(d.small) + 4*len(d.large) + 4*len(d.outAt) + 12*len(d.outs)
}

// States is the number of states.
func (d *DFA) States() int { return (len(d.small) + len(d.large)) >> classBits }

// Shorten cuts a literal to at most n bytes: its end if it is bound to the end
// of a text, its start if bound to the start only, else the window that rare
// decides on by the lowest sum.
func Shorten(l Literal, n int, rare func(window []byte) float64) Literal {
	if len(l.Text) <= n {
		return l
	}
	switch {
	case l.End:
		return Literal{Text: l.Text[len(l.Text)-n:], End: true}
	case l.Start:
		return Literal{Text: l.Text[:n], Start: true}
	}
	best, bestCost := l.Text[:n], rare(l.Text[:n])
	for i := 1; i+n <= len(l.Text); i++ {
		if c := rare(l.Text[i : i+n]); c < bestCost {
			best, bestCost = l.Text[i:i+n], c
		}
	}
	return Literal{Text: bytes.Clone(best)}
}
