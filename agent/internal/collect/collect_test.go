package collect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hauberk/hauberk/agent/internal/pipe"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/need"
)

// stream reads frames of a collector in the background.
type stream struct {
	t      *testing.T
	events chan *event.Event
	seen   []*event.Event
	status chan *event.NodeStatus
}

func read(t *testing.T, r io.Reader) *stream {
	s := &stream{t: t, events: make(chan *event.Event, 1<<16), status: make(chan *event.NodeStatus, 1000)}
	go func() {
		defer close(s.events)
		defer close(s.status)
		var buf []byte
		for {
			k, body, grown, err := pipe.Read(r, buf)
			if err != nil {
				return
			}
			buf = grown
			switch k {
			case pipe.KindEvents:
				pipe.Events(body, func(e pipe.Event) error {
					var ev event.Event
					if err := ev.UnmarshalVT(e.Body); err != nil {
						t.Errorf("event: %v", err)
					}
					s.events <- &ev
					return nil
				})
			case pipe.KindStatus:
				var status event.NodeStatus
				if err := status.UnmarshalVT(body); err != nil {
					t.Errorf("status: %v", err)
				}
				s.status <- &status
			}
		}
	}()
	return s
}

const patience = 20 * time.Second

// next waits for an event that satisfies want, of all that came so far and
// those to come: the first exec of a program waits for its hash, so it may
// come after its exit.
func (s *stream) next(what string, want func(*event.Event) bool) *event.Event {
	s.t.Helper()
	for _, e := range s.seen {
		if want(e) {
			return e
		}
	}
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				s.t.Fatalf("the collector ended before %s", what)
			}
			s.seen = append(s.seen, e)
			if want(e) {
				return e
			}
		case <-timeout:
			s.t.Fatalf("no event: %s", what)
		}
	}
}

// active waits until the sensor is active.
func (s *stream) active(name string) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case status := <-s.status:
			for _, sensor := range status.GetSensors() {
				if sensor.Name == name && sensor.State == event.SensorState_SENSOR_STATE_ACTIVE {
					return
				}
				if sensor.Name == name && sensor.State != event.SensorState_SENSOR_STATE_STARTING {
					s.t.Fatalf("sensor %s: %s", name, sensor)
				}
			}
		case <-timeout:
			s.t.Fatalf("sensor %s is not active", name)
		}
	}
}

func testConfig(t *testing.T) Config {
	config := DefaultConfig()
	config.Dir = t.TempDir()
	config.StatusInterval = 200 * time.Millisecond
	return config
}

// start runs a loader and a collector until the test ends.
func start(t *testing.T, config Config) *stream {
	log := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	if err := RunLoader(t.Context(), config, log); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- RunCollector(ctx, config, w, log); w.Close() }()
	s := read(t, r)
	t.Cleanup(func() {
		cancel()
		go func() {
			for range s.events {
			}
		}()
		if err := <-done; err != nil {
			t.Errorf("collector: %v", err)
		}
		if err := Unpin(config); err != nil {
			t.Error(err)
		}
	})
	return s
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func TestEndToEnd(t *testing.T) {
	need.BPF(t)
	config := testConfig(t)
	watched := t.TempDir()
	config.File.Paths = []string{watched}
	config.Login.Method = "off"
	s := start(t, config)
	for _, sensor := range []string{sensorProcess, sensorNetwork, sensorDenied, sensorFile} {
		s.active(sensor)
	}
	cmd := exec.Command("/bin/sh", "-c", "echo x > "+watched+"/file; exit 3")
	cmd.Run()
	by := func(e *event.Event) bool { return int(e.Process.GetPid()) == cmd.Process.Pid }
	e := s.next("exec of sh", func(e *event.Event) bool { return e.GetExec() != nil && by(e) })
	program, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(program); e.Process.Sha256 != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %q, want %x", e.Process.Sha256, sum)
	}
	e = s.next("exit of sh", func(e *event.Event) bool { return e.GetExit() != nil && by(e) })
	if e.GetExit().ExitCode != 3 {
		t.Errorf("exit code %d, want 3", e.GetExit().ExitCode)
	}
	e = s.next("file change", func(e *event.Event) bool { return e.GetFile() != nil && by(e) })
	if string(e.GetFile().Path) != watched+"/file" || !strings.HasPrefix(string(e.Process.Args), "/bin/sh\x00-c\x00") {
		t.Errorf("file change %v", e)
	}
	for _, e := range s.seen {
		if strings.HasPrefix(string(e.Process.GetExecutable()), config.canaries()) {
			t.Errorf("a canary's event got out: %v", e)
		}
	}
}

// TestConnector runs without a loader: the next rung takes over and says why.
func TestConnector(t *testing.T) {
	need.Root(t)
	config := testConfig(t)
	config.Process.Method = "cn_proc"
	config.File.Enabled, config.Login.Method = false, "off"
	s := start(t, config)
	s.active(sensorProcess)
	s.next("an exec", func(e *event.Event) bool {
		return e.GetExec() != nil && e.Collector == event.Collector_COLLECTOR_PROCFS
	})
}

// TestMasterGone: a collector whose pipe breaks ends with an error.
func TestMasterGone(t *testing.T) {
	need.Root(t)
	config := testConfig(t)
	config.Process.Method, config.File.Enabled, config.Login.Method = "off", false, "off"
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	err = RunCollector(t.Context(), config, w, slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("ended with %v", err)
	}
}

func TestConfig(t *testing.T) {
	config := DefaultConfig()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	config.Dir, config.BulkRing, config.Process.Method = "run", 1000, "kprobe"
	config.File.Paths = []string{"/etc/../x"}
	err := config.Validate()
	for _, key := range []string{"dir", "bulk_ring", "process.method", "file.paths"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("problem of %s is not in: %v", key, err)
		}
	}
}
