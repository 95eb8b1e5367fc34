package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control/internal/enrol"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// node is a connection. It must stay small: tens of thousands of them are
// most of a gateway's memory.
type node struct {
	g    *Gateway
	conn *link.Conn
	who  atomic.Pointer[identity] // nil while the node joins
	// gone: revoked or replaced. What it still sends is not taken.
	gone  atomic.Bool
	heard atomic.Int64 // Unix ns
	wants string       // hash of the config last sent, or that the node came with; under Gateway.mu

	mu   sync.Mutex
	said said
	news *fleet.Enrolment // that came in while the node joined, with its revision
	rev  int64
}

// identity is what the enrolment says of a node; never changed, only
// replaced.
type identity struct {
	fleet.Subject
	host     *event.Host
	revision int64
}

// said is what the node said of itself last.
type said struct {
	since, published               int64 // Unix ns
	os, kernel, arch, version      string
	configHash, effective, refusal string
	configVersion, epoch, backlog  uint64
	incarnation                    uint32
	stopped                        bool
	condition                      uint64 // hash of what a status says beside counters
}

// intern returns an equal string that all connections share.
func intern(s string) string { return unique.Make(s).Value() }

// acceptPatience bounds how long a node waits for etcd.
const acceptPatience = 5 * time.Second

// Enrol implements link.Handler.
func (g handler) Enrol(ctx context.Context, from netip.AddrPort, q *link.EnrolRequest) (*link.Enrolled, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptPatience)
	defer cancel()
	e, chain, err := g.deps.Registry.Enrol(ctx, q)
	if err != nil {
		g.deps.Log.Warn("enrolment refused", "remote", from, "host", clean(q.Host), "cause", err)
		return nil, err
	}
	return &link.Enrolled{
		Node: e.Node, Tenant: e.Tenant, Chain: chain, Roots: g.deps.Authority.Roots(),
		CommandKeys: g.commandKeys(), Gateways: g.gatewaysFor(event.NodeID(e.Node)), Labels: e.Labels,
	}, nil
}

// clean cuts what a stranger says to what a log can bear.
func clean(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }

// Renew implements link.Handler.
func (g handler) Renew(ctx context.Context, id link.Identity, held *x509.Certificate, q *link.RenewRequest) (*link.Renewed, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptPatience)
	defer cancel()
	chain, err := g.deps.Registry.Renew(ctx, id, held, q)
	if err != nil {
		return nil, err
	}
	return &link.Renewed{Chain: chain, Roots: g.deps.Authority.Roots()}, nil
}

// Accept implements link.Handler. The node stands in the table before its
// enrolment is read, so that a revocation in between is not missed.
func (g handler) Accept(ctx context.Context, c *link.Conn, h *link.Hello) (*link.Welcome, link.Node, error) {
	id := c.Identity()
	now := g.deps.Now().UnixNano()
	n := &node{g: g.Gateway, conn: c, wants: h.ConfigHash}
	n.heard.Store(now)
	n.said = said{
		since: now, os: intern(h.Os), kernel: intern(h.Kernel), arch: intern(h.Arch), version: intern(h.Version),
		configHash: h.ConfigHash, configVersion: h.ConfigVersion, epoch: h.ModeEpoch, stopped: h.Stopped, backlog: h.Backlog,
		incarnation: h.Incarnation, condition: conditionOf(h.Status),
	}
	old := g.insert(id.Node, n)
	ctx, cancel := context.WithTimeout(ctx, acceptPatience)
	defer cancel()
	e, revision, err := g.deps.Registry.Admitted(ctx, id)
	if err == nil {
		err = n.join(e, revision)
	}
	if err != nil {
		if g.remove(id.Node, n) && old != nil {
			old.publish(fleet.PresenceState_PRESENCE_STATE_OFFLINE, "connected again, but was refused", nil)
		}
		return nil, nil, err
	}
	n.publish(fleet.PresenceState_PRESENCE_STATE_ONLINE, "", h.Status)
	who := n.who.Load()
	return &link.Welcome{
		Credits: g.credits(), Gateways: g.gatewaysFor(id.Node), Labels: who.Labels,
		MaxBackoff: uint32(g.cfg.MaxBackoff.Milliseconds()), Time: g.deps.Now().UnixNano(),
	}, n, nil
}

// insert puts a node into the table; an older connection of the same node is
// sent away and returned.
func (g *Gateway) insert(id event.NodeID, n *node) (old *node) {
	g.mu.Lock()
	old = g.nodes[id]
	g.nodes[id] = n
	g.mu.Unlock()
	if old != nil {
		g.count.replaced.Inc()
		old.gone.Store(true)
		old.conn.Goaway(link.Reason_REASON_REPLACED, "this node connected again", 0)
	}
	return old
}

// remove takes a node out of the table and reports whether it was in it.
func (g *Gateway) remove(id event.NodeID, n *node) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nodes[id] != n {
		return false
	}
	delete(g.nodes, id)
	return true
}

