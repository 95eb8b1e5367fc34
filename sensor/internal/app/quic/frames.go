package quic

import (
	"crypto/md5"
	"encoding/hex"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// The types of frames that first packets have (RFC 9000 section 19). Google's
// have streams in those from 0x80 on, and its crypto frame at 8.
const (
	framePadding      = 0x00
	framePing         = 0x01
	frameAck          = 0x02
	frameAckECN       = 0x03
	frameCrypto       = 0x06
	frameGoogleCrypto = 0x08
	frameStream       = 0x80
)

// tags are the names with their values of a message of Google's handshake.
type tags struct {
	names  []string
	values [][]byte
}

// get is the value of a tag, nil if there is none.
func (t *tags) get(name string) []byte {
	for i := range t.names {
		if t.names[i] == name {
			return t.values[i]
		}
	}
	return nil
}

// frames takes the frames of a packet: pieces of the handshake go to crypto,
// Google's messages are returned. ok is false if a frame makes no sense.
func frames(data []byte, v version, crypto func(offset uint64, piece []byte)) (messages []tags, ok bool) {
	r := wire.Reader{B: data}
	for len(r.B) > 0 {
		switch kind := r.U8(); {
		case kind == framePadding:
			for len(r.B) > 0 && r.B[0] == 0 {
				r.B = r.B[1:]
			}
		case kind == framePing:
		case kind == frameAck, kind == frameAckECN:
			acknowledged(&r, kind == frameAckECN)
		case kind == frameCrypto:
			offset := variable(&r)
			if piece := r.Take(length(&r)); !r.Bad {
				crypto(offset, piece)
			}
		case kind == frameGoogleCrypto:
			variable(&r)
			messages = appendTags(messages, r.Take(length(&r)))
		case kind >= frameStream && v.google():
			messages = appendTags(messages, stream(&r, kind))
		default: // None that is read, and so where it ends is not known.
			return messages, true
		}
	}
	return messages, !r.Bad
}

// acknowledged skips a frame ACK (section 19.3).
func acknowledged(r *wire.Reader, ecn bool) {
	variable(r)
	variable(r)
	ranges := variable(r)
	variable(r)
	for ; ranges > 0 && !r.Bad; ranges-- {
		variable(r)
		variable(r)
	}
	if ecn {
		for range 3 {
			variable(r)
		}
	}
}

// stream reads a stream frame of Google's: 1 f d ooo ss, where d says that a
// length follows, ooo how long the offset is, ss the stream's id.
func stream(r *wire.Reader, kind byte) []byte {
	r.Skip(int(kind&3) + 1)
	if n := int(kind >> 2 & 7); n > 0 {
		r.Skip(n + 1)
	}
	size := len(r.B)
	if kind&0x20 != 0 {
		size = int(r.BE16())
	}
	return r.Take(size)
}

// maxTags bounds the entries of a message.
const maxTags = 128

// appendTags reads a message of Google's handshake: its name, the number of
// entries, their names with the ends of their values, the values.
func appendTags(list []tags, data []byte) []tags {
	r := wire.Reader{B: data}
	r.Skip(4)
	n := int(r.LE16())
	r.Skip(2)
	if r.Bad || n == 0 || n > maxTags {
		return list
	}
	var t tags
	index := wire.Reader{B: r.Take(8 * n)}
	start := uint32(0)
	for len(index.B) > 0 {
		name, end := index.Take(4), index.LE32()
		if end < start {
			return list
		}
		t.names = append(t.names, strings.TrimRight(string(name), "\x00"))
		t.values = append(t.values, r.Take(int(end-start)))
		start = end
	}
	if r.Bad || len(r.B) > 0 || len(t.names) == 0 {
		return list
	}
	return append(list, t)
}

// cyu is the fingerprint of a message of Google's handshake, and what it is
// the MD5 of.
type cyu struct{ hash, text []byte }

func newCYU(v version, t *tags) cyu {
	number := string(rune('0'+v>>8&15)) + string(rune('0'+v&15))
	if v == q045 {
		number = "44"
	}
	text := []byte(number + "," + strings.Join(t.names, "-"))
	sum := md5.Sum(text)
	return cyu{hex.AppendEncode(nil, sum[:]), text}
}

// assembly puts the pieces of a handshake together.
type assembly struct {
	bytes []byte
	have  []bool // Of bytes.
	ready int    // Bytes from the start that are there.
}

// maxHandshake is the most bytes of a handshake that are put together.
const maxHandshake = 1<<16 - 1

// add takes a piece; it returns false if the handshake is too long.
func (a *assembly) add(offset uint64, piece []byte) bool {
	if offset > maxHandshake || int(offset)+len(piece) > maxHandshake {
		return false
	}
	end := int(offset) + len(piece)
	if grow := end - len(a.bytes); grow > 0 {
		a.bytes = append(a.bytes, make([]byte, grow)...)
		a.have = append(a.have, make([]bool, grow)...)
	}
	copy(a.bytes[offset:], piece)
	for i := int(offset); i < end; i++ {
		a.have[i] = true
	}
	for a.ready < len(a.have) && a.have[a.ready] {
		a.ready++
	}
	return true
}

// message is the first message of the handshake and its type, once it is whole.
func (a *assembly) message() (kind byte, body []byte, ok bool) {
	r := wire.Reader{B: a.bytes[:a.ready]}
	kind = r.U8()
	body = r.Piece(3).B
	return kind, body, !r.Bad
}
