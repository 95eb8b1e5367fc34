package decode

import (
	"slices"

	"github.com/hauberk/hauberk/packet"
)

// inner decodes what an EtherType names as a packet of its own. It says whether
// one was found.
func (d *Decoder) inner(parent *Packet, from Source, kind packet.EtherType, b []byte) bool {
	p := d.child(parent, from, b)
	if p == nil {
		return false
	}
	ok := false
	switch kind {
	case packet.EtherIPv4:
		ok = d.ipv4(p, 0, p.Data)
	case packet.EtherIPv6:
		ok = d.ipv6(p, 0, p.Data)
	case packet.EtherBridge:
		ok = d.ethernet(p, 0, p.Data)
	case packet.EtherPPP:
		ok = d.ppp(p, 0, p.Data)
	case packet.EtherVLAN:
		ok = d.vlan(p, 0, p.Data)
	case packet.EtherARP:
		ok = d.arp(p, 0, p.Data)
	case packet.EtherERSPAN:
		ok = d.erspan(p, p.Data)
	}
	if from == FromTeredo && p.Flags&Invalid != 0 {
		ok = false // It was a guess.
	}
	return d.adopt(parent, p, ok)
}

// Bits of the first two bytes of a GRE header (RFC 2784, 1701, 2890, 2637).
const (
	greChecksum = 1 << 15
	greRoute    = 1 << 14
	greKey      = 1 << 13
	greSequence = 1 << 12
	greStrict   = 1 << 11
	greRecurse  = 7 << 8
	greAck      = 1 << 7
	greReserved = 0x78
	greVersion  = 7
)

