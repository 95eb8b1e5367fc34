package control_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func anyConfig(f *link.Frame) (*link.Config, bool) { return f.GetConfig(), f.GetConfig() != nil }
func anyMode(f *link.Frame) (*fleet.SignedMode, bool) {
	return f.GetMode(), f.GetMode() != nil
}
func anyCommand(f *link.Frame) (*fleet.SignedCommand, bool) {
	return f.GetCommand(), f.GetCommand() != nil
}

// sequence makes the batches of nothing follow each other.
var sequence atomic.Uint64

// nothing checks that no order arrives before a batch is acknowledged.
func nothing(t testing.TB, p *linktest.Peer) {
	t.Helper()
	first := sequence.Add(1)
	p.Send(t, linktest.BatchFrame(t, &event.Batch{FirstSequence: first, Class: event.Class_CLASS_BULK, Events: []*event.Event{{}}}, 0))
	next(t, p, "the acknowledgement of a batch", func(f *link.Frame) (bool, bool) {
		if f.GetConfig() != nil || f.GetCommand() != nil || f.GetMode() != nil {
			t.Errorf("unexpected %v", f)
		}
		return true, f.GetAck() != nil
	})
}

func version(scope, selector, body string) *fleet.ConfigVersion {
	return &fleet.ConfigVersion{Scope: scope, Kind: "agent", Selector: selector, Body: body, Author: "ann", Comment: "test"}
}

