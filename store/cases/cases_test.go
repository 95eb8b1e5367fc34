package cases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { c.at = c.at.Add(time.Millisecond); return c.at }

func open(t testing.TB) (*DB, *clock) {
	t.Helper()
	c := &clock{time.Unix(1_700_000_000, 0)}
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "a ?#b.db"), c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func publication(id string, count uint64, first, last int64) *event.Alert {
	return &event.Alert{Id: id, Fingerprint: "f" + id, Tenant: "acme", RuleId: "r-" + id, RuleName: "Rule " + id, Severity: event.Severity_SEVERITY_MEDIUM,
		Techniques: []string{"T1059.004", "T1105"}, Node: "n1", Host: "web1", Summary: "100% _sure_ " + id, Count: count, FirstSeen: first, LastSeen: last}
}

func TestFileIsPrivateAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	d, err := Open(t.Context(), path, nil)
	must(t, err)
	must(t, d.PutAlerts(t.Context(), []*event.Alert{publication("a", 1, 1, 1)}))
	for _, name := range []string{path, path + "-wal"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s: %v, %v", name, info.Mode(), err)
		}
	}
	must(t, d.Close())
	d, err = Open(t.Context(), path, nil)
	must(t, err)
	defer d.Close()
	if a, err := d.Alert(t.Context(), "a", ""); err != nil || a.Count != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestAnyOrderOfPublicationsEndsAlike: what is stored depends on the set of
// publications, not on order or repeats.
func TestAnyOrderOfPublicationsEndsAlike(t *testing.T) {
	list := []*event.Alert{publication("a", 1, 10, 10), publication("a", 3, 10, 30), publication("a", 7, 8, 70), publication("b", 1, 5, 5), publication("b", 2, 5, 9)}
	random := rand.New(rand.NewPCG(3, 4))
	var want []Alert
	for round := range 30 {
		d, _ := open(t)
		deliveries := append(slices.Clone(list), list...)
		random.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
		for len(deliveries) > 0 {
			n := 1 + random.IntN(len(deliveries))
			must(t, d.PutAlerts(t.Context(), deliveries[:n]))
			deliveries = deliveries[n:]
		}
		page, err := d.Alerts(t.Context(), AlertFilter{})
		must(t, err)
		for i := range page.Alerts {
			page.Alerts[i].Version = 0
		}
		if round == 0 {
			want = page.Alerts
			if len(want) != 2 || want[0].Count != 7 || want[0].FirstSeen != 8 || want[0].LastSeen != 70 {
				t.Fatalf("%+v", want)
			}
		}
		if diff := cmp.Diff(want, page.Alerts); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		if a, err := d.Alert(t.Context(), "a", ""); err != nil || len(a.History) != 1 || a.Alert.GetCount() != 7 {
			t.Errorf("history %+v, %v", a.History, err)
		}
	}
}

