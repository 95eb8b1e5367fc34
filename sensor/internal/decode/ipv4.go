package decode

import "github.com/hauberk/hauberk/packet"

// ipv4 decodes an IPv4 packet (RFC 791), of which bytes may follow.
func (d *Decoder) ipv4(p *Packet, at int, b []byte) bool {
	d.Counters[CountIPv4]++
	if !d.layer(p) {
		return false
	}
	if len(b) > maxIP {
		b = b[:maxIP]
	}
	if len(b) < packet.IPv4Len {
		return p.invalid(EvIPv4PacketTooSmall)
	}
	ip := packet.IPv4(b)
	header, total := ip.HeaderLen(), ip.TotalLen()
	switch {
	case b[0]>>4 != 4:
		return p.invalid(EvIPv4WrongIPVersion)
	case header < packet.IPv4Len:
		return p.invalid(EvIPv4HeaderLenTooSmall)
	case total < header:
		return p.invalid(EvIPv4IPLenSmallerThanHeaderLen)
	case len(b) < total:
		return p.invalid(EvIPv4TruncatedPacket)
	}
	if header > packet.IPv4Len && !ipv4Options(p, b[packet.IPv4Len:header]) {
		return false
	}
	p.Layer3, p.l3, p.Proto = IPv4, int32(at), ip.Proto()
	if be.Uint16(b[6:])&0x3fff != 0 {
		p.Flags |= Fragment
		d.fragment4(p, at, b[:total])
		return true
	}
	at, b = at+header, b[header:total]
	switch p.Proto {
	case packet.ProtoTCP:
		d.tcp(p, at, b)
	case packet.ProtoUDP:
		d.udp(p, at, b)
	case packet.ProtoICMPv4:
		d.icmpv4(p, at, b)
	case packet.ProtoGRE:
		d.gre(p, at, b)
	case packet.ProtoSCTP:
		d.sctp(p, at, b)
	case packet.ProtoESP:
		d.esp(p, at, b)
	case packet.ProtoIPv6:
		if d.inner(p, FromIPv4, packet.EtherIPv6, b) {
			d.Counters[CountIPv6InIPv4]++
		}
		d.wantsFlow(p)
	case packet.ProtoIPv4:
		if d.inner(p, FromIPv4, packet.EtherIPv4, b) {
			d.Counters[CountIPv4InIPv4]++
		}
		d.wantsFlow(p)
	case packet.ProtoHopByHop: // In IPv4 a number that nobody has.
		if p.Flags&vjUncompressed != 0 {
			d.tcp(p, at, b)
		}
	case packet.ProtoICMPv6:
		p.invalid(EvIPv4ICMPv6)
	case packet.ProtoIGMP:
		d.igmp(p, at, b)
	default:
		d.Counters[CountUnknownIPv4Proto]++
		p.event(EvIPv4UnknownProtocol)
	}
	return true
}

// IPv4OptionSet is a set of kinds of IPv4 options that are as they should be.
type IPv4OptionSet uint16

// The IPv4 options a packet may have; the names are those of the rule keyword
// ipopts.
const (
	OptionEnd    IPv4OptionSet = 1 << iota // eol
	OptionNop                              // nop
	OptionRoute                            // rr
	OptionQuick                            // qs
	OptionTime                             // ts
	OptionSec                              // sec
	OptionLoose                            // lsrr
	OptionExtSec                           // esec
	OptionCIPSO                            // cipso
	OptionStream                           // satid
	OptionStrict                           // ssrr
	OptionAlert                            // rtralt
)

// ipv4Options checks the options of a header. It returns false if they make
// no sense at all.
func ipv4Options(p *Packet, b []byte) bool {
	if len(b)%8 != 0 {
		p.event(EvIPv4OptionPadRequired)
	}
	for len(b) > 0 {
		kind := b[0]
		if kind == 0 {
			p.IPv4Options |= OptionEnd
			break
		}
		if kind == 1 {
			p.IPv4Options |= OptionNop
			b = b[1:]
			continue
		}
		if len(b) < 2 {
			p.event(EvIPv4OptionEOLRequired)
			break
		}
		size := int(b[1])
		if size > len(b) || size < 2 {
			return p.invalid(EvIPv4OptionInvalidLen)
		}
		if flag, check := ipv4Option(kind); flag == 0 {
			p.event(EvIPv4OptionInvalid)
		} else if p.IPv4Options&flag != 0 {
			p.event(EvIPv4OptionDuplicate)
		} else if problem := check(b[:size]); problem != evNone {
			p.invalid(problem)
		} else {
			p.IPv4Options |= flag
		}
		b = b[size:]
	}
	return true
}

// ipv4Option finds an option by its number: its flag, and what its bytes must
// be.
func ipv4Option(kind uint8) (IPv4OptionSet, func([]byte) Event) {
	switch kind {
	case 7:
		return OptionRoute, checkRoute
	case 25:
		return OptionQuick, checkQuick
	case 68:
		return OptionTime, checkTime
	case 130:
		return OptionSec, checkSec
	case 131:
		return OptionLoose, checkRoute
	case 133:
		return OptionExtSec, checkSec
	case 134:
		return OptionCIPSO, checkCIPSO
	case 136:
		return OptionStream, checkFour
	case 137:
		return OptionStrict, checkRoute
	case 148:
		return OptionAlert, checkFour
	}
	return 0, nil
}

func checkQuick(o []byte) Event { return atLeast(o, 8) } // RFC 4782
func checkSec(o []byte) Event   { return atLeast(o, 3) } // RFC 1108

func atLeast(o []byte, n int) Event {
	if len(o) < n {
		return EvIPv4OptionInvalidLen
	}
	return evNone
}

// checkFour checks the stream id (RFC 791) and router alert (RFC 2113).
func checkFour(o []byte) Event {
	if len(o) != 4 {
		return EvIPv4OptionInvalidLen
	}
	return evNone
}

// checkRoute checks a route: a pointer from 4 in steps of an address, not past
// the end.
func checkRoute(o []byte) Event {
	if len(o) < 3 {
		return EvIPv4OptionInvalidLen
	}
	if pointer := int(o[2]); pointer < 4 || pointer%4 != 0 || pointer > len(o)+1 {
		return EvIPv4OptionMalformed
	}
	return evNone
}

// checkTime checks time stamps: a pointer from 5 in steps of an entry, which
// has an address too if the flag is 1 or 3.
func checkTime(o []byte) Event {
	if len(o) < 5 {
		return EvIPv4OptionInvalidLen
	}
	entry := 4
	if flag := o[3] & 0x0f; flag == 1 || flag == 3 {
		entry = 8
	}
	if pointer := int(o[2]); pointer < 5 || (pointer-5)%entry != 0 || pointer > len(o)+1 {
		return EvIPv4OptionMalformed
	}
	return evNone
}

// checkCIPSO checks tags (FIPS 188): a domain of four bytes, then type, length,
// and a byte of alignment that is 0 except for type 7.
func checkCIPSO(o []byte) Event {
	if len(o) < 10 {
		return EvIPv4OptionInvalidLen
	}
	for tags := o[6:]; len(tags) > 0; {
		if len(tags) < 2 || int(tags[1]) > len(tags) || tags[1] < 4 {
			return EvIPv4OptionMalformed
		}
		switch kind := tags[0]; kind {
		case 1, 2, 5, 6, 7:
			if kind != 7 && tags[2] != 0 {
				return EvIPv4OptionMalformed
			}
		default:
			return EvIPv4OptionMalformed
		}
		tags = tags[tags[1]:]
	}
	return evNone
}
