// Package multi finds which of many texts occur in a buffer, thousands at
// once: the fast patterns of a rule set. Texts with and without regard for
// case live in one set (case is folded in ASCII only).
//
// The buffer is folded once. Then filters go over it (filter.go): each looks
// at short windows of it, hashes them and asks a Bloom filter that fits the
// cache whether any text has such a window. There is a tier for each class
// of lengths:
//
//	texts of    windows of   looked at
//	11 and on   8 bytes      every 4th position
//	7 to 10     6 bytes      every 2nd
//	4 to 6      4 bytes      every, two with one look
//	1 to 3      2 bytes      every, a plain bit map
//
// A text is entered with one window for each phase of the stride, so one of
// them is always looked at; which stretch of it is entered is chosen by how
// rare its windows are in traffic (rarity.go). Texts whose windows are common
// in every place, such as runs of zeros, move to a finer tier where one
// window is enough. What passes a filter is looked up in a hash table and
// compared, first with eight bytes of the text, then as a whole.
package multi

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Pattern is a text to find.
type Pattern struct {
	Text []byte
	Fold bool // ASCII letters match both cases
	// The text must begin at Offset or later and, if Depth is above 0, end
	// within Depth bytes after Offset.
	Offset, Depth int
}

// maxText bounds a text; a rule's content has 255 bytes at most.
const maxText = 1 << 12

// Match says that a pattern occurs.
type Match struct {
	Pattern uint32 // index into what Compile was given
	End     uint32 // where its first occurrence ends
}

// Set is compiled patterns. It is immutable and safe for concurrent use with
// one Scratch per goroutine.
type Set struct {
	texts    []byte // folded
	reach    int    // where the last text must end
	exact    []byte // as given
	patterns []meta
	coarse   *tier // nil if no text is there
	middle   *tier // the guest of finest; nil if finest is
	finest   *tier
	pairs    []*pairTier // none if no text is that short
}

// meta is what is known of a pattern after compilation.
type meta struct {
	at       uint32 // in texts and exact
	length   uint16
	caseless bool
	placed   bool // has an offset or a depth
	first    uint32
	last     uint32 // where it must end, at most
}

// Compile makes a set. The order of the patterns is kept; equal ones are
// reported each.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: make([]meta, len(patterns))}
	for i, p := range patterns {
		if len(p.Text) == 0 || len(p.Text) > maxText {
			return nil, fmt.Errorf("compile pattern %d: text of %d bytes, not 1 to %d", i, len(p.Text), maxText)
		}
		if p.Offset < 0 || p.Depth < 0 || p.Depth > 0 && p.Depth < len(p.Text) {
			return nil, fmt.Errorf("compile pattern %d: offset %d and depth %d leave no place", i, p.Offset, p.Depth)
		}
		m := meta{at: uint32(len(s.texts)), length: uint16(len(p.Text)), first: uint32(p.Offset), last: 1<<32 - 1}
		if p.Depth > 0 {
			m.last = uint32(min(p.Offset+p.Depth, 1<<32-1))
		}
		m.placed = p.Offset > 0 || p.Depth > 0
		s.exact = append(s.exact, p.Text...)
		for _, b := range p.Text {
			s.texts = append(s.texts, foldByte(b))
		}
		m.caseless = p.Fold || !hasLetter(p.Text)
		s.patterns[i] = m
		s.reach = max(s.reach, int(m.last))
	}
	s.place()
	return s, nil
}

// Scratch is the working memory of one goroutine, for any number of sets.
// Its zero value is ready.
type Scratch struct {
	folded     []byte
	bits       []byte // of a filter
	guestBits  []byte
	seen       []uint64 // a bit per pattern, clear between scans
	offset     int      // of the subject in its stream
	matches    []Match
	candidates [maxCandidates]uint32
}

// padding is how far the filters may read past the end.
const padding = 64

