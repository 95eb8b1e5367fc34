package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/events"
)

// routes connects the calls of docs/formats/store.md to the databases.
func (s *Store) routes(mux *http.ServeMux) {
	lines(mux, "events.query", s.query)
	lines(mux, "events.tail", s.tail)
	s.alertRoutes(mux)
	s.nodeRoutes(mux)
	s.userRoutes(mux)
	do(mux, "audit.add", s.cases.Audit)
	answer(mux, "audit.list", s.cases.AuditLog)
	answer(mux, "settings.get", func(ctx context.Context, in settingIn) (settingOut, error) {
		value, err := s.cases.Setting(ctx, in.Key)
		return settingOut{value}, err
	})
	do(mux, "settings.set", func(ctx context.Context, in settingIn) error {
		return s.cases.SetSetting(ctx, in.Key, in.Value, in.By)
	})
	answer(mux, "stats", func(ctx context.Context, _ none) (Stats, error) { return s.numbers(ctx) })
	answer(mux, "reconcile", func(ctx context.Context, in nameIn) (reconcileOut, error) {
		list, err := s.reconcile(ctx, in.Name)
		return reconcileOut{list}, err
	})
	answer(mux, "health", func(context.Context, none) (Health, error) { return s.healthNow(), nil })
	do(mux, "backup", func(ctx context.Context, in dirIn) error { return s.backup(ctx, in.Dir) })
	do(mux, "restore", func(ctx context.Context, in dirIn) error { return s.stageRestore(ctx, in.Dir) })
}

func (s *Store) alertRoutes(mux *http.ServeMux) {
	answer(mux, "alerts.list", func(ctx context.Context, f cases.AlertFilter) (alertPageWire, error) {
		page, err := s.cases.Alerts(ctx, f)
		out := alertPageWire{Next: page.Next}
		for _, a := range page.Alerts {
			w, err := toAlertWire(a)
			if err != nil {
				return out, err
			}
			out.Alerts = append(out.Alerts, w)
		}
		return out, err
	})
	answer(mux, "alerts.get", func(ctx context.Context, in idIn) (alertWire, error) {
		a, err := s.cases.Alert(ctx, in.ID, in.Tenant)
		if err != nil {
			return alertWire{}, err
		}
		return toAlertWire(a)
	})
	answer(mux, "alerts.version", func(ctx context.Context, _ none) (versionOut, error) {
		v, err := s.cases.AlertVersion(ctx)
		return versionOut{v}, err
	})
	lines(mux, "alerts.watch", s.watchAlerts)
	answer(mux, "alerts.change", func(ctx context.Context, c cases.AlertChange) (changedOut, error) {
		n, err := s.cases.ChangeAlerts(ctx, c)
		return changedOut{n}, err
	})
	answer(mux, "alerts.counts", func(ctx context.Context, in tenantIn) (cases.AlertCounts, error) {
		return s.cases.AlertCounts(ctx, in.Tenant)
	})
}

func (s *Store) nodeRoutes(mux *http.ServeMux) {
	answer(mux, "nodes.list", func(ctx context.Context, f cases.NodeFilter) (nodePageWire, error) {
		page, err := s.cases.Nodes(ctx, f)
		out := nodePageWire{Next: page.Next}
		for _, p := range page.Nodes {
			body, err := p.MarshalVT()
			if err != nil {
				return out, err
			}
			out.Nodes = append(out.Nodes, body)
		}
		return out, err
	})
	answer(mux, "nodes.get", func(ctx context.Context, in idIn) (nodePageWire, error) {
		p, err := s.cases.Node(ctx, in.ID, in.Tenant)
		if err != nil {
			return nodePageWire{}, err
		}
		body, err := p.MarshalVT()
		return nodePageWire{Nodes: [][]byte{body}}, err
	})
	do(mux, "nodes.forget", func(ctx context.Context, in idIn) error { return s.cases.ForgetNode(ctx, in.ID) })
	answer(mux, "results.list", func(ctx context.Context, in idIn) (resultsWire, error) {
		list, err := s.cases.Results(ctx, in.ID, in.Tenant)
		var out resultsWire
		for _, r := range list {
			body, err := r.MarshalVT()
			if err != nil {
				return out, err
			}
			out.Results = append(out.Results, body)
		}
		return out, err
	})
}

