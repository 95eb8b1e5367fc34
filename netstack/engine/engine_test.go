package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/netstack/port"
)

// cable is a simulated cable from one stack to another: packets leave it when their time has come.
type cable struct {
	w      *world
	to     **Stack
	free   [][]byte
	flying []arrival
}

type arrival struct {
	at   int64
	data []byte
}

// world is two stacks, the cables between them, and time.
type world struct {
	rng                               *rand.Rand
	now                               int64
	a, b                              *Stack
	ab, ba                            cable
	loss, reorder, duplicate, corrupt float64
	delay                             int64
	sniff                             func(data []byte)
}

func (w *cable) Buffer() (port.Frame, bool) {
	if n := len(w.free); n > 0 {
		f := port.Frame{Data: w.free[n-1]}
		w.free = w.free[:n-1]
		return f, true
	}
	return port.Frame{Data: make([]byte, 0, 2048)}, true
}

func (w *cable) Release(frames ...port.Frame) {
	for _, f := range frames {
		w.free = append(w.free, f.Data[:0])
	}
}

func (w *cable) Transmit(f port.Frame) {
	x := w.w
	if x.sniff != nil {
		x.sniff(f.Data)
	}
	if x.rng.Float64() < x.loss {
		w.free = append(w.free, f.Data[:0])
		return
	}
	at := x.now + x.delay
	if x.rng.Float64() < x.reorder {
		at += x.rng.Int64N(3*x.delay + 1)
	}
	if x.rng.Float64() < x.duplicate {
		w.flying = append(w.flying, arrival{at + 1, append(make([]byte, 0, 2048), f.Data...)})
	}
	if x.rng.Float64() < x.corrupt {
		f.Data[x.rng.IntN(len(f.Data))] ^= 1 << x.rng.IntN(8)
	}
	w.flying = append(w.flying, arrival{at, f.Data})
}

func newWorld(t testing.TB, seed uint64, v6 bool, edit func(*Config)) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), delay: 5_000_000, now: 1_000_000_000}
	w.ab, w.ba = cable{w: w, to: &w.b}, cable{w: w, to: &w.a}
	for i, s := range []**Stack{&w.a, &w.b} {
		cfg := DefaultConfig()
		cfg.MAC = [6]byte{2, 0, 0, 0, 0, byte(i + 1)}
		cfg.Addresses = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.0.%d/24", i+1))}
		if v6 {
			cfg.Addresses = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("fd00::%d/64", i+1))}
		}
		cfg.Seed = [16]byte{byte(seed), byte(i), 3}
		if edit != nil {
			edit(&cfg)
		}
		out := &w.ab
		if i == 1 {
			out = &w.ba
		}
		var err error
		if *s, err = New(cfg, out, w.now); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// step moves time to what comes next; false when nothing does before the end.
func (w *world) step(end int64) bool {
	next := min(w.a.Next(), w.b.Next())
	for _, c := range []*cable{&w.ab, &w.ba} {
		for _, p := range c.flying {
			next = min(next, p.at)
		}
	}
	if next > end {
		return false
	}
	w.now = max(w.now, next)
	for _, c := range []*cable{&w.ab, &w.ba} {
		due := []arrival{}
		c.flying = slices.DeleteFunc(c.flying, func(p arrival) bool {
			if p.at <= w.now {
				due = append(due, p)
			}
			return p.at <= w.now
		})
		slices.SortStableFunc(due, func(a, b arrival) int { return int(a.at - b.at) })
		for _, p := range due {
			(*c.to).Input(w.now, port.Frame{Data: p.data})
			c.free = append(c.free, p.data[:0])
		}
	}
	w.a.Advance(w.now)
	w.b.Advance(w.now)
	return true
}

func (w *world) until(t testing.TB, limit int64, what string, done func() bool) {
	t.Helper()
	for end := w.now + limit; !done(); {
		if !w.step(end) {
			t.Fatalf("%s: nothing more happens; a %+v\nb %+v", what, w.a.Count, w.b.Count)
		}
	}
}

