package stream

import (
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/seqnum"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
)

// seg is a segment on its way through the state machine.
type seg struct {
	p       *decode.Packet
	f       *flow.Flow
	dir     flow.Dir
	flags   packet.Flags
	seq     seqnum.Value
	ack     seqnum.Value
	window  uint32 // Not scaled.
	payload []byte
	s       *session
	own     *half // The direction the segment goes.
	back    *half // The direction it acknowledges.
}

func (g *seg) end() seqnum.Value { return g.seq.Add(seqnum.Size(uint32(len(g.payload)))) }

func (g *seg) has(flags packet.Flags) bool { return g.flags.Has(flags) }

func (g *seg) event(e decode.Event) { g.p.Events.Add(e) }

// Take follows a segment of a flow.
func (t *Tracker) Take(f *flow.Flow, dir flow.Dir, p *decode.Packet) Result {
	tcp := p.TCP()
	g := seg{p: p, f: f, dir: dir, flags: tcp.Flags(), seq: tcp.Seq(), ack: tcp.Ack(), window: uint32(tcp.Window()), payload: p.Payload()}
	f.TCPFlags[dir] |= g.flags
	t.countFlags(g.flags)
	if !g.has(packet.ACK) && g.ack != 0 {
		g.event(decode.EvStreamPacketBrokenAck)
	}
	s := t.session(f)
	if s == nil {
		late := g.late()
		if late && t.cfg.OnlyWhole {
			return Result{Invalid: true, Midstream: true}
		}
		if s = t.first(&g); s == nil {
			return Result{Invalid: true, Midstream: late}
		}
		g.bind(s)
		r := t.result(&g, true)
		r.Midstream = late
		return r
	}
	g.bind(s)
	ok := t.timestamps(&g) && t.dispatch(&g)
	if !ok {
		t.Counters.Invalid++
	}
	return t.result(&g, ok)
}

func (g *seg) bind(s *session) { g.s, g.own, g.back = s, &s.half[g.dir], &s.half[g.dir.Other()] }

func (t *Tracker) result(g *seg, ok bool) Result {
	return Result{Invalid: !ok, Established: g.s.state >= Established, InStream: ok && len(g.payload) > 0 && g.s.state >= Established && !g.own.stopped}
}

func (t *Tracker) countFlags(f packet.Flags) {
	switch {
	case f.Has(packet.SYN | packet.ACK):
		t.Counters.SYNACK++
	case f.Has(packet.SYN):
		t.Counters.SYN++
	}
	if f.Has(packet.RST) {
		t.Counters.RST++
	}
}

// late says whether a segment is of a connection that began before.
func (g *seg) late() bool {
	switch {
	case g.has(packet.RST), g.has(packet.FIN):
		return false
	case g.has(packet.SYN):
		return g.has(packet.ACK)
	}
	return g.has(packet.ACK)
}

// first makes a connection of a flow's first segment, if it can begin one.
func (t *Tracker) first(g *seg) *session {
	switch {
	case g.has(packet.RST):
		g.event(decode.EvStreamRstButNoSession)
	case g.has(packet.SYN | packet.FIN):
		g.event(decode.EvStreamFinSyn)
	case g.has(packet.FIN) && !t.cfg.Midstream:
		g.event(decode.EvStreamFinButNoSession)
	case g.has(packet.SYN | packet.ACK):
		if t.cfg.Midstream || t.cfg.AsyncOneside {
			return t.midstreamSynAck(g)
		}
	case g.has(packet.SYN):
		s := t.begin(g.f)
		g.bind(s)
		t.open(g, g.own)
		t.move(g, SynSent)
		return s
	case t.cfg.Midstream && g.has(packet.ACK):
		return t.midstream(g)
	}
	return nil
}

