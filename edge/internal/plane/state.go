package plane

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Mode is how a packet of a VIP reaches its backend. The zero Mode is invalid.
type Mode uint8

const (
	// FullNAT rewrites source and destination: the reply comes back through
	// the edge, whatever the backend's default route is.
	FullNAT Mode = iota + 1
	// DR writes only the destination's MAC address; the backend has the VIP
	// on its loopback and answers the client itself.
	DR
	// IPIP wraps the packet in an IP header of the backend's family (IPIP,
	// IP6IP6, and across: 4in6, 6in4).
	IPIP
	// GUE wraps it in UDP, GUE variant 1 (draft-ietf-intarea-gue, section 4),
	// without a GUE header.
	GUE
)

var modeNames = map[Mode]string{FullNAT: "fullnat", DR: "dr", IPIP: "ipip", GUE: "gue"}

func (m Mode) String() string { return nameOf(modeNames, m, "mode") }

// Choice is how a new flow finds its backend. The zero Choice is invalid.
type Choice uint8

const (
	// ByHash takes entry hash(flow) mod len of the VIP's table: Maglev.
	ByHash Choice = iota + 1
	// BySource is ByHash over the client's address alone.
	BySource
	// InTurn takes the entries one after another, each CPU from its own
	// random start: round robin over a (weighted, shuffled) table.
	InTurn
)

var choiceNames = map[Choice]string{ByHash: "hash", BySource: "source", InTurn: "turn"}

func (c Choice) String() string { return nameOf(choiceNames, c, "choice") }

// ClientInfo is how a FullNAT backend learns the client's address.
type ClientInfo uint8

const (
	// NoClientInfo tells the backend nothing.
	NoClientInfo ClientInfo = iota
	// TOA254 adds TCP option 254 (kind, 8, port, address) to the packet that
	// completes the handshake; IPv6 takes 20 bytes.
	TOA254
	// TOA200 is TOA254 with kind 200.
	TOA200
	// ProxyV1 puts a PROXY protocol line before the first data.
	ProxyV1
	// ProxyV2 puts a binary PROXY protocol header before the first data.
	ProxyV2
)

// BackendState says what a backend takes. The zero value is invalid.
type BackendState uint8

const (
	// Up takes new flows and those it has.
	Up BackendState = iota + 1
	// Drain keeps the flows it has; the VIP's table should not name it.
	Drain
	// Down has died: its FullNAT connections get a reset with their next
	// packet, a new flow that the table sends here is dropped and counted.
	Down
)

// Backend is one server of one or more VIPs.
type Backend struct {
	// ID is its index in the plane's tables, 1 to Options.Backends-1, stable
	// for its life. It may be used for another one only when no session
	// refers to it (Plane.References).
	ID    uint32
	Addr  netip.Addr
	Port  uint16 // of the service; 0 keeps the packet's. Only FullNAT rewrites it
	State BackendState
}

// VIP is one service.
type VIP struct {
	// ID is its index in the plane's tables, 1 to Options.VIPs-1, stable for
	// its life as a Backend's is.
	ID        uint32
	Addr      netip.Addr
	Proto     uint8  // 6 TCP, 17 UDP
	FirstPort uint16 // of a range, both ends in; 1 to 65535
	LastPort  uint16
	Mode      Mode
	Choice    Choice
	// Table holds a backend id per entry; its length is any. Empty: a new
	// flow is dropped and counted (no backend).
	Table    []uint32
	Timeouts Timeouts // a zero field takes its default
	Client   ClientInfo
	// GUEPort is the destination port of GUE, 0: DefaultGUEPort.
	GUEPort uint16
	// MSS is the most a SYN may offer; 0: what fits Options.MTU after
	// encapsulation.
	MSS uint16
	// SourceBits is the length of the client prefix BySource hashes; 0: the
	// whole address. Persistence by prefix is BySource with this.
	SourceBits uint8
	// OnePacket sends each UDP packet where the choice falls, without a session.
	OnePacket bool
}

// DefaultGUEPort is the port IANA gave GUE.
const DefaultGUEPort = 6080

// Timeouts are how long a session lives without a packet, by its state;
// 1 s to MaxTimeout each.
type Timeouts struct {
	SynSent     time.Duration // 10 s
	Established time.Duration // 15 min
	Closing     time.Duration // 1 min: a FIN was seen
	Closed      time.Duration // 10 s: both FINs acknowledged, or a reset
	UDPNew      time.Duration // 15 s: not yet answered
	UDPAnswered time.Duration // 2 min
}

