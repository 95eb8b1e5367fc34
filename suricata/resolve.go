package suricata

import (
	"fmt"
	"slices"
)

// facts are what the options imply for the whole rule.
type facts struct {
	protos      []string // application protocols it can match; nil: any, or none at all
	app         bool     // needs an application protocol
	dir         Direction
	needsPacket bool
	needsStream bool
	chosen      *Content // by fast_pattern
}

// resolver turns the list of options into chains: it knows which buffer is
// selected and which content was the last, as a reader does.
type resolver struct {
	*parser
	chains []Chain
	sticky int // index of the selected chain, -1: the payload, unselected
	opened *Option
	last   *Content            // the content modifiers apply to
	lastIn int                 // its chain
	vars   map[string][]Buffer // where byte_extract and byte_math define them
}

// resolve fills r.chains and r.facts, and reports what Suricata refuses about
// options that are each correct.
func resolve(p *parser) {
	r := &resolver{parser: p, sticky: -1}
	rule := p.rule
	r.protocol()
	for i := range rule.Options {
		r.option(&rule.Options[i])
	}
	if r.sticky >= 0 && len(r.chains[r.sticky].Steps) == 0 {
		r.failAt(r.opened, "buffer is selected but nothing is matched in it")
	}
	r.chains = slices.DeleteFunc(r.chains, func(c Chain) bool { return len(c.Steps) == 0 })
	rule.chains = r.chains
	if len(p.errs) == 0 {
		r.check()
	}
}

func (r *resolver) failAt(o *Option, format string, args ...any) {
	r.fail(o.Pos, o.Name, fmt.Sprintf(format, args...))
}

// protocol sets the facts the header implies.
func (r *resolver) protocol() {
	f := &r.rule.facts
	switch p := r.rule.Proto; {
	case p.App() != "":
		f.app, f.protos, f.dir = true, expand(p.App()), p.HookDir()
	case p.Name == "tcp-pkt":
		f.needsPacket = true
	case p.Name == "tcp-stream":
		f.needsStream = true
	}
}

// expand lists the protocols a name covers: HTTP is two, and some are carried
// in others.
func expand(app string) []string {
	switch app {
	case "http":
		return []string{"http1", "http2", "doh2"}
	case "http1", "doh2":
		return []string{app}
	case "http2", "dns":
		return []string{app, "doh2"}
	case "dcerpc":
		return []string{"dcerpc", "smb"}
	}
	return []string{app}
}

// bind restricts the rule to protocols that a keyword belongs to.
func (r *resolver) bind(o *Option, protos []string) {
	if len(protos) == 0 {
		return
	}
	f := &r.rule.facts
	f.app = true
	var both []string
	for _, name := range protos {
		for _, p := range expand(name) {
			if !slices.Contains(both, p) && (f.protos == nil || slices.Contains(f.protos, p)) {
				both = append(both, p)
			}
		}
	}
	// DNS over HTTPS has what both have, but only a rule for it may ask both.
	onlyCarried := len(both) == 1 && both[0] == "doh2" && len(f.protos) != 1
	if len(both) == 0 || onlyCarried {
		r.failAt(o, "belongs to %v, but the rule is bound to %v", protos, f.protos)
		return
	}
	f.protos = both
}

// option handles one option by its kind.
func (r *resolver) option(o *Option) {
	f := &r.rule.facts
	f.needsPacket = f.needsPacket || o.Has(NeedsPacket)
	r.bind(o, o.Protos)
	r.direct(o, o.Dir|o.Keyword.Dir)
	switch o.Kind {
	case StickyBuffer:
		r.selectBuffer(o)
	case LegacyModifier:
		r.move(o)
	case ContentModifier:
		r.modify(o)
	case Transform:
		r.transform(o)
	case BufferMatch:
		r.match(o)
	case EventMatch:
		if o.Name == "app-layer-event" {
			if p := EventProto(o.Value); p != "" {
				r.bind(o, []string{p})
			}
		}
	default:
		r.condition(o)
	}
}

// direct restricts the rule to a direction.
func (r *resolver) direct(o *Option, d Direction) {
	f := &r.rule.facts
	if d == 0 || d == BothWays || r.rule.Way == Transactional {
		return
	}
	if f.dir != 0 && f.dir != d {
		r.failAt(o, "is %s, but the rule is bound to %s; a transactional rule (=>) can have both", d, f.dir)
		return
	}
	f.dir = d
}

