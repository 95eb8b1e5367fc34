package smb

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// The commands of SMB 2 (MS-SMB2 2.2.1.2) that are read.
const (
	smb2Negotiate      = 0
	smb2SessionSetup   = 1
	smb2TreeConnect    = 3
	smb2TreeDisconnect = 4
	smb2Create         = 5
	smb2Close          = 6
	smb2Read           = 8
	smb2Write          = 9
	smb2Ioctl          = 11
	smb2GetInfo        = 16
	smb2SetInfo        = 17
)

// kept2 says whether a command makes a transaction by itself.
func kept2(command uint16) bool {
	switch command {
	case smb2Read, smb2Write, smb2GetInfo, smb2SetInfo:
		return false
	}
	return true
}

// command2 takes a record of SMB 2.
func (p *parser) command2(r *record) {
	var taken, ok bool
	if r.response {
		taken, ok = p.answer2(r)
	} else {
		taken, ok = p.request2(r)
	}
	var t *tx
	switch {
	case taken:
		return
	case r.response:
		if t = p.waiting(r, r.command, r.key(roleCommand)); t == nil {
			return
		}
		if r.status != statusPending {
			t.done(app.ToClient)
		}
		t.answer(r)
	case kept2(r.command):
		t = p.generic(r, r.command)
	default:
		return
	}
	if !ok {
		t.Raise(malformed)
	}
}

// request2 takes a request: whether it has its transaction, and whether it
// could be read.
func (p *parser) request2(r *record) (taken, ok bool) {
	in := wire.Reader{B: r.body}
	switch r.command {
	case smb2Negotiate:
		return p.negotiate2(&in)
	case smb2SessionSetup:
		p.sessionSetup2(r, &in)
		return true, true
	case smb2TreeConnect:
		in.Skip(6)
		name := plain(in.B)
		if len(name) > 1 {
			name = name[1:]
		}
		if in.Bad {
			return false, false
		}
		p.add(r.key(roleTree), &treeConnect{name: name}).of(2, r.command)
		return true, true
	case smb2TreeDisconnect:
		p.trees.pop(r.key(roleShare))
	case smb2Create:
		return p.create2(r, &in)
	case smb2Close:
		in.Skip(8)
		id := string(in.Take(16))
		if in.Bad {
			return false, false
		}
		p.names.pop(id)
		for _, dir := range []app.Dir{app.ToServer, app.ToClient} {
			if t := p.closeFile(dir, id); t != nil {
				t.answered, t.status, t.dos = true, statusSuccess, false
			}
		}
	case smb2Read:
		return false, p.read2(r, &in)
	case smb2Write:
		p.write2(r, 0)
		return true, true
	case smb2Ioctl:
		p.ioctl2(r, &in)
		return true, true
	case smb2SetInfo:
		return p.setInfo2(r, &in)
	}
	return false, true
}

func (p *parser) negotiate2(in *wire.Reader) (taken, ok bool) {
	in.Skip(2)
	n := int(in.LE16())
	in.Skip(8)
	client := bytes.Clone(in.Take(16))
	in.Skip(8)
	x := &negotiate{version: 2, client: client}
	for range n {
		x.dialects = append(x.dialects, dialectName(in.LE16()))
		if in.Bad {
			return false, false
		}
	}
	if p.negotiating(2) == nil {
		p.add(key{}, x).of(2, smb2Negotiate)
	}
	return true, !in.Bad
}

// negotiating is the transaction that negotiates a version.
func (p *parser) negotiating(version uint8) *tx {
	return p.find(func(t *tx) bool { n, ok := t.data.(*negotiate); return ok && n.version == version })
}

func (p *parser) sessionSetup2(r *record, in *wire.Reader) {
	in.Skip(24)
	if in.Bad {
		return
	}
	t := p.add(r.key(roleHeader), &sessionSetup{})
	t.of(2, r.command)
	t.logon(in.B)
}

func (p *parser) create2(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(36)
	disposition, options := in.LE32(), in.LE32()
	in.Skip(2)
	size := int(in.LE16())
	in.Skip(8)
	name := plain(in.Take(size))
	if in.Bad {
		return false, false
	}
	p.newCreate(r, smb2Create, name, disposition, options)
	return true, true
}

// newCreate begins the transaction of a file that is opened.
func (p *parser) newCreate(r *record, command uint16, name []byte, disposition, options uint32) {
	p.said.put(r.key(roleName), name)
	const directory, deletes = 1, 0x1000
	p.add(r.key(roleCommand), &create{
		name: name, disposition: disposition, deletes: options&deletes != 0, directory: options&directory != 0,
	}).of(r.version, command)
}

