// Package enip reads EtherNet/IP with the Common Industrial Protocol it
// carries, over TCP and UDP. A transaction is a request with its response.
//
// message.go reads messages, match.go evaluates what rules ask, log.go writes
// EVE's member enip.
package enip

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	tooManyTxs app.EventID = iota
	invalidPDU
)

const complete = 1

// The kinds of frames.
const (
	frameHeader app.FrameID = iota
	frameData
	framePDU
	frameCIP
	frameItem
)

// Protocol is EtherNet/IP.
var Protocol = &app.Protocol{
	Name: "enip", Transport: app.TCP | app.UDP, Ports: []uint16{44818}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers:  app.Extractors(app.ToClient, 0, suricata.BufENIPProductName, suricata.BufENIPServiceName),
	Events:   []string{tooManyTxs: "too_many_transactions", invalidPDU: "invalid_pdu"},
	Frames:   []string{frameHeader: "hdr", frameData: "data", framePDU: "pdu", frameCIP: "cip", frameItem: "enip.item"},
	Logs:     []app.Log{{Type: "enip", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// probe looks at the first header.
func probe(_ app.Dir, data []byte) app.Verdict {
	m, ok := readHeader(data)
	if !ok {
		return app.Unsure
	}
	_, knownCommand := suricata.ENIPCommands[uint64(m.command)]
	_, knownStatus := suricata.ENIPStatuses[uint64(m.status)]
	switch {
	case !knownCommand || !knownStatus:
		return app.No
	case m.command == nop && m.options != 0, m.command == registerSession && m.size != 4, m.command == unregisterSession && m.size != 4 && m.size != 0:
		return app.No
	}
	return app.Yes
}

// tx is a request with its response; either may be missing.
type tx struct {
	app.State
	said [2]*message
}

// maxTxs bounds the transactions that wait.
const maxTxs = 1024

type parser struct {
	app.Queue
	ctx *app.Context
	gap [2]bool
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if p.gap[in.Dir] && len(in.Data) > 0 {
		if probe(in.Dir, in.Data) != app.Yes {
			return len(in.Data), 0
		}
		p.gap[in.Dir] = false
	}
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		m, ok := readHeader(rest)
		size := headerSize + int(m.size)
		if !ok || len(rest) < size {
			return consumed, max(0, size-len(rest))
		}
		m.read(rest[:size])
		t := p.take(in.Dir, m)
		if m.invalid {
			t.Raise(invalidPDU)
		}
		p.frames(in.Dir, in.Offset+uint64(consumed), m, t.ID)
		consumed += size
	}
	return consumed, 0
}

// take puts a message into its transaction.
func (p *parser) take(dir app.Dir, m *message) *tx {
	if dir == app.ToClient {
		for _, x := range p.Txs() {
			t := x.(*tx)
			if t.said[app.ToServer] == nil || t.said[app.ToClient] != nil {
				continue
			}
			t.Progress = [2]uint8{complete, complete} // Servers answer in order.
			if answers(t.said[app.ToServer], m) {
				t.said[app.ToClient] = m
				return t
			}
		}
	}
	t := &tx{}
	t.said[dir] = m
	t.Progress[app.ToServer] = complete
	if dir == app.ToClient {
		t.Progress[app.ToClient] = complete
	}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyTxs)
	}
	return t
}

// answers says whether a response belongs to a request.
func answers(request, response *message) bool {
	if request.command != response.command || request.session != response.session && request.command != registerSession {
		return false
	}
	if (request.command != sendRRData && request.command != sendUnitData) || request.invalid || response.invalid {
		return request.invalid == response.invalid
	}
	a, b := request.items, response.items
	if len(a) < 2 || len(b) < 2 || a[1].kind != itemConnected || b[1].kind != itemConnected {
		return true
	}
	return a[1].sequence == b[1].sequence
}

// frames tells the parts of a message at an offset.
func (p *parser) frames(dir app.Dir, at uint64, m *message, id uint64) {
	tell := func(kind app.FrameID, start, size int) {
		p.ctx.Hooks.Frame(app.Frame{Kind: kind, Dir: dir, Offset: at + uint64(start), Size: int64(size), Tx: id, HasTx: true})
	}
	tell(frameHeader, 0, headerSize)
	tell(frameData, headerSize, int(m.size))
	tell(framePDU, 0, headerSize+int(m.size))
	for _, x := range m.items {
		tell(frameItem, x.start, 4+x.size)
	}
	for _, x := range m.items {
		if x.cip == nil {
			continue
		}
		tell(frameCIP, x.at, x.size)
		for _, c := range x.cip.inner {
			tell(frameCIP, x.at+c.start, c.size)
		}
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(dir app.Dir, _ uint64) bool {
	p.gap[dir] = true
	return true
}

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	m := t.said[app.ToClient]
	switch {
	case i > 0:
	case b == suricata.BufENIPProductName && m.identity() != nil:
		return match.Buffer{Data: m.identity().name}, true
	case b == suricata.BufENIPServiceName && m.services() != nil:
		return match.Buffer{Data: m.services().name}, true
	}
	return match.Buffer{}, false
}
