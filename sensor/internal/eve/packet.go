package eve

import (
	"encoding/base64"
	"net/netip"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
)

// arpOpcodes are the names of operations (RFC 826, 903), by number.
var arpOpcodes = [...]string{"unknown", "request", "reply", "request_reverse", "reply_reverse"}

func arpOpcode(n uint16) string {
	if int(n) >= len(arpOpcodes) {
		return arpOpcodes[0]
	}
	return arpOpcodes[n]
}

// ARP writes a message of ARP.
func (e *Encoder) ARP(p *decode.Packet) {
	e.begin("arp", p, nil, false)
	a := p.ARP()
	e.w.Object("arp")
	e.w.String("hw_type", "ethernet")
	e.w.String("proto_type", "ipv4")
	e.w.String("opcode", arpOpcode(a.Op()))
	src, dst := a.SrcMAC(), a.DstMAC()
	e.w.HexSep("src_mac", src[:], ":")
	e.addr("src_ip", netip.AddrFrom4(a.SrcIP()))
	e.w.HexSep("dest_mac", dst[:], ":")
	e.addr("dest_ip", netip.AddrFrom4(a.DstIP()))
	e.w.Close()
	e.end()
}

// tunnel writes which packet another was found in.
func (e *Encoder) tunnel(p, root *decode.Packet) {
	e.w.Object("tunnel")
	e.addr("src_ip", root.Src())
	e.w.Uint("src_port", uint64(portOf(root, root.SrcPort)))
	e.addr("dest_ip", root.Dst())
	e.w.Uint("dest_port", uint64(portOf(root, root.DstPort)))
	e.w.String("proto", ProtoName(root.Proto))
	e.w.Uint("depth", uint64(p.Depth))
	if root.Number > 0 {
		e.w.Uint("pcap_cnt", root.Number)
	}
	e.w.String("pkt_src", source(root, false))
	e.w.Close()
}

// portOf is a port of a packet, 0 if its transport has none.
func portOf(p *decode.Packet, port uint16) uint16 {
	if p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP || p.Proto == packet.ProtoSCTP {
		return port
	}
	return 0
}

// bytes writes the first bytes of a packet, at most n.
func (e *Encoder) bytes(p *decode.Packet, link packet.LinkType, n int) {
	if p.Flags&decode.TunnelChild != 0 {
		link = packet.LinkRaw
	}
	number := uint64(link)
	if link == packet.LinkRaw {
		number = dltRaw
	}
	e.w.String("packet", base64.StdEncoding.EncodeToString(p.Data[:min(n, len(p.Data))]))
	e.w.Object("packet_info")
	e.w.Uint("linktype", number)
	e.w.String("linktype_name", link.String())
	e.w.Close()
}

// dltRaw is what libpcap calls raw IP on Linux, in the place of its number in captures.
const dltRaw = 12

// headerBytes is how much of a packet an anomaly tells.
const headerBytes = 32
