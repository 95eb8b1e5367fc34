package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/edge/internal/health"
	"github.com/hauberk/hauberk/edge/internal/plane"
	"github.com/hauberk/hauberk/edge/internal/sched"
	"github.com/hauberk/hauberk/edge/wire"
)

// twin is a data plane that only remembers.
type twin struct {
	mu       sync.Mutex
	sessions map[uint32]int
	refuse   error
	closed   bool
	applied  chan *plane.State
}

func (p *twin) Apply(s *plane.State) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	if err := s.Validate(plane.DefaultOptions()); err != nil {
		return err
	}
	p.applied <- s
	return nil
}
func (p *twin) Totals() ([plane.Reasons]uint64, error) { return [plane.Reasons]uint64{7}, nil }
func (p *twin) VIP(uint32) (plane.Counter, error)      { return plane.Counter{Flows: 5}, nil }
func (p *twin) Backend(uint32) (plane.Counter, error)  { return plane.Counter{PacketsIn: 9}, nil }
func (p *twin) Native(string) bool                     { return true }
func (p *twin) Sessions(f func(plane.Session) bool) {
	f(plane.Session{VIP: 1, Backend: 1, Proto: 6, Phase: plane.Established, Client: netip.MustParseAddrPort("192.0.2.1:999"), Idle: time.Second})
}
func (p *twin) References() map[uint32]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[uint32]int{}
	for id, n := range p.sessions {
		out[id] = n
	}
	return out
}
func (p *twin) Packets(ctx context.Context, want plane.Filter, f func(plane.Sample)) error {
	f(plane.Sample{Reason: plane.TableFull, VIP: want.VIP, Length: 99, Data: []byte{1, 2}, Time: time.Unix(5, 0)})
	<-ctx.Done()
	return nil
}
func (p *twin) Close(bool) { p.closed = true }

// anyMachine has every interface and reaches everything.
type anyMachine struct{}

func (anyMachine) Networks(string) ([]netip.Prefix, error) {
	return []netip.Prefix{netip.MustParsePrefix("10.2.99.1/16")}, nil
}
func (anyMachine) Reach(netip.Addr) error                { return nil }
func (anyMachine) Forwards(string, string) (bool, error) { return true, nil }

