// Package node is what every kind of node has in common: an identity given by
// the centre, a spool of events on disk, the link to a gateway, the centre's
// config, commands and mode. The folders below are these parts, one each; the
// agent puts them together itself, as it must be small. A [Node] is all of
// them, for the sensor, the edge and the decoys.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/node/central"
	"github.com/hauberk/hauberk/node/command"
	"github.com/hauberk/hauberk/node/identity"
	"github.com/hauberk/hauberk/node/mode"
	"github.com/hauberk/hauberk/node/spool"
)

// Config is where a node keeps what it has, and whom it talks to.
type Config struct {
	DataDir    string
	Gateways   []string // host:port; none: those given at enrolment
	SpoolBytes int64    // bound of the spool; 0: 64 MB
}

// Deps are what a Node gets from outside.
type Deps struct {
	Kind    string // sensor, edge, decoy
	Version string
	Log     *slog.Logger
	Metrics *obs.Registry // its counters travel with the status
	// Status says how the part's sensors are; nil: nothing.
	Status func() []*event.Sensor
	// Apply puts a config of the centre in effect, or refuses it whole; nil:
	// the part takes none. It must not block for long.
	Apply func(body []byte) error
	// Commands the part runs, by name.
	Commands map[string]command.Func
	// Collector names the part in its events.
	Collector event.Collector
	// BackoffMin and BackoffMax bound the pause between tries of the link; 0: the link's.
	BackoffMin, BackoffMax time.Duration
}

// Node is a node of the fleet. Make it with New, run it with Run.
type Node struct {
	cfg      Config
	deps     Deps
	identity *identity.Identity
	spool    *spool.Spool
	mode     *mode.Keeper
	commands *command.Runner
	client   *link.Client
	refused  *obs.Counter // configs
	unheard  *obs.Counter // modes
	silenced *obs.Counter // events
	lock     int

	mu      sync.Mutex
	central central.Config
	labels  map[string]string
}

// New opens what the node keeps and makes a new incarnation. A machine that is
// not enrolled is [identity.ErrNotEnrolled]. A config of the centre from an
// earlier start is applied.
func New(cfg Config, deps Deps) (n *Node, err error) {
	if cfg.SpoolBytes == 0 {
		cfg.SpoolBytes = 64 << 20
	}
	n = &Node{cfg: cfg, deps: deps}
	if n.identity, err = identity.Load(n.path("identity")); err != nil {
		return nil, err
	}
	if err := n.lockDir(); err != nil {
		return nil, err
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, unix.Close(n.lock))
	}
	return n, nil
}

func (n *Node) path(name string) string { return filepath.Join(n.cfg.DataDir, name) }

