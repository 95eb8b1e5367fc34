package packet

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/quick"
)

var (
	ip4a, ip4b = []byte{10, 0, 0, 1}, []byte{192, 168, 1, 9}
	ip6a       = netip.MustParseAddr("2001:db8::1").AsSlice()
	ip6b       = netip.MustParseAddr("2001:db8::2:9").AsSlice()
)

// What AppendX writes, the views read.
func TestViewsReadWhatWasBuilt(t *testing.T) {
	for _, ends := range [][2][]byte{{ip4a, ip4b}, {ip6a, ip6b}} {
		src, dst := ends[0], ends[1]
		s := &Segment{SrcPort: 1234, DstPort: 80, Seq: 0xfffffff0, Ack: 77, Flags: ACK | PSH, Window: 512, Urgent: 3,
			Options: []byte{2, 4, 5, 0xb4}, Payload: []byte("odd")}
		kind := EtherIPv4
		if len(src) == 16 {
			kind = EtherIPv6
		}
		b := AppendEthernet(nil, MAC{1, 2, 3, 4, 5, 6}, MAC{7, 8, 9}, kind)
		b = AppendIP(b, src, dst, ProtoTCP, 63, 42, s.Len())
		b = AppendTCP(b, src, dst, s)

		e := Ethernet(b)
		if !e.Valid() || e.Type() != kind || e.Dst() != (MAC{1, 2, 3, 4, 5, 6}) || e.Src() != (MAC{7, 8, 9}) {
			t.Fatalf("ethernet: % x", e[:EthernetLen])
		}
		var segment []byte
		if kind == EtherIPv4 {
			p := IPv4(e.Payload())
			if !p.Valid() || p.Src() != [4]byte(src) || p.Dst() != [4]byte(dst) || p.TTL() != 63 || p.ID() != 42 || p.Proto() != ProtoTCP ||
				!p.DontFragment() || p.MoreFragments() || p.ReservedBit() || p.FragmentOffset() != 0 || p.TOS() != 0 || len(p.Options()) != 0 {
				t.Fatalf("ipv4: % x", p[:IPv4Len])
			}
			if Checksum(p[:p.HeaderLen()]) != 0 || p.Checksum() == 0 {
				t.Error("ipv4: checksum")
			}
			segment = p.Payload()
		} else {
			p := IPv6(e.Payload())
			if !p.Valid() || p.Src() != [16]byte(src) || p.Dst() != [16]byte(dst) || p.HopLimit() != 63 || p.NextHeader() != ProtoTCP ||
				p.FlowLabel() != 0 || p.TrafficClass() != 0 {
				t.Fatalf("ipv6: % x", p[:IPv6Len])
			}
			segment = p.Payload()
		}
		tcp := TCP(segment)
		if !tcp.Valid() || tcp.SrcPort() != 1234 || tcp.DstPort() != 80 || tcp.Seq() != s.Seq || tcp.Ack() != 77 ||
			!tcp.Flags().Has(ACK|PSH) || tcp.Flags().Has(ACK|SYN) || tcp.Window() != 512 || tcp.Urgent() != 3 ||
			!bytes.Equal(tcp.Options(), s.Options) || string(tcp.Payload()) != "odd" {
			t.Fatalf("tcp: % x", segment)
		}
		if sum := Pseudo(src, dst, ProtoTCP, len(segment)).Add(segment).Checksum(); sum != 0 || tcp.Checksum() == 0 {
			t.Errorf("tcp: checksum leaves %#x", sum)
		}

		u := UDP(AppendUDP(nil, src, dst, 53, 5353, []byte("answer")))
		if !u.Valid() || u.SrcPort() != 53 || u.DstPort() != 5353 || u.Len() != 14 || string(u.Payload()) != "answer" {
			t.Fatalf("udp: % x", u)
		}
		if sum := Pseudo(src, dst, ProtoUDP, len(u)).Add(u).Checksum(); sum != 0 || u.Checksum() == 0 {
			t.Errorf("udp: checksum leaves %#x", sum)
		}
	}
}

