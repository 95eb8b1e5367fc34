package detect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// engine makes an engine of rules; each line without its header and sid is
// completed to a TCP rule.
func engine(t testing.TB, site Site, rules ...string) *Engine {
	t.Helper()
	var list []*suricata.Compiled
	c := suricata.NewCompiler(netset.Vars{AddressGroups: map[string]string{"HOME_NET": "10.0.0.0/8"}})
	for i, text := range rules {
		if !strings.Contains(text, "sid:") {
			text = strings.TrimSuffix(text, ")") + fmt.Sprintf(" sid:%d;)", i+1)
		}
		r, err := suricata.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		compiled, err := c.Compile(r)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list = append(list, compiled)
	}
	s, problems := Compile(list, site, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return NewEngine(s)
}

// traffic makes packets of one flow.
type traffic struct {
	flows   *flow.Table
	decoder *decode.Decoder
	batch   decode.Batch
	state   FlowState
	number  uint64
}

func newTraffic() *traffic {
	return &traffic{flows: flow.NewTable(flow.DefaultConfig(), nil), decoder: decode.New(decode.DefaultConfig())}
}

// udp is a datagram, at a second.
func (w *traffic) udp(src, dst, payload string, second int64) *Packet {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	data := packet.AppendUDP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), a.Port(), b.Port(), []byte(payload))
	data = append(packet.AppendIP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), packet.ProtoUDP, 64, 1, len(data)), data...)
	w.number++
	w.batch.Reset()
	w.decoder.Decode(&w.batch, packet.LinkRaw, w.number, second*1e9, 0, data)
	p := &Packet{Packet: w.batch.Packets[0], State: &w.state}
	p.Flow, p.Dir = w.flows.Take(p.Packet)
	p.Established = p.Flow.State != flow.New
	return p
}

// told are the sids of the alerts that are told.
func told(alerts []Alert) (sids []uint32) {
	for _, a := range alerts {
		if !a.Silent {
			sids = append(sids, a.Rule.SID)
		}
	}
	return sids
}

const (
	home = "10.0.0.1:1000"
	away = "192.0.2.1:53"
)

func TestHeaderAndPayload(t *testing.T) {
	e := engine(t, Site{},
		`alert udp $HOME_NET any -> !$HOME_NET 53 (msg:"there"; content:"ABC"; nocase;)`,
		`alert udp !$HOME_NET any -> any any (msg:"from away"; content:"abc";)`,
		`alert udp any any <> any 53 (msg:"either way"; content:"abc";)`,
		`alert udp any any -> any any (msg:"absent"; content:!"xyz";)`,
		`alert udp any any -> any any (msg:"two"; content:"a"; content:"c"; distance:1; within:1;)`,
		`alert tcp any any -> any any (msg:"another protocol"; content:"abc";)`,
		`alert ip any any -> any any (msg:"by ttl"; ttl:64; dsize:3;)`,
		`alert udp any any -> any any (msg:"to client"; flow:to_client; content:"abc";)`,
	)
	w := newTraffic()
	if got := told(e.Inspect(w.udp(home, away, "abc", 1))); !slices.Equal(got, []uint32{1, 3, 4, 5, 7}) {
		t.Errorf("out: %v", got)
	}
	if got := told(e.Inspect(w.udp(away, home, "abc", 1))); !slices.Equal(got, []uint32{2, 3, 4, 5, 7, 8}) {
		t.Errorf("back: %v", got)
	}
	if got := told(e.Inspect(w.udp(home, away, "xyz0", 1))); len(got) != 0 {
		t.Errorf("other bytes: %v", got)
	}
}

