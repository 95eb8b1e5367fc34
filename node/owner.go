package node

import (
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// owner is a Node as the link's client sees it; its methods implement link.Owner.
type owner Node

func (o *owner) node() *Node { return (*Node)(o) }

func (o *owner) Credentials() (*link.Credentials, error) { return o.identity.Credentials(), nil }

func (o *owner) Renewed(r *link.Renewed) error {
	if err := o.identity.Renewed(r); err != nil {
		o.deps.Log.Error("renewed certificate refused", "cause", err)
		return err
	}
	return nil
}

func (o *owner) Hello() *link.Hello {
	n, h, m := o.node(), ThisHost(), o.mode.State()
	status := n.status()
	n.mu.Lock()
	defer n.mu.Unlock()
	return &link.Hello{
		Version: n.deps.Version, Kind: n.deps.Kind, Incarnation: n.spool.Incarnation(),
		Host: h.Name, Os: h.OS, Kernel: h.Kernel, Arch: h.Arch, Capabilities: n.commands.Names(),
		ModeEpoch: m.Epoch, Stopped: m.Stopped, ConfigVersion: n.central.Version, ConfigHash: n.central.Hash,
		Backlog: n.spool.Backlog(), Status: status,
	}
}

func (o *owner) Status() *link.Status {
	n, m := o.node(), o.mode.State()
	status := n.status()
	n.mu.Lock()
	defer n.mu.Unlock()
	return &link.Status{ModeEpoch: m.Epoch, Stopped: m.Stopped, Backlog: n.spool.Backlog(),
		ConfigVersion: n.central.Version, ConfigHash: n.central.Hash, Status: status}
}

// status is the part's sensors and all counters.
func (n *Node) status() *event.NodeStatus {
	s := &event.NodeStatus{Version: n.deps.Version, Mode: n.modeWord()}
	if n.deps.Status != nil {
		s.Sensors = n.deps.Status()
	}
	for _, r := range n.deps.Metrics.Readings() {
		s.Counters = append(s.Counters, &event.Counter{Name: r.Name, Label: r.Label, Value: r.Value})
	}
	return s
}

func (o *owner) Welcome(w *link.Welcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.labels = w.Labels
}

func (o *owner) Config(c *link.Config) *link.ConfigResult {
	result := &link.ConfigResult{Version: c.Version, Hash: c.Hash, EffectiveHash: c.Hash}
	if err := o.node().apply(c); err != nil {
		o.refused.Inc()
		o.deps.Log.Error("centre's config refused", "version", c.Version, "cause", err)
		o.mu.Lock()
		result.Error, result.EffectiveHash = err.Error(), o.central.Hash
		o.mu.Unlock()
	}
	return result
}

func (o *owner) Command(c *fleet.SignedCommand) { o.commands.Take(c) }

// Mode obeys a newer mode of our tenant, signed by a pinned key: a stopped
// node makes no events. Its selector is the gateway's to judge.
func (o *owner) Mode(signed *fleet.SignedMode) {
	n := o.node()
	m, err := n.identity.Keys().OpenMode(signed)
	if err == nil && !m.For(n.identity.Tenant()) {
		err = fleet.ErrOtherTenant
	}
	if err != nil {
		n.unheard.Inc()
		n.deps.Log.Warn("mode refused", "cause", err)
		return
	}
	obeyed, err := n.mode.Obey(m)
	if err != nil {
		n.deps.Log.Error("mode not stored", "cause", err)
	}
	if !obeyed {
		return
	}
	word := "resume"
	if m.Stopped {
		word = "stop"
	}
	n.deps.Log.Warn("mode", "is", word, "epoch", m.Epoch, "author", m.Author, "reason", m.Reason)
	n.note("mode", word+" by "+m.Author+": "+m.Reason)
	n.client.Nudge()
}
