package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/api/apitest"
	"github.com/hauberk/hauberk/fleet"
)

// TestEveryOperationAnswersAsDocumented uses the whole API once, by the Unix
// socket and as a person; the caller holds every answer against openapi.yaml.
func TestEveryOperationAnswersAsDocumented(t *testing.T) {
	p := apitest.Start(t, nil)
	p.Join()
	p.Raise(apitest.Alert("a1", apitest.Epoch), apitest.Alert("a2", apitest.Epoch))
	p.Store.AddEvents(apitest.Batch(1, 5, apitest.Epoch))
	root := local(t, p)

	root.must(200, "GET", "/api/openapi.yaml", nil)
	accountOperations(t, p, root)
	alertOperations(t, root)
	fleetOperations(t, p, root)
	configOperations(t, root)

	root.must(200, "GET", "/api/v1/events/query?query=curl&since=2026-03-14T00:00:00Z&limit=3", nil)
	root.must(200, "GET", "/api/v1/rules", nil)
	check := root.request(t.Context(), "POST", "/api/v1/rules/check", "title: x")
	response, err := root.client.Do(check)
	if err != nil || response.StatusCode != 200 {
		t.Errorf("check rules: %v %v", err, response)
	}
	response.Body.Close()
	root.done["checkRules"] = true
	root.must(200, "GET", "/api/v1/status", nil)
	root.must(200, "GET", "/api/v1/metrics", nil)
	root.must(200, "GET", "/api/v1/audit?limit=5&who=local:root&action=logIn&since=1h", nil)
	if got := root.must(200, "GET", "/api/v1/backup", nil); string(got.body) != "backup" {
		t.Errorf("backup: %q", got.body)
	}
	root.must(204, "POST", "/api/v1/restore", "backup")
	root.must(400, "POST", "/api/v1/restore", "something else")

	for _, r := range api.Routes() {
		if !root.done[r.Name] && !r.Live {
			t.Errorf("%s was not tried", r.Name)
		}
	}
}

func accountOperations(t *testing.T, p *apitest.Platform, root *caller) {
	var once struct{ Username, Password string }
	root.must(200, "POST", "/api/v1/setup", nil).into(t, &once)
	ann := newCaller(t, p)
	ann.done = root.done
	ann.must(200, "POST", "/api/v1/session", map[string]any{"username": once.Username, "password": once.Password})
	ann.must(200, "PUT", "/api/v1/session/password", map[string]any{"current": once.Password, "new": goodPassword})
	ann.must(200, "GET", "/api/v1/session", nil)

	root.must(201, "POST", "/api/v1/users", map[string]any{"name": "bob@example.org", "role": "viewer"})
	root.must(409, "POST", "/api/v1/users", map[string]any{"name": "bob@example.org", "role": "viewer"})
	root.must(400, "POST", "/api/v1/users", map[string]any{"name": "local:root", "role": "viewer"})
	root.must(400, "POST", "/api/v1/users", map[string]any{"name": "eve", "role": "king"})
	root.must(200, "GET", "/api/v1/users", nil)
	root.must(200, "PUT", "/api/v1/users/bob@example.org/role", map[string]any{"role": "analyst"})
	root.must(200, "PATCH", "/api/v1/users/bob@example.org", map[string]any{"disabled": true})
	root.must(200, "PUT", "/api/v1/users/bob@example.org/password", map[string]any{})
	root.must(409, "PUT", "/api/v1/users/admin/role", map[string]any{"role": "viewer"})
	root.must(409, "DELETE", "/api/v1/users/admin", nil)
	root.must(204, "DELETE", "/api/v1/users/bob@example.org", nil)
	root.must(404, "DELETE", "/api/v1/users/bob@example.org", nil)

	var made struct{ ID, Token string }
	ann.must(201, "POST", "/api/v1/tokens", map[string]any{"name": "backup job", "role": "viewer"}).into(t, &made)
	robot := newCaller(t, p)
	robot.token = made.Token
	robot.must(200, "GET", "/api/v1/session", nil)
	robot.must(403, "POST", "/api/v1/tokens", map[string]any{"name": "another"})
	ann.must(200, "GET", "/api/v1/tokens", nil)
	ann.must(204, "DELETE", "/api/v1/tokens/"+made.ID, nil)
	ann.must(404, "DELETE", "/api/v1/tokens/"+made.ID, nil)
	robot.must(401, "GET", "/api/v1/session", nil)
	ann.must(204, "DELETE", "/api/v1/session", nil)
}

