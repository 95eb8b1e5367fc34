package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/store/storetest"
)

// base is noon of a fixed day: tests pass at any hour.
var base = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, change func(*Config)) *Store {
	t.Helper()
	c := DefaultConfig()
	c.Dir = t.TempDir()
	if change != nil {
		change(&c)
	}
	s, err := Open(c, 0, Deps{Now: func() time.Time { return base }})
	if err != nil {
		t.Fatal(err)
	}
	s.steady = s.deps.Now
	return s
}

// add stores a batch and returns the JSON each event should come back as, by id.
func add(t testing.TB, s *Store, b *event.Batch, tenant uint32, at Position) map[string]map[string]any {
	t.Helper()
	want := map[string]map[string]any{}
	for _, r := range b.Records {
		if reason := s.Add(r, tenant, at); reason != "" {
			t.Fatalf("event %s rejected: %s", r.ID, reason)
		}
		var row map[string]any
		if err := json.Unmarshal(event.AppendJSON(nil, r), &row); err != nil {
			t.Fatal(err)
		}
		row["hauberk.bus.partition"] = fmt.Sprint(at.Partition)
		row["hauberk.bus.offset"] = fmt.Sprint(at.Offset)
		want[r.ID.String()] = row
	}
	s.Flush()
	return want
}

func query(t testing.TB, s *Store, q Query) []map[string]any {
	t.Helper()
	var rows []map[string]any
	if _, err := s.Query(t.Context(), q, func(line []byte) error {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		rows = append(rows, row)
		return nil
	}); err != nil {
		t.Fatalf("query %q: %v", q.LogsQL, err)
	}
	return rows
}

// exotic holds what the maker's events do not: bytes that are not UTF-8,
// arguments with blanks, lists with NUL, every kind of body.
func exotic(at int64) *event.Batch {
	node := storetest.Node(99)
	shell := func(args string) *event.Process {
		return &event.Process{Pid: 7, Start: 8, Executable: []byte("/tmp/\xff x"), Args: []byte(args), User: "root", ArgsLength: 40000,
			Ancestors: []*event.Ancestor{{Pid: 6, Start: 5, Args: []byte("sh\x00-c\x00a b\x00")}}}
	}
	ends := &event.Endpoints{SourceIp: []byte{192, 0, 2, 1}, SourcePort: 1, DestinationIp: []byte{0x20, 1, 0xd, 0xb8, 15: 1}, DestinationPort: 53, Transport: event.Transport_TRANSPORT_UDP, Flow: 1<<63 + 1}
	return &event.Batch{
		Node: node[:], Incarnation: 4, Tenant: "acme", FirstSequence: 10, BaseTime: at, Schema: event.Schema,
		Host: &event.Host{Name: "h\"1", Labels: map[string]string{"a.b": "c d", "zone": "é"}},
		Events: []*event.Event{
			{Process: shell("sh\x00-c\x00id; \"x\"\t\x01\x02\xff\x00"), Body: &event.Event_Exec{Exec: &event.ProcessExec{SocketStdio: 3, FromMemory: true}}, Lag: 12345},
			{Process: shell("a\x00\x00b\x00\x00"), Body: &event.Event_Exit{Exit: &event.ProcessExit{}}, Skip: 3},
			{Process: shell("one"), Body: &event.Event_Login{Login: &event.Login{Kind: event.LoginKind_LOGIN_KIND_SUDO, Success: true, User: []byte("root"), Command: []byte("/bin/sh -c id"), Message: []byte("line\nline")}}},
			{Body: &event.Event_Dns{Dns: &event.Dns{Endpoints: ends, Id: 9, Response: true, Answers: [][]byte{[]byte("a\x00b"), []byte("\x01"), nil, []byte("c")}}}},
			{Body: &event.Event_Alert{Alert: &event.Alert{RuleId: "r", Severity: event.Severity_SEVERITY_HIGH, Techniques: []string{"T1059", "T1105"}, Count: 3, FirstSeen: at, LastSeen: at + 5, Labels: map[string]string{"role": "db"}, References: []string{"https://x/?a=b c"}}}},
			{Body: &event.Event_Status{Status: &event.NodeStatus{Reason: "start", Detail: "d"}}},
			{},
		},
	}
}

func TestRowsComeBackAsTheJSONOfTheRecord(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	at := base.Add(-time.Hour).UnixNano()
	want := add(t, s, storetest.NewMaker(1).Batch(200, at), 1, Position{3, 77})
	maps.Copy(want, add(t, s, exotic(at), 1, Position{5, 1 << 40}))
	rows := query(t, s, Query{Tenants: []uint32{1}})
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		id, _ := row["event.id"].(string)
		if diff := cmp.Diff(want[id], row); diff != "" {
			t.Errorf("event %s (-want +got):\n%s", id, diff)
		}
	}
}

