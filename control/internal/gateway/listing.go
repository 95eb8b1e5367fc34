package gateway

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/link"
)

const (
	// leaseTTL makes a dead gateway known within 5 s: etcd looks for expired
	// leases every half second.
	leaseTTL = 4 * time.Second
	// summaryEvery is how often the summary is written if it changed: with a
	// thousand gateways etcd then has 200 writes a second. What an operator
	// waits for (the first node, ingest that stops) is written within
	// urgentEvery.
	summaryEvery = 5 * time.Second
	urgentEvery  = 250 * time.Millisecond
	leaseRetry   = 500 * time.Millisecond
)

// keepLease keeps the gateway in the list of living ones until the context
// ends, and then takes it out.
func (g *Gateway) keepLease(ctx context.Context, listed func()) error {
	for ctx.Err() == nil {
		err := g.holdLease(ctx, listed)
		if ctx.Err() != nil {
			return nil
		}
		g.count.leaseLost.Inc()
		g.deps.Log.Warn("gateway left the list of the living; entering again", "cause", err)
		if run.Sleep(ctx, leaseRetry) != nil {
			return nil
		}
	}
	return nil
}

// holdLease enters the list and stays in it until the lease is lost.
func (g *Gateway) holdLease(ctx context.Context, listed func()) error {
	c := g.deps.Client
	grantCtx, cancel := context.WithTimeout(ctx, leaseTTL)
	defer cancel()
	lease, err := c.Grant(grantCtx, int64(leaseTTL/time.Second))
	if err != nil {
		return fmt.Errorf("get lease: %w", err)
	}
	defer func() {
		// On the way out: the others need not wait for the lease to expire.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Revoke(ctx, lease.ID)
	}()
	alive, err := c.KeepAlive(ctx, lease.ID)
	if err != nil {
		return fmt.Errorf("keep lease: %w", err)
	}
	var written []byte
	last := &fleet.Gateway{}
	write := func(urgent bool) error {
		now := g.summary()
		if urgent && now.IngestStopped == last.IngestStopped && (now.Nodes == 0) == (last.Nodes == 0) {
			return nil
		}
		value, err := now.MarshalVT()
		if err != nil || bytes.Equal(value, written) {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, leaseTTL)
		defer cancel()
		if _, err := c.Put(ctx, keyspace.Gateway(g.id), string(value), clientv3.WithLease(lease.ID)); err != nil {
			return fmt.Errorf("write summary: %w", err)
		}
		written, last = value, now
		return nil
	}
	if err := write(false); err != nil {
		return err
	}
	listed()
	regular, urgent := time.NewTicker(summaryEvery), time.NewTicker(urgentEvery)
	defer regular.Stop()
	defer urgent.Stop()
	for {
		select {
		case _, ok := <-alive:
			if !ok {
				return fmt.Errorf("lease %x ended", lease.ID)
			}
		case <-regular.C:
			if err := write(false); err != nil {
				return err
			}
		case <-urgent.C:
			if err := write(true); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// summary is what the list says of this gateway.
func (g *Gateway) summary() *fleet.Gateway {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &fleet.Gateway{
		Id: g.id, Name: g.cfg.Name, Address: g.cfg.Advertise, Nodes: uint32(len(g.nodes)), Version: g.cfg.Version,
		Started: g.started.UnixNano(), Load: load(), IngestStopped: !g.credit.bulk, IngestReason: g.credit.reason,
	}
}

// load returns the load of a minute for each core, in tenths: finer steps
// would only write to etcd.
func load() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return float64(int(10*v/float64(runtime.NumCPU()))) / 10
}

func decode(value []byte) (*fleet.Gateway, error) {
	s := &fleet.Gateway{}
	return s, s.UnmarshalVT(value)
}

// List returns the gateways that are alive, in order of id.
func List(ctx context.Context, c *clientv3.Client) ([]*fleet.Gateway, error) {
	var out []*fleet.Gateway
	_, err := etcd.List(ctx, c, keyspace.Gateways, func(i etcd.Item) error {
		s, err := decode(i.Value)
		if err != nil {
			return fmt.Errorf("read %s: %w", i.Key, err)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

// Watch hands the gateways that are alive to use, at first and at every
// change, until the context ends.
func Watch(ctx context.Context, c *clientv3.Client, log *slog.Logger, use func([]*fleet.Gateway)) error {
	return etcd.Mirror(ctx, c, log, keyspace.Gateways, decode, use)
}

// watchGateways keeps the addresses that nodes are told.
func (g *Gateway) watchGateways(ctx context.Context, known func()) error {
	return Watch(ctx, g.deps.Client, g.deps.Log, func(all []*fleet.Gateway) {
		var peers []string
		for _, s := range all {
			if s.Address != "" && s.Id != g.id {
				peers = append(peers, s.Address)
			}
		}
		if g.cfg.Advertise != "" {
			peers = append(peers, g.cfg.Advertise)
		}
		g.mu.Lock()
		g.peers = peers
		g.mu.Unlock()
		known()
	})
}

// gatewaysFor returns where a node shall connect next time, best first; empty
// if it shall go where it always does.
func (g *Gateway) gatewaysFor(node event.NodeID) []string {
	g.mu.Lock()
	peers := g.peers
	g.mu.Unlock()
	return link.Rank(node, peers)
}

// credits are the windows of a Welcome.
func (g *Gateway) credits() []*link.Credit {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.credit.windows()
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
