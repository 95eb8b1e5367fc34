package smb

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// The commands of SMB 1 (MS-CIFS 2.2.2.1) that are read.
const (
	smb1Close          = 0x04
	smb1Rename         = 0x07
	smb1Write          = 0x0b
	smb1LockingAndX    = 0x24
	smb1Trans          = 0x25
	smb1WriteAndClose  = 0x2c
	smb1OpenAndX       = 0x2d
	smb1ReadAndX       = 0x2e
	smb1WriteAndX      = 0x2f
	smb1Trans2         = 0x32
	smb1Trans2More     = 0x33
	smb1TreeDisconnect = 0x71
	smb1Negotiate      = 0x72
	smb1SessionSetup   = 0x73
	smb1LogoffAndX     = 0x74
	smb1TreeConnect    = 0x75
	smb1CreateAndX     = 0xa2
	smb1Cancel         = 0xa4
	smb1None           = 0xff
)

// chained says whether another command may follow one in its record.
func chained(command uint16) bool {
	switch command {
	case smb1LockingAndX, smb1OpenAndX, smb1ReadAndX, smb1WriteAndX, smb1SessionSetup, smb1LogoffAndX, smb1TreeConnect, smb1CreateAndX:
		return true
	}
	return false
}

// kept1 says whether a command makes a transaction by itself.
func kept1(command uint16) bool {
	switch command {
	case smb1ReadAndX, smb1WriteAndX, smb1Trans, smb1Trans2:
		return false
	}
	return true
}

// maxChain bounds the commands of one record, each of which may have strings
// up to the record's end.
const maxChain = 32

// commands1 takes the commands of a record of SMB 1.
func (p *parser) commands1(r *record) {
	at, command := header1, r.command
	for range maxChain {
		if r.response {
			p.answer1(r, command, at)
		} else {
			p.request1(r, command, at)
		}
		in := wire.Reader{B: r.body[at-header1:]}
		in.Skip(1)
		next := uint16(in.U8())
		in.Skip(1)
		offset := int(in.LE16())
		if in.Bad || !chained(command) || next == smb1None || offset <= at || offset-header1 >= len(r.body) {
			return
		}
		at, command = offset, next
	}
}

// request1 takes a command whose parameters are at an offset in the record.
func (p *parser) request1(r *record, command uint16, at int) {
	in := wire.Reader{B: r.body[at-header1:]}
	var taken bool
	ok := true
	switch command {
	case smb1Negotiate:
		taken, ok = p.negotiate1(&in)
	case smb1SessionSetup:
		p.sessionSetup1(r, &in)
		return
	case smb1TreeConnect:
		taken, ok = p.treeConnect1(r, &in)
	case smb1TreeDisconnect:
		p.trees.pop(r.key(roleShare))
	case smb1CreateAndX:
		taken, ok = p.create1(r, &in)
	case smb1ReadAndX:
		ok = p.read1(r, &in)
	case smb1WriteAndX:
		p.write1(r, at, 0)
		return
	case smb1Write, smb1WriteAndClose:
		p.writeOld(r, command)
		return
	case smb1Close:
		in.Skip(1)
		if id := r.id(in.Take(2)); in.Bad {
			ok = false
		} else {
			p.names.pop(id)
			p.said.put(r.key(roleFile), []byte(id))
			p.closeFile(app.ToServer, id)
		}
	case smb1Trans:
		p.trans1(r, &in)
		return
	case smb1Trans2:
		taken, ok = p.trans2(r, &in)
	case smb1Rename:
		taken, ok = p.rename1(r, &in)
	}
	if taken || !kept1(command) {
		return
	}
	t := p.generic(r, command)
	switch command {
	case smb1Cancel, smb1Trans2More, smb1LockingAndX: // Nobody answers them.
		t.done(app.ToClient)
	}
	if !ok {
		t.Raise(malformed)
	}
}

