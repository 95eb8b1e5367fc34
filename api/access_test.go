package api_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/api/apitest"
	"github.com/hauberk/hauberk/store/cases"
)

// example is a path that fits a route's pattern.
func example(pattern string) string {
	return strings.NewReplacer("{id}", "x1", "{name}", "nobody", "{kind}", "agent", "{scope}", "default").Replace(pattern)
}

// TestEveryRouteAsksWhoComes tries each operation as nobody, with each role
// below the one it needs, and with a one-time password.
func TestEveryRouteAsksWhoComes(t *testing.T) {
	p := apitest.Start(t, nil)
	nobody := newCaller(t, p)
	viewer, analyst := login(t, p, "vera", "viewer", ""), login(t, p, "anna", "analyst", "")
	admin := login(t, p, "adam", "admin", "")
	var once struct{ Password string }
	local(t, p).must(201, "POST", "/api/v1/users", map[string]any{"name": "newbie", "role": "admin"}).into(t, &once)
	fresh := newCaller(t, p)
	fresh.must(200, "POST", "/api/v1/session", map[string]any{"username": "newbie", "password": once.Password})

	for _, r := range api.Routes() {
		path := example(r.Path)
		if r.Open {
			continue
		}
		if got := nobody.do(r.Method, path, nil); got.status != 401 || got.problem() != "log-in" {
			t.Errorf("%s as nobody: %d %s", r.Name, got.status, got.body)
		}
		if r.Local {
			if got := admin.do(r.Method, path, nil); got.status != 403 || got.problem() != "local-only" {
				t.Errorf("%s over HTTPS: %d %s", r.Name, got.status, got.body)
			}
			continue
		}
		if r.Role != "viewer" {
			if got := viewer.do(r.Method, path, nil); got.status != 403 || got.problem() != "role" {
				t.Errorf("%s as viewer: %d %s", r.Name, got.status, got.body)
			}
		}
		if r.Role == "admin" {
			if got := analyst.do(r.Method, path, nil); got.status != 403 || got.problem() != "role" {
				t.Errorf("%s as analyst: %d %s", r.Name, got.status, got.body)
			}
		}
		if !r.Early {
			if got := fresh.do(r.Method, path, nil); got.status != 403 || got.problem() != "password-change" {
				t.Errorf("%s with a one-time password: %d %s", r.Name, got.status, got.body)
			}
		}
	}
}

func TestFirstAdministrator(t *testing.T) {
	p := apitest.Start(t, nil)
	root := local(t, p)
	setUp := func() string {
		var once struct{ Username, Password string }
		root.must(200, "POST", "/api/v1/setup", nil).into(t, &once)
		if once.Username != "admin" {
			t.Errorf("the first administrator is %q", once.Username)
		}
		return once.Password
	}
	lost, password := setUp(), setUp()
	if len(password) != 24 || lost == password {
		t.Errorf("one-time passwords %q and %q", lost, password)
	}
	c := newCaller(t, p)
	if got := c.do("POST", "/api/v1/session", map[string]any{"username": "admin", "password": lost}); got.status != 401 {
		t.Errorf("the older one-time password still works: %d", got.status)
	}
	got := c.must(200, "POST", "/api/v1/session", map[string]any{"username": "admin", "password": password})
	if !strings.Contains(string(got.body), `"must_change_password":true`) {
		t.Errorf("session: %s", got.body)
	}
	c.must(403, "GET", "/api/v1/alerts", nil)
	change := func(current, next string, status int) {
		t.Helper()
		c.must(status, "PUT", "/api/v1/session/password", map[string]any{"current": current, "new": next})
	}
	change(password, "aaaaaaaaaaaaaaaaaaaa", 400)
	change(password, password, 400)
	change("wrong", goodPassword, 403)
	change(password, goodPassword, 200)
	c.must(200, "GET", "/api/v1/alerts", nil)
	if again := setUp(); again != "" {
		t.Errorf("after the password was chosen setUp gives %q", again)
	}
}