func alertOperations(t *testing.T, root *caller) {
	root.must(200, "GET", "/api/v1/alerts?state=open,closed&severity=high&technique=T1059&text=shell&since=2026-01-01T00:00:00Z", nil)
	root.must(400, "GET", "/api/v1/alerts?state=asleep", nil)
	root.must(400, "GET", "/api/v1/alerts?severity=enormous", nil)
	root.must(400, "GET", "/api/v1/alerts?limit=0", nil)
	root.must(400, "GET", "/api/v1/alerts?since=yesterday", nil)
	var detail struct {
		Tree []struct {
			PID  int
			Args []string
		}
		Evidence []any
	}
	root.must(200, "GET", "/api/v1/alerts/a1", nil).into(t, &detail)
	if n := len(detail.Tree); n != 4 || detail.Tree[0].PID != 1 || detail.Tree[3].PID != 4242 || len(detail.Evidence) != 2 {
		t.Errorf("tree and evidence: %+v", detail)
	}
	if got := detail.Tree[3].Args; len(got) != 3 || !strings.Contains(got[2], "/dev/tcp/") {
		t.Errorf("arguments: %q", got)
	}
	root.must(404, "GET", "/api/v1/alerts/nothing", nil)
	root.must(200, "POST", "/api/v1/alerts/a1/state", map[string]any{"state": "acknowledged", "comment": "I look"})
	root.must(404, "POST", "/api/v1/alerts/nothing/state", map[string]any{"state": "closed"})
	root.must(200, "POST", "/api/v1/alerts/state", map[string]any{"ids": []string{"a1", "a2"}, "comment": "both"})
	root.must(400, "POST", "/api/v1/alerts/state", map[string]any{"ids": []string{"a1"}})
	var made struct{ ID, Rule, Executable, Parent, Alert string }
	root.must(201, "POST", "/api/v1/alerts/a1/exception", map[string]any{"reason": "our own test", "seconds": 3600}).into(t, &made)
	if made.Executable != "/usr/bin/bash" || made.Parent != "/usr/bin/python3.13" || made.Alert != "a1" {
		t.Errorf("exception made of the alert: %+v", made)
	}
	if got := root.must(200, "GET", "/api/v1/alerts/a1", nil); !strings.Contains(string(got.body), `"state":"closed"`) {
		t.Errorf("the alert of an exception is not closed: %s", got.body)
	}
	root.must(400, "POST", "/api/v1/alerts/a2/exception", map[string]any{"reason": " "})
	root.must(201, "POST", "/api/v1/exceptions", map[string]any{"rule": "*", "executable": "/usr/bin/make", "reason": "build host"})
	root.must(400, "POST", "/api/v1/exceptions", map[string]any{"executable": "/usr/bin/make", "reason": "build host"})
	root.must(200, "GET", "/api/v1/exceptions", nil)
	root.must(204, "DELETE", "/api/v1/exceptions/"+made.ID, nil)
	root.must(404, "DELETE", "/api/v1/exceptions/"+made.ID, nil)
}