func (p *parser) negotiate1(in *wire.Reader) (taken, ok bool) {
	in.Skip(3)
	x := &negotiate{version: 1}
	bad := false
	for len(in.B) > 0 {
		d := in.Until(0)
		if in.Bad {
			break
		}
		bad = bad || len(d) < 2
		if len(d) > 0 {
			x.dialects = append(x.dialects, string(d[1:])) // Behind their format.
		}
	}
	if len(x.dialects) == 0 && !bad {
		return false, false
	}
	if t := p.negotiating(1); t != nil {
		t.Raise(duplicateNegotiate)
		return true, true
	}
	t := p.add(key{}, x)
	t.of(1, smb1Negotiate)
	if bad {
		t.Raise(malformedDialects)
	}
	return true, true
}

func (p *parser) sessionSetup1(r *record, in *wire.Reader) {
	in.Skip(15)
	size := int(in.LE16())
	in.Skip(10)
	blob := in.Take(size)
	if in.Bad {
		return
	}
	x := &sessionSetup{request: r.host(in)}
	t := p.add(key{role: roleHeader, session: r.session, message: r.message}, x)
	t.of(1, r.command)
	t.logon(blob)
}

// host reads what an end says of its system.
func (r *record) host(in *wire.Reader) *host {
	if r.unicode && len(in.B) > 1 {
		return &host{r.text(in, len(r.body)-len(in.B)), wide(in)}
	}
	return &host{narrow(in), narrow(in)}
}

func (p *parser) treeConnect1(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(7)
	password := int(in.LE16())
	in.Skip(2 + password)
	name := r.text(in, 11+password)
	service := narrow(in)
	if in.Bad {
		return false, false
	}
	if len(name) > 1 {
		name = name[1:]
	}
	p.add(r.key(roleTree), &treeConnect{name: name, request: some(service)}).of(1, smb1TreeConnect)
	return true, true
}

// some makes bytes that are there differ from those that are not.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (p *parser) create1(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(6)
	size := int(in.LE16())
	in.Skip(28)
	disposition, options := in.LE32(), in.LE32()
	in.Skip(5)
	count := int(in.LE16())
	var name []byte
	if count >= size {
		name = r.text(in, count-size)
	}
	if in.Bad {
		return false, false
	}
	p.newCreate(r, smb1CreateAndX, name, disposition, options)
	return true, true
}

func (p *parser) read1(r *record, in *wire.Reader) bool {
	words := in.U8()
	in.Skip(4)
	id := r.id(in.Take(2))
	offset := uint64(in.LE32())
	in.Skip(10)
	if words == 12 {
		offset |= uint64(in.LE32()) << 32
	}
	if in.Bad {
		return false
	}
	p.reads.put(r.key(roleRead), readAt{id, offset})
	return true
}

// write1 takes WRITE_ANDX; missing says how much of the record is not there.
func (p *parser) write1(r *record, at int, missing uint32) {
	in := wire.Reader{B: r.body[at-header1:]}
	words := in.U8()
	in.Skip(4)
	x := &io{dir: app.ToServer, id: r.id(in.Take(2)), offset: uint64(in.LE32()), missing: missing}
	in.Skip(8)
	x.size = uint32(in.LE16())<<16 | uint32(in.LE16())
	from := int(in.LE16())
	if words == 14 {
		x.offset |= uint64(in.LE32()) << 32
	}
	in.Skip(2)
	if start := from - header1; !in.Bad && from >= 0x3c && from >= at && start <= len(r.body) {
		rest := r.body[start:]
		x.data = rest[:min(len(rest), int(x.size))]
		p.written1(r, smb1WriteAndX, x)
		return
	}
	p.generic(r, smb1WriteAndX).Raise(malformed)
}

