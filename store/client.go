package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store/cases"
)

// Client speaks to the store role over its socket. It is safe for concurrent
// use; it connects when used and survives restarts of the store: a call made
// while the store is away fails with ErrUnavailable.
type Client struct{ http *http.Client }

// NewClient makes a client for the socket at path.
func NewClient(path string) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxLine bounds a line of a stream, in bytes: an alert with evidence, or an
// event with 32 KiB of argv, several times over.
const maxLine = 8 << 20

// post sends a request and returns its successful response.
func (c *Client) post(ctx context.Context, call string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("store call %s: %w", call, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://store"+pathPrefix+call, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("store call %s: %w", call, err)
	}
	request.Header.Set("Content-Type", typeJSON)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, unavailable(ctx, call, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(response.Body, maxRequest)).Decode(&p); err != nil || p.Code == "" {
		return nil, fmt.Errorf("store call %s: status %s", call, response.Status)
	}
	return nil, p.err()
}

// unavailable names an error of the transport, unless the caller gave up.
func unavailable(ctx context.Context, call string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("store call %s: %w: %w", call, ErrUnavailable, err)
}

// ask makes a call with one answer.
func ask[Out any](ctx context.Context, c *Client, call string, in any) (Out, error) {
	var out Out
	response, err := c.post(ctx, call, in)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil {
		return out, unavailable(ctx, call, err)
	}
	return out, nil
}

// stream makes a call answered by lines. An error of each ends it.
func (c *Client) stream(ctx context.Context, call string, in any, each func(line []byte) error) (end []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the store's work when each failed
	response, err := c.post(ctx, call, in)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	for lines.Scan() {
		if err := each(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, unavailable(ctx, call, err)
	}
	if text := response.Trailer.Get(trailerError); text != "" {
		var p problem
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return nil, fmt.Errorf("store call %s: %s", call, text)
		}
		return nil, p.err()
	}
	if text := response.Trailer.Get(trailerEnd); text != "" {
		return []byte(text), nil
	}
	return nil, unavailable(ctx, call, io.ErrUnexpectedEOF)
}

// Query runs a LogsQL query and calls each with every row: one JSON object,
// without a line end, good until each returns. Known fields are typed as in
// docs/formats/event.md, others are strings. An error of each ends the query
// and is returned.
func (c *Client) Query(ctx context.Context, q Query, each func(row []byte) error) (QueryEnd, error) {
	var end QueryEnd
	text, err := c.stream(ctx, "events.query", q, each)
	if err != nil {
		return end, err
	}
	if err := json.Unmarshal(text, &end); err != nil {
		return end, fmt.Errorf("store call events.query: %w", err)
	}
	return end, nil
}

// Tail calls each with every event stored from now on that the filter
// matches, as Query does, until ctx ends (nil). Rows that come faster than
// each takes them are dropped and counted in Stats.
func (c *Client) Tail(ctx context.Context, t TailRequest, each func(row []byte) error) error {
	_, err := c.stream(ctx, "events.tail", t, each)
	return untilEnd(ctx, err)
}

// untilEnd is the error of a stream that only its caller ends.
func untilEnd(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return fmt.Errorf("%w: the store ended the stream", ErrUnavailable)
	}
	return err
}

// Alerts lists alerts, last seen first.
func (c *Client) Alerts(ctx context.Context, f cases.AlertFilter) (cases.AlertPage, error) {
	w, err := ask[alertPageWire](ctx, c, "alerts.list", f)
	page := cases.AlertPage{Next: w.Next}
	for _, wire := range w.Alerts {
		a, err := wire.alert()
		if err != nil {
			return page, err
		}
		page.Alerts = append(page.Alerts, a)
	}
	return page, err
}

// Alert returns one alert with evidence and history. With a tenant, alerts of
// others are not found.
func (c *Client) Alert(ctx context.Context, id, tenant string) (cases.Alert, error) {
	w, err := ask[alertWire](ctx, c, "alerts.get", idIn{id, tenant})
	if err != nil {
		return cases.Alert{}, err
	}
	return w.alert()
}

// AlertVersion returns the version of the newest change, for WatchAlerts.
func (c *Client) AlertVersion(ctx context.Context) (int64, error) {
	v, err := ask[versionOut](ctx, c, "alerts.version", none{})
	return v.Version, err
}

