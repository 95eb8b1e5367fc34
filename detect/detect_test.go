package detect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// script is a Bus that delivers what the test gives it, one delivery at a
// time, and keeps what is published.
type script struct {
	deliveries chan []bus.Message
	done       chan error // the outcome of each delivery

	mu        sync.Mutex
	log       map[string][]bus.Message // per topic, partition 0
	published []*event.Alert
	refuse    int // publications to refuse as full
}

func newScript() *script {
	return &script{deliveries: make(chan []bus.Message), done: make(chan error), log: map[string][]bus.Message{}}
}

func (s *script) Consume(ctx context.Context, g bus.Group, handle func(context.Context, []bus.Message) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-s.deliveries:
			err := handle(ctx, m)
			s.done <- err
			if err != nil {
				return err
			}
		}
	}
}

func (s *script) Publish(_ context.Context, messages ...bus.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return fmt.Errorf("publish: %w", bus.ErrFull)
	}
	for _, m := range messages {
		a := &event.Alert{}
		if err := a.UnmarshalVT(m.Value); err != nil {
			return err
		}
		if string(m.Key) != a.Fingerprint {
			return errors.New("the key is not the fingerprint")
		}
		s.published = append(s.published, a)
		m.Offset, m.Time = int64(len(s.log[m.Topic])), time.Now()
		s.log[m.Topic] = append(s.log[m.Topic], m)
	}
	return nil
}

func (s *script) Replay(ctx context.Context, topic string, _ int32, offset int64, handle func(context.Context, []bus.Message) error) error {
	s.mu.Lock()
	messages := slices.Clone(s.log[topic])
	s.mu.Unlock()
	if err := handle(ctx, messages[offset:]); err != nil {
		return fmt.Errorf("handle: %w", err)
	}
	<-ctx.Done()
	return nil
}

func (s *script) Usage(context.Context) ([]bus.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []bus.Usage
	for topic, m := range s.log {
		all = append(all, bus.Usage{Topic: topic, Partitions: []bus.PartitionUsage{{End: int64(len(m))}}})
	}
	return all, nil
}

// deliver hands the batch to detect and waits until it was handled.
func (s *script) deliver(t *testing.T, b *event.Batch) {
	t.Helper()
	value, err := b.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	m := bus.Message{Topic: bus.Events, Key: b.Node, Value: value, Offset: int64(len(s.log[bus.Events])), Time: time.Now()}
	s.log[bus.Events] = append(s.log[bus.Events], m)
	s.mu.Unlock()
	s.redeliver(t, m)
}

func (s *script) redeliver(t *testing.T, messages ...bus.Message) {
	t.Helper()
	s.deliveries <- messages
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
}

func (s *script) alerts() []*event.Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.published)
}

// start runs detect on the bus until the test or stop ends it.
func start(t *testing.T, s *script, change func(*Config, *Deps)) (d *Detect, stop func()) {
	t.Helper()
	config, deps := DefaultConfig(), Deps{Bus: s}
	config.Rules.Embedded = false
	if change != nil {
		change(&config, &deps)
	}
	d, err := New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return d, stop
}

// node makes batches of one node, events in sequence.
type node struct {
	id       event.NodeID
	sequence uint64
}

func (n *node) batch(events ...*event.Event) *event.Batch {
	b := event.NewBuilder(n.id, 1, event.Class_CLASS_BULK)
	for _, e := range events {
		n.sequence++
		if err := b.Add(n.sequence, time.Now().UnixNano(), 0, e); err != nil {
			panic(err)
		}
	}
	out := b.Take()
	out.Tenant, out.Host = "acme", &event.Host{Name: "web1", Labels: map[string]string{"role": "web"}}
	return out
}

func execOf(path, args string, uid uint32) *event.Event {
	return &event.Event{Process: &event.Process{Pid: 9, Start: 8, Executable: []byte(path), Args: []byte(args), Uid: uid,
		Ancestors: []*event.Ancestor{{Pid: 2, Executable: []byte("/usr/bin/bash")}}}, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}
}

func withRules(t *testing.T, files map[string]string) func(*Config, *Deps) {
	dir := writeRules(t, files)
	return func(c *Config, _ *Deps) { c.Rules.Dirs = []string{dir} }
}