func TestConfigReachesNodes(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	put := func(v *fleet.ConfigVersion) *fleet.ConfigVersion {
		t.Helper()
		out, err := c.Admin.PutConfig(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	put(version("default", "all", "# for all\ncpu_percent: 5\nlog:\n  level: info\n"))
	web, db := c.enrol(r, "web-1", map[string]string{"role": "web"}), c.enrol(r, "db-1", map[string]string{"role": "db"})
	p, _ := web.connect(t, r)
	q, _ := db.connect(t, r)
	expect := func(p *linktest.Peer, body string) *link.Config {
		t.Helper()
		got := next(t, p, "a config", anyConfig)
		sum := sha256.Sum256(got.Body)
		if string(got.Body) != body || got.Hash != hex.EncodeToString(sum[:]) || got.Version == 0 {
			t.Fatalf("config %v:\n%s\nwant\n%s", got.Version, got.Body, body)
		}
		return got
	}
	base := "cpu_percent: 5\nlog:\n  level: info\n"
	first := expect(p, base)
	expect(q, base)

	put(version("web", "role=web", "log:\n  file: /x\ncpu_percent: 10\n"))
	second := expect(p, "cpu_percent: 10\nlog:\n  file: /x\n  level: info\n")
	if second.Version <= first.Version {
		t.Errorf("version %d after %d", second.Version, first.Version)
	}
	nothing(t, q)

	// The node refuses it: everybody can see why.
	p.Send(t, &link.Frame{Body: &link.Frame_ConfigResult{ConfigResult: &link.ConfigResult{
		Version: second.Version, Hash: second.Hash, Error: "log.file: not writable", EffectiveHash: "e",
	}}})
	seen := c.Bus.presence(t, web.Identity.Node, "the refusal", func(p *fleet.Presence) bool { return p.ConfigError != "" })
	if seen.ConfigError != "log.file: not writable" || seen.EffectiveHash != "e" {
		t.Errorf("presence: %v", seen)
	}

	// Other labels, other config; a deleted scope leaves what is below it.
	if _, err := c.Admin.SetLabels(t.Context(), db.Identity.Node, map[string]string{"role": "web"}); err != nil {
		t.Fatal(err)
	}
	expect(q, string(second.Body))
	c.Bus.presence(t, db.Identity.Node, "its new label", func(p *fleet.Presence) bool { return p.Labels["role"] == "web" })
	if _, err := c.Admin.DeleteConfig(t.Context(), "", "agent", "web", "ann", "wrong"); err != nil {
		t.Fatal(err)
	}
	expect(p, base)
	expect(q, base)

	// Who comes back with it in effect is not told again; who comes with
	// another is.
	p.Close()
	hello := linktest.HelloFrame()
	hello.GetHello().ConfigHash = first.Hash
	p = linktest.Dial(t, r.Address, &web.Certificate)
	p.Send(t, hello)
	nothing(t, p)
	effective, err := c.Admin.EffectiveConfig(t.Context(), web.Identity.Node)
	if err != nil || effective.Hash != first.Hash || strings.Join(effective.Scopes, " ") != "default@1" {
		t.Errorf("effective: %v, %v", effective, err)
	}
	// No override left: the node is told so.
	if _, err := c.Admin.DeleteConfig(t.Context(), "", "agent", "default", "ann", ""); err != nil {
		t.Fatal(err)
	}
	expect(p, "")
}

func TestConfigHistory(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	ctx := t.Context()
	put := func(v *fleet.ConfigVersion) (*fleet.ConfigVersion, error) { return c.Admin.PutConfig(ctx, v) }
	for _, body := range []string{"cpu_percent: 5\n", "cpu_percent: 6\n", "cpu_percent: 7\n"} {
		if _, err := put(version("default", "all", body)); err != nil {
			t.Fatal(err)
		}
	}
	for name, bad := range map[string]*fleet.ConfigVersion{
		"out of bounds": version("default", "all", "cpu_percent: 500\n"),
		"unknown key":   version("default", "all", "nonsense: 1\n"),
		"no YAML":       version("default", "all", "a: [\n"),
		"a list":        version("default", "all", "- a\n"),
		"an anchor":     version("default", "all", "a: &x 1\nb: *x\n"),
		"a key twice":   version("default", "all", "a: 1\na: 2\n"),
		"selector":      version("default", "role=", ""),
		"scope":         version("Two Words", "all", ""),
		"kind":          {Scope: "default", Kind: "toaster", Selector: "all"},
		"tenant":        {Scope: "default", Kind: "agent", Selector: "all", Tenant: "A"},
		"too long":      version("default", "all", "a: "+strings.Repeat("x", 200<<10)),
	} {
		if _, err := put(bad); !errors.Is(err, control.ErrInvalid) || c.Admin.CheckConfig(bad) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := put(version("default", "all", "cpu_percent: 500\n")); err == nil || !strings.Contains(err.Error(), "cpu_percent: 500 is outside 1 to 50") {
		t.Errorf("out of bounds: %v", err)
	}
	stale := version("default", "all", "cpu_percent: 9\n")
	stale.Version = 2
	if _, err := put(stale); !errors.Is(err, control.ErrConflict) {
		t.Errorf("a change to an old version: %v", err)
	}
	all, err := c.Admin.ConfigHistory(ctx, "", "agent", "default")
	if err != nil || len(all) != 3 || all[1].Version != 2 || all[1].Author != "ann" || all[1].Time == 0 {
		t.Fatalf("history: %v, %v", all, err)
	}
	diff, err := c.Admin.ConfigDiff(ctx, "", "agent", "default", 1, 0)
	if err != nil || !strings.Contains(diff, "-cpu_percent: 5\n+cpu_percent: 7\n") || !strings.Contains(diff, "agent/default@3") {
		t.Errorf("diff: %v\n%s", err, diff)
	}
	back, err := c.Admin.RollbackConfig(ctx, "", "agent", "default", 1, "bob", "too hot")
	if err != nil || back.Version != 4 || back.RolledBackTo != 1 || back.Body != "cpu_percent: 5\n" || back.Author != "bob" {
		t.Errorf("rolled back: %v, %v", back, err)
	}
	gone, err := c.Admin.DeleteConfig(ctx, "", "agent", "default", "bob", "")
	if err != nil || gone.Version != 5 || !gone.Deleted {
		t.Errorf("deleted: %v, %v", gone, err)
	}
	if list, err := c.Admin.Configs(ctx, ""); err != nil || len(list) != 0 {
		t.Errorf("listed after deletion: %v, %v", list, err)
	}
	if back, err = c.Admin.RollbackConfig(ctx, "", "agent", "default", 3, "bob", ""); err != nil || back.Version != 6 || back.Deleted {
		t.Errorf("rolled back to before the deletion: %v, %v", back, err)
	}
	own := version("default", "all", "cpu_percent: 1\n")
	own.Tenant = "acme"
	if _, err := put(own); err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]int{"": 2, "acme": 2, "umbrella": 1} {
		if list, err := c.Admin.Configs(ctx, tenant); err != nil || len(list) != want {
			t.Errorf("%d scopes for %q, want %d; %v", len(list), tenant, want, err)
		}
	}
	for name, ask := range map[string]func() error{
		"version":  func() error { _, err := c.Admin.Config(ctx, "", "agent", "default", 99); return err },
		"scope":    func() error { _, err := c.Admin.Config(ctx, "", "agent", "nowhere", 0); return err },
		"history":  func() error { _, err := c.Admin.ConfigHistory(ctx, "", "agent", "nowhere"); return err },
		"rollback": func() error { _, err := c.Admin.RollbackConfig(ctx, "", "agent", "default", 99, "", ""); return err },
		"delete":   func() error { _, err := c.Admin.DeleteConfig(ctx, "", "agent", "nowhere", "", ""); return err },
	} {
		if err := ask(); !errors.Is(err, control.ErrUnknown) {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
}

func TestCommandsReachWhomTheySelect(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	web, db := c.enrol(r, "web-1", map[string]string{"role": "web"}), c.enrol(r, "db-1", map[string]string{"role": "db"})
	p, _ := web.connect(t, r)
	q, _ := db.connect(t, r)
	command, err := c.Admin.SendCommand(t.Context(), control.CommandSpec{
		Tenant: "acme", Selector: "role=web", Name: "ping", Arguments: map[string]string{"a": "b"}, Author: "ann", Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := web.Keys.OpenCommand(next(t, p, "the command", anyCommand))
	if err != nil || got.Id != command.Id || got.Arguments["a"] != "b" || got.Check("acme", time.Now()) != nil {
		t.Fatalf("command %v, %v", got, err)
	}
	p.Send(t, &link.Frame{Body: &link.Frame_Result{Result: &fleet.CommandResult{
		Command: got.Id, State: fleet.CommandState_COMMAND_STATE_DONE, Output: "pong", Node: []byte("forged"), Tenant: "forged", Host: "forged",
	}}})
	var result fleet.CommandResult
	c.Bus.await(t, bus.Results, "the result", func(all []bus.Message) bool {
		return len(all) == 1 && string(all[0].Key) == got.Id && result.UnmarshalVT(all[0].Value) == nil
	})
	if event.NodeID(result.Node) != web.Identity.Node || result.Tenant != "acme" || result.Host != "web-1" || result.Output != "pong" || result.Time == 0 {
		t.Errorf("result: %v", &result)
	}
	nothing(t, q)

	// Who connects before it expires gets it too.
	late := c.enrol(r, "web-2", map[string]string{"role": "web"})
	l, _ := late.connect(t, r)
	next(t, l, "the running command", anyCommand)
	// Another tenant's nodes do not.
	list, err := c.Admin.Commands(t.Context(), "acme")
	if err != nil || len(list) != 1 || list[0].Id != command.Id {
		t.Errorf("commands: %v, %v", list, err)
	}
	if list, err := c.Admin.Commands(t.Context(), "umbrella"); err != nil || len(list) != 0 {
		t.Errorf("another tenant sees %v, %v", list, err)
	}
	if _, err := c.Admin.SendCommand(t.Context(), control.CommandSpec{Tenant: "umbrella", Selector: "all", Name: "ping"}); err != nil {
		t.Fatal(err)
	}
	nothing(t, q)

	// It expires, and who connects then does not get it.
	c.Clock.jump(2 * time.Hour)
	l, _ = late.connect(t, r)
	nothing(t, l)
}

func TestCommandInTheFuture(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	m := c.enrol(r, "a", nil)
	p, _ := m.connect(t, r)
	spec := control.CommandSpec{Selector: "all", Name: "ping", NotBefore: c.Clock.now().Add(time.Hour), Life: time.Hour}
	later, err := c.Admin.SendCommand(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, err := c.Admin.SendCommand(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	nothing(t, p)
	if err := c.Admin.CancelCommand(t.Context(), cancelled.Id); err != nil {
		t.Fatal(err)
	}
	if err := c.Admin.CancelCommand(t.Context(), cancelled.Id); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("cancelled twice: %v", err)
	}
	// A command sent now proves that the gateway saw the cancellation.
	now, err := c.Admin.SendCommand(t.Context(), control.CommandSpec{Selector: "all", Name: "ping", Life: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	open := func() string {
		t.Helper()
		got, err := m.Keys.OpenCommand(next(t, p, "a command", anyCommand))
		if err != nil {
			t.Fatal(err)
		}
		return got.Id
	}
	if id := open(); id != now.Id {
		t.Errorf("got %s first", id)
	}
	c.Clock.jump(time.Hour)
	if id := open(); id != later.Id {
		t.Errorf("got %s when its hour came", id)
	}
	nothing(t, p)
}

func TestBadCommands(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	for name, s := range map[string]control.CommandSpec{
		"selector":  {Selector: "role", Name: "ping"},
		"no target": {Name: "ping"},
		"tenant":    {Tenant: "A b", Selector: "all", Name: "ping"},
		"no name":   {Selector: "all"},
		"life":      {Selector: "all", Name: "ping", Life: 8 * 24 * time.Hour},
		"negative":  {Selector: "all", Name: "ping", Life: -1},
		"past":      {Selector: "all", Name: "ping", NotBefore: time.Now().Add(-2 * time.Hour)},
		"far ahead": {Selector: "all", Name: "ping", NotBefore: time.Now().Add(365 * 24 * time.Hour)},
		"arguments": {Selector: "all", Name: "ping", Arguments: map[string]string{"a": strings.Repeat("x", 40<<10)}},
	} {
		if _, err := c.Admin.SendCommand(t.Context(), s); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Admin.SetMode(t.Context(), &fleet.Mode{Selector: ""}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("mode without selector: %v", err)
	}
}

func TestStopAndResume(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(nil)
	web, db := c.enrol(r, "web-1", map[string]string{"role": "web"}), c.enrol(r, "db-1", nil)
	p, _ := web.connect(t, r)
	q, _ := db.connect(t, r)
	set := func(selector string, stopped bool) *fleet.Mode {
		t.Helper()
		m, err := c.Admin.SetMode(t.Context(), &fleet.Mode{Selector: selector, Stopped: stopped, Author: "ann", Reason: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	expect := func(m *member, p *linktest.Peer, want *fleet.Mode) {
		t.Helper()
		got, err := m.Keys.OpenMode(next(t, p, "a mode", anyMode))
		if err != nil || got.Epoch != want.Epoch || got.Stopped != want.Stopped {
			t.Fatalf("mode %v, %v; want %v", got, err, want)
		}
	}
	stop := set("role=web", true)
	expect(web, p, stop)
	nothing(t, q)

	// It is repeated in every hello, at a gateway that starts later too.
	p.Close()
	p, _ = web.connect(t, r)
	expect(web, p, stop)
	second := c.gateway(func(cfg *control.Config) { cfg.Name = "second" })
	p, _ = web.connect(t, second)
	expect(web, p, stop)

	// A clock that went back makes no lower epoch.
	c.Clock.jump(-time.Hour)
	resume := set("all", false)
	if resume.Epoch <= stop.Epoch {
		t.Errorf("epoch %d after %d", resume.Epoch, stop.Epoch)
	}
	expect(web, p, resume)
	expect(db, q, resume)
	modes, err := c.Admin.Modes(t.Context())
	if err != nil || len(modes) != 1 || modes[0].Epoch != resume.Epoch {
		t.Errorf("modes that count: %v, %v", modes, err)
	}
	q.Close()
	q, _ = db.connect(t, r)
	expect(db, q, resume)
	again := set("host=db-*", true)
	expect(db, q, again)
	nothing(t, p)
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	ctx := t.Context()
	watchCtx, cancel := context.WithCancel(ctx)
	seen, ended := make(chan []*fleet.Exception), make(chan error, 1)
	go func() {
		ended <- c.Admin.WatchExceptions(watchCtx, func(all []*fleet.Exception) {
			select {
			case seen <- all:
			case <-watchCtx.Done():
			}
		})
	}()
	if all := <-seen; len(all) != 0 {
		t.Errorf("at first: %v", all)
	}
	e, err := c.Admin.PutException(ctx, &fleet.Exception{Rule: "r", Executable: "/usr/bin/rsync", Author: "ann", Reason: "backup", Tenant: "acme"})
	if err != nil || e.Id == "" || e.Created == 0 {
		t.Fatalf("%v, %v", e, err)
	}
	if all := <-seen; len(all) != 1 || all[0].Id != e.Id {
		t.Errorf("after one was made: %v", all)
	}
	e.Reason = "nightly backup"
	if _, err := c.Admin.PutException(ctx, e); err != nil {
		t.Fatal(err)
	}
	if all := <-seen; len(all) != 1 || all[0].Reason != "nightly backup" {
		t.Errorf("after a change: %v", all)
	}
	for tenant, want := range map[string]int{"": 1, "acme": 1, "umbrella": 0} {
		if all, err := c.Admin.Exceptions(ctx, tenant); err != nil || len(all) != want {
			t.Errorf("%q has %d, %v", tenant, len(all), err)
		}
	}
	if err := c.Admin.DeleteException(ctx, "acme", e.Id); err != nil {
		t.Fatal(err)
	}
	if all := <-seen; len(all) != 0 {
		t.Errorf("after the deletion: %v", all)
	}
	if err := c.Admin.DeleteException(ctx, "acme", e.Id); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := c.Admin.PutException(ctx, e); !errors.Is(err, control.ErrUnknown) {
		t.Errorf("changed after its deletion: %v", err)
	}
	for name, bad := range map[string]*fleet.Exception{
		"no rule":    {Executable: "/x", Author: "a", Reason: "r"},
		"no reason":  {Rule: "r", Author: "a"},
		"no author":  {Rule: "r", Reason: "r"},
		"everything": {Rule: "*", Author: "a", Reason: "r"},
		"expired":    {Rule: "r", Author: "a", Reason: "r", Expires: 1},
		"long":       {Rule: "r", Author: "a", Reason: strings.Repeat("x", 5000)},
		"tenant":     {Rule: "r", Author: "a", Reason: "r", Tenant: "A"},
	} {
		if _, err := c.Admin.PutException(ctx, bad); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancel()
	<-ended
}

// TestModesTogether sets modes from many places at once: each gets an epoch
// of its own, and the last word is one.
func TestModesTogether(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	var wg sync.WaitGroup
	epochs := make([]uint64, 8)
	for i := range epochs {
		wg.Go(func() {
			m, err := c.Admin.SetMode(t.Context(), &fleet.Mode{Selector: "id=" + strings.Repeat(string(rune('0'+i)), 32), Stopped: true})
			if err != nil {
				t.Error(err)
				return
			}
			epochs[i] = m.Epoch
		})
	}
	wg.Wait()
	slices.Sort(epochs)
	if len(slices.Compact(epochs)) != 8 || epochs[0] == 0 {
		t.Errorf("epochs %d", epochs)
	}
	if modes, err := c.Admin.Modes(t.Context()); err != nil || len(modes) != 8 {
		t.Errorf("%d modes, %v", len(modes), err)
	}
}
