// Package detect turns events into alerts. It consumes hauberk.events from the
// bus, runs Sigma rules and their correlations over them, leaves out what an
// exception names, folds repeats into one alert with a count, and publishes
// alerts to hauberk.alerts; and it sends them to a file, a webhook and syslog.
//
// run.go has the pipeline and the argument why a crash loses and doubles
// nothing. The alert is specified in docs/formats/alerts.md; docs/guide/detect.md
// is for operators.
package detect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/detect/internal/engine"
	"github.com/hauberk/hauberk/detect/internal/except"
	"github.com/hauberk/hauberk/detect/internal/fold"
	"github.com/hauberk/hauberk/detect/internal/out"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/rules"
)

// Bus is what detect needs of the bus; *bus.Client has it.
type Bus interface {
	Consume(ctx context.Context, g bus.Group, handle func(context.Context, []bus.Message) error) error
	Publish(ctx context.Context, messages ...bus.Message) error
	Replay(ctx context.Context, topic string, partition int32, offset int64, handle func(context.Context, []bus.Message) error) error
	Usage(ctx context.Context) ([]bus.Usage, error)
}

// Exceptions gives the exceptions in force: Watch calls apply with all of them
// at once and again after every change, until ctx ends. It never changes a
// message it has given.
type Exceptions interface {
	Watch(ctx context.Context, apply func([]*fleet.Exception)) error
}

// Deps are what detect uses of others. Exceptions, Log, Metrics and Now may be
// nil: no exceptions, silence, a registry of its own, time.Now.
type Deps struct {
	Bus        Bus
	Exceptions Exceptions
	Log        *slog.Logger
	Metrics    *obs.Registry
	Now        func() time.Time
}

// Detect is the detect role. Run may be called once.
type Detect struct {
	deps    Deps
	count   counters
	outputs []*out.Output
	seen    atomic.Pointer[engine.Counters]

	// mu guards the engine and what belongs to it; it is held while alerts are
	// published, so that the publications of one alert keep their order.
	mu        sync.Mutex
	config    Config
	rules     *ruleset.Rules
	signature string
	engine    *engine.Engine
	matchers  []*engine.Matcher
	next      map[int32]int64 // per partition of events: the offset to come
}

