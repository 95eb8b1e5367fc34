package suricata

import "slices"

// fastPattern chooses the content to scan for, as Suricata does: the one with
// fast_pattern; else of the contents in buffers of the best priority, not
// negated if there is such a one, the longest; among equally long ones the
// strongest, the first of equals.
func (c *Compiled) fastPattern() *Fast {
	best := spot{}
	var found []spot
	for i := range c.chains {
		ch := &c.chains[i]
		if ch.Buffer.Info().Priority == 0 || hasAbsent(ch) {
			continue
		}
		for j, s := range ch.Steps {
			x, ok := s.(*Content)
			if !ok {
				continue
			}
			if x.HasFast {
				return c.fastAt(spot{x, i, j})
			}
			found = append(found, spot{x, i, j})
		}
	}
	if slices.ContainsFunc(found, func(p spot) bool { return !p.content.Negated }) {
		found = slices.DeleteFunc(found, func(p spot) bool { return p.content.Negated })
	}
	if c.Way == Transactional { // the request is seen first
		if slices.ContainsFunc(found, c.request) {
			found = slices.DeleteFunc(found, func(p spot) bool { return !c.request(p) })
		}
	}
	for _, p := range found {
		if best.content == nil || c.better(p, best) {
			best = p
		}
	}
	if best.content == nil {
		return nil
	}
	return c.fastAt(best)
}

// spot is a content and where it is.
type spot struct {
	content     *Content
	chain, step int
}

func (c *Compiled) request(p spot) bool {
	ch := &c.chains[p.chain]
	return ch.Buffer.Info().Dir != ToClient && ch.Dir != ToClient
}

// better reports whether p is preferred to the one before it.
func (c *Compiled) better(p, q spot) bool {
	pp, qp := c.chains[p.chain].Buffer.Info().Priority, c.chains[q.chain].Buffer.Info().Priority
	if pp != qp {
		return pp < qp
	}
	if a, b := len(p.content.Pattern), len(q.content.Pattern); a != b {
		return a > b
	}
	return strength(p.content.Pattern) > strength(q.content.Pattern)
}

func hasAbsent(c *Chain) bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { _, ok := s.(*Absent); return ok })
}

// strength estimates how rarely a pattern is found: a byte counts 3 as a
// letter, 4 as another printable or a common binary one, else 6, and 1 when it
// was there before.
func strength(p []byte) int {
	var seen [256]bool
	n := 0
	for _, c := range p {
		switch {
		case seen[c]:
			n++
		case isAlpha(c):
			n += 3
		case ' ' <= c && c < 0x7f || c == 0 || c == 1 || c == 0xff:
			n += 4
		default:
			n += 6
		}
		seen[c] = true
	}
	return n
}

func (c *Compiled) fastAt(p spot) *Fast {
	x := p.content
	f := &Fast{Chain: p.chain, Step: p.step, Bytes: x.Pattern, NoCase: x.NoCase, Negated: x.Negated}
	whole := true
	if x.Fast != nil && x.Fast.Length > 0 {
		f.Bytes = x.Pattern[x.Fast.Offset : x.Fast.Offset+x.Fast.Length]
		whole = len(f.Bytes) == len(x.Pattern)
	}
	bound := x.HasDepth || x.HasOffset || x.Relative || x.EndsWith
	f.Enough = whole && !bound && !x.Negated && !needed(&c.chains[p.chain], p.step) || x.Fast != nil && x.Fast.Only
	return f
}

// needed reports whether a later step of the chain starts where this one ends.
func needed(c *Chain, step int) bool {
	return slices.ContainsFunc(c.Steps[step+1:], func(s Step) bool {
		switch v := s.(type) {
		case *Content:
			return v.Relative
		case *PCREStep:
			return v.Relative
		case *IsDataAt:
			return v.Relative
		case *ByteTest:
			return v.Relative
		case *ByteJump:
			return v.Relative
		case *ByteExtract:
			return v.Relative
		case *ByteMath:
			return v.Relative
		case *Base64:
			return v.Relative
		}
		return false
	})
}
