package edge

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/wire"
)

// Status returns where the edge stands now.
func (e *Edge) Status() (*wire.Status, error) {
	vips, err := e.VIPs()
	if err != nil {
		return nil, err
	}
	totals, err := e.plane.Totals()
	if err != nil {
		return nil, fmt.Errorf("read totals: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &wire.Status{
		Version: e.deps.Version, PID: os.Getpid(), Since: e.began.UTC(), ConfigAt: e.configAt.UTC(), Error: e.failed,
		VIPs: len(e.cfg.VIPs), Slots: e.cfg.Tables.Sessions, Packets: map[string]uint64{},
	}
	if e.speaker != nil {
		if s.BGP, err = e.speaker.Neighbors(context.Background()); err != nil {
			return nil, fmt.Errorf("read BGP: %w", err)
		}
		for _, r := range e.speaker.Routes() {
			s.Routes = append(s.Routes, r.String())
		}
	}
	for _, name := range e.cfg.Interfaces {
		s.Interfaces = append(s.Interfaces, wire.InterfaceStatus{Name: name, Native: e.plane.Native(name)})
	}
	for reason, n := range totals {
		s.Packets[plane.Reason(reason).String()] = n
	}
	for i := range vips {
		if vips[i].State == "serving" {
			s.Serving++
		}
		for j := range vips[i].Backends {
			b := &vips[i].Backends[j]
			s.Backends++
			s.Sessions += b.Sessions
			if b.State == "up" {
				s.Up++
			}
		}
	}
	return s, nil
}

// VIPs returns all VIPs with their backends.
func (e *Edge) VIPs() ([]wire.VIPStatus, error) {
	sessions := e.plane.References()
	known := e.checker.Of()
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.known
	k.health, k.sessions = known, sessions
	out := make([]wire.VIPStatus, 0, len(e.cfg.VIPs))
	for i := range e.cfg.VIPs {
		v := &e.cfg.VIPs[i]
		s := wire.VIPStatus{
			Name: v.Name, Proto: v.Proto.String(), Address: v.Address.String(), Ports: v.Ports.String(), Mode: v.Mode.String(),
			Scheduler: v.Scheduler.String(), State: e.word(v),
		}
		traffic, err := e.plane.VIP(e.ids.VIPs[v.key()].ID)
		if err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", v.Name, err)
		}
		s.Traffic = trafficOf(traffic)
		for _, b := range v.all() {
			at, err := e.backendStatus(v, b, &k)
			if err != nil {
				return nil, err
			}
			s.Sessions += at.Sessions
			s.Backends = append(s.Backends, at)
		}
		gone, err := e.goneOf(v, sessions)
		if err != nil {
			return nil, err
		}
		for _, b := range gone {
			s.Sessions += b.Sessions
		}
		s.Backends = append(s.Backends, gone...)
		out = append(out, s)
	}
	return out, nil
}

// word is a VIP's state.
func (e *Edge) word(v *VIP) string {
	switch {
	case e.planner.serving[v.key()]:
		return "serving"
	case v.Sorry != nil:
		return "sorry"
	}
	return "down"
}

func trafficOf(c plane.Counter) wire.Traffic {
	return wire.Traffic{Flows: c.Flows, PacketsIn: c.PacketsIn, PacketsOut: c.PacketsOut, BytesIn: c.BytesIn, BytesOut: c.BytesOut}
}

