package decode

// Counter is one count of a decoder.
type Counter uint8

// The counts of a decoder.
const (
	CountPackets Counter = iota
	CountBytes
	CountInvalid
	CountIPv4
	CountIPv6
	CountEthernet
	CountARP
	CountUnknownEtherType
	CountCHDLC
	CountRaw
	CountNull
	CountSLL
	CountSLL2
	CountTCP
	CountTCPSyn
	CountTCPSynAck
	CountTCPRst
	CountTCPUrg
	CountUDP
	CountSCTP
	CountESP
	CountICMPv4
	CountICMPv6
	CountIGMP
	CountPPP
	CountPPPoE
	CountGeneve
	CountGRE
	CountVLAN
	CountQinQ
	CountQinQinQ
	CountVXLAN
	CountVNTag
	CountETag
	CountPBB
	CountTeredo
	CountIPv4InIPv4
	CountIPv6InIPv4
	CountIPv4InIPv6
	CountIPv6InIPv6
	CountUnknownIPv4Proto
	CountMPLS
	CountMaxSize
	CountERSPAN
	CountNSH
	CountUnknownLink
	CountIPv4Fragments
	CountIPv4Rebuilt
	CountIPv6Fragments
	CountIPv6Rebuilt
	Count // How many there are.
)

// Counters are the counts of a decoder since it was made; CountMaxSize is a
// maximum.
type Counters [Count]uint64

// String is the name of a count in Suricata's statistics, except for
// decoder.unknown_linktype, which is ours.
func (c Counter) String() string { return counterNames[c] }

var counterNames = [Count]string{
	CountPackets:          "decoder.pkts",
	CountBytes:            "decoder.bytes",
	CountInvalid:          "decoder.invalid",
	CountIPv4:             "decoder.ipv4",
	CountIPv6:             "decoder.ipv6",
	CountEthernet:         "decoder.ethernet",
	CountARP:              "decoder.arp",
	CountUnknownEtherType: "decoder.unknown_ethertype",
	CountCHDLC:            "decoder.chdlc",
	CountRaw:              "decoder.raw",
	CountNull:             "decoder.null",
	CountSLL:              "decoder.sll",
	CountSLL2:             "decoder.sll2",
	CountTCP:              "decoder.tcp",
	CountTCPSyn:           "tcp.syn",
	CountTCPSynAck:        "tcp.synack",
	CountTCPRst:           "tcp.rst",
	CountTCPUrg:           "tcp.urg",
	CountUDP:              "decoder.udp",
	CountSCTP:             "decoder.sctp",
	CountESP:              "decoder.esp",
	CountICMPv4:           "decoder.icmpv4",
	CountICMPv6:           "decoder.icmpv6",
	CountIGMP:             "decoder.igmp",
	CountPPP:              "decoder.ppp",
	CountPPPoE:            "decoder.pppoe",
	CountGeneve:           "decoder.geneve",
	CountGRE:              "decoder.gre",
	CountVLAN:             "decoder.vlan",
	CountQinQ:             "decoder.vlan_qinq",
	CountQinQinQ:          "decoder.vlan_qinqinq",
	CountVXLAN:            "decoder.vxlan",
	CountVNTag:            "decoder.vntag",
	CountETag:             "decoder.etag",
	CountPBB:              "decoder.ieee8021ah",
	CountTeredo:           "decoder.teredo",
	CountIPv4InIPv4:       "decoder.ipv4_in_ipv4",
	CountIPv6InIPv4:       "decoder.ipv6_in_ipv4",
	CountIPv4InIPv6:       "decoder.ipv4_in_ipv6",
	CountIPv6InIPv6:       "decoder.ipv6_in_ipv6",
	CountUnknownIPv4Proto: "decoder.ipv4.unknown_protocol",
	CountMPLS:             "decoder.mpls",
	CountMaxSize:          "decoder.max_pkt_size",
	CountERSPAN:           "decoder.erspan",
	CountNSH:              "decoder.nsh",
	CountUnknownLink:      "decoder.unknown_linktype",
	CountIPv4Fragments:    "defrag.ipv4.fragments",
	CountIPv4Rebuilt:      "defrag.ipv4.reassembled",
	CountIPv6Fragments:    "defrag.ipv6.fragments",
	CountIPv6Rebuilt:      "defrag.ipv6.reassembled",
}
