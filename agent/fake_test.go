package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/pipe"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link/linktest"
	"github.com/hauberk/hauberk/node"
)

// The test binary is also the collector and the master of these tests, by the
// role in its environment.
func TestMain(m *testing.M) {
	switch os.Getenv("HAUBERK_TEST_ROLE") {
	case "collector":
		fakeCollector(strings.Fields(os.Getenv("HAUBERK_TEST_SCRIPT")))
	case "master":
		fakeMaster()
	default:
		os.Exit(m.Run())
	}
}

// fakeCollector plays a script: "emit N", "flood" (until quit), "sensor NAME
// STATE", "die", "garbage", then waits for the master to say quit.
func fakeCollector(script []string) {
	in, out := os.NewFile(pipe.InFD, "in"), os.NewFile(pipe.OutFD, "out")
	if kind, body, _, err := pipe.Read(in, nil); err != nil || kind != pipe.KindConfig || !bytes.Contains(body, []byte("bulk_ring")) {
		fmt.Fprintf(os.Stderr, "fake collector: no config but %q %v\n", kind, err)
		os.Exit(3)
	}
	quit := make(chan struct{})
	go func() {
		defer close(quit)
		for {
			if kind, _, _, err := pipe.Read(in, nil); err != nil || kind == pipe.KindQuit {
				return
			}
		}
	}()
	made := uint32(0)
	emit := func(n int) error {
		var body []byte
		for range n {
			made++
			class := event.Class_CLASS_BULK
			if made%10 == 0 {
				class = event.Class_CLASS_PRIORITY
			}
			var err error
			if body, err = pipe.AppendEvent(body, class, time.Now().UnixNano(), &event.Event{
				Collector: event.Collector_COLLECTOR_EBPF, Process: &event.Process{Pid: made, Start: uint64(os.Getpid()), Args: make([]byte, 50)},
				Body: &event.Event_Exec{Exec: &event.ProcessExec{}},
			}); err != nil {
				return err
			}
		}
		return pipe.Write(out, pipe.KindEvents, body)
	}
	for len(script) > 0 {
		word := script[0]
		script = script[1:]
		switch word {
		case "emit":
			n, _ := strconv.Atoi(script[0])
			script = script[1:]
			emit(n)
		case "sensor":
			state := event.SensorState_SENSOR_STATE_ACTIVE
			body, _ := (&event.NodeStatus{
				Sensors:  []*event.Sensor{{Name: script[0], Method: "fake", State: state}},
				Counters: []*event.Counter{{Name: "hauberk_collector_events_made_total", Value: uint64(made)}},
			}).MarshalVT()
			script = script[1:]
			pipe.Write(out, pipe.KindStatus, body)
		case "flood":
			// 10,000 events/s: fast enough to be killed amid, slow enough for
			// the backlog of one round to fit the credit of the next.
			for done := false; !done; {
				select {
				case <-quit:
					done = true
				case <-time.After(5 * time.Millisecond):
					if emit(50) != nil {
						os.Exit(0)
					}
				}
			}
		case "garbage":
			out.Write([]byte{0, 0, 0, 9, 'E', 1, 2, 3, 4, 5, 6, 7, 8})
		case "die":
			os.Exit(7)
		}
	}
	<-quit
	os.Exit(0)
}

// fakeMaster is an agent in a process of its own, to be killed.
func fakeMaster() {
	cfg, err := Load("", func(c *Config) { c.DataDir = os.Getenv("HAUBERK_TEST_DIR") })
	if err == nil {
		var a *Agent
		if a, err = New(cfg, testDeps(os.Getenv("HAUBERK_TEST_SCRIPT"))); err == nil {
			err = a.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, "fake master:", err)
	os.Exit(1)
}

func testDeps(script string) Deps {
	no := false
	return Deps{
		Log: slog.New(slog.DiscardHandler), LogLevel: &slog.LevelVar{}, Version: "test", Loader: &no,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond,
		Spawn: func(kind string) *exec.Cmd {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "HAUBERK_TEST_ROLE="+kind, "HAUBERK_TEST_SCRIPT="+script)
			return c
		},
	}
}

// world is a gateway and the data directory of one enrolled agent.
type world struct {
	*linktest.Gateway
	dir  string
	node event.NodeID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Gateway: linktest.NewGateway(t, linktest.GatewayOptions{}), dir: filepath.Join(t.TempDir(), "agent")}
	w.enrol(t)
	return w
}

func (w *world) enrol(t *testing.T) {
	t.Helper()
	id, err := node.Enrol(t.Context(), node.EnrolOptions{Kind: "agent", DataDir: w.dir, Server: w.Address, Token: w.NewToken().String(), Version: "test"})
	if err != nil || id.Tenant() != "acme" {
		t.Fatalf("enrol: %v", err)
	}
	w.node = id.Node()
}

// run starts an agent on the world's directory. stop ends it and waits.
func (w *world) run(t *testing.T, script string, file string) (a *Agent, stop func()) {
	t.Helper()
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := Load(path, func(c *Config) { c.DataDir = w.dir })
	if err != nil {
		t.Fatal(err)
	}
	a, err = New(cfg, testDeps(script))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			t.Errorf("agent: %v", err)
		}
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-done
		a.unlock()
	}
	t.Cleanup(stop)
	return a, stop
}

// conn waits until the agent is connected.
func (w *world) conn(t *testing.T) *linktest.NodeConn {
	t.Helper()
	var c *linktest.NodeConn
	w.Await(t, "the agent's connection", func(v *linktest.View) bool { c = v.Node(w.node); return c != nil })
	return c
}

// await polls a condition no channel tells of.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func execs(v *linktest.View) int {
	n := 0
	for _, r := range v.Bodies() {
		if r.GetExec() != nil {
			n++
		}
	}
	return n
}

// notes counts the agent's own events of a reason.
func notes(v *linktest.View, reason string) int {
	n := 0
	for _, r := range v.Bodies() {
		if r.GetStatus().GetReason() == reason {
			n++
		}
	}
	return n
}
