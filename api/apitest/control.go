package apitest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// Errors of Control.
var (
	ErrUnknown  = errors.New("not found")
	ErrConflict = errors.New("somebody else changed it meanwhile")
	ErrInvalid  = errors.New("invalid")
)

// Control is a control plane in memory: it keeps what it is given and sends
// nothing.
type Control struct {
	mu         sync.Mutex
	tokens     map[string]*fleet.Token
	enrolments map[event.NodeID]*fleet.Enrolment
	configs    map[[3]string][]*fleet.ConfigVersion
	commands   []*fleet.Command
	modes      []*fleet.Mode
	exceptions map[string]*fleet.Exception
	gateways   []*fleet.Gateway
	down       error
}

var _ api.Control = (*Control)(nil)

func newControl() *Control {
	return &Control{
		tokens: map[string]*fleet.Token{}, enrolments: map[event.NodeID]*fleet.Enrolment{},
		configs: map[[3]string][]*fleet.ConfigVersion{}, exceptions: map[string]*fleet.Exception{},
		gateways: []*fleet.Gateway{{Id: "gw-00000001", Name: "gw", Address: "127.0.0.1:7443", Nodes: 1, Version: "test", Started: Epoch.UnixNano()}},
	}
}

func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return hex.EncodeToString(b)
}

// Fail makes every call fail with err, until it is nil.
func (c *Control) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = err
}

// Enrol adds a node.
func (c *Control) Enrol(e *fleet.Enrolment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enrolments[event.NodeID(e.Node)] = e
}

// do runs f under the lock, unless the control plane is down.
func do[T any](c *Control, f func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		var zero T
		return zero, c.down
	}
	return f()
}

func (c *Control) CreateToken(_ context.Context, t *fleet.Token) (string, *fleet.Token, error) {
	made, err := do(c, func() (*fleet.Token, error) {
		made := &fleet.Token{
			Id: newID(8), Tenant: t.Tenant, Kind: t.Kind, Labels: t.Labels, UsesLeft: t.UsesLeft, Expires: t.Expires, Author: t.Author, Created: Epoch.UnixNano(),
		}
		c.tokens[made.Id] = made
		return made, nil
	})
	return "hbk1." + t.Tenant + "." + made.GetId() + ".secret.pin", made, err
}

func (c *Control) Tokens(_ context.Context, tenant string) ([]*fleet.Token, error) {
	return do(c, func() ([]*fleet.Token, error) {
		return filter(slices.SortedFunc(maps.Values(c.tokens), func(a, b *fleet.Token) int { return cmp.Compare(a.Id, b.Id) }), tenant), nil
	})
}

func (c *Control) DeleteToken(_ context.Context, id string) error {
	_, err := do(c, func() (any, error) {
		if c.tokens[id] == nil {
			return nil, fmt.Errorf("token %s: %w", id, ErrUnknown)
		}
		delete(c.tokens, id)
		return nil, nil
	})
	return err
}

func (c *Control) Enrolments(_ context.Context, tenant string) ([]*fleet.Enrolment, error) {
	return do(c, func() ([]*fleet.Enrolment, error) {
		return filter(slices.SortedFunc(maps.Values(c.enrolments), func(a, b *fleet.Enrolment) int { return cmp.Compare(string(a.Node), string(b.Node)) }), tenant), nil
	})
}

func (c *Control) Enrolment(_ context.Context, node event.NodeID) (*fleet.Enrolment, error) {
	return do(c, func() (*fleet.Enrolment, error) {
		e := c.enrolments[node]
		if e == nil {
			return nil, fmt.Errorf("node %s: %w", node, ErrUnknown)
		}
		return e, nil
	})
}

func (c *Control) SetLabels(ctx context.Context, node event.NodeID, labels map[string]string) (*fleet.Enrolment, error) {
	e, err := c.Enrolment(ctx, node)
	if err == nil {
		e.Labels = labels
	}
	return e, err
}

func (c *Control) Revoke(ctx context.Context, node event.NodeID, by string) (*fleet.Enrolment, error) {
	e, err := c.Enrolment(ctx, node)
	if err == nil {
		e.Revoked, e.RevokedBy, e.RevokedAt = true, by, Epoch.UnixNano()
	}
	return e, err
}

