// Package control is the control plane: the gateway role, to which every node
// is connected, and Admin, by which api and cli rule the fleet. State that
// must be agreed on is in etcd (docs/formats/control-keys.md): tokens,
// enrolments, configuration, commands, modes, exceptions, one key per
// gateway. What happens at the rate of events or heartbeats never touches
// etcd: it goes to the bus.
//
// RunEtcd is the embedded etcd, which the bus role runs.
package control

import (
	"net"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/link"
)

// Config is the gateway role's, and Admin's. It is restart-only.
type Config struct {
	Etcd Etcd `yaml:"etcd"`
	// SealingKey is the file with the key that opens the secrets in etcd,
	// made at the first start; every machine with a gateway or API needs the
	// same one.
	SealingKey string `yaml:"sealing_key"`
	// Domain is the SPIFFE trust domain, fixed at the first start. Empty:
	// whatever the authority was made for, else hauberk.internal.
	Domain string `yaml:"domain"`

	// Listen is where nodes connect, host:port.
	Listen string `yaml:"listen"`
	// Advertise is where nodes shall connect next time, host:port. Empty:
	// nodes keep the addresses they have.
	Advertise string `yaml:"advertise"`
	// Name of this gateway, 1 to 200 of a-z, 0-9, '.', '-' and '_'.
	Name string `yaml:"name"`
	// Heartbeat is the pause between two words of an idle node, 1 s to 5 min;
	// one that is silent for 2.5 of them is offline.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// Handshakes bounds TLS handshakes per second, 10 to 1,000,000; what comes
	// beyond is closed unread, and nodes back off. One takes 0.4 ms of a core.
	Handshakes int `yaml:"handshakes_per_second"`
	// MaxBackoff is the ceiling of nodes' pauses between attempts, 1 s to 1 h.
	MaxBackoff time.Duration `yaml:"max_backoff"`
	// PresenceEvery is how often what is known of a node goes to the bus when
	// nothing changed, 10 s to 1 h.
	PresenceEvery time.Duration `yaml:"presence_every"`
	// Drain is how long nodes are sent away one after the other before the
	// gateway ends, 0 to 10 min. 0 sends them all at once.
	Drain time.Duration `yaml:"drain"`
}

// DefaultConfig has no etcd endpoints and no sealing key: cmd fills in those
// of the data folder.
func DefaultConfig() Config {
	return Config{
		Etcd:          etcd.DefaultClientConfig(),
		Listen:        "127.0.0.1:7443",
		Name:          "gateway",
		Heartbeat:     link.DefaultHeartbeat,
		Handshakes:    800 * runtime.GOMAXPROCS(0),
		MaxBackoff:    2 * time.Minute,
		PresenceEvery: 5 * time.Minute,
	}
}

// Validate reports all problems.
func (c *Config) Validate() error {
	var p conf.Problems
	c.Etcd.Check(&p)
	if !filepath.IsAbs(c.SealingKey) {
		p.Addf("sealing_key: %q: want an absolute path", c.SealingKey)
	}
	for _, a := range []struct{ key, value string }{{"listen", c.Listen}, {"advertise", c.Advertise}} {
		if a.value == "" && a.key == "advertise" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			p.Addf("%s: %q: want host:port", a.key, a.value)
		}
	}
	if host, _, _ := net.SplitHostPort(c.Advertise); c.Advertise != "" && (host == "" || net.ParseIP(host).IsUnspecified()) {
		p.Addf("advertise: %q: nodes need an address to connect to", c.Advertise)
	}
	if c.Domain != "" && !plain(c.Domain, 255) {
		p.Addf("domain: %q: want 1 to 255 of a-z, 0-9, '.', '-' and '_'", c.Domain)
	}
	if !plain(c.Name, 200) {
		p.Addf("name: %q: want 1 to 200 of a-z, 0-9, '.', '-' and '_'", c.Name)
	}
	p.DurationBetween("heartbeat", c.Heartbeat, time.Second, 5*time.Minute)
	p.Between("handshakes_per_second", int64(c.Handshakes), 10, 1_000_000)
	p.DurationBetween("max_backoff", c.MaxBackoff, time.Second, time.Hour)
	p.DurationBetween("presence_every", c.PresenceEvery, 10*time.Second, time.Hour)
	p.DurationBetween("drain", c.Drain, 0, 10*time.Minute)
	return p.Err()
}

// plain reports whether s may be part of a SPIFFE id.
func plain(s string, limit int) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= limit
}
