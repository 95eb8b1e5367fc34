package dns

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
)

// headerLen is the size of a message's header (RFC 1035 section 4.1.1).
const headerLen = 12

// The flags of a header.
const (
	flagQR uint16 = 1 << 15
	flagAA uint16 = 1 << 10
	flagTC uint16 = 1 << 9
	flagRD uint16 = 1 << 8
	flagRA uint16 = 1 << 7
	flagZ  uint16 = 1 << 6
)

// question asks for records of a name.
type question struct {
	name []byte
	cut  bool
	kind uint16
}

// record is a resource record; data lies in msg.
type record struct {
	name []byte
	cut  bool
	kind uint16
	ttl  uint32
	data []byte
	at   int // Of data in the message, for the names in it.
}

// tx is one message.
type tx struct {
	app.State
	msg                               []byte
	id, flags                         uint16
	questions                         []question
	answers, authorities, additionals []record
}

func (t *tx) opcode() uint16 { return t.flags >> 11 & 0xf }

// Limits of a name, as Suricata has them.
const (
	maxName   = 1025
	maxLabels = 255
	maxJumps  = 255
	// maxRecords bounds the records of a section.
	maxRecords = 4096
)

// reader reads a message.
type reader struct {
	msg    []byte
	at     int
	raised []app.EventID
	cut    bool // The name read last was too long.
}

func (r *reader) u16() (uint16, bool) {
	if r.at+2 > len(r.msg) {
		return 0, false
	}
	r.at += 2
	return be.Uint16(r.msg[r.at-2:]), true
}

func (r *reader) u32() (uint32, bool) {
	if r.at+4 > len(r.msg) {
		return 0, false
	}
	r.at += 4
	return be.Uint32(r.msg[r.at-4:]), true
}

// name reads a name and follows its pointers (RFC 1035 section 4.1.4).
func (r *reader) name() (name []byte, ok bool) {
	at, after := r.at, -1
	jumps, labels := 0, 0
	r.cut = false
	for {
		if at >= len(r.msg) {
			return nil, false
		}
		size := int(r.msg[at])
		switch {
		case size == 0:
			at++
			if after < 0 {
				after = at
			}
			r.at = after
			return name, true
		case size&0xc0 == 0xc0:
			if at+2 > len(r.msg) {
				return nil, false
			}
			if after < 0 {
				after = at + 2
			}
			target := int(be.Uint16(r.msg[at:]) & 0x3fff)
			if jumps++; jumps > maxJumps || target == at {
				r.raised = append(r.raised, infiniteLoop)
				r.at = after
				r.cut = true
				return name, true
			}
			at = target
		case size&0xc0 != 0 || at+1+size > len(r.msg):
			return nil, false
		default:
			if labels++; labels > maxLabels {
				r.raised = append(r.raised, tooManyLabels)
				r.cut = true
				if after < 0 {
					return nil, false
				}
				r.at = after
				return name, true
			}
			if len(name)+size+1 > maxName {
				if !r.cut {
					r.raised = append(r.raised, nameTooLong)
				}
				r.cut = true
			} else {
				if len(name) > 0 {
					name = append(name, '.')
				}
				name = append(name, r.msg[at+1:at+1+size]...)
			}
			at += 1 + size
		}
	}
}

// read reads a message. It returns false if that has no sense.
func (t *tx) read(data []byte) bool {
	if len(data) < headerLen {
		return false
	}
	t.msg = append([]byte(nil), data...)
	t.id, t.flags = be.Uint16(data), be.Uint16(data[2:])
	r := &reader{msg: t.msg, at: headerLen}
	defer func() {
		for _, e := range r.raised {
			t.Raise(e)
		}
	}()
	for range min(int(be.Uint16(data[4:])), maxRecords) {
		name, ok := r.name()
		q := question{name: name, cut: r.cut}
		if !ok {
			return false
		}
		if q.kind, ok = r.u16(); !ok {
			return false
		}
		if _, ok = r.u16(); !ok {
			return false
		}
		t.questions = append(t.questions, q)
	}
	var ok bool
	if t.answers, ok = r.records(int(be.Uint16(data[6:]))); !ok {
		return false
	}
	if t.authorities, ok = r.records(int(be.Uint16(data[8:]))); !ok {
		t.Raise(invalidAuthorities)
		return true
	}
	if t.additionals, ok = r.records(int(be.Uint16(data[10:]))); !ok {
		t.Raise(invalidAdditionals)
	}
	return true
}

func (r *reader) records(count int) (list []record, ok bool) {
	for range min(count, maxRecords) {
		var x record
		if x.name, ok = r.name(); !ok {
			return list, false
		}
		x.cut = r.cut
		x.kind, _ = r.u16()
		_, _ = r.u16()
		x.ttl, _ = r.u32()
		size, ok := r.u16()
		if !ok || r.at+int(size) > len(r.msg) {
			return list, false
		}
		x.at, x.data = r.at, r.msg[r.at:r.at+int(size)]
		r.at += int(size)
		list = append(list, x)
	}
	return list, true
}
