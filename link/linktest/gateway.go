package linktest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"google.golang.org/protobuf/proto"
)

// Gateway is a gateway in memory, behind a real link.Server on a loopback
// port. It enrols by one-time tokens, keeps the events it gets, and hands
// tests what nodes say. Safe for concurrent use.
type Gateway struct {
	Authority *Authority
	Address   string
	Metrics   *obs.Registry
	// CommandKey signs commands and modes; nodes pin it at enrolment.
	CommandKey ed25519.PrivateKey
	// NodeLife is how long certificates live. Set it before nodes enrol.
	NodeLife time.Duration

	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	tokens  map[string]link.Token
	events  map[event.ID]int // how often each was received
	bodies  map[event.ID]*event.Event
	clashes int // events that came with a position another has
	conns   map[event.NodeID]*NodeConn
	hellos  []*link.Hello
	results []*fleet.CommandResult
	configs []*link.ConfigResult
	status  []*link.Status
	hold    bool // batches are not acknowledged
	held    []*link.Inbound
	welcome func() *link.Welcome
}

// GatewayOptions changes what NewGateway makes. The zero value will do.
type GatewayOptions struct {
	Authority *Authority
	Address   string // to listen on; a free loopback port
	Heartbeat time.Duration
	Log       *slog.Logger
	Now       func() time.Time
	// Admit, Patience and MaxPending as in link.ServerConfig.
	Admit      func(netip.AddrPort) bool
	Patience   time.Duration
	MaxPending int
}

// NewGateway starts a gateway, which ends with the test.
func NewGateway(t testing.TB, o GatewayOptions) *Gateway {
	t.Helper()
	if o.Authority == nil {
		o.Authority = NewAuthority(t)
	}
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gateway{
		Authority: o.Authority, Metrics: &obs.Registry{}, CommandKey: key, NodeLife: 24 * time.Hour,
		changed: make(chan struct{}), bodies: map[event.ID]*event.Event{}, tokens: map[string]link.Token{}, events: map[event.ID]int{},
		conns: map[event.NodeID]*NodeConn{}, done: make(chan struct{}),
	}
	certificate := o.Authority.Server(t)
	server, err := link.NewServer(link.ServerConfig{
		TLS: link.ServerTLS(func() (*tls.Certificate, error) { return certificate, nil }), Roots: o.Authority.Pool,
		Gateway: "gw-test", Heartbeat: o.Heartbeat, Metrics: g.Metrics, Log: o.Log, Now: o.Now,
		Admit: o.Admit, Patience: o.Patience, MaxPending: o.MaxPending,
	}, g)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		t.Fatal(err)
	}
	g.Address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	go func() {
		defer close(g.done)
		if err := server.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(g.Stop)
	return g
}

// Stop ends the gateway and waits for it.
func (g *Gateway) Stop() {
	g.stop()
	<-g.done
}

// NewToken returns a token good for one enrolment.
func (g *Gateway) NewToken() link.Token {
	t := link.NewToken("acme", g.Authority.Certificate)
	g.mu.Lock()
	g.tokens[t.ID] = t
	g.mu.Unlock()
	return t
}

// SetWelcome makes f the answer to every further hello.
func (g *Gateway) SetWelcome(f func() *link.Welcome) {
	g.mu.Lock()
	g.welcome = f
	g.mu.Unlock()
}

// Hold keeps back acknowledgements; releasing sends all that were held.
func (g *Gateway) Hold(hold bool) {
	g.mu.Lock()
	g.hold = hold
	held := g.held
	if !hold {
		g.held = nil
	}
	g.mu.Unlock()
	if !hold {
		for _, b := range held {
			b.Done(nil)
		}
	}
}

func (g *Gateway) change(f func()) {
	g.mu.Lock()
	f()
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
}