func (c *Control) Configs(_ context.Context, tenant string) ([]*fleet.ConfigVersion, error) {
	return do(c, func() ([]*fleet.ConfigVersion, error) {
		var out []*fleet.ConfigVersion
		for _, versions := range c.configs {
			if v := versions[len(versions)-1]; !v.Deleted {
				out = append(out, v)
			}
		}
		slices.SortFunc(out, func(a, b *fleet.ConfigVersion) int { return cmp.Compare(a.Kind+a.Scope, b.Kind+b.Scope) })
		return filter(out, tenant), nil
	})
}

func (c *Control) ConfigHistory(_ context.Context, tenant, kind, scope string) ([]*fleet.ConfigVersion, error) {
	return do(c, func() ([]*fleet.ConfigVersion, error) {
		versions := c.configs[[3]string{tenant, kind, scope}]
		if len(versions) == 0 {
			return nil, fmt.Errorf("config %s/%s: %w", kind, scope, ErrUnknown)
		}
		return versions, nil
	})
}

func (c *Control) Config(ctx context.Context, tenant, kind, scope string, version uint64) (*fleet.ConfigVersion, error) {
	versions, err := c.ConfigHistory(ctx, tenant, kind, scope)
	switch {
	case err != nil:
		return nil, err
	case version == 0:
		version = uint64(len(versions))
	case version > uint64(len(versions)):
		return nil, fmt.Errorf("config %s/%s version %d: %w", kind, scope, version, ErrUnknown)
	}
	return versions[version-1], nil
}

func (c *Control) ConfigDiff(ctx context.Context, tenant, kind, scope string, from, to uint64) (string, error) {
	older := &fleet.ConfigVersion{}
	if from != 0 {
		var err error
		if older, err = c.Config(ctx, tenant, kind, scope, from); err != nil {
			return "", err
		}
	}
	newer, err := c.Config(ctx, tenant, kind, scope, to)
	if err != nil {
		return "", err
	}
	return "-" + older.Body + "+" + newer.Body, nil
}

func (c *Control) PutConfig(_ context.Context, v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) {
	if v.Kind != "agent" {
		return nil, fmt.Errorf("%w: kind %q: no node of this kind takes configuration from the centre", ErrInvalid, v.Kind)
	}
	if _, err := fleet.ParseSelector(v.Selector); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c.append(v)
}

func (c *Control) append(v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) {
	return do(c, func() (*fleet.ConfigVersion, error) {
		key := [3]string{v.Tenant, v.Kind, v.Scope}
		newest := uint64(len(c.configs[key]))
		if v.Version != 0 && v.Version != newest {
			return nil, fmt.Errorf("version %d is not the newest, which is %d: %w", v.Version, newest, ErrConflict)
		}
		next := &fleet.ConfigVersion{
			Scope: v.Scope, Version: newest + 1, Selector: v.Selector, Kind: v.Kind, Body: v.Body, Author: v.Author, Time: Epoch.UnixNano(),
			Comment: v.Comment, Deleted: v.Deleted, Tenant: v.Tenant, RolledBackTo: v.RolledBackTo, Priority: v.Priority,
		}
		c.configs[key] = append(c.configs[key], next)
		return next, nil
	})
}

func (c *Control) RollbackConfig(ctx context.Context, tenant, kind, scope string, to uint64, author, comment string) (*fleet.ConfigVersion, error) {
	v, err := c.Config(ctx, tenant, kind, scope, to)
	if err != nil {
		return nil, err
	}
	return c.append(&fleet.ConfigVersion{
		Scope: scope, Selector: v.Selector, Kind: kind, Body: v.Body, Author: author, Comment: comment, Tenant: tenant, RolledBackTo: to,
	})
}

func (c *Control) DeleteConfig(ctx context.Context, tenant, kind, scope, author, comment string) (*fleet.ConfigVersion, error) {
	v, err := c.Config(ctx, tenant, kind, scope, 0)
	if err != nil {
		return nil, err
	}
	return c.append(&fleet.ConfigVersion{
		Scope: scope, Selector: v.Selector, Kind: kind, Author: author, Comment: comment, Tenant: tenant, Deleted: true,
	})
}

