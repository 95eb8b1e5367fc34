package engine

import "math"

func (s *Stack) millis() uint32 { return uint32(s.now / 1_000_000) }

// set sets a deadline of a connection.
func (s *Stack) set(ci uint32, c *conn, what *int64, t int64) {
	*what = t
	s.wheel.arm(s, ci, c, t)
}

// ourMSS is the largest payload without options that fits the path.
func (s *Stack) ourMSS(c *conn) uint16 {
	n := s.mtuTo(&c.remote) - 60
	if c.remote.is4() {
		n += 20
	}
	return uint16(n)
}

// newMTU makes a connection fit a path that has become narrower: what is in flight and too long is sent again, shorter
// (RFC 1191 6.1: not a sign of congestion).
func (s *Stack) newMTU(ci uint32, c *conn) {
	mss := s.ourMSS(c)
	if c.flags&fStamp != 0 {
		mss -= 12
	}
	if mss >= c.mss {
		return
	}
	c.mss = mss
	if c.state < Established {
		return
	}
	for i := c.flightHead; i != 0; {
		f := s.segs.at(i)
		if f.size > uint32(mss) && !f.sack && !f.lost {
			s.markLost(c, f)
		}
		i = f.next
	}
	s.output(ci, c)
}

// sendSyn sends our SYN, or SYN and ACK, and starts its timer.
func (s *Stack) sendSyn(ci uint32, c *conn) {
	flags := uint8(flagSYN)
	if c.state == SynReceived {
		flags |= flagACK
		if c.flags&fEcn != 0 {
			flags |= flagECE
		}
	} else if c.flags&fEcn != 0 && c.retries == 0 {
		flags |= flagECE | flagCWR
	}
	passive := c.state == SynReceived
	s.emitSyn(c, c.sndUna, flags, !passive || c.sndScale > 0 || c.rcvScale > 0, !passive || c.flags&fSack != 0)
	if c.retries == 0 {
		c.rackSent = s.now
	}
	c.kind = kindSyn
	s.set(ci, c, &c.retxAt, s.now+int64(c.rto)*1000<<c.backoff)
}

// emitSyn builds a SYN with its options.
func (s *Stack) emitSyn(c *conn, seq uint32, flags uint8, scale, sack bool) {
	var o [24]byte
	n := 4
	be.PutUint32(o[:], 0x02040000|uint32(s.ourMSS(c)))
	if c.state == SynSent || c.flags&fStamp != 0 {
		be.PutUint32(o[n:], 0x0101080a)
		if sack {
			be.PutUint16(o[n:], 0x0402)
		}
		be.PutUint32(o[n+4:], s.millis()+c.stampOff)
		be.PutUint32(o[n+8:], c.stamp)
		n += 12
	} else if sack {
		be.PutUint32(o[n:], 0x01010402)
		n += 4
	}
	if scale {
		be.PutUint32(o[n:], 0x01030300|uint32(c.rcvScale))
		n += 4
	}
	f, b, ok := s.begin(&c.local, &c.remote, protoTCP, 0, 20+n)
	if !ok {
		return
	}
	copy(b[20:], o[:n])
	wnd := c.rcvAdv - c.rcvNxt
	if c.state == SynSent {
		wnd = c.rcvAdv
	}
	ack := uint32(0)
	if flags&flagACK != 0 {
		ack = c.rcvNxt
	}
	s.finish(c, b, seq, ack, flags, uint16(min(wnd, 65535)))
	s.send(f, &c.local, &c.remote)
}

// finish writes the fixed part of the header and the checksum.
func (s *Stack) finish(c *conn, b []byte, seq, ack uint32, flags uint8, wnd uint16) {
	s.Count.SegmentsOut++
	opts := len(b)
	if flags&flagSYN == 0 {
		opts = int(b[12]) // emit has left the header's length there.
	}
	be.PutUint64(b, uint64(c.lport)<<48|uint64(c.rport)<<32|uint64(seq))
	be.PutUint64(b[8:], uint64(ack)<<32|uint64(opts/4)<<28|uint64(flags)<<16|uint64(wnd))
	be.PutUint32(b[16:], 0)
	if !s.cfg.TxChecksum {
		be.PutUint16(b[16:], pseudo(&c.local, &c.remote, protoTCP, len(b)).Add(b).Checksum())
	}
}