// open takes the numbers of a SYN or SYN/ACK for its own direction.
func (t *Tracker) open(g *seg, h *half) {
	h.isn, h.known, h.begun = g.seq, true, true
	h.next, h.base = g.seq.Add(1), g.seq.Add(1)
	h.lastAck = h.next
	o := &g.p.Options
	other := g.back
	other.window = g.window
	if o.Has&decode.HasScale != 0 {
		other.scale = o.Scale
	} else {
		other.scale = 0
	}
	h.hasTS = o.Has&decode.HasTimestamp != 0
	if h.hasTS {
		h.tsLast = o.TSVal
	}
	if g.has(packet.SYN) && len(g.payload) > 0 && o.Has&decode.HasFastOpen != 0 {
		t.add(g.f, g.dir, h, g.p, h.next, g.payload)
		h.next = h.next.Add(seqnum.Size(uint32(len(g.payload))))
	}
}

// midstreamSynAck follows a connection of which the SYN was not seen.
func (t *Tracker) midstreamSynAck(g *seg) *session {
	if g.dir == flow.ToServer {
		g.f.Swap()
		g.dir = flow.ToClient
	}
	s := t.begin(g.f)
	g.bind(s)
	s.midstream = true
	t.Counters.Midstream++
	t.open(g, g.own)
	client := g.back
	client.isn, client.known, client.begun = g.ack-1, true, true
	client.next, client.base, client.lastAck = g.ack, g.ack, g.ack
	client.nextWin = g.ack.Add(seqnum.Size(g.window))
	t.move(g, SynRecv)
	return s
}

// midstream follows a connection that is under way.
func (t *Tracker) midstream(g *seg) *session {
	s := t.begin(g.f)
	g.bind(s)
	s.midstream = true
	t.Counters.Midstream++
	const scale = 14 // The largest; nothing better is known.
	for _, h := range []*half{g.own, g.back} {
		h.scale = scale
	}
	g.own.isn, g.own.known, g.own.begun = g.seq-1, true, true
	g.own.next, g.own.base, g.own.lastAck = g.end(), g.seq, g.seq
	g.own.nextWin = g.end().Add(seqnum.Size(g.window << scale))
	g.back.isn, g.back.known, g.back.begun = g.ack-1, true, true
	g.back.next, g.back.base, g.back.lastAck = g.ack, g.ack, g.ack
	g.back.window = g.window << scale
	g.back.nextWin = g.ack.Add(seqnum.Size(g.back.window))
	t.move(g, Established)
	t.add(g.f, g.dir, g.own, g.p, g.seq, g.payload)
	return s
}

// move changes the connection's state, and the flow's with it.
func (t *Tracker) move(g *seg, s State) {
	g.s.state = s
	switch s {
	case Established, FinWait1, FinWait2, Closing, CloseWait:
		if g.f.State != flow.Bypassed {
			t.flows.Move(g.f, flow.Established)
		}
	case LastAck, TimeWait, Closed:
		t.flows.Move(g.f, flow.Closed)
	}
}

func (t *Tracker) dispatch(g *seg) bool {
	if g.has(packet.RST) {
		return t.reset(g)
	}
	switch g.s.state {
	case SynSent:
		return t.synSent(g)
	case SynRecv:
		return t.synRecv(g)
	case Established:
		return t.established(g)
	case Closed:
		return t.closed(g)
	}
	return t.closing(g)
}

