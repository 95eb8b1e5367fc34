package engine

import "math"

// acked takes the acknowledgement in a segment; false when the segment must go no further.
func (s *Stack) acked(ci uint32, c *conn, h *header, size uint32) bool {
	if after(h.ack, c.sndNxt) || before(h.ack, c.sndUna-max(c.maxWnd, 65535)) { // RFC 5961 section 5
		s.challenge(c)
		return false
	}
	if before(h.ack, c.sndUna) {
		return true
	}
	oldWnd := c.sndWnd
	if before(c.sndWl1, h.seq) || c.sndWl1 == h.seq && !before(h.ack, c.sndWl2) {
		c.sndWnd, c.sndWl1, c.sndWl2 = uint32(h.wnd)<<c.sndScale, h.seq, h.ack
		c.maxWnd = max(c.maxWnd, c.sndWnd)
		if c.sndWnd > 0 {
			c.stalled = 0
		}
	}
	if h.flags&flagECE != 0 && c.flags&fEcn != 0 && !before(h.ack, c.cwrSeq) && c.phase == phaseOpen && c.flightHead != 0 {
		s.Count.Ecn++
		s.reduce(c)
		c.cwnd, c.cwrSeq = c.ssthresh, c.sndNxt
		c.flags |= fCwr
	}
	lostBefore := c.lost
	delivered := s.takeSacks(c, h)
	advanced := h.ack - c.sndUna
	if advanced > 0 {
		delivered += s.takeAck(ci, c, h.ack)
		if c.state == Closed || c.state == TimeWait {
			return c.state != Closed
		}
	} else if size == 0 && c.sndWnd == oldWnd && c.flightHead != 0 && c.flags&fSack == 0 {
		delivered += s.duplicate(c)
	}
	if c.flightHead == 0 && advanced == 0 {
		return true
	}
	s.tailVerdict(c, h.ack)
	if c.flags&fSack != 0 {
		s.detect(ci, c)
	}
	partial := c.flags&fSack == 0 && advanced > 0 && c.phase == phaseRecovery && c.flightHead != 0 && before(c.sndUna, c.recover)
	if partial {
		s.partial(c)
	}
	s.congestion(c, delivered, advanced > 0, c.lost > lostBefore)
	if partial { // RFC 6582 3.2: the hole is filled at once, whatever the window.
		c.cwnd = max(c.cwnd, c.inFlight()+uint32(c.mss))
	}
	if (advanced > 0 || delivered > 0) && c.kind != kindReorder || c.retxAt == 0 {
		s.rearm(ci, c)
	}
	return true
}

// takeSacks marks what SACK blocks report, and returns the bytes newly reported.
func (s *Stack) takeSacks(c *conn, h *header) (delivered uint32) {
	if c.flags&fSack == 0 {
		return 0
	}
	for k, b := range h.sack[:h.nsack] {
		if k == 0 && (!after(b[1], h.ack) || h.nsack > 1 && !before(b[0], h.sack[1][0]) && !after(b[1], h.sack[1][1])) {
			if c.reoMult < 16 { // RFC 2883: we have sent something twice in vain; be more patient.
				c.reoMult++
			}
			c.flags &^= fTailAgain
			continue
		}
		if !before(b[0], b[1]) || before(b[0], c.sndUna) || after(b[1], c.sndNxt) {
			continue
		}
		for i := c.flightHead; i != 0; {
			f := s.segs.at(i)
			if !before(f.seq, b[1]) {
				break
			}
			if !f.sack && !before(f.seq, b[0]) && !after(f.seq+f.size, b[1]) {
				s.arrived(c, f)
				f.sack = true
				c.sacked += f.size
				delivered += f.size
			}
			i = f.next
		}
	}
	return delivered
}

// arrived notes the delivery of a segment for RACK (RFC 8985 section 6.2) and for the RTT.
func (s *Stack) arrived(c *conn, f *flight) {
	if f.lost {
		f.lost = false
		c.lost -= f.size
	}
	end := f.seq + f.size
	rtt := uint32((s.now - f.sent) / 1000)
	if f.tries == 0 {
		if before(end, c.fack) {
			c.flags |= fReordered
		}
		c.minRTT = min(c.minRTT, rtt)
	} else if rtt < c.minRTT {
		return // It is the first copy that arrived, probably.
	}
	if after(end, c.fack) {
		c.fack = end
	}
	if f.sent > c.rackSent || f.sent == c.rackSent && after(end, c.rackEnd) {
		c.rackSent, c.rackEnd, c.rackRTT = f.sent, end, rtt
	}
}