// emit sends a segment: n bytes that begin at an offset from a block of the send queue.
func (s *Stack) emit(c *conn, seq uint32, flags uint8, n, block, offset uint32) bool {
	hl := 20
	if c.flags&fStamp != 0 {
		hl += 12
	}
	sacks := 0
	if c.nstrays > 0 && c.flags&fSack != 0 && flags&(flagRST|flagACK) == flagACK && n+36 <= uint32(c.mss) {
		sacks = min(int(c.nstrays), 3)
		hl += 4 + 8*sacks
	}
	tos := uint8(0)
	if n > 0 && c.flags&fEcn != 0 {
		tos = 2
	}
	f, b, ok := s.begin(&c.local, &c.remote, protoTCP, tos, hl+int(n))
	if !ok {
		return false
	}
	o := b[20:]
	if c.flags&fStamp != 0 {
		be.PutUint32(o, 0x0101080a)
		be.PutUint32(o[4:], s.millis()+c.stampOff)
		be.PutUint32(o[8:], c.stamp)
		o = o[12:]
	}
	if sacks > 0 {
		s.putSacks(c, o, sacks)
	}
	if n > 0 {
		s.peek(block, offset, b[hl:])
		s.Count.BytesOut += uint64(n)
	}
	ack, wnd := uint32(0), uint32(0)
	if flags&flagACK != 0 {
		ack = c.rcvNxt
		if c.state != Closed && flags&flagRST == 0 {
			c.rcvAdv = c.rcvNxt + s.window(c)
			wnd = min((c.rcvAdv-c.rcvNxt)>>c.rcvScale, 65535)
			c.pending, c.ackAt = 0, 0
			c.flags &^= fAckNow
			if c.flags&fEce != 0 {
				flags |= flagECE
			}
		}
	}
	b[12] = uint8(hl)
	s.finish(c, b, seq, ack, flags, uint16(wnd))
	s.send(f, &c.local, &c.remote)
	return true
}

// putSacks writes SACK blocks: the newest is not known, so the lowest, and the highest as the last (RFC 2018 section 4 wants
// the newest first; a sender learns the same from the lowest holes, which it must fill first).
func (s *Stack) putSacks(c *conn, o []byte, n int) {
	be.PutUint32(o, 0x01010500|uint32(2+8*n))
	o = o[4:]
	skip := int(c.nstrays) - n
	i := c.strays
	for k := range n {
		if k == n-1 {
			for range skip {
				i = s.strays.at(i).next
			}
		}
		st := s.strays.at(i)
		be.PutUint32(o[8*k:], st.seq)
		end := st.seq + st.size
		if st.fin {
			end++
		}
		be.PutUint32(o[8*k+4:], end)
		i = st.next
	}
}

// window is what we would promise now: the free buffer, never less than promised before, and not a little more (RFC 9293
// 3.8.6.2.2); what is kept out of order has been promised already.
func (s *Stack) window(c *conn) uint32 {
	old := c.rcvAdv - c.rcvNxt
	if after(c.rcvNxt, c.rcvAdv) {
		old = 0
	}
	free := uint32(0)
	if c.rcvq.size < s.cfg.ReceiveBuffer && s.room() {
		free = s.cfg.ReceiveBuffer - c.rcvq.size
	}
	if c.flags&fShut != 0 && s.room() {
		free = s.cfg.ReceiveBuffer
	}
	if s.pressed() {
		free = min(free, fairShare-min(fairShare, c.rcvq.size))
	}
	free = min(free&^(1<<c.rcvScale-1), 65535<<c.rcvScale)
	if free < old+min(uint32(c.mss), s.cfg.ReceiveBuffer/2) {
		return old
	}
	return free
}

// acknowledge sends an acknowledgement without data.
func (s *Stack) acknowledge(_ uint32, c *conn) { s.emit(c, c.sndNxt, flagACK, 0, 0, 0) }

// inFlight is the pipe of RFC 6675: bytes sent, less those known to have arrived or to be lost.
func (c *conn) inFlight() uint32 { return c.sndNxt - c.sndUna - c.sacked - c.lost }

// output sends what may be sent, and what must be.
func (s *Stack) output(ci uint32, c *conn) {
	if c.state >= Established && c.state < TimeWait {
		sent := false
		for s.sendOne(ci, c) {
			sent = true
		}
		if sent && c.kind != kindRTO && c.kind != kindReorder || c.retxAt == 0 {
			s.rearm(ci, c)
		}
	}
	switch {
	case c.state < Established:
	case c.flags&fAckNow != 0 || int(c.pending) >= 2*int(c.mss):
		s.acknowledge(ci, c)
	case c.pending > 0 && c.ackAt == 0:
		s.set(ci, c, &c.ackAt, s.now+s.cfg.DelayedAck)
	}
}

