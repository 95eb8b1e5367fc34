package sensor

import (
	"strings"
	"time"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
	"github.com/hauberk/hauberk/sensor/internal/stream"
	"github.com/hauberk/hauberk/suricata"
)

// The way of a packet through a pipeline, all of it in one goroutine:
//
//	decode    bytes -> packets, inner before outer; events
//	flow      packet -> flow and direction
//	stream    segment -> state of the connection; bytes in order, when acknowledged
//	detect    packet and stream -> rules that match
//	log       alerts, anomalies; at its end, the flow

// pipeline is everything that follows one share of the flows.
type pipeline struct {
	decoder  *decode.Decoder
	flows    *flow.Table
	tracker  *stream.Tracker
	engine   *detect.Engine // nil: rules are not wanted.
	out      *outputs
	registry *app.Registry
	expected expected

	sink Sink // nil: the sensor is no node.
	// watch is told of every match in the place of the logs; nil: they are.
	watch     func(in *detect.Packet, a *detect.Alert, tx app.Tx)
	settings  settings
	sums      checksums
	batch     decode.Batch
	root      *decode.Packet  // The packet that was captured, while it is followed.
	maker     *decode.Decoder // Of packets made at the end of flows,
	own       decode.Batch    // and those.
	link      packet.LinkType
	beside    []*[besideChunk]beside // By index of the flow.
	raw       *slab.Arena            // Of the windows.
	current   detect.Packet          // The packet under inspection.
	now       int64
	reloaded  int64 // When rules were replaced last, 0 if never.
	first     int64
	fastLine  []byte
	err       error // The first of writing logs.
	packets   uint64
	alerts    uint64
	streamBad uint64
	rawLost   uint64 // Bytes of streams that rules did not see, for want of room.
	// Live.
	kernelPackets, kernelDrops uint64
	bypassed                   struct{ packets, bytes uint64 } // Of flows that are not followed any more.
	// Inline.
	accepted, blocked uint64
	dropped           map[string]uint64 // By reason.
	because           string            // Why a policy drops the packet, "" if none does.
	exceptions        exceptions
	events            [decode.Events]uint64 // What is wrong with packets and streams.
	dropping          *eve.AlertInfo        // Of the first rule that drops the packet.
}

// besideChunk is how many are made at a time.
const besideChunk = 1 << 9

// beside is what the layers keep of a flow beside the table.
type beside struct {
	owner  slab.Handle
	detect detect.FlowState
	app    *app.Session // nil until there are bytes.
	raw    [2]window
	stored [2]bool // A rule wants its files kept.
	// A rule wants its transactions, or its end, not logged.
	quietTxs, quietFlow bool
	turn                bool // Its protocol says that its directions are the wrong way round.
}

func newPipeline(s settings, registry *app.Registry, rules *detect.Ruleset, out *outputs) *pipeline {
	pl := &pipeline{settings: s, decoder: decode.New(s.decode), maker: decode.New(s.decode), out: out, sums: checksums{mode: s.pcapChecksums}, registry: registry, expected: expected{}, dropped: map[string]uint64{}}
	pl.flows = flow.NewTable(s.flow, pl.flowEnds)
	pl.tracker = stream.New(s.stream, pl.flows, pl)
	pl.raw = slab.NewArena(s.stream.Memory)
	if rules != nil {
		pl.engine = detect.NewEngine(rules)
	}
	pl.wantFrames()
	pl.wantFiles()
	return pl
}

// take follows one captured packet. Trouble with logs is kept in pl.err: packets
// go on.
func (pl *pipeline) take(link packet.LinkType, number uint64, at int64, data []byte) {
	if pl.first == 0 {
		pl.first = at
	}
	pl.now = max(pl.now, at)
	pl.link = link
	pl.packets++
	pl.batch.Reset()
	pl.decoder.Decode(&pl.batch, link, number, at, 0, data)
	pl.flows.Advance(pl.now)
	if n := len(pl.batch.Packets); n > 0 {
		pl.root = pl.batch.Packets[n-1] // What was found in it comes before it.
	}
	for _, p := range pl.batch.Packets {
		pl.packet(p)
	}
	pl.root = nil
	pl.keep(pl.out.drain())
}

// packet follows one decoded packet.
func (pl *pipeline) packet(p *decode.Packet) {
	in := &pl.current
	pl.because = ""
	*in = detect.Packet{Packet: p}
	if p.Flags&decode.WantsFlow != 0 {
		pl.flow(in)
	}
	if in.Flow != nil && in.Flow.State == flow.Bypassed {
		pl.accepted++
		return
	}
	pl.out.assets.learn(in)
	drop := "flow drop"
	switch {
	case pl.because != "":
		drop = pl.because
	case !pl.isDropped(in.Flow):
		drop = pl.inspect(in, false)
	}
	pl.anomalies(p, in.Flow)
	if p.Layer3 == decode.ARP {
		pl.arp(p)
	}
	pl.appAnomalies(in)
	if pl.settings.ips {
		pl.verdict(in, drop)
	}
	if f := in.Flow; f != nil && f.Bypass && f.State != flow.Bypassed {
		pl.flows.Move(f, flow.Bypassed)
	}
}

