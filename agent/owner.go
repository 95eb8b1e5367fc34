package agent

import (
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/node"
)

// owner is the agent as the link's client sees it.
type owner Agent

func (o *owner) agent() *Agent { return (*Agent)(o) }

// Credentials implements link.Owner.
func (o *owner) Credentials() (*link.Credentials, error) { return o.identity.Credentials(), nil }

// Renewed implements link.Owner.
func (o *owner) Renewed(r *link.Renewed) error {
	if err := o.identity.Renewed(r); err != nil {
		o.log.Error("renewed certificate refused", "cause", err)
		return err
	}
	o.log.Info("certificate renewed", "until", o.identity.Credentials().Leaf.NotAfter)
	return nil
}

// Hello implements link.Owner.
func (o *owner) Hello() *link.Hello {
	a, h := o.agent(), node.ThisHost()
	m := a.mode.State()
	status := a.nodeStatus(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	return &link.Hello{
		Version: a.deps.Version, Kind: "agent", Incarnation: a.spool.Incarnation(),
		Host: h.Name, Os: h.OS, Kernel: h.Kernel, Arch: h.Arch, Capabilities: a.commands.Names(),
		ModeEpoch: m.Epoch, Stopped: m.Stopped,
		ConfigVersion: a.central.Version, ConfigHash: a.central.Hash,
		Backlog: a.spool.Backlog(), Status: status,
	}
}

// fullStatus is every how many heartbeats counters are sent though sensors
// and mode did not change: every 5 minutes at the usual heartbeat.
const fullStatus = 10

// Status implements link.Owner.
func (o *owner) Status() *link.Status {
	a := o.agent()
	m := a.mode.State()
	a.mu.Lock()
	changed := a.statusOut != a.statusOld
	a.statusOld = a.statusOut
	full := changed || a.beats%fullStatus == 0
	a.beats++
	s := &link.Status{
		ModeEpoch: m.Epoch, Stopped: m.Stopped, Backlog: a.spool.Backlog(),
		ConfigVersion: a.central.Version, ConfigHash: a.central.Hash,
	}
	a.mu.Unlock()
	if full {
		s.Status = a.nodeStatus(true)
	}
	return s
}

// nodeStatus returns sensors, mode and, if asked for, counters.
func (a *Agent) nodeStatus(counters bool) *event.NodeStatus {
	s := &event.NodeStatus{Version: a.deps.Version, Mode: a.modeWord()}
	if ok, why := a.wanted(); !ok {
		s.Detail = why
	}
	a.mu.Lock()
	s.Sensors = a.sensors
	if counters {
		s.Counters = append(s.Counters, a.collected...)
	}
	if s.Detail == "" {
		s.Detail = a.child.failed
	}
	a.mu.Unlock()
	if counters {
		for _, r := range a.metrics.Readings() {
			s.Counters = append(s.Counters, &event.Counter{Name: r.Name, Label: r.Label, Value: r.Value})
		}
	}
	return s
}

// Welcome implements link.Owner.
func (o *owner) Welcome(w *link.Welcome) {
	o.mu.Lock()
	o.labels = w.Labels
	o.mu.Unlock()
}

// Config implements link.Owner.
func (o *owner) Config(c *link.Config) *link.ConfigResult { return o.agent().apply(c) }

// Command implements link.Owner.
func (o *owner) Command(c *fleet.SignedCommand) { o.commands.Take(c) }

// Mode implements link.Owner: a newer mode of our tenant, signed by a pinned
// key, is obeyed. Its selector is the gateway's to judge: labels may be newer
// there, and a stop must not fail for that.
func (o *owner) Mode(signed *fleet.SignedMode) {
	a := o.agent()
	m, err := a.identity.Keys().OpenMode(signed)
	if err == nil && !m.For(a.identity.Tenant()) {
		err = fleet.ErrOtherTenant
	}
	if err != nil {
		a.metrics.Counter("hauberk_agent_modes_refused_total", "", "Modes that were not signed by a pinned key or not meant for this node.").Inc()
		a.log.Warn("mode refused", "cause", err)
		return
	}
	obeyed, err := a.mode.Obey(m)
	if err != nil {
		a.log.Error("mode not stored", "cause", err)
	}
	if !obeyed {
		return
	}
	a.log.Warn("mode", "stopped", m.Stopped, "epoch", m.Epoch, "author", m.Author, "reason", m.Reason)
	word := "resume"
	if m.Stopped {
		word = "stop"
	}
	a.note("mode", word+" by "+m.Author+": "+m.Reason)
	a.mu.Lock()
	a.statusOut++
	a.mu.Unlock()
	a.look()
	a.client.Nudge()
}

// report sends a command's result.
func (a *Agent) report(r *fleet.CommandResult) error { return a.client.Result(r) }

// subject is this node as a selector sees it.
func (a *Agent) subject() fleet.Subject {
	host := node.ThisHost().Name
	a.mu.Lock()
	defer a.mu.Unlock()
	return fleet.Subject{ID: a.identity.Node(), Tenant: a.identity.Tenant(), Kind: "agent", Host: host, Labels: a.labels}
}
