// Package flow knows the conversations of one pipeline: who talks to whom, how
// much, in which state, and since when. A flow is found by the key of a packet
// and ends by its timeout, as Suricata's flow table has it.
//
// Records hold no pointers and live in a slab. What other layers keep for a
// flow (reassembly, parsers, variables) lies beside it, by the index of its
// handle. A [Table] belongs to one goroutine; time is that of the packets.
package flow

import (
	"net/netip"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
)

// Dir is the direction a packet of a flow travels in, an index of arrays of two.
type Dir uint8

// The directions.
const (
	ToServer Dir = iota
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

// State is how far a flow has come.
type State uint8

// The states of a flow; their names are EVE's.
const (
	New         State = iota
	Established       // Both ends have spoken.
	Closed            // TCP ended it.
	Bypassed          // Nothing that follows is inspected.
	states
)

// String is the state's name in EVE.
func (s State) String() string {
	return [...]string{"new", "established", "closed", "bypassed"}[s]
}

// Reason says why a flow ended; the names are EVE's.
type Reason uint8

// The ends of flows.
const (
	Timeout  Reason = iota
	Forced          // To make room.
	Shutdown        // The sensor ends.
	Reused          // TCP began anew with the same ports.
)

// String is the reason's name in EVE.
func (r Reason) String() string {
	return [...]string{"timeout", "forced", "shutdown", "tcp_reuse"}[r]
}

// Flow is one conversation.
type Flow struct {
	Key    packet.Key
	Handle slab.Handle
	// ID is the same for the same capture, wherever and however it is read.
	ID          uint64
	Start, Last int64  // Nanoseconds since 1970, of its first and last packet.
	FirstPacket uint64 // Number of its first packet.
	Packets     [2]uint64
	Bytes       [2]uint64 // With link headers.

	// Parent is the flow this one was announced by (FTP data), 0 if none.
	Parent uint64

	next       uint32 // In its bucket.
	later      uint32 // In its slot of the wheel, both ways.
	earlier    uint32
	slot       uint32
	ICMPType   uint8 // Of the first packet, with its answer's.
	ICMPCode   uint8
	AnswerType uint8
	AnswerCode uint8
	TCPFlags   [2]packet.Flags // Of all packets.
	MinTTL     [2]uint8
	MaxTTL     [2]uint8
	State      State
	class      class
	clientLow  bool // The client is the low end of the key.
	Alerted    bool
	// NoInspection: a pass rule, or a parser that met encryption, says that
	// neither payloads nor streams need looking at.
	NoInspection bool
	// Bypass: a rule or a parser wants none of its packets followed any more.
	Bypass bool
	// Passed: a rule or a policy lets all of it through.
	Passed bool
	// Exceptions has a bit for each kind of trouble a policy was applied for.
	Exceptions uint8
	// Dropped: a rule drops all that follows.
	Dropped bool
	// DropLogged says in which directions a drop was logged.
	DropLogged [2]bool
	// Judged says in which directions rules on addresses alone were evaluated.
	Judged [2]bool
	// AppKnown says in which directions the application protocol was
	// looked at by rules that name only it.
	AppJudged [2]bool
	Emergency bool // It was made while there was no room.
}

// Client is the end that began.
func (f *Flow) Client() netip.AddrPort {
	if f.clientLow {
		return f.Key.Low()
	}
	return f.Key.High()
}

// Server is the end that was addressed first.
func (f *Flow) Server() netip.AddrPort {
	if f.clientLow {
		return f.Key.High()
	}
	return f.Key.Low()
}

// Proto is the transport.
func (f *Flow) Proto() packet.Proto { return f.Key.Proto() }

// Dir is the direction of a packet of the flow.
func (f *Flow) Dir(p *decode.Packet) Dir {
	if (p.Flags&decode.Swapped != 0) == f.clientLow {
		return ToClient
	}
	return ToServer
}

// Swap turns the flow around: what was taken for the client is the server.
func (f *Flow) Swap() {
	f.clientLow = !f.clientLow
	f.Packets[0], f.Packets[1] = f.Packets[1], f.Packets[0]
	f.Bytes[0], f.Bytes[1] = f.Bytes[1], f.Bytes[0]
	f.TCPFlags[0], f.TCPFlags[1] = f.TCPFlags[1], f.TCPFlags[0]
	f.MinTTL[0], f.MinTTL[1] = f.MinTTL[1], f.MinTTL[0]
	f.MaxTTL[0], f.MaxTTL[1] = f.MaxTTL[1], f.MaxTTL[0]
	f.Judged[0], f.Judged[1] = f.Judged[1], f.Judged[0]
	f.AppJudged[0], f.AppJudged[1] = f.AppJudged[1], f.AppJudged[0]
	f.DropLogged[0], f.DropLogged[1] = f.DropLogged[1], f.DropLogged[0]
}

// class groups the protocols that share timeouts.
type class uint8

const (
	classDefault class = iota
	classTCP
	classUDP
	classICMP
	classes
)

func classOf(p packet.Proto) class {
	switch p {
	case packet.ProtoTCP:
		return classTCP
	case packet.ProtoUDP:
		return classUDP
	case packet.ProtoICMPv4, packet.ProtoICMPv6:
		return classICMP
	}
	return classDefault
}