// WatchAlerts calls each with every alert of the filter (its times, limit and
// cursor do not count) that changed after a version, in order of the changes,
// and then with changes as they come, until ctx ends (nil) or each fails. An
// alert that changed several times may come once, as it is.
func (c *Client) WatchAlerts(ctx context.Context, after int64, f cases.AlertFilter, each func(cases.Alert) error) error {
	_, err := c.stream(ctx, "alerts.watch", watchIn{after, f}, func(line []byte) error {
		var w alertWire
		if err := json.Unmarshal(line, &w); err != nil {
			return fmt.Errorf("store call alerts.watch: %w", err)
		}
		a, err := w.alert()
		if err != nil {
			return err
		}
		return each(a)
	})
	return untilEnd(ctx, err)
}

// ChangeAlerts sets the state of alerts, or comments on them, and returns how
// many changed; one that is in the state already does not. An id that is not
// found fails all.
func (c *Client) ChangeAlerts(ctx context.Context, change cases.AlertChange) (int, error) {
	out, err := ask[changedOut](ctx, c, "alerts.change", change)
	return out.Changed, err
}

// AlertCounts counts alerts of a tenant, of all with "".
func (c *Client) AlertCounts(ctx context.Context, tenant string) (cases.AlertCounts, error) {
	return ask[cases.AlertCounts](ctx, c, "alerts.counts", tenantIn{tenant})
}

// Nodes lists nodes as last reported, by host name.
func (c *Client) Nodes(ctx context.Context, f cases.NodeFilter) (cases.NodePage, error) {
	w, err := ask[nodePageWire](ctx, c, "nodes.list", f)
	if err != nil {
		return cases.NodePage{}, err
	}
	return w.page()
}

// Node returns one node, by its id as text.
func (c *Client) Node(ctx context.Context, id, tenant string) (*fleet.Presence, error) {
	w, err := ask[nodePageWire](ctx, c, "nodes.get", idIn{id, tenant})
	if err != nil {
		return nil, err
	}
	page, err := w.page()
	if err != nil {
		return nil, err
	}
	if len(page.Nodes) != 1 {
		return nil, errors.New("store call nodes.get: no node in the answer")
	}
	return page.Nodes[0], nil
}

// ForgetNode removes a node from the list, until it reports again.
func (c *Client) ForgetNode(ctx context.Context, id string) error {
	_, err := ask[none](ctx, c, "nodes.forget", idIn{ID: id})
	return err
}

// CommandResults returns the last result of each node for a command. With a
// tenant, only those of its nodes.
func (c *Client) CommandResults(ctx context.Context, command, tenant string) ([]*fleet.CommandResult, error) {
	w, err := ask[resultsWire](ctx, c, "results.list", idIn{command, tenant})
	if err != nil {
		return nil, err
	}
	var list []*fleet.CommandResult
	for _, body := range w.Results {
		r := &fleet.CommandResult{}
		if err := r.UnmarshalVT(body); err != nil {
			return nil, fmt.Errorf("unmarshal command result: %w", err)
		}
		list = append(list, r)
	}
	return list, nil
}

// Users lists the accounts by name.
func (c *Client) Users(ctx context.Context) ([]cases.User, error) {
	out, err := ask[usersOut](ctx, c, "users.list", none{})
	return out.Users, err
}

// User returns an account.
func (c *Client) User(ctx context.Context, name string) (cases.User, error) {
	return ask[cases.User](ctx, c, "users.get", nameIn{name})
}

// CreateUser makes an account. The password may be empty: then nobody can log
// in as it with one.
func (c *Client) CreateUser(ctx context.Context, u cases.User, password string) error {
	_, err := ask[none](ctx, c, "users.create", createUserIn{u, password})
	return err
}

// UpdateUser sets role, tenant and disabled of an account. Sessions of a
// disabled one end. The last enabled admin cannot be lowered or disabled.
func (c *Client) UpdateUser(ctx context.Context, u cases.User) error {
	_, err := ask[none](ctx, c, "users.update", u)
	return err
}

// DeleteUser removes an account with its sessions and tokens; not the last
// enabled admin.
func (c *Client) DeleteUser(ctx context.Context, name string) error {
	_, err := ask[none](ctx, c, "users.delete", nameIn{name})
	return err
}

