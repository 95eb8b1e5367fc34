package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/breaker"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestDelivers(t *testing.T) {
	w := newWorld(t)
	a, stop := w.run(t, "sensor process emit 1000 emit 234", "")
	w.Await(t, "1234 execs, start and sensor events", func(v *linktest.View) bool {
		return execs(v) == 1234 && notes(v, "start") == 1 && notes(v, "sensor") == 1
	})
	await(t, "all acknowledged", func() bool { return a.spool.Backlog() == 0 })
	s, err := ReadStatus(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Connected || s.Node != w.node.String() || s.Mode != "run" || len(s.Sensors) != 1 || s.Sensors[0].State != "active" || s.Counters["hauberk_node_events_total"] < 1236 {
		t.Errorf("status %+v", s)
	}
	var text strings.Builder
	if err := s.Write(&text); err != nil || !strings.Contains(text.String(), "connected to "+w.Address) {
		t.Errorf("status for people, %v:\n%s", err, text.String())
	}
	stop()
	w.Await(t, "the stop event, each event once", func(v *linktest.View) bool {
		for id, n := range v.Events() {
			if n != 1 || id.Node != w.node || id.Incarnation != 1 {
				t.Errorf("event %s came %d times", id, n)
			}
		}
		return notes(v, "stop") == 1
	})
}

func TestOneAgentPerDirectory(t *testing.T) {
	w := newWorld(t)
	a, _ := w.run(t, "", "")
	if _, err := New(a.cfg, testDeps("")); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Fatalf("second agent: %v", err)
	}
}

// TestWithoutGateway spools while there is no gateway, over two starts.
func TestWithoutGateway(t *testing.T) {
	authority := linktest.NewAuthority(t)
	first := linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority})
	w := &world{Gateway: first, dir: t.TempDir()}
	w.enrol(t)
	first.Stop()
	for range 2 {
		a, stop := w.run(t, "emit 500", "")
		await(t, "events in the spool", func() bool { return a.metrics.Counter("hauberk_node_events_total", "", "").Value() >= 501 })
		await(t, "a failed connection", func() bool { s := a.client.State(); return !s.Connected && s.Error != "" })
		stop()
	}
	w.Gateway = linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority, Address: first.Address})
	w.run(t, "", "")
	w.Await(t, "the events of both starts", func(v *linktest.View) bool { return execs(v) == 1000 && notes(v, "start") == 3 })
}

// TestEnrolledWhileRunning begins without an identity.
func TestEnrolledWhileRunning(t *testing.T) {
	w := &world{Gateway: linktest.NewGateway(t, linktest.GatewayOptions{}), dir: t.TempDir()}
	a, _ := w.run(t, "emit 10", "")
	await(t, "events in the spool", func() bool { return a.spool.Backlog() >= 11 })
	w.enrol(t)
	w.Await(t, "the events made before enrolment", func(v *linktest.View) bool { return execs(v) == 10 })
}

// TestMasterKilled kills the master with SIGKILL while events stream, again
// and again: positions stay unique, and none that was given is missing.
func TestMasterKilled(t *testing.T) {
	w := newWorld(t)
	for round := range 5 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "HAUBERK_TEST_ROLE=master", "HAUBERK_TEST_DIR="+w.dir, "HAUBERK_TEST_SCRIPT=flood")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		w.Hold(round%2 == 1) // some rounds die with batches in flight
		w.Await(t, "a stream of events", func(v *linktest.View) bool {
			n := 0
			for id := range v.Events() {
				if int(id.Incarnation) == round+1 {
					n++
				}
			}
			return n >= 1000
		})
		c.Process.Kill()
		c.Wait()
	}
	w.Hold(false)
	_, stop := w.run(t, "", "")
	w.Await(t, "the last start", func(v *linktest.View) bool { return notes(v, "start") == 6 })
	await(t, "the rest", func() bool { s, err := ReadStatus(w.dir); return err == nil && s.Backlog == 0 })
	stop()
	w.Await(t, "no gap", func(v *linktest.View) bool {
		count, highest := map[uint32]uint64{}, map[uint32]uint64{}
		for id := range v.Events() {
			count[id.Incarnation]++
			highest[id.Incarnation] = max(highest[id.Incarnation], id.Sequence)
		}
		for inc := uint32(1); inc <= 6; inc++ {
			if count[inc] == 0 || count[inc] != highest[inc] {
				t.Errorf("incarnation %d: %d events, highest sequence %d", inc, count[inc], highest[inc])
			}
		}
		if v.Conflicts() != 0 {
			t.Errorf("%d positions were used twice", v.Conflicts())
		}
		return true
	})
}

