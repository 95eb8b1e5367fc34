package gateway

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/internal/run"
)

const (
	// ticketLife is how long a key makes new tickets; two older keys still
	// open theirs, so a node may be away for a day and resume.
	ticketLife = 12 * time.Hour
	ticketKeys = 3
	ticketSize = 32
	// ticketLook is how often a gateway looks whether the key is due.
	ticketLook = 10 * time.Minute
)

// tickets are the keys of TLS session tickets, shared by all gateways
// through etcd: a node that moves resumes, at half the cost of a handshake.
type tickets struct {
	g        *Gateway
	made     time.Time
	secret   []byte
	revision int64
}

func newTickets(g *Gateway) *tickets { return &tickets{g: g} }

// load fetches the keys, making them if there are none.
func (t *tickets) load(ctx context.Context, c *tls.Config) error {
	public, secret, err := t.g.deps.Vault.Get(ctx, keyspace.TicketKeys, func() ([]byte, []byte, error) {
		return t.stamp(), fresh(nil), nil
	})
	if err != nil {
		return err
	}
	return t.use(c, public, secret, 0)
}

// stamp is the public part: when the newest key was made, Unix seconds.
func (t *tickets) stamp() []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.g.deps.Now().Unix()))
}

// fresh puts a new key before the ones that stay.
func fresh(old []byte) []byte {
	key := make([]byte, ticketSize)
	rand.Read(key) // never fails (crypto/rand, Go 1.24)
	return append(key, old[:min(len(old), (ticketKeys-1)*ticketSize)]...)
}

func (t *tickets) use(c *tls.Config, public, secret []byte, revision int64) error {
	if len(public) != 8 || len(secret) == 0 || len(secret)%ticketSize != 0 {
		return fmt.Errorf("ticket keys are damaged: %d bytes", len(secret))
	}
	keys := make([][ticketSize]byte, len(secret)/ticketSize)
	for i := range keys {
		keys[i] = [ticketSize]byte(secret[i*ticketSize:])
	}
	c.SetSessionTicketKeys(keys)
	t.made, t.secret, t.revision = time.Unix(int64(binary.BigEndian.Uint64(public)), 0), secret, revision
	return nil
}

// run follows the keys, and replaces them when they are due; of several
// gateways one succeeds.
func (t *tickets) run(ctx context.Context, c *tls.Config) error {
	changed := make(chan etcd.Item)
	tell := func(items []etcd.Item) error {
		for _, i := range items {
			if i.Value == nil {
				continue
			}
			select {
			case changed <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	group, ctx := run.NewGroup(ctx)
	group.Go("follow", func(ctx context.Context) error {
		return etcd.Follow(ctx, t.g.deps.Client, t.g.deps.Log, keyspace.TicketKeys, tell, tell)
	})
	group.Go("rotate", func(ctx context.Context) error {
		look := time.NewTicker(ticketLook)
		defer look.Stop()
		for {
			select {
			case i := <-changed:
				public, secret, err := t.g.deps.Vault.Unseal(i.Key, i.Value)
				if err == nil {
					err = t.use(c, public, secret, i.Revision)
				}
				if err != nil {
					t.g.brokenEntry(i.Key, err) // the keys in use stay
				}
			case <-look.C:
			case <-ctx.Done():
				return nil
			}
			if age := t.g.deps.Now().Sub(t.made); t.revision != 0 && age >= ticketLife {
				if err := t.g.deps.Vault.Replace(ctx, keyspace.TicketKeys, t.revision, t.stamp(), fresh(t.secret)); err != nil {
					t.g.deps.Log.Warn("ticket keys not replaced", "cause", err)
				}
			}
		}
	})
	return group.Wait()
}
