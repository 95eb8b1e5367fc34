// Package tls reads the part of TLS that is not encrypted: hellos, the
// server's certificates, and where the handshake ends. A connection is one
// transaction.
//
// Package hello reads hellos and makes the fingerprints JA3, JA3S and JA4;
// certificate.go reads X.509 without judging it, log.go writes EVE's member tls.
package tls

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/hello"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

var be = binary.BigEndian

// The events that are raised, by their number in Protocol.Events.
const (
	invalidRecordType app.EventID = iota
	invalidRecordVersion
	invalidRecordLength
	invalidHandshake
	invalidCertificate
)

// The steps of a connection in each direction.
const (
	begun uint8 = iota
	helloDone
	certDone
	handshakeDone
	finished
)

// Server steps: the hello, then the same as the client's.
const (
	serverHello     = helloDone
	serverCertDone  = certDone
	serverHelloDone = uint8(3)
	serverDone      = uint8(4)
	serverFinished  = uint8(5)
)

// Protocol is TLS.
var Protocol = &app.Protocol{
	Name: "tls", Aliases: []string{"ssl"}, Transport: app.TCP, Probe: probe,
	New: func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{
		{"client_in_progress", "client_hello_done", "client_cert_done", "client_handshake_done", "client_finished"},
		{"server_in_progress", "server_hello", "server_cert_done", "server_hello_done", "server_handshake_done", "server_finished"},
	},
	Buffers: slices.Concat(
		both(suricata.BufTLSCerts, certDone, serverCertDone), both(suricata.BufTLSCertSubject, certDone, serverCertDone),
		both(suricata.BufTLSCertIssuer, certDone, serverCertDone), both(suricata.BufTLSCertSerial, certDone, serverCertDone),
		both(suricata.BufTLSCertFingerprint, certDone, serverCertDone), both(suricata.BufTLSSubjectaltname, certDone, serverCertDone),
		both(suricata.BufTLSALPN, helloDone, serverHello), both(suricata.BufTLSRandom, helloDone, serverHello),
		both(suricata.BufTLSRandomTime, helloDone, serverHello), both(suricata.BufTLSRandomBytes, helloDone, serverHello),
		[]app.Extractor{
			{Buffer: suricata.BufTLSSNI, Dir: app.ToServer, Step: helloDone},
			{Buffer: suricata.BufJA3Hash, Dir: app.ToServer, Step: helloDone}, {Buffer: suricata.BufJA3String, Dir: app.ToServer, Step: helloDone},
			{Buffer: suricata.BufJA3SHash, Dir: app.ToClient, Step: serverHello}, {Buffer: suricata.BufJA3SString, Dir: app.ToClient, Step: serverHello},
			{Buffer: suricata.BufJA4Hash, Dir: app.ToServer, Step: helloDone},
		}),
	Events: []string{
		invalidRecordType: "invalid_record_type", invalidRecordVersion: "invalid_record_version", invalidRecordLength: "invalid_record_length",
		invalidHandshake: "invalid_handshake_message", invalidCertificate: "invalid_certificate",
	},
	Logs: []app.Log{{Type: "tls", Step: [2]uint8{helloDone, serverHelloDone}, Append: appendLog, Wanted: wanted, Options: readOptions}},
}

func both(b suricata.Buffer, client, server uint8) []app.Extractor {
	return []app.Extractor{{Buffer: b, Dir: app.ToServer, Step: client}, {Buffer: b, Dir: app.ToClient, Step: server}}
}

// The types of records (RFC 8446 section 5.1).
const (
	recordChange    = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	recordHeartbeat = 24
)

const recordHeader = 5

