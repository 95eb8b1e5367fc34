// Package ldap reads LDAP (RFC 4511) over TCP and UDP. A transaction is a
// request with its responses, joined by their message identifier.
//
// message.go reads messages, log.go writes EVE's member ldap.
package ldap

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/ber"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	tooManyTxs app.EventID = iota
	invalidData
	requestNotFound
	incompleteData
	tooManyResponses
)

const complete = 1

const framePDU app.FrameID = 0

// Protocol is LDAP.
var Protocol = &app.Protocol{
	Name: "ldap", Transport: app.TCP | app.UDP, Ports: []uint16{389, 3268}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: append(app.Extractors(app.ToServer, complete, suricata.BufLDAPRequestDN, suricata.BufLDAPRequestAttributeType),
		app.Extractors(app.ToClient, complete, suricata.BufLDAPResponsesDN, suricata.BufLDAPResponsesMessage, suricata.BufLDAPResponsesAttributeType)...),
	Events: []string{
		tooManyTxs: "too_many_transactions", invalidData: "invalid_data", requestNotFound: "request_not_found", incompleteData: "incomplete_data",
		tooManyResponses: "too_many_responses",
	},
	Frames: []string{framePDU: "pdu"},
	Logs:   []app.Log{{Type: "ldap", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// probe reads the first message.
func probe(dir app.Dir, data []byte) app.Verdict {
	m, _, missing := next(data)
	switch {
	case missing:
		return app.Unsure
	case m == nil:
		return app.No
	case m.request() != (dir == app.ToServer):
		return app.Reversed
	}
	return app.Yes
}

// next reads the first message of b: nil if it makes no sense, or bytes are missing.
func next(b []byte) (m *message, size int, missing bool) {
	if len(b) > 0 && b[0] != ber.Sequence {
		return nil, 0, false
	}
	head, n, ok := ber.Header(b)
	switch {
	case !ok || n > maxSize:
		return nil, 0, false
	case head == 0 || len(b) < head+n:
		return nil, 0, true
	}
	size = head + n
	return read(ber.Value{Tag: b[0], Data: b[head:size]}), size, false
}

// request says whether clients send the operation.
func (m *message) request() bool {
	switch m.op {
	case bindRequest, unbindRequest, searchRequest, modifyRequest, addRequest, delRequest, modDNRequest, compareRequest, abandonRequest, extendedRequest:
		return true
	}
	return false
}

// last says whether no answer follows.
func (m *message) last() bool {
	switch m.op {
	case unbindRequest, abandonRequest, searchDone, bindResponse, modifyResponse, addResponse, delResponse, modDNResponse, compareResponse, extendedResponse:
		return true
	}
	return false
}

// tx is a request with its responses.
type tx struct {
	app.State
	request   *message // nil: there was none.
	responses []*message
	held      int // Bytes that the responses were.
}

// Limits of what is kept.
const (
	maxTxs       = 256
	maxResponses = 1024
	maxHeld      = 8 << 20 // Bytes that the responses of a flow were.
)

type parser struct {
	app.Queue
	ctx       *app.Context
	startsTLS bool // The client asked for TLS.
	held      int  // Bytes that the responses were.
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) {
		m, size, missing := next(in.Data[consumed:])
		if missing {
			if p.ctx.Flow.UDP {
				p.raise(incompleteData)
				return len(in.Data), 0
			}
			return consumed, 0
		}
		if m == nil {
			p.raise(invalidData)
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		}
		t := p.take(in.Dir, m, size)
		frame := app.Frame{Kind: framePDU, Dir: in.Dir, Offset: in.Offset + uint64(consumed), Size: int64(size)}
		frame.Tx, frame.HasTx = t.ID+1, true // Upstream counts them from 1 here.
		p.ctx.Hooks.Frame(frame)
		consumed += size
	}
	return consumed, 0
}

// raise raises an event at the newest transaction.
func (p *parser) raise(e app.EventID) {
	if txs := p.Txs(); len(txs) > 0 {
		txs[len(txs)-1].Common().Raise(e)
	}
}

func (p *parser) add(m *message) *tx {
	t := &tx{}
	if list := p.Txs(); len(list) >= maxTxs {
		p.release(list[0])
	}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyTxs)
	}
	if m.last() {
		t.Progress = [2]uint8{complete, complete}
	}
	return t
}

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	p.release(x)
	p.Queue.Free(x)
}

