package pcre

import (
	"strconv"
	"strings"
)

// escape reads a backslash and what it means outside of a class.
func (p *parser) escape() (*node, error) {
	at := p.pos
	p.pos++
	if !p.more() {
		return nil, &Error{at, `\ at the end`}
	}
	c := p.src[p.pos]
	if a, ok := assertEscapes[c]; ok {
		p.pos++
		return &node{op: opAssert, assert: a}, nil
	}
	if s, ok := classEscape(c); ok {
		p.pos++
		return &node{op: opSet, set: s}, nil
	}
	switch c {
	case 'N':
		p.pos++
		return &node{op: opSet, set: newlineSet.negated()}, nil
	case 'C':
		p.pos++
		return &node{op: opSet, set: anySet}, nil
	case 'R':
		p.pos++
		return anyNewline(), nil
	case 'K':
		if p.looks > 0 {
			return nil, p.fail(`\K inside a look-around`)
		}
		p.pos++
		return &node{op: opKeep}, nil
	case 'g', 'k':
		return p.reference(c)
	}
	if c >= '1' && c <= '9' {
		digits := p.digits(3)
		n, ok := number(digits, maxGroups)
		if ok && (n < 10 || c >= '8' || n <= p.groups) {
			return p.refer(&node{op: opBackref, n: n, fold: p.flags&Caseless != 0}, "", at), nil
		}
		p.pos -= len(digits)
	}
	b, err := p.byteEscape()
	if err != nil {
		return nil, err
	}
	return p.byteNode(b), nil
}

var assertEscapes = map[byte]assertion{
	'A': atStart, 'z': atEnd, 'Z': atFinal, 'G': atSearchStart, 'b': atBoundary, 'B': notBoundary,
}

// classEscape returns the set of \d and its like.
func classEscape(c byte) (set, bool) {
	switch c {
	case 'd':
		return digitSet, true
	case 'D':
		return digitSet.negated(), true
	case 'w':
		return wordSet, true
	case 'W':
		return wordSet.negated(), true
	case 's':
		return spaceSet, true
	case 'S':
		return spaceSet.negated(), true
	case 'h':
		return horizontalSet, true
	case 'H':
		return horizontalSet.negated(), true
	case 'v':
		return verticalSet, true
	case 'V':
		return verticalSet.negated(), true
	}
	return set{}, false
}

// anyNewline is \R: atomic, so that CR LF is never split.
func anyNewline() *node {
	crlf := cat(&node{op: opSet, set: ranges('\r', '\r')}, &node{op: opSet, set: newlineSet})
	one := &node{op: opSet, set: verticalSet}
	return &node{op: opAtomic, subs: []*node{{op: opAlt, subs: []*node{crlf, one}}}}
}

// digits consumes up to limit decimal digits.
func (p *parser) digits(limit int) string {
	from := p.pos
	for p.more() && p.pos-from < limit && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	return p.src[from:p.pos]
}

// reference reads \g{n}, \g{-n}, \gn, \g{name}, \k{name}, \k<name>, \k'name'.
func (p *parser) reference(c byte) (*node, error) {
	at := p.pos
	p.pos++
	for _, pair := range []string{"{}", "<>", "''"} {
		if c == 'g' && pair != "{}" {
			break
		}
		if !p.accept(pair[:1]) {
			continue
		}
		if c == 'k' {
			return p.named(pair[1:])
		}
		text, err := p.until("}")
		if err != nil {
			return nil, err
		}
		if isDigits(strings.TrimLeft(text, "+-")) {
			return p.numbered(text, at)
		}
		p.pos -= len(text) + 1
		return p.named("}")
	}
	if c == 'k' {
		return nil, &Error{at, `\k without a name`}
	}
	sign := ""
	if p.accept("-") {
		sign = "-"
	}
	return p.numbered(sign+p.digits(4), at)
}

// numbered is a back-reference by number, relative to here if signed.
func (p *parser) numbered(text string, at int) (*node, error) {
	n, ok := number(strings.TrimLeft(text, "+-"), maxGroups)
	switch {
	case !ok || n == 0:
		return nil, &Error{at, "invalid group number"}
	case text[0] == '-':
		n = p.groups + 1 - n
	case text[0] == '+':
		n += p.groups
	}
	return p.refer(&node{op: opBackref, n: n, fold: p.flags&Caseless != 0}, "", at), nil
}