// created takes the answer to newCreate.
func (p *parser) created(r *record, command uint16, id string, fill func(*create)) {
	if name, ok := p.said.pop(r.key(roleName)); ok {
		p.names.put(id, name)
	}
	t := p.waiting(r, command, r.key(roleCommand))
	if t == nil {
		return
	}
	t.answer(r)
	t.done(app.ToClient)
	if c, ok := t.data.(*create); ok {
		fill(c)
	}
}

func (p *parser) read2(r *record, in *wire.Reader) bool {
	in.Skip(4)
	size, offset := in.LE32(), in.LE64()
	id := string(in.Take(16))
	in.Skip(16)
	if in.Bad {
		return false
	}
	if p.maxRead != 0 && size > p.maxRead || size > maxIO {
		p.raise(readRequestTooLarge)
		return true
	}
	p.reads.put(r.key(roleRead), readAt{id, offset})
	return true
}

// readAnswer2 takes what was read; missing says how much of the record is not there.
func (p *parser) readAnswer2(r *record, missing uint32) {
	in := wire.Reader{B: r.body}
	in.Skip(4)
	size := in.LE32()
	in.Skip(8)
	if in.Bad {
		p.raise(malformed)
		return
	}
	x := &io{dir: app.ToClient, size: size, data: in.B[:min(len(in.B), int(size))], missing: missing}
	if r.status != statusSuccess && r.status != statusOverflow {
		p.skip[app.ToClient] = int(missing)
		return
	}
	if p.tooLarge(x, p.maxRead) {
		return
	}
	at, ok := p.reads.pop(r.key(roleRead))
	if !ok {
		p.skip[app.ToClient] = int(missing)
		return
	}
	x.id, x.offset = at.id, at.offset
	name, known := p.names.get(at.id)
	if !known {
		name = unknownName
	}
	p.bytes2(r, smb2Read, name, x)
}

// unknownName stands for that of a file whose opening was not seen.
var unknownName = []byte("<unknown>")

// write2 takes what is written; missing says how much of the record is not there.
func (p *parser) write2(r *record, missing uint32) {
	in := wire.Reader{B: r.body}
	in.Skip(4)
	x := &io{dir: app.ToServer, missing: missing}
	x.size, x.offset = in.LE32(), in.LE64()
	x.id = string(in.Take(16))
	in.Skip(16)
	if in.Bad {
		p.raise(malformed)
		return
	}
	x.data = in.B[:min(len(in.B), int(x.size))]
	if p.tooLarge(x, p.maxWrite) {
		return
	}
	name, _ := p.names.get(x.id)
	p.bytes2(r, smb2Write, name, x)
}

// bytes2 gives bytes to a pipe or to a file.
func (p *parser) bytes2(r *record, command uint16, name []byte, x *io) {
	if p.fileTx(x.dir, x.id, true) == nil && p.piped(r, x) {
		switch {
		case !isService(p.nameOf(x.id)):
			p.skip[x.dir] = int(x.missing)
		case x.dir == app.ToServer:
			p.call(r, command, x.data)
		default:
			p.answerCall(r, command, x.id, x.data)
		}
		return
	}
	p.take(r, command, name, x)
}

func (p *parser) ioctl2(r *record, in *wire.Reader) {
	in.Skip(4)
	function := in.LE32()
	id := string(in.Take(16))
	in.Skip(4)
	size := in.LE32()
	in.Skip(24)
	data := in.Take(int(size))
	switch {
	case in.Bad:
		p.generic(r, r.command).Raise(malformed)
	case function == pipeTransceive && isService(p.nameOf(id)):
		p.call(r, r.command, data)
	default:
		x := ioctl(function)
		p.add(r.key(roleHeader), &x).of(2, r.command)
	}
}

func (p *parser) ioctlAnswer2(r *record) {
	in := wire.Reader{B: r.body}
	in.Skip(4)
	function := in.LE32()
	id := string(in.Take(16))
	in.Skip(4)
	size := in.LE32()
	in.Skip(4)
	outSize := in.LE32()
	in.Skip(8)
	in.Skip(int(size))
	data := in.Take(int(outSize))
	if !in.Bad && function == pipeTransceive && isService(p.nameOf(id)) {
		p.answerCall(r, r.command, "", data)
		return
	}
	t := p.waiting(r, r.command, r.key(roleHeader))
	if t == nil {
		if t = p.waiting(r, r.command, r.key(roleCommand)); t == nil {
			return
		}
	}
	t.answer(r)
	if r.status != statusPending {
		t.done(app.ToClient)
	}
	if in.Bad && r.status == statusSuccess {
		t.Raise(malformed)
	}
}

