package engine

import (
	"net/netip"
)

// State is a connection's state (RFC 9293 3.3.2). Closed is the zero value; Listen is not a connection's.
type State uint8

// The states, in the order of a connection's life.
const (
	Closed State = iota
	SynSent
	SynReceived
	Established
	CloseWait
	FinWait1
	FinWait2
	Closing
	LastAck
	TimeWait
)

var stateNames = [...]string{"CLOSED", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK", "TIME_WAIT"}

func (s State) String() string { return stateNames[s] }

// ID names a connection of one stack, for ever: it is not used again when the connection has ended.
type ID uint64

// Handler is told what happens on connections. It runs inside Input or Advance, and inside Abort.
type Handler interface {
	// Opened says that the handshake is complete, of a connection accepted or dialled.
	Opened(s *Stack, id ID)
	// Data gives bytes in order, in the received frame where possible: they are valid during the call. What it does not
	// take (the result says how much it takes) waits for Read, and no further Data comes until Read has emptied it.
	Data(s *Stack, id ID, p []byte) int
	// EOF says that the peer sends no more.
	EOF(s *Stack, id ID)
	// Writable says that Write, which took less than it was given, would take more.
	Writable(s *Stack, id ID)
	// Closed says that the connection is over: nil after both sides closed, else why. No more is said of it.
	Closed(s *Stack, id ID, err error)
}

// Flags of a connection.
const (
	fSack        uint32 = 1 << iota // Both sides speak SACK.
	fStamp                          // Both sides speak timestamps.
	fEcn                            // Both sides speak ECN.
	fEce                            // We echo congestion until CWR.
	fCwr                            // Our next new segment says CWR.
	fNagle                          // Wait with short segments while data is in flight.
	fPassive                        // Opened by the peer.
	fFin                            // Our FIN follows the queue.
	fFinSent                        // It is in flight or acknowledged.
	fShut                           // The application wants no more data either.
	fAckNow                         // Acknowledge at the end of this segment's handling.
	fBlocked                        // Write took less than given.
	fEof                            // The peer's FIN was taken.
	fReordered                      // The path has been seen to reorder.
	fTail                           // A tail loss probe is out.
	fTailAgain                      // It was a retransmission.
	fCwndLimited                    // The window of congestion, not the application, held us back.
	fHalf                           // Counted in halfOpen.
)

// Kinds of what retransmits.
const (
	kindRTO uint8 = iota + 1
	kindTail
	kindReorder
	kindPersist
	kindSyn
	kindMemory
)

// memoryRetry is how long a writer that found no memory waits.
const memoryRetry = 10_000_000

// Phases of congestion control.
const (
	phaseOpen uint8 = iota
	phaseRecovery
	phaseLoss
)

// conn is a connection: 64-bit fields first, no pointers, so that ten million of them cost the garbage collector nothing.
type conn struct {
	local, remote ip
	user          uint64

	retxAt, ackAt, idleAt int64 // Deadlines; 0: none.
	rackSent              int64 // When the newest delivered segment was sent.
	epoch                 int64 // Of CUBIC; 0: none.
	lastRecv              int64
	stampAge              int64

	next                 uint32 // In its chain of the table.
	gen                  uint32
	flags                uint32
	wheelNext, wheelPrev uint32
	wheelTick            uint32

	sndUna, sndNxt, sndWnd uint32
	sndWl1, sndWl2         uint32
	maxWnd                 uint32
	rcvNxt, rcvAdv         uint32 // rcvAdv: the right edge we have promised.
	irs                    uint32
	sndq, rcvq             chain
	cursor, cursorSeq      uint32 // A block of sndq and the number of its first byte.
	flightHead, flightTail uint32
	strays                 uint32 // Segments out of order, by number.
	stamp, stampOff        uint32 // The peer's newest timestamp; what we add to ours.

	cwnd, ssthresh     uint32
	recover, cwrSeq    uint32
	prrDelivered       uint32
	prrOut, prrFlight  uint32
	wMax               uint32
	wK, wEst           float32
	sacked, lost       uint32 // Bytes in flight that are; lost ones not sent again yet.
	rackEnd, rackRTT   uint32
	fack               uint32
	srtt, rttvar, rto  uint32 // µs
	minRTT             uint32
	resent             uint32 // Segments in flight that were sent more than once.
	stalled            uint32 // Seconds of the clock when the peer's window closed; 0: open.
	lport, rport       uint16
	handler            uint16
	wheelSlot          uint16
	mss, pending       uint16 // Payload of a full segment; bytes received and not yet acknowledged.
	nstrays            uint16
	state              State
	sndScale, rcvScale uint8
	kind, phase        uint8
	backoff, retries   uint8
	dupAcks, reoMult   uint8
	keepers            uint8
	keepIdle           uint16 // Seconds; 0: off.
}

// flight is a segment that was sent.
type flight struct {
	sent  int64
	seq   uint32
	size  uint32 // With its FIN.
	next  uint32
	sack  bool
	lost  bool // and not sent again yet
	tries uint8
}

// stray is a segment that came before its turn.
type stray struct {
	seq, size uint32
	data      chain
	next      uint32
	fin       bool
}

func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(a-b) > 0 }

