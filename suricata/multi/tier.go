package multi

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// tier is the texts that are found by windows of one width.
type tier struct {
	width    int // bytes of a window
	stride   int // positions from one look to the next
	second   int // offset of the window's second four bytes
	patterns int

	// The filter: the top bits of a hash choose a word, others two bits in it.
	// The tier of 6 bytes is a guest in the filter of the tier of 4.
	host      *tier
	bloom     []uint32
	seed      uint32 // of the hash
	wordShift uint8

	// runs is the patterns that are a run, by byte; in the finest tier only.
	// Their windows are in the filter and the table too.
	runs [][]uint32

	// present is a bit map of the top bits of all windows' hashes.
	present      []uint64
	presentShift uint8

	// The table: entries of a bucket lie together.
	bucketShift uint8
	starts      []uint32
	entries     []entry
}

// Multipliers of the hash: odd, with bits all over.
const (
	multiplier       = 0x9e3779b1
	secondMultiplier = 0x85ebca77
)

// hash is of the window at pos.
func (t *tier) hash(folded []byte, pos int) uint32 {
	return t.seed + binary.LittleEndian.Uint32(folded[pos:])*multiplier +
		binary.LittleEndian.Uint32(folded[pos+t.second:])*secondMultiplier
}

// Bits of a hash that choose a bit of a word, counted from the top.
const (
	firstBit, secondBit           = 12, 7
	firstGuestBit, secondGuestBit = 27, 22
)

// word is where the filter of the finest tier keeps windows that lie around
// three bytes: one look, at bytes 1 to 3 from an even position, serves the
// windows of four bytes there and at the position after, and those of a guest.
func (t *tier) word(three uint32) uint32 { return (three&0xffffff*multiplier + t.seed) >> t.wordShift }

// pairTier is the texts of one to three bytes.
type pairTier struct {
	present  []uint64 // bit map of the first two bytes
	shift    uint8
	starts   []uint32
	entries  []entry
	patterns int
	reach    int // No text may end behind it.
	// few is the texts if they are so few that looking for one byte of each in
	// turn is faster.
	few []few
}

// few is a text and its byte that is looked for.
type few struct {
	pattern uint32
	at      int
	b       byte
}

func (p *pairTier) bucket(pair uint16) uint32 { return uint32(pair) * multiplier >> p.shift }

// scanPairs looks at every two bytes as far as a text may be; those of a text
// of one byte may end outside.
func (s *Set) scanPairs(sc *Scratch, p *pairTier, folded, subject []byte) {
	if p.few != nil {
		s.scanFew(sc, p, folded, subject)
		return
	}
	pair := uint16(0)
	if len(subject) > 0 {
		pair = uint16(folded[0]) << 8
	}
	for pos := range max(0, min(len(subject), p.reach-sc.offset)) {
		pair = pair>>8 | uint16(folded[pos+1])<<8
		if p.present[pair>>6]>>(pair&63)&1 == 0 {
			continue
		}
		bucket := p.bucket(pair)
		for _, e := range p.entries[p.starts[bucket]:p.starts[bucket+1]] {
			if !sc.found(e.pattern) {
				s.verify(sc, e.pattern, pos, folded, subject)
			}
		}
	}
}

// scanFew looks for one text after the other.
func (s *Set) scanFew(sc *Scratch, p *pairTier, folded, subject []byte) {
	end := max(0, min(len(subject), p.reach-sc.offset))
	for _, f := range p.few {
		for i := f.at; i < end && !sc.found(f.pattern); i++ {
			k := bytes.IndexByte(folded[i:end], f.b)
			if k < 0 {
				break
			}
			i += k
			s.verify(sc, f.pattern, i-f.at, folded, subject)
		}
	}
}

// rarest chooses the byte of a short text that is looked for: rather none that
// fills payloads of binary protocols or is a letter.
func rarest(text []byte) (at int) {
	rank := func(b byte) int {
		switch {
		case b == 0 || b == 0xff || b == ' ':
			return 0
		case b == 1 || b >= 'a' && b <= 'z' || b >= '0' && b <= '9':
			return 1
		}
		return 2
	}
	for i, b := range text {
		if rank(b) > rank(text[at]) {
			at = i
		}
	}
	return at
}

// placement is where the windows of one pattern are, as compilation chose.
type placement struct {
	pattern uint32
	window  int // of the first phase
}

