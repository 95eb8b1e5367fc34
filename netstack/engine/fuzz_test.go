package engine

import (
	"net/netip"
	"testing"

	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// sink is an Output that keeps the last frame and counts.
type sink struct {
	count int
	last  []byte
	held  int
}

func (k *sink) Buffer() (port.Frame, bool) {
	k.held++
	return port.Frame{Data: make([]byte, 0, 2048)}, true
}
func (k *sink) Transmit(f port.Frame)   { k.count++; k.held--; k.last = f.Data }
func (k *sink) Release(f ...port.Frame) { k.held -= len(f) }

// invariants checks what must hold of every connection at all times.
func invariants(t testing.TB, s *Stack) {
	t.Helper()
	blocks, half := 0, uint32(0)
	chainOf := func(ch chain) {
		var size uint32
		for i := ch.head; i != 0; i = s.blocks.at(i).next {
			blocks++
			size += uint32(s.blocks.at(i).end - s.blocks.at(i).start)
		}
		if size != ch.size {
			t.Fatalf("a chain of %d bytes says %d", size, ch.size)
		}
	}
	for ci := uint32(1); ci < s.conns.next; ci++ {
		c := s.conns.at(ci)
		if c.state == Closed {
			continue
		}
		if c.flags&fHalf != 0 {
			half++
		}
		chainOf(c.sndq)
		chainOf(c.rcvq)
		var size, sacked, lost, resent uint32
		for i := c.flightHead; i != 0; i = s.segs.at(i).next {
			f := s.segs.at(i)
			if f.seq != c.sndUna+size || f.size == 0 || f.sack && f.lost {
				t.Fatalf("flight %+v at %d", f, size)
			}
			size += f.size
			if f.sack {
				sacked += f.size
			}
			if f.lost {
				lost += f.size
			}
			if f.tries > 0 {
				resent++
			}
		}
		if c.state >= Established && c.state < TimeWait && (size != c.sndNxt-c.sndUna || sacked != c.sacked || lost != c.lost || resent != c.resent) {
			t.Fatalf("%s: in flight %d, sacked %d, lost %d, resent %d; says %d, %d, %d, %d", c.state, size, sacked, lost, resent,
				c.sndNxt-c.sndUna, c.sacked, c.lost, c.resent)
		}
		n, end := 0, c.rcvNxt
		for i := c.strays; i != 0; i = s.strays.at(i).next {
			st := s.strays.at(i)
			if before(st.seq, end) || after(st.seq+st.size, c.rcvAdv) || st.size != st.data.size || st.size == 0 && !st.fin {
				t.Fatalf("stray %+v, last ended at %d, window ends at %d", st, end, c.rcvAdv)
			}
			chainOf(st.data)
			end = st.seq + st.size
			n++
		}
		if n != int(c.nstrays) || n > maxStrays {
			t.Fatalf("%d strays, says %d", n, c.nstrays)
		}
		if c.rcvq.size > s.cfg.ReceiveBuffer || c.sndq.size > s.cfg.SendBuffer {
			t.Fatalf("buffers %d and %d", c.rcvq.size, c.sndq.size)
		}
	}
	if uint64(blocks) != s.bufBlocks || blocks != s.blocks.inUse() || half != s.halfOpen {
		t.Fatalf("%d blocks, %d counted, %d taken; %d half open, %d counted", blocks, s.bufBlocks, s.blocks.inUse(), half, s.halfOpen)
	}
	if s.bufBlocks*(blockSize+8) > s.cfg.MaxMemory+blockSize+8 {
		t.Fatalf("%d blocks are more than %d bytes", s.bufBlocks, s.cfg.MaxMemory)
	}
}

// fuzzStack is small, so that its limits are reached.
func fuzzStack(t testing.TB, edit func(*Config)) (*Stack, *sink) {
	cfg := DefaultConfig()
	cfg.L3 = true
	cfg.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64")}
	cfg.Traps = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	cfg.SendBuffer, cfg.ReceiveBuffer, cfg.MaxMemory = 16<<10, 16<<10, 64<<10
	cfg.MaxConns, cfg.MaxHalfOpen, cfg.MaxTimeWait = 16, 4, 4
	if edit != nil {
		edit(&cfg)
	}
	out := &sink{}
	s, err := New(cfg, out, 1_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	return s, out
}

// mirror sends back what it gets.
type mirror struct{ stingy bool }

func (m *mirror) Opened(s *Stack, id ID) {}
func (m *mirror) Data(s *Stack, id ID, p []byte) int {
	if m.stingy {
		return len(p) / 2
	}
	s.Write(id, p)
	return len(p)
}
func (m *mirror) EOF(s *Stack, id ID)               { s.CloseWrite(id) }
func (m *mirror) Writable(s *Stack, id ID)          {}
func (m *mirror) Closed(s *Stack, id ID, err error) {}
func (m *mirror) Datagram(s *Stack, local, remote netip.AddrPort, p []byte) {
	_ = s.SendTo(local, remote, p)
}

// seal puts right the checksums of an IP packet as far as it has them, so that mutations get past them.
func seal(b []byte) {
	put := func(l4 []byte, at int, acc packet.Partial) {
		if len(l4) >= at+2 {
			be.PutUint16(l4[at:], 0)
			be.PutUint16(l4[at:], acc.Add(l4).Checksum())
		}
	}
	var src, dst, l4 []byte
	var proto packet.Proto
	switch {
	case packet.IPv4(b).Valid():
		p := packet.IPv4(b)
		put(b[:p.HeaderLen()], 10, 0)
		src, dst, l4, proto = b[12:16], b[16:20], p.Payload(), p.Proto()
	case packet.IPv6(b).Valid():
		src, dst, l4, proto = b[8:24], b[24:40], packet.IPv6(b).Payload(), packet.IPv6(b).NextHeader()
	default:
		return
	}
	acc := packet.Pseudo(src, dst, proto, len(l4))
	switch proto {
	case protoTCP:
		put(l4, 16, acc)
	case protoUDP:
		put(l4, 6, acc)
	case protoICMP:
		put(l4, 2, 0)
	case protoICMP6:
		put(l4, 2, acc)
	}
}

// records cuts fuzz input into pieces with a length byte before each.
func records(data []byte) (out [][]byte) {
	for len(data) > 1 && len(out) < 64 {
		n := min(int(data[0])+1, len(data)-1)
		out = append(out, data[1:1+n])
		data = data[1+n:]
	}
	return out
}

// quiet lets two hours pass, aborts what is left, and checks that nothing remains: no input leaves anything behind or keeps
// the stack busy for ever.
func quiet(t testing.TB, s *Stack, out *sink) {
	t.Helper()
	end := s.now + 2*3600*1_000_000_000
	for n := 0; ; n++ {
		next := s.Next()
		if next > end {
			break
		}
		if n > 1_000_000 {
			t.Fatal("the stack does not become quiet")
		}
		s.Advance(max(next, s.now))
	}
	for ci := uint32(1); ci < s.conns.next; ci++ {
		s.Abort(s.id(ci))
	}
	invariants(t, s)
	if s.conns.inUse()+s.segs.inUse()+s.strays.inUse()+s.blocks.inUse() != 0 || s.timeWait != 0 || out.held != 0 {
		t.Fatalf("left behind: %d connections, %d segments, %d strays, %d blocks, %d in TIME_WAIT, %d frames", s.conns.inUse(),
			s.segs.inUse(), s.strays.inUse(), s.blocks.inUse(), s.timeWait, out.held)
	}
}

// FuzzInput gives frames of any bytes to a stack with servers on every port: Ethernet when the first byte is odd, else IP
// with its checksums put right.
func FuzzInput(f *testing.F) {
	syn := []byte{0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 99, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 16, 0, 0, 0, 0, 0}
	f.Add(append([]byte{0, byte(len(syn) - 1)}, syn...))
	f.Add([]byte("\x01\x29\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x09\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x09\x0a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		s, out := fuzzStack(t, func(c *Config) { c.L3 = data[0]&1 == 0 })
		m := &mirror{}
		s.ListenAll(m)
		s.BindAll(m)
		for _, r := range records(data[1:]) {
			b := append([]byte(nil), r...)
			if ip := b[min(len(b), s.linkLen):]; len(ip) > 0 {
				seal(ip)
			}
			s.Input(s.now+1000, port.Frame{Data: b})
			invariants(t, s)
		}
		quiet(t, s, out)
	})
}

// FuzzSegments drives one connection's state machine: each record is a segment, numbered near where the connection is, or
// something the application does, or time.
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0, 7, 2, 0, 0, 9, 0, 0, 0, 0, 7, 16, 1, 0, 9, 0, 40, 0, 0, 7, 17, 1, 0, 9, 0, 9, 0, 0})
	f.Add([]byte{1, 7, 18, 0, 0, 9, 0, 0, 0, 0, 7, 24, 1, 5, 9, 0, 200, 3, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 2 {
			return
		}
		s, out := fuzzStack(t, func(c *Config) { c.ECN = data[0]&2 != 0; c.NewReno = data[0]&4 != 0 })
		m := &mirror{stingy: data[0]&8 != 0}
		s.ListenAll(m)
		remote := netip.MustParseAddrPort("10.0.0.1:9")
		local := netip.MustParseAddrPort("10.0.0.2:80")
		var id ID
		if data[0]&1 != 0 {
			id, _ = s.Dial(local, remote, m, 0)
		}
		l, r := ip(local.Addr().As16()), ip(remote.Addr().As16())
		for _, rec := range records(data[1:]) {
			var a [8]byte
			copy(a[:], rec)
			c := &conn{}
			if ci := s.lookup(&l, &r, 80, 9); ci != 0 {
				c, id = s.conns.at(ci), s.id(ci)
			}
			switch a[7] & 15 {
			case 1:
				_, _ = s.Write(id, make([]byte, int(a[5])<<6))
			case 2:
				s.CloseWrite(id)
			case 3:
				s.Close(id)
			case 4:
				s.Read(id, make([]byte, int(a[5])<<4))
			case 5:
				s.Advance(s.now + int64(a[5])<<24)
			case 6:
				s.SetKeepAlive(id, int64(a[5])<<30)
				s.SetNagle(id, a[4]&1 != 0)
			default:
				n := int(a[5])
				if a[4]&1 != 0 {
					n *= 5
				}
				b := segment(c, a, n)
				s.Input(s.now+int64(a[6])<<16, port.Frame{Data: b})
			}
			invariants(t, s)
		}
		quiet(t, s, out)
	})
}

