package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/console"
)

// object is a JSON object.
type object = map[string]any

// recorded is when what testdata holds was recorded; the fake shifts it to now.
var recorded = time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC)

// oncePassword and newPassword are the passwords of the fake's one user.
const (
	oncePassword = "abcd-efgh-jkmn-pqrs-tuvw"
	newPassword  = "seven brave otters sing"
)

// fake answers as the API does, with recorded JSON (testdata), so that the
// console is tested without the centre behind it. TestRecordedAnswersFit
// holds the recordings to api/openapi.yaml.
type fake struct {
	t        testing.TB
	URL      string
	alerts   []object // recorded, raised one by one
	events   []object
	handler  http.Handler
	server   *http.Server
	mu       sync.Mutex
	password string
	must     bool
	role     string
	raised   []object
	nodes    []object
	except   []object
	status   object
	version  int
	tabs     map[*tab]struct{}
	changed  chan struct{} // closed when a tab comes or goes
}

// tab is one open stream.
type tab struct {
	messages chan string
	events   bool
}

func startFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{t: t, password: oncePassword, must: true, role: "admin", version: 100, tabs: map[*tab]struct{}{}, changed: make(chan struct{}), except: []object{}}
	record(t, "alerts", &f.alerts)
	record(t, "events", &f.events)
	record(t, "status", &f.status)
	f.handler = f.routes()
	f.listen("127.0.0.1:0")
	t.Cleanup(f.stop)
	return f
}

// record reads a recording and shifts its times.
func record(t testing.TB, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	text, err = json.Marshal(shift(value, time.Since(recorded)))
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func shift(value any, by time.Duration) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = shift(inner, by)
		}
	case []any:
		for i, inner := range v {
			v[i] = shift(inner, by)
		}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.Add(by).Format("2006-01-02T15:04:05.000Z07:00")
		}
	}
	return value
}

func (f *fake) listen(address string) {
	f.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.URL = "http://" + l.Addr().String()
	f.server = &http.Server{Handler: f.handler}
	server := f.server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.t.Errorf("fake: %v", err)
		}
	}()
}

func (f *fake) stop() { f.server.Close() }

func (f *fake) restart() {
	f.t.Helper()
	f.listen(strings.TrimPrefix(f.URL, "http://"))
}

// raise makes recorded alerts known, as detection does.
func (f *fake) raise(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		i := slices.IndexFunc(f.alerts, func(a object) bool { return a["id"] == id })
		if i < 0 {
			f.t.Fatalf("no alert %s is recorded", id)
		}
		f.raised = append(f.raised, f.alerts[i])
		f.touch(f.alerts[i])
	}
}

// touch gives an alert a new version and tells the tabs.
func (f *fake) touch(a object) {
	f.version++
	a["version"] = f.version
	f.tell("alert", summary(a), false)
	f.count()
}

// count brings the status up to date.
func (f *fake) count() {
	state, severity := object{}, object{}
	for _, a := range f.raised {
		n, _ := state[a["state"].(string)].(int)
		state[a["state"].(string)] = n + 1
		if a["state"] != "closed" {
			n, _ := severity[a["severity"].(string)].(int)
			severity[a["severity"].(string)] = n + 1
		}
	}
	f.status["alerts"] = object{"total": len(f.raised), "state": state, "severity": severity}
	f.tell("status", f.status, false)
}

// summary is the alert as lists have it.
func summary(a object) object {
	out := object{}
	for _, name := range strings.Fields("id fingerprint rule_id rule_name severity state state_by state_at count first_seen last_seen node host tenant techniques summary version") {
		if v, ok := a[name]; ok {
			out[name] = v
		}
	}
	return out
}

// join makes the recorded nodes known.
func (f *fake) join() {
	var nodes []object
	record(f.t, "nodes", &nodes)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = nodes
	for _, n := range nodes {
		f.tell("node", n, false)
	}
}

// setStatus changes what the platform says of itself.
func (f *fake) setStatus(change func(object)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.status)
	f.tell("status", f.status, false)
}

