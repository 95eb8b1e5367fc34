package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Check tells what is wrong with a partial override for one kind of node.
type Check func(yaml []byte) error

// Store keeps versions in etcd. Safe for concurrent use.
type Store struct {
	client *clientv3.Client
	checks map[string]Check // by kind
	now    func() time.Time
}

// NewStore returns a store that takes configs of the kinds in checks.
func NewStore(client *clientv3.Client, checks map[string]Check, now func() time.Time) *Store {
	return &Store{client, checks, now}
}

// maxScope bounds a scope's name, in bytes.
const maxScope = 63

// Validate reports why a version may not be stored.
func (s *Store) Validate(v *fleet.ConfigVersion) error {
	if v.Tenant != "" {
		if err := link.CheckTenant(v.Tenant); err != nil {
			return err
		}
	}
	if err := link.CheckTenant(v.Scope); err != nil || len(v.Scope) > maxScope {
		return fmt.Errorf("scope %.80q: want 1 to %d of a-z, 0-9 and '-', not beginning with '-'", v.Scope, maxScope)
	}
	check := s.checks[v.Kind]
	if check == nil {
		return fmt.Errorf("kind %.40q: no node of this kind takes configuration from the centre", v.Kind)
	}
	if _, err := fleet.ParseSelector(v.Selector); err != nil {
		return err
	}
	merged, err := Merge([]byte(v.Body)) // without nulls, which remove
	if err != nil {
		return err
	}
	if err := check(merged); err != nil {
		return fmt.Errorf("config for %s: %w", v.Kind, err)
	}
	return nil
}

// Put stores a new version of v's scope and returns it with version and time
// filled in. If v.Version is not 0, it must be the newest version of the
// scope: the one the author looked at.
func (s *Store) Put(ctx context.Context, v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) {
	if err := s.Validate(v); err != nil {
		return nil, fault.Invalid(err)
	}
	return s.append(ctx, v)
}

// append gives v the next version of its scope, and stores it if nobody else
// did so meanwhile.
func (s *Store) append(ctx context.Context, v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) {
	for {
		newest, err := s.newest(ctx, v.Tenant, v.Kind, v.Scope)
		if err != nil && !errors.Is(err, fault.ErrUnknown) {
			return nil, err
		}
		if v.Version != 0 && v.Version != newest.GetVersion() {
			return nil, fmt.Errorf("config %s/%s: version %d is not the newest, which is %d: %w", v.Kind, v.Scope, v.Version, newest.GetVersion(), fault.ErrConflict)
		}
		next := &fleet.ConfigVersion{
			Scope: v.Scope, Version: newest.GetVersion() + 1, Selector: v.Selector, Kind: v.Kind, Body: v.Body,
			Author: v.Author, Time: s.now().UnixNano(), Comment: v.Comment, Deleted: v.Deleted, Tenant: v.Tenant,
			RolledBackTo: v.RolledBackTo, Priority: v.Priority,
		}
		value, err := next.MarshalVT()
		if err != nil {
			return nil, err
		}
		key := keyspace.Config(v.Tenant, v.Kind, v.Scope, next.Version)
		done, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(value))).Commit()
		if err != nil {
			return nil, fmt.Errorf("store config: %w", err)
		}
		if done.Succeeded {
			return next, nil
		}
	}
}

func (s *Store) newest(ctx context.Context, tenant, kind, scope string) (*fleet.ConfigVersion, error) {
	got, err := s.client.Get(ctx, keyspace.Scope(tenant, kind, scope), append(clientv3.WithLastKey(), clientv3.WithPrefix())...)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if len(got.Kvs) == 0 {
		return nil, fmt.Errorf("config %s/%s: %w", kind, scope, fault.ErrUnknown)
	}
	return decode(got.Kvs[0].Value)
}

func decode(value []byte) (*fleet.ConfigVersion, error) {
	v := &fleet.ConfigVersion{}
	if err := v.UnmarshalVT(value); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return v, nil
}

// Get returns a version of a scope, the newest for 0.
func (s *Store) Get(ctx context.Context, tenant, kind, scope string, version uint64) (*fleet.ConfigVersion, error) {
	if version == 0 {
		return s.newest(ctx, tenant, kind, scope)
	}
	got, err := s.client.Get(ctx, keyspace.Config(tenant, kind, scope, version))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if len(got.Kvs) == 0 {
		return nil, fmt.Errorf("config %s/%s version %d: %w", kind, scope, version, fault.ErrUnknown)
	}
	return decode(got.Kvs[0].Value)
}