// join makes the enrolment count, or a newer one that came in meanwhile, and
// sends what the control plane wants of the node.
func (n *node) join(e *fleet.Enrolment, revision int64) error {
	g := n.g
	g.mu.Lock()
	defer g.mu.Unlock()
	n.mu.Lock()
	if n.news != nil && n.rev > revision {
		e, revision = n.news, n.rev
	}
	n.news = nil
	n.mu.Unlock()
	if e.Revoked {
		return enrol.Revocation(e)
	}
	n.who.Store(g.identify(e, revision))
	g.brief(n)
	return nil
}

// identify makes the identity an enrolment gives.
func (g *Gateway) identify(e *fleet.Enrolment, revision int64) *identity {
	i := &identity{revision: revision}
	i.Subject = fleet.Subject{
		ID: event.NodeID(e.Node), Tenant: intern(e.Tenant), Kind: intern(e.Kind), Host: e.Host, Labels: g.labels.share(e.Labels),
	}
	i.host = &event.Host{Name: i.Host, Labels: i.Labels}
	return i
}

// Batch implements link.Node.
func (n *node) Batch(in *link.Inbound) {
	if n.gone.Load() {
		return // not acknowledged: the node keeps it
	}
	n.heard.Store(n.g.deps.Now().UnixNano())
	who := n.who.Load()
	record, err := in.Record(who.host)
	if err != nil {
		in.Done(err)
		return
	}
	// Without the connection's context: what the bus may have must be
	// acknowledged if it can be.
	n.g.deps.Bus.PublishAsync(context.Background(), bus.Message{Topic: bus.Events, Key: who.ID[:], Value: record}, func(err error) {
		if err != nil {
			n.g.count.publishFailed.Inc()
		} else {
			n.g.count.published.Inc()
		}
		in.Done(err)
	})
}

// Status implements link.Node.
func (n *node) Status(s *link.Status) {
	if n.gone.Load() {
		return
	}
	now := n.g.deps.Now().UnixNano()
	n.heard.Store(now)
	n.mu.Lock()
	d := &n.said
	condition := d.condition
	if s.Status != nil {
		condition = conditionOf(s.Status)
	}
	changed := d.epoch != s.ModeEpoch || d.stopped != s.Stopped || d.configHash != s.ConfigHash || d.condition != condition
	d.epoch, d.stopped, d.configVersion, d.backlog, d.condition = s.ModeEpoch, s.Stopped, s.ConfigVersion, s.Backlog, condition
	if d.configHash != s.ConfigHash {
		d.configHash = s.ConfigHash
	}
	// A clock that went back is due too.
	due := now-d.published >= int64(n.g.cfg.PresenceEvery) || now < d.published
	n.mu.Unlock()
	if changed || due {
		n.publish(fleet.PresenceState_PRESENCE_STATE_ONLINE, "", s.Status)
	}
}

// ConfigResult implements link.Node.
func (n *node) ConfigResult(r *link.ConfigResult) {
	if n.gone.Load() {
		return
	}
	n.mu.Lock()
	n.said.refusal = r.Error
	n.said.effective = r.EffectiveHash
	if r.Error == "" {
		n.said.configHash, n.said.configVersion = r.Hash, r.Version
	} else {
		n.g.count.configRefused.Inc()
	}
	n.mu.Unlock()
	n.publish(fleet.PresenceState_PRESENCE_STATE_ONLINE, "", nil)
}

// maxCommandID bounds the command a result names, in bytes.
const maxCommandID = 64

// Result implements link.Node. Node and tenant are set already.
func (n *node) Result(r *fleet.CommandResult) {
	if n.gone.Load() || len(r.Command) > maxCommandID {
		return
	}
	r.Host = n.who.Load().Host
	if r.Time == 0 {
		r.Time = n.g.deps.Now().UnixNano()
	}
	value, err := r.MarshalVT()
	if err != nil {
		n.g.count.resultsFailed.Inc()
		return
	}
	c := &n.g.count
	n.g.deps.Bus.PublishAsync(context.Background(), bus.Message{Topic: bus.Results, Key: []byte(r.Command), Value: value}, counted(c.results, c.resultsFailed))
}

// Closed implements link.Node.
func (n *node) Closed(err error) {
	g := n.g
	if !g.remove(n.conn.Identity().Node, n) || n.gone.Load() {
		return // replaced or revoked: said already
	}
	g.mu.Lock()
	leaving := g.leaving
	g.mu.Unlock()
	if leaving {
		return // the gateway ends: its nodes are unknown until they return
	}
	n.publish(fleet.PresenceState_PRESENCE_STATE_OFFLINE, reasonOf(err), nil)
}

// reasonOf says why a connection ended, for people.
func reasonOf(err error) string {
	var refusal *link.Refusal
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return "connection closed"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent for 2.5 heartbeats"
	case errors.As(err, &refusal) && refusal.Reason == link.Reason_REASON_SHUTDOWN:
		return "node shut down"
	case errors.Is(err, link.ErrProtocol):
		return "cut off: " + clean(err.Error())
	default:
		return "connection lost: " + clean(err.Error())
	}
}
