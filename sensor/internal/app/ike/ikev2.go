package ike

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Payloads of IKE 2 (RFC 7296, 3.2) that are read.
const (
	payload2SA     = 33
	payload2Notify = 41
)

// Types of transforms (RFC 7296, 3.3.2).
const (
	transformEncryption = 1
	transformPRF        = 2
	transformAuth       = 3
	transformDH         = 4
	transformESN        = 5
)

// transform is one of a proposal.
type transform struct {
	kind uint8
	id   uint16
}

// message2 reads the payloads of IKE 2 as far as they make sense.
func (p *parser) message2(t *tx, b []byte) {
	kind := t.next
	t.payloads = []uint8{kind}
	for r := (wire.Reader{B: b}); kind != 0 && len(t.payloads) < maxPayloads; {
		next := r.U8()
		r.Skip(1)
		size := int(r.BE16())
		content := wire.Reader{B: r.Take(size - 4)}
		if r.Bad {
			return
		}
		t.payloads = append(t.payloads, next)
		switch kind {
		case payload2SA:
			p.proposals2(t, &content)
		case payload2Notify:
			content.Skip(2)
			if n := content.BE16(); !content.Bad {
				const firstStatus = 16384
				if n < firstStatus {
					t.errors++
				}
				t.notified = append(t.notified, n)
			}
		}
		kind = next
	}
}

// proposals2 reads the proposals of a security association.
func (p *parser) proposals2(t *tx, r *wire.Reader) {
	for n := 0; len(r.B) > 0 && n < maxPayloads; n++ {
		r.Skip(2)
		in := wire.Reader{B: r.Take(int(r.BE16()) - 4)}
		in.Skip(1)
		protocol, spi, count := in.U8(), int(in.U8()), int(in.U8())
		in.Skip(spi)
		var list []transform
		for range count {
			in.Skip(2)
			size := int(in.BE16())
			x := wire.Reader{B: in.Take(size - 4)}
			kind := x.U8()
			x.Skip(1)
			list = append(list, transform{kind, x.BE16()})
			if x.Bad {
				return
			}
		}
		if in.Bad || r.Bad {
			return
		}
		const ah = 2
		if protocol == ah {
			t.Raise(noEncryption)
		}
		t.judge(list)
		if t.dir == app.ToClient {
			for _, x := range list {
				if int(x.kind) < len(p.chosen) {
					p.chosen[x.kind] = x.id
				}
			}
			t.chosen = append(t.chosen, list...)
		}
	}
}

// judge raises what is weak in a proposal.
func (t *tx) judge(list []transform) {
	weak := map[uint8][]uint16{ // RFC 8247 and IANA's registry of IKEv2 parameters.
		transformEncryption: {1, 2, 3, 4, 5, 6, 7, 8, 9, 11},
		transformPRF:        {1, 2},
		transformAuth:       {1, 2, 3, 4, 5, 6, 7},
		transformDH:         {1, 2, 5, 22},
	}
	events := map[uint8]app.EventID{transformEncryption: weakEncryption, transformPRF: weakPRF, transformAuth: weakAuth, transformDH: weakDH}
	withDH, withAuth := false, false
	for _, x := range list {
		switch {
		case slices.Contains(weak[x.kind], x.id):
			t.Raise(events[x.kind])
		case x.id == 0 && (x.kind == transformPRF || x.kind == transformDH):
			t.Raise(invalidProposal)
		case x.kind == 0 || x.kind > transformESN:
			t.Raise(unknownProposal)
		}
		withDH = withDH || x.kind == transformDH
		withAuth = withAuth || x.kind == transformAuth && x.id != 0 || x.kind == transformEncryption && authenticates(x.id)
	}
	if !withDH {
		t.Raise(noDH)
	}
	if !withAuth {
		t.Raise(noAuth)
	}
}

// authenticates says whether an encryption algorithm does both.
func authenticates(id uint16) bool {
	return id >= 14 && id <= 16 || id >= 18 && id <= 20 || id >= 25 && id <= 28
}