// writeOld takes WRITE and WRITE_AND_CLOSE.
func (p *parser) writeOld(r *record, command uint16) {
	in := wire.Reader{B: r.body}
	in.Skip(1)
	x := &io{dir: app.ToServer, id: r.id(in.Take(2))}
	size := in.LE16()
	x.offset = uint64(in.LE32())
	if command == smb1Write {
		in.Skip(2 + 2 + 1)
		size = in.LE16()
	} else {
		in.Skip(4)
		in.Skip(max(0, int(in.LE16())-int(size)))
	}
	x.size, x.data = uint32(size), in.Take(int(size))
	t := p.generic(r, command)
	if in.Bad {
		t.Raise(malformed)
		return
	}
	p.written1(r, command, x)
	if command == smb1WriteAndClose {
		p.names.pop(x.id)
		p.closeFile(app.ToServer, x.id)
	}
}

func (p *parser) written1(r *record, command uint16, x *io) {
	if p.tooLarge(x, 0) {
		return
	}
	if t, _ := p.trees.get(r.key(roleShare)); t.pipe && p.fileTx(x.dir, x.id, true) == nil {
		p.call(r, command, x.data)
		return
	}
	name, known := p.names.get(x.id)
	if !known {
		name = unknownName
	}
	p.take(r, smb1WriteAndX, name, x)
}

// trans1 takes TRANSACTION: what is written to a named pipe.
func (p *parser) trans1(r *record, in *wire.Reader) {
	words := in.U8()
	in.Skip(18)
	paramCount, paramOffset := int(in.LE16()), int(in.LE16())
	dataCount, dataOffset := int(in.LE16()), int(in.LE16())
	setup := in.U8()
	in.Skip(1)
	var fid []byte
	if words == 16 && setup == 2 && dataCount > 0 {
		in.Skip(2)
		fid = in.Take(2)
	}
	in.Skip(2)
	r.text(in, header1+len(r.body)-len(in.B))
	// Parameters and data begin where the offsets say, or at the next multiple
	// of four.
	at := header1 + len(r.body) - len(in.B)
	if at != paramOffset && at != dataOffset {
		in.Skip(at % 4)
		at += at % 4
	}
	in.Skip(paramCount)
	if at += paramCount; dataCount > 0 && at != dataOffset {
		in.Skip(at % 4)
	}
	data := in.Take(dataCount)
	if in.Bad {
		p.generic(r, r.command).Raise(malformed)
		return
	}
	if fid != nil {
		id := r.id(fid)
		p.said.put(r.key(roleFile), []byte(id))
		if isService(p.nameOf(id)) {
			p.call(r, r.command, data)
		}
	}
}

// trans2 takes TRANSACTION2 where it renames or deletes a file.
func (p *parser) trans2(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(19)
	paramCount, paramOffset := int(in.LE16()), int(in.LE16())
	dataCount, dataOffset := int(in.LE16()), int(in.LE16())
	in.Skip(2)
	command := in.LE16()
	in.Skip(5)
	param := wire.Reader{B: in.Take(paramCount)}
	in.Skip(max(0, dataOffset-paramOffset-paramCount))
	data := wire.Reader{B: in.Take(dataCount)}
	const byPath, byFile = 6, 8
	if in.Bad || command != byPath && command != byFile {
		return p.malformed2(r, in.Bad)
	}
	var id string
	var name []byte
	var level uint16
	if command == byPath {
		level = param.LE16()
		param.Skip(4)
		name = wide(&param)
	} else {
		fid := param.Take(2)
		level = param.LE16()
		name = unknownName
		if have, known := p.names.get(r.id(fid)); known {
			name = have
		}
		id = string(fid)
	}
	const disposition, renames = 1013, 1010
	var x any
	switch level {
	case disposition:
		x = &setInfo{command: command, level: level, deletes: data.U8()&1 == 1, name: name, id: id}
	case renames:
		data.Skip(8)
		x = &rename{from: name, to: plain(data.Take(int(data.LE32()))), id: id}
	}
	if param.Bad || data.Bad || x == nil {
		return p.malformed2(r, param.Bad || data.Bad)
	}
	p.add(r.key(roleCommand), x).of(1, smb1Trans2)
	return true, true
}

