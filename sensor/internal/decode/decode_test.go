package decode

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/packet"
)

// run decodes one packet with the default configuration.
func run(link packet.LinkType, data []byte) []*Packet {
	b := &Batch{}
	New(DefaultConfig()).Decode(b, link, 1, 0, 0, data)
	return b.Packets
}

// bytes reads hexadecimal digits; spaces do not count.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	hostA, hostB = []byte{10, 0, 0, 1}, []byte{192, 168, 1, 9}
	hostC        = netip.MustParseAddr("2001:db8::1").AsSlice()
	hostD        = netip.MustParseAddr("2001:db8::2:9").AsSlice()
)

// ip wraps a payload in IPv4 or IPv6, by the addresses.
func ip(src, dst []byte, proto packet.Proto, payload []byte) []byte {
	return append(packet.AppendIP(nil, src, dst, proto, 64, 7, len(payload)), payload...)
}

func udp4(payload string) []byte {
	return ip(hostA, hostB, packet.ProtoUDP, packet.AppendUDP(nil, hostA, hostB, 1111, 2222, []byte(payload)))
}

func udp6(payload string) []byte {
	return ip(hostC, hostD, packet.ProtoUDP, packet.AppendUDP(nil, hostC, hostD, 1111, 2222, []byte(payload)))
}

func tcp4(s packet.Segment) []byte {
	return ip(hostA, hostB, packet.ProtoTCP, packet.AppendTCP(nil, hostA, hostB, &s))
}

func ether(kind packet.EtherType, payload []byte) []byte {
	return append(packet.AppendEthernet(nil, packet.MAC{2}, packet.MAC{4}, kind), payload...)
}

func join(parts ...any) (out []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			out = append(out, p...)
		case string:
			b, _ := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
			out = append(out, b...)
		}
	}
	return out
}

// with changes bytes of a packet.
func with(b []byte, changes ...int) []byte {
	b = slices.Clone(b)
	for i := 0; i < len(changes); i += 2 {
		b[changes[i]] = byte(changes[i+1])
	}
	return b
}

