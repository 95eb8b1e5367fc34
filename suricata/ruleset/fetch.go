package ruleset

import (
	"context"
	"crypto/md5" //nolint:gosec // rule publishers name the sums of their archives so
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/hauberk/hauberk/internal/durable"
)

// A Fetcher gets sources. What it gets by HTTP it keeps in Cache, and uses again while it is new.
type Fetcher struct {
	Cache   string // folder
	Client  *http.Client
	Agent   string // User-Agent
	Offline bool   // use what is in the cache
	Force   bool   // ask even if the cache is new or the sum has not changed
	Now     func() time.Time
	// Say is told what is done, a line each.
	Say func(format string, args ...any)
}

// A Remote is a source by URL.
type Remote struct {
	URL    string
	Header string // "Name: value", sent with the request; "": none
	Sum    bool   // the MD5 sum of what is at URL is at URL.md5
}

// freshFor is how long what was fetched is used without asking again.
const freshFor = 15 * time.Minute

// Remote gives the files of a source by URL. If it cannot be fetched the files
// of the time before are given with the error.
func (f *Fetcher) Remote(ctx context.Context, r Remote) ([]File, error) {
	u, err := url.Parse(r.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file") {
		return nil, fmt.Errorf("fetch %q: want a URL with http, https or file", r.URL)
	}
	if u.Scheme == "file" {
		return Local(u.Path)
	}
	name := path.Base(u.Path)
	prefix := digest([]byte(r.URL))
	cached := filepath.Join(f.Cache, prefix+"-"+name)
	fetchErr := f.refresh(ctx, r, cached)
	data, err := os.ReadFile(cached)
	if err != nil {
		return nil, errors.Join(fetchErr, err)
	}
	files, err := unpack(prefix, name, data)
	if err != nil {
		err = errors.Join(err, os.Remove(cached))
	}
	return files, errors.Join(fetchErr, err)
}

// refresh brings the cached file up to date.
func (f *Fetcher) refresh(ctx context.Context, r Remote, cached string) error {
	info, err := os.Stat(cached)
	have := err == nil
	if f.Offline {
		if !have {
			return fmt.Errorf("fetch %s: offline, and never fetched before", r.URL)
		}
		return nil
	}
	if have && !f.Force {
		if f.Now().Sub(info.ModTime()) < freshFor {
			f.Say("%s was fetched less than %s ago; --force fetches it again", r.URL, freshFor)
			return nil
		}
		if r.Sum && f.unchanged(ctx, r, cached) {
			f.Say("%s has not changed", r.URL)
			return os.Chtimes(cached, f.Now(), f.Now())
		}
	}
	f.Say("fetching %s", r.URL)
	data, err := f.get(ctx, r.URL, r.Header, maxSource)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Cache, 0o750); err != nil {
		return err
	}
	return durable.WriteFile(cached, data, 0o640)
}

// unchanged asks for the sum of a source and compares it with what is cached.
func (f *Fetcher) unchanged(ctx context.Context, r Remote, cached string) bool {
	sum, err := f.get(ctx, r.URL+".md5", r.Header, 1<<10)
	if err != nil {
		return false
	}
	data, err := os.ReadFile(cached)
	if err != nil {
		return false
	}
	have := md5.Sum(data) //nolint:gosec // see above
	word, _, _ := strings.Cut(strings.TrimSpace(string(sum)), " ")
	return strings.EqualFold(word, hex.EncodeToString(have[:]))
}

// maxRedirects is as many as net/http follows.
const maxRedirects = 10

func (f *Fetcher) get(ctx context.Context, target, header string, limit int64) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("User-Agent", f.Agent)
	if header != "" {
		name, value, ok := strings.Cut(header, ":")
		if !ok {
			return nil, fmt.Errorf("fetch %s: header %q: want NAME: VALUE", target, header)
		}
		q.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	client := *f.Client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if header != "" && next.URL.Host != via[0].URL.Host {
			return fmt.Errorf("it leads to %s, which must not see the header of the source", next.URL.Host)
		}
		if len(via) == maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	a, err := client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", target, err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: the server answers %s", target, a.Status)
	}
	data, err := io.ReadAll(io.LimitReader(a.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetch %s: %w", target, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("fetch %s: it is longer than %d bytes", target, limit)
	}
	return data, nil
}

// Local gives the files of an archive, a rule file, a folder, or of all files
// that a pattern names.
func Local(pattern string) ([]File, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", pattern, err)
	}
	if len(paths) == 0 {
		paths = []string{pattern} // for the error
	}
	var files []File
	for _, p := range paths {
		some, err := localOne(p)
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}

func localOne(p string) ([]File, error) {
	info, err := os.Stat(p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read rules: %w", err)
	case info.IsDir():
		return folder(p)
	}
	data, err := readBounded(p, info)
	if err != nil {
		return nil, err
	}
	dir, name := filepath.Split(p)
	return unpack(sourceOf(dir), name, data)
}

// folder gives all regular files below a folder: rules, and what they may refer to.
func folder(dir string) ([]File, error) {
	c := collection{source: sourceOf(dir)}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := readBounded(p, info)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		return c.add(filepath.ToSlash(name), strings.NewReader(string(data)))
	})
	if err != nil {
		return nil, fmt.Errorf("read rules of %s: %w", dir, err)
	}
	return c.files, nil
}

func readBounded(p string, info fs.FileInfo) ([]byte, error) {
	if info.Size() > maxSource {
		return nil, fmt.Errorf("read %s: it is longer than %d MB", p, maxSource>>20)
	}
	return os.ReadFile(p)
}

// sourceOf names a local folder as a source.
func sourceOf(dir string) string {
	full, err := filepath.Abs(dir)
	if err != nil {
		full = dir
	}
	return digest([]byte(full))
}

// digest names bytes: the first 16 digits of their SHA-256.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