// segment builds one for FuzzSegments: flags of a[0], numbers off by a[1] and a[2], window a[3], SACK and timestamps by
// the bits of a[4], n bytes.
func segment(c *conn, a [8]byte, n int) []byte {
	var o []byte
	if a[4]&2 != 0 {
		o = append(o, 1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0)
		be.PutUint32(o[4:], c.stamp+uint32(int8(a[6])))
	}
	if a[0]&flagSYN != 0 {
		o = append(o, 4, 2, 3, 3, a[3]&15, 0, 0, 0)
	} else if a[4]&4 != 0 {
		o = append(o, 1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0)
		from := c.sndUna + uint32(a[2])<<4
		be.PutUint32(o[len(o)-8:], from)
		be.PutUint32(o[len(o)-4:], from+uint32(a[6])<<5)
	}
	b := make([]byte, 40+len(o)+n)
	copy(b, []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 80})
	be.PutUint16(b[2:], uint16(len(b)))
	ack := c.sndNxt
	if a[4]&8 != 0 {
		ack = c.sndUna + uint32(a[2])<<3
	}
	be.PutUint32(b[24:], c.rcvNxt+uint32(int32(int8(a[1]))<<(a[4]>>4)))
	be.PutUint32(b[28:], ack)
	b[32], b[33] = byte(5+len(o)/4)<<4, a[0]&^flagURG
	be.PutUint16(b[34:], uint16(a[3])<<7)
	copy(b[40:], o)
	seal(b)
	return b
}
