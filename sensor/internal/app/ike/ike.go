// Package ike reads the headers and open payloads of IKE 1 (RFC 2408, 2409)
// and 2 (RFC 7296). Each message is a transaction.
//
// ikev1.go and ikev2.go read payloads, names.go has the names of algorithms,
// log.go writes EVE's member ike.
package ike

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	noEncryption
	weakEncryption
	weakPRF
	weakDH
	weakAuth
	noDH
	noAuth
	invalidProposal
	unknownProposal
	extraData
	manyServerProposals
)

const complete = 1

// Protocol is IKE.
var Protocol = &app.Protocol{
	Name: "ike", Aliases: []string{"ikev2"}, Transport: app.UDP, Ports: []uint16{500}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: append(app.Extractors(app.ToServer, complete, suricata.BufIKEInitSPI, suricata.BufIKEVendor, suricata.BufIKEKeyExchangePayload, suricata.BufIKENoncePayload),
		app.Extractors(app.ToClient, complete, suricata.BufIKERespSPI, suricata.BufIKEKeyExchangePayload, suricata.BufIKENoncePayload)...),
	Events: []string{
		malformed: "malformed_data", noEncryption: "no_encryption", weakEncryption: "weak_crypto_enc", weakPRF: "weak_crypto_prf", weakDH: "weak_crypto_dh",
		weakAuth: "weak_crypto_auth", noDH: "weak_crypto_no_dh", noAuth: "weak_crypto_no_auth", invalidProposal: "invalid_proposal",
		unknownProposal: "unknown_proposal", extraData: "payload_extra_data", manyServerProposals: "multiple_server_proposal",
	},
	Logs: []app.Log{{
		Type: "ike", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog,
		Options: func(get func(string) (string, bool)) (any, error) { return app.On(get, "extended"), nil },
	}},
}

// header is that of a message (RFC 7296, 3.1).
type header struct {
	initiator, responder   uint64
	next                   uint8
	major, minor           uint8
	exchange, flags        uint8
	id, size               uint32
	initiatorSPI, otherSPI string
}

func readHeader(r *wire.Reader) (h header) {
	h.initiator, h.responder = r.BE64(), r.BE64()
	h.next = r.U8()
	version := r.U8()
	h.major, h.minor = version>>4, version&15
	h.exchange, h.flags = r.U8(), r.U8()
	h.id, h.size = r.BE32(), r.BE32()
	h.initiatorSPI, h.otherSPI = fmt.Sprintf("%016x", h.initiator), fmt.Sprintf("%016x", h.responder)
	return h
}

// probe looks at the header.
func probe(dir app.Dir, data []byte) app.Verdict {
	r := wire.Reader{B: data}
	h := readHeader(&r)
	switch {
	case r.Bad:
		return app.No
	case h.major == 2 && (h.minor != 0 || h.exchange < 34 || h.exchange > 37 || int(h.size) != len(data)):
		return app.No
	case h.major != 1 && h.major != 2:
		return app.No
	case h.responder == 0 && dir != app.ToServer:
		return app.Reversed
	}
	return app.Yes
}

// tx is a message.
type tx struct {
	app.State
	parser *parser // For what belongs to the exchange.
	header
	dir app.Dir

	payloads []uint8

	// IKE 1
	encrypted          bool
	keyExchange, nonce []byte
	vendors            []string
	proposals          [][]attribute

	// IKE 2
	chosen   []transform
	errors   int
	notified []uint16
}

// side is what an end of IKE 1 said so far.
type side struct {
	keyExchange, nonce []byte
	proposals          int
	first              []attribute
}

type parser struct {
	app.Messages
	ctx *app.Context

	domain    uint32 // Of interpretation, IKE 1,
	hasDomain bool   // if it was said.
	sides     [2]side

	chosen [6]uint16 // By type of transform, IKE 2.
}

// maxTxs bounds the messages that wait.
const maxTxs = 256

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	r := wire.Reader{B: in.Data}
	t := &tx{parser: p, header: readHeader(&r), dir: in.Dir}
	ok := !r.Bad
	switch {
	case ok && t.major == 1:
		ok = p.message1(t, r.B)
	case ok && t.major == 2:
		p.message2(t, r.B)
	default:
		ok = false
	}
	if ok {
		p.Single(p.ctx.Hooks, in.Dir, t, maxTxs)
	}
	return len(in.Data), 0
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if b == suricata.BufIKEVendor {
		if i < len(t.vendors) {
			return match.Buffer{Data: []byte(t.vendors[i])}, true
		}
		return match.Buffer{}, false
	}
	if i > 0 {
		return match.Buffer{}, false
	}
	switch b {
	case suricata.BufIKEInitSPI:
		return match.Buffer{Data: []byte(t.initiatorSPI)}, true
	case suricata.BufIKERespSPI:
		return match.Buffer{Data: []byte(t.otherSPI)}, true
	case suricata.BufIKEKeyExchangePayload:
		return match.Buffer{Data: t.keyExchange}, len(t.keyExchange) > 0
	case suricata.BufIKENoncePayload:
		return match.Buffer{Data: t.nonce}, len(t.nonce) > 0
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "ike.exchtype":
		return app.MatchUint(o, uint64(t.exchange))
	case "ike.key_exchange_payload_length":
		return len(t.keyExchange) > 0 && app.MatchUint(o, uint64(len(t.keyExchange)))
	case "ike.nonce_payload_length":
		return len(t.nonce) > 0 && app.MatchUint(o, uint64(len(t.nonce)))
	case "ike.chosen_sa_attribute":
		name, value, _ := strings.Cut(o.Value.String(), "=")
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
		return err == nil && t.dir == app.ToClient && t.chose(strings.TrimSpace(name), uint32(n))
	}
	return false
}

// chose says whether the first proposal has an attribute of a value.
func (t *tx) chose(name string, value uint32) bool {
	if t.major == 1 {
		if len(t.proposals) == 0 {
			return false
		}
		for _, a := range t.proposals[0] {
			if a.name() == name && a.numeric {
				return a.number == value
			}
		}
		return false
	}
	for _, x := range t.chosen {
		if int(x.kind) < len(transformKeys) && transformKeys[x.kind] == name {
			return uint32(x.id) == value
		}
	}
	return false
}
