// Package dcerpc reads DCE/RPC over TCP (version 5) and over UDP (version 4).
// A transaction is a call with its answer. SMB, whose named pipes carry the
// same records, reads them by this package too.
//
// record.go reads records, udp.go datagrams, match.go what rules ask for,
// log.go writes EVE's member dcerpc.
package dcerpc

import (
	"bytes"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

const complete = 1

// Protocol is DCE/RPC.
var Protocol = &app.Protocol{
	Name: "dcerpc", Transport: app.TCP | app.UDP, Probe: probe,
	New: func(c *app.Context) app.Parser {
		if c.Flow.UDP {
			return &datagrams{calls{ctx: c}}
		}
		return &parser{calls: calls{ctx: c}}
	},
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers:  []app.Extractor{{Buffer: suricata.BufDCERPCStubData, Dir: app.ToServer}, {Buffer: suricata.BufDCERPCStubData, Dir: app.ToClient}},
	Frames:   []string{framePDU: "pdu", frameHeader: "hdr", frameData: "data"},
	Logs:     []app.Log{{Type: "dcerpc", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

const (
	framePDU app.FrameID = iota
	frameHeader
	frameData
)

// probe looks at the first record.
func probe(dir app.Dir, data []byte) app.Verdict {
	switch {
	case len(data) == 0:
		return app.Unsure
	case data[0] == 4 && dir == app.ToServer:
		h, body, ok := readDatagram(data)
		if ok && h.fragment == 0 && len(body) >= int(h.size) && h.flags2&0xfc == 0 && h.drep[0]&0xee == 0 && h.drep[1] <= 3 {
			return app.Yes
		}
		return app.No
	case data[0] != 5 || len(data) > 1 && data[1] != 0:
		return app.No
	case len(data) < headerSize:
		return app.Unsure
	}
	h, _, _ := ReadHeader(data)
	if h.drep[0]&0xee != 0 || h.drep[1] > 3 || h.Size < headerSize {
		return app.No
	}
	if (h.Type == Response || h.Type == BindAck || h.Type == AlterContextAck) != (dir == app.ToClient) {
		return app.Reversed
	}
	return app.Yes
}

// tx is a call with its answer.
type tx struct {
	app.State
	calls *calls // Whose interfaces it may name.

	datagram bool
	little   bool
	minor    uint8
	call     uint32
	context  uint16
	op       uint16
	activity UUID
	sequence uint32

	kind  [2]uint8 // The type of the record in each direction.
	lost  [2]bool
	stubs [2][]byte
	count [2]int // Fragments.
}

// Limits of what is kept.
const (
	maxTxs = 1024
	// MaxStub is how much of a call's arguments or results is kept.
	MaxStub       = 1 << 20
	maxInterfaces = 64
)

// calls are the transactions of a flow.
type calls struct {
	app.Queue
	ctx        *app.Context
	interfaces []Interface
}

func (c *calls) add() *tx {
	t := &tx{calls: c, kind: [2]uint8{Request, Response}}
	c.Push(c.ctx.Hooks, t, maxTxs)
	return t
}

// End implements app.Parser.
func (c *calls) End() {}

// Keep appends what there is room for to stub data.
func Keep(have, more []byte) []byte {
	return append(have, more[:min(len(more), max(0, MaxStub-len(have)))]...)
}

func (t *tx) addStub(dir app.Dir, b []byte) {
	t.stubs[dir] = Keep(t.stubs[dir], b)
	t.Grown[dir] = uint64(len(t.stubs[dir]))
	t.count[dir]++
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, dir app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if b != suricata.BufDCERPCStubData || i > 0 || len(t.stubs[dir]) == 0 {
		return match.Buffer{}, false
	}
	return match.Buffer{Data: t.stubs[dir], Little: t.little}, true
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	if t.kind[app.ToServer] != Request {
		return false
	}
	switch o.Name {
	case "dcerpc.opnum":
		return MatchOp(o, t.op)
	case "dcerpc.iface":
		return slices.ContainsFunc(t.calls.interfaces, func(f Interface) bool { return f.Context == t.context && f.ofFragment(o) && f.Matches(o) })
	}
	return false
}

// parser reads the records of a connection.
type parser struct {
	calls
	gap [2]bool // Where the next record begins is not known.
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	data := in.Data
	if p.gap[in.Dir] {
		i := bytes.Index(data, []byte{5, 0})
		if i < 0 {
			return max(0, len(data)-1), 2
		}
		p.gap[in.Dir], consumed = false, i
	}
	for {
		rest := data[consumed:]
		if len(rest) < headerSize {
			return consumed, headerSize - len(rest)
		}
		h, body, _ := ReadHeader(rest)
		if h.Major != 5 || h.Minor > 1 || h.Size < headerSize {
			p.ctx.Hooks.Stop(false)
			return len(data), 0
		}
		size := int(h.Size)
		if len(rest) < size {
			return consumed, size - len(rest)
		}
		p.frames(in.Dir, in.Offset+uint64(consumed), size)
		if !p.record(in.Dir, &h, body[:size-headerSize]) {
			p.ctx.Hooks.Stop(false)
			return len(data), 0
		}
		consumed += size
	}
}

func (p *parser) frames(dir app.Dir, at uint64, size int) {
	p.ctx.Hooks.Frame(app.Frame{Kind: frameHeader, Dir: dir, Offset: at, Size: headerSize})
	p.ctx.Hooks.Frame(app.Frame{Kind: framePDU, Dir: dir, Offset: at, Size: int64(size)})
	p.ctx.Hooks.Frame(app.Frame{Kind: frameData, Dir: dir, Offset: at + headerSize, Size: int64(size - headerSize)})
}

// record takes a record into its transaction. It returns false if the record
// makes no sense.
func (p *parser) record(dir app.Dir, h *Header, body []byte) bool {
	switch h.Type {
	case Bind, AlterContext:
		return p.bind(h, body)
	case BindAck, AlterContextAck:
		return p.ack(h, body)
	case Request:
		c, ok := h.ReadCall(body)
		if !ok {
			return false
		}
		t := p.find(app.ToServer, h)
		t.context, t.op = c.Context, c.Op
		t.addStub(app.ToServer, c.Stub)
		t.Progress[app.ToServer] = complete
	case Response:
		// What precedes the results counts as theirs, as upstream has it.
		t := p.find(app.ToClient, h)
		t.addStub(app.ToClient, body)
		t.Progress[app.ToClient] = complete
	}
	return true
}

// find is the transaction a record belongs to, a new one if there is none.
func (p *parser) find(dir app.Dir, h *Header) *tx {
	for _, x := range p.Txs() {
		t := x.(*tx)
		if t.call == h.Call && t.Progress[dir] != complete && answers(t.kind[dir.Other()], h.Type) {
			t.kind[dir] = h.Type
			return t
		}
	}
	t := p.add()
	t.call, t.minor, t.little = h.Call, h.Minor, h.Little
	t.kind[dir] = h.Type
	return t
}

// answers says whether two types of records belong together.
func answers(a, b uint8) bool {
	for _, pair := range [...][2]uint8{{Request, Response}, {Bind, BindAck}, {AlterContext, AlterContextAck}} {
		if pair == [2]uint8{a, b} || pair == [2]uint8{b, a} {
			return true
		}
	}
	return false
}

func (p *parser) bind(h *Header, body []byte) bool {
	list, ok := h.ReadBind(body)
	if !ok {
		return false
	}
	for _, f := range list {
		if len(p.interfaces) < maxInterfaces && !slices.ContainsFunc(p.interfaces, func(have Interface) bool { return have.Context == f.Context }) {
			p.interfaces = append(p.interfaces, f)
		}
	}
	t := p.add()
	t.call, t.minor, t.little, t.kind[app.ToServer] = h.Call, h.Minor, h.Little, h.Type
	t.count[app.ToServer] = 1
	t.Progress[app.ToServer] = complete
	return true
}

func (p *parser) ack(h *Header, body []byte) bool {
	results, ok := h.ReadAck(body)
	if !ok {
		return false
	}
	for i := range p.interfaces {
		if f := &p.interfaces[i]; f.call == h.Call && f.item < len(results) {
			f.Acked, f.Result = true, results[f.item]
		}
	}
	t := p.find(app.ToClient, h)
	t.count[app.ToClient] = 1
	t.Progress[app.ToClient] = complete
	return true
}

// Gap implements app.Parser: calls whose bytes may be among the lost are over.
func (p *parser) Gap(dir app.Dir, _ uint64) bool {
	p.gap[dir] = true
	for _, x := range p.Txs() {
		t := x.(*tx)
		for d := app.ToServer; d <= dir; d++ {
			if t.Progress[d] != complete {
				t.lost[d], t.Progress[d] = true, complete
			}
		}
	}
	return true
}
