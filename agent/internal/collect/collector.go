package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect/authlog"
	"github.com/hauberk/hauberk/agent/internal/collect/cnproc"
	"github.com/hauberk/hauberk/agent/internal/collect/ebpf"
	"github.com/hauberk/hauberk/agent/internal/collect/fanotify"
	"github.com/hauberk/hauberk/agent/internal/collect/hash"
	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
)

// RunLoader puts the eBPF programs into the kernel, pins them below
// config.Dir and returns. An error means that this host gets no eBPF; the
// collector then takes the next rung by itself.
func RunLoader(ctx context.Context, config Config, log *slog.Logger) error {
	if config.Process.Method != "auto" && config.Process.Method != "ebpf" {
		return nil
	}
	if err := ebpf.Load(config.load()); err != nil {
		return fmt.Errorf("loader: %w", err)
	}
	log.Debug("eBPF programs are pinned", "dir", config.pins())
	return ctx.Err()
}

// Unpin removes from the kernel what the loader of this config.Dir left there.
// It is no error if there is nothing.
func Unpin(config Config) error {
	if err := ebpf.Unpin(config.pins()); err != nil {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}

func (c *Config) load() ebpf.LoadConfig {
	return ebpf.LoadConfig{
		Pins: c.pins(), BulkRing: c.BulkRing, PriorityRing: c.PriorityRing, WakeBytes: c.WakeBytes,
		Directory: c.Process.Directory, Network: c.Network.Enabled,
		Denied: c.Denied.Enabled, DeniedPerSecond: c.Denied.PerSecond,
	}
}

// collector is one run of the collector process.
//
// Pipeline, in order:
//  1. sources read what the kernel has for them      (each its own goroutine)
//  2. host adds process, ancestors, user, container  (under the host's lock)
//  3. writer marshals into a frame, canaries go out  (under the writer's lock)
//  4. frames go to the master at each end of a drain (same goroutine)
type collector struct {
	config   Config
	log      *slog.Logger
	counters *obs.Registry
	host     *host.Host
	hashes   *hash.Cache
	canary   *canary
	writer   *writer
	sources  []source.Source

	mu      sync.Mutex
	sensors []*event.Sensor
}

// RunCollector runs every source that this host allows and writes frames of
// agent/internal/pipe to out until ctx ends or out fails. The pins stay: the
// master calls Unpin when it ends.
func RunCollector(ctx context.Context, config Config, out io.Writer, log *slog.Logger) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	c := &collector{config: config, log: log, counters: &obs.Registry{}}
	c.host = host.New(config.Process.TableEntries, c.counters)
	c.hashes = hash.New(config.Process.HashMaxBytes, config.Process.HashBytesPerSecond, c.counters)
	var err error
	if c.canary, err = newCanary(config.canaries()); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	defer c.canary.remove()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.writer = newWriter(out, c.canary, c.counters, cancel)

	proofs := c.open()
	// Opening needed memory that running does not.
	debug.FreeOSMemory()
	group, ctx := run.NewGroup(ctx)
	for _, s := range c.sources {
		group.Go(s.Name(), func(ctx context.Context) error { return c.runSource(ctx, s) })
	}
	group.Go("hashes", c.hashes.Run)
	group.Go("status", c.report)
	group.Go("canaries", func(ctx context.Context) error { return c.prove(ctx, proofs) })
	err = group.Wait()
	if err == nil {
		err = c.sendStatus("stop")
	}
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	return nil
}

// proof is what must fire before a sensor counts as active.
type proof struct {
	sensor *event.Sensor
	want   source.Capability
}

// Sensors, as Sensor.name has them.
const (
	sensorProcess = "process"
	sensorNetwork = "network"
	sensorDenied  = "denied"
	sensorFile    = "file"
	sensorLogin   = "login"
)

// open opens the sources and lists the sensors with what must prove them.
func (c *collector) open() []proof {
	var proofs []proof
	proofs = append(proofs, c.openProcess()...)
	proofs = append(proofs, c.openFile(), c.openLogin())
	c.sensors = make([]*event.Sensor, 0, len(proofs))
	for _, p := range proofs {
		c.sensors = append(c.sensors, p.sensor)
	}
	return proofs
}

func sensor(name, method string, state event.SensorState, reason string) *event.Sensor {
	return &event.Sensor{Name: name, Method: method, State: state, Reason: reason}
}

// disabled is a sensor that is turned off.
func disabled(name, why string) proof {
	return proof{sensor: sensor(name, "", event.SensorState_SENSOR_STATE_DISABLED, why)}
}

func unavailable(name, method string, err error) proof {
	return proof{sensor: sensor(name, method, event.SensorState_SENSOR_STATE_UNAVAILABLE, err.Error())}
}

// starting takes a source in and lists what must prove it.
func (c *collector) starting(name string, s source.Source, want source.Capability) proof {
	if !slices.Contains(c.sources, s) {
		c.sources = append(c.sources, s)
	}
	return proof{sensor(name, s.Name(), event.SensorState_SENSOR_STATE_STARTING, ""), want}
}

func (c *collector) openFile() proof {
	if !c.config.File.Enabled {
		return disabled(sensorFile, "turned off")
	}
	paths := append(slices.Clone(c.config.File.Paths), c.config.canaries())
	s, err := fanotify.Open(paths, c.host, c.counters)
	if err != nil {
		return unavailable(sensorFile, "fanotify", err)
	}
	return c.starting(sensorFile, s, source.File)
}

