package decode

import "github.com/hauberk/hauberk/packet"

func (d *Decoder) tcp(p *Packet, at int, b []byte) bool {
	d.Counters[CountTCP]++
	if len(b) < packet.TCPLen {
		return p.invalid(EvTCPPacketTooSmall)
	}
	segment := packet.TCP(b)
	header := segment.HeaderLen()
	if len(b) < header {
		return p.invalid(EvTCPHeaderLenTooSmall)
	}
	if header < packet.TCPLen {
		return p.invalid(EvTCPInvalidOptionLen)
	}
	if header > packet.TCPLen {
		p.tcpOptions(b[packet.TCPLen:header])
	}
	p.Layer4, p.l4, p.Proto = TCP, int32(at), packet.ProtoTCP
	p.SrcPort, p.DstPort = segment.SrcPort(), segment.DstPort()
	p.setPayload(at+header, len(b)-header)
	if flags := segment.Flags(); flags&(packet.SYN|packet.RST|packet.URG) != 0 {
		switch {
		case flags.Has(packet.SYN | packet.ACK):
			d.Counters[CountTCPSynAck]++
		case flags.Has(packet.SYN):
			d.Counters[CountTCPSyn]++
		}
		if flags.Has(packet.RST) {
			d.Counters[CountTCPRst]++
		}
		if flags.Has(packet.URG) {
			d.Counters[CountTCPUrg]++
		}
	}
	d.wantsFlow(p)
	return true
}

// Kinds of TCP options (IANA).
const (
	tcpEnd            = 0
	tcpNop            = 1
	tcpMSS            = 2
	tcpScale          = 3
	tcpSACKPermitted  = 4
	tcpSACK           = 5
	tcpTimestamp      = 8
	tcpMD5            = 19
	tcpAO             = 29
	tcpFastOpen       = 34
	tcpExperiment1    = 253
	tcpExperiment2    = 254
	fastOpenMagic     = 0xf989 // RFC 7413 section 4.1.1
	maxScale          = 14     // RFC 7323 section 2.3
	timestampsOnly    = 0x0101080a
	maxFastOpenCookie = 16
)

// tcpOptions reads the options of a header.
func (p *Packet) tcpOptions(b []byte) {
	if len(b) == 12 && be.Uint32(b) == timestampsOnly { // What most segments have.
		p.Options.TSVal, p.Options.TSEcr, p.Options.Has = be.Uint32(b[4:]), be.Uint32(b[8:]), HasTimestamp
		return
	}
	at := packet.TCPLen
	for len(b) > 0 {
		kind := b[0]
		if kind == tcpNop {
			at, b = at+1, b[1:]
			continue
		}
		if kind == tcpEnd || len(b) < 2 {
			return
		}
		size := int(b[1])
		if size > len(b) || size < 2 {
			p.invalid(EvTCPOptionInvalidLen)
			return
		}
		p.tcpOption(kind, at, b[:size])
		at, b = at+size, b[size:]
	}
}

func (p *Packet) tcpOption(kind uint8, at int, option []byte) {
	o, size := &p.Options, len(option)
	switch kind {
	case tcpScale:
		if p.option(HasScale, size == 3) {
			if o.Scale = option[2]; o.Scale > maxScale {
				o.Scale = 0
			}
		}
	case tcpMSS:
		if p.option(HasMSS, size == 4) {
			o.MSS = be.Uint16(option[2:])
		}
	case tcpSACKPermitted:
		p.option(HasSACKPermitted, size == 2)
	case tcpTimestamp:
		if p.option(HasTimestamp, size == 10) {
			o.TSVal, o.TSEcr = be.Uint32(option[2:]), be.Uint32(option[6:])
		}
	case tcpSACK:
		if size == 2 { // Useless and common.
			return
		}
		if p.option(HasSACK, size >= 10 && size <= 34 && size%8 == 2) {
			o.SACKOffset, o.SACKBlocks = uint16(at+2), uint8(size/8)
		}
	case tcpFastOpen:
		p.option(HasFastOpen, size <= 2+maxFastOpenCookie && size%2 == 0)
	case tcpExperiment1, tcpExperiment2:
		if size != 4 && size != 12 {
			p.event(EvTCPOptionInvalidLen)
		} else if be.Uint16(option[2:]) == fastOpenMagic {
			p.option(HasFastOpen, true)
		}
	case tcpMD5:
		p.unchecked(HasMD5, size == 18)
	case tcpAO:
		p.unchecked(HasAO, size >= 4)
	}
}

// option notes an option of the right size that was not there before.
func (p *Packet) option(flag TCPOptionSet, sizeOK bool) bool {
	switch {
	case !sizeOK:
		p.event(EvTCPOptionInvalidLen)
	case p.Options.Has&flag != 0:
		p.event(EvTCPOptionDuplicate)
	default:
		p.Options.Has |= flag
		return true
	}
	return false
}

// unchecked notes an option that signs the segment, with a key we do not have.
func (p *Packet) unchecked(flag TCPOptionSet, sizeOK bool) {
	if sizeOK {
		p.Options.Has |= flag
	} else {
		p.invalid(EvTCPOptionInvalidLen)
	}
}

func (d *Decoder) udp(p *Packet, at int, b []byte) bool {
	d.Counters[CountUDP]++
	if len(b) < packet.UDPLen {
		return p.invalid(EvUDPHeaderLenTooSmall)
	}
	datagram := packet.UDP(b)
	size := datagram.Len()
	if len(b) < size {
		return p.invalid(EvUDPPacketTooSmall)
	}
	if size < packet.UDPLen {
		return p.invalid(EvUDPLenInvalid)
	}
	p.Layer4, p.l4, p.Proto = UDP, int32(at), packet.ProtoUDP
	p.SrcPort, p.DstPort = datagram.SrcPort(), datagram.DstPort()
	p.setPayload(at+packet.UDPLen, size-packet.UDPLen)
	d.overUDP(p, b[packet.UDPLen:size])
	d.wantsFlow(p)
	return true
}

