// Package command makes commands and modes: signed documents in etcd that
// each gateway holds against its own connections. Book is a gateway's copy of
// them, pure but for its parsing cache.
package command

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// Desk signs and stores. Safe for concurrent use.
type Desk struct {
	client *clientv3.Client
	key    ed25519.PrivateKey
	now    func() time.Time
}

// NewDesk returns a desk that signs with that key.
func NewDesk(client *clientv3.Client, key ed25519.PrivateKey, now func() time.Time) *Desk {
	return &Desk{client, key, now}
}

const (
	// DefaultLife and MaxLife bound how long a command may be executed, from
	// its not_before.
	DefaultLife = time.Hour
	MaxLife     = 7 * 24 * time.Hour
	// maxAhead bounds how far ahead a command may be put.
	maxAhead = 90 * 24 * time.Hour
	// memory is how long an expired command stays listed.
	memory = 30 * 24 * time.Hour
	// maxName and maxArguments bound a command, in bytes.
	maxName      = 64
	maxArguments = 32 << 10
)

// Spec asks for a command.
type Spec struct {
	Tenant    string // empty: every tenant's nodes
	Selector  string
	Name      string
	Arguments map[string]string
	NotBefore time.Time     // zero: now
	Life      time.Duration // 0: DefaultLife
	Author    string
	Reason    string
}

func checkTarget(tenant, selector string) error {
	if tenant != "" {
		if err := link.CheckTenant(tenant); err != nil {
			return err
		}
	}
	_, err := fleet.ParseSelector(selector)
	return err
}