// malformed2 keeps a TRANSACTION2 only if it could not be read.
func (p *parser) malformed2(r *record, bad bool) (taken, ok bool) {
	if bad {
		p.raise(malformed)
	}
	return false, !bad
}

func (p *parser) rename1(r *record, in *wire.Reader) (taken, ok bool) {
	in.Skip(6)
	from := wide(in)
	in.Skip(2)
	to := wide(in)
	if in.Bad {
		return false, false
	}
	p.add(r.key(roleCommand), &rename{from: from, to: to}).of(1, smb1Rename)
	return true, true
}

// answer1 takes an answer, as request1 does a request.
func (p *parser) answer1(r *record, command uint16, at int) {
	in := wire.Reader{B: r.body[at-header1:]}
	taken, ok := false, true
	switch command {
	case smb1Negotiate:
		taken, ok = p.negotiated1(r, &in)
	case smb1SessionSetup:
		p.sessionAnswer(r, &in)
		return
	case smb1TreeConnect:
		taken, ok = p.treeAnswer1(r, &in)
	case smb1TreeDisconnect:
		p.trees.pop(r.key(roleShare))
	case smb1CreateAndX:
		if r.status == statusSuccess {
			taken, ok = p.created1(r, &in)
		}
	case smb1ReadAndX:
		p.readAnswer1(r, at, 0)
		return
	case smb1Close:
		if id, said := p.said.pop(r.key(roleFile)); said {
			p.closeFile(app.ToClient, string(id))
		}
	case smb1Trans:
		p.transAnswer1(r, &in)
	case smb1LogoffAndX:
		if txs := p.Txs(); len(txs) > 0 {
			if t := txs[len(txs)-1].(*tx); t.version == 1 && t.command == command {
				t.answer(r)
				t.done(app.ToClient)
			}
		}
		return
	}
	if taken {
		return
	}
	if t := p.waiting(r, command, r.key(roleCommand)); t != nil {
		t.answer(r)
		t.done(app.ToServer, app.ToClient)
		if !ok {
			t.Raise(malformed)
		}
	}
}

func (p *parser) negotiated1(r *record, in *wire.Reader) (taken, ok bool) {
	var chosen int
	var server []byte
	words := in.U8()
	if words != 0 {
		chosen = int(in.LE16())
		in.Skip(1 + 16 + 4 + 8 + 2 + 1)
		if in.LE16() >= 16 {
			server = bytes.Clone(in.Take(16))
		}
	}
	if in.Bad {
		return false, false
	}
	t := p.negotiating(1)
	if t == nil {
		return false, true
	}
	t.answer(r)
	t.done(app.ToClient)
	x := t.data.(*negotiate)
	x.server = server
	if chosen < len(x.dialects) {
		p.dialectName = x.dialects[chosen]
	} else {
		t.Raise(malformedDialects)
	}
	return true, true
}

// sessionAnswer takes the answer to a logon; in holds its parameters in SMB 1.
// The request may not have known its session yet.
func (p *parser) sessionAnswer(r *record, in *wire.Reader) {
	want := key{role: roleHeader, session: r.session, message: r.message}
	is := func(t *tx) bool { _, ok := t.data.(*sessionSetup); return ok && t.at.same(want) }
	t := p.find(is)
	if t == nil {
		want.session = 0
		if t = p.find(is); t == nil {
			return
		}
	}
	if in != nil {
		switch words := in.U8(); words {
		case 0:
			in.Skip(2)
		case 3:
			in.Skip(8)
		default:
			in.Skip(6)
			size := int(in.LE16())
			in.Skip(2 + size)
		}
		if in.Bad {
			t.Raise(malformed)
		} else {
			t.data.(*sessionSetup).response = r.host(in)
		}
	}
	t.at = r.key(roleHeader)
	t.answer(r)
	t.done(app.ToClient)
}

