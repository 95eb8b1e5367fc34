package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// maxScript is the budget of the script a first visit loads, gzipped.
const maxScript = 60 << 10

func TestFilesAreWhole(t *testing.T) {
	files, err := load(dist)
	if err != nil {
		t.Fatal(err)
	}
	page := string(files["index.html"].plain)
	for name, f := range files {
		if f.kind == "" {
			t.Errorf("%s has no content type", name)
		}
		if strings.Contains(string(f.plain), "sourceMappingURL") {
			t.Errorf("%s points to a source map", name)
		}
		if name != "index.html" && !strings.Contains(page, `"/`+name+`"`) && strings.HasPrefix(name, "app.") {
			t.Errorf("index.html does not load %s", name)
		}
	}
	if n := len(files["app.js"].gzip); n == 0 || n > maxScript {
		t.Errorf("app.js has %d bytes gzipped, at most %d", n, maxScript)
	}
	for _, inline := range []string{"<style", "<script>", " style=", " onclick=", "http://", "https://"} {
		if strings.Contains(page, inline) {
			t.Errorf("index.html has %s, which the policy forbids", inline)
		}
	}
}

func TestHandler(t *testing.T) {
	h := Handler()
	get := func(path string, headers ...string) *httptest.ResponseRecorder {
		q := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(headers); i += 2 {
			q.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w
	}
	index, err := fs.ReadFile(dist, "dist/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/alerts", "/alerts/abc", "/nodes/../events", "/alerts/a.js", "/index.html"} {
		w := get(path)
		if w.Code != 200 || w.Body.String() != string(index) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-cache",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy: %s", policy)
	}
	if w := get("/nothing.js"); w.Code != 404 {
		t.Errorf("a file that is not there: %d", w.Code)
	}
	script := get("/app.js", "Accept-Encoding", "gzip")
	if script.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(script.Header().Get("Content-Type"), "javascript") {
		t.Errorf("app.js: %v", script.Header())
	}
	if w := get("/app.js", "If-None-Match", `"x", `+script.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("app.js again: %d", w.Code)
	}
	plain := get("/app.js")
	if plain.Header().Get("Content-Encoding") != "" || plain.Body.Len() <= script.Body.Len() || plain.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("app.js for a browser without gzip: %v", plain.Header())
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