// release gives back what a transaction holds of the flow's room.
func (p *parser) release(x app.Tx) {
	if t, ok := x.(*tx); ok { // Else it is of a protocol the flow had before.
		p.held -= t.held
		t.held = 0
	}
}

// take puts a message of size bytes into its transaction.
func (p *parser) take(dir app.Dir, m *message, size int) *tx {
	const startTLS = "1.3.6.1.4.1.1466.20037"
	if dir == app.ToServer {
		t := p.add(m)
		t.request = m
		p.startsTLS = p.startsTLS || m.op == extendedRequest && string(m.name) == startTLS
		return t
	}
	if p.startsTLS && m.op == extendedResponse {
		p.startsTLS = false
		if m.code == 0 {
			p.ctx.Hooks.Become("tls")
		}
	}
	i := slices.IndexFunc(p.Txs(), func(x app.Tx) bool { t := x.(*tx); return t.request != nil && t.request.id == m.id })
	if i < 0 {
		t := p.add(m)
		t.responses = []*message{m}
		t.Progress = [2]uint8{complete, complete}
		if m.op != extendedResponse { // Servers may say those unasked.
			t.Raise(requestNotFound)
		}
		return t
	}
	t := p.Txs()[i].(*tx)
	if len(t.responses) < maxResponses && (m.last() || p.held+size <= maxHeld) {
		p.held += size
		t.held += size
		t.responses = append(t.responses, m)
	} else {
		t.Raise(tooManyResponses)
	}
	if m.last() {
		t.Progress = [2]uint8{complete, complete}
	}
	return t
}

// Gap implements app.Parser: it goes on if a message begins behind.
func (p *parser) Gap(app.Dir, uint64) bool { return true }

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	switch b {
	case suricata.BufLDAPRequestDN:
		if m := t.request; m != nil && i == 0 {
			switch m.op {
			case bindRequest, addRequest, searchRequest, modifyRequest, delRequest, modDNRequest, compareRequest:
				return match.Buffer{Data: m.dn}, true
			}
		}
	case suricata.BufLDAPRequestAttributeType:
		switch m := t.request; {
		case m == nil:
		case m.op == compareRequest && i == 0:
			return match.Buffer{Data: m.name}, true
		case i < len(m.fields):
			return match.Buffer{Data: m.fields[i].name}, true
		}
	case suricata.BufLDAPResponsesAttributeType:
		for _, m := range t.responses {
			if i < len(m.fields) {
				return match.Buffer{Data: m.fields[i].name}, true
			}
			i -= len(m.fields)
		}
	case suricata.BufLDAPResponsesDN, suricata.BufLDAPResponsesMessage:
		if i >= len(t.responses) {
			break
		}
		if b == suricata.BufLDAPResponsesDN {
			return match.Buffer{Data: t.responses[i].dn}, true
		}
		return match.Buffer{Data: t.responses[i].text}, true
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "ldap.request.operation":
		return t.request != nil && app.MatchUint(o, uint64(t.request.op))
	case "ldap.responses.operation":
		var ops []uint64
		for _, m := range t.responses {
			ops = append(ops, uint64(m.op))
		}
		return app.MatchIndexed(o, ops)
	case "ldap.responses.count":
		return app.MatchUint(o, uint64(len(t.responses)))
	case "ldap.responses.result_code":
		var codes []uint64
		for _, m := range t.responses {
			if m.hasResult {
				codes = append(codes, m.code)
			}
		}
		return app.MatchIndexed(o, codes)
	}
	return false
}
