// Package pgsql reads PostgreSQL's protocol 3 (and the start of 1 and 2). A
// transaction is what a client asks with all that the server answers; rows of
// data are counted and not kept.
//
// message.go reads messages, log.go writes EVE's member pgsql.
package pgsql

import (
	"errors"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	invalidLength app.EventID = iota
	malformedRequest
	malformedResponse
	tooManyTxs
)

const complete = 1

// Protocol is PostgreSQL's.
var Protocol = &app.Protocol{
	Name: "pgsql", Transport: app.TCP, Ports: []uint16{5432}, Probe: probe, Deep: true, Off: true,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers:  app.Extractors(app.ToServer, complete, suricata.BufPgSQLQuery),
	Events: []string{
		invalidLength: "invalid_length", malformedRequest: "malformed_request", malformedResponse: "malformed_response", tooManyTxs: "too_many_transactions",
	},
	Logs: []app.Log{{
		Type: "pgsql", Step: [2]uint8{complete, complete}, Append: appendLog,
		Options: func(get func(string) (string, bool)) (any, error) { return app.On(get, "passwords"), nil },
	}},
}

// probe looks at the first message.
func probe(dir app.Dir, data []byte) app.Verdict {
	var err error
	if dir == app.ToServer {
		_, _, err = readRequest(data, idle)
	} else if _, _, err = readResponse(data, true); err != nil {
		_, _, err = readResponse(data, false)
	}
	switch {
	case err == nil:
		return app.Yes
	case errors.Is(err, errMissing):
		return app.Unsure
	}
	return app.No
}

// state is the message seen last that matters for the next.
type state uint8

const (
	idle state = iota
	sslWanted
	started
	saslOffered
	saslBegun
	saslAnswered
	saslContinued
	saslEnded
	passwordWanted
	passwordSent
	queried
	cancelled
	terminated
	copyEnded
	copyInBegun  // The server waits for data,
	copyInFirst  // which comes
	copyInMore   // and goes on.
	copyOutBegun // The server sends data.
	copyingOut
	sslRefused
	finished
	answering
	rows
	commandEnded
	readyForQuery
)

// begins says whether a message that leads to a state begins a transaction.
func (s state) begins() bool {
	switch s {
	case idle, started, passwordSent, saslBegun, saslAnswered, queried, sslWanted, terminated, cancelled, copyInFirst:
		return true
	}
	return false
}

// tx is a request with its answers.
type tx struct {
	app.State
	requests, responses []*message
	rows, bytes         uint64 // Of data not told yet.
}

// Limits of what is kept.
const (
	maxTxs      = 1024
	maxMessages = 512 // Of one direction of a transaction.
)

type parser struct {
	app.Queue
	ctx   *app.Context
	state state
	gap   [2]bool
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if p.gap[in.Dir] && len(in.Data) > 0 {
		if v := probe(in.Dir, in.Data); v == app.No {
			return len(in.Data), 0
		}
		p.gap[in.Dir] = false
	}
	for consumed < len(in.Data) {
		var m *message
		var size int
		var err error
		if in.Dir == app.ToServer {
			m, size, err = readRequest(in.Data[consumed:], p.state)
		} else {
			m, size, err = readResponse(in.Data[consumed:], p.state == sslWanted)
		}
		switch {
		case errors.Is(err, errMissing):
			return consumed, max(0, size-len(in.Data)+consumed)
		case err != nil:
			p.fail(in.Dir, err)
			return len(in.Data), 0
		case in.Dir == app.ToServer:
			p.request(m)
		default:
			p.response(m)
		}
		consumed += size
		if p.state == finished {
			return consumed, 0
		}
	}
	return consumed, 0
}

