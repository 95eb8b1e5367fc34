package decode

import "github.com/hauberk/hauberk/packet"

// ip6Fragment is what a fragment header says, and where it is.
type ip6Fragment struct {
	present  bool
	more     bool
	next     packet.Proto
	id       uint32
	offset   uint16 // In the datagram, bytes.
	size     uint16 // Of the data after the header.
	header   int32  // Its place in the packet.
	previous int32  // Place of the extension header before it, 0 if there is none.
}

// ipv6 decodes an IPv6 packet (RFC 8200), of which bytes may follow.
func (d *Decoder) ipv6(p *Packet, at int, b []byte) bool {
	d.Counters[CountIPv6]++
	if !d.layer(p) {
		return false
	}
	if len(b) > maxIP {
		b = b[:maxIP]
	}
	if len(b) < packet.IPv6Len {
		return p.invalid(EvIPv6PacketTooSmall)
	}
	ip := packet.IPv6(b)
	if b[0]>>4 != 6 {
		return p.invalid(EvIPv6WrongIPVersion)
	}
	if len(b) < packet.IPv6Len+ip.PayloadLen() {
		return p.invalid(EvIPv6TruncatedPacket)
	}
	p.Layer3, p.l3, p.Proto = IPv6, int32(at), ip.NextHeader()
	b = b[:packet.IPv6Len+ip.PayloadLen()]
	w := extensions{p: p, next: p.Proto, at: at + packet.IPv6Len, b: b[packet.IPv6Len:]}
	if !w.walk(d) {
		return true
	}
	p.ExtHeaders = uint16(len(b) - packet.IPv6Len - len(w.b))
	p.Proto = w.next
	if p.fragment.present && (p.fragment.more || p.fragment.offset > 0) {
		d.fragment6(p, at, b)
		return true
	}
	d.upper6(p, w.at, w.b)
	return true
}

// upper6 decodes what follows the last extension header.
func (d *Decoder) upper6(p *Packet, at int, b []byte) {
	switch p.Proto {
	case packet.ProtoTCP:
		d.tcp(p, at, b)
	case packet.ProtoUDP:
		d.udp(p, at, b)
	case packet.ProtoICMPv6:
		d.icmpv6(p, at, b)
	case packet.ProtoSCTP:
		d.sctp(p, at, b)
	case packet.ProtoESP:
		d.esp(p, at, b)
	case packet.ProtoGRE:
		d.gre(p, at, b)
	case packet.ProtoIPv4:
		d.inIPv6(p, b, 4, packet.EtherIPv4, CountIPv4InIPv6, packet.IPv4Len, EvIPv6IPv4InIPv6TooSmall, EvIPv6IPv4InIPv6WrongVersion)
	case packet.ProtoIPv6:
		d.inIPv6(p, b, 6, packet.EtherIPv6, CountIPv6InIPv6, packet.IPv6Len, EvIPv6IPv6InIPv6TooSmall, EvIPv6IPv6InIPv6WrongVersion)
	case packet.ProtoNone:
		if len(b) > 0 {
			p.event(EvIPv6DataAfterNoneHeader)
		}
	case packet.ProtoICMPv4:
		p.event(EvIPv6ICMPv4)
	default:
		p.event(EvIPv6UnknownNextHeader)
	}
}

func (d *Decoder) inIPv6(p *Packet, b []byte, version uint8, kind packet.EtherType, count Counter, least int, small, wrong Event) {
	switch {
	case len(b) < least:
		p.invalid(small)
	case b[0]>>4 != version:
		p.invalid(wrong)
	default:
		if d.inner(p, FromIPv6, kind, b) {
			d.Counters[count]++
		}
		d.wantsFlow(p)
	}
}

// extensions walks the extension headers of a packet.
type extensions struct {
	p        *Packet
	next     packet.Proto
	at       int // Place of the next header.
	b        []byte
	previous int // Size of the header before.
	seen     struct{ hopByHop, routing, authentic, destination uint8 }
}

// walk moves to the header that is not an extension, or to the data of a
// fragment. It returns false if a header is cut.
func (w *extensions) walk(d *Decoder) bool {
	for first := true; ; first = false {
		size := 0
		switch w.next {
		case packet.ProtoHopByHop, packet.ProtoDestOpts, packet.ProtoRouting, packet.ProtoMobility, packet.ProtoHIP, packet.ProtoShim6:
			if len(w.b) >= 2 {
				size = 8 + int(w.b[1])*8
			}
		case packet.ProtoFragment:
			size = 8
		case packet.ProtoAH: // In words, without the first two.
			if len(w.b) >= 2 {
				size = 12 + 4*max(0, int(w.b[1])-1)
			}
		case packet.ProtoNone:
			return true
		default:
			if !first && len(w.b) < 2 {
				return w.p.invalid(EvIPv6TruncatedExtHeader)
			}
			return true
		}
		if len(w.b) < 2 || size > len(w.b) {
			return w.p.invalid(EvIPv6TruncatedExtHeader)
		}
		if w.header(w.b[:size]) {
			w.advance(size)
			return true
		}
		w.advance(size)
	}
}

