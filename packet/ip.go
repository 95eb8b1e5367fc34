package packet

// IPv4 is a view of an IPv4 packet (RFC 791), possibly with bytes after its
// end.
type IPv4 []byte

// Valid says whether the header is whole, is one of version 4, and whether
// its lengths fit the bytes.
func (p IPv4) Valid() bool {
	return len(p) >= IPv4Len && p[0]>>4 == 4 && p.HeaderLen() >= IPv4Len &&
		p.TotalLen() >= p.HeaderLen() && len(p) >= p.TotalLen()
}

// HeaderLen is the size of the header with options, 0 to 60.
func (p IPv4) HeaderLen() int { return int(p[0]&0x0f) * 4 }

// TOS is the type of service: DSCP and ECN.
func (p IPv4) TOS() uint8 { return p[1] }

// TotalLen is the size of header and payload the header claims.
func (p IPv4) TotalLen() int { return int(be.Uint16(p[2:])) }

// ID is the identification of a datagram, shared by its fragments.
func (p IPv4) ID() uint16 { return be.Uint16(p[4:]) }

// DontFragment and MoreFragments are flags; the reserved bit is neither.
func (p IPv4) DontFragment() bool { return p[6]&0x40 != 0 }

// MoreFragments says that this is not the last fragment.
func (p IPv4) MoreFragments() bool { return p[6]&0x20 != 0 }

// ReservedBit is the unused flag ("evil bit", RFC 3514).
func (p IPv4) ReservedBit() bool { return p[6]&0x80 != 0 }

// FragmentOffset is where the payload belongs in its datagram, in bytes.
func (p IPv4) FragmentOffset() int { return int(be.Uint16(p[6:])&0x1fff) * 8 }

// TTL is the time to live.
func (p IPv4) TTL() uint8 { return p[8] }

// Proto says what the payload is.
func (p IPv4) Proto() Proto { return Proto(p[9]) }

// Checksum is the header's, as sent.
func (p IPv4) Checksum() uint16 { return be.Uint16(p[10:]) }

// Src is the source address.
func (p IPv4) Src() [4]byte { return [4]byte(p[12:16]) }

// Dst is the destination address.
func (p IPv4) Dst() [4]byte { return [4]byte(p[16:20]) }

// Options is the header after its first 20 bytes.
func (p IPv4) Options() []byte { return p[IPv4Len:p.HeaderLen()] }

// Payload is what follows the header, up to the length it claims.
func (p IPv4) Payload() []byte { return p[p.HeaderLen():p.TotalLen()] }

// IPv6 is a view of an IPv6 packet (RFC 8200).
type IPv6 []byte

// Valid says whether the header is whole, is one of version 6, and whether
// its length fits the bytes.
func (p IPv6) Valid() bool {
	return len(p) >= IPv6Len && p[0]>>4 == 6 && len(p) >= IPv6Len+p.PayloadLen()
}

// TrafficClass is DSCP and ECN.
func (p IPv6) TrafficClass() uint8 { return uint8(be.Uint16(p) >> 4) }

// FlowLabel is 20 bits.
func (p IPv6) FlowLabel() uint32 { return be.Uint32(p) & 0xfffff }

// PayloadLen is the size of all that follows the fixed header.
func (p IPv6) PayloadLen() int { return int(be.Uint16(p[4:])) }

// NextHeader says what follows the fixed header.
func (p IPv6) NextHeader() Proto { return Proto(p[6]) }

// HopLimit is IPv6's time to live.
func (p IPv6) HopLimit() uint8 { return p[7] }

// Src is the source address.
func (p IPv6) Src() [16]byte { return [16]byte(p[8:24]) }

// Dst is the destination address.
func (p IPv6) Dst() [16]byte { return [16]byte(p[24:40]) }

// Payload is what follows the fixed header, extension headers included.
func (p IPv6) Payload() []byte { return p[IPv6Len : IPv6Len+p.PayloadLen()] }
