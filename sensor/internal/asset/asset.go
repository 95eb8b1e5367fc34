// Package asset keeps the passive inventory of a network: the hosts that are
// home, their hardware addresses, systems, services and software, and who
// talked to whom. It learns from what passes by and asks nothing.
//
// Hosts and services are kept; each is told again when something about it
// changed. Conversations are summed and told at every [Inventory.Append], which
// forgets them. An Inventory belongs to one goroutine; time is that of the packets.
package asset

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// Bounds of an inventory; what does not fit is counted.
const (
	maxHosts    = 65_536
	maxServices = 65_536
	maxTalks    = 131_072 // between two calls of Append
	maxSoftware = 8       // of a host or service
	maxText     = 256     // bytes of what a peer says of itself
)

// Home says which addresses are of interest.
type Home interface{ Contains(netip.Addr) bool }

// Inventory is what is known.
type Inventory struct {
	home     Home
	hosts    map[netip.Addr]*host
	services map[serviceKey]*service
	talks    map[talkKey]*talk
	// Lost counts hosts, services and conversations there was no room for.
	Lost uint64

	scratch []byte
}

// New returns an empty inventory.
func New(home Home) *Inventory {
	return &Inventory{home: home, hosts: map[netip.Addr]*host{}, services: map[serviceKey]*service{}, talks: map[talkKey]*talk{}}
}

// seen is when something was.
type seen struct {
	first, last int64 // nanoseconds since 1970
	changed     bool  // since it was told
}

func (s *seen) at(t int64) {
	if s.first == 0 {
		s.first, s.changed = t, true
	}
	s.last = max(s.last, t)
}

type host struct {
	seen
	mac      packet.MAC
	hasMAC   bool
	vlan     uint16
	system   string
	software []string // of clients, as they name themselves
}

type serviceKey struct {
	addr  netip.Addr
	port  uint16
	proto packet.Proto
}

type service struct {
	seen
	app         string
	software    []string
	certificate certificate
}

type certificate struct{ subject, issuer, serial, fingerprint string }

type talkKey struct {
	client netip.Addr
	serviceKey
}

type talk struct {
	seen
	app            string
	flows          uint64
	packets, bytes [2]uint64
}

