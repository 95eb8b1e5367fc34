// Package enrol keeps tokens and enrolments in etcd: who may join, who has
// joined, and who was thrown out.
package enrol

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
)

// Registry is the tokens and enrolments of a centre. Make it with New. Safe
// for concurrent use.
type Registry struct {
	client    *clientv3.Client
	authority *ca.Authority
	now       func() time.Time
	log       *slog.Logger
	refused   map[string]*obs.Counter
}

// Reasons why a machine may not enrol; closed, for the counter.
var reasons = []string{"malformed", "unknown", "secret", "spent", "expired", "kind", "request"}

// New returns a registry.
func New(client *clientv3.Client, authority *ca.Authority, now func() time.Time, log *slog.Logger, metrics *obs.Registry) *Registry {
	r := &Registry{client: client, authority: authority, now: now, log: log, refused: map[string]*obs.Counter{}}
	for _, reason := range reasons {
		r.refused[reason] = metrics.Counter("hauberk_control_enrolments_refused_total", "reason="+reason, "Machines that could not enrol.")
	}
	return r
}

// TokenSpec asks for a token.
type TokenSpec struct {
	Tenant string
	Kind   string            // of the nodes it lets in; empty: any
	Labels map[string]string // given to the nodes that enrol by it
	Uses   uint32            // 0: one
	Life   time.Duration     // 0: DefaultTokenLife
	Author string
}

const (
	// Unlimited as TokenSpec.Uses lets any number of machines in until the
	// token expires.
	Unlimited = math.MaxUint32
	// DefaultTokenLife and MaxTokenLife bound a token's life.
	DefaultTokenLife = 24 * time.Hour
	MaxTokenLife     = 366 * 24 * time.Hour
	// tokenMemory is how long a dead token is kept, so that its use is
	// answered with "spent" or "expired" rather than "unknown".
	tokenMemory = 30 * 24 * time.Hour
)

func (s *TokenSpec) check() error {
	if s.Uses == 0 {
		s.Uses = 1
	}
	if s.Life == 0 {
		s.Life = DefaultTokenLife
	}
	if s.Life < 0 || s.Life > MaxTokenLife {
		return fmt.Errorf("create token: life of %s is outside 0 to %s", s.Life, MaxTokenLife)
	}
	if err := link.CheckTenant(s.Tenant); err != nil {
		return fmt.Errorf("create token: %w", err)
	}
	if s.Kind != "" {
		if err := fleet.CheckKind(s.Kind); err != nil {
			return fmt.Errorf("create token: %w", err)
		}
	}
	if err := fleet.CheckLabels(s.Labels); err != nil {
		return fmt.Errorf("create token: %w", err)
	}
	return nil
}

// CreateToken makes a token. The link.Token holds the secret, which is shown
// once and not kept.
func (r *Registry) CreateToken(ctx context.Context, s TokenSpec) (link.Token, *fleet.Token, error) {
	if err := s.check(); err != nil {
		return link.Token{}, nil, fault.Invalid(err)
	}
	if err := r.prune(ctx); err != nil {
		return link.Token{}, nil, err
	}
	secret := link.NewToken(s.Tenant, r.authority.Certificate)
	hash, now := secret.SecretHash(), r.now()
	t := &fleet.Token{
		Id: secret.ID, SecretHash: hash[:], Tenant: s.Tenant, Labels: s.Labels, Kind: s.Kind,
		UsesLeft: s.Uses, Expires: now.Add(s.Life).UnixNano(), Author: s.Author, Created: now.UnixNano(),
	}
	value, err := t.MarshalVT()
	if err != nil {
		return link.Token{}, nil, err
	}
	if _, err := r.client.Put(ctx, keyspace.Token(t.Id), string(value)); err != nil {
		return link.Token{}, nil, fmt.Errorf("store token: %w", err)
	}
	return secret, t, nil
}

// Tokens returns the tokens of a tenant, of all if empty, spent and expired
// ones of the last 30 days too, in order of id.
func (r *Registry) Tokens(ctx context.Context, tenant string) ([]*fleet.Token, error) {
	var out []*fleet.Token
	_, err := etcd.List(ctx, r.client, keyspace.Tokens, func(i etcd.Item) error {
		t := &fleet.Token{}
		if err := t.UnmarshalVT(i.Value); err != nil {
			return fmt.Errorf("read %s: %w", i.Key, err)
		}
		if tenant == "" || t.Tenant == tenant {
			out = append(out, t)
		}
		return nil
	})
	return out, err
}

// DeleteToken makes a token useless at once.
func (r *Registry) DeleteToken(ctx context.Context, id string) error {
	d, err := r.client.Delete(ctx, keyspace.Token(id))
	if err != nil {
		return fmt.Errorf("delete token: %w", err)
	}
	if d.Deleted == 0 {
		return fmt.Errorf("token %s: %w", id, fault.ErrUnknown)
	}
	return nil
}

// prune forgets tokens that died long ago.
func (r *Registry) prune(ctx context.Context) error {
	before := r.now().Add(-tokenMemory).UnixNano()
	all, err := r.Tokens(ctx, "")
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Expires < before {
			if _, err := r.client.Delete(ctx, keyspace.Token(t.Id)); err != nil {
				return fmt.Errorf("forget token: %w", err)
			}
		}
	}
	return nil
}