func TestCollectorDies(t *testing.T) {
	for name, script := range map[string]string{"dies": "emit 10 die", "talks nonsense": "emit 10 garbage"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, _ := w.run(t, script, "")
			w.Await(t, "events of three collectors", func(v *linktest.View) bool { return execs(v) >= 30 && notes(v, "collector") >= 2 })
			if a.restarts.Value() < 2 {
				t.Errorf("%d restarts counted", a.restarts.Value())
			}
		})
	}
}

func signedMode(t *testing.T, key ed25519.PrivateKey, m *fleet.Mode) *fleet.SignedMode {
	t.Helper()
	s, err := fleet.SignMode(key, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStopAndResume(t *testing.T) {
	w := newWorld(t)
	a, stop := w.run(t, "emit 1", "")
	c := w.conn(t)
	running := func() bool { s := a.Status(); return s.Collector != 0 && s.Mode == "run" }
	stopped := func() bool { s := a.Status(); return s.Collector == 0 && s.Mode == "stopped" }
	await(t, "a running collector", running)

	_, forged, _ := ed25519.GenerateKey(rand.Reader)
	c.SendMode(signedMode(t, forged, &fleet.Mode{Epoch: 9, Stopped: true}))
	c.SendMode(signedMode(t, w.CommandKey, &fleet.Mode{Epoch: 9, Stopped: true, Tenant: "other"}))
	await(t, "both refused", func() bool { return a.metrics.Counter("hauberk_agent_modes_refused_total", "", "").Value() == 2 })

	c.SendMode(signedMode(t, w.CommandKey, &fleet.Mode{Epoch: 3, Stopped: true, Author: "ann", Reason: "test"}))
	await(t, "the stop", stopped)
	w.Await(t, "the stop told", func(v *linktest.View) bool {
		all := v.Statuses()
		return notes(v, "mode") == 1 && len(all) > 0 && all[len(all)-1].Stopped && all[len(all)-1].ModeEpoch == 3
	})
	stop()

	a, _ = w.run(t, "emit 1", "") // a restart stays stopped
	w.Await(t, "the stop in hello", func(v *linktest.View) bool {
		h := v.Hellos()[len(v.Hellos())-1]
		return h.Incarnation == 2 && h.Stopped && h.ModeEpoch == 3
	})
	c = w.conn(t) // not that of the first run, which may end later than this one begins
	if !stopped() {
		t.Error("a restart undid the stop")
	}
	c.SendMode(signedMode(t, w.CommandKey, &fleet.Mode{Epoch: 2})) // older
	c.SendMode(signedMode(t, w.CommandKey, &fleet.Mode{Epoch: 4, Author: "ann"}))
	await(t, "the resume", running)
}

func TestCommands(t *testing.T) {
	w := newWorld(t)
	a, _ := w.run(t, "emit 1", "safety: {commands: [ping, status, restart-collector, collect-diagnostics]}\n")
	c := w.conn(t)
	await(t, "a collector", func() bool { return a.Status().Collector != 0 })
	before := a.Status().Collector
	for i, name := range []string{"ping", "status", "restart-collector", "collect-diagnostics", "set-log-level", "ping"} {
		s, err := fleet.SignCommand(w.CommandKey, &fleet.Command{
			Id: fmt.Sprint(i % 5), Name: name, Selector: "all", Expires: time.Now().Add(time.Hour).UnixNano(), // the last repeats an id
		})
		if err != nil {
			t.Fatal(err)
		}
		c.SendCommand(s)
	}
	final := map[string]*fleet.CommandResult{}
	w.Await(t, "all results", func(v *linktest.View) bool {
		for _, r := range v.Results() {
			if r.State >= fleet.CommandState_COMMAND_STATE_DONE {
				final[r.Command] = r
			}
		}
		return len(final) == 5
	})
	for id, want := range []string{"pong", `"connected": true`, "replaced by", "goroutine "} {
		if r := final[fmt.Sprint(id)]; r.State != fleet.CommandState_COMMAND_STATE_DONE || !strings.Contains(r.Output, want) {
			t.Errorf("command %d: %v", id, r)
		}
	}
	if r := final["4"]; r.State != fleet.CommandState_COMMAND_STATE_REFUSED || !strings.Contains(r.Error, "not permitted") {
		t.Errorf("a command the local file does not permit: %v", r)
	}
	if after := a.Status().Collector; after == before {
		t.Error("the collector was not replaced")
	}
}

func pushed(version uint64, body string) *link.Config {
	sum := sha256.Sum256([]byte(body))
	return &link.Config{Version: version, Hash: hex.EncodeToString(sum[:]), Body: []byte(body)}
}

func TestCentralConfig(t *testing.T) {
	w := newWorld(t)
	local := "limits: {cpu: 0.25}\nsafety: {max_memory: 128MiB, max_spool: 1GiB, max_cpu: 1}\n"
	a, stop := w.run(t, "emit 1", local)
	c := w.conn(t)
	await(t, "a collector", func() bool { return a.Status().Collector != 0 })
	collector := a.Status().Collector
	result := func(n int) (r *link.ConfigResult) {
		w.Await(t, "a result", func(v *linktest.View) bool {
			if len(v.Configs()) > n {
				r = v.Configs()[n]
			}
			return r != nil
		})
		return r
	}
	// Good: what the local file says stays, the rest is the centre's.
	c.SendConfig(pushed(7, "limits: {cpu: 0.9, memory: 100MiB}\nlog: {level: debug}\nspool: {max_bytes: 64MiB}\n"))
	if r := result(0); r.Error != "" || r.Version != 7 || r.EffectiveHash == "" {
		t.Fatalf("good config: %v", r)
	}
	a.mu.Lock()
	got := a.cfg
	a.mu.Unlock()
	if got.Limits != (LimitsConfig{0.25, 100 << 20}) || got.Log.Level != "debug" || got.Spool.MaxBytes != 64<<20 {
		t.Fatalf("in effect: %+v", got.Shared)
	}
	if a.Status().Collector != collector {
		t.Error("the collector was restarted for nothing")
	}
	// Bad, each for its reason; nothing of it comes into effect.
	wrongHash := pushed(8, "log: {level: warn}\n")
	wrongHash.Hash = strings.Repeat("0", 64)
	for i, bad := range []struct {
		config *link.Config
		reason string
	}{
		{pushed(8, "limits: {memory: 129MiB}\nlog: {level: warn}\n"), "safety.max_memory"},
		{pushed(9, "spool: {max_bytes: 2GiB}\n"), "safety.max_spool"},
		{pushed(10, "data_dir: /tmp/x\n"), "data_dir"},
		{pushed(11, "safety: {max_cpu: 9}\n"), "safety"},
		{pushed(12, "collect: {dir: /tmp/x}\n"), "collect.dir"},
		{pushed(13, "log: {level: loud}\n"), "log.level"},
		{pushed(14, "log: [\n"), "yaml"},
		{wrongHash, "hash"},
	} {
		c.SendConfig(bad.config)
		if r := result(i + 1); !strings.Contains(r.Error, bad.reason) {
			t.Errorf("%s: refused with %q", bad.config.Body, r.Error)
		}
	}
	if a.refused.Value() != 8 {
		t.Errorf("%d refusals counted", a.refused.Value())
	}
	a.mu.Lock()
	if a.cfg.Log.Level != "debug" {
		t.Error("a refused config came into effect")
	}
	a.mu.Unlock()
	// A change of what is collected replaces the collector.
	c.SendConfig(pushed(20, "collect: {network: {enabled: false}}\n"))
	if r := result(9); r.Error != "" {
		t.Fatalf("collect: %v", r)
	}
	await(t, "a new collector", func() bool { s := a.Status(); return s.Collector != 0 && s.Collector != collector })
	stop()
	// A start without a gateway has the last config.
	w.Gateway.Stop()
	a, _ = w.run(t, "emit 1", local)
	if a.cfg.Collect.Network.Enabled || a.central.Version != 20 {
		t.Errorf("after a restart: %+v", a.central)
	}
}

func TestCentreMayBeForbidden(t *testing.T) {
	w := newWorld(t)
	w.run(t, "", "safety: {central_config: false}\n")
	w.conn(t).SendConfig(pushed(1, "log: {level: debug}\n"))
	w.Await(t, "the refusal", func(v *linktest.View) bool {
		return len(v.Configs()) == 1 && strings.Contains(v.Configs()[0].Error, "central_config")
	})
}

func TestBreakerStopsAndTriesAgain(t *testing.T) {
	w := newWorld(t)
	a, _ := w.run(t, "emit 1", "breaker: {samples: 2, cpu: 0.5, interval: 1m}\n") // only our samples count
	await(t, "a collector", func() bool { return a.Status().Collector != 0 })
	at, cpu := time.Hour, time.Duration(0)
	burn := func(cores float64) {
		at += time.Second
		cpu += time.Duration(cores * float64(time.Second))
		a.judge(breaker.Sample{At: at, CPU: cpu})
	}
	burn(0)
	for range 2 {
		burn(0.9)
	}
	await(t, "the collector stopped", func() bool { s := a.Status(); return s.Collector == 0 && s.Mode == "idle" })
	w.Await(t, "the trip's event and status", func(v *linktest.View) bool { return notes(v, "breaker") == 1 })
	at += time.Hour
	burn(0)
	await(t, "the next try", func() bool { s := a.Status(); return s.Collector != 0 && s.Mode == "run" })
	if a.trips.Value() != 1 {
		t.Errorf("%d trips", a.trips.Value())
	}
}

// TestExpiredCertificate starts an agent that was off longer than its
// certificate lived.
func TestExpiredCertificate(t *testing.T) {
	w := &world{Gateway: linktest.NewGateway(t, linktest.GatewayOptions{}), dir: t.TempDir()}
	w.NodeLife = -time.Second // expired when issued
	w.enrol(t)
	w.NodeLife = 24 * time.Hour
	w.run(t, "emit 10", "")
	w.Await(t, "events after renewal", func(v *linktest.View) bool { return execs(v) == 10 })
	await(t, "the new certificate in status", func() bool {
		s, err := ReadStatus(w.dir)
		return err == nil && s.Certificate.After(time.Now().Add(20*time.Hour))
	})
}

func TestClockJump(t *testing.T) {
	c := clockWatch{wall: 1_000_000_000_000, mono: 0}
	for _, step := range []struct{ wall, mono, want time.Duration }{
		{time.Second, time.Second, 0},
		{3 * time.Second, 2 * time.Second, 0}, // within NTP's reach
		{-time.Hour, time.Second, -time.Hour - time.Second},
		{time.Second, time.Second, 0}, // told once
		{48 * time.Hour, time.Second, 48*time.Hour - time.Second},
		{8 * time.Hour, 8 * time.Hour, 0}, // a suspended machine
	} {
		if got := c.step(c.wall+int64(step.wall), c.mono+step.mono); got != step.want {
			t.Errorf("wall %s in %s: jump %s, want %s", step.wall, step.mono, got, step.want)
		}
	}
}

func TestLossIsAnEvent(t *testing.T) {
	w := newWorld(t)
	a, _ := w.run(t, "", "")
	lost := func(n uint64) *event.NodeStatus {
		return &event.NodeStatus{Counters: []*event.Counter{{Name: "hauberk_agent_kernel_events_lost_total", Value: n}}}
	}
	a.heard(lost(0))
	a.heard(lost(5))
	a.heard(lost(5))
	a.heard(lost(0)) // a new collector
	w.Await(t, "one event of loss", func(v *linktest.View) bool { return notes(v, "loss") == 1 })
}

func TestCleanMappings(t *testing.T) {
	got := cleanMappings(strings.NewReader(`00400000-00a81000 r-xp 00000000 00:1f 123 /usr/bin/hauberk-agent
Rss:                 100 kB
Anonymous:             0 kB
00a81000-00b00000 r--p 00681000 00:1f 123 /usr/bin/hauberk-agent
Anonymous:             4 kB
00b00000-00b01000 rw-p 00681000 00:1f 123 /usr/bin/hauberk-agent
Anonymous:             0 kB
00c00000-00c01000 r--p 00681000 00:1f 123 /usr/bin/with a space
Anonymous:             0 kB
7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
x-y r-xp 0 0 0 /x
Anonymous:             0 kB
`))
	if want := []mapping{{0x400000, 0x681000}, {0xc00000, 0x1000}}; !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}
