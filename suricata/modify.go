package suricata

import (
	"slices"
)

// move handles a legacy modifier: the last content goes to another buffer.
func (r *resolver) move(o *Option) {
	switch {
	case r.sticky >= 0:
		r.failAt(o, "a sticky buffer is still set: select pkt_data first")
		return
	case r.last == nil || r.chains[r.lastIn].Buffer != BufPayload:
		r.failAt(o, "needs a content before it")
		return
	case r.last.Replace != nil:
		r.failAt(o, "cannot be used with replace")
		return
	}
	info := o.Buffer.Info()
	r.bind(o, []string{"http1"}) // as in Suricata: the old keywords know no HTTP/2
	r.direct(o, info.Dir)
	from := &r.chains[r.lastIn]
	at := slices.Index(from.Steps, Step(r.last))
	from.Steps = slices.Delete(from.Steps, at, at+1)
	i := r.chain(o.Buffer, "", 0, false)
	r.step(i, r.last)
	r.lastIn = i
}

// modify handles a content modifier.
func (r *resolver) modify(o *Option) {
	c := r.last
	if c == nil {
		r.failAt(o, "needs a content before it")
		return
	}
	n, _ := o.Value.(Num)
	r.defined(o, n)
	switch o.Name {
	case "nocase":
		if c.NoCase && r.chains[r.lastIn].Buffer.Info().Traits&File == 0 {
			r.failAt(o, "given twice for the same content")
		}
		c.NoCase = true
	case "rawbytes":
		if r.sticky >= 0 {
			r.failAt(o, "cannot be used with a sticky buffer")
		}
	case "endswith":
		c.EndsWith = true
	case "startswith", "depth", "offset":
		r.absolute(o, c, n)
	case "distance", "within":
		r.relativeTo(o, c, n)
	case "fast_pattern":
		r.fast(o, c)
	}
}

// absolute handles depth, offset and startswith.
func (r *resolver) absolute(o *Option, c *Content, n Num) {
	r.bounded(o, c)
	if c.Relative {
		r.failAt(o, "distance or within is given: a content is bounded either from the start or from the match before")
	}
	switch o.Name {
	case "startswith":
		if c.HasDepth || c.HasOffset {
			r.failAt(o, "contradicts depth or offset")
		}
		c.StartsWith, c.HasDepth, c.Depth = true, true, Num{N: int64(len(c.Pattern))}
	case "depth":
		if c.HasDepth {
			r.failAt(o, "given twice for the same content")
		}
		if n.Var == "" && n.N < int64(len(c.Pattern)) {
			r.failAt(o, "%d is less than the %d bytes of the pattern", n.N, len(c.Pattern))
		}
		c.HasDepth, c.Depth = true, n
	case "offset":
		if c.HasOffset {
			r.failAt(o, "given twice for the same content")
		}
		if c.StartsWith {
			r.failAt(o, "contradicts startswith")
		}
		c.HasOffset, c.Offset = true, n
	}
}

// relativeTo handles distance and within.
func (r *resolver) relativeTo(o *Option, c *Content, n Num) {
	r.bounded(o, c)
	if c.HasDepth || c.HasOffset {
		r.failAt(o, "depth or offset is given: a content is bounded either from the start or from the match before")
	}
	if prev := r.before(c); prev != nil && prev.Fast != nil && prev.Fast.Only {
		r.failAt(o, "the content before it is fast_pattern:only")
	}
	c.Relative = true
	if o.Name == "distance" {
		if c.HasDistance {
			r.failAt(o, "given twice for the same content")
		}
		c.HasDistance, c.Distance = true, n
		return
	}
	if c.HasWithin {
		r.failAt(o, "given twice for the same content")
	}
	if n.Var == "" && n.N < int64(len(c.Pattern)) {
		r.failAt(o, "%d is less than the %d bytes of the pattern", n.N, len(c.Pattern))
	}
	c.HasWithin, c.Within = true, n
}

// bounded refuses a bound on contents that must be searched everywhere.
func (r *resolver) bounded(o *Option, c *Content) {
	if c.HasFast && c.Negated {
		r.failAt(o, "a negated content with fast_pattern cannot be bounded")
	}
	if c.Fast != nil && c.Fast.Only {
		r.failAt(o, "a content with fast_pattern:only cannot be bounded")
	}
}

// before is the content just before c in its chain, nil if there is none.
func (r *resolver) before(c *Content) *Content {
	steps := r.chains[r.lastIn].Steps
	for i := slices.Index(steps, Step(c)) - 1; i >= 0; i-- {
		if prev, ok := steps[i].(*Content); ok {
			return prev
		}
	}
	return nil
}

// fast handles fast_pattern.
func (r *resolver) fast(o *Option, c *Content) {
	f := &r.rule.facts
	v, _ := o.Value.(*FastPattern)
	switch bounded := c.HasDepth || c.HasOffset || c.Relative; {
	case f.chosen != nil:
		r.failAt(o, "only one content of a rule can have it")
	case r.chains[r.lastIn].Buffer == BufBase64:
		r.failAt(o, "cannot be used with base64_data")
	case bounded && c.Negated:
		r.failAt(o, "a negated content with fast_pattern cannot be bounded")
	case v != nil && v.Only && (bounded || c.Negated):
		r.failAt(o, "only cannot be used with a negated or bounded content")
	case v != nil && v.Offset+v.Length > len(c.Pattern):
		r.failAt(o, "part %s is outside of the pattern of %d bytes", v, len(c.Pattern))
	}
	c.HasFast, c.Fast, f.chosen = true, v, c
}
