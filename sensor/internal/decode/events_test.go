package decode

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/packet"
)

func TestEventNames(t *testing.T) {
	seen := map[string]bool{}
	for e := evNone + 1; e < Events; e++ {
		name := e.String()
		if seen[name] || name == "" {
			t.Errorf("event %d: name %q", e, name)
		}
		seen[name] = true
		if got, ok := EventByName(name); got != e || !ok {
			t.Errorf("%s is %v", name, got)
		}
		if e.Stream() != strings.HasPrefix(name, "stream.") {
			t.Errorf("%s: stream %v", name, e.Stream())
		}
	}
	if _, ok := EventByName("decoder.ipv5.pkt_too_small"); ok {
		t.Error("IPv5")
	}
	var s EventSet
	if !s.Empty() || len(s.Append(nil)) != 0 {
		t.Error("a new set holds something")
	}
	all := []Event{1, 63, 64, 128, Events - 1}
	for _, e := range all {
		s.Add(e)
	}
	if got := s.Append(nil); !slices.Equal(got, all) || s.Empty() || s.Has(2) || !s.Has(64) {
		t.Errorf("%v, want %v", got, all)
	}
	clear(seen) // an event's counter is named decoder.event..., so that these may be alike
	for c := Counter(0); c < Count; c++ {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("counter %d: name %q", c, c)
		}
		seen[c.String()] = true
	}
}

