package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/api/apitest"
	"github.com/hauberk/hauberk/store"
)

type seenAlert struct {
	ID      string
	State   string
	Count   int
	Version int64
	Tree    []struct{ Executable string }
}

// TestFollowingMissesNothing cuts a follower off and lets it go on after the
// last version it saw.
func TestFollowingMissesNothing(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	next := c.lines("/api/v1/alerts/live?after=0")
	read := func(next func() []byte) seenAlert {
		t.Helper()
		line := next()
		c.doc.checkJSON(t, "followAlerts", map[string]any{"$ref": "#/components/schemas/AlertDetail"}, line)
		var a seenAlert
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	p.Raise(apitest.Alert("a1", apitest.Epoch))
	first := read(next)
	if first.ID != "a1" || first.State != "open" || len(first.Tree) != 4 {
		t.Errorf("first: %+v", first)
	}
	p.Raise(apitest.Alert("a2", apitest.Epoch))
	c.must(200, "POST", "/api/v1/alerts/a1/state", map[string]any{"state": "acknowledged"})
	again := c.lines(fmt.Sprintf("/api/v1/alerts/live?after=%d", first.Version))
	got := map[string]string{}
	for len(got) < 2 {
		a := read(again)
		got[a.ID] = a.State
	}
	if got["a1"] != "acknowledged" || got["a2"] != "open" {
		t.Errorf("after the cut: %v", got)
	}
	filtered := c.lines("/api/v1/alerts/live?after=0&state=acknowledged")
	if a := read(filtered); a.ID != "a1" {
		t.Errorf("filtered: %+v", a)
	}
}

func TestTabHearsWhatHappens(t *testing.T) {
	p := apitest.Start(t, nil)
	c := login(t, p, "vera", "viewer", "")
	next := c.events("/api/v1/stream?topics=alerts,nodes,events")
	// await skips to the first event of that name.
	await := func(name, schema string) []byte {
		t.Helper()
		for {
			if e := next(); e.name == name {
				if schema != "" {
					c.doc.checkJSON(t, name, map[string]any{"$ref": "#/components/schemas/" + schema}, e.data)
				}
				return e.data
			}
		}
	}
	await("hello", "")
	await("status", "Status")
	p.Raise(apitest.Alert("a1", apitest.Epoch))
	if got := string(await("alert", "Alert")); !strings.Contains(got, `"id":"a1"`) {
		t.Errorf("alert: %s", got)
	}
	local(t, p).must(200, "POST", "/api/v1/alerts/a1/state", map[string]any{"state": "closed"})
	if got := string(await("alert", "Alert")); !strings.Contains(got, `"state":"closed"`) {
		t.Errorf("closed alert: %s", got)
	}
	p.Join()
	if got := string(await("node", "Node")); !strings.Contains(got, `"host":"web-1"`) {
		t.Errorf("node: %s", got)
	}
	p.Store.AddEvents(apitest.Batch(1, 500, apitest.Epoch))
	rows, skipped := 0, 0
	for rows+skipped < 500 {
		var sample struct {
			Rows    []map[string]any
			Skipped int
		}
		if err := json.Unmarshal(await("events", ""), &sample); err != nil {
			t.Fatal(err)
		}
		rows, skipped = rows+len(sample.Rows), skipped+sample.Skipped
	}
	if rows == 0 || rows+skipped != 500 {
		t.Errorf("%d rows, %d skipped of 500", rows, skipped)
	}
}

func TestFollowedEventsAreFiltered(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	next := c.lines("/api/v1/events/live?query=curl")
	awaitTails(t, p, 1)
	p.Store.AddEvents(apitest.Batch(1, 10, apitest.Epoch))
	for range 2 {
		if line := string(next()); !strings.Contains(line, "curl") {
			t.Errorf("event: %s", line)
		}
	}
}

// awaitTails waits until n streams read events.
func awaitTails(t *testing.T, p *apitest.Platform, n int) {
	t.Helper()
	for p.Store.Tails() != n {
		if err := t.Context().Err(); err != nil {
			t.Fatalf("%d tails, want %d: %v", p.Store.Tails(), n, err)
		}
		time.Sleep(time.Millisecond) // polled, up to the test's end
	}
}

func TestWrongQueriesAreAnswers(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	for _, path := range []string{"/api/v1/events/query?query=" + apitest.BadQuery, "/api/v1/events/live?query=" + apitest.BadQuery, "/api/v1/stream?topics=events&query=" + apitest.BadQuery} {
		if got := c.do("GET", path, nil); got.status != 400 || got.problem() != "invalid" || !strings.Contains(string(got.body), "missing )") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	c.must(400, "GET", "/api/v1/stream?topics=gossip", nil)
	c.must(400, "GET", "/api/v1/alerts/live?after=-1", nil)
	p.Store.Fail(fmt.Errorf("ask store: %w", store.ErrUnavailable))
	if got := c.do("GET", "/api/v1/events/query", nil); got.status != 503 || got.problem() != "store-away" || got.header.Get("Retry-After") == "" {
		t.Errorf("store away: %d %s", got.status, got.body)
	}
	p.Store.Fail(errors.New("table secret_things is locked"))
	if got := c.do("GET", "/api/v1/events/query", nil); got.status != 500 || strings.Contains(string(got.body), "secret_things") {
		t.Errorf("inner error: %d %s", got.status, got.body)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p := apitest.Start(t, func(c *api.Config, _ *api.Deps) { c.MaxStreams = 2 })
	c := local(t, p)
	c.events("/api/v1/stream")()
	c.events("/api/v1/stream")()
	if got := c.do("GET", "/api/v1/stream", nil); got.status != 503 || got.problem() != "too-many-streams" {
		t.Errorf("a third stream: %d %s", got.status, got.body)
	}
	c.must(200, "GET", "/api/v1/status", nil)
}

// TestStreamsEndWithTheServer: a follower does not hold the end up.
func TestStreamsEndWithTheServer(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	c.events("/api/v1/stream?topics=events")()
	c.lines("/api/v1/alerts/live")
	c.lines("/api/v1/events/live")
	p.Stop()
}
