// Package planebench measures the edge's data plane: the shipped object by
// BPF_PROG_TEST_RUN, beside a floor (F), a random cache line (R) and a plain
// balancer on kernel LRU maps (L) in interleaved rounds. A figure is the
// median of its rounds, less the floor of the same kind.
package planebench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/hauberk/hauberk/edge/internal/plane"
)

// Case is one thing measured: a target with a plan of packets.
type Case struct {
	Name    string
	Target  string // floor_tx, floor_grow, random_line, lru_fullnat, lru_tunnel, fullnat, tunnel
	Flows   int    // a power of two; 0: one after another, each new
	Replies bool   // packets of backends
}

// Cases are all of them, in the order of the report.
var Cases = []Case{
	{"F", "floor_tx", 1024, false},
	{"F tunnel", "floor_grow", 1024, false},
	{"F 1M", "floor_tx", 1 << 20, false},
	{"F reply 1M", "floor_tx", 1 << 20, true}, // the harness reads a line for each
	{"F new", "floor_tx", 0, false},
	{"R", "random_line", 1 << 20, false},
	{"L fullnat 1k", "lru_fullnat", 1024, false},
	{"L tunnel 1k", "lru_tunnel", 1024, false},
	{"L fullnat new", "lru_fullnat", 0, false},
	{"L tunnel new", "lru_tunnel", 0, false},
	{"fullnat forward 1k", "fullnat", 1024, false},
	{"fullnat reply 1k", "fullnat", 1024, true},
	{"fullnat forward 1M", "fullnat", 1 << 20, false},
	{"fullnat reply 1M", "fullnat", 1 << 20, true},
	{"fullnat new", "fullnat", 0, false},
	{"tunnel 1k", "tunnel", 1024, false},
	{"tunnel 1M", "tunnel", 1 << 20, false},
	{"tunnel new", "tunnel", 0, false},
}

const (
	fullnatVIP               = "10.0.8.1"
	tunnelVIP                = "10.0.8.2"
	established, synAck, syn = 0x10, 0x12, 0x02
	perNew                   = 20_000 // new flows a round, so that the tables never fill
)

// Bench is a loaded plane with its harness.
type Bench struct {
	plane   *plane.Plane
	harness benchObjects
	fresh   uint32 // the next flow that never was
}