// Every event that a rule of upstream asks for has a number here.
func TestEventsOfRules(t *testing.T) {
	root := need.Data(t, "suricata-verify")
	option := regexp.MustCompile(`\b(decode|stream)-event: ?([a-z0-9_.]+) *;`)
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".rules" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range option.FindAllStringSubmatch(string(text), -1) {
			prefix := "stream."
			if m[1] == "decode" {
				prefix = "decoder."
			}
			names[prefix+m[2]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if _, ok := EventByName(name); !ok {
			t.Errorf("%s: unknown", name)
		}
	}
	if len(names) < 150 {
		t.Errorf("%d events only", len(names))
	}
}

// eventCases are packets and all events they have, the innermost packet's first.
var eventCases = []struct {
	events string
	link   packet.LinkType
	data   []byte
}{
	{"ethernet.pkt_too_small", packet.LinkEthernet, make([]byte, 13)},
	{"ethernet.unknown_ethertype", packet.LinkEthernet, ether(0x1234, nil)},
	{"vlan.header_too_small", packet.LinkEthernet, ether(packet.EtherVLAN, make([]byte, 3))},
	{"ethernet.unknown_ethertype vlan.unknown_type", packet.LinkEthernet, ether(packet.EtherVLAN, join("0001 1234"))},
	{"ethernet.unknown_ethertype vntag.unknown_type", packet.LinkEthernet, ether(packet.EtherVNTag, join("00000000 ff00"))},
	{"vntag.header_too_small", packet.LinkEthernet, ether(packet.EtherVNTag, make([]byte, 5))},
	{"ethernet.unknown_ethertype etag.unknown_type", packet.LinkEthernet, ether(packet.EtherETag, join("000000000000 ff00"))},
	{"etag.header_too_small", packet.LinkEthernet, ether(packet.EtherETag, make([]byte, 7))},
	{"ieee8021ah.header_too_small", packet.LinkEthernet, ether(packet.EtherPBB, make([]byte, 17))},
	{"dce.pkt_too_small", packet.LinkEthernet, ether(packet.EtherFabricPath, make([]byte, 15))},
	{"sll.pkt_too_small", packet.LinkSLL, make([]byte, 15)},
	{"sll2.pkt_too_small", packet.LinkSLL2, make([]byte, 19)},
	{"chdlc.pkt_too_small", packet.LinkCHDLC, make([]byte, 3)},
	{"ltnull.pkt_too_small", packet.LinkNull, make([]byte, 3)},
	{"ltnull.unsupported_type", packet.LinkNull, join("63000000")},
	{"ipraw.invalid_ip_version", packet.LinkRaw, join("50", make([]byte, 30))},
	{"ipv4.pkt_too_small", packet.LinkRaw, make([]byte, 19)},

	{"arp.pkt_too_small", packet.LinkEthernet, ether(packet.EtherARP, make([]byte, 7))},
	{"arp.unsupported_hardware", packet.LinkEthernet, ether(packet.EtherARP, join("0002 0800 06 04 0001", make([]byte, 20)))},
	{"arp.unsupported_protocol", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0806 06 04 0001", make([]byte, 20)))},
	{"arp.invalid_pkt", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0800 06 04 0001", make([]byte, 19)))},
	{"arp.invalid_hardware_size", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0800 07 04 0001", make([]byte, 20)))},
	{"arp.invalid_protocol_size", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0800 06 05 0001", make([]byte, 20)))},
	{"arp.unsupported_opcode", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0800 06 04 0005", make([]byte, 20)))},
	{"", packet.LinkEthernet, ether(packet.EtherARP, join("0001 0800 06 04 0002", make([]byte, 20)))},

	{"mpls.header_too_small", packet.LinkEthernet, ether(packet.EtherMPLS, join("00000000 0000"))},
	{"mpls.pkt_too_small", packet.LinkEthernet, ether(packet.EtherMPLS, join("000151ff 450000"))},
	{"mpls.bad_label_router_alert", packet.LinkEthernet, ether(packet.EtherMPLS, join("000011ff"))},
	{"mpls.bad_label_implicit_null", packet.LinkEthernet, ether(packet.EtherMPLS, join("000031ff"))},
	{"mpls.bad_label_reserved", packet.LinkEthernet, ether(packet.EtherMPLS, join("000051ff"))},
	{"mpls.unknown_payload_type", packet.LinkEthernet, ether(packet.EtherMPLS, join("000151ff 90000000"))},

	{"ppp.pkt_too_small", packet.LinkPPP, nil},
	{"ppp.pkt_too_small", packet.LinkPPP, join("ff03")},
	{"ppp.pkt_too_small", packet.LinkPPP, join("ff0300")},
	{"ppp.ip4_pkt_too_small", packet.LinkPPP, join("ff030021 45")},
	{"ppp.ip6_pkt_too_small", packet.LinkPPP, join("ff030057 60")},
	{"ppp.vju_pkt_too_small", packet.LinkPPP, join("ff03002f 45")},
	{"ppp.wrong_type", packet.LinkPPP, join("ff030efe")},
	{"ppp.unsup_proto", packet.LinkPPP, join("ff030281")},
	{"ppp.unsup_proto", packet.LinkPPP, join("ff032d")},
	{"", packet.LinkPPP, join("ff03c021")},
	{"pppoe.pkt_too_small", packet.LinkEthernet, ether(packet.EtherPPPoE, make([]byte, 6))},
	{"pppoe.pkt_too_small", packet.LinkEthernet, ether(packet.EtherPPPoE, join("1100 0001 0002 00"))},
	{"ppp.wrong_type", packet.LinkEthernet, ether(packet.EtherPPPoE, join("1100 0001 0002 0ffe"))},
	{"ppp.unsup_proto", packet.LinkEthernet, ether(packet.EtherPPPoE, join("1100 0001 0002 0281"))},
	{"ppp.ip4_pkt_too_small", packet.LinkEthernet, ether(packet.EtherPPPoE, join("1100 0001 0002 0021"))},
	{"pppoe.pkt_too_small", packet.LinkEthernet, ether(packet.EtherPPPoEDisc, make([]byte, 5))},
	{"pppoe.wrong_code", packet.LinkEthernet, ether(packet.EtherPPPoEDisc, join("1110 0000 0000"))},
	{"pppoe.malformed_tags", packet.LinkEthernet, ether(packet.EtherPPPoEDisc, join("1109 0000 0004"))},
	{"", packet.LinkEthernet, ether(packet.EtherPPPoEDisc, join("1109 0000 0004 01010000"))},

	{"nsh.header_too_small", packet.LinkEthernet, ether(packet.EtherNSH, make([]byte, 7))},
	{"nsh.unsupported_version", packet.LinkEthernet, ether(packet.EtherNSH, join("ff02 02 01 00000000 00"))},
	{"nsh.bad_header_length", packet.LinkEthernet, ether(packet.EtherNSH, join("0002 02 01 00000000"))},
	{"nsh.reserved_type", packet.LinkEthernet, ether(packet.EtherNSH, join("0002 00 01 00000000 00"))},
	{"nsh.bad_header_length", packet.LinkEthernet, ether(packet.EtherNSH, join("0002 01 01 00000000 00"))},
	{"nsh.unsupported_type", packet.LinkEthernet, ether(packet.EtherNSH, join("0002 03 01 00000000 00"))},
	{"nsh.unknown_payload", packet.LinkEthernet, ether(packet.EtherNSH, join("0002 02 04 00000000 00"))},

	{"ipv4.wrong_ip_version", packet.LinkEthernet, ether(packet.EtherIPv4, udp6(""))},
	{"ipv4.hlen_too_small", packet.LinkRaw, with(udp4(""), 0, 0x44)},
	{"ipv4.iplen_smaller_than_hlen", packet.LinkRaw, with(udp4(""), 3, 19)},
	{"ipv4.trunc_pkt", packet.LinkRaw, udp4("")[:27]},
	{"ipv4.icmpv6", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv6, nil)},
	{"ipv4.unknown_protocol", packet.LinkRaw, ip(hostA, hostB, 253, nil)},

	{"ipv6.pkt_too_small", packet.LinkRaw, udp6("")[:39]},
	{"ipv6.wrong_ip_version", packet.LinkEthernet, ether(packet.EtherIPv6, with(udp6(""), 0, 0x50))},
	{"ipv6.trunc_pkt", packet.LinkRaw, udp6("")[:47]},
	{"ipv6.icmpv4", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv4, nil)},
	{"ipv6.unknown_next_header", packet.LinkRaw, ip(hostC, hostD, 253, nil)},
	{"ipv6.data_after_none_header", packet.LinkRaw, ip(hostC, hostD, packet.ProtoNone, []byte("x"))},
	{"", packet.LinkRaw, ip(hostC, hostD, packet.ProtoNone, nil)},
	{"ipv6.trunc_exthdr", packet.LinkRaw, ip(hostC, hostD, packet.ProtoRouting, []byte("x"))},
	{"ipv6.trunc_exthdr", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b01 0100 0000 0000"))},
	{"ipv6.trunc_exthdr", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("3b00 0001 0000"))},
	{"ipv6.hopopts_only_padding", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 0104 00000000"))},
	{"ipv6.dstopts_only_padding ipv6.zero_len_padn", packet.LinkRaw, ip(hostC, hostD, packet.ProtoDestOpts, join("3b00 0100 0100 0100"))},
	{"ipv6.hopopts_unknown_opt", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 1e04 00000000"))},
	{"ipv6.dstopts_unknown_opt", packet.LinkRaw, ip(hostC, hostD, packet.ProtoDestOpts, join("3b00 1e04 00000000"))},
	{"ipv6.exthdr_invalid_optlen", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 0505 00000000"))},
	{"ipv6.exthdr_invalid_optlen", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 c203 00000000"))},
	{"ipv6.exthdr_invalid_optlen", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 c904 00000000"))},
	{"ipv6.exthdr_invalid_optlen ipv6.hopopts_only_padding", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("3b00 0000000000 1e"))},
	{"ipv6.exthdr_dupl_hh", packet.LinkRaw, ip(hostC, hostD, packet.ProtoHopByHop, join("0000 0502 0000 0000 3b00 0502 0000 0000"))},
	{"ipv6.exthdr_dupl_dh", packet.LinkRaw, ip(hostC, hostD, packet.ProtoDestOpts, join("3c00 0502 0000 0000 3c00 0502 0000 0000 3b00 0502 0000 0000"))},
	{"ipv6.exthdr_dupl_rh", packet.LinkRaw, ip(hostC, hostD, packet.ProtoRouting, join("2b00 0200 00000000 3b00 0200 00000000"))},
	{"ipv6.rh_type_0", packet.LinkRaw, ip(hostC, hostD, packet.ProtoRouting, join("3b00 0000 00000000"))},
	{"ipv6.exthdr_ah_res_not_null", packet.LinkRaw, ip(hostC, hostD, packet.ProtoAH, join("3b01 0001 00000000 00000000"))},
	{"ipv6.exthdr_dupl_ah", packet.LinkRaw, ip(hostC, hostD, packet.ProtoAH, join("3301 0000 00000000 00000000 3b02 0000 00000000 00000000 00000000"))},
	{"ipv6.exthdr_useless_fh", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("3b00 0000 00000000"))},
	{"ipv6.exthdr_dupl_fh ipv6.exthdr_useless_fh", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("2c00 0000 00000000 3b00 0000 00000000"))},
	{"ipv6.exthdr_useless_fh ipv6.fh_non_zero_reserved_field", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("3b01 0000 00000000"))},
	{"ipv6.frag_invalid_length", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("1100 0001 00000000 00"))},
	{"ipv6.ipv4_in_ipv6_too_small", packet.LinkRaw, ip(hostC, hostD, packet.ProtoIPv4, make([]byte, 19))},
	{"ipv6.ipv4_in_ipv6_wrong_version", packet.LinkRaw, ip(hostC, hostD, packet.ProtoIPv4, make([]byte, 20))},
	{"ipv6.ipv6_in_ipv6_too_small", packet.LinkRaw, ip(hostC, hostD, packet.ProtoIPv6, make([]byte, 39))},
	{"ipv6.ipv6_in_ipv6_wrong_version", packet.LinkRaw, ip(hostC, hostD, packet.ProtoIPv6, make([]byte, 40))},
	{"ipv6.frag_pkt_too_large", packet.LinkRaw, ip(hostC, hostD, packet.ProtoFragment, join("1100 fff9 00000000", make([]byte, 16)))},
	{"ipv4.frag_pkt_too_large", packet.LinkRaw, with(ip(hostA, hostB, packet.ProtoUDP, make([]byte, 16)), 6, 0x1f, 7, 0xff)},

	{"tcp.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoTCP, make([]byte, 19))},
	{"tcp.hlen_too_small", packet.LinkRaw, with(tcp4(packet.Segment{}), 32, 0x60)},
	{"tcp.invalid_optlen", packet.LinkRaw, with(tcp4(packet.Segment{}), 32, 0x40)},
	{"udp.hlen_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoUDP, make([]byte, 7))},
	{"udp.pkt_too_small", packet.LinkRaw, with(udp4("x"), 25, 10)},
	{"udp.len_invalid", packet.LinkRaw, with(udp4("x"), 25, 7)},
	{"esp.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoESP, make([]byte, 7))},
	{"esp.pkt_too_small", packet.LinkRaw, ip(hostC, hostD, packet.ProtoESP, make([]byte, 7))},

	{"sctp.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, make([]byte, 11))},
	{"sctp.chunk_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, "000000"))},
	{"sctp.chunk_len_invalid", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, "03000003"))},
	{"sctp.chunk_len_invalid", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, "03000005"))},
	{"sctp.init_chunk_bundled", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, "02000004 0b000004"))},
	{"sctp.init_with_non_zero_vtag", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, "01000004"))},
	{"sctp.data_with_zero_vtag", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join("00500051 00000000 00000000", "00000010 000000000000000000000000"))},
	{"sctp.too_many_chunks", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, strings.Repeat("0b000004", 17)))},
	{"sctp.too_many_chunks sctp.too_many_data_chunks", packet.LinkRaw, ip(hostA, hostB, packet.ProtoSCTP, join(sctpHeader, strings.Repeat("00000010000000000000000000000000", 17)))},

	{"igmp.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, make([]byte, 7))},
	{"igmp.v3_pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, join("1100 0000 00000000 0000 0001"))},
	{"igmp.malformed", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, join("1100 0000 00000000 0000 ffff"))},
	{"igmp.v3_pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, join("2200 0000 0000 0001"))},
	{"igmp.malformed", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, join("2200 0000 0000 0001 0100 0001 00000000"))},
	{"", packet.LinkRaw, ip(hostA, hostB, packet.ProtoIGMP, join("2200 0000 0000 0001 0100 0001 00000000 00000000"))},

	{"icmpv4.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, make([]byte, 7))},
	{"icmpv4.unknown_type", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0a00 0000 00000000"))},
	{"icmpv4.unknown_code", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0801 0000 00000000"))},
	{"icmpv4.unknown_code", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0310 0000 00000000", udp4("x")))},
	{"icmpv4.ipv4_trunc_pkt", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0301 0000 00000000", udp4("x")[:19]))},
	{"icmpv4.ipv4_unknown_ver", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0301 0000 00000000", udp6("x")))},
	{"icmpv4.ipv4_trunc_pkt", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0d00 0000 00000000"))},
	{"icmpv4.ipv4_trunc_pkt", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0900 0000 0102 0000"))},
	{"", packet.LinkRaw, ip(hostA, hostB, packet.ProtoICMPv4, join("0900 0000 0102 0000 0000000000000000"))},
	{"icmpv6.pkt_too_small", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, make([]byte, 7))},
	{"icmpv6.unknown_type", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("0000 0000 00000000"))},
	{"icmpv6.unassigned_type", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("0500 0000 00000000"))},
	{"icmpv6.unassigned_type", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("ff00 0000 00000000"))},
	{"icmpv6.experimentation_type", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("c900 0000 00000000"))},
	{"icmpv6.unknown_code", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("8001 0000 00000000"))},
	{"icmpv6.unknown_code", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("9b05 0000 00000000"))},
	{"icmpv6.mld_message_with_invalid_hl", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("8300 0000 00000000"))},
	{"icmpv6.ipv6_trunc_pkt", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("0100 0000 00000000"))},
	{"icmpv6.ipv6_unknown_version", packet.LinkRaw, ip(hostC, hostD, packet.ProtoICMPv6, join("0200 0000 00000000", make([]byte, 40)))},

	{"gre.pkt_too_small", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, make([]byte, 3))},
	{"gre.wrong_version", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0002 0800"))},
	{"gre.version0_recur", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0100 0800"))},
	{"gre.version0_flags", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0008 0800"))},
	{"gre.version0_hdr_too_big", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("2000 0800"))},
	{"gre.version0_malformed_sre_hdr", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("4000 0800 00000000 080000"))},
	{"gre.version0_malformed_sre_hdr", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("4000 0800 00000000 08000004"))},
	{"gre.version1_chksum", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("8001 880b"))},
	{"gre.version1_route", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("4001 880b"))},
	{"gre.version1_ssr", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0801 880b"))},
	{"gre.version1_recur", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0101 880b"))},
	{"gre.version1_flags", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0009 880b"))},
	{"gre.version1_wrong_protocol", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("2001 0800"))},
	{"gre.version1_no_key", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("0001 880b"))},
	{"gre.version1_hdr_too_big", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("3001 880b 00000000"))},
	{"", packet.LinkRaw, ip(hostA, hostB, packet.ProtoGRE, join("3081 880b 0000 0001 00000000 00000000"))},
	{"vxlan.unknown_payload_type", packet.LinkRaw, ip(hostA, hostB, packet.ProtoUDP, packet.AppendUDP(nil, hostA, hostB, 1, 4789, join("0800000000000000", ether(0x1234, nil))))},
	{"geneve.unknown_payload_type", packet.LinkRaw, ip(hostA, hostB, packet.ProtoUDP, packet.AppendUDP(nil, hostA, hostB, 1, 6081, join("0000123400000000")))},
}

