// Package engine is the stack's pure core: frames and time in, frames and events out. It knows no socket, no clock, no
// lock and no goroutine; one Stack serves one core. Time is nanoseconds of any monotonic clock and never goes back.
//
// A connection lives in a slab without pointers and is named by an ID, which stays valid to say ("it is gone") after the
// connection has ended. What happens on it is told to a Handler, on the goroutine that called Input or Advance; a
// handler may call the stack, and what it writes leaves in the segment that acknowledges, so a short answer and the
// end of the connection are one packet.
//
// Sources: TCP RFC 9293, 7323 (window scaling, timestamps), 2018 and 2883 (SACK), 8985 (RACK-TLP), 9438 (CUBIC), 6582
// (NewReno), 9937 (PRR), 6298 (timer), 5961 (blind attacks), 3168 (ECN), 4987 (SYN cookies), 6191 (TIME_WAIT), 6528
// (sequence numbers), 6056 (ports); IP 791, 8200, 5722 (fragments), 826 (ARP), 4861 (NDP), 792, 4443 (ICMP).
package engine

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hauberk/hauberk/netstack/port"
)

// Errors that end a connection; Handler.Closed gets one, or nil after an orderly end.
var (
	ErrReset       = errors.New("connection reset by peer")
	ErrRefused     = errors.New("connection refused")
	ErrTimeout     = errors.New("connection timed out")
	ErrUnreachable = errors.New("host unreachable")
	ErrAborted     = errors.New("connection aborted")
	ErrNoRoom      = errors.New("out of connections, ports or memory")
	ErrInUse       = errors.New("address in use")
	ErrNotOurs     = errors.New("address is not ours")
	ErrTooLong     = errors.New("message too long")
)

// Output takes the frames of a stack; a port.Port is one.
type Output interface {
	Buffer() (port.Frame, bool)
	Transmit(port.Frame)
	Release(...port.Frame)
}

// Config is what a stack is told once. Times are nanoseconds.
type Config struct {
	MAC        [6]byte        // Our address on the link; unused with L3.
	MTU        int            // 576 to 65,535; at least 1,280 with IPv6 addresses.
	L3         bool           // Frames begin with IP.
	TxChecksum bool           // The port computes TCP and UDP checksums.
	Addresses  []netip.Prefix // Ours; the prefix is on-link.
	Traps      []netip.Prefix // Every address of these is ours too (honeypots).
	Gateway4   netip.Addr     // Next hop of all that is not on-link; invalid: none.
	Gateway6   netip.Addr
	Seed       [16]byte // Secret: of sequence numbers, cookies, port choice and hashing. Random outside tests.

	SendBuffer    uint32 // Bytes a connection may have written and not yet acknowledged, 4 KiB to 64 MiB.
	ReceiveBuffer uint32 // Largest receive window, 4 KiB to 64 MiB.
	MaxConns      uint32 // Connections at once, all states; 2^28 at most.
	MaxHalfOpen   uint32 // Passive handshakes with state; more are answered by SYN cookies.
	MaxTimeWait   uint32 // Connections in TIME_WAIT; more end at once.
	MaxMemory     uint64 // Bytes of buffers of all connections; when used up, windows close.

	TimeWait    int64 // How long TIME_WAIT lasts (2 MSL).
	FinTimeout  int64 // How long a closed connection waits for the peer's FIN.
	MinRTO      int64 // RFC 6298 says 1 s; Linux and we 200 ms.
	DelayedAck  int64 // At most 500 ms (RFC 9293 3.8.6.3).
	ZeroWindow  int64 // How long a peer may keep its window shut before the connection is aborted.
	Retries     uint8 // Retransmissions of a segment before the connection is given up.
	SynRetries  uint8
	KeepIdle    int64 // Default of keep-alive; 0: off. Handlers may set it for each connection.
	KeepEvery   int64 // Between keep-alive probes.
	KeepProbes  uint8
	NewReno     bool // NewReno in the place of CUBIC.
	ECN         bool // Negotiate ECN.
	SegmentRate int  // Answers a second to segments that belong to nothing or prove nothing (RST, challenge ACK, ICMP errors).

	// LearnNeighbours takes the link address a packet came from for the way back to its sender. On a NIC with several
	// queues the answers of ARP and NDP come to one of them, and the stacks of the others learn in this way.
	LearnNeighbours bool
	// PortFor says whether a local port may be chosen for an active open: on a NIC with several queues, whether the
	// answers will come to our queue. Nil: any.
	PortFor func(local, remote netip.AddrPort) bool
}

