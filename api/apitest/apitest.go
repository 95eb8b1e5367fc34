// Package apitest runs the API in the test's process, for the tests of the
// API, the CLI and the console: real listeners, the real case database, and
// in memory what stands behind them otherwise (control plane, events, bus).
package apitest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
)

// Platform is a running API.
type Platform struct {
	Dir     string // data directory
	URL     string // https://127.0.0.1:PORT
	Socket  string
	CA      string // PEM file
	Roots   *x509.CertPool
	Store   *Store
	Control *Control
	Live    *Live
	Metrics *obs.Registry

	t       testing.TB
	mu      sync.Mutex
	status  api.Status
	config  api.Config
	deps    api.Deps
	ready   chan net.Addr
	stop    context.CancelFunc
	stopped chan error // one error for each start
	running bool
}

// Start runs an API until the test ends. change may change its config and
// dependencies, or be nil.
func Start(t testing.TB, change func(*api.Config, *api.Deps)) *Platform {
	t.Helper()
	dir, err := os.MkdirTemp("", "hbk") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Platform{
		Dir: dir, Socket: filepath.Join(dir, "run", "api.sock"), CA: filepath.Join(dir, "tls", "ca.crt"), Roots: x509.NewCertPool(),
		Store: newStore(t, dir), Control: newControl(), Live: &Live{}, Metrics: &obs.Registry{}, t: t, stopped: make(chan error, 1),
	}
	for _, sub := range []string{"run", "tls"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.status = api.Status{
		Roles: []api.RoleStatus{
			{Name: "bus", State: "ready"}, {Name: "store", State: "ready"}, {Name: "gateway", State: "ready", Detail: "1 alive, 1 nodes connected"},
			{Name: "detect", State: "ready"}, {Name: "api", State: "ready"},
		},
		Addresses: api.Addresses{Nodes: "127.0.0.1:7443"},
		Disk:      api.Disk{Free: 40 << 30, Total: 100 << 30, Reserve: 5 << 30},
	}
	certificate := p.certificate()
	p.ready = make(chan net.Addr, 1)
	config := api.DefaultConfig()
	config.Listen, config.Socket = "127.0.0.1:0", p.Socket
	deps := api.Deps{
		Store: p.Store, Control: p.Control, Live: p.Live, Faults: api.Faults{Unknown: ErrUnknown, Conflict: ErrConflict, Invalid: ErrInvalid},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
		Status:      func(context.Context) api.Status { return p.now() },
		Rules: func() []api.Rule {
			return []api.Rule{{ID: "b8a2c8a5-6f0e-4f3a-9a3e-000000000001", Title: "Reverse shell by bash", Level: "critical", Techniques: []string{"T1059.004"}, Source: "hauberk 1.0.0"}}
		},
		CheckRules: func(string) (any, error) { return map[string]any{"supported": 1, "refused": 0}, nil },
		Backup: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "backup")
			return err
		},
		Restore: func(_ context.Context, r io.Reader) error {
			if text, err := io.ReadAll(r); err != nil || string(text) != "backup" {
				return errors.Join(ErrInvalid, err)
			}
			return nil
		},
		Ready: func(a net.Addr) { p.ready <- a }, Version: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: p.Metrics,
	}
	if change != nil {
		change(&config, &deps)
	}
	p.config, p.deps = config, deps
	p.run()
	t.Cleanup(p.Stop)
	return p
}

func (p *Platform) run() {
	p.t.Helper()
	server, err := api.New(p.config, p.deps)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.running = stop, true
	go func() { p.stopped <- server.Run(ctx) }()
	select {
	case a := <-p.ready:
		p.URL = "https://" + a.String()
		p.SetStatus(func(s *api.Status) { s.Addresses.Console = p.URL })
	case err := <-p.stopped:
		p.t.Fatalf("api ended: %v", err)
	}
}

// Stop ends the API and waits for it. The data stays until the test ends.
func (p *Platform) Stop() {
	if !p.running {
		return
	}
	p.running = false
	p.stop()
	if err := <-p.stopped; err != nil {
		p.t.Errorf("api ended: %v", err)
	}
}

// Restart starts it again, on the same address.
func (p *Platform) Restart() {
	p.t.Helper()
	p.config.Listen = strings.TrimPrefix(p.URL, "https://")
	p.run()
}

// SetStatus changes what the API is told of the platform.
func (p *Platform) SetStatus(change func(*api.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Roles = slices.Clone(p.status.Roles) // answers hold the old ones
	change(&p.status)
}

func (p *Platform) now() api.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// certificate makes a certificate for 127.0.0.1 that only this test trusts.
func (p *Platform) certificate() *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.Roots.AppendCertsFromPEM(text)
	if err := os.WriteFile(p.CA, text, 0o644); err != nil {
		p.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// HTTPS returns a client that trusts the API's certificate.
func (p *Platform) HTTPS() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots}, ForceAttemptHTTP2: true}
	p.t.Cleanup(transport.CloseIdleConnections) // an idle HTTP/2 connection holds a server's end up for a second
	return &http.Client{Transport: transport}
}

// Local returns a client of the Unix socket; its base is http://local.
func (p *Platform) Local() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.Socket)
	}}}
}

// Raise stores alerts, as the store does when detect raised them.
func (p *Platform) Raise(alerts ...*event.Alert) {
	p.t.Helper()
	if err := p.Store.PutAlerts(context.Background(), alerts); err != nil {
		p.t.Fatal(err)
	}
}

// Join enrols the node of the samples and makes it present.
func (p *Platform) Join() {
	p.t.Helper()
	p.Control.Enrol(Enrolment())
	p.Appear(Presence())
}

// Appear stores a presence and puts it on the bus.
func (p *Platform) Appear(presence *fleet.Presence) {
	p.t.Helper()
	if err := p.Store.PutPresences(context.Background(), []*fleet.Presence{presence}); err != nil {
		p.t.Fatal(err)
	}
	value, err := presence.MarshalVT()
	if err != nil {
		p.t.Fatal(err)
	}
	p.Live.Publish(bus.Message{Topic: bus.Presence, Key: presence.Node, Value: value})
}
