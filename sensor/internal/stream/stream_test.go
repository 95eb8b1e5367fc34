package stream

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/seqnum"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
	"github.com/hauberk/hauberk/sensor/internal/flow"
)

var (
	client = netip.MustParseAddrPort("10.0.0.1:40000")
	server = netip.MustParseAddrPort("10.0.0.2:80")
)

// world is a tracker with one connection, and what its sink was given.
type world struct {
	t       testing.TB
	decoder *decode.Decoder
	flows   *flow.Table
	tracker *Tracker
	batch   decode.Batch
	number  uint64
	last    Result

	bytes [2][]byte // With NUL for the bytes of a gap, of a large one some.
	at    [2]uint64
	gaps  [2]uint64
	ended [2]bool
	state State
}

func newWorld(t testing.TB, change func(*Config)) *world {
	w := &world{t: t, decoder: decode.New(decode.DefaultConfig())}
	c := DefaultConfig()
	if change != nil {
		change(&c)
	}
	w.flows = flow.NewTable(flow.DefaultConfig(), func(f *flow.Flow, _ flow.Reason) { w.tracker.Finish(f) })
	w.tracker = New(c, w.flows, w)
	return w
}

func (w *world) StreamData(_ *flow.Flow, dir flow.Dir, offset uint64, data []byte) {
	if offset != w.at[dir] {
		w.t.Fatalf("direction %d: data at %d, want %d", dir, offset, w.at[dir])
	}
	if w.ended[dir] {
		w.t.Fatal("data after the end")
	}
	w.bytes[dir] = append(w.bytes[dir], data...)
	w.at[dir] += uint64(len(data))
}

func (w *world) StreamGap(_ *flow.Flow, dir flow.Dir, offset, size uint64) {
	if offset != w.at[dir] || size == 0 {
		w.t.Fatalf("gap of %d at %d, want %d", size, offset, w.at[dir])
	}
	w.bytes[dir] = append(w.bytes[dir], make([]byte, min(size, 1<<12))...)
	w.at[dir] += size
	w.gaps[dir] += size
}

func (w *world) StreamEnd(_ *flow.Flow, dir flow.Dir) {
	if w.ended[dir] {
		w.t.Fatal("two ends")
	}
	w.ended[dir] = true
}

// send brings a segment and returns the names of the events it has.
func (w *world) send(dir flow.Dir, s packet.Segment) []string {
	from, to := client, server
	if dir == flow.ToClient {
		from, to = server, client
	}
	s.SrcPort, s.DstPort = from.Port(), to.Port()
	if s.Window == 0 {
		s.Window = 60_000
	}
	data := packet.AppendTCP(nil, from.Addr().AsSlice(), to.Addr().AsSlice(), &s)
	data = append(packet.AppendIP(nil, from.Addr().AsSlice(), to.Addr().AsSlice(), packet.ProtoTCP, 64, 1, len(data)), data...)
	w.number++
	w.batch.Reset()
	w.decoder.Decode(&w.batch, packet.LinkRaw, w.number, int64(w.number)*1e6, 0, data)
	p := w.batch.Packets[0]
	if f := w.flows.Find(p.Key); f != nil && w.tracker.Reuses(f, p) {
		w.flows.End(f, flow.Reused)
	}
	f, d := w.flows.Take(p)
	w.last = w.tracker.Take(f, d, p)
	w.state = w.tracker.StateOf(f)
	var names []string
	for _, e := range p.Events.Append(nil) {
		if e.Stream() {
			names = append(names, strings.TrimPrefix(e.String(), "stream."))
		}
	}
	return names
}

// The numbers of both ends.
var (
	clientISN seqnum.Value = 0xffffff00 // Wraps soon.
	serverISN seqnum.Value = 7000
)

func (w *world) handshake() {
	w.t.Helper()
	w.send(flow.ToServer, packet.Segment{Seq: clientISN, Flags: packet.SYN})
	w.send(flow.ToClient, packet.Segment{Seq: serverISN, Ack: clientISN + 1, Flags: packet.SYN | packet.ACK})
	w.send(flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: serverISN + 1, Flags: packet.ACK})
	if w.state != Established || !w.last.Established {
		w.t.Fatalf("after the handshake: %v", w.state)
	}
}

