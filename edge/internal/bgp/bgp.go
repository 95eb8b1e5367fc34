// Package bgp tells routers which addresses this balancer serves: the VIPs
// that have a quorum, and the blocks of local addresses. It speaks BGP by GoBGP,
// takes no routes, and withdraws an address the moment it is no longer wanted.
package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"github.com/hauberk/hauberk/internal/conf"
)

// Config is the key bgp of edge.yaml. Without an ASN there is no BGP.
type Config struct {
	ASN      uint32     `yaml:"asn"`
	RouterID netip.Addr `yaml:"router_id"` // an IPv4 address of this balancer
	// Port to listen on; 0: the balancer calls its neighbours and is not called.
	Port      uint16     `yaml:"port"`
	Neighbors []Neighbor `yaml:"neighbors"`
	NextHop   NextHops   `yaml:"next_hop"`
	// Communities go with every route, as 65000:80.
	Communities []string `yaml:"communities"`
	// MED and LocalPreference put a cluster before or behind another one.
	MED             *uint32 `yaml:"med"`
	LocalPreference *uint32 `yaml:"local_preference"`
	// GracefulRestart is how long routers keep the routes when the process is gone:
	// the data plane goes on. 0: not at all. At most 4095 s (RFC 4724, section 3).
	GracefulRestart time.Duration `yaml:"graceful_restart"`
	// Maintenance withdraws the VIPs; local addresses stay, so sessions live on.
	Maintenance bool `yaml:"maintenance"`
}

// Neighbor is a router.
type Neighbor struct {
	Address  netip.Addr  `yaml:"address"`
	ASN      uint32      `yaml:"asn"`
	Port     uint16      `yaml:"port"` // 0: 179
	Password conf.Secret `yaml:"password"`
	// BFD is the interval of liveness packets; three lost are an end. 0: none.
	BFD time.Duration `yaml:"bfd"`
}

// NextHops are told with the routes; empty: the balancer's end of the session.
type NextHops struct {
	V4 netip.Addr `yaml:"v4"`
	V6 netip.Addr `yaml:"v6"`
}

// Enabled says whether there is BGP at all.
func (c *Config) Enabled() bool { return c.ASN != 0 }

// bfdMultiplier packets may be lost. Below minBFD a busy machine flaps.
const (
	bfdMultiplier = 3
	minBFD        = 50 * time.Millisecond
	maxRestart    = 4095 * time.Second
)

// Validate adds all problems.
func (c *Config) Validate(p *conf.Problems) {
	if !c.Enabled() {
		if len(c.Neighbors) > 0 {
			p.Addf("bgp.asn: must not be empty where there are neighbors")
		}
		return
	}
	if !c.RouterID.Is4() || c.RouterID.IsUnspecified() {
		p.Addf("bgp.router_id: %q is no IPv4 address", c.RouterID)
	}
	if len(c.Neighbors) == 0 {
		p.Addf("bgp.neighbors: name at least one")
	}
	seen := map[netip.Addr]bool{}
	for i, n := range c.Neighbors {
		if !n.Address.IsValid() || n.ASN == 0 || seen[n.Address] {
			p.Addf("bgp.neighbors[%d]: address %q or asn %d is missing, or the address was there before", i, n.Address, n.ASN)
		}
		seen[n.Address] = true
		if n.BFD != 0 {
			p.DurationBetween(fmt.Sprintf("bgp.neighbors[%d].bfd", i), n.BFD, minBFD, time.Minute)
		}
	}
	if _, err := communities(c.Communities); err != nil {
		p.Addf("bgp.communities: %v", err)
	}
	if c.NextHop.V4.IsValid() && !c.NextHop.V4.Is4() || c.NextHop.V6.IsValid() && !c.NextHop.V6.Is6() {
		p.Addf("bgp.next_hop: an address is of the other family")
	}
	if c.GracefulRestart%time.Second != 0 {
		p.Addf("bgp.graceful_restart: %s is not in whole seconds", c.GracefulRestart)
	}
	p.DurationBetween("bgp.graceful_restart", c.GracefulRestart, 0, maxRestart)
}

// communities reads 65000:80 and the like (RFC 1997).
func communities(text []string) ([]uint32, error) {
	var out []uint32
	for _, t := range text {
		high, low, ok := strings.Cut(t, ":")
		h, err := strconv.ParseUint(high, 10, 16)
		l, err2 := strconv.ParseUint(low, 10, 16)
		if !ok || err != nil || err2 != nil {
			return nil, fmt.Errorf("%q is not two numbers up to 65535 with a colon between them", t)
		}
		out = append(out, uint32(h)<<16|uint32(l))
	}
	return out, nil
}

// A Speaker announces. Make one with Start.
type Speaker struct {
	cfg    Config
	server *server.BgpServer

	mu    sync.Mutex
	paths map[netip.Prefix]*apiutil.Path
}

