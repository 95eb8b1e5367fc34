// Package exception keeps in etcd what silences a rule for a kind of process.
package exception

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
)

// maxText bounds every text of an exception, in bytes.
const maxText = 4096

// Validate reports why an exception may not be stored.
func Validate(e *fleet.Exception) error {
	if e.Tenant != "" {
		if err := link.CheckTenant(e.Tenant); err != nil {
			return err
		}
	}
	if e.Rule == "" {
		return errors.New(`exception: name a rule, or "*" for every rule`)
	}
	if e.Author == "" || e.Reason == "" {
		return errors.New("exception: author and reason must be given")
	}
	if e.Rule == "*" && e.Executable == "" && e.Parent == "" && e.User == "" && e.CommandLine == "" && len(e.Labels) == 0 {
		return errors.New("exception: every rule for every process would silence everything")
	}
	for _, s := range []string{e.Rule, e.Executable, e.Parent, e.User, e.CommandLine, e.Author, e.Reason, e.Alert} {
		if len(s) > maxText {
			return fmt.Errorf("exception: a text has %d bytes, at most %d", len(s), maxText)
		}
	}
	return fleet.CheckLabels(e.Labels)
}

// Put stores an exception, a new one if it has no id, and returns it with id
// and time of creation filled in.
func Put(ctx context.Context, c *clientv3.Client, e *fleet.Exception, now time.Time) (*fleet.Exception, error) {
	if err := Validate(e); err != nil {
		return nil, fault.Invalid(err)
	}
	if e.Expires != 0 && e.Expires <= now.UnixNano() {
		return nil, fault.Invalidf("exception: it would expire before it begins")
	}
	stored := &fleet.Exception{
		Id: e.Id, Tenant: e.Tenant, Rule: e.Rule, Executable: e.Executable, Parent: e.Parent, User: e.User, Labels: e.Labels,
		CommandLine: e.CommandLine, Created: now.UnixNano(), Expires: e.Expires, Author: e.Author, Reason: e.Reason, Alert: e.Alert,
	}
	var conditions []clientv3.Cmp
	if stored.Id == "" {
		var id [8]byte
		rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
		stored.Id = hex.EncodeToString(id[:])
	} else {
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(keyspace.Exception(e.Tenant, e.Id)), ">", 0))
	}
	value, err := stored.MarshalVT()
	if err != nil {
		return nil, err
	}
	done, err := c.Txn(ctx).If(conditions...).Then(clientv3.OpPut(keyspace.Exception(e.Tenant, stored.Id), string(value))).Commit()
	if err != nil {
		return nil, fmt.Errorf("store exception: %w", err)
	}
	if !done.Succeeded {
		return nil, fmt.Errorf("exception %s: %w", e.Id, fault.ErrUnknown)
	}
	return stored, nil
}

// Delete removes an exception.
func Delete(ctx context.Context, c *clientv3.Client, tenant, id string) error {
	r, err := c.Delete(ctx, keyspace.Exception(tenant, id))
	if err != nil {
		return fmt.Errorf("delete exception: %w", err)
	}
	if r.Deleted == 0 {
		return fmt.Errorf("exception %s: %w", id, fault.ErrUnknown)
	}
	return nil
}

func decode(value []byte) (*fleet.Exception, error) {
	e := &fleet.Exception{}
	return e, e.UnmarshalVT(value)
}

// List returns the exceptions that count for a tenant, all if empty, expired
// ones too.
func List(ctx context.Context, c *clientv3.Client, tenant string) ([]*fleet.Exception, error) {
	var out []*fleet.Exception
	_, err := etcd.List(ctx, c, keyspace.Exceptions, func(i etcd.Item) error {
		e, err := decode(i.Value)
		if err != nil {
			return fmt.Errorf("read %s: %w", i.Key, err)
		}
		if tenant == "" || e.Tenant == "" || e.Tenant == tenant {
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// Watch hands all exceptions to use, at first and at every change, until the
// context ends.
func Watch(ctx context.Context, c *clientv3.Client, log *slog.Logger, use func([]*fleet.Exception)) error {
	return etcd.Mirror(ctx, c, log, keyspace.Exceptions, decode, use)
}