func TestAnAlertSaysWhatHappened(t *testing.T) {
	s := newScript()
	start(t, s, withRules(t, map[string]string{"r.yml": goodRule + "tags: [attack.execution, attack.t1059.004]\nfalsepositives: [backup]\n"}))
	n := &node{id: event.NewNodeID()}
	s.deliver(t, n.batch(execOf("/bin/ls", "ls", 0), execOf("/usr/bin/nc", "nc\x00-l\x00", 33)))
	got := s.alerts()
	if len(got) != 1 {
		t.Fatalf("%d alerts, want 1", len(got))
	}
	a := got[0]
	if a.RuleName != "Good" || a.Severity != event.Severity_SEVERITY_HIGH || a.Techniques[0] != "T1059.004" || a.TechniqueNames[0] != "Unix Shell" ||
		a.Tactics[0] != "Execution" || a.Host != "web1" || a.Labels["role"] != "web" || a.Tenant != "acme" || a.Node != n.id.String() ||
		a.Count != 1 || a.FalsePositives[0] != "backup" {
		t.Errorf("alert %v", a)
	}
	if want := "nc -l (uid 33, child of bash)"; a.Summary != want {
		t.Errorf("summary %q, want %q", a.Summary, want)
	}
	id := event.ID{Node: n.id, Incarnation: 1, Sequence: 2}
	if len(a.Evidence) != 1 || a.Evidence[0].Id != id.String() || string(a.Evidence[0].Event.Process.Executable) != "/usr/bin/nc" {
		t.Errorf("evidence %v", a.Evidence)
	}
}

func TestRepeatsFoldAndTheEndPublishesTheCount(t *testing.T) {
	s := newScript()
	_, stop := start(t, s, withRules(t, map[string]string{"r.yml": goodRule}))
	n := &node{id: event.NewNodeID()}
	for range 10 {
		s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	}
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 34))) // another user: another alert
	stop()
	got := s.alerts()
	last := got[len(got)-1]
	if got[0].Count != 1 || last.Count != 10 || last.Id != got[0].Id || got[1].Id == got[0].Id {
		t.Errorf("alerts %v", got)
	}
}

// A crash between publishing and committing, at every point.
func TestRedeliveryAfterARestartDoublesNothing(t *testing.T) {
	s := newScript()
	change := withRules(t, map[string]string{"r.yml": goodRule})
	_, stop := start(t, s, change)
	n := &node{id: event.NewNodeID()}
	for range 3 {
		s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33), execOf("/usr/bin/nc", "nc", 34)))
	}
	stop()
	before := s.alerts()
	d, stop := start(t, s, change)
	s.redeliver(t, s.log[bus.Events][1:]...)
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	stop()
	counts := map[string]uint64{}
	for _, a := range s.alerts() {
		counts[a.Id] = max(counts[a.Id], a.Count)
	}
	if len(counts) != 2 || counts[before[0].Id] != 4 || counts[before[1].Id] != 3 {
		t.Errorf("counts %v after the restart, want 4 and 3 in two alerts", counts)
	}
	if got := d.engine.Counters().Fold.Redelivered; got != 4 {
		t.Errorf("%d redelivered, want 4", got)
	}
}

const burst = `title: Base
name: base
logsource: {product: linux, category: process_creation}
detection:
  s: {Image|endswith: /nc}
  condition: s
level: low
---
title: Burst
id: 55555555-5555-4555-8555-555555555555
correlation:
  type: event_count
  rules: [base]
  group-by: [host.id]
  timespan: 10m
  condition: {gte: 4}
level: critical
`

func TestCorrelationsSurviveARestart(t *testing.T) {
	s := newScript()
	change := withRules(t, map[string]string{"r.yml": burst})
	_, stop := start(t, s, change)
	n := &node{id: event.NewNodeID()}
	for range 3 {
		s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	}
	stop()
	if len(s.alerts()) != 0 {
		t.Fatalf("three are not a burst: %v", s.alerts())
	}
	start(t, s, change)
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	got := s.alerts()
	if len(got) != 1 || got[0].RuleName != "Burst" || got[0].Host != "web1" || len(got[0].Evidence) != 4 || got[0].Severity != event.Severity_SEVERITY_CRITICAL {
		t.Fatalf("alerts %v", got)
	}
}