// condition handles the kinds that are not part of a chain.
func (r *resolver) condition(o *Option) {
	f := &r.rule.facts
	switch v := o.Value.(type) {
	case *FlowState:
		r.direct(o, v.Dir)
		f.needsPacket = f.needsPacket || v.NoStream || v.Frag || v.NoFrag
		f.needsStream = f.needsStream || v.Stream
	case *IPProto:
		if r.rule.Proto.Name != "ip" && r.rule.Proto.Name != "pkthdr" {
			r.failAt(o, "needs protocol ip in the header, has %s", r.rule.Proto.Name)
		}
	case Pattern: // replace
		if r.last == nil {
			r.failAt(o, "needs a content before it")
			break
		}
		r.last.Replace = v
	}
	switch o.Name {
	case "app-layer-protocol":
		if r.rule.Proto.App() != "" {
			r.failAt(o, "contradicts protocol %s of the header", r.rule.Proto.Name)
		}
	case "prefilter":
		if i := slices.IndexFunc(r.rule.Options, func(x Option) bool { return x.Pos == o.Pos }); i == 0 ||
			!r.rule.Options[i-1].Has(CanPrefilter) && r.last == nil {
			r.failAt(o, "the keyword before it cannot be a prefilter")
		}
	}
}

// selectBuffer handles a sticky buffer.
func (r *resolver) selectBuffer(o *Option) {
	if r.sticky >= 0 && len(r.chains[r.sticky].Steps) == 0 && r.chains[r.sticky].Buffer != o.Buffer {
		r.failAt(r.opened, "buffer is selected but nothing is matched in it")
	}
	if r.sticky >= 0 && r.chains[r.sticky].Buffer == BufBase64 && o.Buffer != BufPayload {
		r.failAt(o, "no buffer can be selected after base64_data")
		return
	}
	r.opened, r.last = o, nil
	if o.Buffer == BufPayload {
		r.sticky = -1
		return
	}
	info := o.Buffer.Info()
	frame := ""
	if o.Buffer == BufFrame {
		frame = r.frame(o)
	}
	r.bind(o, info.Protos)
	r.direct(o, info.Dir)
	if info.Has(File) && slices.Equal(r.rule.facts.protos, []string{"smtp"}) {
		r.direct(o, ToServer) // mail goes one way
	}
	r.sticky = r.chain(o.Buffer, frame, o.Dir, info.Has(Multi))
}

// chain finds the chain of a buffer or begins one. A buffer of which a
// transaction has several gets a new chain each time it is selected.
func (r *resolver) chain(b Buffer, frame string, dir Direction, fresh bool) int {
	for i := range r.chains {
		c := &r.chains[i]
		if c.Buffer == b && c.Frame == frame && c.Dir == dir && len(c.Transforms) == 0 && (!fresh || len(c.Steps) == 0) {
			return i
		}
	}
	r.chains = append(r.chains, Chain{Buffer: b, Frame: frame, Dir: dir})
	return len(r.chains) - 1
}

// current is the chain that matches go to.
func (r *resolver) current() int {
	if r.sticky >= 0 {
		return r.sticky
	}
	return r.chain(BufPayload, "", 0, false)
}

// transform handles a transform. Behind matches it begins a new chain on the
// same buffer; behind matches of a transformed buffer it is refused.
func (r *resolver) transform(o *Option) {
	if r.sticky < 0 {
		r.failAt(o, "needs a sticky buffer before it")
		return
	}
	c := &r.chains[r.sticky]
	switch {
	case len(c.Steps) == 0:
		c.Transforms = append(c.Transforms, *o)
	case len(c.Transforms) > 0:
		r.failAt(o, "must directly follow a sticky buffer")
	default:
		r.sticky = len(r.chains)
		r.chains = append(r.chains, Chain{Buffer: c.Buffer, Frame: c.Frame, Dir: c.Dir, Transforms: []Option{*o}})
		r.last = nil
	}
}

// match appends a step.
func (r *resolver) match(o *Option) {
	i := r.current()
	switch v := o.Value.(type) {
	case Pattern:
		if o.Buffer != NoBuffer {
			r.fixed(o, v, false)
			return
		}
		r.content(o, i, &Content{Pattern: v, Negated: o.Negated, pos: o.Pos})
	case Text:
		r.named(o, string(v), i)
	case Quoted:
		r.named(o, string(v), i)
	case *PCRE:
		r.pcre(o, v)
	case *Uint:
		r.step(i, &Size{*v})
	case *URILen:
		b := BufHTTPURI
		if v.Raw {
			b = BufHTTPURIRaw
		}
		r.step(r.chain(b, "", 0, false), &Size{v.Uint})
	case *IsDataAt:
		r.dataAt(o, v)
	case *ByteTest:
		r.use(o, v.Relative, v.Bytes, v.Offset, v.Value)
		r.step(r.relative(v.Relative), v)
	case *ByteJump:
		r.use(o, v.Relative, v.Bytes, v.Offset)
		r.step(r.relative(v.Relative), v)
	case *ByteExtract:
		r.use(o, v.Relative, v.Bytes, v.Offset)
		r.define(v.Name, v.Relative)
		r.step(r.relative(v.Relative), v)
	case *ByteMath:
		r.use(o, v.Relative, v.Bytes, v.Offset, v.Value)
		r.define(v.Result, v.Relative)
		r.step(r.relative(v.Relative), v)
	case *Entropy:
		r.step(i, v)
	case *Base64:
		r.step(r.relative(v.Relative), v)
	case *Dataset, List:
		if r.sticky < 0 {
			r.failAt(o, "needs a sticky buffer before it")
			return
		}
		r.step(i, &DataStep{o.Name, v})
	case nil: // base64_decode or absent without argument
		if o.Name == "absent" {
			r.absent(o, i, false)
			return
		}
		r.step(i, &Base64{})
	}
}