// fail takes a message that could not be read.
func (p *parser) fail(dir app.Dir, err error) {
	switch {
	case errors.Is(err, errLength):
		p.add().Raise(invalidLength)
		p.ctx.Hooks.Stop(false)
	case errors.Is(err, errMalformed) && dir == app.ToServer:
		p.add().Raise(malformedRequest)
	case errors.Is(err, errMalformed):
		p.add().Raise(malformedResponse)
	}
}

func (p *parser) add() *tx {
	t := &tx{}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyTxs)
	}
	return t
}

// current is the transaction of a message that led to the present state, nil
// if it belongs to one that is over.
func (p *parser) current() *tx {
	if p.state.begins() {
		return p.add()
	}
	if txs := p.Txs(); len(txs) > 0 {
		return txs[len(txs)-1].(*tx)
	}
	return nil
}

// request takes a message of the client.
func (p *parser) request(m *message) {
	next, known := p.afterRequest(m.kind)
	if known {
		p.state = next
	}
	t := p.current()
	if t == nil || !known {
		return
	}
	switch p.state {
	case copyInFirst, copyInMore:
		t.rows++
		t.bytes += m.bytes
		return
	case copyEnded:
		if t.rows > 0 {
			t.requests = append(t.requests, &message{kind: copyData, rows: t.rows, bytes: t.bytes})
		}
	}
	if len(t.requests) < maxMessages {
		t.requests = append(t.requests, m)
	}
	t.Progress[app.ToServer] = complete
	if p.state == terminated || p.state == cancelled { // Nobody answers.
		t.Progress[app.ToClient] = complete
	}
}

func (p *parser) afterRequest(k kind) (state, bool) {
	if k == copyData {
		switch p.state {
		case copyInBegun:
			return copyInFirst, true
		case copyInFirst, copyInMore:
			return copyInMore, true
		}
		return 0, false
	}
	next, ok := map[kind]state{
		sslRequest: sslWanted, startup: started, password: passwordSent, saslInitial: saslBegun, saslAnswer: saslAnswered, query: queried,
		copyDone: copyEnded, copyFail: copyEnded, cancelRequest: cancelled, terminate: terminated,
	}[k]
	return next, ok
}

// afterResponse are the states that messages of the server lead to.
var afterResponse = map[kind]state{
	sslAccepted: finished, sslRejected: sslRefused, authSASL: saslOffered, authContinue: saslContinued, authFinal: saslEnded, authOK: answering,
	parameter: answering, backendKey: answering, ready: readyForQuery, authMD5: passwordWanted, authClear: passwordWanted, rowDescription: answering,
	copyOut: copyOutBegun, copyIn: copyInBegun, dataRow: rows, copyData: copyingOut, copyDone: copyEnded, commandComplete: commandEnded,
	failure: answering,
}

// response takes a message of the server.
func (p *parser) response(m *message) {
	next, known := afterResponse[m.kind]
	if known {
		p.state = next
	}
	t := p.current()
	if t == nil || !known {
		return
	}
	switch {
	case p.state == rows, p.state == copyingOut:
		t.rows++
		t.bytes += m.bytes
		return
	case (p.state == commandEnded || p.state == copyEnded) && t.rows > 0:
		k := dataRow
		if p.state == copyEnded {
			k = copyData
		}
		t.responses = append(t.responses, &message{kind: k, rows: t.rows, bytes: t.bytes})
		t.rows, t.bytes = 0, 0
	}
	if len(t.responses) < maxMessages {
		t.responses = append(t.responses, m)
	}
	switch p.state {
	case readyForQuery, sslRefused, passwordWanted, saslOffered, saslContinued, saslEnded, copyInBegun, finished:
		t.Progress = [2]uint8{complete, complete}
	}
	if p.state == finished {
		p.ctx.Hooks.Become("tls")
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
	if b == suricata.BufPgSQLQuery && i == 0 {
		for _, m := range t.requests {
			if m.kind == query {
				return match.Buffer{Data: m.text}, true
			}
		}
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (*tx) Match(*suricata.Option, app.Dir) bool { return false }
