package engine

import "github.com/hauberk/hauberk/packet"

const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
	flagURG
	flagECE
	flagCWR
)

// header is a parsed TCP header with the options we know.
type header struct {
	sport, dport uint16
	seq, ack     uint32
	flags        uint8
	wnd          uint16
	mss          uint16 // 536 when not said (RFC 9293 3.7.1).
	scale        int8   // -1: not said.
	sackOK       bool
	stamped      bool
	tsval, tsecr uint32
	nsack        int
	sack         [4][2]uint32
	data         []byte
}

// parseTCP reads a segment; false when its lengths lie.
func parseTCP(b []byte, h *header) bool {
	if !packet.TCP(b).Valid() {
		return false
	}
	hl := packet.TCP(b).HeaderLen()
	h.sport, h.dport = be.Uint16(b), be.Uint16(b[2:])
	h.seq, h.ack = be.Uint32(b[4:]), be.Uint32(b[8:])
	h.flags, h.wnd = b[13], be.Uint16(b[14:])
	h.mss, h.scale, h.data = 536, -1, b[hl:]
	o := b[20:hl]
	if len(o) == 12 && be.Uint32(o) == 0x0101080a { // What nearly every segment has.
		h.stamped, h.tsval, h.tsecr = true, be.Uint32(o[4:]), be.Uint32(o[8:])
		return true
	}
	for len(o) > 0 {
		switch {
		case o[0] == 0:
			return true
		case o[0] == 1:
			o = o[1:]
			continue
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return true // The rest cannot be read; the segment is good without (as Linux and the BSDs do).
		}
		switch v := o[2:o[1]]; {
		case o[0] == 2 && len(v) == 2:
			h.mss = be.Uint16(v)
		case o[0] == 3 && len(v) == 1:
			h.scale = int8(min(v[0], 14))
		case o[0] == 4 && len(v) == 0:
			h.sackOK = true
		case o[0] == 5 && len(v)%8 == 0:
			for ; len(v) > 0 && h.nsack < 4; v = v[8:] {
				h.sack[h.nsack] = [2]uint32{be.Uint32(v), be.Uint32(v[4:])}
				h.nsack++
			}
		case o[0] == 8 && len(v) == 8:
			h.stamped, h.tsval, h.tsecr = true, be.Uint32(v), be.Uint32(v[4:])
		}
		o = o[o[1]:]
	}
	return true
}

// inputTCP takes a segment.
func (s *Stack) inputTCP(p *received) {
	var h header
	if !parseTCP(p.l4, &h) || h.sport == 0 || h.dport == 0 {
		s.Count.DropHeader++
		return
	}
	if !p.verified && pseudo(&p.src, &p.dst, protoTCP, len(p.l4)).Add(p.l4).Checksum() != 0 {
		s.Count.DropChecksum++
		return
	}
	s.Count.SegmentsIn++
	ci := s.lookup(&p.dst, &p.src, h.dport, h.sport)
	if ci != 0 {
		c := s.conns.at(ci)
		if c.state == TimeWait && h.flags&(flagSYN|flagACK|flagRST) == flagSYN && s.mayReuse(c, &h) {
			s.Count.TimeWaitReused++
			s.end(ci, c, nil)
			ci = 0
		}
	}
	if ci == 0 {
		s.inputNew(p, &h)
		return
	}
	c := s.conns.at(ci)
	s.current = ci
	s.segment(ci, c, p, &h)
	s.leave(ci, c)
}

// mayReuse says whether a SYN may take the place of a connection in TIME_WAIT (RFC 6191).
func (s *Stack) mayReuse(c *conn, h *header) bool {
	if c.flags&fStamp != 0 && h.stamped && h.tsval != c.stamp {
		return after(h.tsval, c.stamp)
	}
	return after(h.seq, c.rcvNxt)
}