// synSent waits for the answer to a SYN.
func (t *Tracker) synSent(g *seg) bool {
	client, server := &g.s.half[flow.ToServer], &g.s.half[flow.ToClient]
	switch {
	case g.has(packet.SYN | packet.ACK):
		if g.dir == flow.ToServer {
			if !g.s.fourWay {
				g.event(decode.EvStreamHandshakeSynAckInWrongDirection)
				return false
			}
			if g.ack != server.isn.Add(1) {
				g.event(decode.EvStreamFourWaySynAckWithWrongAck)
				return false
			}
			if g.seq != client.isn {
				g.event(decode.EvStreamFourWaySynAckWithWrongSyn)
				return false
			}
			server.nextWin = server.lastAck.Add(seqnum.Size(server.window))
			t.move(g, SynRecv)
			return true
		}
		if g.ack != client.next && g.ack != client.isn.Add(1) {
			g.event(decode.EvStreamHandshakeSynAckWithWrongAck)
			return false
		}
		t.open(g, server)
		t.acceptSynAck(g, client, server)
		t.move(g, SynRecv)
		return true
	case g.has(packet.SYN):
		if g.dir == flow.ToClient {
			g.s.fourWay = true
			t.open(g, server)
			return true
		}
		if g.seq != client.isn { // Begun anew.
			t.drop(client)
			*client = half{policy: client.policy}
			t.open(g, client)
		}
		return true
	case g.has(packet.ACK) && g.dir == flow.ToServer && (t.cfg.AsyncOneside || g.s.async):
		if g.seq != client.next {
			g.event(decode.EvStreamHandshakeAsyncWrongSeq)
			return false
		}
		g.s.async = true
		server.known, server.begun = true, true
		server.isn, server.next, server.base, server.lastAck = g.ack-1, g.ack, g.ack, g.ack
		client.nextWin = client.next.Add(seqnum.Size(max(client.window, g.window)))
		t.move(g, Established)
		t.data(g)
		return true
	}
	return true
}

// acceptSynAck settles what the SYN/ACK says of the client's direction.
func (t *Tracker) acceptSynAck(g *seg, client, server *half) {
	if g.p.Options.Has&decode.HasScale == 0 { // Scaling needs both (RFC 7323 section 2.2).
		client.scale, server.scale = 0, 0
	}
	if !client.hasTS || !server.hasTS {
		client.hasTS, server.hasTS = false, false
	}
	client.lastAck = g.ack
	client.nextWin = client.lastAck.Add(seqnum.Size(client.window))
	server.nextWin = server.lastAck.Add(seqnum.Size(server.window))
	t.acknowledge(g.f, flow.ToServer, client, g.ack)
}

// synRecv waits for the last segment of the handshake.
func (t *Tracker) synRecv(g *seg) bool {
	client, server := &g.s.half[flow.ToServer], &g.s.half[flow.ToClient]
	switch {
	case g.has(packet.FIN):
		return t.fin(g)
	case g.has(packet.SYN | packet.ACK):
		if g.dir == flow.ToServer {
			g.event(decode.EvStreamHandshakeSynAckToserverOnSynRecv)
			return false
		}
		if g.ack != client.next && g.ack != client.isn.Add(1) {
			g.event(decode.EvStreamHandshakeSynAckResendWithDiffAck)
			return false
		}
		if g.seq != server.isn {
			g.event(decode.EvStreamHandshakeSynAckResendWithDiffSeq)
			if int(g.s.synAcks) >= t.cfg.MaxSYNACK {
				g.event(decode.EvStreamHandshakeSynAckFlood)
				return false
			}
			g.s.synAcks++
			policy := server.policy
			*server = half{policy: policy}
			t.open(g, server)
			t.acceptSynAck(g, client, server)
		}
		return true
	case g.has(packet.SYN):
		if g.dir == flow.ToClient {
			g.event(decode.EvStreamHandshakeSynToclientOnSynRecv)
			return false
		}
		if g.seq != client.isn {
			g.event(decode.EvStreamHandshakeSynResendDiffSeqOnSynRecv)
			return false
		}
		return true
	case !g.has(packet.ACK):
		return true
	case g.dir == flow.ToClient:
		if g.s.midstream || g.s.fourWay && g.seq == server.next && g.ack == client.next {
			t.move(g, Established)
			t.data(g)
			return true
		}
		// Data of the server before the handshake's last segment was seen.
		if g.seq != server.next || g.ack != client.next {
			g.event(decode.EvStreamHandshakeAckInWrongDirection)
			return false
		}
		t.move(g, Established)
		t.data(g)
		return true
	}
	if g.s.fourWay {
		if g.ack != server.next {
			g.event(decode.EvStreamFourWayInvalidAck)
			return false
		}
		if g.seq != client.next {
			g.event(decode.EvStreamFourWayWrongSeq)
			return false
		}
	}
	switch {
	case g.seq == client.next && g.ack == server.next,
		client.next.LessEq(g.seq) && g.seq.LessEq(client.nextWin) && g.ack == server.next, // The ACK itself was lost.
		g.seq == client.next && server.next.Less(g.ack) && g.ack.LessEq(server.nextWin):
		t.move(g, Established)
		t.data(g)
		return true
	case g.seq == client.next:
		g.event(decode.EvStreamHandshakeRightSeqWrongAckEvasion)
	default:
		g.event(decode.EvStreamHandshakeWrongSeqWrongAck)
	}
	return false
}

