package collect

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
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
	status chan *event.NodeStatus
}

func read(t *testing.T, r io.Reader) *stream {
	s := &stream{t, make(chan *event.Event, 1<<16), make(chan *event.NodeStatus, 100)}
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

// next waits for an event that satisfies want.
func (s *stream) next(what string, want func(*event.Event) bool) *event.Event {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				s.t.Fatalf("the collector ended before %s", what)
			}
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
	s := start(t, testConfig(t))
	s.active(sensorProcess)
	s.active(sensorNetwork)
	s.active(sensorDenied)
	cmd := exec.Command("/bin/sh", "-c", "exit 3")
	cmd.Dir = "/usr"
	cmd.Run()
	e := s.next("exec of sh", func(e *event.Event) bool {
		return e.GetExec() != nil && !e.GetExec().Snapshot && strings.HasSuffix(string(e.Process.Args), "exit 3\x00")
	})
	t.Log(e)
	e = s.next("exit of sh", func(e *event.Event) bool { return e.GetExit() != nil && e.Process.Pid == uint32(cmd.Process.Pid) })
	t.Log(e)
	if e.GetExit().ExitCode != 3 {
		t.Fatalf("exit code %d", e.GetExit().ExitCode)
	}
}
