package cases

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hauberk/hauberk/event"
)

// The system as an actor in histories.
const system = "hauberk"

// PutAlerts stores publications of alerts, all or none. Of several
// publications of one id the one with the highest count holds, and the
// earliest and latest time any of them has, so that the order and the number
// of their deliveries do not matter. A closed alert that repeats after it was
// closed is open again. An alert without id is refused; counts of 0 are 1.
func (d *DB) PutAlerts(ctx context.Context, alerts []*event.Alert) error {
	changed := false
	err := d.update(ctx, "store alerts", func(tx *sql.Tx) error {
		for _, a := range alerts {
			if a.GetId() == "" {
				return fmt.Errorf("%w: alert without id", ErrInvalid)
			}
			did, err := d.putAlert(ctx, tx, a)
			if err != nil {
				return fmt.Errorf("alert %s: %w", a.GetId(), err)
			}
			changed = changed || did
		}
		return nil
	})
	if err == nil && changed {
		d.notify()
	}
	return err
}

// putAlert merges one publication and reports whether anything changed.
func (d *DB) putAlert(ctx context.Context, tx *sql.Tx, a *event.Alert) (bool, error) {
	body, err := a.MarshalVT()
	if err != nil {
		return false, err
	}
	count := max(a.GetCount(), 1)
	var old struct {
		count       uint64
		first, last int64
		state       State
		stateAt     int64
	}
	err = tx.QueryRowContext(ctx, "SELECT count, first_seen, last_seen, state, state_at FROM alerts WHERE id = ?", a.GetId()).
		Scan(&old.count, &old.first, &old.last, &old.state, &old.stateAt)
	if errors.Is(err, sql.ErrNoRows) {
		return true, d.insertAlert(ctx, tx, a, body, count)
	}
	if err != nil {
		return false, err
	}
	first, last := min(old.first, a.GetFirstSeen()), max(old.last, a.GetLastSeen())
	newer := count > old.count
	if !newer && first == old.first && last == old.last {
		return false, nil
	}
	version, err := nextVersion(ctx, tx)
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE alerts SET first_seen = ?, last_seen = ?, version = ? WHERE id = ?", first, last, version, a.GetId()); err != nil {
		return false, err
	}
	if !newer {
		return true, nil
	}
	if _, err := tx.ExecContext(ctx, "UPDATE alerts SET count = ?, severity = ?, summary = ?, techniques = ?, body = ? WHERE id = ?",
		count, a.GetSeverity(), a.GetSummary(), spaced(a.GetTechniques()), body, a.GetId()); err != nil {
		return false, err
	}
	if old.state == StateClosed && a.GetLastSeen() > old.stateAt {
		return true, d.setState(ctx, tx, a.GetId(), StateOpen, system, "reopened", "repeated after it was closed")
	}
	return true, nil
}

func (d *DB) insertAlert(ctx context.Context, tx *sql.Tx, a *event.Alert, body []byte, count uint64) error {
	version, err := nextVersion(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO alerts (id, fingerprint, tenant, rule_id, rule_name, severity, techniques, node, host,
		summary, count, first_seen, last_seen, state, state_by, state_at, version, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',0,?,?)`,
		a.GetId(), a.GetFingerprint(), a.GetTenant(), a.GetRuleId(), a.GetRuleName(), a.GetSeverity(), spaced(a.GetTechniques()),
		a.GetNode(), a.GetHost(), a.GetSummary(), count, a.GetFirstSeen(), a.GetLastSeen(), StateOpen, version, body)
	if err != nil {
		return err
	}
	return d.addHistory(ctx, tx, a.GetId(), HistoryEntry{At: d.now().UnixNano(), By: system, Action: "opened"})
}

func spaced(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " ") + " "
}

func nextVersion(ctx context.Context, tx *sql.Tx) (int64, error) {
	var v int64
	err := tx.QueryRowContext(ctx, "UPDATE versions SET alerts = alerts + 1 RETURNING alerts").Scan(&v)
	return v, err
}