// Every encapsulation, around the same datagram.
func TestEncapsulations(t *testing.T) {
	v4, v6 := udp4("inside"), udp6("inside")
	gre := func(header string, payload []byte) []byte {
		return ether(packet.EtherIPv4, ip(hostA, hostB, packet.ProtoGRE, join(header, payload)))
	}
	overUDP := func(port uint16, parts ...any) []byte {
		return ether(packet.EtherIPv4, ip(hostA, hostB, packet.ProtoUDP, packet.AppendUDP(nil, hostA, hostB, 9, port, join(parts...))))
	}
	for _, c := range []struct {
		name   string
		link   packet.LinkType
		data   []byte
		vlan   [3]uint16
		source Source
		count  Counter
	}{
		{name: "ethernet", link: packet.LinkEthernet, data: ether(packet.EtherIPv4, v4), count: CountEthernet},
		{name: "ethernet, IPv6", link: packet.LinkEthernet, data: ether(packet.EtherIPv6, v6), count: CountIPv6},
		{name: "padding", link: packet.LinkEthernet, data: join(ether(packet.EtherIPv4, v4), "00000000"), count: CountIPv4},
		{name: "vlan", link: packet.LinkEthernet, data: ether(packet.EtherVLAN, join("e064 0800", v4)), vlan: [3]uint16{100}, count: CountVLAN},
		{name: "qinq", link: packet.LinkEthernet, data: ether(packet.EtherQinQ, join("0064 8100 00c8 86dd", v6)), vlan: [3]uint16{100, 200}, count: CountQinQ},
		{name: "qinqinq", link: packet.LinkEthernet, data: ether(packet.EtherQinQOld, join("0001 88a8 0002 8100 0003 0800", v4)), vlan: [3]uint16{1, 2, 3}, count: CountQinQinQ},
		{name: "provider backbone", link: packet.LinkEthernet, data: ether(packet.EtherPBB, join("00000001", ether(packet.EtherIPv4, v4))), count: CountPBB},
		{name: "fabric path", link: packet.LinkEthernet, data: ether(packet.EtherFabricPath, join("0000", ether(packet.EtherIPv4, v4))), count: CountEthernet},
		{name: "e-tag", link: packet.LinkEthernet, data: ether(packet.EtherETag, join("000000d80000 0800", v4)), count: CountETag},
		{name: "vn-tag", link: packet.LinkEthernet, data: ether(packet.EtherVNTag, join("00000000 86dd", v6)), count: CountVNTag},
		{name: "mpls, IPv4 label", link: packet.LinkEthernet, data: ether(packet.EtherMPLS, join("000140ff 000001ff", v4)), count: CountMPLS},
		{name: "mpls, IPv6 label", link: packet.LinkEthernet, data: ether(packet.EtherMPLSMulti, join("000021ff", v6)), count: CountMPLS},
		{name: "mpls, guessed IPv4", link: packet.LinkEthernet, data: ether(packet.EtherMPLS, join("000151ff", v4)), count: CountMPLS},
		{name: "mpls, guessed IPv6", link: packet.LinkEthernet, data: ether(packet.EtherMPLS, join("000151ff", v6)), count: CountMPLS},
		{name: "mpls, pseudowire", link: packet.LinkEthernet, data: ether(packet.EtherMPLS, join("000151ff 00000000", ether(packet.EtherIPv4, v4))), count: CountMPLS},
		{name: "pppoe", link: packet.LinkEthernet, data: ether(packet.EtherPPPoE, join("1100 0001 0024 0021", v4)), count: CountPPPoE},
		{name: "pppoe, IPv6", link: packet.LinkEthernet, data: ether(packet.EtherPPPoE, join("1100 0001 0024 0057", v6)), count: CountPPPoE},
		{name: "pppoe, short protocol", link: packet.LinkEthernet, data: ether(packet.EtherPPPoE, join("1100 0001 0024 21", v4)), count: CountPPPoE},
		{name: "nsh", link: packet.LinkEthernet, data: ether(packet.EtherNSH, join("0002 02 01 00000202", v4)), count: CountNSH},
		{name: "nsh, IPv6", link: packet.LinkEthernet, data: ether(packet.EtherNSH, join("0002 02 02 00000202", v6)), count: CountNSH},
		{name: "nsh, ethernet", link: packet.LinkEthernet, data: ether(packet.EtherNSH, join("0006 01 03 00000202 00000000000000000000000000000000", ether(packet.EtherIPv4, v4))), count: CountNSH},
		{name: "nsh, mpls", link: packet.LinkEthernet, data: ether(packet.EtherNSH, join("0002 02 05 00000202 000001ff", v4)), count: CountNSH},
		{name: "raw", link: packet.LinkRaw, data: v4, count: CountRaw},
		{name: "raw, IPv6", link: packet.LinkIPv6, data: v6, count: CountRaw},
		{name: "null", link: packet.LinkNull, data: join("02000000", v4), count: CountNull},
		{name: "null, IPv6 of FreeBSD", link: packet.LinkNull, data: join("1c000000", v6), count: CountNull},
		{name: "loop", link: packet.LinkLoop, data: join("00000002", v4), count: CountNull},
		{name: "sll", link: packet.LinkSLL, data: join("0000 0001 0006 0123456789ab 0000 0800", v4), count: CountSLL},
		{name: "sll2", link: packet.LinkSLL2, data: join("86dd 0000 00000001 0001 00 06 0123456789ab0000", v6), count: CountSLL2},
		{name: "cisco hdlc", link: packet.LinkCHDLC, data: join("0f00 0800", v4), count: CountCHDLC},
		{name: "ppp", link: packet.LinkPPP, data: join("ff03 0021", v4), count: CountPPP},
		{name: "ppp, no address", link: packet.LinkPPP, data: join("0057", v6), count: CountPPP},
		{name: "ppp, short protocol", link: packet.LinkPPP, data: join("ff03 21", v4), count: CountPPP},
		{name: "ppp, van jacobson", link: packet.LinkPPP, data: join("ff03 2f", v4), count: CountPPP},
		{name: "gre", link: packet.LinkEthernet, data: gre("0000 0800", v4), source: FromGRE, count: CountGRE},
		{name: "gre, all fields", link: packet.LinkEthernet, data: gre("b000 86dd 00000000 00000001 00000002", v6), source: FromGRE, count: CountGRE},
		{name: "gre, source routes", link: packet.LinkEthernet, data: gre("4000 0800 00000000 0800 00 04 01020304 0000 00 00", v4), source: FromGRE, count: CountGRE},
		{name: "gre, ethernet", link: packet.LinkEthernet, data: gre("0000 6558", ether(packet.EtherIPv4, v4)), source: FromGRE, count: CountGRE},
		{name: "gre, vlan", link: packet.LinkEthernet, data: gre("0000 8100 0007 0800", v4), vlan: [3]uint16{7}, source: FromGRE, count: CountVLAN},
		{name: "pptp", link: packet.LinkEthernet, data: gre("3081 880b 0020 0001 00000001 00000001 ff03 0021", v4), source: FromGRE, count: CountPPP},
		{name: "erspan I", link: packet.LinkEthernet, data: gre("0000 88be", ether(packet.EtherIPv4, v4)), source: FromGRE, count: CountERSPAN},
		{name: "erspan II", link: packet.LinkEthernet, data: gre("1000 88be 00000001 1017 0001 00000000", ether(packet.EtherIPv4, v4)), vlan: [3]uint16{23}, source: FromGRE, count: CountERSPAN},
		{name: "4in4", link: packet.LinkRaw, data: ip(hostB, hostA, packet.ProtoIPv4, v4), source: FromIPv4, count: CountIPv4InIPv4},
		{name: "6in4", link: packet.LinkRaw, data: ip(hostB, hostA, packet.ProtoIPv6, v6), source: FromIPv4, count: CountIPv6InIPv4},
		{name: "4in6", link: packet.LinkRaw, data: ip(hostC, hostD, packet.ProtoIPv4, v4), source: FromIPv6, count: CountIPv4InIPv6},
		{name: "6in6", link: packet.LinkRaw, data: ip(hostD, hostC, packet.ProtoIPv6, v6), source: FromIPv6, count: CountIPv6InIPv6},
		{name: "6in6 after options", link: packet.LinkRaw, data: ip(hostD, hostC, packet.ProtoHopByHop, join("2900 0502 0000 0000", v6)), source: FromIPv6, count: CountIPv6InIPv6},
		{name: "vxlan", link: packet.LinkEthernet, data: overUDP(4789, "08000000 00002500", ether(packet.EtherIPv4, v4)), source: FromVXLAN, count: CountVXLAN},
		{name: "vxlan, vlan", link: packet.LinkEthernet, data: overUDP(4789, "08000000 00002500", ether(packet.EtherVLAN, join("0005 0800", v4))), vlan: [3]uint16{5}, source: FromVXLAN, count: CountVXLAN},
		{name: "geneve", link: packet.LinkEthernet, data: overUDP(6081, "02006558 00000a00 0102 80 01 01020304", ether(packet.EtherIPv6, v6)), source: FromGeneve, count: CountGeneve},
		{name: "geneve, IPv4", link: packet.LinkEthernet, data: overUDP(6081, "00000800 00000a00", v4), source: FromGeneve, count: CountGeneve},
		{name: "teredo", link: packet.LinkEthernet, data: overUDP(3544, v6), source: FromTeredo, count: CountTeredo},
		{name: "teredo, origin", link: packet.LinkEthernet, data: overUDP(7, "0000 1234 01020304", v6), source: FromTeredo, count: CountTeredo},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &Batch{}
			d := New(DefaultConfig())
			d.Decode(b, c.link, 9, 77, 3, c.data)
			p := b.Packets[0]
			if string(p.Payload()) != "inside" || p.Layer4 != UDP || p.SrcPort != 1111 || p.DstPort != 2222 || !p.ChecksumOK() || !p.IPChecksumOK() {
				t.Fatalf("payload %q of %v, %d -> %d", p.Payload(), p.Layer4, p.SrcPort, p.DstPort)
			}
			if p.VLAN != c.vlan || p.Source != c.source || p.Number != 9 || p.Time != 77 || p.Device != 3 || p.Flags&WantsFlow == 0 {
				t.Errorf("vlan %v, source %v, flags %b", p.VLAN, p.Source, p.Flags)
			}
			for _, p := range b.Packets {
				if !p.Events.Empty() {
					t.Errorf("events %v", p.Events.Append(nil))
				}
			}
			inner := c.source != FromWire
			if len(b.Packets) == 1 == inner {
				t.Fatalf("%d packets", len(b.Packets))
			}
			if inner {
				root := b.Packets[len(b.Packets)-1]
				if p.Depth != 1 || p.Flags&TunnelChild == 0 || root.Flags&(TunnelRoot|NoPayloadInspection) != TunnelRoot|NoPayloadInspection {
					t.Errorf("depth %d, flags %b in %b", p.Depth, p.Flags, root.Flags)
				}
			}
			if d.Counters[c.count] == 0 || d.Counters[CountPackets] != 1 || d.Counters[CountInvalid] != 0 {
				t.Errorf("counters %v", d.Counters)
			}
		})
	}
}