// data is a segment of the client at an offset, which acknowledges nothing new.
func data(offset int, text string) packet.Segment {
	return packet.Segment{Seq: clientISN + 1 + seqnum.Value(offset), Ack: serverISN + 1, Flags: packet.ACK, Payload: []byte(text)}
}

// ack acknowledges the client's bytes up to an offset.
func ack(offset int) packet.Segment {
	return packet.Segment{Seq: serverISN + 1, Ack: clientISN + 1 + seqnum.Value(offset), Flags: packet.ACK}
}

func TestLife(t *testing.T) {
	w := newWorld(t, nil)
	w.handshake()
	w.send(flow.ToServer, data(0, "hello "))
	w.send(flow.ToServer, data(6, "world"))
	if len(w.bytes[0]) != 0 {
		t.Fatalf("%q before it is acknowledged", w.bytes[0])
	}
	w.send(flow.ToClient, ack(6))
	if string(w.bytes[0]) != "hello " {
		t.Fatalf("acknowledged %q", w.bytes[0])
	}
	w.send(flow.ToClient, ack(11))
	w.send(flow.ToServer, packet.Segment{Seq: clientISN + 12, Ack: serverISN + 1, Flags: packet.FIN | packet.ACK})
	if w.state != CloseWait {
		t.Fatal(w.state)
	}
	w.send(flow.ToClient, packet.Segment{Seq: serverISN + 1, Ack: clientISN + 13, Flags: packet.ACK, Payload: []byte("bye")})
	if !w.ended[0] || string(w.bytes[0]) != "hello world" {
		t.Errorf("after the client's FIN: %q, ended %v", w.bytes[0], w.ended)
	}
	w.send(flow.ToClient, packet.Segment{Seq: serverISN + 4, Ack: clientISN + 13, Flags: packet.FIN | packet.ACK})
	if w.state != LastAck {
		t.Fatal(w.state)
	}
	w.send(flow.ToServer, packet.Segment{Seq: clientISN + 13, Ack: serverISN + 5, Flags: packet.ACK})
	if w.state != Closed || string(w.bytes[1]) != "bye" || !w.ended[1] {
		t.Errorf("at the end: %v, %q, %v", w.state, w.bytes[1], w.ended)
	}
	// The same ports again.
	w.ended = [2]bool{}
	w.bytes, w.at = [2][]byte{}, [2]uint64{}
	w.send(flow.ToServer, packet.Segment{Seq: 99, Flags: packet.SYN})
	if w.state != SynSent || w.flows.Counters.TCPReuse != 1 {
		t.Errorf("reuse: %v", w.state)
	}
}

// TestServerClosesFirst walks the other way through the states.
func TestServerClosesFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.handshake()
	for i, step := range []struct {
		dir  flow.Dir
		seg  packet.Segment
		want State
	}{
		{flow.ToClient, packet.Segment{Seq: serverISN + 1, Ack: clientISN + 1, Flags: packet.FIN | packet.ACK}, FinWait1},
		{flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: serverISN + 2, Flags: packet.ACK}, FinWait2},
		{flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: serverISN + 2, Flags: packet.FIN | packet.ACK}, TimeWait},
		{flow.ToClient, packet.Segment{Seq: serverISN + 2, Ack: clientISN + 2, Flags: packet.ACK}, Closed},
	} {
		if events := w.send(step.dir, step.seg); w.state != step.want || len(events) > 0 || w.last.Invalid {
			t.Fatalf("step %d: %v %v, want %v", i, w.state, events, step.want)
		}
	}
	if !w.ended[0] || !w.ended[1] {
		t.Error("no end")
	}
}