var controlEscapes = map[byte]byte{'a': 7, 'e': 27, 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// byteEscape reads the escape of one byte, the backslash being consumed.
func (p *parser) byteEscape() (byte, error) {
	at := p.pos - 1
	c := p.src[p.pos]
	p.pos++
	if b, ok := controlEscapes[c]; ok {
		return b, nil
	}
	switch {
	case c == 'x':
		if p.accept("{") {
			return p.braced(16, at)
		}
		return p.based(16, 2), nil
	case c == 'o':
		if !p.accept("{") {
			return 0, &Error{at, `\o without {`}
		}
		return p.braced(8, at)
	case c == 'c':
		if !p.more() || p.src[p.pos] < ' ' || p.src[p.pos] > '~' {
			return 0, &Error{at, `\c is not followed by a printable character`}
		}
		p.pos++
		b := p.src[p.pos-1]
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		return b ^ 0x40, nil
	case c >= '0' && c <= '7':
		p.pos--
		from := p.pos
		b := p.based(8, 3)
		if p.pos-from == 3 && c > '3' {
			return 0, &Error{at, "octal value above 0377"}
		}
		return b, nil
	case c >= '8' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return 0, &Error{at, `unknown escape \` + string(c)}
	}
	return c, nil
}

// based reads up to limit digits of a base; none make 0.
func (p *parser) based(base, limit int) byte {
	from := p.pos
	for p.more() && p.pos-from < limit && isDigitOf(p.src[p.pos], base) {
		p.pos++
	}
	v, _ := strconv.ParseUint(p.src[from:p.pos], base, 16)
	return byte(v)
}

// braced reads digits up to a closing brace.
func (p *parser) braced(base, at int) (byte, error) {
	text, err := p.until("}")
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(text, base, 8)
	if err != nil {
		return 0, &Error{at, "value is no byte"}
	}
	return byte(v), nil
}

func isDigitOf(c byte, base int) bool {
	if base == 8 {
		return c >= '0' && c <= '7'
	}
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// class reads [...].
func (p *parser) class() (*node, error) {
	at := p.pos
	if _, ok := posixName(p.src[at:]); ok {
		return nil, p.fail("POSIX class outside of a class")
	}
	p.pos++
	negative := p.accept("^")
	var s set
	for first, quoting := true, false; ; first = false {
		if !p.more() {
			return nil, &Error{at, "missing ]"}
		}
		if quoting {
			if p.accept(`\E`) {
				quoting = false
				continue
			}
		} else {
			switch {
			case p.accept(`\Q`):
				quoting = true
				continue
			case p.accept(`\E`):
				continue
			case !first && p.accept("]"):
				if p.flags&Caseless != 0 {
					s = s.folded()
				}
				if negative {
					s = s.negated()
				}
				return &node{op: opSet, set: s}, nil
			}
		}
		if err := p.classItem(&s, quoting); err != nil {
			return nil, err
		}
	}
}

// classItem adds one byte, range or named class to s.
func (p *parser) classItem(s *set, quoting bool) error {
	at := p.pos
	if !quoting {
		named, ok, err := p.namedClass()
		if err != nil {
			return err
		}
		if ok {
			s.addSet(&named)
			if p.beforeRange() {
				return &Error{p.pos, "range begins with a class"}
			}
			return nil
		}
	}
	lo, err := p.classByte(quoting)
	if err != nil {
		return err
	}
	if quoting || !p.beforeRange() {
		s.add(lo)
		return nil
	}
	p.pos++
	if _, ok, _ := p.namedClass(); ok {
		return &Error{at, "range ends with a class"}
	}
	hi, err := p.classByte(p.accept(`\Q`))
	if err != nil {
		return err
	}
	if hi < lo {
		return &Error{at, "range is out of order"}
	}
	s.addRange(lo, hi)
	return nil
}

// beforeRange reports whether a hyphen comes next that is not the last byte.
func (p *parser) beforeRange() bool {
	return p.pos+1 < len(p.src) && p.src[p.pos] == '-' && p.src[p.pos+1] != ']'
}

// namedClass reads \d and its like, or [:alpha:] and its like.
func (p *parser) namedClass() (s set, ok bool, err error) {
	rest := p.src[p.pos:]
	if strings.HasPrefix(rest, `\`) && len(rest) > 1 {
		if s, ok = classEscape(rest[1]); ok {
			p.pos += 2
		}
		return s, ok, nil
	}
	name, ok := posixName(rest)
	if !ok {
		return s, false, nil
	}
	plain := strings.TrimPrefix(name, "^")
	s, ok = posixSets[plain]
	if !ok || rest[1] != ':' {
		return s, false, p.fail("unknown POSIX class " + name)
	}
	if p.flags&Caseless != 0 && (plain == "lower" || plain == "upper") {
		s = posixSets["alpha"]
	}
	if plain != name {
		s = s.negated()
	}
	p.pos += len(name) + len("[::]")
	return s, true, nil
}

// posixName returns what is between [: and :], or the [. and [= that PCRE2
// recognises but refuses.
func posixName(text string) (name string, ok bool) {
	if len(text) < 4 || text[0] != '[' || strings.IndexByte(":.=", text[1]) < 0 {
		return "", false
	}
	name, _, ok = strings.Cut(text[2:], text[1:2]+"]")
	return name, ok && !strings.ContainsAny(name, `]\:[`)
}

func (p *parser) classByte(quoting bool) (byte, error) {
	if !p.more() {
		return 0, p.fail("missing ]")
	}
	c := p.src[p.pos]
	p.pos++
	if c != '\\' || quoting {
		return c, nil
	}
	if !p.more() {
		return 0, p.fail(`\ at the end`)
	}
	if p.accept("b") {
		return '\b', nil
	}
	return p.byteEscape()
}