func (w *extensions) advance(size int) {
	w.next = packet.Proto(w.b[0])
	w.at, w.b, w.previous = w.at+size, w.b[size:], size
}

// header looks at one extension header. It says whether the rest is data of a
// fragment.
func (w *extensions) header(h []byte) bool {
	p := w.p
	switch w.next {
	case packet.ProtoHopByHop:
		if w.seen.hopByHop++; w.seen.hopByHop > 1 {
			w.seen.hopByHop = 1
			p.event(EvIPv6ExtHeaderDupHH)
		} else {
			ip6Options(p, h[2:], EvIPv6HopOptionsUnknownOption, EvIPv6HopOptionsOnlyPadding)
		}
	case packet.ProtoDestOpts: // May be there twice, before and after routing.
		if w.seen.destination++; w.seen.destination > 2 {
			w.seen.destination = 2
			p.event(EvIPv6ExtHeaderDupDH)
		} else {
			ip6Options(p, h[2:], EvIPv6DestOptionsUnknownOption, EvIPv6DestOptionsOnlyPadding)
		}
	case packet.ProtoRouting:
		if w.seen.routing++; w.seen.routing > 1 {
			w.seen.routing = 1
			p.event(EvIPv6ExtHeaderDupRH)
			break
		}
		p.hasRouting, p.RoutingType = true, h[2]
		if h[2] == 0 {
			p.event(EvIPv6RHType0)
		}
	case packet.ProtoAH:
		if be.Uint16(h[2:]) != 0 {
			p.event(EvIPv6ExtHeaderAHReservedNotNull)
		}
		if w.seen.authentic++; w.seen.authentic > 1 {
			w.seen.authentic = 1
			p.event(EvIPv6ExtHeaderDupAH)
		}
	case packet.ProtoFragment:
		return w.fragment(h)
	}
	return false
}

func (w *extensions) fragment(h []byte) bool {
	p := w.p
	if h[1] != 0 {
		p.event(EvIPv6FHNonZeroReservedField)
	}
	if p.fragment.present {
		p.event(EvIPv6ExtHeaderDupFH)
		return false
	}
	field := be.Uint16(h[2:])
	f := ip6Fragment{
		present: true, more: field&1 == 1, next: packet.Proto(h[0]), id: be.Uint32(h[4:]),
		offset: field &^ 7, size: uint16(len(w.b) - len(h)), header: int32(w.at),
	}
	if w.previous > 0 {
		f.previous = int32(w.at - w.previous)
	}
	p.fragment = f
	if !f.more && f.offset == 0 {
		p.event(EvIPv6ExtHeaderUselessFH)
		return false
	}
	if f.more && len(w.b)%8 != 0 {
		p.event(EvIPv6FragmentInvalidLength)
	}
	p.Flags |= Fragment
	return true
}

// Options in hop-by-hop and destination headers (RFC 8200, 2711, 2675, 6275).
const (
	ip6Pad1        = 0
	ip6PadN        = 1
	ip6RouterAlert = 5
	ip6Jumbo       = 0xc2
	ip6HomeAddress = 0xc9
)

// ip6Options checks the options of a header.
func ip6Options(p *Packet, b []byte, unknown, onlyPadding Event) {
	padding, other := false, false
	for len(b) > 0 {
		if b[0] == ip6Pad1 {
			padding = true
			b = b[1:]
			continue
		}
		if len(b) < 2 || 2+int(b[1]) > len(b) {
			p.invalid(EvIPv6ExtHeaderInvalidOptionLen)
			break
		}
		kind, size := b[0], int(b[1])
		least := 0
		switch kind {
		case ip6PadN:
			padding = true
			if size == 0 {
				p.event(EvIPv6ZeroLenPadN)
			}
		case ip6RouterAlert:
			least = 2
		case ip6Jumbo:
			least = 4
		case ip6HomeAddress:
			least = 16
		default:
			p.event(unknown)
		}
		if size < least {
			p.invalid(EvIPv6ExtHeaderInvalidOptionLen)
			break
		}
		other = other || kind != ip6PadN && kind != ip6Jumbo
		b = b[2+size:]
	}
	if padding && !other {
		p.event(onlyPadding)
	}
}
