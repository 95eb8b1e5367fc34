package ike

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// appendLog writes the member ike of an event; options says whether exchanges
// are told by name.
func appendLog(w *jsonw.Writer, x app.Tx, options any) {
	t := x.(*tx)
	extended, _ := options.(bool)
	w.Object("ike")
	w.Uint("version_major", uint64(t.major))
	w.Uint("version_minor", uint64(t.minor))
	w.String("init_spi", t.initiatorSPI)
	w.String("resp_spi", t.otherSPI)
	w.Uint("message_id", uint64(t.id))
	w.Uint("exchange_type", uint64(t.exchange))
	if t.major == 1 {
		if name, ok := exchanges[t.exchange]; ok && extended {
			w.String("exchange_type_verbose", name)
		}
		t.log1(w)
	} else {
		t.log2(w)
	}
	w.Close()
}

// logAttributes writes the attributes of a transform, each once.
func logAttributes(w *jsonw.Writer, list []attribute) {
	seen := map[string]bool{}
	for i := range list {
		a := &list[i]
		key := a.name()
		if seen[key] {
			continue
		}
		seen[key] = true
		w.String(key, a.value())
		switch {
		case a.numeric:
			w.Uint(key+"_raw", uint64(a.number))
		default:
			w.String(key+"_raw", a.text)
		}
	}
}

// logProposals writes an array of transforms.
func logProposals(w *jsonw.Writer, key string, list [][]attribute) {
	w.Array(key)
	for _, x := range list {
		w.Object("")
		logAttributes(w, x)
		w.Close()
	}
	w.Close()
}

func (t *tx) log1(w *jsonw.Writer) {
	p := t.parser
	logAttributes(w, p.sides[app.ToClient].first)
	if t.dir == app.ToClient && len(t.proposals) > 1 {
		logProposals(w, "server_proposals", t.proposals)
	}
	logPayloads(w, t.payloads, payloads1, "")
	w.Object("ikev1")
	if p.hasDomain {
		w.Uint("doi", uint64(p.domain))
	}
	w.Bool("encrypted_payloads", t.encrypted)
	if !t.encrypted {
		for dir, key := range []string{"client", "server"} {
			w.Object(key)
			p.sides[dir].log(w)
			if dir == int(app.ToServer) && t.dir == app.ToServer && len(t.proposals) > 0 {
				logProposals(w, "proposals", t.proposals)
			}
			w.Close()
		}
		if len(t.vendors) > 0 {
			w.Array("vendor_ids")
			for _, v := range t.vendors {
				w.String("", v)
			}
			w.Close()
		}
	}
	w.Close()
}

func (s *side) log(w *jsonw.Writer) {
	for _, x := range []struct {
		key  string
		data []byte
	}{{"key_exchange_payload", s.keyExchange}, {"nonce_payload", s.nonce}} {
		if len(x.data) > 0 {
			w.Hex(x.key, x.data)
			w.Uint(x.key+"_length", uint64(len(x.data)))
		}
	}
}

// logPayloads writes the names of payloads; other is how those without one are
// shown, empty: not at all.
func logPayloads(w *jsonw.Writer, list []uint8, names map[uint8]string, other string) {
	w.Array("payload")
	for _, n := range list {
		if name, ok := names[n]; ok {
			w.String("", name)
		} else if other != "" {
			w.String("", fmt.Sprintf("%s(%d / 0x%x)", other, n, n))
		}
	}
	w.Close()
}

func (t *tx) log2(w *jsonw.Writer) {
	const initiator = 0x08
	if t.flags&initiator != 0 {
		w.String("role", "initiator")
	} else {
		w.String("role", "responder")
		for _, kind := range []uint8{transformEncryption, transformAuth, transformPRF, transformDH, transformESN} {
			id := t.parser.chosen[kind]
			if kind == transformEncryption && id == 0 {
				id = 11 // None so far is the null cipher.
			}
			w.String(transformKeys[kind], transform{kind, id}.name())
		}
	}
	logPayloads(w, t.payloads, payloads2, "IkePayloadType")
	w.Object("ikev2")
	w.Uint("errors", uint64(t.errors))
	if len(t.notified) > 0 {
		w.Array("notify")
		for _, n := range t.notified {
			w.String("", notification(n))
		}
		w.Close()
	}
	w.Close()
}
