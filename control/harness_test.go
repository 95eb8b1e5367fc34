package control_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/control/internal/etcd/etcdtest"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	etcdtest.Main(m)
}

// patience only ends a test that hangs.
const patience = 30 * time.Second

// memoryBus is a bus that keeps what it gets. Safe for concurrent use.
type memoryBus struct {
	mu       sync.Mutex
	changed  chan struct{}
	messages map[string][]bus.Message
	fill     float64
	asked    int // times for fill
	fillErr  error
	refuse   error // answer to everything published
}

func newMemoryBus() *memoryBus {
	return &memoryBus{changed: make(chan struct{}), messages: map[string][]bus.Message{}}
}

func (b *memoryBus) PublishAsync(_ context.Context, m bus.Message, done func(error)) {
	b.mu.Lock()
	err := b.refuse
	if err == nil {
		b.messages[m.Topic] = append(b.messages[m.Topic], m)
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.mu.Unlock()
	go done(err)
}

func (b *memoryBus) Fill(context.Context) (float64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	close(b.changed)
	b.changed = make(chan struct{})
	return b.fill, b.fillErr
}

// askedAgain waits until a gateway asks how full the bus is.
func (b *memoryBus) askedAgain(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	before := b.asked
	b.mu.Unlock()
	b.await(t, "", "a question for fill", func([]bus.Message) bool { return b.asked > before })
}

func (b *memoryBus) set(change func(*memoryBus)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// await waits until condition holds for the messages of a topic.
func (b *memoryBus) await(t testing.TB, topic, what string, condition func([]bus.Message) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		ok, changed, n := condition(b.messages[topic]), b.changed, len(b.messages[topic])
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited %s for %s; %d messages in %s", patience, what, n, topic)
		}
	}
}

// presence waits until the newest presence of a node fits, and returns it.
func (b *memoryBus) presence(t testing.TB, node event.NodeID, what string, fits func(*fleet.Presence) bool) *fleet.Presence {
	t.Helper()
	var last *fleet.Presence
	b.await(t, bus.Presence, what, func(all []bus.Message) bool {
		for _, m := range all {
			if string(m.Key) != string(node[:]) {
				continue
			}
			p := &fleet.Presence{}
			if err := p.UnmarshalVT(m.Value); err != nil {
				t.Errorf("presence: %v", err)
			}
			if p.Follows(last) {
				last = p
			}
		}
		return last != nil && fits(last)
	})
	return last
}

func is(state fleet.PresenceState) func(*fleet.Presence) bool {
	return func(p *fleet.Presence) bool { return p.State == state }
}

const (
	online  = fleet.PresenceState_PRESENCE_STATE_ONLINE
	offline = fleet.PresenceState_PRESENCE_STATE_OFFLINE
)

// clock is a wall clock that jumps when told to.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) jump(d time.Duration) { c.offset.Add(int64(d)) }

// centre is an etcd prefix, an Admin and gateways over it.
type centre struct {
	t      testing.TB
	Config control.Config
	Admin  *control.Admin
	Bus    *memoryBus
	Clock  *clock
	full   atomic.Bool // no room for events
}

// running is a gateway of a centre.
type running struct {
	Address string
	Metrics *obs.Registry
	stop    func()
}

// newCentre makes a centre without a gateway.
func newCentre(t testing.TB) *centre {
	t.Helper()
	c := &centre{t: t, Config: control.DefaultConfig(), Bus: newMemoryBus(), Clock: &clock{}}
	c.Config.Etcd = etcdtest.Config()
	c.Config.SealingKey = filepath.Join(t.TempDir(), "tls", "sealing.key")
	c.Config.Domain = "test.hauberk"
	c.Config.Listen = "127.0.0.1:0"
	c.Config.Handshakes = 1_000_000
	var err error
	c.Admin, err = control.OpenAdmin(t.Context(), c.Config, control.AdminDeps{Now: c.Clock.now, CheckConfig: map[string]func([]byte) error{"agent": checkAgent}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Admin.Close() })
	return c
}