// DefaultTimeouts are the values of zero fields.
func DefaultTimeouts() Timeouts {
	return Timeouts{10 * time.Second, 15 * time.Minute, time.Minute, 10 * time.Second, 15 * time.Second, 2 * time.Minute}
}

// MaxTimeout is bounded by the plane's clock: milliseconds in 32 bits,
// compared by their signed difference.
const MaxTimeout = 7 * 24 * time.Hour

// Local is the addresses FullNAT speaks to backends from. Slot n of the
// session table is port PortBase + n%PortsPerLocal of address n/PortsPerLocal,
// so a block of b addresses serves b*PortsPerLocal sessions, and the slots
// beyond it are not used. The network must route the blocks to the edge.
type Local struct {
	V4 netip.Prefix // masked; may be zero
	V6 netip.Prefix // masked; may be zero
}

const (
	// PortsPerLocal is how many sessions one local address carries.
	PortsPerLocal = 32768
	// PortBase is the lowest local port.
	PortBase = 32768
)

// SNAT lets backends go out: packets from Inside to anywhere that is no VIP
// leave with an address of the Local block.
type SNAT struct {
	Inside   []netip.Prefix // at most MaxInside
	Timeouts Timeouts
}

// MaxInside is how many inside prefixes fit the plane's table.
const MaxInside = 8

// State is everything the plane shall do. Apply makes it so, whole.
type State struct {
	VIPs     []VIP
	Backends []Backend
	Local    Local
	SNAT     SNAT
	// Source is what the outer header of a tunnel comes from, by family of
	// the backend.
	SourceV4, SourceV6 netip.Addr
}

// Validate reports all problems of the state for tables of the sizes in o.
func (s *State) Validate(o Options) error {
	var bad []error
	report := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	backends := make(map[uint32]*Backend, len(s.Backends))
	for i := range s.Backends {
		b := &s.Backends[i]
		switch {
		case b.ID == 0 || b.ID >= uint32(o.Backends):
			report("backend %s: id %d is not 1 to %d", b.Addr, b.ID, o.Backends-1)
		case backends[b.ID] != nil:
			report("backend %s: id %d is also %s", b.Addr, b.ID, backends[b.ID].Addr)
		}
		if !b.Addr.IsValid() || b.Addr.IsUnspecified() || b.Addr.IsMulticast() {
			report("backend %d: address %s", b.ID, b.Addr)
		}
		if b.State < Up || b.State > Down {
			report("backend %d: state %d", b.ID, b.State)
		}
		backends[b.ID] = b
	}
	s.validateVIPs(o, backends, report)
	s.validateBlocks(o, report)
	return errors.Join(bad...)
}

func (s *State) validateVIPs(o Options, backends map[uint32]*Backend, report func(string, ...any)) {
	entries := 0
	ids := map[uint32]bool{}
	for i := range s.VIPs {
		v := &s.VIPs[i]
		if v.ID == 0 || v.ID >= uint32(o.VIPs) || ids[v.ID] {
			report("%s: id %d is used twice or not 1 to %d", v, v.ID, o.VIPs-1)
		}
		ids[v.ID] = true
		v.validate(report)
		entries += len(v.Table)
		seen := map[uint32]bool{}
		for _, id := range v.Table {
			if seen[id] {
				continue
			}
			seen[id] = true
			b := backends[id]
			switch {
			case b == nil:
				report("%s: its table names backend %d, which is not there", v, id)
			case (v.Mode == FullNAT || v.Mode == DR) && b.Addr.Is4() != v.Addr.Is4():
				report("%s: backend %s is of the other family, which only a tunnel reaches", v, b.Addr)
			case (v.Mode == IPIP || v.Mode == GUE) && !s.source(b.Addr).IsValid():
				report("%s: backend %s: no source address for its tunnel", v, b.Addr)
			}
		}
		if v.Mode == FullNAT && !s.block(v.Addr).IsValid() {
			report("%s: no local addresses of its family", v)
		}
	}
	if entries > o.Entries {
		report("%d table entries, room for %d", entries, o.Entries)
	}
	s.overlaps(report)
}

