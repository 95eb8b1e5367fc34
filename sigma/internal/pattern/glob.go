package pattern

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Lower is the ASCII lower case of every byte.
var Lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// FoldASCII appends the ASCII lower case of src to dst.
func FoldASCII(dst, src []byte) []byte {
	n := len(dst)
	dst = append(dst, src...)
	for i, c := range dst[n:] {
		dst[n+i] = Lower[c]
	}
	return dst
}

// Glob matches a Pattern. The text must be folded with FoldASCII if the
// pattern was.
type Glob struct {
	segs     []seg // what stands between two *
	startAny bool  // * before the first
	endAny   bool  // * behind the last
}

// seg is a run of literals and ?, without *.
type seg struct {
	parts []Part
	lit   []byte // when it is a single literal
}

// NewGlob prepares p. fold puts its literals into ASCII lower case.
func NewGlob(p Pattern, fold bool) *Glob {
	g := &Glob{}
	var cur seg
	flush := func() {
		if len(cur.parts) == 0 {
			return
		}
		if len(cur.parts) == 1 && cur.parts[0].Kind == Literal {
			cur.lit = []byte(cur.parts[0].Bytes)
		}
		g.segs = append(g.segs, cur)
		cur = seg{}
	}
	for i, part := range p {
		if part.Kind == Any {
			flush()
			g.startAny = g.startAny || i == 0
			g.endAny = i == len(p)-1
			continue
		}
		if fold {
			part.Bytes = string(FoldASCII(nil, []byte(part.Bytes)))
		}
		cur.parts = append(cur.parts, part)
	}
	flush()
	return g
}

// Shape tells the simple forms apart, for which a direct comparison is faster.
type Shape uint8

// The shapes of a glob.
const (
	General  Shape = iota
	Equals         // no wildcard
	Prefix         // literal*
	Suffix         // *literal
	Contains       // *literal*
	Anything       // *
)

// Shape gives the shape and, except for General and Anything, its literal.
func (g *Glob) Shape() (Shape, []byte) {
	if len(g.segs) == 0 {
		if g.startAny || g.endAny {
			return Anything, nil
		}
		return Equals, nil
	}
	if len(g.segs) > 1 || g.segs[0].lit == nil {
		return General, nil
	}
	lit := g.segs[0].lit
	switch {
	case g.startAny && g.endAny:
		return Contains, lit
	case g.startAny:
		return Suffix, lit
	case g.endAny:
		return Prefix, lit
	}
	return Equals, lit
}

// Needed is a literal that a text must hold, and where.
type Needed struct {
	Text  []byte
	Start bool // at the start of the text
	End   bool // at its end
}

// Literals gives every literal that a matching text must hold.
func (g *Glob) Literals() []Needed {
	var out []Needed
	for i, s := range g.segs {
		for j, part := range s.parts {
			if part.Kind == Literal {
				out = append(out, Needed{
					Text:  []byte(part.Bytes),
					Start: i == 0 && j == 0 && !g.startAny,
					End:   i == len(g.segs)-1 && j == len(s.parts)-1 && !g.endAny,
				})
			}
		}
	}
	return out
}

// Match reports whether all of text matches.
func (g *Glob) Match(text []byte) bool {
	segs := g.segs
	if len(segs) == 0 {
		return g.startAny || g.endAny || len(text) == 0
	}
	if len(segs) == 1 && !g.startAny && !g.endAny {
		return segs[0].at(text) == len(text)
	}
	if !g.startAny {
		n := segs[0].at(text)
		if n < 0 {
			return false
		}
		text, segs = text[n:], segs[1:]
	}
	for len(segs) > 1 || len(segs) == 1 && g.endAny {
		n := segs[0].find(text)
		if n < 0 {
			return false
		}
		text, segs = text[n:], segs[1:]
	}
	return len(segs) == 0 || segs[0].ends(text)
}

// at gives the length of the match at the start of text, -1 for none.
func (s *seg) at(text []byte) int {
	at := 0
	for _, part := range s.parts {
		if part.Kind == Literal {
			n := len(part.Bytes)
			if len(text)-at < n || string(text[at:at+n]) != part.Bytes {
				return -1
			}
			at += n
			continue
		}
		if at >= len(text) {
			return -1
		}
		_, n := utf8.DecodeRune(text[at:])
		at += n
	}
	return at
}

// step is how far a * moves on: by characters before a ?, else by bytes.
func (s *seg) step(text []byte) int {
	if s.parts[0].Kind != One {
		return 1
	}
	_, n := utf8.DecodeRune(text)
	return n
}

// find gives the end of the first match in text, -1 for none.
func (s *seg) find(text []byte) int {
	if s.lit != nil {
		if i := bytes.Index(text, s.lit); i >= 0 {
			return i + len(s.lit)
		}
		return -1
	}
	for i := 0; i < len(text); i += s.step(text[i:]) {
		if n := s.at(text[i:]); n >= 0 {
			return i + n
		}
	}
	return -1
}

// ends reports whether a match ends where text ends.
func (s *seg) ends(text []byte) bool {
	if s.lit != nil {
		return bytes.HasSuffix(text, s.lit)
	}
	for i := 0; i < len(text); i += s.step(text[i:]) {
		if s.at(text[i:]) == len(text)-i {
			return true
		}
	}
	return false
}

// Regexp gives p as a regular expression that folds by Unicode, anchored where
// p is.
func (p Pattern) Regexp() string {
	var b strings.Builder
	b.WriteString("(?is)")
	if len(p) == 0 || p[0].Kind != Any {
		b.WriteString(`\A`)
	}
	for i, part := range p {
		switch part.Kind {
		case Literal:
			b.WriteString(regexp.QuoteMeta(part.Bytes))
		case One:
			b.WriteByte('.')
		case Any:
			if i > 0 && i < len(p)-1 {
				b.WriteString(".*")
			}
		}
	}
	if len(p) == 0 || p[len(p)-1].Kind != Any {
		b.WriteString(`\z`)
	}
	return b.String()
}
