// Package snmp reads SNMP 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412). Every
// message is a transaction.
package snmp

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/ber"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	malformed app.EventID = iota
	unknownSecurity
	versionMismatch
)

const complete = 1

// Protocol is SNMP.
var Protocol = &app.Protocol{
	Name: "snmp", Transport: app.UDP, Ports: []uint16{161, 162}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: app.OneStep,
	Buffers: slices.Concat(app.Extractors(app.ToServer, complete, suricata.BufSNMPCommunity, suricata.BufSNMPUSM),
		app.Extractors(app.ToClient, complete, suricata.BufSNMPCommunity, suricata.BufSNMPUSM)),
	Events: []string{malformed: "malformed_data", unknownSecurity: "unknown_security_model", versionMismatch: "version_mismatch"},
	Logs:   []app.Log{{Type: "snmp", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// Limits of what is kept.
const (
	maxTxs  = 256
	maxVars = 1024 // Of one message.
)

// parts are the values of a message, and its version; 0 if it is none.
func parts(b []byte) (list []ber.Value, version uint32) {
	v, _, ok := ber.Next(b)
	if !ok || v.Tag != ber.Sequence {
		return nil, 0
	}
	ber.Each(v.Data, func(x ber.Value) bool {
		list = append(list, x)
		return len(list) < 5
	})
	if len(list) < 3 || list[0].Tag != ber.Integer {
		return nil, 0
	}
	switch n := list[0].Int(); {
	case len(list) == 3 && n == 0, len(list) == 3 && n == 1:
		return list, uint32(n) + 1
	case len(list) == 4 && n == 3:
		return list, 3
	}
	return nil, 0
}

func probe(_ app.Dir, b []byte) app.Verdict {
	if _, version := parts(b); version != 0 {
		return app.Yes
	}
	return app.No
}

// message is one of a manager or an agent.
type message struct {
	app.State
	version   uint32 // Of the flow.
	encrypted bool
	community []byte // nil: none.
	user      []byte // nil: none.
	pdu       *pdu   // nil: none that is known.
}

// pdu is what a message is about.
type pdu struct {
	kind  uint32
	fault uint32
	trap  *trap
	vars  []string
}

// trap is the PDU of that name of version 1 (RFC 1157 section 4.1.6).
type trap struct {
	enterprise string
	agent      []byte
	generic    uint32
}

// kindTrap1 is the kind of a trap of version 1.
const kindTrap1 = 4

type parser struct {
	app.Messages
	ctx     *app.Context
	version uint32
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	list, version := parts(in.Data)
	if p.version == 0 {
		p.version = version
	}
	m := &message{version: p.version}
	ok := version != 0
	if ok && version < 3 {
		ok = m.read2(list)
	} else if ok {
		ok = m.read3(list)
	}
	if !ok {
		if txs := p.Txs(); len(txs) > 0 {
			txs[len(txs)-1].Common().Raise(malformed)
		}
		return len(in.Data), 0
	}
	if version != p.version {
		m.Raise(versionMismatch)
	}
	p.Single(p.ctx.Hooks, in.Dir, m, maxTxs)
	return len(in.Data), 0
}

// read2 takes the parts of a message of version 1 or 2c.
func (m *message) read2(list []ber.Value) bool {
	m.community = append([]byte{}, list[1].Data...)
	m.pdu = readPDU(list[2])
	return list[1].Tag == ber.OctetString && m.pdu != nil
}

// read3 takes the parts of a message of version 3 (RFC 3412 section 6).
func (m *message) read3(list []ber.Value) bool {
	model := int64(-1)
	ber.Each(list[1].Data, func(x ber.Value) bool { model = x.Int(); return true }) // It is the last one.
	const userBased = 3
	if model == userBased {
		m.user = userOf(list[2].Data)
	} else {
		m.Raise(unknownSecurity)
	}
	if list[3].Tag != ber.Sequence {
		m.encrypted = true
		return list[3].Tag == ber.OctetString
	}
	var last ber.Value
	ber.Each(list[3].Data, func(x ber.Value) bool { last = x; return true })
	m.pdu = readPDU(last)
	return m.pdu != nil
}

// userOf is the user's name of the user-based model (RFC 3414 section 2.4).
func userOf(b []byte) []byte {
	const place = 3 // Behind the engine, its boots and its time.
	v, _, ok := ber.Next(b)
	if !ok {
		return nil
	}
	var user []byte
	n := 0
	ber.Each(v.Data, func(x ber.Value) bool {
		if n == place {
			user = append([]byte{}, x.Data...)
		}
		n++
		return n <= place
	})
	return user
}

// readPDU takes a PDU, nil if v is none.
func readPDU(v ber.Value) *pdu {
	if v.Tag&^0x1f != ber.Context|ber.Constructed {
		return nil
	}
	p := &pdu{kind: uint32(v.Tag & 0x1f)}
	var fields []ber.Value
	ber.Each(v.Data, func(x ber.Value) bool {
		fields = append(fields, x)
		return len(fields) < 6
	})
	if p.kind == kindTrap1 {
		if len(fields) < 6 {
			return nil
		}
		p.trap = &trap{fields[0].OID(), append([]byte{}, fields[1].Data...), uint32(fields[2].Int())}
		fields = fields[2:]
	} else if len(fields) == 4 && p.kind != 5 { // A bulk request has other numbers there.
		p.fault = uint32(fields[1].Int())
	}
	if len(fields) < 4 {
		return nil
	}
	ber.Each(fields[3].Data, func(x ber.Value) bool {
		if name, _, ok := ber.Next(x.Data); ok && len(p.vars) < maxVars {
			p.vars = append(p.vars, name.OID())
		}
		return true
	})
	return p
}

// Buffer implements app.Tx.
func (m *message) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	v := m.community
	if b == suricata.BufSNMPUSM {
		v = m.user
	}
	return match.Buffer{Data: v}, v != nil && i == 0
}

// Match implements app.Tx.
func (m *message) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "snmp.version":
		return app.MatchUint(o, uint64(m.version))
	case "snmp.pdu_type":
		return m.pdu != nil && app.MatchUint(o, uint64(m.pdu.kind))
	case "snmp.trap_type":
		return m.pdu != nil && m.pdu.trap != nil && app.MatchUint(o, uint64(m.pdu.trap.generic))
	}
	return false
}

