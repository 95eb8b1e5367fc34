package cases

import (
	"errors"
	"fmt"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: nothing has that id or name.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it exists already, or it would take the last of something
	// that must stay.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the request makes no sense; the error says why.
	ErrInvalid = errors.New("invalid request")
	// ErrDenied: wrong name or password, or an unknown, expired or revoked
	// token. It never says which.
	ErrDenied = errors.New("denied")
)

// State is what people made of an alert.
type State string

// The states of an alert. It begins open; a closed one that repeats after it
// was closed is open again.
const (
	StateOpen         State = "open"
	StateAcknowledged State = "acknowledged"
	StateClosed       State = "closed"
)

// ParseState reads a State.
func ParseState(s string) (State, error) {
	switch State(s) {
	case StateOpen, StateAcknowledged, StateClosed:
		return State(s), nil
	}
	return "", fmt.Errorf("%w: state %q is none of open, acknowledged, closed", ErrInvalid, s)
}

// Alert is an alert with its state. Times are Unix ns.
type Alert struct {
	ID          string   `json:"id"`
	Fingerprint string   `json:"fingerprint"`
	Tenant      string   `json:"tenant,omitempty"`
	RuleID      string   `json:"rule_id"`
	RuleName    string   `json:"rule_name"`
	Severity    string   `json:"severity"` // event.Severity.Word
	Techniques  []string `json:"techniques,omitempty"`
	Node        string   `json:"node,omitempty"`
	Host        string   `json:"host,omitempty"`
	Summary     string   `json:"summary,omitempty"`
	Count       uint64   `json:"count"`
	FirstSeen   int64    `json:"first_seen"`
	LastSeen    int64    `json:"last_seen"`

	State   State  `json:"state"`
	StateBy string `json:"state_by,omitempty"` // empty while nobody touched it
	StateAt int64  `json:"state_at,omitempty"`
	// Version counts the changes of all alerts: it rises with every change of
	// this one, so that "everything after version n" is what is new.
	Version int64 `json:"version"`

	// Alert is the whole alert with its evidence; nil in lists unless asked
	// for.
	Alert *event.Alert `json:"-"`
	// History, oldest first; nil in lists.
	History []HistoryEntry `json:"history,omitempty"`
}

// HistoryEntry is one thing that happened to an alert.
type HistoryEntry struct {
	At      int64  `json:"at"` // Unix ns
	By      string `json:"by"`
	Action  string `json:"action"` // opened, acknowledged, closed, reopened, commented
	Comment string `json:"comment,omitempty"`
}

