package nic_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/nic"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/port/porttest"
)

// cable makes a cable whose far end is the kernel at 10.9.0.1 and fd09::1; the stack on the near end is .2.
func cable(t *testing.T, options string) {
	t.Helper()
	for _, c := range []string{
		"ip link set lo up", "ip link add near " + options + " type veth peer name far " + options,
		"ip addr add 10.9.0.1/24 dev far", "ip addr add fd09::1/64 dev far nodad", "ip link set near up", "ip link set far up",
	} {
		porttest.Command(t, c)
	}
}

// config is of the stack's addresses, and of near.
func config(driver nic.Driver) (nic.Config, netstack.Config) {
	s := netstack.DefaultConfig()
	s.Engine.Addresses = []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24"), netip.MustParsePrefix("fd09::2/64")}
	c := nic.DefaultConfig()
	c.Interface, c.Driver = "near", driver
	c.XDP.TrustChecksums = true // The kernel at far leaves them to a NIC that is not there.
	return c, s
}

// start runs a stack on near until the test ends.
func start(t *testing.T, driver nic.Driver) *netstack.Stack {
	t.Helper()
	c, cfg := config(driver)
	q, err := nic.Queues(c, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stacks, ended := make(chan *netstack.Stack, 1), make(chan error, 1)
	go func() {
		ended <- netstack.Run(ctx, cfg, q, func(ctx context.Context, s *netstack.Stack) error {
			stacks <- s
			<-ctx.Done()
			return nil
		})
		close(stacks)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s, ok := <-stacks
	if !ok {
		t.Fatal("the stack did not start")
	}
	return s
}

// client runs a program that people use, and gives what it says.
func client(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(need.Program(t, name), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s %s: %v %s %s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// TestRealClients serves the web, TLS and DNS by unchanged servers on each driver, to curl, openssl and dig on the kernel.
func TestRealClients(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		cable(t, "numrxqueues 1 numtxqueues 1")
		for _, driver := range []nic.Driver{nic.Native, nic.Generic, nic.Packet} {
			t.Run(string(driver), func(t *testing.T) {
				s := start(t, driver)
				web(t, s)
				names(t, s)
			})
		}
	})
}

// web serves HTTP, and HTTPS with HTTP/2.
func web(t *testing.T, s *netstack.Stack) {
	body := strings.Repeat("hauberk ", 1<<17) // 1 MiB
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	secure := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: certificate.TLS.Certificates}}
	plain := &http.Server{Handler: mux}
	for port, serve := range map[string]func(net.Listener) error{
		":80": plain.Serve, ":443": func(l net.Listener) error { return secure.ServeTLS(l, "", "") },
	} {
		l, err := s.Listen("tcp", port)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = serve(l) }() // Ends with the stack.
	}
	for _, args := range [][]string{
		{"http://10.9.0.2/"}, {"http://[fd09::2]/"}, {"--http1.1", "-k", "https://10.9.0.2/"}, {"--http2", "-k", "https://[fd09::2]/"},
	} {
		if got := client(t, "curl", append([]string{"-sSf", "-g", "--max-time", "20"}, args...)...); got != body {
			t.Errorf("curl %v: %d bytes", args, len(got))
		}
	}
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := client(t, "curl", "-sSf", "--max-time", "20", "--data-binary", "@"+file, "http://10.9.0.2/echo"); got != body {
		t.Errorf("echo of %d bytes: %d", len(body), len(got))
	}
	if got := client(t, "openssl", "s_client", "-connect", "10.9.0.2:443", "-tls1_3", "-alpn", "h2"); !strings.Contains(got, "ALPN protocol: h2") {
		t.Errorf("openssl: %s", got)
	}
}

