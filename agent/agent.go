// Package agent is the host intrusion detection agent: two lasting processes
// of one static binary. The master keeps the link to the centre, the
// configuration, the spool and the breaker, and supervises the collector,
// which reads every kernel source; a short-lived loader puts BPF programs in
// place. See docs/guide/agent.md.
//
// The master needs neither root nor a gateway nor an enrolment: without one
// of them it does what is left and says what is missing.
package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/hauberk/hauberk/agent/internal/breaker"
	"github.com/hauberk/hauberk/agent/internal/cgroup"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/node/central"
	"github.com/hauberk/hauberk/node/command"
	"github.com/hauberk/hauberk/node/identity"
	"github.com/hauberk/hauberk/node/mode"
	"github.com/hauberk/hauberk/node/spool"
	"golang.org/x/sys/unix"
)

// Deps are what an Agent gets from outside. The zero value is this binary on
// this machine.
type Deps struct {
	Log      *slog.Logger
	LogLevel *slog.LevelVar // changed by config and command; nil: fixed
	Version  string
	// Spawn returns the command of a child process: "collector" or "loader".
	// Nil: this binary with that argument.
	Spawn func(kind string) *exec.Cmd
	// Loader is false where BPF cannot be loaded and no loader is tried.
	// Nil: true for root.
	Loader *bool
	// Backoff bounds of collector restarts and of the link; zero: defaults.
	BackoffMin, BackoffMax time.Duration
	// Ready is called once the agent runs, with one line for people.
	Ready func(status string)
}

// Agent is the master. Make it with New.
type Agent struct {
	deps    Deps
	log     *slog.Logger
	metrics *obs.Registry
	began   time.Time // its monotonic part times everything
	dataDir string

	spool    *spool.Spool
	mode     *mode.Keeper
	commands *command.Runner
	wake     chan struct{} // the collector's supervisor looks again
	lockFD   int
	group    *cgroup.Group
	trips    *obs.Counter
	jumps    *obs.Counter
	restarts *obs.Counter
	refused  *obs.Counter

	mu      sync.Mutex
	cfg     Config
	central central.Config
	// centralError is why a newer one was refused; "": it was not.
	centralError string
	identity     *identity.Identity
	client       *link.Client
	breaker      *breaker.Breaker
	child        childState
	sensors      []*event.Sensor
	collected    []*event.Counter // the collector's counters, last heard
	labels       map[string]string
	statusOut    uint64 // changes of sensors and mode; told when it moved
	statusOld    uint64
	beats        int
}

// New opens everything an agent keeps and makes a new incarnation. cfg must
// be valid.
func New(cfg Config, deps Deps) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	deps.fill()
	a := &Agent{
		deps: deps, log: deps.Log, metrics: &obs.Registry{}, began: time.Now(), dataDir: cfg.DataDir, cfg: cfg,
		wake: make(chan struct{}, 1), child: childState{load: true},
	}
	for _, dir := range []string{cfg.DataDir, a.path("run")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	if err := a.lock(); err != nil {
		return nil, err
	}
	a.register()
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, nil
}

