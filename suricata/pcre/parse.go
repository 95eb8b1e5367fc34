package pcre

import (
	"slices"
	"strings"
)

// maxDepth bounds nested groups, as PCRE2's parens nest limit does.
const maxDepth = 250

// maxRepeat is the largest count in {n,m} (pcre2limits(3)).
const maxRepeat = 65535

// maxGroups bounds capturing groups, and with them the slots of a Scratch.
const maxGroups = 1000

// parser reads an expression once, left to right.
type parser struct {
	src    string
	pos    int
	flags  Flags // in force at pos
	groups int
	names  map[string]int
	depth  int
	looks  int         // look-arounds around pos
	refs   []reference // to be checked or resolved at the end
}

// reference is a use of a group that may be defined later.
type reference struct {
	node   *node
	name   string // empty for a number
	offset int
}

func (p *parser) parse() (*node, error) {
	tree, err := p.alternatives(false)
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.src) {
		return nil, p.fail("unmatched )")
	}
	for _, r := range p.refs {
		if r.name != "" {
			n, ok := p.names[r.name]
			if !ok {
				return nil, &Error{r.offset, "reference to a group that does not exist"}
			}
			r.node.n = n
		}
		if r.node.n > p.groups || r.node.n < 1 {
			return nil, &Error{r.offset, "reference to a group that does not exist"}
		}
	}
	return tree, nil
}

func (p *parser) fail(reason string) error { return &Error{p.pos, reason} }

func (p *parser) more() bool { return p.pos < len(p.src) }

// accept consumes text if it comes next.
func (p *parser) accept(text string) bool {
	if strings.HasPrefix(p.src[p.pos:], text) {
		p.pos += len(text)
		return true
	}
	return false
}

// until consumes up to and with the terminator and returns what is before it.
func (p *parser) until(terminator string) (string, error) {
	text, _, ok := strings.Cut(p.src[p.pos:], terminator)
	if !ok {
		return "", p.fail("missing " + terminator)
	}
	p.pos += len(text) + len(terminator)
	return text, nil
}

// alternatives reads up to a closing parenthesis or the end. Flags set inside
// stay in force for the alternatives that follow. With reset each begins to
// count its groups anew, (?|...).
func (p *parser) alternatives(reset bool) (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail("groups nested too deeply")
	}
	defer func() { p.depth-- }()
	var alts []*node
	base, highest := p.groups, p.groups
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if highest = max(highest, p.groups); !p.accept("|") {
			break
		}
		if reset {
			p.groups = base
		}
	}
	p.groups = highest
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{op: opAlt, subs: alts}, nil
}

func (p *parser) sequence() (*node, error) {
	var subs []*node
	for {
		if err := p.skipIgnored(); err != nil {
			return nil, err
		}
		if !p.more() || p.src[p.pos] == '|' || p.src[p.pos] == ')' {
			return cat(subs...), nil
		}
		if p.accept(`\Q`) {
			quoted := p.quoted()
			if len(quoted) == 0 {
				continue
			}
			subs = append(subs, quoted...)
		} else {
			grouped := p.src[p.pos] == '('
			n, err := p.atom()
			if err != nil {
				return nil, err
			}
			if n == nil { // a change of flags
				continue
			}
			subs = append(subs, n)
			if !grouped && (n.op == opAssert || n.op == opKeep) {
				continue // takes no quantifier
			}
		}
		last := &subs[len(subs)-1]
		n, err := p.quantified(*last)
		if err != nil {
			return nil, err
		}
		*last = n
	}
}

// skipIgnored passes comments, an idle \E, and white space in extended mode.
func (p *parser) skipIgnored() error {
	for p.more() {
		switch {
		case strings.HasPrefix(p.src[p.pos:], "(?#"):
			if _, err := p.until(")"); err != nil {
				return err
			}
		case p.accept(`\E`):
		case p.flags&Extended != 0 && spaceSet.has(p.src[p.pos]):
			p.pos++
		case p.flags&Extended != 0 && p.src[p.pos] == '#':
			if _, err := p.until("\n"); err != nil {
				p.pos = len(p.src)
			}
		default:
			return nil
		}
	}
	return nil
}

// quoted reads the bytes of \Q...\E, of which \Q is consumed.
func (p *parser) quoted() []*node {
	text, _, closed := strings.Cut(p.src[p.pos:], `\E`)
	p.pos += len(text)
	if closed {
		p.pos += len(`\E`)
	}
	var out []*node
	for i := range len(text) {
		out = append(out, p.byteNode(text[i]))
	}
	return out
}

// byteNode matches b, or both its cases.
func (p *parser) byteNode(b byte) *node {
	return p.setNode(ranges(b, b))
}

// setNode matches the bytes of s, folded if the flags say so.
func (p *parser) setNode(s set) *node {
	if p.flags&Caseless != 0 {
		s = s.folded()
	}
	return &node{op: opSet, set: s}
}

