package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hauberk/hauberk/api/internal/hub"
	"github.com/hauberk/hauberk/api/internal/limit"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/store/cases"
)

const (
	// callTime bounds an ordinary request, reading and answering.
	callTime = 30 * time.Second
	// maxBody bounds an ordinary request's body, in bytes: the largest config.
	maxBody = 1 << 20
	// maxPage and defaultPage are items of a list.
	maxPage     = 1000
	defaultPage = 100
)

// Server is the API. Make it with New; Run may be called once.
type Server struct {
	config  Config
	deps    Deps
	log     *slog.Logger
	now     func() time.Time
	metrics *obs.Registry
	handler http.Handler
	limiter *limit.Limiter // by address, and by user with "user:" before it
	hub     hub.Hub
	streams chan struct{} // a place for each stream
	started time.Time
	count   counters

	lastStatus lastStatus
}

type counters struct {
	auditFailed, panics, loginsFailed, loginsLimited, liveBad *obs.Counter
}

// New checks the config and makes the routes; it opens nothing.
func New(config Config, deps Deps) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if deps.Store == nil || deps.Control == nil || deps.Live == nil || deps.Status == nil {
		return nil, errors.New("make api: Store, Control, Live and Status are needed")
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = &obs.Registry{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	s := &Server{
		config: config, deps: deps, log: deps.Log, now: deps.Now, metrics: deps.Metrics,
		limiter: &limit.Limiter{Failures: config.LoginFailures, Window: config.LoginWindow},
		streams: make(chan struct{}, config.MaxStreams), started: deps.Now(),
	}
	r := deps.Metrics
	s.count = counters{
		auditFailed:   r.Counter("hauberk_api_audit_failed_total", "", "Changes whose audit entry could not be written."),
		panics:        r.Counter("hauberk_api_panics_total", "", "Requests that ended in a panic."),
		loginsFailed:  r.Counter("hauberk_api_logins_refused_total", "reason=wrong", "Log-ins refused."),
		loginsLimited: r.Counter("hauberk_api_logins_refused_total", "reason=limited", "Log-ins refused."),
		liveBad:       r.Counter("hauberk_api_live_skipped_total", "reason=malformed", "Bus messages left out of the live streams."),
	}
	r.Gauge("hauberk_api_streams", "", "Streams open now.", func() uint64 { return uint64(len(s.streams)) })
	s.handler = s.routes()
	return s, nil
}

// route is one operation of openapi.yaml.
type route struct {
	method, path string
	name         string     // operationId, and the action in the audit log
	role         cases.Role // at least
	open         bool       // needs no log-in
	early        bool       // also before a one-time password was changed
	local        bool       // only on the Unix socket
	quiet        bool       // changes nothing though it is no GET
	audited      bool       // though it changes nothing
	stream       bool       // lasts, and counts as a stream
	long         bool       // may take longer than callTime
	handle       func(*call) error
}

// change reports whether the operation changes something, and so is audited.
func (r *route) change() bool { return r.audited || r.method != http.MethodGet && !r.quiet }

// call is one request and who makes it.
type call struct {
	*http.Request
	w      *responseWriter
	who    *principal
	target string // for the audit log; the path's values if empty
	note   string // for the audit log
}

// responseWriter remembers whether an answer began, and its status.
type responseWriter struct {
	http.ResponseWriter
	status int
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) { s.serve(&r, w, q) })
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, q *http.Request) {
		status, word := http.StatusNotFound, "not-found"
		if s.otherMethod(q) {
			status, word = http.StatusMethodNotAllowed, "method"
		}
		apiHeaders(w.Header())
		failf(status, word, "no operation %s %s; see /api/openapi.yaml", q.Method, q.URL.Path).write(w)
	})
	if s.deps.Console != nil {
		mux.Handle("/", s.deps.Console)
	}
	// Sessions travel in a SameSite=Strict cookie; this refuses what another
	// site or origin makes a browser send all the same.
	return http.NewCrossOriginProtection().Handler(mux)
}

