package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/bus/bustest"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/storetest"
)

func TestMain(m *testing.M) { bustest.Main(m, map[string]bustest.Role{"store": child}) }

// place is where a child finds its store and its bus.
type place struct{ Dir, Bus string }

// child is the store role in a process of its own.
func child(ctx context.Context, argument []byte, out io.Writer) error {
	var p place
	if err := json.Unmarshal(argument, &p); err != nil {
		return err
	}
	client, err := bus.Open(ctx, busConfig(p.Bus), nil, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	s, err := store.New(config(p.Dir), store.Deps{Bus: client, Ready: func() { fmt.Fprintln(out, "ready") }})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func busConfig(socket string) bus.Config {
	c := bus.DefaultConfig()
	c.Brokers = []string{"unix:" + socket}
	return c
}

func config(dir string) store.Config {
	c := store.DefaultConfig()
	c.Dir = dir
	c.Reserve.Bytes, c.Reserve.Percent = 1<<20, 0
	return c
}

// platform is a broker in this process and a client of it.
type platform struct {
	place
	bus    *bus.Client
	client *store.Client
}

func newPlatform(t testing.TB) *platform {
	t.Helper()
	dir, err := os.MkdirTemp("", "store") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	c := broker.DefaultConfig()
	c.Dir, c.Socket = filepath.Join(dir, "bus"), filepath.Join(dir, "bus.sock")
	c.DiskReserve = 1 << 20
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- broker.Run(ctx, c, broker.Deps{Ready: func() { close(ready) }}) }()
	<-ready
	client, err := bus.Open(ctx, busConfig(c.Socket), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{place: place{Dir: filepath.Join(dir, "s"), Bus: c.Socket}, bus: client}
	p.client = store.NewClient(filepath.Join(p.Dir, "run", "store.sock"))
	t.Cleanup(func() {
		p.client.Close()
		client.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("broker ended with %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start runs the store in this process; the returned function stops it and
// returns what Run returned.
func (p *platform) start(t testing.TB, change func(*store.Config)) (stop func() error) {
	t.Helper()
	c := config(p.Dir)
	if change != nil {
		change(&c)
	}
	ready := make(chan struct{})
	s, err := store.New(c, store.Deps{Bus: p.bus, Ready: func() { close(ready) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("store did not start: %v", err)
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("store ended with %v", err)
		}
	})
	return stop
}

func (p *platform) publishBatch(t testing.TB, batches ...*event.Batch) {
	t.Helper()
	var list []bus.Message
	for _, b := range batches {
		value, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bus.Message{Topic: bus.Events, Key: b.Node, Value: value})
	}
	if err := p.bus.Publish(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok, or fails after a long time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ids counts how often each identity is stored; nil while the store is away.
func (p *platform) ids(t testing.TB) map[string]int {
	t.Helper()
	found := map[string]int{}
	_, err := p.client.Query(t.Context(), store.Query{LogsQL: "* | fields event.id"}, func(row []byte) error {
		var r struct {
			ID string `json:"event.id"`
		}
		if err := json.Unmarshal(row, &r); err != nil {
			return err
		}
		found[r.ID]++
		return nil
	})
	if errors.Is(err, store.ErrUnavailable) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onceEach reports what is stored too often or not at all, of the first n
// events of each maker.
func onceEach(t testing.TB, found map[string]int, makers ...*storetest.Maker) {
	t.Helper()
	want := 0
	for _, m := range makers {
		for sequence := uint64(1); sequence < m.Next; sequence++ {
			want++
			id := event.ID{Node: m.Node, Incarnation: m.Incarnation, Sequence: sequence}.String()
			if n := found[id]; n != 1 {
				t.Errorf("event %s is stored %d times", id, n)
			}
		}
	}
	if len(found) != want {
		t.Errorf("%d identities are stored, want %d", len(found), want)
	}
}

func TestEventsAreStoredOnce(t *testing.T) {
	p := newPlatform(t)
	p.start(t, nil)
	a, b := storetest.NewMaker(1), storetest.NewMaker(2)
	now := time.Now().UnixNano()
	one, two, three := a.Batch(50, now), a.Batch(50, now), b.Batch(30, now)
	p.publishBatch(t, one, three, two, one, three) // sent again at other positions
	old := storetest.NewMaker(3)
	p.publishBatch(t, old.Batch(7, now-int64(400*24*time.Hour))) // beyond retention
	if err := p.bus.Publish(t.Context(), bus.Message{Topic: bus.Events, Key: []byte("x"), Value: []byte("garbage")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "130 events", func() bool { return len(p.ids(t)) == 130 })
	onceEach(t, p.ids(t), a, b)
	var list []store.Reconciliation
	eventually(t, "the checkpoint", func() bool {
		var err error
		if list, err = p.client.Reconcile(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		return len(list) == 3
	})
	for _, r := range list {
		want := map[string][2]uint64{a.Node.String(): {100, 0}, b.Node.String(): {30, 0}, old.Node.String(): {0, 7}}[r.Node]
		if r.Stored != want[0] || r.Rejected["too_old"] != want[1] || r.Difference != 0 {
			t.Errorf("reconciliation %+v, want stored and rejected %v", r, want)
		}
	}
	stats, err := p.client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{
		"hauberk_store_events_stored_total":                                130,
		"hauberk_store_events_duplicate_total":                             80,
		"hauberk_store_events_rejected_total{reason=too_old}":              7,
		"hauberk_store_messages_malformed_total{topic=" + bus.Events + "}": 1,
	} {
		if got := stats.Counters[name]; got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if stats.Events.Rows != 130 || stats.Ledger.Stored != 130 || stats.Ledger.Difference != 0 || stats.Disk.Total == 0 {
		t.Errorf("stats %+v", stats)
	}
	if h, err := p.client.Health(t.Context()); err != nil || !h.OK {
		t.Errorf("health %+v, %v", h, err)
	}
}

func TestRestartKeepsTheLedger(t *testing.T) {
	p := newPlatform(t)
	stop := p.start(t, nil)
	m := storetest.NewMaker(1)
	now := time.Now().UnixNano()
	first := m.Batch(40, now)
	p.publishBatch(t, first)
	eventually(t, "40 events", func() bool { return len(p.ids(t)) == 40 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p.publishBatch(t, first, m.Batch(10, now), first)
	p.start(t, nil)
	eventually(t, "50 events", func() bool { return len(p.ids(t)) == 50 })
	onceEach(t, p.ids(t), m)
}

// TestKilled kills the store at random moments under load, with nodes sending
// again what they sent: everything the bus acknowledged is stored once.
func TestKilled(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	p := newPlatform(t)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	makers := []*storetest.Maker{storetest.NewMaker(1), storetest.NewMaker(2), storetest.NewMaker(3)}
	var sent []*event.Batch
	var alerts int
	for range rounds {
		process := bustest.Spawn(t, "store", p.place, nil)
		process.Line(t)
		before := len(p.ids(t))
		for range 10 + random.IntN(20) {
			m := makers[random.IntN(len(makers))]
			// Some are of a spool that is hours old, below the checkpoint's floor.
			at := time.Now().Add(-time.Duration(random.IntN(2)*random.IntN(40)) * time.Hour)
			sent = append(sent, m.Batch(1+random.IntN(40), at.UnixNano()))
			p.publishBatch(t, sent[len(sent)-1])
			if random.IntN(4) == 0 {
				p.publishBatch(t, sent[random.IntN(len(sent))])
			}
			alerts++
			p.publishAlerts(t, alert(alerts, 1, time.Now().UnixNano()))
		}
		if random.IntN(3) > 0 {
			eventually(t, "some progress", func() bool { return len(p.ids(t)) > before })
		}
		time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond) // a moment to be killed at
		process.Kill(t)
	}
	want := 0
	for _, m := range makers {
		want += int(m.Next - 1)
	}
	stop := p.start(t, nil)
	eventually(t, "all events", func() bool { return len(p.ids(t)) >= want })
	if t.Failed() {
		return
	}
	p.publishBatch(t, sent...) // a node that lost all its acknowledgements
	eventually(t, "all sent again", func() bool {
		stats, err := p.client.Stats(t.Context())
		return err == nil && stats.Counters["hauberk_store_events_duplicate_total"] >= uint64(want)
	})
	onceEach(t, p.ids(t), makers...)
	eventually(t, "all alerts", func() bool {
		counts, err := p.client.AlertCounts(t.Context(), "")
		return err == nil && counts.Total == uint64(alerts)
	})
	eventually(t, "difference 0", func() bool {
		list, err := p.client.Reconcile(t.Context(), "")
		return err == nil && len(list) == len(makers) && !slices.ContainsFunc(list, func(r store.Reconciliation) bool { return r.Difference != 0 })
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func alert(n int, count uint64, at int64) *event.Alert {
	return &event.Alert{
		Id: fmt.Sprintf("%032x", n), Fingerprint: fmt.Sprintf("%032x", n%7), Tenant: "acme", RuleId: "r1", RuleName: "Reverse shell",
		Severity: event.Severity_SEVERITY_HIGH, Techniques: []string{"T1059.004"}, Node: storetest.Node(1).String(), Host: "web0001",
		Count: count, FirstSeen: at, LastSeen: at, Summary: fmt.Sprintf("alert %d", n),
		Evidence: []*event.Evidence{{Id: event.ID{Node: storetest.Node(1), Incarnation: 1, Sequence: uint64(n)}.String(), Time: at, Event: &event.Event{Process: &event.Process{Pid: 7}}}},
	}
}

func (p *platform) publishAlerts(t testing.TB, alerts ...*event.Alert) {
	t.Helper()
	var list []bus.Message
	for _, a := range alerts {
		value, err := a.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bus.Message{Topic: bus.Alerts, Key: []byte(a.Fingerprint), Value: value})
	}
	if err := p.bus.Publish(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
}

func TestAlertsNodesAndResultsArrive(t *testing.T) {
	p := newPlatform(t)
	p.start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, ended := make(chan cases.Alert, 10), make(chan error, 1)
	go func() {
		ended <- p.client.WatchAlerts(ctx, 0, cases.AlertFilter{Body: true}, func(a cases.Alert) error { seen <- a; return nil })
	}()
	p.publishAlerts(t, alert(1, 1, 100))
	if a := <-seen; a.Count != 1 || a.State != cases.StateOpen || a.Alert.GetEvidence()[0].GetEvent().GetProcess().GetPid() != 7 {
		t.Errorf("first %+v", a)
	}
	if n, err := p.client.ChangeAlerts(t.Context(), cases.AlertChange{IDs: []string{alert(1, 1, 0).Id}, State: cases.StateAcknowledged, By: "eve", Comment: "mine"}); n != 1 || err != nil {
		t.Errorf("change: %d, %v", n, err)
	}
	if a := <-seen; a.State != cases.StateAcknowledged || a.StateBy != "eve" {
		t.Errorf("second %+v", a)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a, err := p.client.Alert(t.Context(), alert(1, 1, 0).Id, "acme")
	if err != nil || len(a.History) != 2 || a.History[1].Comment != "mine" || a.Alert.GetRuleId() != "r1" {
		t.Errorf("alert %+v, %v", a, err)
	}
	if _, err := p.client.Alert(t.Context(), alert(1, 1, 0).Id, "other"); !errors.Is(err, cases.ErrNotFound) {
		t.Errorf("alert of another tenant: %v", err)
	}

	node := storetest.Node(5)
	presence := &fleet.Presence{Node: node[:], Tenant: "acme", Host: "db1", State: fleet.PresenceState_PRESENCE_STATE_ONLINE, Gateway: "g", Incarnation: 2, Backlog: 3,
		Status: &event.NodeStatus{Counters: []*event.Counter{
			{Name: "hauberk_node_events_total", Value: 10}, {Name: "hauberk_node_events_dropped_total", Label: "reason=spool_full", Value: 2}}}}
	result := &fleet.CommandResult{Command: "c1", Node: node[:], State: fleet.CommandState_COMMAND_STATE_DONE, Time: 5, Tenant: "acme", Output: "pong"}
	value1, err1 := presence.MarshalVT()
	value2, err2 := result.MarshalVT()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := p.bus.Publish(t.Context(), bus.Message{Topic: bus.Presence, Key: node[:], Value: value1}, bus.Message{Topic: bus.Results, Key: []byte("c1"), Value: value2}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node and result", func() bool {
		_, err := p.client.Node(t.Context(), node.String(), "")
		list, err2 := p.client.CommandResults(t.Context(), "c1", "")
		return err == nil && err2 == nil && len(list) == 1 && list[0].Output == "pong"
	})
	m := storetest.NewMaker(5)
	m.Incarnation = 2
	p.publishBatch(t, m.Batch(5, time.Now().UnixNano()))
	eventually(t, "reconciliation", func() bool {
		list, err := p.client.Reconcile(t.Context(), node.String())
		return err == nil && len(list) == 1 && list[0].Stored == 5 && list[0].Produced == 10 && list[0].Dropped["spool_full"] == 2 &&
			list[0].Difference == 3 && list[0].Waiting == 3 && list[0].Host == "db1"
	})
}

func TestQueryAndTailOverTheSocket(t *testing.T) {
	p := newPlatform(t)
	p.start(t, nil)
	m := storetest.NewMaker(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, ended := make(chan string, 1000), make(chan error, 1)
	go func() {
		ended <- p.client.Tail(ctx, store.TailRequest{LogsQL: `host.name:="web0001"`, Tenant: "acme"}, func(row []byte) error { rows <- string(row); return nil })
	}()
	// The tail has begun when it shows an event.
	n := 0
	eventually(t, "the tail", func() bool {
		p.publishBatch(t, m.Batch(10, time.Now().UnixNano()))
		n += 10
		select {
		case row := <-rows:
			return strings.Contains(row, `"host.name":"web0001"`)
		case <-time.After(time.Second):
			return false
		}
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eventually(t, "all events", func() bool { return len(p.ids(t)) == n })
	end, err := p.client.Query(t.Context(), store.Query{Limit: 3}, func([]byte) error { return nil })
	if err != nil || end.Rows != 3 {
		t.Errorf("end %+v, %v", end, err)
	}
	if _, err := p.client.Query(t.Context(), store.Query{LogsQL: "("}, nil); !errors.Is(err, cases.ErrInvalid) {
		t.Errorf("bad query: %v", err)
	}
	stop := errors.New("enough")
	if _, err := p.client.Query(t.Context(), store.Query{}, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of each: %v", err)
	}
	if end, err := p.client.Query(t.Context(), store.Query{Tenant: "nobody"}, nil); err != nil || end.Rows != 0 {
		t.Errorf("unknown tenant: %+v, %v", end, err)
	}
}

func TestBackupAndRestore(t *testing.T) {
	p := newPlatform(t)
	stop := p.start(t, nil)
	m := storetest.NewMaker(1)
	now := time.Now().UnixNano()
	p.publishBatch(t, m.Batch(20, now), m.Batch(20, now-int64(48*time.Hour)))
	p.publishAlerts(t, alert(1, 1, now))
	eventually(t, "40 events, one alert", func() bool {
		counts, err := p.client.AlertCounts(t.Context(), "")
		return err == nil && counts.Total == 1 && len(p.ids(t)) == 40
	})
	copied := filepath.Join(t.TempDir(), "copy")
	if err := p.client.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := p.client.Backup(t.Context(), copied); !errors.Is(err, cases.ErrConflict) {
		t.Errorf("second backup to the same place: %v", err)
	}
	p.publishBatch(t, m.Batch(20, now))
	p.publishAlerts(t, alert(2, 1, now))
	eventually(t, "60 events", func() bool { return len(p.ids(t)) == 60 })

	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.CopyFS(damaged, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(damaged, "cases.db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 5000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := p.client.Restore(t.Context(), damaged); !errors.Is(err, cases.ErrInvalid) {
		t.Errorf("damaged backup: %v", err)
	}
	if err := p.client.Restore(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end", func() bool { _, err := p.client.Health(t.Context()); return errors.Is(err, store.ErrUnavailable) })
	if err := stop(); !errors.Is(err, store.ErrRestart) {
		t.Fatalf("ended with %v", err)
	}
	p.start(t, nil)
	if counts, err := p.client.AlertCounts(t.Context(), ""); err != nil || counts.Total != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
	if n := len(p.ids(t)); n != 40 {
		t.Errorf("%d events restored, want 40", n)
	}
	kept, err := filepath.Glob(filepath.Join(p.Dir, "replaced-*", "cases.db"))
	if err != nil || len(kept) != 1 {
		t.Errorf("replaced databases: %v, %v", kept, err)
	}
	// With the next message of the partition the store finds that the bus still
	// has what the backup lacks.
	p.publishBatch(t, m.Batch(1, now))
	eventually(t, "what was lost since the backup", func() bool { return len(p.ids(t)) == 61 })
	onceEach(t, p.ids(t), m)
}

func TestDiskAtItsReserveStopsIntake(t *testing.T) {
	p := newPlatform(t)
	stop := p.start(t, func(c *store.Config) { c.Reserve.Bytes = 1 << 40 })
	m := storetest.NewMaker(1)
	p.publishBatch(t, m.Batch(5, time.Now().UnixNano()))
	eventually(t, "bad health", func() bool {
		h, err := p.client.Health(t.Context())
		stats, err2 := p.client.Stats(t.Context())
		return err == nil && err2 == nil && !h.OK && h.Disk.Low && stats.Counters["hauberk_store_disk_waits_total"] > 0
	})
	if n := len(p.ids(t)); n != 0 {
		t.Errorf("%d events taken in", n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p.start(t, nil) // there is room
	eventually(t, "the events", func() bool { return len(p.ids(t)) == 5 })
}

func TestSocketIsPrivateAndStrict(t *testing.T) {
	p := newPlatform(t)
	p.start(t, nil)
	socket := filepath.Join(p.Dir, "run", "store.sock")
	if info, err := os.Stat(socket); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	raw := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "health", "{}", 200},
		{"GET", "health", "", 405},
		{"POST", "nosuchcall", "{}", 404},
		{"POST", "alerts.list", "", 400},
		{"POST", "alerts.list", "{", 400},
		{"POST", "alerts.list", `{"nosuchmember":1}`, 400},
		{"POST", "alerts.list", `{} {}`, 400},
		{"POST", "alerts.list", `{"limit":-1}`, 400},
		{"POST", "alerts.list", `{"limit":1001}`, 400},
		{"POST", "alerts.list", `{"cursor":"!"}`, 400},
		{"POST", "alerts.list", `{"severity":"huge"}`, 400},
		{"POST", "alerts.get", `{"id":"x"}`, 404},
		{"POST", "events.query", `{"query":"("}`, 400},
		{"POST", "events.query", `{"start":5,"end":4}`, 400},
		{"POST", "events.query", `{"query":"` + strings.Repeat("a", 2<<20) + `"}`, 400},
		{"POST", "events.tail", `{"query":"* | limit 1"}`, 400},
		{"POST", "users.authenticate", `{"name":"x","password":"y"}`, 403},
		{"POST", "backup", `{"dir":"relative"}`, 400},
		{"POST", "restore", `{"dir":"/does/not/exist"}`, 400},
	} {
		request, err := http.NewRequest(c.method, "http://store/v1/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := raw.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s %s %.60s: status %d (%s), want %d", c.method, c.path, c.body, response.StatusCode, text, c.want)
		}
	}
	if _, err := store.NewClient(filepath.Join(p.Dir, "nobody")).Health(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestValidate(t *testing.T) {
	c := store.DefaultConfig()
	c.Socket = strings.Repeat("s", 200)
	c.Events.Buckets, c.AlertRetention, c.Reserve.Percent = 0, 0, 99
	err := c.Validate()
	for _, part := range []string{"dir", "socket", "events.buckets", "alert_retention", "reserve.percent"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %s", err, part)
		}
	}
	c = store.DefaultConfig()
	c.Dir = "/d"
	if err := c.Validate(); err != nil || c.Events.Dir != "/d/events" || c.Socket != "/d/run/store.sock" {
		t.Errorf("%+v, %v", c, err)
	}
}