func (c *collector) openLogin() proof {
	method := c.config.Login.Method
	if method == "off" {
		return disabled(sensorLogin, "turned off")
	}
	var problems []error
	if method == "auto" || method == authlog.MethodFile {
		s, err := authlog.OpenFile(c.config.Login.Files, c.host, c.counters)
		if err == nil {
			return c.starting(sensorLogin, s, source.Login)
		}
		problems = append(problems, err)
	}
	if method == "auto" || method == authlog.MethodJournal {
		s, err := authlog.OpenJournal(c.host, c.counters)
		if err == nil {
			return c.starting(sensorLogin, s, source.Login)
		}
		problems = append(problems, err)
	}
	return unavailable(sensorLogin, method, errors.Join(problems...))
}

// openProcess opens eBPF and takes from it what it can see, or the process
// connector, which sees processes only.
func (c *collector) openProcess() []proof {
	method := c.config.Process.Method
	if method == "off" {
		return []proof{disabled(sensorProcess, "turned off"), disabled(sensorNetwork, "process.method is off"), disabled(sensorDenied, "process.method is off")}
	}
	var err error
	if method != "cn_proc" {
		var s *ebpf.Source
		if s, err = c.openEBPF(); err == nil {
			c.host.Refresh = s.Drain
			return []proof{
				c.starting(sensorProcess, s, source.Exec|source.Exit),
				c.partOf(s, sensorNetwork, c.config.Network.Enabled, source.Connect|source.Accept|source.Listen),
				c.partOf(s, sensorDenied, c.config.Denied.Enabled, source.Denied),
			}
		}
		c.log.Warn("no eBPF", "error", err)
	} else {
		err = errors.New("process.method is cn_proc, which sees processes only")
	}
	proofs := []proof{unavailable(sensorProcess, "ebpf/tp_btf", err), unavailable(sensorNetwork, "ebpf/tp_btf", err), unavailable(sensorDenied, "ebpf/tp_btf", err)}
	if method == "ebpf" {
		return proofs
	}
	s, connectorErr := cnproc.Open(c.host, c.counters)
	if connectorErr != nil {
		proofs[0] = unavailable(sensorProcess, "cn_proc", errors.Join(err, connectorErr))
		return proofs
	}
	proofs[0] = c.starting(sensorProcess, s, source.Exec|source.Exit)
	return proofs
}

func (c *collector) openEBPF() (*ebpf.Source, error) {
	return ebpf.Open(ebpf.Config{
		Load: c.config.load(), Interval: c.config.Interval,
		Sensitive: append(slices.Clone(c.config.Denied.Paths), c.config.canaries()), Hashes: c.hashes,
	}, c.host, c.counters)
}

// partOf is a sensor that is a part of the eBPF source.
func (c *collector) partOf(s *ebpf.Source, name string, enabled bool, want source.Capability) proof {
	switch {
	case !enabled:
		return disabled(name, "turned off")
	case !s.Capabilities().Has(want):
		return unavailable(name, s.Name(), errors.New(s.Missing(name)))
	}
	return c.starting(name, s, want)
}

// runSource runs one source; its failure ends only itself and shows in its
// sensors, unless it is the source of processes, without which the collector
// is not worth keeping: the master starts it anew.
func (c *collector) runSource(ctx context.Context, s source.Source) error {
	err := s.Run(ctx, c.writer)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	if s.Capabilities().Has(source.Exec) {
		return err
	}
	c.log.Error("source failed", "source", s.Name(), "error", err)
	c.mu.Lock()
	for _, sensor := range c.sensors {
		if sensor.Method == s.Name() {
			sensor.State, sensor.Reason = event.SensorState_SENSOR_STATE_FAILED, err.Error()
		}
	}
	c.mu.Unlock()
	return c.sendStatus("sensor")
}

// proveAgain is how often an active sensor must prove itself anew.
const proveAgain = 5 * time.Minute

// prove runs the canaries of all sensors side by side, and again later.
func (c *collector) prove(ctx context.Context, proofs []proof) error {
	for {
		var wg sync.WaitGroup
		for _, p := range proofs {
			if p.want == 0 {
				continue
			}
			wg.Go(func() { c.proveOne(ctx, p) })
		}
		wg.Wait()
		if err := c.sendStatus("sensor"); err != nil {
			return err
		}
		if err := run.Sleep(ctx, proveAgain); err != nil {
			return nil
		}
	}
}

func (c *collector) proveOne(ctx context.Context, p proof) {
	err := c.canary.prove(ctx, p.want)
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.log.Warn("sensor does not fire", "sensor", p.sensor.Name, "method", p.sensor.Method, "error", err)
		p.sensor.State, p.sensor.Reason = event.SensorState_SENSOR_STATE_FAILED, err.Error()
		return
	}
	p.sensor.State, p.sensor.Reason = event.SensorState_SENSOR_STATE_ACTIVE, ""
}

// report sends a status at once and every StatusInterval.
func (c *collector) report(ctx context.Context) error {
	for {
		if err := c.sendStatus("status"); err != nil {
			return err
		}
		if err := run.Sleep(ctx, c.config.StatusInterval); err != nil {
			return nil
		}
	}
}

func (c *collector) sendStatus(reason string) error {
	status := &event.NodeStatus{Reason: reason}
	for _, r := range c.counters.Readings() {
		status.Counters = append(status.Counters, &event.Counter{Name: r.Name, Label: r.Label, Value: r.Value})
	}
	c.mu.Lock()
	for _, s := range c.sensors {
		status.Sensors = append(status.Sensors, sensor(s.Name, s.Method, s.State, s.Reason))
	}
	c.mu.Unlock()
	return c.writer.status(status)
}
