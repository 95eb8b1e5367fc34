package match

import (
	"math"

	"github.com/hauberk/hauberk/suricata"
)

// read takes a number from the buffer. end is where it ended.
func (r *run) read(o *op, s *suricata.Read, minBytes int) (v uint64, end int, ok bool) {
	data := r.buf.Data
	n := r.num(s.Bytes, o.nbytes)
	at := r.num(s.Offset, o.offset)
	if s.Relative {
		at += r.at
	}
	limit := 8
	if s.Text {
		limit = 23
	}
	if len(data) == 0 || at < 0 || n < 0 || n > limit || at+n > len(data) || s.Relative && minBytes > 0 && at >= len(data) {
		return 0, 0, false
	}
	if s.Text {
		text := data[at:]
		if n > 0 {
			text = text[:n]
		}
		v, used, ok := parseDigits(text, s.Base)
		return v, at + used, ok
	}
	little := s.Endian == suricata.Little || s.Endian == suricata.DCE && r.buf.Little
	for i := range n {
		if little {
			v |= uint64(data[at+i]) << (8 * i)
		} else {
			v = v<<8 | uint64(data[at+i])
		}
	}
	return v, at + n, true
}

// parseDigits reads a number as strtoull does: blanks, a sign, a prefix of the
// base, then digits as long as there are. used counts all of it.
func parseDigits(s []byte, base int) (v uint64, used int, ok bool) {
	i := 0
	for i < len(s) && (s[i] == ' ' || '\t' <= s[i] && s[i] <= '\r') {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	if (base == 0 || base == 16) && i+2 < len(s) && s[i] == '0' && s[i+1]|0x20 == 'x' && digit(s[i+2]) < 16 {
		base, i = 16, i+2
	} else if base == 0 {
		base = 10
		if i < len(s) && s[i] == '0' {
			base = 8
		}
	}
	first := i
	for ; i < len(s) && digit(s[i]) < base; i++ {
		d := uint64(digit(s[i]))
		if v > (math.MaxUint64-d)/uint64(base) {
			return 0, 0, false
		}
		v = v*uint64(base) + d
	}
	if negative {
		v = -v
	}
	return v, i, i > first
}

// digit is the value of a digit, 99 for another byte.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 99
}

func masked(v uint64, s *suricata.Read) uint64 {
	if s.Bitmask == 0 {
		return v
	}
	return v & s.Bitmask >> s.Shift()
}

func (r *run) byteTest(o *op, s *suricata.ByteTest) bool {
	v, _, ok := r.read(o, &s.Read, 1)
	if !ok {
		return false
	}
	v = masked(v, &s.Read)
	want := r.wide(s.Value, o.value)
	hit := false
	switch s.Op {
	case "=":
		hit = v == want
	case "<":
		hit = v < want
	case ">":
		hit = v > want
	case "<=":
		hit = v <= want
	case ">=":
		hit = v >= want
	case "&":
		hit = v&want != 0
	case "^":
		hit = v^want != 0
	}
	return hit != s.Not
}

func (r *run) byteJump(o *op, s *suricata.ByteJump) bool {
	v, end, ok := r.read(o, &s.Read, r.num(s.Bytes, o.nbytes))
	if !ok {
		return false
	}
	v = masked(v, &s.Read)
	if s.Multiplier > 0 {
		v *= uint64(s.Multiplier)
	}
	if s.Align && v%4 != 0 {
		v += 4 - v%4
	}
	jump := int64(v) + s.Post
	to := int64(end)
	switch {
	case s.FromStart:
		to = 0
	case s.FromEnd:
		to = int64(len(r.buf.Data))
	}
	if jump > int64(len(r.buf.Data)) {
		return false // also keeps the sum from overflowing
	}
	to = max(to+max(jump, -to), 0)
	if to > int64(len(r.buf.Data)) {
		return false
	}
	r.at = int(to)
	return true
}

func (r *run) byteExtract(o *op, s *suricata.ByteExtract) bool {
	v, end, ok := r.read(o, &s.Read, 1)
	if !ok {
		return false
	}
	v = masked(v, &s.Read)
	if s.Multiplier > 0 {
		v *= uint64(s.Multiplier)
	}
	if a := uint64(s.Align); a > 0 && v%a != 0 {
		v += a - v%a
	}
	r.at = end
	r.set(o.result, v)
	return true
}

func (r *run) byteMath(o *op, s *suricata.ByteMath) bool {
	v, end, ok := r.read(o, &s.Read, 1)
	if !ok {
		return false
	}
	x := r.wide(s.Value, o.value)
	switch s.Op {
	case "+":
		v += x
	case "-":
		v -= x
	case "*":
		v *= x
	case "/":
		if x == 0 {
			return false
		}
		v /= x
	case "<<":
		v <<= x // a shift by 64 or more gives 0
	case ">>":
		v >>= x
	}
	r.at = end
	r.set(o.result, masked(v, &s.Read))
	return true
}

func (r *run) set(variable int, v uint64) {
	for len(r.Vars) <= variable {
		r.Vars = append(r.Vars, 0)
	}
	r.Vars[variable] = v
}
