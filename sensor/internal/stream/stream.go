// Package stream follows TCP connections as Suricata does and puts their bytes
// in order as the receiver would.
//
// A [Tracker] belongs to one pipeline. For each segment it checks sequence and
// acknowledgement numbers against what both ends said before (tcp.go), moves
// the connection through the states of RFC 9293, raises events on the packet,
// and keeps the segment's bytes (reassemble.go). Bytes are handed to the
// [Sink] when the receiver has acknowledged them, because only then is it
// certain which of several versions it took; inline, where the sensor itself
// decides that, they are handed on as they arrive.
package stream

import (
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/seqnum"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
)

// Sink takes what was put in order. data is good until the call returns.
type Sink interface {
	// StreamData brings the next bytes of a direction; offset counts from the
	// first byte after the handshake.
	StreamData(f *flow.Flow, dir flow.Dir, offset uint64, data []byte)
	// StreamGap says that size bytes will never come.
	StreamGap(f *flow.Flow, dir flow.Dir, offset, size uint64)
	// StreamEnd says that nothing follows: the sender closed, the depth is
	// reached, or the flow ended.
	StreamEnd(f *flow.Flow, dir flow.Dir)
}

// Config is the part of suricata.yaml below stream.
type Config struct {
	// Memory bounds the bytes kept (reassembly.memcap).
	Memory int
	// Depth is how many bytes of each direction are put in order; 0: all.
	Depth uint64
	// Midstream follows connections whose beginning was not seen.
	Midstream bool
	// OnlyWhole follows none of which the beginning was not seen, whatever the
	// others say.
	OnlyWhole bool
	// AsyncOneside follows connections of which one direction is seen.
	AsyncOneside bool
	// Inline hands bytes on as they arrive.
	Inline bool
	// CheckOverlap compares data that was sent twice and raises an event if it differs.
	CheckOverlap bool
	// MaxSYNACK is how many different SYN/ACKs are considered for one SYN.
	MaxSYNACK int
	OS        *hostos.Table
}

// DefaultConfig is suricata.yaml's.
func DefaultConfig() Config {
	return Config{Memory: 256 << 20, Depth: 1 << 20, CheckOverlap: true, MaxSYNACK: 5}
}

// State is how far a connection is. Their names are EVE's.
type State uint8

// The states of a connection (RFC 9293 section 3.3.2), as seen from between.
const (
	None State = iota
	SynSent
	SynRecv
	Established
	FinWait1 // The server closed.
	FinWait2
	TimeWait
	LastAck
	CloseWait // The client closed.
	Closing
	Closed
)

