// Package gateway is the server side of the link: it proves who a node is,
// stamps its batches and puts them on the bus, and tells the node what the
// control plane wants of it.
//
// One lock, Gateway.mu, covers the table of nodes and the copies of what etcd
// says (configuration, commands, modes, credit): a node that joins while one
// of them changes sees the change exactly once. Nothing that can block
// happens under it; sending to a connection only queues.
package gateway

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/command"
	"github.com/hauberk/hauberk/control/internal/config"
	"github.com/hauberk/hauberk/control/internal/enrol"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/vault"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/link"
)

// Bus is what a gateway needs of the bus.
type Bus interface {
	// PublishAsync calls done when the bus has the message, or never will. It
	// blocks while too much is on its way.
	PublishAsync(ctx context.Context, m bus.Message, done func(error))
	// Fill returns how full the bus is with what nobody consumed, 0 to 1.
	Fill(ctx context.Context) (float64, error)
}

// Config is the gateway's, validated by package control.
type Config struct {
	Listen, Advertise string
	Name, Version     string
	Heartbeat         time.Duration
	Handshakes        int // per second
	MaxBackoff        time.Duration
	PresenceEvery     time.Duration
	Drain             time.Duration
}

// Deps is what a gateway is made of.
type Deps struct {
	Client    *clientv3.Client
	Vault     *vault.Vault
	Authority *ca.Authority
	Registry  *enrol.Registry
	Keys      fleet.Keys // that sign commands and modes
	Bus       Bus
	// Ingest reports whether there is room for events, and why not.
	Ingest  func() (ok bool, reason string)
	Ready   func(net.Addr) // called once nodes can connect
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *obs.Registry
}

// Gateway is one start of a gateway. Make it with New and call Run once.
type Gateway struct {
	cfg     Config
	deps    Deps
	id      string // new at every start, so that nodes of a dead one stay unknown
	started time.Time
	held    *ca.Held // our certificate
	count   counters
	labels  interner

	mu      sync.Mutex
	nodes   map[event.NodeID]*node
	book    *command.Book
	set     *config.Set
	scopes  map[string]etcd.Item // newest version of each scope
	credit  credit
	peers   []string // where nodes reach the living gateways
	leaving bool     // shutting down: closed connections are no news
}

type counters struct {
	published, publishFailed           *obs.Counter
	presence, presenceFailed           *obs.Counter
	results, resultsFailed             *obs.Counter
	configsSent, configRefused, broken *obs.Counter
	commandsSent, modesSent            *obs.Counter
	replaced, revoked, withdrawn       *obs.Counter
	fillFailed, leaseLost              *obs.Counter
}

// New returns a gateway that does not yet listen.
func New(cfg Config, deps Deps) *Gateway {
	var start [4]byte
	rand.Read(start[:]) // never fails (crypto/rand, Go 1.24)
	g := &Gateway{
		cfg: cfg, deps: deps, id: cfg.Name + "-" + hex.EncodeToString(start[:]), started: deps.Now(),
		nodes: map[event.NodeID]*node{}, book: command.NewBook(deps.Keys), set: config.NewSet(nil, nil),
		scopes: map[string]etcd.Item{}, credit: credit{priority: true, bulk: true},
	}
	g.held = deps.Authority.Gateway(g.id)
	g.register(deps.Metrics)
	return g
}

func (g *Gateway) register(r *obs.Registry) {
	c := &g.count
	sent := func(what string) *obs.Counter {
		return r.Counter("hauberk_gateway_orders_sent_total", "kind="+what, "Orders sent to nodes.")
	}
	failed := func(topic string) *obs.Counter {
		return r.Counter("hauberk_gateway_publish_failures_total", "topic="+topic, "Records the bus did not take.")
	}
	published := func(topic string) *obs.Counter {
		return r.Counter("hauberk_gateway_published_total", "topic="+topic, "Records the bus took.")
	}
	c.published, c.publishFailed = published("events"), failed("events")
	c.presence, c.presenceFailed = published("presence"), failed("presence")
	c.results, c.resultsFailed = published("results"), failed("results")
	c.configsSent, c.commandsSent, c.modesSent = sent("config"), sent("command"), sent("mode")
	c.configRefused = r.Counter("hauberk_gateway_configs_refused_total", "", "Configs that a node refused.")
	c.broken = r.Counter("hauberk_gateway_entries_broken_total", "", "Entries of etcd that make no sense.")
	c.replaced = r.Counter("hauberk_gateway_connections_replaced_total", "", "Connections given up because their node connected again.")
	c.revoked = r.Counter("hauberk_gateway_revocations_total", "", "Live connections closed because their node was revoked.")
	c.withdrawn = r.Counter("hauberk_gateway_credit_withdrawn_total", "", "Times that credit was withdrawn from the nodes.")
	c.fillFailed = r.Counter("hauberk_gateway_bus_fill_failures_total", "", "Times the bus did not say how full it is.")
	c.leaseLost = r.Counter("hauberk_gateway_leases_lost_total", "", "Times the gateway was taken for dead although it was not.")
	r.Gauge("hauberk_gateway_nodes", "", "Nodes connected.", func() uint64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return uint64(len(g.nodes))
	})
	r.Gauge("hauberk_gateway_ingest_stopped", "", "1 while nodes may not send bulk events.", func() uint64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.credit.bulk {
			return 0
		}
		return 1
	})
}

