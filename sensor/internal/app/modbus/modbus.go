// Package modbus reads Modbus over TCP. A transaction is a request with its
// response.
//
// message.go reads messages, match.go evaluates the keyword modbus, log.go
// writes EVE's member modbus.
package modbus

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	unsolicited app.EventID = iota
	invalidFunction
	invalidLength
	invalidValue
	invalidException
	valueMismatch
	flooded
	invalidProtocol
)

const complete = 1

// Protocol is Modbus.
var Protocol = &app.Protocol{
	Name: "modbus", Transport: app.TCP, Ports: []uint16{502}, Probe: probe, Off: true,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Events: []string{
		unsolicited: "unsolicited_response", invalidFunction: "invalid_function_code", invalidLength: "invalid_length", invalidValue: "invalid_value",
		invalidException: "invalid_exception_code", valueMismatch: "value_mismatch", flooded: "flooded", invalidProtocol: "invalid_protocol_id",
	},
	Logs: []app.Log{{Type: "modbus", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// Sizes that the header may say: of the unit, the function and what follows.
const (
	minSize = 2
	maxSize = 254
)

// probe looks at the first header.
func probe(dir app.Dir, data []byte) app.Verdict {
	if len(data) < headerSize {
		return app.Unsure
	}
	r := wire.Reader{B: data[2:]}
	protocol, size := r.BE16(), r.BE16()
	r.Skip(1)
	function := r.U8()
	if dir == app.ToClient {
		function &^= exceptionBit
	}
	if protocol != 0 || size < minSize || size > maxSize || functionNames[function] == "" {
		return app.No
	}
	return app.Yes
}

// tx is a request with its response; either may be missing.
type tx struct {
	app.State
	request, response *message
}

// maxTxs bounds the transactions that wait.
const maxTxs = 500

type parser struct {
	app.Queue
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for {
		rest := in.Data[consumed:]
		if len(rest) < headerSize {
			return consumed, headerSize - len(rest)
		}
		const before = 6 // Of the header, what the size does not count.
		size := int(rest[4])<<8 | int(rest[5])
		if size < minSize || size > maxSize {
			p.add().Raise(invalidLength)
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		}
		if len(rest) < before+size {
			return consumed, before + size - len(rest)
		}
		p.take(in.Dir, read(rest[:before+size], in.Dir == app.ToClient))
		consumed += before + size
	}
}

func (p *parser) add() *tx {
	t := &tx{}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(flooded)
	}
	return t
}

// take puts a message into its transaction.
func (p *parser) take(dir app.Dir, m *message) {
	if dir == app.ToServer {
		t := p.add()
		t.request = m
		t.flag(m.flaws)
		return
	}
	var t *tx
	for _, x := range p.Txs() {
		if q := x.(*tx).request; q != nil && x.(*tx).response == nil && q.id == m.id && q.unit == m.unit && q.function == m.function {
			t = x.(*tx)
			break
		}
	}
	if t == nil {
		t = p.add()
		t.Raise(unsolicited)
	}
	t.response = m
	t.Progress = [2]uint8{complete, complete}
	if accesses[m.function] != 0 && m.flaws&(flawLength|flawValue) != 0 || t.request != nil && mismatch(t.request, m) {
		t.Raise(valueMismatch)
	} else {
		t.flag(m.flaws)
	}
}

// mismatch says whether a response tells of another place than its request, or
// brings more or less.
func mismatch(q, a *message) bool {
	if q.write != nil && a.write != nil && q.write.address != a.write.address {
		return true
	}
	if q.read == nil || a.read == nil {
		return false
	}
	want := 2 * int(q.read.quantity)
	if accesses[q.function]&(accessCoils|accessDiscretes) != 0 {
		want = (int(q.read.quantity) + 7) / 8
	}
	return len(a.read.data) != want
}

// flag raises the events of what is wrong with a message.
func (t *tx) flag(f flaw) {
	for i, e := range []app.EventID{invalidValue, invalidLength, invalidException, invalidFunction, invalidProtocol} {
		if f>>i&1 == 1 {
			t.Raise(e)
		}
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (*tx) Buffer(suricata.Buffer, app.Dir, int, *[]byte) (match.Buffer, bool) {
	return match.Buffer{}, false
}