// Scan returns which patterns occur in subject, each once with the end of its
// first occurrence (one that its offset and depth allow), in no particular
// but always the same order. The result is valid until the next Scan with sc.
// It does not allocate once sc has seen a subject of this size. A stream is
// scanned in pieces that overlap by the length of the longest pattern less one.
func (s *Set) Scan(sc *Scratch, subject []byte) []Match { return s.ScanAt(sc, subject, 0) }

// ScanAt is Scan of a piece that begins at an offset of its stream: offsets and
// depths of patterns count from the stream's beginning, ends from the piece's.
func (s *Set) ScanAt(sc *Scratch, subject []byte, offset uint64) []Match {
	sc.offset = int(min(offset, 1<<31)) // Behind all texts that have a depth.
	subject = subject[:max(0, min(len(subject), s.reach-sc.offset))]
	sc.prepare(len(subject), len(s.patterns))
	folded := sc.folded[:len(subject)+padding]
	fold(folded, subject)
	clear(folded[len(subject):])
	if t := s.coarse; t != nil && len(subject) >= t.width {
		out := sc.bits[:(len(subject)-t.width)/(8*t.stride)+1]
		t.filter(out, folded)
		s.confirm(sc, t, out, folded, subject)
	}
	if t := s.finest; t != nil && len(subject) >= t.width {
		groups := (len(subject)-t.width)/16 + 1
		out, guestOut := sc.bits[:2*groups], sc.guestBits[:groups]
		t.filterPairs(out, guestOut, folded, s.middle)
		s.confirm(sc, t, out, folded, subject)
		s.confirm(sc, s.middle, guestOut, folded, subject)
	}
	for _, p := range s.pairs {
		s.scanPairs(sc, p, folded, subject)
	}
	for _, m := range sc.matches {
		sc.seen[m.Pattern>>6] = 0
	}
	return sc.matches
}

func (sc *Scratch) prepare(subject, patterns int) {
	if need := subject + padding; len(sc.folded) < need {
		sc.folded = make([]byte, need+need/4)
		sc.bits = make([]byte, len(sc.folded)/8+16)
		sc.guestBits = make([]byte, len(sc.bits))
	}
	if words := (patterns + 63) / 64; len(sc.seen) < words {
		sc.seen = make([]uint64, words)
	}
	sc.matches = sc.matches[:0]
}

// entry is a window of a pattern in a tier's hash table.
type entry struct {
	value   uint64 // up to 8 bytes of the folded text, in the upper end
	pattern uint32
	window  uint16 // where in the text the window is
	back    uint8  // where value is, before the window
	size    uint8  // bytes in value
}

// confirm looks up the positions that passed a filter. Those whose hash no
// window has are dropped without a branch, as most of them are.
func (s *Set) confirm(sc *Scratch, t *tier, bits []byte, folded, subject []byte) {
	n := 0    // candidates collected
	done := 0 // positions before are inside of a run
	for i := 0; i < len(bits); i += 8 {
		word := loadBits(bits[i:])
		if inside := done - 8*i; inside > 0 { // the finest tier has stride 1
			if inside >= 64 {
				continue
			}
			word &= ^uint64(0) << inside
		}
		for ; word != 0; word &= word - 1 {
			pos := (8*i + trailing(word)) * t.stride
			if t.runs != nil {
				if four := binary.LittleEndian.Uint32(folded[pos:]); four == four<<8|four>>24 {
					done = s.confirmRun(sc, t.runs[byte(four)], pos, folded, subject) - 3
					if done >= 8*i+64 {
						break
					}
					// The last window of the run is the lowest left, and done too.
					word &= ^uint64(0) << (done - 8*i - 1)
					continue
				}
			}
			h := t.hash(folded, pos) >> t.presentShift
			sc.candidates[n&(maxCandidates-1)] = uint32(pos)
			n += int(t.present[h>>6] >> (h & 63) & 1)
		}
		if n > maxCandidates-64 {
			s.compare(sc, t, sc.candidates[:n], folded, subject)
			n = 0
		}
	}
	s.compare(sc, t, sc.candidates[:n], folded, subject)
}