func (s *Stack) id(ci uint32) ID { return ID(s.conns.at(ci).gen)<<32 | ID(ci) }

// find gives the connection of an id, or 0.
func (s *Stack) find(id ID) (uint32, *conn) {
	ci := uint32(id)
	if ci == 0 || ci >= s.conns.next {
		return 0, nil
	}
	c := s.conns.at(ci)
	if c.gen != uint32(id>>32) || c.state == Closed {
		return 0, nil
	}
	return ci, c
}

// newConn makes a connection and puts it into the table; 0 when there is no room.
func (s *Stack) newConn(local, remote *ip, lport, rport uint16, h uint16) (uint32, *conn) {
	if s.conns.inUse() >= int(s.cfg.MaxConns) {
		return 0, nil
	}
	ci := s.conns.alloc()
	c := s.conns.at(ci)
	*c = conn{
		gen: c.gen + 1, local: *local, remote: *remote, lport: lport, rport: rport, handler: h, rto: 1_000_000, reoMult: 1,
		ssthresh: 1 << 30, minRTT: 1<<32 - 1, lastRecv: s.now, keepIdle: uint16(min(s.cfg.KeepIdle/1_000_000_000, 65535)),
	}
	for s.cfg.ReceiveBuffer>>c.rcvScale > 65535 {
		c.rcvScale++
	}
	iss := s.isn(c)
	c.sndUna, c.sndNxt, c.recover, c.cwrSeq = iss, iss, iss, iss
	c.stampOff = uint32(s.sip(c, 2))
	s.insert(ci, c)
	return ci, c
}

// end ends a connection at once and tells its handler.
func (s *Stack) end(ci uint32, c *conn, err error) {
	if c.state == Closed {
		return
	}
	if c.state == TimeWait {
		s.timeWait--
	}
	if c.flags&fHalf != 0 {
		s.halfOpen--
	}
	switch err {
	case ErrReset:
		s.Count.Resets++
	case ErrTimeout:
		s.Count.TimedOut++
	}
	h := c.handler
	told := c.flags&fPassive == 0 || c.state != SynReceived
	s.strip(c)
	s.wheel.remove(s, c)
	s.unlink(ci, c)
	c.state, c.handler = Closed, 0
	if h != 0 && told {
		s.handlers[h].Closed(s, s.id(ci), err)
	}
	if ci != s.current {
		s.conns.release(ci)
	}
}

// strip frees all that a connection holds besides itself.
func (s *Stack) strip(c *conn) {
	s.clear(&c.sndq)
	s.clear(&c.rcvq)
	for f := c.flightHead; f != 0; {
		next := s.segs.at(f).next
		s.segs.release(f)
		f = next
	}
	for i := c.strays; i != 0; {
		st := s.strays.at(i)
		next := st.next
		s.clear(&st.data)
		s.strays.release(i)
		i = next
	}
	c.flightHead, c.flightTail, c.cursor, c.strays, c.nstrays, c.sacked, c.lost, c.resent = 0, 0, 0, 0, 0, 0, 0, 0
	c.retxAt, c.ackAt, c.idleAt = 0, 0, 0
}