// names serves a zone with miekg/dns over UDP and TCP.
func names(t *testing.T, s *netstack.Stack) {
	long := strings.Repeat("0123456789", 25)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}
		for range 4 {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: h, Txt: []string{long}})
		}
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		if w.RemoteAddr().Network() == "tcp" {
			size = dns.MaxMsgSize
		}
		m.Truncate(size)
		_ = w.WriteMsg(m)
	})
	pc, err := s.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("tcp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	udp, tcp := &dns.Server{PacketConn: pc, Handler: handler}, &dns.Server{Listener: l, Handler: handler}
	for _, server := range []*dns.Server{udp, tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }() // Ends with the stack.
		<-started
	}
	for _, args := range []string{"@10.9.0.2 +bufsize=4096", "@fd09::2 +bufsize=1400", "@10.9.0.2 +noedns", "@10.9.0.2 +tcp"} {
		out := client(t, "dig", append(strings.Fields(args), "+tries=1", "+time=20", "TXT", "name.test")...)
		if strings.Count(out, long) != 4 {
			t.Errorf("dig %s: %s", args, out)
		}
	}
}

// TestQueues serves from a process on each of two queues, which one curl after the other reaches; the interface is the
// kernel's again when they have ended.
func TestQueues(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		c, cfg := config(nic.Auto)
		child := os.Getenv("HAUBERK_NETSTACK_QUEUE")
		if child == "" {
			cable(t, "numrxqueues 2 numtxqueues 2")
		}
		q, err := nic.Queues(c, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if q.Count != 2 {
			t.Fatalf("%d queues", q.Count)
		}
		serve := func(ctx context.Context, s *netstack.Stack) error {
			l, err := s.Listen("tcp", ":80")
			if err != nil {
				return err
			}
			go func() {
				_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, child) }))
			}()
			<-ctx.Done()
			return nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if child != "" {
			if err := netstack.Run(ctx, cfg, q, serve); err != nil {
				os.Exit(3)
			}
			os.Exit(0)
		}
		ended := make(chan error, 1)
		go func() { ended <- netstack.Run(ctx, cfg, q, serve) }()
		seen := map[string]int{}
		for n := 0; len(seen) < 2; n++ {
			select {
			case err := <-ended:
				t.Fatalf("run: %v", err)
			default:
			}
			if n == 500 {
				t.Fatalf("500 requests were answered by %v", seen)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
			resp, err := client.Get("http://10.9.0.2/")
			if err == nil {
				who, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				seen[string(who)]++
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if out := client(t, "ip", "link", "show", "near"); strings.Contains(out, "xdp") {
			t.Errorf("a program was left behind: %s", out)
		}
	})
}

// TestFallback opens an interface whose driver knows no XDP, and fails where no driver could do better.
func TestFallback(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		porttest.Command(t, "ip link add dummy7 type bridge")
		porttest.Command(t, "ip link set dummy7 up")
		porttest.Command(t, "ip addr add 10.8.0.1/24 dev dummy7")
		var log bytes.Buffer
		c, _ := config(nic.Auto)
		c.Interface, c.Log = "dummy7", slog.New(slog.NewTextHandler(&log, nil))
		p, err := nic.Open(c, filter.Rules{Take: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		if !strings.Contains(log.String(), "driver=xdp-generic") || !strings.Contains(log.String(), "does not work here") {
			t.Errorf("log: %s", log.String())
		}
		for what, c := range map[string]nic.Config{"nowhere": {Interface: "nowhere", Driver: nic.Auto, XDP: c.XDP}, "driver native": {Interface: "dummy7", Driver: nic.Native, XDP: c.XDP}} {
			if p, err := nic.Open(c, filter.Rules{}, 0); err == nil || p != port.Port(nil) {
				t.Errorf("%s: opened", what)
			}
		}
		_, err = nic.Open(c, filter.Rules{Take: []netip.Prefix{netip.MustParsePrefix("10.8.0.1/32")}}, 0)
		if !errors.Is(err, filter.ErrNotOurs) || strings.Count(err.Error(), "driver") != 1 {
			t.Errorf("taking the kernel's address: %v", err)
		}
	})
}

func TestValidate(t *testing.T) {
	c := nic.Config{Driver: "best", Queues: -1}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "best") || !strings.Contains(err.Error(), "queues -1") {
		t.Errorf("got %v", err)
	}
	if _, err := nic.Queues(c, nil); err == nil {
		t.Error("a bad configuration was taken")
	}
}
