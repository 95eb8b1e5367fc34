package suricata

import (
	"bytes"
	"fmt"
)

// check refuses rules whose parts contradict each other.
func (r *resolver) check() {
	rule, f := r.rule, &r.rule.facts
	var frame, app, packet, payload bool
	for i := range rule.chains {
		c := &rule.chains[i]
		info := c.Buffer.Info()
		switch {
		case c.Buffer == BufPayload || c.Buffer == BufBase64:
			payload = payload || c.Buffer == BufPayload
		case c.Buffer == BufFrame:
			frame = true
		case info.Has(Packet):
			packet = true
		default:
			app = true
		}
		if c.Buffer == BufHTTPHeaderRaw && f.dir == 0 && c.Dir == 0 && rule.Way != Transactional {
			r.failChain(c, c.Buffer.String(), "needs a direction: flow:to_server or flow:to_client")
		}
		r.checkSizes(c)
		r.checkAbsent(c)
		r.checkPatterns(c)
	}
	if f.needsPacket && (app || frame) {
		r.fail(0, "", "mixes keywords of packets (dsize, ttl, flags) with buffers of transactions")
	}
	if f.needsPacket && f.needsStream {
		r.fail(0, "", "mixes keywords of packets with only_stream or tcp-stream")
	}
	if frame && (payload || app || packet) {
		r.fail(0, "", "mixes a frame with other buffers")
	}
	r.checkBits()
	r.checkTransaction()
	if o := rule.Find("detection_filter"); o != nil && rule.Find("threshold") != nil {
		r.failAt(o, "cannot be used together with threshold")
	}
}

// checkTransaction wants a => rule to look at both ways, and to say of each
// buffer which.
func (r *resolver) checkTransaction() {
	if r.rule.Way != Transactional {
		return
	}
	var seen Direction
	for i := range r.rule.chains {
		c := &r.rule.chains[i]
		d := c.Dir
		if d == 0 {
			d = c.Buffer.Info().Dir
		}
		if c.Buffer == BufPayload || c.Buffer == BufBase64 {
			continue
		}
		if d == BothWays {
			r.failChain(c, c.Buffer.String(), "is in both directions: a => rule needs to_server or to_client after it")
		}
		seen |= d
	}
	if seen != BothWays {
		r.fail(0, "", "a => rule must look at the request and at the response")
	}
}

// failChain reports a problem of a chain at its first content.
func (r *resolver) failChain(c *Chain, keyword, reason string) {
	pos := 0
	for _, s := range c.Steps {
		if content, ok := s.(*Content); ok {
			pos = content.pos
			break
		}
	}
	r.fail(pos, keyword, reason)
}

// checkSizes refuses patterns that do not fit into bsize or dsize.
func (r *resolver) checkSizes(c *Chain) {
	if c.Buffer == BufPayload {
		if o := r.rule.Find("dsize"); o != nil {
			r.fits(c, "dsize", o.Value.(*Uint))
		}
	}
	for _, s := range c.Steps {
		if size, ok := s.(*Size); ok {
			r.fits(c, "bsize", &size.Uint)
		}
	}
}

func (r *resolver) fits(c *Chain, keyword string, u *Uint) {
	high := int64(0)
	switch u.Op {
	case Eq:
		high = int64(u.A)
	case Lt:
		high = int64(u.A) - 1
		if keyword == "dsize" {
			high = int64(u.A) // Suricata's bound
		}
	case Le:
		high = int64(u.A)
	case Range:
		high = int64(u.B)
	default:
		return
	}
	if need := required(c, high); need > high {
		r.failChain(c, keyword, fmt.Sprintf("cannot match: the contents need %d bytes, it allows %d", need, high))
	}
}

// required is how many bytes the contents of a chain need at least, counting
// as Suricata does: chains of relative contents from the first, and the
// farthest offset.
func required(c *Chain, high int64) int64 {
	total, far, first := int64(0), int64(0), true
	for _, s := range c.Steps {
		x, ok := s.(*Content)
		if !ok {
			continue
		}
		if !first {
			if !x.Relative {
				continue
			}
			if x.Negated {
				if need := total + x.Distance.N + x.Within.N; need > high {
					return need
				}
				continue
			}
		}
		total += int64(len(x.Pattern)) + x.Distance.N
		far = max(far, x.Offset.N)
		first = false
	}
	return total + far
}

func (r *resolver) checkAbsent(c *Chain) {
	only, has, other, fast := false, false, false, false
	for _, s := range c.Steps {
		if a, ok := s.(*Absent); ok {
			has, only = true, only || !a.OrElse
			continue
		}
		other = true
		if x, ok := s.(*Content); ok && x.HasFast {
			fast = true
		}
	}
	switch {
	case only && other:
		r.failChain(c, "absent", "a buffer cannot be absent and matched; or_else allows both")
	case has && !only && !other:
		r.failChain(c, "absent", "or_else needs another match on the buffer")
	case has && fast:
		r.failChain(c, "absent", "cannot be used with fast_pattern on the same buffer")
	}
}

