package enrol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/link"
)

// Enrol turns a token and a request into an enrolment and a certificate
// chain. The token's use and the enrolment are one transaction: of two
// machines with a one-time token, one gets in. Errors a node may see are
// *link.Refusal.
func (r *Registry) Enrol(ctx context.Context, q *link.EnrolRequest) (*fleet.Enrolment, [][]byte, error) {
	secret, err := link.ParseToken(q.Token)
	if err != nil {
		return nil, nil, r.refuse("malformed", link.Reason_REASON_TOKEN, err.Error())
	}
	key, spki, err := ca.CheckRequest(q.Csr)
	if err == nil {
		err = errors.Join(fleet.CheckHost(q.Host), fleet.CheckKind(q.Kind))
	}
	if err != nil {
		return nil, nil, r.refuse("request", link.Reason_REASON_PROTOCOL, err.Error())
	}
	node := event.NewNodeID()
	chain, err := r.authority.Node(link.Identity{Tenant: secret.Tenant, Node: node}, key)
	if err != nil {
		return nil, nil, err
	}
	hash := sha256.Sum256(spki)
	backoff := run.Backoff{Min: time.Millisecond, Max: 50 * time.Millisecond}
	for {
		t, revision, err := r.token(ctx, secret, q.Kind)
		if err != nil {
			return nil, nil, err
		}
		e := &fleet.Enrolment{
			Node: node[:], Tenant: t.Tenant, Kind: q.Kind, Host: q.Host, Labels: t.Labels,
			Enrolled: r.now().UnixNano(), Token: t.Id, PublicKeyHash: hash[:],
		}
		done, err := r.admit(ctx, t, revision, e)
		if err != nil {
			return nil, nil, err
		}
		if done {
			r.log.Info("node enrolled", "node", node, "host", q.Host, "tenant", t.Tenant, "token", t.Id)
			return e, chain, nil
		}
		// Another machine used the token meanwhile; see what is left of it.
		if err := run.Sleep(ctx, backoff.Next()); err != nil {
			return nil, nil, err
		}
	}
}

// token reads a token and reports why this machine may not use it.
func (r *Registry) token(ctx context.Context, secret link.Token, kind string) (*fleet.Token, int64, error) {
	got, err := r.client.Get(ctx, keyspace.Token(secret.ID))
	if err != nil {
		return nil, 0, fmt.Errorf("read token: %w", err)
	}
	if len(got.Kvs) == 0 {
		return nil, 0, r.refuse("unknown", link.Reason_REASON_TOKEN, "no such token; it may have been deleted, or be of another centre")
	}
	t := &fleet.Token{}
	if err := t.UnmarshalVT(got.Kvs[0].Value); err != nil {
		return nil, 0, fmt.Errorf("read token %s: %w", secret.ID, err)
	}
	hash := secret.SecretHash()
	switch {
	case subtle.ConstantTimeCompare(hash[:], t.SecretHash) != 1 || secret.Tenant != t.Tenant:
		return nil, 0, r.refuse("secret", link.Reason_REASON_TOKEN, "token "+secret.ID+" is not as it was given out")
	case t.UsesLeft == 0:
		return nil, 0, r.refuse("spent", link.Reason_REASON_TOKEN, "token "+secret.ID+" was used already; create a new one")
	case r.now().UnixNano() >= t.Expires:
		return nil, 0, r.refuse("expired", link.Reason_REASON_TOKEN, "token "+secret.ID+" expired at "+time.Unix(0, t.Expires).UTC().Format(time.RFC3339)+"; create a new one")
	case t.Kind != "" && t.Kind != kind:
		return nil, 0, r.refuse("kind", link.Reason_REASON_TOKEN, "token "+secret.ID+" is for nodes of kind "+t.Kind)
	}
	return t, got.Kvs[0].ModRevision, nil
}

func (r *Registry) refuse(reason string, why link.Reason, detail string) error {
	r.refused[reason].Inc()
	return &link.Refusal{Reason: why, Detail: detail}
}

// admit writes the enrolment and the token's use, if the token is unchanged.
func (r *Registry) admit(ctx context.Context, t *fleet.Token, revision int64, e *fleet.Enrolment) (bool, error) {
	value, err := e.MarshalVT()
	if err != nil {
		return false, err
	}
	name := keyspace.Token(t.Id)
	ops := []clientv3.Op{clientv3.OpPut(keyspace.Enrolment(event.NodeID(e.Node)), string(value))}
	if t.UsesLeft != Unlimited {
		t.UsesLeft--
		spent, err := t.MarshalVT()
		if err != nil {
			return false, err
		}
		ops = append(ops, clientv3.OpPut(name, string(spent)))
	}
	done, err := r.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(name), "=", revision)).Then(ops...).Commit()
	if err != nil {
		return false, fmt.Errorf("store enrolment: %w", err)
	}
	return done.Succeeded, nil
}

