package engine

import "github.com/hauberk/hauberk/packet"

// inputICMP4 answers echo requests and believes errors that fit a connection.
func (s *Stack) inputICMP4(p *received) {
	b := p.l4
	if len(b) < 8 || packet.Checksum(b) != 0 {
		s.Count.DropChecksum++
		return
	}
	s.Count.IcmpIn++
	switch b[0] {
	case 8:
		s.Count.EchoIn++
		s.echo(p, protoICMP, 0)
	case 3:
		if b[1] == 4 {
			s.icmpError(b[8:], false, int(be.Uint16(b[6:])), true)
		} else {
			s.icmpError(b[8:], false, 0, b[1] == 2 || b[1] == 3)
		}
	}
}

// inputICMP6 does the same for IPv6, and neighbour discovery.
func (s *Stack) inputICMP6(p *received) {
	b := p.l4
	if len(b) < 8 || pseudo(&p.src, &p.dst, protoICMP6, len(b)).Add(b).Checksum() != 0 {
		s.Count.DropChecksum++
		return
	}
	s.Count.IcmpIn++
	switch b[0] {
	case 128:
		if s.isOurs(&p.dst) {
			s.Count.EchoIn++
			s.echo(p, protoICMP6, 129)
		}
	case 135, 136:
		s.inputND(p, b)
	case 2:
		s.icmpError(b[8:], true, int(min(be.Uint32(b[4:]), 65535)), true)
	case 1:
		s.icmpError(b[8:], true, 0, b[1] == 4)
	}
}

func (s *Stack) echo(p *received, proto, kind uint8) {
	hl := 20
	if p.v6 {
		hl = 40
	}
	if hl+len(p.l4) > s.cfg.MTU || !s.allow() { // Put together from fragments: nobody needs so long an answer.
		return
	}
	f, b, ok := s.begin(&p.dst, &p.src, proto, 0, len(p.l4))
	if !ok {
		return
	}
	copy(b, p.l4)
	b[0], b[2], b[3] = kind, 0, 0
	var acc packet.Partial
	if p.v6 {
		acc = pseudo(&p.dst, &p.src, proto, len(b))
	}
	be.PutUint16(b[2:], acc.Add(b).Checksum())
	s.Count.IcmpOut++
	s.send(f, &p.dst, &p.src)
}

// icmpError takes the packet quoted in an error. mtu is that of a "too big" (0: another error); hard is an error that
// says nobody is there. The quoted sequence number must lie in flight (RFC 5927), and only a connection that is being
// opened ends.
func (s *Stack) icmpError(q []byte, v6 bool, mtu int, hard bool) {
	var local, remote ip
	var l4 []byte
	switch {
	case !v6 && len(q) >= 28 && q[0]>>4 == 4 && q[9] == protoTCP && int(q[0]&15)*4 >= 20 && len(q) >= int(q[0]&15)*4+8:
		local.set4(q[12:])
		remote.set4(q[16:])
		l4 = q[int(q[0]&15)*4:]
	case v6 && len(q) >= 48 && q[0]>>4 == 6 && q[6] == protoTCP:
		local, remote, l4 = ip(q[8:24]), ip(q[24:40]), q[40:]
	default:
		return
	}
	ci := s.lookup(&local, &remote, be.Uint16(l4), be.Uint16(l4[2:]))
	if ci == 0 {
		return
	}
	c := s.conns.at(ci)
	seq := be.Uint32(l4[4:])
	if before(seq, c.sndUna) || !before(seq, c.sndNxt) {
		return
	}
	switch {
	case mtu > 0:
		if s.learnMTU(&remote, mtu) {
			s.newMTU(ci, c)
		}
	case hard && (c.state == SynSent || c.state == SynReceived):
		s.end(ci, c, ErrRefused)
	}
}

// unreachable tells the sender of p that no socket is there.
func (s *Stack) unreachable(p *received) {
	n := min(len(p.whole), 28)
	proto, kind, code := uint8(protoICMP), uint8(3), uint8(3)
	if p.v6 {
		n = min(len(p.whole), minMTU6-48)
		proto, kind, code = protoICMP6, 1, 4
	}
	if !s.ours[p.dst] || !s.allow() {
		return
	}
	f, b, ok := s.begin(&p.dst, &p.src, proto, 0, 8+n)
	if !ok {
		return
	}
	clear(b[:8])
	b[0], b[1] = kind, code
	copy(b[8:], p.whole[:n])
	var acc packet.Partial
	if p.v6 {
		acc = pseudo(&p.dst, &p.src, proto, len(b))
	}
	be.PutUint16(b[2:], acc.Add(b).Checksum())
	s.Count.IcmpOut++
	s.send(f, &p.dst, &p.src)
}
