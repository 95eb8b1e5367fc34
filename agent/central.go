package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"

	"github.com/hauberk/hauberk/agent/internal/cgroup"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/link"
)

const centralFile = "central.json"

// centralConfig is the last config of the centre that was put in effect, kept
// so that a start without a gateway has it too.
type centralConfig struct {
	Version uint64 `json:"version"`
	Hash    string `json:"hash"`
	Body    []byte `json:"body"`
	Error   string `json:"-"` // why a newer one was refused
}

func loadCentral(path string) (c centralConfig, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	return c, err
}

func (c *centralConfig) save(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// apply judges a config of the centre and puts it in effect, or refuses it
// whole.
func (a *Agent) apply(c *link.Config) *link.ConfigResult {
	result := &link.ConfigResult{Version: c.Version, Hash: c.Hash}
	err := a.applyChecked(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.refused.Inc()
		a.central.Error = err.Error()
		a.log.Error("centre's config refused", "version", c.Version, "cause", err)
		result.Error = err.Error()
	}
	result.EffectiveHash = effectiveHash(&a.cfg)
	return result
}

func effectiveHash(c *Config) string {
	text, err := conf.Encode(c)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func (a *Agent) applyChecked(c *link.Config) error {
	sum := sha256.Sum256(c.Body)
	if c.Hash != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("hash of the body differs from %.64q", c.Hash)
	}
	a.mu.Lock()
	current, known := a.cfg, a.central
	a.mu.Unlock()
	if known.Error == "" && known.Version == c.Version && bytes.Equal(known.Body, c.Body) {
		return nil // already in effect
	}
	next, err := current.withCentral(c.Body)
	if err != nil {
		return err
	}
	kept := centralConfig{Version: c.Version, Hash: c.Hash, Body: c.Body}
	if err := kept.save(a.path(centralFile)); err != nil {
		return fmt.Errorf("store config: %w", err)
	}
	a.mu.Lock()
	a.cfg, a.central = next, kept
	a.breaker.SetLimits(next.breakerLimits())
	restart := !reflect.DeepEqual(current.collector(), next.collector())
	if restart {
		a.child.stale, a.child.load = true, true
	}
	a.mu.Unlock()
	a.setLevel(next.Log.Level)
	a.spool.SetMaxBytes(int64(next.Spool.MaxBytes))
	if g := a.limits(); g != nil && current.Limits != next.Limits {
		if err := g.Set(cgroup.Limits{CPU: next.Limits.CPU, Memory: uint64(next.Limits.Memory)}); err != nil {
			a.log.Error("limits not changed", "cause", err)
		}
	}
	a.log.Info("config in effect", "version", c.Version, "restarts_collector", restart)
	if restart {
		a.look()
	}
	return nil
}

// look makes the collector's supervisor look at what is wanted.
func (a *Agent) look() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}
