package dcerpc

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// The types of records (C706, chapter 12.6 and MS-RPCE 2.2.2).
const (
	Request         = 0
	Response        = 2
	Bind            = 11
	BindAck         = 12
	AlterContext    = 14
	AlterContextAck = 15
	maxType         = 20
)

var typeNames = [...]string{
	"REQUEST", "PING", "RESPONSE", "FAULT", "WORKING", "NOCALL", "REJECT", "ACK", "CL_CANCEL", "FACK", "CANCEL_ACK", "BIND", "BINDACK",
	"BINDNAK", "ALTER_CONTEXT", "ALTER_CONTEXT_RESP", "AUTH3", "SHUTDOWN", "CO_CANCEL", "ORPHANED", "RTS",
}

// TypeName is how EVE calls a type of record.
func TypeName(t uint8) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "UNKNOWN-" + strconv.Itoa(int(t))
}

// headerSize is that of the header that all connection-oriented records have.
const headerSize = 16

// Header is that of a connection-oriented record (C706, 12.6.3.1).
type Header struct {
	Major, Minor uint8
	Type         uint8
	First, Last  bool // Fragment.
	Little       bool // Order of bytes.
	Size         uint16
	Call         uint32
	drep         [2]byte
}

// ReadHeader reads the header of a record; the body is whatever follows it.
func ReadHeader(b []byte) (h Header, body []byte, ok bool) {
	r := wire.Reader{B: b}
	h.Major, h.Minor, h.Type = r.U8(), r.U8(), r.U8()
	flags := r.U8()
	h.First, h.Last = flags&1 != 0, flags&2 != 0
	copy(h.drep[:], r.Take(2))
	r.Skip(2)
	h.Little = h.drep[0]&0x10 != 0
	h.Size = r.U16(h.Little)
	r.Skip(2)
	h.Call = r.U32(h.Little)
	return h, r.B, !r.Bad
}

// Valid says whether it is the header of a record.
func (h *Header) Valid() bool {
	return h.Major == 5 && h.Minor < 3 && h.Size > 0 && h.Type <= maxType
}

// Known says whether the type is one of those there are.
func (h *Header) Known() bool { return h.Type <= maxType }

// Call is what a request asks for, or what a response brings.
type Call struct {
	Context, Op uint16 // Of requests.
	Stub        []byte
}

// ReadCall reads the body of a request or a response, as much as is there.
func (h *Header) ReadCall(body []byte) (c Call, ok bool) {
	const fixed = headerSize + 8
	if h.Size < fixed {
		return c, false
	}
	r := wire.Reader{B: body}
	r.Skip(4)
	c.Context, c.Op = r.U16(h.Little), r.U16(h.Little)
	if r.Bad || len(r.B) < int(h.Size)-fixed {
		return c, false
	}
	c.Stub = r.B[:h.Size-fixed]
	return c, true
}

// UUID is an identifier in the order in which it is written.
type UUID [16]byte

// readUUID puts the numbers of an identifier into the order of text.
func readUUID(b []byte, little bool) (u UUID) {
	copy(u[:], b)
	if little {
		slices.Reverse(u[0:4])
		slices.Reverse(u[4:6])
		slices.Reverse(u[6:8])
	}
	return u
}

// String is the identifier in its usual form.
func (u UUID) String() string {
	var out [36]byte
	for i, part := range [...]struct{ at, from, to int }{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}} {
		hex.Encode(out[part.at:], u[part.from:part.to])
		if i > 0 {
			out[part.at-1] = '-'
		}
	}
	return string(out[:])
}

// Interface is one that a client binds to.
type Interface struct {
	UUID           UUID
	Version, Minor uint16
	Context        uint16
	Acked          bool
	Result         uint16 // 0: accepted

	first bool // Of the first fragment.
	call  uint32
	item  int // In its record.
}

// ReadBind reads the interfaces of a record that binds.
func (h *Header) ReadBind(body []byte) (list []Interface, ok bool) {
	r := wire.Reader{B: body}
	r.Skip(8)
	n := int(r.U8())
	r.Skip(3)
	for i := range n {
		f := Interface{first: h.First, call: h.Call, item: i}
		f.Context = r.U16(h.Little)
		r.Skip(2)
		f.UUID = readUUID(r.Take(16), h.Little)
		if h.Little {
			f.Version, f.Minor = r.LE16(), r.LE16()
		} else {
			f.Minor, f.Version = r.BE16(), r.BE16()
		}
		r.Skip(20) // The first transfer syntax.
		if r.Bad {
			return nil, false
		}
		list = append(list, f)
	}
	return list, !r.Bad
}

// ReadAck reads the results of a record that answers a bind, by their item.
func (h *Header) ReadAck(body []byte) (results []uint16, ok bool) {
	r := wire.Reader{B: body}
	r.Skip(8)
	size := int(r.LE16())
	r.Skip(size)
	if odd := (size + 2) % 4; odd != 0 {
		r.Skip(4 - odd)
	}
	n := int(r.U8())
	r.Skip(3)
	for range n {
		results = append(results, r.LE16())
		r.Skip(22)
	}
	return results, !r.Bad
}
