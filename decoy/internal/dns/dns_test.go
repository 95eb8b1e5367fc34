package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

const zoneText = `
$ORIGIN example.test.
$TTL 1h
@   IN SOA ns1 hostmaster ( 1 2h 30m 2w 5m ) ; serial refresh retry expire negative
    IN NS  ns1
    IN MX  10 mail.example.test.
ns1     A 192.0.2.1
        AAAA 2001:db8::1
www 60  A 192.0.2.10
    60  A 192.0.2.11
alias   CNAME www
away    CNAME www.elsewhere.test.
*.wild  TXT "a text; with \"quotes\"" second
a.b.c   A 192.0.2.12
sub     NS ns.sub
ns.sub  A 192.0.2.53
odd     TYPE65280 \# 3 010203
big     TXT "` + long + `" "` + long + `" "` + long + `" "` + long + `" "` + long + `" "` + long + `"
www     TYPE46 \# 18 00010d0200000e10000000000000000000ff
`

const long = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" +
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" + "01234567890123456789012345678901234567890123456789"

func zones(t testing.TB) *Zones {
	t.Helper()
	z := NewZones()
	if err := z.Load("example.test", "test.zone", strings.NewReader(zoneText)); err != nil {
		t.Fatal(err)
	}
	return z
}

// ask packs a question by an independent implementation, and unpacks the answer by it.
func ask(t *testing.T, z *Zones, name string, kind uint16, edit func(*mdns.Msg)) *mdns.Msg {
	t.Helper()
	q := new(mdns.Msg)
	q.SetQuestion(name, kind)
	if edit != nil {
		edit(q)
	}
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := new(message).answer(z, nil, b, 0)
	m := new(mdns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("%s: %v in %x", name, err, out)
	}
	if m.Id != q.Id || !m.Response {
		t.Errorf("%s: header %+v", name, m.MsgHdr)
	}
	return m
}

func TestAnswers(t *testing.T) {
	z := zones(t)
	for _, c := range []struct {
		name string
		kind uint16
		want string // code, flags, records of each section
	}{
		{"www.example.test.", mdns.TypeA, "NOERROR aa 2 0 0 192.0.2.10"},
		{"WwW.eXample.test.", mdns.TypeA, "NOERROR aa 2 0 0 192.0.2.11"},
		{"alias.example.test.", mdns.TypeA, "NOERROR aa 3 0 0 192.0.2.10"},
		{"away.example.test.", mdns.TypeA, "NOERROR aa 1 0 0 www.elsewhere.test."},
		{"x.wild.example.test.", mdns.TypeTXT, `NOERROR aa 1 0 0 "a text; with \"quotes\"" "second"`},
		{"x.y.wild.example.test.", mdns.TypeTXT, `NOERROR aa 1 0 0 second`},
		{"wild.example.test.", mdns.TypeTXT, "NOERROR aa 0 1 0 ns1.example.test."},
		{"b.c.example.test.", mdns.TypeA, "NOERROR aa 0 1 0 hostmaster"},
		{"www.example.test.", mdns.TypeAAAA, "NOERROR aa 0 1 0 300"},
		{"nothing.example.test.", mdns.TypeA, "NXDOMAIN aa 0 1 0 SOA"},
		{"host.sub.example.test.", mdns.TypeA, "NOERROR - 0 1 1 192.0.2.53"},
		{"example.test.", mdns.TypeMX, "NOERROR aa 1 0 0 mail.example.test."},
		{"example.test.", mdns.TypeSOA, "NOERROR aa 1 0 0 1209600"},
		{"odd.example.test.", 65280, "NOERROR aa 1 0 0 010203"},
		{"other.test.", mdns.TypeA, "REFUSED - 0 0 0 "},
		{"example.test.", mdns.TypeAXFR, "REFUSED - 0 0 0 "},
		{"big.example.test.", mdns.TypeTXT, "NOERROR aa tc 0 0 0 "},
	} {
		m := ask(t, z, c.name, c.kind, nil)
		flags := "-"
		if m.Authoritative {
			flags = "aa"
		}
		if m.Truncated {
			flags += " tc"
		}
		got := fmt.Sprintf("%s %s %d %d %d ", mdns.RcodeToString[m.Rcode], flags, len(m.Answer), len(m.Ns), len(m.Extra))
		text := strings.ReplaceAll(m.String(), "\t", " ")
		head := len(c.want) - len(strings.TrimPrefix(c.want, got))
		if head == 0 || !strings.Contains(text, c.want[head:]) {
			t.Errorf("%s %s: %q, want %q\n%s", c.name, mdns.TypeToString[c.kind], got, c.want, text)
		}
	}
}

// TestEDNS asks with EDNS: for larger answers, for signatures, in a version there is not.
func TestEDNS(t *testing.T) {
	z := zones(t)
	edns := func(size uint16, do bool) func(*mdns.Msg) { return func(m *mdns.Msg) { m.SetEdns0(size, do) } }
	if m := ask(t, z, "www.example.test.", mdns.TypeA, edns(4096, true)); len(m.Answer) != 3 || m.IsEdns0() == nil || !m.IsEdns0().Do() {
		t.Errorf("with DO: %s", m)
	}
	if m := ask(t, z, "www.example.test.", mdns.TypeA, edns(4096, false)); len(m.Answer) != 2 || m.IsEdns0().UDPSize() != maxUDP {
		t.Errorf("without DO: %s", m)
	}
	if m := ask(t, z, "big.example.test.", mdns.TypeTXT, edns(65535, false)); !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("larger than a datagram should be: %s", m)
	}
	m := ask(t, z, "www.example.test.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) })
	if m.Rcode != mdns.RcodeBadVers || len(m.Answer) != 0 {
		t.Errorf("version 1: %s", m)
	}
	if m := ask(t, z, "www.example.test.", mdns.TypeA, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }); m.Rcode != mdns.RcodeNotImplemented {
		t.Errorf("update: %s", m)
	}
}

