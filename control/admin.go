package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sort"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/ca"
	"github.com/hauberk/hauberk/control/internal/command"
	"github.com/hauberk/hauberk/control/internal/config"
	"github.com/hauberk/hauberk/control/internal/enrol"
	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/exception"
	"github.com/hauberk/hauberk/control/internal/fault"
	"github.com/hauberk/hauberk/control/internal/gateway"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/control/internal/vault"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
)

// Errors of Admin that are the asker's fault; every other is the centre's.
var (
	ErrUnknown  = fault.ErrUnknown  // what was named is not there
	ErrConflict = fault.ErrConflict // somebody else changed it meanwhile
	ErrInvalid  = fault.ErrInvalid  // what was asked for makes no sense
)

// AdminDeps is what Admin needs from its process. Log, Metrics and Now may be
// zero.
type AdminDeps struct {
	// CheckConfig tells, for each kind of node that takes configuration, what
	// is wrong with a partial override in YAML.
	CheckConfig map[string]func(yaml []byte) error
	Log         *slog.Logger
	Metrics     *obs.Registry
	Now         func() time.Time
}

// Admin rules the fleet, through etcd. Who may do what, and the audit log,
// are its caller's. Safe for concurrent use. Make it with OpenAdmin.
type Admin struct {
	client    *clientv3.Client
	log       *slog.Logger
	authority *ca.Authority
	registry  *enrol.Registry
	configs   *config.Store
	desk      *command.Desk
	now       func() time.Time
}

// TokenSpec asks for a token. TokenUnlimited as its Uses lets any number of
// machines in until the token expires.
type TokenSpec = enrol.TokenSpec

// TokenUnlimited is for TokenSpec.Uses.
const TokenUnlimited = enrol.Unlimited

// CommandSpec asks for a command.
type CommandSpec = command.Spec

// EffectiveConfig is what the centre wants of a node's configuration.
type EffectiveConfig = config.Effective

// OpenAdmin connects to etcd and opens the authority, making it at the first
// start. Of Config it uses Etcd, SealingKey and Domain. The caller closes it.
func OpenAdmin(ctx context.Context, c Config, deps AdminDeps) (*Admin, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = &obs.Registry{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	client, err := etcd.Dial(ctx, c.Etcd, deps.Log)
	if err != nil {
		return nil, err
	}
	a, err := newAdmin(ctx, client, c, deps)
	if err != nil {
		client.Close()
		return nil, err
	}
	return a, nil
}

func newAdmin(ctx context.Context, client *clientv3.Client, c Config, deps AdminDeps) (*Admin, error) {
	v, err := vault.Open(ctx, client, c.SealingKey)
	if err != nil {
		return nil, err
	}
	authority, err := ca.Open(ctx, v, c.Domain, deps.Now)
	if err != nil {
		return nil, err
	}
	key, err := ca.CommandKey(ctx, v)
	if err != nil {
		return nil, err
	}
	checks := map[string]config.Check{}
	for kind, check := range deps.CheckConfig {
		checks[kind] = check
	}
	return &Admin{
		client: client, log: deps.Log, authority: authority, now: deps.Now,
		registry: enrol.New(client, authority, deps.Now, deps.Log, deps.Metrics),
		configs:  config.NewStore(client, checks, deps.Now),
		desk:     command.NewDesk(client, key, deps.Now),
	}, nil
}

// Close disconnects from etcd.
func (a *Admin) Close() error { return a.client.Close() }

// Check reports whether etcd answers.
func (a *Admin) Check(ctx context.Context) error {
	if _, err := a.client.Get(ctx, keyspace.Marker, clientv3.WithKeysOnly()); err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	return nil
}

// Authority returns the certificate of the authority.
func (a *Admin) Authority() *x509.Certificate { return a.authority.Certificate }

// Domain returns the trust domain.
func (a *Admin) Domain() string { return a.authority.Domain }

// ServerCertificate returns a certificate of the authority for an HTTPS
// server with those host names and addresses, in the form of a tls.Config's
// GetCertificate; it is renewed by itself.
func (a *Admin) ServerCertificate(names []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	held := a.authority.Server(names)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return held.Certificate() }
}

