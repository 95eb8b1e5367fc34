// Package decode finds the headers of a packet: from Ethernet, or whatever a
// capture begins with, through tags and tunnels to the transport's payload.
// What is wrong on the way becomes events, with Suricata's names and by
// Suricata's rules (events.go holds the table).
//
// One captured packet may be several: each tunnel has a packet in it, and the
// last fragment completes a datagram. [Decoder.Decode] appends all of them to a
// [Batch], in the order in which they are to be inspected: inner before outer.
// They share the bytes of the capture; only datagrams that were put together
// have bytes of their own, which belong to the batch.
//
// Decoding allocates nothing once a batch has its size. It is pure: packets and
// their time go in.
package decode

import (
	"encoding/binary"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode/defrag"
)

var be = binary.BigEndian

// maxTags is how many VLAN tags are kept; a packet with more is not followed.
const maxTags = 3

// Config says what to decode, and what flows are told apart by.
type Config struct {
	// MaxLayers is how many headers are followed, 1 to 255.
	MaxLayers int
	// Ports at which tunnels over UDP are looked for. TeredoAnywhere looks at
	// all UDP; empty lists switch a tunnel off.
	VXLANPorts, GenevePorts, TeredoPorts []uint16
	TeredoAnywhere                       bool
	// VXLANReserved allows bits set that RFC 7348 reserves.
	VXLANReserved bool
	// IgnoreVLAN, IgnoreDevice and IgnoreDepth make packets of different VLANs,
	// devices or tunnels one flow and one datagram.
	IgnoreVLAN, IgnoreDevice, IgnoreDepth bool
	Defrag                                defrag.Config
}

// DefaultConfig is suricata.yaml's.
func DefaultConfig() Config {
	return Config{
		MaxLayers:      16,
		VXLANPorts:     []uint16{4789},
		GenevePorts:    []uint16{6081},
		TeredoAnywhere: true,
		Defrag:         defrag.DefaultConfig(),
	}
}

// Decoder decodes packets for one pipeline. It is not safe for concurrent use.
type Decoder struct {
	// Counters count what was decoded; read them between packets.
	Counters Counters

	cfg    Config
	defrag *defrag.Table
	batch  *Batch
}

// New returns a decoder.
func New(cfg Config) *Decoder {
	return &Decoder{cfg: cfg, defrag: defrag.New(cfg.Defrag)}
}

// Fragments are the counts of the table of fragments.
func (d *Decoder) Fragments() defrag.Counters { return d.defrag.Counters }

// Batch is a list of decoded packets. The zero value is ready.
type Batch struct {
	// Packets in the order of inspection.
	Packets []*Packet

	pool    []*Packet
	used    int
	buffers [][]byte // For datagrams put together.
	filled  int
}

// keptBuffers is how many buffers for datagrams a batch keeps; hostile fragments
// in tunnels may ask for hundreds.
const keptBuffers = 8

// Reset forgets all packets.
func (b *Batch) Reset() {
	b.Packets, b.used, b.filled = b.Packets[:0], 0, 0
	if len(b.buffers) > keptBuffers {
		clear(b.buffers[keptBuffers:])
		b.buffers = b.buffers[:keptBuffers]
	}
}

func (b *Batch) packet() *Packet {
	if b.used == len(b.pool) {
		more := make([]Packet, max(16, len(b.pool)))
		for i := range more {
			b.pool = append(b.pool, &more[i])
		}
	}
	p := b.pool[b.used]
	b.used++
	*p = Packet{}
	return p
}

// maxDatagram is the largest a rebuilt datagram with its link header may be.
const maxDatagram = defrag.MaxDatagram

func (b *Batch) buffer() []byte {
	if b.filled == len(b.buffers) {
		b.buffers = append(b.buffers, make([]byte, maxDatagram))
	}
	b.filled++
	return b.buffers[b.filled-1]
}

// Decode appends a captured packet, and those found in it, to the batch. Its
// data must stay as it is until the batch is reset.
func (d *Decoder) Decode(b *Batch, link packet.LinkType, number uint64, time int64, device uint16, data []byte) {
	d.Counters[CountPackets]++
	d.Counters[CountBytes] += uint64(len(data))
	d.Counters[CountMaxSize] = max(d.Counters[CountMaxSize], uint64(len(data)))
	d.batch = b
	p := b.packet()
	p.Number, p.Time, p.Device, p.Data = number, time, device, data
	d.link(p, link)
	if p.Flags&Invalid != 0 {
		d.Counters[CountInvalid]++
	}
	b.Packets = append(b.Packets, p)
}

// link decodes a packet from its beginning.
func (d *Decoder) link(p *Packet, link packet.LinkType) bool {
	switch link {
	case packet.LinkEthernet:
		return d.ethernet(p, 0, p.Data)
	case packet.LinkRaw, packet.LinkRawBSD, packet.LinkIPv4, packet.LinkIPv6, packet.LinkGRE:
		return d.raw(p, 0, p.Data)
	case packet.LinkSLL:
		return d.sll(p, p.Data)
	case packet.LinkSLL2:
		return d.sll2(p, p.Data)
	case packet.LinkPPP:
		return d.ppp(p, 0, p.Data)
	case packet.LinkNull, packet.LinkLoop:
		return d.null(p, link, p.Data)
	case packet.LinkCHDLC:
		return d.chdlc(p, p.Data)
	}
	d.Counters[CountUnknownLink]++
	return false
}

// layer counts a header and says whether it may be followed.
func (d *Decoder) layer(p *Packet) bool {
	p.layers++
	if int(p.layers) >= d.cfg.MaxLayers {
		return p.invalid(EvTooManyLayers)
	}
	return true
}

// child begins a packet found in another. It returns nil if there are too many
// around it already.
func (d *Decoder) child(parent *Packet, from Source, data []byte) *Packet {
	if int(parent.layers)+1 >= d.cfg.MaxLayers {
		parent.invalid(EvTooManyLayers)
		return nil
	}
	p := d.batch.packet()
	p.Number, p.Time, p.Device = parent.Number, parent.Time, parent.Device
	p.Data = data[:len(data):len(data)]
	p.Depth, p.layers = parent.Depth+1, parent.layers+1
	p.Source = from
	p.Flags = TunnelChild
	return p
}

// adopt ends the decoding of a child. A child that is not what its tunnel said
// is forgotten.
func (d *Decoder) adopt(parent, child *Packet, ok bool) bool {
	if !ok {
		return false
	}
	if child.Flags&Invalid != 0 {
		d.Counters[CountInvalid]++
	}
	if parent.Flags&TunnelChild == 0 {
		parent.Flags |= TunnelRoot
	}
	parent.Flags |= NoPayloadInspection
	d.batch.Packets = append(d.batch.Packets, child)
	return true
}
