package http2

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/http2/hpack"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// kind is the type of a frame (RFC 9113 section 6).
type kind uint8

const (
	kindData kind = iota
	kindHeaders
	kindPriority
	kindReset
	kindSettings
	kindPush
	kindPing
	kindGoAway
	kindWindow
	kindContinuation
)

// The flags of frames.
const (
	flagAck        = 0x01
	flagEndStream  = 0x01
	flagEndHeaders = 0x04
	flagPadded     = 0x08
	flagPriority   = 0x20
)

const (
	headSize     = 9
	defaultFrame = 16 << 10 // The largest frame before settings allow more.
)

// head is the header of a frame (RFC 9113 section 4.1).
type head struct {
	size     int
	kind     kind
	flags    uint8
	reserved bool
	stream   uint32
}

func readHead(b []byte) head {
	n := binary.BigEndian.Uint32(b)
	id := binary.BigEndian.Uint32(b[5:])
	return head{size: int(n >> 8), kind: kind(n), flags: b[4], reserved: id>>31 == 1, stream: id &^ (1 << 31)}
}

// Limits of what one stream's side remembers.
const (
	maxFields     = 1024
	maxFieldBytes = 256 << 10
	maxList       = 256       // Settings, errors, priorities and windows.
	maxBlock      = 100 << 10 // Bytes of a header block in several frames.
	maxString     = 64 << 10
	maxTable      = 64 << 10
)

// table undoes the compression of headers of one direction (RFC 7541).
type table struct {
	*hpack.Decoder
	fields []field
	bytes  int
}

func newTable() *table {
	t := &table{}
	t.Decoder = hpack.NewDecoder(4096, t.take)
	t.SetAllowedMaxDynamicTableSize(maxTable)
	t.SetMaxStringLength(maxString)
	return t
}

func (t *table) take(f hpack.HeaderField) {
	if t.bytes += len(f.Name) + len(f.Value); t.bytes > maxFieldBytes || len(t.fields) >= maxFields {
		return
	}
	t.fields = append(t.fields, field{name: []byte(f.Name), value: []byte(f.Value)})
}

// decode reads a header block; what was read before an error counts.
func (t *table) decode(block []byte) (fields []field, err error) {
	t.fields, t.bytes = resizes(block), 0
	_, err = t.Write(block)
	err = errors.Join(err, t.Close())
	fields = t.fields
	if err != nil {
		*t = *newTable()
		t.SetEmitFunc(t.take)
	}
	t.fields = nil
	return fields, err
}

// resizes are the changes of the table's size that a block begins with
// (RFC 7541 section 6.3).
func resizes(block []byte) (list []field) {
	const mark, prefix = 0x20, 0x1f
	for len(block) > 0 && block[0]&0xe0 == mark && len(list) < 2 {
		n := uint64(block[0] & prefix)
		block = block[1:]
		for shift := 0; n >= prefix && len(block) > 0 && shift < 32; shift += 7 {
			c := block[0]
			block = block[1:]
			n += uint64(c&0x7f) << shift
			if c&0x80 == 0 {
				break
			}
		}
		list = append(list, field{resize: true, size: n})
	}
	return list
}

// unpad removes the padding of a frame (RFC 9113 section 6.1).
func unpad(r *wire.Reader, flags uint8) {
	if flags&flagPadded == 0 {
		return
	}
	n := int(r.U8())
	if n > len(r.B) {
		r.Bad = true
		return
	}
	r.B = r.B[:len(r.B)-n]
}

func readSettings(b []byte) (list []setting) {
	r := wire.Reader{B: b}
	for len(r.B) >= 6 && len(list) < maxList {
		list = append(list, setting{r.BE16(), r.BE32()})
	}
	return list
}

func add[T any](list []T, x T) []T {
	if len(list) >= maxList {
		return list
	}
	return append(list, x)
}
