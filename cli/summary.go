package cli

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hauberk/hauberk/packet"
)

// summary is the beginning of a frame in one line: who to whom, and what. The
// frame may be cut, or be nothing that can be read.
func summary(frame []byte) string {
	e := packet.Ethernet(frame)
	if !e.Valid() {
		return fmt.Sprintf("%x", frame)
	}
	payload := e.Payload()
	switch {
	case e.Type() == packet.EtherIPv4 && len(payload) >= packet.IPv4Len:
		ip := packet.IPv4(payload)
		rest := payload[min(max(ip.HeaderLen(), packet.IPv4Len), len(payload)):]
		if ip.FragmentOffset() > 0 {
			return fmt.Sprintf("%s > %s fragment at %d", netip.AddrFrom4(ip.Src()), netip.AddrFrom4(ip.Dst()), ip.FragmentOffset())
		}
		return transport(netip.AddrFrom4(ip.Src()), netip.AddrFrom4(ip.Dst()), ip.Proto(), rest)
	case e.Type() == packet.EtherIPv6 && len(payload) >= packet.IPv6Len:
		ip := packet.IPv6(payload)
		return transport(netip.AddrFrom16([16]byte(payload[8:24])), netip.AddrFrom16([16]byte(payload[24:40])), ip.NextHeader(), payload[packet.IPv6Len:])
	}
	return fmt.Sprintf("ethertype %#04x", uint16(e.Type()))
}

var flagNames = []struct {
	flag packet.Flags
	name string
}{{packet.SYN, "SYN"}, {packet.FIN, "FIN"}, {packet.RST, "RST"}, {packet.PSH, "PSH"}, {packet.ACK, "ACK"}, {packet.URG, "URG"}}

func transport(src, dst netip.Addr, proto packet.Proto, b []byte) string {
	ports := func(sport, dport uint16) string {
		return netip.AddrPortFrom(src, sport).String() + " > " + netip.AddrPortFrom(dst, dport).String()
	}
	switch {
	case proto == packet.ProtoTCP && len(b) >= packet.TCPLen:
		t := packet.TCP(b)
		var flags []string
		for _, f := range flagNames {
			if t.Flags().Has(f.flag) {
				flags = append(flags, f.name)
			}
		}
		return fmt.Sprintf("%s tcp %s seq %d ack %d", ports(t.SrcPort(), t.DstPort()), strings.Join(flags, "+"), uint32(t.Seq()), uint32(t.Ack()))
	case proto == packet.ProtoUDP && len(b) >= packet.UDPLen:
		u := packet.UDP(b)
		return ports(u.SrcPort(), u.DstPort()) + " udp"
	case (proto == packet.ProtoICMPv4 || proto == packet.ProtoICMPv6) && len(b) >= packet.ICMPLen:
		m := packet.ICMP(b)
		return fmt.Sprintf("%s > %s icmp type %d code %d", src, dst, m.Type(), m.Code())
	}
	return fmt.Sprintf("%s > %s protocol %d", src, dst, uint8(proto))
}
