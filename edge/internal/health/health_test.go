package health

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hauberk/hauberk/internal/conf"
)

// TestRiseAndFall walks through outcomes: + good, - bad; U and D are where
// the backend then stands.
func TestRiseAndFall(t *testing.T) {
	c := Check{Rise: 2, Fall: 3}
	for _, test := range []struct{ outcomes, want string }{
		{"+", "U"},
		{"-++", "DDU"},
		{"-+-+-+", "DDDDDD"},
		{"+--+--+--+", "UUUUUUUUUU"}, // failures do not add up over a life
		{"+---+++", "UUUDDUU"},
	} {
		var h Health
		for i, o := range test.outcomes {
			var err error
			if o == '-' {
				err = errors.New("refused")
			}
			was := h.Up
			changed := h.Note(&c, time.Unix(int64(i+1), 0), err)
			if h.Up != (test.want[i] == 'U') || changed != (was != h.Up) || (changed && h.Since.Unix() != int64(i+1)) {
				t.Errorf("%s: after %d up=%v changed=%v since=%v", test.outcomes, i+1, h.Up, changed, h.Since)
			}
			if (h.Error != "") != (o == '-') {
				t.Errorf("%s: after %d the error is %q", test.outcomes, i+1, h.Error)
			}
		}
	}
}

func at(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	to, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func filled(c Check) *Check {
	c.Timeout = 5 * time.Second
	c.Interval = time.Minute
	c.Fill(false)
	return &c
}

// expect probes and compares the error; an empty want is a good probe.
func expect(t *testing.T, c Check, to netip.AddrPort, want string) {
	t.Helper()
	err := probe(t.Context(), filled(c), to, 0)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s probe %+v: %v, want %q", c.Type, c, err, want)
	}
}

func TestProbeHTTP(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/nowhere", http.StatusFound)
			return
		}
		if r.URL.Path != "/ok" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "%s alive", r.Host)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	to, tlsTo := at(t, plain.Listener.Addr()), at(t, secure.Listener.Addr())
	expect(t, Check{Type: HTTP, Path: "/ok", Body: "^shop alive$", Host: "shop"}, to, "")
	expect(t, Check{Type: HTTP, Path: "/ok", Body: "dead"}, to, "does not match")
	expect(t, Check{Type: HTTP}, to, "status 503 is not 200-399")
	expect(t, Check{Type: HTTP, Status: "503"}, to, "")
	expect(t, Check{Type: HTTP, Path: "/moved"}, to, "") // not followed
	expect(t, Check{Type: HTTPS, Path: "/ok"}, tlsTo, "")
	expect(t, Check{Type: HTTPS, Path: "/ok", Verify: true}, tlsTo, "certificate")
	expect(t, Check{Type: TLS}, tlsTo, "")
	expect(t, Check{Type: TLS}, to, "TLS handshake")
	expect(t, Check{Type: TCP, Port: tlsTo.Port()}, to, "")
}

func TestProbeStream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := at(t, l.Addr())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 16)
			n, _ := c.Read(buf)
			fmt.Fprintf(c, "got %s", buf[:n])
			c.Close()
		}
	}()
	expect(t, Check{Type: TCP}, to, "")
	expect(t, Check{Type: TCP, Send: "ping", Expect: "^got ping"}, to, "")
	expect(t, Check{Type: TCP, Send: "ping", Expect: "pong"}, to, "does not match")
	l.Close()
	expect(t, Check{Type: TCP}, to, "refused")
}

func TestProbeDatagrams(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := at(t, l.LocalAddr())
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				l.WriteTo([]byte("echo "+string(buf[:n])), from)
				continue
			}
			m.Response = true
			if m.Questions[0].Name.String() == "bad.example." {
				m.RCode = dnsmessage.RCodeServerFailure
			}
			wire, err := m.Pack()
			if err != nil {
				return
			}
			l.WriteTo(wire, from)
		}
	}()
	expect(t, Check{Type: UDP, Send: "hi", Expect: "^echo hi$"}, to, "")
	expect(t, Check{Type: UDP, Send: "hi", Expect: "other"}, to, "does not match")
	expect(t, Check{Type: DNS, Name: "good.example", Record: "a"}, to, "")
	expect(t, Check{Type: DNS, Name: "bad.example"}, to, "ServerFailure")
	l.Close()
	expect(t, Check{Type: UDP, Send: "hi"}, to, "refused")
}

func TestProbeGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, states := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, states)
	states.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	go server.Serve(l)
	defer server.Stop()
	expect(t, Check{Type: GRPC}, at(t, l.Addr()), "")
	expect(t, Check{Type: GRPC, Service: "shop"}, at(t, l.Addr()), "NOT_SERVING")
}

func TestProbeScript(t *testing.T) {
	to := netip.MustParseAddrPort("10.1.2.3:80")
	expect(t, Check{Type: Script, Command: []string{"/bin/sh", "-c", `test "$0" = 10.1.2.3 -a "$1" = 80`, "%a", "%p"}}, to, "")
	expect(t, Check{Type: Script, Command: []string{"/bin/sh", "-c", "exit 3"}}, to, "exit status 3")
	slow := filled(Check{Type: Script, Command: []string{"/bin/sh", "-c", "sleep 60 & sleep 60"}})
	slow.Timeout = 10 * time.Millisecond
	if err := probe(t.Context(), slow, to, 0); err == nil || !strings.Contains(err.Error(), "no end within") {
		t.Errorf("a script that hangs: %v", err)
	}
}

func TestChecker(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	changed := make(chan struct{}, 100)
	c := New(0, func() { changed <- struct{}{} })
	defer c.Close()
	check := Check{Type: TCP, Interval: MinInterval, Rise: 1, Fall: 1}
	check.Fill(false)
	to := at(t, server.Listener.Addr())
	targets := []Target{{Key: "a", To: to, Check: check}, {Key: "b", To: to, Check: Check{Type: None}}}
	c.Set(t.Context(), targets)
	if !c.Of()["b"].Up {
		t.Fatal("what is not probed is up")
	}
	<-changed
	if h := c.Of()["a"]; !h.Up || !c.Settled() {
		t.Fatalf("a backend that serves: %+v", h)
	}
	targets[0].Check.Rise = 2 // another check, the same health
	c.Set(t.Context(), targets)
	if !c.Of()["a"].Up {
		t.Fatal("a new check forgets the health")
	}
	server.Close()
	<-changed
	if h := c.Of()["a"]; h.Up || h.Error == "" {
		t.Fatalf("a backend that is gone: %+v", h)
	}
	c.Set(t.Context(), targets[1:])
	if _, known := c.Of()["a"]; known {
		t.Error("a target that was taken out is known")
	}
}

func TestSpreadIsEven(t *testing.T) {
	var tenths [10]int
	for i := range 10000 {
		tenths[spread(fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), time.Second)*10/time.Second]++
	}
	for i, n := range tenths {
		if n < 800 || n > 1200 {
			t.Errorf("tenth %d of the interval has %d of 10,000 probes", i, n)
		}
	}
}

func TestValidate(t *testing.T) {
	bad := Check{Type: "icmp", Interval: time.Millisecond, Timeout: time.Hour, Rise: 0, Fall: 1000, Status: "2xx", Body: "(", Send: strings.Repeat("x", maxSend+1)}
	var p conf.Problems
	bad.Validate("health", &p)
	for _, want := range []string{"type", "interval", "timeout", "rise", "fall", "status", "body", "send"} {
		if err := p.Err(); err == nil || !strings.Contains(err.Error(), "health: "+want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	for _, c := range []Check{{Type: Script}, {Type: DNS, Record: "ANY"}} {
		var p conf.Problems
		c.Fill(false)
		c.Validate("health", &p)
		if p.Err() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
	var udp Check
	udp.Fill(true)
	var none conf.Problems
	udp.Validate("health", &none)
	if udp.Type != UDP || none.Err() != nil {
		t.Errorf("the default over UDP: %+v, %v", udp, none.Err())
	}
}

func FuzzJudgeDNS(f *testing.F) {
	wire, err := question("a.example", "A", 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add([]byte{0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, answer []byte) {
		if judgeDNS(answer, 7) == nil && len(answer) < 12 {
			t.Error("less than a header is an answer")
		}
	})
}
