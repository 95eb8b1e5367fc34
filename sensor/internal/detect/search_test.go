package detect

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/packet"
)

// delivery is a packet of a connection with a window of its stream, of which
// what is before fresh was inspected.
func (w *traffic) delivery(window string, at, fresh uint64) *Packet {
	a, b := netip.MustParseAddrPort(home), netip.MustParseAddrPort(away)
	data := packet.AppendTCP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), &packet.Segment{SrcPort: a.Port(), DstPort: b.Port(), Flags: packet.ACK})
	data = append(packet.AppendIP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), packet.ProtoTCP, 64, 1, len(data)), data...)
	w.batch.Reset()
	w.decoder.Decode(&w.batch, packet.LinkRaw, 1, 1e9, 0, data)
	p := &Packet{Packet: w.batch.Packets[0], State: &w.state, Established: true, InStream: true, Stream: []byte(window), StreamAt: at, StreamNew: fresh}
	p.Flow, p.Dir = w.flows.Take(p.Packet)
	return p
}

// A rule whose pattern was found stays a candidate while the window has the
// pattern, and no longer.
func TestPatternsFoundBeforeCount(t *testing.T) {
	const rule = `alert tcp any any -> any any (msg:"x"; flow:established; content:"longpattern"; content:"end"; distance:0;)`
	for _, c := range []struct {
		name   string
		second *Packet
		want   int
	}{
		{"the window has it", newTraffic().delivery("longpattern and then the end", 0, 11), 1},
		{"it left the window", newTraffic().delivery(" and then the end", 11, 11), 0},
	} {
		e := engine(t, Site{}, rule)
		w := newTraffic()
		if got := told(e.Inspect(w.delivery("longpattern", 0, 0))); len(got) != 0 {
			t.Errorf("%s: %v at once", c.name, got)
		}
		c.second.State = &w.state
		if got := told(e.Inspect(c.second)); len(got) != c.want {
			t.Errorf("%s: %v, want %d", c.name, got, c.want)
		}
	}
}

// Rules with short patterns are found at their ports, and with their protocol
// even if it is known only after the bytes.
func TestShortPatternsAtPortsAndProtocols(t *testing.T) {
	e := engine(t, Site{},
		`alert udp any any -> any 2000:3000 (msg:"in a range"; content:"ab";)`,
		`alert udp any any -> any !2500 (msg:"negated"; content:"ab";)`,
		`alert udp any 7 -> any any (msg:"source"; content:"ab";)`,
		`alert udp any 2600 <> any 9 (msg:"either"; content:"ab";)`)
	for _, c := range []struct {
		src, dst string
		want     []uint32
	}{
		{"10.0.0.1:9", "10.0.0.2:2500", []uint32{1}},
		{"10.0.0.1:9", "10.0.0.2:2600", []uint32{1, 2, 4}},
		{"10.0.0.1:7", "10.0.0.2:65535", []uint32{2, 3}},
		{"10.0.0.1:7", "10.0.0.2:0", []uint32{2, 3}},
		{"10.0.0.1:8", "10.0.0.2:3001", []uint32{2}},
	} {
		got := told(e.Inspect(newTraffic().udp(c.src, c.dst, "..ab..", 1)))
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.src, c.dst, got, c.want)
		}
	}
	e = engine(t, Site{}, `alert smtp any any -> any any (msg:"protocol"; content:"ab";)`)
	w := newTraffic()
	if got := told(e.Inspect(w.delivery("..ab", 0, 0))); len(got) != 0 {
		t.Errorf("unknown protocol: %v", got)
	}
	p := w.delivery("..ab..", 0, 4)
	p.App = "smtp"
	if got := told(e.Inspect(p)); len(got) != 1 {
		t.Errorf("protocol known later: %v", got)
	}
}

// A longer text of the same buffer stands in for a short fast pattern, with its
// place.
func TestPatternInPlaceOfAShortOne(t *testing.T) {
	e := engine(t, Site{}, `alert udp any any -> any any (msg:"x"; content:"ab"; fast_pattern; content:"longer"; offset:2; depth:8;)`)
	p := e.set.rules[0].pattern()
	if string(p.Text) != "longer" || p.Offset != 2 || p.Depth != 8 {
		t.Errorf("%q at %d within %d", p.Text, p.Offset, p.Depth)
	}
	for text, want := range map[string]int{"..longer ab": 1, "longer ab": 0, "..longer": 0, "ab ..........longer": 0} {
		if got := told(e.Inspect(newTraffic().udp(home, away, text, 1))); len(got) != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
