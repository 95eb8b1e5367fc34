package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/agent/internal/collect"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/node/spool"
)

// Config is everything an operator can say to an agent. What the centre may
// say too is Shared; the rest is this machine's own.
//
// Precedence: defaults, then the centre's config, then the local file, then
// flags. Safety bounds come from the local file alone, and a config of the
// centre beyond them is refused whole.
type Config struct {
	// DataDir holds identity, spool, mode and the status socket. 0700.
	DataDir string `yaml:"data_dir"`
	// Gateways are host:port; empty: those given at enrolment.
	Gateways []string `yaml:"gateways"`
	Safety   Safety   `yaml:"safety"`
	Shared   `yaml:",inline"`

	layers layers
}

// Safety bounds what the centre can make this agent do.
type Safety struct {
	MaxCPU    float64 `yaml:"max_cpu"`    // cores, of limits.cpu
	MaxMemory Size    `yaml:"max_memory"` // of limits.memory
	MaxSpool  Size    `yaml:"max_spool"`  // of spool.max_bytes
	// Commands the centre may send; absent: all there are.
	Commands []string `yaml:"commands"`
	// CentralConfig lets the centre configure this agent at all.
	CentralConfig bool `yaml:"central_config"`
}

// Shared is the part of the configuration that the centre may set.
type Shared struct {
	Log     LogConfig      `yaml:"log"`
	Spool   SpoolConfig    `yaml:"spool"`
	Limits  LimitsConfig   `yaml:"limits"`
	Breaker BreakerConfig  `yaml:"breaker"`
	Collect collect.Config `yaml:"collect"`
}

// LogConfig is about the agent's own log on standard error.
type LogConfig struct {
	Level string `yaml:"level"` // debug, info, warn, error
}

// SpoolConfig bounds the queue on disk.
type SpoolConfig struct {
	MaxBytes Size `yaml:"max_bytes"`
}

// LimitsConfig is what the control group holds the collector to.
type LimitsConfig struct {
	CPU    float64 `yaml:"cpu"`    // cores; 0: no limit
	Memory Size    `yaml:"memory"` // 0: no limit
}

// BreakerConfig says when the agent gets out of the host's way: Samples in a
// row, one each Interval, of master and collector together over a bound.
type BreakerConfig struct {
	CPU      float64       `yaml:"cpu"`    // cores; 0: no bound
	Memory   Size          `yaml:"memory"` // proportional set size; 0: no bound
	Samples  int           `yaml:"samples"`
	Interval time.Duration `yaml:"interval"`
	Pause    time.Duration `yaml:"pause"` // after the first trip, doubled by each that follows
	MaxPause time.Duration `yaml:"max_pause"`
}

// DefaultConfig returns what an agent does without being told.
func DefaultConfig() Config {
	c := Config{
		DataDir: DefaultDataDir(),
		Safety:  Safety{MaxCPU: float64(runtime.NumCPU()), MaxMemory: 256 << 20, MaxSpool: 4 << 30, CentralConfig: true},
		Shared: Shared{
			Log:    LogConfig{Level: "info"},
			Spool:  SpoolConfig{MaxBytes: 256 << 20},
			Limits: LimitsConfig{CPU: 0.5, Memory: 64 << 20},
			Breaker: BreakerConfig{
				// A burst of a few seconds is work; half a minute at this
				// rate is a burden on the host.
				CPU: 0.3, Memory: 96 << 20, Samples: 30,
				Interval: time.Second, Pause: time.Minute, MaxPause: 30 * time.Minute,
			},
			Collect: collect.DefaultConfig(),
		},
	}
	c.Collect.Dir = "" // <data_dir>/run
	return c
}

// DefaultDataDir is /var/lib/hauberk-agent for root, else below
// $XDG_STATE_HOME.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/hauberk-agent"
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		state = filepath.Join(os.Getenv("HOME"), ".local", "state")
	}
	return filepath.Join(state, "hauberk-agent")
}

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	if !filepath.IsAbs(c.DataDir) {
		p.Addf("data_dir: want an absolute path, have %q", c.DataDir)
	}
	for _, g := range c.Gateways {
		if i := strings.LastIndexByte(g, ':'); i <= 0 || i == len(g)-1 {
			p.Addf("gateways: want host:port, have %q", g)
		}
	}
	if _, err := parseLevel(c.Log.Level); err != nil {
		p.Addf("log.level: %v", err)
	}
	if c.Spool.MaxBytes < spool.MinBytes || c.Spool.MaxBytes > c.Safety.MaxSpool {
		p.Addf("spool.max_bytes: %s is outside %s to %s (safety.max_spool)", c.Spool.MaxBytes, Size(spool.MinBytes), c.Safety.MaxSpool)
	}
	if c.Limits.CPU < 0 || c.Limits.CPU > c.Safety.MaxCPU {
		p.Addf("limits.cpu: %g is outside 0 to %g (safety.max_cpu)", c.Limits.CPU, c.Safety.MaxCPU)
	}
	if c.Limits.Memory != 0 && (c.Limits.Memory < minMemory || c.Limits.Memory > c.Safety.MaxMemory) {
		p.Addf("limits.memory: %s is neither 0 nor within %s to %s (safety.max_memory)", c.Limits.Memory, Size(minMemory), c.Safety.MaxMemory)
	}
	c.Breaker.validate(&p)
	collector := c.collector()
	if err := collector.Validate(); err != nil {
		p.Addf("collect: %v", err)
	}
	return p.Err()
}

