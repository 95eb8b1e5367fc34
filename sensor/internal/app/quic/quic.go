// Package quic reads the beginning of QUIC, versions 1 and 2, their drafts and
// Google's QUIC before them. What the two sides say first is protected only by
// keys that both the packet and everyone on the way know; it is opened, put
// together and read like TLS. All that follows is encrypted.
//
// A transaction is a packet with a long header. packet.go reads headers,
// keys.go removes the protection, frames.go reads frames and Google's handshake.
package quic

import (
	"encoding/binary"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/hello"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	failedDecrypt app.EventID = iota
	errorOnData
	cryptoTooLong
)

// Protocol is QUIC.
var Protocol = &app.Protocol{
	Name: "quic", Transport: app.UDP, Ports: []uint16{443, 80}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: append(
		app.Extractors(app.ToServer, 1, suricata.BufQUICSNI, suricata.BufQUICUA, suricata.BufQUICVersion, suricata.BufQUICCYUHash,
			suricata.BufQUICCYUString, suricata.BufJA3Hash, suricata.BufJA3String, suricata.BufJA4Hash),
		app.Extractors(app.ToClient, 1, suricata.BufQUICVersion, suricata.BufJA3SHash, suricata.BufJA3SString)...),
	Events: []string{failedDecrypt: "failed_decrypt", errorOnData: "error_on_data", cryptoTooLong: "crypto_frag_too_long"},
	Logs:   []app.Log{{Type: "quic", Step: [2]uint8{1, 1}, Append: appendLog}},
}

func probe(_ app.Dir, data []byte) app.Verdict {
	if _, _, ok := readHeader(data); ok {
		return app.Yes
	}
	return app.No
}

// tx is a packet.
type tx struct {
	app.State
	long    bool
	version version
	hello   hello.Hello // If the packet completes one.
	sni, ua []byte
	cyu     []cyu
}

type parser struct {
	app.Messages
	ctx     *app.Context
	keys    *keys
	retried bool
	crypto  [2]assembly
	done    [2]bool // The hello was seen: what follows is encrypted.
}

// maxTxs bounds the packets that wait to be judged.
const maxTxs = 64

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	data := in.Data
	for len(data) > 0 && !p.done[in.Dir] {
		h, rest, ok := readHeader(data)
		if !ok || h.kind == short {
			break
		}
		size := len(data) - len(rest) + h.size
		p.packet(in.Dir, &h, data[:size], size-h.size)
		data = data[size:]
	}
	return len(in.Data), 0
}

// packet takes a packet whose header has head bytes.
func (p *parser) packet(dir app.Dir, h *header, data []byte, head int) {
	if h.kind == retry && dir == app.ToClient && p.keys != nil && !p.retried {
		// The client begins anew with an id of the server's (RFC 9000 section 17.2.5).
		p.keys, p.retried = nil, true
		p.done, p.crypto = [2]bool{}, [2]assembly{}
	}
	t := &tx{long: h.long, version: h.version}
	if h.kind == initial {
		p.initial(t, dir, h, data, head)
	}
	p.Single(p.ctx.Hooks, dir, t, maxTxs)
}

func (p *parser) initial(t *tx, dir app.Dir, h *header, data []byte, head int) {
	plain := data[head:]
	if !h.version.google() {
		var ok bool
		if plain, ok = p.open(dir, h, data, head); !ok {
			if salt(h.version) != nil {
				t.Raise(failedDecrypt)
			}
			return
		}
	}
	a := &p.crypto[dir]
	messages, ok := frames(plain, h.version, func(offset uint64, piece []byte) {
		if !a.add(offset, piece) {
			t.Raise(cryptoTooLong)
		}
	})
	if !ok {
		t.Raise(errorOnData)
		return
	}
	for i := range messages {
		m := &messages[i]
		t.sni, t.ua = m.get("SNI"), m.get("UAID")
		t.cyu = append(t.cyu, newCYU(h.version, m))
	}
	const clientHello, serverHello = 1, 2
	kind, body, ok := a.message()
	if !ok || kind != clientHello && kind != serverHello {
		return
	}
	if t.hello, ok = hello.Read(body, kind == clientHello); ok {
		t.sni = t.hello.SNI
		p.done[dir] = true
	}
	*a = assembly{}
}