// takeAck removes what is acknowledged, and returns the bytes newly delivered.
func (s *Stack) takeAck(ci uint32, c *conn, ack uint32) (delivered uint32) {
	sample := int64(-1)
	for c.flightHead != 0 {
		i := c.flightHead
		f := s.segs.at(i)
		if after(f.seq+f.size, ack) {
			if cut := ack - f.seq; after(ack, f.seq) { // In the middle of a segment.
				if f.sack {
					c.sacked -= cut
				} else if delivered += cut; f.lost {
					c.lost -= cut
				}
				f.seq += cut
				f.size -= cut
			}
			break
		}
		if f.sack {
			c.sacked -= f.size
		} else {
			s.arrived(c, f)
			delivered += f.size
			if f.tries == 0 {
				sample = s.now - f.sent
			}
		}
		if f.tries > 0 {
			c.resent--
		}
		if c.flightHead = f.next; f.next == 0 {
			c.flightTail = 0
		}
		s.segs.release(i)
	}
	if sample >= 0 {
		s.rttSample(c, uint32(min(sample/1000, math.MaxUint32)))
	}
	bytes := ack - c.sndUna
	ours := c.flags&fFinSent != 0 && ack == c.sndNxt
	if ours && bytes > c.sndq.size {
		bytes = c.sndq.size
	}
	c.sndUna = ack
	s.drop(&c.sndq, bytes)
	if c.cursor != 0 && !before(ack, c.cursorSeq) { // Its block is the first now, or gone.
		c.cursor, c.cursorSeq = c.sndq.head, ack
	}
	c.retries, c.backoff, c.dupAcks, c.stalled = 0, 0, 0, 0
	if ours {
		s.ourFinAcked(ci, c)
		return delivered
	}
	if c.flags&fBlocked != 0 && c.sndq.size <= s.cfg.SendBuffer/2 && c.handler != 0 {
		c.flags &^= fBlocked
		s.handlers[c.handler].Writable(s, s.id(ci))
	}
	return delivered
}

func (s *Stack) ourFinAcked(ci uint32, c *conn) {
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		if c.flags&fShut != 0 {
			s.set(ci, c, &c.idleAt, s.now+s.cfg.FinTimeout)
		}
	case Closing:
		s.enterTimeWait(ci, c)
	case LastAck:
		s.end(ci, c, nil)
	}
}

// rttSample is RFC 6298 section 2.
func (s *Stack) rttSample(c *conn, rtt uint32) {
	rtt = max(rtt, 1)
	c.minRTT = min(c.minRTT, rtt)
	if c.srtt == 0 {
		c.srtt, c.rttvar = rtt, rtt/2
	} else {
		d := max(c.srtt, rtt) - min(c.srtt, rtt)
		c.rttvar += d/4 - c.rttvar/4
		c.srtt = uint32((7*uint64(c.srtt) + uint64(rtt)) / 8)
	}
	c.rto = max(min(c.srtt+max(4*c.rttvar, 1000), 60_000_000), uint32(s.cfg.MinRTO/1000))
}

// duplicate takes an acknowledgement that repeats the last, without SACK (RFC 5681 3.2): one segment has left the network.
func (s *Stack) duplicate(c *conn) (delivered uint32) {
	c.dupAcks = uint8(min(int(c.dupAcks)+1, 255))
	for i := s.segs.at(c.flightHead).next; i != 0; {
		f := s.segs.at(i)
		if !f.sack && !f.lost {
			f.sack = true
			c.sacked += f.size
			delivered = f.size
			break
		}
		i = f.next
	}
	if head := s.segs.at(c.flightHead); c.dupAcks == 3 && c.phase == phaseOpen && !head.lost && !before(c.sndUna, c.recover) {
		s.markLost(c, head)
	}
	return delivered
}

// partial takes an acknowledgement in recovery that leaves a hole (RFC 6582): its first segment is lost, too.
func (s *Stack) partial(c *conn) {
	for i := c.flightHead; i != 0; {
		f := s.segs.at(i)
		if f.sack {
			f.sack = false
			c.sacked -= f.size
		}
		i = f.next
	}
	if f := s.segs.at(c.flightHead); !f.lost {
		s.markLost(c, f)
	}
}

func (s *Stack) markLost(c *conn, f *flight) {
	f.lost = true
	c.lost += f.size
}

