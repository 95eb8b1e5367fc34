// Package decoy is Hauberk's honeypot on a network stack of its own: it answers on every port of whole prefixes, tells each
// session as an event, and serves DNS zones. What belongs to the kernel of its machine stays there.
//
// It never opens a connection, and never sends more than it was sent to anybody who has not completed a handshake, its own
// zones apart, whose answers are limited by rate.
package decoy

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/hauberk/hauberk/decoy/internal/dns"
)

// Deps is what a decoy is given.
type Deps struct {
	Log  *slog.Logger
	Sink Sink // Told of sessions besides the file; nil: nobody.
}

// Decoy is a honeypot.
type Decoy struct {
	cfg   Config
	log   *slog.Logger
	sink  Sink
	zones *dns.Zones
}

// New checks the configuration and reads the zones. A mistake in a zone names file, line and reason.
func New(cfg Config, deps Deps) (*Decoy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Decoy{cfg: cfg, log: deps.Log, sink: deps.Sink, zones: dns.NewZones()}
	for _, z := range cfg.DNS.Zones {
		if err := d.load(z); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Decoy) load(z Zone) error {
	file, err := os.Open(z.File)
	if err != nil {
		return fmt.Errorf("zone %s: %w", z.Name, err)
	}
	defer file.Close()
	return d.zones.Load(z.Name, z.File, file)
}