func (d *DB) addHistory(ctx context.Context, tx *sql.Tx, id string, e HistoryEntry) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO alert_history (alert, number, at, by, action, comment)
		SELECT ?, 1 + coalesce(max(number), 0), ?, ?, ?, ? FROM alert_history WHERE alert = ?`,
		id, e.At, e.By, e.Action, e.Comment, id)
	return err
}

func (d *DB) setState(ctx context.Context, tx *sql.Tx, id string, state State, by, action, comment string) error {
	version, err := nextVersion(ctx, tx)
	if err != nil {
		return err
	}
	now := d.now().UnixNano()
	if _, err := tx.ExecContext(ctx, "UPDATE alerts SET state = ?, state_by = ?, state_at = ?, version = ? WHERE id = ?",
		state, by, now, version, id); err != nil {
		return err
	}
	return d.addHistory(ctx, tx, id, HistoryEntry{At: now, By: by, Action: action, Comment: comment})
}

// actions are what histories call a change to a state.
var actions = map[State]string{StateOpen: "reopened", StateAcknowledged: "acknowledged", StateClosed: "closed"}

// maxChange bounds the alerts of one change.
const maxChange = 10_000

// ChangeAlerts sets the state of alerts, or comments on them, all or none, and
// returns how many changed.
func (d *DB) ChangeAlerts(ctx context.Context, c AlertChange) (int, error) {
	switch {
	case c.By == "":
		return 0, fmt.Errorf("%w: change without a name", ErrInvalid)
	case len(c.IDs) == 0 || len(c.IDs) > maxChange:
		return 0, fmt.Errorf("%w: %d alerts in a change, want 1 to %d", ErrInvalid, len(c.IDs), maxChange)
	case len(c.Comment) > MaxComment:
		return 0, fmt.Errorf("%w: comment of %d bytes, limit %d", ErrInvalid, len(c.Comment), MaxComment)
	case c.State == "" && c.Comment == "":
		return 0, fmt.Errorf("%w: neither state nor comment", ErrInvalid)
	}
	if c.State != "" {
		if _, err := ParseState(string(c.State)); err != nil {
			return 0, err
		}
	}
	changed := 0
	err := d.update(ctx, "change alerts", func(tx *sql.Tx) error {
		for _, id := range c.IDs {
			did, err := d.changeAlert(ctx, tx, id, c)
			if err != nil {
				return err
			}
			if did {
				changed++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if changed > 0 {
		d.notify()
	}
	return changed, nil
}

func (d *DB) changeAlert(ctx context.Context, tx *sql.Tx, id string, c AlertChange) (bool, error) {
	var state State
	var tenant string
	err := tx.QueryRowContext(ctx, "SELECT state, tenant FROM alerts WHERE id = ?", id).Scan(&state, &tenant)
	if errors.Is(err, sql.ErrNoRows) || err == nil && c.Tenant != "" && c.Tenant != tenant {
		return false, fmt.Errorf("alert %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return false, err
	}
	if c.State != "" && c.State != state {
		return true, d.setState(ctx, tx, id, c.State, c.By, actions[c.State], c.Comment)
	}
	if c.Comment == "" {
		return false, nil
	}
	version, err := nextVersion(ctx, tx)
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE alerts SET version = ? WHERE id = ?", version, id); err != nil {
		return false, err
	}
	return true, d.addHistory(ctx, tx, id, HistoryEntry{At: d.now().UnixNano(), By: c.By, Action: "commented", Comment: c.Comment})
}

// notify wakes those who wait for changes of alerts.
func (d *DB) notify() {
	d.mu.Lock()
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
}

// AlertsChanged returns a channel that is closed at the next change.
func (d *DB) AlertsChanged() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// AlertVersion returns the version of the newest change.
func (d *DB) AlertVersion(ctx context.Context) (int64, error) {
	var v int64
	if err := d.read.QueryRowContext(ctx, "SELECT alerts FROM versions").Scan(&v); err != nil {
		return 0, fmt.Errorf("read alert version: %w", err)
	}
	return v, nil
}

const alertColumns = "id, fingerprint, tenant, rule_id, rule_name, severity, techniques, node, host, summary, count, first_seen, last_seen, state, state_by, state_at, version"

func scanAlert(rows interface{ Scan(...any) error }, body bool) (Alert, error) {
	var a Alert
	var severity int32
	var techniques string
	var raw []byte
	dest := []any{&a.ID, &a.Fingerprint, &a.Tenant, &a.RuleID, &a.RuleName, &severity, &techniques, &a.Node, &a.Host, &a.Summary,
		&a.Count, &a.FirstSeen, &a.LastSeen, &a.State, &a.StateBy, &a.StateAt, &a.Version}
	if body {
		dest = append(dest, &raw)
	}
	if err := rows.Scan(dest...); err != nil {
		return a, err
	}
	a.Severity = event.Severity(severity).Word()
	a.Techniques = strings.Fields(techniques)
	if body {
		a.Alert = &event.Alert{}
		if err := a.Alert.UnmarshalVT(raw); err != nil {
			return a, fmt.Errorf("alert %s: %w", a.ID, err)
		}
		a.Alert.Count, a.Alert.FirstSeen, a.Alert.LastSeen = a.Count, a.FirstSeen, a.LastSeen
	}
	return a, nil
}

// where turns the filter into a condition; times are left to the caller.
func (f *AlertFilter) where() (*where, error) {
	w := &where{}
	w.equal("tenant", f.Tenant)
	w.equal("rule_id", f.Rule)
	w.equal("node", f.Node)
	w.equal("host", f.Host)
	w.equal("fingerprint", f.Fingerprint)
	var states, ids []any
	for _, s := range f.States {
		if _, err := ParseState(string(s)); err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	w.in("state", states)
	if len(f.IDs) > MaxPage {
		return nil, fmt.Errorf("%w: %d ids, limit %d", ErrInvalid, len(f.IDs), MaxPage)
	}
	for _, id := range f.IDs {
		ids = append(ids, id)
	}
	w.in("id", ids)
	if f.Severity != "" {
		s, ok := event.ParseSeverity(f.Severity)
		if !ok {
			return nil, fmt.Errorf("%w: severity %q", ErrInvalid, f.Severity)
		}
		w.add("severity >= ?", s)
	}
	if f.Technique != "" {
		t := likeText(f.Technique)
		w.add(`techniques LIKE ? ESCAPE '\' OR techniques LIKE ? ESCAPE '\'`, "% "+t+" %", "% "+t+".%")
	}
	if f.Text != "" {
		t := "%" + likeText(f.Text) + "%"
		w.add(`rule_name LIKE ? ESCAPE '\' OR summary LIKE ? ESCAPE '\' OR host LIKE ? ESCAPE '\'`, t, t, t)
	}
	return w, nil
}