// inputNew takes a segment of no connection.
func (s *Stack) inputNew(p *received, h *header) {
	if h.flags&flagRST != 0 {
		return
	}
	l := s.listenerOf(&p.dst, h.dport)
	if l == nil {
		s.Count.Refused++
		s.refuse(p, h)
		return
	}
	switch h.flags & (flagSYN | flagACK | flagFIN) {
	case flagSYN:
		s.accept(p, h, l)
	case flagACK, flagACK | flagFIN:
		if l.paused {
			return
		}
		ci, c := s.openCookie(p, h, l)
		if ci == 0 {
			s.refuse(p, h)
			return
		}
		s.Count.Accepted++
		s.current = ci
		s.segment(ci, c, p, h)
		s.leave(ci, c)
	default:
		s.refuse(p, h)
	}
}

// accept answers a SYN.
func (s *Stack) accept(p *received, h *header, l *listener) {
	if l.paused || h.mss < 64 {
		s.Count.DropSyn++
		return
	}
	if s.halfOpen >= s.cfg.MaxHalfOpen {
		s.sendCookie(p, h)
		return
	}
	ci, c := s.newConn(&p.dst, &p.src, h.dport, h.sport, l.handler)
	if ci == 0 {
		s.Count.DropSyn++
		return
	}
	s.Count.Accepted++
	s.halfOpen++
	c.flags |= fPassive | fHalf
	c.state = SynReceived
	if s.cfg.ECN && h.flags&(flagECE|flagCWR) == flagECE|flagCWR {
		c.flags |= fEcn
	}
	c.mss = s.ourMSS(c)
	s.agree(c, h)
	c.sndNxt++
	c.rcvAdv = c.rcvNxt + min(s.cfg.ReceiveBuffer, 65535)
	s.sendSyn(ci, c)
}

// agree takes what the peer's SYN says.
func (s *Stack) agree(c *conn, h *header) {
	c.irs, c.rcvNxt = h.seq, h.seq+1
	c.sndWnd, c.sndWl1, c.maxWnd = uint32(h.wnd), h.seq, uint32(h.wnd)
	c.mss = min(c.mss, max(h.mss, 64))
	if h.scale >= 0 {
		c.sndScale = uint8(h.scale)
	} else {
		c.rcvScale = 0
	}
	if h.sackOK {
		c.flags |= fSack
	}
	if h.stamped {
		c.flags |= fStamp
		c.stamp, c.stampAge = h.tsval, s.now
		c.mss -= 12
	}
}

// refuse sends a reset for a segment of no connection (RFC 9293 3.10.7.1).
func (s *Stack) refuse(p *received, h *header) {
	if !s.allow() {
		return
	}
	t := conn{local: p.dst, remote: p.src, lport: h.dport, rport: h.sport}
	if h.flags&flagACK != 0 {
		s.emit(&t, h.ack, flagRST, 0, 0, 0)
		return
	}
	t.rcvNxt = h.seq + uint32(len(h.data))
	if h.flags&flagSYN != 0 {
		t.rcvNxt++
	}
	if h.flags&flagFIN != 0 {
		t.rcvNxt++
	}
	s.emit(&t, 0, flagRST|flagACK, 0, 0, 0)
}

// challenge acknowledges a segment that proves nothing (RFC 5961 section 7: within a limit).
func (s *Stack) challenge(c *conn) {
	if !s.allow() {
		s.Count.ChallengeLimited++
		return
	}
	s.Count.ChallengeAcks++
	c.flags |= fAckNow
}

// synSent is RFC 9293 3.10.7.3.
func (s *Stack) synSent(ci uint32, c *conn, h *header) {
	if h.flags&flagACK != 0 && (!after(h.ack, c.sndUna) || after(h.ack, c.sndNxt)) {
		if h.flags&flagRST == 0 && s.allow() {
			s.emit(c, h.ack, flagRST, 0, 0, 0)
		}
		return
	}
	if h.flags&flagRST != 0 {
		if h.flags&flagACK != 0 {
			s.end(ci, c, ErrRefused)
		}
		return
	}
	if h.flags&flagSYN == 0 {
		return
	}
	if h.flags&flagECE == 0 || h.flags&flagCWR != 0 {
		c.flags &^= fEcn
	}
	s.agree(c, h)
	c.rcvAdv = c.rcvNxt + min(s.cfg.ReceiveBuffer, 65535)
	if h.flags&flagACK == 0 { // Both opened at once.
		c.state = SynReceived
		s.sendSyn(ci, c)
		return
	}
	if c.retries == 0 && h.stamped || c.retries == 0 {
		s.rttSample(c, uint32((s.now-c.rackSent)/1000))
	}
	s.established(ci, c, h)
	if c.state == Closed {
		return
	}
	c.flags |= fAckNow
	h.seq++
	s.receive(ci, c, h, 0)
}