// lockDir makes sure that no other process gives the same positions.
func (n *Node) lockDir() error {
	fd, err := unix.Open(n.path("lock"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock %s: %w", n.cfg.DataDir, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("another node runs with data directory %s", n.cfg.DataDir), unix.Close(fd))
	}
	n.lock = fd
	return nil
}

func (n *Node) open() (err error) {
	r := n.deps.Metrics
	n.refused = r.Counter("hauberk_node_configs_refused_total", "", "Configs of the centre that were refused.")
	n.unheard = r.Counter("hauberk_node_modes_refused_total", "", "Modes that were not signed by a pinned key or not meant for this node.")
	n.silenced = r.Counter("hauberk_node_events_stopped_total", "", "Events not sent because the centre stopped this node.")
	if n.mode, err = mode.Open(n.cfg.DataDir); err != nil {
		return err
	}
	n.commands, err = command.New(command.Config{Dir: n.cfg.DataDir, Keys: n.identity.Keys(), Self: n.subject, Funcs: n.deps.Commands,
		Report: func(c *fleet.CommandResult) error { return n.client.Result(c) }, Log: n.deps.Log, Metrics: r})
	if err != nil {
		return err
	}
	if err := n.applyKept(); err != nil {
		n.deps.Log.Error("centre's last config is not in effect", "cause", err)
	}
	if n.spool, err = spool.Open(spool.Config{Dir: n.path("spool"), MaxBytes: n.cfg.SpoolBytes}, n.deps.Log, r); err != nil {
		return err
	}
	gateways := n.cfg.Gateways
	if len(gateways) == 0 {
		gateways = n.identity.Gateways()
	}
	n.client = link.NewClient(link.ClientConfig{Gateways: gateways, Incarnation: n.spool.Incarnation(), Log: n.deps.Log, Metrics: r,
		BackoffMin: n.deps.BackoffMin, BackoffMax: n.deps.BackoffMax}, (*owner)(n), n.spool)
	return nil
}

func (n *Node) applyKept() error {
	kept, err := central.Load(n.path(central.File))
	if err != nil || kept.Version == 0 || n.deps.Apply == nil {
		return err
	}
	if err := n.deps.Apply(kept.Body); err != nil {
		return err
	}
	n.central = kept
	return nil
}

// Put gives an event its identity and keeps it until the centre has it. An
// event without a time of its own has the present one. It does not wait for the network.
func (n *Node) Put(class event.Class, observed time.Time, e *event.Event) error {
	if n.mode.State().Stopped {
		n.silenced.Inc()
		return nil
	}
	return n.put(class, observed, e)
}

func (n *Node) put(class event.Class, observed time.Time, e *event.Event) error {
	if e.Collector == event.Collector_COLLECTOR_UNSPECIFIED {
		e.Collector = n.deps.Collector
	}
	body, err := e.MarshalVT()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	n.spool.Append([]spool.In{{Class: class, Observed: observed.UnixNano(), Body: body}})
	return nil
}

// note makes an event of something that happened to the node itself.
func (n *Node) note(reason, detail string) {
	e := &event.Event{Body: &event.Event_Status{Status: &event.NodeStatus{Reason: reason, Detail: detail, Version: n.deps.Version, Mode: n.modeWord()}}}
	if err := n.put(event.Class_CLASS_PRIORITY, time.Now(), e); err != nil {
		n.deps.Log.Error("status event not made", "cause", err)
	}
}

func (n *Node) modeWord() string {
	if n.mode.State().Stopped {
		return "stopped"
	}
	return "run"
}

// Rhythm of Run.
const (
	flushEvery = time.Second // of a spool whose events wait
	drainTime  = time.Second // for the gateway to take what is left at the end
)

// Run stays connected until the context ends, then sends what is left for at
// most a second; the rest waits in the spool. It runs once.
func (n *Node) Run(ctx context.Context) error {
	defer unix.Close(n.lock)
	defer n.spool.Close()
	n.note("start", fmt.Sprintf("incarnation %d", n.spool.Incarnation()))
	linkCtx, stopLink := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLink()
	links, _ := run.NewGroup(linkCtx)
	links.Go("link", n.client.Run)
	g, gctx := run.NewGroup(ctx)
	g.Go("commands", n.commands.Run)
	g.Go("spool", n.flush)
	<-gctx.Done()
	err := g.Wait()
	n.note("stop", fmt.Sprint(n.deps.Kind, " ends: ", context.Cause(ctx)))
	for end := time.Now().Add(drainTime); time.Now().Before(end) && n.spool.Backlog() > 0 && n.client.State().Connected; {
		time.Sleep(10 * time.Millisecond)
	}
	stopLink()
	return errors.Join(err, links.Wait())
}

// flush brings events to the disk that have waited for a round.
func (n *Node) flush(ctx context.Context) error {
	old := uint64(0)
	for run.Sleep(ctx, flushEvery) == nil {
		backlog := n.spool.Backlog()
		if old > 0 && backlog > 0 {
			if err := n.spool.Sync(); err != nil {
				n.deps.Log.Error("spool not flushed", "cause", err)
			}
		}
		old = backlog
	}
	return nil
}

// Connected says whether a gateway is there.
func (n *Node) Connected() bool { return n.client.State().Connected }

// Backlog is how many events wait for the centre.
func (n *Node) Backlog() uint64 { return n.spool.Backlog() }

// subject is this node as a selector sees it.
func (n *Node) subject() fleet.Subject {
	name, _ := os.Hostname()
	n.mu.Lock()
	defer n.mu.Unlock()
	return fleet.Subject{ID: n.identity.Node(), Tenant: n.identity.Tenant(), Kind: n.deps.Kind, Host: name, Labels: n.labels}
}

// apply judges a config of the centre and puts it in effect, or refuses it whole.
func (n *Node) apply(c *link.Config) error {
	next, err := central.Take(c)
	if err != nil {
		return err
	}
	n.mu.Lock()
	known := n.central
	n.mu.Unlock()
	switch {
	case known.Version == next.Version && bytes.Equal(known.Body, next.Body):
		return nil // already in effect
	case n.deps.Apply == nil:
		return fmt.Errorf("this %s takes no config of the centre", n.deps.Kind)
	}
	if err := n.deps.Apply(next.Body); err != nil {
		return err
	}
	n.mu.Lock()
	n.central = next
	n.mu.Unlock()
	n.deps.Log.Info("config in effect", "version", c.Version)
	if err := next.Save(n.path(central.File)); err != nil {
		return fmt.Errorf("in effect, but not stored: %w", err)
	}
	return nil
}
