// Package rdp reads how connections of the Remote Desktop Protocol (MS-RDPBCGR)
// begin: what client and server agree on, and the certificates of the TLS they
// may go on with. Each message is a transaction.
//
// message.go reads messages, log.go writes EVE's member rdp.
package rdp

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

const complete = 1

// Protocol is RDP.
var Protocol = &app.Protocol{
	Name: "rdp", Transport: app.TCP, Ports: []uint16{3389}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Logs:     []app.Log{{Type: "rdp", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// version is the first byte of packets of TPKT (RFC 1006, 6).
const version = 3

func probe(_ app.Dir, data []byte) app.Verdict {
	switch {
	case len(data) == 0:
		return app.Unsure
	case data[0] == version:
		return app.Yes
	}
	return app.No
}

// tx is a message.
type tx struct {
	app.State
	*message
}

// Limits of what is kept.
const (
	maxTxs       = 64
	maxHandshake = 64 << 10
)

type parser struct {
	app.Messages
	ctx       *app.Context
	tls       bool
	handshake []byte // Of the server.
	done      bool   // Nothing that follows can be read.
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for !p.done && consumed < len(in.Data) {
		rest := in.Data[consumed:]
		const handshake = 22
		p.tls = p.tls || rest[0] == handshake
		if !p.tls && rest[0] != version {
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		}
		r := wire.Reader{B: rest[1:]}
		var content []byte
		if p.tls {
			r.Skip(2)
			content = r.Take(int(r.BE16()))
		} else {
			r.Skip(1)
			content = r.Take(int(r.BE16()) - 4)
		}
		switch {
		case r.Bad:
			return consumed, 0
		case p.tls && in.Dir == app.ToClient && rest[0] == handshake:
			p.hello(content)
		case !p.tls:
			p.take(in.Dir, read(content))
		}
		consumed = len(in.Data) - len(r.B)
	}
	if p.done {
		return len(in.Data), 0
	}
	return consumed, 0
}

// take makes a transaction of a message, if it goes where one of its kind does.
func (p *parser) take(dir app.Dir, m *message) {
	toClient := m.kind == initialResponse || m.kind == connectResponse || m.kind == tlsHandshake
	if m.kind == other || toClient != (dir == app.ToClient) {
		return
	}
	p.Single(p.ctx.Hooks, dir, &tx{message: m}, maxTxs)
	p.done = m.kind == connectResponse || m.kind == tlsHandshake
}

// hello takes bytes of the server's handshake up to its certificates.
func (p *parser) hello(b []byte) {
	p.handshake = append(p.handshake, b...)
	for !p.done {
		r := wire.Reader{B: p.handshake}
		kind := r.U8()
		content := r.Take(int(r.U8())<<16 | int(r.BE16()))
		if r.Bad {
			p.done = len(p.handshake) > maxHandshake
			return
		}
		const certificate = 11
		if kind == certificate {
			p.take(app.ToClient, readCertificates(content))
		}
		p.handshake = r.B
	}
}

// Buffer implements app.Tx.
func (*tx) Buffer(suricata.Buffer, app.Dir, int, *[]byte) (match.Buffer, bool) {
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (*tx) Match(*suricata.Option, app.Dir) bool { return false }
