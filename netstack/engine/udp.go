package engine

import "net/netip"

// Receiver is told of datagrams; p is valid during the call.
type Receiver interface {
	Datagram(s *Stack, local, remote netip.AddrPort, p []byte)
}

// socket is a bound UDP port.
type socket struct{ r Receiver }

// Bind gives datagrams to addr to r. An unspecified address means all of ours, port 0 a free port, which is returned.
func (s *Stack) Bind(addr netip.AddrPort, r Receiver) (netip.AddrPort, error) {
	key := keyOf(addr)
	if !addr.Addr().IsUnspecified() && !s.isOurs(&key.addr) {
		return addr, ErrNotOurs
	}
	if key.port == 0 {
		for range 1000 {
			key.port = s.ephemeral()
			if s.sockets[key] == nil {
				break
			}
		}
	}
	if s.sockets[key] != nil {
		return addr, ErrInUse
	}
	s.sockets[key] = &socket{r}
	return netip.AddrPortFrom(addr.Addr(), key.port), nil
}

// Unbind ends what Bind began.
func (s *Stack) Unbind(addr netip.AddrPort) { delete(s.sockets, keyOf(addr)) }

// BindAll gives every datagram that no socket takes to r: all ports of all our addresses.
func (s *Stack) BindAll(r Receiver) { s.anySocket = &socket{r} }

func (s *Stack) socketOf(dst *ip, port uint16) *socket {
	for _, at := range [3]ip{*dst, anyOf(dst), {}} {
		if sock := s.sockets[listenKey{at, port}]; sock != nil {
			return sock
		}
	}
	return s.anySocket
}

func (s *Stack) inputUDP(p *received) {
	b := p.l4
	if len(b) < 8 || int(be.Uint16(b[4:])) > len(b) || be.Uint16(b[4:]) < 8 {
		s.Count.DropHeader++
		return
	}
	b = b[:be.Uint16(b[4:])]
	given := be.Uint16(b[6:])
	if given == 0 && p.v6 || given != 0 && !p.verified && pseudo(&p.src, &p.dst, protoUDP, len(b)).Add(b).Checksum() != 0 {
		s.Count.DropChecksum++
		return
	}
	port := be.Uint16(b[2:])
	sock := s.socketOf(&p.dst, port)
	if sock == nil {
		s.Count.DropNoSocket++
		s.unreachable(p)
		return
	}
	s.Count.DatagramsIn++
	sock.r.Datagram(s, netip.AddrPortFrom(p.dst.addr(), port), netip.AddrPortFrom(p.src.addr(), be.Uint16(b)), b[8:])
}

// SendTo sends a datagram, in fragments when it is longer than the path's MTU. An unspecified local address is replaced
// by ours towards remote.
func (s *Stack) SendTo(local, remote netip.AddrPort, p []byte) error {
	to := netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	from := local.Addr().Unmap()
	if !from.IsValid() || from.IsUnspecified() {
		var ok bool
		if from, ok = s.source(to.Addr()); !ok {
			return ErrUnreachable
		}
	}
	if from.Is4() != to.Addr().Is4() || to.Port() == 0 {
		return ErrUnreachable
	}
	src, dst := ip(from.As16()), ip(to.Addr().As16())
	hl := 40
	if from.Is4() {
		hl = 20
	}
	n := 8 + len(p)
	if n > 65535-hl {
		return ErrTooLong
	}
	s.Count.DatagramsOut++
	if hl+n > s.mtuTo(&dst) {
		b := make([]byte, n)
		s.datagram(b, &src, &dst, local.Port(), to.Port(), p, false)
		return s.sendFragments(&src, &dst, b)
	}
	f, b, ok := s.begin(&src, &dst, protoUDP, 0, n)
	if !ok {
		return ErrNoRoom
	}
	s.datagram(b, &src, &dst, local.Port(), to.Port(), p, s.cfg.TxChecksum)
	s.send(f, &src, &dst)
	return nil
}

func (s *Stack) datagram(b []byte, src, dst *ip, sport, dport uint16, p []byte, offload bool) {
	be.PutUint64(b, uint64(sport)<<48|uint64(dport)<<32|uint64(len(b))<<16)
	copy(b[8:], p)
	if offload {
		return
	}
	c := pseudo(src, dst, protoUDP, len(b)).Add(b).Checksum()
	if c == 0 {
		c = 0xffff
	}
	be.PutUint16(b[6:], c)
}

// sendFragments sends the payload of an IP packet of UDP in pieces.
func (s *Stack) sendFragments(src, dst *ip, b []byte) error {
	v4 := dst.is4()
	room := (s.mtuTo(dst) - 20) &^ 7
	if !v4 {
		room = (s.mtuTo(dst) - 48) &^ 7
	}
	id := s.ipID + 1
	for at := 0; at < len(b); at += room {
		n := min(room, len(b)-at)
		more := uint16(0)
		if at+n < len(b) {
			more = 1
		}
		s.Count.FragmentsOut++
		if v4 {
			f, l4, ok := s.begin(src, dst, protoUDP, 0, n)
			if !ok {
				return ErrNoRoom
			}
			copy(l4, b[at:at+n])
			s.ipID = id - 1 // All pieces carry one number.
			s.header4(f.Data[s.linkLen:], src, dst, protoUDP, 0, n, more<<13|uint16(at/8))
			s.send(f, src, dst)
			continue
		}
		f, l4, ok := s.begin(src, dst, protoFrag, 0, 8+n)
		if !ok {
			return ErrNoRoom
		}
		l4[0], l4[1] = protoUDP, 0
		be.PutUint16(l4[2:], uint16(at)|more)
		be.PutUint32(l4[4:], uint32(id))
		copy(l4[8:], b[at:at+n])
		s.send(f, src, dst)
	}
	s.ipID = id
	return nil
}
