package netstack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/hauberk/hauberk/netstack"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet/pcap"
)

// run starts a stack with the addresses on a port, until the test ends.
func run(t testing.TB, p port.Port, edit func(*netstack.Config), addresses ...string) *netstack.Stack {
	t.Helper()
	cfg := netstack.DefaultConfig()
	for _, a := range addresses {
		cfg.Engine.Addresses = append(cfg.Engine.Addresses, netip.MustParsePrefix(a))
	}
	if edit != nil {
		edit(&cfg)
	}
	s, err := netstack.New(cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, port.ErrClosed) {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

// pair makes two stacks, of 10.0.0.1 and 10.0.0.2, on one link.
func pair(t testing.TB) (client, server *netstack.Stack) {
	a, b := port.NewLink(1500)
	return run(t, a, nil, "10.0.0.1/24", "fd00::1/64"), run(t, b, nil, "10.0.0.2/24", "fd00::2/64")
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestConn runs the suite of golang.org/x/net for implementations of net.Conn.
func TestConn(t *testing.T) {
	client, server := pair(t)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		l, err := server.Listen("tcp", "10.0.0.2:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer l.Close()
		if c1, err = client.Dial("tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

// TestHTTP serves files with net/http over HTTP/1.1, TLS and HTTP/2, to net/http clients on the other stack.
func TestHTTP(t *testing.T) {
	body := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		w.Header().Set("Proto", r.Proto)
		_, _ = w.Write(append(got, body...))
	})
	for _, c := range []struct {
		name, addr, proto string
		tls, h2           bool
	}{
		{name: "plain", addr: "10.0.0.2:80", proto: "HTTP/1.1"},
		{name: "plain v6", addr: "[fd00::2]:80", proto: "HTTP/1.1"},
		{name: "tls", addr: "10.0.0.2:443", proto: "HTTP/1.1", tls: true},
		{name: "http2", addr: "10.0.0.2:443", proto: "HTTP/2.0", tls: true, h2: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := pair(t)
			ts := httptest.NewUnstartedServer(handler)
			ts.Listener.Close()
			ts.Listener = must[net.Listener](t)(server.Listen("tcp", c.addr))
			transport := &http.Transport{DialContext: client.DialContext, ForceAttemptHTTP2: c.h2}
			defer transport.CloseIdleConnections()
			scheme := "http"
			if c.tls {
				scheme = "https"
				ts.EnableHTTP2 = c.h2
				ts.StartTLS()
				pool := x509.NewCertPool()
				pool.AddCert(ts.Certificate())
				transport.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "example.com"}
			} else {
				ts.Start()
			}
			defer ts.Close()
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					ask := fmt.Sprintf("question %d ", i)
					resp, err := (&http.Client{Transport: transport}).Post(scheme+"://"+c.addr+"/", "text/plain", strings.NewReader(ask))
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					got, err := io.ReadAll(resp.Body)
					if err != nil || string(got[:len(ask)]) != ask || !bytes.Equal(got[len(ask):], body) || resp.Header.Get("Proto") != c.proto {
						t.Errorf("%d bytes over %s: %v", len(got), resp.Header.Get("Proto"), err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestClosing closes halves and whole connections, and looks at what the other side sees.
func TestClosing(t *testing.T) {
	client, server := pair(t)
	l := must[net.Listener](t)(server.Listen("tcp", ":7"))
	connect := func() (*netstack.Conn, *netstack.Conn) {
		c := must[net.Conn](t)(client.Dial("tcp", "10.0.0.2:7"))
		return c.(*netstack.Conn), must[net.Conn](t)(l.Accept()).(*netstack.Conn)
	}

	c, d := connect()
	must[int](t)(c.Write([]byte("last words")))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(d); string(got) != "last words" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	must[int](t)(d.Write([]byte("answer")))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("write after CloseWrite: %v", err)
	}
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("read after Close: %v", err)
	}

	c, d = connect()
	must[int](t)(c.Write([]byte("never read")))
	one := make([]byte, 1)
	must[int](t)(d.Read(one))
	d.Close() // With bytes unread: a reset.
	if _, err := c.Read(one); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read after the peer's reset: %v", err)
	}

	c, _ = connect()
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read past the deadline: %v", err)
	}

	if _, err := client.Dial("tcp", "10.0.0.2:8"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial a port nobody listens on: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client.DialContext(ctx, "tcp", "10.0.0.77:8"); !errors.Is(err, context.Canceled) {
		t.Fatalf("dial that was cancelled: %v", err)
	}
	if _, err := server.Listen("tcp", ":7"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("listen twice: %v", err)
	}
	if _, err := server.Listen("tcp", "1.2.3.4:7"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Fatalf("listen on a foreign address: %v", err)
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept after close: %v", err)
	}
}

// TestDatagrams echoes datagrams, some longer than the MTU.
func TestDatagrams(t *testing.T) {
	client, server := pair(t)
	for _, host := range []string{"10.0.0.2", "fd00::2"} {
		p := must[*netstack.PacketConn](t)(server.ListenPacket("udp", net.JoinHostPort(host, "53")))
		go func() {
			b := make([]byte, 65535)
			for {
				n, from, err := p.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = p.WriteTo(b[:n], from)
			}
		}()
		c := must[net.Conn](t)(client.Dial("udp", net.JoinHostPort(host, "53")))
		b := make([]byte, 65535)
		for _, n := range []int{0, 1, 512, 1472, 1473, 9000, 60000} {
			ask := bytes.Repeat([]byte{byte(n)}, n)
			must[int](t)(c.Write(ask))
			if got := must[int](t)(c.Read(b)); got != n || !bytes.Equal(b[:got], ask) {
				t.Fatalf("%s: asked with %d bytes, got %d", host, n, got)
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(-1)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		c.Close()
		p.Close()
	}
}

// TestViews looks at a connection as an operator does, changes a setting, and captures its packets.
func TestViews(t *testing.T) {
	client, server := pair(t)
	var file bytes.Buffer
	stop, err := server.Capture(&file, 64)
	if err != nil {
		t.Fatal(err)
	}
	l := must[net.Listener](t)(server.Listen("tcp", ":7"))
	must[*netstack.PacketConn](t)(server.ListenPacket("udp", ":53"))
	c := must[net.Conn](t)(client.Dial("tcp", "10.0.0.2:7"))
	d := must[net.Conn](t)(l.Accept())
	must[int](t)(c.Write([]byte("hello")))
	must[int](t)(d.Read(make([]byte, 9)))
	var out bytes.Buffer
	v := server.View(10)
	if err := errors.Join(v.Netstat(&out), v.Ifconfig(&out), v.Statistics(&out)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[::]:7 ", "LISTEN", "ESTABLISHED", c.LocalAddr().String(), "[::]:53", "inet 10.0.0.2/24",
		"neighbour 10.0.0.1 at 02:00:00:00:00:01", "BytesIn            5\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	if v.ConnBytes == 0 || v.ConnBytes > 400 {
		t.Errorf("one connection takes %d bytes", v.ConnBytes)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	r, err := pcap.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	packets := 0
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packets++
	}
	if packets < 6 { // ARP and its answer, three of the handshake, data.
		t.Errorf("%d packets captured", packets)
	}
	if err := server.Set("tcp.keepalive_time", "90s"); err != nil {
		t.Error(err)
	}
	if got := strings.Join(server.Settings(), "\n"); !strings.Contains(got, "tcp.keepalive_time = 1m30s") {
		t.Error(got)
	}
	for name, value := range map[string]string{"tcp.none": "1", "tcp.ecn": "perhaps", "tcp.min_rto": "-1s", "tcp.max_connections": "x"} {
		if server.Set(name, value) == nil {
			t.Errorf("set %s to %s was taken", name, value)
		}
	}
}

// upper answers in capitals, on the owning goroutine.
type upper struct{}

func (upper) Opened(*engine.Stack, engine.ID) {}
func (upper) Data(e *engine.Stack, id engine.ID, p []byte) int {
	_, _ = e.Write(id, bytes.ToUpper(p))
	return len(p)
}
func (upper) EOF(e *engine.Stack, id engine.ID)      { e.Close(id) }
func (upper) Writable(*engine.Stack, engine.ID)      {}
func (upper) Closed(*engine.Stack, engine.ID, error) {}

// TestCallbacks uses the event-loop API beside the net API of the other end.
func TestCallbacks(t *testing.T) {
	client, server := pair(t)
	var err error
	server.Do(func(e *engine.Stack) { _, err = e.Listen(netip.MustParseAddrPort("10.0.0.2:9"), upper{}) })
	if err != nil {
		t.Fatal(err)
	}
	c := must[net.Conn](t)(client.Dial("tcp", "10.0.0.2:9"))
	must[int](t)(c.Write([]byte("quiet")))
	if err := c.(*netstack.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "QUIET" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestEnd ends a stack under its users.
func TestEnd(t *testing.T) {
	a, b := port.NewLink(1500)
	client, server := run(t, a, nil, "10.0.0.1/24"), run(t, b, nil, "10.0.0.2/24")
	l := must[net.Listener](t)(server.Listen("tcp", ":7"))
	p := must[*netstack.PacketConn](t)(server.ListenPacket("udp", ":7"))
	c := must[net.Conn](t)(client.Dial("tcp", "10.0.0.2:7"))
	must[net.Conn](t)(l.Accept())
	errs := make(chan error, 3)
	go func() { _, err := l.Accept(); errs <- err }()
	go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
	go func() { _, _, err := p.ReadFrom(make([]byte, 1)); errs <- err }()
	a.Close()
	for range 3 {
		if err := <-errs; err == nil {
			t.Fatal("no error")
		}
	}
	if _, err := client.Dial("tcp", "10.0.0.2:7"); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

// TestListenAll takes connections to any port of a trap, beside a listener for one port.
func TestListenAll(t *testing.T) {
	a, b := port.NewLink(1500)
	client := run(t, a, func(c *netstack.Config) { c.Engine.Gateway4 = netip.MustParseAddr("10.0.0.2") }, "10.0.0.1/24")
	server := run(t, b, func(c *netstack.Config) { c.Engine.Traps = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")} }, "10.0.0.2/24")
	one := must[net.Listener](t)(server.Listen("tcp", ":80"))
	all := must[net.Listener](t)(server.ListenAll())
	if _, err := server.ListenAll(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second time: %v", err)
	}
	for to, l := range map[string]net.Listener{"10.1.2.3:65535": all, "10.1.255.255:1": all, "10.0.0.2:23": all, "10.1.0.9:80": one} {
		c := must[net.Conn](t)(client.Dial("tcp", to))
		got := must[net.Conn](t)(l.Accept())
		if got.LocalAddr().String() != to {
			t.Errorf("%s arrived at %s", to, got.LocalAddr())
		}
		c.Close()
		got.Close()
	}
	if err := all.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial("tcp", "10.1.2.3:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Close: %v", err)
	}
}
