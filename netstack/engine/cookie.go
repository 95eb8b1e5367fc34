package engine

import "math/bits"

// siphash is SipHash-2-4 of two words (Aumasson and Bernstein, 2012): a keyed hash that outsiders cannot guess.
func siphash(k0, k1, m0, m1 uint64) uint64 {
	v0, v1, v2, v3 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d, k0^0x6c7967656e657261, k1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	for _, m := range [3]uint64{m0, m1, 16 << 56} {
		v3 ^= m
		round()
		round()
		v0 ^= m
	}
	v2 ^= 0xff
	round()
	round()
	round()
	round()
	return v0 ^ v1 ^ v2 ^ v3
}

// sip is the keyed hash of a connection's four numbers for a purpose.
func (s *Stack) sip(c *conn, purpose uint64) uint64 {
	return s.sipOf(&c.local, &c.remote, c.lport, c.rport, purpose)
}

func (s *Stack) sipOf(local, remote *ip, lport, rport uint16, purpose uint64) uint64 {
	ports := purpose<<32 | uint64(lport)<<16 | uint64(rport)
	if remote.is4() {
		return siphash(s.seed[0], s.seed[1], uint64(be.Uint32(remote[12:]))<<32|uint64(be.Uint32(local[12:])), ports)
	}
	return siphash(siphash(s.seed[0], s.seed[1], remote.hi(), remote.lo()), siphash(s.seed[1], s.seed[0], local.hi(), local.lo()), ports, 0)
}

// isn is the initial sequence number (RFC 6528): a clock of 4 µs plus a secret of the connection.
func (s *Stack) isn(c *conn) uint32 { return uint32(s.now>>12) + uint32(s.sip(c, 1)) }

// A SYN cookie is our sequence number when we keep no state: 24 bits of keyed hash over the connection, the peer's
// sequence number, a slot of 64 s, and a low byte that holds the slot and the class of the peer's MSS. Window scale and
// SACK are remembered in the low 6 bits of our timestamp, as Linux does, when the peer has timestamps.
const cookieSlot = 64_000_000_000

var cookieMSS = [8]uint16{536, 900, 1160, 1220, 1360, 1400, 1440, 1460}

func (s *Stack) cookieHash(local, remote *ip, lport, rport uint16, irs uint32, low uint64) uint32 {
	return uint32(siphash(s.sipOf(local, remote, lport, rport, 3), s.seed[1], uint64(irs), low) & 0xffffff)
}

// sendCookie answers a SYN without keeping anything.
func (s *Stack) sendCookie(p *received, h *header) {
	s.Count.CookiesSent++
	s.cookieAt = max(s.now, 1)
	class := 0
	for class < 7 && cookieMSS[class+1] <= h.mss {
		class++
	}
	slot := uint64(s.now/cookieSlot) & 31
	low := slot<<3 | uint64(class)
	iss := s.cookieHash(&p.dst, &p.src, h.dport, h.sport, h.seq, low)<<8 | uint32(low)
	t := conn{local: p.dst, remote: p.src, lport: h.dport, rport: h.sport, rcvNxt: h.seq + 1, rcvAdv: h.seq + 1 + min(s.cfg.ReceiveBuffer, 65535)}
	t.stamp = h.tsval
	for s.cfg.ReceiveBuffer>>t.rcvScale > 65535 {
		t.rcvScale++
	}
	if h.stamped {
		t.flags |= fStamp
		memory := uint32(15)
		if h.scale >= 0 {
			memory = uint32(h.scale)
			t.sndScale = 1
		}
		if h.sackOK {
			memory |= 16
			t.flags |= fSack
		}
		t.stampOff = memory - s.millis()&63
		if s.millis()&63 < memory {
			t.stampOff -= 64 // Never ahead of what the connection will say next.
		}
	}
	s.emitSyn(&t, iss, flagSYN|flagACK, h.scale >= 0 && h.stamped, h.sackOK && h.stamped)
}

// openCookie makes a connection of an acknowledgement that proves a cookie; 0 when it proves none.
func (s *Stack) openCookie(p *received, h *header, l *listener) (uint32, *conn) {
	if s.cookieAt == 0 || s.now-s.cookieAt > 2*cookieSlot {
		return 0, nil
	}
	iss, irs := h.ack-1, h.seq-1
	low := uint64(iss & 255)
	age := (uint64(s.now/cookieSlot) - low>>3) & 31
	if age > 1 || s.cookieHash(&p.dst, &p.src, h.dport, h.sport, irs, low) != iss>>8 {
		s.Count.CookiesBad++
		return 0, nil
	}
	ci, c := s.newConn(&p.dst, &p.src, h.dport, h.sport, l.handler)
	if ci == 0 {
		return 0, nil
	}
	s.Count.CookiesGood++
	c.flags |= fPassive
	c.irs, c.rcvNxt = irs, irs+1
	c.sndUna, c.sndNxt, c.recover, c.cwrSeq = iss, iss+1, iss, iss
	c.rcvAdv = c.rcvNxt + min(s.cfg.ReceiveBuffer, 65535)
	c.mss = min(cookieMSS[low&7], s.ourMSS(c))
	scaled := false
	if h.stamped {
		c.flags |= fStamp
		c.mss -= 12
		c.stamp, c.stampAge = h.tsval, s.now
		memory := h.tsecr & 63
		c.stampOff = h.tsecr - s.millis() + 1
		if memory&16 != 0 {
			c.flags |= fSack
		}
		if memory&15 != 15 {
			c.sndScale, scaled = uint8(memory&15), true
		}
	}
	if !scaled {
		c.rcvScale = 0
	}
	c.state = SynReceived
	c.sndWnd = uint32(h.wnd) << c.sndScale
	return ci, c
}
