package edge

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/conf"
)

const good = `data_dir: DATA
interfaces: [eth0, eth1]
tables: {sessions: 1024}
local: {v4: 10.9.0.0/24, v6: "fd09::/120"}
source: {v4: 10.2.0.1}
vips:
  - name: web
    address: 203.0.113.10
    ports: 80
    slow_start: 30s
    backends: &web
      - {address: 10.2.0.11, port: 8080}
      - {address: 10.2.0.12, port: 8080, weight: 3, name: big}
    health: {type: http, path: /alive}
  - address: 203.0.113.10
    ports: 443
    scheduler: wlc
    sorry: {address: 10.2.0.99, port: 80}
    quorum: 2
    backends: *web
  - {name: dns, address: "2001:db8::53", proto: udp, ports: 53, scheduler: sh, backends: [{address: "fd02::1"}]}
  - {name: media, address: 203.0.113.11, proto: udp, ports: 5000-5999, mode: ipip, health: {port: 80, type: tcp}, backends: [{address: 10.2.0.20}]}
`

func TestDecode(t *testing.T) {
	c, err := Decode([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	web, tls := &c.VIPs[0], &c.VIPs[1]
	if web.Proto != TCP || web.Scheduler.String() != "mh" || web.Mode.String() != "fullnat" || web.line != 7 {
		t.Errorf("defaults: %+v", web)
	}
	if tls.Name != "tcp 203.0.113.10:443" || tls.Backends[1].Name != "big" || tls.Backends[0].weight() != 1 {
		t.Errorf("the second: %+v", tls)
	}
	if dns := &c.VIPs[2]; dns.Backends[0].Port != 53 || dns.Health.Type != "udp" {
		t.Errorf("what follows from the VIP: %+v", dns)
	}
	text, err := conf.Encode(&c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(text)
	if err != nil {
		t.Fatalf("what is printed is not read: %v\n%s", err, text)
	}
	if again.VIPs[0].Backends[1].weight() != 3 || again.VIPs[3].Ports != (Ports{5000, 5999}) || again.Local.V4 != netip.MustParsePrefix("10.9.0.0/24") {
		t.Errorf("what is printed is read as something else: %+v", again)
	}
}

// TestProblems changes the good text in one place each.
func TestProblems(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"ports: 80\n", "prots: 80\n", `line 9: unknown key "prots"`},
		{"scheduler: wlc", "scheduler: best", `"best" is none of rr, wrr, wlc, sh, mh`},
		{"ports: 443", "ports: 70-90", `line 15: vip "tcp 203.0.113.10:70" overlaps line 7: vip "web"`},
		{"address: 10.2.0.11, port", "address: 10.9.0.11, port", "line 12: vip \"web\": backend 10.9.0.11:8080: is inside the local addresses 10.9.0.0/24"},
		{"10.2.0.12, port", "10.2.0.11, port", "10.2.0.11:8080 is named twice"},
		{"sessions: 1024", "sessions: 16777216", "10.9.0.0/24 has 256 addresses for 8388608 sessions of 16777216 asked for (tables.sessions): a /23 is needed"},
		{"sessions: 1024", "sessions: 1000", "slots: 1000 is not a power of two"},
		{"mode: ipip", "mode: ipip, client_address: toa254", "client_address toa254 needs mode fullnat"},
		{"scheduler: wlc", "client_address: proxy-v2", "does not tell the client's address yet"},
		{"scheduler: sh", "one_packet: true", "one_packet needs proto udp and mode dr, ipip or gue"},
		{"source: {v4: 10.2.0.1}", "source: {v4: 10.2.0.1}\nsnat: {inside: [10.2.0.0/24]}", "does no source NAT yet"},
		{"sorry: {address: 10.2.0.99, port: 80}", "sorry: {address: 10.2.0.11, port: 8080}", "10.2.0.11:8080 is a backend and the sorry server"},
		{"sorry: {address: 10.2.0.99,", "sorry: {address: 10.9.0.99,", "is inside the local addresses 10.9.0.0/24"},
		{"scheduler: sh", "client_address: proxy-v1", "client_address proxy-v1 needs proto tcp"},
		{"mode: ipip", "mode: dr, persistence_bits: 24", "persistence_bits needs scheduler sh"},
		{"[{address: 10.2.0.20}]", "[{address: 10.2.0.20, port: 80}]", "port 80 is not the VIP's: only fullnat rewrites it"},
		{"v4: 10.2.0.1}", "v6: fd02::9}", "ipip needs a source address of its family"},
		{`"fd02::1"`, "10.2.0.1", "is of the other family"},
		{`, v6: "fd09::/120"`, "", "fullnat needs local addresses of its family"},
		{"quorum: 2", "quorum: 9", "quorum 9, quorum_up 0: all backends together weigh 4"},
		{"10.9.0.0/24", "10.9.0.1/24", "host bits"},
		{"type: http,", "type: ping,", `health: type "ping" is none of`},
		{"address: 203.0.113.11", "address: 0.0.0.0", `line 22: vip "media": address "0.0.0.0"`},
		{"address: 203.0.113.11", "address: here", "unable to parse IP"},
		{"name: dns", "name: web", "the name is also that of the VIP in line 7"},
		{"{port: 80, type: tcp}", "{}", "its backends have no port to probe"},
		{"interfaces: [eth0, eth1]", "interfaces: []", "interfaces: name at least one"},
	} {
		text := strings.Replace(good, test.from, test.to, 1)
		if text == good {
			t.Errorf("%q is not in the text", test.from)
		}
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q for %q: %v\nwant %s", test.to, test.from, err, test.want)
		}
	}
	several := strings.NewReplacer("sessions: 1024", "sessions: 1000", "quorum: 2", "quorum: 9", "mode: ipip", "mode: dr, one_packet: false, persistence_bits: 99").Replace(good)
	_, err := Decode([]byte(several))
	for _, want := range []string{"power of two", "quorum 9", "persistence_bits: 99"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("all problems at once: no %q in %v", want, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("vips: [{backends: [{}], sorry: {}}]"))
	f.Add([]byte("vips: &a [*a]"))
	f.Add([]byte("local: {v4: ::/0}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Decode(text)
		if err != nil {
			return
		}
		if err := newRegistry().adopt(&c); err != nil {
			t.Errorf("a valid configuration has too few ids: %v", err)
		}
	})
}