// maxCandidates is how many positions are collected before they are compared.
const maxCandidates = 256

// compare compares the patterns that have a window at one of the positions.
func (s *Set) compare(sc *Scratch, t *tier, positions []uint32, folded, subject []byte) {
	for _, p := range positions {
		pos := int(p)
		bucket := t.hash(folded, pos) >> t.bucketShift
		for _, e := range t.entries[t.starts[bucket]:t.starts[bucket+1]] {
			at := pos - int(e.window)
			if at < 0 || binary.LittleEndian.Uint64(folded[pos-int(e.back):])<<(64-8*e.size) != e.value {
				continue
			}
			if !sc.found(e.pattern) {
				s.verify(sc, e.pattern, at, folded, subject)
			}
		}
	}
}

// confirmRun looks for patterns that are runs in the run of one byte from
// pos on, and returns where it ends. All runs are long in padding, so they
// are looked at as a whole.
func (s *Set) confirmRun(sc *Scratch, patterns []uint32, pos int, folded, subject []byte) (end int) {
	end = pos + 4
	eight := uint64(folded[pos]) * 0x0101010101010101
	for end+8 <= len(subject) && binary.LittleEndian.Uint64(folded[end:]) == eight {
		end += 8
	}
	for end < len(subject) && folded[end] == folded[pos] {
		end++
	}
	for _, pattern := range patterns {
		m := &s.patterns[pattern]
		from, to := max(pos, int(m.first)-sc.offset), end-int(m.length)
		if sc.found(pattern) {
			continue
		}
		if m.caseless {
			to = min(to, from) // every place is as good
		}
		for at := from; at <= to; at++ {
			s.verify(sc, pattern, at, folded, subject)
		}
	}
	return end
}

// verify compares a whole pattern with the subject at a position.
func (s *Set) verify(sc *Scratch, pattern uint32, at int, folded, subject []byte) {
	if sc.found(pattern) {
		return
	}
	m := &s.patterns[pattern]
	end := at + int(m.length)
	if end > len(subject) || m.placed && (sc.offset+at < int(m.first) || sc.offset+end > int(m.last)) {
		return
	}
	if m.caseless {
		if !bytes.Equal(folded[at:end], s.texts[m.at:m.at+uint32(m.length)]) {
			return
		}
	} else if !bytes.Equal(subject[at:end], s.exact[m.at:m.at+uint32(m.length)]) {
		return
	}
	sc.seen[pattern>>6] |= 1 << (pattern & 63)
	sc.matches = append(sc.matches, Match{pattern, uint32(end)})
}

// found reports whether a pattern is in the matches already.
func (sc *Scratch) found(pattern uint32) bool { return sc.seen[pattern>>6]>>(pattern&63)&1 != 0 }

// Size returns the bytes of memory the set holds.
func (s *Set) Size() int {
	n := len(s.texts) + len(s.exact) + 20*len(s.patterns)
	for _, t := range []*tier{s.coarse, s.middle, s.finest} {
		if t == nil {
			continue
		}
		if t.host == nil {
			n += 4 * len(t.bloom)
		}
		n += 8*len(t.present) + 4*len(t.starts) + 16*len(t.entries)
	}
	for _, p := range s.pairs {
		n += 8*len(p.present) + 4*len(p.starts) + 16*len(p.entries)
	}
	return n
}

// Tiers returns how many patterns are in the tiers of 8, 6, 4 and 2 bytes.
func (s *Set) Tiers() (n [4]int) {
	for i, t := range []*tier{s.coarse, s.middle, s.finest} {
		if t != nil {
			n[i] = t.patterns
		}
	}
	for _, p := range s.pairs {
		n[3] += p.patterns
	}
	return n
}
