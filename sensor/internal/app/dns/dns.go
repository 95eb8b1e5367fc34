// Package dns reads DNS over UDP and TCP. A query and its answer are two
// transactions, as in Suricata 8: what they have in common is their id.
//
// Names are written with dots between the labels, and with all their bytes;
// message.go reads them and the records, log.go writes EVE's member dns
// (version 3).
package dns

import (
	"encoding/binary"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

var be = binary.BigEndian

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	notRequest
	notResponse
	zFlag
	invalidOpcode
	nameTooLong
	infiniteLoop
	tooManyLabels
	invalidAdditionals
	invalidAuthorities
)

const complete = 1

// Protocol is DNS.
var Protocol = &app.Protocol{
	Name: "dns", Transport: app.UDP | app.TCP, Probe: probe, Ports: []uint16{53},
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: []app.Extractor{
		{Buffer: suricata.BufDNSQuery, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSQueryName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSQueryName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSAnswerName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSAnswerName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSQueriesName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSQueriesName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSAnswersName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSAnswersName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSAuthoritiesName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSAuthoritiesName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSAdditionalsName, Dir: app.ToServer, Step: complete},
		{Buffer: suricata.BufDNSAdditionalsName, Dir: app.ToClient, Step: complete},
		{Buffer: suricata.BufDNSResponseName, Dir: app.ToClient, Step: complete},
	},
	Events: []string{
		malformed: "malformed_data", notRequest: "not_request", notResponse: "not_response", zFlag: "z_flag_set", invalidOpcode: "invalid_opcode",
		nameTooLong: "name_too_long", infiniteLoop: "infinite_loop", tooManyLabels: "too_many_labels",
		invalidAdditionals: "invalid_additionals", invalidAuthorities: "invalid_authorities",
	},
	Logs: []app.Log{{Type: "dns", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// probe says whether a message, over TCP behind its length, is DNS.
func probe(dir app.Dir, data []byte) app.Verdict {
	if v := probeMessage(dir, data); v == app.Yes || v == app.Reversed {
		return v
	}
	if len(data) >= 2+headerLen {
		if n := int(be.Uint16(data)); n >= headerLen {
			return probeMessage(dir, data[2:min(len(data), 2+n)])
		}
	}
	if len(data) < 2+headerLen {
		return app.Unsure
	}
	return app.No
}

func probeMessage(_ app.Dir, data []byte) app.Verdict {
	if len(data) < headerLen {
		return app.No
	}
	flags := be.Uint16(data[2:])
	questions, records := int(be.Uint16(data[4:])), int(be.Uint16(data[6:]))+int(be.Uint16(data[8:]))+int(be.Uint16(data[10:]))
	if opcode := flags >> 11 & 0xf; opcode > 6 || questions > 32 || questions+records == 0 {
		return app.No
	}
	if questions*5+records*11 > len(data)-headerLen {
		return app.No
	}
	if questions > 0 {
		r := reader{msg: data, at: headerLen}
		if _, ok := r.name(); !ok {
			return app.No
		}
	}
	return app.Yes
}

// maxTxs bounds the transactions that wait to be judged.
const maxTxs = 500

type parser struct {
	app.Queue
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if p.ctx.Flow.UDP {
		p.message(in.Dir, in.Data)
		return len(in.Data), 0
	}
	for {
		rest := in.Data[consumed:]
		if len(rest) < 2 {
			return consumed, 2
		}
		n := 2 + int(be.Uint16(rest))
		if len(rest) < n {
			return consumed, n - len(rest)
		}
		if n > 2 {
			p.message(in.Dir, rest[2:n])
		}
		consumed += n
	}
}

func (p *parser) message(dir app.Dir, data []byte) {
	t := &tx{}
	t.Skip[dir.Other()] = true
	t.Progress[dir] = complete
	p.Push(p.ctx.Hooks, t, maxTxs)
	if !t.read(data) {
		t.Raise(malformed)
		return
	}
	switch {
	case dir == app.ToServer && t.flags&flagQR != 0:
		t.Raise(notRequest)
	case dir == app.ToClient && t.flags&flagQR == 0:
		t.Raise(notResponse)
	}
	if t.flags&flagZ != 0 {
		t.Raise(zFlag)
	}
	if t.opcode() >= 7 {
		t.Raise(invalidOpcode)
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return true }

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	ofQuestions := func() (match.Buffer, bool) {
		if i >= len(t.questions) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: t.questions[i].name}, true
	}
	of := func(list []record) (match.Buffer, bool) {
		if i >= len(list) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: list[i].name}, true
	}
	switch b {
	case suricata.BufDNSQuery, suricata.BufDNSQueryName, suricata.BufDNSQueriesName:
		return ofQuestions()
	case suricata.BufDNSAnswerName, suricata.BufDNSAnswersName:
		return of(t.answers)
	case suricata.BufDNSAuthoritiesName:
		return of(t.authorities)
	case suricata.BufDNSAdditionalsName:
		return of(t.additionals)
	case suricata.BufDNSResponseName:
		if i < len(t.questions) {
			return ofQuestions()
		}
		i -= len(t.questions)
		for _, section := range [][]record{t.answers, t.authorities} {
			if i < len(section) {
				return of(section)
			}
			i -= len(section)
		}
		return of(t.additionals)
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	u, ok := o.Value.(*suricata.Uint)
	if !ok {
		return false
	}
	switch o.Name {
	case "dns.opcode":
		return u.Match(uint64(t.opcode()))
	case "dns.rcode":
		return u.Match(uint64(t.flags & 0xf))
	case "dns.rrtype":
		for _, q := range t.questions {
			if u.Match(uint64(q.kind)) {
				return true
			}
		}
		for _, r := range t.answers {
			if u.Match(uint64(r.kind)) {
				return true
			}
		}
	}
	return false
}
