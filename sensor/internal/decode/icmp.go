package decode

import "github.com/hauberk/hauberk/packet"

// answer4 is the type that answers an ICMPv4 type, or that it answers; 0 if
// there is none.
func answer4(kind uint8) uint8 {
	switch kind {
	case 0:
		return 8
	case 9, 13, 15, 17:
		return kind + 1
	case 10, 14, 16, 18:
		return kind - 1
	}
	return 0 // Also what answers 8.
}

// icmpv4 decodes a message of ICMPv4 (RFC 792).
func (d *Decoder) icmpv4(p *Packet, at int, b []byte) bool {
	d.Counters[CountICMPv4]++
	if len(b) < packet.ICMPLen {
		return p.invalid(EvICMPv4PacketTooSmall)
	}
	p.Layer4, p.l4, p.Proto = ICMPv4, int32(at), packet.ProtoICMPv4
	kind, code := b[0], b[1]
	p.SrcPort, p.DstPort = uint16(kind), uint16(answer4(kind))
	header := packet.ICMPLen
	maxCode := uint8(0)
	switch kind {
	case 3, 4, 5, 11, 12: // Errors, about a packet.
		switch kind {
		case 3:
			maxCode = 15
		case 5:
			maxCode = 3
		case 11:
			maxCode = 1
		}
		if code <= maxCode && (len(b) > packet.ICMPLen || kind == 4) {
			d.about4(p, at+packet.ICMPLen, b[packet.ICMPLen:])
		}
	case 9: // Router advertisement: count and size of addresses in words.
		maxCode = 255
		if size := int(b[4]) * int(b[5]) * 4; len(b) < packet.ICMPLen+size {
			p.event(EvICMPv4IPv4TruncatedPacket)
		} else {
			header += size
		}
	case 13, 14: // Timestamps.
		if len(b) < packet.ICMPLen+12 {
			p.event(EvICMPv4IPv4TruncatedPacket)
		} else {
			header += 12
		}
	case 0, 8, 15, 16, 17, 18:
	default:
		maxCode = 255
		p.event(EvICMPv4UnknownType)
	}
	if code > maxCode {
		p.event(EvICMPv4UnknownCode)
	}
	p.setPayload(at+header, len(b)-header)
	d.wantsFlow(p)
	return true
}

// about4 reads the packet that an error is about: an IPv4 header and at least
// the first eight bytes after it.
func (d *Decoder) about4(p *Packet, at int, b []byte) {
	if len(b) < packet.IPv4Len {
		p.invalid(EvICMPv4IPv4TruncatedPacket)
		return
	}
	if b[0]>>4 != 4 {
		p.invalid(EvICMPv4IPv4UnknownVersion)
		return
	}
	p.aboutAt = int32(at)
	ip := packet.IPv4(b)
	src, dst, ok := aboutPorts(ip.Proto(), b[min(len(b), max(packet.IPv4Len, ip.HeaderLen())):])
	if !ok {
		return
	}
	key, swapped := packet.Key4(be.Uint32(b[12:]), be.Uint32(b[16:]), src, dst, ip.Proto())
	p.About, p.AboutSwapped, p.hasAbout = key.At(d.place(p)), swapped, true
}

// aboutPorts reads the ports of TCP or UDP.
func aboutPorts(proto packet.Proto, b []byte) (src, dst uint16, ok bool) {
	switch {
	case proto == packet.ProtoTCP && len(b) >= 4, proto == packet.ProtoUDP && len(b) >= packet.UDPLen:
		return be.Uint16(b), be.Uint16(b[2:]), true
	}
	return 0, 0, false
}

// answer6 is [answer4] for ICMPv6.
func answer6(kind uint8) uint8 {
	switch kind {
	case 128, 130, 133, 135, 139, 144, 146, 148, 151, 157:
		return kind + 1
	case 129, 131, 134, 136, 140, 145, 147, 149, 152, 158:
		return kind - 1
	}
	return 0
}

// icmpv6 decodes a message of ICMPv6 (RFC 4443).
func (d *Decoder) icmpv6(p *Packet, at int, b []byte) bool {
	d.Counters[CountICMPv6]++
	if len(b) < packet.ICMPLen {
		return p.invalid(EvICMPv6PacketTooSmall)
	}
	p.Layer4, p.l4, p.Proto = ICMPv6, int32(at), packet.ProtoICMPv6
	kind, code := b[0], b[1]
	p.SrcPort, p.DstPort = uint16(code)<<8|uint16(kind), uint16(answer6(kind))

	header := 4 // Most have a body at once; errors and echoes four bytes more.
	switch {
	case !icmpv6Code(kind, code):
		p.event(EvICMPv6UnknownCode)
	case kind >= 1 && kind <= 4:
		d.about6(p, at+packet.ICMPLen, b[packet.ICMPLen:])
		header = packet.ICMPLen
	case kind == 128 || kind == 129:
		header = packet.ICMPLen
	}
	switch {
	case kind >= 130 && kind <= 132: // Multicast listeners, never forwarded.
		if p.IPv6().HopLimit() != 1 {
			p.event(EvICMPv6MLDMessageWithInvalidHopLimit)
		}
	case kind == 0 || kind == 127:
		p.event(EvICMPv6UnknownType)
	case kind == 100 || kind == 101 || kind == 200 || kind == 201:
		p.event(EvICMPv6ExperimentationType)
	case kind > 4 && kind < 127 || kind >= 160:
		p.event(EvICMPv6UnassignedType)
	}
	p.setPayload(at+header, len(b)-header)
	d.wantsFlow(p)
	return true
}

// icmpv6Code says whether a code is one of its type (IANA).
func icmpv6Code(kind, code uint8) bool {
	switch kind {
	case 1: // Destination unreachable.
		return code <= 6
	case 3: // Time exceeded.
		return code <= 1
	case 4: // Parameter problem.
		return code <= 2
	case 138: // Router renumbering.
		return code <= 2 || code == 255
	case 139, 140: // Node information.
		return code <= 2
	case 155: // RPL control.
		return code <= 3 || code >= 128 && code <= 132
	case 2, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 141, 142, 143, 144, 145, 146, 147, 148, 149, 154, 156, 157, 158, 159:
		return code == 0
	}
	return true
}

// about6 is [Decoder.about4] for ICMPv6.
func (d *Decoder) about6(p *Packet, at int, b []byte) {
	if len(b) < packet.IPv6Len {
		p.invalid(EvICMPv6IPv6TruncatedPacket)
		return
	}
	if b[0]>>4 != 6 {
		p.invalid(EvICMPv6IPv6UnknownVersion)
		return
	}
	p.aboutAt = int32(at)
	ip := packet.IPv6(b)
	src, dst, ok := aboutPorts(ip.NextHeader(), b[packet.IPv6Len:])
	if !ok {
		return
	}
	key, swapped := packet.Key6((*[16]byte)(b[8:]), (*[16]byte)(b[24:]), src, dst, ip.NextHeader())
	p.About, p.AboutSwapped, p.hasAbout = key.At(d.place(p)), swapped, true
}
