package packet

import "github.com/hauberk/hauberk/packet/seqnum"

// AppendEthernet appends an Ethernet header.
func AppendEthernet(out []byte, dst, src MAC, kind EtherType) []byte {
	out = append(out, dst[:]...)
	out = append(out, src[:]...)
	return be.AppendUint16(out, uint16(kind))
}

// AppendIP appends the header of an IPv4 or IPv6 packet, by the length of its
// addresses (4 or 16 bytes), for a payload of that many bytes. The IPv4
// header has its checksum.
func AppendIP(out, src, dst []byte, proto Proto, ttl uint8, id uint16, payload int) []byte {
	if len(src) == 16 {
		out = append(out, 0x60, 0, 0, 0)
		out = be.AppendUint16(out, uint16(payload))
		out = append(out, byte(proto), ttl)
		return append(append(out, src...), dst...)
	}
	start := len(out)
	out = append(out, 0x45, 0)
	out = be.AppendUint16(out, uint16(IPv4Len+payload))
	out = be.AppendUint16(out, id)
	out = append(out, 0x40, 0, ttl, byte(proto), 0, 0)
	out = append(append(out, src...), dst...)
	be.PutUint16(out[start+10:], Checksum(out[start:]))
	return out
}

// Segment is what a TCP segment says.
type Segment struct {
	SrcPort, DstPort uint16
	Seq, Ack         seqnum.Value
	Flags            Flags
	Window           uint16
	Urgent           uint16
	Options          []byte // A multiple of 4 bytes, at most 40.
	Payload          []byte
}

// Len is the size of header, options and payload.
func (s *Segment) Len() int { return TCPLen + len(s.Options) + len(s.Payload) }

// AppendTCP appends a segment with its checksum for these addresses.
func AppendTCP(out, src, dst []byte, s *Segment) []byte {
	start := len(out)
	out = be.AppendUint16(out, s.SrcPort)
	out = be.AppendUint16(out, s.DstPort)
	out = be.AppendUint32(out, uint32(s.Seq))
	out = be.AppendUint32(out, uint32(s.Ack))
	out = append(out, byte((TCPLen+len(s.Options))/4)<<4, byte(s.Flags))
	out = be.AppendUint16(out, s.Window)
	out = append(out, 0, 0)
	out = be.AppendUint16(out, s.Urgent)
	out = append(append(out, s.Options...), s.Payload...)
	sum := Pseudo(src, dst, ProtoTCP, s.Len()).Add(out[start:])
	be.PutUint16(out[start+16:], sum.Checksum())
	return out
}

// AppendUDP appends a datagram with its checksum for these addresses.
func AppendUDP(out, src, dst []byte, srcPort, dstPort uint16, payload []byte) []byte {
	start := len(out)
	out = be.AppendUint16(out, srcPort)
	out = be.AppendUint16(out, dstPort)
	out = be.AppendUint16(out, uint16(UDPLen+len(payload)))
	out = append(append(out, 0, 0), payload...)
	sum := Pseudo(src, dst, ProtoUDP, UDPLen+len(payload)).Add(out[start:]).Checksum()
	if sum == 0 {
		sum = 0xffff // RFC 768: 0 would mean none.
	}
	be.PutUint16(out[start+6:], sum)
	return out
}