// established ends the handshake; h acknowledges our SYN.
func (s *Stack) established(ci uint32, c *conn, h *header) {
	if c.flags&fHalf != 0 {
		c.flags &^= fHalf
		s.halfOpen--
	}
	c.sndUna = c.sndUna + 1
	c.state, c.retries, c.backoff, c.retxAt, c.kind = Established, 0, 0, 0, 0
	c.fack = c.sndUna
	if h.flags&flagSYN == 0 {
		c.sndWnd = uint32(h.wnd) << c.sndScale
	}
	c.sndWl1, c.sndWl2, c.maxWnd = h.seq, h.ack, c.sndWnd
	c.cwnd = uint32(min(10*int(c.mss), max(2*int(c.mss), 14600))) // RFC 6928
	c.stalled = 0
	s.Count.Opened++
	s.keepAlive(ci, c)
	if c.flags&fFin != 0 {
		c.state = FinWait1
	}
	if c.handler != 0 {
		s.handlers[c.handler].Opened(s, s.id(ci))
	}
}

// segment takes a segment of a connection (RFC 9293 3.10.7.4).
func (s *Stack) segment(ci uint32, c *conn, p *received, h *header) {
	if c.state == SynSent {
		s.synSent(ci, c, h)
		return
	}
	size := uint32(len(h.data))
	if h.flags&flagFIN != 0 {
		size++
	}
	if h.flags&flagSYN != 0 {
		size++
	}
	if c.flags&fStamp != 0 && h.stamped && before(h.tsval, c.stamp) && h.flags&flagRST == 0 &&
		s.now-c.stampAge < 24*24*3600*1_000_000_000 {
		s.Count.DropPaws++
		s.challenge(c)
		return
	}
	if !s.acceptable(c, h.seq, size) {
		switch {
		case c.state == SynReceived && h.flags&flagSYN != 0 && h.seq == c.irs && h.flags&flagACK == 0:
			s.sendSyn(ci, c) // Our answer was lost.
		case h.flags&flagRST == 0:
			s.Count.DropWindow++
			if size > 0 || !before(h.seq, c.rcvNxt) || h.seq == c.rcvNxt-1 {
				s.challenge(c)
			}
			// An acknowledgement in an old segment still counts: a probe of keep-alive carries one.
			if h.flags&(flagACK|flagSYN) == flagACK && c.state >= Established && c.state < TimeWait {
				s.acked(ci, c, h, size)
			}
		}
		return
	}
	if h.flags&flagRST != 0 {
		s.reset(ci, c, h)
		return
	}
	if h.flags&flagSYN != 0 {
		s.challenge(c)
		return
	}
	if h.flags&flagACK == 0 {
		return
	}
	if c.state == TimeWait {
		if h.flags&flagFIN != 0 {
			c.flags |= fAckNow
			s.set(ci, c, &c.idleAt, s.now+s.cfg.TimeWait)
		}
		return
	}
	if c.state == SynReceived {
		if h.ack != c.sndNxt {
			s.emit(c, h.ack, flagRST, 0, 0, 0)
			return
		}
		if c.retries == 0 && c.flags&fHalf != 0 {
			s.rttSample(c, uint32((s.now-c.rackSent)/1000))
		}
		s.established(ci, c, h)
		if c.state == Closed {
			return
		}
	}
	if c.flags&fStamp != 0 && h.stamped && !after(h.seq, c.rcvNxt) && !before(h.tsval, c.stamp) {
		c.stamp, c.stampAge = h.tsval, s.now
	}
	c.lastRecv, c.keepers = s.now, 0
	if !s.acked(ci, c, h, size) {
		return
	}
	s.receive(ci, c, h, p.ecn)
}