func TestStates(t *testing.T) {
	d, c := open(t)
	ctx := t.Context()
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 1, 1, c.at.UnixNano()), publication("b", 1, 1, 2)}))
	change := func(ch AlertChange) int {
		t.Helper()
		n, err := d.ChangeAlerts(ctx, ch)
		must(t, err)
		return n
	}
	if n := change(AlertChange{IDs: []string{"a", "b"}, State: StateAcknowledged, By: "eve"}); n != 2 {
		t.Errorf("%d changed", n)
	}
	if n := change(AlertChange{IDs: []string{"a", "b"}, State: StateAcknowledged, By: "bob"}); n != 0 {
		t.Errorf("%d changed again", n)
	}
	if n := change(AlertChange{IDs: []string{"a"}, State: StateAcknowledged, By: "bob", Comment: "same here"}); n != 1 {
		t.Errorf("comment: %d changed", n)
	}
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 2, 1, c.at.UnixNano())}))
	if a, _ := d.Alert(ctx, "a", ""); a.State != StateAcknowledged {
		t.Errorf("a repeat made it %s", a.State)
	}
	change(AlertChange{IDs: []string{"a"}, State: StateClosed, By: "eve", Comment: "fixed"})
	closed := c.at.UnixNano()
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 3, 1, closed-int64(time.Second))})) // happened before
	if a, _ := d.Alert(ctx, "a", ""); a.State != StateClosed || a.Count != 3 {
		t.Errorf("a late repeat made it %s", a.State)
	}
	for range 2 {
		must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 4, 1, closed+int64(time.Second))}))
	}
	a, err := d.Alert(ctx, "a", "")
	must(t, err)
	var actions []string
	for _, e := range a.History {
		actions = append(actions, e.By+" "+e.Action)
	}
	if diff := cmp.Diff([]string{"hauberk opened", "eve acknowledged", "bob commented", "eve closed", "hauberk reopened"}, actions); diff != "" || a.State != StateOpen {
		t.Errorf("state %s (-want +got):\n%s", a.State, diff)
	}
	for _, bad := range []AlertChange{
		{IDs: []string{"a"}, State: StateOpen}, {State: StateOpen, By: "x"}, {IDs: []string{"a"}, By: "x"},
		{IDs: []string{"a"}, By: "x", State: "gone"}, {IDs: []string{"a"}, By: "x", Comment: strings.Repeat("c", MaxComment+1)},
	} {
		if _, err := d.ChangeAlerts(ctx, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, missing := range []AlertChange{
		{IDs: []string{"b", "nosuch"}, State: StateClosed, By: "x"}, {IDs: []string{"b"}, Tenant: "other", State: StateClosed, By: "x"},
	} {
		if _, err := d.ChangeAlerts(ctx, missing); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v", missing, err)
		}
	}
	if b, _ := d.Alert(ctx, "b", ""); b.State != StateAcknowledged {
		t.Error("a change that failed changed something")
	}
	if err := d.PutAlerts(ctx, []*event.Alert{publication("c", 1, 1, 1), {}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("alert without id: %v", err)
	}
	if _, err := d.Alert(ctx, "c", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("part of a refused delivery is there: %v", err)
	}
}

func TestFiltersPagesAndCounts(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	var list []*event.Alert
	for i := range 25 {
		a := publication(fmt.Sprintf("%02d", i), 1, 1, int64(1000+i/2)) // pairs with the same time
		if i%5 == 0 {
			a.Severity, a.Tenant, a.Techniques, a.Summary = event.Severity_SEVERITY_CRITICAL, "umbrella", []string{"T1105.1"}, "plain"
		}
		list = append(list, a)
	}
	must(t, d.PutAlerts(ctx, list))
	_, err := d.ChangeAlerts(ctx, AlertChange{IDs: []string{"01", "02"}, State: StateClosed, By: "eve"})
	must(t, err)
	ids := func(f AlertFilter) (out []string) {
		t.Helper()
		for {
			page, err := d.Alerts(ctx, f)
			must(t, err)
			for _, a := range page.Alerts {
				out = append(out, a.ID)
			}
			if f.Cursor = page.Next; page.Next == "" {
				return out
			}
		}
	}
	all := ids(AlertFilter{})
	for _, limit := range []int{1, 2, 3, 7, 25} {
		if diff := cmp.Diff(all, ids(AlertFilter{Limit: limit})); diff != "" || len(all) != 25 {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	for _, c := range []struct {
		name string
		f    AlertFilter
		want int
	}{
		{"state", AlertFilter{States: []State{StateClosed}}, 2},
		{"states", AlertFilter{States: []State{StateClosed, StateOpen}}, 25},
		{"tenant", AlertFilter{Tenant: "umbrella"}, 5},
		{"severity", AlertFilter{Severity: "high"}, 5},
		{"severity or higher", AlertFilter{Severity: "low"}, 25},
		{"technique", AlertFilter{Technique: "T1059"}, 20},
		{"sub-technique", AlertFilter{Technique: "T1059.004"}, 20},
		{"technique and below", AlertFilter{Technique: "T1105"}, 25},
		{"part of a technique", AlertFilter{Technique: "T110"}, 0},
		{"text", AlertFilter{Text: "RULE 1"}, 10},
		{"text is not a pattern", AlertFilter{Text: "0% _sure_ 1"}, 8},
		{"text is not a pattern, either", AlertFilter{Text: "%plain"}, 0},
		{"since", AlertFilter{Since: 1010}, 5},
		{"until", AlertFilter{Until: 1010}, 20},
		{"rule", AlertFilter{Rule: "r-07"}, 1},
		{"fingerprint", AlertFilter{Fingerprint: "f07"}, 1},
		{"ids", AlertFilter{IDs: []string{"07", "08", "nosuch"}}, 2},
		{"node and host", AlertFilter{Node: "n1", Host: "web1"}, 25},
	} {
		if got := ids(c.f); len(got) != c.want {
			t.Errorf("%s: %d alerts, want %d", c.name, len(got), c.want)
		}
	}
	counts, err := d.AlertCounts(ctx, "")
	must(t, err)
	want := AlertCounts{Total: 25, State: map[State]uint64{StateOpen: 23, StateClosed: 2}, Severity: map[string]uint64{"medium": 18, "critical": 5}}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	for _, bad := range []AlertFilter{{Limit: -1}, {Limit: MaxPage + 1}, {Cursor: "%"}, {Cursor: "AAAA"}, {States: []State{"x"}}, {Severity: "x"}, {IDs: make([]string, MaxPage+1)}} {
		if _, err := d.Alerts(ctx, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestChangesAreSeenInOrder(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	changed := d.AlertsChanged()
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 1, 1, 1), publication("b", 1, 1, 1)}))
	<-changed
	v, err := d.AlertVersion(ctx)
	must(t, err)
	changed = d.AlertsChanged()
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 1, 1, 1)})) // nothing new
	select {
	case <-changed:
		t.Error("a redelivery counts as a change")
	default:
	}
	_, err = d.ChangeAlerts(ctx, AlertChange{IDs: []string{"b"}, Comment: "x", By: "eve"})
	must(t, err)
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 2, 1, 1)}))
	list, err := d.AlertsAfter(ctx, v, AlertFilter{Body: true}, 10)
	must(t, err)
	if len(list) != 2 || list[0].ID != "b" || list[1].ID != "a" || list[1].Alert.GetCount() != 2 {
		t.Errorf("changes %+v", list)
	}
}

