package apitest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/cases"
)

// Store is the real case database, in this process, with events in memory: a
// query is words that must all be in the row.
type Store struct {
	*cases.DB

	mu    sync.Mutex
	rows  []row
	tails map[chan row]struct{}
	down  error
}

type row struct {
	tenant string
	time   int64
	json   []byte
}

var _ api.Store = (*Store)(nil)

func newStore(t testing.TB, dir string) *Store {
	t.Helper()
	db, err := cases.Open(t.Context(), filepath.Join(dir, "cases.db"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close case database: %v", err)
		}
	})
	return &Store{DB: db, tails: map[chan row]struct{}{}}
}

// Fail makes the event calls fail with err, until it is nil.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// WatchAlerts is what the store's socket serves: see store.Client.
func (s *Store) WatchAlerts(ctx context.Context, after int64, f cases.AlertFilter, each func(cases.Alert) error) error {
	for {
		changed := s.AlertsChanged()
		list, err := s.AlertsAfter(ctx, after, f, cases.MaxPage)
		if err != nil {
			return err
		}
		for _, a := range list {
			after = max(after, a.Version)
			if err := each(a); err != nil {
				return err
			}
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// CommandResults is Results, under its name on the socket.
func (s *Store) CommandResults(ctx context.Context, command, tenant string) ([]*fleet.CommandResult, error) {
	return s.Results(ctx, command, tenant)
}

// AddEvents stores a batch's events and hands them to the tails.
func (s *Store) AddEvents(b *event.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Records {
		one := row{r.Tenant, r.Time, event.AppendJSON(nil, r)}
		s.rows = append(s.rows, one)
		for tail := range s.tails {
			select {
			case tail <- one:
			default: // as the store: who does not keep up loses rows
			}
		}
	}
}

// BadQuery is a query that does not parse.
const BadQuery = "bad("

func (r *row) matches(query, tenant string) bool {
	if tenant != "" && r.tenant != tenant {
		return false
	}
	for _, word := range strings.Fields(query) {
		if word != "*" && !strings.Contains(string(r.json), word) {
			return false
		}
	}
	return true
}

func (s *Store) Query(_ context.Context, q store.Query, each func([]byte) error) (store.QueryEnd, error) {
	s.mu.Lock()
	rows, down := slices.Clone(s.rows), s.down
	s.mu.Unlock()
	if down != nil {
		return store.QueryEnd{}, down
	}
	if q.LogsQL == BadQuery {
		return store.QueryEnd{}, fmt.Errorf("%w: query: missing )", cases.ErrInvalid)
	}
	var end store.QueryEnd
	for _, r := range slices.Backward(rows) {
		if q.Limit > 0 && end.Rows == uint64(q.Limit) {
			break
		}
		if !r.matches(q.LogsQL, q.Tenant) || r.time < q.Start || q.End != 0 && r.time >= q.End {
			continue
		}
		end.Rows++
		if err := each(r.json); err != nil {
			return end, err
		}
	}
	return end, nil
}

func (s *Store) Tail(ctx context.Context, q store.TailRequest, each func([]byte) error) error {
	tail := make(chan row, 1024)
	s.mu.Lock()
	s.tails[tail] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.tails, tail)
		s.mu.Unlock()
	}()
	for {
		select {
		case r := <-tail:
			if !r.matches(q.LogsQL, q.Tenant) {
				continue
			}
			if err := each(r.json); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Tails returns how many tails are open.
func (s *Store) Tails() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tails)
}

func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	s.mu.Lock()
	rows, down := uint64(len(s.rows)), s.down
	s.mu.Unlock()
	if down != nil {
		return store.Stats{}, down
	}
	nodes, err := s.CountNodes(ctx)
	return store.Stats{
		Events: store.EventStats{Rows: rows, Bytes: 20 * rows, Days: 1, Oldest: Epoch.UnixNano(), Newest: Epoch.UnixNano()}, Nodes: nodes,
		Counters: map[string]uint64{"hauberk_store_rows_total": rows, "hauberk_store_rejected_total{reason=retention}": 2},
		Ledger:   store.Reconciliation{Produced: rows, Stored: rows},
	}, err
}
