package detect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/suricata"
)

// Packet is what the engine judges: a packet with what the layers before know
// of its flow.
type Packet struct {
	*decode.Packet
	Flow  *flow.Flow // nil: it has none.
	State *FlowState // nil without a flow.
	Dir   flow.Dir
	// Established: both ends of the flow have spoken; of TCP, the handshake is
	// complete.
	Established bool
	// InStream: its payload is part of the stream, where stream rules see it.
	InStream bool
	// Stream is what was put in order in the packet's direction and not
	// inspected yet, with some of what was before it; StreamAt its offset,
	// StreamNew the offset from which on it is new.
	Stream              []byte
	StreamAt, StreamNew uint64
	// Sizes are how many bytes of the stream each direction has.
	Sizes [2]uint64
	// App is the application protocol, "" while it is not known; AppFailed says
	// that it never will be.
	App       string
	AppFailed bool
	// Engine names events of the layers above decoding, such as
	// applayer_detect_protocol_only_one_direction.
	Engine []string
}

// FlowState is what rules remember of a flow. The zero value is ready.
type FlowState struct {
	bits    []uint64
	ints    map[int]uint32
	matched map[int32]uint64 // Stream rules: the end of what they matched in.
	streams *[2]streamState
	passed  bool
	set     *Ruleset // That matched belongs to.
}

// Bits returns the names of the flowbits that are set, in the order of their
// first use in rules.
func (s *Ruleset) Bits(f *FlowState) (list []string) {
	for name, i := range s.bits {
		if f.bit(i) {
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return s.bits[a] - s.bits[b] })
	return list
}

func (f *FlowState) bit(i int) bool { return i>>6 < len(f.bits) && f.bits[i>>6]>>(i&63)&1 == 1 }

func (f *FlowState) setBit(i int, on bool) {
	for i>>6 >= len(f.bits) {
		f.bits = append(f.bits, 0)
	}
	if on {
		f.bits[i>>6] |= 1 << (i & 63)
	} else {
		f.bits[i>>6] &^= 1 << (i & 63)
	}
}

// flowCondition is a condition on a flow.
type flowCondition func(*Engine, *Packet) bool

func (s *Ruleset) flowConditionOf(o *suricata.Option) (flowCondition, error) {
	f, err := s.plainFlowCondition(o)
	if err != nil || !o.Negated {
		return f, err
	}
	return func(e *Engine, p *Packet) bool { return p.Flow != nil && !f(e, p) }, nil
}

func (s *Ruleset) plainFlowCondition(o *suricata.Option) (flowCondition, error) {
	switch v := o.Value.(type) {
	case *suricata.FlowState:
		return flowStateCondition(v), nil
	case *suricata.Bits:
		if o.Name == "flowbits" {
			return s.bitCondition(v), nil
		}
		return s.xbitCondition(o.Name, v), nil
	case *suricata.FlowInt:
		return s.intCondition(v)
	case *suricata.StreamSize:
		return sides(v.Side, "server", "client", &v.Size, func(p *Packet) ([2]uint64, bool) {
			return p.Sizes, p.Flow != nil && p.Layer4 == decode.TCP
		}), nil
	case *suricata.FlowCount:
		counts := func(p *Packet) ([2]uint64, bool) { return p.Flow.Packets, true }
		if o.Name == "flow.bytes" {
			counts = func(p *Packet) ([2]uint64, bool) { return p.Flow.Bytes, true }
		}
		return ofFlow(sides(v.Side, "toclient", "toserver", &v.Size, counts)), nil
	case *suricata.Reputation:
		f, err := s.site.Data.Reputation.Condition(v)
		return func(e *Engine, _ *Packet) bool { return f(e.src, e.dst) }, err
	case *suricata.Uint:
		return flowNumber(o.Name, v)
	}
	if o.Name == "app-layer-protocol" {
		return appCondition(o.Value.String()), nil
	}
	return nil, fmt.Errorf("%s is not applied yet", o.Name)
}

// ofFlow makes a condition that packets without a flow fail.
func ofFlow(f flowCondition) flowCondition {
	return func(e *Engine, p *Packet) bool { return p.Flow != nil && f(e, p) }
}