// History returns every version of a scope, oldest first.
func (s *Store) History(ctx context.Context, tenant, kind, scope string) ([]*fleet.ConfigVersion, error) {
	out, err := s.list(ctx, keyspace.Scope(tenant, kind, scope))
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("config %s/%s: %w", kind, scope, fault.ErrUnknown)
	}
	return out, err
}

func (s *Store) list(ctx context.Context, prefix string) ([]*fleet.ConfigVersion, error) {
	var out []*fleet.ConfigVersion
	_, err := etcd.List(ctx, s.client, prefix, func(i etcd.Item) error {
		v, err := decode(i.Value)
		out = append(out, v)
		return err
	})
	return out, err
}

// List returns the newest version of every scope of a tenant, of all if
// empty, without those that are deleted.
func (s *Store) List(ctx context.Context, tenant string) ([]*fleet.ConfigVersion, error) {
	all, err := s.list(ctx, keyspace.Configs)
	if err != nil {
		return nil, err
	}
	var out []*fleet.ConfigVersion
	for i, v := range all {
		// Keys are in order of version: the last of a scope is its newest.
		last := i+1 == len(all) || all[i+1].Scope != v.Scope || all[i+1].Kind != v.Kind || all[i+1].Tenant != v.Tenant
		if last && !v.Deleted && (tenant == "" || v.Tenant == "" || v.Tenant == tenant) {
			out = append(out, v)
		}
	}
	return out, nil
}

// Diff returns what changed between two versions of a scope, as a unified
// diff with selector and priority above the body. from 0 means nothing.
func (s *Store) Diff(ctx context.Context, tenant, kind, scope string, from, to uint64) (string, error) {
	older := &fleet.ConfigVersion{}
	if from != 0 {
		var err error
		if older, err = s.Get(ctx, tenant, kind, scope, from); err != nil {
			return "", err
		}
	}
	newer, err := s.Get(ctx, tenant, kind, scope, to)
	if err != nil {
		return "", err
	}
	name := func(v uint64) string { return fmt.Sprintf("%s/%s@%d", kind, scope, v) }
	return string(diff.Diff(name(from), text(older), name(newer.Version), text(newer))), nil
}

// text is a version as people compare it.
func text(v *fleet.ConfigVersion) []byte {
	if v.Version == 0 || v.Deleted {
		return nil
	}
	body := v.Body
	if body != "" && !strings.HasSuffix(body, "\n") {
		body += "\n"
	}
	return fmt.Appendf(nil, "# selector: %s\n# priority: %d\n%s", v.Selector, v.Priority, body)
}

// Rollback makes a new version that repeats an old one. It is checked again,
// because what the nodes accept may have changed since.
func (s *Store) Rollback(ctx context.Context, tenant, kind, scope string, to uint64, author, comment string) (*fleet.ConfigVersion, error) {
	if to == 0 {
		return nil, fault.Invalidf("roll back config: which version?")
	}
	v, err := s.Get(ctx, tenant, kind, scope, to)
	if err != nil {
		return nil, err
	}
	v.Version, v.Author, v.Comment, v.RolledBackTo = 0, author, comment, to
	if v.Deleted {
		return s.append(ctx, v)
	}
	return s.Put(ctx, v)
}

// Delete ends a scope: a new version says so, and history stays.
func (s *Store) Delete(ctx context.Context, tenant, kind, scope, author, comment string) (*fleet.ConfigVersion, error) {
	v, err := s.newest(ctx, tenant, kind, scope)
	if err != nil {
		return nil, err
	}
	if v.Deleted {
		return nil, fmt.Errorf("config %s/%s: %w", kind, scope, fault.ErrUnknown)
	}
	v.Author, v.Comment, v.Deleted, v.Body, v.RolledBackTo = author, comment, true, "", 0
	return s.append(ctx, v)
}

// Set reads everything into a Set.
func (s *Store) Set(ctx context.Context) (*Set, error) {
	var items []etcd.Item
	if _, err := etcd.List(ctx, s.client, keyspace.Configs, func(i etcd.Item) error { items = append(items, i); return nil }); err != nil {
		return nil, err
	}
	var failed error
	set := NewSet(items, func(key string, err error) { failed = errors.Join(failed, fmt.Errorf("%s: %w", key, err)) })
	return set, failed
}
