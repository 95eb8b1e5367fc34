package packet

import (
	"encoding/binary"
	"math/bits"
)

// Partial is the running sum of an Internet checksum (RFC 1071). The zero value
// is the sum of nothing. It is kept in the order of the machine's words and
// turned round at the end, which one's complement allows.
type Partial uint64

// Add sums b, whose first byte is at an even position of what is summed.
func (s Partial) Add(b []byte) Partial {
	le := binary.LittleEndian
	sum, carry := uint64(s), uint64(0)
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, le.Uint64(b), 0)
		sum, carry = bits.Add64(sum, le.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(b[24:]), carry)
		sum += carry
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	if len(b) > 0 {
		var rest [8]byte
		copy(rest[:], b)
		sum, carry = bits.Add64(sum, le.Uint64(rest[:]), 0)
		sum += carry
	}
	return Partial(sum)
}

// Checksum is the complement of the sum, as a header carries it.
func (s Partial) Checksum() uint16 {
	sum := uint64(s)
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^bits.ReverseBytes16(uint16(sum))
}

// Checksum is that of b alone: 0 over a header that holds its right checksum.
func Checksum(b []byte) uint16 { return Partial(0).Add(b).Checksum() }

// Pseudo is the sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293
// section 3.1, RFC 8200 section 8.1): src and dst have 4 or 16 bytes each,
// length is that of header and payload.
func Pseudo(src, dst []byte, proto Proto, length int) Partial {
	var rest [8]byte
	be.PutUint32(rest[:], uint32(length))
	rest[7] = byte(proto)
	return Partial(0).Add(src).Add(dst).Add(rest[:])
}

// UpdateChecksum is the checksum of a header after one of its 16-bit words
// changed (RFC 1624, equation 3).
func UpdateChecksum(checksum, from, to uint16) uint16 {
	sum := uint32(^checksum) + uint32(^from) + uint32(to)
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum)
}