// leave runs after a segment or a timer was handled: what the connection has to say is said.
func (s *Stack) leave(ci uint32, c *conn) {
	if c.state != Closed {
		s.output(ci, c)
	}
	s.current = 0
	if c.state == Closed {
		s.conns.release(ci)
	}
}

// enterTimeWait begins the quiet time.
func (s *Stack) enterTimeWait(ci uint32, c *conn) {
	if s.timeWait >= s.cfg.MaxTimeWait {
		s.Count.TimeWaitSkipped++
		s.acknowledge(ci, c)
		s.end(ci, c, nil)
		return
	}
	unread := c.rcvq
	c.rcvq = chain{}
	s.strip(c)
	if c.flags&fShut == 0 {
		c.rcvq = unread
	} else {
		s.clear(&unread)
	}
	s.timeWait++
	c.state = TimeWait
	s.set(ci, c, &c.idleAt, s.now+s.cfg.TimeWait)
	if h := c.handler; h != 0 && c.rcvq.size == 0 {
		c.handler = 0
		s.handlers[h].Closed(s, s.id(ci), nil)
	}
}

// use gives the number of a handler. Handlers are never forgotten, and 65,535 are the most: programs with many
// connections share one and tell them apart by User.
func (s *Stack) use(h Handler) uint16 {
	for i, old := range s.handlers {
		if i > 0 && old == h {
			return uint16(i)
		}
	}
	s.handlers = append(s.handlers, h)
	return uint16(len(s.handlers) - 1)
}

// listenKey is where a listener or socket is; the zero address is any, of both families.
type listenKey struct {
	addr ip
	port uint16
}

func keyOf(a netip.AddrPort) listenKey {
	if !a.Addr().IsValid() || a.Addr() == netip.IPv6Unspecified() {
		return listenKey{port: a.Port()}
	}
	return listenKey{ip(a.Addr().As16()), a.Port()}
}

// anyOf is the unspecified address of a's family: IPv4's for IPv4, the zero key for IPv6.
func anyOf(a *ip) ip {
	if a.is4() {
		return ip{10: 0xff, 11: 0xff}
	}
	return ip{}
}

// listener is a port that takes connections.
type listener struct {
	handler uint16
	paused  bool
}

// Listen gives connections to addr to h. An unspecified address means all of ours (of IPv4 only, when it is 0.0.0.0),
// port 0 a free port, which is returned.
func (s *Stack) Listen(addr netip.AddrPort, h Handler) (netip.AddrPort, error) {
	key := keyOf(addr)
	if addr.Addr().IsValid() && !addr.Addr().IsUnspecified() && !s.isOurs(&key.addr) {
		return addr, ErrNotOurs
	}
	if key.port == 0 {
		for range 1000 {
			if key.port = s.ephemeral(); s.listeners[key] == nil {
				break
			}
		}
	}
	if s.listeners[key] != nil {
		return addr, ErrInUse
	}
	s.listeners[key] = &listener{handler: s.use(h)}
	s.lastFound = nil
	return netip.AddrPortFrom(addr.Addr(), key.port), nil
}

// ListenAll gives every connection that no listener takes to h: all ports of all our addresses.
func (s *Stack) ListenAll(h Handler) { s.catchAll = &listener{handler: s.use(h)} }

// Unlisten ends what Listen began, or with port 0 what ListenAll did. Connections stay.
func (s *Stack) Unlisten(addr netip.AddrPort) {
	if addr.Port() == 0 {
		s.catchAll = nil
	}
	delete(s.listeners, keyOf(addr))
	s.lastFound = nil
}

