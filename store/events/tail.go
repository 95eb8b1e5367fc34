package events

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/hauberk/hauberk/internal/run"
)

// tailQueue bounds the rows that wait for one slow reader, maxTails the
// readers: each costs a match of every event.
const (
	tailQueue = 1000
	maxTails  = 32
)

// tails are the readers of events as they are added.
type tails struct {
	any     atomic.Int32 // how many, so that Add costs nothing without
	dropped atomic.Uint64
	mu      sync.Mutex
	list    []*tail
}

type tail struct {
	filter  *logstorage.Filter // nil: all
	tenants []uint32           // nil: all
	rows    chan []byte
	writer  rowWriter
	fields  []logstorage.Field
}

// TailDropped counts the rows that tails lost because their readers were slow.
func (s *Store) TailDropped() uint64 { return s.tails.dropped.Load() }

// Tail calls each with every event added from now on that the filter matches,
// until ctx ends (nil) or each fails. tenant 0 is every tenant. ready, if not
// nil, is called when it begins.
func (s *Store) Tail(ctx context.Context, filter string, tenant uint32, ready func(), each func(row []byte) error) error {
	t := &tail{rows: make(chan []byte, tailQueue), writer: rowWriter{whole: true}}
	if tenant != 0 {
		t.tenants = []uint32{tenant}
	}
	p, err := parse(filter, s.deps.Now().UnixNano())
	if err != nil {
		return err
	}
	if !p.plain {
		return fmt.Errorf("%w: a tail takes no pipes", ErrQuery)
	}
	if p.text != "*" {
		if t.filter, err = logstorage.ParseFilterAtTimestamp(p.text, p.now); err != nil {
			return fmt.Errorf("%w: %w", ErrQuery, err)
		}
	}
	if err := s.tails.add(t); err != nil {
		return err
	}
	defer s.tails.remove(t)
	if ready != nil {
		ready()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case row := <-t.rows:
			if err := each(row); err != nil {
				return err
			}
		}
	}
}

func (l *tails) add(t *tail) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= maxTails {
		return fmt.Errorf("%w: %d tails", ErrBusy, len(l.list))
	}
	l.list = append(l.list, t)
	l.any.Store(int32(len(l.list)))
	return nil
}

func (l *tails) remove(t *tail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(l.list, func(x *tail) bool { return x == t })
	l.any.Store(int32(len(l.list)))
}

// offer shows a row to all tails.
func (l *tails) offer(tenant uint32, at int64, fields []logstorage.Field) {
	if l.any.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.list {
		if t.tenants != nil && !slices.Contains(t.tenants, tenant) {
			continue
		}
		row := t.render(at, fields)
		if row == nil {
			continue
		}
		select {
		case t.rows <- row:
		default:
			l.dropped.Add(1)
		}
	}
}

// render returns the row as JSON if the filter matches it.
func (t *tail) render(at int64, fields []logstorage.Field) (row []byte) {
	t.fields = append(append(t.fields[:0], fields...), logstorage.Field{Name: engineTime, Value: time.Unix(0, at).UTC().Format(time.RFC3339Nano)})
	if t.filter != nil {
		matched := false
		// A filter that the engine can only run as a query must not end the
		// process.
		if err := run.Protect(func() error { matched = t.filter.MatchRow(t.fields); return nil }); err != nil || !matched {
			return nil
		}
	}
	t.writer.names = t.writer.names[:0]
	if t.writer.cells == nil {
		t.writer.cells = map[string]string{}
	}
	clear(t.writer.cells)
	for _, f := range t.fields {
		if f.Value != "" {
			t.writer.set(f.Name, f.Value)
		}
	}
	return slices.Clone(t.writer.finish())
}