func (d *Deps) fill() {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Spawn == nil {
		d.Spawn = func(kind string) *exec.Cmd {
			c := exec.Command("/proc/self/exe", kind) // this binary, even if its file was replaced
			c.Args[0] = "hauberk-agent"
			return c
		}
	}
	if d.Loader == nil {
		root := os.Geteuid() == 0
		d.Loader = &root
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	if d.BackoffMin == 0 {
		d.BackoffMin = 500 * time.Millisecond
	}
	if d.BackoffMax == 0 {
		d.BackoffMax = 2 * time.Minute
	}
}

func (a *Agent) path(name ...string) string {
	return filepath.Join(append([]string{a.dataDir}, name...)...)
}

// lock makes sure that no other agent uses the data directory: two would give
// the same positions. The kernel releases it with the process.
func (a *Agent) lock() error {
	fd, err := unix.Open(a.path("run", "lock"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return fmt.Errorf("another agent runs with data directory %s", a.dataDir)
	}
	a.lockFD = fd
	return nil // held until the process ends
}

// unlock lets another agent of the same process use the data directory.
func (a *Agent) unlock() { unix.Close(a.lockFD) }

func (a *Agent) register() {
	r := a.metrics
	a.trips = r.Counter("hauberk_agent_breaker_trips_total", "", "Times the breaker stopped the collector.")
	a.jumps = r.Counter("hauberk_agent_clock_jumps_total", "", "Times the wall clock moved against the monotonic one.")
	a.restarts = r.Counter("hauberk_agent_collector_restarts_total", "", "Times the collector was started again.")
	a.refused = r.Counter("hauberk_agent_configs_refused_total", "", "Configs of the centre that were refused.")
}

func (a *Agent) open() (err error) {
	if a.central, err = central.Load(a.path(central.File)); err != nil {
		a.log.Error("centre's last config is lost", "cause", err)
	}
	if len(a.central.Body) > 0 {
		if next, err := a.cfg.withCentral(a.central.Body); err != nil {
			a.log.Error("centre's last config no longer fits", "cause", err)
			a.central, a.centralError = central.Config{}, err.Error()
		} else {
			a.cfg = next
		}
	}
	a.setLevel(a.cfg.Log.Level)
	if a.spool, err = spool.Open(spool.Config{Dir: a.path("spool"), MaxBytes: int64(a.cfg.Spool.MaxBytes)}, a.log, a.metrics); err != nil {
		return err
	}
	if a.mode, err = mode.Open(a.dataDir); err != nil {
		return err
	}
	a.breaker = breaker.New(a.cfg.breakerLimits())
	if id, err := identity.Load(a.path("identity")); err == nil {
		return a.join(id)
	} else if !errors.Is(err, identity.ErrNotEnrolled) {
		return err
	}
	a.log.Warn("not enrolled: events wait in the spool; run hauberk-agent enroll")
	return nil
}

func (c *Config) breakerLimits() breaker.Limits {
	b := c.Breaker
	return breaker.Limits{CPU: b.CPU, Memory: uint64(b.Memory), Samples: b.Samples, Pause: b.Pause, MaxPause: b.MaxPause}
}

// join makes an enrolled identity the agent's.
func (a *Agent) join(id *identity.Identity) error {
	a.mu.Lock()
	gateways, allowed := a.cfg.Gateways, a.cfg.Safety.Commands
	a.mu.Unlock()
	runner, err := command.New(command.Config{
		Dir: a.dataDir, Keys: id.Keys(), Self: a.subject, Allowed: allowed,
		Funcs: a.commandFuncs(), Report: a.report, Log: a.log, Metrics: a.metrics,
	})
	if err != nil {
		return err
	}
	if len(gateways) == 0 {
		gateways = id.Gateways()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.identity, a.commands = id, runner
	a.client = link.NewClient(link.ClientConfig{
		Gateways: gateways, BackoffMin: a.deps.BackoffMin, BackoffMax: a.deps.BackoffMax,
		Incarnation: a.spool.Incarnation(), Log: a.log, Metrics: a.metrics,
	}, (*owner)(a), a.spool)
	return nil
}

// now is the time since the agent began, by the monotonic clock.
func (a *Agent) now() time.Duration { return time.Since(a.began) }

func parseLevel(text string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(text)); err != nil || strings.ContainsAny(text, "+-") {
		return l, fmt.Errorf("want debug, info, warn or error, have %.40q", text)
	}
	return l, nil
}

func (a *Agent) setLevel(text string) {
	if l, err := parseLevel(text); err == nil && a.deps.LogLevel != nil {
		a.deps.LogLevel.Set(l)
	}
}

// Tune makes the Go runtime keep this process small; master, collector and
// loader call it first, with how many processors they can use. Both lasting
// processes together are to stay within 15 MB: a heap of a few MB collected
// often costs less than one that grows.
func Tune(processors int) {
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(12 << 20)
	// Each processor keeps spans, caches and stacks of its own.
	runtime.GOMAXPROCS(min(processors, runtime.NumCPU()))
}

// Identity is who this machine is to the centre.
type Identity struct {
	Node               string    `json:"node"`
	Tenant             string    `json:"tenant"`
	Gateways           []string  `json:"gateways"`
	CertificateExpires time.Time `json:"certificate_expires"`
}

// ReadIdentity reads what Enrol stored; the agent need not run.
func ReadIdentity(dataDir string) (*Identity, error) {
	id, err := identity.Load(filepath.Join(dataDir, "identity"))
	if errors.Is(err, identity.ErrNotEnrolled) {
		return nil, fmt.Errorf("%w: run hauberk-agent enroll", err)
	}
	if err != nil {
		return nil, err
	}
	return &Identity{id.Node().String(), id.Tenant(), id.Gateways(), id.Credentials().Leaf.NotAfter.UTC()}, nil
}
