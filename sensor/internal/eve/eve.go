// Package eve writes events as Suricata's EVE JSON has them: one object a
// line, first what all events share, then what the kind of event adds. It
// appends to a buffer and allocates nothing once that has its size.
package eve

import (
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/detect/state"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/sensor/internal/stream"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// Options are the settings of an eve-log output that all its types share.
type Options struct {
	CommunityID   bool
	CommunitySeed uint16
	Ethernet      bool
	Suricata      bool   // "suricata_version" in every event
	PcapFile      string // "pcap_filename", if wanted
	Interface     string // "in_iface", live
	// Alert has what an alert tells beside itself.
	Payload, PayloadPrintable, Packet bool
	PayloadMax                        int
	Metadata                          bool // of the rule
	Reference                         bool
	// AnomalyHeader: an anomaly of a packet tells its first bytes.
	AnomalyHeader bool
}

// Encoder makes events. It is not safe for concurrent use.
type Encoder struct {
	w       jsonw.Writer
	opts    Options
	scratch []byte
	stamped []byte // The last time written,
	second  int64  // and its second.
}

// New returns an encoder.
func New(o Options) *Encoder { return &Encoder{opts: o} }

// Bytes are the events since Reset.
func (e *Encoder) Bytes() []byte { return e.w.Bytes() }

// Reset forgets the events.
func (e *Encoder) Reset() { e.w.Reset(e.w.Bytes()[:0]) }

// stampFormat is EVE's: microseconds and the zone without a colon.
const stampFormat = "2006-01-02T15:04:05.000000-0700"

func (e *Encoder) stamp(key string, ns int64) {
	second := ns / 1e9
	if ns%1e9 < 0 {
		second-- // Before 1970, downwards too.
	}
	if second != e.second || e.stamped == nil {
		e.second, e.stamped = second, time.Unix(0, ns).UTC().AppendFormat(e.stamped[:0], stampFormat)
	}
	micros := (ns - second*1e9) / 1000
	for i := len("2006-01-02T15:04:05.000000") - 1; i > len("2006-01-02T15:04:05"); i-- {
		e.stamped[i] = '0' + byte(micros%10)
		micros /= 10
	}
	e.w.Text(key, e.stamped)
}

func (e *Encoder) addr(key string, a netip.Addr) {
	if a.IsValid() {
		e.scratch = appendAddr(e.scratch[:0], a)
		e.w.Text(key, e.scratch)
	}
}

// appendAddr writes IPv6 addresses in full, as EVE does.
func appendAddr(out []byte, a netip.Addr) []byte {
	if a.Is4() {
		return a.AppendTo(out)
	}
	return append(out, a.StringExpanded()...)
}

// ProtoName is the transport in EVE's words.
func ProtoName(p packet.Proto) string {
	switch p {
	case packet.ProtoTCP:
		return "TCP"
	case packet.ProtoUDP:
		return "UDP"
	case packet.ProtoICMPv4:
		return "ICMP"
	case packet.ProtoICMPv6:
		return "IPv6-ICMP"
	case packet.ProtoSCTP:
		return "SCTP"
	case packet.ProtoGRE:
		return "GRE"
	case packet.ProtoESP:
		return "ESP"
	case packet.ProtoAH:
		return "AH"
	case packet.ProtoIPv4:
		return "IP-in-IP"
	case packet.ProtoIPv6:
		return "IPv6"
	case packet.ProtoIGMP:
		return "IGMP"
	}
	return numbered(p)
}

func numbered(p packet.Proto) string {
	const digits = "0123456789"
	n := int(p)
	return string([]byte{digits[n/100], digits[n/10%10], digits[n%10]})
}

// head begins an event; number is that of its packet in
// a capture, 0 if it is of none.
func (e *Encoder) head(kind string, at int64, f *flow.Flow, number uint64) {
	e.w.Object("")
	e.stamp("timestamp", at)
	if f != nil {
		e.w.Uint("flow_id", f.ID)
		if f.Parent != 0 {
			e.w.Uint("parent_id", f.Parent)
		}
	}
	if e.opts.Interface != "" {
		e.w.String("in_iface", e.opts.Interface)
	} else if number > 0 {
		e.w.Uint("pcap_cnt", number)
	}
	e.w.String("event_type", kind)
}

// number is what a packet is counted as; one of our own is not.
func number(p *decode.Packet, pseudo bool) uint64 {
	if pseudo {
		return 0
	}
	return p.Number
}

// flowEnds writes the ends of a flow in a direction.
func (e *Encoder) flowEnds(f *flow.Flow, dir flow.Dir) (src, dst netip.AddrPort) {
	src, dst = f.Client(), f.Server()
	if dir == flow.ToClient {
		src, dst = dst, src
	}
	e.ends(src.Addr(), src.Port(), dst.Addr(), dst.Port(), f.Proto())
	e.w.String("proto", ProtoName(f.Proto()))
	e.version(src.Addr())
	return src, dst
}

// begin writes what events of a packet share, up to the event's own members.
func (e *Encoder) begin(kind string, p *decode.Packet, f *flow.Flow, pseudo bool) {
	e.head(kind, p.Time, f, number(p, pseudo))
	e.vlan(p.VLAN[:p.Tags])
	src, dst := p.Src(), p.Dst()
	e.ends(src, p.SrcPort, dst, p.DstPort, p.Proto)
	if src.IsValid() {
		e.w.String("proto", ProtoName(p.Proto))
		e.version(src)
	}
	if p.Layer4 == decode.ICMPv4 || p.Layer4 == decode.ICMPv6 {
		e.w.Uint("icmp_type", uint64(p.ICMP().Type()))
		e.w.Uint("icmp_code", uint64(p.ICMP().Code()))
	}
	e.w.String("pkt_src", source(p, pseudo))
	e.community(src, dst, p.Proto, p.SrcPort, p.DstPort)
	if eth := p.Ethernet(); e.opts.Ethernet && eth != nil {
		e.ethernet(eth)
	}
	e.tail()
}

// beginTx writes what events of a transaction share: the ends are those of the
// flow in a direction.
func (e *Encoder) beginTx(kind string, p *decode.Packet, f *flow.Flow, dir flow.Dir, id uint64, pseudo bool) {
	e.head(kind, p.Time, f, number(p, pseudo))
	e.vlan(p.VLAN[:p.Tags])
	src, dst := e.flowEnds(f, dir)
	e.w.String("pkt_src", source(p, pseudo))
	e.community(src.Addr(), dst.Addr(), f.Proto(), src.Port(), dst.Port())
	if eth := p.Ethernet(); e.opts.Ethernet && eth != nil {
		e.ethernet(eth)
	}
	e.tail()
	e.w.Uint("tx_id", id)
}

// Tx writes the event of a transaction, with the ends of its flow in a
// direction; add writes its members.
func (e *Encoder) Tx(kind string, p *decode.Packet, f *flow.Flow, dir flow.Dir, id uint64, pseudo bool, add func(*jsonw.Writer)) {
	e.beginTx(kind, p, f, dir, id, pseudo)
	add(&e.w)
	e.end()
}

// File writes the event of a file that ended; add writes the members of its
// transaction.
func (e *Encoder) File(p *decode.Packet, f *flow.Flow, dir flow.Dir, id uint64, pseudo bool, app string, x *file.File, add func(*jsonw.Writer)) {
	e.beginTx("fileinfo", p, f, dir, id, pseudo)
	if add != nil {
		add(&e.w)
	}
	e.w.String("app_proto", app)
	e.w.Object("fileinfo")
	e.file(x, id)
	e.end()
}

// file writes what is known of a file and closes its object.
func (e *Encoder) file(x *file.File, id uint64) {
	e.w.Printable("filename", x.Name)
	e.w.Array("sid")
	for _, sid := range x.SIDs {
		e.w.Uint("", uint64(sid))
	}
	e.w.Close()
	e.w.Bool("gaps", x.Gaps)
	e.w.String("state", x.State.String())
	for i, sum := range x.Sums() {
		if sum != nil {
			e.w.Hex([...]string{"md5", "sha1", "sha256"}[i], sum)
		}
	}
	e.w.Bool("stored", x.Stored)
	e.w.Uint("size", x.Size)
	if x.Ranged {
		e.w.Uint("start", x.Start)
		e.w.Uint("end", x.End)
	}
	e.w.Uint("tx_id", id)
	e.w.Close()
}

// beginFlow writes what events of a flow share. Their time is that of the
// sensor, which is past the flow's own.
func (e *Encoder) beginFlow(kind string, now int64, f *flow.Flow, dir flow.Dir) {
	e.head(kind, now, f, 0)
	vlan := f.Key.VLAN()
	n := 0
	for n < len(vlan) && vlan[n] != 0 {
		n++
	}
	e.vlan(vlan[:n])
	src, dst := e.flowEnds(f, dir)
	if p := f.Proto(); p == packet.ProtoICMPv4 || p == packet.ProtoICMPv6 {
		e.w.Uint("icmp_type", uint64(f.ICMPType))
		e.w.Uint("icmp_code", uint64(f.ICMPCode))
		if f.Packets[flow.ToClient] > 0 {
			e.w.Uint("response_icmp_type", uint64(f.AnswerType))
			e.w.Uint("response_icmp_code", uint64(f.AnswerCode))
		}
	}
	e.community(src.Addr(), dst.Addr(), f.Proto(), src.Port(), dst.Port())
	e.tail()
}

func (e *Encoder) tail() {
	if e.opts.PcapFile != "" {
		e.w.String("pcap_filename", e.opts.PcapFile)
	}
	if e.opts.Suricata {
		e.w.String("suricata_version", suricata.Version)
	}
}

func (e *Encoder) end() {
	e.w.Close()
	e.w.Newline()
}

func (e *Encoder) vlan(ids []uint16) {
	if len(ids) == 0 {
		return
	}
	e.w.Array("vlan")
	for _, id := range ids {
		e.w.Uint("", uint64(id))
	}
	e.w.Close()
}

func (e *Encoder) ends(src netip.Addr, srcPort uint16, dst netip.Addr, dstPort uint16, p packet.Proto) {
	ports := p == packet.ProtoTCP || p == packet.ProtoUDP || p == packet.ProtoSCTP
	e.addr("src_ip", src)
	if ports {
		e.w.Uint("src_port", uint64(srcPort))
	}
	e.addr("dest_ip", dst)
	if ports {
		e.w.Uint("dest_port", uint64(dstPort))
	}
}

func (e *Encoder) version(a netip.Addr) {
	if a.Is4() {
		e.w.Uint("ip_v", 4)
	} else {
		e.w.Uint("ip_v", 6)
	}
}

func (e *Encoder) community(src, dst netip.Addr, p packet.Proto, srcPort, dstPort uint16) {
	if !e.opts.CommunityID || !src.IsValid() {
		return
	}
	e.scratch = packet.AppendCommunityID(e.scratch[:0], e.opts.CommunitySeed, src, dst, p, srcPort, dstPort)
	e.w.Text("community_id", e.scratch)
}

func (e *Encoder) ethernet(eth packet.Ethernet) {
	src, dst := eth.Src(), eth.Dst()
	e.w.Object("ether")
	e.w.HexSep("src_mac", src[:], ":")
	e.w.HexSep("dest_mac", dst[:], ":")
	e.w.Uint("ether_type", uint64(eth.Type()))
	e.w.Close()
}

// source says where a packet came from.
func source(p *decode.Packet, pseudo bool) string {
	if pseudo {
		return "stream (flow timeout)"
	}
	switch p.Source {
	case decode.FromGRE:
		return "gre tunnel"
	case decode.FromIPv4:
		return "ipv4 tunnel"
	case decode.FromIPv6:
		return "ipv6 tunnel"
	case decode.FromTeredo:
		return "teredo tunnel"
	case decode.FromVXLAN:
		return "vxlan tunnel"
	case decode.FromGeneve:
		return "geneve tunnel"
	case decode.FromDefrag:
		return "defrag"
	}
	return "wire/pcap"
}

// FlowInfo is what an event tells of its flow.
type FlowInfo struct {
	App       string // "" while it is not known
	AppFailed bool
	TCP       stream.State
	Regions   [2]uint64 // Of the stream: pieces with gaps between that waited at once.
	Txs       uint64    // Transactions there were.
	// Exceptions are the policies that were applied to it, if they are told.
	Exceptions []Exception
}

// Exception is a policy that was applied to a flow, and why.
type Exception struct{ Target, Policy string }

func (e *Encoder) app(i FlowInfo) {
	switch {
	case i.App != "":
		e.w.String("app_proto", i.App)
	case i.AppFailed:
		e.w.String("app_proto", "failed")
	}
}

// Flow writes the event of a flow that ended.
func (e *Encoder) Flow(now int64, f *flow.Flow, reason flow.Reason, i FlowInfo) {
	e.beginFlow("flow", now, f, flow.ToServer)
	e.app(i)
	e.w.Object("flow")
	e.counts(f)
	e.stamp("start", f.Start)
	e.stamp("end", f.Last)
	e.w.Int("age", f.Last/1e9-f.Start/1e9)
	if f.Emergency {
		e.w.Bool("emergency", true)
	}
	e.w.String("state", f.State.String())
	if f.State == flow.Bypassed {
		e.w.String("bypass", "local")
	}
	e.w.String("reason", reason.String())
	e.w.Bool("alerted", f.Alerted)
	switch {
	case f.Dropped:
		e.w.String("action", "drop")
	case f.Passed:
		e.w.String("action", "pass")
	}
	if i.Txs > 0 {
		e.w.Uint("tx_cnt", i.Txs)
	}
	if len(i.Exceptions) > 0 {
		e.w.Array("exception_policy")
		for _, x := range i.Exceptions {
			e.w.Object("")
			e.w.String("target", x.Target)
			e.w.String("policy", x.Policy)
			e.w.Close()
		}
		e.w.Close()
	}
	e.w.Close()
	if f.Proto() == packet.ProtoTCP {
		e.w.Object("tcp")
		e.tcpFlags("tcp_flags", f.TCPFlags[0]|f.TCPFlags[1])
		e.tcpFlags("tcp_flags_ts", f.TCPFlags[flow.ToServer])
		e.tcpFlags("tcp_flags_tc", f.TCPFlags[flow.ToClient])
		e.flagNames(f.TCPFlags[0] | f.TCPFlags[1])
		if i.TCP != stream.None {
			e.w.String("state", i.TCP.String())
			e.w.Uint("ts_max_regions", i.Regions[flow.ToServer])
			e.w.Uint("tc_max_regions", i.Regions[flow.ToClient])
		}
		e.w.Close()
	}
	e.end()
}

// Netflow writes a record for each direction of a flow that has packets.
func (e *Encoder) Netflow(now int64, f *flow.Flow, i FlowInfo) {
	for _, dir := range []flow.Dir{flow.ToServer, flow.ToClient} {
		if f.Packets[dir] == 0 {
			continue
		}
		e.beginFlow("netflow", now, f, dir)
		e.app(i)
		e.w.Object("netflow")
		e.w.Uint("pkts", f.Packets[dir])
		e.w.Uint("bytes", f.Bytes[dir])
		e.stamp("start", f.Start)
		e.stamp("end", f.Last)
		e.w.Int("age", f.Last/1e9-f.Start/1e9)
		e.w.Uint("min_ttl", uint64(f.MinTTL[dir]))
		e.w.Uint("max_ttl", uint64(f.MaxTTL[dir]))
		e.w.Close()
		if f.Proto() == packet.ProtoTCP {
			e.w.Object("tcp")
			e.tcpFlags("tcp_flags", f.TCPFlags[dir])
			e.flagNames(f.TCPFlags[dir])
			e.w.Close()
		}
		e.end()
	}
}

func (e *Encoder) counts(f *flow.Flow) {
	e.w.Uint("pkts_toserver", f.Packets[flow.ToServer])
	e.w.Uint("pkts_toclient", f.Packets[flow.ToClient])
	e.w.Uint("bytes_toserver", f.Bytes[flow.ToServer])
	e.w.Uint("bytes_toclient", f.Bytes[flow.ToClient])
}

func (e *Encoder) tcpFlags(key string, f packet.Flags) {
	e.w.Hex(key, []byte{byte(f)})
}

func (e *Encoder) flagNames(f packet.Flags) {
	for _, flag := range [...]struct {
		bit  packet.Flags
		name string
	}{{packet.SYN, "syn"}, {packet.FIN, "fin"}, {packet.RST, "rst"}, {packet.PSH, "psh"}, {packet.ACK, "ack"}, {packet.URG, "urg"}, {packet.ECE, "ecn"}, {packet.CWR, "cwr"}} {
		if f.Has(flag.bit) {
			e.w.Bool(flag.name, true)
		}
	}
}

// AlertInfo is an alert with what is known around it.
type AlertInfo struct {
	Rule    *suricata.Compiled
	Class   siteconf.Class
	Blocked bool
	Tx      int64 // -1: in none.
	Stream  bool
	Dir     flow.Dir
	Payload []byte
	Pseudo  bool
	Link    packet.LinkType
	Context []state.Context
	Root    *decode.Packet // That the packet was found in; nil: in none.
	Frame   *app.LiveFrame // nil: it is about none.
	Files   file.List      // Of the transaction, in the alert's direction.
	FlowInfo
	// AppendTx writes the transaction; nil: there is none.
	AppendTx func(w *jsonw.Writer)
}

// Alert writes an alert.
func (e *Encoder) Alert(p *decode.Packet, f *flow.Flow, a *AlertInfo) {
	e.begin("alert", p, f, a.Pseudo)
	if a.Tx >= 0 {
		e.w.Int("tx_id", a.Tx)
	}
	e.alert(p, a)
	if a.Root != nil {
		e.tunnel(p, a.Root)
	}
	if a.AppendTx != nil {
		a.AppendTx(&e.w)
	}
	if a.Frame != nil {
		e.frame(a.Frame, p.Proto == packet.ProtoUDP)
	}
	if len(a.Files) > 0 {
		e.w.Array("files")
		for _, x := range a.Files {
			e.w.Object("")
			e.file(x, uint64(a.Tx))
		}
		e.w.Close()
	}
	e.app(a.FlowInfo)
	if f != nil {
		e.direction(a.Dir)
		e.w.Object("flow")
		e.counts(f)
		e.stamp("start", f.Start)
		c, s := f.Client(), f.Server()
		e.ends(c.Addr(), c.Port(), s.Addr(), s.Port(), f.Proto())
		e.w.Close()
	}
	e.evidence(p, a)
	e.end()
}

func (e *Encoder) direction(d flow.Dir) {
	if d == flow.ToServer {
		e.w.String("direction", "to_server")
	} else {
		e.w.String("direction", "to_client")
	}
}

func (e *Encoder) alert(p *decode.Packet, a *AlertInfo) {
	r := a.Rule
	e.w.Object("alert")
	if a.Blocked {
		e.w.String("action", "blocked")
	} else {
		e.w.String("action", "allowed")
	}
	e.w.Uint("gid", uint64(max(r.GID, 1)))
	e.w.Uint("signature_id", uint64(r.SID))
	e.w.Uint("rev", uint64(r.Rev))
	e.w.String("signature", r.Msg)
	e.w.String("category", a.Class.Description)
	e.w.Int("severity", int64(a.Class.Priority))
	e.target(p, r)
	if e.opts.Metadata {
		e.metadata(r)
	}
	if e.opts.Reference {
		e.references(r)
	}
	if len(a.Context) > 0 {
		e.w.Object("context")
		for _, c := range a.Context {
			e.w.Raw(c.Key, []byte(c.JSON))
		}
		e.w.Close()
	}
	e.w.Close()
}

// target says which end is attacked, if the rule knows.
func (e *Encoder) target(p *decode.Packet, r *suricata.Compiled) {
	o := r.Find("target")
	if o == nil {
		return
	}
	attacker, target := "source", "target"
	if o.Value.String() == "src_ip" {
		attacker, target = target, attacker
	}
	for _, end := range []struct {
		key  string
		ip   netip.Addr
		port uint16
	}{{attacker, p.Src(), p.SrcPort}, {target, p.Dst(), p.DstPort}} {
		e.w.Object(end.key)
		e.addr("ip", end.ip)
		if p.Proto == packet.ProtoTCP || p.Proto == packet.ProtoUDP || p.Proto == packet.ProtoSCTP {
			e.w.Uint("port", uint64(end.port))
		}
		e.w.Close()
	}
}

func (e *Encoder) metadata(r *suricata.Compiled) {
	var pairs suricata.Metadata
	for i := range r.Options {
		if m, ok := r.Options[i].Value.(suricata.Metadata); ok {
			pairs = append(pairs, m...)
		}
	}
	if len(pairs) == 0 {
		return
	}
	e.w.Object("metadata")
	for i, p := range pairs {
		first := true
		for _, before := range pairs[:i] {
			first = first && before.Key != p.Key
		}
		if !first {
			continue
		}
		e.w.Array(p.Key)
		for _, q := range pairs[i:] {
			if q.Key == p.Key {
				e.w.String("", q.Value)
			}
		}
		e.w.Close()
	}
	e.w.Close()
}

func (e *Encoder) references(r *suricata.Compiled) {
	open := false
	for i := range r.Options {
		if ref, ok := r.Options[i].Value.(suricata.Reference); ok {
			if !open {
				open = true
				e.w.Array("references")
			}
			e.w.String("", ref.String())
		}
	}
	if open {
		e.w.Close()
	}
}

// evidence writes the bytes an alert is about.
func (e *Encoder) evidence(p *decode.Packet, a *AlertInfo) {
	payload := a.Payload
	if e.opts.PayloadMax > 0 && len(payload) > e.opts.PayloadMax {
		payload = payload[:e.opts.PayloadMax]
	}
	if e.opts.Payload && len(payload) > 0 {
		e.w.Base64("payload", payload)
	}
	if e.opts.PayloadPrintable && len(payload) > 0 {
		e.w.Printable("payload_printable", payload)
	}
	if e.opts.Payload || e.opts.PayloadPrintable {
		n := uint64(0)
		if a.Stream {
			n = 1
		}
		e.w.Uint("stream", n)
	}
	if e.opts.Packet && !a.Pseudo {
		e.bytes(p, a.Link, len(p.Data))
	}
}

// Drop writes that a packet is dropped; rule is the one that does, if it is told.
func (e *Encoder) Drop(p *decode.Packet, f *flow.Flow, dir flow.Dir, reason string, by *AlertInfo) {
	e.begin("drop", p, f, false)
	if f != nil {
		e.direction(dir)
	}
	e.w.Object("drop")
	switch p.Layer3 {
	case decode.IPv4:
		ip := p.IPv4()
		e.w.Uint("len", uint64(ip.TotalLen()))
		e.w.Uint("tos", uint64(ip.TOS()))
		e.w.Uint("ttl", uint64(ip.TTL()))
		e.w.Uint("ipid", uint64(ip.ID()))
	case decode.IPv6:
		ip := p.IPv6()
		e.w.Uint("len", uint64(ip.PayloadLen()))
		e.w.Uint("tc", uint64(ip.TrafficClass()))
		e.w.Uint("hoplimit", uint64(ip.HopLimit()))
		e.w.Uint("flowlbl", uint64(ip.FlowLabel()))
	}
	switch p.Layer4 {
	case decode.TCP:
		t := p.TCP()
		e.w.Uint("tcpseq", uint64(t.Seq()))
		e.w.Uint("tcpack", uint64(t.Ack()))
		e.w.Uint("tcpwin", uint64(t.Window()))
		for _, flag := range [...]struct {
			bit  packet.Flags
			name string
		}{{packet.SYN, "syn"}, {packet.ACK, "ack"}, {packet.PSH, "psh"}, {packet.RST, "rst"}, {packet.URG, "urg"}, {packet.FIN, "fin"}} {
			e.w.Bool(flag.name, t.Flags().Has(flag.bit))
		}
		e.w.Uint("tcpres", uint64(t[12]&0x0f))
		e.w.Uint("tcpurgp", uint64(t.Urgent()))
	case decode.UDP:
		e.w.Uint("udplen", uint64(p.UDP().Len()))
	case decode.ICMPv4, decode.ICMPv6:
		e.w.Uint("icmp_id", uint64(p.ICMP().ID()))
		e.w.Uint("icmp_seq", uint64(p.ICMP().Seq()))
	}
	e.w.String("reason", reason)
	e.w.Close()
	if by != nil {
		e.alert(p, by)
	}
	e.end()
}

// AppAnomaly writes an event that a parser raised for a transaction.
func (e *Encoder) AppAnomaly(p *decode.Packet, f *flow.Flow, id uint64, pseudo bool, app, event string) {
	e.beginTx("anomaly", p, f, flow.ToServer, id, pseudo)
	e.w.Object("anomaly")
	e.w.String("app_proto", app)
	e.w.String("type", "applayer")
	e.w.String("event", event)
	e.w.String("layer", "proto_parser")
	e.w.Close()
	e.end()
}

// FlowAnomaly writes an event of a flow's application layer that belongs to
// no transaction; layer is proto_detect or parser.
func (e *Encoder) FlowAnomaly(p *decode.Packet, f *flow.Flow, pseudo bool, app, event, layer string) {
	e.begin("anomaly", p, f, pseudo)
	e.w.Object("anomaly")
	if app != "" {
		e.w.String("app_proto", app)
	}
	e.w.String("type", "applayer")
	e.w.String("event", event)
	e.w.String("layer", layer)
	e.w.Close()
	e.end()
}

// Anomaly writes what is wrong with a packet.
func (e *Encoder) Anomaly(p *decode.Packet, f *flow.Flow, ev decode.Event, link packet.LinkType) {
	e.begin("anomaly", p, f, false)
	e.w.Object("anomaly")
	if ev.Stream() {
		e.w.String("type", "stream")
	} else {
		e.w.String("type", "decode")
	}
	e.w.String("event", ev.String())
	e.w.Close()
	if e.opts.AnomalyHeader {
		e.bytes(p, link, headerBytes)
	}
	e.end()
}