func TestResetEndsAndFlushes(t *testing.T) {
	w := newWorld(t, nil)
	w.handshake()
	w.send(flow.ToServer, data(0, "unacknowledged"))
	w.send(flow.ToClient, packet.Segment{Seq: serverISN + 90_000, Ack: clientISN + 1, Flags: packet.RST | packet.ACK})
	if w.state != Established {
		t.Fatal("a RST outside of the window was taken")
	}
	w.send(flow.ToClient, packet.Segment{Seq: serverISN + 1, Ack: clientISN + 1, Flags: packet.RST | packet.ACK})
	if w.state != Closed || string(w.bytes[0]) != "unacknowledged" || !w.ended[0] || !w.ended[1] {
		t.Errorf("%v %q %v", w.state, w.bytes[0], w.ended)
	}
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		dir   flow.Dir
		seg   packet.Segment
		want  string
		taken bool
	}{
		{"ack beyond the window", flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: serverISN + 100_000, Flags: packet.ACK}, "est_invalid_ack pkt_invalid_ack", false},
		{"beyond the window", flow.ToServer, data(70_000, "x"), "est_packet_out_of_window", false},
		{"SYN again", flow.ToServer, packet.Segment{Seq: clientISN, Flags: packet.SYN}, "est_syn_resend", true},
		{"another SYN", flow.ToServer, packet.Segment{Seq: 5, Flags: packet.SYN}, "est_syn_resend_diff_seq", false},
		{"SYN to client", flow.ToClient, packet.Segment{Seq: 5, Flags: packet.SYN}, "est_syn_toclient", false},
		{"SYN/ACK again", flow.ToClient, packet.Segment{Seq: serverISN, Ack: clientISN + 1, Flags: packet.SYN | packet.ACK}, "est_synack_resend", true},
		{"SYN/ACK to server", flow.ToServer, packet.Segment{Seq: 5, Ack: 5, Flags: packet.SYN | packet.ACK}, "est_synack_toserver", false},
		{"FIN outside", flow.ToServer, packet.Segment{Seq: clientISN + 90_000, Ack: serverISN + 1, Flags: packet.FIN | packet.ACK}, "fin_out_of_window", false},
		{"FIN and SYN", flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: serverISN + 1, Flags: packet.FIN | packet.SYN | packet.ACK}, "fin_syn", false},
		{"ack without its flag", flow.ToServer, packet.Segment{Seq: clientISN + 1, Ack: 4, Flags: packet.PSH, Payload: []byte("x")}, "pkt_broken_ack", true},
	} {
		w := newWorld(t, nil)
		w.handshake()
		events := w.send(c.dir, c.seg)
		slices.Sort(events)
		if got := strings.Join(events, " "); got != c.want || w.last.Invalid == c.taken {
			t.Errorf("%s: %q, invalid %v; want %q", c.name, got, w.last.Invalid, c.want)
		}
	}
	w := newWorld(t, nil)
	if got := w.send(flow.ToServer, packet.Segment{Flags: packet.RST}); !slices.Equal(got, []string{"rst_but_no_session"}) || !w.last.Invalid {
		t.Errorf("RST alone: %v", got)
	}
	w = newWorld(t, nil)
	w.send(flow.ToServer, packet.Segment{Seq: clientISN, Flags: packet.SYN})
	if got := w.send(flow.ToClient, packet.Segment{Seq: serverISN, Ack: 77, Flags: packet.SYN | packet.ACK}); !slices.Equal(got, []string{"3whs_synack_with_wrong_ack"}) {
		t.Errorf("SYN/ACK with a wrong number: %v", got)
	}
}