// DefaultConfig is a server's.
func DefaultConfig() Config {
	const ms, s = 1_000_000, 1_000_000_000
	return Config{
		MTU: 1500, SendBuffer: 256 << 10, ReceiveBuffer: 256 << 10, MaxConns: 1 << 20, MaxHalfOpen: 4096, MaxTimeWait: 1 << 16,
		MaxMemory: 1 << 30, TimeWait: 60 * s, FinTimeout: 60 * s, MinRTO: 200 * ms, DelayedAck: 40 * ms, ZeroWindow: 300 * s,
		Retries: 15, SynRetries: 6, KeepEvery: 15 * s, KeepProbes: 9, ECN: true, SegmentRate: 1000,
	}
}

// Validate reports every problem.
func (c *Config) Validate() error {
	var bad []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	check(c.MTU >= 576 && c.MTU <= 65535, "mtu %d: want 576 to 65535", c.MTU)
	for _, p := range append(append([]netip.Prefix(nil), c.Addresses...), c.Traps...) {
		check(p.IsValid(), "address prefix is not valid")
		check(!p.Addr().Is6() || c.MTU >= 1280, "mtu %d: IPv6 (%s) needs 1280", c.MTU, p)
	}
	for name, v := range map[string]uint32{"send buffer": c.SendBuffer, "receive buffer": c.ReceiveBuffer} {
		check(v >= 4<<10 && v <= 64<<20, "%s %d: want 4 KiB to 64 MiB", name, v)
	}
	check(c.MaxConns > 0 && c.MaxConns <= 1<<28, "max conns %d: want 1 to 2^28", c.MaxConns)
	check(c.MinRTO > 0 && c.TimeWait > 0 && c.FinTimeout > 0 && c.ZeroWindow > 0 && c.KeepEvery > 0, "times must be positive")
	check(c.DelayedAck >= 0 && c.DelayedAck <= 500_000_000, "delayed ack %d ns: want 0 to 500 ms", c.DelayedAck)
	check(c.Retries > 0 && c.SynRetries > 0, "retries must be positive")
	return errors.Join(bad...)
}

// Counters count since New. A drop has its reason in the name.
type Counters struct {
	RxFrames, TxFrames, TxNoBuffer                          uint64
	DropEther, DropHeader, DropChecksum, DropNotOurs        uint64
	FragmentsIn, Reassembled, DropFragment, FragmentsOut    uint64
	ArpIn, NeighbourFailed, EchoIn, IcmpIn, IcmpOut         uint64
	DatagramsIn, DatagramsOut, DropNoSocket                 uint64
	SegmentsIn, SegmentsOut, BytesIn, BytesOut              uint64
	Accepted, Dialed, Opened, Refused, Resets, TimedOut     uint64
	CookiesSent, CookiesGood, CookiesBad, DropSyn           uint64
	Retransmits, TailProbes, Timeouts, Recoveries, KeepSent uint64
	DropPaws, DropWindow, ChallengeAcks, ChallengeLimited   uint64
	OutOfOrder, DropOutOfOrder, DropMemory, TimeWaitSkipped uint64
	TimeWaitReused, ZeroWindowAborts, PathMTU, Ecn          uint64
}

// Stack is the engine of one core.
type Stack struct {
	cfg  Config
	out  Output
	now  int64
	seed [2]uint64

	ours     map[ip]bool
	lastOurs ip // One of them, found last.
	onLink   []netip.Prefix
	traps    []netip.Prefix
	linkLen  int

	conns     slab[conn]
	segs      slab[flight]
	blocks    slab[block]
	strays    slab[stray]
	table     table
	wheel     wheel
	handlers  []Handler
	listeners map[listenKey]*listener
	lastDoor  listenKey // What was last looked for, and found.
	lastFound *listener
	catchAll  *listener
	sockets   map[listenKey]*socket
	anySocket *socket

	current   uint32 // The connection whose segment is being handled; its output comes at the end.
	halfOpen  uint32
	timeWait  uint32
	bufBlocks uint64 // Blocks in use.
	ipID      uint16
	lastPort  uint32

	neighbours map[ip]*neighbour
	waiting    int // Frames that wait for a neighbour.
	lastDst    ip
	lastNext   *neighbour
	rxFrom     ip      // With LearnNeighbours: the sender of the packet last received,
	rxMAC      [6]byte // and the link address it came from.
	pathMTU    map[ip]path
	fragments  map[fragKey]*datagram
	sweepAt    int64
	rateAt     int64
	rateLeft   int
	cookieAt   int64 // When a cookie was last sent; 0: never.

	// Count is the stack's counters.
	Count Counters
}