// established takes data, and what begins an end.
func (t *Tracker) established(g *seg) bool {
	client, server := &g.s.half[flow.ToServer], &g.s.half[flow.ToClient]
	switch {
	case g.has(packet.FIN):
		return t.fin(g)
	case g.has(packet.SYN | packet.ACK):
		switch {
		case g.dir == flow.ToServer:
			g.event(decode.EvStreamEstablishedSynAckToserver)
		case g.ack != client.lastAck && g.ack != client.isn.Add(1):
			g.event(decode.EvStreamEstablishedSynAckResendWithDiffAck)
		case g.seq != server.isn:
			g.event(decode.EvStreamEstablishedSynAckResendWithDiffSeq)
		default:
			g.event(decode.EvStreamEstablishedSynAckResend)
			return true
		}
		return false
	case g.has(packet.SYN):
		switch {
		case g.dir == flow.ToClient:
			g.event(decode.EvStreamEstablishedSynToclient)
		case g.seq != client.isn:
			g.event(decode.EvStreamEstablishedSynResendDiffSeq)
		default:
			g.event(decode.EvStreamEstablishedSynResend)
			return true
		}
		return false
	}
	return t.checked(g, decode.EvStreamEstablishedInvalidAck, decode.EvStreamEstablishedPacketBeforeLastAck, decode.EvStreamEstablishedPacketOutOfWindow)
}

// checked takes a segment if its numbers fit.
func (t *Tracker) checked(g *seg, badAck, before, outside decode.Event) bool {
	if g.has(packet.ACK) {
		if g.back.zwp && g.ack == g.back.next.Add(1) {
			g.event(decode.EvStreamEstablishedAckZWPData)
		} else if !t.validAck(g) {
			g.event(badAck)
			return false
		}
	}
	keepAlive := len(g.payload) <= 1 && g.seq == g.own.next-1
	if !keepAlive && g.end().Less(g.own.lastAck) {
		unseen := g.own.next.Less(g.own.lastAck) && g.own.next.Less(g.end())
		if !unseen && !g.s.async {
			g.event(before)
			return false
		}
	}
	probe := len(g.payload) == 1 && g.seq == g.own.next && g.own.window == 0
	if !probe && !g.end().LessEq(g.own.nextWin) && !g.s.midstream && !g.s.async {
		t.Counters.BeyondWin++
		g.event(outside)
		return false
	}
	if probe {
		g.own.zwp = true
	}
	t.data(g)
	return true
}

// data takes a segment whose numbers fit: its acknowledgement first, then its bytes.
func (t *Tracker) data(g *seg) {
	g.back.window = g.window << g.back.scale
	if g.has(packet.ACK) {
		t.update(g)
	}
	if g.own.next.Less(g.end()) {
		g.own.next = g.end()
	}
	if g.s.async {
		g.own.lastAck = seqnum.Max(g.own.lastAck, g.seq)
	}
	t.add(g.f, g.dir, g.own, g.p, g.seq, g.payload)
	if g.s.async {
		t.acknowledge(g.f, g.dir, g.own, g.end())
	}
	t.settle(g.f, g.dir.Other(), g.back)
}