// Await waits until condition, called with the gateway locked, holds.
func (g *Gateway) Await(t testing.TB, what string, condition func(*View) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		g.mu.Lock()
		ok, changed := condition((*View)(g)), g.changed
		g.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// View is a gateway while it is locked.
type View Gateway

// Events returns how often each event was received.
func (v *View) Events() map[event.ID]int { return v.events }

// Bodies returns every event received.
func (v *View) Bodies() map[event.ID]*event.Event { return v.bodies }

// Conflicts returns how many events came with a position another event has.
func (v *View) Conflicts() int { return v.clashes }

// Node returns the connection of a node, nil if it has none.
func (v *View) Node(id event.NodeID) *NodeConn { return v.conns[id] }

// Nodes returns how many nodes are connected.
func (v *View) Nodes() int { return len(v.conns) }

// Hellos returns every hello accepted.
func (v *View) Hellos() []*link.Hello { return v.hellos }

// Results returns every command result received.
func (v *View) Results() []*fleet.CommandResult { return v.results }

// Configs returns every config result received.
func (v *View) Configs() []*link.ConfigResult { return v.configs }

// Statuses returns every status received.
func (v *View) Statuses() []*link.Status { return v.status }

// Held returns how many batches wait for Hold(false).
func (v *View) Held() int { return len(v.held) }

// Enrol implements link.Handler.
func (g *Gateway) Enrol(_ context.Context, _ netip.AddrPort, r *link.EnrolRequest) (*link.Enrolled, error) {
	token, err := link.ParseToken(r.Token)
	if err != nil {
		return nil, &link.Refusal{Reason: link.Reason_REASON_TOKEN, Detail: err.Error()}
	}
	g.mu.Lock()
	known, ok := g.tokens[token.ID]
	delete(g.tokens, token.ID)
	g.mu.Unlock()
	if !ok || known != token {
		return nil, &link.Refusal{Reason: link.Reason_REASON_TOKEN, Detail: "token unknown or spent"}
	}
	node := event.NewNodeID()
	chain, err := g.sign(link.Identity{Domain: Domain, Tenant: token.Tenant, Node: node}, r.Csr, nil)
	if err != nil {
		return nil, err
	}
	return &link.Enrolled{
		Node: node[:], Tenant: token.Tenant, Chain: chain, Roots: [][]byte{g.Authority.Certificate.Raw},
		CommandKeys: [][]byte{g.CommandKey.Public().(ed25519.PublicKey)}, Gateways: []string{g.Address},
	}, nil
}

func (g *Gateway) sign(id link.Identity, csr []byte, held *x509.Certificate) ([][]byte, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, &link.Refusal{Reason: link.Reason_REASON_PROTOCOL, Detail: "bad CSR"}
	}
	if err := request.CheckSignature(); err != nil {
		return nil, &link.Refusal{Reason: link.Reason_REASON_PROTOCOL, Detail: "bad CSR"}
	}
	if held != nil && !bytes.Equal(held.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo) {
		return nil, &link.Refusal{Reason: link.Reason_REASON_UNAUTHORIZED, Detail: "renewal needs the same key"}
	}
	return g.Authority.Issue(id, request.PublicKey, time.Now().Add(-time.Minute), time.Now().Add(g.NodeLife))
}

// Renew implements link.Handler.
func (g *Gateway) Renew(_ context.Context, id link.Identity, held *x509.Certificate, r *link.RenewRequest) (*link.Renewed, error) {
	chain, err := g.sign(id, r.Csr, held)
	if err != nil {
		return nil, err
	}
	return &link.Renewed{Chain: chain, Roots: [][]byte{g.Authority.Certificate.Raw}}, nil
}

// Accept implements link.Handler.
func (g *Gateway) Accept(_ context.Context, c *link.Conn, h *link.Hello) (*link.Welcome, link.Node, error) {
	n := &NodeConn{g: g, Conn: c}
	welcome := &link.Welcome{}
	g.change(func() {
		g.conns[c.Identity().Node] = n
		g.hellos = append(g.hellos, h)
		if g.welcome != nil {
			welcome = g.welcome()
		}
	})
	return welcome, n, nil
}

// NodeConn is a node's connection to a Gateway.
type NodeConn struct {
	*link.Conn
	g *Gateway
}

// Batch implements link.Node: it unmarshals what the bus would get.
func (n *NodeConn) Batch(in *link.Inbound) {
	record, err := in.Record(&event.Host{Name: "test"})
	if err != nil {
		in.Done(err)
		return
	}
	var b event.Batch
	if err := b.UnmarshalVT(record); err != nil {
		in.Done(err)
		return
	}
	if err := b.Check(); err != nil {
		in.Done(err)
		return
	}
	held := false
	n.g.change(func() {
		for _, r := range b.Records {
			n.g.note(r)
		}
		if held = n.g.hold; held {
			n.g.held = append(n.g.held, in)
		}
	})
	if !held {
		in.Done(nil)
	}
}

// note keeps an event; the gateway is locked.
func (g *Gateway) note(r *event.Record) {
	g.events[r.ID]++
	before, again := g.bodies[r.ID]
	if again && !proto.Equal(before.GetProcess(), r.Event.GetProcess()) {
		g.clashes++
	}
	g.bodies[r.ID] = r.Event
}

// Status implements link.Node.
func (n *NodeConn) Status(s *link.Status) {
	n.g.change(func() { n.g.status = append(n.g.status, s) })
}

// ConfigResult implements link.Node.
func (n *NodeConn) ConfigResult(r *link.ConfigResult) {
	n.g.change(func() { n.g.configs = append(n.g.configs, r) })
}

// Result implements link.Node.
func (n *NodeConn) Result(r *fleet.CommandResult) {
	n.g.change(func() { n.g.results = append(n.g.results, r) })
}

// Closed implements link.Node.
func (n *NodeConn) Closed(error) {
	n.g.change(func() {
		if n.g.conns[n.Identity().Node] == n {
			delete(n.g.conns, n.Identity().Node)
		}
	})
}