// ID returns the gateway's id, which is new at every start.
func (g *Gateway) ID() string { return g.id }

// handler is the face of a Gateway towards link.Server.
type handler struct{ *Gateway }

// Run serves nodes until the context ends:
//
//  1. (sequential) read what etcd says and begin to watch it; fetch ticket
//     keys; listen
//  2. (parallel) serve: one goroutine per connection, in package link
//  3. (parallel) watch fleet/ (config, commands, modes), enrolments/,
//     gateways/ and the ticket keys
//  4. (parallel, every one or two seconds) credit; commands whose time has
//     come
//  5. (parallel) keep the gateway's lease and summary
//  6. (sequential) drain, then end
func (g *Gateway) Run(ctx context.Context) error {
	tickets := newTickets(g)
	tlsConfig := link.ServerTLS(g.held.Certificate)
	if err := tickets.load(ctx, tlsConfig); err != nil {
		return err
	}
	server, err := link.NewServer(link.ServerConfig{
		TLS: tlsConfig, Roots: g.deps.Authority.Pool, Admit: newBucket(g.cfg.Handshakes).admit,
		Gateway: g.id, Heartbeat: g.cfg.Heartbeat, Now: g.deps.Now, Log: g.deps.Log, Metrics: g.deps.Metrics,
	}, handler{g})
	if err != nil {
		return err
	}
	g.meter(ctx)
	group, _ := run.NewGroup(ctx)
	known := make(chan struct{}, 3) // one token from each watch that must be up first
	group.Go("watch fleet", func(ctx context.Context) error { return g.watchFleet(ctx, once(known)) })
	group.Go("watch enrolments", func(ctx context.Context) error { return g.watchEnrolments(ctx, once(known)) })
	group.Go("watch gateways", func(ctx context.Context) error { return g.watchGateways(ctx, once(known)) })
	group.Go("rotate ticket keys", func(ctx context.Context) error { return tickets.run(ctx, tlsConfig) })
	group.Go("serve nodes", func(ctx context.Context) error {
		for range cap(known) {
			select {
			case <-known:
			case <-ctx.Done():
				return nil
			}
		}
		return g.serve(ctx, server)
	})
	return group.Wait()
}

// once returns a function that puts one token at its first call.
func once(c chan<- struct{}) func() {
	return sync.OnceFunc(func() { c <- struct{}{} })
}

// serve listens, and ends its own way: first out of the list of gateways,
// then the nodes, then the connections.
func (g *Gateway) serve(ctx context.Context, server *link.Server) error {
	l, err := net.Listen("tcp", g.cfg.Listen)
	if err != nil {
		return err
	}
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, inner := run.NewGroup(inner)
	group.Go("serve", func(ctx context.Context) error { return server.Serve(ctx, l) })
	leaseCtx, endLease := context.WithCancel(inner)
	defer endLease()
	listed := make(chan struct{})
	group.Go("keep lease", func(context.Context) error { return g.keepLease(leaseCtx, sync.OnceFunc(func() { close(listed) })) })
	group.Go("meter", every(meterEvery, g.meter))
	group.Go("watch the clock", every(clockEvery, func(context.Context) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.sendDue()
	}))
	group.Go("leave", func(inner context.Context) error {
		select {
		case <-ctx.Done():
		case <-inner.Done():
		}
		endLease()
		g.drain(inner)
		stop()
		return nil
	})
	select {
	case <-listed:
		g.deps.Log.Info("gateway ready", "id", g.id, "address", l.Addr())
		if g.deps.Ready != nil {
			g.deps.Ready(l.Addr())
		}
	case <-inner.Done():
	}
	return group.Wait()
}

// drain sends the nodes away one after the other.
func (g *Gateway) drain(ctx context.Context) {
	g.mu.Lock()
	g.leaving = true
	nodes := make([]*node, 0, len(g.nodes))
	for _, n := range g.nodes {
		nodes = append(nodes, n)
	}
	g.mu.Unlock()
	if g.cfg.Drain == 0 || len(nodes) == 0 {
		return // link.Server sends them all away at its end
	}
	g.deps.Log.Info("sending nodes away", "nodes", len(nodes), "within", g.cfg.Drain)
	pause := g.cfg.Drain / time.Duration(len(nodes))
	for _, n := range nodes {
		n.conn.Goaway(link.Reason_REASON_SHUTDOWN, "this gateway ends", 0)
		if run.Sleep(ctx, pause) != nil {
			return
		}
	}
}

const (
	// clockEvery is how often the gateway looks for commands whose time has
	// come, by the wall clock; one that jumps needs no further care.
	clockEvery = time.Second
	// meterEvery is how often it looks for room: a disk fills at 1 GB/s at
	// most, and asking the bus costs six requests.
	meterEvery = 2 * time.Second
)

// every calls f at that pace until the context ends.
func every(pace time.Duration, f func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error {
		t := time.NewTicker(pace)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
				f(ctx)
			}
		}
	}
}

// commandKeys returns the public keys as nodes pin them.
func (g *Gateway) commandKeys() [][]byte {
	out := make([][]byte, len(g.deps.Keys))
	for i, k := range g.deps.Keys {
		out[i] = []byte(ed25519.PublicKey(k))
	}
	return out
}
