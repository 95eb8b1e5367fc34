package decode

import (
	"net/netip"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode/defrag"
)

// fragment4 gives a fragment, whose IP packet is b, to the table of fragments.
func (d *Decoder) fragment4(p *Packet, at int, b []byte) {
	ip := packet.IPv4(b)
	key, _ := packet.Key4(be.Uint32(b[12:]), be.Uint32(b[16:]), 0, 0, p.Proto)
	header := ip.HeaderLen()
	d.Counters[CountIPv4Fragments]++
	f := defrag.Fragment{
		Key: key.At(d.place(p)), ID: uint32(ip.ID()), Dst: netip.AddrFrom4(ip.Dst()), Time: p.Time,
		Offset: ip.FragmentOffset(), More: ip.MoreFragments(), Data: b[header:],
		Head: p.Data[:at+header], Link: at, Version: 4,
	}
	d.rebuild(p, &f, packet.EtherIPv4, CountIPv4Rebuilt, EvIPv4FragmentPacketTooLarge, EvIPv4FragmentOverlap, EvIPv4FragmentIgnored)
}

// fragment6 is [Decoder.fragment4] for IPv6.
func (d *Decoder) fragment6(p *Packet, at int, b []byte) {
	key, _ := packet.Key6((*[16]byte)(b[8:]), (*[16]byte)(b[24:]), 0, 0, packet.ProtoFragment)
	header := &p.fragment
	d.Counters[CountIPv6Fragments]++
	nextAt := at + 6 // In the fixed header,
	if header.previous > 0 {
		nextAt = int(header.previous) // or in the extension before.
	}
	f := defrag.Fragment{
		Key: key.At(d.place(p)), ID: header.id, Dst: netip.AddrFrom16(packet.IPv6(b).Dst()), Time: p.Time,
		Offset: int(header.offset), More: header.more, Data: p.Data[header.header+8 : header.header+8+int32(header.size)],
		Head: p.Data[:header.header], Link: at, Version: 6, Next: uint8(header.next), NextAt: nextAt,
	}
	d.rebuild(p, &f, packet.EtherIPv6, CountIPv6Rebuilt, EvIPv6FragmentPacketTooLarge, EvIPv6FragmentOverlap, EvIPv6FragmentIgnored)
}

// rebuild decodes the datagram that a fragment completes, if it does. It is a
// packet beside the fragment, as deep in tunnels.
func (d *Decoder) rebuild(parent *Packet, f *defrag.Fragment, kind packet.EtherType, count Counter, large, overlap, ignored Event) {
	out := d.batch.buffer()
	r := d.defrag.Add(f, out)
	if r.TooLarge {
		parent.event(large)
	}
	if r.Overlap {
		parent.event(overlap)
	}
	if r.Ignored {
		parent.event(ignored)
	}
	if r.Size == 0 {
		d.batch.filled--
		return
	}
	d.Counters[count]++
	p := d.batch.packet()
	p.Number, p.Time, p.Device = parent.Number, parent.Time, parent.Device
	p.Data = out[:r.Size:r.Size]
	p.VLAN, p.Tags, p.Depth, p.layers = parent.VLAN, parent.Tags, parent.Depth, parent.layers
	p.Source, p.Flags = FromDefrag, TunnelChild|Rebuilt
	p.hasEthernet = parent.hasEthernet && r.Link >= int(parent.ethernet)+packet.EthernetLen
	p.ethernet = parent.ethernet
	ok := false
	if kind == packet.EtherIPv4 {
		ok = d.ipv4(p, r.Link, p.Data[r.Link:])
	} else {
		ok = d.ipv6(p, r.Link, p.Data[r.Link:])
	}
	d.adopt(parent, p, ok)
}
