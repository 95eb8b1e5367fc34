package trap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

var limits = Limits{Sessions: 8, PerSource: 4, Time: 20 * time.Second, Bytes: 64 << 10, Keep: 4096}

// converse opens a session on a port, lets the client speak, and gives what is reported of it.
func converse(t *testing.T, l Limits, port uint16, client func(net.Conn)) *Session {
	t.Helper()
	reports := make(chan *Session, 1)
	tr, err := New(l, func(s *Session) { reports <- s })
	if err != nil {
		t.Fatal(err)
	}
	l0, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l0.Close()
	a, err := net.Dial("tcp", l0.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l0.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		client(a)
	}()
	tr.session(&placed{b, port})
	<-done
	if n := tr.Count.Panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
	return <-reports
}

// placed is a connection to a port of a trap.
type placed struct {
	net.Conn
	port uint16
}

func (p *placed) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: int(p.port)}
}
func (p *placed) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 40000}
}

func until(c net.Conn, prompt string) bool {
	var b []byte
	for one := make([]byte, 1); !bytes.HasSuffix(b, []byte(prompt)); {
		if _, err := c.Read(one); err != nil {
			return false
		}
		b = append(b, one...)
	}
	return true
}

func TestServices(t *testing.T) {
	smbNegotiate := "\x00\x00\x00\x2f\xffSMB\x72\x00\x00\x00\x00\x18\x53\xc8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xfe\x00\x00\x00\x00\x00\x0c\x00\x02NT LM 0.12\x00"
	login := strings.Repeat("\x00", 32) + "root\x00\x04\xaa\xbb\xcc\xdd"
	for _, c := range []struct {
		name, service string
		port          uint16
		say           []string
		credentials   string
		request       string
	}{
		{"telnet", "telnet", 23, []string{"login: ", "\xff\xfb\x1froot\r\n", "Password: ", "12345\r\n"}, "root 12345 password", ""},
		{"ftp", "ftp", 21, []string{"\r\n", "USER anna\r\n", "\r\n", "PASS geheim\r\n", "\r\n", "QUIT\r\n"}, "anna geheim password", "USER anna"},
		{"smtp", "smtp", 25, []string{"\r\n", "EHLO x\r\n", "LOGIN\r\n", "AUTH PLAIN AGFubmEAZ2VoZWlt\r\n", "\r\n", "QUIT\r\n"}, "anna geheim plain", "EHLO x"},
		{"redis", "redis", 6379, []string{"", "*2\r\n$4\r\nAUTH\r\n$3\r\nfoo\r\n", "\r\n", "*1\r\n$4\r\nQUIT\r\n"}, "default foo password", "AUTH foo"},
		{"redis elsewhere", "redis", 7000, []string{"", "*1\r\n$4\r\nINFO\r\n", "\r\n", "*1\r\n$4\r\nQUIT\r\n"}, "", "INFO"},
		{"mysql", "mysql", 3306, []string{"native_password\x00", string([]byte{byte(len(login)), 0, 0, 1}) + login}, "root aabbccdd salt", ""},
		{"http", "http", 8080, []string{"", "GET /.env HTTP/1.1\r\nHost: h\r\nUser-Agent: scanner\r\nAuthorization: Basic YW5uYTpnZWhlaW0=\r\nConnection: close\r\n\r\n"}, "anna geheim basic", "GET h/.env"},
		{"rdp", "rdp", 3389, []string{"", "\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=admin\r\n\x01\x00\x08\x00\x00\x00\x00\x00"}, "admin", ""},
		{"smb", "smb", 445, []string{"", smbNegotiate}, "", "dialect NT LM 0.12"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := converse(t, limits, c.port, func(conn net.Conn) {
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				for i := 0; i < len(c.say); i += 2 {
					if !until(conn, c.say[i]) {
						return
					}
					if _, err := io.WriteString(conn, c.say[i+1]); err != nil {
						return
					}
				}
				_, _ = conn.Read(make([]byte, 512))
			})
			got := ""
			for _, cr := range s.Credentials {
				got += cr.User + " " + cr.Secret + " " + cr.Method + "\n"
			}
			if s.Service != c.service || !strings.HasPrefix(got, c.credentials) || c.credentials == "" && got != "" {
				t.Errorf("%s: %q", s.Service, got)
			}
			if !strings.Contains(strings.Join(s.Requests, "\n"), c.request) {
				t.Errorf("requests %q", s.Requests)
			}
			if s.Payload == "" || s.Transcript == "" || s.Source != netip.MustParseAddr("198.51.100.7") || s.DestinationPort != c.port {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestSSH logs in by password, and is recognised.
func TestSSH(t *testing.T) {
	s := converse(t, limits, 22, func(c net.Conn) {
		_, _, _, err := xssh.NewClientConn(c, "x", &xssh.ClientConfig{
			User: "root", Auth: []xssh.AuthMethod{xssh.Password("toor")}, HostKeyCallback: xssh.InsecureIgnoreHostKey(), ClientVersion: "SSH-2.0-test",
		})
		if err == nil {
			t.Error("the door opened")
		}
	})
	if len(s.Credentials) != 1 || s.Credentials[0] != (Credential{"root", "toor", "password"}) || s.Client != "SSH-2.0-test" || len(s.HASSH) != 32 {
		t.Errorf("%+v", s)
	}
}

// TestTLS asks within TLS, and is recognised.
func TestTLS(t *testing.T) {
	s := converse(t, limits, 8443, func(c net.Conn) {
		conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "bank.test"})
		q, _ := http.NewRequest("GET", "https://bank.test/admin", nil)
		q.Close = true
		if err := q.Write(conn); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	if s.Service != "https" || s.ServerName != "bank.test" || len(s.JA3) != 32 || len(s.Requests) != 1 || !strings.HasPrefix(s.Transcript, "GET /admin") || s.Cut {
		t.Errorf("%+v", s)
	}
}

// TestShortHello finds nothing in hellos that are not whole.
func TestShortHello(t *testing.T) {
	for _, b := range []string{"", "\x16", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "\x15\x03\x01\x00\x02\x02\x28"} {
		if got := ja3([]byte(b)); got != "" {
			t.Errorf("%x: %s", b, got)
		}
	}
}

// TestLimits holds bytes, sessions and sources within bounds.
func TestLimits(t *testing.T) {
	small := limits
	small.Bytes, small.Keep = 1000, 10
	s := converse(t, small, 9999, func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for {
			if _, err := c.Write(bytes.Repeat([]byte{'x'}, 100)); err != nil {
				return
			}
		}
	})
	if s.End != "limit" && s.Received > 1000 || s.Received > 1000 || len(s.Transcript) > 10 || !s.Cut {
		t.Errorf("%+v", s)
	}
	tr, err := New(limits, func(*Session) {})
	if err != nil {
		t.Fatal(err)
	}
	entered := 0
	for i := range 20 {
		if tr.enter(netip.AddrFrom4([4]byte{1, 1, 1, byte(i / 10)})) {
			entered++
		}
	}
	if entered != 8 || tr.Count.RefusedSource.Load() != 6 || tr.Count.RefusedFull.Load() != 6 {
		t.Errorf("%d entered, %d and %d refused", entered, tr.Count.RefusedSource.Load(), tr.Count.RefusedFull.Load())
	}
}

// TestDatagram holds that no answer is longer than its question, and that a prefix gets few.
func TestDatagram(t *testing.T) {
	tr, err := New(limits, func(*Session) {})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	query := []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01")
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.1.2.3"), port) }
	answered := 0
	for i := range 30 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 999)
		if a := tr.Datagram(now, at(53), from, query); a != nil {
			answered++
			if len(a) > len(query) || a[2]&0x80 == 0 {
				t.Errorf("answer %x", a)
			}
		}
	}
	if answered != burst {
		t.Errorf("%d answers to one prefix", answered)
	}
	other := netip.MustParseAddrPort("203.0.113.1:123")
	ntp := append([]byte{0x23}, make([]byte, 47)...)
	if a := tr.Datagram(now, at(123), other, ntp); len(a) != 48 {
		t.Errorf("time: %x", a)
	}
	if a := tr.Datagram(now, at(123), other, []byte{0x17, 0, 3, 42}); a != nil { // monlist
		t.Errorf("monlist: %x", a)
	}
}

// TestFlood looks through a full table of prefixes once a second, not with each datagram, and takes new ones again then.
func TestFlood(t *testing.T) {
	tr, err := New(limits, func(*Session) {})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1e9, 0)
	for i := range maxPrefixes {
		tr.allow(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), start)
	}
	late := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{15900 * time.Millisecond, false}, {16100 * time.Millisecond, false}, {17 * time.Second, true}} {
		if got := tr.allow(late, start.Add(c.after)); got != c.want {
			t.Errorf("after %s: %v", c.after, got)
		}
	}
}