// TestOverlaps sends two versions of some bytes, of which the target's policy
// says which counts (the classes of Novak and Sturges).
func TestOverlaps(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second packet.Segment
		news          []hostos.Policy // Those that take the second.
		old, new      string
	}{
		{"same place and length", data(1, "aaa"), data(1, "bbb"), []hostos.Policy{hostos.Last, hostos.Solaris, hostos.HPUX11, hostos.OldLinux}, "-aaa", "-bbb"},
		{"same place, longer", data(1, "aa"), data(1, "bbb"), []hostos.Policy{hostos.Last, hostos.Solaris, hostos.HPUX11, hostos.OldLinux, hostos.Linux}, "-aab", "-bbb"},
		{"same place, shorter", data(1, "aaa"), data(1, "bb"), []hostos.Policy{hostos.Last}, "-aaa", "-bba"},
		{"before", data(2, "aaa"), data(1, "bb"), []hostos.Policy{hostos.Last, hostos.BSD, hostos.Windows, hostos.Linux, hostos.OldLinux, hostos.MacOS, hostos.HPUX10, hostos.IRIX, hostos.Windows2003}, "-baaa", "-bbaa"},
		{"behind", data(1, "aaa"), data(2, "bbb"), []hostos.Policy{hostos.Last, hostos.Solaris, hostos.HPUX11}, "-aaab", "-abbb"},
		{"within", data(1, "aaaa"), data(2, "bb"), []hostos.Policy{hostos.Last}, "-aaaa", "-abba"},
	} {
		for _, policy := range []hostos.Policy{
			hostos.BSD, hostos.First, hostos.Last, hostos.Linux, hostos.OldLinux, hostos.Solaris, hostos.HPUX10, hostos.HPUX11,
			hostos.Windows, hostos.Windows2003, hostos.Vista, hostos.MacOS, hostos.IRIX,
		} {
			w := newWorld(t, func(cfg *Config) {
				cfg.OS = hostos.NewTable(map[netip.Prefix]hostos.Policy{netip.MustParsePrefix("10.0.0.2/32"): policy})
			})
			w.handshake()
			w.send(flow.ToServer, c.first)
			events := w.send(flow.ToServer, c.second)
			if !slices.Contains(events, "reassembly_overlap_different_data") {
				t.Errorf("%s, %v: %v", c.name, policy, events)
			}
			w.send(flow.ToServer, data(0, "-"))
			w.send(flow.ToClient, ack(20))
			want := c.old
			if slices.Contains(c.news, policy) {
				want = c.new
			}
			if got := string(w.bytes[0]); got != want {
				t.Errorf("%s, %v: %q, want %q", c.name, policy, got, want)
			}
		}
	}
}

// TestRegions: pieces that wait with gaps between them are counted.
func TestRegions(t *testing.T) {
	w := newWorld(t, nil)
	w.handshake()
	for _, at := range []int{10, 20, 30, 11} { // The last closes no gap.
		w.send(flow.ToServer, data(at, "x"))
	}
	if got := w.tracker.Regions(w.flows.Find(w.batch.Packets[0].Key)); got != [2]uint64{3, 1} {
		t.Errorf("regions %v, want 3 and 1", got)
	}
}

func TestGap(t *testing.T) {
	w := newWorld(t, nil)
	w.handshake()
	w.send(flow.ToServer, data(0, "ab"))
	w.send(flow.ToServer, data(5, "fg"))
	w.send(flow.ToClient, ack(2))
	if string(w.bytes[0]) != "ab" {
		t.Fatalf("%q", w.bytes[0])
	}
	w.send(flow.ToClient, ack(7))
	if string(w.bytes[0]) != "ab\x00\x00\x00fg" || w.gaps[0] != 3 {
		t.Errorf("%q, gaps %d", w.bytes[0], w.gaps[0])
	}
}

func TestDepthAndMemory(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Depth = 4 })
	w.handshake()
	w.send(flow.ToServer, data(0, "abcdef"))
	w.send(flow.ToClient, ack(6))
	if got := w.send(flow.ToServer, data(6, "gh")); !slices.Contains(got, "reassembly_depth_reached") || string(w.bytes[0]) != "abcd" || !w.ended[0] {
		t.Errorf("%v: %q, ended %v", got, w.bytes[0], w.ended)
	}
	deep := newWorld(t, func(c *Config) { c.Depth = 4 })
	deep.handshake()
	deep.tracker.Deepen(deep.flows.Find(deep.batch.Packets[0].Key))
	deep.send(flow.ToServer, data(0, "abcdef"))
	deep.send(flow.ToClient, ack(6))
	if string(deep.bytes[0]) != "abcdef" || deep.ended[0] {
		t.Errorf("beyond the depth: %q, ended %v", deep.bytes[0], deep.ended)
	}
	small := newWorld(t, func(c *Config) { c.Memory = 0 })
	small.handshake()
	if got := small.send(flow.ToServer, data(0, "abc")); !slices.Contains(got, "reassembly_insert_memcap") {
		t.Errorf("no memory: %v", got)
	}
}

