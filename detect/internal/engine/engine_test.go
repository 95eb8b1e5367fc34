package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hauberk/hauberk/detect/internal/except"
	"github.com/hauberk/hauberk/detect/internal/fold"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

const text = `title: Netcat
id: 11111111-1111-4111-8111-111111111111
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: /nc}
  condition: s
level: low
---
title: Quiet
name: quiet
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: /id}
  condition: s
level: high
---
title: Three ids
id: 22222222-2222-4222-8222-222222222222
correlation:
  type: event_count
  rules: [quiet]
  group-by: [user.id]
  timespan: 1m
  condition: {gte: 3}
level: high
---
title: Few ids
id: 33333333-3333-4333-8333-333333333333
correlation:
  type: event_count
  rules: [quiet]
  group-by: [user.id]
  timespan: 1m
  condition: {lt: 3}
level: medium
`

func load(t testing.TB) *ruleset.Rules {
	t.Helper()
	rules, err := ruleset.Load([]ruleset.Source{{Name: "test", FS: fstest.MapFS{"r.yml": {Data: []byte(text)}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rules.Problems {
		t.Error(p.Err)
	}
	return rules
}

var limits = Limits{Fold: fold.Limits{Window: time.Hour, Interval: time.Second, Folds: 1000}, Minimum: event.Severity_SEVERITY_LOW, Storm: 5}

func at(seconds int) time.Time { return time.Unix(1_700_000_000+int64(seconds), 0) }

// exec gives a batch of one exec, at so many seconds.
func exec(node byte, sequence uint64, seconds int, path string, uid uint32) *event.Batch {
	b := event.NewBuilder(event.NodeID{node}, 1, event.Class_CLASS_BULK)
	if err := b.Add(sequence, at(seconds).UnixNano(), 0, &event.Event{Process: &event.Process{Pid: 5, Executable: []byte(path), Uid: uid}, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}); err != nil {
		panic(err)
	}
	return b.Take()
}

func names(alerts []*event.Alert) string {
	var list []string
	for _, a := range alerts {
		list = append(list, fmt.Sprintf("%s x%d", a.RuleName, a.Count))
	}
	return strings.Join(list, ", ")
}

func TestJudge(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	step := func(seconds int, b *event.Batch) string {
		return names(e.Tick(at(seconds), e.Judge(m.Batch(b, nil), at(seconds), nil)))
	}
	for _, s := range []struct {
		seconds int
		batch   *event.Batch
		want    string
	}{
		{0, exec(1, 1, 0, "/usr/bin/nc", 0), "Netcat x1"},
		{1, exec(1, 2, 1, "/usr/bin/id", 7), ""},
		{2, exec(2, 1, 2, "/usr/bin/id", 7), ""},
		{3, exec(3, 1, 3, "/usr/bin/id", 7), "Three ids x1"},
		{4, exec(1, 3, 4, "/usr/bin/id", 8), ""},
		{100, exec(1, 4, 100, "/usr/bin/ls", 8), "Few ids x1"},
	} {
		if got := step(s.seconds, s.batch); got != s.want {
			t.Errorf("at %d s: %q, want %q", s.seconds, got, s.want)
		}
	}
	c := e.Counters()
	if m.Events != 6 || m.Matched != 5 || c.Matches != 5 {
		t.Errorf("events %d, matched %d, matches %d", m.Events, m.Matched, c.Matches)
	}
}

func TestEvidenceOfACorrelationIsItsEvents(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	var alerts []*event.Alert
	for i := range 3 {
		alerts = e.Judge(m.Batch(exec(byte(i+1), 1, i, "/usr/bin/id", 7), nil), at(i), alerts)
	}
	if len(alerts) != 1 || len(alerts[0].Evidence) != 3 || alerts[0].Node != (event.NodeID{3}).String() {
		t.Fatalf("%v", alerts)
	}
	if want := "3 in 2s (user.id 7); last: /usr/bin/id (uid 7)"; alerts[0].Summary != want {
		t.Errorf("summary %q, want %q", alerts[0].Summary, want)
	}
}

func TestExceptionsKeepMatchesFromCorrelations(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	e.SetExceptions(except.New([]*fleet.Exception{{Rule: "quiet", User: "7"}}))
	var alerts []*event.Alert
	for i := range 5 {
		alerts = e.Judge(m.Batch(exec(1, uint64(i+1), i, "/usr/bin/id", 7), nil), at(i), alerts)
	}
	if len(alerts) != 0 || e.Counters().Excepted != 5 {
		t.Errorf("%s, %d excepted", names(alerts), e.Counters().Excepted)
	}
	e.SetExceptions(except.New([]*fleet.Exception{{Rule: "22222222-2222-4222-8222-222222222222"}}))
	for i := range 5 {
		alerts = e.Judge(m.Batch(exec(1, uint64(i+10), i, "/usr/bin/id", 7), nil), at(i), alerts)
	}
	if len(alerts) != 0 {
		t.Errorf("an exception for the correlation itself: %s", names(alerts))
	}
}

func TestMinimumLevel(t *testing.T) {
	rules := load(t)
	l := limits
	l.Minimum = event.Severity_SEVERITY_HIGH
	m, e := NewMatcher(rules), New(rules, l)
	if got := e.Judge(m.Batch(exec(1, 1, 0, "/usr/bin/nc", 0), nil), at(0), nil); len(got) != 0 || e.Counters().BelowLevel != 1 {
		t.Errorf("%s", names(got))
	}
}

func TestAStormFoldsByRuleAndNode(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	opened := 0
	for i := range 100 {
		opened += len(e.Judge(m.Batch(exec(1, uint64(i+1), 0, "/usr/bin/nc", uint32(i)), nil), at(0), nil))
	}
	if opened != 6 || e.Counters().Stormed != 95 {
		t.Errorf("%d alerts, %d stormed; want 5 and one for the rest", opened, e.Counters().Stormed)
	}
	if got := e.Judge(m.Batch(exec(1, 200, 120, "/usr/bin/nc", 500), nil), at(120), nil); len(got) != 1 {
		t.Errorf("after the storm: %s", names(got))
	}
}

func TestMatchesOfOldRulesAreDropped(t *testing.T) {
	old := load(t)
	m, e := NewMatcher(old), New(old, limits)
	found := m.Batch(exec(1, 1, 0, "/usr/bin/nc", 0), nil)
	e.SetRules(load(t))
	if got := e.Judge(found, at(0), nil); len(got) != 0 {
		t.Errorf("%s", names(got))
	}
}

func TestFingerprints(t *testing.T) {
	base := func() *event.Record {
		return &event.Record{Tenant: "t", ID: event.ID{Node: event.NodeID{1}, Incarnation: 1, Sequence: 1},
			Event: &event.Event{Process: &event.Process{Pid: 1, Executable: []byte("/a"), Args: []byte("a\x00x"), Ancestors: []*event.Ancestor{{Executable: []byte("/p")}}},
				Body: &event.Event_Denied{Denied: &event.AccessDenied{Path: []byte("/etc/shadow")}}}}
	}
	want := fingerprintOf("r", base())
	for name, test := range map[string]struct {
		change func(*event.Record)
		same   bool
	}{
		"another life":  {func(r *event.Record) { r.Event.Process.Pid, r.ID.Sequence = 2, 9 }, true},
		"other words":   {func(r *event.Record) { r.Event.Process.Args = []byte("a\x00y") }, true},
		"other node":    {func(r *event.Record) { r.ID.Node[0] = 2 }, false},
		"other tenant":  {func(r *event.Record) { r.Tenant = "u" }, false},
		"other program": {func(r *event.Record) { r.Event.Process.Executable = []byte("/b") }, false},
		"other parent":  {func(r *event.Record) { r.Event.Process.Ancestors[0].Executable = []byte("/q") }, false},
		"other user":    {func(r *event.Record) { r.Event.Process.Uid = 5 }, false},
		"other path":    {func(r *event.Record) { r.Event.GetDenied().Path = []byte("/etc/gshadow") }, false},
	} {
		r := base()
		test.change(r)
		if got := fingerprintOf("r", r); (got == want) != test.same {
			t.Errorf("%s: same %v, want %v", name, got == want, test.same)
		}
	}
	if fingerprintOf("q", base()) == want {
		t.Error("another rule has the same fingerprint")
	}
}

func TestSummariesAreSafeForATerminal(t *testing.T) {
	r := &event.Record{Event: &event.Event{Process: &event.Process{Executable: []byte("/a"), Args: []byte("a\x00\x1b[31m\xff" + strings.Repeat("x", 500)), User: "e\nve"}, Body: &event.Event_Exec{}}}
	got := summaryOf(r)
	if strings.ContainsAny(got, "\x1b\n") || strings.Contains(got, "\xff") || len(got) > maxSummary+50 {
		t.Errorf("%q", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory
	for i := range maxMemory + 10 {
		m.keep(fmt.Sprint(i), &event.Record{Event: &event.Event{}})
	}
	if len(m.records) != maxMemory || len(m.find([]string{"0", "9", "10", fmt.Sprint(maxMemory + 9)})) != 2 {
		t.Errorf("%d kept", len(m.records))
	}
}

func TestMatchingWhatMatchesNothingDoesNotAllocate(t *testing.T) {
	rules := load(t)
	m := NewMatcher(rules)
	b := exec(1, 1, 0, "/usr/bin/make", 1000)
	m.Batch(b, nil)
	if n := testing.AllocsPerRun(100, func() { m.Batch(b, nil) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