func TestSmallViews(t *testing.T) {
	v := VLAN{0xe0, 0x64, 0x86, 0xdd, 'x'}
	if !v.Valid() || v.ID() != 100 || v.Priority() != 7 || v.Type() != EtherIPv6 || string(v.Payload()) != "x" {
		t.Errorf("vlan: %d %d %#x", v.ID(), v.Priority(), v.Type())
	}
	a := ARP{0, 1, 8, 0, 6, 4, 0, 2, 1, 1, 1, 1, 1, 1, 10, 0, 0, 1, 2, 2, 2, 2, 2, 2, 10, 0, 0, 2}
	if !a.Valid() || a.Op() != 2 || a.SrcMAC() != (MAC{1, 1, 1, 1, 1, 1}) || a.SrcIP() != [4]byte{10, 0, 0, 1} ||
		a.DstMAC() != (MAC{2, 2, 2, 2, 2, 2}) || a.DstIP() != [4]byte{10, 0, 0, 2} {
		t.Error("arp")
	}
	m := ICMP{8, 0, 0xf7, 0xff, 0, 1, 0, 2, 'p'}
	if !m.Valid() || m.Type() != 8 || m.Code() != 0 || m.ID() != 1 || m.Seq() != 2 || m.MTU() != 0x10002 || m.Checksum() != 0xf7ff || string(m.Payload()) != "p" {
		t.Error("icmp")
	}
	s := SCTP{0, 80, 0, 90, 0, 0, 0, 7, 0, 0, 0, 0, 1}
	if !s.Valid() || s.SrcPort() != 80 || s.DstPort() != 90 || s.Tag() != 7 || len(s.Payload()) != 1 {
		t.Error("sctp")
	}
}

// No view of any bytes is Valid and then panics.
func FuzzViews(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 1, 6, 9}, make([]byte, 33)...))
	f.Add([]byte{0, 80, 0, 81, 0, 9, 0, 0, 1, 2, 3, 4, 0x50, 2, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := IPv4(b); p.Valid() {
			if len(p.Options())+IPv4Len+len(p.Payload()) != p.TotalLen() {
				t.Error("ipv4: parts and whole differ")
			}
		}
		if p := IPv6(b); p.Valid() && len(p.Payload()) != p.PayloadLen() {
			t.Error("ipv6: parts and whole differ")
		}
		if p := TCP(b); p.Valid() && TCPLen+len(p.Options())+len(p.Payload()) != len(b) {
			t.Error("tcp: parts and whole differ")
		}
		if p := UDP(b); p.Valid() && len(p.Payload())+UDPLen != p.Len() {
			t.Error("udp: parts and whole differ")
		}
		if p := ARP(b); p.Valid() {
			p.DstIP()
		}
		if p := ICMP(b); p.Valid() {
			p.Payload()
		}
		if p := SCTP(b); p.Valid() {
			p.Payload()
		}
		if p := Ethernet(b); p.Valid() {
			p.Payload()
		}
		if p := VLAN(b); p.Valid() {
			p.Payload()
		}
	})
}