// isDropped says whether all packets of a flow are.
func (pl *pipeline) isDropped(f *flow.Flow) bool { return pl.settings.ips && f != nil && f.Dropped }

// flow finds the packet's flow and moves it.
func (pl *pipeline) flow(in *detect.Packet) {
	p := in.Packet
	if p.Layer4 == decode.TCP {
		if f := pl.flows.Find(p.Key); f != nil && pl.tracker.Reuses(f, p) {
			pl.flows.End(f, flow.Reused)
		}
	}
	f, dir := pl.flows.Take(p)
	if f == nil {
		pl.exception(ofFlowMemcap, in)
		return
	}
	if f.State == flow.Bypassed {
		pl.bypassed.packets++
		pl.bypassed.bytes += uint64(len(p.Data))
		in.Flow, in.Dir = f, dir
		return
	}
	c := pl.of(f)
	in.Flow, in.Dir, in.State = f, dir, &c.detect
	if pl.isDropped(f) {
		return // The receiver never sees it.
	}
	if p.Layer4 != decode.TCP {
		in.Established = f.State != flow.New
		if p.Layer4 == decode.UDP && len(p.Payload()) > 0 {
			pl.session(f).Data(app.Dir(dir), 0, p.Payload(), p.Time)
			in.Dir = f.Dir(p) // It may have been turned around.
		}
		c.known(in)
		return
	}
	defer c.known(in)
	if pl.settings.streamChecksums && pl.sums.count(p) {
		pl.streamBad++
		in.Established = pl.tracker.StateOf(f) >= stream.Established
		return
	}
	r := pl.tracker.Take(f, dir, p)
	pl.turned(f, c)
	if r.Midstream {
		pl.exception(ofMidstream, in)
	}
	if p.Events.Has(decode.EvStreamReassemblyInsertMemcap) {
		pl.exception(ofReassembly, in)
	}
	in.Dir = f.Dir(p) // Midstream, it may have been turned around.
	in.Established, in.InStream = r.Established, r.InStream
	in.Sizes = pl.tracker.Sizes(f)
	if w := &c.raw[in.Dir]; w.end() > w.fresh {
		in.Stream, in.StreamAt, in.StreamNew = w.data(pl.raw), w.at, w.fresh
	}
}

// of is what is kept beside a flow.
func (pl *pipeline) of(f *flow.Flow) *beside {
	i := int(f.Handle.Index())
	for i/besideChunk >= len(pl.beside) {
		pl.beside = append(pl.beside, new([besideChunk]beside))
	}
	c := &pl.beside[i/besideChunk][i%besideChunk]
	if c.owner != f.Handle {
		*c = beside{owner: f.Handle}
	}
	return c
}

// inspect judges a packet and its flow's transactions and logs what matched.
// It returns why the packet is dropped, "" if it is not.
func (pl *pipeline) inspect(in *detect.Packet, pseudo bool) (drop string) {
	if pl.engine != nil && pl.told(in, pl.engine.Inspect(in), subject{}, pseudo) {
		drop = "rules"
	}
	if in.Flow == nil {
		return drop
	}
	b := pl.of(in.Flow)
	if pl.frames(in, b, pseudo) {
		drop = "rules"
	}
	if pl.transactions(in, b, pseudo) {
		drop = "rules"
	}
	if len(in.Stream) > 0 {
		b.raw[in.Dir].inspected(pl.raw)
	}
	return drop
}

// told logs the alerts that are not silent. It says whether one drops the packet.
func (pl *pipeline) told(in *detect.Packet, alerts []detect.Alert, of subject, pseudo bool) (dropped bool) {
	for i := range alerts {
		a := &alerts[i]
		if a.Dropped && pl.settings.ips {
			dropped = true
			if pl.dropping == nil {
				pl.dropping = &eve.AlertInfo{Rule: a.Rule, Class: a.Class, Blocked: true, Tx: -1}
			}
			if in.Flow != nil && (of.tx != nil || of.frame != nil || a.Stream || ofFlow(a.Rule)) {
				in.Flow.Dropped = true
			}
		}
		pl.wantStored(in, a, of.tx)
		pl.quiet(in, a, of.tx)
		switch {
		case pl.watch != nil:
			pl.watch(in, a, of.tx)
		case !a.Silent:
			pl.alert(in, a, of, pseudo)
		}
	}
	return dropped
}

