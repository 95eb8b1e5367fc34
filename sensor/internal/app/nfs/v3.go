package nfs

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Procedures of NFS 3 (RFC 1813, 3); those of NFS 2 that are read have the
// numbers of lookup2 and read2.
const (
	getattr3     = 1
	lookup3      = 3
	access3      = 4
	read3        = 6
	write3       = 7
	create3      = 8
	mkdir3       = 9
	remove3      = 12
	rmdir3       = 13
	rename3      = 14
	readdirplus3 = 17
	commit3      = 21

	lookup2 = 4
	read2   = 6
)

// request3 takes a call of NFS 2 or 3.
func (p *parser) request3(c *call, r *xdr) {
	switch {
	case c.version == 2:
		p.read2(c, r)
	case c.procedure == write3:
		p.write(c, r, 0)
		return
	default:
		p.read3(c, r)
	}
	if r.Bad {
		p.raise(malformed)
	}
	switch c.procedure {
	case read3, write3, commit3:
		return // Of files.
	}
	t := p.add(c)
	t.Progress[app.ToServer] = complete
}

func (p *parser) read2(c *call, r *xdr) {
	if c.procedure != lookup2 && c.procedure != read2 {
		return
	}
	const handle = 32
	c.handle = bytes.Clone(r.Take(handle))
	if c.procedure == read2 {
		c.offset = uint64(r.BE32())
		c.name = p.names[string(c.handle)]
		return
	}
	c.name = r.text()
}

func (p *parser) read3(c *call, r *xdr) {
	switch c.procedure {
	case getattr3, access3, readdirplus3, read3, commit3:
		c.handle = r.text()
		c.name = p.names[string(c.handle)]
		if c.procedure == read3 {
			c.offset = r.BE64()
		}
		if c.procedure == commit3 {
			if t := p.open(app.ToServer, c.handle); t != nil {
				t.file.committed = true
			}
			p.close(c, c.handle)
		}
	case lookup3:
		r.opaque()
		c.name = r.text()
	case create3, mkdir3, remove3, rmdir3, rename3:
		c.handle, c.name = r.text(), r.text()
		if c.procedure == rename3 {
			r.opaque()
			c.to = r.text()
		}
	}
}

// write takes WRITE of NFS 3; missing says how much of the record is not
// there. It returns false if it could not be read.
func (p *parser) write(c *call, r *xdr, missing int) bool {
	c.handle = r.text()
	offset, count, stable, size := r.BE64(), r.BE32(), r.BE32(), r.BE32()
	const synced = 2
	if r.Bad || stable > synced || size > count || missing == 0 && int(size) > len(r.B) || int(size) > len(r.B)+missing {
		if missing == 0 {
			p.raise(malformed)
		}
		return false
	}
	of := &call{rpcCall: rpcCall{xid: c.xid, version: c.version}, handle: c.handle, name: p.names[string(c.handle)]}
	p.bytes(app.ToServer, of, write3, offset, size, r.B[:min(len(r.B), int(size))], stable == synced)
	p.pad(app.ToServer, len(r.B)+missing-int(size))
	return true
}

// pad says that bytes of the record under way follow those of the file.
func (p *parser) pad(dir app.Dir, n int) {
	if p.left[dir] > 0 {
		p.left[dir] += n
	}
}

// readReply takes the answer to READ of NFS 3, as write does its call.
func (p *parser) readReply(c *call, a *rpcReply, r *xdr, missing int) bool {
	status := r.BE32()
	if status != 0 {
		p.answer(a, status, nil)
		return missing == 0
	}
	if r.BE32() == 1 {
		const attributes = 84
		r.Skip(attributes)
	}
	count, eof, size := r.BE32(), r.BE32(), r.BE32()
	if r.Bad || size > count || missing == 0 && int(size) > len(r.B) || int(size) > len(r.B)+missing {
		if missing == 0 {
			p.raise(malformed)
		}
		return false
	}
	if missing > 0 {
		delete(p.calls, a.xid)
	}
	p.bytes(app.ToClient, c, read3, c.offset, size, r.B[:min(len(r.B), int(size))], eof == 1)
	p.pad(app.ToClient, len(r.B)+missing-int(size))
	return true
}

// reply3 takes an answer of NFS 2 or 3.
func (p *parser) reply3(c *call, a *rpcReply, r *xdr) {
	switch {
	case c.version == 2 && c.procedure == read2:
		p.readReply2(c, r)
		return
	case c.version == 3 && c.procedure == read3:
		p.readReply(c, a, r, 0)
		return
	}
	status := xdr{wire.Reader{B: r.B}}
	code := status.BE32()
	var handle []byte
	if c.version == 3 && code == 0 && len(r.B) >= 4 {
		handle = p.handles(c, r)
	}
	p.answer(a, code, handle)
}

// handles learns which handles names have; it returns that of the answer.
func (p *parser) handles(c *call, r *xdr) (handle []byte) {
	r.Skip(4)
	switch c.procedure {
	case lookup3:
		handle = r.text()
	case create3:
		if r.BE32() == 1 {
			handle = r.text()
		}
	case readdirplus3:
		p.entries(r)
	}
	if r.Bad {
		p.raise(malformed)
		return nil
	}
	if handle != nil {
		p.name(handle, c.name)
	}
	return handle
}

// entries learns the handles of a directory's entries.
func (p *parser) entries(r *xdr) {
	const attributes = 84
	if r.BE32() == 1 {
		r.Skip(attributes)
	}
	r.Skip(8)
	for r.BE32() == 1 {
		r.Skip(8)
		name := r.text()
		r.Skip(8)
		if r.BE32() == 1 {
			r.Skip(attributes)
		}
		if r.BE32() == 1 {
			if handle := r.opaque(); !r.Bad {
				p.name(handle, name)
			}
		}
	}
}

// readReply2 takes the answer to READ of NFS 2.
func (p *parser) readReply2(c *call, r *xdr) {
	if r.BE32() != 0 {
		return
	}
	const attributes, size = 68, 20 // Where the size is within.
	attr := xdr{wire.Reader{B: r.Take(attributes)}}
	attr.Skip(size)
	all := uint64(attr.BE32())
	data := r.opaque()
	if data == nil {
		p.raise(malformed)
		return
	}
	p.bytes(app.ToClient, c, read2, c.offset, uint32(len(data)), data, c.offset+uint64(len(data)) == all)
}
