// Package nfs reads NFS 2, 3 and 4 (RFC 1094, 1813, 7530) over TCP and UDP. A
// transaction is a call with its answer, or a file from its first bytes to its
// last.
//
// rpc.go reads the heads of RPC, v3.go NFS 2 and 3, v4.go NFS 4; file.go
// follows files, log.go writes EVE's members rpc and nfs.
package nfs

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	noSuchVersion
	unsupportedVersion
	tooManyTxs
)

const complete = 1

// The kinds of frames.
const (
	frameRPC app.FrameID = iota
	frameRPCHeader
	frameRPCData
	frameCreds
	frameNFS
	frameStatus
	frameNFS4
	frameNFS4Header
	frameNFS4Ops
	frameNFS4Status
)

// Protocol is NFS.
var Protocol = &app.Protocol{
	Name: "nfs", Transport: app.TCP | app.UDP, Ports: []uint16{2049},
	Probe: probe,
	Deep:  true,
	New: func(c *app.Context) app.Parser {
		return &parser{ctx: c, calls: map[uint32]*call{}, names: map[string][]byte{}}
	},
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: append(app.Extractors(app.ToServer, 0, suricata.BufFileData, suricata.BufFileName),
		app.Extractors(app.ToClient, 0, suricata.BufFileData, suricata.BufFileName)...),
	Events: []string{
		malformed: "malformed_data", noSuchVersion: "non_existing_version", unsupportedVersion: "unsupported_version", tooManyTxs: "too_many_transactions",
	},
	Frames: []string{
		frameRPC: "rpc.pdu", frameRPCHeader: "rpc.hdr", frameRPCData: "rpc.data", frameCreds: "rpc.creds", frameNFS: "nfs.pdu", frameStatus: "nfs.status",
		frameNFS4: "nfs4.pdu", frameNFS4Header: "nfs4.hdr", frameNFS4Ops: "nfs4.ops", frameNFS4Status: "nfs4.status",
	},
	Logs: []app.Log{{Type: "nfs", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog, Wanted: wanted}},
}

// program is the number of NFS among RPC's programs.
const program = 100003

// probe looks at the head of the first message, with or without the length of TCP.
func probe(dir app.Dir, data []byte) app.Verdict {
	if len(data) < 28 {
		return app.Unsure
	}
	for _, b := range [][]byte{data[4:], data} {
		r := xdr{wire.Reader{B: b}}
		if dir == app.ToServer {
			r.Skip(4)
			if r.BE32() == 0 && r.BE32() == 2 && r.BE32() == program {
				return app.Yes
			}
		} else if a, ok := readReply(&r); ok && a.denied == 0 && a.refused == 0 {
			return app.Yes
		}
	}
	return app.No
}

// call is a call that waits for its answer, and what is known of what it is about.
type call struct {
	rpcCall
	handle, name, to []byte
	offset           uint64
}

// tx is a call with its answer, or a file.
type tx struct {
	app.State
	parser *parser
	call
	status, denied uint32
	file           *transferFile // nil: a call.
}

// Limits of what is kept.
const (
	maxTxs   = 1024
	maxCalls = 512
	maxNames = 4096
)

type parser struct {
	app.Queue
	ctx     *app.Context
	version uint32 // 0: not known
	calls   map[uint32]*call
	names   map[string][]byte // Of files, by their handles.
	left    [2]int            // Bytes of the record under way, which are of a file,
	to      [2]*transferFile  // this one.
	gap     [2]bool
	files   uint32
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if p.ctx.Flow.UDP {
		p.message(in.Dir, in.Offset, in.Data)
		return len(in.Data), 0
	}
	consumed = p.pass(in.Dir, in.Data)
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		if p.gap[in.Dir] {
			if probe(in.Dir, rest) != app.Yes {
				return len(in.Data), 0
			}
			p.gap[in.Dir] = false
		}
		r := wire.Reader{B: rest}
		const last = 1 << 31
		size := int(r.BE32() &^ last)
		switch {
		case r.Bad:
			return consumed, 0
		case size < 24 || size > maxRecord:
			p.raise(malformed)
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		case size > len(r.B):
			if len(r.B) < early || !p.begin(in.Dir, r.B, size-len(r.B)) {
				return consumed, size - len(r.B)
			}
			return len(in.Data), 0
		}
		at := in.Offset + uint64(consumed)
		p.frame(frameRPC, in.Dir, at, 4+size)
		p.message(in.Dir, at+4, r.B[:size])
		consumed += 4 + size
	}
	return consumed, 0
}

// frame tells a part of the stream.
func (p *parser) frame(kind app.FrameID, dir app.Dir, at uint64, size int) {
	if size > 0 {
		p.ctx.Hooks.Frame(app.Frame{Kind: kind, Dir: dir, Offset: at, Size: int64(size)})
	}
}

// early is how much of a record that reads or writes is waited for; the rest
// of it goes straight to the file.
const early = 512

// begin takes the beginning of a record that reads or writes. It returns false
// if the whole of it is needed.
func (p *parser) begin(dir app.Dir, b []byte, missing int) bool {
	r := xdr{wire.Reader{B: b}}
	if dir == app.ToServer {
		c, ok := readCall(&r)
		return ok && c.program == program && c.version == 3 && c.procedure == write3 && p.write(&call{rpcCall: c}, &r, missing)
	}
	a, ok := readReply(&r)
	c := p.calls[a.xid]
	return ok && c != nil && c.version == 3 && c.procedure == read3 && p.readReply(c, &a, &r, missing)
}