// Start starts BGP and calls the neighbours.
func Start(ctx context.Context, c Config, log *slog.Logger) (*Speaker, error) {
	level := &slog.LevelVar{}
	level.Set(slog.LevelWarn)
	s := &Speaker{cfg: c, paths: map[netip.Prefix]*apiutil.Path{}, server: server.NewBgpServer(server.LoggerOption(log, level))}
	go s.server.Serve() // ends with Stop
	port := int32(c.Port)
	if port == 0 {
		port = -1
	}
	if err := s.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{Asn: c.ASN, RouterId: c.RouterID.String(), ListenPort: port}}); err != nil {
		return nil, fmt.Errorf("start BGP: %w", err)
	}
	for i := range c.Neighbors {
		if err := s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: c.peer(&c.Neighbors[i])}); err != nil {
			return nil, errors.Join(fmt.Errorf("add neighbor %s: %w", c.Neighbors[i].Address, err), s.Stop(ctx))
		}
	}
	return s, nil
}

// peer is a neighbour as GoBGP is told.
func (c *Config) peer(n *Neighbor) *api.Peer {
	p := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: n.Address.String(), PeerAsn: n.ASN, AuthPassword: string(n.Password)},
		Transport: &api.Transport{RemotePort: uint32(n.Port)},
		Timers:    &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1, IdleHoldTimeAfterReset: 1, HoldTime: 9, KeepaliveInterval: 3}},
	}
	restart := c.GracefulRestart > 0
	if restart {
		p.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: uint32(c.GracefulRestart / time.Second)}
	}
	for _, family := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		p.AfiSafis = append(p.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: family, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: restart}},
		})
	}
	if n.BFD > 0 {
		every := uint32(n.BFD / time.Microsecond)
		p.Bfd = &api.BfdPeerConfig{Enabled: true, DesiredMinimumTxInterval: every, RequiredMinimumReceive: every, DetectionMultiplier: bfdMultiplier}
	}
	return p
}

// Announce makes the routes exactly those wanted. What failed is tried again
// with the next call.
func (s *Speaker) Announce(wanted []netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bad []error
	for prefix, path := range s.paths {
		if slices.Contains(wanted, prefix) {
			continue
		}
		if err := s.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}}); err != nil {
			bad = append(bad, fmt.Errorf("withdraw %s: %w", prefix, err))
			continue
		}
		delete(s.paths, prefix)
	}
	for _, prefix := range wanted {
		if s.paths[prefix] != nil {
			continue
		}
		path, err := s.cfg.path(prefix)
		if err == nil {
			_, err = s.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("announce %s: %w", prefix, err))
			continue
		}
		s.paths[prefix] = path
	}
	return errors.Join(bad...)
}

// path is a route as GoBGP is told.
func (c *Config) path(prefix netip.Prefix) (*apiutil.Path, error) {
	nlri, err := bgp.NewIPAddrPrefix(prefix)
	if err != nil {
		return nil, err
	}
	attrs := []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(bgp.BGP_ORIGIN_ATTR_TYPE_IGP)}
	family := bgp.RF_IPv4_UC
	if prefix.Addr().Is4() {
		hop := c.NextHop.V4
		if !hop.IsValid() {
			hop = netip.IPv4Unspecified() // this end of each session
		}
		a, err := bgp.NewPathAttributeNextHop(hop)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	} else {
		family = bgp.RF_IPv6_UC
		hop := c.NextHop.V6
		if !hop.IsValid() {
			hop = netip.IPv6Unspecified()
		}
		a, err := bgp.NewPathAttributeMpReachNLRI(family, []bgp.PathNLRI{{NLRI: nlri}}, hop)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	list, err := communities(c.Communities)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		attrs = append(attrs, bgp.NewPathAttributeCommunities(list))
	}
	if c.MED != nil {
		attrs = append(attrs, bgp.NewPathAttributeMultiExitDisc(*c.MED))
	}
	if c.LocalPreference != nil {
		attrs = append(attrs, bgp.NewPathAttributeLocalPref(*c.LocalPreference))
	}
	return &apiutil.Path{Family: family, Nlri: nlri, Attrs: attrs}, nil
}

// Neighbors are the states of the sessions by address: "established" and so on.
func (s *Speaker) Neighbors(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := s.server.ListPeer(ctx, &api.ListPeerRequest{}, func(p *api.Peer) {
		word := strings.ToLower(strings.TrimPrefix(p.GetState().GetSessionState().String(), "SESSION_STATE_"))
		out[p.GetConf().GetNeighborAddress()] = word
	})
	return out, err
}

// Routes are what is announced, sorted.
func (s *Speaker) Routes() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []netip.Prefix
	for p := range s.paths {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Stop ends all sessions with a notification: routers forget the routes at
// once. A process that ends without it leaves them to graceful restart.
func (s *Speaker) Stop(ctx context.Context) error {
	if err := s.server.StopBgp(ctx, &api.StopBgpRequest{}); err != nil {
		return fmt.Errorf("stop BGP: %w", err)
	}
	s.server.Stop()
	return nil
}