// probe looks for a record with a hello.
func probe(dir app.Dir, data []byte) app.Verdict {
	if len(data) < 6 {
		if len(data) == 0 || data[0] == recordHandshake {
			return app.Unsure
		}
		return app.No
	}
	if data[0] != recordHandshake || data[1] != 3 || data[2] > 4 {
		return app.No
	}
	const clientHello, helloFromServer = 1, 2
	switch data[5] {
	case clientHello:
		if dir == app.ToClient {
			return app.Reversed
		}
		return app.Yes
	case helloFromServer:
		if dir == app.ToServer {
			return app.No
		}
		return app.Yes
	}
	return app.No
}

// connection is the transaction.
type connection struct {
	app.State
	hellos  [2]hello.Hello
	certs   [2][]certificate
	chain   [2]int // How many certificates were sent.
	resumed bool
	now     int64 // Of the certificate's arrival, ns since 1970.
	ja3     bool  // Fingerprints are logged.
	ja4     bool
}

type parser struct {
	app.Queue
	ctx     *app.Context
	tx      *connection
	shown   bool      // There is something to tell of it.
	message [2][]byte // Of the handshake, not complete.
	secret  [2]bool   // What follows is encrypted.
}

func newParser(c *app.Context) *parser {
	return &parser{ctx: c, tx: &connection{
		ja3: c.Config.Fingerprints("tls.ja3-fingerprints", suricata.BufJA3Hash, suricata.BufJA3String, suricata.BufJA3SHash, suricata.BufJA3SString),
		ja4: c.Config.Fingerprints("tls.ja4-fingerprints", suricata.BufJA4Hash),
	}}
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	consumed, need = p.records(in)
	if !p.shown && (p.tx.Progress != [2]uint8{} || len(p.tx.Events) > 0) {
		p.shown = true
		p.Push(p.ctx.Hooks, p.tx, 1)
	}
	return consumed, need
}

func (p *parser) records(in *app.Input) (consumed, need int) {
	for {
		rest := in.Data[consumed:]
		if len(rest) < recordHeader {
			return consumed, recordHeader
		}
		kind, version, size := rest[0], be.Uint16(rest[1:]), int(be.Uint16(rest[3:]))
		if kind < recordChange || kind > recordHeartbeat {
			p.tx.Raise(invalidRecordType)
			p.stop()
			return len(in.Data), 0
		}
		if version>>8 != 3 {
			p.tx.Raise(invalidRecordVersion)
		}
		const maxRecord = 1<<14 + 2048
		if size > maxRecord {
			p.tx.Raise(invalidRecordLength)
			p.stop()
			return len(in.Data), 0
		}
		if kind == recordData && len(rest) > recordHeader {
			p.encrypted(in.Dir)
		}
		if len(rest) < recordHeader+size {
			return consumed, recordHeader + size - len(rest)
		}
		p.record(in, kind, rest[recordHeader:recordHeader+size])
		consumed += recordHeader + size
	}
}

func (p *parser) stop() {
	p.tx.Progress = [2]uint8{finished, serverFinished}
	p.ctx.Hooks.Stop(false)
}

func (p *parser) record(in *app.Input, kind byte, body []byte) {
	switch kind {
	case recordChange:
		p.secret[in.Dir] = true
		p.reach(in.Dir, handshakeDone, serverDone)
		if in.Dir == app.ToServer && len(p.tx.certs[app.ToClient]) == 0 && p.tx.hellos[app.ToClient].Known && !p.tx.hellos[app.ToClient].Modern() {
			p.tx.resumed = true
		}
	case recordHandshake:
		if !p.secret[in.Dir] {
			p.handshake(in, body)
		}
	case recordData:
		p.encrypted(in.Dir)
	}
}

// encrypted says that a direction is beyond its handshake.
func (p *parser) encrypted(dir app.Dir) {
	p.secret[dir] = true
	p.reach(dir, finished, serverFinished)
	if p.secret[0] && p.secret[1] && p.tx.Progress == [2]uint8{finished, serverFinished} {
		p.ctx.Hooks.Stop(p.ctx.Config.Text("tls.encryption-handling", "") == "bypass")
	}
}

