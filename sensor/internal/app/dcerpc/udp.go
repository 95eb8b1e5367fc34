package dcerpc

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// datagramHeader is that of a connectionless record (C706, 12.5.1).
type datagramHeader struct {
	kind, flags1, flags2 uint8
	drep                 [2]byte
	little               bool
	activity             UUID
	sequence             uint32
	op, size, fragment   uint16
}

// Flags of a datagram.
const (
	flagLast     = 0x02
	flagFragment = 0x04
)

func readDatagram(b []byte) (h datagramHeader, body []byte, ok bool) {
	r := wire.Reader{B: b}
	version := r.U8()
	h.kind, h.flags1, h.flags2 = r.U8(), r.U8(), r.U8()
	copy(h.drep[:], r.Take(2))
	h.little = h.drep[0] != 0
	r.Skip(2 + 16 + 16) // The rest of it, object and interface.
	h.activity = readUUID(r.Take(16), true)
	r.Skip(8)
	h.sequence = r.U32(h.little)
	h.op = r.U16(h.little)
	r.Skip(4)
	h.size, h.fragment = r.U16(h.little), r.U16(h.little)
	r.Skip(2)
	return h, r.B, !r.Bad && version == 4
}

// datagrams reads the records of a flow of datagrams.
type datagrams struct{ calls }

// Parse implements app.Parser.
func (p *datagrams) Parse(in *app.Input) (consumed, need int) {
	h, body, ok := readDatagram(in.Data)
	if !ok || len(body) < int(h.size) {
		return len(in.Data), 0
	}
	var dir app.Dir
	switch h.kind {
	case Request:
		dir = app.ToServer
	case Response:
		dir = app.ToClient
	default:
		return len(in.Data), 0
	}
	t := p.find(dir, &h)
	if dir == app.ToServer {
		t.op = h.op
	}
	t.addStub(dir, body[:h.size])
	if h.flags1&flagFragment == 0 || h.flags1&flagLast != 0 {
		t.Progress[dir] = complete
	}
	return len(in.Data), 0
}

func (p *datagrams) find(dir app.Dir, h *datagramHeader) *tx {
	for _, x := range p.Txs() {
		if t := x.(*tx); t.sequence == h.sequence && t.activity == h.activity && t.Progress[dir] != complete {
			return t
		}
	}
	t := p.add()
	t.datagram, t.little, t.activity, t.sequence = true, h.little, h.activity, h.sequence
	return t
}

// Gap implements app.Parser.
func (p *datagrams) Gap(app.Dir, uint64) bool { return true }
