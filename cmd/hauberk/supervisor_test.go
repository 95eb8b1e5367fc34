package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hauberk/hauberk/internal/notify"
)

// The test binary plays the processes.
func TestMain(m *testing.M) {
	switch os.Getenv("HAUBERK_TEST_PROCESS") {
	case "":
		os.Exit(m.Run())
	case "good": // ready, then ends on SIGTERM
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("level=INFO msg=started", os.Getpid())
		if err := notify.Ready("fine"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		<-stop
		fmt.Println("level=INFO msg=stopped", os.Getpid())
	case "config": // an exit that no restart mends
		fmt.Println("level=ERROR the configuration is wrong")
		os.Exit(exitConfig)
	}
}

// recorder is a log that can be waited on.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func newRecorder() *recorder { return &recorder{grew: make(chan struct{}, 1)} }

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.grew <- struct{}{}:
	default:
	}
	return r.text.Write(p)
}

func (r *recorder) await(t *testing.T, want string, times int) string {
	t.Helper()
	for {
		r.mu.Lock()
		text := r.text.String()
		r.mu.Unlock()
		if strings.Count(text, want) >= times {
			return text
		}
		select {
		case <-r.grew:
		case <-t.Context().Done():
			t.Fatalf("no %q in %q", want, text)
		}
	}
}

func newTestSupervisor(t *testing.T, warn io.Writer) *supervisor {
	// Sockets have short names only.
	dir, err := os.MkdirTemp("", "hbk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &supervisor{runDir: dir, logDir: dir, warn: warn, all: true, log: slog.New(slog.NewTextHandler(warn, nil))}
	s.settled.Store(true)
	return s
}

func testProcess(t *testing.T, kind string) *process {
	t.Setenv("HAUBERK_TEST_PROCESS", kind)
	return &process{name: kind, path: os.Args[0], fatal: func(code int) bool { return code == exitConfig }}
}

func TestProcessIsStartedAgainAndStopped(t *testing.T) {
	lines := newRecorder()
	s := newTestSupervisor(t, lines)
	p := testProcess(t, "good")
	if err := s.start(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := p.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	const began = "good: level=INFO msg=started" // as the terminal shows it, not as a last line
	text := lines.await(t, began, 1)
	var pid int
	if _, err := fmt.Sscanf(text[strings.Index(text, "msg=started"):], "msg=started %d", &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lines.await(t, began, 2)
	if text := lines.await(t, "starting it again", 1); !strings.Contains(text, "signal: killed") {
		t.Errorf("the log does not say why: %s", text)
	}
	p.end()
	lines.await(t, "msg=stopped", 1)
	if p.failed != nil || p.restarts != 1 {
		t.Errorf("failed %v, restarts %d", p.failed, p.restarts)
	}
	log, err := os.ReadFile(filepath.Join(s.logDir, "good.log"))
	if err != nil || !bytes.Contains(log, []byte("msg=stopped")) {
		t.Errorf("log %s, %v", log, err)
	}
	if _, err := os.Stat(filepath.Join(s.runDir, "notify-good.sock")); err == nil {
		t.Error("the readiness socket is left behind")
	}
}

func TestFatalExitIsNotRepeated(t *testing.T) {
	s := newTestSupervisor(t, newRecorder())
	p := testProcess(t, "config")
	if err := s.start(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	err := p.awaitReady(context.WithoutCancel(t.Context()))
	if err == nil || !strings.Contains(err.Error(), "the configuration is wrong") {
		t.Fatalf("error %v", err)
	}
	if p.restarts != 0 {
		t.Errorf("%d restarts", p.restarts)
	}
}

func TestLineWriter(t *testing.T) {
	var got []string
	w := &lineWriter{each: func(line []byte) { got = append(got, string(line)) }}
	for _, part := range []string{"one\ntw", "o\n", "", "\n", strings.Repeat("x", 3*longestLogLine), "y\nrest"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(part), err)
		}
	}
	want := []string{"one", "two", "", strings.Repeat("x", longestLogLine)}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %d lines of lengths %v", len(got), got[:min(len(got), 3)])
	}
}

func TestDataDirIsLocked(t *testing.T) {
	dir, err := os.MkdirTemp("", "hbk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data, err := prepareDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(data)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	unlock, err := lockDataDir(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(data); err == nil || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	unlock()
	again, err := lockDataDir(data)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := prepareDataDir("/" + strings.Repeat("x", maxDataDir)); err == nil {
		t.Error("a name too long for sockets is taken")
	}
}

func TestServerConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := func(*serverConfig) {}

	write("data_dir: /srv/h\napi: {listen: '127.0.0.1:9443'}\n")
	c, err := loadServerConfig(file, none)
	if err != nil || c.API.Listen != "127.0.0.1:9443" || c.Broker.Dir != "/srv/h/bus" || c.Store.Socket != "/srv/h/run/store.sock" {
		t.Fatalf("%+v, %v", c, err)
	}
	c, err = loadServerConfig(file, func(c *serverConfig) { c.DataDir = "/srv/other" })
	if err != nil || c.Broker.Dir != "/srv/other/bus" {
		t.Fatalf("flag: %+v, %v", c.Broker, err)
	}
	for text, want := range map[string]string{
		"api: {lisen: x}\n": "line 1: unknown key \"lisen\"",
		"gateway: {heartbeat: 1h}\napi: {max_streams: 0}\n":      "max_streams: 0 is outside 1 to 100000",
		"names: []\ndisk_reserve: {percent: 90}\n":               "names: want at least one",
		"data_dir: /srv/h\n---\n:::\n":                           "",
		"broker: {retention_bytes: 99999999999999}\n":            "retention_bytes",
		"detect: {rules: {dirs: [relative]}}\nbus: {linger: 1m}": "linger",
	} {
		write(text)
		_, err := loadServerConfig(file, none)
		if want == "" {
			continue // only the first document counts
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func FuzzServerConfig(f *testing.F) {
	f.Add([]byte("api: {listen: x}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "server.yaml")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = loadServerConfig(file, func(*serverConfig) {})
	})
}
