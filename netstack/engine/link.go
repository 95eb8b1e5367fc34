package engine

import (
	"net/netip"

	"github.com/hauberk/hauberk/netstack/port"
)

// neighbour is the link address of a next hop, or the search for it.
type neighbour struct {
	mac     [6]byte
	known   bool
	tries   uint8
	askAt   int64 // When to ask next.
	used    int64
	pending []port.Frame
}

// Limits and times of neighbour discovery (RFC 4861 section 10: 3 attempts 1 s apart, 30 s until doubt).
const (
	maxNeighbours = 4096
	maxPending    = 4
	maxWaiting    = 256 // Of all neighbours: a scan of the link must not hold all frames of the port.
	maxAsks       = 3
	askEvery      = 1_000_000_000
	reachable     = 30_000_000_000
	forgetAfter   = 600_000_000_000
)

// send gives a packet built by begin to the port, or keeps it until the next hop's address is known.
func (s *Stack) send(f port.Frame, src, dst *ip) {
	s.Count.TxFrames++
	if s.cfg.L3 {
		s.out.Transmit(f)
		return
	}
	n := s.lastNext
	if n == nil || *dst != s.lastDst {
		if n = s.route(dst); n == nil {
			s.Count.NeighbourFailed++
			s.out.Release(f)
			return
		}
		s.lastDst, s.lastNext = *dst, n
	}
	n.used = s.now
	if !n.known {
		if len(n.pending) >= maxPending || s.waiting >= maxWaiting {
			s.Count.NeighbourFailed++
			s.out.Release(f)
			return
		}
		n.pending = append(n.pending, f)
		s.waiting++
		return
	}
	s.address(f.Data, &n.mac, !dst.is4())
	s.out.Transmit(f)
}

func (s *Stack) address(b []byte, to *[6]byte, v6 bool) {
	copy(b, to[:])
	copy(b[6:], s.cfg.MAC[:])
	b[12], b[13] = 8, 0
	if v6 {
		b[12], b[13] = 0x86, 0xdd
	}
}

// route finds or starts to search the neighbour that packets to dst go to; nil when there is no route or no room.
func (s *Stack) route(dst *ip) *neighbour {
	hop := dst.addr()
	direct := hop.Is6() && hop.IsLinkLocalUnicast()
	for _, p := range s.onLink {
		direct = direct || p.Contains(hop)
	}
	if !direct {
		if hop = s.cfg.Gateway4; !dst.is4() {
			hop = s.cfg.Gateway6
		}
		if !hop.IsValid() {
			return nil
		}
	}
	key := ip(hop.As16())
	n := s.neighbours[key]
	if n == nil {
		if len(s.neighbours) >= maxNeighbours && !s.forgetOne() {
			return nil
		}
		n = &neighbour{used: s.now}
		s.neighbours[key] = n
		if s.rxFrom == *dst && *dst != (ip{}) {
			n.mac, n.known, n.askAt = s.rxMAC, true, s.now+reachable
		} else {
			s.ask(&key, n)
		}
	}
	return n
}

// learn notes which link address the sender of a packet was heard from, for route, and that it lives.
func (s *Stack) learn(from *ip) {
	s.rxFrom = *from
	if s.rxMAC[0]&1 != 0 {
		s.rxFrom = ip{}
		return
	}
	if n := s.lastNext; n != nil && n.known && s.lastDst == *from && n.mac == s.rxMAC {
		n.askAt, n.tries = s.now+reachable, 0
	}
}

// forgetOne makes room by dropping a neighbour nobody has used for a second.
func (s *Stack) forgetOne() bool {
	for k, n := range s.neighbours {
		if s.now-n.used > askEvery {
			s.forget(k, n)
			return true
		}
	}
	return false
}

func (s *Stack) forget(k ip, n *neighbour) {
	s.out.Release(n.pending...)
	s.waiting -= len(n.pending)
	n.pending = nil
	delete(s.neighbours, k)
	s.lastNext = nil
}

func (s *Stack) sweepNeighbours() {
	for k, n := range s.neighbours {
		switch {
		case n.known && s.now-n.used > forgetAfter:
			s.forget(k, n)
		case n.known && s.now-n.used > reachable:
		case s.now < n.askAt:
		case n.tries >= maxAsks:
			s.Count.NeighbourFailed++
			s.forget(k, n)
		default:
			s.ask(&k, n)
		}
	}
}

