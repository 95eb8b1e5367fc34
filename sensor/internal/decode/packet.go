package decode

import (
	"net/netip"

	"github.com/hauberk/hauberk/packet"
)

// Layer3 says which network header a packet has.
type Layer3 uint8

// The network headers.
const (
	NoLayer3 Layer3 = iota
	IPv4
	IPv6
	ARP
)

// Layer4 says which transport header a packet has.
type Layer4 uint8

// The transport headers.
const (
	NoLayer4 Layer4 = iota
	TCP
	UDP
	ICMPv4
	ICMPv6
	SCTP
	GRE
	ESP
	IGMP
)

// Flags say what a packet is.
type Flags uint16

// The flags of a packet.
const (
	// Invalid: an event says that a part of it cannot be what it claims.
	Invalid Flags = 1 << iota
	// WantsFlow: the packet belongs to a flow, named by its key.
	WantsFlow
	// Fragment: it is a fragment, and its payload was not looked at.
	Fragment
	// Rebuilt: it was put together from fragments.
	Rebuilt
	// TunnelRoot: packets were found in it, and come before it in the batch.
	TunnelRoot
	// TunnelChild: it was found in another packet.
	TunnelChild
	// NoPayloadInspection: its payload is inspected as a packet of its own.
	NoPayloadInspection
	// Swapped: its source is the high end of its key.
	Swapped
	// vjUncompressed: the IP header came by PPP's Van Jacobson compression.
	vjUncompressed
)

// Source says which decoder found a packet.
type Source uint8

// The sources of packets.
const (
	FromWire Source = iota
	FromIPv4        // IP in IPv4
	FromIPv6        // IP in IPv6
	FromGRE
	FromTeredo
	FromVXLAN
	FromGeneve
	FromDefrag
)

// TCPOptions are the options of a segment that matter to its stream.
type TCPOptions struct {
	TSVal, TSEcr uint32 // Timestamp, RFC 7323
	MSS          uint16
	SACKOffset   uint16 // Of the first SACK block from the start of the header.
	SACKBlocks   uint8
	Scale        uint8 // Window scale; 0 if it was above 14.
	Has          TCPOptionSet
}

// TCPOptionSet is a set of kinds of TCP options.
type TCPOptionSet uint8

// The TCP options a segment may have.
const (
	HasTimestamp TCPOptionSet = 1 << iota
	HasMSS
	HasScale
	HasSACKPermitted
	HasSACK
	HasFastOpen // RFC 7413, or its experimental numbers.
	HasMD5      // RFC 2385
	HasAO       // RFC 5925
)

// Packet is a decoded packet: places in its bytes, and what was found on the
// way. Packets of a [Batch] are used again; keep none.
type Packet struct {
	Number uint64 // In the capture, from 1. A packet found in another has its number.
	Time   int64  // Nanoseconds since 1970.
	Data   []byte // From its first header to its end as captured.

	// Key names its flow. For a message of ICMP about another packet, About is
	// the key of that one's flow, and AboutSwapped says that the other's source
	// is the high end of it.
	Key, About   packet.Key
	AboutSwapped bool

	Events  EventSet
	Options TCPOptions

	VLAN    [3]uint16 // Ids of its tags, outermost first.
	Tags    uint8
	Device  uint16
	SrcPort uint16 // TCP, UDP and SCTP; the type of ICMP.
	DstPort uint16 // TCP, UDP and SCTP; the type of ICMP's answer.
	Depth   uint8  // How many tunnels are around it.
	Flags   Flags
	Proto   packet.Proto // As far as it was followed.
	Layer3  Layer3
	Layer4  Layer4
	Source  Source

	IPv4Options  IPv4OptionSet
	ExtHeaders   uint16 // Bytes of IPv6 extension headers.
	IGMPVersion  uint8  // 1 to 3; 255 is none of them.
	RoutingType  uint8  // Of IPv6's routing header, if there is one.
	hasRouting   bool
	hasAbout     bool
	hasEthernet  bool
	layers       uint8
	checked      checks
	fragment     ip6Fragment
	ethernet     int32
	l3, l4       int32
	payload      int32
	payloadBytes int32
	aboutAt      int32
	sctpChunks   uint16
}

// Ethernet is its innermost Ethernet header, nil if it has none.
func (p *Packet) Ethernet() packet.Ethernet {
	if !p.hasEthernet {
		return nil
	}
	return packet.Ethernet(p.Data[p.ethernet:])
}

// IPv4 is its IPv4 header and what follows; it must have one.
func (p *Packet) IPv4() packet.IPv4 { return packet.IPv4(p.Data[p.l3:]) }