// checkAgent stands for the agent's config: it knows one bounded key.
func checkAgent(yaml []byte) error {
	for line := range strings.Lines(string(yaml)) {
		var percent int
		if _, err := fmt.Sscanf(line, "cpu_percent: %d", &percent); err == nil && (percent < 1 || percent > 50) {
			return fmt.Errorf("cpu_percent: %d is outside 1 to 50", percent)
		}
		if strings.HasPrefix(line, "nonsense") {
			return errors.New("line 1: field nonsense not found")
		}
	}
	return nil
}

// gateway starts a gateway, until its stop or the end of the test.
func (c *centre) gateway(change func(*control.Config)) *running {
	c.t.Helper()
	cfg := c.Config
	if change != nil {
		change(&cfg)
	}
	r := &running{Metrics: &obs.Registry{}}
	ready := make(chan net.Addr, 1)
	g, err := control.New(cfg, control.Deps{
		Bus: c.Bus, Now: c.Clock.now, Metrics: r.Metrics, Version: "test", Ready: func(a net.Addr) { ready <- a },
		Ingest: func() (bool, string) { return !c.full.Load(), "disk has less than 1 GB left" },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Errorf("gateway: %v", err)
		}
	})
	c.t.Cleanup(r.stop)
	select {
	case a := <-ready:
		r.Address = a.String()
	case err := <-ended:
		c.t.Fatalf("gateway did not start: %v", err)
	}
	return r
}

// count returns a counter's value.
func (r *running) count(name, label string) uint64 {
	for _, reading := range r.Metrics.Readings() {
		if reading.Name == name && reading.Label == label {
			return reading.Value
		}
	}
	return 0
}

// token makes a token of tenant acme.
func (c *centre) token(change func(*control.TokenSpec)) link.Token {
	c.t.Helper()
	spec := control.TokenSpec{Tenant: "acme", Author: "test"}
	if change != nil {
		change(&spec)
	}
	text, _, err := c.Admin.CreateToken(c.t.Context(), spec)
	if err != nil {
		c.t.Fatal(err)
	}
	token, err := link.ParseToken(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// member is an enrolled node.
type member struct {
	*link.Credentials
	Key      *ecdsa.PrivateKey
	Enrolled *link.Enrolled
	Keys     fleet.Keys
}

// enrol joins a node of that host name and labels.
func (c *centre) enrol(r *running, host string, labels map[string]string) *member {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	key := linktest.NewKey(c.t)
	token := c.token(func(s *control.TokenSpec) { s.Labels = labels })
	out, err := link.Enrol(ctx, r.Address, token, key, &link.EnrolRequest{Host: host, Kind: "agent", Version: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	creds, err := link.NewCredentials(out.Chain, key, out.Roots)
	if err != nil {
		c.t.Fatal(err)
	}
	keys, err := fleet.ParseKeys(out.CommandKeys)
	if err != nil {
		c.t.Fatal(err)
	}
	return &member{creds, key, out, keys}
}

// connect says hello and returns the connection and the welcome.
func (m *member) connect(t testing.TB, r *running) (*linktest.Peer, *link.Welcome) {
	t.Helper()
	p := linktest.Dial(t, r.Address, &m.Certificate)
	return p, p.Hello(t)
}

// next reads frames until one fits.
func next[T any](t testing.TB, p *linktest.Peer, what string, pick func(*link.Frame) (T, bool)) T {
	t.Helper()
	for {
		f := p.Receive(t)
		if f == nil {
			t.Fatalf("closed before %s", what)
		}
		if v, ok := pick(f); ok {
			return v
		}
		if g := f.GetGoaway(); g != nil {
			t.Fatalf("sent away (%s %s) before %s", g.Reason, g.Detail, what)
		}
	}
}