func TestQueryNewestFirst(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	m := storetest.NewMaker(1)
	for i := range 40 { // over a month, sparser the older
		add(t, s, m.Batch(3, base.Add(-time.Duration(i*i)*20*time.Minute).UnixNano()), 1, Position{})
	}
	for _, limit := range []int{1, 5, 50, 120, 500} {
		rows := query(t, s, Query{Tenants: []uint32{1}, Limit: limit})
		if len(rows) != min(limit, 120) {
			t.Errorf("limit %d: %d rows", limit, len(rows))
		}
		if !slices.IsSortedFunc(rows, func(a, b map[string]any) int {
			return strings.Compare(b["@timestamp"].(string), a["@timestamp"].(string))
		}) {
			t.Errorf("limit %d: rows are not newest first", limit)
		}
	}
	start := base.Add(-24 * time.Hour)
	for _, row := range query(t, s, Query{Tenants: []uint32{1}, Limit: 100, Start: start.UnixNano(), End: start.Add(time.Hour).UnixNano()}) {
		if at, err := time.Parse(time.RFC3339Nano, row["@timestamp"].(string)); err != nil || at.Before(start) || !at.Before(start.Add(time.Hour)) {
			t.Errorf("row of %v outside the range", row["@timestamp"])
		}
	}
}

func TestQueryLanguage(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	at := base.Add(-time.Minute).UnixNano()
	add(t, s, storetest.NewMaker(1).Batch(300, at), 1, Position{})
	all := query(t, s, Query{Tenants: []uint32{1}})
	count := func(f func(map[string]any) bool) (n int) {
		for _, row := range all {
			if f(row) {
				n++
			}
		}
		return n
	}
	curl := count(func(r map[string]any) bool { return r["process.executable"] == "/usr/bin/curl" })
	for _, c := range []struct {
		text string
		want int
	}{
		{"", 300},
		{`process.executable:="/usr/bin/curl"`, curl},
		{"/usr/bin/curl", curl},        // only words: any field
		{"curl api.example.org", curl}, // each of them
		{`{event.dataset="process.exec"} process.executable:="/usr/bin/curl"`, count(func(r map[string]any) bool {
			return r["process.executable"] == "/usr/bin/curl" && r["event.dataset"] == "process.exec"
		})},
		{`destination.ip:ipv4_range("10.0.1.0/24")`, count(func(r map[string]any) bool {
			ip, _ := r["destination.ip"].(string)
			return strings.HasPrefix(ip, "10.0.1.")
		})},
		{`process.pid:>30000`, count(func(r map[string]any) bool { pid, _ := r["process.pid"].(float64); return pid > 30000 })},
		{"nosuchword", 0},
	} {
		if got := len(query(t, s, Query{LogsQL: c.text, Tenants: []uint32{1}, Limit: 1000})); got != c.want {
			t.Errorf("%s: %d rows, want %d", c.text, got, c.want)
		}
	}
	rows := query(t, s, Query{LogsQL: "* | stats count() n", Tenants: []uint32{1}, Limit: 10})
	if len(rows) != 1 || rows[0]["n"] != "300" {
		t.Errorf("stats: %v", rows)
	}
	for _, text := range []string{"(", `a:"`, "* | nosuchpipe", strings.Repeat("a", MaxQueryText+1)} {
		if _, err := s.Query(t.Context(), Query{LogsQL: text, Tenants: []uint32{1}}, nil); !errors.Is(err, ErrQuery) {
			t.Errorf("%.20s: %v", text, err)
		}
	}
}

func TestTenantsAreApart(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	at := base.Add(-time.Minute).UnixNano()
	add(t, s, storetest.NewMaker(1).Batch(10, at), 1, Position{})
	add(t, s, storetest.NewMaker(2).Batch(20, at), 2, Position{})
	for _, c := range []struct {
		tenants []uint32
		want    int
	}{{nil, 0}, {[]uint32{1}, 10}, {[]uint32{2}, 20}, {[]uint32{2, 1}, 30}, {[]uint32{3}, 0}} {
		if got := len(query(t, s, Query{Tenants: c.tenants})); got != c.want {
			t.Errorf("tenants %v: %d rows, want %d", c.tenants, got, c.want)
		}
	}
	// A subquery does not reach further than the query.
	if got := len(query(t, s, Query{LogsQL: `event.id:in(* | fields event.id)`, Tenants: []uint32{1}})); got != 10 {
		t.Errorf("subquery: %d rows", got)
	}
}