// TestAddressesAlone holds the index of addresses against the sets.
func TestAddressesAlone(t *testing.T) {
	e := engine(t, Site{},
		`alert ip [192.0.2.0/28,192.0.2.16/28,198.51.100.7] any -> any any (msg:"from a list";)`,
		`alert ip any any -> [192.0.2.1,203.0.113.0/24] any (msg:"to a list";)`,
		`alert ip [0.0.0.0/0] any -> [255.255.255.255] any (msg:"the last address";)`,
		`alert ip ![10.0.0.0/8] any -> any any (msg:"not from home";)`,
		`alert ip [2001:db8::/32] any -> any any (msg:"IPv6";)`,
	)
	for i, c := range []struct {
		src, dst string
		want     []uint32
	}{
		{"192.0.2.1:5", "10.0.0.1:6", []uint32{1, 4}},
		{"192.0.2.31:5", "10.0.0.1:6", []uint32{1, 4}},
		{"192.0.2.32:5", "10.0.0.1:6", []uint32{4}},
		{"198.51.100.7:5", "203.0.113.255:6", []uint32{1, 2, 4}},
		{"10.0.0.1:5", "203.0.114.0:6", nil},
		{"10.0.0.1:5", "255.255.255.255:6", []uint32{3}},
		{"[2001:db8:ffff::1]:5", "[2001:db9::1]:6", []uint32{4, 5}},
		{"[2001:db9::1]:5", "[2001:db8::1]:6", []uint32{4}},
	} {
		if got := told(e.Inspect(newTraffic().udp(c.src, c.dst, "x", 1))); !slices.Equal(got, c.want) {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
	// Once for each direction of a flow.
	w := newTraffic()
	a, b := "192.0.2.1:5", "10.0.0.1:6"
	for i, want := range []int{2, 0, 0} {
		if got := told(e.Inspect(w.udp(a, b, "x", 1))); len(got) != want {
			t.Errorf("packet %d: %v", i, got)
		}
	}
}

func TestTransforms(t *testing.T) {
	e := engine(t, Site{},
		`alert udp any any -> any any (msg:"changed"; udp.hdr; to_sha1; bsize:20;)`,
		`alert udp any any -> any any (msg:"as sent"; udp.hdr; bsize:20;)`,
	)
	if got := told(e.Inspect(newTraffic().udp(home, away, "A b C", 1))); !slices.Equal(got, []uint32{1}) {
		t.Errorf("%v", got)
	}
}

func TestOrderAndPass(t *testing.T) {
	e := engine(t, Site{Classes: siteconf.Classes{"bad": {Name: "bad", Priority: 1}}},
		`alert udp any any -> any any (msg:"third"; content:"a";)`,
		`alert udp any any -> any any (msg:"second"; content:"a"; classtype:bad;)`,
		`drop udp any any -> any any (msg:"first"; content:"a";)`,
		`pass udp any any -> any any (msg:"not this"; content:"ok";)`,
	)
	w := newTraffic()
	if got := told(e.Inspect(w.udp(home, away, "a", 1))); !slices.Equal(got, []uint32{3, 2, 1}) {
		t.Errorf("order: %v", got)
	}
	if got := told(e.Inspect(w.udp(home, away, "a ok", 1))); len(got) != 0 {
		t.Errorf("passed: %v", got)
	}
}

func TestFlowbits(t *testing.T) {
	e := engine(t, Site{},
		`alert udp any any -> any any (msg:"asks"; flowbits:isset,seen; content:"b";)`,
		`alert udp any any -> any any (msg:"sets"; flowbits:set,seen; flowbits:noalert; content:"a";)`,
		`alert udp any any -> any any (msg:"counts"; flowint:n,+,1; content:"a"; noalert;)`,
		`alert udp any any -> any any (msg:"twice"; flowint:n,>=,2; content:"b";)`,
		`alert udp any any -> any any (msg:"unsets"; flowbits:unset,seen; content:"c"; noalert;)`,
	)
	w := newTraffic()
	for i, step := range []struct {
		payload string
		want    []uint32
	}{{"b", nil}, {"a", nil}, {"b", []uint32{1}}, {"a", nil}, {"b", []uint32{1, 4}}, {"c", nil}, {"b", []uint32{4}}} {
		if got := told(e.Inspect(w.udp(home, away, step.payload, 1))); !slices.Equal(got, step.want) {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// TestThresholds sends one match a second and notes the seconds that alert.
func TestThresholds(t *testing.T) {
	for spec, want := range map[string]string{
		"threshold:type limit, track by_src, count 2, seconds 5;":     "0 1 6 7",
		"threshold:type threshold, track by_src, count 3, seconds 9;": "2 5 8",
		"threshold:type both, track by_rule, count 2, seconds 5;":     "1 7",
		"detection_filter:track by_dst, count 2, seconds 20;":         "2 3 4 5 6 7 8 9",
	} {
		e := engine(t, Site{}, `alert udp any any -> any any (msg:"x"; content:"a"; `+spec+`)`)
		w := newTraffic()
		var got []string
		for second := range int64(10) {
			if len(told(e.Inspect(w.udp(home, away, "a", 100+second)))) > 0 {
				got = append(got, fmt.Sprint(second))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", spec, got, want)
		}
	}
}

func TestSuppress(t *testing.T) {
	entries, err := siteconf.ParseThresholds([]byte("suppress gen_id 1, sig_id 1, track by_src, ip 10.0.0.0/8\n"), "threshold.config", netset.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, Site{Thresholds: entries}, `alert udp any any -> any any (msg:"x"; content:"a"; sid:1; gid:1;)`)
	w := newTraffic()
	if got := told(e.Inspect(w.udp(home, away, "a", 1))); len(got) != 0 {
		t.Errorf("from a silenced host: %v", got)
	}
	if got := told(e.Inspect(w.udp(away, home, "a", 1))); len(got) != 1 {
		t.Errorf("from another: %v", got)
	}
}

// TestStream finds a text that lies across two deliveries once, and again only
// in new bytes.
func TestStream(t *testing.T) {
	e := engine(t, Site{}, `alert tcp any any -> any any (msg:"x"; flow:established; content:"needle";)`)
	state := &FlowState{}
	w := newTraffic()
	tcpPacket := func() *Packet {
		a, b := netip.MustParseAddrPort(home), netip.MustParseAddrPort(away)
		data := packet.AppendTCP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), &packet.Segment{SrcPort: a.Port(), DstPort: b.Port(), Flags: packet.ACK})
		data = append(packet.AppendIP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), packet.ProtoTCP, 64, 1, len(data)), data...)
		w.batch.Reset()
		w.decoder.Decode(&w.batch, packet.LinkRaw, 1, 1e9, 0, data)
		p := &Packet{Packet: w.batch.Packets[0], State: state, Established: true, InStream: true}
		p.Flow, p.Dir = w.flows.Take(p.Packet)
		return p
	}
	text := "a nee" + "dle, " + "nothing " + "needle"
	for i, step := range []struct {
		from, to int
		want     int
	}{{0, 5, 0}, {0, 10, 1}, {0, 18, 0}, {0, 24, 1}, {0, 24, 0}} {
		p := tcpPacket()
		p.Stream = []byte(text[step.from:step.to])
		if got := told(e.Inspect(p)); len(got) != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// TestLikeNaive holds the prefilter against evaluating every rule.
func TestLikeNaive(t *testing.T) {
	var rules []string
	words := []string{"alpha", "beta", "ga", "delta epsilon", "zz", "q"}
	for i, word := range words {
		rules = append(rules, fmt.Sprintf(`alert udp any any -> any any (msg:"w"; content:"%s"; nocase; sid:%d;)`, word, i+1))
		rules = append(rules, fmt.Sprintf(`alert udp any any -> any any (msg:"n"; content:!"%s"; content:"%s"; sid:%d;)`, word, words[(i+1)%len(words)], i+101))
	}
	for _, payload := range []string{"alpha beta", "GA delta epsilon", "zzz", "q", "alphabetagadelta epsilonzzq", "nothing", "Beta!"} {
		var naive []uint32
		for _, rule := range rules {
			naive = append(naive, told(engine(t, Site{}, rule).Inspect(newTraffic().udp(home, away, payload, 1)))...)
		}
		got := told(engine(t, Site{}, rules...).Inspect(newTraffic().udp(home, away, payload, 1)))
		slices.Sort(naive)
		slices.Sort(got)
		if !slices.Equal(got, naive) {
			t.Errorf("%q: %v, want %v", payload, got, naive)
		}
	}
}

// TestTooManyBuffers: a rule that could never match is refused.
func TestTooManyBuffers(t *testing.T) {
	for n, want := range map[int]int{maxChains: 0, maxChains + 1: 1} {
		var options strings.Builder
		for range n {
			options.WriteString(`dns.query; content:"a"; `) // Each is of another query.
		}
		parsed, err := suricata.Parse(`alert dns any any -> any any (` + options.String() + `sid:1;)`)
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := suricata.NewCompiler(netset.Vars{}).Compile(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(compiled.Chains()); got != n {
			t.Fatalf("%d buffers are %d chains", n, got)
		}
		if _, problems := Compile([]*suricata.Compiled{compiled}, Site{}, nil); len(problems) != want {
			t.Errorf("%d buffers: %v", n, problems)
		}
	}
}

// TestForgets fills the thresholds with hosts: what is dropped for want of room
// is counted, and what ended is not.
func TestForgets(t *testing.T) {
	m := map[int]int{}
	for i := range 100 {
		m[i] = i
	}
	if n := halve(m, 100, func(v int) bool { return v < 30 }); n != 20 || len(m) != 50 {
		t.Errorf("%d of %d were forgotten", n, len(m))
	}
	if n := halve(m, 100, func(int) bool { return false }); n != 0 || len(m) != 50 {
		t.Errorf("%d forgotten though there was room", n)
	}

	e := engine(t, Site{}, `alert udp any any -> any any (content:"a"; threshold:type limit, track by_src, count 1, seconds 60;)`)
	w := newTraffic()
	p := w.udp(home, away, "a", 1)
	for i := range maxWindows {
		e.limits.windows[trackKey{flow: uint64(i + 1)}] = &window{start: p.Time, lasts: 1e9}
	}
	e.Inspect(p)
	if e.Counters.Forgotten != maxWindows/2 || len(e.limits.windows) != maxWindows/2+1 {
		t.Errorf("%d forgotten, %d left", e.Counters.Forgotten, len(e.limits.windows))
	}
}
