package flow

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode"
)

// udp decodes a datagram between two ends at a second.
func udp(t testing.TB, src, dst string, second int64) *decode.Packet {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	data := packet.AppendUDP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), a.Port(), b.Port(), []byte("x"))
	data = append(packet.AppendIP(nil, a.Addr().AsSlice(), b.Addr().AsSlice(), packet.ProtoUDP, 64, 1, len(data)), data...)
	var batch decode.Batch
	decode.New(decode.DefaultConfig()).Decode(&batch, packet.LinkRaw, 1, second*1e9, 0, data)
	p := batch.Packets[0]
	if p.Flags&decode.WantsFlow == 0 {
		t.Fatalf("%+v", p)
	}
	return p
}

type ended struct {
	id     uint64
	reason Reason
	state  State
}

func newTable(change func(*Config)) (*Table, *[]ended) {
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	var list []ended
	t := NewTable(c, func(f *Flow, r Reason) { list = append(list, ended{f.ID, r, f.State}) })
	return t, &list
}

func TestDirectionsAndStates(t *testing.T) {
	for _, ends := range [][2]string{{"10.0.0.1:1000", "10.0.0.2:53"}, {"10.0.0.2:1000", "10.0.0.1:53"}, {"[2001:db8::1]:5", "[2001:db8::2]:4"}} {
		tb, _ := newTable(nil)
		f, dir := tb.Take(udp(t, ends[0], ends[1], 100))
		if dir != ToServer || f.State != New || f.Client().String() != ends[0] || f.Server().String() != ends[1] {
			t.Errorf("%v: %+v, direction %d", ends, f, dir)
		}
		g, dir := tb.Take(udp(t, ends[1], ends[0], 101))
		if g != f || dir != ToClient || f.State != Established || f.Packets != [2]uint64{1, 1} {
			t.Errorf("%v: answer %+v, direction %d", ends, g, dir)
		}
		f.Swap()
		if f.Client().String() != ends[1] || f.Dir(udp(t, ends[1], ends[0], 102)) != ToServer {
			t.Error("swapped: ", f.Client())
		}
	}
}

func TestTimeouts(t *testing.T) {
	tb, list := newTable(nil)
	tb.Take(udp(t, "10.0.0.1:1", "10.0.0.9:9", 1000)) // New: 30 s.
	tb.Take(udp(t, "10.0.0.2:1", "10.0.0.9:9", 1000))
	tb.Take(udp(t, "10.0.0.9:9", "10.0.0.2:1", 1000)) // Established: 300 s.
	tb.Advance(1030 * 1e9)
	if len(*list) != 0 {
		t.Fatalf("after 30 s: %v", *list)
	}
	tb.Advance(1031 * 1e9)
	if len(*list) != 1 || (*list)[0].state != New || (*list)[0].reason != Timeout {
		t.Fatalf("after 31 s: %v", *list)
	}
	tb.Take(udp(t, "10.0.0.2:1", "10.0.0.9:9", 1290))
	tb.Advance(1500 * 1e9)
	if len(*list) != 1 {
		t.Fatalf("an active flow ended: %v", *list)
	}
	tb.Advance(1591 * 1e9)
	if len(*list) != 2 || tb.Len() != 0 {
		t.Fatalf("at last: %v", *list)
	}
	// Far ahead, more than once around the wheel.
	long, list := newTable(func(c *Config) { c.UDP[New] = 3 * wheelSlots })
	long.Take(udp(t, "10.0.0.1:1", "10.0.0.9:9", 1000))
	for second := int64(1001); second <= 1000+3*wheelSlots; second += 7 {
		long.Advance(second * 1e9)
	}
	if len(*list) != 0 {
		t.Fatal("ended early")
	}
	long.Advance((1001 + 3*wheelSlots) * 1e9)
	if len(*list) != 1 {
		t.Fatal("did not end")
	}
}

