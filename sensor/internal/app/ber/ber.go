// Package ber reads ASN.1 values in BER (X.690) as protocols such as LDAP,
// SNMP and Kerberos send them: tags below 31 and definite lengths.
package ber

import "strconv"

// Tags of universal types.
const (
	Boolean     = 0x01
	Integer     = 0x02
	OctetString = 0x04
	Null        = 0x05
	OID         = 0x06
	Enumerated  = 0x0a
	Sequence    = 0x30
	Set         = 0x31
)

// Context is the tag of a primitive value with a number of its own;
// Constructed makes it one that holds others.
const (
	Context     = 0x80
	Constructed = 0x20
)

// Value is one value.
type Value struct {
	Tag  byte   // Class, constructed bit and number.
	Data []byte // Its content.
}

// Header reads a tag and a length: the size of both and of the content; ok is
// false if they are no such thing, head is 0 if bytes are missing.
func Header(b []byte) (head, size int, ok bool) {
	if len(b) < 2 {
		return 0, 0, true
	}
	if b[0]&0x1f == 0x1f {
		return 0, 0, false
	}
	n := int(b[1])
	if n < 0x80 {
		return 2, n, true
	}
	if n -= 0x80; n == 0 || n > 4 {
		return 0, 0, false
	}
	if len(b) < 2+n {
		return 0, 0, true
	}
	for _, c := range b[2 : 2+n] {
		size = size<<8 | int(c)
	}
	return 2 + n, size, true
}

// Next takes the first value of b; ok is false if there is none.
func Next(b []byte) (v Value, rest []byte, ok bool) {
	head, size, ok := Header(b)
	if !ok || head == 0 || size > len(b)-head {
		return Value{}, nil, false
	}
	end := head + size
	return Value{b[0], b[head:end:end]}, b[end:], true
}

// Each calls f with the values in b until it returns false. It says whether b
// held nothing but values.
func Each(b []byte, f func(Value) bool) bool {
	for len(b) > 0 {
		v, rest, ok := Next(b)
		if !ok {
			return false
		}
		if !f(v) {
			break
		}
		b = rest
	}
	return true
}

// Inner is the first value within v whose tag is tag; ok is false if there is none.
func (v Value) Inner(tag byte) (in Value, ok bool) {
	Each(v.Data, func(x Value) bool {
		if x.Tag == tag {
			in, ok = x, true
		}
		return !ok
	})
	return in, ok
}

// Int is the content as a number with a sign, of which no more than 8 bytes count.
func (v Value) Int() int64 {
	var n int64
	for i, c := range v.Data[max(0, len(v.Data)-8):] {
		if i == 0 {
			n = int64(int8(c))
			continue
		}
		n = n<<8 | int64(c)
	}
	return n
}

// maxArcs bounds the numbers of an object identifier.
const maxArcs = 128

// OID is the content as an object identifier with dots between its numbers.
func (v Value) OID() string {
	var out []byte
	var n uint64
	arcs := 0
	for _, c := range v.Data {
		n = n<<7 | uint64(c&0x7f)
		if c&0x80 != 0 {
			continue
		}
		if arcs == 0 {
			first := min(n/40, 2)
			out = strconv.AppendUint(out, first, 10)
			n -= first * 40
		}
		out = append(out, '.')
		out = strconv.AppendUint(out, n, 10)
		if n, arcs = 0, arcs+1; arcs == maxArcs {
			break
		}
	}
	return string(out)
}