// update takes the acknowledgement of a segment.
func (t *Tracker) update(g *seg) {
	if g.back.lastAck.Less(g.ack) {
		g.back.lastAck = g.ack
		if g.back.next.Less(g.ack) && !g.s.async {
			t.Counters.AckUnseenData++
		}
	}
	if edge := g.back.lastAck.Add(seqnum.Size(g.back.window)); g.back.nextWin.Less(edge) || !g.back.known {
		g.back.nextWin = edge
	}
	t.acknowledge(g.f, g.dir.Other(), g.back, g.ack)
}

// validAck says whether an acknowledgement lies within what its sender can have.
func (t *Tracker) validAck(g *seg) bool {
	h := g.back
	ok := true
	switch {
	case g.ack.Less(h.lastAck):
		ok = h.window == 0 || h.lastAck.Add(-seqnum.Size(h.window)).LessEq(g.ack)
	case g.s.async:
	case g.s.state > SynSent:
		ok = g.ack.LessEq(h.nextWin) || g.ack == h.lastAck
	}
	if !ok {
		g.event(decode.EvStreamPacketInvalidAck)
	}
	return ok
}

// fin takes the first FIN of a connection.
func (t *Tracker) fin(g *seg) bool {
	if g.has(packet.ACK) && !t.validAck(g) {
		g.event(decode.EvStreamFinInvalidAck)
		return false
	}
	if g.seq.Less(g.own.lastAck) || !g.end().LessEq(g.own.nextWin) && !g.s.midstream {
		g.event(decode.EvStreamFinOutOfWindow)
		return false
	}
	if g.has(packet.SYN) {
		g.event(decode.EvStreamFinSyn)
		return false
	}
	if g.dir == flow.ToServer {
		t.move(g, CloseWait)
	} else {
		t.move(g, FinWait1)
	}
	t.data(g)
	g.own.fin = true
	g.own.next = seqnum.Max(g.own.next, g.end().Add(1))
	return true
}

// closing takes the segments after the first FIN.
func (t *Tracker) closing(g *seg) bool {
	if g.has(packet.SYN) {
		g.event(decode.EvStreamShutdownSynResend)
		return false
	}
	names := closingEvents[g.s.state]
	if g.has(packet.ACK) && !t.validAck(g) {
		g.event(names.ack)
		return false
	}
	again := g.own.fin && len(g.payload) == 0 && g.end().LessEq(g.own.next) // A FIN or ACK sent again.
	if !again && (g.end().Less(g.own.lastAck) || !g.end().LessEq(g.own.nextWin.Add(1))) && !g.s.midstream && !g.s.async {
		if g.has(packet.FIN) {
			g.event(names.fin)
		} else {
			g.event(names.seq)
		}
		return false
	}
	t.data(g)
	closes := g.has(packet.FIN) && !g.own.fin
	if closes {
		g.own.fin = true
		g.own.next = seqnum.Max(g.own.next, g.end().Add(1))
	}
	ackOfFin := g.has(packet.ACK) && g.back.fin && g.back.next.LessEq(g.ack)
	switch g.s.state {
	case FinWait1:
		switch {
		case closes && ackOfFin:
			t.move(g, TimeWait)
		case closes:
			t.move(g, Closing)
		case ackOfFin:
			t.move(g, FinWait2)
		}
	case FinWait2:
		if closes {
			t.move(g, TimeWait)
		}
	case CloseWait:
		if closes && g.dir == flow.ToClient {
			t.move(g, LastAck)
		}
	case Closing:
		if ackOfFin {
			t.move(g, TimeWait)
		}
	case LastAck:
		if ackOfFin && g.dir == flow.ToServer {
			t.move(g, Closed)
		}
	case TimeWait:
		if ackOfFin && g.has(packet.ACK) {
			t.move(g, Closed)
		}
	}
	t.settle(g.f, g.dir.Other(), g.back)
	return true
}