// place distributes the patterns over the tiers and builds these.
func (s *Set) place() {
	tiers := [...]tier{{width: 8, stride: 4, second: 4}, {width: 6, stride: 2, second: 2}, {width: 4, stride: 1}}
	var placed [len(tiers)][]placement
	const finest = len(tiers) - 1
	var short []uint32
	crowd := newCrowd(len(s.patterns))
	for i, m := range s.patterns {
		text := s.texts[m.at : m.at+uint32(m.length)]
		if len(text) < 4 {
			short = append(short, uint32(i))
			continue
		}
		if isRun(text) {
			placed[finest] = append(placed[finest], placement{uint32(i), 0})
			continue
		}
		best, at, cost := -1, 0, 0.0
		for k := range tiers {
			t := &tiers[k]
			if len(text) < t.width+t.stride-1 {
				continue
			}
			w, c := crowd.cheapest(t, text)
			if w < 0 {
				continue
			}
			// A coarser tier costs less per position, so a finer one must be
			// clearly rarer.
			if best < 0 || c*finerTierFactor < cost {
				best, at, cost = k, w, c
			}
		}
		if best < 0 { // the only change is far in
			best, at = finest, firstChange(text)
		}
		t := &tiers[best]
		crowd.enter(t, text, at)
		placed[best] = append(placed[best], placement{uint32(i), at})
	}
	s.build(tiers[:], placed[:])
	s.buildPairs(short)
}

// build builds the tiers that have patterns, and the finest for its guest.
func (s *Set) build(tiers []tier, placed [][]placement) {
	coarse, middle, finest := &tiers[0], &tiers[1], &tiers[2]
	if len(placed[0]) > 0 {
		coarse.build(s, placed[0], len(placed[0])*coarse.stride)
		s.coarse = coarse
	}
	guests := len(placed[1]) * middle.stride
	if guests+len(placed[2]) == 0 {
		return
	}
	finest.build(s, placed[2], guests+2*len(placed[2]))
	s.finest = finest
	middle.host = finest
	middle.build(s, placed[1], 0)
	s.middle = middle
}

// isRun reports whether text is one byte over and over.
func isRun(text []byte) bool { return firstChange(text) < 0 }

// firstChange returns a window of four bytes that is not a run; -1 if text is
// one.
func firstChange(text []byte) int {
	for i := 1; i < len(text); i++ {
		if text[i] != text[0] {
			return max(0, i-3)
		}
	}
	return -1
}

// finerTierFactor is how much rarer the windows of a pattern must be in a
// finer tier to move it there.
const finerTierFactor = 8

// Sizes of filters and tables, in powers of two. A filter has one to two words
// per window and a table four to eight buckets, as far as the cache allows.
const (
	maxWordBits    = 15
	minWordBits    = 4
	maxBucketBits  = 15
	maxPresentBits = 19
)

// build makes the filter and the table; size is how many windows the filter
// will have to hold.
func (t *tier) build(s *Set, placed []placement, size int) {
	windows := len(placed) * t.stride
	t.patterns = len(placed)
	wordBits := min(max(bits.Len(uint(size)), minWordBits), maxWordBits)
	bucketBits := min(max(bits.Len(uint(windows))+2, minWordBits), maxBucketBits)
	t.wordShift, t.bucketShift = uint8(32-wordBits), uint8(32-bucketBits)
	if t.host != nil {
		t.bloom = t.host.bloom
	} else {
		t.bloom = make([]uint32, 1<<wordBits)
	}
	t.starts = make([]uint32, 1<<bucketBits+1)
	hashes := make([]uint32, 0, windows)
	before := slices.Clone(t.bloom) // a guest finds the bits of its host
	for range seeds {
		copy(t.bloom, before)
		hashes = t.fill(s, placed, hashes[:0])
		if t.stride == 1 || t.refusesRuns() {
			break
		}
		t.seed += multiplier
	}
	presentBits := min(max(bits.Len(uint(windows))+3, 6), maxPresentBits)
	t.presentShift = uint8(32 - presentBits)
	t.present = make([]uint64, 1<<presentBits/64)
	for _, h := range hashes {
		t.starts[h>>t.bucketShift+1]++
		h >>= t.presentShift
		t.present[h>>6] |= 1 << (h & 63)
	}
	for i := range t.starts[1:] {
		t.starts[i+1] += t.starts[i]
	}
	t.entries = make([]entry, windows)
	next := make([]uint32, 1<<bucketBits)
	copy(next, t.starts)
	// Later windows of a pattern come first in a bucket: they mean an earlier
	// occurrence.
	for i := len(placed) - 1; i >= 0; i-- {
		p := placed[i]
		for phase := t.stride - 1; phase >= 0; phase-- {
			bucket := hashes[i*t.stride+phase] >> t.bucketShift
			t.entries[next[bucket]] = s.entry(p.pattern, p.window+phase)
			next[bucket]++
		}
	}
}

// seeds is how many are tried for a filter that refuses runs. The last is
// taken as it is.
const seeds = 16

