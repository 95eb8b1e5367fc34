package engine

import (
	"net"
	"net/netip"
	"unsafe"
)

// connSize is a connection and its place in the table.
const connSize = uint64(unsafe.Sizeof(conn{})) + 4*spread

// Info is what there is to say of a connection.
type Info struct {
	ID            ID
	Local, Remote netip.AddrPort
	State         State
	SendQueue     uint32 // Bytes written and not acknowledged.
	ReceiveQueue  uint32 // Bytes received and not read.
	Window        uint32 // What the peer takes, in bytes from the first not acknowledged.
	Congestion    uint32 // The congestion window, in bytes.
	MSS           uint16
	RTT           int64 // Smoothed, ns; 0: not measured.
	RTO           int64 // ns
	Passive       bool
}

// Lookup describes a connection; false when it has ended.
func (s *Stack) Lookup(id ID) (Info, bool) {
	ci, c := s.find(id)
	if ci == 0 {
		return Info{}, false
	}
	return s.info(ci, c), true
}

// Each describes all connections to f, until it says false.
func (s *Stack) Each(f func(Info) bool) {
	for ci := uint32(1); ci < s.conns.next; ci++ {
		if c := s.conns.at(ci); c.state != Closed && !f(s.info(ci, c)) {
			return
		}
	}
}

func (s *Stack) info(ci uint32, c *conn) Info {
	return Info{
		ID: s.id(ci), Local: netip.AddrPortFrom(c.local.addr(), c.lport), Remote: netip.AddrPortFrom(c.remote.addr(), c.rport),
		State: c.state, SendQueue: c.sndq.size, ReceiveQueue: c.rcvq.size, Window: c.sndWnd, Congestion: c.cwnd, MSS: c.mss,
		RTT: int64(c.srtt) * 1000, RTO: int64(c.rto) * 1000, Passive: c.flags&fPassive != 0,
	}
}

// Neighbour is an entry of the table of link addresses.
type Neighbour struct {
	Addr netip.Addr
	MAC  net.HardwareAddr // nil: being asked for.
}

// Neighbours lists the table, in no order.
func (s *Stack) Neighbours() (out []Neighbour) {
	for a, n := range s.neighbours {
		e := Neighbour{Addr: a.addr()}
		if n.known {
			e.MAC = net.HardwareAddr(append([]byte(nil), n.mac[:]...))
		}
		out = append(out, e)
	}
	return out
}

// Memory says how many bytes the stack holds: of connections with their places in the table, and of their buffers and
// segments in flight.
func (s *Stack) Memory() (conns, buffers uint64) {
	return uint64(s.conns.inUse()) * connSize, s.bufBlocks * (blockSize + 8)
}

// Config is what the stack runs with.
func (s *Stack) Config() Config { return s.cfg }

// Apply changes what may change while the stack runs: limits, times and switches. Addresses, MTU, buffers' sizes and the
// seed stay what they are: connections were promised things in their terms.
func (s *Stack) Apply(c Config) error {
	c.MAC, c.MTU, c.L3, c.TxChecksum, c.Seed = s.cfg.MAC, s.cfg.MTU, s.cfg.L3, s.cfg.TxChecksum, s.cfg.Seed
	c.Addresses, c.Traps, c.ReceiveBuffer = s.cfg.Addresses, s.cfg.Traps, s.cfg.ReceiveBuffer
	if err := c.Validate(); err != nil {
		return err
	}
	s.cfg = c
	return nil
}