// Tunnels in tunnels come innermost first, and not without end.
func TestLayers(t *testing.T) {
	data := udp4("inside")
	for range 3 {
		data = ip(hostA, hostB, packet.ProtoIPv4, data)
	}
	packets := run(packet.LinkRaw, data)
	for i, p := range packets {
		if int(p.Depth) != 3-i {
			t.Errorf("packet %d is %d deep", i, p.Depth)
		}
	}
	if len(packets) != 4 {
		t.Errorf("%d packets", len(packets))
	}
	for range 40 {
		data = ip(hostA, hostB, packet.ProtoIPv4, data)
	}
	packets = run(packet.LinkRaw, data)
	if deepest := packets[0]; len(packets) != 8 || !deepest.Events.Has(EvTooManyLayers) {
		t.Errorf("%d packets, %v", len(packets), deepest.Events.Append(nil))
	}
	tags := ether(packet.EtherVLAN, join("0001 8100 0002 8100 0003 8100 0004 0800", udp4("")))
	if p := run(packet.LinkEthernet, tags)[0]; !p.Events.Has(EvVLANTooManyLayers) || p.VLAN != [3]uint16{1, 2, 3} || p.Layer4 != NoLayer4 {
		t.Errorf("four tags: %v", p.Events.Append(nil))
	}
	var long []byte
	for range 20 {
		long = append(long, fromHex(t, "00000000 8926")...)
	}
	if p := run(packet.LinkEthernet, ether(packet.EtherVNTag, long))[0]; !p.Events.Has(EvTooManyLayers) {
		t.Errorf("twenty tags: %v", p.Events.Append(nil))
	}
}

func TestTCPOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		want    TCPOptions
		events  []Event
	}{
		{"0101080a 00000001 00000002", TCPOptions{TSVal: 1, TSEcr: 2, Has: HasTimestamp}, nil},
		{"020405b4 0402 080a 00000001 00000002 01 030307", TCPOptions{TSVal: 1, TSEcr: 2, MSS: 1460, Scale: 7, Has: HasMSS | HasSACKPermitted | HasTimestamp | HasScale}, nil},
		{"0101 0512 00000001 00000002 00000003 00000004", TCPOptions{SACKOffset: 24, SACKBlocks: 2, Has: HasSACK}, nil},
		{"03030f 00", TCPOptions{Has: HasScale}, nil},
		{"2206 01020304 0101", TCPOptions{Has: HasFastOpen}, nil},
		{"2202 0101", TCPOptions{Has: HasFastOpen}, nil},
		{"fe04 f989", TCPOptions{Has: HasFastOpen}, nil},
		{"1312 00000000000000000000000000000000 0101", TCPOptions{Has: HasMD5}, nil},
		{"1d04 0000", TCPOptions{Has: HasAO}, nil},
		{"0502 0101", TCPOptions{}, nil},
		{"00ffffff", TCPOptions{}, nil},
		{"010101 02", TCPOptions{}, nil},
		{"020405b4 020405b4", TCPOptions{MSS: 1460, Has: HasMSS}, []Event{EvTCPOptionDuplicate}},
		{"0203 0101", TCPOptions{}, []Event{EvTCPOptionInvalidLen}},
		{"02040000 0300 0101", TCPOptions{Has: HasMSS}, []Event{EvTCPOptionInvalidLen}},
		{"0805 000000 010101", TCPOptions{}, []Event{EvTCPOptionInvalidLen}},
		{"0303 07 0302 010101", TCPOptions{Scale: 7, Has: HasScale}, []Event{EvTCPOptionInvalidLen}},
		{"fd06 00000000 0101", TCPOptions{}, []Event{EvTCPOptionInvalidLen}},
		{"1304 0000", TCPOptions{}, []Event{EvTCPOptionInvalidLen}},
		{"4204 0000", TCPOptions{}, nil},
		{"42ff 0000", TCPOptions{}, []Event{EvTCPOptionInvalidLen}},
	} {
		p := run(packet.LinkRaw, tcp4(packet.Segment{Flags: packet.SYN, Options: fromHex(t, c.options)}))[0]
		if p.Options != c.want || !slices.Equal(p.Events.Append(nil), c.events) || p.Layer4 != TCP {
			t.Errorf("%s: %+v, %v", c.options, p.Options, p.Events.Append(nil))
		}
	}
}