// The names of PDUs, traps and errors (RFC 3416 section 3, RFC 1157 section
// 4.1.6), by their numbers.
var (
	kinds  = []string{"get_request", "get_next_request", "response", "set_request", "trap_v1", "get_bulk_request", "inform_request", "trap_v2", "report"}
	traps  = []string{"coldStart", "warmStart", "linkDown", "linkUp", "authenticationFailure", "egpNeighborLoss", "enterpriseSpecific"}
	faults = []string{
		"NoError", "TooBig", "NoSuchName", "BadValue", "ReadOnly", "GenErr", "NoAccess", "WrongType", "WrongLength", "WrongEncoding", "WrongValue",
		"NoCreation", "InconsistentValue", "ResourceUnavailable", "CommitFailed", "UndoFailed", "AuthorizationError", "NotWritable", "InconsistentName",
	}
)

func name(list []string, i uint32) string {
	if int(i) < len(list) {
		return list[i]
	}
	return fmt.Sprintf("Unknown(0x%x)", i)
}

// appendLog writes the member snmp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	m := x.(*message)
	w.Object("snmp")
	w.Uint("version", uint64(m.version))
	if m.encrypted {
		w.String("pdu_type", "encrypted")
		w.Close()
		return
	}
	if m.pdu != nil {
		m.pdu.log(w)
	}
	if m.community != nil {
		w.Text("community", m.community)
	}
	if m.user != nil {
		w.Text("usm", m.user)
	}
	w.Close()
}

func (p *pdu) log(w *jsonw.Writer) {
	w.String("pdu_type", name(kinds, p.kind))
	if p.fault != 0 {
		w.String("error", name(faults, p.fault))
	}
	if p.trap != nil {
		w.String("trap_type", name(traps, p.trap.generic))
		w.String("trap_oid", p.trap.enterprise)
		if a, ok := netip.AddrFromSlice(p.trap.agent); ok {
			w.String("trap_address", a.String())
		}
	}
	if len(p.vars) > 0 {
		w.Array("vars")
		for _, v := range p.vars {
			w.String("", v)
		}
		w.Close()
	}
}
