// Package ntp reads NTP 3 and 4 (RFC 1305, RFC 5905). Every message is a
// transaction.
package ntp

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	unsolicited app.EventID = iota
	malformed
)

const complete = 1

// Protocol is NTP.
var Protocol = &app.Protocol{
	Name: "ntp", Transport: app.UDP, Ports: []uint16{123}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: app.OneStep,
	Buffers: slices.Concat(app.Extractors(app.ToServer, complete, suricata.BufNTPReferenceID),
		app.Extractors(app.ToClient, complete, suricata.BufNTPReferenceID)),
	Events: []string{unsolicited: "unsolicited_response", malformed: "malformed_data"},
	Logs:   []app.Log{{Type: "ntp", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

const (
	headerSize = 48
	maxTxs     = 256
)

// valid says whether b is a message of a version that is known.
func valid(b []byte) bool {
	if len(b) < headerSize {
		return false
	}
	version := b[0] >> 3 & 7
	return version == 3 || version == 4
}

func probe(_ app.Dir, b []byte) app.Verdict {
	if valid(b) {
		return app.Yes
	}
	return app.No
}

// message is one of a client or a server.
type message struct {
	app.State
	version, mode, stratum uint8
	reference              [4]byte
}

type parser struct {
	app.Messages
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	b := in.Data
	if !valid(b) {
		if txs := p.Txs(); len(txs) > 0 {
			txs[len(txs)-1].Common().Raise(malformed)
		}
		return len(b), 0
	}
	m := &message{version: b[0] >> 3 & 7, mode: b[0] & 7, stratum: b[1]}
	copy(m.reference[:], b[12:])
	p.Single(p.ctx.Hooks, in.Dir, m, maxTxs)
	return len(b), 0
}

// Buffer implements app.Tx.
func (m *message) Buffer(_ suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	return match.Buffer{Data: m.reference[:]}, i == 0
}

// Match implements app.Tx.
func (m *message) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "ntp.version":
		return app.MatchUint(o, uint64(m.version))
	case "ntp.mode":
		return app.MatchUint(o, uint64(m.mode))
	case "ntp.stratum":
		return app.MatchUint(o, uint64(m.stratum))
	}
	return false
}

// appendLog writes the member ntp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	m := x.(*message)
	w.Object("ntp")
	w.Uint("version", uint64(m.version))
	w.Uint("mode", uint64(m.mode))
	w.Uint("stratum", uint64(m.stratum))
	w.HexSep("reference_id", m.reference[:], ":")
	w.Close()
}
