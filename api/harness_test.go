package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/api/apitest"
)

// caller calls the API and holds every request and answer against the
// document.
type caller struct {
	t      testing.TB
	doc    *openAPI
	client *http.Client
	base   string
	token  string
	cookie *http.Cookie
	// done notes the operations that answered with success.
	done map[string]bool
}

func newCaller(t testing.TB, p *apitest.Platform) *caller {
	return &caller{t: t, doc: readDocument(t), client: p.HTTPS(), base: p.URL, done: map[string]bool{}}
}

// local is a caller on the Unix socket.
func local(t testing.TB, p *apitest.Platform) *caller {
	c := newCaller(t, p)
	c.client, c.base = p.Local(), "http://local"
	return c
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// problem returns the last word of the problem's type, "" if there is none.
func (a answer) problem() string {
	var p struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "urn:hauberk:problem:")
}

// into decodes the body.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("decode %q: %v", a.body, err)
	}
}

func (c *caller) request(ctx context.Context, method, path string, body any) *http.Request {
	c.t.Helper()
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		content, kind = strings.NewReader(b), "application/octet-stream"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		content = bytes.NewReader(data)
	}
	q, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		c.t.Fatal(err)
	}
	if content != nil {
		q.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.cookie != nil {
		q.AddCookie(c.cookie)
	}
	return q
}

// patience is when a call that should have been answered is given up.
const patience = 20 * time.Second

// do calls and checks what was sent and what came against the document.
func (c *caller) do(method, path string, body any) answer {
	c.t.Helper()
	// A stream that should have been refused must not hang the test.
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	q := c.request(ctx, method, path, body)
	response, err := c.client.Do(q)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	for _, cookie := range response.Cookies() {
		if c.cookie = cookie; cookie.MaxAge < 0 {
			c.cookie = nil
		}
	}
	a := answer{response.StatusCode, response.Header, text}
	c.checkAnswer(q, body, a)
	return a
}

func (c *caller) checkAnswer(q *http.Request, body any, a answer) {
	c.t.Helper()
	what := q.Method + " " + q.URL.Path
	op, known := c.doc.find(q.Method, q.URL.Path)
	if !known {
		return
	}
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if a.status >= 400 {
		if kind != "application/problem+json" {
			c.t.Errorf("%s: status %d as %q: %s", what, a.status, kind, a.body)
			return
		}
		c.doc.checkJSON(c.t, what, map[string]any{"$ref": "#/components/schemas/Problem"}, a.body)
		return
	}
	c.done[op.OperationID] = true
	if schema := op.RequestBody.Content["application/json"].Schema; schema != nil {
		data, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		c.doc.checkJSON(c.t, what+" (request)", schema, data)
	}
	said, ok := op.Responses[strconv.Itoa(a.status)]
	if !ok {
		c.t.Errorf("%s: status %d is not documented", what, a.status)
		return
	}
	if len(said.Content) == 0 {
		if len(a.body) > 0 {
			c.t.Errorf("%s: an answer where none is documented: %q", what, a.body)
		}
		return
	}
	content, ok := said.Content[kind]
	switch {
	case !ok:
		c.t.Errorf("%s: answered as %q, which is not documented", what, kind)
	case kind == "application/json":
		c.doc.checkJSON(c.t, what, content.Schema, a.body)
	case kind == "application/x-ndjson":
		for line := range bytes.Lines(a.body) {
			c.doc.checkJSON(c.t, what, content.Schema, line)
		}
	}
}

// must calls and fails unless the status is as wanted.
func (c *caller) must(status int, method, path string, body any) answer {
	c.t.Helper()
	a := c.do(method, path, body)
	if a.status != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// lines opens a stream and returns a function that gives its next line that
// is not empty; the stream ends with the test.
func (c *caller) lines(path string) (next func() []byte) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c.t.Cleanup(cancel)
	response, err := c.client.Do(c.request(ctx, http.MethodGet, path, nil))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		c.t.Fatalf("GET %s: status %d: %s", path, response.StatusCode, text)
	}
	if op, ok := c.doc.find(http.MethodGet, response.Request.URL.Path); ok {
		c.done[op.OperationID] = true
	}
	s := bufio.NewScanner(response.Body)
	s.Buffer(nil, 1<<20)
	return func() []byte {
		c.t.Helper()
		for s.Scan() {
			if len(s.Bytes()) > 0 {
				return bytes.Clone(s.Bytes())
			}
		}
		c.t.Fatalf("GET %s: the stream ended: %v", path, s.Err())
		return nil
	}
}

// event is a server-sent one.
type event struct {
	name string
	data []byte
}

// events opens a stream of server-sent events.
func (c *caller) events(path string) (next func() event) {
	c.t.Helper()
	line := c.lines(path)
	return func() event {
		c.t.Helper()
		var e event
		for e.data == nil {
			text := line()
			if name, ok := bytes.CutPrefix(text, []byte("event: ")); ok {
				e.name = string(name)
			} else if data, ok := bytes.CutPrefix(text, []byte("data: ")); ok {
				e.data = data
			}
		}
		return e
	}
}

const goodPassword = "seven brave otters sing"

// login makes a user of the role, by the socket, and logs it in.
func login(t testing.TB, p *apitest.Platform, name, role, tenant string) *caller {
	t.Helper()
	local(t, p).must(201, "POST", "/api/v1/users", map[string]any{"name": name, "role": role, "tenant": tenant, "password": goodPassword})
	c := newCaller(t, p)
	c.must(200, "POST", "/api/v1/session", map[string]any{"username": name, "password": goodPassword})
	return c
}
