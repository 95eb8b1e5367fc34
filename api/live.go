package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hauberk/hauberk/api/internal/hub"
	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/store/cases"
)

// again runs f until the context ends; when it fails it is begun again, with
// backoff, because engines come back.
func (s *Server) again(ctx context.Context, what string, f func(context.Context) error) error {
	backoff := run.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for {
		began := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.log.Warn("live feed interrupted", "feed", what, "cause", err)
		}
		if time.Since(began) > time.Minute {
			backoff.Reset()
		}
		if err := run.Sleep(ctx, backoff.Next()); err != nil {
			return nil
		}
	}
}

// feedAlerts hands every change of an alert to the hub.
func (s *Server) feedAlerts(ctx context.Context) error {
	after := int64(-1)
	return s.again(ctx, "alerts", func(ctx context.Context) error {
		if after < 0 {
			newest, err := s.deps.Store.AlertVersion(ctx)
			if err != nil {
				return err
			}
			after = newest
		}
		return s.deps.Store.WatchAlerts(ctx, after, cases.AlertFilter{}, func(a cases.Alert) error {
			after = max(after, a.Version)
			data, err := json.Marshal(answerAlert(a))
			if err != nil {
				return err
			}
			s.hub.Publish(hub.Item{Kind: hub.Alert, JSON: data, Tenant: a.Tenant})
			return nil
		})
	})
}

// feedNodes hands presences to the hub. Their state is their gateway's word:
// a list asks for the gateways that are alive, this does not.
func (s *Server) feedNodes(ctx context.Context) error {
	always := func(string) bool { return true }
	return s.again(ctx, "nodes", func(ctx context.Context) error {
		return s.deps.Live.Tail(ctx, []string{bus.Presence}, bus.FromEnd(), func(_ context.Context, messages []bus.Message) error {
			for _, m := range messages {
				p := &fleet.Presence{}
				if err := p.UnmarshalVT(m.Value); err != nil || len(p.Node) == 0 {
					s.count.liveBad.Inc()
					continue
				}
				data, err := json.Marshal(answerNode(p, always))
				if err != nil {
					return err
				}
				s.hub.Publish(hub.Item{Kind: hub.Node, JSON: data, Tenant: p.GetTenant()})
			}
			return nil
		})
	})
}
