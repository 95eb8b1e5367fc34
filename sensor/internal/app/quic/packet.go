package quic

import "github.com/hauberk/hauberk/sensor/internal/app/wire"

// version is QUIC's, or Google's before it.
type version uint32

const (
	q043 version = 0x51303433
	q044 version = 0x51303434
	q045 version = 0x51303435
	q046 version = 0x51303436 // The first of Google's with IETF's types.
	v2   version = 0x6b3343cf // RFC 9369
)

// google says that a version's first packets are not encrypted.
func (v version) google() bool { return v >= q043 && v <= q046 }

// kind is the type of a packet.
type kind uint8

const (
	short kind = iota
	initial
	zeroRTT
	handshake
	retry
	negotiation
)

// header is that of a packet.
type header struct {
	kind    kind
	long    bool
	version version
	dcid    []byte
	size    int // Bytes of the packet behind the header.
}

// The flags of the public header of Google's QUIC up to 43.
const (
	flagVersion = 0x01
	flagNonce   = 0x04
	flagDCID    = 0x08
	flagFixed   = 0x40
	flagLong    = 0x80
)

const hashSize = 12 // Of the message authentication hash of Google's QUIC.

// readHeader reads a packet's header (RFC 9000 section 17) and returns what is
// behind it; ok is false if it is none.
func readHeader(data []byte) (h header, rest []byte, ok bool) {
	r := wire.Reader{B: data}
	first := r.U8()
	switch {
	case r.Bad:
		return h, nil, false
	case first&flagLong != 0:
		h.readLong(&r, first)
	case first&flagFixed == 0:
		h.readPublic(&r, first)
	default:
		h.size = len(r.B)
	}
	return h, r.B, !r.Bad && h.size <= len(r.B)
}

// readPublic reads the rest of Google's first header.
func (h *header) readPublic(r *wire.Reader, first byte) {
	if first&flagDCID != 0 {
		h.dcid = r.Take(8)
	} else if first&flagNonce != 0 {
		r.Skip(32)
	}
	if first&flagVersion != 0 {
		h.version, h.kind = version(r.BE32()), initial
	}
	r.Skip(1 + int(first>>4&3)) // The packet's number.
	if first&flagDCID != 0 {
		r.Skip(hashSize)
	}
	h.size = len(r.B)
}

func (h *header) readLong(r *wire.Reader, first byte) {
	h.long = true
	h.version = version(r.BE32())
	h.kind = h.version.kind(first)
	if h.version.google() {
		lengths := r.U8()
		idSize := func(n byte) int {
			if n == 0 {
				return 0
			}
			return int(n) + 3
		}
		h.dcid = r.Take(idSize(lengths >> 4))
		r.Skip(idSize(lengths & 15))
	} else {
		h.dcid = r.Piece(1).B
		r.Piece(1)
	}
	h.size = len(r.B)
	switch {
	case h.kind == initial && h.version.google():
		r.Skip(4 + hashSize)
		h.size = len(r.B)
	case h.kind == initial:
		r.Skip(length(r)) // The token.
		h.size = length(r)
	case h.kind == retry:
		r.Skip(len(r.B))
		h.size = 0
	}
}

// kind is the type that the first byte of a long header says.
func (v version) kind(first byte) kind {
	n := first >> 4 & 3
	switch {
	case v == 0:
		return negotiation
	case v.google() && v != q046:
		switch first & 0x7f {
		case 0x7f:
			return initial
		case 0x7e:
			return retry
		case 0x7d:
			return handshake
		}
		return zeroRTT
	case v == v2:
		return [...]kind{retry, initial, zeroRTT, handshake}[n]
	}
	return [...]kind{initial, zeroRTT, handshake, retry}[n]
}

// variable reads an integer of variable length (RFC 9000 section 16).
func variable(r *wire.Reader) uint64 {
	first := r.U8()
	n := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		n = n<<8 | uint64(r.U8())
	}
	return n
}

// length reads a length, at most one more than there is.
func length(r *wire.Reader) int {
	n := variable(r)
	return int(min(n, uint64(len(r.B)+1)))
}
