package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"

	"github.com/hauberk/hauberk/agent/internal/cgroup"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/node/central"
)

// apply judges a config of the centre and puts it in effect, or refuses it
// whole.
func (a *Agent) apply(c *link.Config) *link.ConfigResult {
	result := &link.ConfigResult{Version: c.Version, Hash: c.Hash}
	err := a.applyChecked(c)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.refused.Inc()
		a.centralError = err.Error()
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
	kept, err := central.Take(c)
	if err != nil {
		return err
	}
	a.mu.Lock()
	current, known, wrong := a.cfg, a.central, a.centralError
	a.mu.Unlock()
	if wrong == "" && known.Version == c.Version && bytes.Equal(known.Body, c.Body) {
		return nil // already in effect
	}
	next, err := current.withCentral(c.Body)
	if err != nil {
		return err
	}
	if err := kept.Save(a.path(central.File)); err != nil {
		return fmt.Errorf("store config: %w", err)
	}
	a.mu.Lock()
	a.cfg, a.central, a.centralError = next, kept, ""
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