func (p *parser) atom() (*node, error) {
	c := p.src[p.pos]
	switch c {
	case '(':
		return p.group()
	case '[':
		return p.class()
	case '\\':
		return p.escape()
	}
	at := p.pos
	if _, _, ok, err := p.counts(); ok || err != nil {
		return nil, &Error{at, "quantifier follows nothing"}
	}
	p.pos++
	switch c {
	case '.':
		if p.flags&DotAll != 0 {
			return &node{op: opSet, set: anySet}, nil
		}
		return &node{op: opSet, set: newlineSet.negated()}, nil
	case '^':
		if p.flags&Multiline != 0 {
			return &node{op: opAssert, assert: atLineStart}, nil
		}
		return &node{op: opAssert, assert: atStart}, nil
	case '$':
		return &node{op: opAssert, assert: p.dollar()}, nil
	}
	return p.byteNode(c), nil
}

func (p *parser) dollar() assertion {
	switch {
	case p.flags&Multiline != 0:
		return atLineEnd
	case p.flags&DollarEndOnly != 0:
		return atEnd
	}
	return atFinal
}

// quantified reads the quantifier after n, if any. What is ignored may stand
// before it, and before the + or ? after it.
func (p *parser) quantified(n *node) (*node, error) {
	if err := p.skipIgnored(); err != nil || !p.more() {
		return n, err
	}
	lo, hi, ok, err := p.counts()
	if err != nil || !ok {
		return n, err
	}
	if err := p.skipIgnored(); err != nil {
		return nil, err
	}
	r := &node{op: opRepeat, subs: []*node{n}, min: lo, max: hi, greed: greedy}
	ungreedy := p.flags&Ungreedy != 0
	switch {
	case p.accept("+"):
		r.greed = possessive
	case p.accept("?") != ungreedy:
		r.greed = lazy
	}
	if lo == hi && r.greed == lazy {
		r.greed = greedy // no choice to make
	}
	return r, nil
}

// counts reads *, +, ?, {n}, {n,} or {n,m}. Any other brace is a plain byte.
func (p *parser) counts() (lo, hi int, ok bool, err error) {
	switch p.src[p.pos] {
	case '*':
		p.pos++
		return 0, unlimited, true, nil
	case '+':
		p.pos++
		return 1, unlimited, true, nil
	case '?':
		p.pos++
		return 0, 1, true, nil
	case '{':
	default:
		return 0, 0, false, nil
	}
	body, _, closed := strings.Cut(p.src[p.pos+1:], "}")
	low, high, comma := strings.Cut(body, ",")
	if !closed || !isDigits(low) || comma && high != "" && !isDigits(high) {
		return 0, 0, false, nil
	}
	lo, okLow := number(low, maxRepeat)
	hi, okHigh := lo, true
	if comma && high == "" {
		hi = unlimited
	} else if comma {
		hi, okHigh = number(high, maxRepeat)
	}
	switch {
	case !okLow || !okHigh:
		return 0, 0, false, p.fail("count is too large")
	case hi != unlimited && hi < lo:
		return 0, 0, false, p.fail("counts are out of order")
	}
	p.pos += len(body) + 2
	return lo, hi, true, nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// number reads decimal digits, up to limit.
func number(digits string, limit int) (n int, ok bool) {
	for _, d := range digits {
		if n = n*10 + int(d-'0'); n > limit {
			return 0, false
		}
	}
	return n, true
}

// group reads what an opening parenthesis begins. A nil node is a change of
// flags.
func (p *parser) group() (*node, error) {
	p.pos++
	if p.more() && p.src[p.pos] == '*' {
		return nil, p.fail("verbs are not supported")
	}
	if !p.accept("?") {
		return p.capture("")
	}
	switch {
	case p.accept(":"):
		return p.body(false)
	case p.accept("|"):
		return p.body(true)
	case p.accept(">"):
		return p.wrap(&node{op: opAtomic})
	case p.accept("="):
		return p.look(&node{op: opLook})
	case p.accept("!"):
		return p.look(&node{op: opLook, negative: true})
	case p.accept("<="):
		return p.behind(&node{op: opBehind})
	case p.accept("<!"):
		return p.behind(&node{op: opBehind, negative: true})
	case p.accept("("):
		return p.conditional()
	case p.accept("P="):
		return p.named(")")
	case p.accept("P<"), p.accept("<"):
		return p.namedCapture(">")
	case p.accept("'"):
		return p.namedCapture("'")
	case p.more() && strings.IndexByte("R&P+0123456789C", p.src[p.pos]) >= 0,
		p.pos+1 < len(p.src) && p.src[p.pos] == '-' && p.src[p.pos+1] >= '0' && p.src[p.pos+1] <= '9':
		return nil, p.fail("recursion and callouts are not supported")
	}
	return p.inlineFlags()
}

// body reads a group's alternatives and its end; flags set inside end there.
func (p *parser) body(reset bool) (*node, error) {
	flags := p.flags
	n, err := p.alternatives(reset)
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.fail("missing )")
	}
	p.flags = flags
	return n, nil
}