// happen sends the recorded events to the one tab, in samples of 40.
func (f *fake) happen(ctx context.Context, skipped int) {
	f.t.Helper()
	f.streams(ctx, 1, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for some := range slices.Chunk(f.events, 40) {
		f.tell("events", object{"rows": some, "skipped": skipped}, true)
	}
}

func (f *fake) tell(name string, data any, eventsOnly bool) {
	text, err := json.Marshal(data)
	if err != nil {
		f.t.Error(err)
	}
	for t := range f.tabs {
		if t.events || !eventsOnly {
			t.messages <- fmt.Sprintf("event: %s\ndata: %s\n\n", name, text)
		}
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a browser that is gone needs no answer
}

func refuse(w http.ResponseWriter, status int, word, detail string) {
	answer(w, status, object{"type": "urn:hauberk:problem:" + word, "title": http.StatusText(status), "status": status, "detail": detail})
}

func (f *fake) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", console.Handler())
	mux.HandleFunc("POST /api/v1/session", f.logIn)
	in := func(pattern string, handle func(w http.ResponseWriter, q *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
			if c, err := q.Cookie("session"); err != nil || c.Value != "yes" {
				refuse(w, 401, "log-in", "log in first")
				return
			}
			if !strings.HasSuffix(pattern, "/stream") {
				f.mu.Lock()
				defer f.mu.Unlock()
			}
			handle(w, q)
		})
	}
	in("GET /api/v1/session", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, f.session()) })
	in("DELETE /api/v1/session", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Path: "/", MaxAge: -1})
		w.WriteHeader(204)
	})
	in("PUT /api/v1/session/password", f.changePassword)
	in("GET /api/v1/alerts", f.listAlerts)
	in("GET /api/v1/alerts/{id}", func(w http.ResponseWriter, q *http.Request) { f.one(w, f.raised, q.PathValue("id")) })
	in("POST /api/v1/alerts/{id}/state", f.changeAlert)
	in("POST /api/v1/alerts/{id}/exception", f.exceptAlert)
	in("GET /api/v1/exceptions", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, object{"items": f.except}) })
	in("DELETE /api/v1/exceptions/{id}", func(w http.ResponseWriter, q *http.Request) {
		f.except = slices.DeleteFunc(f.except, func(e object) bool { return e["id"] == q.PathValue("id") })
		w.WriteHeader(204)
	})
	in("GET /api/v1/nodes", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, object{"items": append([]object{}, f.nodes...)})
	})
	in("GET /api/v1/nodes/{id}", func(w http.ResponseWriter, q *http.Request) { f.one(w, f.nodes, q.PathValue("id")) })
	in("GET /api/v1/events/query", f.queryEvents)
	in("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, f.status) })
	in("GET /api/v1/stream", f.stream)
	return mux
}

func (f *fake) session() object {
	return object{"username": "admin", "role": f.role, "via": "session", "must_change_password": f.must, "version": "test"}
}

