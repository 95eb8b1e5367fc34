package out

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

var silent = slog.New(slog.DiscardHandler)

func sample(id string) *Alert {
	return &Alert{JSON: []byte(`{"rule.name":"r"}`), Severity: event.Severity_SEVERITY_CRITICAL, Time: time.Unix(1_700_000_000, 5_000), ID: id, Host: "web1", Rule: "r", Summary: "s"}
}

// sink is a Sink of the test.
type sink struct {
	send   func(*Alert) error
	closed atomic.Bool
}

func (s *sink) Send(_ context.Context, a *Alert) error { return s.send(a) }
func (s *sink) Close() error                           { s.closed.Store(true); return nil }

func TestAFullQueueDropsAndCounts(t *testing.T) {
	var metrics obs.Registry
	s := &sink{send: func(*Alert) error { return nil }}
	o := New("x", s, 2, silent, &metrics)
	for range 5 {
		o.Put(sample("a"))
	}
	if got := o.full.Value(); got != 3 {
		t.Errorf("%d dropped, want 3", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Run(ctx); err != nil || o.sent.Value() != 2 || !s.closed.Load() {
		t.Errorf("at the end %d sent (%v), closed %v", o.sent.Value(), err, s.closed.Load())
	}
}

func TestAttemptsEndAtAPermanentError(t *testing.T) {
	var metrics obs.Registry
	tries := 0
	o := New("x", &sink{send: func(*Alert) error {
		if tries++; tries < 3 {
			return errors.New("away")
		}
		return &PermanentError{errors.New("refused")}
	}}, 1, silent, &metrics)
	o.deliver(context.Background(), sample("a"))
	if tries != 3 || o.failed.Value() != 1 || o.sent.Value() != 0 {
		t.Errorf("%d tries, %d failed, %d sent", tries, o.failed.Value(), o.sent.Value())
	}
}

func TestFileHoldsLinesAndRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	f, err := NewFile(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	for range 7 {
		if err := f.Send(context.Background(), sample("a")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range []string{path, path + ".1"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(data, []byte("}\n"))
	}
	if lines != 7 {
		t.Errorf("%d lines in both files, want 7", lines)
	}
}

func TestWebhookSignsAndTellsErrorsApart(t *testing.T) {
	status := http.StatusNoContent
	var got *http.Request
	var body []byte
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		if status == http.StatusFound {
			http.Redirect(w, r, "https://evil.example/", status)
			return
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Unix(1234, 0) }
	w, err := NewWebhook(server.URL, "secret", ca, now)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Send(context.Background(), sample("id1")); err != nil {
		t.Fatal(err)
	}
	if want := Sign([]byte("secret"), "1234", body); got.Header.Get(HeaderSignature) != want || got.Header.Get(HeaderTimestamp) != "1234" ||
		got.Header.Get(HeaderID) != "id1" || string(body) != string(sample("").JSON) {
		t.Errorf("request %v with body %s", got.Header, body)
	}
	// Computed apart: printf 1.x | openssl dgst -sha256 -hmac secret
	if got, want := Sign([]byte("secret"), "1", []byte("x")), "sha256=33270e99f50e3d3ec295e0d7185dc323a6231c2739f396d70e6b71ea6a435486"; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	for code, permanent := range map[int]bool{400: true, 404: true, 302: true, 408: false, 429: false, 500: false, 503: false} {
		status = code
		err := w.Send(context.Background(), sample("id1"))
		var p *PermanentError
		if err == nil || errors.As(err, &p) != permanent {
			t.Errorf("status %d: %v, permanent %v", code, err, permanent)
		}
	}
	plain, err := NewWebhook(server.URL, "", "", now) // does not trust the server
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Send(context.Background(), sample("x")); err == nil {
		t.Error("an unknown certificate was trusted")
	}
	if _, err := NewWebhook(server.URL, "", filepath.Join(t.TempDir(), "none"), now); err == nil {
		t.Error("roots that do not exist were read")
	}
}

const wantSyslog = "<82>1 2023-11-14T22:13:20.000005Z host1 hauberk - id1 - \xef\xbb\xbf" + `{"rule.name":"r"}`

func TestSyslogOverEachTransport(t *testing.T) {
	send := func(t *testing.T, address, ca string, alerts int) *Syslog {
		t.Helper()
		s, err := NewSyslog(address, 10, "host1", ca)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		for range alerts {
			if err := s.Send(context.Background(), sample("id1")); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	datagram := func(t *testing.T, c net.PacketConn) string {
		t.Helper()
		buf := make([]byte, 1<<16)
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	t.Run("udp", func(t *testing.T) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		send(t, "udp://"+c.LocalAddr().String(), "", 1)
		if got := datagram(t, c); got != wantSyslog {
			t.Errorf("got %q", got)
		}
	})
	t.Run("unix", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		c, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		send(t, "unix:"+path, "", 1)
		if got := datagram(t, c); got != wantSyslog && got != wantSyslog+"\n" {
			t.Errorf("got %q", got)
		}
	})
	stream := func(t *testing.T, l net.Listener, address, ca string) {
		got := make(chan string, 4)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				size, err := r.ReadString(' ')
				if err != nil {
					close(got)
					return
				}
				n, err := strconv.Atoi(strings.TrimSpace(size))
				if err != nil {
					got <- fmt.Sprintf("frame %q", size)
					return
				}
				message := make([]byte, n)
				if _, err := io.ReadFull(r, message); err != nil {
					close(got)
					return
				}
				got <- string(message)
			}
		}()
		send(t, address, ca, 2)
		for range 2 {
			if m := <-got; m != wantSyslog {
				t.Errorf("got %q", m)
			}
		}
	}
	t.Run("tcp", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		stream(t, l, "tcp://"+l.Addr().String(), "")
	})
	t.Run("tls", func(t *testing.T) {
		// The certificate of httptest is for 127.0.0.1.
		server := httptest.NewTLSServer(nil)
		defer server.Close()
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		if err := os.WriteFile(ca, block, 0o600); err != nil {
			t.Fatal(err)
		}
		stream(t, l, "tls://"+l.Addr().String(), ca)
	})
	t.Run("reconnect", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		c, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		s := send(t, "unix:"+path, "", 1)
		c.Close()
		if err := s.Send(context.Background(), sample("id1")); err == nil {
			t.Fatal("a socket that is gone took a message")
		}
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if c, err = net.ListenPacket("unixgram", path); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := s.Send(context.Background(), sample("id1")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSyslogAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"unix:/dev/log": true, "udp://h:514": true, "tcp://[::1]:601": true, "tls://h:6514": true,
		"": false, "unix:log": false, "h:514": false, "http://h:1": false, "udp://h": false,
	} {
		if _, _, err := ParseSyslogAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestSyslogHeadersAreClean(t *testing.T) {
	s, err := NewSyslog("udp://h:1", 1, "bad host\nname", "")
	if err != nil {
		t.Fatal(err)
	}
	line := string(s.append(nil, &Alert{JSON: []byte("{}"), Severity: 99, ID: ""}))
	if !strings.HasPrefix(line, "<13>1 ") || !strings.Contains(line, " badhostname hauberk - - - ") {
		t.Errorf("message %q", line)
	}
}