// Pause makes a listener (port 0: that of ListenAll) ignore new connections, or take them again: the peers try again by
// themselves.
func (s *Stack) Pause(addr netip.AddrPort, paused bool) {
	if addr.Port() == 0 && s.catchAll != nil {
		s.catchAll.paused = paused
	}
	if l := s.listeners[keyOf(addr)]; l != nil {
		l.paused = paused
	}
}

func (s *Stack) listenerOf(dst *ip, port uint16) *listener {
	key := listenKey{*dst, port}
	if s.lastFound != nil && s.lastDoor == key {
		return s.lastFound
	}
	for _, at := range [3]ip{*dst, anyOf(dst), {}} {
		if l := s.listeners[listenKey{at, port}]; l != nil {
			s.lastDoor, s.lastFound = key, l
			return l
		}
	}
	return s.catchAll
}

// ephemeral gives the next port of the range that RFC 6335 leaves to clients, beginning at a secret place.
func (s *Stack) ephemeral() uint16 {
	if s.lastPort == 0 {
		s.lastPort = uint32(siphash(s.seed[0], s.seed[1], 6056, 0))
	}
	s.lastPort++
	return uint16(49152 + s.lastPort%16384)
}

// Dial begins a connection to remote; local's address and port may be unspecified. Opened or Closed follows.
func (s *Stack) Dial(local, remote netip.AddrPort, h Handler, user uint64) (ID, error) {
	to := netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	from := local.Addr().Unmap()
	if !from.IsValid() || from.IsUnspecified() {
		var ok bool
		if from, ok = s.source(to.Addr()); !ok {
			return 0, ErrUnreachable
		}
	}
	src, dst := ip(from.As16()), ip(to.Addr().As16())
	if from.Is4() != to.Addr().Is4() || to.Port() == 0 || to.Addr().IsMulticast() || to.Addr().IsUnspecified() || s.isOurs(&dst) {
		return 0, ErrUnreachable
	}
	if !s.isOurs(&src) {
		return 0, ErrNotOurs
	}
	lport := local.Port()
	if lport == 0 {
		for try := 0; ; try++ {
			if try == 16384 {
				return 0, ErrNoRoom
			}
			lport = s.ephemeral()
			if s.lookup(&src, &dst, lport, to.Port()) == 0 && (s.cfg.PortFor == nil || s.cfg.PortFor(netip.AddrPortFrom(from, lport), to)) {
				break
			}
		}
	} else if s.lookup(&src, &dst, lport, to.Port()) != 0 {
		return 0, ErrInUse
	}
	ci, c := s.newConn(&src, &dst, lport, to.Port(), s.use(h))
	if ci == 0 {
		return 0, ErrNoRoom
	}
	s.Count.Dialed++
	c.user, c.state, c.mss = user, SynSent, s.ourMSS(c)
	if s.cfg.ECN {
		c.flags |= fEcn
	}
	c.sndNxt++
	c.rcvAdv = min(s.cfg.ReceiveBuffer, 65535)
	s.sendSyn(ci, c)
	return s.id(ci), nil
}

// Write queues p, or as much as the send buffer takes, and says how much.
func (s *Stack) Write(id ID, p []byte) (int, error) {
	ci, c := s.find(id)
	if ci == 0 || c.flags&fFin != 0 || c.state == TimeWait {
		return 0, ErrAborted
	}
	limit := s.cfg.SendBuffer
	if s.pressed() {
		limit = min(limit, fairShare)
	}
	n := s.push(&c.sndq, p[:min(len(p), int(limit-min(limit, c.sndq.size)))])
	if n < len(p) {
		c.flags |= fBlocked
		if c.sndq.size == 0 && c.state >= Established { // Memory is used up, and no acknowledgement will tell when to try again.
			c.kind = kindMemory
			s.set(ci, c, &c.retxAt, s.now+memoryRetry)
		}
	}
	if ci != s.current && n > 0 {
		s.output(ci, c)
	}
	return n, nil
}