// ofFlow says whether a rule is on flows, not on packets.
func ofFlow(r *suricata.Compiled) bool {
	switch r.Type {
	case suricata.TypeIPOnly, suricata.TypeLikeIPOnly, suricata.TypeProtoOnly, suricata.TypeAppLayer:
		return true
	}
	return false
}

// verdict counts what becomes of a packet inline, and logs that it is dropped:
// of a flow the first in each direction.
func (pl *pipeline) verdict(in *detect.Packet, drop string) {
	by := pl.dropping
	pl.dropping = nil
	if drop == "" {
		pl.accepted++
		return
	}
	pl.blocked++
	pl.dropped[drop]++
	for _, l := range pl.out.eve {
		if !l.wants("drop") || in.Flow != nil && in.Flow.DropLogged[in.Dir] && !l.drops.all {
			continue
		}
		if !l.drops.alerts {
			by = nil
		}
		l.encoder.Drop(in.Packet, in.Flow, in.Dir, drop, by)
	}
	if in.Flow != nil {
		in.Flow.DropLogged[in.Dir] = true
	}
}

func (pl *pipeline) alert(in *detect.Packet, a *detect.Alert, of subject, pseudo bool) {
	pl.alerts++
	pl.publishAlert(in, a, of.tx)
	info := eve.AlertInfo{Rule: a.Rule, Class: a.Class, Tx: a.Tx, Stream: a.Stream, Dir: in.Dir, Payload: in.Payload(), Pseudo: pseudo, Link: pl.link, Context: a.Context, Blocked: a.Dropped && pl.settings.ips, Frame: of.frame}
	if a.Stream {
		info.Payload = in.Stream
	}
	if in.Flags&decode.TunnelChild != 0 {
		info.Root = pl.root
	}
	if in.Flow != nil {
		b := pl.of(in.Flow)
		b.appInfo(&info.FlowInfo)
		if of.tx == nil {
			of.tx = b.ofFrame(of.frame)
		}
		if of.tx != nil {
			info.AppendTx = members(of.tx)
			info.Files = of.tx.Common().Files[in.Dir]
		}
	}
	for _, l := range pl.out.eve {
		if l.wants("alert") {
			l.encoder.Alert(in.Packet, in.Flow, &info)
		}
	}
	if len(pl.out.fast) > 0 {
		pl.fastLine = appendFast(pl.fastLine[:0], in.Packet, &info)
		for _, l := range pl.out.fast {
			pl.keep(l.write(pl.fastLine))
		}
	}
}

func (pl *pipeline) keep(err error) {
	if pl.err == nil {
		pl.err = err
	}
}

func (pl *pipeline) anomalies(p *decode.Packet, f *flow.Flow) {
	if p.Events.Empty() {
		return
	}
	var list [8]decode.Event
	for _, ev := range p.Events.Append(list[:0]) {
		pl.events[ev]++
	}
	for _, l := range pl.out.eve {
		if !l.wants("anomaly") {
			continue
		}
		for _, ev := range p.Events.Append(list[:0]) {
			if ev.Stream() && l.anomaly.stream || !ev.Stream() && l.anomaly.decode {
				l.encoder.Anomaly(p, f, ev, pl.link)
			}
		}
	}
}

func (pl *pipeline) arp(p *decode.Packet) {
	for _, l := range pl.out.eve {
		if l.wants("arp") {
			l.encoder.ARP(p)
		}
	}
}

// appAnomalies logs what the application layer says of a flow beside its
// transactions.
func (pl *pipeline) appAnomalies(in *detect.Packet) {
	for _, name := range in.Engine {
		layer, event := "proto_detect", strings.ToUpper(name)
		if _, own, ok := strings.Cut(name, "."); ok {
			layer, event = "parser", strings.ToUpper(own)
		}
		for _, l := range pl.out.eve {
			if l.wants("anomaly") && l.anomaly.app {
				l.encoder.FlowAnomaly(in.Packet, in.Flow, false, in.App, event, layer)
			}
		}
	}
}

// StreamData implements stream.Sink.
func (pl *pipeline) StreamData(f *flow.Flow, dir flow.Dir, offset uint64, data []byte) {
	if w := &pl.of(f).raw[dir]; pl.engine == nil || f.NoInspection {
		w.forget(pl.raw, offset+uint64(len(data)))
	} else if !w.add(pl.raw, data) {
		pl.rawLost += uint64(len(data))
	}
	s := pl.session(f)
	before := s.Protocol()
	s.Data(app.Dir(dir), offset, data, pl.now)
	if p := s.Protocol(); p != before && p != nil && p.Deep {
		pl.tracker.Deepen(f)
	}
}