// acceptable is the test of RFC 9293 3.10.7.4, first.
func (s *Stack) acceptable(c *conn, seq, size uint32) bool {
	wnd := c.rcvAdv - c.rcvNxt
	if size == 0 {
		return seq == c.rcvNxt || !before(seq, c.rcvNxt) && before(seq, c.rcvAdv)
	}
	end := seq + size - 1
	if wnd == 0 {
		// Nothing fits, but an acknowledgement of a segment that starts where we are counts.
		return seq == c.rcvNxt
	}
	return !before(seq, c.rcvNxt) && before(seq, c.rcvAdv) || !before(end, c.rcvNxt) && before(end, c.rcvAdv)
}

// reset takes an RST inside the window (RFC 5961 section 3).
func (s *Stack) reset(ci uint32, c *conn, h *header) {
	if h.seq != c.rcvNxt {
		s.challenge(c)
		return
	}
	switch {
	case c.state == TimeWait:
		return // RFC 1337: nobody assassinates TIME_WAIT.
	case c.state == SynReceived && c.flags&fPassive == 0:
		s.end(ci, c, ErrRefused)
	case c.state == LastAck || c.state == Closing:
		s.end(ci, c, nil)
	default:
		s.end(ci, c, ErrReset)
	}
}

// receive takes the data and the FIN of an acceptable segment.
func (s *Stack) receive(ci uint32, c *conn, h *header, ecn uint8) {
	if c.flags&fEcn != 0 {
		if h.flags&flagCWR != 0 {
			c.flags &^= fEce
		}
		if ecn == 3 {
			s.Count.Ecn++
			c.flags |= fEce | fAckNow
		}
	}
	data, seq, fin := h.data, h.seq, h.flags&flagFIN != 0
	if len(data) == 0 && !fin {
		return
	}
	if c.flags&fEof != 0 {
		c.flags |= fAckNow
		return
	}
	if before(seq, c.rcvNxt) {
		old := c.rcvNxt - seq
		c.flags |= fAckNow
		if old > uint32(len(data)) {
			return
		}
		data, seq = data[old:], c.rcvNxt
	}
	if room := c.rcvAdv - seq; uint32(len(data)) > room {
		data, fin = data[:room], false
		c.flags |= fAckNow
	}
	if len(data) == 0 && !fin {
		return
	}
	if len(data) > 0 && c.flags&fShut != 0 { // Nobody will read it.
		s.emit(c, c.sndNxt, flagRST|flagACK, 0, 0, 0)
		s.end(ci, c, ErrAborted)
		return
	}
	if seq != c.rcvNxt {
		s.Count.OutOfOrder++
		c.flags |= fAckNow
		s.keepStray(c, seq, data, fin)
		return
	}
	if c.nstrays > 0 {
		c.flags |= fAckNow
	}
	if !s.deliver(ci, c, data) {
		return
	}
	if fin {
		s.peerFin(ci, c)
		return
	}
	s.drainStrays(ci, c)
}

// deliver gives bytes that are next to the application; false when no more may follow now.
func (s *Stack) deliver(ci uint32, c *conn, p []byte) bool {
	if len(p) == 0 {
		return true
	}
	s.Count.BytesIn += uint64(len(p))
	taken := 0
	gen := c.gen
	before := c.rcvNxt
	c.rcvNxt += uint32(len(p))
	c.pending = uint16(min(int(c.pending)+len(p), 65535))
	if c.rcvq.size == 0 && c.handler != 0 {
		taken = s.handlers[c.handler].Data(s, s.id(ci), p)
		if c.gen != gen || c.state == Closed || c.flags&fShut != 0 {
			return c.state != Closed && c.gen == gen
		}
	}
	rest := p[min(taken, len(p)):]
	if n := s.push(&c.rcvq, rest); n < len(rest) {
		s.Count.DropMemory++
		c.rcvNxt = before + uint32(len(p)-len(rest)+n)
		c.flags |= fAckNow
		return false
	}
	return true
}

