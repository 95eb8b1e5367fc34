package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// measure is what the gateway process says of itself.
type measure struct {
	Address string  `json:",omitempty"`
	AnonKB  float64 // anonymous resident memory after a collection
	CPU     float64 // s, user and system
	Seconds float64 `json:",omitempty"` // of a fan-out
}

// writeCertificate leaves the gateway's chain and key in a file.
func writeCertificate(authority *linktest.Authority) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	chain, err := authority.Issue(link.Identity{Domain: linktest.Domain, Gateway: "bench"}, key.Public(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, c := range chain {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c})
	}
	pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	file, err := os.CreateTemp("", "linkbench-*.pem")
	if err != nil {
		return "", err
	}
	if _, err := file.Write(out.Bytes()); err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}

// serve is the gateway process.
func serve(kind, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(data, data)
	if err != nil {
		return err
	}
	root, err := x509.ParseCertificate(certificate.Certificate[1])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	config := link.ServerTLS(func() (*tls.Certificate, error) { return &certificate, nil })
	g := &gateway{acked: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	if kind == "bare" {
		go func() { done <- bare(l, config) }()
	} else {
		s, err := link.NewServer(link.ServerConfig{TLS: config, Roots: func() *x509.CertPool { return roots }, Heartbeat: time.Hour, Gateway: "bench"}, g)
		if err != nil {
			return err
		}
		go func() { done <- s.Serve(ctx, l) }()
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(measure{Address: l.Addr().String()}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		m := measure{}
		if lines.Text() == "fanout" {
			m = g.fanout()
		} else if m, err = look(); err != nil {
			return err
		}
		if err := out.Encode(m); err != nil {
			return err
		}
	}
	return nil // the parent is done; so are the connections
}

func look() (measure, error) {
	debug.FreeOSMemory()
	m := measure{CPU: cpu()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			m.AnonKB, err = strconv.ParseFloat(strings.Fields(v)[0], 64)
			return m, err
		}
	}
	return m, errors.New("no RssAnon in /proc/self/status")
}

func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage of oneself: ", err))
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// bare holds TLS connections and does nothing with them: the floor.
func bare(l net.Listener, config *tls.Config) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			t := tls.Server(c, config)
			if t.Handshake() != nil {
				return
			}
			t.Write([]byte{1})
			var one [1]byte
			t.Read(one[:])
		}()
	}
}

// gateway counts acknowledgements and does nothing else.
type gateway struct {
	acked chan struct{} // all nodes acknowledged

	mu      sync.Mutex
	conns   []*link.Conn
	waiting int
}

func (g *gateway) fanout() measure {
	command, err := link.EncodeCommand(&fleet.SignedCommand{Command: make([]byte, 200), Signature: make([]byte, 64), KeyId: make([]byte, 8)})
	if err != nil {
		panic(err)
	}
	g.mu.Lock()
	conns := g.conns
	g.waiting = len(conns)
	g.mu.Unlock()
	began, before := time.Now(), cpu()
	for _, c := range conns {
		if err := c.Send(command); err != nil {
			panic(err)
		}
	}
	<-g.acked
	return measure{CPU: cpu() - before, Seconds: time.Since(began).Seconds()}
}

func (g *gateway) Accept(_ context.Context, c *link.Conn, _ *link.Hello) (*link.Welcome, link.Node, error) {
	g.mu.Lock()
	g.conns = append(g.conns, c)
	g.mu.Unlock()
	return &link.Welcome{}, g, nil
}

func (g *gateway) Result(*fleet.CommandResult) {
	g.mu.Lock()
	g.waiting--
	last := g.waiting == 0
	g.mu.Unlock()
	if last {
		g.acked <- struct{}{}
	}
}

var errNotHere = errors.New("not in the benchmark")

func (g *gateway) Enrol(context.Context, netip.AddrPort, *link.EnrolRequest) (*link.Enrolled, error) {
	return nil, errNotHere
}

func (g *gateway) Renew(context.Context, link.Identity, *x509.Certificate, *link.RenewRequest) (*link.Renewed, error) {
	return nil, errNotHere
}

func (g *gateway) Batch(b *link.Inbound)           { b.Done(nil) }
func (g *gateway) Status(*link.Status)             {}
func (g *gateway) ConfigResult(*link.ConfigResult) {}
func (g *gateway) Closed(error)                    {}
