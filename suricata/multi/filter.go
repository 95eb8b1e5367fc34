package multi

import (
	"encoding/binary"
	"math/bits"
)

// filter sets bit j of out[i] where the window at position stride*(8*i+j)
// may be one of a pattern.
func (t *tier) filter(out, folded []byte) {
	if vector {
		t.filterVector(out, folded)
		return
	}
	t.filterScalar(out, folded)
}

func (t *tier) filterScalar(out, folded []byte) {
	pos := 0
	for i := range out {
		var b byte
		for range 8 {
			h := t.hash(folded, pos)
			b = b>>1 | bothBits(t.bloom[h>>t.wordShift], h>>firstBit, h>>secondBit)
			pos += t.stride
		}
		out[i] = b
	}
}

// filterPairs is the filter of the finest tier and of its guest, two positions
// at a time. Out has a bit for each position, guestOut for each even one.
func (t *tier) filterPairs(out, guestOut, folded []byte, guest *tier) {
	if vector {
		t.filterPairsVector(out, guestOut, folded, guest)
		return
	}
	t.filterPairsScalar(out, guestOut, folded, guest)
}

func (t *tier) filterPairsScalar(out, guestOut, folded []byte, guest *tier) {
	pos := 0
	for i := range guestOut {
		var b uint16
		var g byte
		for range 8 {
			word := t.bloom[t.word(binary.LittleEndian.Uint32(folded[pos:])>>8)]
			even, odd, h := t.hash(folded, pos), t.hash(folded, pos+1), guest.hash(folded, pos)
			b = b>>2 | uint16(bothBits(word, even>>firstBit, even>>secondBit))<<7 | uint16(bothBits(word, odd>>firstBit, odd>>secondBit))<<8
			g = g>>1 | bothBits(word, h>>firstGuestBit, h>>secondGuestBit)
			pos += 2
		}
		out[2*i], out[2*i+1], guestOut[i] = byte(b), byte(b>>8), g
	}
}

// bothBits is 0x80 if two bits are set in word, counted from the top.
func bothBits(word, first, second uint32) byte {
	return byte(word << (first & 31) & (word << (second & 31)) >> 24 & 0x80)
}

// fold writes src in lower case to dst, which is longer.
func fold(dst, src []byte) {
	n := 0
	if vector {
		n = foldVector(dst, src)
	}
	foldScalar(dst[n:], src[n:])
}

// foldScalar folds eight bytes at a time: bit 7 of a byte of low becomes set
// if the byte is at least 'A', of high if it is above 'Z'.
func foldScalar(dst, src []byte) {
	const ones = 0x0101010101010101
	n := 0
	for ; n+8 <= len(src); n += 8 {
		x := binary.LittleEndian.Uint64(src[n:])
		seven := x & (0x7f * ones)
		low := seven + (0x80-'A')*ones
		high := seven + (0x80-'Z'-1)*ones
		binary.LittleEndian.PutUint64(dst[n:], x|(low&^high&^x&(0x80*ones))>>2)
	}
	for ; n < len(src); n++ {
		dst[n] = foldByte(src[n])
	}
}

func foldByte(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}

func hasLetter(text []byte) bool {
	for _, b := range text {
		if b = foldByte(b); b >= 'a' && b <= 'z' {
			return true
		}
	}
	return false
}

// loadBits reads up to eight bytes, the first lowest.
func loadBits(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	var x uint64
	for i, c := range b {
		x |= uint64(c) << (8 * i)
	}
	return x
}

func trailing(x uint64) int { return bits.TrailingZeros64(x) }
