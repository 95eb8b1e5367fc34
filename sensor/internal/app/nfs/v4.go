package nfs

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// compound4 is the procedure of NFS 4 that has operations (RFC 7530, 14.2).
const compound4 = 1

// Operations of NFS 4 (RFC 7530, 16; RFC 8881, 18).
const (
	access4           = 3
	close4            = 4
	commit4           = 5
	create4           = 6
	delegReturn4      = 8
	getattr4          = 9
	getFH4            = 10
	lookup4           = 15
	lookupParent4     = 16
	open4             = 18
	openConfirm4      = 20
	putFH4            = 22
	putPublic4        = 23
	putRoot4          = 24
	read4             = 25
	readdir4          = 26
	readlink4         = 27
	remove4           = 28
	rename4           = 29
	renew4            = 30
	restoreFH4        = 31
	saveFH4           = 32
	setattr4          = 34
	setClientID4      = 35
	setClientConfirm4 = 36
	write4            = 38
	destroySession4   = 44
	sequence4         = 53
	destroyClient4    = 57
	reclaimComplete4  = 58
)

// maxOps bounds the operations of one message.
const maxOps = 64

// arguments4 are the sizes of arguments of operations that have nothing to tell.
var arguments4 = map[uint32]int{
	access4: 4, delegReturn4: 16, getFH4: 0, lookupParent4: 0, openConfirm4: 20, putPublic4: 0, putRoot4: 0, readlink4: 0, renew4: 8,
	restoreFH4: 0, saveFH4: 0, setClientConfirm4: 16, destroySession4: 16, sequence4: 32, destroyClient4: 8, reclaimComplete4: 4,
}

// results4 are the sizes of their results.
var results4 = map[uint32]int{
	access4: 8, close4: 16, commit4: 8, delegReturn4: 0, lookup4: 0, lookupParent4: 0, openConfirm4: 16, putFH4: 0, putPublic4: 0, putRoot4: 0,
	remove4: 20, rename4: 40, renew4: 0, restoreFH4: 0, saveFH4: 0, setClientID4: 16, setClientConfirm4: 0, write4: 16, destroySession4: 0,
	sequence4: 36, destroyClient4: 0, reclaimComplete4: 0,
}

// within returns what a checksum of GSS covers.
func within(r *xdr) *xdr {
	size := r.BE32()
	r.Skip(4)
	return &xdr{wire.Reader{B: r.Take(max(0, int(min(size, maxRecord))-4))}}
}

// bitmap reads bits in words; attributes also their values.
func (x *xdr) bitmap() {
	x.Skip(4 * int(min(x.BE32(), maxRecord)))
}

func (x *xdr) attributes() {
	x.bitmap()
	x.opaque()
}

// request4 takes a call of NFS 4.
func (p *parser) request4(c *call, r *xdr) {
	if c.procedure != compound4 {
		return
	}
	if c.integrity {
		r = within(r)
	}
	r.opaque() // Tag
	r.Skip(4)
	count := r.BE32()
	if r.Bad {
		p.raise(malformed)
		return
	}
	var main uint32
	var current []byte // The handle that operations are about.
	for n := uint32(0); n < min(count, maxOps) && !r.Bad; n++ {
		op := r.BE32()
		if !p.op4(c, r, op, &current) || r.Bad {
			break
		}
		if op == create4 || op == remove4 {
			main = op
		}
	}
	if main != 0 {
		t := p.add(c)
		t.procedure = main
		t.Progress[app.ToServer] = complete
	}
}