func (v *Inventory) host(a netip.Addr, t int64) *host {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == broadcast || !v.home.Contains(a) {
		return nil
	}
	h := v.hosts[a]
	if h == nil {
		if len(v.hosts) == maxHosts {
			v.Lost++
			return nil
		}
		h = &host{}
		v.hosts[a] = h
	}
	h.at(t)
	return h
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// ARP learns from a message: whoever sends one has that hardware address.
func (v *Inventory) ARP(p *decode.Packet) {
	a := p.ARP()
	if !a.Valid() {
		return
	}
	if h := v.host(netip.AddrFrom4(a.SrcIP()), p.Time); h != nil {
		h.setMAC(a.SrcMAC(), p)
	}
}

func (h *host) setMAC(m packet.MAC, p *decode.Packet) {
	vlan := uint16(0)
	if p.Tags > 0 {
		vlan = p.VLAN[0]
	}
	if !h.hasMAC || h.mac != m || h.vlan != vlan {
		h.mac, h.hasMAC, h.vlan, h.changed = m, true, vlan, true
	}
}

// Begins learns from the first packet of a flow's direction: whose system sends it.
// The hardware address of one that is behind a router is the router's, so only ARP tells those.
func (v *Inventory) Begins(p *decode.Packet) {
	h := v.host(p.Src(), p.Time)
	if h == nil || p.Layer4 != decode.TCP {
		return
	}
	if system := System(p); system != "" && system != h.system {
		h.system, h.changed = system, true
	}
}

// Ends learns from a whole flow.
func (v *Inventory) Ends(f *flow.Flow, app string) {
	client, server := f.Client(), f.Server()
	if h := v.host(client.Addr(), f.Start); h != nil {
		h.at(f.Last)
	}
	answered := f.Packets[flow.ToClient] > 0 && (f.Proto() != packet.ProtoTCP || f.TCPFlags[flow.ToClient]&(packet.SYN|packet.RST) == packet.SYN)
	if answered {
		if h := v.host(server.Addr(), f.Start); h != nil {
			h.at(f.Last)
			v.serves(server, f, app)
		}
	}
	// A segment that nobody answers is no conversation: a scan or a flood would fill the table and the log.
	talked := f.Proto() != packet.ProtoTCP || f.Packets[flow.ToClient] > 0
	if talked && (v.home.Contains(client.Addr()) || v.home.Contains(server.Addr())) {
		v.talked(client.Addr(), server, f, app)
	}
}

// transports have ports, and so services.
func transport(p packet.Proto) bool {
	return p == packet.ProtoTCP || p == packet.ProtoUDP || p == packet.ProtoSCTP
}

func (v *Inventory) serves(at netip.AddrPort, f *flow.Flow, app string) {
	if !transport(f.Proto()) {
		return
	}
	s := v.service(serviceKey{at.Addr(), at.Port(), f.Proto()}, f.Last)
	if s == nil {
		return
	}
	if s.first > f.Start {
		s.first = f.Start
	}
	if app != "" && app != "failed" && s.app != app {
		s.app, s.changed = app, true
	}
}

func (v *Inventory) service(k serviceKey, t int64) *service {
	s := v.services[k]
	if s == nil {
		if len(v.services) == maxServices {
			v.Lost++
			return nil
		}
		s = &service{}
		v.services[k] = s
	}
	s.at(t)
	return s
}

func (v *Inventory) talked(client netip.Addr, server netip.AddrPort, f *flow.Flow, app string) {
	k := talkKey{client, serviceKey{server.Addr(), server.Port(), f.Proto()}}
	if !transport(f.Proto()) {
		k.port = 0
	}
	t := v.talks[k]
	if t == nil {
		if len(v.talks) == maxTalks {
			v.Lost++
			return
		}
		t = &talk{}
		v.talks[k] = t
	}
	t.at(f.Start)
	t.first = min(t.first, f.Start)
	t.at(f.Last)
	t.app = cmp.Or(t.app, app)
	t.flows++
	for d := range 2 {
		t.packets[d] += f.Packets[d]
		t.bytes[d] += f.Bytes[d]
	}
}

// Tx learns from a transaction what both ends say of themselves.
func (v *Inventory) Tx(f *flow.Flow, tx app.Tx, t int64) {
	says, ok := sayings[tx.Common().Protocol.Name]
	if !ok {
		return
	}
	client, server := f.Client(), f.Server()
	if text := v.text(tx, says.client, app.ToServer); text != "" {
		if h := v.host(client.Addr(), t); h != nil {
			h.changed = remember(&h.software, text) || h.changed
		}
	}
	software, subject := v.text(tx, says.server, app.ToClient), v.text(tx, says.subject, app.ToClient)
	if software == "" && subject == "" || !v.home.Contains(server.Addr()) {
		return
	}
	s := v.service(serviceKey{server.Addr(), server.Port(), f.Proto()}, t)
	if s == nil {
		return
	}
	if software != "" {
		s.changed = remember(&s.software, software) || s.changed
	}
	if subject == "" {
		return
	}
	c := certificate{subject, v.text(tx, says.issuer, app.ToClient), v.text(tx, says.serial, app.ToClient), v.text(tx, says.fingerprint, app.ToClient)}
	if c != s.certificate {
		s.certificate, s.changed = c, true
	}
}

// remember adds a text that is new, and says whether it was.
func remember(list *[]string, text string) bool {
	if slices.Contains(*list, text) || len(*list) == maxSoftware {
		return false
	}
	*list = append(*list, text)
	return true
}

// Append tells what changed since the last time, and the conversations since
// then, as lines of JSON in an order that depends on nothing else.
func (v *Inventory) Append(w *jsonw.Writer) {
	for _, a := range sorted(v.hosts, netip.Addr.Compare) {
		if h := v.hosts[a]; h.changed {
			h.changed = false
			h.append(w, a)
		}
	}
	for _, k := range sorted(v.services, serviceKey.compare) {
		if s := v.services[k]; s.changed {
			s.changed = false
			s.append(w, k)
		}
	}
	for _, k := range sorted(v.talks, talkKey.compare) {
		v.talks[k].append(w, k)
	}
	clear(v.talks)
}

func sorted[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

func (k serviceKey) compare(o serviceKey) int {
	return cmp.Or(k.addr.Compare(o.addr), cmp.Compare(k.port, o.port), cmp.Compare(k.proto, o.proto))
}

func (k talkKey) compare(o talkKey) int {
	return cmp.Or(k.client.Compare(o.client), k.serviceKey.compare(o.serviceKey))
}

// clean keeps what a peer says short.
func clean(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), maxText)]), "\ufffd") }
