package packet

// MAC is an Ethernet address.
type MAC [6]byte

// Ethernet is a view of an Ethernet II frame.
type Ethernet []byte

// Valid says whether the header is whole.
func (e Ethernet) Valid() bool { return len(e) >= EthernetLen }

// Dst is the destination address.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src is the source address.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// Type says what follows the header.
func (e Ethernet) Type() EtherType { return EtherType(be.Uint16(e[12:])) }

// Payload is what follows the header.
func (e Ethernet) Payload() []byte { return e[EthernetLen:] }

// VLAN is a view of an 802.1Q tag after its own EtherType.
type VLAN []byte

// Valid says whether the tag is whole.
func (v VLAN) Valid() bool { return len(v) >= VLANLen }

// ID is the VLAN identifier, 0 to 4095.
func (v VLAN) ID() uint16 { return be.Uint16(v) & 0x0fff }

// Priority is the code point, 0 to 7.
func (v VLAN) Priority() uint8 { return v[0] >> 5 }

// Type says what follows the tag.
func (v VLAN) Type() EtherType { return EtherType(be.Uint16(v[2:])) }

// Payload is what follows the tag.
func (v VLAN) Payload() []byte { return v[VLANLen:] }

// ARP is a view of an ARP message (RFC 826) for Ethernet and IPv4.
type ARP []byte

// Valid says whether the message is whole and for Ethernet and IPv4.
func (a ARP) Valid() bool {
	return len(a) >= ARPLen && be.Uint16(a) == 1 && EtherType(be.Uint16(a[2:])) == EtherIPv4 && a[4] == 6 && a[5] == 4
}

// Op is the operation: 1 request, 2 reply, 3 and 4 the same of RARP.
func (a ARP) Op() uint16 { return be.Uint16(a[6:]) }

// SrcMAC is the sender's hardware address.
func (a ARP) SrcMAC() MAC { return MAC(a[8:14]) }

// SrcIP is the sender's protocol address.
func (a ARP) SrcIP() [4]byte { return [4]byte(a[14:18]) }

// DstMAC is the target's hardware address.
func (a ARP) DstMAC() MAC { return MAC(a[18:24]) }

// DstIP is the target's protocol address.
func (a ARP) DstIP() [4]byte { return [4]byte(a[24:28]) }
