package gateway

import (
	"context"
	"hash/maphash"
	"sort"
	"strings"
	"sync"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
)

// publish puts what is known of the node on the bus. It may block while the
// bus is full; it is never called under Gateway.mu.
func (n *node) publish(state fleet.PresenceState, reason string, status *event.NodeStatus) {
	who := n.who.Load()
	if who == nil {
		return
	}
	g := n.g
	now := g.deps.Now().UnixNano()
	n.mu.Lock()
	d := &n.said
	d.published = now
	since := d.since
	if state == fleet.PresenceState_PRESENCE_STATE_OFFLINE {
		since = now
	}
	p := &fleet.Presence{
		Node: who.ID[:], Tenant: who.Tenant, Host: who.Host, Kind: who.Kind, Labels: who.Labels, State: state, Gateway: g.id,
		Since: since, Heard: n.heard.Load(), Address: n.conn.Remote().String(), Reason: reason, Status: status,
		ConfigHash: d.configHash, ConfigVersion: d.configVersion, ConfigError: d.refusal, EffectiveHash: d.effective,
		Os: d.os, Kernel: d.kernel, Arch: d.arch, Version: d.version, Incarnation: d.incarnation,
		ModeEpoch: d.epoch, Stopped: d.stopped, Backlog: d.backlog,
	}
	n.mu.Unlock()
	value, err := p.MarshalVT()
	if err != nil {
		g.count.presenceFailed.Inc()
		return
	}
	g.deps.Bus.PublishAsync(context.Background(), bus.Message{Topic: bus.Presence, Key: who.ID[:], Value: value}, counted(g.count.presence, g.count.presenceFailed))
}

// counted returns a callback of PublishAsync that only counts.
func counted(taken, failed *obs.Counter) func(error) {
	return func(err error) {
		if err != nil {
			failed.Inc()
		} else {
			taken.Inc()
		}
	}
}

var seed = maphash.MakeSeed()

// conditionOf hashes what a status says beside its counters, which always
// change: a difference is worth a presence at once.
func conditionOf(s *event.NodeStatus) uint64 {
	if s == nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(seed)
	text := func(s string) { h.WriteString(s); h.WriteByte(0) }
	text(s.Reason)
	text(s.Detail)
	text(s.Mode)
	text(s.Version)
	for _, sensor := range s.Sensors {
		text(sensor.GetName())
		text(sensor.GetMethod())
		text(sensor.GetReason())
		h.WriteByte(byte(sensor.GetState()))
	}
	return h.Sum64()
}

// interner lets nodes with equal labels share one map. Labels come from
// tokens, so there are few different ones. The zero value is ready; safe for
// concurrent use. Nobody changes a map it returned.
type interner struct {
	mu   sync.Mutex
	sets map[string]map[string]string
}

// maxShared bounds how many sets of labels are shared; beyond, each node has
// its own.
const maxShared = 4096

func (i *interner) share(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	keys := make([]string, 0, len(labels))
	for key := range labels {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var name strings.Builder
	for _, key := range keys {
		name.WriteString(key)
		name.WriteByte(0)
		name.WriteString(labels[key])
		name.WriteByte(0)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if shared, ok := i.sets[name.String()]; ok {
		return shared
	}
	if i.sets == nil {
		i.sets = map[string]map[string]string{}
	}
	if len(i.sets) < maxShared {
		i.sets[name.String()] = labels
	}
	return labels
}