func (d *Desk) command(s *Spec) (*fleet.Command, error) {
	if err := checkTarget(s.Tenant, s.Selector); err != nil {
		return nil, err
	}
	if s.Name == "" || len(s.Name) > maxName {
		return nil, fmt.Errorf("command name %.80q: want 1 to %d bytes", s.Name, maxName)
	}
	size := 0
	for key, value := range s.Arguments {
		size += len(key) + len(value)
	}
	if size > maxArguments {
		return nil, fmt.Errorf("command arguments have %d bytes, at most %d", size, maxArguments)
	}
	now := d.now()
	if s.NotBefore.IsZero() {
		s.NotBefore = now
	}
	if s.Life == 0 {
		s.Life = DefaultLife
	}
	if s.Life < 0 || s.Life > MaxLife {
		return nil, fmt.Errorf("command life of %s is outside 0 to %s", s.Life, MaxLife)
	}
	if s.NotBefore.After(now.Add(maxAhead)) || s.NotBefore.Add(s.Life).Before(now) {
		return nil, fmt.Errorf("command time %s is past or more than %s ahead", s.NotBefore.UTC().Format(time.RFC3339), maxAhead)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
	return &fleet.Command{
		Id: hex.EncodeToString(id[:]), Selector: s.Selector, Name: s.Name, Arguments: s.Arguments,
		NotBefore: s.NotBefore.UnixNano(), Expires: s.NotBefore.Add(s.Life).UnixNano(),
		Author: s.Author, Tenant: s.Tenant, Reason: s.Reason,
	}, nil
}

// Send signs a command and stores it, which sends it: every gateway watches.
func (d *Desk) Send(ctx context.Context, s Spec) (*fleet.Command, error) {
	c, err := d.command(&s)
	if err != nil {
		return nil, fault.Invalidf("send command: %w", err)
	}
	signed, err := fleet.SignCommand(d.key, c)
	if err != nil {
		return nil, err
	}
	value, err := signed.MarshalVT()
	if err != nil {
		return nil, err
	}
	keep := time.Unix(0, c.Expires).Sub(d.now()) + memory
	lease, err := d.client.Grant(ctx, int64(keep/time.Second))
	if err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	if _, err := d.client.Put(ctx, keyspace.Command(c.Id), string(value), clientv3.WithLease(lease.ID)); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	return c, nil
}

// Cancel takes a command back: nodes that have not got it yet will not.
func (d *Desk) Cancel(ctx context.Context, id string) error {
	r, err := d.client.Delete(ctx, keyspace.Command(id))
	if err != nil {
		return fmt.Errorf("cancel command: %w", err)
	}
	if r.Deleted == 0 {
		return fmt.Errorf("command %s: %w", id, fault.ErrUnknown)
	}
	return nil
}

// Commands returns the commands of the last 30 days for a tenant's nodes, for
// all if empty, in order of id.
func (d *Desk) Commands(ctx context.Context, tenant string) ([]*fleet.Command, error) {
	keys := fleet.Keys{d.key.Public().(ed25519.PublicKey)}
	var out []*fleet.Command
	_, err := etcd.List(ctx, d.client, keyspace.Commands, func(i etcd.Item) error {
		signed := &fleet.SignedCommand{}
		if err := signed.UnmarshalVT(i.Value); err != nil {
			return fmt.Errorf("read %s: %w", i.Key, err)
		}
		c, err := keys.OpenCommand(signed)
		if err != nil {
			return fmt.Errorf("read %s: %w", i.Key, err)
		}
		if tenant == "" || c.Tenant == "" || c.Tenant == tenant {
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// SetMode signs and stores the next mode. Its epoch is above every earlier
// one, and at least the Unix time in seconds, so that it stays above what
// nodes have seen even after etcd was restored from a backup.
func (d *Desk) SetMode(ctx context.Context, m *fleet.Mode) (*fleet.Mode, error) {
	if err := checkTarget(m.Tenant, m.Selector); err != nil {
		return nil, fault.Invalidf("set mode: %w", err)
	}
	for {
		all, revision, err := d.modes(ctx)
		if err != nil {
			return nil, err
		}
		now := d.now()
		next := &fleet.Mode{
			Epoch: uint64(max(now.Unix(), 1)), Selector: m.Selector, Stopped: m.Stopped, Author: m.Author, Reason: m.Reason,
			Since: now.UnixNano(), Tenant: m.Tenant,
		}
		if len(all) > 0 {
			next.Epoch = max(next.Epoch, all[len(all)-1].Epoch+1)
		}
		done, err := d.storeMode(ctx, next, all, revision)
		if err != nil {
			return nil, err
		}
		if done {
			return next, nil
		}
	}
}

// maxDropped bounds the modes one transaction deletes; etcd takes 128
// operations.
const maxDropped = 100

// storeMode stores a mode unless somebody stored another since that revision:
// then its epoch might be too low.
func (d *Desk) storeMode(ctx context.Context, m *fleet.Mode, earlier []*fleet.Mode, revision int64) (bool, error) {
	signed, err := fleet.SignMode(d.key, m)
	if err != nil {
		return false, err
	}
	value, err := signed.MarshalVT()
	if err != nil {
		return false, err
	}
	key := keyspace.Mode(m.Epoch)
	ops := []clientv3.Op{clientv3.OpPut(key, string(value))}
	for _, old := range earlier {
		if covers(m, old) && len(ops) <= maxDropped {
			ops = append(ops, clientv3.OpDelete(keyspace.Mode(old.Epoch)))
		}
	}
	done, err := d.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(keyspace.Modes), "<", revision+1).WithPrefix()).Then(ops...).Commit()
	if err != nil {
		return false, fmt.Errorf("set mode: %w", err)
	}
	return done.Succeeded, nil
}

// covers reports whether every node that old selects is selected by m, as far
// as the texts tell: then old is history.
func covers(m, old *fleet.Mode) bool {
	if m.Tenant != "" && m.Tenant != old.Tenant {
		return false
	}
	a, err := fleet.ParseSelector(m.Selector)
	if err != nil {
		return false
	}
	b, err := fleet.ParseSelector(old.Selector)
	return a.All() || err == nil && a.String() == b.String()
}

func (d *Desk) openMode(value []byte) (*fleet.Mode, error) {
	signed := &fleet.SignedMode{}
	if err := signed.UnmarshalVT(value); err != nil {
		return nil, fmt.Errorf("read mode: %w", err)
	}
	return fleet.Keys{d.key.Public().(ed25519.PublicKey)}.OpenMode(signed)
}

// Modes returns the modes that still count, in order of epoch.
func (d *Desk) Modes(ctx context.Context) ([]*fleet.Mode, error) {
	out, _, err := d.modes(ctx)
	return out, err
}

func (d *Desk) modes(ctx context.Context) (out []*fleet.Mode, revision int64, err error) {
	revision, err = etcd.List(ctx, d.client, keyspace.Modes, func(i etcd.Item) error {
		m, err := d.openMode(i.Value)
		out = append(out, m)
		return err
	})
	return out, revision, err
}