func (p *parser) reach(dir app.Dir, client, server uint8) {
	step := client
	if dir == app.ToClient {
		step = server
	}
	p.tx.Progress[dir] = max(p.tx.Progress[dir], step)
}

// handshake takes a part of the handshake's messages.
func (p *parser) handshake(in *app.Input, body []byte) {
	dir := in.Dir
	p.message[dir] = append(p.message[dir], body...)
	for len(p.message[dir]) >= 4 {
		m := p.message[dir]
		size := int(m[1])<<16 | int(m[2])<<8 | int(m[3])
		if size > 1<<17 {
			p.tx.Raise(invalidHandshake)
			p.message[dir] = nil
			return
		}
		if len(m) < 4+size {
			return
		}
		p.one(in, m[0], m[4:4+size])
		p.message[dir] = m[4+size:]
	}
}

// The types of handshake messages (RFC 8446 section 4, RFC 5246 section 7.4).
const (
	clientHello     = 1
	helloOfServer   = 2
	certificates    = 11
	serverHelloEnds = 14
	keyExchange     = 16
)

func (p *parser) one(in *app.Input, kind byte, body []byte) {
	t, dir := p.tx, in.Dir
	switch kind {
	case clientHello, helloOfServer:
		if kind == clientHello && dir != app.ToServer || kind == helloOfServer && dir != app.ToClient || t.hellos[dir].Known {
			return
		}
		h, ok := hello.Read(body, kind == clientHello)
		if !ok {
			t.Raise(invalidHandshake)
			return
		}
		t.hellos[dir] = h
		p.reach(dir, helloDone, serverHello)
		if server := &t.hellos[app.ToClient]; server.Known && server.Modern() {
			// All that follows the hellos is encrypted (RFC 8446 section 2).
			p.reach(app.ToClient, 0, serverDone)
			p.secret[app.ToClient] = true
			if t.hellos[app.ToServer].Known {
				p.reach(app.ToServer, handshakeDone, 0)
				p.secret[app.ToServer] = true
			}
		}
	case certificates:
		t.now = in.Time
		list, count, ok := readChain(body)
		if !ok {
			t.Raise(invalidCertificate)
		}
		t.certs[dir], t.chain[dir] = list, count
		p.reach(dir, certDone, serverCertDone)
	case serverHelloEnds:
		p.reach(dir, 0, serverHelloDone)
	case keyExchange:
		p.reach(dir, certDone, 0)
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// End implements app.Parser.
func (p *parser) End() { p.tx.Progress = [2]uint8{finished, serverFinished} }

// Buffer implements app.Tx.
func (t *connection) Buffer(b suricata.Buffer, dir app.Dir, i int, scratch *[]byte) (match.Buffer, bool) {
	h := &t.hellos[dir]
	one := func(data []byte, ok bool) (match.Buffer, bool) { return match.Buffer{Data: data}, ok && i == 0 }
	var first *certificate
	if len(t.certs[dir]) > 0 {
		first = &t.certs[dir][0]
	}
	switch b {
	case suricata.BufTLSSNI:
		return one(h.SNI, h.SNI != nil)
	case suricata.BufTLSALPN:
		if i >= len(h.ALPN) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: h.ALPN[i]}, true
	case suricata.BufTLSRandom:
		return one(h.Random, h.Known)
	case suricata.BufTLSRandomTime:
		if !h.Known {
			return match.Buffer{}, false
		}
		return one(h.Random[:4], true)
	case suricata.BufTLSRandomBytes:
		if !h.Known {
			return match.Buffer{}, false
		}
		return one(h.Random[4:], true)
	case suricata.BufJA3String, suricata.BufJA3SString:
		return one(h.JA3(), h.Known)
	case suricata.BufJA3Hash, suricata.BufJA3SHash:
		return one(h.JA3Hash(), h.Known)
	case suricata.BufJA4Hash:
		return one(h.JA4('t'), h.Known)
	case suricata.BufTLSCerts:
		if i >= len(t.certs[dir]) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: t.certs[dir][i].der}, true
	}
	if first == nil {
		return match.Buffer{}, false
	}
	switch b {
	case suricata.BufTLSCertSubject:
		return one([]byte(first.subject), true)
	case suricata.BufTLSCertIssuer:
		return one([]byte(first.issuer), true)
	case suricata.BufTLSCertSerial:
		return one([]byte(first.serial), true)
	case suricata.BufTLSCertFingerprint:
		return one([]byte(first.fingerprint), true)
	case suricata.BufTLSSubjectaltname:
		if i >= len(first.names) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: first.names[i]}, true
	}
	return match.Buffer{}, false
}