// String is the state's name in EVE.
func (s State) String() string {
	return [...]string{"none", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2", "time_wait", "last_ack", "close_wait", "closing", "closed"}[s]
}

// Counters of a tracker, in Suricata's words.
type Counters struct {
	Sessions, SYN, SYNACK, RST               uint64
	Midstream, AckUnseenData                 uint64
	PseudoFlushed                            uint64
	NoRoom, Gap, Overlap, OverlapDifferent   uint64
	InsertLimit, Stopped, Invalid, BeyondWin uint64
}

// half is one direction of a connection.
type half struct {
	isn, next, lastAck seqnum.Value
	nextWin            seqnum.Value // The end of what the sender may send.
	base               seqnum.Value // Of offset 0.
	window             uint32       // As the receiver gave it, scaled.
	tsLast             uint32
	scale              uint8
	policy             hostos.Policy
	known              bool // Numbers of this direction were seen.
	hasTS              bool
	fin                bool // The sender closed.
	ended              bool // The sink was told.
	stopped            bool // Nothing more is put in order.
	zwp                bool // A probe of a shut window was sent.
	begun              bool // base is set.
	deep               bool // Config.Depth does not end it.

	delivered uint64 // Offset up to which the sink has the bytes.
	acked     uint64 // Offset up to which the receiver has them.
	high      uint64 // End of the highest segment.
	first     uint32 // Of the list of segments not handed on, by offset.
	last      uint32
	segments  uint32
	regions   uint32 // The most pieces with gaps between that waited at once.
}

// session is one connection.
type session struct {
	owner     slab.Handle
	state     State
	midstream bool
	async     bool
	fourWay   bool
	synAcks   uint8
	half      [2]half
}

// Tracker follows the connections of one pipeline. It is not safe for
// concurrent use.
type Tracker struct {
	Counters Counters

	cfg      Config
	flows    *flow.Table
	sink     Sink
	sessions []*[chunk]session // By the index of their flow.
	segments slab.Slab[segment]
	arena    *slab.Arena
}

// chunk is how many sessions are made at a time; they never move.
const chunk = 1 << 10

// New returns a tracker for the flows of a table.
func New(c Config, flows *flow.Table, sink Sink) *Tracker {
	return &Tracker{cfg: c, flows: flows, sink: sink, arena: slab.NewArena(c.Memory)}
}

// session returns the connection of a flow, nil if there is none yet.
func (t *Tracker) session(f *flow.Flow) *session {
	i := f.Handle.Index()
	if int(i/chunk) >= len(t.sessions) || t.sessions[i/chunk] == nil {
		return nil
	}
	if s := &t.sessions[i/chunk][i%chunk]; s.owner == f.Handle {
		return s
	}
	return nil
}

func (t *Tracker) begin(f *flow.Flow) *session {
	i := f.Handle.Index()
	for int(i/chunk) >= len(t.sessions) {
		t.sessions = append(t.sessions, nil)
	}
	if t.sessions[i/chunk] == nil {
		t.sessions[i/chunk] = new([chunk]session)
	}
	s := &t.sessions[i/chunk][i%chunk]
	*s = session{owner: f.Handle}
	s.half[flow.ToServer].policy = t.cfg.OS.Of(f.Server().Addr())
	s.half[flow.ToClient].policy = t.cfg.OS.Of(f.Client().Addr())
	t.Counters.Sessions++
	return s
}

// StateOf is the state of a flow's connection.
func (t *Tracker) StateOf(f *flow.Flow) State {
	if s := t.session(f); s != nil {
		return s.state
	}
	return None
}

// Sizes are how many bytes each direction has sent, as far as numbers tell.
func (t *Tracker) Sizes(f *flow.Flow) (sizes [2]uint64) {
	if s := t.session(f); s != nil {
		for d := range s.half {
			if h := &s.half[d]; h.begun {
				sizes[d] = h.offset(h.next)
			}
		}
	}
	return sizes
}

// Regions are the most pieces of each direction that waited at once with gaps
// between them, at least 1.
func (t *Tracker) Regions(f *flow.Flow) [2]uint64 {
	regions := [2]uint64{1, 1}
	if s := t.session(f); s != nil {
		for d := range s.half {
			regions[d] = max(1, uint64(s.half[d].regions))
		}
	}
	return regions
}

// Midstream says whether the beginning of a flow's connection was not seen.
func (t *Tracker) Midstream(f *flow.Flow) bool {
	s := t.session(f)
	return s != nil && s.midstream
}

// Swap changes the sides of a connection whose flow was turned around.
func (t *Tracker) Swap(f *flow.Flow) {
	if s := t.session(f); s != nil {
		s.half[0], s.half[1] = s.half[1], s.half[0]
	}
}

// Stop ends the putting in order of a direction: nobody will look. The sink may
// call it.
func (t *Tracker) Stop(f *flow.Flow, dir flow.Dir) {
	if s := t.session(f); s != nil {
		s.half[dir].stopped = true
	}
}

// Deepen has a connection put in order beyond Config.Depth.
func (t *Tracker) Deepen(f *flow.Flow) {
	if s := t.session(f); s != nil {
		s.half[0].deep, s.half[1].deep = true, true
	}
}

// Finish hands on what was not acknowledged and forgets the connection. The
// flow is about to end.
func (t *Tracker) Finish(f *flow.Flow) {
	s := t.session(f)
	if s == nil {
		return
	}
	for d := range s.half {
		h := &s.half[d]
		if h.first != 0 && !h.stopped {
			t.Counters.PseudoFlushed++
			t.deliver(f, flow.Dir(d), h, h.high, true)
		}
		t.tellEnd(f, flow.Dir(d), h)
		t.drop(h)
	}
	*s = session{}
}

// Reuses says whether a SYN begins a new connection with the ports of one
// that is over.
func (t *Tracker) Reuses(f *flow.Flow, p *decode.Packet) bool {
	flags := p.TCP().Flags()
	if flags&(packet.SYN|packet.ACK|packet.RST) != packet.SYN || f.Dir(p) != flow.ToServer {
		return false
	}
	s := t.session(f)
	if s == nil || p.TCP().Seq() == s.half[flow.ToServer].isn {
		return false
	}
	switch s.state {
	case LastAck, TimeWait, Closed:
		return true
	}
	return s.state >= FinWait1 && s.half[flow.ToServer].fin && s.half[flow.ToClient].fin
}

// Result says what a segment did.
type Result struct {
	// Invalid: its numbers do not fit; it is not part of the stream, and its
	// payload is inspected on its own, if at all.
	Invalid bool
	// Established says that the handshake is complete.
	Established bool
	// Midstream: it is of a connection whose beginning was not seen, and that is
	// not followed yet.
	Midstream bool
	// InStream says that its payload became part of the stream.
	InStream bool
}