// alertCursor is where a page ended.
type alertCursor struct {
	Last int64
	ID   string
}

func (c alertCursor) String() string {
	text, _ := json.Marshal(c) // an int and a string always marshal
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("%w: cursor %q", ErrInvalid, text)
	}
	return nil
}

// Alerts lists alerts, last seen first.
func (d *DB) Alerts(ctx context.Context, f AlertFilter) (AlertPage, error) {
	var page AlertPage
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	w, err := f.where()
	if err != nil {
		return page, err
	}
	if f.Since != 0 {
		w.add("last_seen >= ?", f.Since)
	}
	if f.Until != 0 {
		w.add("last_seen < ?", f.Until)
	}
	if f.Cursor != "" {
		var c alertCursor
		if err := parseCursor(f.Cursor, &c); err != nil {
			return page, err
		}
		w.add("last_seen < ? OR last_seen = ? AND id > ?", c.Last, c.Last, c.ID)
	}
	columns := alertColumns
	if f.Body {
		columns += ", body"
	}
	err = d.query(ctx, "list alerts", func(rows *sql.Rows) error {
		a, err := scanAlert(rows, f.Body)
		page.Alerts = append(page.Alerts, a)
		return err
	}, "SELECT "+columns+" FROM alerts WHERE "+w.String()+" ORDER BY last_seen DESC, id LIMIT ?", append(w.args, limit+1)...)
	if err != nil {
		return AlertPage{}, err
	}
	if len(page.Alerts) > limit {
		page.Alerts = page.Alerts[:limit]
		last := page.Alerts[limit-1]
		page.Next = alertCursor{last.LastSeen, last.ID}.String()
	}
	return page, nil
}

// AlertsAfter returns at most limit alerts of the filter that changed after a
// version, in order of their versions. The filter's times, limit and cursor
// do not count.
func (d *DB) AlertsAfter(ctx context.Context, version int64, f AlertFilter, limit int) ([]Alert, error) {
	w, err := f.where()
	if err != nil {
		return nil, err
	}
	w.add("version > ?", version)
	columns := alertColumns
	if f.Body {
		columns += ", body"
	}
	var list []Alert
	err = d.query(ctx, "list changed alerts", func(rows *sql.Rows) error {
		a, err := scanAlert(rows, f.Body)
		list = append(list, a)
		return err
	}, "SELECT "+columns+" FROM alerts WHERE "+w.String()+" ORDER BY version LIMIT ?", append(w.args, limit)...)
	return list, err
}

// Alert returns one alert with evidence and history. With a tenant, alerts of
// others are not found.
func (d *DB) Alert(ctx context.Context, id, tenant string) (Alert, error) {
	a, err := scanAlert(d.read.QueryRowContext(ctx, "SELECT "+alertColumns+", body FROM alerts WHERE id = ?", id), true)
	if errors.Is(err, sql.ErrNoRows) || err == nil && tenant != "" && a.Tenant != tenant {
		return Alert{}, fmt.Errorf("alert %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Alert{}, fmt.Errorf("read alert %s: %w", id, err)
	}
	err = d.query(ctx, "read history of alert "+id, func(rows *sql.Rows) error {
		var e HistoryEntry
		err := rows.Scan(&e.At, &e.By, &e.Action, &e.Comment)
		a.History = append(a.History, e)
		return err
	}, "SELECT at, by, action, comment FROM alert_history WHERE alert = ? ORDER BY number", id)
	return a, err
}

// AlertCounts counts alerts of a tenant, of all with "".
func (d *DB) AlertCounts(ctx context.Context, tenant string) (AlertCounts, error) {
	out := AlertCounts{State: map[State]uint64{}, Severity: map[string]uint64{}}
	w := &where{}
	w.equal("tenant", tenant)
	err := d.query(ctx, "count alerts", func(rows *sql.Rows) error {
		var state State
		var severity int32
		var n uint64
		if err := rows.Scan(&state, &severity, &n); err != nil {
			return err
		}
		out.Total += n
		out.State[state] += n
		if state != StateClosed {
			out.Severity[event.Severity(severity).Word()] += n
		}
		return nil
	}, "SELECT state, severity, count(*) FROM alerts WHERE "+w.String()+" GROUP BY state, severity", w.args...)
	return out, err
}