// TestEstablishedSurvive floods a small table with new flows.
func TestEstablishedSurvive(t *testing.T) {
	tb, list := newTable(func(c *Config) { c.MaxFlows = 50 })
	for i := range 20 {
		a := fmt.Sprintf("10.0.0.%d:1", i)
		tb.Take(udp(t, a, "10.9.9.9:9", 10))
		tb.Take(udp(t, "10.9.9.9:9", a, 10))
	}
	for i := range 1000 {
		if f, _ := tb.Take(udp(t, fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), "10.9.9.9:9", 10)); f == nil {
			t.Fatal("no room")
		}
	}
	for _, e := range *list {
		if e.state != New || e.reason != Forced {
			t.Fatalf("%v had to go", e)
		}
	}
	if tb.Len() != 50 || tb.Counters.Forced != 970 {
		t.Errorf("%d flows, %+v", tb.Len(), tb.Counters)
	}
	// Only established ones: nothing may go.
	full, _ := newTable(func(c *Config) { c.MaxFlows = 1 })
	full.Take(udp(t, "10.0.0.1:1", "10.9.9.9:9", 10))
	full.Take(udp(t, "10.9.9.9:9", "10.0.0.1:1", 10))
	if f, _ := full.Take(udp(t, "10.0.0.2:1", "10.9.9.9:9", 10)); f != nil || full.Counters.NoRoom != 1 {
		t.Error("an established flow made room")
	}
}

// TestLikeAMap holds the table against a map, with flows that come, speak and end.
func TestLikeAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tb, list := newTable(nil)
	last := map[packet.Key]int64{}
	spoke := map[packet.Key][2]bool{}
	second := int64(1000)
	for range 20_000 {
		second += int64(random.IntN(2))
		a, b := fmt.Sprintf("10.0.0.%d:%d", random.IntN(8), random.IntN(100)), "10.9.9.9:53"
		if random.IntN(3) == 0 {
			a, b = b, a
		}
		p := udp(t, a, b, second)
		for k, at := range last {
			limit := int64(30)
			if spoke[k] == [2]bool{true, true} {
				limit = 300
			}
			if second > at+limit {
				delete(last, k)
				delete(spoke, k)
			}
		}
		f, dir := tb.Take(p)
		s := spoke[p.Key]
		s[dir] = true
		if last[p.Key] == 0 && dir != ToServer {
			t.Fatal("the first packet goes to the client")
		}
		last[p.Key], spoke[p.Key] = second, s
		if f.Key != p.Key || tb.Get(f.Handle) != f || tb.Len() != len(last) {
			t.Fatalf("%d flows, want %d", tb.Len(), len(last))
		}
	}
	n := len(*list)
	tb.Drain()
	if tb.Len() != 0 || len(*list)-n != len(last) || tb.Counters.Total != uint64(len(*list)) || tb.Counters.Active != 0 {
		t.Errorf("after the end: %d flows, %d ended, %+v", tb.Len(), len(*list)-n, tb.Counters)
	}
}

// TestStrangeTimes follows packets of captures whose clock is wrong.
func TestStrangeTimes(t *testing.T) {
	tb, list := newTable(nil)
	for i, second := range []int64{-5, -1 << 32, 0, 1 << 33, 7, -9, 1 << 32} {
		tb.Take(udp(t, fmt.Sprintf("10.0.0.%d:1", i), "10.9.9.9:9", second))
	}
	tb.Drain()
	if len(*list) != 7 || tb.Len() != 0 {
		t.Errorf("%d flows ended, %d are left", len(*list), tb.Len())
	}
}

// TestIDs holds that ids follow from packets alone.
func TestIDs(t *testing.T) {
	a, _ := newTable(nil)
	b, _ := newTable(nil)
	p := udp(t, "10.0.0.1:1", "10.0.0.2:2", 5)
	f, _ := a.Take(p)
	g, _ := b.Take(p)
	if f.ID != g.ID || f.ID == 0 {
		t.Errorf("ids %d and %d", f.ID, g.ID)
	}
}

// TestTakeAllocatesNothing once the table has its size.
func TestTakeAllocatesNothing(t *testing.T) {
	tb, _ := newTable(nil)
	p, q := udp(t, "10.0.0.1:1", "10.0.0.2:2", 5), udp(t, "10.0.0.2:2", "10.0.0.1:1", 5)
	if n := testing.AllocsPerRun(1000, func() { tb.Take(p); tb.Take(q) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