// sendOne sends one segment, and says whether it did.
func (s *Stack) sendOne(ci uint32, c *conn) bool {
	pipe := c.inFlight()
	if c.lost > 0 {
		if pipe > 0 && pipe+uint32(c.mss) > c.cwnd {
			return false
		}
		for i := c.flightHead; i != 0; {
			f := s.segs.at(i)
			if f.lost {
				return s.resend(c, i, f)
			}
			i = f.next
		}
	}
	if c.flags&fFinSent != 0 {
		return false
	}
	queued := c.sndq.size - (c.sndNxt - c.sndUna)
	n := min(queued, uint32(c.mss))
	room := int32(c.sndUna + c.sndWnd - c.sndNxt)
	if n > 0 && room < int32(n) {
		if room <= 0 || uint32(room) < c.maxWnd/2 || uint32(room) < uint32(c.mss) && c.flightHead != 0 {
			return false
		}
		n = uint32(room)
	}
	fin := c.flags&fFin != 0 && n == queued
	if n == 0 && !fin {
		return false
	}
	if n < uint32(c.mss) && c.flags&fNagle != 0 && c.flightHead != 0 && !fin {
		return false
	}
	if pipe > 0 && pipe+n > c.cwnd+s.limited(c) {
		c.flags |= fCwndLimited
		return false
	}
	return s.sendNew(ci, c, n, fin)
}

// limited is the two segments that two duplicates of an acknowledgement may bring (RFC 3042); with SACK the pipe shrinks
// by itself.
func (s *Stack) limited(c *conn) uint32 {
	if c.phase == phaseOpen && c.flags&fSack == 0 {
		return uint32(min(c.dupAcks, 2)) * uint32(c.mss)
	}
	return 0
}

// sendNew sends n bytes of the queue that were never sent, and a FIN.
func (s *Stack) sendNew(ci uint32, c *conn, n uint32, fin bool) bool {
	if c.flightHead == 0 && c.srtt > 0 && s.now-c.rackSent > int64(c.rto)*1000 && c.phase == phaseOpen {
		c.cwnd = min(c.cwnd, 10*uint32(c.mss)) // RFC 5681 4.1: after silence begin anew.
	}
	flags := uint8(flagACK)
	if n > 0 && c.sndNxt-c.sndUna+n == c.sndq.size {
		flags |= flagPSH
	}
	if fin {
		flags |= flagFIN
	}
	if n > 0 && c.flags&fCwr != 0 {
		flags |= flagCWR
	}
	if c.cursor == 0 {
		c.cursor, c.cursorSeq = c.sndq.head, c.sndUna
	}
	s.advance(c)
	if !s.emit(c, c.sndNxt, flags, n, c.cursor, c.sndNxt-c.cursorSeq) {
		return false
	}
	if n > 0 {
		c.flags &^= fCwr
	}
	i := s.segs.alloc()
	f := s.segs.at(i)
	*f = flight{sent: s.now, seq: c.sndNxt, size: n}
	if fin {
		f.size++
		c.flags |= fFinSent
	}
	if c.flightHead == 0 {
		c.flightHead = i
	} else {
		s.segs.at(c.flightTail).next = i
	}
	c.flightTail = i
	c.sndNxt += f.size
	if c.phase == phaseRecovery {
		c.prrOut += f.size
	}
	return true
}

// advance moves the cursor to the block that sndNxt lies in.
func (s *Stack) advance(c *conn) {
	for c.cursor != 0 {
		b := s.blocks.at(c.cursor)
		n := uint32(b.end - b.start)
		if b.next == 0 || c.sndNxt-c.cursorSeq < n {
			return
		}
		c.cursor, c.cursorSeq = b.next, c.cursorSeq+n
	}
}