func (e *Edge) backendStatus(v *VIP, b *Backend, k *known) (wire.BackendStatus, error) {
	key := v.backendKey(b)
	entry := e.ids.Backends[key]
	judged, h := e.planner.judge(v, b, e.ids, k), k.health[key]
	s := wire.BackendStatus{
		VIP: v.Name, Name: b.Name, Address: netip.AddrPortFrom(b.Address, b.Port).String(), Weight: b.weight(), Sorry: b == v.Sorry,
		Effective: float64(judged.weight) / sixteenths, Sessions: k.sessions[entry.ID],
		Since: h.Since.UTC(), Error: h.Error, Probes: h.Probes, Failures: h.Failures,
	}
	if h.Since.IsZero() {
		s.Since = h.Since
	}
	switch {
	case judged.full:
		s.State = "full"
	case judged.state == plane.Up:
		s.State = "up"
	case judged.state == plane.Down:
		s.State = "down"
	case h.Probes == 0 && v.Health.Type != health.None:
		s.State = "unknown"
	case s.Sessions == 0:
		s.State = "drained"
	default:
		s.State = "draining"
	}
	c, err := e.plane.Backend(entry.ID)
	if err != nil {
		return s, fmt.Errorf("read counters of %s: %w", b.Name, err)
	}
	s.Traffic = trafficOf(c)
	return s, nil
}

// goneOf are the backends of a VIP that only their sessions keep.
func (e *Edge) goneOf(v *VIP, sessions map[uint32]int) ([]wire.BackendStatus, error) {
	var out []wire.BackendStatus
	for _, b := range e.ids.Backends {
		if !b.Gone || b.VIP != v.key() || sessions[b.ID] == 0 {
			continue
		}
		c, err := e.plane.Backend(b.ID)
		if err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", b.To, err)
		}
		out = append(out, wire.BackendStatus{
			VIP: v.Name, Name: b.To.String(), Address: b.To.String(), State: "gone", Sessions: sessions[b.ID], Traffic: trafficOf(c),
		})
	}
	slices.SortFunc(out, func(a, b wire.BackendStatus) int { return strings.Compare(a.Address, b.Address) })
	return out, nil
}

// Sessions calls f with every live session of a VIP (empty: of all) until it
// returns false.
func (e *Edge) Sessions(vip string, f func(wire.SessionStatus) bool) {
	names := e.names()
	e.plane.Sessions(func(s plane.Session) bool {
		if vip != "" && names[s.VIP] != vip {
			return true
		}
		return f(wire.SessionStatus{
			Proto: Proto(s.Proto).String(), State: s.Phase.String(), Client: s.Client.String(), Service: s.Service.String(),
			Local: s.Local.String(), Backend: s.Server.String(), VIP: names[s.VIP], Idle: s.Idle.Seconds(), Left: s.Left.Seconds(),
		})
	})
}

// names are those of the VIPs by their ids.
func (e *Edge) names() map[uint32]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := map[uint32]string{}
	for i := range e.cfg.VIPs {
		v := &e.cfg.VIPs[i]
		names[e.ids.VIPs[v.key()].ID] = v.Name
	}
	return names
}

// Drain empties backends: they get no new flows and keep those they have. It
// outlives the process, and ends with Undo.
func (e *Edge) Drain(r wire.DrainRequest) (*wire.DrainAnswer, error) {
	answer, err := e.mark(r)
	if err != nil {
		return nil, err
	}
	e.nudge()
	return answer, nil
}

func (e *Edge) mark(r wire.DrainRequest) (*wire.DrainAnswer, error) {
	k := known{health: e.checker.Of(), sessions: e.plane.References()}
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := &wire.DrainAnswer{}
	k.now = e.known.now
	for i := range e.cfg.VIPs {
		v := &e.cfg.VIPs[i]
		if r.VIP != "" && r.VIP != v.Name {
			continue
		}
		for j := range v.Backends {
			b := &v.Backends[j]
			key := v.backendKey(b)
			if r.Backend != b.Name && r.Backend != netip.AddrPortFrom(b.Address, b.Port).String() && r.Backend != b.Address.String() {
				continue
			}
			if r.Undo {
				delete(e.ids.Drained, key)
			} else {
				e.ids.Drained[key] = true
			}
			e.ids.changed = true
			s, err := e.backendStatus(v, b, &k)
			if err != nil {
				return nil, err
			}
			answer.Backends = append(answer.Backends, s)
		}
	}
	if len(answer.Backends) == 0 {
		return nil, fmt.Errorf("%w %q", errNoBackend, r.Backend)
	}
	return answer, nil
}