func (d *Decoder) esp(p *Packet, at int, b []byte) bool {
	const size = 8 // Security parameter index, sequence number: RFC 4303.
	d.Counters[CountESP]++
	if !d.layer(p) {
		return false
	}
	if len(b) < size {
		return p.invalid(EvESPPacketTooSmall)
	}
	p.Layer4, p.l4, p.Proto = ESP, int32(at), packet.ProtoESP
	p.setPayload(at+size, len(b)-size)
	d.wantsFlow(p)
	p.Key = p.Key.OneWay(be.Uint32(b), p.Flags&Swapped != 0)
	return true
}

const (
	sctpData          = 0
	sctpInit          = 1
	sctpInitAck       = 2
	sctpChunkHeader   = 4
	sctpDataHeader    = 16
	maxSCTPChunks     = 16 // More in a packet are odd.
	maxSCTPDataChunks = 16
)

// sctp decodes an SCTP packet (RFC 9260). Its payload is that of the first
// data chunk.
func (d *Decoder) sctp(p *Packet, at int, b []byte) bool {
	d.Counters[CountSCTP]++
	if len(b) < packet.SCTPLen {
		return p.invalid(EvSCTPPacketTooSmall)
	}
	header := packet.SCTP(b)
	p.SrcPort, p.DstPort = header.SrcPort(), header.DstPort()
	p.Proto = packet.ProtoSCTP
	if !p.sctpWalk(header.Tag(), at+packet.SCTPLen, b[packet.SCTPLen:]) {
		return false
	}
	p.Layer4, p.l4 = SCTP, int32(at)
	d.wantsFlow(p)
	return true
}

func (p *Packet) sctpWalk(tag uint32, at int, b []byte) bool {
	init, data := false, 0
	p.setPayload(at, 0)
	for len(b) > 0 {
		if len(b) < sctpChunkHeader {
			return p.invalid(EvSCTPChunkTooSmall)
		}
		kind, size := b[0], int(be.Uint16(b[2:]))
		if size < sctpChunkHeader || size > len(b) {
			return p.invalid(EvSCTPChunkLenInvalid)
		}
		if p.sctpChunks == maxSCTPChunks {
			p.event(EvSCTPTooManyChunks)
		}
		p.sctpChunks++
		switch kind {
		case sctpInit, sctpInitAck:
			init = true
			if kind == sctpInit && tag != 0 {
				p.event(EvSCTPInitWithNonZeroTag)
			}
		case sctpData:
			if tag == 0 {
				p.event(EvSCTPDataWithZeroTag)
			}
			if size < sctpDataHeader {
				break
			}
			if data++; data == 1 {
				p.setPayload(at+sctpDataHeader, size-sctpDataHeader)
			} else if data == maxSCTPDataChunks+1 {
				p.event(EvSCTPTooManyDataChunks)
			}
		}
		size = min((size+3)&^3, len(b)) // Chunks are padded.
		at, b = at+size, b[size:]
	}
	if init && p.sctpChunks > 1 {
		p.event(EvSCTPInitChunkBundled)
	}
	return true
}

// Types of IGMP messages (RFC 3376 section 4).
const (
	igmpQuery    = 0x11
	igmpReport1  = 0x12
	igmpReport2  = 0x16
	igmpLeave2   = 0x17
	igmpReport3  = 0x22
	maxIGMPSizes = (65535 - 24 - 12) / 4 // Sources that fit a packet.
)

// igmp decodes an IGMP message.
func (d *Decoder) igmp(p *Packet, at int, b []byte) bool {
	d.Counters[CountIGMP]++
	if len(b) < 8 {
		return p.invalid(EvIGMPPacketTooSmall)
	}
	size := 8
	switch kind := b[0]; {
	case kind == igmpQuery && len(b) >= 12:
		sources := int(be.Uint16(b[10:]))
		if sources > maxIGMPSizes {
			return p.invalid(EvIGMPMalformed)
		}
		if size = 12 + 4*sources; len(b) < size {
			return p.invalid(EvIGMPV3PacketTooSmall)
		}
		p.IGMPVersion = 3
	case kind == igmpQuery && b[1] == 0:
		p.IGMPVersion = 1
	case kind == igmpQuery:
		p.IGMPVersion = 2
	case kind == igmpReport3:
		var problem Event
		if size, problem = igmpGroups(b); problem != evNone {
			return p.invalid(problem)
		}
		p.IGMPVersion = 3
	case kind == igmpReport1:
		p.IGMPVersion = 1
	case kind == igmpReport2 || kind == igmpLeave2:
		p.IGMPVersion = 2
	default:
		p.IGMPVersion = 255
	}
	p.Layer4, p.l4 = IGMP, int32(at)
	p.setPayload(at+size, len(b)-size)
	return true
}

// igmpGroups returns the size of a report of version 3 with its records.
func igmpGroups(b []byte) (int, Event) {
	size := 8
	for range be.Uint16(b[6:]) {
		if len(b)-size < 8 {
			return 0, EvIGMPV3PacketTooSmall
		}
		record := b[size:]
		size += 8 + 4*int(record[1]) + 4*int(be.Uint16(record[2:]))
		if size > len(b) {
			return 0, EvIGMPMalformed
		}
	}
	return size, evNone
}