// otherMethod reports whether the path exists with another method.
func (s *Server) otherMethod(q *http.Request) bool {
	parts := strings.Split(q.URL.Path, "/")
	for _, r := range s.table() {
		want := strings.Split(r.path, "/")
		same := len(want) == len(parts)
		for i := 0; same && i < len(want); i++ {
			same = want[i] == parts[i] || strings.HasPrefix(want[i], "{") && parts[i] != ""
		}
		if same {
			return true
		}
	}
	return false
}

// apiHeaders are for answers that no browser should show, keep or frame.
func apiHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}

// serve knows who asks, whether they may, bounds the request, calls the
// handler, turns its error into a problem and writes the audit log.
func (s *Server) serve(r *route, w http.ResponseWriter, q *http.Request) {
	apiHeaders(w.Header())
	c := &call{w: &responseWriter{ResponseWriter: w}, Request: q}
	control := http.NewResponseController(w)
	if !r.stream && !r.long {
		ctx, cancel := context.WithTimeout(q.Context(), callTime)
		defer cancel()
		c.Request = q.WithContext(ctx)
		deadline := time.Now().Add(callTime)
		// Writers of tests have no deadlines; the context bounds them.
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline.Add(time.Second))
		c.Body = http.MaxBytesReader(w, c.Body, maxBody)
	}
	err := s.admit(r, c)
	if err == nil && r.stream {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			p := failf(http.StatusServiceUnavailable, "too-many-streams", "%d streams are open already; close some or raise api.max_streams", cap(s.streams))
			p.retry = 5 * time.Second
			err = p
		}
	}
	if err == nil {
		err = run.Protect(func() error { return r.handle(c) })
	}
	s.answer(r, c, err)
	if r.change() && (c.who != nil || c.target != "") {
		s.audit(r, c, err)
	}
	if errors.Is(err, errCutOff) {
		panic(http.ErrAbortHandler) // closes the connection without an end
	}
}

// errCutOff: an answer that began must not look whole.
var errCutOff = errors.New("answer cut off")

// answer turns a handler's error into the answer, if none began.
func (s *Server) answer(r *route, c *call, err error) {
	if err == nil {
		if c.w.status == 0 {
			c.w.WriteHeader(http.StatusNoContent)
		}
		return
	}
	gone := c.Context().Err() != nil && errors.Is(err, context.Canceled)
	p := s.problemOf(err)
	if p.Status >= 500 && !gone {
		var panicked *run.PanicError
		if errors.As(err, &panicked) {
			s.count.panics.Inc()
		}
		s.log.Error("request failed", "operation", r.name, "cause", err)
	}
	if c.w.status == 0 {
		if c.note == "" {
			c.note = p.Detail
		}
		p.write(c.w)
	}
}

// json answers with a value.
func (c *call) json(status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	c.w.Write(append(data, '\n')) // a client that is gone needs no answer
	return nil
}

// body decodes the request's JSON strictly.
func (c *call) body(v any) error {
	if t, _, _ := strings.Cut(c.Header.Get("Content-Type"), ";"); strings.TrimSpace(t) != "application/json" {
		return failf(http.StatusUnsupportedMediaType, "media-type", "send application/json")
	}
	d := json.NewDecoder(c.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return badRequest("the body is not what is wanted: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("the body goes on after its JSON value")
	}
	return nil
}

// page reads limit and cursor.
func (c *call) page() (limit int, cursor string, err error) {
	limit, err = c.number("limit", defaultPage, 1, maxPage)
	return limit, c.URL.Query().Get("cursor"), err
}

func (c *call) number(name string, otherwise, low, high int) (int, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, badRequest("%s: %q is not a number from %d to %d", name, text, low, high)
	}
	return n, nil
}

// time reads a query parameter in RFC 3339, or a duration before now ("1h"),
// as Unix ns; 0 if it is absent.
func (s *Server) time(c *call, name string) (int64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return s.now().Add(-d).UnixNano(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, badRequest("%s: %q is neither RFC 3339 (2026-01-02T15:04:05Z) nor a duration before now (15m, 24h)", name, text)
	}
	return t.UnixNano(), nil
}

// list is an answer with a page of items.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

func pageOf[T any](items []T, next string) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{items, next}
}

// stamp shows Unix ns as RFC 3339, 0 as "".
func stamp(ns int64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
