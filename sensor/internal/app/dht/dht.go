// Package dht reads the messages by which BitTorrent finds peers (BEP 5).
// Every message is a transaction.
//
// bencode.go reads the notation, dht.go what it says.
package dht

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

const malformed app.EventID = 0

const complete = 1

// prefix is how a query begins that has only one form.
const prefix = "d1:ad2:id20:"

// Protocol is BitTorrent's distributed hash table.
var Protocol = &app.Protocol{
	Name: "bittorrent-dht", Transport: app.UDP,
	Signatures: []app.Signature{{Dir: app.ToServer, Text: prefix, Depth: len(prefix)}, {Dir: app.ToClient, Text: prefix, Depth: len(prefix)}},
	New:        func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress:   app.OneStep,
	Events:     []string{malformed: "malformed_packet"},
	Logs:       []app.Log{{Type: "bittorrent_dht", With: "bittorrent-dht", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

const maxTxs = 256

// message is a query, an answer or an error.
type message struct {
	app.Opaque
	kind byte // 'q', 'r', 'e'; 0: it makes no sense.
	body value
}

type parser struct {
	app.Messages
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	head := string(in.Data[:min(5, len(in.Data))])
	if !strings.Contains(" d1:ad d1:rd d2:ip d1:el ", " "+head+" ") {
		return len(in.Data), 0 // Other messages share the port.
	}
	m := &message{}
	if v, ok := decode(bytes.Clone(in.Data)); ok && valid(&v) {
		m.kind, m.body = v.get("y").text[0], v
	} else {
		m.Raise(malformed)
	}
	p.Single(p.ctx.Hooks, in.Dir, m, maxTxs)
	return len(in.Data), 0
}

// valid says whether a message has what its kind needs.
func valid(v *value) bool {
	if v.kind != dict || v.get("t").kind != text {
		return false
	}
	switch string(v.get("y").text) {
	case "q":
		return v.get("q").kind == text && v.get("a").get("id").kind == text
	case "r":
		return v.get("r").get("id").kind == text
	case "e":
		e := v.get("e")
		return e.kind == list && len(e.list) >= 2 && e.list[0].kind == number && e.list[1].kind == text
	}
	return false
}

// appendLog writes the member bittorrent_dht of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	m := x.(*message)
	w.Object("bittorrent_dht")
	w.Hex("transaction_id", m.body.get("t").text)
	m.body.hex(w, "v", "client_version")
	switch m.kind {
	case 'q':
		w.Text("request_type", m.body.get("q").text)
		m.body.get("a").logQuery(w)
	case 'r':
		m.body.get("r").logAnswer(w)
	case 'e':
		e := m.body.get("e").list
		w.Object("error")
		w.Int("num", e[0].number)
		w.Text("msg", e[1].text)
		w.Close()
	}
	w.Close()
}

// hex writes the bytes of a key under another name, if they are there.
func (v *value) hex(w *jsonw.Writer, key, name string) {
	if x := v.get(key); x.kind == text {
		w.Hex(name, x.text)
	}
}

func (v *value) logQuery(w *jsonw.Writer) {
	w.Object("request")
	for _, key := range []string{"id", "target", "info_hash", "token"} {
		v.hex(w, key, key)
	}
	for _, key := range []string{"implied_port", "port"} {
		if x := v.get(key); x.kind == number {
			w.Int(key, x.number)
		}
	}
	w.Close()
}

func (v *value) logAnswer(w *jsonw.Writer) {
	w.Object("response")
	v.hex(w, "id", "id")
	logNodes(w, "nodes", v.get("nodes").text, 4)
	logNodes(w, "nodes6", v.get("nodes6").text, 16)
	if peers := v.get("values").list; len(peers) > 0 {
		w.Array("values")
		for _, p := range peers {
			if n := len(p.text) - 2; n == 4 || n == 16 {
				w.Object("")
				end(w, p.text[:n], p.text[n:])
			}
		}
		w.Close()
	}
	v.hex(w, "token", "token")
	w.Close()
}

// logNodes writes nodes whose addresses have a size in bytes.
func logNodes(w *jsonw.Writer, key string, b []byte, size int) {
	const id = 20
	if len(b) < id+size+2 {
		return
	}
	w.Array(key)
	for ; len(b) >= id+size+2; b = b[id+size+2:] {
		w.Object("")
		w.Hex("id", b[:id])
		end(w, b[id:id+size], b[id+size:])
	}
	w.Close()
}

// end writes an address and a port, and closes their object.
func end(w *jsonw.Writer, ip, port []byte) {
	if a, ok := netip.AddrFromSlice(ip); ok {
		w.String("ip", a.StringExpanded())
	}
	w.Uint("port", uint64(binary.BigEndian.Uint16(port)))
	w.Close()
}
