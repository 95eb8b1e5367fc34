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
	"github.com/hauberk/hauberk/fleet"
)

// PutPresences stores the last word on nodes, in order, all or none. A word
// that may not replace an older one (fleet.Presence.Follows) is left out. What a
// word lacks is filled in from the one before.
func (d *DB) PutPresences(ctx context.Context, list []*fleet.Presence) error {
	return d.update(ctx, "store presences", func(tx *sql.Tx) error {
		for _, p := range list {
			if err := d.putPresence(ctx, tx, p); err != nil {
				return fmt.Errorf("node %x: %w", p.GetNode(), err)
			}
		}
		return nil
	})
}

func (d *DB) putPresence(ctx context.Context, tx *sql.Tx, p *fleet.Presence) error {
	id, err := event.NodeIDFrom(p.GetNode())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var raw []byte
	err = tx.QueryRowContext(ctx, "SELECT body FROM nodes WHERE id = ?", id.String()).Scan(&raw)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	default:
		last := &fleet.Presence{}
		if err := last.UnmarshalVT(raw); err != nil {
			return err
		}
		if !p.Follows(last) {
			return nil
		}
		keep(p, last)
	}
	body, err := p.MarshalVT()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO nodes (id, tenant, host, kind, state, gateway, body) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, host = excluded.host, kind = excluded.kind, state = excluded.state,
		gateway = excluded.gateway, body = excluded.body`,
		id.String(), p.GetTenant(), p.GetHost(), p.GetKind(), int32(p.GetState()), p.GetGateway(), body)
	if err != nil || p.GetStatus() == nil || p.GetIncarnation() == 0 {
		return err
	}
	produced, dropped := spoolCounters(p.GetStatus())
	return putCounters(ctx, tx, id.String(), p.GetIncarnation(), produced, dropped, d.now().UnixNano())
}

// Counters of a node's status that follow its events (docs/formats/spool.md).
const (
	counterProduced = "hauberk_node_events_total"
	counterDropped  = "hauberk_node_events_dropped_total"
)

// spoolCounters reads how many events were given a sequence and how many of
// those the node dropped, by reason.
func spoolCounters(s *event.NodeStatus) (produced uint64, dropped map[string]uint64) {
	dropped = map[string]uint64{}
	for _, c := range s.GetCounters() {
		switch c.GetName() {
		case counterProduced:
			produced += c.GetValue()
		case counterDropped:
			if c.GetValue() > 0 {
				dropped[strings.TrimPrefix(c.GetLabel(), "reason=")] += c.GetValue()
			}
		}
	}
	return produced, dropped
}

// keep carries over what a gateway that only noticed an end does not know.
func keep(p, last *fleet.Presence) {
	if p.Status == nil {
		p.Status = last.Status
	}
	for _, f := range []struct{ now, before *string }{
		{&p.Os, &last.Os}, {&p.Kernel, &last.Kernel}, {&p.Arch, &last.Arch}, {&p.Version, &last.Version}, {&p.Kind, &last.Kind},
		{&p.Host, &last.Host},
	} {
		if *f.now == "" {
			*f.now = *f.before
		}
	}
	if p.Incarnation == 0 {
		p.Incarnation = last.Incarnation
	}
}

// nodeStates are the words for the states a node can be stored in.
var nodeStates = map[string]fleet.PresenceState{
	"online":  fleet.PresenceState_PRESENCE_STATE_ONLINE,
	"offline": fleet.PresenceState_PRESENCE_STATE_OFFLINE,
	"unknown": fleet.PresenceState_PRESENCE_STATE_UNKNOWN,
}

type nodeCursor struct{ Host, ID string }

func (c nodeCursor) String() string {
	text, _ := json.Marshal(c) // two strings always marshal
	return base64.RawURLEncoding.EncodeToString(text)
}

// Nodes lists nodes as last reported, by host name.
func (d *DB) Nodes(ctx context.Context, f NodeFilter) (NodePage, error) {
	var page NodePage
	limit, err := pageLimit(f.Limit)
	if err != nil {
		return page, err
	}
	w := &where{}
	w.equal("tenant", f.Tenant)
	w.equal("kind", f.Kind)
	w.equal("host", f.Host)
	w.equal("gateway", f.Gateway)
	var states []any
	for _, s := range f.States {
		state, ok := nodeStates[s]
		if !ok {
			return page, fmt.Errorf("%w: node state %q is none of online, offline, unknown", ErrInvalid, s)
		}
		states = append(states, int32(state))
	}
	w.in("state", states)
	if f.Cursor != "" {
		var c nodeCursor
		if err := parseCursor(f.Cursor, &c); err != nil {
			return page, err
		}
		w.add("(host, id) > (?, ?)", c.Host, c.ID)
	}
	var last nodeCursor
	err = d.query(ctx, "list nodes", func(rows *sql.Rows) error {
		var c nodeCursor
		var raw []byte
		if err := rows.Scan(&c.Host, &c.ID, &raw); err != nil {
			return err
		}
		if len(page.Nodes) == limit {
			page.Next = last.String()
			return nil
		}
		last = c
		p := &fleet.Presence{}
		page.Nodes = append(page.Nodes, p)
		return p.UnmarshalVT(raw)
	}, "SELECT host, id, body FROM nodes WHERE "+w.String()+" ORDER BY host, id LIMIT ?", append(w.args, limit+1)...)
	return page, err
}

// Node returns one node. With a tenant, nodes of others are not found.
func (d *DB) Node(ctx context.Context, id, tenant string) (*fleet.Presence, error) {
	var raw []byte
	var owner string
	err := d.read.QueryRowContext(ctx, "SELECT body, tenant FROM nodes WHERE id = ?", id).Scan(&raw, &owner)
	if errors.Is(err, sql.ErrNoRows) || err == nil && tenant != "" && tenant != owner {
		return nil, fmt.Errorf("node %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", id, err)
	}
	p := &fleet.Presence{}
	if err := p.UnmarshalVT(raw); err != nil {
		return nil, fmt.Errorf("read node %s: %w", id, err)
	}
	return p, nil
}

// ForgetNode removes a node from the list.
func (d *DB) ForgetNode(ctx context.Context, id string) error {
	return d.update(ctx, "forget node "+id, func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, "DELETE FROM nodes WHERE id = ?", id))
	})
}

// CountNodes counts the nodes that ever reported.
func (d *DB) CountNodes(ctx context.Context) (uint64, error) {
	var n uint64
	if err := d.read.QueryRowContext(ctx, "SELECT count(*) FROM nodes").Scan(&n); err != nil {
		return 0, fmt.Errorf("count nodes: %w", err)
	}
	return n, nil
}

// one turns "no row was touched" into ErrNotFound.
func one(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// PutResults stores results of commands, all or none: of several of one node
// for one command the latest holds, and a final state is not replaced by one
// that is not.
func (d *DB) PutResults(ctx context.Context, list []*fleet.CommandResult) error {
	return d.update(ctx, "store command results", func(tx *sql.Tx) error {
		for _, r := range list {
			id, err := event.NodeIDFrom(r.GetNode())
			if err != nil || r.GetCommand() == "" {
				return fmt.Errorf("%w: result of command %q, node %x", ErrInvalid, r.GetCommand(), r.GetNode())
			}
			body, err := r.MarshalVT()
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO results (command, node, tenant, state, time, body) VALUES (?,?,?,?,?,?)
				ON CONFLICT (command, node) DO UPDATE SET tenant = excluded.tenant, state = excluded.state, time = excluded.time, body = excluded.body
				WHERE excluded.state >= ?7 AND results.state < ?7 OR (excluded.state >= ?7 OR results.state < ?7) AND excluded.time >= results.time`,
				r.GetCommand(), id.String(), r.GetTenant(), int32(r.GetState()), r.GetTime(), body,
				int32(fleet.CommandState_COMMAND_STATE_DONE)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Results returns the last result of each node for a command, by node. With a
// tenant, only those of its nodes.
func (d *DB) Results(ctx context.Context, command, tenant string) ([]*fleet.CommandResult, error) {
	w := &where{}
	w.equal("command", command)
	w.equal("tenant", tenant)
	var list []*fleet.CommandResult
	err := d.query(ctx, "list results of command "+command, func(rows *sql.Rows) error {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		r := &fleet.CommandResult{}
		list = append(list, r)
		return r.UnmarshalVT(raw)
	}, "SELECT body FROM results WHERE "+w.String()+" ORDER BY command, node", w.args...)
	return list, err
}