// New loads the rules and opens the outputs. A rule that is refused is logged
// and counted; only a folder that cannot be read is an error.
func New(config Config, deps Deps) (*Detect, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("detect config: %w", err)
	}
	if deps.Bus == nil {
		return nil, errors.New("detect needs a bus")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = &obs.Registry{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	d := &Detect{deps: deps, config: config, count: newCounters(deps.Metrics), next: map[int32]int64{}}
	loaded, signature, err := load(config.Rules)
	if err != nil {
		return nil, err
	}
	d.engine = engine.New(loaded, limits(config))
	d.install(loaded, signature)
	d.note()
	d.gauges(deps.Metrics)
	if d.outputs, err = d.openOutputs(config.Output); err != nil {
		return nil, err
	}
	return d, nil
}

// load reads all rules that config names.
func load(config Rules) (*ruleset.Rules, string, error) {
	var sources []ruleset.Source
	var signature strings.Builder
	if config.Embedded {
		sources = append(sources, ruleset.Source{Name: rules.Name + " " + rules.Version, FS: rules.FS()})
	}
	for _, dir := range config.Dirs {
		s, err := ruleset.Dir(dir)
		if err != nil {
			return nil, "", err
		}
		signature.WriteString(s.Name + "\n" + s.Signature())
		sources = append(sources, s)
	}
	loaded, err := ruleset.Load(sources, config.Disabled)
	return loaded, signature.String(), err
}

func limits(c Config) engine.Limits {
	minimum, _ := event.ParseSeverity(c.Minimum) // Validate has checked it
	return engine.Limits{
		Fold:    fold.Limits{Window: c.Fold.Window, Interval: c.Fold.Interval, Folds: c.Fold.Limit},
		Minimum: minimum, Storm: c.Fold.Storm,
	}
}

// install puts rules in force; d.mu is held or d is not shared yet.
func (d *Detect) install(loaded *ruleset.Rules, signature string) {
	d.rules, d.signature = loaded, signature
	d.engine.SetRules(loaded)
	workers := d.config.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	d.matchers = d.matchers[:0]
	for range workers {
		d.matchers = append(d.matchers, engine.NewMatcher(loaded))
	}
	clear(d.next) // correlations begin afresh: warm them again
	d.count.rules.Store(uint64(loaded.Set.Len()))
	d.count.refused.Store(uint64(len(loaded.Problems)))
	for _, p := range loaded.Problems {
		d.deps.Log.Warn("rule refused", "source", p.Source, "err", p.Err)
	}
	d.deps.Log.Info("rules loaded", "rules", loaded.Set.Len(), "refused", len(loaded.Problems))
}

// Apply puts a config in force without a restart: rules, folding and minimum
// level. It fails, and changes nothing, when the config is invalid, a folder
// cannot be read, or something restart-only differs.
func (d *Detect) Apply(config Config) error {
	if err := config.Validate(); err != nil {
		return fmt.Errorf("detect config: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if config.Output != d.config.Output || config.Workers != d.config.Workers || config.Instance != d.config.Instance {
		return errors.New("apply detect config: output, workers and instance need a restart")
	}
	loaded, signature, err := load(config.Rules)
	if err != nil {
		return fmt.Errorf("apply detect config: %w", err)
	}
	d.config = config
	d.engine.SetLimits(limits(config))
	d.install(loaded, signature)
	return nil
}

// Reload reads the rules again, as after SIGHUP. The rules in force stay when
// a folder cannot be read.
func (d *Detect) Reload() error {
	d.mu.Lock()
	config := d.config
	d.mu.Unlock()
	return d.Apply(config)
}

// reloadIfChanged is Reload when the folders differ from what was read.
func (d *Detect) reloadIfChanged() error {
	d.mu.Lock()
	config, old := d.config, d.signature
	d.mu.Unlock()
	var now strings.Builder
	for _, dir := range config.Rules.Dirs {
		s, err := ruleset.Dir(dir)
		if err != nil {
			return err
		}
		now.WriteString(s.Name + "\n" + s.Signature())
	}
	if now.String() == old {
		return nil
	}
	return d.Apply(config)
}

// SetExceptions puts exceptions in force; Run does it by Deps.Exceptions.
func (d *Detect) SetExceptions(all []*fleet.Exception) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.SetExceptions(except.New(all))
}

// RuleInfo is a rule in force, for lists.
type RuleInfo struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Level      string   `json:"level"`
	Techniques []string `json:"techniques,omitempty"`
	Source     string   `json:"source"` // rule set and version, or folder
}

// InForce lists the rules in force that raise alerts.
func (d *Detect) InForce() []RuleInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []RuleInfo
	for _, i := range d.rules.Info {
		if i.Raises {
			list = append(list, RuleInfo{i.Key, i.Title, i.Severity.Word(), i.Techniques, i.Source})
		}
	}
	return list
}

func (d *Detect) openOutputs(c Output) ([]*out.Output, error) {
	var outputs []*out.Output
	add := func(name string, sink out.Sink, err error) error {
		if err != nil {
			for _, o := range outputs {
				_ = o.Close() // the error below is the one to report
			}
			return fmt.Errorf("open output %s: %w", name, err)
		}
		outputs = append(outputs, out.New(name, sink, c.Queue, d.deps.Log, d.deps.Metrics))
		return nil
	}
	if c.File.Path != "" {
		sink, err := out.NewFile(c.File.Path, c.File.MaxBytes)
		if err := add("file", sink, err); err != nil {
			return nil, err
		}
	}
	if c.Webhook.URL != "" {
		sink, err := out.NewWebhook(c.Webhook.URL, string(c.Webhook.Secret), c.Webhook.CAFile, d.deps.Now)
		if err := add("webhook", sink, err); err != nil {
			return nil, err
		}
	}
	if c.Syslog.Address != "" {
		hostname, _ := os.Hostname() // RFC 5424 allows none
		sink, err := out.NewSyslog(c.Syslog.Address, c.Syslog.Facility, hostname, c.Syslog.CAFile)
		if err := add("syslog", sink, err); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}
