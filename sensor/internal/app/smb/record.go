package smb

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Statuses of answers (MS-ERREF 2.3.1) that say how to go on.
const (
	statusSuccess  = 0
	statusPending  = 0x00000103
	statusOverflow = 0x80000005 // More of a pipe's message follows.
	statusEnd      = 0xc0000011 // End of file.
)

// header1 is the size of a header of SMB 1; offsets in records count it.
const header1 = 32

// record is a message of SMB 1 (MS-CIFS 2.2.3.1) or SMB 2 (MS-SMB2 2.2.1).
type record struct {
	version  uint8
	command  uint16
	status   uint32
	dos      bool
	response bool
	unicode  bool // SMB 1
	session  uint64
	tree     uint32
	message  uint64
	header   int // Its size.
	body     []byte
}

// read1 reads a record of SMB 1.
func read1(b []byte) (rec *record, ok bool) {
	r := wire.Reader{B: b}
	r.Skip(4)
	rec = &record{version: 1, header: header1}
	rec.command, rec.status = uint16(r.U8()), r.LE32()
	rec.response = r.U8()&0x80 != 0
	flags := r.LE16()
	rec.unicode, rec.dos = flags&0x8000 != 0, flags&0x4000 == 0
	r.Skip(2 + 8 + 2)
	rec.tree = uint32(r.LE16())
	r.Skip(2)
	rec.session, rec.message = uint64(r.LE16()), uint64(r.LE16())
	rec.body = r.B
	return rec, !r.Bad
}

// read2 reads the first of the records of SMB 2 in b, and returns those that follow.
func read2(b []byte) (rec *record, rest []byte, ok bool) {
	r := wire.Reader{B: b}
	r.Skip(4)
	rec = &record{version: 2}
	rec.header = int(r.LE16())
	r.Skip(2)
	rec.status, rec.command = r.LE32(), r.LE16()
	r.Skip(2)
	flags := r.LE32()
	rec.response = flags&1 != 0
	next := int64(r.LE32())
	rec.message = r.LE64()
	r.Skip(4)
	rec.tree = r.LE32()
	if rec.response && flags&2 != 0 {
		rec.tree = 0 // Both are an identifier of an answer that comes later.
	}
	rec.session = r.LE64()
	r.Skip(16)
	if next > int64(rec.header) {
		rec.body = r.Take(int(next) - rec.header)
	} else {
		rec.body, r.B = r.B, nil
	}
	return rec, r.B, !r.Bad && bytes.HasPrefix(b, []byte("\xfeSMB"))
}

// role keeps keys for different things apart.
type role uint8

const (
	roleCommand role = iota
	roleHeader
	roleName  // Of a file that is opened.
	roleFile  // Of a pipe that is written to.
	roleRead  // Offsets.
	roleShare // Trees by their number.
	roleTree  // A tree that is connected to.
	roleRest  // Of a record of DCE/RPC.
)

// key is where a record belongs.
type key struct {
	role    role
	session uint64
	tree    uint32
	message uint64
}

func (r *record) key(k role) key {
	out := key{k, r.session, r.tree, r.message}
	switch {
	case k == roleTree:
		out.tree = 0
	case k == roleShare || k == roleRest:
		out.message = 0
	case r.version == 2 && (k == roleName || k == roleRead):
		out.tree = 0 // Answers that come later do not say it.
	}
	return out
}

// same compares all but the tree, which an answer may bring.
func (k key) same(o key) bool {
	return k.role == o.role && k.session == o.session && k.message == o.message
}

// ids of files: 16 bytes, or 2 and the session.
func (r *record) id(b []byte) string {
	if r.version == 2 {
		return string(b)
	}
	return string(append(b[:len(b):len(b)], byte(r.session>>24), byte(r.session>>16), byte(r.session>>8), byte(r.session)))
}

// cache remembers values for a while: at least the last max/2 of them.
type cache[K comparable, V any] struct {
	young, old map[K]V
}

const maxCached = 1024

func (c *cache[K, V]) put(k K, v V) {
	if len(c.young) >= maxCached/2 {
		c.young, c.old = nil, c.young
	}
	if c.young == nil {
		c.young = map[K]V{}
	}
	c.young[k] = v
	delete(c.old, k)
}

func (c *cache[K, V]) get(k K) (v V, ok bool) {
	if v, ok = c.young[k]; !ok {
		v, ok = c.old[k]
	}
	return v, ok
}

// pop forgets what it returns.
func (c *cache[K, V]) pop(k K) (v V, ok bool) {
	v, ok = c.get(k)
	delete(c.young, k)
	delete(c.old, k)
	return v, ok
}

// plain drops the zeros of UTF-16 that says ASCII.
func plain(b []byte) []byte {
	out := make([]byte, 0, len(b)/2+1)
	for _, c := range b {
		if c != 0 {
			out = append(out, c)
		}
	}
	return out
}

// maxText is what is kept of a string of SMB 1: the longest path there is.
const maxText = 32 << 10

// text reads a string of SMB 1 up to its end: of UTF-16 the lower bytes. at is
// the offset of it, which UTF-16 wants even.
func (r *record) text(from *wire.Reader, at int) []byte {
	if !r.unicode {
		return narrow(from)
	}
	if at%2 == 1 {
		from.Skip(1)
	}
	return wide(from)
}

// narrow reads bytes up to a zero.
func narrow(from *wire.Reader) []byte {
	b := from.Until(0)
	return bytes.Clone(b[:min(len(b), maxText)])
}

// wide reads UTF-16 up to its end. At the end of a record one zero will do.
func wide(from *wire.Reader) (out []byte) {
	for len(from.B) > 0 {
		if len(from.B) == 1 && from.B[0] == 0 {
			from.Skip(1)
			return out
		}
		if c := from.LE16(); c == 0 {
			return out
		} else if !from.Bad && len(out) < maxText {
			out = append(out, byte(c))
		}
	}
	from.Bad = true
	return nil
}
