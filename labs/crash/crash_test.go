package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/labs/loop"
)

// patience bounds the waits of these tests: when to give up on a machine that
// is slow or broken.
const patience = 2 * time.Minute

// TestKills is a short round of what labs/crashbench does 200 times.
func TestKills(t *testing.T) {
	need.BPF(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	binaries, data := build(ctx, t)
	r, err := Run(ctx, binaries, data, Options{Rounds: 8, Seed: 7, Rate: 500, Agent: true, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if !r.Lossless() || r.Acked == 0 || r.Alerts == 0 {
		t.Errorf("something acknowledged was lost or doubled, or nothing was done: %+v", r)
	}
}

// TestFullDisk fills the file system below the reserve: intake stops and says
// why, the node keeps what it has, and all of it arrives when there is room.
func TestFullDisk(t *testing.T) {
	need.Root(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	binaries, data := build(ctx, t)
	dir := filepath.Dir(data)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=1g"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, 0); err != nil {
			t.Error("unmount: ", err)
		}
	})
	config := filepath.Join(dir, "server.yaml")
	if err := os.WriteFile(config, []byte("disk_reserve: {bytes: 268435456, percent: 0}\ngateway: {max_backoff: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := loop.Up(ctx, binaries, data, "--listen-nodes", "127.0.0.1:17443", "--no-agent", "--config", config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	node, err := join(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := run.NewGroup(ctx)
	running, stop := context.WithCancel(ctx)
	defer stop()
	g.Go("node", func(context.Context) error { return node.Run(running) })
	last, err := node.Send([]*event.Event{quiet(0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.AwaitAck(ctx, last); err != nil {
		t.Fatal(err)
	}

	ballast := filepath.Join(data, "ballast")
	fill(t, ballast, data, 128<<20)
	status := awaitIngest(ctx, t, p, true)
	t.Logf("stopped: %s", status.Ingest.Reason)
	if status.Ingest.Reason == "" {
		t.Error("the status does not say why intake is stopped")
	}
	// The gateway looks for room every 2 s: from then on nothing is acknowledged.
	random := rand.New(rand.NewPCG(1, 1))
	taken := true
	for n := uint64(1); taken; n++ {
		if n > 300 {
			t.Fatal("30 MB were taken with a full disk")
		}
		e := quiet(n)
		e.Process.Args = fmt.Append(nil, "true\x00", incompressible(random, 100_000))
		if last, err = node.Send([]*event.Event{e}); err != nil {
			t.Fatal(err)
		}
		waiting, done := context.WithTimeout(ctx, 5*time.Second)
		taken = node.AwaitAck(waiting, last) == nil
		done()
		if taken && run.Sleep(ctx, 20*time.Millisecond) != nil {
			t.Fatal(ctx.Err())
		}
	}
	if _, err := p.CLI(ctx, "query", "*", "--since", "1h"); err != nil {
		t.Errorf("a full disk stops search too: %v", err)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	awaitIngest(ctx, t, p, false)
	if err := node.AwaitAck(ctx, last); err != nil {
		t.Fatal(err)
	}
	report := Report{Acked: last}
	if err := count(ctx, p, node, &report); err != nil {
		t.Fatal(err)
	}
	if report.Missing != 0 || report.Twice != 0 {
		t.Errorf("after the disk was full: %+v", report)
	}
	stop()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func build(ctx context.Context, t *testing.T) (loop.Binaries, string) {
	dir, err := os.MkdirTemp("", "hbk") // short: sockets lie below
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binaries, err := loop.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	return binaries, filepath.Join(dir, "d")
}

// fill writes a file until less than free bytes of the file system are left.
func fill(t *testing.T, path, dir string, free uint64) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	size := st.Bavail*uint64(st.Bsize) - free
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(size)); err != nil {
		t.Fatal(err)
	}
}

func incompressible(random *rand.Rand, size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = '!' + byte(random.IntN(90))
	}
	return string(b)
}

func awaitIngest(ctx context.Context, t *testing.T, p *loop.Platform, stopped bool) loop.Status {
	for {
		s, err := p.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Ingest.Stopped == stopped {
			return s
		}
		if run.Sleep(ctx, 100*time.Millisecond) != nil {
			t.Fatalf("ingest stopped is not %v: %+v", stopped, s)
		}
	}
}
