package engine

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/hauberk/hauberk/netstack/port"
)

// spoof builds a segment from an address that answers nothing.
func spoof(from uint32, sport uint16, seq uint32, flags byte) port.Frame {
	b := make([]byte, 54)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2})
	be.PutUint32(b[26:], from)
	be.PutUint16(b[34:], sport)
	be.PutUint16(b[36:], 80)
	be.PutUint32(b[38:], seq)
	b[46], b[47], b[48] = 0x50, flags, 16
	seal(b[14:])
	return port.Frame{Data: b}
}

// TestSynFlood sends SYNs from everywhere while an honest client transfers: state stays bounded, and it is served.
func TestSynFlood(t *testing.T) {
	w := newWorld(t, 1, false, func(c *Config) {
		c.MaxHalfOpen = 64
		c.Gateway4 = netip.MustParseAddr("10.0.0.1")
	})
	flood := func(n int) {
		for range n {
			w.b.Input(w.now, spoof(w.rng.Uint32()>>1|0x20000000, uint16(w.rng.Uint32())|1, w.rng.Uint32(), flagSYN))
		}
	}
	up, down := noise(200_000, 1), noise(200_000, 2)
	client, server := &peer{send: up}, &peer{send: down}
	dial(t, w, client, server)
	flood(10_000) // Before the client's SYN arrives: it is answered by a cookie.
	w.until(t, 100_000_000_000, "transfer", func() bool {
		flood(50)
		return client.closed && server.closed
	})
	if !bytes.Equal(server.got, up) || !bytes.Equal(client.got, down) {
		t.Fatal("bytes differ")
	}
	if w.b.Count.CookiesGood != 1 || w.b.Count.CookiesSent < 9000 {
		t.Fatalf("%d cookies sent, %d came back", w.b.Count.CookiesSent, w.b.Count.CookiesGood)
	}
	if n := w.b.conns.next; n > 64+4 {
		t.Fatalf("%d connections were held", n)
	}
	if w.b.waiting > maxWaiting {
		t.Fatalf("%d frames wait for neighbours", w.b.waiting)
	}
}

// TestCookieGuess sends acknowledgements that guess cookies.
func TestCookieGuess(t *testing.T) {
	s, _ := fuzzStack(t, func(c *Config) { c.L3, c.MaxHalfOpen = false, 0; c.MAC = [6]byte{2, 0, 0, 0, 0, 2} })
	s.ListenAll(&mirror{})
	s.Input(s.now, spoof(0x0a000001, 9, 5, flagSYN))
	for i := range uint32(10_000) {
		f := spoof(0x0a000001, 9, 6, flagACK)
		be.PutUint32(f.Data[42:], i*0x9e3779b9)
		seal(f.Data[14:])
		s.Input(s.now, f)
	}
	if s.Count.CookiesSent != 1 || s.Count.CookiesGood != 0 || s.Count.CookiesBad != 10_000 {
		t.Fatalf("%+v", s.Count)
	}
}

// swarm is many clients that open a connection, write a little, and then do nothing; what is sent to them stays unread.
type swarm struct {
	opened, gone int
}

func (m *swarm) Opened(s *Stack, id ID) {
	m.opened++
	_, _ = s.Write(id, []byte("G"))
}
func (m *swarm) Data(*Stack, ID, []byte) int { return 0 }
func (m *swarm) EOF(*Stack, ID)              {}
func (m *swarm) Writable(*Stack, ID)         {}
func (m *swarm) Closed(*Stack, ID, error)    { m.gone++ }

// generous answers the first byte of a connection with much, as far as there is room.
type generous struct {
	answer []byte
	left   map[ID][]byte
}

func (g *generous) Opened(*Stack, ID) {}
func (g *generous) Data(s *Stack, id ID, p []byte) int {
	g.left[id] = g.answer
	g.Writable(s, id)
	return len(p)
}
func (g *generous) EOF(*Stack, ID) {}
func (g *generous) Writable(s *Stack, id ID) {
	n, _ := s.Write(id, g.left[id])
	if g.left[id] = g.left[id][n:]; len(g.left[id]) == 0 {
		s.CloseWrite(id)
	}
}
func (g *generous) Closed(_ *Stack, id ID, _ error) { delete(g.left, id) }

// TestShutWindows lets 100 clients ask for a megabyte each and read nothing: memory stays within its limit, an honest
// client is served meanwhile, and after a time the others are cut off.
func TestShutWindows(t *testing.T) {
	const memory = 4 << 20
	w := newWorld(t, 1, false, func(c *Config) { c.ZeroWindow = 60_000_000_000 })
	w.b.cfg.MaxMemory = memory
	g := &generous{answer: noise(1<<20, 1), left: map[ID][]byte{}}
	m := &swarm{}
	dial(t, w, m, g)
	for range 99 {
		if _, err := w.a.Dial(netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.2:80"), m, 0); err != nil {
			t.Fatal(err)
		}
	}
	for end := w.now + 20_000_000_000; w.step(end); {
		invariants(t, w.b)
	}
	if _, used := w.b.Memory(); m.opened != 100 || used < memory/4*3 || used > memory+blockSize {
		t.Fatalf("%d are open and hold %d bytes", m.opened, used)
	}
	honest := &peer{send: []byte("G")}
	if _, err := w.a.Dial(netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.2:80"), honest, 0); err != nil {
		t.Fatal(err)
	}
	w.until(t, 30_000_000_000, "answer to the honest client", func() bool { return len(honest.got) == len(g.answer) })
	if !bytes.Equal(honest.got, g.answer) || m.gone > 0 {
		t.Fatalf("bytes differ, or %d were cut off too early", m.gone)
	}
	w.until(t, 200_000_000_000, "the end of those who do not read", func() bool { return w.b.Count.ZeroWindowAborts == 100 })
	if _, used := w.b.Memory(); used != 0 {
		t.Fatalf("%d bytes are still held", used)
	}
}

// TestIdle holds many silent connections: each costs itself and nothing else, and keep-alive finds those whose peer went.
func TestIdle(t *testing.T) {
	const many = 2000
	w := newWorld(t, 1, false, func(c *Config) { c.KeepIdle = 30_000_000_000; c.KeepEvery = 5_000_000_000; c.KeepProbes = 3 })
	m, e := &swarm{}, &peer{keep: true}
	dial(t, w, m, e)
	for range many - 1 {
		if _, err := w.a.Dial(netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.2:80"), m, 0); err != nil {
			t.Fatal(err)
		}
	}
	for end := w.now + 10_000_000_000; w.step(end); {
	}
	if conns, buffers := w.b.Memory(); m.opened != many || conns > many*400 || buffers != 0 {
		t.Fatalf("%d connections take %d bytes, their buffers %d", m.opened, conns, buffers)
	}
	w.loss = 1 // The cable is cut.
	w.until(t, 100_000_000_000, "keep-alive", func() bool { return w.b.conns.inUse() == 0 && w.a.conns.inUse() == 0 })
	if w.b.Count.TimedOut != many {
		t.Fatalf("%d timed out", w.b.Count.TimedOut)
	}
}
