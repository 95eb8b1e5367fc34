package defrag

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
)

// everyone gives all hosts one policy.
func everyone(p hostos.Policy) *hostos.Table {
	return hostos.NewTable(map[netip.Prefix]hostos.Policy{
		netip.MustParsePrefix("0.0.0.0/0"): p, netip.MustParsePrefix("::/0"): p,
	})
}

func table(p hostos.Policy) *Table {
	cfg := DefaultConfig()
	cfg.HostPolicies = everyone(p)
	return New(cfg)
}

// link is 14 bytes of anything before IP.
const link = "-- ethernet --"

// v4 makes a fragment as the decoder does.
func v4(id, offset int, more bool, data string) *Fragment {
	src, dst := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	k, _ := packet.Key4(1, 2, 0, 0, packet.ProtoUDP)
	head := packet.AppendIP([]byte(link), src, dst, packet.ProtoUDP, 64, uint16(id), len(data))
	return &Fragment{Key: k, ID: uint32(id), Dst: netip.AddrFrom4([4]byte(dst)), Offset: offset, More: more, Data: []byte(data),
		Head: head, Link: len(link), Version: 4}
}

// v6 makes one with a destination options header before the fragment header.
func v6(id, offset int, more bool, data string) *Fragment {
	ip := netip.MustParseAddr("2001:db8::1").As16()
	k, _ := packet.Key6(&ip, &ip, 0, 0, packet.ProtoFragment)
	head := packet.AppendIP([]byte(link), ip[:], ip[:], packet.ProtoDestOpts, 64, 0, 8+8+len(data))
	head = append(head, byte(packet.ProtoFragment), 0, 1, 4, 0, 0, 0, 0)
	return &Fragment{Key: k, ID: uint32(id), Dst: netip.AddrFrom16(ip), Offset: offset, More: more, Data: []byte(data),
		Head: head, Link: len(link), Version: 6, Next: uint8(packet.ProtoUDP), NextAt: len(head) - 8}
}

var versions = map[string]func(id, offset int, more bool, data string) *Fragment{"IPv4": v4, "IPv6": v6}

// payload is what a rebuilt packet carries, after its header was checked.
func payload(t *testing.T, version string, r Result, out []byte) string {
	t.Helper()
	if r.Size == 0 {
		return ""
	}
	if r.Link != len(link) || string(out[:r.Link]) != link {
		t.Fatalf("link header %q", out[:r.Link])
	}
	if version == "IPv4" {
		ip := packet.IPv4(out[r.Link:r.Size])
		if !ip.Valid() || packet.Checksum(ip[:packet.IPv4Len]) != 0 || ip.MoreFragments() || ip.FragmentOffset() != 0 {
			t.Fatalf("header % x", ip[:packet.IPv4Len])
		}
		return string(ip.Payload())
	}
	ip := packet.IPv6(out[r.Link:r.Size])
	if !ip.Valid() || ip.NextHeader() != packet.ProtoDestOpts || ip.Payload()[0] != byte(packet.ProtoUDP) {
		t.Fatalf("header % x", ip[:packet.IPv6Len+8])
	}
	return string(ip.Payload()[8:])
}

// The fragments of Novak's "Target-Based Fragmentation Reassembly" (2005), and
// what each system makes of them. A letter is 8 bytes.
func TestPolicies(t *testing.T) {
	type piece struct {
		letter   string
		at, size int
	}
	first := []piece{{"A", 0, 3}, {"B", 4, 2}, {"C", 6, 3}, {"D", 10, 1}, {"E", 13, 2}, {"F", 15, 3}, {"G", 18, 2}, {"H", 20, 2}, {"I", 22, 1}}
	then := []piece{{"J", 1, 4}, {"K", 6, 3}, {"L", 9, 3}, {"M", 12, 3}, {"N", 16, 1}, {"O", 19, 1}, {"P", 20, 1}, {"Q", 22, 2}}
	for policy, want := range map[hostos.Policy]string{
		hostos.BSD: "AAAJJBCCCLLLMMMFFFGGHHIQ", hostos.HPUX10: "AAAJJBCCCLLLMMMFFFGGHHIQ", hostos.IRIX: "AAAJJBCCCLLLMMMFFFGGHHIQ",
		hostos.BSDRight: "AJJJBBKKKLDLMEEFNFGOPHQQ",
		hostos.Linux:    "AAAJJBKKKLLLMMMFFFGGPHQQ", hostos.OldLinux: "AAAJJBKKKLLLMMMFFFGGPHQQ",
		hostos.Windows: "AAAJBBCCCLLLMEEFFFGGHHIQ", hostos.Vista: "AAAJBBCCCLLLMEEFFFGGHHIQ", hostos.Windows2003: "AAAJBBCCCLLLMEEFFFGGHHIQ",
		hostos.Solaris: "AAAJBBCCCLLLMMMFFFGGHHIQ",
		hostos.First:   "AAAJBBCCCLDLMEEFFFGGHHIQ", hostos.OldSolaris: "AAAJBBCCCLDLMEEFFFGGHHIQ", hostos.HPUX11: "AAAJBBCCCLDLMEEFFFGGHHIQ",
		hostos.MacOS: "AAAJBBCCCLDLMEEFFFGGHHIQ",
		hostos.Last:  "AJJJJBKKKLLLMMMFNFGOPHQQ",
	} {
		for version, fragment := range versions {
			t.Run(policy.String()+" "+version, func(t *testing.T) {
				tab := table(policy)
				out := make([]byte, MaxDatagram)
				var r Result
				all := append(append([]piece{}, first...), then...)
				for i, p := range all {
					r = tab.Add(fragment(1, p.at*8, i < len(all)-1, strings.Repeat(p.letter, p.size*8)), out)
					if r.Overlap != (i >= len(first)) {
						t.Errorf("%s: overlap %v", p.letter, r.Overlap)
					}
					if i < len(all)-1 && r.Size != 0 {
						t.Fatalf("%s completed it", p.letter)
					}
				}
				got := payload(t, version, r, out)
				var letters strings.Builder
				for i := 0; i < len(got); i += 8 {
					letters.WriteByte(got[i])
				}
				if letters.String() != want {
					t.Errorf("%s, want %s", &letters, want)
				}
				if tab.Len() != 0 || tab.pieces.Len() != 0 || tab.arena.Used() != 0 {
					t.Errorf("%d datagrams, %d pieces, %d bytes left", tab.Len(), tab.pieces.Len(), tab.arena.Used())
				}
			})
		}
	}
}

