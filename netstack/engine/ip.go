package engine

import (
	"encoding/binary"
	"net/netip"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

var be = binary.BigEndian

// ip is an address; IPv4 as ::ffff:a.b.c.d.
type ip [16]byte

func (a *ip) lo() uint64       { return be.Uint64(a[8:]) }
func (a *ip) hi() uint64       { return be.Uint64(a[:]) }
func (a *ip) is4() bool        { return a.hi() == 0 && be.Uint32(a[8:]) == 0xffff }
func (a *ip) addr() netip.Addr { return netip.AddrFrom16(*a).Unmap() }
func (a *ip) set4(b []byte)    { *a = ip{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]} }

const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoFrag  = 44
	protoICMP6 = 58
	hopLimit   = 64
)

// received is an IP packet after its IP header.
type received struct {
	src, dst ip
	v6       bool
	verified bool  // Its transport checksum is known to be right.
	ecn      uint8 // 3: congestion experienced.
	proto    uint8
	whole    []byte // From the IP header on, for quoting in ICMP errors.
	l4       []byte
}

// inputIP takes a packet from its IP header on.
func (s *Stack) inputIP(b []byte, verified bool) {
	var p received
	p.verified = verified
	ok := false
	if len(b) > 0 && b[0]>>4 == 6 {
		ok = s.parse6(b, &p)
	} else {
		ok = s.parse4(b, &p)
	}
	if ok {
		if s.cfg.LearnNeighbours {
			s.learn(&p.src)
		}
		s.dispatch(&p)
	}
}

func (s *Stack) parse4(b []byte, p *received) bool {
	if !packet.IPv4(b).Valid() {
		s.Count.DropHeader++
		return false
	}
	hl, total := packet.IPv4(b).HeaderLen(), packet.IPv4(b).TotalLen()
	if packet.Checksum(b[:hl]) != 0 {
		s.Count.DropChecksum++
		return false
	}
	p.src.set4(b[12:])
	p.dst.set4(b[16:])
	if b[12] >= 224 || b[12] == 127 || (b[12] == 0 && b[9] != protoUDP) {
		s.Count.DropHeader++ // No answer may go to a group, to everybody or to ourselves.
		return false
	}
	if !s.isOurs(&p.dst) {
		s.Count.DropNotOurs++
		return false
	}
	p.proto, p.ecn, p.whole, p.l4 = b[9], b[1]&3, b[:total], b[hl:total]
	if f := be.Uint16(b[6:]); f&0x3fff != 0 {
		return s.fragment(p, uint32(be.Uint16(b[4:])), int(f&0x1fff)*8, f&0x2000 != 0)
	}
	return true
}

func (s *Stack) parse6(b []byte, p *received) bool {
	if !packet.IPv6(b).Valid() {
		s.Count.DropHeader++
		return false
	}
	total := 40 + packet.IPv6(b).PayloadLen()
	p.v6 = true
	p.src, p.dst = ip(b[8:24]), ip(b[24:40])
	p.ecn, p.whole, p.proto, p.l4 = b[1]>>4&3, b[:total], b[6], b[40:total]
	if p.src[0] == 0xff || p.src.is4() || p.dst.is4() {
		s.Count.DropHeader++
		return false
	}
	if !s.isOurs(&p.dst) && !(p.dst[0] == 0xff && p.proto == protoICMP6) {
		s.Count.DropNotOurs++
		return false
	}
	for range 8 { // Extension headers in a row; more is somebody trying.
		switch p.proto {
		case 0, 43, 60:
			if len(p.l4) < 8 || len(p.l4) < 8+int(p.l4[1])*8 || p.proto == 43 && p.l4[3] != 0 {
				s.Count.DropHeader++
				return false
			}
			p.proto, p.l4 = p.l4[0], p.l4[8+int(p.l4[1])*8:]
		case protoFrag:
			if len(p.l4) < 8 {
				s.Count.DropHeader++
				return false
			}
			f, id := be.Uint16(p.l4[2:]), be.Uint32(p.l4[4:])
			p.proto, p.l4 = p.l4[0], p.l4[8:]
			if f&0xfff9 != 0 && !s.fragment(p, id, int(f&0xfff8), f&1 != 0) {
				return false
			}
		default:
			return true
		}
	}
	s.Count.DropHeader++
	return false
}

func (s *Stack) dispatch(p *received) {
	switch {
	case p.proto == protoTCP:
		s.inputTCP(p)
	case p.proto == protoUDP:
		s.inputUDP(p)
	case p.proto == protoICMP && !p.v6:
		s.inputICMP4(p)
	case p.proto == protoICMP6 && p.v6:
		s.inputICMP6(p)
	default:
		s.Count.DropNoSocket++
	}
}

// fragKey names the datagram a fragment belongs to.
type fragKey struct {
	src, dst ip
	id       uint32
	proto    uint8
}

// datagram is one that is being put together.
type datagram struct {
	data  []byte
	have  []span
	size  int // 0: the last fragment has not come.
	until int64
	bad   bool // An overlap came; kept to swallow the rest.
}

type span struct{ from, to int }

// Limits of reassembly: what a stranger can make us hold is 64 datagrams of 64 KiB, for 30 s.
const (
	maxDatagrams = 64
	maxSpans     = 64
	fragLifetime = 30_000_000_000
)