// naiveChecksum is RFC 1071 as it stands there.
func naiveChecksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
		sum = sum>>16 + sum&0xffff
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func TestChecksumAgainstItsTwin(t *testing.T) {
	if err := quick.Check(func(b []byte, cut uint8) bool {
		n := min(len(b), int(cut)&^1)
		return Checksum(b) == naiveChecksum(b) && Partial(0).Add(b[:n]).Add(b[n:]).Checksum() == naiveChecksum(b)
	}, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	if got := Checksum(bytes.Repeat([]byte{0xff}, 1<<16)); got != 0 {
		t.Errorf("all ones: %#x", got)
	}
}

// A word changed, its checksum updated: as if it had been summed anew. The two
// forms of zero count as one.
func TestUpdateChecksum(t *testing.T) {
	if err := quick.Check(func(b [20]byte, at uint8, to uint16) bool {
		i := int(at) % 10 * 2
		before := Checksum(b[:])
		from := be.Uint16(b[i:])
		be.PutUint16(b[i:], to)
		want, got := Checksum(b[:]), UpdateChecksum(before, from, to)
		return got == want || got == ^want && (got == 0 || want == 0)
	}, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func TestKeyHasNoDirection(t *testing.T) {
	if err := quick.Check(func(src, dst [16]byte, sp, dp uint16, same bool) bool {
		if same {
			dst = src
		}
		k, swapped := Key6(&src, &dst, sp, dp, ProtoTCP)
		back, swappedBack := Key6(&dst, &src, dp, sp, ProtoTCP)
		k4, swapped4 := Key4(be.Uint32(src[:]), be.Uint32(dst[:]), sp, dp, ProtoUDP)
		back4, swappedBack4 := Key4(be.Uint32(dst[:]), be.Uint32(src[:]), dp, sp, ProtoUDP)
		self := src == dst && sp == dp
		low, high := k.Low(), k.High()
		if swapped {
			low, high = high, low
		}
		return k == back && k4 == back4 && (swapped != swappedBack || self) && (swapped4 != swappedBack4 || k4.Low() == k4.High()) &&
			low == netip.AddrPortFrom(netip.AddrFrom16(src), sp) && high == netip.AddrPortFrom(netip.AddrFrom16(dst), dp) &&
			k.Proto() == ProtoTCP && !k.IPv4() && k4.IPv4() && k != k4
	}, nil); err != nil {
		t.Error(err)
	}
}

func TestKeyKnowsItsPlace(t *testing.T) {
	k, _ := Key4(0x0a000001, 0x0a000002, 1, 2, ProtoTCP)
	seen := map[Key]bool{k: true}
	for _, other := range []Key{
		k.At([3]uint16{7}, 0, 0), k.At([3]uint16{0, 7}, 0, 0), k.At([3]uint16{0, 0, 7}, 0, 0), k.At([3]uint16{}, 7, 0), k.At([3]uint16{}, 0, 7),
		k.OneWay(7, false), k.OneWay(7, true),
	} {
		if seen[other] {
			t.Errorf("%v is another's key", other)
		}
		seen[other] = true
		if other.Proto() != ProtoTCP || other.Low().Addr() != k.Low().Addr() {
			t.Errorf("%v lost its ends", other)
		}
	}
	if p := k.At([3]uint16{1, 2, 3}, 4, 5); p.VLAN() != [3]uint16{1, 2, 3} || p.Device() != 4 {
		t.Errorf("place: %v %d", p.VLAN(), p.Device())
	}
}

// Every bit of a key changes about half of the hash.
func TestHashMixes(t *testing.T) {
	seed, other := NewSeed(1), NewSeed(2)
	rng := rand.New(rand.NewPCG(1, 2))
	var flips [64]int
	const rounds = 200
	for range rounds {
		src, dst := rng.Uint32(), rng.Uint32()
		k, _ := Key4(src, dst, uint16(rng.Uint32()), 443, ProtoTCP)
		next, _ := Key4(src, dst, uint16(rng.Uint32()), 443, ProtoTCP)
		for bit := range flips {
			if (k.Hash(&seed)^next.Hash(&seed))>>bit&1 == 1 {
				flips[bit]++
			}
		}
		if k.Hash(&seed) == k.Hash(&other) {
			t.Error("the seed has no say")
		}
	}
	for bit, n := range flips {
		if n < rounds/4 || n > rounds*3/4 {
			t.Errorf("bit %d flips in %d of %d", bit, n, rounds)
		}
	}
}

// From the specification's test vectors and its reference implementation.
func TestCommunityID(t *testing.T) {
	for _, c := range []struct {
		src, dst string
		proto    Proto
		sp, dp   uint16
		want     string
	}{
		{"1.2.3.4", "5.6.7.8", ProtoTCP, 1122, 3344, "1:wCb3OG7yAFWelaUydu0D+125CLM="},
		{"5.6.7.8", "1.2.3.4", ProtoTCP, 3344, 1122, "1:wCb3OG7yAFWelaUydu0D+125CLM="},
		{"192.168.1.52", "8.8.8.8", ProtoUDP, 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{"192.168.0.89", "192.168.0.1", ProtoICMPv4, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{"192.168.0.1", "192.168.0.89", ProtoICMPv4, 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	} {
		got := string(AppendCommunityID(nil, 0, netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), c.proto, c.sp, c.dp))
		if got != c.want {
			t.Errorf("%s -> %s: %s, want %s", c.src, c.dst, got, c.want)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	seed := NewSeed(1)
	k, _ := Key4(0x0a000001, 0x0a000002, 1, 2, ProtoTCP)
	for range b.N {
		k.ports += k.Hash(&seed) & 1
	}
}

func BenchmarkChecksum1460(b *testing.B) {
	p := make([]byte, 1460)
	b.SetBytes(int64(len(p)))
	for range b.N {
		p[0] = byte(Checksum(p))
	}
}
