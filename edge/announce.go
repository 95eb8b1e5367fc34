package edge

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hauberk/hauberk/edge/internal/bgp"
	"github.com/hauberk/hauberk/edge/internal/plane"
)

// startBGP calls the neighbours, if there are any. Nothing is announced before
// the first state is applied.
func (e *Edge) startBGP(ctx context.Context) error {
	if !e.cfg.BGP.Enabled() {
		return nil
	}
	// Not with ctx: the sessions end after everything else, and in their own way.
	s, err := bgp.Start(context.WithoutCancel(ctx), e.cfg.BGP, e.deps.Log)
	if err != nil {
		return err
	}
	e.speaker = s
	return nil
}

// stopBGP takes the routes back, unless the data plane goes on and routers
// were asked to keep them: then the sessions end with the process.
func (e *Edge) stopBGP() error {
	if e.speaker == nil || e.cfg.KeepAttached && e.cfg.BGP.GracefulRestart > 0 {
		return nil
	}
	return e.speaker.Stop(context.Background())
}

// announce makes the routes fit what was applied.
func (e *Edge) announce() error {
	if e.speaker == nil {
		return nil
	}
	if err := e.speaker.Announce(e.planner.routes(&e.cfg)); err != nil {
		return fmt.Errorf("announce by BGP: %w", err)
	}
	return nil
}

// routes are the addresses of which at least one VIP serves, or has a sorry
// server, and the local blocks. In maintenance the blocks alone: the sessions
// there are live on, new ones go to other balancers.
func (p *planner) routes(c *Config) []netip.Prefix {
	var out []netip.Prefix
	seen := map[netip.Prefix]bool{}
	add := func(r netip.Prefix) {
		if r.IsValid() && !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	for i := range c.VIPs {
		v := &c.VIPs[i]
		if !c.BGP.Maintenance && (p.serving[v.key()] || v.Sorry != nil) {
			add(netip.PrefixFrom(v.Address, v.Address.BitLen()))
		}
		if plane.Mode(v.Mode) == plane.FullNAT {
			add(c.Local.V4)
			add(c.Local.V6)
		}
	}
	return out
}