// closingEvents are raised for what does not fit, by state: an
// acknowledgement, a FIN, another segment.
var closingEvents = map[State]struct{ ack, fin, seq decode.Event }{
	FinWait1:  {decode.EvStreamFinWait1InvalidAck, decode.EvStreamFinWait1FinWrongSeq, decode.EvStreamFinWait1AckWrongSeq},
	FinWait2:  {decode.EvStreamFinWait2InvalidAck, decode.EvStreamFinWait2FinWrongSeq, decode.EvStreamFinWait2AckWrongSeq},
	CloseWait: {decode.EvStreamCloseWaitInvalidAck, decode.EvStreamCloseWaitFinOutOfWindow, decode.EvStreamCloseWaitAckOutOfWindow},
	Closing:   {decode.EvStreamClosingInvalidAck, decode.EvStreamClosingAckWrongSeq, decode.EvStreamClosingAckWrongSeq},
	LastAck:   {decode.EvStreamLastAckInvalidAck, decode.EvStreamLastAckAckWrongSeq, decode.EvStreamLastAckAckWrongSeq},
	TimeWait:  {decode.EvStreamTimeWaitInvalidAck, decode.EvStreamTimeWaitAckWrongSeq, decode.EvStreamTimeWaitAckWrongSeq},
}

// reset ends a connection, if the RST is one its receiver would take.
func (t *Tracker) reset(g *seg) bool {
	if g.s.state == Closed {
		return true
	}
	if g.has(packet.ACK) && len(g.payload) > 0 {
		g.event(decode.EvStreamRstWithData)
	}
	if g.s.state == SynSent && g.dir == flow.ToClient {
		if g.has(packet.ACK) && g.ack != g.back.isn.Add(1) && g.ack != g.back.next {
			g.event(decode.EvStreamRstInvalidAck)
			return false
		}
	} else {
		if g.has(packet.ACK) && g.back.known && !t.validAck(g) {
			g.event(decode.EvStreamRstInvalidAck)
			return false
		}
		if g.own.known && !g.s.midstream && (g.seq.Less(g.own.lastAck) || g.own.nextWin != 0 && !g.seq.LessEq(seqnum.Max(g.own.nextWin, g.own.next))) {
			return false
		}
	}
	if g.has(packet.ACK) && g.back.begun {
		t.acknowledge(g.f, g.dir.Other(), g.back, seqnum.Min(g.ack, g.back.next))
	}
	t.move(g, Closed)
	for d := range g.s.half { // Nobody acknowledges any more.
		h := &g.s.half[d]
		if !h.stopped && h.begun {
			t.deliver(g.f, flow.Dir(d), h, h.high, true)
			t.tellEnd(g.f, flow.Dir(d), h)
		}
	}
	return true
}

// closed takes what comes after the end.
func (t *Tracker) closed(g *seg) bool {
	if g.has(packet.ACK) && g.back.begun {
		t.acknowledge(g.f, g.dir.Other(), g.back, seqnum.Min(g.ack, g.back.next))
	}
	t.settle(g.f, flow.ToServer, &g.s.half[flow.ToServer])
	t.settle(g.f, flow.ToClient, &g.s.half[flow.ToClient])
	return true
}

// timestamps holds a segment against the last one of its direction
// (RFC 7323 section 5).
func (t *Tracker) timestamps(g *seg) bool {
	if !g.own.hasTS || g.p.Options.Has&decode.HasTimestamp == 0 || g.has(packet.SYN) || g.has(packet.RST) {
		return true
	}
	now := g.p.Options.TSVal
	if g.own.tsLast != 0 && int32(now-g.own.tsLast) < -1 && len(g.payload) > 0 {
		g.event(decode.EvStreamPacketInvalidTimestamp)
		return false
	}
	if int32(now-g.own.tsLast) > 0 && g.seq.LessEq(g.own.next) {
		g.own.tsLast = now
	}
	return true
}