func flowStateCondition(v *suricata.FlowState) flowCondition {
	return func(_ *Engine, p *Packet) bool {
		switch {
		case p.Flow == nil && (v.Established || v.NotEstablished || v.Dir != 0):
			return false
		case v.Established && !p.Established, v.NotEstablished && p.Established:
			return false
		case v.Dir == suricata.ToServer && p.Dir != flow.ToServer, v.Dir == suricata.ToClient && p.Dir != flow.ToClient:
			return false
		case v.Frag && p.Flags&decode.Rebuilt == 0, v.NoFrag && p.Flags&decode.Rebuilt != 0:
			return false
		}
		return true
	}
}

func (s *Ruleset) bitCondition(v *suricata.Bits) flowCondition {
	var ids []int
	for _, name := range v.Names {
		ids = append(ids, s.bits.of(name))
	}
	want := v.Cmd == "isset"
	return func(_ *Engine, p *Packet) bool {
		if p.State == nil {
			return false
		}
		for _, id := range ids {
			if p.State.bit(id) == want {
				return true
			}
		}
		return false
	}
}

func (s *Ruleset) intCondition(v *suricata.FlowInt) (flowCondition, error) {
	id := s.ints.of(v.Name)
	other := -1
	if v.Arg.Var != "" {
		other = s.ints.of(v.Arg.Var)
	}
	return func(_ *Engine, p *Packet) bool {
		if p.State == nil {
			return false
		}
		have, set := p.State.ints[id]
		switch v.Op {
		case "isset":
			return set
		case "isnotset":
			return !set
		}
		if !set {
			return false
		}
		with := uint32(v.Arg.N)
		if other >= 0 {
			if with, set = p.State.ints[other]; !set {
				return false
			}
		}
		switch v.Op {
		case "<":
			return have < with
		case "<=":
			return have <= with
		case ">":
			return have > with
		case ">=":
			return have >= with
		case "!=":
			return have != with
		}
		return have == with
	}, nil
}

// sides compares the numbers of both directions; first and second name the
// sides that send to the client and to the server.
func sides(side, fromServer, fromClient string, u *suricata.Uint, numbers func(*Packet) ([2]uint64, bool)) flowCondition {
	return func(_ *Engine, p *Packet) bool {
		n, ok := numbers(p)
		if !ok {
			return false
		}
		client, server := u.Match(n[flow.ToServer]), u.Match(n[flow.ToClient])
		switch side {
		case fromServer:
			return server
		case fromClient:
			return client
		case "both":
			return client && server
		}
		return client || server
	}
}

func flowNumber(name string, u *suricata.Uint) (flowCondition, error) {
	number, ok := map[string]func(*Packet) uint64{
		"flow.age":            func(p *Packet) uint64 { return uint64(p.Time-p.Flow.Start) / 1e9 },
		"flow.pkts_toserver":  func(p *Packet) uint64 { return p.Flow.Packets[flow.ToServer] },
		"flow.pkts_toclient":  func(p *Packet) uint64 { return p.Flow.Packets[flow.ToClient] },
		"flow.bytes_toserver": func(p *Packet) uint64 { return p.Flow.Bytes[flow.ToServer] },
		"flow.bytes_toclient": func(p *Packet) uint64 { return p.Flow.Bytes[flow.ToClient] },
	}[name]
	if !ok {
		return nil, fmt.Errorf("%s is not applied yet", name)
	}
	return func(_ *Engine, p *Packet) bool { return p.Flow != nil && u.Match(number(p)) }, nil
}

// appCondition is app-layer-protocol: names with | between them, and how.
func appCondition(text string) flowCondition {
	names, _, _ := strings.Cut(text, ",")
	list := strings.Split(names, "|")
	return func(_ *Engine, p *Packet) bool {
		if p.Flow == nil {
			return false
		}
		switch {
		case p.App != "":
			return slices.ContainsFunc(list, func(name string) bool { return appMatches(name, p.App) })
		case p.AppFailed:
			return slices.Contains(list, "failed")
		}
		return slices.Contains(list, "unknown")
	}
}

// appMatches says whether a name in a rule stands for a protocol.
func appMatches(name, app string) bool {
	return name == app || name == "http" && (app == "http1" || app == "http2") || name == "http1" && app == "http" ||
		name == "dns" && (app == "doh2") || name == "http2" && app == "doh2"
}

// protoOf is the group of a packet.
func protoOf(p *decode.Packet) proto {
	switch p.Proto {
	case packet.ProtoTCP:
		return tcp
	case packet.ProtoUDP:
		return udp
	case packet.ProtoICMPv4, packet.ProtoICMPv6:
		return icmp
	}
	return other
}
