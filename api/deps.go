package api

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/cases"
)

// Deps are what the API uses of others. Log, Metrics, Now, Console, Rules,
// CheckRules, Backup, Restore and Ready may be nil; what needs an absent one
// answers 501.
type Deps struct {
	Store   Store
	Control Control
	Live    Live
	// Faults are the errors of Control, for errors.Is, that are the asker's
	// fault.
	Faults Faults
	// Certificate serves HTTPS, in the form of tls.Config.GetCertificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Console serves every path outside /api.
	Console http.Handler
	// Status tells what this process knows of the platform.
	Status func(context.Context) Status
	// Rules lists the rules in force.
	Rules func() []Rule
	// CheckRules checks a folder of Sigma rules; its result is shown as JSON.
	CheckRules func(dir string) (any, error)
	// Backup writes the state of the centre as one archive, Restore takes it
	// back.
	Backup  func(context.Context, io.Writer) error
	Restore func(context.Context, io.Reader) error
	// Ready is called once both listeners accept, with the HTTPS address.
	Ready   func(net.Addr)
	Version string
	Log     *slog.Logger
	Metrics *obs.Registry
	Now     func() time.Time
}

// Faults are sentinel errors of another package.
type Faults struct{ Unknown, Conflict, Invalid error }

// Store is what the API asks of the store role; *store.Client is one. Its
// errors are those of packages store and store/cases.
type Store interface {
	Alerts
	Nodes
	Accounts
	AuditLog
	Events
}

// Alerts keeps alerts and what people made of them.
type Alerts interface {
	Alerts(ctx context.Context, f cases.AlertFilter) (cases.AlertPage, error)
	Alert(ctx context.Context, id, tenant string) (cases.Alert, error)
	AlertVersion(ctx context.Context) (int64, error)
	WatchAlerts(ctx context.Context, after int64, f cases.AlertFilter, each func(cases.Alert) error) error
	ChangeAlerts(ctx context.Context, change cases.AlertChange) (int, error)
	AlertCounts(ctx context.Context, tenant string) (cases.AlertCounts, error)
}

// Nodes keeps the last word of each node, and results of commands.
type Nodes interface {
	Nodes(ctx context.Context, f cases.NodeFilter) (cases.NodePage, error)
	Node(ctx context.Context, id, tenant string) (*fleet.Presence, error)
	CommandResults(ctx context.Context, command, tenant string) ([]*fleet.CommandResult, error)
}

// Accounts keeps users, sessions and API tokens.
type Accounts interface {
	Users(ctx context.Context) ([]cases.User, error)
	User(ctx context.Context, name string) (cases.User, error)
	CreateUser(ctx context.Context, u cases.User, password string) error
	UpdateUser(ctx context.Context, u cases.User) error
	DeleteUser(ctx context.Context, name string) error
	SetPassword(ctx context.Context, name, password string, mustChange bool) error
	Authenticate(ctx context.Context, name, password string) (cases.User, error)
	CreateSession(ctx context.Context, user string, ttl time.Duration, address, agent string) (string, cases.Session, error)
	EndSession(ctx context.Context, id string) error
	CreateToken(ctx context.Context, name, user string, role cases.Role, ttl time.Duration) (string, cases.APIToken, error)
	Tokens(ctx context.Context, user string) ([]cases.APIToken, error)
	RevokeToken(ctx context.Context, id string) error
	Resolve(ctx context.Context, token string) (cases.Principal, error)
}

// AuditLog keeps who changed what.
type AuditLog interface {
	Audit(ctx context.Context, e cases.AuditEntry) error
	AuditLog(ctx context.Context, f cases.AuditFilter) (cases.AuditPage, error)
}

// Events searches what nodes saw, and tells how the store is.
type Events interface {
	Query(ctx context.Context, q store.Query, each func(row []byte) error) (store.QueryEnd, error)
	Tail(ctx context.Context, t store.TailRequest, each func(row []byte) error) error
	Stats(ctx context.Context) (store.Stats, error)
}

// Live reads the bus from its end on; *bus.Client is one.
type Live interface {
	Tail(ctx context.Context, topics []string, from bus.From, handle func(context.Context, []bus.Message) error) error
}

// Control is what the API asks of the control plane; cmd makes it of a
// *control.Admin.
type Control interface {
	EnrolmentTokens
	Enrolments
	Configs
	Commands
	Exceptions
	Gateways(ctx context.Context) ([]*fleet.Gateway, error)
}

// EnrolmentTokens let machines join.
type EnrolmentTokens interface {
	// CreateToken makes a token; of t tenant, kind, labels, uses_left (0: one),
	// expires (0: a day) and author count. The text is shown once.
	CreateToken(ctx context.Context, t *fleet.Token) (text string, made *fleet.Token, err error)
	Tokens(ctx context.Context, tenant string) ([]*fleet.Token, error)
	DeleteToken(ctx context.Context, id string) error
}

// Enrolments are the nodes that joined.
type Enrolments interface {
	Enrolments(ctx context.Context, tenant string) ([]*fleet.Enrolment, error)
	Enrolment(ctx context.Context, node event.NodeID) (*fleet.Enrolment, error)
	SetLabels(ctx context.Context, node event.NodeID, labels map[string]string) (*fleet.Enrolment, error)
	Revoke(ctx context.Context, node event.NodeID, by string) (*fleet.Enrolment, error)
}

// Configs are versions of the nodes' configuration.
type Configs interface {
	Configs(ctx context.Context, tenant string) ([]*fleet.ConfigVersion, error)
	Config(ctx context.Context, tenant, kind, scope string, version uint64) (*fleet.ConfigVersion, error)
	ConfigHistory(ctx context.Context, tenant, kind, scope string) ([]*fleet.ConfigVersion, error)
	ConfigDiff(ctx context.Context, tenant, kind, scope string, from, to uint64) (string, error)
	PutConfig(ctx context.Context, v *fleet.ConfigVersion) (*fleet.ConfigVersion, error)
	RollbackConfig(ctx context.Context, tenant, kind, scope string, to uint64, author, comment string) (*fleet.ConfigVersion, error)
	DeleteConfig(ctx context.Context, tenant, kind, scope, author, comment string) (*fleet.ConfigVersion, error)
	// EffectiveConfig returns what the centre wants of a node, in YAML.
	EffectiveConfig(ctx context.Context, node event.NodeID) (version uint64, hash, body string, err error)
}

// Commands are orders to nodes, and the mode they should be in.
type Commands interface {
	// SendCommand sends a command; of c all but the id count, and not_before
	// and expires may be 0: now, and the default life.
	SendCommand(ctx context.Context, c *fleet.Command) (*fleet.Command, error)
	Commands(ctx context.Context, tenant string) ([]*fleet.Command, error)
	CancelCommand(ctx context.Context, id string) error
	SetMode(ctx context.Context, m *fleet.Mode) (*fleet.Mode, error)
	Modes(ctx context.Context) ([]*fleet.Mode, error)
}

// Exceptions silence rules.
type Exceptions interface {
	Exceptions(ctx context.Context, tenant string) ([]*fleet.Exception, error)
	PutException(ctx context.Context, e *fleet.Exception) (*fleet.Exception, error)
	DeleteException(ctx context.Context, tenant, id string) error
}
