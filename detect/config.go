package detect

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/detect/internal/out"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/conf"
)

// Config of the detect role. Rules, Fold and Minimum can change while it runs
// (Apply); the rest is restart-only.
type Config struct {
	Rules Rules `yaml:"rules"`
	// Minimum is the lowest level that becomes an alert: informational, low,
	// medium, high or critical.
	Minimum string `yaml:"minimum_level"`
	Fold    Fold   `yaml:"fold"`
	// Workers match events in parallel, 1 to 256; 0 means one per core.
	Workers int `yaml:"workers"`
	// Instance names this member of the consumer group for ever, so that it
	// takes its partitions back at once after a restart; unique within the
	// group. Empty: a new member at every start.
	Instance string `yaml:"instance"`
	Output   Output `yaml:"output"`
}

// Rules says which Sigma rules are in force.
type Rules struct {
	// Embedded: Hauberk's own rules, those of package rules.
	Embedded bool `yaml:"embedded"`
	// Dirs are folders of Sigma rules, read with all folders below.
	Dirs []string `yaml:"dirs"`
	// Disabled are ids of rules that are left out.
	Disabled []string `yaml:"disabled"`
	// Watch is how often Dirs are looked at for changes, 1 s to 1 h; 0: only
	// on Reload.
	Watch time.Duration `yaml:"watch"`
}

// Fold says how repeats become one alert.
type Fold struct {
	// Window is how long after a match a repeat still belongs to it, 1 min to
	// 7 days.
	Window time.Duration `yaml:"window"`
	// Interval is the least time between two publications of one alert, 1 s
	// to 10 min.
	Interval time.Duration `yaml:"interval"`
	// Limit bounds the open alerts that are remembered, 100 to 1,000,000; one
	// takes some 5 KB.
	Limit int `yaml:"limit"`
	// Storm is how many alerts one rule may open within a minute, 1 to
	// 100,000; past it its matches fold by rule and node alone.
	Storm int `yaml:"storm"`
}

// Output says where alerts go besides the bus.
type Output struct {
	// Queue bounds the alerts that wait for each output, 1 to 100,000. What
	// does not fit is dropped and counted.
	Queue   int     `yaml:"queue"`
	File    File    `yaml:"file"`
	Webhook Webhook `yaml:"webhook"`
	Syslog  Syslog  `yaml:"syslog"`
}

// File is the output of one JSON object per line.
type File struct {
	Path     string `yaml:"path"`      // absolute; empty: none
	MaxBytes int64  `yaml:"max_bytes"` // size at which it is renamed to <path>.1, 64 KiB to 100 GiB
}

// Webhook is the output that posts each alert.
type Webhook struct {
	URL    string      `yaml:"url"`     // https, or http to a loopback address; empty: none
	Secret conf.Secret `yaml:"secret"`  // signs the requests (HMAC-SHA256)
	CAFile string      `yaml:"ca_file"` // PEM; empty: the system's roots
}

// Syslog is the output of RFC 5424 messages.
type Syslog struct {
	Address  string `yaml:"address"`  // unix:/dev/log, udp://, tcp:// or tls://host:port; empty: none
	Facility int    `yaml:"facility"` // 0 to 23; 10 is authpriv, 13 audit
	CAFile   string `yaml:"ca_file"`  // PEM, for tls
}

// DefaultConfig has Hauberk's own rules and no outputs.
func DefaultConfig() Config {
	return Config{
		Rules:   Rules{Embedded: true, Watch: 10 * time.Second},
		Minimum: event.Severity_SEVERITY_LOW.Word(),
		Fold:    Fold{Window: time.Hour, Interval: 5 * time.Second, Limit: 10_000, Storm: 100},
		Output:  Output{Queue: 1000, File: File{MaxBytes: 64 << 20}, Syslog: Syslog{Facility: 10}},
	}
}

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	for _, d := range c.Rules.Dirs {
		if !filepath.IsAbs(d) {
			p.Addf("rules.dirs: %s is not an absolute path", d)
		}
	}
	if c.Rules.Watch != 0 {
		p.DurationBetween("rules.watch", c.Rules.Watch, time.Second, time.Hour)
	}
	if _, ok := event.ParseSeverity(c.Minimum); !ok {
		p.Addf("minimum_level: %q is none of informational, low, medium, high, critical", c.Minimum)
	}
	p.DurationBetween("fold.window", c.Fold.Window, time.Minute, 7*24*time.Hour)
	p.DurationBetween("fold.interval", c.Fold.Interval, time.Second, 10*time.Minute)
	p.Between("fold.limit", int64(c.Fold.Limit), 100, 1_000_000)
	p.Between("fold.storm", int64(c.Fold.Storm), 1, 100_000)
	p.Between("workers", int64(c.Workers), 0, 256)
	c.Output.validate(&p)
	return p.Err()
}

func (o *Output) validate(p *conf.Problems) {
	p.Between("output.queue", int64(o.Queue), 1, 100_000)
	if o.File.Path != "" {
		if !filepath.IsAbs(o.File.Path) {
			p.Addf("output.file.path: %s is not an absolute path", o.File.Path)
		}
		p.Between("output.file.max_bytes", o.File.MaxBytes, 64<<10, 100<<30)
	}
	if o.Webhook.URL != "" {
		u, err := url.Parse(o.Webhook.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
			p.Addf("output.webhook.url: want https://..., or http:// to a loopback address")
		}
	}
	if o.Syslog.Address != "" {
		if _, _, err := out.ParseSyslogAddress(o.Syslog.Address); err != nil {
			p.Addf("output.syslog.address: %v", err)
		}
		p.Between("output.syslog.facility", int64(o.Syslog.Facility), 0, 23)
	}
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
