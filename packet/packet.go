// Package packet holds the words for what is on a wire: views of headers over
// bytes, the key of a flow, checksums and the community id. The edge, the
// TCP/IP library and the sensor share it.
//
// A view is a byte slice with a name. [IPv4](b) makes one without a copy, and
// its methods read single fields; Valid says whether they may: a view of too
// few bytes panics when read, as a slice does. Nothing here judges a packet
// beyond that; the sensor's decoder does.
//
//	if ip := packet.IPv4(b); ip.Valid() {
//		payload := ip.Payload()
//	}
//
// The package seqnum has the arithmetic of TCP sequence numbers, pcap reads
// and writes captures.
package packet

import "encoding/binary"

// be reads the network's byte order.
var be = binary.BigEndian

// EtherType names what an Ethernet frame carries (IEEE 802 numbers).
type EtherType uint16

// The EtherTypes that somebody here reads.
const (
	EtherIPv4       EtherType = 0x0800
	EtherARP        EtherType = 0x0806
	EtherBridge     EtherType = 0x6558 // Ethernet in GRE or Geneve, RFC 1701
	EtherVLAN       EtherType = 0x8100 // IEEE 802.1Q
	EtherIPv6       EtherType = 0x86dd
	EtherPPP        EtherType = 0x880b // PPP in GRE, RFC 2637
	EtherMPLS       EtherType = 0x8847 // RFC 3032
	EtherMPLSMulti  EtherType = 0x8848
	EtherPPPoEDisc  EtherType = 0x8863 // RFC 2516
	EtherPPPoE      EtherType = 0x8864
	EtherQinQ       EtherType = 0x88a8 // IEEE 802.1ad
	EtherERSPAN     EtherType = 0x88be
	EtherPBB        EtherType = 0x88e7 // IEEE 802.1ah, provider backbone bridges
	EtherFabricPath EtherType = 0x8903 // Cisco data centre Ethernet
	EtherVNTag      EtherType = 0x8926 // 802.1Qbh
	EtherETag       EtherType = 0x893f // IEEE 802.1BR
	EtherNSH        EtherType = 0x894f // RFC 8300
	EtherQinQOld    EtherType = 0x9100 // double tags before 802.1ad
)

// Proto is an IP protocol number or IPv6 next header (IANA).
type Proto uint8

// The protocols that somebody here reads.
const (
	ProtoHopByHop Proto = 0 // IPv6
	ProtoICMPv4   Proto = 1
	ProtoIGMP     Proto = 2
	ProtoIPv4     Proto = 4 // IP in IP, RFC 2003
	ProtoTCP      Proto = 6
	ProtoUDP      Proto = 17
	ProtoIPv6     Proto = 41 // RFC 4213
	ProtoRouting  Proto = 43 // IPv6
	ProtoFragment Proto = 44 // IPv6
	ProtoGRE      Proto = 47
	ProtoESP      Proto = 50
	ProtoAH       Proto = 51
	ProtoICMPv6   Proto = 58
	ProtoNone     Proto = 59 // IPv6: nothing follows
	ProtoDestOpts Proto = 60 // IPv6
	ProtoSCTP     Proto = 132
	ProtoMobility Proto = 135 // IPv6, RFC 6275
	ProtoHIP      Proto = 139 // RFC 7401
	ProtoShim6    Proto = 140 // RFC 5533
)

// Sizes of headers without options, in bytes.
const (
	EthernetLen = 14
	VLANLen     = 4
	ARPLen      = 28 // for Ethernet and IPv4
	IPv4Len     = 20
	IPv6Len     = 40
	TCPLen      = 20
	UDPLen      = 8
	ICMPLen     = 8
	SCTPLen     = 12
)