// The piece that says it is the last is not always where the datagram ends.
func TestFragmentsAfterTheLast(t *testing.T) {
	tab, out := table(hostos.BSD), make([]byte, MaxDatagram)
	letters := func(s string, n int) string { return strings.Repeat(s, n) }
	tab.Add(v4(1, 24, false, letters("A", 16)), out)
	tab.Add(v4(1, 8, true, letters("B", 16)), out)
	tab.Add(v4(1, 16, true, letters("C", 16)), out)
	r := tab.Add(v4(1, 0, true, letters("D", 8)), out)
	if got, want := payload(t, "IPv4", r, out), letters("D", 8)+letters("B", 16)+letters("C", 8)+letters("A", 8); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Any order, no overlaps: every policy gives the datagram back, byte for byte,
// and with overlaps of the same data too.
func TestAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	out := make([]byte, MaxDatagram)
	for round := range 600 {
		policy := hostos.All()[round%len(hostos.All())]
		version := []string{"IPv4", "IPv6"}[round/15%2]
		tab := table(policy)
		data := make([]byte, 1+rng.IntN(3000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		var pieces []*Fragment
		for at := 0; at < len(data); {
			n := min(8*(1+rng.IntN(40)), len(data)-at)
			pieces = append(pieces, versions[version](round, at, at+n < len(data), string(data[at:at+n])))
			at += n
		}
		rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		for i, f := range pieces {
			if i > 0 && rng.IntN(4) == 0 && pieces[i-1].More { // Sent twice.
				if r := tab.Add(pieces[i-1], out); r.Size != 0 || !r.Overlap {
					t.Fatalf("%v: a repeated fragment: %+v", policy, r)
				}
			}
			r := tab.Add(f, out)
			if (r.Size > 0) != (i == len(pieces)-1) {
				t.Fatalf("%v: fragment %d of %d: %+v", policy, i, len(pieces), r)
			}
			if r.Size > 0 && payload(t, version, r, out) != string(data) {
				t.Fatalf("%v %s: another datagram", policy, version)
			}
		}
	}
}

// The twin keeps a byte of whoever had it first, or last. Fragments lie any way
// over each other, before the end that the first of them tells.
func TestFirstAndLastAgainstTheirTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	out := make([]byte, MaxDatagram)
	const units = 12
	for round := range 4000 {
		policy := []hostos.Policy{hostos.First, hostos.Last}[round%2]
		tab := table(policy)
		var twin [units]byte
		covered := func() bool { return !bytes.Contains(twin[:], []byte{0}) }
		var r Result
		for letter := byte('a'); ; letter++ {
			at := rng.IntN(units - 1)
			size := 1 + rng.IntN(units-1-at)
			last := letter == 'a'
			if last { // The last fragment comes first, so that its end is known.
				at, size = units-1, 1
			}
			for i := at; i < at+size; i++ {
				if twin[i] == 0 || policy == hostos.Last {
					twin[i] = letter
				}
			}
			r = tab.Add(v4(1, at*8, !last, string(bytes.Repeat([]byte{letter}, size*8))), out)
			if done := covered(); done || r.Size > 0 {
				if !done || r.Size == 0 {
					t.Fatalf("round %d, %v: complete %v, rebuilt %d", round, policy, done, r.Size)
				}
				break
			}
		}
		got := payload(t, "IPv4", r, out)
		for i, want := range twin {
			if got[i*8] != want {
				t.Fatalf("round %d, %v: %q, want %q", round, policy, got, twin)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	out := make([]byte, MaxDatagram)
	t.Run("timeout", func(t *testing.T) {
		tab := table(hostos.BSD)
		tab.Add(v4(1, 0, true, "12345678"), out)
		late := v4(1, 8, false, "9")
		late.Time = int64(60*time.Second) + 1
		if r := tab.Add(late, out); r.Size != 0 || tab.Counters.TimedOut != 1 || tab.Len() != 1 {
			t.Errorf("%+v, %+v", r, tab.Counters)
		}
		in := v4(1, 0, true, "12345678")
		in.Time = late.Time + int64(60*time.Second)
		if r := tab.Add(in, out); r.Size == 0 {
			t.Errorf("%+v, %+v", r, tab.Counters)
		}
	})
	t.Run("too large", func(t *testing.T) {
		tab := table(hostos.BSD)
		for _, f := range versions {
			if r := tab.Add(f(1, 65528, false, "12345678"), out); !r.TooLarge {
				t.Errorf("%+v", r)
			}
		}
		if tab.Len() != 0 || tab.Counters.TooLarge != 2 {
			t.Errorf("%d datagrams, %+v", tab.Len(), tab.Counters)
		}
	})
	t.Run("datagrams", func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Datagrams = 10
		tab := New(cfg)
		for id := range 25 {
			tab.Add(v4(id, 0, true, "12345678"), out)
		}
		if tab.Len() != 10 || tab.Counters.Evicted != 15 {
			t.Errorf("%d datagrams, %+v", tab.Len(), tab.Counters)
		}
		if r := tab.Add(v4(24, 8, false, "9"), out); r.Size == 0 {
			t.Error("the newest was given up")
		}
	})
	t.Run("memory", func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Memory = 1 << 20
		tab := New(cfg)
		for id := range 3000 {
			tab.Add(v4(id, 0, true, strings.Repeat("x", 1400)), out)
			if tab.Held() > cfg.Memory {
				t.Fatalf("%d bytes held", tab.Held())
			}
		}
		if tab.Counters.Evicted == 0 || tab.Len() < 200 {
			t.Errorf("%d datagrams, %+v", tab.Len(), tab.Counters)
		}
	})
	t.Run("pieces", func(t *testing.T) {
		tab := table(hostos.BSD)
		for i := range maxPieces + 1 {
			r := tab.Add(v4(1, 16*i, true, "12345678"), out)
			if r.Ignored != (i == maxPieces) {
				t.Fatalf("piece %d: %+v", i, r)
			}
		}
		if tab.Len() != 0 || tab.arena.Used() != 0 {
			t.Errorf("%d datagrams with %d bytes are left", tab.Len(), tab.arena.Used())
		}
	})
	t.Run("fragments", func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Fragments = 8
		tab := New(cfg)
		for id := range 4 {
			for i := range 3 {
				tab.Add(v4(id, 16*i, true, "12345678"), out)
			}
		}
		if tab.pieces.Len() > 8 || tab.Counters.Evicted == 0 {
			t.Errorf("%d pieces, %+v", tab.pieces.Len(), tab.Counters)
		}
	})
}

// Any fragments whatever: no panic, the budget holds, and what is rebuilt is a
// packet.
func FuzzAdd(f *testing.F) {
	f.Add([]byte{0, 0, 3, 1, 1, 2, 2, 0, 1, 4, 1, 2})
	f.Add([]byte{1, 5, 9, 1, 1, 0, 9, 1, 1, 2, 200, 0, 17, 9, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		cfg := DefaultConfig()
		cfg.Memory, cfg.Datagrams, cfg.Fragments = 512<<10, 5, 100
		cfg.HostPolicies = everyone(hostos.All()[int(b[0])%len(hostos.All())])
		tab, out := New(cfg), make([]byte, MaxDatagram)
		for now := int64(0); len(b) >= 4; {
			version := "IPv4"
			if b[0]&1 == 1 {
				version = "IPv6"
			}
			fragment := versions[version](int(b[0]>>1), int(b[1])*8<<(b[3]&5), b[3]&1 == 0, strings.Repeat(string(b[2:3]), int(b[2])*8+1))
			fragment.Time = now
			r := tab.Add(fragment, out)
			payload(t, version, r, out)
			if tab.Held() > cfg.Memory || tab.Len() > cfg.Datagrams || tab.pieces.Len() > cfg.Fragments {
				t.Fatalf("%d bytes, %d datagrams, %d pieces", tab.Held(), tab.Len(), tab.pieces.Len())
			}
			now += int64(time.Second) * int64(b[3])
			b = b[4:]
		}
	})
}