// named handles the BufferMatch keywords whose argument is text.
func (r *resolver) named(o *Option, s string, i int) {
	switch o.Name {
	case "absent":
		r.absent(o, i, true)
	case "fileext":
		r.fixed(o, []byte("."+s), true)
	case "filename", "filemagic":
		r.fixed(o, []byte(s), false)
	default:
		r.step(i, &Other{*o})
	}
}

func (r *resolver) absent(o *Option, i int, orElse bool) {
	if r.sticky < 0 {
		r.failAt(o, "needs a sticky buffer before it")
		return
	}
	r.step(i, &Absent{orElse})
}

// fixed appends a pattern to the keyword's own buffer, whichever is selected.
func (r *resolver) fixed(o *Option, pattern []byte, end bool) {
	protos := o.Buffer.Info().Protos
	if o.Name == "uricontent" {
		protos = []string{"http1"}
	}
	r.bind(o, protos)
	r.direct(o, o.Buffer.Info().Dir)
	if len(pattern) > maxPattern {
		r.failAt(o, "pattern is longer than %d bytes", maxPattern)
		return
	}
	c := &Content{Pattern: pattern, Negated: o.Negated, EndsWith: end, NoCase: o.Buffer != BufHTTPURI, pos: o.Pos}
	i := r.chain(o.Buffer, "", 0, false)
	r.step(i, c)
	r.last, r.lastIn = c, i
}

func (r *resolver) content(o *Option, i int, c *Content) {
	r.step(i, c)
	r.last, r.lastIn = c, i
}

func (r *resolver) step(i int, s Step) {
	r.chains[i].Steps = append(r.chains[i].Steps, s)
}

// relative is the chain a relative match belongs to: without a sticky buffer
// that of the match before it, which a legacy modifier may have moved.
func (r *resolver) relative(rel bool) int {
	if rel && r.sticky < 0 && r.last != nil {
		return r.lastIn
	}
	return r.current()
}

func (r *resolver) pcre(o *Option, v *PCRE) {
	s := &PCREStep{v, o.Negated}
	if v.Buffer == NoBuffer {
		i := r.current()
		if v.Relative && r.sticky < 0 && len(r.chains[i].Steps) == 0 {
			r.failAt(o, "flag R needs a match before it in the same buffer")
		}
		r.step(i, s)
		return
	}
	info := v.Buffer.Info()
	if r.sticky >= 0 && r.chains[r.sticky].Buffer != v.Buffer &&
		!(v.Buffer == BufFileData && r.chains[r.sticky].Buffer == BufHTTPResponseBody) {
		r.failAt(o, "a sticky buffer is still set: select pkt_data, or %s instead of the flag", v.Buffer)
		return
	}
	if r.sticky >= 0 {
		r.step(r.sticky, s)
		return
	}
	r.bind(o, []string{"http1"})
	r.direct(o, info.Dir)
	i := r.chain(v.Buffer, "", 0, false)
	r.step(i, s)
}

// dataAt handles isdataat. !1,relative behind a content says that the content
// ends the buffer, and is searched for as such.
func (r *resolver) dataAt(o *Option, v *IsDataAt) {
	r.defined(o, v.At)
	i := r.relative(v.Relative)
	if steps := r.chains[i].Steps; v.Not && v.Relative && v.At == (Num{N: 1}) && len(steps) > 0 {
		if c, ok := steps[len(steps)-1].(*Content); ok {
			c.EndsWith = true
			return
		}
	}
	r.step(i, v)
}

// use checks that variables are defined before they are used. One that is set
// from the payload can be used only there.
func (r *resolver) use(o *Option, relative bool, nums ...Num) {
	b := r.chains[r.relative(relative)].Buffer
	for _, n := range nums {
		reach := func(def Buffer) bool { return def == b || def != BufPayload && def != BufBase64 }
		if n.Var != "" && !slices.ContainsFunc(r.vars[n.Var], reach) {
			r.failAt(o, "unknown variable %q: byte_extract or byte_math must define it before, in the same buffer", n.Var)
		}
	}
}

// defined checks that a variable is set anywhere before.
func (r *resolver) defined(o *Option, n Num) {
	if n.Var != "" && len(r.vars[n.Var]) == 0 {
		r.failAt(o, "unknown variable %q: byte_extract or byte_math must define it before", n.Var)
	}
}

// define notes that a variable is set by the step that comes next.
func (r *resolver) define(name string, relative bool) {
	if r.vars == nil {
		r.vars = map[string][]Buffer{}
	}
	r.vars[name] = append(r.vars[name], r.chains[r.relative(relative)].Buffer)
}
