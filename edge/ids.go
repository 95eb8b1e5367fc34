package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
)

// registry gives VIPs and backends the ids by which the data plane knows
// them. An id stays with its owner for life, over restarts too, because
// sessions in the pinned tables refer to it; that of one that is gone is given
// away only when no session does.
type registry struct {
	VIPs     map[string]*vipEntry     `json:"vips"`
	Backends map[string]*backendEntry `json:"backends"`
	// Drained are keys of backends that an operator emptied.
	Drained map[string]bool `json:"drained,omitempty"`

	changed bool // since it was saved
	fresh   bool // it gave ids away since it was saved: it must be before they are used
}

type vipEntry struct {
	ID   uint32 `json:"id"`
	Gone bool   `json:"gone,omitempty"`
}

type backendEntry struct {
	ID   uint32         `json:"id"`
	VIP  string         `json:"vip"`
	To   netip.AddrPort `json:"to"`
	Gone bool           `json:"gone,omitempty"`
}

var errNoID = errors.New("all ids are in use, some perhaps by sessions of backends that are gone")

func newRegistry() *registry {
	return &registry{VIPs: map[string]*vipEntry{}, Backends: map[string]*backendEntry{}, Drained: map[string]bool{}}
}

// readRegistry reads what the last process left; a missing file is an empty registry.
func readRegistry(path string) (*registry, error) {
	r := newRegistry()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("read ids: %w", err)
	}
	used := map[uint32]bool{}
	for key, b := range r.Backends {
		if b == nil || b.ID == 0 || used[b.ID] {
			return nil, fmt.Errorf("read ids %s: backend %q has no id of its own", path, key)
		}
		used[b.ID] = true
	}
	vips := map[uint32]bool{}
	for key, v := range r.VIPs {
		if v == nil || v.ID == 0 || vips[v.ID] {
			return nil, fmt.Errorf("read ids %s: vip %q has no id of its own", path, key)
		}
		vips[v.ID] = true
	}
	if r.Drained == nil {
		r.Drained = map[string]bool{}
	}
	return r, nil
}

// key is what a VIP is, whatever its name.
func (v *VIP) key() string {
	return fmt.Sprintf("%s %s %s", v.Proto, v.Address, v.Ports)
}

// backendKey is what a backend of a VIP is, whatever its name.
func (v *VIP) backendKey(b *Backend) string {
	return v.key() + " = " + netip.AddrPortFrom(b.Address, b.Port).String()
}

// adopt gives everything in the configuration an id and marks the rest gone.
// Ids beyond smaller tables than the last process had are forgotten: tables of
// another size begin empty, so no session refers to them.
// On an error the registry is as it was.
func (r *registry) adopt(c *Config) error {
	next := &registry{VIPs: map[string]*vipEntry{}, Backends: map[string]*backendEntry{}, Drained: map[string]bool{}}
	usedVIPs, usedBackends := map[uint32]bool{}, map[uint32]bool{}
	for key, v := range r.VIPs {
		if v.ID >= uint32(c.Tables.VIPs) {
			continue
		}
		next.VIPs[key] = &vipEntry{ID: v.ID, Gone: true}
		usedVIPs[v.ID] = true
	}
	for key, b := range r.Backends {
		if b.ID >= uint32(c.Tables.Backends) {
			continue
		}
		gone := *b
		gone.Gone = true
		next.Backends[key] = &gone
		usedBackends[b.ID] = true
	}
	free := newIDs(usedVIPs, c.Tables.VIPs)
	freeBackends := newIDs(usedBackends, c.Tables.Backends)
	for i := range c.VIPs {
		v := &c.VIPs[i]
		if e := next.VIPs[v.key()]; e != nil {
			e.Gone = false
		} else {
			id, err := free()
			if err != nil {
				return fmt.Errorf("%s: %w", v.place(), err)
			}
			next.VIPs[v.key()], next.fresh = &vipEntry{ID: id}, true
		}
		for _, b := range v.all() {
			key := v.backendKey(b)
			if e := next.Backends[key]; e != nil {
				e.Gone = false
			} else {
				id, err := freeBackends()
				if err != nil {
					return fmt.Errorf("%s: %w", v.placeOf(b), err)
				}
				next.Backends[key] = &backendEntry{ID: id, VIP: v.key(), To: netip.AddrPortFrom(b.Address, b.Port)}
				next.fresh = true
			}
			if r.Drained[key] {
				next.Drained[key] = true
			}
		}
	}
	r.VIPs, r.Backends, r.Drained, r.changed = next.VIPs, next.Backends, next.Drained, true
	r.fresh = r.fresh || next.fresh
	return nil
}

// newIDs returns a source of the ids from 1 below end that are not used.
func newIDs(used map[uint32]bool, end int) func() (uint32, error) {
	at := uint32(0)
	return func() (uint32, error) {
		for at++; at < uint32(end); at++ {
			if !used[at] {
				return at, nil
			}
		}
		return 0, errNoID
	}
}

// all are the backends of a VIP, with its sorry server.
func (v *VIP) all() []*Backend {
	out := make([]*Backend, 0, len(v.Backends)+1)
	for i := range v.Backends {
		out = append(out, &v.Backends[i])
	}
	if v.Sorry != nil {
		out = append(out, v.Sorry)
	}
	return out
}

// release forgets what is gone and has no sessions, by the numbers of
// sessions of backends.
func (r *registry) release(references map[uint32]int) {
	alive := map[string]bool{}
	for key, b := range r.Backends {
		if b.Gone && references[b.ID] == 0 {
			delete(r.Backends, key)
			r.changed = true
			continue
		}
		alive[b.VIP] = true
	}
	for key, v := range r.VIPs {
		if v.Gone && !alive[key] {
			delete(r.VIPs, key)
			r.changed = true
		}
	}
}

// anyGone reports whether something waits for its last session.
func (r *registry) anyGone() bool {
	for _, b := range r.Backends {
		if b.Gone {
			return true
		}
	}
	for _, v := range r.VIPs {
		if v.Gone {
			return true
		}
	}
	return false
}
