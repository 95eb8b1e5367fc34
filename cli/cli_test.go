package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// fixedNow is the clock of the scripts: 5 minutes after the alert in them.
var fixedNow = time.Date(2026, 1, 31, 12, 5, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	testscript.Main(m, map[string]func(){"hauberk": func() {
		root := &cobra.Command{Use: "hauberk", SilenceUsage: true, SilenceErrors: true}
		root.AddCommand(Commands(Options{
			Version: "test", DataDir: os.Getenv("DATA"), Now: func() time.Time { return fixedNow },
			CheckRules: func(dir string) (RuleReport, error) { return fakeReport(dir), nil },
		})...)
		if err := root.Execute(); err != nil {
			fmt.Fprintln(os.Stderr, "hauberk:", err)
			os.Exit(ExitCode(err))
		}
	}})
}

type fakeReport string

func (r fakeReport) WriteText(w io.Writer, _ bool) error {
	_, err := fmt.Fprintf(w, "%s/bad.yml:3: unknown modifier\n", string(r))
	return err
}
func (r fakeReport) Lines() []any {
	return []any{map[string]any{"file": "bad.yml", "supported": false}}
}
func (r fakeReport) Bad() int { return 1 }

// TestScripts runs testdata/script against an API that answers what the
// script's api/ folder holds (and an edge, from edge/): api/<METHOD>_<path with _ for />.json, with the
// status of a line "status: N" before it. Requests are written to $DATA/requests.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Sockets have short names only.
			data, err := os.MkdirTemp("", "hbk")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(data) })
			env.Setenv("DATA", data)
			if err := os.MkdirAll(filepath.Join(data, "run"), 0o700); err != nil {
				return err
			}
			for _, name := range []string{"api", "edge"} {
				l, err := net.Listen("unix", filepath.Join(data, "run", name+".sock"))
				if err != nil {
					return err
				}
				server := &http.Server{Handler: recorded(filepath.Join(env.WorkDir, name), filepath.Join(data, "requests"))}
				go server.Serve(l) // ends with Close
				env.Defer(func() { server.Close() })
			}
			return nil
		},
	})
}

func recorded(dir, requests string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if f, err := os.OpenFile(requests, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err == nil {
			query := ""
			if r.URL.RawQuery != "" {
				query = "?" + r.URL.RawQuery
			}
			fmt.Fprintf(f, "%s %s%s %s\n", r.Method, r.URL.Path, query, body)
			f.Close()
		}
		name := r.Method + strings.ReplaceAll(r.URL.Path, "/", "_") + ".json"
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(map[string]any{"status": 404, "title": "Not Found", "detail": "nothing is there"})
			return
		}
		status := http.StatusOK
		if text, rest, ok := strings.Cut(string(data), "\n"); ok {
			if _, err := fmt.Sscanf(text, "status: %d", &status); err == nil {
				data = []byte(rest)
			}
		}
		w.WriteHeader(status)
		w.Write(data)
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode":         "plain ünïcode",
		"\x1b[2Jgone":           `\x1b[2Jgone`,
		"a\nb\tc":               `a\nb\tc`,
		"bad \xff byte":         `bad \xff byte`,
		"right\u202eto left":    `right\u202eto left`,
		"zero\u200bwidth\u2028": `zero\u200bwidth\u2028`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07")
	f.Fuzz(func(t *testing.T, s string) {
		out := clean(s)
		if strings.ContainsFunc(out, unsafeRune) {
			t.Fatalf("clean(%q) = %q", s, out)
		}
		if clean(out) != out {
			t.Fatalf("clean is not idempotent on %q", s)
		}
	})
}

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]time.Duration{"90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := parseSpan(in); err != nil || got != want {
			t.Errorf("parseSpan(%q) = %s, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "d", "-1h", "0d", "1y", "99999d", "1.5d"} {
		if got, err := parseSpan(bad); err == nil {
			t.Errorf("parseSpan(%q) = %s, want an error", bad, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&usageError{"x"}, 2},
		{fmt.Errorf("alert 1: %w", &apiError{Status: 404}), 3},
		{&apiError{Status: 403}, 4},
		{fmt.Errorf("%w x", errUnreachable), 69},
	} {
		if got := ExitCode(test.err); got != test.want {
			t.Errorf("ExitCode(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}

// Every command teaches: a summary, and the groups an example.
func TestHelpTeaches(t *testing.T) {
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no summary", c.CommandPath())
		}
		if c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	for _, c := range Commands(Options{}) {
		check(c)
	}
}
