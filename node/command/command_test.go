package command

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
)

type bench struct {
	*Runner
	key     ed25519.PrivateKey
	now     time.Time
	results chan *fleet.CommandResult
	ran     []string
}

func newBench(t *testing.T, dir string, key ed25519.PrivateKey, allowed []string) *bench {
	t.Helper()
	b := &bench{key: key, now: time.Unix(1000, 0), results: make(chan *fleet.CommandResult, 100)}
	note := func(name string) Func {
		return func(_ context.Context, arguments map[string]string, progress func(uint32)) (string, error) {
			b.ran = append(b.ran, name)
			progress(50)
			switch name {
			case "fail":
				return "half", errors.New("broken")
			case "panic":
				panic("bad")
			}
			return arguments["say"], nil
		}
	}
	r, err := New(Config{
		Dir: dir, Keys: fleet.Keys{key.Public().(ed25519.PublicKey)}, Allowed: allowed,
		Self: func() fleet.Subject {
			return fleet.Subject{ID: event.NodeID{1}, Tenant: "acme", Kind: "agent", Host: "h"}
		},
		Funcs: map[string]Func{"ping": note("ping"), "fail": note("fail"), "panic": note("panic")},
		Report: func(r *fleet.CommandResult) error {
			b.results <- r
			return nil
		},
		Now: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler), Metrics: &obs.Registry{},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	return b
}

// give takes a command and runs what it queued; it returns the results.
func (b *bench) give(t *testing.T, c *fleet.Command, key ed25519.PrivateKey) []*fleet.CommandResult {
	t.Helper()
	s, err := fleet.SignCommand(key, c)
	if err != nil {
		t.Fatal(err)
	}
	b.Take(s)
	select {
	case c := <-b.queue:
		b.execute(t.Context(), c)
	default:
	}
	var out []*fleet.CommandResult
	for len(b.results) > 0 {
		out = append(out, <-b.results)
	}
	return out
}

func command(id, name string) *fleet.Command {
	return &fleet.Command{Id: id, Name: name, Selector: "all", Expires: time.Unix(2000, 0).UnixNano(), Tenant: "acme", Arguments: map[string]string{"say": "hello"}}
}

func TestRunsOnceAndReports(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	dir := t.TempDir()
	b := newBench(t, dir, key, nil)
	got := b.give(t, command("1", "ping"), key)
	var states []string
	for _, r := range got {
		states = append(states, strings.TrimPrefix(r.State.String(), "COMMAND_STATE_"))
	}
	if strings.Join(states, " ") != "RECEIVED RUNNING RUNNING DONE" || got[2].Percent != 50 || got[3].Output != "hello" {
		t.Fatalf("results %v", got)
	}
	if again := b.give(t, command("1", "ping"), key); len(again) != 0 || len(b.ran) != 1 {
		t.Fatalf("ran twice: %v", again)
	}
	after := newBench(t, dir, key, nil) // a restart
	if again := after.give(t, command("1", "ping"), key); len(again) != 0 || len(after.ran) != 0 {
		t.Fatalf("ran again after a restart: %v", again)
	}
	after.now = time.Unix(2000, 0)
	if got := after.give(t, command("1", "ping"), key); len(after.ran) != 0 {
		t.Fatalf("ran after it expired: %v", got)
	}
}

func TestFailuresAreResults(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	b := newBench(t, t.TempDir(), key, nil)
	for _, name := range []string{"fail", "panic"} {
		got := b.give(t, command(name, name), key)
		if last := got[len(got)-1]; last.State != fleet.CommandState_COMMAND_STATE_FAILED || last.Error == "" {
			t.Errorf("%s: %v", name, last)
		}
	}
}

func TestRefusals(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	b := newBench(t, t.TempDir(), key, []string{"ping"})
	if got := b.give(t, command("a", "ping"), other); len(got) != 0 || len(b.ran) != 0 {
		t.Fatalf("a foreign signature: %v", got)
	}
	signed, _ := fleet.SignCommand(key, command("b", "ping"))
	signed.Command[len(signed.Command)-1] ^= 1
	b.Take(signed)
	if len(b.results) != 0 || len(b.queue) != 0 {
		t.Fatal("took changed bytes")
	}
	for name, change := range map[string]func(*fleet.Command){
		"expired":        func(c *fleet.Command) { c.Expires = b.now.UnixNano() },
		"early":          func(c *fleet.Command) { c.NotBefore = b.now.UnixNano() + 1 },
		"another tenant": func(c *fleet.Command) { c.Tenant = "other" },
		"not selected":   func(c *fleet.Command) { c.Selector = "host=other" },
		"bad selector":   func(c *fleet.Command) { c.Selector = "(" },
		"unknown":        func(c *fleet.Command) { c.Name = "format-disk" },
		"not permitted":  func(c *fleet.Command) { c.Name = "fail" },
		"lives too long": func(c *fleet.Command) { c.Expires = b.now.Add(maxLife + 1).UnixNano() },
	} {
		c := command(name, "ping")
		change(c)
		got := b.give(t, c, key)
		if len(got) != 1 || got[0].State != fleet.CommandState_COMMAND_STATE_REFUSED || got[0].Error == "" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if len(b.ran) != 0 {
		t.Errorf("ran %v", b.ran)
	}
}

func TestOutputIsCut(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	b := newBench(t, t.TempDir(), key, nil)
	c := command("long", "ping")
	c.Arguments["say"] = strings.Repeat("x", 3*fleet.MaxOutput)
	got := b.give(t, c, key)
	if out := got[len(got)-1].Output; len(out) != fleet.MaxOutput || !strings.HasSuffix(out, "(cut)") {
		t.Errorf("output of %d bytes", len(out))
	}
}