func TestSessionCookie(t *testing.T) {
	p := apitest.Start(t, nil)
	c := login(t, p, "vera", "viewer", "")
	k := c.cookie
	if k == nil || k.Name != "__Host-hauberk" || !k.HttpOnly || !k.Secure || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" {
		t.Fatalf("cookie: %+v", k)
	}
	second := newCaller(t, p)
	second.must(200, "POST", "/api/v1/session", map[string]any{"username": "vera", "password": goodPassword})
	second.must(200, "PUT", "/api/v1/session/password", map[string]any{"current": goodPassword, "new": goodPassword + " again"})
	second.must(200, "GET", "/api/v1/session", nil)
	c.must(401, "GET", "/api/v1/session", nil) // a changed password ends the others

	// A session's secret is no token.
	robot := newCaller(t, p)
	robot.token = second.cookie.Value
	robot.must(401, "GET", "/api/v1/session", nil)

	gone := second.cookie
	second.must(204, "DELETE", "/api/v1/session", nil)
	second.cookie = gone
	second.must(401, "GET", "/api/v1/session", nil)
}

func TestOtherSitesAreRefused(t *testing.T) {
	p := apitest.Start(t, nil)
	c := login(t, p, "adam", "admin", "")
	try := func(kind string, headers map[string]string) int {
		q := c.request(t.Context(), "POST", "/api/v1/users", map[string]any{"name": "eve" + kind, "role": "admin"})
		for name, value := range headers {
			q.Header.Set(name, value)
		}
		r, err := c.client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	for name, headers := range map[string]map[string]string{
		"cross-site": {"Sec-Fetch-Site": "cross-site"}, "same-site": {"Sec-Fetch-Site": "same-site"}, "other-origin": {"Origin": "https://evil.example"},
	} {
		if got := try(name, headers); got != http.StatusForbidden {
			t.Errorf("%s: status %d", name, got)
		}
	}
	if got := try("form", map[string]string{"Content-Type": "text/plain"}); got != http.StatusUnsupportedMediaType {
		t.Errorf("a form's media type: status %d", got)
	}
	if got := try("own", map[string]string{"Sec-Fetch-Site": "same-origin"}); got != http.StatusCreated {
		t.Errorf("the console's own origin: status %d", got)
	}
}

func TestLogInsAreLimited(t *testing.T) {
	var ahead atomic.Int64
	p := apitest.Start(t, func(c *api.Config, d *api.Deps) {
		c.LoginFailures = 3
		d.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	login(t, p, "vera", "viewer", "")
	c := newCaller(t, p)
	wrong := map[string]any{"username": "vera", "password": "not this one at all"}
	right := map[string]any{"username": "vera", "password": goodPassword}
	for range 3 {
		c.must(401, "POST", "/api/v1/session", wrong)
	}
	got := c.must(429, "POST", "/api/v1/session", right)
	if got.problem() != "rate" || got.header.Get("Retry-After") == "" {
		t.Errorf("limited: %v %s", got.header, got.body)
	}
	c.must(429, "POST", "/api/v1/session", map[string]any{"username": "somebody", "password": "else entirely"})
	ahead.Store(int64(api.DefaultConfig().LoginWindow))
	c.must(200, "POST", "/api/v1/session", right)

	metrics := local(t, p).must(200, "GET", "/api/v1/metrics", nil)
	for _, want := range []string{`hauberk_api_logins_refused_total{reason="wrong"} 3`, `hauberk_api_logins_refused_total{reason="limited"} 2`} {
		if !strings.Contains(string(metrics.body), want) {
			t.Errorf("metrics have no %s", want)
		}
	}
}

func TestEveryChangeIsAudited(t *testing.T) {
	p := apitest.Start(t, nil)
	root := local(t, p)
	root.must(200, "GET", "/api/v1/audit", nil)
	viewer := login(t, p, "vera", "viewer", "")
	viewer.do("POST", "/api/v1/session", map[string]any{"username": "vera", "password": "wrong"})
	viewer.must(403, "PUT", "/api/v1/mode", map[string]any{"stopped": true, "selector": "all"})
	root.must(404, "DELETE", "/api/v1/exceptions/none", nil)
	root.must(200, "GET", "/api/v1/backup", nil)

	page, err := p.Store.AuditLog(t.Context(), cases.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		via, _, _ := strings.Cut(e.Via, " ")
		got = append(got, strings.Join([]string{e.Actor, via, e.Action, e.Object, e.Outcome}, " "))
		if e.Address == "" || e.At == 0 {
			t.Errorf("entry without address or time: %+v", e)
		}
	}
	me := "local:root"
	if os.Geteuid() != 0 {
		me = strings.Fields(got[0])[0]
	}
	want := []string{
		me + " socket backUp  ok", me + " socket deleteException none failed", "vera session setMode  denied", "-  logIn vera denied",
		"vera session logIn vera ok", me + " socket createUser vera ok",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audit log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e := page.Entries[0]; !strings.Contains(e.Address, "pid ") || !strings.Contains(e.Address, "uid ") {
		t.Errorf("the socket's peer is %q", e.Address)
	}
}

func TestTenantsAreApart(t *testing.T) {
	p := apitest.Start(t, nil)
	p.Join()
	theirs := apitest.Alert("theirs", apitest.Epoch)
	theirs.Tenant = "other"
	p.Raise(apitest.Alert("ours", apitest.Epoch), theirs)
	p.Store.AddEvents(apitest.Batch(1, 3, apitest.Epoch))
	other := login(t, p, "olga", "admin", "other")
	for _, path := range []string{"/api/v1/alerts", "/api/v1/alerts?tenant=default"} {
		got := other.must(200, "GET", path, nil)
		if strings.Contains(string(got.body), `"id":"ours"`) || !strings.Contains(string(got.body), `"id":"theirs"`) {
			t.Errorf("%s of tenant other: %s", path, got.body)
		}
	}
	other.must(404, "GET", "/api/v1/alerts/ours", nil)
	other.must(404, "POST", "/api/v1/alerts/ours/state", map[string]any{"state": "closed"})
	other.must(404, "GET", "/api/v1/nodes/"+apitest.Node.String(), nil)
	other.must(404, "POST", "/api/v1/nodes/"+apitest.Node.String()+"/revoke", map[string]any{})
	other.must(403, "GET", "/api/v1/backup", nil)
	if got := other.must(200, "GET", "/api/v1/nodes", nil); strings.Contains(string(got.body), "web-1") {
		t.Errorf("nodes of tenant other: %s", got.body)
	}
	if got := other.must(200, "GET", "/api/v1/events/query", nil); len(got.body) != 0 {
		t.Errorf("events of tenant other: %s", got.body)
	}
}

func TestAnswersAreForNobodyElse(t *testing.T) {
	p := apitest.Start(t, nil)
	for _, c := range []*caller{local(t, p), newCaller(t, p)} {
		got := c.do("GET", "/api/v1/status", nil)
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %q", name, got.header.Get(name))
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	send := func(body string) answer {
		q := c.request(t.Context(), "POST", "/api/v1/users", nil)
		q.Body, q.ContentLength = http.NoBody, 0
		r := httptest.NewRequest("POST", c.base+"/api/v1/users", strings.NewReader(body))
		q.Body, q.ContentLength = r.Body, int64(len(body))
		q.Header.Set("Content-Type", "application/json")
		response, err := c.client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(response.Body)
		return answer{response.StatusCode, response.Header, text.Bytes()}
	}
	for body, want := range map[string]int{
		`{"name":"x","role":"viewer","crown":true}`:                     400, // an unknown member
		`{"name":"x","role":"viewer"} {}`:                               400, // a second value
		`{"name":"x"`:                                                   400,
		`{"name":["x"],"role":"viewer"}`:                                400,
		`{"name":"` + strings.Repeat("x", 1<<20) + `","role":"viewer"}`: 413,
		``: 400,
	} {
		if got := send(body); got.status != want {
			t.Errorf("%.60q: status %d, want %d: %s", body, got.status, want, got.body)
		}
	}
}

func TestSocketIsClosedToOthers(t *testing.T) {
	p := apitest.Start(t, nil)
	info, err := os.Stat(p.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	got := local(t, p).must(200, "GET", "/api/v1/session", nil)
	if !strings.Contains(string(got.body), `"via":"socket"`) || !strings.Contains(string(got.body), `"role":"admin"`) {
		t.Errorf("session: %s", got.body)
	}
}