// minMemory is what a collector with its rings and hash cache needs at least.
const minMemory = 24 << 20

func (b *BreakerConfig) validate(p *conf.Problems) {
	if b.CPU < 0 {
		p.Addf("breaker.cpu: %g is below 0", b.CPU)
	}
	if b.Memory != 0 && b.Memory < minMemory {
		p.Addf("breaker.memory: %s is neither 0 nor at least %s", b.Memory, Size(minMemory))
	}
	p.Between("breaker.samples", int64(b.Samples), 1, 3600)
	p.DurationBetween("breaker.interval", b.Interval, 100*time.Millisecond, time.Minute)
	p.DurationBetween("breaker.pause", b.Pause, time.Second, 24*time.Hour)
	if b.MaxPause < b.Pause {
		p.Addf("breaker.max_pause: %s is below breaker.pause", b.MaxPause)
	}
}

// collector returns the collector's config with its folder resolved.
func (c *Config) collector() collect.Config {
	out := c.Collect
	if out.Dir == "" {
		out.Dir = filepath.Join(c.DataDir, "run")
	}
	return out
}

// layers are what the centre's config is laid between.
type layers struct {
	file  []byte
	flags func(*Config)
}

// Load reads the local file (none if path is empty) and applies flags, a
// function that sets what the command line says; nil sets nothing. The result
// remembers both, to lay a config of the centre below them.
func Load(path string, flags func(*Config)) (Config, error) {
	l := layers{flags: flags}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return Config{}, fmt.Errorf("read config: %w", err)
		}
		l.file = data
	}
	c, err := l.effective(nil)
	if err != nil && path != "" {
		return c, fmt.Errorf("config %s: %w", path, err)
	}
	return c, err
}

// A layer is not validated by itself: that is done once, with all laid.
type (
	sharedLayer Shared
	configLayer Config
)

func (*sharedLayer) Validate() error { return nil }
func (*configLayer) Validate() error { return nil }

// effective returns defaults < central < file < flags, validated.
func (l layers) effective(central []byte) (Config, error) {
	c := DefaultConfig()
	c.layers = l
	if len(bytes.TrimSpace(central)) > 0 {
		if err := conf.Decode(central, (*sharedLayer)(&c.Shared)); err != nil {
			return c, fmt.Errorf("centre's config: %w", err)
		}
		if c.Collect.Dir != "" {
			return c, errors.New("centre's config: collect.dir: only the local file may set it")
		}
	}
	if err := conf.Decode(l.file, (*configLayer)(&c)); err != nil {
		return c, err
	}
	if l.flags != nil {
		l.flags(&c)
	}
	return c, c.Validate()
}

// withCentral returns this config with the centre's laid below the local
// layers.
func (c *Config) withCentral(central []byte) (Config, error) {
	l := c.layers
	if l.file == nil && l.flags == nil {
		// Made in code, not loaded: its own part stays, the shared part is
		// the centre's to change.
		own := *c
		l.flags = func(to *Config) { to.DataDir, to.Gateways, to.Safety = own.DataDir, own.Gateways, own.Safety }
	}
	if len(central) > 0 && !c.Safety.CentralConfig {
		return *c, errors.New("this machine's configuration does not let the centre configure it (safety.central_config)")
	}
	next, err := l.effective(central)
	next.layers = c.layers
	return next, err
}

// CheckCentral reports what is wrong with a config of the centre for agents:
// what a node whose own file says nothing would refuse.
func CheckCentral(central []byte) error {
	_, err := layers{}.effective(central)
	return err
}

// Size is a number of bytes, written with or without KiB, MiB or GiB.
type Size int64

var units = []struct {
	name string
	size Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseSize reads what String writes.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62/unit) {
		return 0, fmt.Errorf("size %.40q: want a number of bytes, or one with KiB, MiB or GiB", text)
	}
	return Size(n) * unit, nil
}

// MarshalYAML writes what String returns.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalText reads what ParseSize reads.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}
