package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// client calls the API of one server.
type client struct {
	base  string
	token string
	http  *http.Client
	where string // for messages
}

// errUnreachable is wrapped by the error of a server that does not answer.
var errUnreachable = errors.New("cannot reach the server")

// maxLine bounds one object of a stream, in bytes: an alert with its evidence.
const maxLine = 16 << 20

// dial makes the client the flags ask for. Nothing is connected yet.
func (s *session) dial() (*client, error) {
	if s.server == "" {
		path := s.socket()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}
		return &client{base: "http://local", http: &http.Client{Transport: transport}, where: path}, nil
	}
	u, err := url.Parse(s.server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, &usageError{fmt.Sprintf("--server %q: want https://HOST:PORT", s.server)}
	}
	token := s.token
	if token == "" {
		token = os.Getenv("HAUBERK_TOKEN")
	}
	if token == "" {
		return nil, &usageError{"--server needs an API token: make one there with `hauberk api-token create NAME` and give it by --token or $HAUBERK_TOKEN"}
	}
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		Proxy:           http.ProxyFromEnvironment,
	}
	return &client{base: strings.TrimRight(u.String(), "/"), token: token, http: &http.Client{Transport: transport}, where: s.server}, nil
}

// roots are the authorities a server is believed by; nil means the system's.
func (s *session) roots() (*x509.CertPool, error) {
	path := s.caFile
	if path == "" {
		path = filepath.Join(s.dataDir, "tls", "ca.crt")
		if _, err := os.Stat(path); err != nil {
			return nil, nil
		}
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authority %s: no certificate in it", path)
	}
	return pool, nil
}

// apiError is the problem+json (RFC 9457) a server answered with.
type apiError struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (e *apiError) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	if e.Status == http.StatusUnauthorized {
		text += " (is the token right, and not expired or revoked?)"
	}
	return clean(text)
}

// do sends a request with an optional JSON body and returns the answer of a
// success.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var content io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case io.Reader:
		content, kind = b, "application/octet-stream"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}
	if content != nil {
		request.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	problem := &apiError{Status: response.StatusCode, Title: response.Status}
	if data, err := io.ReadAll(io.LimitReader(response.Body, 64<<10)); err == nil {
		_ = json.Unmarshal(data, problem) // a proxy's answer need not be a problem
	}
	problem.Status = response.StatusCode
	return nil, problem
}

func (c *client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	hint := "is it running there?"
	var unknown x509.UnknownAuthorityError
	switch {
	case c.base == "http://local" && errors.Is(err, os.ErrPermission):
		hint = "only root, or the user it runs as, may; or use --server and --token"
	case c.base == "http://local":
		hint = "start it with `hauberk up`, name its --data-dir, or use --server and --token"
	case errors.As(err, &unknown):
		hint = "give the authority of that server by --ca (there it is <data-dir>/tls/ca.crt)"
	}
	return fmt.Errorf("%w %s: %w (%s)", errUnreachable, c.where, err, hint)
}

// call sends a request and decodes the answer into out, unless that is nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	response, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if out == nil || response.StatusCode == http.StatusNoContent {
		_, err := io.Copy(io.Discard, response.Body)
		return err
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("read answer of %s: %w", c.where, err)
	}
	return nil
}

// list calls each for the items of all pages until limit items, 0 for all.
func (c *client) list(ctx context.Context, path string, query url.Values, limit int, each func(json.RawMessage) error) error {
	if query == nil {
		query = url.Values{}
	}
	for seen := 0; ; {
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := c.call(ctx, http.MethodGet, path, query, nil, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if limit > 0 && seen == limit {
				return nil
			}
			seen++
			if err := each(item); err != nil {
				return err
			}
		}
		if page.Next == "" || limit > 0 && seen == limit {
			return nil
		}
		query.Set("cursor", page.Next)
	}
}

// stream calls each for every line of a stream until it ends or the context
// does, which is no error.
func (c *client) stream(ctx context.Context, path string, query url.Values, each func(json.RawMessage) error) error {
	response, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue // keeps the connection alive
		}
		if bytes.HasPrefix(line, []byte(`{"problem":`)) {
			// How a stream says that it failed after it had begun.
			var end struct {
				Problem apiError `json:"problem"`
			}
			if err := json.Unmarshal(line, &end); err == nil && end.Problem.Status != 0 {
				return &end.Problem
			}
		}
		if err := each(bytes.Clone(line)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the stream from %s broke: %w", c.where, err)
	}
	return nil
}

// follow streams and, when the connection breaks, connects again, so that a
// restart of the server does not end it.
func (c *client) follow(ctx context.Context, path string, query url.Values, note func(string), each func(json.RawMessage) error) error {
	var own error
	for first := true; ; first = false {
		err := c.stream(ctx, path, query, func(line json.RawMessage) error {
			own = each(line)
			return own
		})
		var refused *apiError
		if ctx.Err() != nil || own != nil || errors.As(err, &refused) && refused.Status < 500 || first && errors.Is(err, errUnreachable) {
			return err
		}
		if err != nil {
			note(err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reconnectPause):
		}
	}
}

// reconnectPause is how long follow waits before it connects again.
const reconnectPause = time.Second