// detect marks as lost what was sent long enough before something that has arrived (RFC 8985 section 6.2 step 5).
func (s *Stack) detect(ci uint32, c *conn) {
	if c.sacked == 0 && c.resent == 0 || c.flightHead == 0 {
		return
	}
	reorder := int64(min(uint64(c.reoMult)*uint64(c.minRTT)/4, uint64(c.srtt))) * 1000
	if c.flags&fReordered == 0 && (c.phase != phaseOpen || c.sacked >= 3*uint32(c.mss)) {
		reorder = 0
	}
	wait := int64(0)
	for i := c.flightHead; i != 0; {
		f := s.segs.at(i)
		i = f.next
		if f.sack || f.lost {
			continue
		}
		if f.sent > c.rackSent || f.sent == c.rackSent && !before(f.seq+f.size, c.rackEnd) {
			if c.resent == 0 {
				break
			}
			continue
		}
		if left := f.sent + int64(c.rackRTT)*1000 + reorder - s.now; left <= 0 {
			s.markLost(c, f)
		} else {
			wait = max(wait, left)
		}
	}
	if wait > 0 {
		c.kind = kindReorder
		s.set(ci, c, &c.retxAt, s.now+wait)
	} else if c.kind == kindReorder {
		c.kind, c.retxAt = 0, 0
	}
}

// tailVerdict ends a tail loss probe's episode (RFC 8985 section 7.4).
func (s *Stack) tailVerdict(c *conn, ack uint32) {
	if c.flags&fTail == 0 || before(ack, c.recover) {
		return
	}
	if c.flags&fTailAgain != 0 && c.phase == phaseOpen {
		s.reduce(c) // The probe repaired a loss.
		c.cwnd = c.ssthresh
	}
	c.flags &^= fTail | fTailAgain
}

// reduce sets the threshold after congestion (RFC 9438 4.6, 4.7; RFC 5681).
func (s *Stack) reduce(c *conn) {
	c.epoch = 0
	if s.cfg.NewReno {
		c.ssthresh = max((c.sndNxt-c.sndUna)/2, 2*uint32(c.mss))
		return
	}
	if c.wMax = max(c.wMax, c.cwnd); c.cwnd < c.wMax {
		c.wMax = uint32(uint64(c.cwnd) * 17 / 20)
	}
	c.ssthresh = max(uint32(uint64(c.cwnd)*7/10), 2*uint32(c.mss))
}

// congestion moves the window after an acknowledgement.
func (s *Stack) congestion(c *conn, delivered uint32, advanced, loss bool) {
	if c.phase != phaseOpen && !before(c.sndUna, c.recover) {
		if c.phase == phaseRecovery {
			c.cwnd = c.ssthresh
		}
		c.phase = phaseOpen
	}
	if c.lost > 0 && c.phase == phaseOpen {
		s.Count.Recoveries++
		c.prrFlight = max(c.sndNxt-c.sndUna, 1)
		s.reduce(c)
		c.phase, c.recover, c.prrDelivered, c.prrOut = phaseRecovery, c.sndNxt, 0, 0
		c.flags &^= fTail | fTailAgain
		if c.flags&fEcn != 0 {
			c.flags |= fCwr
			c.cwrSeq = c.sndNxt
		}
	}
	switch {
	case c.phase == phaseRecovery:
		s.proportional(c, delivered, advanced && !loss)
	case delivered > 0 && (c.flags&fCwndLimited != 0 || c.phase == phaseLoss):
		c.flags &^= fCwndLimited
		s.grow(c, delivered)
	}
}

// proportional is PRR (RFC 9937): what leaves in recovery follows what arrives.
func (s *Stack) proportional(c *conn, delivered uint32, good bool) {
	c.prrDelivered += delivered
	pipe := c.inFlight()
	var quota int64
	if pipe > c.ssthresh {
		quota = int64((uint64(c.prrDelivered)*uint64(c.ssthresh)+uint64(c.prrFlight)-1)/uint64(c.prrFlight)) - int64(c.prrOut)
	} else {
		quota = max(int64(c.prrDelivered)-int64(c.prrOut), int64(delivered))
		if good {
			quota += int64(c.mss)
		}
		quota = min(quota, int64(c.ssthresh-pipe))
	}
	if c.prrOut == 0 {
		quota = max(quota, int64(c.mss))
	}
	c.cwnd = pipe + uint32(max(quota, 0))
}

// grow is slow start, and CUBIC (RFC 9438 section 4) or NewReno after it.
func (s *Stack) grow(c *conn, n uint32) {
	const limit = 1 << 28
	mss := float64(c.mss)
	if c.cwnd < c.ssthresh {
		c.cwnd = min(c.cwnd+n, limit)
		return
	}
	if s.cfg.NewReno {
		c.cwnd = min(c.cwnd+max(1, uint32(uint64(c.mss)*uint64(n)/uint64(c.cwnd))), limit)
		return
	}
	cwnd := float64(c.cwnd)
	if c.epoch == 0 {
		c.epoch, c.wEst, c.wK = s.now, float32(cwnd), 0
		if c.cwnd < c.wMax {
			c.wK = float32(math.Cbrt(float64(c.wMax-c.cwnd) / mss / 0.4))
		} else {
			c.wMax = c.cwnd
		}
	}
	at := func(t float64) float64 {
		d := t - float64(c.wK)
		return 0.4*d*d*d*mss + float64(c.wMax)
	}
	t := float64(s.now-c.epoch) / 1e9
	c.wEst += float32(0.529 * float64(n) * mss / cwnd)
	if at(t) < float64(c.wEst) {
		cwnd = max(cwnd, float64(c.wEst))
	} else {
		target := min(max(at(t+float64(c.srtt)/1e6), cwnd), 1.5*cwnd)
		cwnd += (target - cwnd) / cwnd * float64(n)
	}
	c.cwnd = uint32(min(cwnd, limit))
}

