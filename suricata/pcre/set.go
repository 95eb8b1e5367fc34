package pcre

import "math/bits"

// set is a set of bytes.
type set [4]uint64

func (s *set) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *set) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *set) addRange(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s.add(byte(c))
	}
}

func (s *set) addSet(o *set) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s set) negated() set {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

// folded adds the other case of each ASCII letter in s.
func (s set) folded() set {
	const letters = uint64(0x07fffffe) // A to Z in the upper word half, seen from '@'
	upper, lower := s[1]&letters, s[1]>>32&letters
	s[1] |= upper<<32 | lower
	return s
}

func (s *set) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// lowest returns the smallest byte in s, which must not be empty.
func (s *set) lowest() byte {
	for i, w := range s {
		if w != 0 {
			return byte(i<<6 + bits.TrailingZeros64(w))
		}
	}
	return 0
}

func ranges(bounds ...byte) set {
	var s set
	for i := 0; i+1 < len(bounds); i += 2 {
		s.addRange(bounds[i], bounds[i+1])
	}
	return s
}

// The classes of the C locale (pcre2pattern(3), "Generic character types" and
// "POSIX character classes").
var (
	digitSet      = ranges('0', '9')
	wordSet       = ranges('0', '9', 'A', 'Z', '_', '_', 'a', 'z')
	spaceSet      = ranges('\t', '\r', ' ', ' ')
	horizontalSet = ranges('\t', '\t', ' ', ' ', 0xa0, 0xa0)
	verticalSet   = ranges('\n', '\r', 0x85, 0x85)
	newlineSet    = ranges('\n', '\n')
	anySet        = ranges(0, 255)

	posixSets = map[string]set{
		"alpha": ranges('A', 'Z', 'a', 'z'), "lower": ranges('a', 'z'), "upper": ranges('A', 'Z'),
		"alnum": ranges('0', '9', 'A', 'Z', 'a', 'z'), "ascii": ranges(0, 127),
		"blank": ranges('\t', '\t', ' ', ' '), "cntrl": ranges(0, 31, 127, 127), "digit": digitSet,
		"graph": ranges('!', '~'), "print": ranges(' ', '~'),
		"punct": ranges('!', '/', ':', '@', '[', '`', '{', '~'), "space": spaceSet, "word": wordSet,
		"xdigit": ranges('0', '9', 'A', 'F', 'a', 'f'),
	}
)

func isWord(b byte) bool { return wordSet.has(b) }

// lower folds an ASCII capital.
func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
