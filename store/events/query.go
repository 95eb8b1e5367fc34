package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/run"
)

// Errors of queries, told apart with errors.Is.
var (
	// ErrQuery: the query is wrong; the error says where.
	ErrQuery = errors.New("bad query")
	// ErrTimeout: the query did not end in its time.
	ErrTimeout = errors.New("query timed out")
	// ErrBusy: no query could begin in the time of this one.
	ErrBusy = errors.New("too many queries")
)

// Query asks for events.
type Query struct {
	LogsQL  string   // empty: all
	Tenants []uint32 // whose events
	// Start and End bound the events' time, Unix ns, [Start, End); 0:
	// unbounded.
	Start, End int64
	// Limit of rows, 0: none. With a limit the newest rows come, newest
	// first; without one, in no order.
	Limit   int
	Timeout time.Duration // 0: the default; cut to the maximum
}

// End is what is known at the end of a query.
type End struct {
	Rows, Scanned uint64
}

// MaxQueryText bounds a query's text, in bytes: room for some thousand
// indicators in one query.
const MaxQueryText = 256 << 10

// parsed is a query that can run.
type parsed struct {
	text  string
	plain bool // a filter only: rows come whole
	now   int64
}

// parse checks a query's text. A panic of the engine's parser is its error.
func parse(text string, now int64) (p parsed, err error) {
	if len(text) > MaxQueryText {
		return p, fmt.Errorf("%w: %d bytes, limit %d", ErrQuery, len(text), MaxQueryText)
	}
	p = parsed{text: words(text), now: now}
	err = run.Protect(func() error {
		if _, err := logstorage.ParseQueryAtTimestamp(p.text, now); err != nil {
			return fmt.Errorf("%w: %w", ErrQuery, err)
		}
		_, err := logstorage.ParseFilterAtTimestamp(p.text, now)
		p.plain = err == nil
		return nil
	})
	var crash *run.PanicError
	if errors.As(err, &crash) {
		err = fmt.Errorf("%w: the engine cannot parse it: %v", ErrQuery, crash.Value)
	}
	return p, err
}