// New opens the plane with room for 2M sessions. It must be called, and used,
// in a network namespace with routes to 10.0.2.0/24 and 10.64.0.0/10.
func New() (*Bench, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	o := plane.DefaultOptions()
	o.Slots, o.Flows = 1<<21, 1<<22
	p, err := plane.Open(o)
	if err != nil {
		return nil, err
	}
	b := &Bench{plane: p, fresh: 1 << 24}
	if err := p.Apply(wanted()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := loadBenchObjects(&b.harness, nil); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func wanted() *plane.State {
	s := &plane.State{
		Local:    plane.Local{V4: netip.MustParsePrefix("10.9.0.0/26")},
		SourceV4: netip.MustParseAddr("10.0.2.1"),
		Backends: []plane.Backend{
			{ID: 1, Addr: netip.MustParseAddr("10.0.2.2"), Port: 8080, State: plane.Up},
			{ID: 2, Addr: netip.MustParseAddr("10.0.2.3"), Port: 8080, State: plane.Up},
		},
	}
	for i, a := range []string{fullnatVIP, tunnelVIP} {
		s.VIPs = append(s.VIPs, plane.VIP{
			ID: uint32(i + 1), Addr: netip.MustParseAddr(a), Proto: 6, FirstPort: 80, LastPort: 80,
			Mode: []plane.Mode{plane.FullNAT, plane.IPIP}[i], Choice: plane.ByHash, Table: []uint32{1, 2},
			Timeouts: plane.Timeouts{SynSent: time.Hour},
		})
	}
	return s
}

// Close lets everything go.
func (b *Bench) Close() error {
	b.plane.Close(false)
	return b.harness.Close()
}

// Plane is what is measured.
func (b *Bench) Plane() *plane.Plane { return b.plane }

// aim points the harness at a target and gives it its plan.
func (b *Bench) aim(target string, plan benchPlan) error {
	programs := map[string]*ebpf.Program{
		"floor_tx": b.harness.FloorTx, "floor_grow": b.harness.FloorGrow, "random_line": b.harness.RandomLine,
		"lru_fullnat": b.harness.LruFullnat, "lru_tunnel": b.harness.LruTunnel,
		"fullnat": b.plane.Balancer(), "tunnel": b.plane.Balancer(),
	}
	vip := netip.MustParseAddr(fullnatVIP)
	if target == "tunnel" {
		vip = netip.MustParseAddr(tunnelVIP)
	}
	raw := vip.As4()
	plan.Vip = binary.NativeEndian.Uint32(raw[:])
	if err := b.harness.Target.Put(uint32(0), programs[target]); err != nil {
		return fmt.Errorf("aim at %s: %w", target, err)
	}
	return b.harness.Plans.Put(uint32(0), plan)
}

func (b *Bench) run(repeat int) (time.Duration, error) {
	ret, d, err := b.harness.Harness.Benchmark(make([]byte, 64), repeat, func() {})
	if err != nil {
		return 0, fmt.Errorf("run the harness: %w", err)
	}
	if ret != 3 && ret != 4 {
		return 0, fmt.Errorf("run the harness: the last packet got verdict %d", ret)
	}
	return d, nil
}

// Prepare opens the flows that are measured as established, and tells the
// harness what their backends send.
func (b *Bench) Prepare() error {
	for _, target := range []string{"fullnat", "tunnel", "lru_fullnat", "lru_tunnel"} {
		flows := 1 << 20
		if target[:3] == "lru" {
			flows = 1024
		}
		if err := b.aim(target, benchPlan{Flags: syn}); err != nil {
			return err
		}
		if _, err := b.run(flows); err != nil {
			return err
		}
	}
	var failed error
	b.plane.Sessions(func(s plane.Session) bool {
		a := s.Client.Addr().As4()
		flow := (binary.BigEndian.Uint32(a[:])-0x0a400000)<<14 | uint32(s.Client.Port()-1024)
		src, dst := s.Server.Addr().As4(), s.Local.Addr().As4()
		r := benchReply{
			Src: binary.NativeEndian.Uint32(src[:]), Dst: binary.NativeEndian.Uint32(dst[:]),
			Sport: swap(s.Server.Port()), Dport: swap(s.Local.Port()),
		}
		failed = b.harness.Replies.Put(flow, r)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	for _, step := range []benchPlan{{Replies: 1, Flags: synAck}, {Flags: established}} {
		if err := b.aim("fullnat", step); err != nil {
			return err
		}
		if _, err := b.run(1 << 20); err != nil {
			return err
		}
	}
	return nil
}

func swap(p uint16) uint16 { return p<<8 | p>>8 }

// Measure runs every case in each of the rounds and returns the medians in
// nanoseconds a packet.
func (b *Bench) Measure(rounds int) (map[string]float64, error) {
	all := map[string][]float64{}
	for range rounds {
		for _, c := range Cases {
			plan, repeat := benchPlan{Flows: uint32(c.Flows), Flags: established}, 500_000
			if c.Replies {
				plan.Replies = 1
			}
			if c.Flows == 0 {
				plan.Flags, plan.First, repeat = syn, b.fresh, perNew
				b.fresh += perNew
			}
			if err := b.aim(c.Target, plan); err != nil {
				return nil, err
			}
			d, err := b.run(repeat)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			all[c.Name] = append(all[c.Name], float64(d.Nanoseconds()))
		}
	}
	medians := map[string]float64{}
	for name, values := range all {
		sort.Float64s(values)
		medians[name] = values[len(values)/2]
	}
	return medians, nil
}
