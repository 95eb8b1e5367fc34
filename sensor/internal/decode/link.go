package decode

import "github.com/hauberk/hauberk/packet"

// Every decoder takes a packet, the place of its header in the packet's data,
// and the bytes from there; and says whether there was such a header.

func (d *Decoder) ethernet(p *Packet, at int, b []byte) bool {
	d.Counters[CountEthernet]++
	if len(b) < packet.EthernetLen {
		return p.invalid(EvEthernetPacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	p.ethernet, p.hasEthernet = int32(at), true
	d.network(p, packet.EtherType(be.Uint16(b[12:])), at+packet.EthernetLen, b[packet.EthernetLen:])
	return true
}

// network decodes what an EtherType names. It says whether that is known.
func (d *Decoder) network(p *Packet, kind packet.EtherType, at int, b []byte) bool {
	switch kind {
	case packet.EtherIPv4:
		d.ipv4(p, at, b)
	case packet.EtherIPv6:
		d.ipv6(p, at, b)
	case packet.EtherPPPoE:
		d.pppoeSession(p, at, b)
	case packet.EtherPPPoEDisc:
		d.pppoeDiscovery(p, b)
	case packet.EtherVLAN, packet.EtherQinQ, packet.EtherQinQOld:
		if p.Tags >= maxTags {
			p.event(EvVLANTooManyLayers)
		} else {
			d.vlan(p, at, b)
		}
	case packet.EtherPBB:
		d.pbb(p, at, b)
	case packet.EtherARP:
		d.arp(p, at, b)
	case packet.EtherMPLS, packet.EtherMPLSMulti:
		d.mpls(p, at, b)
	case packet.EtherFabricPath: // Two bytes, then another Ethernet header.
		if len(b) < 2+packet.EthernetLen {
			p.invalid(EvFabricPathPacketTooSmall)
		} else {
			d.ethernet(p, at+2, b[2:])
		}
	case packet.EtherETag:
		d.tag(p, at, b, 8, CountETag, EvETagHeaderTooSmall, EvETagUnknownType)
	case packet.EtherVNTag:
		d.tag(p, at, b, 6, CountVNTag, EvVNTagHeaderTooSmall, EvVNTagUnknownType)
	case packet.EtherNSH:
		d.nsh(p, at, b)
	default:
		d.Counters[CountUnknownEtherType]++
		p.event(EvEthernetUnknownEthertype)
		return false
	}
	return true
}

func (d *Decoder) vlan(p *Packet, at int, b []byte) bool {
	if p.Tags < maxTags {
		d.Counters[CountVLAN+Counter(p.Tags)]++
	}
	if len(b) < packet.VLANLen {
		return p.invalid(EvVLANHeaderTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	if p.Tags >= maxTags {
		p.event(EvVLANTooManyLayers)
		return false
	}
	tag := packet.VLAN(b)
	p.VLAN[p.Tags] = tag.ID()
	p.Tags++
	if !d.network(p, tag.Type(), at+packet.VLANLen, b[packet.VLANLen:]) {
		return p.invalid(EvVLANUnknownType)
	}
	return true
}

// tag skips a tag that ends in an EtherType and has nothing for us.
func (d *Decoder) tag(p *Packet, at int, b []byte, size int, count Counter, small, unknown Event) bool {
	d.Counters[count]++
	if len(b) < size {
		return p.invalid(small)
	}
	if !d.layer(p) {
		return false
	}
	if !d.network(p, packet.EtherType(be.Uint16(b[size-2:])), at+size, b[size:]) {
		return p.invalid(unknown)
	}
	return true
}

// pbb decodes a provider backbone bridge's I-tag: 4 bytes, the customer's
// addresses and EtherType.
func (d *Decoder) pbb(p *Packet, at int, b []byte) bool {
	const size = 18
	d.Counters[CountPBB]++
	if len(b) < size {
		return p.invalid(EvPBBHeaderTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	d.network(p, packet.EtherType(be.Uint16(b[16:])), at+size, b[size:])
	return true
}

func (d *Decoder) arp(p *Packet, at int, b []byte) bool {
	d.Counters[CountARP]++
	if len(b) < 8 {
		return p.invalid(EvARPPacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	switch {
	case be.Uint16(b) != 1:
		return p.invalid(EvARPUnsupportedHardware)
	case packet.EtherType(be.Uint16(b[2:])) != packet.EtherIPv4:
		return p.invalid(EvARPUnsupportedProtocol)
	case len(b) < packet.ARPLen:
		return p.invalid(EvARPInvalidPacket)
	case b[4] != 6:
		return p.invalid(EvARPInvalidHardwareSize)
	case b[5] != 4:
		return p.invalid(EvARPInvalidProtocolSize)
	}
	if op := packet.ARP(b).Op(); op < 1 || op > 4 {
		return p.invalid(EvARPUnsupportedOpcode)
	}
	p.Layer3, p.l3 = ARP, int32(at)
	return true
}

// sll decodes the header of Linux's "any" device: EtherType at byte 14.
func (d *Decoder) sll(p *Packet, b []byte) bool {
	const size = 16
	d.Counters[CountSLL]++
	if len(b) < size {
		return p.invalid(EvSLLPacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	d.network(p, packet.EtherType(be.Uint16(b[14:])), size, b[size:])
	return true
}

// sll2 decodes the second form of it: EtherType first.
func (d *Decoder) sll2(p *Packet, b []byte) bool {
	const size = 20
	d.Counters[CountSLL2]++
	if len(b) < size {
		return p.invalid(EvSLL2PacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	d.network(p, packet.EtherType(be.Uint16(b)), size, b[size:])
	return true
}

func (d *Decoder) chdlc(p *Packet, b []byte) bool {
	const size = 4
	d.Counters[CountCHDLC]++
	if len(b) < size {
		return p.invalid(EvCHDLCPacketTooSmall)
	}
	if len(b) > size+maxIP || !d.layer(p) {
		return false
	}
	d.network(p, packet.EtherType(be.Uint16(b[2:])), size, b[size:])
	return true
}

// null decodes BSD's loopback header: an address family in the byte order of
// the capturing machine, or of the network for OpenBSD. Each system has its own
// number for IPv6.
func (d *Decoder) null(p *Packet, link packet.LinkType, b []byte) bool {
	const size = 4
	d.Counters[CountNull]++
	if len(b) < size {
		return p.invalid(EvNullPacketTooSmall)
	}
	if len(b) > size+maxIP {
		return false
	}
	family := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
	if link == packet.LinkLoop {
		family = be.Uint32(b)
	}
	switch family {
	case 2:
		d.ipv4(p, size, b[size:])
	case 10, 23, 24, 26, 28, 30:
		d.ipv6(p, size, b[size:])
	default:
		p.event(EvNullUnsupportedType)
	}
	return true
}

// maxIP is the most bytes an IP packet has.
const maxIP = 65535

func (d *Decoder) raw(p *Packet, at int, b []byte) bool {
	d.Counters[CountRaw]++
	if len(b) < packet.IPv4Len {
		return p.invalid(EvIPv4PacketTooSmall)
	}
	switch version := b[0] >> 4; {
	case version != 4 && version != 6:
		p.event(EvRawInvalidIPVersion)
	case len(b) > maxIP:
		return false
	case version == 4:
		d.ipv4(p, at, b)
	default:
		d.ipv6(p, at, b)
	}
	return true
}