// CreateToken makes a token and returns its text, which is shown once and
// kept nowhere.
func (a *Admin) CreateToken(ctx context.Context, s TokenSpec) (text string, _ *fleet.Token, err error) {
	secret, t, err := a.registry.CreateToken(ctx, s)
	if err != nil {
		return "", nil, err
	}
	return secret.String(), t, nil
}

// Tokens returns the tokens of a tenant, of all if empty, spent and expired
// ones of the last 30 days too.
func (a *Admin) Tokens(ctx context.Context, tenant string) ([]*fleet.Token, error) {
	return a.registry.Tokens(ctx, tenant)
}

// DeleteToken makes a token useless at once.
func (a *Admin) DeleteToken(ctx context.Context, id string) error {
	return a.registry.DeleteToken(ctx, id)
}

// Enrolment returns what the centre remembers of a node.
func (a *Admin) Enrolment(ctx context.Context, node event.NodeID) (*fleet.Enrolment, error) {
	e, _, err := a.registry.Get(ctx, node)
	return e, err
}

// Enrolments returns the enrolments of a tenant, of all if empty, revoked
// ones too, in order of node id.
func (a *Admin) Enrolments(ctx context.Context, tenant string) ([]*fleet.Enrolment, error) {
	var out []*fleet.Enrolment
	err := a.registry.Each(ctx, func(e *fleet.Enrolment) error {
		if tenant == "" || e.Tenant == tenant {
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// Revoke takes a node's right to connect and to renew, for good. Its
// connection is closed at once.
func (a *Admin) Revoke(ctx context.Context, node event.NodeID, by string) (*fleet.Enrolment, error) {
	return a.registry.Revoke(ctx, node, by)
}

// SetLabels replaces a node's labels; commands and configuration that select
// by them follow at once.
func (a *Admin) SetLabels(ctx context.Context, node event.NodeID, labels map[string]string) (*fleet.Enrolment, error) {
	return a.registry.SetLabels(ctx, node, labels)
}

// SetHost renames a node: a node's own word of its name counts only when it
// enrols.
func (a *Admin) SetHost(ctx context.Context, node event.NodeID, host string) (*fleet.Enrolment, error) {
	return a.registry.SetHost(ctx, node, host)
}

// CheckConfig reports why PutConfig would refuse a version.
func (a *Admin) CheckConfig(v *fleet.ConfigVersion) error {
	return fault.Invalid(a.configs.Validate(v))
}

// PutConfig stores the next version of a scope (tenant, kind, scope) and
// returns it with version and time filled in. A Version that is not 0 must be
// the newest of the scope, the one the author looked at; else ErrConflict.
func (a *Admin) PutConfig(ctx context.Context, v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) {
	return a.configs.Put(ctx, v)
}

// Config returns a version of a scope, the newest for 0.
func (a *Admin) Config(ctx context.Context, tenant, kind, scope string, version uint64) (*fleet.ConfigVersion, error) {
	return a.configs.Get(ctx, tenant, kind, scope, version)
}

// Configs returns the newest version of every scope that concerns a tenant,
// of all if empty, without deleted scopes.
func (a *Admin) Configs(ctx context.Context, tenant string) ([]*fleet.ConfigVersion, error) {
	return a.configs.List(ctx, tenant)
}

// ConfigHistory returns every version of a scope, oldest first.
func (a *Admin) ConfigHistory(ctx context.Context, tenant, kind, scope string) ([]*fleet.ConfigVersion, error) {
	return a.configs.History(ctx, tenant, kind, scope)
}

// ConfigDiff returns a unified diff of two versions of a scope; from 0 means
// nothing, to 0 the newest.
func (a *Admin) ConfigDiff(ctx context.Context, tenant, kind, scope string, from, to uint64) (string, error) {
	return a.configs.Diff(ctx, tenant, kind, scope, from, to)
}

// RollbackConfig makes a new version that repeats an old one.
func (a *Admin) RollbackConfig(ctx context.Context, tenant, kind, scope string, to uint64, author, comment string) (*fleet.ConfigVersion, error) {
	return a.configs.Rollback(ctx, tenant, kind, scope, to, author, comment)
}

// DeleteConfig ends a scope with a new version that says so; history stays.
func (a *Admin) DeleteConfig(ctx context.Context, tenant, kind, scope, author, comment string) (*fleet.ConfigVersion, error) {
	return a.configs.Delete(ctx, tenant, kind, scope, author, comment)
}

// EffectiveConfig returns what the centre wants of a node's configuration,
// and from which scopes.
func (a *Admin) EffectiveConfig(ctx context.Context, node event.NodeID) (*EffectiveConfig, error) {
	e, err := a.Enrolment(ctx, node)
	if err != nil {
		return nil, err
	}
	set, err := a.configs.Set(ctx)
	if err != nil {
		return nil, err
	}
	effective := set.For(subject(e))
	return effective, effective.Err
}

func subject(e *fleet.Enrolment) *fleet.Subject {
	return &fleet.Subject{ID: event.NodeID(e.Node), Tenant: e.Tenant, Kind: e.Kind, Host: e.Host, Labels: e.Labels}
}

// SendCommand signs a command and sends it to every node it selects. Results
// arrive on the bus.
func (a *Admin) SendCommand(ctx context.Context, s CommandSpec) (*fleet.Command, error) {
	return a.desk.Send(ctx, s)
}

// CancelCommand takes a command back: nodes that have not got it will not.
func (a *Admin) CancelCommand(ctx context.Context, id string) error { return a.desk.Cancel(ctx, id) }

// Commands returns the commands of the last 30 days that concern a tenant,
// all if empty, newest first.
func (a *Admin) Commands(ctx context.Context, tenant string) ([]*fleet.Command, error) {
	out, err := a.desk.Commands(ctx, tenant)
	sort.SliceStable(out, func(i, j int) bool { return out[i].NotBefore > out[j].NotBefore })
	return out, err
}

// SetMode stops or resumes the nodes a selector names: of m, tenant, selector,
// stopped, author and reason count. It holds for nodes that are away, too.
func (a *Admin) SetMode(ctx context.Context, m *fleet.Mode) (*fleet.Mode, error) {
	return a.desk.SetMode(ctx, m)
}

// Modes returns the modes that still count, in order of epoch; for a node the
// last one that selects it holds.
func (a *Admin) Modes(ctx context.Context) ([]*fleet.Mode, error) { return a.desk.Modes(ctx) }

// PutException stores an exception, a new one if it has no id.
func (a *Admin) PutException(ctx context.Context, e *fleet.Exception) (*fleet.Exception, error) {
	return exception.Put(ctx, a.client, e, a.now())
}

// DeleteException removes an exception.
func (a *Admin) DeleteException(ctx context.Context, tenant, id string) error {
	return exception.Delete(ctx, a.client, tenant, id)
}

// Exceptions returns the exceptions that concern a tenant, all if empty,
// expired ones too.
func (a *Admin) Exceptions(ctx context.Context, tenant string) ([]*fleet.Exception, error) {
	return exception.List(ctx, a.client, tenant)
}

// WatchExceptions hands all exceptions to use, at first and after every
// change, until the context ends.
func (a *Admin) WatchExceptions(ctx context.Context, use func([]*fleet.Exception)) error {
	return exception.Watch(ctx, a.client, a.log, use)
}

// Gateways returns the gateways that are alive, in order of id.
func (a *Admin) Gateways(ctx context.Context) ([]*fleet.Gateway, error) {
	return gateway.List(ctx, a.client)
}

// WatchGateways hands the gateways that are alive to use, at first and after
// every change, until the context ends. A node whose presence names another
// gateway is unknown: see fleet.Presence.Seen.
func (a *Admin) WatchGateways(ctx context.Context, use func([]*fleet.Gateway)) error {
	return gateway.Watch(ctx, a.client, a.log, use)
}
