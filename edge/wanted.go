package edge

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/maglev"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/internal/sched"
)

// sixteenths is the resolution of a slow start: full weights are that many
// times those of the configuration, so that all balancers fill their tables alike.
const sixteenths = 16

// startTime is how long after the start backends come up at once: what is
// found up then was up before.
const startTime = 10 * time.Second

// A planner turns configuration and what is known into the state the data
// plane shall have. It keeps the tables it made, and makes again only those
// whose inputs changed.
type planner struct {
	seed    uint64    // of the order of tables in turn
	began   time.Time // of the process
	serving map[string]bool
	tables  map[string]*made
}

// made is a table and what it was made from.
type made struct {
	kind   sched.Kind
	inputs []sched.Backend
	flows  int
	table  []uint32
}

// known is what a plan depends on besides the configuration.
type known struct {
	now      time.Time
	health   map[string]health.Health
	sessions map[uint32]int    // live sessions by backend id
	begun    map[uint32]uint64 // flows begun by VIP id, in the last second
}

func newPlanner(seed uint64, began time.Time) *planner {
	return &planner{seed: seed, began: began, serving: map[string]bool{}, tables: map[string]*made{}}
}

// A backendState is where a backend of a VIP stands, for people too.
type backendState struct {
	state  plane.BackendState
	weight uint32 // effective, in sixteenths; 0: no new flows
	full   bool   // at its max_connections
}

// judge says what a backend takes.
func (p *planner) judge(v *VIP, b *Backend, r *registry, k *known) backendState {
	key := v.backendKey(b)
	h := k.health[key]
	h.Up = h.Up || v.Health.Type == health.None
	switch {
	case b == v.Sorry:
		return backendState{state: plane.Up, weight: max(b.weight(), 1) * sixteenths}
	case h.Probes == 0 && !h.Up:
		return backendState{state: plane.Drain} // not known yet: it keeps what it has
	case !h.Up:
		return backendState{state: plane.Down}
	case r.Drained[key] || b.weight() == 0:
		return backendState{state: plane.Drain}
	}
	s := backendState{state: plane.Up, weight: b.weight() * sixteenths}
	if up := k.now.Sub(h.Since); v.SlowStart > 0 && up < v.SlowStart && h.Since.Sub(p.began) > startTime {
		s.weight = max(1, uint32(float64(s.weight)*float64(up)/float64(v.SlowStart)))
		s.weight -= s.weight % max(1, b.weight()) // in whole sixteenths: few tables are made
		s.weight = max(s.weight, 1)
	}
	if b.MaxConnections > 0 && k.sessions[r.Backends[key].ID] >= b.MaxConnections {
		s.weight, s.full = 0, true
	}
	return s
}

// plan makes the whole wanted state. Its VIPs and backends are in a stable
// order, and tables that did not change are the same slices as before.
func (p *planner) plan(c *Config, r *registry, k *known) (*plane.State, error) {
	s := &plane.State{
		Local: plane.Local{V4: c.Local.V4, V6: c.Local.V6}, SNAT: plane.SNAT{Inside: c.SNAT.Inside},
		SourceV4: c.Source.V4, SourceV6: c.Source.V6,
	}
	alive := map[string]bool{}
	for i := range c.VIPs {
		v := &c.VIPs[i]
		alive[v.key()] = true
		table, err := p.planVIP(v, r, k, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.place(), err)
		}
		s.VIPs = append(s.VIPs, v.plane(r.VIPs[v.key()].ID, table))
	}
	for key := range p.tables {
		if !alive[key] {
			delete(p.tables, key)
			delete(p.serving, key)
		}
	}
	for _, b := range r.Backends {
		if b.Gone {
			s.Backends = append(s.Backends, plane.Backend{ID: b.ID, Addr: b.To.Addr(), Port: b.To.Port(), State: plane.Drain})
		}
	}
	slices.SortFunc(s.Backends, func(a, b plane.Backend) int { return int(a.ID) - int(b.ID) })
	return s, nil
}

// planVIP adds a VIP's backends to the state and returns its table.
func (p *planner) planVIP(v *VIP, r *registry, k *known, s *plane.State) ([]uint32, error) {
	var inputs []sched.Backend
	var up uint64
	for _, b := range v.all() {
		id := r.Backends[v.backendKey(b)].ID
		judged := p.judge(v, b, r, k)
		s.Backends = append(s.Backends, plane.Backend{ID: id, Addr: b.Address, Port: b.Port, State: judged.state})
		if b == v.Sorry {
			continue
		}
		if judged.state == plane.Up {
			up += uint64(b.weight())
		}
		input := sched.Backend{Backend: maglev.Backend{
			Key: netip.AddrPortFrom(b.Address, b.Port).String(), Index: id, Weight: judged.weight,
		}}
		if v.Scheduler == sched.WeightedLeast {
			input.Sessions = k.sessions[id]
		}
		inputs = append(inputs, input)
	}
	if !p.serves(v, up) {
		return v.sorryTable(r), nil
	}
	flows := 0
	if v.Scheduler == sched.WeightedLeast {
		flows = int(k.begun[r.VIPs[v.key()].ID])
	}
	m := p.tables[v.key()]
	if m != nil && m.kind == v.Scheduler && m.flows == flows && slices.Equal(m.inputs, inputs) {
		return m.table, nil
	}
	table, err := sched.Table(v.Scheduler, inputs, p.seed, flows)
	if err != nil {
		return nil, err
	}
	p.tables[v.key()] = &made{v.Scheduler, inputs, flows, table}
	return table, nil
}

// serves decides by the quorum, which has two bounds so that a VIP does not
// flap between them.
func (p *planner) serves(v *VIP, up uint64) bool {
	bound := max(v.Quorum, 1)
	if !p.serving[v.key()] {
		bound = max(bound, v.QuorumUp)
	}
	p.serving[v.key()] = up >= uint64(bound)
	return p.serving[v.key()]
}

// sorryTable sends all to the sorry server, or nowhere.
func (v *VIP) sorryTable(r *registry) []uint32 {
	if v.Sorry == nil {
		return nil
	}
	return []uint32{r.Backends[v.backendKey(v.Sorry)].ID}
}

// plane is the VIP as the data plane is told.
func (v *VIP) plane(id uint32, table []uint32) plane.VIP {
	out := plane.VIP{
		ID: id, Addr: v.Address, Proto: uint8(v.Proto), FirstPort: v.Ports.First, LastPort: v.Ports.Last,
		Mode: plane.Mode(v.Mode), Choice: plane.InTurn, Table: table, Timeouts: plane.Timeouts(v.Timeouts),
		Client: plane.ClientInfo(v.Client), MSS: v.MSS, SourceBits: uint8(v.PersistenceBits), OnePacket: v.OnePacket,
	}
	switch v.Scheduler {
	case sched.Maglev:
		out.Choice = plane.ByHash
	case sched.Source:
		out.Choice = plane.BySource
	}
	return out
}