func TestIPv4Options(t *testing.T) {
	for _, c := range []struct {
		options string
		want    IPv4OptionSet
		events  []Event
	}{
		{"0101010101010100", OptionNop | OptionEnd, nil},
		{"9404000000000000", OptionAlert | OptionEnd, nil},
		{"94040000", OptionAlert, []Event{EvIPv4OptionPadRequired}},
		{"0707040000000000", OptionRoute | OptionEnd, nil},
		{"0707040000000000 0707040000000000", OptionRoute | OptionEnd, nil},
		{"0707040000000001 0707040000000001", OptionRoute | OptionNop, []Event{EvIPv4OptionDuplicate}},
		{"0707050000000000", OptionEnd, []Event{EvIPv4OptionMalformed}},
		{"830b 0c 0000000000000000 00 00000000", OptionLoose | OptionEnd, nil},
		{"8903 04 0000000000", OptionStrict | OptionEnd, nil},
		{"440c 05 00 0000000000000000 00000000", OptionTime | OptionEnd, nil},
		{"440c 05 01 0000000000000000 00000000", OptionTime | OptionEnd, nil},
		{"440c 09 01 0000000000000000 00000000", OptionEnd, []Event{EvIPv4OptionMalformed}},
		{"4404 05 00 00000000", OptionEnd, []Event{EvIPv4OptionInvalidLen}},
		{"8803 00 0000000000", OptionEnd, []Event{EvIPv4OptionInvalidLen}},
		{"1908000000000000", OptionQuick, nil},
		{"1907000000000000", OptionEnd, []Event{EvIPv4OptionInvalidLen}},
		{"820b 0000000000000000 00 0000000000", OptionSec | OptionEnd, nil},
		{"8503 00 0000000000", OptionExtSec | OptionEnd, nil},
		{"860a 00000001 0504 0000 00 0000000000", OptionCIPSO | OptionEnd, nil},
		{"860a 00000001 0504 0100 00 0000000000", OptionEnd, []Event{EvIPv4OptionMalformed}},
		{"860a 00000001 0304 0000 00 0000000000", OptionEnd, []Event{EvIPv4OptionMalformed}},
		{"8606 00000001 0000", OptionEnd, []Event{EvIPv4OptionInvalidLen}},
		{"9904 0000 00000000", OptionEnd, []Event{EvIPv4OptionInvalid}},
		{"0101010101010107", OptionNop, []Event{EvIPv4OptionEOLRequired}},
	} {
		options := fromHex(t, c.options)
		b := join(udp4("x")[:20], options, udp4("x")[20:])
		b = with(b, 0, 0x45+len(options)/4, 3, len(b))
		p := run(packet.LinkRaw, b)[0]
		if p.IPv4Options != c.want || !slices.Equal(p.Events.Append(nil), c.events) || p.Layer4 != UDP {
			t.Errorf("%s: %012b, %v", c.options, p.IPv4Options, p.Events.Append(nil))
		}
	}
	for _, options := range []string{"0709040000000000", "0701000000000000", "0700000000000000"} {
		b := join(udp4("x")[:20], options, udp4("x")[20:])
		b = with(b, 0, 0x47, 3, len(b))
		if p := run(packet.LinkRaw, b)[0]; p.Layer3 != NoLayer3 || !p.Events.Has(EvIPv4OptionInvalidLen) || p.Flags&Invalid == 0 {
			t.Errorf("%s: %v", options, p.Events.Append(nil))
		}
	}
}