// open removes a packet's protection with the keys of the connection, which
// the first packet decides, or those the packet itself would decide.
func (p *parser) open(dir app.Dir, h *header, data []byte, head int) ([]byte, bool) {
	if p.keys != nil {
		if plain, ok := p.keys.open(dir, data, head); ok || dir == app.ToClient {
			return plain, ok
		}
	}
	k := newKeys(h.version, h.dcid)
	if k == nil {
		return nil, false
	}
	plain, ok := k.open(dir, data, head)
	if ok || p.keys == nil {
		p.keys = k
	}
	return plain, ok
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, scratch *[]byte) (match.Buffer, bool) {
	one := func(data []byte, ok bool) (match.Buffer, bool) { return match.Buffer{Data: data}, ok && i == 0 }
	h := &t.hello
	switch b {
	case suricata.BufQUICSNI:
		return one(t.sni, t.sni != nil)
	case suricata.BufQUICUA:
		return one(t.ua, t.ua != nil)
	case suricata.BufQUICVersion:
		*scratch = binary.BigEndian.AppendUint32((*scratch)[:0], uint32(t.version))
		return one(*scratch, t.long)
	case suricata.BufQUICCYUHash, suricata.BufQUICCYUString:
		if i >= len(t.cyu) {
			return match.Buffer{}, false
		}
		if b == suricata.BufQUICCYUHash {
			return match.Buffer{Data: t.cyu[i].hash}, true
		}
		return match.Buffer{Data: t.cyu[i].text}, true
	}
	if !h.Known {
		return match.Buffer{}, false
	}
	switch b {
	case suricata.BufJA3Hash, suricata.BufJA3SHash:
		return one(h.JA3Hash(), h.Client == (b == suricata.BufJA3Hash))
	case suricata.BufJA3String, suricata.BufJA3SString:
		return one(h.JA3(), h.Client == (b == suricata.BufJA3String))
	case suricata.BufJA4Hash:
		return one(h.JA4('q'), h.Client)
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *tx) Match(*suricata.Option, app.Dir) bool { return false }

// String is how EVE calls a version.
func (v version) String() string {
	switch v {
	case 0x51303339, q043, q044, q045, q046:
		return string(binary.BigEndian.AppendUint32(nil, uint32(v)))
	case v2:
		return "v2"
	}
	return strconv.FormatUint(uint64(v), 16)
}

// appendLog writes the member quic of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("quic")
	w.String("version", t.version.String())
	if t.sni != nil {
		w.Text("sni", t.sni)
	}
	if t.ua != nil {
		w.Text("ua", t.ua)
	}
	if len(t.cyu) > 0 {
		w.Array("cyu")
		for _, c := range t.cyu {
			w.Object("")
			w.Text("hash", c.hash)
			w.Text("string", c.text)
			w.Close()
		}
		w.Close()
	}
	if t.hello.Known {
		appendHello(w, &t.hello)
	}
	w.Close()
}

// appendHello writes the fingerprints and extensions of a hello.
func appendHello(w *jsonw.Writer, h *hello.Hello) {
	key := "ja3s"
	if h.Client {
		key = "ja3"
	}
	w.Object(key)
	w.Text("hash", h.JA3Hash())
	w.Text("string", h.JA3())
	w.Close()
	if h.Client {
		w.Text("ja4", h.JA4('q'))
	}
	if len(h.Extensions) == 0 {
		return
	}
	w.Array("extensions")
	for _, kind := range h.Extensions {
		w.Object("")
		if name := hello.ExtensionName(kind); name != "" {
			w.String("name", name)
		}
		w.Uint("type", uint64(kind))
		appendValues(w, h, kind)
		w.Close()
	}
	w.Close()
}

// appendValues writes what an extension says, if it is told.
func appendValues(w *jsonw.Writer, h *hello.Hello, kind uint16) {
	m := w.Mark()
	w.Array("values")
	switch kind {
	case hello.ServerName:
		if h.SNI != nil {
			w.Text("", h.SNI)
		}
	case hello.ALPN:
		for _, a := range h.ALPN {
			w.Text("", a)
		}
	case hello.Signatures:
		for _, s := range h.Signatures {
			w.String("", hello.SignatureName(s))
		}
	case hello.SupportedVersions:
		for _, v := range h.Versions {
			w.String("", hello.VersionName(v))
		}
	}
	if w.Empty() {
		w.Back(m)
		return
	}
	w.Close()
}