// retransmitTimer runs the timer of rearm.
func (s *Stack) retransmitTimer(ci uint32, c *conn) {
	kind := c.kind
	c.kind = 0
	switch kind {
	case kindSyn:
		if c.retries++; c.retries > s.cfg.SynRetries {
			s.end(ci, c, ErrTimeout)
			return
		}
		c.backoff++
		s.Count.Retransmits++
		s.sendSyn(ci, c)
	case kindTail:
		s.tailProbe(ci, c)
	case kindReorder:
		s.detect(ci, c)
		s.congestion(c, 0, false, true)
	case kindPersist:
		s.persist(ci, c)
	case kindRTO:
		s.timeout(ci, c)
	case kindMemory:
		if c.flags&fBlocked != 0 && c.handler != 0 {
			c.flags &^= fBlocked
			s.handlers[c.handler].Writable(s, s.id(ci))
		}
	}
}

// tailProbe sends new data, or the last segment again, so that an acknowledgement tells what was lost.
func (s *Stack) tailProbe(ci uint32, c *conn) {
	s.Count.TailProbes++
	c.flags |= fTail
	c.recover = c.sndNxt
	queued := c.sndq.size - min(c.sndq.size, c.sndNxt-c.sndUna)
	n := min(queued, uint32(c.mss))
	if c.flags&fFinSent == 0 && n > 0 && int32(c.sndUna+c.sndWnd-c.sndNxt) >= int32(n) {
		s.sendNew(ci, c, n, false)
		c.recover = c.sndNxt
	} else if f := s.segs.at(c.flightTail); !f.sack {
		c.flags |= fTailAgain
		s.resend(c, c.flightTail, f)
	}
	c.kind = kindRTO
	s.set(ci, c, &c.retxAt, s.now+s.rtoNow(c))
}

// persist probes a window that is shut (RFC 9293 3.8.6.1), or sends what fits when it is nearly so.
func (s *Stack) persist(ci uint32, c *conn) {
	if c.stalled != 0 && s.now/1_000_000_000-int64(c.stalled) > s.cfg.ZeroWindow/1_000_000_000 {
		s.Count.ZeroWindowAborts++
		s.emit(c, c.sndNxt, flagRST|flagACK, 0, 0, 0)
		s.end(ci, c, ErrTimeout)
		return
	}
	if room := int32(c.sndUna + c.sndWnd - c.sndNxt); room > 0 && c.flags&fFinSent == 0 {
		n := min(uint32(room), uint32(c.mss), c.sndq.size)
		s.sendNew(ci, c, n, c.flags&fFin != 0 && n == c.sndq.size)
		return
	}
	c.backoff = min(c.backoff+1, 16)
	s.emit(c, c.sndUna-1, flagACK, 0, 0, 0)
}

// timeout is RFC 6298 section 5.4 to 5.6: all in flight counts as lost.
func (s *Stack) timeout(ci uint32, c *conn) {
	if c.stalled != 0 && c.sndWnd == 0 {
		c.kind = kindPersist
		s.persist(ci, c)
		if c.state != Closed {
			c.kind = kindRTO
			s.set(ci, c, &c.retxAt, s.now+s.rtoNow(c))
		}
		return
	}
	if c.retries++; c.retries > s.cfg.Retries {
		s.end(ci, c, ErrTimeout)
		return
	}
	s.Count.Timeouts++
	if c.retries == 4 && c.mss > 536 { // Perhaps the path swallows long packets and says nothing (RFC 4821).
		c.mss = 536
	}
	if c.phase != phaseLoss {
		s.reduce(c)
	}
	renege := s.segs.at(c.flightHead).sack || c.flags&fSack == 0
	for i := c.flightHead; i != 0; {
		f := s.segs.at(i)
		if f.sack && renege {
			f.sack = false
			c.sacked -= f.size
		}
		if !f.sack && !f.lost {
			s.markLost(c, f)
		}
		i = f.next
	}
	c.phase, c.recover, c.cwnd = phaseLoss, c.sndNxt, uint32(c.mss)
	c.flags &^= fTail | fTailAgain
	c.backoff = min(c.backoff+1, 16)
	c.kind = kindRTO
	s.set(ci, c, &c.retxAt, s.now+s.rtoNow(c))
}
