package smb

import (
	"bytes"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/dcerpc"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
)

// maxTxs bounds the transactions of a connection, unless smb.max-tx does.
const maxTxs = 1024

// early is how much of a record that reads or writes is waited for before it
// is taken; the rest of it goes straight to the file.
const early = 512

type parser struct {
	app.Queue
	ctx    *app.Context
	maxTxs int

	begun [2]bool
	lost  [2]bool   // Where the next record begins is not known.
	skip  [2]int    // Bytes of the record under way that nobody wants,
	left  [2]int    // or that belong to a file,
	to    [2]string // this one.
	files uint32

	dialect     uint16 // SMB 2; 0: not known
	dialectName string // SMB 1
	maxRead     uint32 // 0: not known
	maxWrite    uint32

	names      cache[string, []byte] // Of files and pipes, by their id.
	said       cache[key, []byte]    // What a request said that its answer needs.
	reads      cache[key, readAt]
	trees      cache[key, tree]
	rests      cache[restKey, []byte]
	interfaces []dcerpc.Interface
}

type readAt struct {
	id     string
	offset uint64
}

type tree struct {
	name []byte
	pipe bool
}

func newParser(c *app.Context) *parser {
	p := &parser{ctx: c, maxTxs: maxTxs}
	if n, err := strconv.Atoi(c.Config.Text("smb.max-tx", "")); err == nil && n > 0 {
		p.maxTxs = n
	}
	return p
}

// The types of messages of NetBIOS sessions (RFC 1002, 4.3.1).
const (
	sessionMessage = 0x00
	sessionRequest = 0x81
	keepAlive      = 0x85
)

// isSMB says whether a record is one of SMB.
func isSMB(b []byte) bool {
	return len(b) >= 4 && b[0] >= 0xfd && string(b[1:4]) == "SMB"
}

// probe looks at the first message; one that opens a NetBIOS session may come before.
func probe(dir app.Dir, data []byte) app.Verdict {
	if len(data) == 0 {
		return app.Unsure
	}
	kind := data[0]
	if kind != sessionMessage && (kind < sessionRequest || kind > keepAlive) {
		return app.No
	}
	if len(data) < 8 {
		return app.Unsure
	}
	if kind == sessionMessage {
		return way(dir, data[4:])
	}
	size := int(data[1])<<16 | int(data[2])<<8 | int(data[3])
	switch {
	case size >= 256:
		return app.No
	case len(data) < 4+size+8:
		return app.Unsure
	}
	return way(dir, data[4+size+4:])
}

// way says whether a record is one of SMB, and whether it goes where one of
// its kind does.
func way(dir app.Dir, b []byte) app.Verdict {
	if !isSMB(b) {
		return app.No
	}
	response := dir == app.ToClient
	switch {
	case b[0] == 0xff && len(b) > 9:
		response = b[9]&0x80 != 0
	case b[0] == 0xfe && len(b) > 16:
		response = b[16]&1 != 0
	}
	if response != (dir == app.ToClient) {
		return app.Reversed
	}
	return app.Yes
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	dir, data := in.Dir, in.Data
	if !p.begun[dir] && len(data) >= 8 {
		p.begun[dir] = true
		p.lost[dir] = data[0] == sessionMessage && !isSMB(data[4:])
	}
	consumed = p.pass(dir, data)
	if p.lost[dir] {
		at, found := search(data[consumed:])
		if !found {
			return max(consumed, len(data)-7), 8
		}
		p.lost[dir], consumed = false, consumed+at
	}
	for consumed < len(data) {
		rest := data[consumed:]
		if len(rest) < 4 {
			return consumed, 4 - len(rest)
		}
		size := int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		at := in.Offset + uint64(consumed)
		if len(rest) < 4+size {
			if len(rest) < early || rest[0] != sessionMessage || !p.begin(dir, at, rest[4:], size) {
				return consumed, 4 + size - len(rest)
			}
			return len(data), 0
		}
		p.frames(dir, at, size)
		if rest[0] == sessionMessage && !p.message(dir, at+4, rest[4:4+size]) {
			p.raise(malformed)
			p.ctx.Hooks.Stop(false)
			return len(data), 0
		}
		consumed += 4 + size
	}
	return consumed, 0
}

// pass hands on the bytes of a record that was begun before.
func (p *parser) pass(dir app.Dir, data []byte) (n int) {
	n = min(p.skip[dir], len(data))
	p.skip[dir] -= n
	if m := min(p.left[dir], len(data)-n); m > 0 {
		if t := p.transfer(dir, p.to[dir], false); t != nil {
			t.Add(data[n : n+m])
		}
		p.left[dir] -= m
		n += m
	}
	return n
}

// search finds the beginning of a record: four bytes before SMB's mark.
func search(b []byte) (at int, found bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("SMB"))
		if i < 0 {
			return 0, false
		}
		if i += from; i >= 5 && b[i-1] >= 0xfd && b[i-5] == sessionMessage {
			return i - 5, true
		}
		from = i + 3
	}
}

func (p *parser) frames(dir app.Dir, at uint64, size int) {
	p.ctx.Hooks.Frame(app.Frame{Kind: frameNBSS, Dir: dir, Offset: at, Size: int64(size) + 4})
	p.ctx.Hooks.Frame(app.Frame{Kind: frameNBSSHeader, Dir: dir, Offset: at, Size: 4})
	p.ctx.Hooks.Frame(app.Frame{Kind: frameNBSSData, Dir: dir, Offset: at + 4, Size: int64(size)})
}