// StreamGap implements stream.Sink.
func (pl *pipeline) StreamGap(f *flow.Flow, dir flow.Dir, offset, size uint64) {
	pl.of(f).raw[dir].forget(pl.raw, offset+size)
	pl.session(f).Gap(app.Dir(dir), offset, size)
}

// StreamEnd implements stream.Sink.
func (pl *pipeline) StreamEnd(f *flow.Flow, dir flow.Dir) {
	if b := pl.of(f); b.app != nil {
		b.app.End(app.Dir(dir), pl.now)
	}
}

// flowEnds judges what was not acknowledged, logs the flow, and forgets it.
func (pl *pipeline) flowEnds(f *flow.Flow, reason flow.Reason) {
	b := pl.of(f)
	info := pl.endOf(f)
	if f.Proto() == packet.ProtoTCP {
		pl.tracker.Finish(f)
	}
	if b.app != nil {
		b.app.Finish()
	}
	for _, dir := range []flow.Dir{flow.ToServer, flow.ToClient} {
		if w := &b.raw[dir]; w.end() > w.fresh || b.app != nil && (len(b.app.Txs()) > 0 || len(b.app.Frames(app.Dir(dir))) > 0) {
			pl.inspectRest(f, b, dir)
		}
	}
	if b.app != nil && !pl.isDropped(f) {
		for _, tx := range b.app.Txs() {
			pl.logTx(pl.own.Packets[0], f, tx, true, true)
		}
	}
	b.appInfo(&info)
	info.Exceptions = pl.settings.exceptionsOf(f)
	pl.out.assets.learnFlow(f, info.App)
	pl.publishFlow(f, info.App, reason)
	for _, l := range pl.out.eve {
		if l.wants("flow") && !b.quietFlow {
			l.encoder.Flow(pl.now, f, reason, info)
		}
		if l.wants("netflow") {
			l.encoder.Netflow(pl.now, f, info)
		}
	}
	for d := range b.raw {
		b.raw[d].forget(pl.raw, 0)
	}
	*b = beside{}
	pl.keep(pl.out.drain()) // Many flows may end at once.
}

// inspectRest judges the end of a stream as a packet of the flow would have it.
func (pl *pipeline) inspectRest(f *flow.Flow, c *beside, dir flow.Dir) {
	from, to := f.Client(), f.Server()
	if dir == flow.ToClient {
		from, to = to, from
	}
	src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
	pl.own.Reset()
	pl.maker.Decode(&pl.own, packet.LinkRaw, 0, pl.now, 0, lastPacket(f.Proto(), src, dst, from.Port(), to.Port()))
	w := &c.raw[dir]
	in := detect.Packet{
		Packet: pl.own.Packets[0], Flow: f, State: &c.detect, Dir: dir, Established: true,
		Stream: w.data(pl.raw), StreamAt: w.at, StreamNew: w.fresh, Sizes: pl.tracker.Sizes(f),
	}
	if w.end() == w.fresh {
		in.Stream = nil
	}
	c.known(&in)
	if !pl.isDropped(f) {
		pl.inspect(&in, true)
	}
}

// lastPacket makes the packet in which the end of a flow is judged.
func lastPacket(proto packet.Proto, src, dst []byte, srcPort, dstPort uint16) []byte {
	var data []byte
	if proto == packet.ProtoUDP {
		data = packet.AppendUDP(nil, src, dst, srcPort, dstPort, nil)
	} else {
		data = packet.AppendTCP(nil, src, dst, &packet.Segment{SrcPort: srcPort, DstPort: dstPort, Seq: 1, Ack: 1, Flags: packet.ACK})
	}
	return append(packet.AppendIP(nil, src, dst, proto, 64, 0, len(data)), data...)
}

// finish ends all flows and writes the last statistics.
func (pl *pipeline) finish() error {
	pl.flows.Drain()
	if pl.engine != nil {
		pl.keep(pl.engine.Rules().Data().Save())
	}
	pl.writeStats()
	return pl.err
}

// writeStats writes the counters to the logs that want them, and what is new of the inventory.
func (pl *pipeline) writeStats() {
	counters := pl.counters()
	uptime := (pl.now - pl.first) / int64(time.Second)
	if pl.first == 0 {
		uptime = 0
	}
	for _, l := range pl.out.eve {
		if l.wants("stats") {
			l.encoder.Stats(pl.now, uptime, counters, l.stats.zero, pl.ruleCounts())
		}
	}
	pl.keep(pl.out.drain())
	for _, l := range pl.out.stats {
		pl.keep(l.write(appendStats(nil, pl.now, uptime, counters)))
	}
	pl.keep(pl.out.assets.tell())
}
