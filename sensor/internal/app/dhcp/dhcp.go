// Package dhcp reads DHCP (RFC 2131) over IPv4. Every message is a
// transaction.
package dhcp

import (
	"net/netip"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// The events that are raised, by their number in Protocol.Events.
const (
	truncatedOptions app.EventID = iota
	malformedOptions
)

const complete = 1

// Protocol is DHCP.
var Protocol = &app.Protocol{
	Name: "dhcp", Transport: app.UDP, Ports: []uint16{67, 68}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: app.OneStep,
	Events:   []string{truncatedOptions: "truncated_options", malformedOptions: "malformed_options"},
	Logs:     []app.Log{{Type: "dhcp", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog, Wanted: wanted, Options: readOptions}},
}

const (
	headerSize = 240
	maxTxs     = 256
)

func probe(_ app.Dir, b []byte) app.Verdict {
	if len(b) >= headerSize {
		return app.Yes
	}
	return app.No
}

// The options that are told (RFC 2132).
const (
	optSubnet    = 1
	optRouters   = 3
	optDNS       = 6
	optHost      = 12
	optRequested = 50
	optLease     = 51
	optType      = 53
	optParams    = 55
	optRenewal   = 58
	optRebinding = 59
	optVendor    = 60
	optClient    = 61
	optEnd       = 255
)

// option is one of a message.
type option struct {
	code byte
	data []byte
}

// message is one of a client or a server.
type message struct {
	app.Opaque
	op                           byte
	id                           uint32
	client, yours, server, relay [4]byte
	mac                          []byte
	options                      []option
}

type parser struct {
	app.Messages
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if m, ok := read(in.Data); ok {
		p.Single(p.ctx.Hooks, in.Dir, m, maxTxs)
	}
	return len(in.Data), 0
}

func read(b []byte) (*message, bool) {
	r := wire.Reader{B: b}
	m := &message{op: r.U8()}
	r.Skip(1)
	size := r.U8()
	r.Skip(1)
	m.id = r.BE32()
	r.Skip(4)
	for _, addr := range []*[4]byte{&m.client, &m.yours, &m.server, &m.relay} {
		copy(addr[:], r.Take(4))
	}
	hardware := r.Take(16)
	m.mac = slices.Clone(hardware[:min(int(size), len(hardware))])
	r.Skip(64 + 128 + 4) // Names, and the number that says that options follow.
	if r.Bad {
		return nil, false
	}
	for {
		o := option{code: r.U8()}
		if o.code == optEnd && !r.Bad {
			return m, true
		}
		o.data = slices.Clone(r.Take(int(r.U8())))
		if r.Bad || o.code == optClient && len(o.data) < 2 || o.time() && len(o.data) < 4 {
			m.Raise(truncatedOptions)
			return m, true
		}
		m.options = append(m.options, o)
	}
}

// time says whether an option is a number of seconds.
func (o *option) time() bool {
	return o.code == optLease || o.code == optRenewal || o.code == optRebinding
}

// seconds are those of an option.
func (o *option) seconds() uint64 {
	r := wire.Reader{B: o.data}
	return uint64(r.BE32())
}

// kind is the type of the message, 0 if it says none.
func (m *message) kind() byte {
	for _, o := range m.options {
		if o.code == optType && len(o.data) > 0 {
			return o.data[0]
		}
	}
	return 0
}

// Match implements app.Tx.
func (m *message) Match(o *suricata.Option, _ app.Dir) bool {
	code := map[string]byte{"dhcp.leasetime": optLease, "dhcp.renewal_time": optRenewal, "dhcp.rebinding_time": optRebinding}[o.Name]
	for i := range m.options {
		if x := &m.options[i]; x.code == code && x.time() {
			return app.MatchUint(o, x.seconds())
		}
	}
	return false
}

// options are those of dhcp in eve-log.
type options struct{ extended bool }

func readOptions(get func(string) (string, bool)) (any, error) {
	return options{app.On(get, "extended")}, nil
}

func extended(o any) bool {
	x, _ := o.(options)
	return x.extended
}

const ack = 5

// wanted leaves out all but the answers that give an address.
func wanted(x app.Tx, o any) bool { return extended(o) || x.(*message).kind() == ack }

// appendLog writes the member dhcp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, o any) {
	m := x.(*message)
	w.Object("dhcp")
	const request, reply = 1, 2
	switch m.op {
	case request:
		w.String("type", "request")
	case reply:
		w.String("type", "reply")
	default:
		w.String("type", "<unknown>")
	}
	w.Uint("id", uint64(m.id))
	w.HexSep("client_mac", m.mac, ":")
	address(w, "assigned_ip", m.yours[:])
	if extended(o) {
		address(w, "client_ip", m.client[:])
		if m.op == reply {
			address(w, "relay_ip", m.relay[:])
			address(w, "next_server_ip", m.server[:])
		}
	}
	for i := range m.options {
		m.options[i].log(w, extended(o))
	}
	w.Close()
}

// kinds are the types of messages (RFC 2132 section 9.6).
var kinds = []string{1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform"}

func (o *option) log(w *jsonw.Writer, extended bool) {
	switch o.code {
	case optClient:
		w.HexSep("client_id", o.data[1:], ":")
	case optRenewal:
		w.Uint("renewal_time", o.seconds())
	case optHost:
		if len(o.data) > 0 {
			w.Text("hostname", o.data)
		}
	case optType:
		if len(o.data) > 0 {
			name := "unknown"
			if i := int(o.data[0]); i > 0 && i < len(kinds) {
				name = kinds[i]
			}
			w.String("dhcp_type", name)
		}
	default:
		if extended {
			o.logMore(w)
		}
	}
}

// params are the options that a client asks for and that are told.
var params = map[byte]string{
	1: "subnet_mask", 3: "router", 6: "dns_server", 15: "domain", 35: "arp_timeout", 42: "ntp_server", 66: "tftp_server_name", 150: "tftp_server_ip",
}

func (o *option) logMore(w *jsonw.Writer) {
	switch o.code {
	case optLease:
		w.Uint("lease_time", o.seconds())
	case optRebinding:
		w.Uint("rebinding_time", o.seconds())
	case optSubnet:
		address(w, "subnet_mask", o.data)
	case optRequested:
		address(w, "requested_ip", o.data)
	case optVendor:
		if len(o.data) > 0 {
			w.Text("vendor_class_identifier", o.data)
		}
	case optDNS:
		addresses(w, "dns_servers", o.data)
	case optRouters:
		addresses(w, "routers", o.data)
	case optParams:
		w.Array("params")
		for _, c := range o.data {
			if name := params[c]; name != "" {
				w.String("", name)
			}
		}
		w.Close()
	}
}

// address writes one of 4 bytes; anything else as it is.
func address(w *jsonw.Writer, key string, b []byte) {
	if a, ok := netip.AddrFromSlice(b); ok {
		w.String(key, a.String())
		return
	}
	w.Hex(key, b)
}

func addresses(w *jsonw.Writer, key string, b []byte) {
	w.Array(key)
	for ; len(b) >= 4; b = b[4:] {
		address(w, "", b[:4])
	}
	w.Close()
}
