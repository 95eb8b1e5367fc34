// Package seqnum is the arithmetic of TCP sequence numbers (RFC 9293 section
// 3.4): 32 bits that wrap, compared by the sign of their distance. Two numbers
// 2^31 apart have no order; Less is then true both ways.
package seqnum

// Value is a sequence number.
type Value uint32

// Size is a distance between sequence numbers.
type Size uint32

// Add returns the number n bytes after v.
func (v Value) Add(n Size) Value { return v + Value(n) }

// Sub returns how far v is after from, modulo 2^32.
func (v Value) Sub(from Value) Size { return Size(v - from) }

// Less says whether v is before w.
func (v Value) Less(w Value) bool { return int32(v-w) < 0 }

// LessEq says whether v is before w or w itself.
func (v Value) LessEq(w Value) bool { return int32(v-w) <= 0 }

// In says whether v is in [first, first+size).
func (v Value) In(first Value, size Size) bool { return Size(v-first) < size }

// Max returns the later of two numbers.
func Max(v, w Value) Value {
	if v.Less(w) {
		return w
	}
	return v
}

// Min returns the earlier of two numbers.
func Min(v, w Value) Value {
	if w.Less(v) {
		return w
	}
	return v
}
