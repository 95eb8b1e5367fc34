package suricata

import (
	"fmt"
	"slices"

	"github.com/hauberk/hauberk/suricata/netset"
)

// Type says on what a rule is evaluated (user guide, "Rule Types and
// Categorization").
type Type uint8

const (
	TypeIPOnly       Type = iota + 1 // addresses alone, once per flow and direction
	TypeLikeIPOnly                   // the same, with negated addresses
	TypeProtoOnly                    // the detected application protocol, once per flow
	TypeDecoderEvent                 // broken packets
	TypePacket                       // each packet
	TypePacketStream                 // packets and reassembled stream
	TypeStream                       // reassembled stream
	TypeAppLayer                     // flows of an application protocol
	TypeAppTx                        // transactions
)

var typeNames = [...]string{TypeIPOnly: "ip_only", TypeLikeIPOnly: "like_ip_only", TypeProtoOnly: "pd_only", TypeDecoderEvent: "de_only",
	TypePacket: "pkt", TypePacketStream: "pkt_stream", TypeStream: "stream", TypeAppLayer: "app_layer", TypeAppTx: "app_tx"}

// String is the name that Suricata's engine analysis uses.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		return "unknown"
	}
	return typeNames[t]
}

// Compiled is a rule as an engine wants it.
type Compiled struct {
	*Rule
	Type     Type
	IPProtos []uint8  // sorted; none: all
	IPv4     bool     // may match IPv4 packets
	IPv6     bool     //
	Apps     []string // application protocols it can match; none: any
	Dir      Direction

	Src, Dst         *netset.Addrs
	SrcPort, DstPort *netset.Ports

	// Vars are the variables that byte_extract and byte_math set, in order of
	// definition.
	Vars []string
	// Fast is what to scan for before anything else is evaluated; nil: nothing,
	// the rule is evaluated whenever its header matches.
	Fast *Fast

	// The options outside of chains, by when they are looked at.
	Packet, Flow, Tx, File, Events []*Option // conditions
	Post                           []*Option // after a match
}

// Fast is the pattern that triggers a rule's evaluation.
type Fast struct {
	Chain, Step int    // where it is
	Bytes       []byte // to scan for: the pattern or its chosen part
	NoCase      bool
	Negated     bool // triggers when it is not found
	// Enough: finding it is the same as matching the step.
	Enough bool
}

// Compiler compiles rules for one site.
type Compiler struct {
	vars  netset.Vars
	addrs map[string]*netset.Addrs
	ports map[string]*netset.Ports
}

// NewCompiler returns a compiler that resolves variables with vars.
func NewCompiler(vars netset.Vars) *Compiler {
	return &Compiler{vars, map[string]*netset.Addrs{}, map[string]*netset.Ports{}}
}

// Compile resolves a rule. The errors are about its header.
func (c *Compiler) Compile(r *Rule) (*Compiled, error) {
	out := &Compiled{Rule: r, Dir: r.facts.dir, Apps: r.facts.protos, IPv4: true, IPv6: true}
	if out.Dir == 0 {
		out.Dir = BothWays
	}
	var errs Errors
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, &Error{File: r.File, Line: r.Line, Column: 1, SID: r.SID, Problem: Invalid, Reason: what + ": " + err.Error()})
		}
	}
	var err error
	out.Src, err = cached(c.addrs, &r.Src, c.vars.Addrs)
	note("source", err)
	out.Dst, err = cached(c.addrs, &r.Dst, c.vars.Addrs)
	note("destination", err)
	out.SrcPort, err = cached(c.ports, &r.SrcPort, c.vars.Ports)
	note("source port", err)
	out.DstPort, err = cached(c.ports, &r.DstPort, c.vars.Ports)
	note("destination port", err)
	if len(errs) > 0 {
		return nil, errs
	}
	out.protocols()
	out.sort()
	out.variables()
	out.Type = out.classify()
	out.Fast = out.fastPattern()
	return out, nil
}

