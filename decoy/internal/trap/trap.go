// Package trap is the honeypot: it answers every connection as a service of low interaction would, keeps what the stranger
// said, and reports each session once, when it is over.
//
// It makes no connection and runs nothing of what it is sent. Everything is bounded: sessions at once, of all and of one
// source; bytes and time of a session; datagrams answered.
package trap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Limits bound what strangers can make us hold.
type Limits struct {
	Sessions  int           // At once.
	PerSource int           // At once, of one address.
	Time      time.Duration // Of a session.
	Bytes     int64         // A session's, both ways.
	Keep      int           // Bytes of a session's transcript, each way.
}

// Credential is a name and a secret somebody tried.
type Credential struct {
	User   string `json:"user.name"`
	Secret string `json:"hauberk.decoy.secret,omitempty"`
	Method string `json:"hauberk.decoy.method"` // password, publickey, digest, ...
}

// Session is what is told of a session. Names are those of the Elastic Common Schema where it has one.
type Session struct {
	Time            time.Time    `json:"@timestamp"`
	Duration        int64        `json:"event.duration"` // ns
	Transport       string       `json:"network.transport"`
	Service         string       `json:"network.protocol"`
	Source          netip.Addr   `json:"source.ip"`
	SourcePort      uint16       `json:"source.port"`
	Destination     netip.Addr   `json:"destination.ip"`
	DestinationPort uint16       `json:"destination.port"`
	Received        int64        `json:"source.bytes"`
	Sent            int64        `json:"destination.bytes"`
	Payload         string       `json:"hauberk.decoy.payload.sha256,omitempty"` // Of all that was received.
	Credentials     []Credential `json:"hauberk.decoy.credentials,omitempty"`
	Requests        []string     `json:"hauberk.decoy.requests,omitempty"` // Commands, request lines, names asked for.
	Client          string       `json:"hauberk.decoy.client,omitempty"`   // What the client says it is.
	ServerName      string       `json:"tls.client.server_name,omitempty"`
	JA3             string       `json:"tls.client.ja3,omitempty"`
	HASSH           string       `json:"hauberk.ssh.client.hassh,omitempty"`
	Transcript      string       `json:"hauberk.decoy.transcript,omitempty"`     // Text as it is, other bytes as \xNN.
	End             string       `json:"event.reason"`                           // closed, limit, timeout, error
	Cut             bool         `json:"hauberk.decoy.transcript.cut,omitempty"` // More was received than is kept.
	Observer        string       `json:"observer.type"`
}

// Counters count since the start.
type Counters struct {
	Sessions, Datagrams, RefusedSource, RefusedFull, Panics, Answered, NotAnswered atomic.Uint64
}

// Trap serves sessions.
type Trap struct {
	limits  Limits
	report  func(*Session)
	secrets *secrets
	Count   Counters

	mu      sync.Mutex
	total   int
	sources map[netip.Addr]int
	prefix  map[netip.Prefix]*allowance
	swept   time.Time // When prefix was last looked through.
}

// New makes a trap that reports sessions to report, which must not wait.
func New(l Limits, report func(*Session)) (*Trap, error) {
	s, err := newSecrets()
	if err != nil {
		return nil, err
	}
	return &Trap{limits: l, report: report, secrets: s, sources: map[netip.Addr]int{}, prefix: map[netip.Prefix]*allowance{}}, nil
}

// Serve takes connections until the listener ends, and returns when their sessions are over.
func (t *Trap) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		remote := address(c.RemoteAddr())
		if !t.enter(remote.Addr()) {
			_ = c.Close() // A close tells the least.
			continue
		}
		sessions.Go(func() {
			defer t.leave(remote.Addr())
			end := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
			defer end()
			t.session(c)
		})
	}
}

func address(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
	}
	return netip.AddrPort{}
}

// enter takes a place for a session of a source.
func (t *Trap) enter(source netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.total >= t.limits.Sessions:
		t.Count.RefusedFull.Add(1)
		return false
	case t.sources[source] >= t.limits.PerSource:
		t.Count.RefusedSource.Add(1)
		return false
	}
	t.total++
	t.sources[source]++
	return true
}

func (t *Trap) leave(source netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.sources[source]--; t.sources[source] == 0 {
		delete(t.sources, source)
	}
}

