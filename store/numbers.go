package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/ledger"
)

// ledgerFresh is how long the sum over all nodes is good.
const ledgerFresh = 5 * time.Second

// numbers gathers Stats.
func (s *Store) numbers(ctx context.Context) (Stats, error) {
	e := s.events.Stats()
	out := Stats{
		Events:   EventStats{Rows: e.Rows, Bytes: e.Bytes, Days: e.Days, Oldest: e.Oldest, Newest: e.Newest},
		Counters: map[string]uint64{},
	}
	var err1, err2, err3, err4 error
	out.Disk, err1 = s.reserve.Space()
	out.CasesSize, err2 = s.cases.Size(ctx)
	out.Nodes, err3 = s.cases.CountNodes(ctx)
	out.Ledger, err4 = s.sum(ctx)
	for _, r := range s.deps.Metrics.Readings() {
		name := r.Name
		if r.Label != "" {
			name += "{" + r.Label + "}"
		}
		out.Counters[name] = r.Value
	}
	return out, errors.Join(err1, err2, err3, err4)
}

// sum reconciles all nodes together, now and then.
func (s *Store) sum(ctx context.Context) (Reconciliation, error) {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	if age := s.deps.Now().Sub(s.stats.at); age >= 0 && age < ledgerFresh {
		return s.stats.ledger, nil
	}
	list, err := s.reconcile(ctx, "")
	if err != nil {
		return Reconciliation{}, err
	}
	var total Reconciliation
	for _, r := range list {
		total.add(r)
	}
	s.stats.ledger, s.stats.at = total, s.deps.Now()
	return total, nil
}

func (r *Reconciliation) add(o Reconciliation) {
	r.Produced += o.Produced
	r.Stored += o.Stored
	r.Waiting += o.Waiting
	r.Difference += o.Difference
	r.Rejected = plus(r.Rejected, o.Rejected)
	r.Dropped = plus(r.Dropped, o.Dropped)
}

func plus(a, b map[string]uint64) map[string]uint64 {
	if len(b) == 0 {
		return a
	}
	if a = maps.Clone(a); a == nil {
		a = map[string]uint64{}
	}
	for reason, n := range b {
		a[reason] += n
	}
	return a
}

// reconcile follows events as of the last checkpoint: of a node by life, the
// newest first; of all nodes, with "", each summed.
func (s *Store) reconcile(ctx context.Context, node string) ([]Reconciliation, error) {
	var list []Reconciliation
	err := s.cases.Lives(ctx, node, func(l cases.Life) error {
		r, err := reconcileLife(l)
		if err != nil {
			return err
		}
		if last := len(list) - 1; node == "" && last >= 0 && list[last].Node == r.Node {
			list[last].Incarnation = 0
			list[last].add(r)
			return nil
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if node != "" && len(list) == 0 {
		return nil, fmt.Errorf("node %s: %w", node, cases.ErrNotFound)
	}
	return list, s.describe(ctx, list, node)
}

// reconcileLife follows the events of one incarnation.
func reconcileLife(l cases.Life) (Reconciliation, error) {
	seen, err := ledger.Parse(l.Seen)
	if err != nil {
		return Reconciliation{}, fmt.Errorf("life %d of node %s: %w", l.Incarnation, l.Node, err)
	}
	r := Reconciliation{Node: l.Node, Incarnation: l.Incarnation, Produced: max(l.Produced, seen.Highest()), Rejected: l.Rejected, Dropped: l.Dropped}
	rejected, dropped := total(l.Rejected), total(l.Dropped)
	r.Stored = seen.Count() - min(rejected, seen.Count())
	r.Difference = int64(r.Produced) - int64(r.Stored) - int64(rejected) - int64(dropped)
	return r, nil
}

func total(m map[string]uint64) (sum uint64) {
	for _, n := range m {
		sum += n
	}
	return sum
}

// describe adds what the nodes' presence says: host, and what waits in the
// spool, to the newest life of each.
func (s *Store) describe(ctx context.Context, list []Reconciliation, node string) error {
	if node != "" {
		p, err := s.cases.Node(ctx, node, "")
		if errors.Is(err, cases.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range list {
			list[i].Host = p.GetHost()
		}
		list[0].Waiting = p.GetBacklog()
		return nil
	}
	at := map[string]int{}
	for i, r := range list {
		at[r.Node] = i
	}
	for f := (cases.NodeFilter{Limit: cases.MaxPage}); ; {
		page, err := s.cases.Nodes(ctx, f)
		if err != nil {
			return err
		}
		for _, p := range page.Nodes {
			if i, ok := at[fmt.Sprintf("%x", p.GetNode())]; ok {
				list[i].Host, list[i].Waiting = p.GetHost(), p.GetBacklog()
			}
		}
		if page.Next == "" {
			return nil
		}
		f.Cursor = page.Next
	}
}

// healthNow says whether the store takes events.
func (s *Store) healthNow() Health {
	h := Health{Reasons: s.health.reasons()}
	slices.Sort(h.Reasons)
	space, err := s.reserve.Space()
	h.Disk = space
	if err != nil {
		h.Reasons = append(h.Reasons, "disk: "+err.Error())
	}
	if space.Low {
		h.Reasons = append(h.Reasons, "disk is at its reserve: "+space.String())
	}
	h.OK = len(h.Reasons) == 0
	return h
}