func fleetOperations(t *testing.T, p *apitest.Platform, root *caller) {
	node := "/api/v1/nodes/" + apitest.Node.String()
	root.must(200, "GET", "/api/v1/nodes?state=online&kind=agent", nil)
	root.must(400, "GET", "/api/v1/nodes?state=tired", nil)
	root.must(200, "GET", node, nil)
	root.must(404, "GET", "/api/v1/nodes/"+strings.Repeat("00", 16), nil)
	root.must(400, "GET", "/api/v1/nodes/web-1", nil)
	root.must(200, "GET", node+"/config", nil)
	root.must(200, "PUT", node+"/labels", map[string]any{"labels": map[string]string{"env": "test"}})
	root.must(400, "PUT", node+"/labels", map[string]any{"labels": map[string]string{"no spaces here": "x"}})
	if got := root.must(200, "POST", node+"/revoke", map[string]any{}); !strings.Contains(string(got.body), `"state":"revoked"`) {
		t.Errorf("revoked node: %s", got.body)
	}
	root.must(200, "GET", "/api/v1/gateways", nil)

	var token struct{ ID, Token, Gateway string }
	root.must(201, "POST", "/api/v1/enrolment-tokens", map[string]any{"uses": 3, "labels": map[string]string{"env": "prod"}}).into(t, &token)
	if token.Token == "" || token.Gateway != "127.0.0.1:7443" {
		t.Errorf("token: %+v", token)
	}
	list := root.must(200, "GET", "/api/v1/enrolment-tokens", nil)
	if strings.Contains(string(list.body), "secret") {
		t.Errorf("the list shows a secret: %s", list.body)
	}
	root.must(204, "DELETE", "/api/v1/enrolment-tokens/"+token.ID, nil)

	var command struct{ ID string }
	root.must(201, "POST", "/api/v1/commands", map[string]any{"name": "ping", "selector": "all", "reason": "hello", "seconds": 60}).into(t, &command)
	root.must(400, "POST", "/api/v1/commands", map[string]any{"name": "ping", "selector": "((("})
	if err := p.Store.PutResults(t.Context(), []*fleet.CommandResult{{
		Command: command.ID, Node: apitest.Node[:], State: fleet.CommandState_COMMAND_STATE_DONE, Percent: 100, Output: "pong", Time: apitest.Epoch.UnixNano(), Host: "web-1",
	}}); err != nil {
		t.Fatal(err)
	}
	root.must(200, "GET", "/api/v1/commands", nil)
	if got := root.must(200, "GET", "/api/v1/commands/"+command.ID, nil); !strings.Contains(string(got.body), `"states":{"done":1}`) {
		t.Errorf("results: %s", got.body)
	}
	root.must(204, "DELETE", "/api/v1/commands/"+command.ID, nil)
	root.must(404, "GET", "/api/v1/commands/"+command.ID, nil)
	root.must(200, "PUT", "/api/v1/mode", map[string]any{"stopped": true, "selector": "env=test", "reason": "maintenance"})
	root.must(400, "PUT", "/api/v1/mode", map[string]any{"stopped": true})
	root.must(200, "GET", "/api/v1/mode", nil)
}

func configOperations(t *testing.T, root *caller) {
	scope := "/api/v1/config/agent/default"
	root.must(200, "PUT", scope, map[string]any{"body": "breaker: {cpu: 5}\n", "comment": "first"})
	root.must(200, "PUT", scope, map[string]any{"body": "breaker: {cpu: 7}\n", "version": 1})
	if got := root.must(409, "PUT", scope, map[string]any{"body": "breaker: {cpu: 9}\n", "version": 1}); got.problem() != "conflict" {
		t.Errorf("conflict: %s", got.body)
	}
	root.must(400, "PUT", "/api/v1/config/toaster/default", map[string]any{"body": ""})
	root.must(200, "GET", "/api/v1/config", nil)
	root.must(200, "GET", scope+"?version=1", nil)
	root.must(404, "GET", scope+"?version=9", nil)
	root.must(400, "GET", scope+"?version=x", nil)
	root.must(200, "GET", scope+"/versions", nil)
	root.must(200, "GET", scope+"/diff?"+url.Values{"from": {"1"}, "to": {"2"}}.Encode(), nil)
	root.must(200, "POST", scope+"/rollback", map[string]any{"to": 1, "comment": "it was better"})
	root.must(200, "DELETE", scope+"?comment=over", nil)
	root.must(404, "GET", "/api/v1/config/agent/nothing", nil)
}

func TestOtherMethodsAndPaths(t *testing.T) {
	p := apitest.Start(t, nil)
	c := local(t, p)
	for _, want := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/v1/nothing", http.StatusNotFound},
		{"GET", "/api/v2/alerts", http.StatusNotFound},
		{"PATCH", "/api/v1/alerts", http.StatusMethodNotAllowed},
		{"DELETE", "/api/v1/alerts/a1/state", http.StatusMethodNotAllowed},
	} {
		q := c.request(t.Context(), want.method, want.path, nil)
		r, err := c.client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: status %d (%s), want %d", want.method, want.path, r.StatusCode, r.Header.Get("Content-Type"), want.status)
		}
	}
}