// setInfo2 takes what changes a file: its name, or that it be deleted.
func (p *parser) setInfo2(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(2)
	class, level := in.U8(), in.U8()
	size := in.LE32()
	in.Skip(8)
	id := string(in.Take(16))
	data := wire.Reader{B: in.Take(int(size))}
	if in.Bad {
		return false, false
	}
	const fileInfo, renameInfo, dispositionInfo = 1, 10, 13
	var x any
	switch {
	case class == fileInfo && level == renameInfo:
		data.Skip(16)
		to := plain(data.Take(int(data.LE32())))
		from, known := p.names.get(id)
		if !known {
			from = unknownName
		}
		x = &rename{from: from, to: to, id: id}
	case class == fileInfo && level == dispositionInfo:
		name, known := p.names.get(id)
		if k := r.key(roleName); !known && k.message > 0 {
			k.message-- // The opening came just before, with this one.
			name, known = p.said.get(k)
		}
		if !known {
			name = unknownName
		}
		x = &setInfo{command: uint16(class), level: uint16(level), deletes: data.U8()&1 != 0, name: name, id: id}
	default:
		return false, true
	}
	if data.Bad {
		return false, false
	}
	p.add(r.key(roleCommand), x).of(2, r.command)
	return true, true
}

// answer2 takes an answer, as request2 does a request.
func (p *parser) answer2(r *record) (taken, ok bool) {
	in := wire.Reader{B: r.body}
	switch r.command {
	case smb2Negotiate:
		return p.negotiated2(r, &in)
	case smb2SessionSetup:
		p.sessionAnswer(r, nil)
		return true, true
	case smb2TreeConnect:
		return p.treeAnswer2(r, &in)
	case smb2TreeDisconnect:
		p.trees.pop(r.key(roleShare))
	case smb2Create:
		if r.status != statusSuccess {
			return false, true
		}
		in.Skip(8)
		times := [4]uint64{in.LE64(), in.LE64(), in.LE64(), in.LE64()}
		in.Skip(8)
		size := in.LE64()
		in.Skip(8)
		id := string(in.Take(16))
		if in.Bad {
			return false, false
		}
		p.created(r, r.command, id, func(c *create) {
			c.created, c.accessed, c.written, c.changed = times[0], times[1], times[2], times[3]
			c.size, c.id = size, id
		})
		return true, true
	case smb2Read:
		switch r.status {
		case statusSuccess, statusOverflow:
			p.readAnswer2(r, 0)
		case statusEnd:
			p.readEnd(r)
		}
	case smb2Ioctl:
		p.ioctlAnswer2(r)
		return true, true
	}
	return false, true
}

// readEnd takes the answer that says that a file was read to its end.
func (p *parser) readEnd(r *record) {
	at, _ := p.reads.pop(r.key(roleRead))
	t := p.fileTx(app.ToClient, at.id, false)
	if t == nil {
		return
	}
	if t.Progress[app.ToServer] != complete {
		t.data.(*fileTransfer).Close(file.Closed)
	}
	t.answer(r)
	t.done(app.ToServer)
}

func (p *parser) negotiated2(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(4)
	var server []byte
	if r.status == statusSuccess {
		p.dialect = in.LE16()
		in.Skip(2)
		server = bytes.Clone(in.Take(16))
		in.Skip(8)
		p.maxRead, p.maxWrite = in.LE32(), in.LE32()
		if p.maxRead > maxIO {
			p.raise(maxReadTooLarge)
		}
		if p.maxWrite > maxIO {
			p.raise(maxWriteTooLarge)
		}
	}
	if in.Bad {
		return false, false
	}
	t := p.negotiating(2)
	if t == nil {
		t = p.negotiating(1) // A client that offered SMB 2 in the words of SMB 1.
	}
	if t == nil {
		return false, true
	}
	t.data.(*negotiate).server = server
	t.answer(r)
	t.done(app.ToClient)
	return true, true
}

func (p *parser) treeAnswer2(r *record, in *wire.Reader) (taken, ok bool) {
	t := p.find(func(t *tx) bool { _, ok := t.data.(*treeConnect); return ok && t.at.same(r.key(roleTree)) })
	in.Skip(2)
	kind := in.U8()
	in.Skip(12)
	if r.status != statusSuccess {
		if t != nil {
			t.answer(r)
			t.done(app.ToClient)
		}
		return t != nil, true
	}
	if in.Bad {
		return false, false
	}
	if t != nil {
		const pipe = 2
		x := t.data.(*treeConnect)
		x.kind, x.pipe = kind, kind == pipe
		p.connected(r, t)
	}
	return true, true
}

// connected remembers a tree by its number.
func (p *parser) connected(r *record, t *tx) {
	x := t.data.(*treeConnect)
	t.at = r.key(roleHeader)
	t.answer(r)
	t.done(app.ToClient)
	p.trees.put(r.key(roleShare), tree{x.name, x.pipe})
}
