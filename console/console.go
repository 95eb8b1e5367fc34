// Package console serves the web console: a page of TypeScript and Preact,
// built into dist (committed, so that `go build` alone has it) and embedded.
// It speaks the REST API and nothing else, loads nothing from elsewhere, and
// runs under a content security policy without inline code. build.sh rebuilds
// dist and compares.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed dist
var dist embed.FS

// policy lets the page run its own script and style, and call its own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// file is one file of dist, ready to be served.
type file struct {
	kind  string
	etag  string // weak: the same for the plain and the gzipped content
	plain []byte
	gzip  []byte // nil where it does not pay
}

// Handler serves the console. Paths that are no file are pages of the
// console, and get index.html. It panics if dist is not whole, which a test
// holds.
func Handler() http.Handler {
	files, err := load(dist)
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the console is only read", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean(q.URL.Path), "/")
		f, ok := files[name]
		if !ok {
			if path.Ext(name) != "" && !strings.Contains(name, "/") { // dist has no folders, pages have
				http.Error(w, "no such file", http.StatusNotFound)
				return
			}
			f = files["index.html"]
		}
		f.serve(w, q)
	})
}

func load(dist fs.FS) (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		f := &file{kind: mime.TypeByExtension(path.Ext(name)), etag: `W/"` + hex.EncodeToString(sum[:12]) + `"`, plain: content}
		if f.gzip, err = compress(content); err != nil {
			return err
		}
		files[strings.TrimPrefix(name, "dist/")] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load console: %w", err)
	}
	if files["index.html"] == nil {
		return nil, fmt.Errorf("load console: dist has no index.html; run console/build.sh")
	}
	return files, nil
}

// compress returns nil when it saves less than a tenth.
func compress(content []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if out.Len() > len(content)*9/10 {
		return nil, nil
	}
	return out.Bytes(), nil
}

// serve answers with the file. Browsers may keep it, but ask each time
// whether it is still the same: names are stable over versions.
func (f *file) serve(w http.ResponseWriter, q *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", f.etag)
	for _, tag := range strings.Split(q.Header.Get("If-None-Match"), ",") {
		if strings.TrimSpace(tag) == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	content := f.plain
	if f.gzip != nil && strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if q.Method == http.MethodGet {
		w.Write(content) // a browser that is gone needs no answer
	}
}