// overlaps reports VIPs that claim the same packet.
func (s *State) overlaps(report func(string, ...any)) {
	type where struct {
		addr  netip.Addr
		proto uint8
	}
	at := map[where][]*VIP{}
	for i := range s.VIPs {
		v := &s.VIPs[i]
		key := where{v.Addr, v.Proto}
		for _, u := range at[key] {
			if v.FirstPort <= u.LastPort && u.FirstPort <= v.LastPort {
				report("%s overlaps %s", v, u)
			}
		}
		at[key] = append(at[key], v)
	}
}

func (v *VIP) validate(report func(string, ...any)) {
	if !v.Addr.IsValid() || v.Addr.IsUnspecified() || v.Addr.IsMulticast() || v.Addr.Is4In6() {
		report("%s: address", v)
	}
	if v.Proto != protoTCP && v.Proto != protoUDP {
		report("%s: protocol is neither TCP nor UDP", v)
	}
	if v.FirstPort == 0 || v.LastPort < v.FirstPort {
		report("%s: ports", v)
	}
	if modeNames[v.Mode] == "" {
		report("%s: %s", v, v.Mode)
	}
	if choiceNames[v.Choice] == "" {
		report("%s: %s", v, v.Choice)
	}
	if v.Client > ProxyV2 {
		report("%s: client information %d", v, v.Client)
	}
	if v.Client != NoClientInfo && v.Mode != FullNAT {
		report("%s: the client's address can be told in fullnat only: replies of %s bypass the edge", v, v.Mode)
	}
	if v.Client != NoClientInfo && v.Proto != protoTCP {
		report("%s: the client's address can be told over TCP only", v)
	}
	if v.Client != NoClientInfo && v.Mode == FullNAT && v.Proto == protoTCP {
		report("%s: this plane does not tell the client's address yet", v)
	}
	if v.OnePacket && (v.Mode == FullNAT || v.Proto != protoUDP) {
		report("%s: one-packet scheduling is for UDP through DR and tunnels", v)
	}
	if int(v.SourceBits) > v.Addr.BitLen() {
		report("%s: a prefix of %d bits", v, v.SourceBits)
	}
	v.Timeouts.validate(v, report)
}

func (t Timeouts) validate(of any, report func(string, ...any)) {
	for _, d := range []time.Duration{t.SynSent, t.Established, t.Closing, t.Closed, t.UDPNew, t.UDPAnswered} {
		if d != 0 && (d < time.Second || d > MaxTimeout) {
			report("%v: timeout %v is not 1s to %v", of, d, MaxTimeout)
		}
	}
}

func (s *State) validateBlocks(o Options, report func(string, ...any)) {
	for _, p := range []netip.Prefix{s.Local.V4, s.Local.V6} {
		switch {
		case p == netip.Prefix{}:
		case p != p.Masked():
			report("local block %s has host bits set", p)
		case p.Addr().BitLen()-p.Bits() > 16:
			report("local block %s: at most 65,536 addresses", p)
		}
	}
	if len(s.SNAT.Inside) > 0 {
		report("this plane does not do source NAT yet")
	}
	if len(s.SNAT.Inside) > MaxInside {
		report("%d inside prefixes, at most %d", len(s.SNAT.Inside), MaxInside)
	}
	for _, p := range s.SNAT.Inside {
		if !p.IsValid() || p != p.Masked() || !s.block(p.Addr()).IsValid() {
			report("inside prefix %s: invalid, host bits set, or no local addresses of its family", p)
		}
	}
	s.SNAT.Timeouts.validate("snat", report)
}

// block is the local addresses of a's family.
func (s *State) block(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return s.Local.V4
	}
	return s.Local.V6
}

// source is where a tunnel to a comes from.
func (s *State) source(a netip.Addr) netip.Addr {
	if a.Is4() {
		return s.SourceV4
	}
	return s.SourceV6
}

func (v *VIP) String() string {
	proto := map[uint8]string{protoTCP: "tcp", protoUDP: "udp"}[v.Proto]
	if v.FirstPort == v.LastPort {
		return fmt.Sprintf("vip %s %s", netip.AddrPortFrom(v.Addr, v.FirstPort), proto)
	}
	return fmt.Sprintf("vip %s-%d %s", netip.AddrPortFrom(v.Addr, v.FirstPort), v.LastPort, proto)
}

const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

func nameOf[K ~uint8](names map[K]string, k K, kind string) string {
	if name := names[k]; name != "" {
		return name
	}
	return fmt.Sprintf("%s %d", kind, uint8(k))
}