func TestMidstream(t *testing.T) {
	w := newWorld(t, nil)
	w.send(flow.ToServer, data(0, "abc"))
	if w.state != None || !w.last.Invalid {
		t.Errorf("without the option: %v", w.state)
	}
	w = newWorld(t, func(c *Config) { c.Midstream = true })
	w.send(flow.ToServer, data(0, "abc"))
	w.send(flow.ToClient, ack(3))
	if w.state != Established || string(w.bytes[0]) != "abc" {
		t.Errorf("%v %q", w.state, w.bytes[0])
	}
}

// TestAnyOrder sends a text cut at random, twice, in any order, with
// acknowledgements of what has arrived; whatever happens the sink has the text.
func TestAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		w := newWorld(t, func(c *Config) { c.Inline = round%3 == 0 })
		w.handshake()
		text := make([]byte, 1+random.IntN(3000))
		for i := range text {
			text[i] = 'a' + byte(random.IntN(26))
		}
		type piece struct{ from, to int }
		var pieces []piece
		for range 2 {
			for at := 0; at < len(text); {
				to := min(len(text), at+1+random.IntN(400))
				pieces = append(pieces, piece{at, to})
				at = to
			}
		}
		random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		have := make([]bool, len(text))
		for _, p := range pieces {
			w.send(flow.ToServer, data(p.from, string(text[p.from:p.to])))
			for i := p.from; i < p.to; i++ {
				have[i] = true
			}
			if random.IntN(2) == 0 {
				n := slices.Index(have, false)
				if n < 0 {
					n = len(text)
				}
				w.send(flow.ToClient, ack(n))
			}
		}
		w.flows.Drain()
		if !bytes.Equal(w.bytes[0], text) || w.gaps[0] != 0 || !w.ended[0] {
			t.Fatalf("round %d: %d bytes of %d, %d in gaps", round, len(w.bytes[0]), len(text), w.gaps[0])
		}
		if n := w.tracker.segments.Len(); n != 0 || w.tracker.arena.Used() != 0 {
			t.Fatalf("%d segments and %d bytes left", n, w.tracker.arena.Used())
		}
	}
}

// FuzzTake sends arbitrary segments; the sink's order and the accounts of
// memory must hold.
func FuzzTake(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 0, 1, 18, 0, 1, 0, 0, 16, 1, 1, 3, 1, 16, 4, 4, 0})
	f.Add([]byte{0, 17, 0, 1, 5, 0, 24, 9, 1, 7, 1, 4, 9, 9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t, func(c *Config) {
			c.Midstream = len(b)%2 == 0
			c.AsyncOneside = len(b)%3 == 0
			c.Inline = len(b)%5 == 0
		})
		if len(b)%7 != 0 {
			w.handshake()
		}
		for len(b) >= 5 && w.number < 300 {
			s := packet.Segment{
				Flags: packet.Flags(b[1]), Seq: clientISN + 1 + seqnum.Value(b[2])*3 - 30, Ack: serverISN + 1 + seqnum.Value(b[3])*3 - 30,
				Payload: bytes.Repeat([]byte{b[4]}, int(b[4])%32),
			}
			dir := flow.Dir(b[0] & 1)
			if dir == flow.ToClient {
				s.Seq, s.Ack = serverISN+1+seqnum.Value(b[2])*3-30, clientISN+1+seqnum.Value(b[3])*3-30
			}
			before := w.flows.Counters.TCPReuse
			w.send(dir, s)
			if w.flows.Counters.TCPReuse != before {
				return // Another connection; the test's sink knows one.
			}
			b = b[5:]
		}
		w.flows.Drain()
		if w.tracker.segments.Len() != 0 || w.tracker.arena.Used() != 0 {
			t.Fatal("something is left")
		}
	})
}
