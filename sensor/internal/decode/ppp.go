package decode

import "github.com/hauberk/hauberk/packet"

// pppProto is a PPP protocol number (IANA).
type pppProto uint16

const (
	pppIPv4           pppProto = 0x0021
	pppVJUncompressed pppProto = 0x002f
	pppIPv6           pppProto = 0x0057
)

// pppUse is what becomes of a PPP protocol.
type pppUse uint8

const (
	pppUnknown     pppUse = iota
	pppControl            // Right, and nothing to inspect.
	pppUnsupported        // Right, and carries what is not decoded.
	pppFollowed
)

// use looks a protocol up. The lists are those of the registry that were
// seen in use.
func (k pppProto) use() pppUse {
	switch k {
	case pppIPv4, pppVJUncompressed, pppIPv6:
		return pppFollowed
	case 0x00fd, // compressed datagram
		0x8021, 0x8057, 0x80fd, 0x8207, // control of IP, IPv6, compression, CDP
		0xc021, 0xc023, 0xc025, 0xc029, 0xc223: // LCP, PAP, LQM, CBCP, CHAP
		return pppControl
	case 0x0023, 0x0025, 0x0027, 0x0029, 0x002b, 0x002d, 0x0031, 0x0033, 0x0035, // OSI to VINES
		0x0201, 0x0231, 0x0233, 0x0281, 0x0283, // hello, Luxcom, SNS, MPLS
		0x8023, 0x8025, 0x8027, 0x8029, 0x802b, 0x8033, 0x8035, 0x8281: // their control
		return pppUnsupported
	}
	return pppUnknown
}

// ppp decodes a PPP frame (RFC 1661, 1662): perhaps address and control, then a
// protocol of two bytes, or one if its lowest bit is set.
func (d *Decoder) ppp(p *Packet, at int, b []byte) bool {
	d.Counters[CountPPP]++
	header := 0
	if len(b) > 0 && b[0] == 0xff {
		header = 2
	}
	if len(b) <= header {
		return p.invalid(EvPPPPacketTooSmall)
	}
	size := 2
	if b[header]&1 == 1 {
		size = 1
	}
	if len(b) < header+size {
		return p.invalid(EvPPPPacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	if size == 1 {
		kind := pppProto(b[header])
		if kind.use() != pppFollowed {
			p.event(EvPPPUnsupportedProtocol)
			return true
		}
		return d.pppPayload(p, kind, at+header+1, b[header+1:])
	}
	kind := pppProto(be.Uint16(b[header:]))
	switch kind.use() {
	case pppFollowed:
		return d.pppPayload(p, kind, at+header+2, b[header+2:])
	case pppUnsupported:
		p.event(EvPPPUnsupportedProtocol)
	case pppUnknown:
		p.invalid(EvPPPWrongType)
	}
	return true
}

// pppPayload decodes IP in PPP.
func (d *Decoder) pppPayload(p *Packet, kind pppProto, at int, b []byte) bool {
	switch kind {
	case pppIPv4:
		if len(b) < packet.IPv4Len {
			return p.invalid(EvPPPIP4PacketTooSmall)
		}
		return d.ipv4(p, at, b)
	case pppIPv6:
		if len(b) < packet.IPv6Len {
			return p.invalid(EvPPPIP6PacketTooSmall)
		}
		return d.ipv6(p, at, b)
	default:
		if len(b) < packet.IPv4Len {
			return p.invalid(EvPPPVJUPacketTooSmall)
		}
		if b[0]>>4 != 4 {
			return false
		}
		p.Flags |= vjUncompressed
		return d.ipv4(p, at, b)
	}
}

// pppoeDiscovery checks a discovery packet (RFC 2516 section 5): version and
// type, code, session, length, tags.
func (d *Decoder) pppoeDiscovery(p *Packet, b []byte) bool {
	const size = 6
	d.Counters[CountPPPoE]++
	if len(b) < size {
		return p.invalid(EvPPPoEPacketTooSmall)
	}
	switch b[1] {
	case 0x09, 0x07, 0x19, 0x65, 0xa7: // PADI, PADO, PADR, PADS, PADT
	default:
		p.invalid(EvPPPoEWrongCode)
		return true
	}
	if int(be.Uint16(b[4:])) > len(b)-size {
		p.invalid(EvPPPoEMalformedTags)
	}
	return true
}

// pppoeSession decodes a session packet (RFC 2516 section 6): the same header,
// then a PPP protocol.
func (d *Decoder) pppoeSession(p *Packet, at int, b []byte) bool {
	const size = 6
	d.Counters[CountPPPoE]++
	if len(b) < size+1 {
		return p.invalid(EvPPPoEPacketTooSmall)
	}
	if be.Uint16(b[4:]) == 0 {
		return true
	}
	header := size + 1
	kind := pppProto(b[size])
	if b[size]&1 == 0 {
		header++
		if len(b) < header {
			return p.invalid(EvPPPoEPacketTooSmall)
		}
		kind = pppProto(be.Uint16(b[size:]))
	}
	switch kind.use() {
	case pppFollowed:
		d.pppPayload(p, kind, at+header, b[header:])
	case pppUnsupported:
		p.event(EvPPPUnsupportedProtocol)
	case pppUnknown:
		p.invalid(EvPPPWrongType)
	}
	return true
}