// smbFrames tells the frames of a record of SMB, of which pdu is the first kind.
func (p *parser) smbFrames(dir app.Dir, pdu app.FrameID, at uint64, size, header int) {
	p.ctx.Hooks.Frame(app.Frame{Kind: pdu, Dir: dir, Offset: at, Size: int64(size)})
	p.ctx.Hooks.Frame(app.Frame{Kind: pdu + 1, Dir: dir, Offset: at, Size: int64(header)})
	if size > header {
		p.ctx.Hooks.Frame(app.Frame{Kind: pdu + 2, Dir: dir, Offset: at + uint64(header), Size: int64(size - header)})
	}
}

// begin takes the beginning of a long record that reads or writes. It returns
// false if the whole of it is needed.
func (p *parser) begin(dir app.Dir, at uint64, b []byte, size int) bool {
	if !isSMB(b) {
		return false
	}
	missing := uint32(size - len(b))
	switch b[0] {
	case 0xff:
		r, ok := read1(b)
		if t, _ := p.trees.get(r.key(roleShare)); !ok || t.pipe || r.response != (dir == app.ToClient) {
			return false
		}
		switch {
		case dir == app.ToServer && r.command == smb1WriteAndX:
			p.write1(r, header1, missing)
		case dir == app.ToClient && r.command == smb1ReadAndX:
			p.readAnswer1(r, header1, missing)
		default:
			return false
		}
		p.frames(dir, at, size)
		p.smbFrames(dir, frameSMB1, at+4, size, header1)
	case 0xfe:
		r, rest, ok := read2(b)
		if t, _ := p.trees.get(r.key(roleShare)); !ok || t.pipe || len(rest) > 0 || r.response != (dir == app.ToClient) {
			return false
		}
		switch {
		case dir == app.ToServer && r.command == smb2Write:
			p.write2(r, missing)
		case dir == app.ToClient && r.command == smb2Read:
			p.readAnswer2(r, missing)
		default:
			return false
		}
		p.frames(dir, at, size)
		p.smbFrames(dir, frameSMB2, at+4, size, r.header)
	default:
		return false
	}
	return true
}

// message takes what a message of a session holds. It returns false if that
// makes no sense.
func (p *parser) message(dir app.Dir, at uint64, b []byte) bool {
	if len(b) < 4 {
		return len(b) == 0
	}
	if !isSMB(b) {
		return false
	}
	switch b[0] {
	case 0xff:
		r, ok := read1(b)
		if !ok {
			return false
		}
		p.smbFrames(dir, frameSMB1, at, len(b), header1)
		if p.rightWay(dir, r) {
			p.commands1(r)
		}
	case 0xfe:
		for len(b) > 0 {
			r, rest, ok := read2(b)
			if !ok {
				return false
			}
			size := len(b) - len(rest)
			p.smbFrames(dir, frameSMB2, at, size, r.header)
			if p.rightWay(dir, r) {
				p.command2(r)
			}
			at, b = at+uint64(size), rest
		}
	case 0xfd:
		const header3 = 52
		p.smbFrames(dir, frameSMB3, at, len(b), header3)
	}
	return true
}

// rightWay says whether a record goes where one of its kind does.
func (p *parser) rightWay(dir app.Dir, r *record) bool {
	if r.response == (dir == app.ToClient) {
		return true
	}
	if r.response {
		p.ctx.Hooks.FlowEvent(responseToServer)
	} else {
		p.ctx.Hooks.FlowEvent(requestToClient)
	}
	return false
}

// add begins a transaction whose request is there. Once too many wait, nobody
// answers: parsing ends, and the transaction is not kept.
func (p *parser) add(at key, data any) *tx {
	t := &tx{parser: p, at: at, data: data}
	t.done(app.ToServer)
	if len(p.Txs()) >= p.maxTxs {
		p.raise(tooManyTxs)
		p.ctx.Hooks.Stop(false)
		return t
	}
	p.Push(p.ctx.Hooks, t, p.maxTxs)
	return t
}

// find is the first transaction of which yes is true, nil if there is none.
func (p *parser) find(yes func(*tx) bool) *tx {
	for _, x := range p.Txs() {
		if t := x.(*tx); yes(t) {
			return t
		}
	}
	return nil
}

// waiting is the transaction of a command at a key.
func (p *parser) waiting(r *record, command uint16, k key) *tx {
	return p.find(func(t *tx) bool { return t.version == r.version && t.command == command && t.at.same(k) })
}

// generic begins a transaction of a command of which nothing is kept.
func (p *parser) generic(r *record, command uint16) *tx {
	t := p.add(r.key(roleCommand), nil)
	t.of(r.version, command)
	return t
}

// raise raises an event at the newest transaction.
func (p *parser) raise(e app.EventID) {
	if txs := p.Txs(); len(txs) > 0 {
		txs[len(txs)-1].Common().Raise(e)
	}
}

// Gap implements app.Parser. Lost bytes of a file are its gap; otherwise the
// commands before may be over.
func (p *parser) Gap(dir app.Dir, size uint64) bool {
	n := int(min(uint64(p.skip[dir]), size))
	p.skip[dir] -= n
	size -= uint64(n)
	if n := int(min(uint64(p.left[dir]), size)); n > 0 {
		if t := p.transfer(dir, p.to[dir], false); t != nil {
			t.Gap(uint64(n))
		}
		p.left[dir] -= n
		size -= uint64(n)
	}
	if size == 0 {
		return true
	}
	p.lost[dir] = true
	for _, x := range p.Txs() {
		t := x.(*tx)
		if _, ok := t.data.(*fileTransfer); ok {
			continue
		}
		t.done(app.ToServer)
		if dir == app.ToClient {
			t.done(app.ToClient)
		}
	}
	return true
}

// End implements app.Parser: files that are open stay without their end.
func (p *parser) End() {
	for _, x := range p.Txs() {
		if f, ok := x.(*tx).data.(*fileTransfer); ok {
			f.Close(file.Truncated)
		}
	}
}