func (d *Decoder) gre(p *Packet, at int, b []byte) bool {
	d.Counters[CountGRE]++
	if len(b) < 4 {
		return p.invalid(EvGREPacketTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	p.Layer4, p.l4 = GRE, int32(at)
	flags, kind := be.Uint16(b), packet.EtherType(be.Uint16(b[2:]))
	var header int
	var problem Event
	switch flags & greVersion {
	case 0:
		header, problem = greHeader0(flags, b)
	case 1:
		header, problem = greHeader1(flags, kind, b)
	default:
		problem = EvGREWrongVersion
	}
	if problem != evNone {
		p.invalid(problem)
		return true
	}
	switch kind {
	case packet.EtherIPv4, packet.EtherIPv6, packet.EtherVLAN, packet.EtherBridge, packet.EtherARP:
		d.inner(p, FromGRE, kind, b[header:])
	case packet.EtherPPP:
		if flags&greVersion == 1 && be.Uint16(b[4:]) == 0 {
			return true // An acknowledgement without payload.
		}
		d.inner(p, FromGRE, kind, b[header:])
	case packet.EtherERSPAN:
		if flags&greSequence == 0 { // Type I: Ethernet follows at once.
			d.Counters[CountERSPAN]++
			kind = packet.EtherBridge
		}
		d.inner(p, FromGRE, kind, b[header:])
	}
	return true
}

// greHeader0 returns the size of a header of version 0, with its source routes.
func greHeader0(flags uint16, b []byte) (int, Event) {
	switch {
	case flags&greRecurse != 0:
		return 0, EvGREVersion0Recursion
	case flags&greReserved != 0:
		return 0, EvGREVersion0Flags
	}
	header := 4
	if flags&greKey != 0 {
		header += 4
	}
	if flags&greSequence != 0 {
		header += 4
	}
	if flags&(greChecksum|greRoute) != 0 {
		header += 4
	}
	if header > len(b) {
		return 0, EvGREVersion0HeaderTooBig
	}
	for flags&greRoute != 0 {
		if header+4 > len(b) {
			return 0, EvGREVersion0MalformedSREHeader
		}
		family, size := be.Uint16(b[header:]), int(b[header+3])
		header += 4
		if family == 0 && size == 0 {
			break
		}
		if header += size; header > len(b) {
			return 0, EvGREVersion0MalformedSREHeader
		}
	}
	return header, evNone
}

// greHeader1 returns the size of a header of version 1, PPTP's.
func greHeader1(flags uint16, kind packet.EtherType, b []byte) (int, Event) {
	switch {
	case flags&greChecksum != 0:
		return 0, EvGREVersion1Checksum
	case flags&greRoute != 0:
		return 0, EvGREVersion1Route
	case flags&greStrict != 0:
		return 0, EvGREVersion1SSR
	case flags&greRecurse != 0:
		return 0, EvGREVersion1Recursion
	case flags&greReserved != 0:
		return 0, EvGREVersion1Flags
	case kind != packet.EtherPPP:
		return 0, EvGREVersion1WrongProtocol
	case flags&greKey == 0:
		return 0, EvGREVersion1NoKey
	}
	header := 8
	if flags&greSequence != 0 {
		header += 4
	}
	if flags&greAck != 0 {
		header += 4
	}
	if header > len(b) {
		return 0, EvGREVersion1HeaderTooBig
	}
	return header, evNone
}

// erspan decodes ERSPAN type II: version and VLAN, session, 4 bytes to skip,
// Ethernet.
func (d *Decoder) erspan(p *Packet, b []byte) bool {
	const size = 8
	d.Counters[CountERSPAN]++
	if len(b) < size {
		p.event(EvERSPANHeaderTooSmall)
		return false
	}
	if !d.layer(p) {
		return false
	}
	first := be.Uint16(b)
	if first>>12 != 1 {
		p.event(EvERSPANUnsupportedVersion)
		return false
	}
	if vlan := first & 0x0fff; vlan > 0 {
		p.VLAN[p.Tags] = vlan // The first tag of a fresh packet.
		p.Tags++
	}
	return d.ethernet(p, size, b[size:])
}

// overUDP looks for a tunnel in a UDP datagram by its ports.
func (d *Decoder) overUDP(p *Packet, b []byte) {
	if d.cfg.TeredoAnywhere || len(d.cfg.TeredoPorts) > 0 && (slices.Contains(d.cfg.TeredoPorts, p.SrcPort) || slices.Contains(d.cfg.TeredoPorts, p.DstPort)) {
		if d.teredo(p, b) {
			return
		}
	}
	if slices.Contains(d.cfg.GenevePorts, p.SrcPort) || slices.Contains(d.cfg.GenevePorts, p.DstPort) {
		if d.geneve(p, b) {
			return
		}
	}
	if slices.Contains(d.cfg.VXLANPorts, p.DstPort) {
		d.vxlan(p, b)
	}
}

// teredo looks for IPv6 in UDP (RFC 4380), perhaps after an origin indication.
// Nothing marks it but that all lengths fit.
func (d *Decoder) teredo(p *Packet, b []byte) bool {
	const origin = 8
	if len(b) < packet.IPv6Len {
		return false
	}
	if b[0] == 0 {
		if b[1] != 0 || len(b) < origin+packet.IPv6Len {
			return false
		}
		b = b[origin:]
	}
	ip := packet.IPv6(b)
	if b[0]>>4 != 6 || ip.HopLimit() == 0 || len(b) != packet.IPv6Len+ip.PayloadLen() ||
		ip.NextHeader() == packet.ProtoHopByHop && ip.PayloadLen() < 8 {
		return false
	}
	if !d.inner(p, FromTeredo, packet.EtherIPv6, b) {
		return false
	}
	d.Counters[CountTeredo]++
	return true
}

// geneve decodes Geneve (RFC 8926): version and length of options, flags,
// EtherType, network, options.
func (d *Decoder) geneve(p *Packet, b []byte) bool {
	const size = 8
	if len(b) < size || !d.layer(p) {
		return false
	}
	header := size + int(b[0]&0x3f)*4
	if len(b) < header || b[0]>>6 != 0 || b[1]&0x3f != 0 || b[7] != 0 || !geneveOptions(b[size:header]) {
		return false
	}
	d.Counters[CountGeneve]++
	switch kind := packet.EtherType(be.Uint16(b[2:])); kind {
	case packet.EtherIPv4, packet.EtherIPv6, packet.EtherBridge:
		d.inner(p, FromGeneve, kind, b[header:])
	case packet.EtherARP:
	default:
		p.invalid(EvGeneveUnknownPayloadType)
	}
	return true
}

// geneveOptions says whether options fill their space exactly.
func geneveOptions(b []byte) bool {
	for len(b) > 0 {
		size := 4 + int(b[3]&0x1f)*4
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return true
}

// vxlan decodes VXLAN (RFC 7348): flags, network, Ethernet.
func (d *Decoder) vxlan(p *Packet, b []byte) bool {
	const size = 8
	if len(b) < size+packet.EthernetLen || !d.layer(p) || b[0]&0x08 == 0 {
		return false
	}
	if !d.cfg.VXLANReserved && (b[0] != 0x08 || b[1]|b[2]|b[3]|b[7] != 0) {
		return false
	}
	d.Counters[CountVXLAN]++
	switch packet.Ethernet(b[size:]).Type() {
	case packet.EtherIPv4, packet.EtherIPv6, packet.EtherARP, packet.EtherVLAN, packet.EtherQinQ, packet.EtherQinQOld:
		d.inner(p, FromVXLAN, packet.EtherBridge, b[size:])
	default:
		p.invalid(EvVXLANUnknownPayloadType)
	}
	return true
}

// mpls decodes a stack of labels (RFC 3032). What is under it is guessed,
// except for the two labels that say it.
func (d *Decoder) mpls(p *Packet, at int, b []byte) bool {
	const size = 4
	d.Counters[CountMPLS]++
	if !d.layer(p) {
		return false
	}
	var entry uint32
	for {
		if len(b) < size {
			return p.invalid(EvMPLSHeaderTooSmall)
		}
		entry = be.Uint32(b)
		at, b = at+size, b[size:]
		if entry>>8&1 == 1 {
			break
		}
	}
	switch label := entry >> 12; {
	case label == 0 || label == 2:
		if len(b) > maxIP {
			return false
		}
		if label == 0 {
			return d.ipv4(p, at, b)
		}
		return d.ipv6(p, at, b)
	case label == 1:
		p.event(EvMPLSBadLabelRouterAlert)
		return true
	case label == 3:
		p.event(EvMPLSBadLabelImplicitNull)
		return true
	case label < 15:
		p.event(EvMPLSBadLabelReserved)
		return true
	}
	if len(b) < size {
		return p.invalid(EvMPLSPacketTooSmall)
	}
	switch version := b[0] >> 4; {
	case version == 0: // A pseudowire's control word, RFC 4448.
		d.ethernet(p, at+size, b[size:])
	case version != 4 && version != 6:
		p.invalid(EvMPLSUnknownPayloadType)
	case len(b) > maxIP:
		return false
	case version == 4:
		d.ipv4(p, at, b)
	default:
		d.ipv6(p, at, b)
	}
	return true
}

// nsh decodes a network service header (RFC 8300).
func (d *Decoder) nsh(p *Packet, at int, b []byte) bool {
	d.Counters[CountNSH]++
	if len(b) < 8 {
		return p.invalid(EvNSHHeaderTooSmall)
	}
	if !d.layer(p) {
		return false
	}
	first := be.Uint16(b)
	if first>>14 != 0 {
		p.event(EvNSHUnsupportedVersion)
		return true
	}
	size := int(first&0x3f) * 4
	if size >= len(b) {
		return p.invalid(EvNSHBadHeaderLength)
	}
	switch kind := b[2]; {
	case kind == 0 || kind == 0xf:
		p.event(EvNSHReservedType)
		return true
	case kind == 1 && size != 24:
		return p.invalid(EvNSHBadHeaderLength)
	case kind > 2:
		p.event(EvNSHUnsupportedType)
		return true
	}
	at, rest := at+size, b[size:]
	switch b[3] {
	case 1, 2:
		if len(rest) > maxIP {
			return false
		}
		if b[3] == 1 {
			return d.ipv4(p, at, rest)
		}
		return d.ipv6(p, at, rest)
	case 3:
		return d.ethernet(p, at, rest)
	case 5:
		return d.mpls(p, at, rest)
	}
	p.event(EvNSHUnknownPayload)
	return true
}