// peer is an application: it sends what it has, keeps what it gets, and closes when it has sent all.
type peer struct {
	send   []byte
	got    []byte
	id     ID
	opened int
	eof    bool
	closed bool
	err    error
	stingy bool // Reads only when told.
	keep   bool // Does not close.
}

func (p *peer) Opened(s *Stack, id ID) { p.id = id; p.opened++; p.more(s) }
func (p *peer) Data(s *Stack, id ID, b []byte) int {
	if p.stingy {
		return 0
	}
	p.got = append(p.got, b...)
	return len(b)
}
func (p *peer) EOF(s *Stack, id ID) {
	p.eof = true
	if p.keep {
		p.keep = false
		p.more(s)
	}
}
func (p *peer) Writable(s *Stack, id ID)          { p.more(s) }
func (p *peer) Closed(s *Stack, id ID, err error) { p.closed, p.err = true, err }
func (p *peer) more(s *Stack) {
	n, _ := s.Write(p.id, p.send)
	p.send = p.send[n:]
	if len(p.send) == 0 && !p.keep {
		s.CloseWrite(p.id)
	}
}

func dial(t testing.TB, w *world, client, server Handler) ID {
	t.Helper()
	addr := netip.AddrPortFrom(w.b.cfg.Addresses[0].Addr(), 80)
	if _, err := w.b.Listen(addr, server); err != nil {
		t.Fatal(err)
	}
	id, err := w.a.Dial(netip.AddrPort{}, addr, client, 7)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 9))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestTransfer moves bytes both ways over links of every kind, and nothing may be left afterwards.
func TestTransfer(t *testing.T) {
	for _, l := range []struct {
		name                              string
		loss, reorder, duplicate, corrupt float64
		size                              int
		edit                              func(*Config)
	}{
		{name: "clean", size: 3 << 20},
		{name: "loss", size: 1 << 20, loss: 0.02},
		{name: "heavy loss", size: 100_000, loss: 0.2},
		{name: "reorder", size: 1 << 20, reorder: 0.2},
		{name: "duplicate", size: 1 << 20, duplicate: 0.1},
		{name: "corrupt", size: 500_000, corrupt: 0.03},
		{name: "all", size: 500_000, loss: 0.02, reorder: 0.1, duplicate: 0.05, corrupt: 0.01},
		{name: "newreno", size: 500_000, loss: 0.02, edit: func(c *Config) { c.NewReno = true }},
		{name: "small buffers", size: 300_000, loss: 0.01, edit: func(c *Config) { c.SendBuffer, c.ReceiveBuffer = 4096, 8192 }},
	} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprint(l.name, " v6=", v6), func(t *testing.T) {
				for seed := range uint64(4) {
					w := newWorld(t, seed, v6, l.edit)
					w.loss, w.reorder, w.duplicate, w.corrupt = l.loss, l.reorder, l.duplicate, l.corrupt
					up, down := noise(l.size, seed), noise(l.size, seed+100)
					client, server := &peer{send: up}, &peer{send: down}
					dial(t, w, client, server)
					w.until(t, 2000_000_000_000, "transfer", func() bool { return client.closed && server.closed })
					if client.err != nil || server.err != nil {
						t.Fatalf("seed %d: client %v, server %v", seed, client.err, server.err)
					}
					if !bytes.Equal(server.got, up) || !bytes.Equal(client.got, down) {
						t.Fatalf("seed %d: bytes differ", seed)
					}
					w.until(t, 2000_000_000_000, "end", func() bool { return w.a.conns.inUse()+w.b.conns.inUse() == 0 })
					for _, s := range []*Stack{w.a, w.b} {
						if n := s.segs.inUse() + s.strays.inUse() + s.blocks.inUse(); n != 0 {
							t.Fatalf("%d pieces left behind", n)
						}
					}
				}
			})
		}
	}
}

// TestSize holds the promise of 400 bytes for an idle connection: itself and its place in the table.
func TestSize(t *testing.T) {
	if connSize > 400 {
		t.Fatalf("a connection takes %d bytes", connSize)
	}
}