// IPv6 is its IPv6 header and what follows; it must have one.
func (p *Packet) IPv6() packet.IPv6 { return packet.IPv6(p.Data[p.l3:]) }

// ARP is its ARP message; it must have one.
func (p *Packet) ARP() packet.ARP { return packet.ARP(p.Data[p.l3:]) }

// TCP is its segment with everything that follows; it must have one.
func (p *Packet) TCP() packet.TCP { return packet.TCP(p.Data[p.l4:]) }

// UDP is its datagram; it must have one.
func (p *Packet) UDP() packet.UDP { return packet.UDP(p.Data[p.l4:]) }

// ICMP is its message of ICMPv4 or ICMPv6; it must have one.
func (p *Packet) ICMP() packet.ICMP { return packet.ICMP(p.Data[p.l4:]) }

// SCTP is its SCTP packet; it must have one.
func (p *Packet) SCTP() packet.SCTP { return packet.SCTP(p.Data[p.l4:]) }

// Network is its network header, and everything that follows.
func (p *Packet) Network() []byte { return p.Data[p.l3:] }

// Transport is its transport header, and everything that follows; nil if it has none.
func (p *Packet) Transport() []byte {
	if p.Layer4 == NoLayer4 {
		return nil
	}
	return p.Data[p.l4:]
}

// Payload is what the transport carries, without padding.
func (p *Packet) Payload() []byte { return p.Data[p.payload : p.payload+p.payloadBytes] }

// Embedded is the packet a message of ICMP is about, from its IP header, as far
// as the message has it; nil if it is not one.
func (p *Packet) Embedded() []byte {
	if p.aboutAt == 0 {
		return nil
	}
	return p.Data[p.aboutAt:]
}

// HasAbout says whether About is set.
func (p *Packet) HasAbout() bool { return p.hasAbout }

// Routing says whether the packet has an IPv6 routing header.
func (p *Packet) Routing() bool { return p.hasRouting }

// Chunks is how many chunks its SCTP packet has.
func (p *Packet) Chunks() int { return int(p.sctpChunks) }

// Src is its source address, the zero value without a network header.
func (p *Packet) Src() netip.Addr {
	switch p.Layer3 {
	case IPv4:
		return netip.AddrFrom4(p.IPv4().Src())
	case IPv6:
		return netip.AddrFrom16(p.IPv6().Src())
	}
	return netip.Addr{}
}

// Dst is its destination address, the zero value without a network header.
func (p *Packet) Dst() netip.Addr {
	switch p.Layer3 {
	case IPv4:
		return netip.AddrFrom4(p.IPv4().Dst())
	case IPv6:
		return netip.AddrFrom16(p.IPv6().Dst())
	}
	return netip.Addr{}
}

// TTL is its time to live or hop limit.
func (p *Packet) TTL() uint8 {
	switch p.Layer3 {
	case IPv4:
		return p.IPv4().TTL()
	case IPv6:
		return p.IPv6().HopLimit()
	}
	return 0
}

func (p *Packet) event(e Event) { p.Events.Add(e) }

func (p *Packet) invalid(e Event) bool {
	p.Events.Add(e)
	p.Flags |= Invalid
	return false
}

func (p *Packet) setPayload(at, size int) {
	p.payload, p.payloadBytes = int32(at), int32(size)
}

// wantsFlow makes the packet's key from its addresses and ports.
func (d *Decoder) wantsFlow(p *Packet) {
	var swapped bool
	if p.Layer3 == IPv4 {
		ip := p.Data[p.l3 : p.l3+packet.IPv4Len]
		p.Key, swapped = packet.Key4(be.Uint32(ip[12:]), be.Uint32(ip[16:]), p.SrcPort, p.DstPort, p.Proto)
	} else {
		ip := p.Data[p.l3 : p.l3+packet.IPv6Len]
		p.Key, swapped = packet.Key6((*[16]byte)(ip[8:]), (*[16]byte)(ip[24:]), p.SrcPort, p.DstPort, p.Proto)
	}
	if swapped {
		p.Flags |= Swapped
	}
	p.Key = p.Key.At(d.place(p))
	p.Flags |= WantsFlow
}

// place is where the packet was seen, as far as flows care.
func (d *Decoder) place(p *Packet) (vlan [3]uint16, device uint16, depth uint8) {
	if !d.cfg.IgnoreVLAN {
		vlan = p.VLAN
	}
	if !d.cfg.IgnoreDevice {
		device = p.Device
	}
	if !d.cfg.IgnoreDepth {
		depth = p.Depth
	}
	return vlan, device, depth
}