func (f *fake) logIn(w http.ResponseWriter, q *http.Request) {
	var in struct{ Username, Password string }
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil || in.Username != "admin" || in.Password != f.password {
		refuse(w, 401, "credentials", "the user or the password is wrong")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "yes", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	answer(w, 200, f.session())
}

func (f *fake) changePassword(w http.ResponseWriter, q *http.Request) {
	var in struct{ Current, New string }
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil || in.Current != f.password {
		refuse(w, 403, "credentials", "the current password is wrong")
		return
	}
	f.password, f.must = in.New, false
	answer(w, 200, f.session())
}

func (f *fake) one(w http.ResponseWriter, list []object, id string) {
	i := slices.IndexFunc(list, func(o object) bool { return o["id"] == id })
	if i < 0 {
		refuse(w, 404, "not-found", id+": not found")
		return
	}
	answer(w, 200, list[i])
}

func (f *fake) listAlerts(w http.ResponseWriter, q *http.Request) {
	severities := []string{"", "informational", "low", "medium", "high", "critical"}
	items := []object{}
	get := q.URL.Query().Get
	for _, a := range f.raised {
		techniques := fmt.Sprint(a["techniques"])
		text := strings.ToLower(fmt.Sprint(a["rule_name"], a["summary"], a["host"]))
		if s := get("state"); s != "" && !slices.Contains(strings.Split(s, ","), a["state"].(string)) ||
			slices.Index(severities, a["severity"].(string)) < slices.Index(severities, get("severity")) ||
			!strings.Contains(text, strings.ToLower(get("text"))) || !strings.Contains(techniques, get("technique")) ||
			get("node") != "" && a["node"] != get("node") || get("rule") != "" && a["rule_id"] != get("rule") {
			continue
		}
		items = append(items, summary(a))
	}
	slices.SortFunc(items, func(a, b object) int { return strings.Compare(b["last_seen"].(string), a["last_seen"].(string)) })
	answer(w, 200, object{"items": items})
}

// change changes a raised alert's state.
func (f *fake) change(id, state, action, comment string) object {
	for _, a := range f.raised {
		if a["id"] == id {
			now := time.Now().UTC().Format(time.RFC3339Nano)
			a["state"], a["state_by"], a["state_at"] = state, "admin", now
			history, _ := a["history"].([]any)
			a["history"] = append(history, object{"at": now, "by": "admin", "action": action, "comment": comment})
			f.touch(a)
			return a
		}
	}
	return nil
}

func (f *fake) changeAlert(w http.ResponseWriter, q *http.Request) {
	var in struct{ State, Comment string }
	actions := map[string]string{"open": "reopened", "acknowledged": "acknowledged", "closed": "closed"}
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil || actions[in.State] == "" {
		refuse(w, 400, "invalid", "state: want open, acknowledged or closed")
		return
	}
	f.change(q.PathValue("id"), in.State, actions[in.State], in.Comment)
	f.one(w, f.raised, q.PathValue("id"))
}

func (f *fake) exceptAlert(w http.ResponseWriter, q *http.Request) {
	var in object
	if err := json.NewDecoder(q.Body).Decode(&in); err != nil || in["reason"] == "" {
		refuse(w, 400, "invalid", "reason: say why")
		return
	}
	a := f.change(q.PathValue("id"), "closed", "closed", fmt.Sprintf("exception e1: %s", in["reason"]))
	e := object{"id": "e1", "rule": a["rule_id"], "created": a["state_at"], "author": "admin", "alert": a["id"]}
	for _, name := range []string{"executable", "parent", "user", "command_line", "reason"} {
		if in[name] != "" && in[name] != nil {
			e[name] = in[name]
		}
	}
	if seconds, _ := in["seconds"].(float64); seconds > 0 {
		e["expires"] = time.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
	}
	f.except = append(f.except, e)
	answer(w, 201, e)
}

// queryEvents understands words that must all be in the row.
func (f *fake) queryEvents(w http.ResponseWriter, q *http.Request) {
	text := q.URL.Query().Get("query")
	if strings.Contains(text, "bad(") {
		refuse(w, 400, "invalid", "query: missing ) at the end")
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, e := range slices.Backward(f.events) {
		row, err := json.Marshal(e)
		if err != nil {
			f.t.Error(err)
		}
		if !slices.ContainsFunc(strings.Fields(text), func(word string) bool { return word != "*" && !strings.Contains(string(row), word) }) {
			fmt.Fprintf(w, "%s\n", row)
		}
	}
}

func (f *fake) stream(w http.ResponseWriter, q *http.Request) {
	if strings.Contains(q.URL.Query().Get("query"), "bad(") {
		refuse(w, 400, "invalid", "query: missing ) at the end")
		return
	}
	t := &tab{messages: make(chan string, 1024), events: strings.Contains(q.URL.Query().Get("topics"), "events")}
	w.Header().Set("Content-Type", "text/event-stream")
	f.mu.Lock()
	status, err := json.Marshal(f.status)
	if err != nil {
		f.t.Error(err)
	}
	f.tabs[t] = struct{}{}
	f.move()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.tabs, t)
		f.move()
	}()
	fmt.Fprintf(w, "event: hello\ndata: {\"version\":\"test\"}\n\nevent: status\ndata: %s\n\n", status)
	control := http.NewResponseController(w)
	for control.Flush() == nil {
		select {
		case m := <-t.messages:
			fmt.Fprint(w, m)
		case <-q.Context().Done():
			return
		}
	}
}

// move wakes who waits for tabs.
func (f *fake) move() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// streams waits until exactly so many tabs are open, and so many of them
// follow events.
func (f *fake) streams(ctx context.Context, want, wantEvents int) {
	f.t.Helper()
	for {
		f.mu.Lock()
		changed, open, events := f.changed, len(f.tabs), 0
		for t := range f.tabs {
			if t.events {
				events++
			}
		}
		f.mu.Unlock()
		if open == want && events == wantEvents {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			f.t.Fatalf("%d streams are open, %d with events; want %d and %d", open, events, want, wantEvents)
		}
	}
}
