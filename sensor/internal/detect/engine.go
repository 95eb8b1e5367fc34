package detect

import (
	"net/netip"
	"slices"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect/state"
	"github.com/hauberk/hauberk/sensor/internal/detect/transform"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
	"github.com/hauberk/hauberk/suricata/multi"
	"github.com/hauberk/hauberk/suricata/netset"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// Alert is a rule that matched.
type Alert struct {
	Rule   *suricata.Compiled
	Action suricata.Verb // What became of the packet by it.
	Class  siteconf.Class
	// Tx is the transaction it matched in, -1 if in none.
	Tx int64
	// Stream: it matched in the stream, not in the packet's own payload.
	Stream bool
	// Silent: it has noalert, or a threshold keeps it from being told.
	Silent bool
	// Dropped: a rate_filter or the rule's action drops the packet.
	Dropped bool
	// Context is what datasets know of the values the rule found in them.
	Context []state.Context

	rule *rule
}

// Counters of an engine.
type Counters struct {
	Alerts, Suppressed, Overflow uint64
	Evaluated, Matched           uint64
	Steps                        uint64
	Forgotten                    uint64 // Thresholds and bits of hosts, for want of room.
}

// Engine applies a ruleset to the packets of one pipeline. It is not safe for
// concurrent use.
type Engine struct {
	Counters Counters

	set        *Ruleset
	limits     *limits
	multi      multi.Scratch
	state      match.State
	candidates []*rule
	hits       []*rule
	transform  transform.Scratch
	missing    []bool
	alerts     []Alert
	header     []byte
	scratch    []byte            // For buffers that transactions must make.
	hosts      map[hostKey]int64 // Until when each bit is set.
	members    []membership      // By address set.
	packets    uint64            // Inspections so far.
	src, dst   netip.Addr        // Of the packet under inspection.
	context    []state.Context   // That the rule under evaluation found.
}

// NewEngine returns an engine for one pipeline.
func NewEngine(s *Ruleset) *Engine {
	e := &Engine{set: s, hosts: map[hostKey]int64{}, members: make([]membership, len(s.sets))}
	e.limits = newLimits(s.site.Thresholds, &e.Counters.Forgotten)
	e.state.Lookup = e.lookup
	return e
}

// lookup answers a condition on a dataset.
func (e *Engine) lookup(s *suricata.DataStep, data []byte) bool {
	c, ok := e.set.site.Data.Lookup(s).Match(data)
	if ok && c.Key != "" && !slices.Contains(e.context, c) {
		e.context = append(e.context, c)
	}
	return ok
}

// Rules are those the engine applies.
func (e *Engine) Rules() *Ruleset { return e.set }

// Replace applies other rules from now on. What the old ones counted is kept:
// thresholds, bits of hosts, and the bits of flows.
func (e *Engine) Replace(s *Ruleset) {
	e.set = s
	e.members = make([]membership, len(s.sets))
	e.limits.site(s.site.Thresholds)
}

// Inspect judges a packet by all rules that are not on transactions. The
// alerts are good until the next call.
func (e *Engine) Inspect(p *Packet) []Alert {
	e.begin(p)
	if p.State != nil && p.State.set != e.set {
		p.State.set, p.State.matched = e.set, nil
	}
	if p.State != nil && p.State.passed || p.Flow != nil && p.Flow.NoInspection {
		return nil
	}
	if !p.Events.Empty() {
		for _, r := range e.set.decode.decode {
			if e.hasEvent(r, p) && e.matches(r, p) {
				e.matched(r, p, false)
			}
		}
	}
	if !isIP(p.Packet) || p.Flags&decode.Invalid != 0 {
		return e.settle(p)
	}
	e.collect(p)
	for _, r := range e.candidates {
		e.judge(r, p)
		if p.State != nil && p.State.passed {
			break
		}
	}
	return e.settle(p)
}

// begin forgets what was known of the packet before.
func (e *Engine) begin(p *Packet) {
	e.alerts = e.alerts[:0]
	e.packets++
	e.src, e.dst = p.Src(), p.Dst()
}

// collect finds the candidates, in the order of evaluation.
func (e *Engine) collect(p *Packet) {
	g := &e.set.groups[protoOf(p.Packet)][p.Dir]
	list := e.hits[:0]
	if p.Flow == nil || !p.Flow.Judged[p.Dir] {
		list = append(list, g.once...)
		list = append(list, g.bySrc.find(e.src)...)
		list = append(list, g.byDst.find(e.dst)...)
	}
	if p.App != "" && (p.Flow == nil || !p.Flow.AppJudged[p.Dir]) {
		list = append(list, g.apps...)
	}
	if !p.Events.Empty() {
		list = append(list, g.decode...)
	}
	if data := p.Payload(); len(data) > 0 && p.Flags&decode.NoPayloadInspection == 0 {
		list = e.find(list, &g.packet, p, data, 0)
		if !p.InStream {
			list = e.find(list, &g.stream, p, data, 0)
		}
	} else {
		list = append(append(list, g.packet.common.negated...), g.stream.common.negated...)
	}
	if len(p.Stream) > 0 {
		list = e.ofStream(list, &g.stream, p)
	}
	slices.SortFunc(list, byIndex)
	list = slices.Compact(list)
	e.hits = list
	e.candidates = merge(e.candidates[:0], g.always.at(p), list)
}

func byIndex(a, b *rule) int { return int(a.index - b.index) }

// merge appends two ordered lists without a common member, in order.
func merge(out, a, b []*rule) []*rule {
	for len(a) > 0 && len(b) > 0 {
		if a[0].index < b[0].index {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func (e *Engine) judge(r *rule, p *Packet) {
	if !e.matches(r, p) {
		return
	}
	if len(r.events) > 0 && !e.hasEvent(r, p) {
		return
	}
	stream, ok := e.chains(r, p)
	if ok {
		e.matched(r, p, stream)
	}
}

// matches evaluates everything but the chains.
func (e *Engine) matches(r *rule, p *Packet) bool {
	e.Counters.Evaluated++
	e.context = e.context[:0]
	if len(r.Apps) > 0 && r.Type != suricata.TypeDecoderEvent && r.Type != suricata.TypeAppTx && !r.hasApp(p.App) {
		return false
	}
	if r.Type != suricata.TypeDecoderEvent && !e.headerMatches(r, p) {
		return false
	}
	for _, f := range r.packet {
		if !f(p.Packet) {
			return false
		}
	}
	for _, f := range r.flow {
		if !f(e, p) {
			return false
		}
	}
	for _, name := range r.engine {
		if r.Type == suricata.TypeAppTx {
			break // Of a transaction.
		}
		if !slices.Contains(p.Engine, name) {
			return false
		}
	}
	return true
}

func (r *rule) hasApp(app string) bool {
	if app == "" {
		return false
	}
	for _, name := range r.Apps {
		if name == app || appMatches(name, app) {
			return true
		}
	}
	return false
}

func (e *Engine) hasEvent(r *rule, p *Packet) bool {
	for _, ev := range r.events {
		if !p.Events.Has(ev) {
			return false
		}
	}
	return true
}

// headerMatches compares protocol, addresses and ports.
func (e *Engine) headerMatches(r *rule, p *Packet) bool {
	if p.Layer3 == decode.IPv4 && !r.IPv4 || p.Layer3 == decode.IPv6 && !r.IPv6 {
		return false
	}
	if len(r.IPProtos) > 0 && !slices.Contains(r.IPProtos, uint8(p.Proto)) {
		return false
	}
	ports := hasPorts(p.Packet)
	if (!ports || contains(r.SrcPort, p.SrcPort) && contains(r.DstPort, p.DstPort)) && e.member(r.src, p, false) && e.member(r.dst, p, true) {
		return true
	}
	return r.both && (!ports || contains(r.SrcPort, p.DstPort) && contains(r.DstPort, p.SrcPort)) && e.member(r.src, p, true) && e.member(r.dst, p, false)
}

// membership is what is known of a packet's addresses and a set of them.
type membership struct {
	packet uint64 // Of which it is known, by the engine's count.
	known  [2]bool
	in     [2]bool
}

// member says whether the source or the destination of a packet is in a set.
// Many rules share a set: each is asked once for a packet.
func (e *Engine) member(set *addressSet, p *Packet, dst bool) bool {
	if set.any {
		return true
	}
	m, end := &e.members[set.id], 0
	if dst {
		end = 1
	}
	if m.packet != e.packets {
		*m = membership{packet: e.packets}
	}
	if !m.known[end] {
		a := e.src
		if dst {
			a = e.dst
		}
		m.known[end], m.in[end] = true, set.Contains(a)
	}
	return m.in[end]
}

func contains(p *netset.Ports, port uint16) bool { return p.Any() || p.Contains(port) }

func hasPorts(p *decode.Packet) bool {
	return p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP || p.Proto == packet.ProtoSCTP
}

// chains evaluates a rule's buffers. It says whether the stream decided.
func (e *Engine) chains(r *rule, p *Packet) (stream, ok bool) {
	if len(r.chains) == 0 {
		return false, true
	}
	payloadSeen := false
	for i := range r.chains {
		b := r.chains[i].Buffer
		if b == suricata.BufPayload || r.programs[i] == nil {
			payloadSeen = true
			continue
		}
		e.header = e.header[:0]
		data, has := header(p.Packet, b, e.header)
		if !has || !e.run(r, i, match.Buffer{Data: data}) {
			return false, false
		}
	}
	if !payloadSeen {
		return false, true
	}
	if r.wantsStream && len(p.Stream) > 0 {
		data, at := p.Stream, p.StreamAt
		if p.State != nil {
			if end, again := p.State.matched[r.index]; again && end > at {
				if end >= at+uint64(len(data)) {
					data = nil
				} else {
					data, at = data[end-at:], end
				}
			}
		}
		if len(data) > 0 && e.payload(r, match.Buffer{Data: data, Offset: at}) {
			return true, true
		}
	}
	if r.wantsStream && !r.wantsPacket && p.InStream {
		return false, false // The stream has it, or will.
	}
	if p.Flags&decode.NoPayloadInspection != 0 {
		return false, false
	}
	return false, e.payload(r, match.Buffer{Data: p.Payload()})
}

// payload evaluates the chains on the payload.
func (e *Engine) payload(r *rule, b match.Buffer) bool {
	for i := range r.chains {
		if r.chains[i].Buffer == suricata.BufPayload && r.programs[i] != nil && !e.run(r, i, b) {
			return false
		}
	}
	return true
}

func (e *Engine) run(r *rule, chain int, b match.Buffer) bool {
	if need := len(r.Vars); len(e.state.Vars) < need {
		e.state.Vars = make([]uint64, need)
	}
	if t := r.transforms[chain]; t != nil {
		b = match.Buffer{Data: t.Apply(&e.transform, b.Data), Little: b.Little}
	}
	before := e.state.Steps
	ok := r.programs[chain].Match(b, &e.state)
	e.Counters.Steps += uint64(e.state.Steps - before)
	return ok
}
