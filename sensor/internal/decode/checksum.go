package decode

import "github.com/hauberk/hauberk/packet"

// checks remembers which checksums were computed, and which were right.
type checks uint8

const (
	checkedIP checks = 1 << iota
	rightIP
	checkedTransport
	rightTransport
)

// IPChecksumOK says whether the checksum of an IPv4 header is right. IPv6 has
// none.
func (p *Packet) IPChecksumOK() bool {
	if p.Layer3 != IPv4 {
		return true
	}
	if p.checked&checkedIP == 0 {
		p.checked |= checkedIP
		ip := p.IPv4()
		if packet.Checksum(ip[:ip.HeaderLen()]) == 0 {
			p.checked |= rightIP
		}
	}
	return p.checked&rightIP != 0
}

// ChecksumOK says whether the checksum of the transport is right, or absent, or
// not one we know.
func (p *Packet) ChecksumOK() bool {
	if p.checked&checkedTransport == 0 {
		p.checked |= checkedTransport
		if p.transportChecksum() == 0 {
			p.checked |= rightTransport
		}
	}
	return p.checked&rightTransport != 0
}

func (p *Packet) transportChecksum() uint16 {
	b := p.Data[p.l4 : p.payload+p.payloadBytes]
	switch p.Layer4 {
	case TCP, ICMPv6:
	case UDP:
		if packet.UDP(b).Checksum() == 0 {
			return 0
		}
	case ICMPv4, IGMP:
		return packet.Checksum(b)
	default:
		return 0
	}
	ip := p.Data[p.l3:]
	if p.Layer3 == IPv6 {
		return packet.Pseudo(ip[8:24], ip[24:40], p.Proto, len(b)).Add(b).Checksum()
	}
	return packet.Pseudo(ip[12:16], ip[16:20], p.Proto, len(b)).Add(b).Checksum()
}