// session serves one connection, and reports it.
func (t *Trap) session(c net.Conn) {
	defer c.Close()
	t.Count.Sessions.Add(1)
	local, remote := address(c.LocalAddr()), address(c.RemoteAddr())
	w := &watched{Conn: c, left: t.limits.Bytes, keep: t.limits.Keep, sum: sha256.New()}
	s := &Session{
		Time: time.Now(), Transport: "tcp", Source: remote.Addr(), SourcePort: remote.Port(), Destination: local.Addr(),
		DestinationPort: local.Port(), Observer: "decoy",
	}
	_ = c.SetDeadline(s.Time.Add(t.limits.Time))
	err := t.converse(w, s)
	s.Duration = int64(time.Since(s.Time))
	w.tell(s, err)
	t.report(s)
}

// converse chooses the service and lets it speak. A panic ends the session only.
func (t *Trap) converse(w *watched, s *Session) (err error) {
	defer func() {
		if recover() != nil {
			t.Count.Panics.Add(1)
			err = errors.New("panic")
		}
	}()
	serve, name := t.choose(w, s.DestinationPort)
	s.Service = name
	return serve(t, w, s)
}

// tell fills in what was seen on the wire.
func (w *watched) tell(s *Session, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Received, s.Sent = w.in, w.out
	s.Transcript, s.Cut = printable(w.kept), w.hidden+w.in > int64(len(w.kept))
	if w.in > 0 {
		s.Payload = hex.EncodeToString(w.sum.Sum(nil))
	}
	switch {
	case errors.Is(err, errLimit):
		s.End = "limit"
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.End = "timeout"
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		s.End = "closed"
	default:
		s.End = "error"
	}
}

// printable writes bytes as text.
func printable(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f {
			out.WriteString(`\x`)
			out.WriteString(hex.EncodeToString(b[:1]))
			n = 1
		} else {
			out.Write(b[:n])
		}
		b = b[n:]
	}
	return out.String()
}

var errLimit = errors.New("limit of bytes reached")

// watched is a connection that keeps and bounds what passes.
type watched struct {
	net.Conn
	pushed []byte // Looked at, to be read again.
	keep   int

	mu      sync.Mutex // SSH reads on for a moment when its session is over.
	left    int64
	in, out int64
	hidden  int64 // Added to in: how many bytes the transcript is of.
	kept    []byte
	sum     hash.Hash
}

func (w *watched) remaining() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

// seen is what has been kept of what the client said.
func (w *watched) seen() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.kept)
}

// show makes other bytes the transcript, of so many that there were.
func (w *watched) show(b []byte, of int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept, w.hidden = b, of-w.in
}

// Read reads, within the limit.
func (w *watched) Read(b []byte) (int, error) {
	if len(w.pushed) > 0 {
		n := copy(b, w.pushed)
		w.pushed = w.pushed[n:]
		return n, nil
	}
	left := w.remaining()
	if left <= 0 {
		return 0, errLimit
	}
	n, err := w.Conn.Read(b[:min(int64(len(b)), left)])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in += int64(n)
	w.left -= int64(n)
	w.sum.Write(b[:n])
	w.kept = append(w.kept, b[:min(n, w.keep-len(w.kept))]...)
	return n, err
}

// Write writes, within the limit.
func (w *watched) Write(b []byte) (int, error) {
	if w.remaining() < int64(len(b)) {
		return 0, errLimit
	}
	n, err := w.Conn.Write(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out += int64(n)
	w.left -= int64(n)
	return n, err
}

// peek looks at what comes first, waiting until then or for as long as a client would wait for us to speak.
func (w *watched) peek(patience time.Duration, end time.Time) []byte {
	until := time.Now().Add(patience)
	if until.After(end) {
		until = end
	}
	_ = w.SetReadDeadline(until)
	b := make([]byte, 16)
	n, err := w.Read(b)
	_ = w.SetReadDeadline(end)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	w.pushed = b[:n]
	return b[:n]
}

// Bounds of what is kept of lines and lists.
const (
	maxLine = 512
	maxList = 32
)

// note keeps a request.
func (s *Session) note(request string) {
	if len(s.Requests) < maxList {
		s.Requests = append(s.Requests, clip(request))
	}
}

// try keeps a credential.
func (s *Session) try(user, secret, method string) {
	if len(s.Credentials) < maxList {
		s.Credentials = append(s.Credentials, Credential{User: clip(user), Secret: clip(secret), Method: method})
	}
}

// clip bounds outside text, and makes it text.
func clip(s string) string { return printable([]byte(s[:min(len(s), maxLine)])) }

// line reads a line without its end, of at most maxLine bytes.
func line(r *bufio.Reader) (string, error) {
	var b []byte
	for len(b) < maxLine {
		c, err := r.ReadByte()
		if err != nil {
			return string(b), err
		}
		if c == '\n' {
			return strings.TrimRight(string(b), "\r\x00"), nil
		}
		b = append(b, c)
	}
	return string(b), nil
}
