package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/api/internal/hub"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/cases"
)

const (
	// writeTime bounds one write of a stream: a client that takes nothing for
	// that long is gone.
	writeTime = 30 * time.Second
	// beat is how often a silent stream shows that it lives, and asks whether
	// its session still does.
	beat = 15 * time.Second
	// liveQueue bounds the items waiting for one listener.
	liveQueue = 1024
	// sampleEvery and sampleRows bound what a console tab gets of the events:
	// 500 a second, which no eye follows; the rest is counted.
	sampleEvery = 200 * time.Millisecond
	sampleRows  = 100
)

// lines answers with one JSON object per line.
type lines struct {
	c       *call
	w       *bufio.Writer
	control *http.ResponseController
}

func newLines(c *call, contentType string) *lines {
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("X-Accel-Buffering", "no") // a proxy in between must not hold lines back
	c.w.WriteHeader(http.StatusOK)
	return &lines{c, bufio.NewWriterSize(c.w, 16<<10), http.NewResponseController(c.w)}
}

// prepare bounds the next write.
func (l *lines) prepare() {
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTime)) // writers of tests have none
}

func (l *lines) line(object []byte) error {
	if l.w.Available() < len(object)+1 {
		l.prepare()
	}
	l.w.Write(object)
	return l.w.WriteByte('\n') // reports the first failure of both
}

func (l *lines) flush() error {
	l.prepare()
	if err := l.w.Flush(); err != nil {
		return err
	}
	return l.control.Flush()
}

// problemLine ends a stream that failed after its answer had begun.
type problemLine struct {
	Problem *problem `json:"problem"`
}

func (s *Server) queryEvents(c *call) error {
	q := store.Query{LogsQL: c.URL.Query().Get("query"), Tenant: c.tenant(), Timeout: s.config.QueryTime}
	var err error
	if q.Limit, err = c.number("limit", 1000, 0, s.config.QueryRows); err != nil {
		return err
	}
	if q.Limit == 0 {
		q.Limit = s.config.QueryRows
	}
	if q.Start, err = s.time(c, "since"); err != nil {
		return err
	}
	if q.End, err = s.time(c, "until"); err != nil {
		return err
	}
	// The first row decides whether a problem can still be the answer.
	var out *lines
	_, err = s.deps.Store.Query(c.Context(), q, func(row []byte) error {
		if out == nil {
			out = newLines(c, "application/x-ndjson")
		}
		return out.line(row)
	})
	if err != nil && out == nil {
		return err
	}
	if out == nil {
		out = newLines(c, "application/x-ndjson")
	}
	if err != nil {
		data, _ := json.Marshal(problemLine{s.problemOf(err)}) // a problem is always JSON
		out.line(data)
	}
	return errors.Join(err, out.flush())
}