const sctpHeader = "00500051 00000001 00000000"

func TestEvents(t *testing.T) {
	tested := map[Event]bool{}
	for _, c := range eventCases {
		var got []string
		for _, p := range run(c.link, c.data) {
			for _, e := range p.Events.Append(nil) {
				got = append(got, strings.TrimPrefix(e.String(), "decoder."))
				tested[e] = true
			}
		}
		want := strings.Fields(c.events)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("% x: %v, want %v", c.data, got, want)
		}
	}
	// Those of other tests, and those that cannot come about here.
	for _, e := range []Event{
		EvTooManyLayers, EvVLANTooManyLayers, EvTCPOptionInvalidLen, EvTCPOptionDuplicate,
		EvIPv4OptionInvalid, EvIPv4OptionInvalidLen, EvIPv4OptionMalformed, EvIPv4OptionPadRequired, EvIPv4OptionEOLRequired, EvIPv4OptionDuplicate,
		EvIPv4FragmentOverlap, EvIPv6FragmentOverlap, EvIPv4FragmentIgnored, EvIPv6FragmentIgnored,
		EvAFPacketTruncatedPacket,                                                   // For the capture to set.
		EvIPv4OptionUnknown, EvUDPHeaderLenInvalid, EvGREVersion1MalformedSREHeader, // Nothing sets them, in Suricata either.
		EvIPv6ExtHeaderDupEH,                                                          // ESP ends the headers.
		EvERSPANHeaderTooSmall, EvERSPANUnsupportedVersion, EvERSPANTooManyVLANLayers, // Lost with the packet that is none.
	} {
		tested[e] = true
	}
	for e := evNone + 1; e < Events; e++ {
		if !e.Stream() && !tested[e] {
			t.Errorf("%v: no packet has it", e)
		}
	}
}