// words makes a query of one that is only words: each must be in some field.
// Events have no message field, in which the engine would look for bare words.
func words(text string) string {
	list := strings.Fields(text)
	if len(list) == 0 {
		return "*"
	}
	for i, w := range list {
		switch strings.ToLower(w) {
		case "and", "or", "not", "in", "options":
			return text
		}
		if w[0] == '-' || strings.ContainsFunc(w, func(r rune) bool {
			return !(r == '.' || r == '_' || r == '/' || r == '-' || r == '@' || r == '%' || r == '+' ||
				'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r >= 0x80)
		}) {
			return text
		}
		list[i] = `*:"` + w + `"`
	}
	return strings.Join(list, " ")
}

// query makes the engine's query for a time range, both ends included.
func (p parsed) query(start, end int64) (*logstorage.Query, error) {
	q, err := logstorage.ParseQueryAtTimestamp(p.text, p.now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if start != math.MinInt64 || end != math.MaxInt64 {
		q.AddTimeFilter(start, end)
	}
	return q, nil
}

// Query runs a query and calls each with every row, one at a time: a JSON
// object, good until each returns. An error of each ends the query and is
// returned.
func (s *Store) Query(ctx context.Context, q Query, each func(row []byte) error) (End, error) {
	if q.Limit < 0 || q.Start < 0 || q.End < 0 || q.End != 0 && q.End <= q.Start {
		return End{}, fmt.Errorf("%w: limit or time range", ErrQuery)
	}
	p, err := parse(q.LogsQL, s.deps.Now().UnixNano())
	if err != nil {
		return End{}, err
	}
	if len(q.Tenants) == 0 {
		return End{}, nil
	}
	if q.Timeout <= 0 {
		q.Timeout = s.config.QueryTimeout
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, min(q.Timeout, s.config.MaxQueryTimeout))
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		if caller.Err() != nil {
			return End{}, caller.Err()
		}
		return End{}, ErrBusy
	}
	r := &running{store: s, tenants: tenantIDs(q.Tenants), writer: rowWriter{whole: p.plain}, each: each, cancel: cancel}
	switch {
	case p.plain && q.Limit > 0:
		err = r.newest(ctx, p, q)
	default:
		err = r.all(ctx, p, q)
	}
	end := End{Rows: r.rows, Scanned: atomic.LoadUint64(&r.stats.RowsProcessed)}
	switch {
	case r.failed != nil:
		return end, r.failed
	case err != nil:
		return end, err
	case caller.Err() != nil:
		return end, caller.Err()
	case ctx.Err() != nil:
		return end, ErrTimeout
	}
	return end, nil
}

func tenantIDs(numbers []uint32) []logstorage.TenantID {
	list := make([]logstorage.TenantID, len(numbers))
	for i, n := range numbers {
		list[i].AccountID = n
	}
	return list
}

// running is a query on its way.
type running struct {
	store   *Store
	tenants []logstorage.TenantID
	stats   logstorage.QueryStats
	cancel  context.CancelFunc

	mu     sync.Mutex
	writer rowWriter
	each   func([]byte) error
	failed error
	rows   uint64
}

// run runs one query of the engine. Its workers come here in parallel.
func (r *running) run(ctx context.Context, q *logstorage.Query) error {
	qctx := logstorage.NewQueryContext(ctx, &r.stats, r.tenants, q, false, nil)
	err := run.Protect(func() error {
		return r.store.engine.RunQuery(qctx, func(_ uint, block *logstorage.DataBlock) {
			r.mu.Lock()
			defer r.mu.Unlock()
			columns := block.GetColumns(false)
			for i := range block.RowsCount() {
				if r.failed != nil || ctx.Err() != nil {
					return
				}
				if err := r.each(r.writer.row(columns, i)); err != nil {
					r.failed = err
					r.cancel()
					return
				}
				r.rows++
			}
		})
	})
	// The engine has no type for it; all its pipes say it so.
	if err != nil && strings.Contains(err.Error(), "requires more than") {
		return fmt.Errorf("%w: too much to hold in memory at once (%v): ask for less time or fewer groups, or give the store more cache_bytes", ErrQuery, err)
	}
	return err
}

// all runs the query as it is.
func (r *running) all(ctx context.Context, p parsed, q Query) error {
	start, end := int64(math.MinInt64), int64(math.MaxInt64)
	if q.Start != 0 {
		start = q.Start
	}
	if q.End != 0 {
		end = q.End - 1
	}
	query, err := p.query(start, end)
	if err != nil {
		return err
	}
	if q.Limit > 0 {
		query.AddPipeOffsetLimit(0, uint64(q.Limit))
	}
	return r.run(ctx, query)
}

const (
	// firstWindow and windowGrowth: the newest rows are looked for in ever
	// longer stretches of time backwards, so that a query for the last 100
	// rows does not read a month.
	firstWindow  = 5 * time.Minute
	windowGrowth = 6
)

// newest finds the newest rows first.
func (r *running) newest(ctx context.Context, p parsed, q Query) error {
	start, end := q.Start, q.End
	stats := r.store.Stats()
	if stats.Newest == 0 {
		return nil
	}
	start = max(start, stats.Oldest)
	if end == 0 || end > stats.Newest {
		end = stats.Newest + 1
	}
	if end <= start {
		return nil
	}
	low := end
	for window := int64(firstWindow); ; window *= windowGrowth {
		low = max(start, low-window)
		query, err := p.query(low, end-1)
		if err != nil {
			return err
		}
		query.AddPipeSortByTimeDesc()
		query.AddPipeOffsetLimit(0, uint64(q.Limit)-r.rows)
		if err := r.run(ctx, query); err != nil {
			return err
		}
		if r.rows >= uint64(q.Limit) || low <= start || r.failed != nil || ctx.Err() != nil {
			return nil
		}
		end = low
	}
}

// Beyond returns the identities of the events stored from bus positions at or
// beyond next (by partition; a partition that is not named counts from its
// start), of those not older than floor (Unix ns).
func (s *Store) Beyond(ctx context.Context, tenants []uint32, floor int64, next map[int32]int64, each func(event.ID) error) error {
	if len(tenants) == 0 {
		return nil
	}
	var parts, named []string
	for partition, offset := range next {
		parts = append(parts, fmt.Sprintf("%s:=%d %s:>=%d", quote(fieldPartition), partition, quote(fieldOffset), offset))
		named = append(named, fmt.Sprint(partition))
	}
	text := "*"
	if len(parts) > 0 {
		text = fmt.Sprintf("(%s) or !%s:in(%s)", strings.Join(parts, ") or ("), quote(fieldPartition), strings.Join(named, ","))
	}
	query, err := (parsed{text: text + " | fields " + quote(fieldID), now: s.deps.Now().UnixNano()}).query(floor, math.MaxInt64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var failed error
	var stats logstorage.QueryStats
	err = s.engine.RunQuery(logstorage.NewQueryContext(ctx, &stats, tenantIDs(tenants), query, false, nil), func(_ uint, block *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		column := block.GetColumnByName(fieldID)
		if column == nil || failed != nil {
			return
		}
		for _, text := range column.Values {
			id, err := event.ParseID(text)
			if err == nil {
				err = each(id)
			}
			if err != nil {
				failed = fmt.Errorf("read back stored events: %w", err)
				cancel()
				return
			}
		}
	})
	return errors.Join(failed, err, ctx.Err())
}

// Has reports whether an event is stored and searchable; it looks a day around
// the event's time (Unix ns).
func (s *Store) Has(ctx context.Context, tenant uint32, id event.ID, at int64) (bool, error) {
	query, err := (parsed{text: fmt.Sprintf("%s:=%q | fields %s | limit 1", quote(fieldID), id.String(), quote(fieldID)), now: s.deps.Now().UnixNano()}).
		query(at-int64(day), at+int64(day))
	if err != nil {
		return false, err
	}
	var found atomic.Bool
	var stats logstorage.QueryStats
	err = s.engine.RunQuery(logstorage.NewQueryContext(ctx, &stats, tenantIDs([]uint32{tenant}), query, false, nil),
		func(_ uint, block *logstorage.DataBlock) { found.Store(found.Load() || block.RowsCount() > 0) })
	if err != nil {
		return false, fmt.Errorf("look for event %s: %w", id, err)
	}
	return found.Load(), ctx.Err()
}

// quote writes a field name for LogsQL.
func quote(name string) string { return `"` + name + `"` }