// watch starts a source in its own goroutine, which ends with stop, and
// returns what it finds. A full queue holds the source back, which drops and
// counts what it must.
func watch[T any](ctx context.Context, source func(context.Context, func(T) error) error) (found <-chan T, ended <-chan error, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	items, end := make(chan T, liveQueue), make(chan error, 1)
	go func() {
		end <- run.Protect(func() error {
			return source(ctx, func(item T) error {
				select {
				case items <- item:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		})
	}()
	return items, end, func() { cancel(); <-end }
}

// follow answers with a line for each item found, as it comes.
func follow[T any](s *Server, c *call, source func(context.Context, func(T) error) error, line func(T) ([]byte, error)) error {
	out := newLines(c, "application/x-ndjson")
	if err := out.flush(); err != nil {
		return err
	}
	found, ended, stop := watch(c.Context(), source)
	var failed error
	defer func() {
		if failed == nil {
			stop()
		}
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case item := <-found:
			data, err := line(item)
			if err != nil {
				return err
			}
			out.line(data)
			if len(found) > 0 {
				continue
			}
		case failed = <-ended:
			if failed == nil {
				failed = context.Canceled
			}
			data, _ := json.Marshal(problemLine{s.problemOf(failed)}) // a problem is always JSON
			out.line(data)
			out.flush()
			return failed
		case <-tick.C:
			if err := s.stillWelcome(c); err != nil {
				return err
			}
			out.w.WriteByte('\n') // an empty line shows that the stream lives
		case <-c.Context().Done():
			return nil
		}
		if err := out.flush(); err != nil {
			return err
		}
	}
}

// followAlerts streams alerts with their process trees, as they change: first
// what changed after the version given, then what comes. Nothing is left out:
// a client that was cut off goes on after the highest version it has seen.
func (s *Server) followAlerts(c *call) error {
	f, err := s.alertFilter(c)
	if err != nil {
		return err
	}
	f.Body = true
	var after int64
	if text := c.URL.Query().Get("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return badRequest("after: %q is no version of an alert", text)
		}
	} else if after, err = s.deps.Store.AlertVersion(c.Context()); err != nil {
		return err
	}
	return follow(s, c, func(ctx context.Context, each func(cases.Alert) error) error {
		return s.deps.Store.WatchAlerts(ctx, after, f, each)
	}, func(a cases.Alert) ([]byte, error) { return json.Marshal(detailAlert(a)) })
}

// stillWelcome fails when the session or token of a stream has ended, or its
// role has changed.
func (s *Server) stillWelcome(c *call) error {
	who, err := s.principal(c.Request)
	if err != nil {
		return err
	}
	if who.Role != c.who.Role || who.Tenant != c.who.Tenant {
		return failf(http.StatusForbidden, "role", "the role has changed; connect again")
	}
	return nil
}

// tailEvents is the source of live events that the query asks for: a LogsQL
// filter without pipes, and a tenant.
func (s *Server) tailEvents(c *call) func(context.Context, func([]byte) error) error {
	q := store.TailRequest{LogsQL: c.URL.Query().Get("query"), Tenant: c.tenant()}
	return func(ctx context.Context, each func([]byte) error) error {
		return s.deps.Store.Tail(ctx, q, func(row []byte) error { return each(bytes.Clone(row)) })
	}
}

// tryQuery asks the query of no time at all, so that what is wrong with it is
// an ordinary answer and not the end of a stream.
func (s *Server) tryQuery(c *call) error {
	now := s.now().UnixNano()
	_, err := s.deps.Store.Query(c.Context(), store.Query{
		LogsQL: c.URL.Query().Get("query"), Tenant: c.tenant(), Start: now, End: now + 1, Limit: 1, Timeout: s.config.QueryTime,
	}, func([]byte) error { return nil })
	return err
}

// followEvents streams events as they are stored.
func (s *Server) followEvents(c *call) error {
	if err := s.tryQuery(c); err != nil {
		return err
	}
	return follow(s, c, s.tailEvents(c), func(row []byte) ([]byte, error) { return row, nil })
}

// stream is what a tab of the console listens to: server-sent events "hello",
// "alert" (as in lists), "node", "events" (a sample: {"rows":[...],
// "skipped":n}), "problem" when the query of events cannot be followed, and
// "status". topics chooses among alerts, nodes, events.
func (s *Server) stream(c *call) error {
	words := map[string]hub.Kind{"alerts": hub.Alert, "nodes": hub.Node, "events": 0}
	topics := c.URL.Query().Get("topics")
	if topics == "" {
		topics = "alerts,nodes"
	}
	t := tab{s: s, c: c}
	var kinds hub.Kind
	for _, word := range strings.Split(topics, ",") {
		kind, known := words[word]
		if !known {
			return badRequest("topics: %q is none of alerts, nodes, events", word)
		}
		kinds |= kind
		t.events = t.events || word == "events"
	}
	if t.events {
		if err := s.tryQuery(c); err != nil {
			return err
		}
	}
	t.sub = s.hub.Subscribe(kinds, liveQueue)
	defer t.sub.Close()
	t.out = newLines(c, "text/event-stream")
	t.send("hello", fmt.Appendf(nil, `{"version":%q}`, s.deps.Version))
	if err := t.status(); err != nil {
		return err
	}
	if err := t.out.flush(); err != nil {
		return err
	}
	return t.run()
}

// tab is one open stream of a console.
type tab struct {
	s       *Server
	c       *call
	out     *lines
	sub     *hub.Sub
	events  bool
	rows    [][]byte
	skipped uint64
	last    string // status sent
}

func (t *tab) send(name string, data []byte) {
	t.out.prepare()
	t.out.w.WriteString("event: " + name + "\ndata: ")
	t.out.w.Write(data)
	t.out.w.WriteString("\n\n")
}

// statusEvery is how often a tab is told of a changed status.
const statusEvery = 2 * time.Second

func (t *tab) run() error {
	live, sample, status := time.NewTicker(beat), time.NewTicker(sampleEvery), time.NewTicker(statusEvery)
	defer live.Stop()
	defer sample.Stop()
	defer status.Stop()
	var rows <-chan []byte
	var ended <-chan error
	stop := func() {}
	if t.events {
		rows, ended, stop = watch(t.c.Context(), t.s.tailEvents(t.c))
	}
	defer func() { stop() }()
	for {
		select {
		case i := <-t.sub.C:
			t.item(i)
		case row := <-rows:
			t.row(row)
			continue // sent with the next sample
		case err := <-ended:
			ended, stop = nil, func() {}
			t.problem(err)
		case <-sample.C:
			if len(t.rows) == 0 && t.skipped == 0 {
				continue
			}
			t.sample()
		case <-status.C:
			if err := t.status(); err != nil {
				return err
			}
		case <-live.C:
			if err := t.s.stillWelcome(t.c); err != nil {
				return err
			}
			t.out.w.WriteString(": still here\n\n")
		case <-t.c.Context().Done():
			return nil
		}
		if err := t.out.flush(); err != nil {
			return err
		}
	}
}

// problem tells that the events cannot be followed; the tab connects again
// when it wants to.
func (t *tab) problem(err error) {
	if err == nil {
		err = store.ErrUnavailable
	}
	data, _ := json.Marshal(t.s.problemOf(err)) // a problem is always JSON
	t.send("problem", data)
}

// item sends an alert or a node. A tab that lost some asks for the lists
// again.
func (t *tab) item(i hub.Item) {
	if n := t.sub.Dropped(); n > 0 {
		t.send("lost", fmt.Appendf(nil, `{"items":%d}`, n))
	}
	switch tenant := t.c.tenant(); {
	case tenant != "" && tenant != i.Tenant:
	case i.Kind == hub.Alert:
		t.send("alert", i.JSON)
	case i.Kind == hub.Node:
		t.send("node", i.JSON)
	}
}

func (t *tab) row(row []byte) {
	if len(t.rows) < sampleRows {
		t.rows = append(t.rows, row)
	} else {
		t.skipped++
	}
}

func (t *tab) sample() {
	data := []byte(`{"rows":[`)
	for i, row := range t.rows {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, row...)
	}
	t.send("events", fmt.Appendf(data, `],"skipped":%d}`, t.skipped))
	t.rows, t.skipped = t.rows[:0], 0
}

// status sends the status if it differs from what was sent.
func (t *tab) status() error {
	data, err := json.Marshal(t.s.statusAnswer(t.c))
	if err != nil || string(data) == t.last {
		return err
	}
	t.last = string(data)
	t.send("status", data)
	return nil
}