// New makes a stack that sends its frames to out, at the time now.
func New(cfg Config, out Output, now int64) (*Stack, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Stack{
		cfg: cfg, out: out, now: now, ours: map[ip]bool{}, listeners: map[listenKey]*listener{}, sockets: map[listenKey]*socket{},
		neighbours: map[ip]*neighbour{}, pathMTU: map[ip]path{}, fragments: map[fragKey]*datagram{}, handlers: make([]Handler, 1),
		traps: cfg.Traps, sweepAt: now, rateAt: now, rateLeft: cfg.SegmentRate,
	}
	for i := range 8 {
		s.seed[0] |= uint64(cfg.Seed[i]) << (8 * i)
		s.seed[1] |= uint64(cfg.Seed[8+i]) << (8 * i)
	}
	if !cfg.L3 {
		s.linkLen = 14
	}
	for _, p := range cfg.Addresses {
		s.ours[p.Addr().As16()] = true
		s.onLink = append(s.onLink, p.Masked())
	}
	s.conns.init()
	s.segs.init()
	s.blocks.init()
	s.strays.init()
	s.table.init()
	s.wheel.init(now)
	return s, nil
}

// Now is the time last told.
func (s *Stack) Now() int64 { return s.now }

// Input takes one received frame at the time now. The frame stays the caller's; handlers see its payload during the call.
func (s *Stack) Input(now int64, f port.Frame) {
	s.now = max(now, s.now)
	s.Count.RxFrames++
	b := f.Data
	if s.cfg.L3 {
		s.inputIP(b, f.Verified)
		return
	}
	if len(b) < 14 {
		s.Count.DropEther++
		return
	}
	if b[0]&1 == 0 && [6]byte(b[:6]) != s.cfg.MAC {
		s.Count.DropEther++
		return
	}
	switch uint16(b[12])<<8 | uint16(b[13]) {
	case 0x0800, 0x86dd:
		if s.cfg.LearnNeighbours {
			s.rxFrom, s.rxMAC = ip{}, [6]byte(b[6:12])
		}
		s.inputIP(b[14:], f.Verified)
	case 0x0806:
		s.inputARP(b[14:])
	default:
		s.Count.DropEther++
	}
}

// Advance runs what is due at the time now.
func (s *Stack) Advance(now int64) {
	s.now = max(now, s.now)
	for {
		ci := s.wheel.pop(s)
		if ci == 0 {
			break
		}
		s.timers(ci, s.conns.at(ci))
	}
	if s.now >= s.sweepAt {
		s.sweepAt = s.now + sweepEvery
		s.sweepNeighbours()
		s.sweepFragments()
		s.sweepPaths()
	}
}

// sweepEvery is how often small tables are looked through.
const sweepEvery = 250_000_000

// Next is when Advance should run at the latest.
func (s *Stack) Next() int64 {
	next := s.wheel.next()
	if len(s.neighbours) > 0 || len(s.fragments) > 0 {
		next = min(next, s.sweepAt)
	}
	return next
}

// allow takes one token of the answers we give to segments that prove nothing.
func (s *Stack) allow() bool {
	if s.now-s.rateAt >= 1_000_000_000 {
		s.rateAt, s.rateLeft = s.now, s.cfg.SegmentRate
	}
	if s.rateLeft <= 0 {
		return false
	}
	s.rateLeft--
	return true
}

// isOurs says whether we answer for an address.
func (s *Stack) isOurs(a *ip) bool {
	if *a == s.lastOurs {
		return true
	}
	if s.ours[*a] {
		s.lastOurs = *a
		return true
	}
	for _, p := range s.traps {
		if p.Contains(a.addr()) {
			return true
		}
	}
	return false
}

// source chooses our address towards remote: the first of its family whose prefix holds it, else the first of its family.
func (s *Stack) source(remote netip.Addr) (netip.Addr, bool) {
	var found netip.Addr
	for _, p := range s.cfg.Addresses {
		if p.Addr().Is4() != remote.Is4() {
			continue
		}
		if p.Contains(remote) {
			return p.Addr(), true
		}
		if !found.IsValid() {
			found = p.Addr()
		}
	}
	return found, found.IsValid()
}
