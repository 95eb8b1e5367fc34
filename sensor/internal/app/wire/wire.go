// Package wire reads numbers and bytes of messages.
package wire

import (
	"bytes"
	"encoding/binary"
)

// Reader is a place in a message. Once a read wants more than there is, Bad is
// set and every read returns zeros.
type Reader struct {
	B   []byte // What is left.
	Bad bool
}

// Take returns the next n bytes, nil if they are not there.
func (r *Reader) Take(n int) []byte {
	if r.Bad || n < 0 || n > len(r.B) {
		r.Bad, r.B = true, nil
		return nil
	}
	out := r.B[:n:n]
	r.B = r.B[n:]
	return out
}

// Skip leaves out n bytes.
func (r *Reader) Skip(n int) { r.Take(n) }

// Piece returns the bytes behind their length, a number of size bytes whose
// first is the highest.
func (r *Reader) Piece(size int) Reader {
	n := 0
	for _, b := range r.Take(size) {
		n = n<<8 | int(b)
	}
	b := r.Take(n)
	return Reader{B: b, Bad: r.Bad}
}

// Until returns the bytes before the next end and takes end too.
func (r *Reader) Until(end byte) []byte {
	i := bytes.IndexByte(r.B, end)
	out := r.Take(i + 1)
	if i < 0 {
		r.Bad, r.B = true, nil
		return nil
	}
	return out[:i]
}

var zeros [8]byte

func (r *Reader) fixed(n int) []byte {
	if b := r.Take(n); b != nil {
		return b
	}
	return zeros[:n]
}

// U8 reads a byte.
func (r *Reader) U8() uint8 { return r.fixed(1)[0] }

// BE16 reads a number whose first byte is the highest.
func (r *Reader) BE16() uint16 { return binary.BigEndian.Uint16(r.fixed(2)) }

// BE32 reads a number whose first byte is the highest.
func (r *Reader) BE32() uint32 { return binary.BigEndian.Uint32(r.fixed(4)) }

// BE64 reads a number whose first byte is the highest.
func (r *Reader) BE64() uint64 { return binary.BigEndian.Uint64(r.fixed(8)) }

// LE16 reads a number whose first byte is the lowest.
func (r *Reader) LE16() uint16 { return binary.LittleEndian.Uint16(r.fixed(2)) }

// LE32 reads a number whose first byte is the lowest.
func (r *Reader) LE32() uint32 { return binary.LittleEndian.Uint32(r.fixed(4)) }

// LE64 reads a number whose first byte is the lowest.
func (r *Reader) LE64() uint64 { return binary.LittleEndian.Uint64(r.fixed(8)) }

// U16 reads a number in the order of bytes that little says.
func (r *Reader) U16(little bool) uint16 {
	if little {
		return r.LE16()
	}
	return r.BE16()
}

// U32 reads a number in the order of bytes that little says.
func (r *Reader) U32(little bool) uint32 {
	if little {
		return r.LE32()
	}
	return r.BE32()
}
