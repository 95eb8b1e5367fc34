// Package krb5 reads what clients and key distribution centres say in Kerberos
// 5 (RFC 4120) over UDP and TCP. Each message is a transaction.
//
// ticket.go reads tickets and names, log.go writes EVE's member krb5.
package krb5

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/ber"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	weakEncryption
)

const complete = 1

// Protocol is Kerberos 5.
var Protocol = &app.Protocol{
	Name: "krb5", Transport: app.TCP | app.UDP, Ports: []uint16{88}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: append(app.Extractors(app.ToServer, complete, suricata.BufKrb5Cname, suricata.BufKrb5Sname),
		app.Extractors(app.ToClient, complete, suricata.BufKrb5Cname, suricata.BufKrb5Sname)...),
	Events: []string{malformed: "malformed_data", weakEncryption: "weak_encryption"},
	Logs:   []app.Log{{Type: "krb5", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// Types of messages (RFC 4120, 7.5.7).
const (
	asRequest   = 10
	asReply     = 11
	tgsRequest  = 12
	tgsReply    = 13
	apRequest   = 14
	apReply     = 15
	errorReply  = 30
	application = 0x60 // Class and constructed bit of their tags.
)

// maxRecord is the longest message over TCP.
const maxRecord = 16 << 10

// probe looks for a message, of UDP or behind a length of TCP.
func probe(_ app.Dir, data []byte) app.Verdict {
	if len(data) < 16 {
		return app.Unsure
	}
	if data[0] == 0 {
		data = data[4:]
	}
	head, _, ok := ber.Header(data)
	if !ok || head == 0 || data[0]&0xe0 != application || data[0]&0x1f > errorReply || data[head] != ber.Sequence {
		return app.No
	}
	in, _, ok := ber.Header(data[head:])
	const pvno = "\x02\x01\x05"
	if at := head + in + 2; !ok || in == 0 || len(data) < at+len(pvno) || string(data[at:at+len(pvno)]) != pvno {
		return app.No
	}
	return app.Yes
}

// tx is a message.
type tx struct {
	app.State
	kind           uint8
	asked          uint8 // What an error answers; 0: not known.
	client, server [][]byte
	realm          []byte

	hasClient, hasRealm, hasServer bool

	encryption, ticket       int32
	hasEncryption, hasTicket bool
	code                     int32
}

type parser struct {
	app.Messages
	ctx   *app.Context
	asked uint8
}

// maxTxs bounds the messages that wait.
const maxTxs = 256

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if p.ctx.Flow.UDP {
		p.message(in.Dir, in.Data)
		return len(in.Data), 0
	}
	for {
		r := wire.Reader{B: in.Data[consumed:]}
		size := r.BE32()
		switch {
		case r.Bad:
			return consumed, 0
		case size > maxRecord:
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		case int(size) > len(r.B):
			return consumed, int(size) - len(r.B)
		}
		p.message(in.Dir, r.B[:size])
		consumed += 4 + int(size)
	}
}

// message takes a message.
func (p *parser) message(dir app.Dir, b []byte) {
	v, _, ok := ber.Next(b)
	if !ok {
		if txs := p.Txs(); len(txs) > 0 {
			txs[len(txs)-1].Common().Raise(malformed)
		}
		return
	}
	if v.Tag&0xe0 != application {
		return
	}
	t := &tx{kind: v.Tag & 0x1f}
	seq, _, ok := ber.Next(v.Data)
	switch t.kind {
	case asRequest, tgsRequest:
		ok = ok && t.readRequest(seq)
		p.asked = t.kind
	case asReply, tgsReply:
		ok = ok && t.readReply(seq)
		t.asked, p.asked = p.asked, 0
	case errorReply:
		ok = ok && t.readError(seq)
		t.asked, p.asked = p.asked, 0
	case apRequest, apReply:
		p.asked, ok = apRequest, false
		if t.kind == apReply {
			p.asked = 0
		}
	default:
		ok = false
	}
	if !ok {
		return
	}
	p.Single(p.ctx.Hooks, dir, t, maxTxs)
	if t.hasEncryption && weak(t.encryption) {
		t.Raise(weakEncryption)
	}
}

// readNames reads the names of the client, its realm and the server by the
// numbers of their fields.
func (t *tx) readNames(seq ber.Value, client, realm, server byte) {
	var v ber.Value
	if v, t.hasClient = field(seq, client); t.hasClient {
		t.client = readName(v)
	}
	if v, t.hasRealm = field(seq, realm); t.hasRealm {
		t.realm = bytes.Clone(v.Data)
	}
	if v, t.hasServer = field(seq, server); t.hasServer {
		t.server = readName(v)
	}
}

// readRequest reads KDC-REQ (RFC 4120, 5.4.1).
func (t *tx) readRequest(seq ber.Value) bool {
	body, ok := field(seq, 4)
	if !ok {
		return false
	}
	t.readNames(body, 1, 2, 3)
	return t.hasRealm
}

// readReply reads KDC-REP (RFC 4120, 5.4.2).
func (t *tx) readReply(seq ber.Value) bool {
	const none = 31
	t.readNames(seq, 4, 3, none)
	v, _ := field(seq, 5)
	k := readTicket(v)
	if k == nil {
		return false
	}
	t.server, t.hasServer = k.Server, true
	t.ticket, t.hasTicket = k.Encryption, true
	sealed, _ := field(seq, 6)
	e, ok := field(sealed, 0)
	t.encryption, t.hasEncryption = int32(e.Int()), ok
	return ok && t.hasClient && t.hasRealm
}

// readError reads KRB-ERROR (RFC 4120, 5.9.1).
func (t *tx) readError(seq ber.Value) bool {
	t.readNames(seq, 8, 7, 10)
	code, ok := field(seq, 6)
	t.code = int32(code.Int())
	return ok && t.hasServer
}

// weak says whether an encryption type is none of those of today (RFC 8429).
func weak(e int32) bool {
	return !slices.Contains([]int32{17, 18, 19, 20, 25, 26}, e)
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	name := t.client
	if b == suricata.BufKrb5Sname {
		name = t.server
	}
	if i >= len(name) {
		return match.Buffer{}, false
	}
	return match.Buffer{Data: name[i]}, true
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "krb5_msg_type":
		return app.MatchUint(o, uint64(t.kind))
	case "krb5_err_code":
		return t.kind == errorReply && o.Value.String() == strconv.Itoa(int(t.code))
	case "krb5.ticket_encryption":
		return t.hasTicket && t.matchEncryption(o)
	}
	return false
}

func (t *tx) matchEncryption(o *suricata.Option) bool {
	list, _ := o.Value.(suricata.List)
	if len(list) == 1 && (list[0] == "weak" || list[0] == "!weak") {
		return weak(t.ticket) == (list[0] == "weak")
	}
	return slices.ContainsFunc(list, func(name string) bool {
		n, err := strconv.Atoi(name)
		return err == nil && int32(n) == t.ticket || err != nil && ruleName(t.ticket) == name
	})
}
