package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/neigh"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/internal/sched"
	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/internal/run"
)

// Run balances until the context ends. Its pipeline:
//
//  1. the checker probes backends                   (parallel, one goroutine each)
//  2. control plans, applies and announces by BGP   (sequential; woken by 1, reloads, drains, and each second)
//  3. neighbours are kept fresh                     (parallel, each few seconds)
//  4. the status socket answers and takes commands  (parallel)
//
// At the end the data plane stays as it is if keep_attached says so.
func (e *Edge) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(e.cfg.DataDir, "run"), 0o700); err != nil {
		e.plane.Close(e.cfg.KeepAttached)
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := e.startBGP(ctx); err != nil {
		e.plane.Close(e.cfg.KeepAttached)
		return err
	}
	g, _ := run.NewGroup(ctx)
	g.Go("control", e.control)
	g.Go("neighbours", e.keepNeighbours)
	g.Go("status", e.serve)
	err := g.Wait()
	e.checker.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	err = errors.Join(err, e.stopBGP())
	e.plane.Close(e.cfg.KeepAttached)
	return err
}

const (
	// tick is how often what grows by itself is looked at: slow starts, least
	// connections, ids to release.
	tick = time.Second
	// firstPatience bounds how long the first state waits for first probes: the
	// data plane that a former process left goes on meanwhile.
	firstPatience = 3 * time.Second
)

// control is the only goroutine that plans and applies.
func (e *Edge) control(ctx context.Context) error {
	e.checker.Set(ctx, e.targets())
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	deadline := time.After(firstPatience)
	ready := false
	for {
		if !ready && e.checker.Settled() {
			ready = true
			if err := e.begin(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			if !ready {
				ready = true
				if err := e.begin(); err != nil {
					return err
				}
			}
		case <-e.wake:
			e.step(ready, false)
		case <-ticker.C:
			e.step(ready, true)
		case answer := <-e.reload:
			answer <- e.take(ctx)
		}
	}
}

// begin applies the first state; that it cannot is the end.
func (e *Edge) begin() error {
	if err := e.apply(); err != nil && !errors.Is(err, errUnsaved) {
		return err
	}
	if e.deps.Ready != nil {
		e.mu.Lock()
		n := len(e.cfg.VIPs)
		e.mu.Unlock()
		e.deps.Ready(fmt.Sprintf("balances %d VIPs", n))
	}
	return nil
}

// step plans again. An error is logged and kept for the status: the data
// plane goes on with what it has.
func (e *Edge) step(ready, timed bool) {
	if timed {
		e.look()
	}
	if !ready {
		return
	}
	if err := e.apply(); err != nil {
		e.mu.Lock()
		again := e.failed == err.Error()
		e.failed = err.Error()
		e.mu.Unlock()
		if !again {
			e.deps.Log.Error("state not applied; the data plane goes on with the last one", "cause", err)
		}
	}
}

// look reads sessions and flows where the configuration depends on them, and
// releases ids without sessions.
func (e *Edge) look() {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := e.ids.anyGone()
	if !gone && !e.cfg.countsSessions() {
		return
	}
	e.known.sessions = e.plane.References()
	if gone {
		e.ids.release(e.known.sessions)
	}
	begun := map[uint32]uint64{}
	for i := range e.cfg.VIPs {
		if v := &e.cfg.VIPs[i]; v.Scheduler == sched.WeightedLeast {
			id := e.ids.VIPs[v.key()].ID
			c, err := e.plane.VIP(id)
			if err != nil {
				continue // shares by sessions alone, as if no flows were to come
			}
			if before, looked := e.begun[id]; looked && c.Flows >= before { // a first look sees all flows there ever were
				begun[id] = c.Flows - before
			}
			e.begun[id] = c.Flows
		}
	}
	e.known.begun = begun
}

// countsSessions says whether tables depend on the sessions there are.
func (c *Config) countsSessions() bool {
	for i := range c.VIPs {
		v := &c.VIPs[i]
		if v.Scheduler == sched.WeightedLeast {
			return true
		}
		for _, b := range v.Backends {
			if b.MaxConnections > 0 {
				return true
			}
		}
	}
	return false
}

// apply plans, and tells the data plane if something is different.
func (e *Edge) apply() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known.now, e.known.health = time.Now(), e.checker.Of()
	state, err := e.planner.plan(&e.cfg, e.ids, &e.known)
	if err != nil {
		return err
	}
	// First the ids, then their use: after a crash between the two an id is
	// known that nobody uses. Without new ids a full disk must not keep a dead
	// backend in the tables.
	unsaved := e.save()
	if unsaved != nil {
		if e.ids.fresh {
			return unsaved
		}
		unsaved = fmt.Errorf("%w: %w", errUnsaved, unsaved)
	}
	if e.applied != nil && reflect.DeepEqual(state, e.applied) {
		return errors.Join(unsaved, e.announce())
	}
	if err := e.plane.Apply(state); err != nil {
		return fmt.Errorf("apply state: %w", err)
	}
	e.applied, e.failed = state, ""
	return errors.Join(unsaved, e.announce())
}

