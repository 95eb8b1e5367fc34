package gateway

import (
	"context"
	"errors"
	"strings"

	"github.com/hauberk/hauberk/control/internal/command"
	"github.com/hauberk/hauberk/control/internal/config"
	"github.com/hauberk/hauberk/control/internal/enrol"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// watchFleet keeps config, commands and modes, and tells nodes of changes.
func (g *Gateway) watchFleet(ctx context.Context, known func()) error {
	return etcd.Follow(ctx, g.deps.Client, g.deps.Log, keyspace.Fleet, func(items []etcd.Item) error {
		g.mu.Lock()
		g.book.Clear()
		clear(g.scopes)
		g.apply(items)
		for _, n := range g.nodes {
			g.brief(n)
		}
		g.mu.Unlock()
		known()
		return nil
	}, func(items []etcd.Item) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		configured, mode := g.apply(items)
		if configured {
			for _, n := range g.nodes {
				g.sendConfig(n)
			}
		}
		if mode != nil {
			g.broadcast(mode)
		}
		g.sendDue()
		return nil
	})
}

// apply notes changes; it reports whether the configuration changed, and the
// newest mode among them.
func (g *Gateway) apply(items []etcd.Item) (configured bool, mode *command.Order) {
	for _, i := range items {
		if strings.HasPrefix(i.Key, keyspace.Configs) {
			scope := keyspace.ScopeOf(i.Key)
			if i.Value == nil {
				delete(g.scopes, scope)
			} else if old, ok := g.scopes[scope]; !ok || old.Key <= i.Key {
				g.scopes[scope] = i
			}
			configured = true
			continue
		}
		m, err := g.book.Apply(i)
		if err != nil {
			g.brokenEntry(i.Key, err)
		}
		if m != nil && (mode == nil || m.Epoch > mode.Epoch) {
			mode = m
		}
	}
	if configured {
		newest := make([]etcd.Item, 0, len(g.scopes))
		for _, i := range g.scopes {
			newest = append(newest, i)
		}
		g.set = config.NewSet(newest, g.brokenEntry)
	}
	return configured, mode
}

func (g *Gateway) brokenEntry(key string, err error) {
	g.count.broken.Inc()
	g.deps.Log.Error("entry of etcd left out", "key", key, "cause", err)
}

// brief tells a node everything: mode, config, running commands. A node that
// knows some of it already takes it once.
func (g *Gateway) brief(n *node) {
	who := n.who.Load()
	if who == nil {
		return // still joining: join will
	}
	if m := g.book.Mode(&who.Subject); m != nil {
		g.count.modesSent.Inc()
		n.conn.Send(m.Encoded)
	}
	g.sendConfig(n)
	for _, o := range g.book.Running(g.deps.Now(), &who.Subject) {
		g.count.commandsSent.Inc()
		n.conn.Send(o.Encoded)
	}
}

func (g *Gateway) sendConfig(n *node) {
	who := n.who.Load()
	if who == nil {
		return
	}
	e := g.set.For(&who.Subject)
	if e.Err != nil {
		g.brokenEntry(keyspace.Configs, e.Err)
		return
	}
	if e.Fits(n.wants) {
		return
	}
	n.wants = e.Hash
	g.count.configsSent.Inc()
	n.conn.Send(e.Encoded)
}

// broadcast sends an order to every node it is for.
func (g *Gateway) broadcast(o *command.Order) {
	sent := uint64(0)
	for _, n := range g.nodes {
		if who := n.who.Load(); who != nil && o.For(&who.Subject) {
			n.conn.Send(o.Encoded)
			sent++
		}
	}
	if o.Epoch != 0 {
		g.count.modesSent.Add(sent)
	} else {
		g.count.commandsSent.Add(sent)
	}
}

// sendDue sends the commands whose time has come.
func (g *Gateway) sendDue() {
	for _, o := range g.book.Due(g.deps.Now()) {
		g.broadcast(o)
	}
}

// watchEnrolments acts on revocations and new labels of connected nodes.
func (g *Gateway) watchEnrolments(ctx context.Context, known func()) error {
	return etcd.FollowChanges(ctx, g.deps.Client, g.deps.Log, keyspace.Enrolments, func(ctx context.Context) error {
		if err := g.recheck(ctx); err != nil {
			return err
		}
		known()
		return nil
	}, func(items []etcd.Item) error {
		for _, i := range items {
			node, err := event.ParseNodeID(strings.TrimPrefix(i.Key, keyspace.Enrolments))
			if err != nil {
				g.brokenEntry(i.Key, err)
				continue
			}
			g.mu.Lock()
			n := g.nodes[node]
			g.mu.Unlock()
			if n != nil {
				g.enrolmentChanged(n, i.Value, i.Revision)
			}
		}
		return nil
	})
}

// recheck reads the enrolment of every connected node again, after a watch
// that may have missed something.
func (g *Gateway) recheck(ctx context.Context) error {
	g.mu.Lock()
	nodes := make([]*node, 0, len(g.nodes))
	for _, n := range g.nodes {
		nodes = append(nodes, n)
	}
	g.mu.Unlock()
	for _, n := range nodes {
		e, revision, err := g.deps.Registry.Get(ctx, n.conn.Identity().Node)
		if errors.Is(err, fault.ErrUnknown) {
			n.revoke("this node is no longer enrolled", 0)
			continue
		}
		if err != nil {
			return err
		}
		n.enrolled(e, revision)
	}
	return nil
}

func (g *Gateway) enrolmentChanged(n *node, value []byte, revision int64) {
	if value == nil {
		n.revoke("this node is no longer enrolled", 0)
		return
	}
	e, err := enrol.Parse(value)
	if err != nil {
		g.brokenEntry(keyspace.Enrolments, err)
		return
	}
	n.enrolled(e, revision)
}

// enrolled makes a changed enrolment count.
func (n *node) enrolled(e *fleet.Enrolment, revision int64) {
	g := n.g
	g.mu.Lock()
	who := n.who.Load()
	switch {
	case who == nil: // join will see it
		n.mu.Lock()
		if n.news == nil || n.rev < revision {
			n.news, n.rev = e, revision
		}
		n.mu.Unlock()
		g.mu.Unlock()
		return
	case revision <= who.revision && !e.Revoked:
		g.mu.Unlock()
		return
	case !e.Revoked:
		n.who.Store(g.identify(e, revision))
		g.brief(n)
	}
	g.mu.Unlock()
	if e.Revoked {
		r := enrol.Revocation(e)
		n.revoke(r.Detail, r.Retry.Milliseconds())
		return
	}
	n.publish(fleet.PresenceState_PRESENCE_STATE_ONLINE, "", nil)
}

// revoke closes the connection of a node that lost its right to it. Nothing
// it still sends is taken.
func (n *node) revoke(why string, retryMilliseconds int64) {
	g := n.g
	if n.gone.Swap(true) {
		return
	}
	g.count.revoked.Inc()
	g.deps.Log.Warn("node revoked", "node", n.conn.Identity().Node, "remote", n.conn.Remote())
	n.conn.Goaway(link.Reason_REASON_UNAUTHORIZED, why, milliseconds(retryMilliseconds))
	g.remove(n.conn.Identity().Node, n)
	n.publish(fleet.PresenceState_PRESENCE_STATE_OFFLINE, "revoked", nil)
}
