package packet

import "github.com/hauberk/hauberk/packet/seqnum"

// Flags are the control bits of a TCP header.
type Flags uint8

// The control bits (RFC 9293 section 3.1).
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has says whether all bits of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// TCP is a view of a TCP segment (RFC 9293).
type TCP []byte

// Valid says whether the header is whole with its options.
func (t TCP) Valid() bool {
	return len(t) >= TCPLen && t.HeaderLen() >= TCPLen && len(t) >= t.HeaderLen()
}

// SrcPort is the source port.
func (t TCP) SrcPort() uint16 { return be.Uint16(t) }

// DstPort is the destination port.
func (t TCP) DstPort() uint16 { return be.Uint16(t[2:]) }

// Seq is the sequence number of the first byte, or of SYN.
func (t TCP) Seq() seqnum.Value { return seqnum.Value(be.Uint32(t[4:])) }

// Ack is the next sequence number the sender waits for.
func (t TCP) Ack() seqnum.Value { return seqnum.Value(be.Uint32(t[8:])) }

// HeaderLen is the size of the header with options, 0 to 60.
func (t TCP) HeaderLen() int { return int(t[12]>>4) * 4 }

// Flags are the control bits.
func (t TCP) Flags() Flags { return Flags(t[13]) }

// Window is the receive window as sent, before scaling.
func (t TCP) Window() uint16 { return be.Uint16(t[14:]) }

// Checksum is as sent.
func (t TCP) Checksum() uint16 { return be.Uint16(t[16:]) }

// Urgent is the urgent pointer.
func (t TCP) Urgent() uint16 { return be.Uint16(t[18:]) }

// Options is the header after its first 20 bytes.
func (t TCP) Options() []byte { return t[TCPLen:t.HeaderLen()] }

// Payload is what follows the header.
func (t TCP) Payload() []byte { return t[t.HeaderLen():] }

// UDP is a view of a UDP datagram (RFC 768).
type UDP []byte

// Valid says whether the header is whole and its length fits the bytes.
func (u UDP) Valid() bool { return len(u) >= UDPLen && u.Len() >= UDPLen && len(u) >= u.Len() }

// SrcPort is the source port.
func (u UDP) SrcPort() uint16 { return be.Uint16(u) }

// DstPort is the destination port.
func (u UDP) DstPort() uint16 { return be.Uint16(u[2:]) }

// Len is the size of header and payload the header claims.
func (u UDP) Len() int { return int(be.Uint16(u[4:])) }

// Checksum is as sent; 0 over IPv4 means none.
func (u UDP) Checksum() uint16 { return be.Uint16(u[6:]) }

// Payload is what follows the header, up to the length it claims.
func (u UDP) Payload() []byte { return u[UDPLen:u.Len()] }

// ICMP is a view of an ICMPv4 (RFC 792) or ICMPv6 (RFC 4443) message.
type ICMP []byte

// Valid says whether the header is whole.
func (m ICMP) Valid() bool { return len(m) >= ICMPLen }

// Type says what the message is.
func (m ICMP) Type() uint8 { return m[0] }

// Code refines the type.
func (m ICMP) Code() uint8 { return m[1] }

// Checksum is as sent.
func (m ICMP) Checksum() uint16 { return be.Uint16(m[2:]) }

// ID is the identifier of an echo.
func (m ICMP) ID() uint16 { return be.Uint16(m[4:]) }

// Seq is the sequence number of an echo.
func (m ICMP) Seq() uint16 { return be.Uint16(m[6:]) }

// MTU is what a "packet too big" of ICMPv6 gives.
func (m ICMP) MTU() uint32 { return be.Uint32(m[4:]) }

// Payload is what follows the eight bytes of the header: in an error, the
// packet it is about.
func (m ICMP) Payload() []byte { return m[ICMPLen:] }

// SCTP is a view of an SCTP packet (RFC 9260).
type SCTP []byte

// Valid says whether the common header is whole.
func (s SCTP) Valid() bool { return len(s) >= SCTPLen }

// SrcPort is the source port.
func (s SCTP) SrcPort() uint16 { return be.Uint16(s) }

// DstPort is the destination port.
func (s SCTP) DstPort() uint16 { return be.Uint16(s[2:]) }

// Tag is the verification tag.
func (s SCTP) Tag() uint32 { return be.Uint32(s[4:]) }

// Payload is the chunks.
func (s SCTP) Payload() []byte { return s[SCTPLen:] }