// versionNumber is how rules call a version.
func versionNumber(v uint16) string {
	switch v {
	case hello.TLS10, hello.TLS11, hello.TLS12, hello.TLS13:
		return "1." + string('0'+rune(v-hello.TLS10))
	}
	return fmt.Sprintf("0x%04x", v)
}

// Match implements app.Tx.
func (t *connection) Match(o *suricata.Option, dir app.Dir) bool {
	text := ""
	if o.Value != nil {
		text = strings.Trim(o.Value.String(), `"`)
	}
	server := t.certs[app.ToClient]
	switch o.Name {
	case "tls.version":
		return versionNumber(t.version()) == text
	case "ssl_version":
		name := map[uint16]string{0x0200: "sslv2", 0x0300: "sslv3", 0x0301: "tls1.0", 0x0302: "tls1.1", 0x0303: "tls1.2", 0x0304: "tls1.3"}[t.version()]
		found := false
		for _, v := range strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return c == ',' || c == ' ' }) {
			found = found || strings.TrimPrefix(v, "!") == name != strings.HasPrefix(v, "!")
		}
		return found
	case "tls.subject":
		return len(server) > 0 && strings.Contains(server[0].subject, text)
	case "tls.issuerdn":
		return len(server) > 0 && strings.Contains(server[0].issuer, text)
	case "tls.fingerprint":
		return len(server) > 0 && server[0].fingerprint == text
	case "tls.cert_chain_len":
		u, ok := o.Value.(*suricata.Uint)
		return ok && t.chain[dir] > 0 && u.Match(uint64(t.chain[dir]))
	case "tls_cert_expired":
		return len(server) > 0 && server[0].dated && time.Unix(0, t.now).After(server[0].after)
	case "tls_cert_valid":
		now := time.Unix(0, t.now)
		return len(server) > 0 && server[0].dated && !now.After(server[0].after) && !now.Before(server[0].before)
	case "ssl_state":
		return t.stateIs(text)
	}
	return false
}

// stateIs says whether one of the states in the text, separated by |, was
// reached.
func (t *connection) stateIs(text string) bool {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return c == '|' || c == ' ' || c == ',' }) {
		not := strings.HasPrefix(word, "!")
		have := false
		switch strings.TrimPrefix(word, "!") {
		case "client_hello":
			have = t.hellos[app.ToServer].Known
		case "server_hello":
			have = t.hellos[app.ToClient].Known
		case "client_keyx":
			have = t.Progress[app.ToServer] >= certDone
		case "server_keyx":
			have = t.Progress[app.ToClient] >= serverHelloDone
		}
		if have != not {
			return true
		}
	}
	return false
}

// version is the one the server chose, else the client's.
func (t *connection) version() uint16 {
	for _, h := range []*hello.Hello{&t.hellos[app.ToClient], &t.hellos[app.ToServer]} {
		if h.Known {
			return h.Agreed()
		}
	}
	return 0
}

func hexUpper(b []byte, sep string) string {
	s := strings.ToUpper(hex.EncodeToString(b))
	var out bytes.Buffer
	for i := 0; i+1 < len(s); i += 2 {
		if i > 0 {
			out.WriteString(sep)
		}
		out.WriteString(s[i : i+2])
	}
	return out.String()
}