// pass hands on the bytes of a record that was begun before.
func (p *parser) pass(dir app.Dir, data []byte) int {
	n := min(p.left[dir], len(data))
	if n > 0 {
		if f := p.to[dir]; f != nil {
			f.Add(data[:n])
			f.settle()
		}
		p.left[dir] -= n
	}
	return n
}

// message takes a call or an answer.
func (p *parser) message(dir app.Dir, at uint64, b []byte) {
	r := xdr{wire.Reader{B: b}}
	if dir == app.ToServer {
		c, ok := readCall(&r)
		if !ok {
			p.raise(malformed)
			return
		}
		p.frame(frameCreds, dir, at+uint64(c.authAt), c.authSize)
		p.bodyFrames(dir, at+uint64(len(b)-len(r.B)), len(r.B), c.version)
		if c.program == program {
			p.request(&call{rpcCall: c}, &r)
		}
		return
	}
	a, ok := readReply(&r)
	if !ok {
		p.raise(malformed)
		return
	}
	const head = 8
	p.frame(frameRPCHeader, dir, at, head)
	p.frame(frameRPCData, dir, at+head, len(b)-head)
	c := p.calls[a.xid]
	if c == nil {
		return
	}
	delete(p.calls, a.xid)
	p.bodyFrames(dir, at+uint64(len(b)-len(r.B)), len(r.B), c.version)
	switch c.version {
	case 2, 3:
		p.reply3(c, &a, &r)
	case 4:
		p.reply4(c, &a, &r)
	default:
		p.raise(noSuchVersion)
	}
}

// bodyFrames tells the frames of what NFS says.
func (p *parser) bodyFrames(dir app.Dir, at uint64, size int, version uint32) {
	status := frameStatus
	if version == 4 {
		status = frameNFS4Status
		const head = 8
		p.frame(frameNFS4, dir, at, size)
		p.frame(frameNFS4Header, dir, at, min(size, head))
		p.frame(frameNFS4Ops, dir, at+head, size-head)
	} else {
		p.frame(frameNFS, dir, at, size)
	}
	if dir == app.ToClient && size >= 4 {
		p.frame(status, dir, at, 4)
	}
}

func (p *parser) request(c *call, r *xdr) {
	if p.version == 0 {
		p.version = c.version
	}
	switch c.version {
	case 2, 3:
		p.request3(c, r)
	case 4:
		p.request4(c, r)
	default:
		return
	}
	if len(p.calls) >= maxCalls {
		clear(p.calls)
	}
	p.calls[c.xid] = c
}

func (p *parser) add(c *call) *tx {
	t := &tx{parser: p, call: *c}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyTxs)
	}
	return t
}

// raise raises an event at the newest transaction.
func (p *parser) raise(e app.EventID) {
	if txs := p.Txs(); len(txs) > 0 {
		txs[len(txs)-1].Common().Raise(e)
	}
}

// answer ends the transaction of a call.
func (p *parser) answer(a *rpcReply, status uint32, handle []byte) {
	for _, x := range p.Txs() {
		if t := x.(*tx); t.file == nil && t.xid == a.xid {
			t.status, t.denied = status, a.denied
			t.Progress[app.ToClient] = complete
			if len(t.handle) == 0 {
				t.handle = handle
			}
			return
		}
	}
}

// name remembers that of a handle.
func (p *parser) name(handle, name []byte) {
	if len(handle) > maxHandle {
		return
	}
	if len(p.names) >= maxNames {
		clear(p.names)
	}
	p.names[string(handle)] = name
}

// Gap implements app.Parser. Lost bytes of a file are its gap; otherwise the
// calls before may be over.
func (p *parser) Gap(dir app.Dir, size uint64) bool {
	if n := int(min(uint64(p.left[dir]), size)); n > 0 {
		if f := p.to[dir]; f != nil {
			f.Gap(uint64(n))
			f.settle()
		}
		p.left[dir] -= n
		if size -= uint64(n); size == 0 {
			return true
		}
	}
	p.gap[dir] = true
	for _, x := range p.Txs() {
		if t := x.(*tx); t.file == nil {
			t.Progress[app.ToServer] = complete
			if dir == app.ToClient {
				t.Progress[app.ToClient] = complete
			}
		}
	}
	return true
}

// End implements app.Parser: files that are open stay without their end.
func (p *parser) End() {
	for _, x := range p.Txs() {
		if f := x.(*tx).file; f != nil {
			f.Close(file.Truncated)
		}
	}
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, dir app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if t.file == nil || t.file.dir != dir || i > 0 {
		return match.Buffer{}, false
	}
	data := t.file.Data
	if b == suricata.BufFileName {
		data = t.file.File.Name
	}
	return match.Buffer{Data: data}, len(data) > 0
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "nfs_procedure":
		return app.MatchUint(o, uint64(t.procedure)) || t.file != nil && t.file.committed && app.MatchUint(o, commit3)
	case "nfs.version":
		return app.MatchUint(o, uint64(t.version))
	}
	return false
}