// Read takes bytes that Data left. 0 means there are none; with eof, that none will come.
func (s *Stack) Read(id ID, p []byte) (n int, eof bool) {
	ci, c := s.find(id)
	if ci == 0 {
		return 0, true
	}
	n = s.pop(&c.rcvq, p)
	if c.state == TimeWait {
		if h := c.handler; h != 0 && c.rcvq.size == 0 {
			c.handler = 0
			s.handlers[h].Closed(s, id, nil)
		}
	} else if n > 0 && s.window(c)-(c.rcvAdv-c.rcvNxt) >= min(2*uint32(c.mss), s.cfg.ReceiveBuffer/2) {
		c.flags |= fAckNow // The window has opened enough to be worth telling.
		if ci != s.current {
			s.output(ci, c)
		}
	}
	return n, n == 0 && c.flags&fEof != 0 && c.rcvq.size == 0
}

// CloseWrite sends FIN after what was written; data may still come.
func (s *Stack) CloseWrite(id ID) {
	if ci, c := s.find(id); ci != 0 {
		s.shut(ci, c)
	}
}

// Close ends the connection in order, and what still comes is refused with a reset, as are bytes that were not read.
func (s *Stack) Close(id ID) {
	ci, c := s.find(id)
	if ci == 0 || c.flags&fShut != 0 {
		return
	}
	c.flags |= fShut
	if c.state == SynSent {
		s.end(ci, c, ErrAborted)
		return
	}
	if c.rcvq.size > 0 && c.state != TimeWait {
		s.Abort(id)
		return
	}
	s.clear(&c.rcvq)
	if c.state == FinWait2 {
		s.set(ci, c, &c.idleAt, s.now+s.cfg.FinTimeout)
	}
	s.shut(ci, c)
}

func (s *Stack) shut(ci uint32, c *conn) {
	if c.flags&fFin != 0 {
		return
	}
	switch c.state {
	case Established, SynReceived:
		c.flags |= fFin
		if c.state == Established {
			c.state = FinWait1
		}
	case CloseWait:
		c.flags |= fFin
		c.state = LastAck
	default:
		return
	}
	if ci != s.current {
		s.output(ci, c)
	}
}

// Abort ends the connection with a reset.
func (s *Stack) Abort(id ID) {
	ci, c := s.find(id)
	if ci == 0 {
		return
	}
	if c.state != SynSent && c.state != TimeWait {
		s.emit(c, c.sndNxt, flagRST|flagACK, 0, 0, 0)
	}
	s.end(ci, c, ErrAborted)
}

// SetUser keeps a number of the handler with the connection.
func (s *Stack) SetUser(id ID, user uint64) {
	if ci, c := s.find(id); ci != 0 {
		c.user = user
	}
}

// User is the number SetUser kept, or 0.
func (s *Stack) User(id ID) uint64 {
	ci := uint32(id)
	if ci == 0 || ci >= s.conns.next || s.conns.at(ci).gen != uint32(id>>32) {
		return 0
	}
	return s.conns.at(ci).user
}

// SetNagle makes short segments wait while data is in flight (RFC 1122 4.2.3.4). Off at first.
func (s *Stack) SetNagle(id ID, on bool) {
	if ci, c := s.find(id); ci != 0 {
		c.flags &^= fNagle
		if on {
			c.flags |= fNagle
		} else if ci != s.current {
			s.output(ci, c)
		}
	}
}

// SetKeepAlive makes a connection that was silent for idle (ns, up to 18 h; 0: never) be probed.
func (s *Stack) SetKeepAlive(id ID, idle int64) {
	ci, c := s.find(id)
	if ci == 0 {
		return
	}
	c.keepIdle = uint16(min((idle+999_999_999)/1_000_000_000, 65535))
	s.keepAlive(ci, c)
}

// keepAlive starts the timer of an open connection.
func (s *Stack) keepAlive(ci uint32, c *conn) {
	if c.state == Established || c.state == CloseWait {
		c.idleAt = 0
		if c.keepIdle > 0 {
			s.set(ci, c, &c.idleAt, s.now+int64(c.keepIdle)*1_000_000_000)
		}
	}
}