// checkPatterns refuses patterns that can never be in their buffer.
func (r *resolver) checkPatterns(c *Chain) {
	info := c.Buffer.Info()
	if len(c.Transforms) > 0 {
		r.checkTransformed(c)
		return
	}
	for _, s := range c.Steps {
		x, ok := s.(*Content)
		if !ok {
			if p, ok := s.(*PCREStep); ok && p.Buffer == BufHTTPHost && !p.Caseless && hasUpperLiteral(p.Pattern) {
				r.failChain(c, "pcre", "upper-case pattern: the buffer is normalised to lower case")
			}
			continue
		}
		p := x.Pattern
		switch {
		case c.Buffer == BufHTTPHost && hasUpper(p):
			r.fail(x.pos, "content", "upper-case pattern: the buffer is normalised to lower case")
		case c.Buffer == BufHTTPMethod && len(bytes.Trim(p, " \t")) < len(p):
			r.fail(x.pos, "content", "a method has no blanks around it")
		case info.Has(MD5) && (len(p) != 32 || bytes.ContainsFunc(p, notHex)):
			r.fail(x.pos, "content", "an MD5 has 32 hex digits")
		case c.Buffer == BufHTTPProtocol && bytes.IndexByte(p, ' ') >= 0:
			r.fail(x.pos, "content", "a protocol has no blank in it")
		case c.Buffer == BufTLSCertFingerprint && (len(p) != 59 || bytes.Count(p, []byte(":")) != 19):
			r.fail(x.pos, "content", "a SHA-1 fingerprint has 20 pairs of hex digits with colons between")
		case c.Buffer == BufTLSCertSerial && len(p) > 2 && !bytes.ContainsRune(p, ':'):
			r.fail(x.pos, "content", "a serial number has colons between its pairs of digits")
		}
		// Digests are compared in the case they are written in.
		switch {
		case info.Has(MD5) || c.Buffer == BufTLSCertFingerprint:
			x.Pattern = bytes.ToLower(p)
		case c.Buffer == BufTLSCertSerial:
			x.Pattern = bytes.ToUpper(p)
		}
	}
}

func notHex(c rune) bool {
	_, ok := hexDigit(byte(c))
	return !ok || c > 0x7f
}

// checkTransformed refuses patterns that no transformed buffer can have.
func (r *resolver) checkTransformed(c *Chain) {
	for _, s := range c.Steps {
		x, ok := s.(*Content)
		if !ok {
			continue
		}
		for i := range c.Transforms {
			name := c.Transforms[i].Name
			bad := false
			switch name {
			case "to_lowercase":
				bad = hasUpper(x.Pattern)
			case "to_uppercase":
				bad = bytes.ContainsFunc(x.Pattern, func(c rune) bool { return 'a' <= c && c <= 'z' })
			case "strip_whitespace":
				bad = bytes.ContainsAny(x.Pattern, whitespace)
			case "compress_whitespace":
				bad = doubleSpace(x.Pattern)
			}
			if bad {
				r.fail(x.pos, "content", fmt.Sprintf("%q cannot be in a buffer after %s", x.Pattern, name))
			}
		}
	}
}

const whitespace = " \t\n\v\f\r"

// doubleSpace reports whether two white space characters follow each other.
func doubleSpace(p []byte) bool {
	for i := 1; i < len(p); i++ {
		if bytes.IndexByte([]byte(whitespace), p[i-1]) >= 0 && bytes.IndexByte([]byte(whitespace), p[i]) >= 0 {
			return true
		}
	}
	return false
}

func hasUpper(p []byte) bool {
	return bytes.ContainsFunc(p, func(c rune) bool { return 'A' <= c && c <= 'Z' })
}

// hasUpperLiteral looks for an upper-case letter that is not behind a backslash.
func hasUpperLiteral(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' {
			i++
		} else if 'A' <= pattern[i] && pattern[i] <= 'Z' {
			return true
		}
	}
	return false
}

// checkBits refuses flowbits that are asked both ways.
func (r *resolver) checkBits() {
	asked := map[string]string{}
	for i := range r.rule.Options {
		o := &r.rule.Options[i]
		b, ok := o.Value.(*Bits)
		if !ok || !b.Asks() || len(b.Names) != 1 || o.Name != "flowbits" {
			continue
		}
		if was := asked[b.Names[0]]; was != "" && was != b.Cmd {
			r.failAt(o, "%s is asked both isset and isnotset", b.Names[0])
		}
		asked[b.Names[0]] = b.Cmd
	}
}
