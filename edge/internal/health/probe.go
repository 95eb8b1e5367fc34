package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// probe asks a backend once. nil means that it serves.
func probe(ctx context.Context, c *Check, to netip.AddrPort, mark uint32) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if c.Port != 0 {
		to = netip.AddrPortFrom(to.Addr(), c.Port)
	}
	d := dialer(mark)
	switch c.Type {
	case None:
		return nil
	case TCP, TLS:
		return probeStream(ctx, c, d, to)
	case HTTP, HTTPS:
		return probeHTTP(ctx, c, d, to)
	case UDP:
		return probeUDP(ctx, c, d, to)
	case DNS:
		return probeDNS(ctx, c, d, to)
	case GRPC:
		return probeGRPC(ctx, c, d, to)
	case Script:
		return probeScript(ctx, c, to)
	}
	return fmt.Errorf("probe: type %q", c.Type)
}

// dialer marks its sockets, so that routing rules can tell probes from the rest.
func dialer(mark uint32) *net.Dialer {
	d := &net.Dialer{}
	if mark != 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			var failed error
			if err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			}); err != nil {
				return err
			}
			return failed
		}
	}
	return d
}

func (c *Check) tlsConfig(to netip.AddrPort) *tls.Config {
	name := c.Host
	if name == "" {
		name = to.Addr().String()
	}
	// Unless asked to, a probe does not care who a backend says it is: it asks
	// whether the backend serves, over the network that its traffic takes.
	return &tls.Config{ServerName: name, InsecureSkipVerify: !c.Verify}
}

func probeStream(ctx context.Context, c *Check, d *net.Dialer, to netip.AddrPort) error {
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if c.Type == TLS {
		secure := tls.Client(conn, c.tlsConfig(to))
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secure
	}
	if c.Send != "" {
		if _, err := io.WriteString(conn, c.Send); err != nil {
			return err
		}
	}
	if c.Expect == "" {
		return nil
	}
	want, err := regexp.Compile(c.Expect)
	if err != nil {
		return err
	}
	var got bytes.Buffer
	chunk := make([]byte, 4096)
	for got.Len() < maxAnswer {
		n, err := conn.Read(chunk)
		got.Write(chunk[:n])
		if want.Match(got.Bytes()) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the answer (%d bytes) does not match %q: %w", got.Len(), c.Expect, err)
		}
	}
	return fmt.Errorf("the first %d bytes of the answer do not match %q", maxAnswer, c.Expect)
}

func probeHTTP(ctx context.Context, c *Check, d *net.Dialer, to netip.AddrPort) error {
	low, high, err := c.statuses()
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: d.DialContext, TLSClientConfig: c.tlsConfig(to), DisableKeepAlives: true, DisableCompression: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(ctx, c.Method, string(c.Type)+"://"+to.String()+c.Path, nil)
	if err != nil {
		return err
	}
	if c.Host != "" {
		r.Host = c.Host
	}
	r.Header.Set("User-Agent", "hauberk-edge")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < low || answer.StatusCode > high {
		return fmt.Errorf("status %d is not %s", answer.StatusCode, c.Status)
	}
	if c.Body == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	want, err := regexp.Compile(c.Body)
	if err != nil {
		return err
	}
	if !want.Match(body) {
		return fmt.Errorf("the body does not match %q", c.Body)
	}
	return nil
}

// probeUDP takes silence for good unless an answer is expected: what a closed
// port gives is ICMP, which the socket reports.
func probeUDP(ctx context.Context, c *Check, d *net.Dialer, to netip.AddrPort) error {
	answer, err := exchange(ctx, d, to, []byte(c.Send))
	var timeout net.Error
	if c.Expect == "" && errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	if err != nil {
		return err
	}
	want, err := regexp.Compile(c.Expect)
	if err != nil {
		return err
	}
	if !want.Match(answer) {
		return fmt.Errorf("the answer does not match %q", c.Expect)
	}
	return nil
}

// exchange sends one datagram and returns what comes back.
func exchange(ctx context.Context, d *net.Dialer, to netip.AddrPort, send []byte) ([]byte, error) {
	conn, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write(send); err != nil {
		return nil, err
	}
	answer := make([]byte, maxAnswer)
	n, err := conn.Read(answer)
	return answer[:n], err
}

var records = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "NS": dnsmessage.TypeNS,
	"SOA": dnsmessage.TypeSOA, "TXT": dnsmessage.TypeTXT, "MX": dnsmessage.TypeMX,
}

// question is a DNS query in wire form.
func question(name, record string, id uint16) ([]byte, error) {
	kind, ok := records[strings.ToUpper(record)]
	if !ok {
		return nil, fmt.Errorf("record %q is none of A, AAAA, NS, SOA, TXT, MX", record)
	}
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: dnsmessage.ClassINET}},
	}
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	return wire, nil
}

func probeDNS(ctx context.Context, c *Check, d *net.Dialer, to netip.AddrPort) error {
	id := uint16(rand.Uint32())
	ask, err := question(c.Name, c.Record, id)
	if err != nil {
		return err
	}
	answer, err := exchange(ctx, d, to, ask)
	if err != nil {
		return err
	}
	return judgeDNS(answer, id)
}

// judgeDNS reads an answer: it must be one, to our question, without an error.
func judgeDNS(answer []byte, id uint16) error {
	var p dnsmessage.Parser
	h, err := p.Start(answer)
	switch {
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	case !h.Response || h.ID != id:
		return errors.New("what came is not the answer to the question")
	case h.RCode != dnsmessage.RCodeSuccess:
		return fmt.Errorf("answered with %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	return nil
}

func probeGRPC(ctx context.Context, c *Check, d *net.Dialer, to netip.AddrPort) error {
	security := insecure.NewCredentials()
	if c.TLS {
		security = credentials.NewTLS(c.tlsConfig(to))
	}
	conn, err := grpc.NewClient("passthrough:///"+to.String(), grpc.WithTransportCredentials(security),
		grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) { return d.DialContext(ctx, "tcp", at) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: c.Service})
	if err != nil {
		return err
	}
	if answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

// scriptGrace is how long the outputs of an ended script may stay open.
const scriptGrace = 100 * time.Millisecond

func probeScript(ctx context.Context, c *Check, to netip.AddrPort) error {
	args := make([]string, len(c.Command))
	for i, a := range c.Command {
		args[i] = strings.NewReplacer("%a", to.Addr().String(), "%p", strconv.Itoa(int(to.Port()))).Replace(a)
	}
	program := exec.CommandContext(ctx, args[0], args[1:]...)
	// The whole process group ends at the timeout, not the first process alone.
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	program.Cancel = func() error { return syscall.Kill(-program.Process.Pid, syscall.SIGKILL) }
	program.WaitDelay = scriptGrace
	if err := program.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: no end within %s", args[0], c.Timeout)
		}
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