func TestNodes(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	word := func(n byte, host string, state fleet.PresenceState, gateway string) *fleet.Presence {
		id := event.NodeID{15: n}
		return &fleet.Presence{Node: id[:], Tenant: "acme", Host: host, Kind: "agent", State: state, Gateway: gateway}
	}
	online, offline := fleet.PresenceState_PRESENCE_STATE_ONLINE, fleet.PresenceState_PRESENCE_STATE_OFFLINE
	full := word(1, "b", online, "g1")
	full.Os, full.Incarnation, full.Status = "Debian", 2, &event.NodeStatus{Counters: []*event.Counter{
		{Name: counterProduced, Value: 9}, {Name: counterDropped, Label: "reason=spool_full", Value: 4}, {Name: counterDropped, Label: "reason=no_disk"}}}
	must(t, d.PutPresences(ctx, []*fleet.Presence{full, word(2, "a", online, "g1"), word(3, "c", offline, "g2")}))
	id := event.NodeID{15: 1}.String()
	must(t, d.PutPresences(ctx, []*fleet.Presence{word(1, "b", offline, "g2")})) // not the gateway it is at
	if p, err := d.Node(ctx, id, "acme"); err != nil || p.State != online {
		t.Errorf("%v, %v", p, err)
	}
	must(t, d.PutPresences(ctx, []*fleet.Presence{word(1, "b", offline, "g1")}))
	if p, err := d.Node(ctx, id, ""); err != nil || p.State != offline || p.Os != "Debian" || p.Incarnation != 2 || p.Status == nil {
		t.Errorf("%v, %v", p, err)
	}
	life, err := d.Life(ctx, id, 2)
	if err != nil || life.Produced != 9 || life.Dropped["spool_full"] != 4 || len(life.Dropped) != 1 {
		t.Errorf("%+v, %v", life, err)
	}
	hosts := func(f NodeFilter) string {
		var out []string
		for {
			page, err := d.Nodes(ctx, f)
			must(t, err)
			for _, p := range page.Nodes {
				out = append(out, p.Host)
			}
			if f.Cursor = page.Next; page.Next == "" {
				return strings.Join(out, "")
			}
		}
	}
	for _, c := range []struct {
		f    NodeFilter
		want string
	}{{NodeFilter{}, "abc"}, {NodeFilter{Limit: 1}, "abc"}, {NodeFilter{States: []string{"offline"}}, "bc"}, {NodeFilter{Gateway: "g2"}, "c"}, {NodeFilter{Tenant: "x"}, ""}, {NodeFilter{Host: "a", Kind: "agent"}, "a"}} {
		if got := hosts(c.f); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
	}
	if _, err := d.Nodes(ctx, NodeFilter{States: []string{"asleep"}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := d.Node(ctx, id, "other"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	must(t, d.ForgetNode(ctx, id))
	if err := d.ForgetNode(ctx, id); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if n, err := d.CountNodes(ctx); n != 2 || err != nil {
		t.Error(n, err)
	}
	if err := d.PutPresences(ctx, []*fleet.Presence{{Node: []byte("short")}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestResultsKeepTheFinalOne(t *testing.T) {
	d, _ := open(t)
	node := event.NodeID{15: 1}
	result := func(state fleet.CommandState, at int64) *fleet.CommandResult {
		return &fleet.CommandResult{Command: "c", Node: node[:], Tenant: "acme", State: state, Time: at}
	}
	running, done := fleet.CommandState_COMMAND_STATE_RUNNING, fleet.CommandState_COMMAND_STATE_DONE
	for _, step := range []struct {
		put  *fleet.CommandResult
		want fleet.CommandState
		at   int64
	}{
		{result(running, 5), running, 5}, {result(running, 3), running, 5}, {result(running, 6), running, 6},
		{result(done, 4), done, 4}, {result(running, 9), done, 4}, {result(done, 4), done, 4}, {result(done, 3), done, 4}, {result(done, 8), done, 8},
	} {
		must(t, d.PutResults(t.Context(), []*fleet.CommandResult{step.put}))
		list, err := d.Results(t.Context(), "c", "")
		if err != nil || len(list) != 1 || list[0].State != step.want || list[0].Time != step.at {
			t.Errorf("after %v: %v, %v", step.put, list, err)
		}
	}
	if list, err := d.Results(t.Context(), "c", "other"); len(list) != 0 || err != nil {
		t.Error(list, err)
	}
	if err := d.PutResults(t.Context(), []*fleet.CommandResult{{Node: node[:]}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestUsers(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	const good = "correct horse"
	must(t, d.CreateUser(ctx, User{Name: "root", Role: RoleAdmin, MustChange: true}, good))
	must(t, d.CreateUser(ctx, User{Name: "eve", Role: RoleViewer, Tenant: "acme", CreatedBy: "root"}, ""))
	if err := d.CreateUser(ctx, User{Name: "eve", Role: RoleViewer}, ""); !errors.Is(err, ErrConflict) {
		t.Errorf("twice: %v", err)
	}
	for _, bad := range []User{{Name: "", Role: RoleAdmin}, {Name: "a b", Role: RoleAdmin}, {Name: "a/b", Role: RoleAdmin}, {Name: "x", Role: "king"}, {Name: strings.Repeat("x", 65), Role: RoleViewer}, {Name: "\xff", Role: RoleViewer}} {
		if err := d.CreateUser(ctx, bad, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := d.CreateUser(ctx, User{Name: "x", Role: RoleViewer}, "short"); !errors.Is(err, ErrInvalid) {
		t.Errorf("short password: %v", err)
	}
	if u, err := d.Authenticate(ctx, "root", good); err != nil || u.Role != RoleAdmin || !u.MustChange || u.LastLogin == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	for _, c := range [][2]string{{"root", "wrong horse"}, {"nobody", good}, {"eve", ""}, {"root", ""}, {"root", strings.Repeat("x", MaxPassword+1)}, {"", ""}} {
		if _, err := d.Authenticate(ctx, c[0], c[1]); !errors.Is(err, ErrDenied) {
			t.Errorf("%v: %v", c, err)
		}
	}
	must(t, d.SetPassword(ctx, "root", "another horse", false))
	if _, err := d.Authenticate(ctx, "root", good); !errors.Is(err, ErrDenied) {
		t.Error("the old password is still good")
	}
	for _, last := range []error{
		d.DeleteUser(ctx, "root"), d.UpdateUser(ctx, User{Name: "root", Role: RoleViewer}),
		d.UpdateUser(ctx, User{Name: "root", Role: RoleAdmin, Disabled: true}), d.UpdateUser(ctx, User{Name: "root", Role: RoleAdmin, Tenant: "acme"}),
	} {
		if !errors.Is(last, ErrConflict) {
			t.Errorf("the last admin: %v", last)
		}
	}
	must(t, d.UpdateUser(ctx, User{Name: "eve", Role: RoleAnalyst, Disabled: true}))
	if u, err := d.User(ctx, "eve"); err != nil || u.Role != RoleAnalyst || !u.Disabled || u.CreatedBy != "root" {
		t.Errorf("%+v, %v", u, err)
	}
	must(t, d.DeleteUser(ctx, "eve"))
	if err := d.DeleteUser(ctx, "eve"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if list, err := d.Users(ctx); len(list) != 1 || err != nil {
		t.Error(list, err)
	}
}

func TestForeignHashesNeverMatch(t *testing.T) {
	d, _ := open(t)
	whole := d.hashPassword("correct horse")
	if !d.checkPassword("correct horse", whole) {
		t.Fatal("the hash does not match its password")
	}
	for _, hash := range []string{"", "x", strings.Replace(whole, "argon2id", "argon2i", 1), strings.Replace(whole, "v=19", "v=18", 1),
		strings.Replace(whole, "p=1", "p=0", 1), strings.Replace(whole, "t=2", "t=0", 1), strings.Replace(whole, "m=19456", "m=99999999", 1), whole[:len(whole)-1], whole + "$"} {
		if d.checkPassword("correct horse", hash) {
			t.Errorf("%q matches", hash)
		}
	}
}

func TestSessionsAndTokens(t *testing.T) {
	d, c := open(t)
	ctx := t.Context()
	must(t, d.CreateUser(ctx, User{Name: "root", Role: RoleAdmin}, "correct horse"))
	must(t, d.CreateUser(ctx, User{Name: "eve", Role: RoleAnalyst, Tenant: "acme"}, "correct horse"))
	token, session, err := d.CreateSession(ctx, "eve", time.Hour, "10.0.0.1", strings.Repeat("é", 300))
	must(t, err)
	p, err := d.Resolve(ctx, token)
	if err != nil || p.User != "eve" || p.Role != RoleAnalyst || p.Tenant != "acme" || p.Session != session.ID {
		t.Errorf("%+v, %v", p, err)
	}
	secret, api, err := d.CreateToken(ctx, "ci", "eve", RoleAdmin, 0)
	must(t, err)
	if p, err := d.Resolve(ctx, secret); err != nil || p.Role != RoleAnalyst || p.Token != api.ID {
		t.Errorf("a token raised its user: %+v, %v", p, err)
	}
	viewer, _, err := d.CreateToken(ctx, "ro", "eve", RoleViewer, time.Hour)
	must(t, err)
	if p, err := d.Resolve(ctx, viewer); err != nil || p.Role != RoleViewer {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"", "hbs_", "hbt_x", token + "x", token[:len(token)-1], strings.Replace(token, "hbs_", "hbt_", 1), session.ID} {
		if _, err := d.Resolve(ctx, bad); !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if list, _ := d.Tokens(ctx, "eve"); len(list) != 2 || list[0].LastUsed == 0 {
		t.Errorf("%+v", list)
	}
	// No secret is in the database.
	var dump strings.Builder
	must(t, d.query(ctx, "dump", func(rows *sql.Rows) error {
		var hash []byte
		err := rows.Scan(&hash)
		dump.Write(hash)
		return err
	}, "SELECT hash FROM sessions UNION ALL SELECT hash FROM tokens UNION ALL SELECT hash FROM users"))
	for _, s := range []string{token, secret, "correct horse"} {
		if strings.Contains(dump.String(), s) {
			t.Error("a secret is kept in clear")
		}
	}
	c.at = c.at.Add(2 * time.Hour)
	for _, expired := range []string{token, viewer} {
		if _, err := d.Resolve(ctx, expired); !errors.Is(err, ErrDenied) {
			t.Errorf("expired: %v", err)
		}
	}
	if list, _ := d.Sessions(ctx, ""); len(list) != 0 {
		t.Errorf("expired sessions are listed: %+v", list)
	}
	token, session, err = d.CreateSession(ctx, "eve", time.Hour, "", "")
	must(t, err)
	must(t, d.EndSession(ctx, session.ID))
	if _, err := d.Resolve(ctx, token); !errors.Is(err, ErrDenied) {
		t.Errorf("ended: %v", err)
	}
	token, _, err = d.CreateSession(ctx, "eve", time.Hour, "", "")
	must(t, err)
	must(t, d.SetPassword(ctx, "eve", "another horse", false))
	if _, err := d.Resolve(ctx, token); !errors.Is(err, ErrDenied) {
		t.Errorf("after a new password: %v", err)
	}
	must(t, d.UpdateUser(ctx, User{Name: "eve", Role: RoleAnalyst, Disabled: true}))
	if _, err := d.Resolve(ctx, secret); !errors.Is(err, ErrDenied) {
		t.Errorf("token of a disabled user: %v", err)
	}
	if _, _, err := d.CreateSession(ctx, "eve", time.Hour, "", ""); !errors.Is(err, ErrDenied) {
		t.Errorf("session of a disabled user: %v", err)
	}
	must(t, d.RevokeToken(ctx, api.ID))
	if err := d.RevokeToken(ctx, api.ID); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	must(t, d.DeleteUser(ctx, "eve"))
	if list, _ := d.Tokens(ctx, ""); len(list) != 0 {
		t.Errorf("tokens of a deleted user: %+v", list)
	}
	for range maxSessions + 5 {
		_, _, err := d.CreateSession(ctx, "root", time.Hour, "", "")
		must(t, err)
	}
	if list, _ := d.Sessions(ctx, "root"); len(list) != maxSessions {
		t.Errorf("%d sessions", len(list))
	}
}

func TestAuditLogIsOnlyAddedTo(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	for i := range 7 {
		must(t, d.Audit(ctx, AuditEntry{Actor: "eve", Action: []string{"user.create", "user.delete", "alert.close"}[i%3], Object: fmt.Sprint(i), Detail: strings.Repeat("d", maxDetail+9)}))
	}
	var got []string
	for f := (AuditFilter{Limit: 3}); ; {
		page, err := d.AuditLog(ctx, f)
		must(t, err)
		for _, e := range page.Entries {
			got = append(got, e.Object)
		}
		if f.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if strings.Join(got, "") != "6543210" {
		t.Errorf("%v", got)
	}
	if page, err := d.AuditLog(ctx, AuditFilter{Action: "user"}); err != nil || len(page.Entries) != 5 || len(page.Entries[0].Detail) != maxDetail {
		t.Errorf("%d entries, %v", len(page.Entries), err)
	}
	for _, text := range []string{"DELETE FROM audit", "UPDATE audit SET actor = 'bob'"} {
		if _, err := d.write.ExecContext(ctx, text); err == nil {
			t.Errorf("%s works", text)
		}
	}
	if err := d.Audit(ctx, AuditEntry{Actor: "eve"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := d.AuditLog(ctx, AuditFilter{Cursor: "?"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestCheckpoint(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	if c, err := d.Checkpoint(ctx); err != nil || c.Floor != 0 || len(c.Next) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	must(t, d.SaveCheckpoint(ctx, Checkpoint{Floor: 5, Dropped: 2, Next: map[int32]int64{0: 7, 3: 9}}, []Life{{Node: "n", Incarnation: 1, Seen: []byte{1, 0, 0}, Rejected: map[string]uint64{"too_old": 3}}}))
	must(t, d.SaveCheckpoint(ctx, Checkpoint{Floor: 6, Dropped: 2, Next: map[int32]int64{3: 10}}, nil))
	c, err := d.Checkpoint(ctx)
	if diff := cmp.Diff(Checkpoint{Floor: 6, Dropped: 2, Next: map[int32]int64{0: 7, 3: 10}}, c); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if l, err := d.Life(ctx, "n", 1); err != nil || l.Rejected["too_old"] != 3 || len(l.Seen) != 3 {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := d.Life(ctx, "n", 2); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for i, name := range []string{"acme", "", "acme", "umbrella", ""} {
		if n, err := d.Tenant(ctx, name); err != nil || n != []uint32{1, 2, 1, 3, 2}[i] {
			t.Errorf("tenant %q: %d, %v", name, n, err)
		}
	}
}

func TestSettingsAndPrune(t *testing.T) {
	d, c := open(t)
	ctx := t.Context()
	if _, err := d.Setting(ctx, "k"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	must(t, d.SetSetting(ctx, "k", "1", "eve"))
	must(t, d.SetSetting(ctx, "k", "2", "eve"))
	if v, err := d.Setting(ctx, "k"); v != "2" || err != nil {
		t.Error(v, err)
	}
	now := c.at
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("old", 1, 1, now.Add(-time.Hour).UnixNano()), publication("new", 1, 1, now.UnixNano())}))
	v, err := d.AlertVersion(ctx)
	must(t, err)
	if gone, err := d.Prune(ctx, now.Add(-time.Minute), now, now); gone != 1 || err != nil {
		t.Error(gone, err)
	}
	if page, err := d.Alerts(ctx, AlertFilter{}); err != nil || len(page.Alerts) != 1 || page.Alerts[0].ID != "new" {
		t.Errorf("%+v, %v", page, err)
	}
	if after, err := d.AlertVersion(ctx); after < v || err != nil {
		t.Errorf("the version went back to %d (%v)", after, err)
	}
}

func TestBackupAndCheck(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	must(t, d.PutAlerts(ctx, []*event.Alert{publication("a", 1, 1, 1)}))
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, d.Backup(ctx, path))
	if err := d.Backup(ctx, path); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	must(t, Check(ctx, path))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b, err := Open(ctx, path, nil)
	must(t, err)
	if a, err := b.Alert(ctx, "a", ""); err != nil || a.Count != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	must(t, b.Close())
	must(t, os.WriteFile(path, []byte("SQLite format 3\x00 not really"), 0o600))
	if err := Check(ctx, path); err == nil {
		t.Error("a damaged copy passes")
	}
	if err := Check(ctx, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a copy that is not there passes")
	}
}

func TestMigrations(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	path := filepath.Join(t.TempDir(), "m.db")
	db, err := sql.Open("sqlite", dsn(path, false))
	must(t, err)
	defer db.Close()
	version := func() (v int) {
		must(t, db.QueryRow("PRAGMA user_version").Scan(&v))
		return v
	}
	steps := fstest.MapFS{"migrations/0001_a.sql": file("CREATE TABLE a (x); INSERT INTO a VALUES (1)")}
	must(t, migrate(t.Context(), db, steps))
	must(t, migrate(t.Context(), db, steps)) // not again
	steps["migrations/0002_b.sql"] = file("ALTER TABLE a ADD COLUMN y; UPDATE a SET y = 2; CREATE TABLE nonsense (")
	if err := migrate(t.Context(), db, steps); err == nil || !strings.Contains(err.Error(), "0002_b.sql") || version() != 1 {
		t.Errorf("a broken step: %v, version %d", err, version())
	}
	if _, err := db.Exec("SELECT y FROM a"); err == nil {
		t.Error("half of a broken step was done")
	}
	steps["migrations/0002_b.sql"] = file("ALTER TABLE a ADD COLUMN y")
	must(t, migrate(t.Context(), db, steps))
	var n int
	if err := db.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil || n != 1 || version() != 2 {
		t.Errorf("%d rows, version %d, %v", n, version(), err)
	}
	delete(steps, "migrations/0002_b.sql")
	if err := migrate(t.Context(), db, steps); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer database: %v", err)
	}
}

func TestMemoryDatabase(t *testing.T) {
	d, err := Open(context.Background(), Memory, nil)
	must(t, err)
	defer d.Close()
	must(t, d.PutAlerts(t.Context(), []*event.Alert{publication("a", 1, 1, 1)}))
	if counts, err := d.AlertCounts(t.Context(), ""); err != nil || counts.Total != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("text", "T1059", "eyJMYXN0IjoxLCJJRCI6ImEifQ", "open", 10)
	f.Add("%_\\'\"", "%", "AA", "closed", 0)
	d, _ := open(f)
	must(f, d.PutAlerts(f.Context(), []*event.Alert{publication("a", 1, 1, 1)}))
	f.Fuzz(func(t *testing.T, text, technique, cursor, state string, limit int) {
		_, err := d.Alerts(context.Background(), AlertFilter{Text: text, Technique: technique, Cursor: cursor, States: []State{State(state)}, Limit: limit, Host: text, IDs: []string{text}})
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
}