// cached resolves an expression once per text: thousands of rules share $HOME_NET.
func cached[T any](m map[string]*T, e *netset.Expr, resolve func(netset.Expr) (*T, error)) (*T, error) {
	key := e.String()
	if set, ok := m[key]; ok {
		return set, nil
	}
	set, err := resolve(*e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	m[key] = set
	return set, nil
}

// protocols sets the IP protocols and versions.
func (c *Compiled) protocols() {
	name := c.Proto.Name
	c.IPProtos = transports[name]
	switch {
	case name == "ipv4" || name == "ip4" || name == "icmpv4":
		c.IPv6 = false
	case name == "ipv6" || name == "ip6" || name == "icmpv6":
		c.IPv4 = false
	}
	// Over plain ip, the application protocols say what carries them.
	if len(c.IPProtos) == 0 && len(c.Apps) > 0 {
		for _, app := range c.Apps {
			for _, p := range apps[app] {
				if !slices.Contains(c.IPProtos, p) {
					c.IPProtos = append(slices.Clip(c.IPProtos), p)
				}
			}
		}
		slices.Sort(c.IPProtos)
	}
	if o := c.Find("ip_proto"); o != nil {
		if p := o.Value.(*IPProto); p.Op == Eq {
			c.IPProtos = []uint8{p.Number}
		}
	}
}

// sort puts the options outside of chains where they are looked at.
func (c *Compiled) sort() {
	for i := range c.Options {
		o := &c.Options[i]
		switch o.Kind {
		case PacketMatch:
			c.Packet = append(c.Packet, o)
		case FlowMatch:
			if v, ok := o.Value.(interface{ Asks() bool }); ok && !v.Asks() {
				c.Post = append(c.Post, o)
				continue
			}
			c.Flow = append(c.Flow, o)
		case TxMatch:
			c.Tx = append(c.Tx, o)
		case FileMatch:
			c.File = append(c.File, o)
		case EventMatch:
			c.Events = append(c.Events, o)
		case Action:
			c.Post = append(c.Post, o)
		}
	}
}

func (c *Compiled) variables() {
	for _, chain := range c.chains {
		for _, s := range chain.Steps {
			name := ""
			switch v := s.(type) {
			case *ByteExtract:
				name = v.Name
			case *ByteMath:
				name = v.Result
			}
			if name != "" && !slices.Contains(c.Vars, name) {
				c.Vars = append(c.Vars, name)
			}
		}
	}
}

// classify finds the type, in the order Suricata tries them.
func (c *Compiled) classify() Type {
	f := &c.facts
	switch {
	case c.Proto.Hook != "" && c.Proto.App() != "":
		return TypeAppTx
	case c.protoOnly():
		return TypeProtoOnly
	case c.ipOnly():
		if c.Src.Negated() || c.Dst.Negated() {
			return TypeLikeIPOnly
		}
		return TypeIPOnly
	case c.decoderOnly():
		return TypeDecoderEvent
	}
	payload, packet, tx := c.buffers()
	switch {
	case packet && !tx:
		return TypePacket
	case tx || len(c.Tx)+len(c.File) > 0 || slices.ContainsFunc(c.Events, isAppEvent):
		return TypeAppTx
	case payload:
		return c.payloadType()
	case len(c.Packet)+len(c.Flow)+len(c.Events) > 0:
		return TypePacket
	case f.app:
		return TypeAppLayer
	}
	return TypePacket
}

func isAppEvent(o *Option) bool { return o.Name == "app-layer-event" && EventProto(o.Value) != "" }

// buffers says what the chains look at.
func (c *Compiled) buffers() (payload, packet, tx bool) {
	for i := range c.chains {
		b := c.chains[i].Buffer
		switch {
		case b == BufPayload || b == BufBase64:
			payload = true
		case b.Info().Has(Packet):
			packet = true
		default:
			tx = true
		}
	}
	return payload, packet, tx
}

// payloadType decides between packets and stream: over TCP contents are looked
// for in the stream, and in packets too when bounded from the start or by the
// stream's size.
func (c *Compiled) payloadType() Type {
	packet, stream := c.facts.needsPacket, c.facts.needsStream
	if !packet && !stream && (len(c.IPProtos) == 0 || slices.Contains(c.IPProtos, 6)) {
		stream = true
		packet = c.Find("stream_size") != nil || slices.ContainsFunc(c.chains, func(ch Chain) bool {
			return ch.Buffer == BufPayload && slices.ContainsFunc(ch.Steps, func(s Step) bool {
				x, ok := s.(*Content)
				return ok && (x.HasDepth || x.HasOffset)
			})
		})
	}
	switch {
	case packet && !stream:
		return TypePacket
	case stream && !packet:
		return TypeStream
	}
	return TypePacketStream
}

// plain reports whether the rule looks at no payload, buffer or protocol.
func (c *Compiled) plain() bool {
	return c.Proto.Hook == "" && len(c.chains) == 0 && !c.facts.app && len(c.Tx)+len(c.File) == 0
}

// setsOnly reports whether an option leaves a rule IP-only.
func setsOnly(o *Option) bool {
	b, ok := o.Value.(*Bits)
	return o.Has(IPOnly) && (!ok || o.Name != "flowbits" || b.Cmd == "set")
}

func (c *Compiled) protoOnly() bool {
	if !c.plain() || c.Find("app-layer-protocol") == nil || len(c.Events) > 0 {
		return false
	}
	for _, o := range slices.Concat(c.Packet, c.Flow) {
		if v, ok := o.Value.(*FlowState); ok && (*v == FlowState{Dir: v.Dir}) {
			continue
		}
		if !setsOnly(o) {
			return false
		}
	}
	return true
}

func (c *Compiled) ipOnly() bool {
	if !c.plain() || c.facts.dir != 0 || len(c.Events) > 0 || c.Find("app-layer-protocol") != nil || c.Proto.Name == "pkthdr" {
		return false
	}
	for _, o := range slices.Concat(c.Packet, c.Flow, c.Post) {
		if !setsOnly(o) && o.Name != "noalert" && o.Name != "alert" {
			return false
		}
	}
	return true
}

func (c *Compiled) decoderOnly() bool {
	return c.plain() && len(c.Events) > 0 && len(c.Packet)+len(c.Flow) == 0 &&
		!slices.ContainsFunc(c.Events, func(o *Option) bool { return o.Name != "decode-event" })
}
