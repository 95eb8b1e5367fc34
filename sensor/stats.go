package sensor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/eve"
)

// counters are all counts of a pipeline under Suricata's names, by name.
func (pl *pipeline) counters() []eve.Counter {
	var list []eve.Counter
	add := func(name string, value uint64) { list = append(list, eve.Counter{Name: name, Value: value}) }
	for c := decode.Counter(0); c < decode.Count; c++ {
		add(c.String(), pl.decoder.Counters[c])
	}
	add("decoder.avg_pkt_size", pl.decoder.Counters[decode.CountBytes]/max(pl.decoder.Counters[decode.CountPackets], 1))
	if pl.kernelPackets > 0 {
		add("capture.kernel_packets", pl.kernelPackets)
		add("capture.kernel_drops", pl.kernelDrops)
	}
	if pl.settings.eventCounts {
		for ev, n := range &pl.events {
			if name, ok := strings.CutPrefix(decode.Event(ev).String(), "decoder."); ok {
				add("decoder.event."+name, n)
			}
		}
	}
	f := &pl.flows.Counters
	add("flow.total", f.Total)
	add("flow.active", f.Active)
	add("flow.tcp", f.TCP)
	add("flow.udp", f.UDP)
	add("flow.icmpv4", f.ICMPv4)
	add("flow.icmpv6", f.ICMPv6)
	add("flow.tcp_reuse", f.TCPReuse)
	add("flow.emerg_mode_entered", f.Emergency)
	add("flow.end.state.new", f.EndNew)
	add("flow.end.state.established", f.EndEstablished)
	add("flow.end.state.closed", f.EndClosed)
	add("flow.end.state.local_bypassed", f.EndBypassed)
	add("flow_bypassed.local_pkts", pl.bypassed.packets)
	add("flow_bypassed.local_bytes", pl.bypassed.bytes)
	t := &pl.tracker.Counters
	add("tcp.sessions", t.Sessions)
	add("tcp.midstream_pickups", t.Midstream)
	add("tcp.ack_unseen_data", t.AckUnseenData)
	add("tcp.reassembly_gap", t.Gap)
	add("tcp.overlap", t.Overlap)
	add("tcp.overlap_diff_data", t.OverlapDifferent)
	add("tcp.segment_memcap_drop", t.NoRoom)
	add("tcp.stream_depth_reached", t.Stopped)
	add("tcp.invalid_checksum", pl.streamBad)
	if pl.settings.ips {
		add("ips.accepted", pl.accepted)
		add("ips.blocked", pl.blocked)
		for _, reason := range []string{"rules", "flow drop", targetOf[ofMidstream].drop, targetOf[ofReassembly].drop, targetOf[ofFlowMemcap].drop} {
			add("ips.drop_reason."+strings.ReplaceAll(reason, " ", "_"), pl.dropped[reason])
		}
	}
	if s := pl.out.store; s != nil {
		add("file_store.open_files", uint64(s.Counters.Open))
		add("file_store.open_files_max_hit", s.Counters.MaxHit)
		add("file_store.fs_errors", s.Counters.Errors+s.errs)
	}
	add("logs.bytes_lost", pl.out.lost())
	if v := pl.out.assets; v != nil {
		add("assets.lost", v.Lost)
	}
	add("app_layer.tx_given_up", pl.registry.GivenUp)
	for t := range targets {
		for p := policyIgnore + 1; p < policies && pl.settings.policies[t] != policyIgnore; p++ {
			add(targetOf[t].counter+policyNames[p], pl.exceptions[t][p])
		}
	}
	pl.registry.Counters(func(name string, c app.Counters) {
		add("app_layer.flow."+name, c.Flows)
		add("app_layer.tx."+name, c.Txs)
		add("app_layer.error."+name+".parser", c.Errors)
	})
	if pl.engine != nil {
		c := &pl.engine.Counters
		add("detect.alert", c.Alerts)
		add("detect.alerts_suppressed", c.Suppressed)
		add("detect.alert_queue_overflow", c.Overflow)
		add("detect.state_forgotten", c.Forgotten)
		add("detect.stream_bytes_lost", pl.rawLost)
	}
	slices.SortFunc(list, func(a, b eve.Counter) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// appendFastTime is the time of fast.log and stats.log.
func appendFastTime(out []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(out, "01/02/2006-15:04:05.000000")
}

// appendStats appends a block of stats.log.
func appendStats(out []byte, now, uptime int64, counters []eve.Counter) []byte {
	line := strings.Repeat("-", 102) + "\n"
	out = append(out, line...)
	out = fmt.Appendf(out, "Date: %s (uptime: %dd, %02dh %02dm %02ds)\n", time.Unix(0, now).UTC().Format("1/2/2006 -- 15:04:05"),
		uptime/86400, uptime/3600%24, uptime/60%60, uptime%60)
	out = append(out, line...)
	out = fmt.Appendf(out, "%-45s | %-25s | %-s\n", "Counter", "TM Name", "Value")
	out = append(out, line...)
	for _, c := range counters {
		if c.Value > 0 {
			out = fmt.Appendf(out, "%-45s | %-25s | %d\n", c.Name, "Total", c.Value)
		}
	}
	return out
}