func (c *Control) EffectiveConfig(ctx context.Context, node event.NodeID) (uint64, string, string, error) {
	e, err := c.Enrolment(ctx, node)
	if err != nil {
		return 0, "", "", err
	}
	v, err := c.Config(ctx, "", e.Kind, "default", 0)
	if err != nil {
		return 0, "", "", nil
	}
	return v.Version, "00", v.Body, nil
}

func (c *Control) SendCommand(_ context.Context, k *fleet.Command) (*fleet.Command, error) {
	if _, err := fleet.ParseSelector(k.Selector); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return do(c, func() (*fleet.Command, error) {
		made := &fleet.Command{
			Id: newID(16), Selector: k.Selector, Name: k.Name, Arguments: k.Arguments, NotBefore: Epoch.UnixNano(),
			Expires: Epoch.Add(time.Hour).UnixNano(), Author: k.Author, Tenant: k.Tenant, Reason: k.Reason,
		}
		c.commands = append([]*fleet.Command{made}, c.commands...)
		return made, nil
	})
}

func (c *Control) Commands(_ context.Context, tenant string) ([]*fleet.Command, error) {
	return do(c, func() ([]*fleet.Command, error) { return filter(c.commands, tenant), nil })
}

func (c *Control) CancelCommand(_ context.Context, id string) error {
	_, err := do(c, func() (any, error) {
		c.commands = slices.DeleteFunc(c.commands, func(k *fleet.Command) bool { return k.Id == id })
		return nil, nil
	})
	return err
}

func (c *Control) SetMode(_ context.Context, m *fleet.Mode) (*fleet.Mode, error) {
	if _, err := fleet.ParseSelector(m.Selector); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return do(c, func() (*fleet.Mode, error) {
		made := &fleet.Mode{
			Epoch: uint64(len(c.modes) + 1), Selector: m.Selector, Stopped: m.Stopped, Author: m.Author, Reason: m.Reason, Tenant: m.Tenant, Since: Epoch.UnixNano(),
		}
		c.modes = append(c.modes, made)
		return made, nil
	})
}

func (c *Control) Modes(context.Context) ([]*fleet.Mode, error) {
	return do(c, func() ([]*fleet.Mode, error) { return slices.Clone(c.modes), nil })
}

func (c *Control) Exceptions(_ context.Context, tenant string) ([]*fleet.Exception, error) {
	return do(c, func() ([]*fleet.Exception, error) {
		return filter(slices.SortedFunc(maps.Values(c.exceptions), func(a, b *fleet.Exception) int { return cmp.Compare(a.Id, b.Id) }), tenant), nil
	})
}

func (c *Control) PutException(_ context.Context, e *fleet.Exception) (*fleet.Exception, error) {
	if e.Rule == "" {
		return nil, fmt.Errorf(`%w: exception: name a rule, or "*" for every rule`, ErrInvalid)
	}
	return do(c, func() (*fleet.Exception, error) {
		e.Id, e.Created = newID(8), Epoch.UnixNano()
		c.exceptions[e.Id] = e
		return e, nil
	})
}

func (c *Control) DeleteException(_ context.Context, tenant, id string) error {
	_, err := do(c, func() (any, error) {
		if e := c.exceptions[id]; e == nil || tenant != "" && e.Tenant != tenant {
			return nil, fmt.Errorf("exception %s: %w", id, ErrUnknown)
		}
		delete(c.exceptions, id)
		return nil, nil
	})
	return err
}

func (c *Control) Gateways(context.Context) ([]*fleet.Gateway, error) {
	return do(c, func() ([]*fleet.Gateway, error) { return slices.Clone(c.gateways), nil })
}

// filter takes what concerns a tenant; what has none concerns all.
func filter[T interface{ GetTenant() string }](all []T, tenant string) []T {
	out := []T{}
	for _, v := range all {
		if tenant == "" || v.GetTenant() == "" || v.GetTenant() == tenant {
			out = append(out, v)
		}
	}
	return out
}
