// Package edge is the layer 4 load balancer: it reads edge.yaml, probes the
// backends, and tells the data plane (internal/plane, XDP) what to do. It
// never touches a packet itself: when this process is gone, the data plane
// goes on with what it was told last.
package edge

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hauberk/hauberk/edge/internal/bgp"
	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/plane"
)

// Deps is what an edge needs from outside.
type Deps struct {
	Log     *slog.Logger
	Version string
	// Reload reads the configuration anew, at Reload; nil: there is no reload.
	Reload func() (Config, error)
	// Ready is told, once, that the data plane does what the configuration says.
	Ready func(text string)

	open    func(plane.Options) (dataPlane, error) // nil: plane.Open
	machine machine                                // nil: this one
}

// dataPlane is what the edge uses of *plane.Plane.
type dataPlane interface {
	Apply(*plane.State) error
	Totals() ([plane.Reasons]uint64, error)
	VIP(id uint32) (plane.Counter, error)
	Backend(id uint32) (plane.Counter, error)
	Sessions(func(plane.Session) bool)
	References() map[uint32]int
	Packets(context.Context, plane.Filter, func(plane.Sample)) error
	Native(name string) bool
	Close(keep bool)
}

// An Edge balances. Make one with New, start it with Run.
type Edge struct {
	deps    Deps
	began   time.Time
	plane   dataPlane
	checker *health.Checker
	speaker *bgp.Speaker  // nil: no BGP
	wake    chan struct{} // something changed: plan again
	reload  chan chan error
	reader  sync.Mutex // of packets: the data plane has one

	mu       sync.Mutex // guards what follows
	cfg      Config
	ids      *registry
	planner  *planner
	applied  *plane.State
	failed   string // why the last configuration or state was not taken
	configAt time.Time
	known    known
	begun    map[uint32]uint64 // flows by VIP id at the last look
}

// New checks the configuration against this machine and opens the data plane.
// Nothing is changed if it returns an error.
func New(cfg Config, deps Deps) (*Edge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.machine == nil {
		deps.machine = thisMachine{}
	}
	if deps.open == nil {
		deps.open = openPlane
	}
	if err := preflight(&cfg, deps.machine); err != nil {
		return nil, err
	}
	ids, err := readRegistry(filepath.Join(cfg.DataDir, idsFile))
	if err != nil {
		return nil, err
	}
	if err := ids.adopt(&cfg); err != nil {
		return nil, err
	}
	now := time.Now()
	e := &Edge{
		deps: deps, began: now, configAt: now, cfg: cfg, ids: ids, planner: newPlanner(rand.Uint64(), now),
		wake: make(chan struct{}, 1), reload: make(chan chan error), begun: map[uint32]uint64{},
		known: known{begun: map[uint32]uint64{}},
	}
	e.checker = health.New(probeMark, e.nudge)
	if e.plane, err = deps.open(cfg.options()); err != nil {
		return nil, fmt.Errorf("open data plane: %w", err)
	}
	for _, name := range cfg.Interfaces {
		if !e.plane.Native(name) {
			deps.Log.Warn("the driver has no native XDP: the slow generic hook is used", "interface", name)
		}
	}
	return e, nil
}

func openPlane(o plane.Options) (dataPlane, error) {
	if o.PinDir != "" {
		if err := mountPins(o.PinDir); err != nil {
			return nil, err
		}
	}
	p, err := plane.Open(o)
	if err != nil {
		return nil, err // not p: a nil *Plane in an interface is not nil
	}
	return p, nil
}

const (
	idsFile = "ids.json"
	// probeMark is SO_MARK of health probes: "hbk" in ASCII.
	probeMark = 0x68626b
)

// nudge wakes the planner.
func (e *Edge) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Reload reads the configuration anew and applies it whole, or not at all.
func (e *Edge) Reload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case e.reload <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