// fragment takes a piece; it returns true when the datagram is whole, and p is it then. Datagrams with overlapping
// pieces are dropped (RFC 5722), in IPv4 as well.
func (s *Stack) fragment(p *received, id uint32, offset int, more bool) bool {
	s.Count.FragmentsIn++
	key := fragKey{p.src, p.dst, id, p.proto}
	if p.v6 {
		key.proto = 0
	}
	d := s.fragments[key]
	end := offset + len(p.l4)
	if len(p.l4) == 0 || end > 65535 || more && len(p.l4)%8 != 0 || d == nil && len(s.fragments) >= maxDatagrams {
		s.Count.DropFragment++
		return false
	}
	if d == nil {
		d = &datagram{until: s.now + fragLifetime}
		s.fragments[key] = d
	}
	at := 0
	for at < len(d.have) && d.have[at].from < offset {
		at++
	}
	overlap := at > 0 && d.have[at-1].to > offset || at < len(d.have) && d.have[at].from < end
	if overlap && at < len(d.have) && d.have[at] == (span{offset, end}) {
		return false // The same piece again.
	}
	if d.bad || overlap || len(d.have) >= maxSpans || d.size != 0 && (end > d.size || !more) ||
		!more && len(d.have) > 0 && d.have[len(d.have)-1].to > end {
		d.bad, d.data, d.have = true, nil, nil
		s.Count.DropFragment++
		return false
	}
	if len(d.data) < end {
		d.data = append(d.data, make([]byte, end-len(d.data))...)
	}
	copy(d.data[offset:], p.l4)
	d.have = append(d.have, span{})
	copy(d.have[at+1:], d.have[at:])
	d.have[at] = span{offset, end}
	if !more {
		d.size = end
	}
	if d.size == 0 || d.have[0].from != 0 {
		return false
	}
	for i := 1; i < len(d.have); i++ {
		if d.have[i].from != d.have[i-1].to {
			return false
		}
	}
	if d.have[len(d.have)-1].to != d.size {
		return false
	}
	delete(s.fragments, key)
	s.Count.Reassembled++
	p.l4, p.verified = d.data[:d.size], false
	return true
}

func (s *Stack) sweepFragments() {
	for k, d := range s.fragments {
		if s.now >= d.until {
			delete(s.fragments, k)
			s.Count.DropFragment++
		}
	}
}

// begin takes a buffer with room for headers before and n bytes after the IP header; the IP header is written, the n
// bytes are the caller's to fill. ok is false when the port has no buffer.
func (s *Stack) begin(src, dst *ip, proto, tos uint8, n int) (f port.Frame, l4 []byte, ok bool) {
	f, ok = s.out.Buffer()
	if !ok {
		s.Count.TxNoBuffer++
		return f, nil, false
	}
	v4 := dst.is4()
	hl := 40
	if v4 {
		hl = 20
	}
	b := f.Data[:s.linkLen+hl+n]
	f.Data = b
	h := b[s.linkLen:]
	if v4 {
		s.header4(h, src, dst, proto, tos, n, 0x4000)
	} else {
		h[0], h[1], h[2], h[3] = 0x60|tos>>4, tos<<4, 0, 0
		be.PutUint16(h[4:], uint16(n))
		h[6], h[7] = proto, hopLimit
		copy(h[8:], src[:])
		copy(h[24:], dst[:])
	}
	return f, h[hl:], true
}

func (s *Stack) header4(h []byte, src, dst *ip, proto, tos uint8, n int, frag uint16) {
	s.ipID++
	be.PutUint64(h, 0x45<<56|uint64(tos)<<48|uint64(20+n)<<32|uint64(s.ipID)<<16|uint64(frag))
	be.PutUint32(h[8:], hopLimit<<24|uint32(proto)<<16)
	copy(h[12:16], src[12:])
	copy(h[16:20], dst[12:])
	be.PutUint16(h[10:], packet.Checksum(h[:20]))
}

// path is what is known of the way to an address.
type path struct {
	mtu   uint16
	until int64
}

// Limits of what ICMP errors can make us believe: no MTU below what IP guarantees, not for ever, not of everybody.
const (
	minMTU4      = 552 // RFC 9293 3.7.5 wants 536 of payload; below lies an attack, not a link.
	minMTU6      = 1280
	maxPaths     = 4096
	pathLifetime = 600_000_000_000
)

func (s *Stack) mtuTo(dst *ip) int {
	if len(s.pathMTU) > 0 {
		if p, ok := s.pathMTU[*dst]; ok {
			return min(int(p.mtu), s.cfg.MTU)
		}
	}
	return s.cfg.MTU
}

func (s *Stack) learnMTU(dst *ip, mtu int) bool {
	low := minMTU6
	if dst.is4() {
		low = minMTU4
	}
	mtu = max(mtu, low)
	if mtu >= s.mtuTo(dst) || len(s.pathMTU) >= maxPaths {
		return false
	}
	s.Count.PathMTU++
	s.pathMTU[*dst] = path{uint16(mtu), s.now + pathLifetime}
	return true
}

func (s *Stack) sweepPaths() {
	for k, p := range s.pathMTU {
		if s.now >= p.until {
			delete(s.pathMTU, k)
		}
	}
}

// pseudo is the sum of the pseudo header; packet.Partial is in the machine's order, little-endian here and turned at
// the end.
func pseudo(src, dst *ip, proto uint8, n int) packet.Partial {
	if dst.is4() {
		le := binary.LittleEndian
		return packet.Partial(uint64(le.Uint32(src[12:])) + uint64(le.Uint32(dst[12:])) + uint64(proto)<<8 + uint64(n>>8|n<<8&0xff00))
	}
	return packet.Pseudo(src[:], dst[:], packet.Proto(proto), n)
}