func (p *parser) wrap(n *node) (*node, error) {
	sub, err := p.body(false)
	if err != nil {
		return nil, err
	}
	n.subs = []*node{sub}
	return n, nil
}

func (p *parser) look(n *node) (*node, error) {
	p.looks++
	defer func() { p.looks-- }()
	return p.wrap(n)
}

// behind reads a look-behind: each alternative has a fixed width.
func (p *parser) behind(n *node) (*node, error) {
	at := p.pos
	if _, err := p.look(n); err != nil {
		return nil, err
	}
	alts := []*node{n.subs[0]}
	if n.subs[0].op == opAlt {
		alts = n.subs[0].subs
	}
	for _, a := range alts {
		if _, fixed := a.width(); !fixed {
			return nil, &Error{at, "look-behind is not of fixed width"}
		}
	}
	return n, nil
}

func (p *parser) capture(name string) (*node, error) {
	if p.groups++; p.groups > maxGroups {
		return nil, p.fail("too many groups")
	}
	n := &node{op: opCapture, n: p.groups}
	if name != "" {
		if old, dup := p.names[name]; dup && old != n.n {
			return nil, p.fail("two groups called " + name)
		}
		p.names[name] = n.n
	}
	return p.wrap(n)
}

func (p *parser) namedCapture(terminator string) (*node, error) {
	name, err := p.name(terminator)
	if err != nil {
		return nil, err
	}
	return p.capture(name)
}

func (p *parser) name(terminator string) (string, error) {
	at := p.pos
	name, err := p.until(terminator)
	if err != nil {
		return "", err
	}
	if name == "" || len(name) > 32 || name[0] >= '0' && name[0] <= '9' || slices.ContainsFunc([]byte(name), func(b byte) bool { return !isWord(b) }) {
		return "", &Error{at, "invalid group name"}
	}
	return name, nil
}

// named reads a back-reference by name.
func (p *parser) named(terminator string) (*node, error) {
	at := p.pos
	name, err := p.name(terminator)
	if err != nil {
		return nil, err
	}
	return p.refer(&node{op: opBackref, fold: p.flags&Caseless != 0}, name, at), nil
}

func (p *parser) refer(n *node, name string, at int) *node {
	p.refs = append(p.refs, reference{n, name, at})
	return n
}

// conditional reads (?(...)yes|no), of which "(?(" is consumed.
func (p *parser) conditional() (*node, error) {
	n := &node{op: opCond}
	switch at := p.pos; {
	case strings.HasPrefix(p.src[p.pos:], "?"):
		p.pos--
		cond, err := p.group()
		if err != nil {
			return nil, err
		}
		if cond == nil || cond.op != opLook && cond.op != opBehind {
			return nil, &Error{at, "condition is no assertion"}
		}
		n.cond = cond
	default:
		text, err := p.until(")")
		if err != nil {
			return nil, err
		}
		if isDigits(text) {
			n.n, _ = number(text, maxGroups)
			p.refer(n, "", at)
			break
		}
		name := strings.Trim(text, "<>'")
		if name == "" || name == "R" || name == "DEFINE" || strings.ContainsAny(name, "+-=&") {
			return nil, &Error{at, "this kind of condition is not supported"}
		}
		p.refer(n, name, at)
	}
	branches, err := p.body(false)
	if err != nil {
		return nil, err
	}
	n.subs = []*node{branches, {op: opEmpty}}
	if branches.op == opAlt {
		if n.subs = branches.subs; len(n.subs) > 2 {
			return nil, p.fail("conditional with more than two branches")
		}
	}
	return n, nil
}

// inlineFlags reads (?i) and (?i:...), of which "(?" is consumed.
func (p *parser) inlineFlags() (*node, error) {
	flags, on := p.flags, true
	if p.accept("^") {
		flags &^= Caseless | Multiline | DotAll | Extended
	}
	for p.more() {
		c := p.src[p.pos]
		p.pos++
		switch c {
		case ')':
			p.flags = flags
			return nil, nil
		case ':':
			saved := p.flags
			p.flags = flags
			n, err := p.body(false)
			p.flags = saved
			return n, err
		case '-':
			if !on {
				return nil, p.fail("invalid flags")
			}
			on = false
			continue
		}
		f, ok := Letter(c)
		if c == 'U' {
			f, ok = Ungreedy, true
		} else if !ok || strings.IndexByte("imsx", c) < 0 {
			p.pos--
			return nil, p.fail("unknown group or flag")
		}
		if on {
			flags |= f
		} else {
			flags &^= f
		}
	}
	return nil, p.fail("missing )")
}
