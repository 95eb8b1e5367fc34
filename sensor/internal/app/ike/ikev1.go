package ike

import (
	"bytes"
	"encoding/hex"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Payloads of IKE 1 (RFC 2408, 3.1).
const (
	payloadSA          = 1
	payloadProposal    = 2
	payloadTransform   = 3
	payloadKeyExchange = 4
	payloadNonce       = 10
	payloadVendor      = 13
)

// Limits of a message.
const (
	maxPayloads   = 256
	maxAttributes = 64
)

// attribute is one of a transform (RFC 2408, 3.3).
type attribute struct {
	kind    uint16
	coded   uint16 // The value where it is a code.
	numeric bool
	number  uint32
	text    string // In hex, of others.
}

// message1 reads the payloads of IKE 1. It returns false if they make no sense.
func (p *parser) message1(t *tx, b []byte) bool {
	const encrypted = 1
	t.payloads = []uint8{t.next}
	if t.encrypted = t.flags&encrypted != 0; t.encrypted {
		return true
	}
	rest, ok := p.payloads1(t, t.next, b)
	if !ok {
		return false
	}
	slices.Sort(t.payloads)
	t.payloads = slices.Compact(t.payloads)
	s := &p.sides[t.dir]
	if slices.Contains(t.payloads, payloadSA) {
		*s = side{}
	}
	s.keyExchange, s.nonce = t.keyExchange, t.nonce
	if s.proposals == 0 && len(t.proposals) > 0 {
		s.first = t.proposals[0]
	}
	before := s.proposals
	s.proposals += len(t.proposals)
	if t.dir == app.ToClient && before <= 1 && s.proposals > 1 {
		t.Raise(manyServerProposals)
	}
	if len(rest) > 0 {
		t.Raise(extraData)
	}
	return true
}

// payloads1 reads payloads that begin with one of a type, and returns what
// follows the last.
func (p *parser) payloads1(t *tx, kind uint8, b []byte) (rest []byte, ok bool) {
	for {
		r := wire.Reader{B: b}
		next := r.U8()
		r.Skip(1)
		size := int(r.BE16())
		content := r.Take(max(0, size-4))
		if r.Bad {
			return b, true
		}
		if len(t.payloads) >= maxPayloads {
			return nil, false
		}
		t.payloads = append(t.payloads, kind)
		if !p.payload1(t, kind, content) {
			return nil, false
		}
		kind, b = next, r.B
	}
}

func (p *parser) payload1(t *tx, kind uint8, b []byte) bool {
	r := wire.Reader{B: b}
	switch kind {
	case payloadSA:
		const ipsec = 1
		p.domain, p.hasDomain = r.BE32(), true
		if p.domain != ipsec {
			return true
		}
		r.Skip(4) // Situation
		_, ok := p.payloads1(t, payloadProposal, r.B)
		return ok && !r.Bad
	case payloadProposal:
		r.Skip(2)
		spi := int(r.U8())
		r.Skip(1 + spi)
		_, ok := p.payloads1(t, payloadTransform, r.B)
		return ok && !r.Bad
	case payloadTransform:
		r.Skip(4)
		if !r.Bad {
			t.proposals = append(t.proposals, readAttributes(r))
		}
	case payloadKeyExchange:
		t.keyExchange = bytes.Clone(b)
	case payloadNonce:
		t.nonce = bytes.Clone(b)
	case payloadVendor:
		t.vendors = append(t.vendors, hex.EncodeToString(b))
	}
	return true
}

func readAttributes(r wire.Reader) (list []attribute) {
	for len(r.B) > 0 && len(list) < maxAttributes {
		const short = 1 << 15
		kind := r.BE16()
		a := attribute{kind: kind &^ short, coded: r.BE16()}
		switch {
		case kind&short != 0:
			a.numeric, a.number = true, uint32(a.coded)
		case a.coded == 4:
			a.numeric, a.number = true, r.BE32()
		default:
			a.text = hex.EncodeToString(r.Take(int(a.coded)))
		}
		if r.Bad {
			break
		}
		list = append(list, a)
	}
	return list
}