// config is a VIP with the backends in text, one a line of a list.
func config(t *testing.T, dir, backends string) Config {
	t.Helper()
	c, err := Decode(fmt.Appendf(nil, `data_dir: %s
interfaces: [eth0]
local: {v4: 10.9.0.0/24}
tables: {sessions: 1024}
vips:
  - name: web
    address: 203.0.113.10
    ports: 80
    scheduler: rr
    health: {type: none}
    backends: %s
`, dir, backends))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// begin runs an edge over a twin; the function ends it.
func begin(t *testing.T, c Config, p *twin, reload func() (Config, error)) (*Edge, func()) {
	t.Helper()
	p.applied = make(chan *plane.State, 100)
	e, err := New(c, Deps{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Version: "test", Reload: reload, machine: anyMachine{},
		open: func(plane.Options) (dataPlane, error) { return p, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return e, func() {
		cancel()
		if err := <-done; err != nil || !p.closed {
			t.Errorf("the end: %v, closed %v", err, p.closed)
		}
	}
}

// states are the backends of a state: address:port=state.
func states(s *plane.State) string {
	var out []string
	for _, b := range s.Backends {
		out = append(out, fmt.Sprintf("%s=%d", b.Addr, b.State))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func idOf(s *plane.State, addr string) uint32 {
	for _, b := range s.Backends {
		if b.Addr.String() == addr {
			return b.ID
		}
	}
	return 0
}

// TestIDsLiveOn: a backend that leaves keeps its id while sessions refer to it,
// over a restart too, and the others never change theirs.
func TestIDsLiveOn(t *testing.T) {
	dir := t.TempDir()
	next := config(t, dir, "[{address: 10.2.0.1}, {address: 10.2.0.2}]")
	p := &twin{sessions: map[uint32]int{1: 3}}
	e, end := begin(t, next, p, func() (Config, error) { return next, nil })
	first := <-p.applied
	if got := states(first); got != "10.2.0.1=1 10.2.0.2=1" || len(first.VIPs[0].Table) != 2 {
		t.Fatalf("at first: %s, %v", got, first.VIPs[0].Table)
	}
	leaver, stayer := idOf(first, "10.2.0.1"), idOf(first, "10.2.0.2")
	p.mu.Lock()
	p.sessions = map[uint32]int{leaver: 3}
	p.mu.Unlock()
	next = config(t, dir, "[{address: 10.2.0.3}, {address: 10.2.0.2}]")
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := <-p.applied
	if got := states(second); got != "10.2.0.1=2 10.2.0.2=1 10.2.0.3=1" || idOf(second, "10.2.0.2") != stayer || idOf(second, "10.2.0.1") != leaver {
		t.Fatalf("after the change: %s, ids %+v", got, second.Backends)
	}
	if slices.Contains(second.VIPs[0].Table, leaver) {
		t.Fatal("new flows go to a backend that is gone")
	}
	end()

	p = &twin{sessions: map[uint32]int{leaver: 1}}
	_, end = begin(t, next, p, nil)
	third := <-p.applied
	if got := states(third); got != states(second) || idOf(third, "10.2.0.1") != leaver || idOf(third, "10.2.0.2") != stayer {
		t.Fatalf("after a restart: %s", got)
	}
	p.mu.Lock()
	p.sessions = nil
	p.mu.Unlock()
	if got := states(<-p.applied); got != "10.2.0.2=1 10.2.0.3=1" {
		t.Fatalf("after its last session: %s", got)
	}
	end()
}

// TestReloadIsWholeOrNothing: what cannot be read, reached or applied changes nothing.
func TestReloadIsWholeOrNothing(t *testing.T) {
	dir := t.TempDir()
	next, failure := config(t, dir, "[{address: 10.2.0.1}]"), error(nil)
	p := &twin{}
	e, end := begin(t, next, p, func() (Config, error) { return next, failure })
	defer end()
	<-p.applied
	failure = errors.New("line 3: typo")
	refused := func(want string) {
		t.Helper()
		if err := e.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("reload: %v, want %q", err, want)
		}
		s, err := e.Status()
		if err != nil || !strings.Contains(s.Error, want) || s.Backends != 1 {
			t.Fatalf("status after a refused reload: %+v, %v", s, err)
		}
	}
	refused("line 3: typo")
	failure = nil
	next = config(t, dir, "[{address: 10.2.0.5}, {address: 10.2.0.6}]")
	next.MTU = 9000
	refused("restart only")
	next.MTU = 1500
	p.mu.Lock()
	p.refuse = errors.New("table full")
	p.mu.Unlock()
	refused("table full")
	p.mu.Lock()
	p.refuse = nil
	p.mu.Unlock()
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := states(<-p.applied); got != "10.2.0.1=2 10.2.0.5=1 10.2.0.6=1" { // the first until its sessions are counted
		t.Fatalf("after all: %s", got)
	}
}

// TestFullDisk: what needs no new id is applied though nothing can be
// written; what needs one is refused.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	next := config(t, dir, "[{address: 10.2.0.1}, {address: 10.2.0.2}]")
	p := &twin{}
	e, end := begin(t, next, p, func() (Config, error) { return next, nil })
	defer end()
	<-p.applied
	path := filepath.Join(dir, idsFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	if _, err := e.Drain(wire.DrainRequest{Backend: "10.2.0.1"}); err != nil {
		t.Fatal(err)
	}
	if got := states(<-p.applied); got != "10.2.0.1=2 10.2.0.2=1" {
		t.Fatalf("after the drain: %s", got)
	}
	next = config(t, dir, "[{address: 10.2.0.1}, {address: 10.2.0.3}]")
	if err := e.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "save ids") {
		t.Fatalf("a backend whose id is not on disk: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSmallerTables: ids that no longer fit are given anew.
func TestSmallerTables(t *testing.T) {
	c := config(t, "x", "[{address: 10.2.0.1}]")
	r := newRegistry()
	v := &c.VIPs[0]
	r.VIPs[v.key()] = &vipEntry{ID: 5000}
	r.Backends[v.backendKey(&v.Backends[0])] = &backendEntry{ID: 60000, VIP: v.key()}
	r.Backends["old"] = &backendEntry{ID: 60001, VIP: v.key()}
	if err := r.adopt(&c); err != nil {
		t.Fatal(err)
	}
	if len(r.Backends) != 1 || r.Backends[v.backendKey(&v.Backends[0])].ID != 1 || r.VIPs[v.key()].ID != 1 || !r.fresh {
		t.Errorf("after the tables shrank: %+v", r)
	}
}

// TestFirstLook: a process that takes counters over does not mistake all flows
// there ever were, or a counter that began anew, for those of the last second.
func TestFirstLook(t *testing.T) {
	c := config(t, t.TempDir(), "[{address: 10.2.0.1}]")
	c.VIPs[0].Scheduler = sched.WeightedLeast
	e, err := New(c, Deps{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), machine: anyMachine{},
		open: func(plane.Options) (dataPlane, error) { return &twin{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	const id = 1
	for _, test := range []struct{ before, want uint64 }{{0, 0}, {3, 2}, {9, 0}} {
		if test.before > 0 {
			e.begun[id] = test.before
		}
		e.look()
		if got := e.known.begun[id]; got != test.want {
			t.Errorf("5 flows after %d: %d", test.before, got)
		}
	}
}

// TestSocket asks and drains over the status socket.
func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hbe") // sockets have short names only
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := &twin{sessions: map[uint32]int{1: 4}}
	e, end := begin(t, config(t, dir, "[{address: 10.2.0.1, name: one}, {address: 10.2.0.2}]"), p, nil)
	defer end()
	<-p.applied
	server := httptest.NewServer(e.handler())
	defer server.Close()
	ask := func(method, path, body string, into any) int {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	var s wire.Status
	if code := ask("GET", "/status", "", &s); code != 200 || s.VIPs != 1 || s.Serving != 1 || s.Backends != 2 || s.Up != 2 || s.Sessions != 4 || s.Packets["forwarded"] != 7 {
		t.Errorf("status %d: %+v", code, s)
	}
	var one wire.SessionStatus
	if ask("GET", "/sessions?vip=web", "", &one); one.Client != "192.0.2.1:999" || one.VIP != "web" || one.State != "established" {
		t.Errorf("session: %+v", one)
	}
	var drained wire.DrainAnswer
	if code := ask("POST", "/drain", `{"backend": "one"}`, &drained); code != 200 || len(drained.Backends) != 1 || drained.Backends[0].State != "draining" {
		t.Errorf("drain %d: %+v", code, drained)
	}
	state := <-p.applied
	if got := states(state); got != "10.2.0.1=2 10.2.0.2=1" || len(state.VIPs[0].Table) != 1 {
		t.Errorf("drained: %s, %v", got, state.VIPs[0].Table)
	}
	if again, err := readRegistry(filepath.Join(dir, idsFile)); err != nil || len(again.Drained) != 1 {
		t.Errorf("a drain does not outlive the process: %+v, %v", again, err)
	}
	ask("POST", "/drain", `{"backend": "one", "undo": true}`, &drained)
	if got := states(<-p.applied); got != "10.2.0.1=1 10.2.0.2=1" {
		t.Errorf("undone: %s", got)
	}
	var failed map[string]string
	if code := ask("POST", "/drain", `{"backend": "nobody"}`, &failed); code != 404 || !strings.Contains(failed["error"], "nobody") {
		t.Errorf("drain of nobody: %d %v", code, failed)
	}
	if code := ask("POST", "/reload", "", &failed); code != 422 {
		t.Errorf("a reload without a file: %d", code)
	}
	// Packets: one reader, until it goes.
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/packets?vip=web", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var sample wire.Packet
	if err := json.NewDecoder(stream.Body).Decode(&sample); err != nil || sample.Reason != "table-full" || sample.VIP != "web" || len(sample.Data) != 2 || sample.Length != 99 {
		t.Errorf("packet: %+v, %v", sample, err)
	}
	if code := ask("GET", "/packets", "", &failed); code != 422 || !strings.Contains(failed["error"], "another") {
		t.Errorf("a second reader: %d %v", code, failed)
	}
	if code := ask("GET", "/packets?vip=nobody", "", &failed); code != 404 {
		t.Errorf("packets of nobody: %d %v", code, failed)
	}
	leave()
	stream.Body.Close()
	// The socket itself.
	conn, err := net.Dial("unix", wire.SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestPlan judges backends without a clock, a socket or a goroutine.
func TestPlan(t *testing.T) {
	c := config(t, "x", "[{address: 10.2.0.1}, {address: 10.2.0.2, weight: 2}, {address: 10.2.0.3, max_connections: 10}]")
	v := &c.VIPs[0]
	v.Health.Type = health.TCP
	sorry := Backend{Address: netip.MustParseAddr("10.2.0.9"), Port: 80, Name: "sorry"}
	v.Sorry, v.Quorum, v.QuorumUp, v.SlowStart = &sorry, 2, 3, 160*time.Second
	r := newRegistry()
	if err := r.adopt(&c); err != nil {
		t.Fatal(err)
	}
	began := time.Unix(1000, 0)
	p := newPlanner(1, began)
	k := &known{now: began, health: map[string]health.Health{}, sessions: map[uint32]int{}}
	table := func() []uint32 {
		t.Helper()
		s, err := p.plan(&c, r, k)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(c.options()); err != nil {
			t.Fatal(err)
		}
		return s.VIPs[0].Table
	}
	id := func(b *Backend) uint32 { return r.Backends[v.backendKey(b)].ID }
	set := func(b *Backend, up bool, since time.Time) {
		k.health[v.backendKey(b)] = health.Health{Up: up, Since: since, Probes: 1}
	}
	routes := func() string { return fmt.Sprint(p.routes(&c)) }
	onlySorry := []uint32{id(&sorry)}
	if got := table(); !slices.Equal(got, onlySorry) {
		t.Fatalf("nothing is known: %v", got)
	}
	one, two, three := &v.Backends[0], &v.Backends[1], &v.Backends[2]
	set(two, true, began)
	if got := table(); !slices.Equal(got, onlySorry) {
		t.Fatalf("2 is up, 3 are needed to begin: %v", got)
	}
	set(one, true, began)
	if got := table(); len(got) != 2 {
		t.Fatalf("3 are up: %v", got)
	}
	set(one, false, began)
	if got := table(); !slices.Equal(got, []uint32{id(two)}) {
		t.Fatalf("2 are enough to go on: %v", got)
	}
	set(three, true, began)
	k.sessions[id(three)] = 10
	if got := table(); slices.Contains(got, id(three)) {
		t.Fatalf("new flows to one that is full: %v", got)
	}
	set(two, false, began)
	if got := table(); !slices.Equal(got, onlySorry) {
		t.Fatalf("below the quorum: %v", got)
	}
	if got := routes(); got != "[203.0.113.10/32 10.9.0.0/24]" {
		t.Errorf("with a sorry server the VIP is announced: %s", got)
	}
	v.Sorry = nil
	if got := routes(); got != "[10.9.0.0/24]" {
		t.Errorf("without anybody it is not: %s", got)
	}
	v.Sorry = &sorry
	c.BGP.Maintenance = true
	if got := routes(); got != "[10.9.0.0/24]" {
		t.Errorf("in maintenance it is not: %s", got)
	}
	// A slow start: ten seconds of 160 are a sixteenth.
	set(two, true, began.Add(time.Hour))
	k.now = began.Add(time.Hour + 10*time.Second)
	if got := p.judge(v, two, r, k); got.weight != 2 {
		t.Errorf("after a sixteenth of the slow start the weight is %d of %d", got.weight, 2*sixteenths)
	}
	k.now = began.Add(2 * time.Hour)
	if got := p.judge(v, two, r, k); got.weight != 2*sixteenths {
		t.Errorf("after the slow start the weight is %d", got.weight)
	}
}

type fakeMachine map[string][]netip.Prefix

func (m fakeMachine) Networks(name string) ([]netip.Prefix, error) {
	if n, ok := m[name]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("%s: no such interface", name)
}

func (m fakeMachine) Reach(a netip.Addr) error {
	if a == netip.MustParseAddr("10.66.0.1") {
		return errors.New("no route to 10.66.0.1")
	}
	return nil
}

func (m fakeMachine) Forwards(_, name string) (bool, error) { return name != "eth7", nil }

func TestPreflight(t *testing.T) {
	m := fakeMachine{"eth0": {netip.MustParsePrefix("10.2.0.1/24")}}
	c := config(t, "x", "[{address: 10.2.0.1}, {address: 10.66.0.1}, {address: 10.2.0.7}]")
	c.Interfaces = append(c.Interfaces, "eth7")
	c.Source.V4 = netip.MustParseAddr("10.5.5.5")
	c.VIPs = append(c.VIPs, c.VIPs[0])
	c.VIPs[1].Mode, c.VIPs[1].Name = Mode(plane.DR), "direct"
	err := preflight(&c, m)
	for _, want := range []string{
		"eth7: no such interface", "source: 10.5.5.5 is on none", `vip "web": backend 10.2.0.1:80: is an address of this machine`,
		"no route to 10.66.0.1", `vip "direct": backend 10.66.0.1:80: is on a wrong subnet`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if err := preflight(&c, fakeMachine{"eth0": m["eth0"], "eth7": nil}); strings.Contains(err.Error(), "10.2.0.7") ||
		!strings.Contains(err.Error(), "sysctl -w net.ipv4.conf.eth7.forwarding=1") || strings.Contains(err.Error(), "ipv6") {
		t.Errorf("what is right is told, or what is wrong not: %v", err)
	}
	if _, err := (thisMachine{}).Networks("no-such-interface"); err == nil {
		t.Error("an interface that is not there")
	}
	if n, err := (thisMachine{}).Networks("lo"); err != nil || len(n) == 0 {
		t.Errorf("lo: %v, %v", n, err)
	}
}