// fill enters the windows of all patterns in the filter, and returns their hashes.
func (t *tier) fill(s *Set, placed []placement, hashes []uint32) []uint32 {
	t.runs = nil
	for _, p := range placed {
		m := s.patterns[p.pattern]
		text := s.texts[m.at : m.at+uint32(m.length)]
		if t.stride == 1 && isRun(text) {
			t.addRun(text[0], p.pattern)
		}
		for phase := range t.stride {
			window := text[p.window+phase:][:t.width:t.width]
			hashes = append(hashes, t.hash(window, 0))
			t.enter(window)
		}
	}
	return hashes
}

// refusesRuns reports whether padding does not pass the filter by chance.
func (t *tier) refusesRuns() bool {
	for _, b := range []byte{0, 0xff, ' ', 'a'} {
		if word, mask := t.slot(bytes.Repeat([]byte{b}, 8)); t.bloom[word]&mask == mask {
			return false
		}
	}
	return true
}

// enter adds a window to the filter.
func (t *tier) enter(window []byte) {
	word, mask := t.slot(window)
	t.bloom[word] |= mask
	if t.stride == 1 { // the same, seen from the position before
		t.bloom[t.word(binary.LittleEndian.Uint32(window))] |= mask
	}
}

func (t *tier) addRun(b byte, pattern uint32) {
	if t.runs == nil {
		t.runs = make([][]uint32, 256)
	}
	t.runs[b] = append(t.runs[b], pattern)
}

// slot is the word of a window, and its bits there.
func (t *tier) slot(window []byte) (word, mask uint32) {
	h := t.hash(window, 0)
	first, second := uint32(firstBit), uint32(secondBit)
	three := binary.LittleEndian.Uint32(window) >> 8
	switch {
	case t.host != nil:
		word = t.host.word(three)
		first, second = firstGuestBit, secondGuestBit
	case t.stride == 1:
		word = t.word(three)
	default:
		word = h >> t.wordShift
	}
	return word, 1<<31>>(h>>first&31) | 1<<31>>(h>>second&31)
}

// entry describes a window of a pattern. Its eight bytes to compare include
// the window where they can.
func (s *Set) entry(pattern uint32, window int) entry {
	m := s.patterns[pattern]
	text := s.texts[m.at : m.at+uint32(m.length)]
	check := max(0, min(window-2, len(text)-8))
	e := entry{pattern: pattern, window: uint16(window), back: uint8(window - check), size: uint8(min(8, len(text)))}
	var value [8]byte
	copy(value[8-e.size:], text[check:])
	e.value = binary.LittleEndian.Uint64(value[:])
	return e
}

// beginning is how far from the first byte a text may end to be looked for
// there only, apart from those that may be anywhere.
const beginning = 64

// buildPairs makes the tiers of the texts of one to three bytes.
func (s *Set) buildPairs(short []uint32) {
	var near, anywhere []uint32
	for _, i := range short {
		if s.patterns[i].last <= beginning {
			near = append(near, i)
		} else {
			anywhere = append(anywhere, i)
		}
	}
	for _, list := range [][]uint32{near, anywhere} {
		if len(list) > 0 {
			s.pairs = append(s.pairs, s.newPairTier(list))
		}
	}
}

// newPairTier enters texts by their first two bytes.
func (s *Set) newPairTier(short []uint32) *pairTier {
	p := &pairTier{patterns: len(short)}
	windows := 0
	for _, i := range short {
		p.reach = max(p.reach, int(s.patterns[i].last))
	}
	const fewTexts = 4
	if len(short) <= fewTexts {
		for _, i := range short {
			m := s.patterns[i]
			text := s.texts[m.at : m.at+uint32(m.length)]
			at := rarest(text)
			p.few = append(p.few, few{pattern: i, at: at, b: text[at]})
		}
		return p
	}
	each := func(f func(pair uint16, pattern uint32)) {
		for _, i := range short {
			text := s.texts[s.patterns[i].at:]
			if s.patterns[i].length > 1 {
				f(binary.LittleEndian.Uint16(text), i)
				continue
			}
			for second := range 256 {
				f(uint16(text[0])|uint16(second)<<8, i)
			}
		}
	}
	p.present = make([]uint64, 1<<10)
	each(func(pair uint16, _ uint32) {
		p.present[pair>>6] |= 1 << (pair & 63)
		windows++
	})
	buckets := 1 << min(max(bits.Len(uint(windows)), minWordBits), maxBucketBits)
	p.shift = uint8(33 - bits.Len(uint(buckets)))
	p.starts = make([]uint32, buckets+1)
	each(func(pair uint16, _ uint32) { p.starts[p.bucket(pair)+1]++ })
	for i := range buckets {
		p.starts[i+1] += p.starts[i]
	}
	p.entries = make([]entry, windows)
	next := make([]uint32, buckets)
	copy(next, p.starts)
	each(func(pair uint16, pattern uint32) {
		bucket := p.bucket(pair)
		p.entries[next[bucket]] = entry{pattern: pattern}
		next[bucket]++
	})
	return p
}
