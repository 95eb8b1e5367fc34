package config

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Set is the newest version of every scope at one moment, ready to be asked
// by many nodes. Immutable but for its cache; safe for concurrent use.
type Set struct {
	scopes  []scope // in the order they are laid over each other
	version uint64  // of the newest change among all scopes

	mu    sync.Mutex
	cache map[string]*Effective // by the scopes that apply
}

type scope struct {
	version  *fleet.ConfigVersion
	selector fleet.Selector
}

// Effective is what the centre wants of a node's configuration.
type Effective struct {
	Version uint64
	Hash    string // of Body
	Body    []byte // YAML, empty: nothing is overridden
	Scopes  []string
	// Encoded is the frame that carries it.
	Encoded link.Encoded
	// Err says why the scopes cannot be merged; the node keeps what it has.
	Err error
}

// NewSet makes a set of the versions in etcd, of which the newest of a scope
// counts, and its revision. Broken items are reported and left out.
func NewSet(items []etcd.Item, broken func(key string, err error)) *Set {
	s := &Set{cache: map[string]*Effective{}}
	newest := map[string]*fleet.ConfigVersion{}
	for _, i := range items {
		s.version = max(s.version, uint64(i.Revision))
		v := &fleet.ConfigVersion{}
		if err := v.UnmarshalVT(i.Value); err != nil {
			broken(i.Key, err)
			continue
		}
		name := v.Tenant + "/" + v.Kind + "/" + v.Scope
		if old := newest[name]; old == nil || old.Version < v.Version {
			newest[name] = v
		}
	}
	for name, v := range newest {
		if v.Deleted {
			continue
		}
		selector, err := fleet.ParseSelector(v.Selector)
		if err != nil {
			broken(name, err)
			continue
		}
		s.scopes = append(s.scopes, scope{v, selector})
	}
	sort.Slice(s.scopes, func(i, j int) bool { return below(s.scopes[i].version, s.scopes[j].version) })
	return s
}

// below is the order of laying: priority, then name, then a tenant's own over
// everybody's.
func below(a, b *fleet.ConfigVersion) bool {
	if a.Priority != b.Priority {
		return a.Priority < b.Priority
	}
	if a.Scope != b.Scope {
		return a.Scope == DefaultScope || b.Scope != DefaultScope && a.Scope < b.Scope
	}
	return a.Tenant < b.Tenant
}

// DefaultScope lies below every other scope of its priority.
const DefaultScope = "default"

// Version returns the revision of the newest change.
func (s *Set) Version() uint64 { return s.version }

// For returns what applies to a node. Nodes to which the same scopes apply
// share the result.
func (s *Set) For(n *fleet.Subject) *Effective {
	var room [16]byte
	bits := room[:0]
	for i := range s.scopes {
		if i%8 == 0 {
			bits = append(bits, 0)
		}
		v := s.scopes[i].version
		if v.Kind == n.Kind && (v.Tenant == "" || v.Tenant == n.Tenant) && s.scopes[i].selector.Match(n) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.cache[string(bits)]
	if e == nil {
		e = s.build(bits)
		s.cache[string(bits)] = e
	}
	return e
}

func (s *Set) build(bits []byte) *Effective {
	e := &Effective{Version: s.version}
	var bodies [][]byte
	for i := range s.scopes {
		if bits[i/8]&(1<<(i%8)) != 0 {
			v := s.scopes[i].version
			bodies = append(bodies, []byte(v.Body))
			e.Scopes = append(e.Scopes, fmt.Sprintf("%s@%d", v.Scope, v.Version))
		}
	}
	if e.Body, e.Err = Merge(bodies...); e.Err == nil && len(e.Body) > link.MaxConfig {
		e.Err = fmt.Errorf("merged config has %d bytes, limit %d", len(e.Body), link.MaxConfig)
	}
	if e.Err != nil {
		e.Err = fmt.Errorf("merge %s: %w", strings.Join(e.Scopes, ", "), e.Err)
		return e
	}
	e.Hash = Hash(e.Body)
	e.Encoded, e.Err = link.Encode(&link.Frame{Body: &link.Frame_Config{Config: &link.Config{Version: e.Version, Hash: e.Hash, Body: e.Body}}})
	return e
}

// Fits reports whether a node that says it has a config of that hash in
// effect needs nothing. A node that has none says "".
func (e *Effective) Fits(hash string) bool {
	return hash == e.Hash || hash == "" && len(e.Body) == 0
}