// peerFin takes the peer's FIN, whose turn it is.
func (s *Stack) peerFin(ci uint32, c *conn) {
	c.rcvNxt++
	if before(c.rcvAdv, c.rcvNxt) {
		c.rcvAdv = c.rcvNxt
	}
	c.flags |= fEof | fAckNow
	switch c.state {
	case Established:
		c.state = CloseWait
	case FinWait1:
		c.state = Closing
	case FinWait2:
		s.eof(ci, c)
		if c.state == FinWait2 {
			s.enterTimeWait(ci, c)
		}
		return
	}
	s.eof(ci, c)
}

func (s *Stack) eof(ci uint32, c *conn) {
	if c.handler != 0 {
		s.handlers[c.handler].EOF(s, s.id(ci))
	}
}

// keepStray keeps a segment that came before its turn, trimmed so that no two overlap; one that continues another joins it.
func (s *Stack) keepStray(c *conn, seq uint32, p []byte, fin bool) {
	link := &c.strays
	for *link != 0 {
		st := s.strays.at(*link)
		end := st.seq + st.size
		if before(seq, st.seq) {
			break
		}
		if before(seq, end) {
			if n := end - seq; n < uint32(len(p)) {
				p, seq = p[n:], end
			} else if !fin || n > uint32(len(p)) || st.fin {
				return
			} else {
				p, seq = nil, end
			}
		}
		if seq == end && !st.fin {
			next := s.nextStart(st)
			p, fin = clip(seq, p, fin, next, st.next != 0)
			n := s.push(&st.data, p)
			st.size += uint32(n)
			st.fin = fin && n == len(p)
			return
		}
		link = &st.next
	}
	if *link != 0 {
		p, fin = clip(seq, p, fin, s.strays.at(*link).seq, true)
		if len(p) == 0 {
			return
		}
	}
	if int(c.nstrays) >= maxStrays || s.pressed() {
		s.Count.DropOutOfOrder++
		return
	}
	i := s.strays.alloc()
	st := s.strays.at(i)
	*st = stray{seq: seq, next: *link}
	n := s.push(&st.data, p)
	st.size, st.fin = uint32(n), fin && n == len(p)
	*link = i
	c.nstrays++
}

// maxStrays bounds the holes of a connection: a peer that sends single bytes must not make us keep a block for each.
const maxStrays = 256

func (s *Stack) nextStart(st *stray) uint32 {
	if st.next == 0 {
		return 0
	}
	return s.strays.at(st.next).seq
}

// clip cuts p at the number limit.
func clip(seq uint32, p []byte, fin bool, limit uint32, limited bool) ([]byte, bool) {
	if limited && after(seq+uint32(len(p)), limit) {
		if !after(limit, seq) {
			return nil, false
		}
		return p[:limit-seq], false
	}
	return p, fin
}

// drainStrays delivers what is next now.
func (s *Stack) drainStrays(ci uint32, c *conn) {
	for c.strays != 0 {
		i := c.strays
		st := s.strays.at(i)
		if after(st.seq, c.rcvNxt) {
			return
		}
		c.flags |= fAckNow
		if old := c.rcvNxt - st.seq; old > 0 {
			n := min(old, st.size)
			s.drop(&st.data, n)
			st.seq += n
			st.size -= n
		}
		for st.size > 0 {
			b := s.blocks.at(st.data.head)
			n := uint32(b.end - b.start)
			if !s.deliver(ci, c, b.data[b.start:b.end]) || c.strays != i {
				return
			}
			s.drop(&st.data, n)
			st.seq += n
			st.size -= n
		}
		fin := st.fin
		c.strays = st.next
		c.nstrays--
		s.strays.release(i)
		if fin {
			s.peerFin(ci, c)
			return
		}
	}
}