// op4 takes an operation. It returns false if its size is not known.
func (p *parser) op4(c *call, r *xdr, op uint32, current *[]byte) bool {
	if size, ok := arguments4[op]; ok {
		r.Skip(size)
		return true
	}
	switch op {
	case putFH4:
		*current = r.text()
	case lookup4, remove4:
		c.name = r.text()
	case getattr4:
		r.bitmap()
	case readdir4:
		r.Skip(24)
		r.bitmap()
	case rename4:
		r.opaque()
		r.opaque()
	case setattr4:
		r.Skip(16)
		r.attributes()
	case setClientID4:
		r.Skip(8)
		r.opaque()
		r.Skip(4)
		r.opaque()
		r.opaque()
		r.Skip(4)
	case create4:
		const link = 5
		if r.BE32() == link {
			r.opaque()
		}
		c.handle, c.name = *current, r.text()
		r.attributes()
	case open4:
		return p.open4(c, r)
	case read4:
		r.Skip(16)
		c.offset = r.BE64()
		r.Skip(4)
		c.handle, c.name = *current, p.names[string(*current)]
	case write4:
		p.write4(c, r, *current)
	case commit4, close4:
		r.Skip(map[uint32]int{commit4: 12, close4: 20}[op])
		p.close(c, *current)
	default:
		return false
	}
	return true
}

// open4 reads OPEN. It returns false if its size is not known.
func (p *parser) open4(c *call, r *xdr) bool {
	r.Skip(20)
	r.opaque() // Owner
	if r.BE32() == 1 {
		switch r.BE32() {
		case 0, 1:
			r.attributes()
		case 2:
			r.Skip(8)
		case 3:
			r.Skip(8)
			r.attributes()
		}
	}
	const byName = 0
	if r.BE32() != byName {
		return false
	}
	c.name = r.text()
	return true
}

func (p *parser) write4(c *call, r *xdr, handle []byte) {
	r.Skip(16)
	offset, stable := r.BE64(), r.BE32()
	data := r.opaque()
	if r.Bad || handle == nil {
		return
	}
	const synced = 2
	of := &call{rpcCall: rpcCall{xid: c.xid, version: c.version}, handle: handle, name: p.names[string(handle)]}
	p.bytes(app.ToServer, of, write4, offset, uint32(len(data)), data, stable == synced)
}

// reply4 takes an answer of NFS 4.
func (p *parser) reply4(c *call, a *rpcReply, r *xdr) {
	if c.procedure != compound4 {
		return
	}
	if c.integrity {
		r = within(r)
	}
	r.Skip(4)
	r.opaque()
	count := r.BE32()
	if r.Bad {
		p.raise(malformed)
		return
	}
	opened := false
	for n := uint32(0); n < min(count, maxOps); n++ {
		op, status := r.BE32(), r.BE32()
		if r.Bad {
			return
		}
		if op == create4 || op == remove4 {
			p.answer(a, status, nil)
		}
		if status != 0 || !p.result4(c, r, op, &opened) {
			return // Nothing follows what failed.
		}
	}
}

// result4 takes the result of an operation. It returns false if its size is
// not known.
func (p *parser) result4(c *call, r *xdr, op uint32, opened *bool) bool {
	if size, ok := results4[op]; ok {
		if op == putRoot4 && len(c.name) == 0 {
			c.name = []byte("<mount_root>")
		}
		r.Skip(size)
		return true
	}
	switch op {
	case getFH4:
		if handle := r.opaque(); *opened && !r.Bad {
			p.name(handle, c.name)
		}
	case getattr4:
		r.attributes()
	case setattr4:
		r.bitmap()
	case readlink4:
		r.opaque()
	case create4:
		r.Skip(20)
		r.bitmap()
	case open4:
		*opened = true
		r.Skip(16 + 20 + 4)
		r.bitmap()
		const none = 0
		return r.BE32() == none // Delegation
	case read4:
		eof := r.BE32() == 1
		data := r.opaque()
		if r.Bad {
			return false
		}
		of := &call{rpcCall: rpcCall{xid: c.xid, version: c.version}, handle: bytes.Clone(c.handle), name: c.name}
		p.bytes(app.ToClient, of, read4, c.offset, uint32(len(data)), data, eof)
	default:
		return false
	}
	return true
}