// TestLongSecret takes a MySQL client's answer of 255 bytes, the longest there can be.
func TestLongSecret(t *testing.T) {
	login := strings.Repeat("\x00", 32) + "root\x00\xff" + strings.Repeat("x", 255)
	s := converse(t, limits, 3306, func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if until(c, "native_password\x00") {
			_, _ = io.WriteString(c, string([]byte{byte(len(login)), byte(len(login) >> 8), 0, 1})+login)
			_, _ = c.Read(make([]byte, 512))
		}
	})
	if len(s.Credentials) != 1 || s.Credentials[0].User != "root" {
		t.Errorf("credentials %v", s.Credentials)
	}
}

// TestServe ends with its sessions.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan *Session, 1)
	tr, err := New(limits, func(s *Session) { reports <- s })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ctx, l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if !until(c, "\r\n") {
		t.Fatal("no banner")
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if s := <-reports; s.Transcript != "hello" || s.Service != "unknown" {
		t.Errorf("%+v", s)
	}
}

func FuzzSession(f *testing.F) {
	f.Add(uint16(80), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(uint16(3389), []byte("\x03\x00\x00\x0b\x06\xe0\x00\x00\x00\x00\x00"))
	f.Add(uint16(445), []byte("\x00\x00\x00\x08\xfeSMB\x40\x00\x00\x00"))
	f.Add(uint16(6379), []byte("*1\r\n$4\r\nPING\r\n"))
	f.Add(uint16(443), []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add(uint16(22), []byte("SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14"))
	f.Fuzz(func(t *testing.T, port uint16, b []byte) {
		s := converse(t, limits, port, func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = c.Write(b)
		})
		if s.Received > int64(len(b)) {
			t.Errorf("received %d of %d", s.Received, len(b))
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ja3(b)
		hassh(b)
		reply(123, b)
		reply(53, b)
	})
}
