package packet

import "fmt"

// LinkType says what the first bytes of a captured packet are
// (tcpdump.org/linktypes.html).
type LinkType uint32

// The link types that somebody here reads.
const (
	LinkNull     LinkType = 0 // BSD loopback: 4 bytes of address family
	LinkEthernet LinkType = 1
	LinkPPP      LinkType = 9
	LinkRawBSD   LinkType = 12 // IP, by the number of some systems
	LinkRaw      LinkType = 101
	LinkCHDLC    LinkType = 104
	LinkLoop     LinkType = 108 // OpenBSD loopback: the family in network order
	LinkSLL      LinkType = 113 // Linux "any" device
	LinkIPv4     LinkType = 228
	LinkIPv6     LinkType = 229
	LinkSLL2     LinkType = 276
	LinkGRE      LinkType = 778 // IP whose payload is GRE
)

// String is the name libpcap gives the type, in capitals.
func (l LinkType) String() string {
	switch l {
	case LinkNull:
		return "NULL"
	case LinkEthernet:
		return "EN10MB"
	case LinkPPP:
		return "PPP"
	case LinkRaw:
		return "RAW"
	case LinkRawBSD:
		return "RAW2"
	case LinkCHDLC:
		return "C_HDLC"
	case LinkLoop:
		return "LOOP"
	case LinkSLL:
		return "LINUX_SLL"
	case LinkSLL2:
		return "LINUX_SLL2"
	case LinkIPv4:
		return "IPv4"
	case LinkIPv6:
		return "IPv6"
	case LinkGRE:
		return "GRE_RAW"
	}
	return fmt.Sprintf("LINKTYPE_%d", uint32(l))
}