func (s *Store) userRoutes(mux *http.ServeMux) {
	answer(mux, "users.list", func(ctx context.Context, _ none) (usersOut, error) {
		list, err := s.cases.Users(ctx)
		return usersOut{list}, err
	})
	answer(mux, "users.get", func(ctx context.Context, in nameIn) (cases.User, error) { return s.cases.User(ctx, in.Name) })
	do(mux, "users.create", func(ctx context.Context, in createUserIn) error {
		return s.cases.CreateUser(ctx, in.User, in.Password)
	})
	do(mux, "users.update", s.cases.UpdateUser)
	do(mux, "users.delete", func(ctx context.Context, in nameIn) error { return s.cases.DeleteUser(ctx, in.Name) })
	do(mux, "users.password", func(ctx context.Context, in passwordIn) error {
		return s.cases.SetPassword(ctx, in.Name, in.Password, in.MustChange)
	})
	answer(mux, "users.authenticate", func(ctx context.Context, in passwordIn) (cases.User, error) {
		return s.cases.Authenticate(ctx, in.Name, in.Password)
	})
	answer(mux, "sessions.create", func(ctx context.Context, in sessionIn) (sessionOut, error) {
		token, session, err := s.cases.CreateSession(ctx, in.User, in.TTL, in.Address, in.Agent)
		return sessionOut{token, session}, err
	})
	answer(mux, "sessions.list", func(ctx context.Context, in nameIn) (sessionsOut, error) {
		list, err := s.cases.Sessions(ctx, in.Name)
		return sessionsOut{list}, err
	})
	do(mux, "sessions.end", func(ctx context.Context, in idIn) error { return s.cases.EndSession(ctx, in.ID) })
	answer(mux, "tokens.create", func(ctx context.Context, in tokenIn) (tokenOut, error) {
		secret, token, err := s.cases.CreateToken(ctx, in.Name, in.User, in.Role, in.TTL)
		return tokenOut{secret, token}, err
	})
	answer(mux, "tokens.list", func(ctx context.Context, in nameIn) (tokensOut, error) {
		list, err := s.cases.Tokens(ctx, in.Name)
		return tokensOut{list}, err
	})
	do(mux, "tokens.revoke", func(ctx context.Context, in idIn) error { return s.cases.RevokeToken(ctx, in.ID) })
	answer(mux, "tokens.resolve", func(ctx context.Context, in secretIn) (cases.Principal, error) {
		return s.cases.Resolve(ctx, in.Token)
	})
}

// named turns the errors of package events into those of the wire.
func named(err error) error {
	for _, e := range []struct{ from, to error }{
		{events.ErrQuery, cases.ErrInvalid}, {events.ErrTimeout, ErrTimeout}, {events.ErrBusy, ErrBusy},
	} {
		if errors.Is(err, e.from) {
			return fmt.Errorf("%w: %w", e.to, err)
		}
	}
	return err
}

func (s *Store) query(ctx context.Context, q Query, l *lineWriter) (any, error) {
	began := time.Now()
	s.count.queries.Inc()
	end, err := s.events.Query(ctx, events.Query{
		LogsQL: q.LogsQL, Tenants: s.searched(q.Tenant), Start: q.Start, End: q.End, Limit: q.Limit, Timeout: q.Timeout,
	}, l.line)
	if err != nil && ctx.Err() == nil {
		s.count.queryFailures.Inc()
	}
	return QueryEnd{Rows: end.Rows, Duration: time.Since(began), Scanned: end.Scanned}, named(err)
}

func (s *Store) tail(ctx context.Context, t TailRequest, l *lineWriter) (any, error) {
	var tenant uint32
	if t.Tenant != "" {
		var err error
		if tenant, err = s.tenant(ctx, t.Tenant); err != nil { // it may send its first event yet
			return nil, err
		}
	}
	err := s.events.Tail(ctx, t.LogsQL, tenant, func() { _ = l.flush() }, func(row []byte) error {
		if err := l.line(row); err != nil {
			return err
		}
		return l.flush()
	})
	return none{}, named(err)
}

// watchBatch bounds the alerts read at once.
const watchBatch = 100

func (s *Store) watchAlerts(ctx context.Context, in watchIn, l *lineWriter) (any, error) {
	for begun := false; ; begun = true {
		changed := s.cases.AlertsChanged()
		list, err := s.cases.AlertsAfter(ctx, in.After, in.Filter, watchBatch)
		if ctx.Err() != nil {
			return none{}, nil
		}
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			w, err := toAlertWire(a)
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(w)
			if err != nil {
				return nil, err
			}
			if err := l.line(text); err != nil {
				return nil, err
			}
			in.After = a.Version
		}
		if len(list) > 0 || !begun {
			if err := l.flush(); err != nil {
				return nil, err
			}
		}
		if len(list) == watchBatch {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return none{}, nil
		}
	}
}