// Renew issues a new certificate to an enrolled node, for the same key as the
// one it holds.
func (r *Registry) Renew(ctx context.Context, id link.Identity, held *x509.Certificate, q *link.RenewRequest) ([][]byte, error) {
	key, spki, err := ca.CheckRequest(q.Csr)
	if err != nil {
		return nil, &link.Refusal{Reason: link.Reason_REASON_PROTOCOL, Detail: err.Error()}
	}
	e, _, err := r.Admitted(ctx, id)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(spki)
	if !bytes.Equal(spki, held.RawSubjectPublicKeyInfo) || !bytes.Equal(hash[:], e.PublicKeyHash) {
		return nil, &link.Refusal{Reason: link.Reason_REASON_UNAUTHORIZED, Detail: "a certificate is renewed with the key it was issued for; enrol again for a new key"}
	}
	return r.authority.Node(id, key)
}

// Admitted returns the enrolment of a node and its revision, or a
// *link.Refusal if there is none or it was revoked.
func (r *Registry) Admitted(ctx context.Context, id link.Identity) (*fleet.Enrolment, int64, error) {
	e, revision, err := r.Get(ctx, id.Node)
	switch {
	case errors.Is(err, fault.ErrUnknown):
		return nil, 0, &link.Refusal{Reason: link.Reason_REASON_UNAUTHORIZED, Detail: "this node is not enrolled here"}
	case err != nil:
		return nil, 0, err
	case e.Revoked:
		return nil, 0, Revocation(e)
	case e.Tenant != id.Tenant:
		return nil, 0, &link.Refusal{Reason: link.Reason_REASON_UNAUTHORIZED, Detail: "this node is enrolled with another tenant"}
	}
	return e, revision, nil
}

// revokedRetry keeps a revoked node from asking often.
const revokedRetry = 5 * time.Minute

// Revocation is what a revoked node is told.
func Revocation(e *fleet.Enrolment) *link.Refusal {
	return &link.Refusal{
		Reason: link.Reason_REASON_UNAUTHORIZED, Retry: revokedRetry,
		Detail: "this node was revoked at " + time.Unix(0, e.RevokedAt).UTC().Format(time.RFC3339),
	}
}

// Get returns the enrolment of a node and its revision.
func (r *Registry) Get(ctx context.Context, node event.NodeID) (*fleet.Enrolment, int64, error) {
	got, err := r.client.Get(ctx, keyspace.Enrolment(node))
	if err != nil {
		return nil, 0, fmt.Errorf("read enrolment: %w", err)
	}
	if len(got.Kvs) == 0 {
		return nil, 0, fmt.Errorf("node %s: %w", node, fault.ErrUnknown)
	}
	e, err := Parse(got.Kvs[0].Value)
	return e, got.Kvs[0].ModRevision, err
}

// Parse reads the value of an enrolment's key.
func Parse(value []byte) (*fleet.Enrolment, error) {
	e := &fleet.Enrolment{}
	if err := e.UnmarshalVT(value); err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	if _, err := event.NodeIDFrom(e.Node); err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	return e, nil
}

// Each hands every enrolment to visit, in order of node id.
func (r *Registry) Each(ctx context.Context, visit func(*fleet.Enrolment) error) error {
	_, err := etcd.List(ctx, r.client, keyspace.Enrolments, func(i etcd.Item) error {
		e, err := Parse(i.Value)
		if err != nil {
			return err
		}
		return visit(e)
	})
	return err
}

// Update changes an enrolment; of concurrent updates none is lost.
func (r *Registry) Update(ctx context.Context, node event.NodeID, change func(*fleet.Enrolment) error) (*fleet.Enrolment, error) {
	for {
		e, revision, err := r.Get(ctx, node)
		if err != nil {
			return nil, err
		}
		if err := change(e); err != nil {
			return nil, err
		}
		value, err := e.MarshalVT()
		if err != nil {
			return nil, err
		}
		name := keyspace.Enrolment(node)
		done, err := r.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(name), "=", revision)).
			Then(clientv3.OpPut(name, string(value))).Commit()
		if err != nil {
			return nil, fmt.Errorf("store enrolment: %w", err)
		}
		if done.Succeeded {
			return e, nil
		}
	}
}

// Revoke takes a node's right to connect and to renew, for good. Gateways
// that hold its connection close it.
func (r *Registry) Revoke(ctx context.Context, node event.NodeID, by string) (*fleet.Enrolment, error) {
	return r.Update(ctx, node, func(e *fleet.Enrolment) error {
		if !e.Revoked {
			e.Revoked, e.RevokedAt, e.RevokedBy = true, r.now().UnixNano(), by
		}
		return nil
	})
}

// SetLabels replaces a node's labels.
func (r *Registry) SetLabels(ctx context.Context, node event.NodeID, labels map[string]string) (*fleet.Enrolment, error) {
	if err := fleet.CheckLabels(labels); err != nil {
		return nil, fault.Invalid(err)
	}
	return r.Update(ctx, node, func(e *fleet.Enrolment) error { e.Labels = labels; return nil })
}

// SetHost renames a node.
func (r *Registry) SetHost(ctx context.Context, node event.NodeID, host string) (*fleet.Enrolment, error) {
	if err := fleet.CheckHost(host); err != nil {
		return nil, fault.Invalid(err)
	}
	return r.Update(ctx, node, func(e *fleet.Enrolment) error { e.Host = host; return nil })
}
