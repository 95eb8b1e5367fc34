package control

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/enrol"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/gateway"
	"github.com/hauberk/hauberk/control/internal/vault"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
)

// Bus is what the gateway needs of the bus; *bus.Client is one.
type Bus = gateway.Bus

// Deps is what the gateway role needs from its process. All but Bus may be
// zero.
type Deps struct {
	Bus Bus
	// Ingest is asked every 2 s whether there is room for events, and if not,
	// why: then nodes may send none and spool. Nil: there always is.
	Ingest func() (ok bool, reason string)
	// Ready is called once nodes can connect, with the address.
	Ready   func(net.Addr)
	Version string // of the program
	Log     *slog.Logger
	Metrics *obs.Registry
	Now     func() time.Time
}

// Gateway is the gateway role. Make it with New.
type Gateway struct {
	cfg  Config
	deps Deps
}

// New validates the config and returns a gateway that does not yet run.
func New(c Config, deps Deps) (*Gateway, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("gateway config: %w", err)
	}
	if deps.Ingest == nil {
		deps.Ingest = func() (bool, string) { return true, "" }
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = &obs.Registry{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Gateway{c, deps}, nil
}

// Run serves nodes until the context ends: it connects to etcd, opens the
// authority (making it at the first start), and runs the gateway, whose own
// steps are in package gateway.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

func (g *Gateway) run(ctx context.Context) error {
	d := g.deps
	client, err := etcd.Dial(ctx, g.cfg.Etcd, d.Log)
	if err != nil {
		return err
	}
	defer client.Close()
	v, err := vault.Open(ctx, client, g.cfg.SealingKey)
	if err != nil {
		return err
	}
	authority, err := ca.Open(ctx, v, g.cfg.Domain, d.Now)
	if err != nil {
		return err
	}
	key, err := ca.CommandKey(ctx, v)
	if err != nil {
		return err
	}
	keys, err := fleet.ParseKeys([][]byte{ca.Public(key)})
	if err != nil {
		return err
	}
	return gateway.New(gateway.Config{
		Listen: g.cfg.Listen, Advertise: g.cfg.Advertise, Name: g.cfg.Name, Version: d.Version,
		Heartbeat: g.cfg.Heartbeat, Handshakes: g.cfg.Handshakes, MaxBackoff: g.cfg.MaxBackoff,
		PresenceEvery: g.cfg.PresenceEvery, Drain: g.cfg.Drain,
	}, gateway.Deps{
		Client: client, Vault: v, Authority: authority, Keys: keys,
		Registry: enrol.New(client, authority, d.Now, d.Log, d.Metrics),
		Bus:      d.Bus, Ingest: d.Ingest, Ready: d.Ready, Now: d.Now, Log: d.Log, Metrics: d.Metrics,
	}).Run(ctx)
}