// resend sends a segment in flight again; one that is longer than the path now carries is split.
func (s *Stack) resend(c *conn, i uint32, f *flight) bool {
	data := f.size
	fin := c.flags&fFinSent != 0 && i == c.flightTail
	if fin {
		data--
	}
	if data > uint32(c.mss) {
		j := s.segs.alloc()
		g := s.segs.at(j)
		*g = *f
		g.seq += uint32(c.mss)
		g.size -= uint32(c.mss)
		f.size, f.next = uint32(c.mss), j
		if f.tries > 0 {
			c.resent++
		}
		if c.flightTail == i {
			c.flightTail = j
		}
		data, fin = f.size, false
	}
	// A peer that shrank its window below what we sent gets no more than it takes (RFC 9293 3.8.6).
	if c.sndWnd == 0 && i == c.flightHead && c.stalled != 0 {
		return false
	}
	flags := uint8(flagACK)
	if fin {
		flags |= flagFIN
	}
	if data > 0 && f.seq+data == c.sndUna+c.sndq.size {
		flags |= flagPSH
	}
	if !s.emit(c, f.seq, flags, data, c.sndq.head, f.seq-c.sndUna) {
		return false
	}
	s.Count.Retransmits++
	if f.lost {
		f.lost = false
		c.lost -= f.size
	}
	if f.tries == 0 {
		c.resent++
	}
	f.tries = uint8(min(int(f.tries)+1, 255))
	f.sent = s.now
	if c.phase == phaseRecovery {
		c.prrOut += f.size
	}
	return true
}

// rearm starts the timer that fits: of a tail loss probe (RFC 8985 section 7), of retransmission (RFC 6298), or of persistence.
func (s *Stack) rearm(ci uint32, c *conn) {
	if c.flightHead == 0 {
		c.retxAt, c.kind = 0, 0
		if c.sndq.size > 0 && c.state >= Established {
			if c.stalled == 0 {
				c.stalled = max(1, uint32(s.now/1_000_000_000))
			}
			c.kind = kindPersist
			s.set(ci, c, &c.retxAt, s.now+s.rtoNow(c))
		}
		return
	}
	if c.lost == c.sndNxt-c.sndUna-c.sacked && c.lost > 0 && c.stalled == 0 && c.sndWnd == 0 {
		c.stalled = max(1, uint32(s.now/1_000_000_000))
	}
	rto := s.rtoNow(c)
	if c.phase == phaseOpen && c.flags&(fSack|fTail) == fSack && c.srtt > 0 && c.backoff == 0 {
		pto := 2 * int64(c.srtt) * 1000
		if c.flightHead == c.flightTail {
			pto += 200_000_000 // The peer may be waiting to acknowledge.
		}
		if pto = max(pto, 2_000_000); pto < rto {
			c.kind = kindTail
			s.set(ci, c, &c.retxAt, s.now+pto)
			return
		}
	}
	c.kind = kindRTO
	s.set(ci, c, &c.retxAt, s.now+rto)
}

func (s *Stack) rtoNow(c *conn) int64 {
	return min(max(int64(c.rto)*1000, s.cfg.MinRTO)<<min(c.backoff, 16), 120_000_000_000)
}

// timers runs what is due on a connection.
func (s *Stack) timers(ci uint32, c *conn) {
	s.current = ci
	if c.ackAt != 0 && s.now >= c.ackAt {
		c.flags |= fAckNow
		c.ackAt = 0
	}
	if c.retxAt != 0 && s.now >= c.retxAt {
		c.retxAt = 0
		s.retransmitTimer(ci, c)
	}
	if c.state != Closed && c.idleAt != 0 && s.now >= c.idleAt {
		c.idleAt = 0
		s.idleTimer(ci, c)
	}
	s.leave(ci, c)
	if c.state == Closed {
		return
	}
	next := int64(math.MaxInt64)
	for _, t := range [3]int64{c.retxAt, c.ackAt, c.idleAt} {
		if t != 0 {
			next = min(next, t)
		}
	}
	if next != math.MaxInt64 {
		s.wheel.arm(s, ci, c, next)
	}
}

func (s *Stack) idleTimer(ci uint32, c *conn) {
	switch {
	case c.state == TimeWait || c.state == FinWait2 && c.flags&fShut != 0:
		s.end(ci, c, nil)
	case c.state != Established && c.state != CloseWait:
	case c.keepIdle == 0:
	case s.now-c.lastRecv < int64(c.keepIdle)*1_000_000_000 && c.keepers == 0:
		s.set(ci, c, &c.idleAt, c.lastRecv+int64(c.keepIdle)*1_000_000_000)
	case c.keepers >= s.cfg.KeepProbes:
		s.end(ci, c, ErrTimeout)
	default:
		c.keepers++
		s.Count.KeepSent++
		s.emit(c, c.sndUna-1, flagACK, 0, 0, 0)
		s.set(ci, c, &c.idleAt, s.now+s.cfg.KeepEvery)
	}
}