func TestExceptionsSilence(t *testing.T) {
	s := newScript()
	d, _ := start(t, s, withRules(t, map[string]string{"r.yml": goodRule}))
	n := &node{id: event.NewNodeID()}
	d.SetExceptions([]*fleet.Exception{{Rule: "11111111-1111-4111-8111-111111111111", User: "33"}})
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	if got := s.alerts(); len(got) != 0 {
		t.Fatalf("excepted, but %v", got)
	}
	d.SetExceptions(nil)
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	if got := s.alerts(); len(got) != 1 {
		t.Fatalf("%d alerts after the exception went", len(got))
	}
}

func TestAFullBusIsWaitedFor(t *testing.T) {
	s := newScript()
	s.refuse = 2
	start(t, s, withRules(t, map[string]string{"r.yml": goodRule}))
	n := &node{id: event.NewNodeID()}
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	if got := s.alerts(); len(got) != 1 {
		t.Errorf("%d alerts", len(got))
	}
}

func TestBadBatchesAreCountedAndSkipped(t *testing.T) {
	s := newScript()
	d, _ := start(t, s, withRules(t, map[string]string{"r.yml": goodRule}))
	n := &node{id: event.NewNodeID()}
	good, err := n.batch(execOf("/usr/bin/nc", "nc", 33)).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	invalid, err := (&event.Batch{Node: []byte("short"), FirstSequence: 1}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var messages []bus.Message
	for i, value := range [][]byte{[]byte("\xff\xff\xff"), invalid, good} {
		messages = append(messages, bus.Message{Topic: bus.Events, Value: value, Offset: int64(i)})
	}
	s.redeliver(t, messages...)
	if d.count.malformed.Value() != 1 || d.count.invalid.Value() != 1 || len(s.alerts()) != 1 {
		t.Errorf("malformed %d, invalid %d, alerts %d", d.count.malformed.Value(), d.count.invalid.Value(), len(s.alerts()))
	}
}

func TestApply(t *testing.T) {
	s := newScript()
	d, _ := start(t, s, withRules(t, map[string]string{"r.yml": goodRule}))
	d.mu.Lock()
	config := d.config
	d.mu.Unlock()
	config.Rules.Dirs = []string{writeRules(t, map[string]string{"none.yml": ""})}
	if err := d.Apply(config); err != nil {
		t.Fatal(err)
	}
	n := &node{id: event.NewNodeID()}
	s.deliver(t, n.batch(execOf("/usr/bin/nc", "nc", 33)))
	if len(s.alerts()) != 0 || len(d.InForce()) != 0 {
		t.Error("a rule that is gone raised an alert")
	}
	for name, change := range map[string]func(*Config){
		"invalid":      func(c *Config) { c.Minimum = "huge" },
		"restart-only": func(c *Config) { c.Output.Queue = 7 },
		"no folder":    func(c *Config) { c.Rules.Dirs = []string{"/nonexistent"} },
	} {
		bad := config
		change(&bad)
		if err := d.Apply(bad); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
}

func TestChangedFilesAreReloaded(t *testing.T) {
	s := newScript()
	var dir string
	d, _ := start(t, s, func(c *Config, _ *Deps) {
		dir = writeRules(t, map[string]string{"r.yml": goodRule})
		c.Rules.Dirs, c.Rules.Watch = []string{dir}, 0
	})
	if err := d.reloadIfChanged(); err != nil || len(d.InForce()) != 1 {
		t.Fatalf("%d rules, %v", len(d.InForce()), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "q.yml"), []byte(burst), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.reloadIfChanged(); err != nil || len(d.InForce()) != 2 {
		t.Errorf("%d rules after a change, want 2 (%v)", len(d.InForce()), err)
	}
}

func TestConfigReportsAllProblems(t *testing.T) {
	c := Config{Rules: Rules{Dirs: []string{"rel"}}, Output: Output{Queue: 1, Webhook: Webhook{URL: "http://example.org"}, Syslog: Syslog{Address: "x", Facility: 99}}}
	err := c.Validate()
	for _, want := range []string{"rules.dirs", "minimum_level", "fold.window", "fold.interval", "fold.limit", "fold.storm", "output.webhook.url", "output.syslog.address", "output.syslog.facility"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	d := DefaultConfig()
	if err := d.Validate(); err != nil {
		t.Errorf("the default is invalid: %v", err)
	}
}