// TestMistakes names file, line and reason.
func TestMistakes(t *testing.T) {
	const head = "@ SOA ns1 h 1 1h 1h 1h 1h\n@ NS ns1\n"
	for text, want := range map[string]string{
		head + "www A 192.0.2.999":         "z:3: A:",
		head + "www A (192.0.2.1":          "z:3: a parenthesis",
		head + "www TXT \"no end":          "z:3: a quote",
		head + "www NAPTR 1 2 3":           "z:3: type NAPTR",
		head + "www.other.test. A 1.2.3.4": "z:3: the name is not within",
		head + "x CNAME y\nx A 192.0.2.1":  "z:4: a CNAME beside",
		head + "$INCLUDE other":            "z:3: directive",
		head + "x TYPE9 \\# 2 00":          "z:3: TYPE9",
		head + "a..b A 192.0.2.1":          "z:3: name",
		head + "x CNAME \\# 1 05":          "z:3: CNAME: data of NS",
		head + "x NS \\# 0":                "z:3: NS: data of NS",
		"www A 192.0.2.1":                  "z: no SOA",
	} {
		err := NewZones().Load("example.test", "z", strings.NewReader(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestWithin tells a name below a zone from one whose last label merely ends in the zone's bytes.
func TestWithin(t *testing.T) {
	for name, want := range map[string]bool{"\x01a\x01b\x00": true, "\x01b\x00": true, "\x03x\x01b\x00": false, "\x00": false} {
		if got := within(name, "\x01b\x00"); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// TestRate answers one prefix up to the rate, then cuts every second answer and drops the others; other prefixes, and other
// seconds, have their own.
func TestRate(t *testing.T) {
	r := NewResponder(zones(t), 5)
	q := new(mdns.Msg)
	q.SetQuestion("www.example.test.", mdns.TypeA)
	b, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i := range 25 {
		out := r.Answer(nil, b, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 0)
		if out != nil && out[2]&2 == 0 {
			whole++
		}
	}
	if whole != 5 || r.Cut != 10 || r.Dropped != 10 {
		t.Errorf("%d whole, %d cut, %d dropped", whole, r.Cut, r.Dropped)
	}
	if r.Answer(nil, b, netip.MustParseAddr("198.51.100.1"), 1e9) == nil || r.Answer(nil, b, netip.MustParseAddr("203.0.113.1"), 0) == nil {
		t.Error("another second or prefix was not answered")
	}
}

// TestTCP asks twice on one connection, for what no datagram holds.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- ServeTCP(l, zones(t)) }()
	c, err := mdns.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		q := new(mdns.Msg)
		q.SetQuestion("big.example.test.", mdns.TypeTXT)
		if err := c.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
		if m, err := c.ReadMsg(); err != nil || m.Truncated || len(m.Answer) != 1 {
			t.Fatalf("%v %v", m, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAllocations holds the budget of a query: none.
func TestAllocations(t *testing.T) {
	r := NewResponder(zones(t), 1<<30)
	for _, name := range []string{"www.example.test.", "x.wild.example.test.", "nothing.example.test.", "host.sub.example.test."} {
		q := new(mdns.Msg)
		q.SetQuestion(name, mdns.TypeA)
		q.SetEdns0(1232, true)
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var out [4096]byte
		source := netip.MustParseAddr("198.51.100.1")
		if n := testing.AllocsPerRun(100, func() { r.Answer(out[:0], b, source, 0) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	z := zones(f)
	for _, name := range []string{"www.example.test.", "x.wild.example.test.", "big.example.test."} {
		q := new(mdns.Msg)
		q.SetQuestion(name, mdns.TypeTXT)
		q.SetEdns0(4096, true)
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out := new(message).answer(z, nil, b, 0)
		if len(out) > maxUDP {
			t.Fatalf("%d bytes", len(out))
		}
		if out != nil && new(mdns.Msg).Unpack(out) != nil && new(mdns.Msg).Unpack(b) == nil {
			t.Fatalf("the answer to %x cannot be read: %x", b, out)
		}
	})
}

func FuzzZone(f *testing.F) {
	f.Add(zoneText)
	f.Fuzz(func(t *testing.T, text string) { _ = NewZones().Load("example.test", "z", strings.NewReader(text)) })
}

func BenchmarkAnswer(b *testing.B) {
	r := NewResponder(zones(b), 0)
	q := new(mdns.Msg)
	q.SetQuestion("www.example.test.", mdns.TypeA)
	q.SetEdns0(1232, false)
	query, err := q.Pack()
	if err != nil {
		b.Fatal(err)
	}
	var out [4096]byte
	source := netip.MustParseAddr("198.51.100.1")
	b.ReportAllocs()
	for b.Loop() {
		r.Answer(out[:0], query, source, 0)
	}
}