// AlertFilter selects alerts; empty members select all.
type AlertFilter struct {
	Tenant      string   `json:"tenant,omitempty"`
	States      []State  `json:"states,omitempty"`
	Severity    string   `json:"severity,omitempty"` // this or a higher one
	Rule        string   `json:"rule,omitempty"`     // id
	Node        string   `json:"node,omitempty"`
	Host        string   `json:"host,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	Technique   string   `json:"technique,omitempty"` // T1059 has T1059.004 too
	IDs         []string `json:"ids,omitempty"`
	Text        string   `json:"text,omitempty"`  // in rule name, summary or host, case ignored
	Since       int64    `json:"since,omitempty"` // last seen at or after, Unix ns
	Until       int64    `json:"until,omitempty"` // last seen before, Unix ns
	// Body asks for Alert.Alert.
	Body bool `json:"body,omitempty"`
	// Limit of a page, 1 to MaxPage; 0 means DefaultPage.
	Limit int `json:"limit,omitempty"`
	// Cursor is AlertPage.Next of the page before.
	Cursor string `json:"cursor,omitempty"`
}

// AlertPage is a page of alerts, last seen first.
type AlertPage struct {
	Alerts []Alert `json:"alerts"`
	Next   string  `json:"next,omitempty"` // empty on the last page
}

// Bounds of pages.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// AlertCounts are the numbers of a tenant's alerts ("" counts all tenants).
type AlertCounts struct {
	Total    uint64            `json:"total"`
	State    map[State]uint64  `json:"state"`
	Severity map[string]uint64 `json:"severity"` // of those not closed
}

// AlertChange is what a person does to alerts.
type AlertChange struct {
	IDs     []string `json:"ids"`
	Tenant  string   `json:"tenant,omitempty"` // when set, alerts of other tenants are not found
	State   State    `json:"state,omitempty"`  // empty: only comment
	By      string   `json:"by"`
	Comment string   `json:"comment,omitempty"` // at most MaxComment bytes
}

// MaxComment bounds a comment, in bytes.
const MaxComment = 8 << 10

// NodeFilter selects nodes; empty members select all.
type NodeFilter struct {
	Tenant  string   `json:"tenant,omitempty"`
	Kind    string   `json:"kind,omitempty"`
	Host    string   `json:"host,omitempty"`
	Gateway string   `json:"gateway,omitempty"`
	States  []string `json:"states,omitempty"` // as last reported: online, offline
	Limit   int      `json:"limit,omitempty"`
	Cursor  string   `json:"cursor,omitempty"`
}

// NodePage is a page of nodes, by host name. Whether an online node's gateway
// is still alive is for the reader to apply (fleet.Presence.Seen).
type NodePage struct {
	Nodes []*fleet.Presence
	Next  string
}

// Role says what a user or a token may do; the API enforces it.
type Role string

// The roles, each with all rights of the one before.
const (
	RoleViewer  Role = "viewer"
	RoleAnalyst Role = "analyst"
	RoleAdmin   Role = "admin"
)

// ParseRole reads a Role.
func ParseRole(s string) (Role, error) {
	switch Role(s) {
	case RoleViewer, RoleAnalyst, RoleAdmin:
		return Role(s), nil
	}
	return "", fmt.Errorf("%w: role %q is none of viewer, analyst, admin", ErrInvalid, s)
}

// User is an account, without its password.
type User struct {
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Tenant   string `json:"tenant,omitempty"` // empty: sees every tenant
	Disabled bool   `json:"disabled,omitempty"`
	// MustChange: the password was set by somebody else or by the first start.
	MustChange bool   `json:"must_change,omitempty"`
	Created    int64  `json:"created"` // Unix ns
	CreatedBy  string `json:"created_by,omitempty"`
	LastLogin  int64  `json:"last_login,omitempty"` // Unix ns
}

// Session is a log-in of a user, found by a token of which only the hash is
// kept.
type Session struct {
	ID      string `json:"id"` // public, for lists and revocation
	User    string `json:"user"`
	Created int64  `json:"created"` // Unix ns
	Expires int64  `json:"expires"` // Unix ns
	Address string `json:"address,omitempty"`
	Agent   string `json:"agent,omitempty"` // user agent
}

// APIToken lets a program act with a role.
type APIToken struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	User     string `json:"user"` // who it acts as
	Role     Role   `json:"role"` // at most the user's
	Created  int64  `json:"created"`
	Expires  int64  `json:"expires,omitempty"`   // Unix ns, 0: never
	LastUsed int64  `json:"last_used,omitempty"` // Unix ns, to the minute
}

// Principal is who a session or API token stands for, as of now.
type Principal struct {
	User    string `json:"user"`
	Role    Role   `json:"role"` // of a token: the lower of its own and the user's
	Tenant  string `json:"tenant,omitempty"`
	Session string `json:"session,omitempty"` // id, if it was a session
	Token   string `json:"token,omitempty"`   // id, if it was an API token
	Expires int64  `json:"expires,omitempty"`
	// MustChange: nothing but changing the password should be allowed.
	MustChange bool `json:"must_change,omitempty"`
}

// AuditEntry is one act of a person or program. Entries are only added.
type AuditEntry struct {
	ID      int64  `json:"id"`
	At      int64  `json:"at"` // Unix ns, set by the store when 0
	Actor   string `json:"actor"`
	Tenant  string `json:"tenant,omitempty"`
	Via     string `json:"via,omitempty"` // session id, token id, "socket"
	Address string `json:"address,omitempty"`
	Action  string `json:"action"`           // alert.close, user.create, ...
	Object  string `json:"object,omitempty"` // what it was done to
	Detail  string `json:"detail,omitempty"`
	Outcome string `json:"outcome,omitempty"` // ok, denied, failed
}

// AuditFilter selects audit entries; empty members select all.
type AuditFilter struct {
	Actor  string `json:"actor,omitempty"`
	Action string `json:"action,omitempty"` // this or everything below it: "user" has user.create
	Object string `json:"object,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Since  int64  `json:"since,omitempty"` // Unix ns
	Until  int64  `json:"until,omitempty"` // Unix ns
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// AuditPage is a page of entries, newest first.
type AuditPage struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next,omitempty"`
}