func TestQueryEnds(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	add(t, s, storetest.NewMaker(1).Batch(500, base.Add(-time.Minute).UnixNano()), 1, Position{})
	q := Query{Tenants: []uint32{1}}
	stop := errors.New("enough")
	n := 0
	if _, err := s.Query(t.Context(), q, func([]byte) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("error of each: %v after %d rows", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Query(ctx, q, func([]byte) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	q.Timeout = time.Nanosecond
	if _, err := s.Query(t.Context(), q, func([]byte) error { return nil }); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrBusy) {
		t.Errorf("timeout: %v", err)
	}
	for range cap(s.slots) {
		s.slots <- struct{}{}
	}
	q.Timeout = time.Millisecond
	if _, err := s.Query(t.Context(), q, func([]byte) error { return nil }); !errors.Is(err, ErrBusy) {
		t.Errorf("no slot: %v", err)
	}
	for range cap(s.slots) {
		<-s.slots
	}
}

func TestQueryOfTooMuchMemory(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	b := storetest.NewMaker(1).Batch(300, base.Add(-time.Minute).UnixNano())
	for i, e := range b.Events {
		e.Process = &event.Process{Pid: 1, Args: fmt.Appendf(nil, "%d%s", i, bytes.Repeat([]byte("x"), 120_000))}
		e.Body = &event.Event_Exec{Exec: &event.ProcessExec{}}
	}
	add(t, s, b, 1, Position{})
	q := Query{LogsQL: "* | stats count_uniq(process.command_line) n", Tenants: []uint32{1}}
	_, err := s.Query(t.Context(), q, func([]byte) error { return nil })
	if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("error %v", err)
	}
}

func TestRejections(t *testing.T) {
	s := open(t, func(c *Config) { c.Retention = 2 * day })
	defer s.Close()
	s.dropped = base.Add(-30 * time.Hour).UnixNano()
	node := storetest.Node(1)
	for _, c := range []struct {
		at   time.Time
		e    *event.Event
		seq  uint64
		want string
	}{
		{base, &event.Event{}, 1, ""},
		{base.Add(-2*day - time.Nanosecond), &event.Event{}, 1, TooOld},
		{base.Add(-31 * time.Hour), &event.Event{}, 1, Dropped},
		{base.Add(-29 * time.Hour), &event.Event{}, 1, ""},
		{base.Add(time.Hour), &event.Event{}, 1, ""},
		{base.Add(time.Hour + time.Nanosecond), &event.Event{}, 1, TooNew},
		{time.Unix(0, 1<<62), &event.Event{}, 1, TooNew},
		{time.Unix(0, -1), &event.Event{}, 1, TooOld},
		{base, &event.Event{}, 0, NoID},
		{base, &event.Event{Process: &event.Process{Args: make([]byte, 3<<20)}, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}, 1, TooLarge},
	} {
		r := &event.Record{ID: event.ID{Node: node, Incarnation: 1, Sequence: c.seq}, Tenant: "t", Observed: c.at.UnixNano(), Time: c.at.UnixNano(), Event: c.e}
		if got := s.Add(r, 1, Position{}); got != c.want {
			t.Errorf("at %s: rejected %q, want %q", c.at, got, c.want)
		}
	}
	r := &event.Record{ID: event.ID{Node: node, Incarnation: 1, Sequence: 9}, Observed: base.UnixNano(), Time: base.UnixNano(), Event: &event.Event{},
		Host: &event.Host{Labels: map[string]string{strings.Repeat("l", 200): "v"}}}
	if got := s.Add(r, 1, Position{}); got != TooLarge {
		t.Errorf("long label: %q", got)
	}
	s.Flush()
	if rows := query(t, s, Query{Tenants: []uint32{1}}); len(rows) != 3 {
		t.Errorf("%d rows stored, want the 3 that were not rejected", len(rows))
	}
}

// awaitDurable polls as the consumer does.
func awaitDurable(t testing.TB, s *Store) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !s.Durable() {
		if time.Now().After(deadline) {
			t.Fatal("rows do not become durable")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRetentionBySizeAndAge(t *testing.T) {
	var told int64
	c := DefaultConfig()
	c.Dir, c.Retention, c.MaxBytes = t.TempDir(), 10*day, 64<<20
	now := base
	s, err := Open(c, 0, Deps{Now: func() time.Time { return now }, Dropped: func(before int64) error { told = before; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	m := storetest.NewMaker(1)
	for i := range 5 {
		add(t, s, m.Batch(50, base.Add(-time.Duration(i)*day).UnixNano()), 1, Position{})
	}
	awaitDurable(t, s)
	if n, err := s.Enforce(); n != 0 || err != nil {
		t.Fatalf("nothing to drop, yet %d days went (%v)", n, err)
	}
	s.config.MaxBytes = int64(s.Stats().Bytes) * 3 / 5
	if n, err := s.Enforce(); n < 1 || n > 4 || err != nil {
		t.Fatalf("%d days went (%v)", n, err)
	}
	if told == 0 || told != s.dropped || told%int64(day) != 0 {
		t.Errorf("told %d, dropped %d", told, s.dropped)
	}
	for _, row := range query(t, s, Query{Tenants: []uint32{1}}) {
		if at, err := time.Parse(time.RFC3339Nano, row["@timestamp"].(string)); err != nil || at.UnixNano() < told {
			t.Errorf("row of a dropped day: %v", row["@timestamp"])
		}
	}
	if r := (&event.Record{ID: event.ID{Sequence: 1}, Time: told - 1, Observed: told - 1, Event: &event.Event{}}); s.Add(r, 1, Position{}) != Dropped {
		t.Error("a late event of a dropped day is stored")
	}
	s.config.MaxBytes = 1 // never the newest day
	if _, err := s.Enforce(); err != nil || s.Stats().Days != 1 {
		t.Errorf("%d days left (%v), want the newest", s.Stats().Days, err)
	}
	now = base.Add(11 * day)
	if n, err := s.Enforce(); n != 0 || err != nil {
		t.Errorf("a clock that jumped drops %d days (%v)", n, err)
	}
	if r := (&event.Record{ID: event.ID{Sequence: 1}, Time: base.UnixNano(), Observed: base.UnixNano(), Event: &event.Event{}}); s.Add(r, 1, Position{}) != "" {
		t.Error("a clock that jumped rejects an event of now")
	}
	s.steady = func() time.Time { return now }
	if n, err := s.Enforce(); n != 1 || err != nil || s.Stats().Days != 0 {
		t.Errorf("by age: %d days went (%v), %d left", n, err, s.Stats().Days)
	}
	s.Close()
	if entries, err := os.ReadDir(filepath.Join(c.Dir, "logs", "partitions")); err != nil || len(entries) != 0 {
		t.Errorf("files left: %v (%v)", entries, err)
	}
}

func TestReopenKeepsAndReadsBack(t *testing.T) {
	s := open(t, nil)
	m := storetest.NewMaker(1)
	at := base.Add(-time.Hour).UnixNano()
	old := add(t, s, m.Batch(5, at-int64(3*day)), 1, Position{1, 10})
	add(t, s, m.Batch(5, at), 1, Position{1, 11})
	add(t, s, m.Batch(5, at), 2, Position{1, 12})
	add(t, s, m.Batch(5, at), 1, Position{2, 3})
	add(t, s, m.Batch(5, at), 1, Position{4, 0})
	config := s.config
	s.Close()
	s, err := Open(config, 0, Deps{Now: func() time.Time { return base }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := len(query(t, s, Query{Tenants: []uint32{1, 2}})); n != 25 {
		t.Fatalf("%d rows after opening again", n)
	}
	for _, c := range []struct {
		floor int64
		next  map[int32]int64
		want  []uint64 // first sequences of batches
	}{
		{at, map[int32]int64{1: 11, 2: 4, 4: 1}, []uint64{6, 11}},
		{at, map[int32]int64{1: 12, 2: 3, 4: 1}, []uint64{11, 16}},
		{at, map[int32]int64{1: 13, 2: 4}, []uint64{21}}, // a partition without a position counts whole
		{at - int64(4*day), map[int32]int64{1: 0, 2: 4, 4: 1}, []uint64{1, 6, 11}},
		{at, nil, []uint64{6, 11, 16, 21}},
	} {
		got := map[uint64]int{}
		if err := s.Beyond(t.Context(), []uint32{1, 2}, c.floor, c.next, func(id event.ID) error {
			got[(id.Sequence-1)/5*5+1]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := map[uint64]int{}
		for _, first := range c.want {
			want[first] = 5
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("floor %d next %v (-want +got):\n%s", c.floor, c.next, diff)
		}
	}
	for text := range old {
		id, err := event.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Has(t.Context(), 1, id, at-int64(3*day)); !ok || err != nil {
			t.Errorf("event %s: %v, %v", id, ok, err)
		}
		id.Sequence += 1000
		if ok, err := s.Has(t.Context(), 1, id, at); ok || err != nil {
			t.Errorf("event %s that was not stored: %v, %v", id, ok, err)
		}
	}
}

func TestTail(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, ended, rows := make(chan struct{}), make(chan error, 1), make(chan string, 1000)
	go func() {
		ended <- s.Tail(ctx, `process.executable:="/usr/bin/curl"`, 1, func() { close(ready) }, func(row []byte) error {
			rows <- string(row)
			return nil
		})
	}()
	<-ready
	at := base.Add(-time.Minute).UnixNano()
	m := storetest.NewMaker(1)
	add(t, s, storetest.NewMaker(2).Batch(100, at), 2, Position{}) // another tenant
	want := map[string]map[string]any{}
	for id, row := range add(t, s, m.Batch(100, at), 1, Position{1, 2}) {
		if row["process.executable"] == "/usr/bin/curl" {
			want[id] = row
		}
	}
	if len(want) == 0 {
		t.Fatal("no event to wait for")
	}
	for range len(want) {
		var row map[string]any
		if err := json.Unmarshal([]byte(<-rows), &row); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[row["event.id"].(string)], row); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	cancel()
	if err := <-ended; err != nil || len(rows) != 0 {
		t.Errorf("ended with %v, %d more rows", err, len(rows))
	}
	if s.tails.any.Load() != 0 {
		t.Error("the tail is still there")
	}
	if err := s.Tail(t.Context(), "* | limit 1", 0, nil, nil); !errors.Is(err, ErrQuery) {
		t.Errorf("tail with pipes: %v", err)
	}
}

// TestSlowTailLosesRowsAndSaysSo: nobody reads, Add does not wait.
func TestSlowTailLosesRowsAndSaysSo(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	slow := &tail{rows: make(chan []byte, 10), writer: rowWriter{whole: true}}
	if err := s.tails.add(slow); err != nil {
		t.Fatal(err)
	}
	add(t, s, storetest.NewMaker(1).Batch(30, base.UnixNano()), 1, Position{})
	if len(slow.rows) != 10 || s.TailDropped() != 20 {
		t.Errorf("%d rows wait, %d dropped", len(slow.rows), s.TailDropped())
	}
}

func TestSnapshot(t *testing.T) {
	s := open(t, nil)
	defer s.Close()
	m := storetest.NewMaker(1)
	add(t, s, m.Batch(20, base.UnixNano()), 1, Position{})
	add(t, s, m.Batch(20, base.Add(-3*day).UnixNano()), 1, Position{})
	awaitDurable(t, s)
	dir := filepath.Join(t.TempDir(), "copy")
	frozen := s.Freeze()
	add(t, s, m.Batch(20, base.UnixNano()), 1, Position{}) // after it
	if err := s.Thaw(frozen, dir); err != nil {
		t.Fatal(err)
	}
	if left := s.engine.PartitionSnapshotList(); len(left) != 0 {
		t.Errorf("snapshots left: %v", left)
	}
	c := s.config
	c.Dir = dir
	restored, err := Open(c, 0, Deps{Now: func() time.Time { return base }})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(query(t, restored, Query{Tenants: []uint32{1}})); n != 40 {
		t.Errorf("%d rows restored", n)
	}
	restored.Close()
}

func TestListsRoundTrip(t *testing.T) {
	for _, list := range [][]string{{"a"}, {"a", ""}, {"", "b"}, {"a\x00b", "\x01", "\x02\x03"}, {"x y", "\xff"}} {
		var in [][]byte
		for _, item := range list {
			in = append(in, []byte(item))
		}
		var out []string
		for _, item := range parseList(string(appendList(nil, in))) {
			out = append(out, string(item))
		}
		if !slices.Equal(list, out) {
			t.Errorf("%q became %q", list, out)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, text := range []string{"", "curl", `a:"b" or !c:=d`, "* | stats by (x) count()", `{a="b"} _time:5m`, `x:~"(" `, "options(", "* | sort by (", `*:"/etc/shadow"`} {
		f.Add(text)
	}
	s := open(f, func(c *Config) { c.QueryTimeout = time.Second })
	add(f, s, storetest.NewMaker(1).Batch(20, base.UnixNano()), 1, Position{})
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text, base.UnixNano())
		if err != nil {
			if !errors.Is(err, ErrQuery) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if _, err := p.query(0, base.UnixNano()); err != nil {
			t.Errorf("%q parses once, not twice: %v", text, err)
		}
	})
}