// errUnsaved says that a state is applied, and a drain or the end of a backend
// would not outlive the process.
var errUnsaved = errors.New("applied, but not remembered")

// save writes the registry if it changed.
func (e *Edge) save() error {
	if !e.ids.changed {
		return nil
	}
	data, err := json.MarshalIndent(e.ids, "", " ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(e.cfg.DataDir, idsFile), data, 0o600); err != nil {
		return fmt.Errorf("save ids: %w", err)
	}
	e.ids.changed, e.ids.fresh = false, false
	return nil
}

var errNoReload = errors.New("this edge was started without a file to reload")

// take reads a new configuration and makes it the wanted one, whole: an
// error of reading, of the machine, or of the data plane changes nothing.
func (e *Edge) take(ctx context.Context) error {
	if e.deps.Reload == nil {
		return errNoReload
	}
	next, err := e.deps.Reload()
	if err == nil {
		err = e.fixed(&next)
	}
	if err == nil {
		err = preflight(&next, e.deps.machine)
	}
	if err == nil {
		err = e.swap(&next)
	}
	e.mu.Lock()
	if err != nil {
		e.failed = err.Error()
	} else {
		e.failed, e.configAt = "", time.Now()
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	e.checker.Set(ctx, e.targets())
	return nil
}

// fixed refuses a configuration that changes what is fixed at the start.
func (e *Edge) fixed(next *Config) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, is := e.cfg.BGP, next.BGP
	was.Maintenance, is.Maintenance = false, false
	if !reflect.DeepEqual(next.options(), e.cfg.options()) || next.DataDir != e.cfg.DataDir || !reflect.DeepEqual(was, is) {
		return errors.New("data_dir, interfaces, pin_dir, tables, mtu, generic, partial_checksums and bgp (but for maintenance) change with a restart only")
	}
	return nil
}

// swap applies the next configuration, and goes back to the present one if
// the data plane does not take it.
func (e *Edge) swap(next *Config) error {
	e.mu.Lock()
	before, ids := e.cfg, *e.ids
	err := e.ids.adopt(next)
	if err == nil {
		e.cfg, e.ids.fresh = *next, true // what is taken is on disk first
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if err := e.apply(); err != nil {
		e.mu.Lock()
		e.cfg, *e.ids = before, ids
		e.ids.changed = true
		e.mu.Unlock()
		return err
	}
	return nil
}

// targets are what the checker shall probe: each backend but sorry servers,
// which are the last resort whether they answer or not.
func (e *Edge) targets() []health.Target {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []health.Target
	for i := range e.cfg.VIPs {
		v := &e.cfg.VIPs[i]
		for j := range v.Backends {
			b := &v.Backends[j]
			out = append(out, health.Target{Key: v.backendKey(b), To: netip.AddrPortFrom(b.Address, b.Port), Check: v.Health})
		}
	}
	return out
}

// neighbourInterval is well below the 30 s after which the kernel calls an
// entry stale.
const neighbourInterval = 5 * time.Second

// keepNeighbours refreshes gateways, and backends on link.
func (e *Edge) keepNeighbours(ctx context.Context) error {
	told := ""
	for {
		e.mu.Lock()
		interfaces, state := e.cfg.Interfaces, e.applied
		e.mu.Unlock()
		err := refresh(interfaces, state)
		if err != nil && err.Error() != told {
			e.deps.Log.Warn("neighbours not refreshed", "cause", err)
		}
		if told = ""; err != nil {
			told = err.Error()
		}
		if err := run.Sleep(ctx, neighbourInterval); err != nil {
			return err
		}
	}
}

func refresh(interfaces []string, state *plane.State) error {
	var addrs []netip.Addr
	if state != nil {
		for _, b := range state.Backends {
			addrs = append(addrs, b.Addr)
		}
	}
	hops, err := neigh.Hops(interfaces, addrs)
	if err != nil {
		return err
	}
	return neigh.Refresh(hops)
}