// ask sends an ARP request or a neighbour solicitation.
func (s *Stack) ask(target *ip, n *neighbour) {
	n.tries++
	n.askAt = s.now + askEvery
	src, ok := s.source(target.addr())
	if !ok {
		return
	}
	from := ip(src.As16())
	if target.is4() {
		to := [6]byte{255, 255, 255, 255, 255, 255}
		if n.known {
			to = n.mac
		}
		s.sendARP(1, &from, target, &to, &[6]byte{})
		return
	}
	group := ip{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
	s.sendND(135, &from, &group, target, 0, 1, [6]byte{0x33, 0x33, 0xff, target[13], target[14], target[15]})
}

// found notes that a next hop has answered, and sends what waited.
func (s *Stack) found(from *ip, mac [6]byte, create bool) {
	n := s.neighbours[*from]
	if n == nil {
		if !create || len(s.neighbours) >= maxNeighbours && !s.forgetOne() {
			return
		}
		n = &neighbour{used: s.now}
		s.neighbours[*from] = n
	}
	n.mac, n.known, n.tries, n.askAt = mac, true, 0, s.now+reachable
	for _, f := range n.pending {
		s.address(f.Data, &n.mac, !from.is4())
		s.out.Transmit(f)
	}
	s.waiting -= len(n.pending)
	n.pending = nil
}

func (s *Stack) sendARP(op uint16, from, target *ip, dst, targetMAC *[6]byte) {
	f, ok := s.out.Buffer()
	if !ok {
		s.Count.TxNoBuffer++
		return
	}
	b := f.Data[:42]
	copy(b, dst[:])
	copy(b[6:], s.cfg.MAC[:])
	copy(b[12:], []byte{8, 6, 0, 1, 8, 0, 6, 4})
	be.PutUint16(b[20:], op)
	copy(b[22:], s.cfg.MAC[:])
	copy(b[28:32], from[12:])
	copy(b[32:], targetMAC[:])
	copy(b[38:42], target[12:])
	f.Data = b
	s.Count.TxFrames++
	s.out.Transmit(f)
}

// inputARP takes an ARP packet (RFC 826).
func (s *Stack) inputARP(b []byte) {
	if len(b) < 28 || be.Uint64(b)>>16 != 0x000108000604 || b[8]&1 != 0 {
		s.Count.DropHeader++
		return
	}
	s.Count.ArpIn++
	op := be.Uint16(b[6:])
	var from, target ip
	from.set4(b[14:])
	target.set4(b[24:])
	mac := [6]byte(b[8:14])
	mine := s.isOurs(&target)
	if b[14] != 0 && s.near(from.addr()) {
		s.found(&from, mac, mine)
	}
	if op == 1 && mine && !s.ours[from] {
		s.sendARP(2, &target, &from, &mac, &mac)
	}
}

// near says whether an address may be a neighbour's.
func (s *Stack) near(a netip.Addr) bool {
	for _, p := range s.onLink {
		if p.Contains(a) {
			return true
		}
	}
	return a == s.cfg.Gateway4 || a == s.cfg.Gateway6 || a.Is6() && a.IsLinkLocalUnicast()
}

// sendND sends a neighbour solicitation (135) or advertisement (136) with our link address as option.
func (s *Stack) sendND(kind uint8, from, to, target *ip, flags, option uint8, mac [6]byte) {
	f, b, ok := s.begin(from, to, protoICMP6, 0, 32)
	if !ok {
		return
	}
	f.Data[s.linkLen+7] = 255
	b[0], b[1], b[2], b[3] = kind, 0, 0, 0
	be.PutUint32(b[4:], uint32(flags)<<24)
	copy(b[8:], target[:])
	b[24], b[25] = option, 1
	copy(b[26:], s.cfg.MAC[:])
	be.PutUint16(b[2:], pseudo(from, to, protoICMP6, 32).Add(b).Checksum())
	s.Count.TxFrames++
	if !s.cfg.L3 {
		s.address(f.Data, &mac, true)
	}
	s.out.Transmit(f)
}

// inputND takes neighbour discovery messages (RFC 4861); b is the ICMP message, its checksum good.
func (s *Stack) inputND(p *received, b []byte) {
	if len(b) < 24 || p.whole[7] != 255 || b[1] != 0 || s.cfg.L3 {
		s.Count.DropHeader++
		return
	}
	target := ip(b[8:24])
	var mac [6]byte
	has := false
	for o := b[24:]; len(o) >= 8 && o[1] != 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
		if (b[0] == 135 && o[0] == 1 || b[0] == 136 && o[0] == 2) && o[2]&1 == 0 {
			mac, has = [6]byte(o[2:8]), true
		}
	}
	if b[0] == 136 {
		if has && s.near(target.addr()) {
			s.found(&target, mac, false)
		}
		return
	}
	if !s.isOurs(&target) {
		return
	}
	if p.src == (ip{}) { // Somebody checks whether the address is free: tell all.
		s.sendND(136, &target, &ip{0: 0xff, 1: 2, 15: 1}, &target, 0x20, 2, [6]byte{0x33, 0x33, 0, 0, 0, 1})
		return
	}
	if !has || !s.near(p.src.addr()) {
		return
	}
	s.found(&p.src, mac, true)
	s.sendND(136, &target, &p.src, &target, 0x60, 2, mac)
}
