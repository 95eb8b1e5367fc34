package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/bus/bustest"
	"github.com/hauberk/hauberk/internal/need"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	bustest.Main(m, map[string]bustest.Role{"broker": serve, "disk": holdDisk})
}

func serve(ctx context.Context, argument []byte, out io.Writer) error {
	var c broker.Config
	if err := json.Unmarshal(argument, &c); err != nil {
		return err
	}
	deps := broker.Deps{Ready: func() { fmt.Fprintln(out, "ready") }}
	if os.Getenv("BUS_LOG") != "" {
		deps.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return broker.Run(ctx, c, deps)
}

// testConfig is a broker with the smallest retention, in a folder of its own.
func testConfig(t testing.TB) broker.Config {
	dir, err := os.MkdirTemp("", "bus") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := broker.DefaultConfig()
	c.Dir, c.Socket = filepath.Join(dir, "log"), filepath.Join(dir, "run", "bus.sock")
	c.RetentionBytes = 16 << 20
	c.DiskReserve = 1 << 20
	return c
}

func busConfig(socket string) bus.Config {
	c := bus.DefaultConfig()
	c.Brokers = []string{"unix:" + socket}
	return c
}

// target runs the broker as a child process.
func target(t *testing.T) bustest.Target { return targetOn(t, testConfig(t)) }

func targetOn(t *testing.T, c broker.Config) bustest.Target {
	var process *bustest.Process
	out := bustest.Target{
		Config: busConfig(c.Socket),
		Start: func(t testing.TB) {
			process = bustest.Spawn(t, "broker", c, nil)
			process.Line(t)
		},
		Stop:    func(t testing.TB) { process.Stop(t) },
		Kill:    func(t testing.TB) { process.Kill(t) },
		Tear:    func(t testing.TB) { tear(t, c.Dir) },
		Bounded: true,
	}
	out.Start(t)
	return out
}

// tear cuts the last bytes of every segment file and leaves garbage there.
func tear(t testing.TB, dir string) {
	segments, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	torn := 0
	for _, path := range segments {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 100 {
			continue
		}
		data = append(data[:len(data)-30], "garbage"...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		torn++
	}
	if torn == 0 {
		t.Fatalf("no segment to tear in %s", dir)
	}
}

func TestConformance(t *testing.T) { bustest.Run(t, target) }

// start runs a broker in this process until the test ends.
func start(t *testing.T, c broker.Config) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- broker.Run(ctx, c, broker.Deps{Ready: func() { close(ready) }}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("broker ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("broker did not start: %v", err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	c := testConfig(t)
	start(t, c)
	info, err := os.Stat(c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode of the socket is %v", info.Mode())
	}
	// Nothing listens on TCP: this process has no such socket but its own.
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue // no such protocol here
		}
		mine := ownSockets(t)
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == "0A" && mine["socket:["+fields[9]+"]"] {
				t.Errorf("this process listens on TCP: %s", line)
			}
		}
	}
	// A second broker is refused and takes nothing away.
	if err := broker.Run(t.Context(), c, broker.Deps{}); err == nil || !strings.Contains(err.Error(), "another broker") {
		t.Errorf("second broker: %v", err)
	}
	if _, err := os.Stat(c.Socket); err != nil {
		t.Errorf("socket after the second broker: %v", err)
	}
}

func ownSockets(t *testing.T) map[string]bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, e := range entries {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			out[link] = true
		}
	}
	return out
}

func TestValidate(t *testing.T) {
	c := broker.DefaultConfig()
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "dir") || !strings.Contains(err.Error(), "socket") {
		t.Errorf("no folders: %v", err)
	}
	c.Dir, c.Socket = "/d", "/"+strings.Repeat("s", 200)
	c.RetentionBytes, c.RetentionTime, c.DiskReserve = 4<<30, time.Second, 0
	err = c.Validate()
	for _, part := range []string{"socket", "retention_bytes", "retention_time", "disk_reserve"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %s", err, part)
		}
	}
}

// disk is the argument of the role of that name: a tmpfs of Bytes on Dir in
// the child's own mount namespace, which lasts as long as the child.
type disk struct {
	Dir   string
	Bytes int64
}

func holdDisk(ctx context.Context, argument []byte, out io.Writer) error {
	var d disk
	if err := json.Unmarshal(argument, &d); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", d.Bytes)); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	fmt.Fprintln(out, "ready")
	<-ctx.Done()
	return nil
}

// fullDisk gives a broker on a small disk of its own, reached through the
// namespace of the process that holds it, and the path of that disk.
func fullDisk(t *testing.T) (bustest.Target, string) {
	need.Root(t)
	c := testConfig(t)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	holder := bustest.Spawn(t, "disk", disk{Dir: c.Dir, Bytes: 24 << 20}, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
	holder.Line(t)
	root := fmt.Sprintf("/proc/%d/root%s", holder.PID(), c.Dir)
	c.Dir = filepath.Join(root, "log")
	return targetOn(t, c), root
}

// ballast writes a file of n bytes, or until the disk is full when n is 0.
func ballast(t testing.TB, path string, n int64) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for written := int64(0); n == 0 || written < n; written += int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			if errors.Is(err, unix.ENOSPC) && n == 0 {
				return
			}
			t.Fatal(err)
		}
	}
}

func remove(t testing.TB, path string) {
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

// TestFullDisk fills the disk at once, between two looks of the janitor, so
// that kfake itself meets its end.
func TestFullDisk(t *testing.T) {
	target, root := fullDisk(t)
	path := filepath.Join(root, "ballast")
	bustest.FullDisk(t, target,
		func(t testing.TB) { ballast(t, path, 0) },
		func(t testing.TB) { remove(t, path) })
}

// TestDiskReserve leaves less than the reserve before the broker starts: it
// refuses at once, and the log is not touched.
func TestDiskReserve(t *testing.T) {
	target, root := fullDisk(t)
	target.Stop(t)
	path := filepath.Join(root, "ballast")
	ballast(t, path, 23<<20+512<<10)
	target.Start(t)
	client, err := bus.Open(t.Context(), target.Config, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	message := bus.Message{Topic: bus.Events, Key: []byte("k"), Value: []byte("v")}
	if err := client.Publish(t.Context(), message); !errors.Is(err, bus.ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	remove(t, path)
	for {
		err := client.Publish(t.Context(), message)
		if err == nil {
			break
		}
		if !errors.Is(err, bus.ErrFull) {
			t.Fatal(err)
		}
	}
}