// SetPassword sets a password and ends the user's sessions.
func (c *Client) SetPassword(ctx context.Context, name, password string, mustChange bool) error {
	_, err := ask[none](ctx, c, "users.password", passwordIn{name, password, mustChange})
	return err
}

// Authenticate checks a password: the user, or cases.ErrDenied.
func (c *Client) Authenticate(ctx context.Context, name, password string) (cases.User, error) {
	return ask[cases.User](ctx, c, "users.authenticate", passwordIn{Name: name, Password: password})
}

// CreateSession logs a user in for ttl and returns the token, which is shown
// only here.
func (c *Client) CreateSession(ctx context.Context, user string, ttl time.Duration, address, agent string) (string, cases.Session, error) {
	out, err := ask[sessionOut](ctx, c, "sessions.create", sessionIn{user, ttl, address, agent})
	return out.Token, out.Session, err
}

// Sessions lists a user's sessions, everybody's with "".
func (c *Client) Sessions(ctx context.Context, user string) ([]cases.Session, error) {
	out, err := ask[sessionsOut](ctx, c, "sessions.list", nameIn{user})
	return out.Sessions, err
}

// EndSession ends a session by its id.
func (c *Client) EndSession(ctx context.Context, id string) error {
	_, err := ask[none](ctx, c, "sessions.end", idIn{ID: id})
	return err
}

// CreateToken makes an API token and returns its secret, which is shown only
// here. With ttl 0 it does not expire.
func (c *Client) CreateToken(ctx context.Context, name, user string, role cases.Role, ttl time.Duration) (string, cases.APIToken, error) {
	out, err := ask[tokenOut](ctx, c, "tokens.create", tokenIn{name, user, role, ttl})
	return out.Token, out.APIToken, err
}

// Tokens lists a user's API tokens, everybody's with "".
func (c *Client) Tokens(ctx context.Context, user string) ([]cases.APIToken, error) {
	out, err := ask[tokensOut](ctx, c, "tokens.list", nameIn{user})
	return out.Tokens, err
}

// RevokeToken revokes an API token by its id.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := ask[none](ctx, c, "tokens.revoke", idIn{ID: id})
	return err
}

// Resolve says who the token of a session or the secret of an API token
// stands for, or cases.ErrDenied.
func (c *Client) Resolve(ctx context.Context, token string) (cases.Principal, error) {
	return ask[cases.Principal](ctx, c, "tokens.resolve", secretIn{token})
}

// Audit adds an entry to the audit log.
func (c *Client) Audit(ctx context.Context, e cases.AuditEntry) error {
	_, err := ask[none](ctx, c, "audit.add", e)
	return err
}

// AuditLog lists entries, newest first.
func (c *Client) AuditLog(ctx context.Context, f cases.AuditFilter) (cases.AuditPage, error) {
	return ask[cases.AuditPage](ctx, c, "audit.list", f)
}

// Setting returns a setting, or cases.ErrNotFound.
func (c *Client) Setting(ctx context.Context, key string) (string, error) {
	out, err := ask[settingOut](ctx, c, "settings.get", settingIn{Key: key})
	return out.Value, err
}

// SetSetting sets a setting.
func (c *Client) SetSetting(ctx context.Context, key, value, by string) error {
	_, err := ask[none](ctx, c, "settings.set", settingIn{key, value, by})
	return err
}

// Stats returns the store's numbers.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	return ask[Stats](ctx, c, "stats", none{})
}

// Reconcile follows a node's events to their end, one entry for each
// incarnation, the newest first. With "" it gives the sum of each node.
func (c *Client) Reconcile(ctx context.Context, node string) ([]Reconciliation, error) {
	out, err := ask[reconcileOut](ctx, c, "reconcile", nameIn{node})
	return out.Nodes, err
}

// Backup writes a consistent copy of both databases to dir, which must not
// exist, on the store's machine.
func (c *Client) Backup(ctx context.Context, dir string) error {
	_, err := ask[none](ctx, c, "backup", dirIn{dir})
	return err
}

// Restore replaces both databases by the backup in dir: the store checks it,
// ends, and whoever supervises it starts it again; the databases it had are
// kept beside, in <data>/replaced-<time>.
func (c *Client) Restore(ctx context.Context, dir string) error {
	_, err := ask[none](ctx, c, "restore", dirIn{dir})
	return err
}

// Health says whether the store takes events.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return ask[Health](ctx, c, "health", none{})
}