func (p *parser) treeAnswer1(r *record, in *wire.Reader) (taken, ok bool) {
	t := p.find(func(t *tx) bool { _, ok := t.data.(*treeConnect); return ok && t.at.same(r.key(roleTree)) })
	if r.status != statusSuccess {
		if t != nil {
			t.answer(r)
			t.done(app.ToClient)
		}
		return true, true
	}
	words := in.U8()
	in.Skip(4)
	if words >= 3 {
		in.Skip(2)
	}
	if words == 7 {
		in.Skip(8)
	}
	in.Skip(2)
	service := narrow(in)
	in.Until(0)
	if in.Bad || t == nil {
		return false, !in.Bad
	}
	x := t.data.(*treeConnect)
	x.pipe, x.response = string(service) == "IPC", some(service)
	p.connected(r, t)
	return true, true
}

func (p *parser) created1(r *record, in *wire.Reader) (taken, ok bool) {
	words := in.U8()
	in.Skip(5)
	fid := in.Take(2)
	in.Skip(4)
	times := [4]uint64{in.LE64(), in.LE64(), in.LE64(), in.LE64()}
	in.Skip(4)
	size := in.LE64()
	in.Skip(8 + 2 + 2 + 1)
	if words == 42 {
		in.Skip(32)
	}
	in.Skip(2)
	if in.Bad {
		return false, false
	}
	p.created(r, smb1CreateAndX, r.id(fid), func(c *create) {
		c.created, c.accessed, c.written, c.changed = times[0], times[1], times[2], times[3]
		c.size, c.id = size, string(fid)
	})
	return true, true
}

// readAnswer1 takes what was read; missing says how much of the record is not there.
func (p *parser) readAnswer1(r *record, at int, missing uint32) {
	if r.status != statusSuccess && r.status != statusOverflow {
		p.skip[app.ToClient] = int(missing)
		return
	}
	in := wire.Reader{B: r.body[at-header1:]}
	words := in.U8()
	in.Skip(10)
	low, from := in.LE16(), int(in.LE16())
	high := in.LE32()
	in.Skip(6)
	count := in.LE16()
	if count > low {
		in.Skip(int(count - low))
	} else {
		in.Skip(max(0, from-36-2*int(words)))
	}
	if in.Bad {
		p.raise(malformed)
		return
	}
	x := &io{dir: app.ToClient, size: high<<16 | uint32(low), missing: missing}
	x.data = in.B[:min(len(in.B), int(x.size))]
	if p.tooLarge(x, 0) {
		return
	}
	read, ok := p.reads.pop(r.key(roleRead))
	if !ok {
		p.skip[app.ToClient] = int(missing)
		return
	}
	x.id, x.offset = read.id, read.offset
	if t, _ := p.trees.get(r.key(roleShare)); t.pipe {
		p.answerCall(r, smb1ReadAndX, x.id, x.data)
		return
	}
	name, _ := p.names.get(x.id)
	p.take(r, smb1ReadAndX, name, x)
}

func (p *parser) transAnswer1(r *record, in *wire.Reader) {
	var data []byte
	if words := int(in.U8()); words != 0 {
		in.Skip(12)
		size, from := int(in.LE16()), int(in.LE16())
		in.Skip(7)
		in.Skip(max(0, from-36-2*words))
		data = in.Take(size)
	}
	if in.Bad {
		p.generic(r, r.command).Raise(malformed)
		return
	}
	id, _ := p.said.pop(r.key(roleFile))
	switch {
	case r.status == statusOverflow:
		p.rests.put(restKey{r.key(roleRest), string(id)}, bytes.Clone(data))
	case isService(p.nameOf(string(id))):
		p.answerCall(r, r.command, string(id), data)
	}
}
