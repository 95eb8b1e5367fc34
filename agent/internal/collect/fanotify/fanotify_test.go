package fanotify

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/internal/obs"
)

// told is a sink of lines "action path new_path pid".
type told chan string

func (t told) Emit(_ event.Class, _ int64, e *event.Event) {
	f := e.GetFile()
	t <- strings.TrimSpace(fmt.Sprintf("%s %s %s", strings.ToLower(strings.TrimPrefix(f.Action.String(), "FILE_ACTION_")), f.Path, f.NewPath)) +
		fmt.Sprintf(" by %d", e.Process.GetPid())
}

func (t told) Flush() {}

func (t told) want(test *testing.T, line string) {
	test.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case got := <-t:
			if got == line {
				return
			}
			test.Logf("also %s", got)
		case <-timeout:
			test.Fatalf("not told: %s", line)
		}
	}
}

func TestChanges(t *testing.T) {
	need.Root(t)
	root := t.TempDir()
	etc := filepath.Join(root, "etc")
	if err := os.MkdirAll(filepath.Join(etc, "cron.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := filepath.Join(etc, "passwd")
	os.WriteFile(passwd, []byte("root"), 0o644)
	s, err := Open([]string{
		filepath.Join(etc, "passwd"), filepath.Join(etc, "ld.so.preload"), filepath.Join(etc, "cron.*"), filepath.Join(root, "home", "*", ".ssh"),
	}, host.New(100, &obs.Registry{}), &obs.Registry{})
	if err != nil {
		t.Fatal(err)
	}
	sink := make(told, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, sink) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	by := fmt.Sprintf(" by %d", os.Getpid())
	preload := filepath.Join(etc, "ld.so.preload")
	os.WriteFile(filepath.Join(etc, "unwatched"), []byte("x"), 0o644)
	os.WriteFile(preload, []byte("/tmp/x.so"), 0o644)
	sink.want(t, "created "+preload+by)
	sink.want(t, "modified "+preload+by)
	os.Chmod(preload, 0o600)
	sink.want(t, "attributes "+preload+by)
	os.Rename(preload, filepath.Join(etc, "gone"))
	sink.want(t, "renamed "+preload+" "+filepath.Join(etc, "gone")+by)
	os.Rename(filepath.Join(etc, "unwatched"), passwd)
	sink.want(t, "created "+passwd+by)
	os.Remove(passwd)
	sink.want(t, "deleted "+passwd+by)

	// A watched directory that is deep and not there yet.
	keys := filepath.Join(root, "home", "eve", ".ssh", "authorized_keys")
	os.MkdirAll(filepath.Dir(keys), 0o700)
	os.WriteFile(keys, []byte("ssh-rsa"), 0o600)
	sink.want(t, "created "+keys+by)
	// One made below a watched one.
	os.Mkdir(filepath.Join(etc, "cron.d", "sub"), 0o755)
	sink.want(t, "created "+filepath.Join(etc, "cron.d", "sub")+by)
	os.WriteFile(filepath.Join(etc, "cron.d", "sub", "job"), []byte("x"), 0o644)
	sink.want(t, "created "+filepath.Join(etc, "cron.d", "sub", "job")+by)

	cmd := exec.Command("/bin/sh", "-c", "echo x >> "+keys)
	cmd.Run()
	sink.want(t, fmt.Sprintf("modified %s by %d", keys, cmd.Process.Pid))
}

func TestMatch(t *testing.T) {
	ws := compile([]string{"/etc/passwd", "/home/*/.ssh", "/boot"})
	for path, want := range map[string][2]bool{ // match, leads
		"/etc/passwd": {true, false}, "/etc/passwd-": {false, false}, "/etc": {false, true}, "/": {false, true},
		"/home/a/.ssh": {true, false}, "/home/a/.ssh/x/y": {true, false}, "/home/a": {false, true}, "/home/a/b": {false, false},
		"/boot/grub": {true, false}, "/etc/passwd/x": {true, false},
	} {
		if got := [2]bool{ws.match(path), ws.leads(path)}; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// record makes one event with a DFID_NAME record.
func record(mask uint64, name string) []byte {
	info := append([]byte{infoDFIDName, 0, 0, 0}, make([]byte, fsidSize)...)
	info = binary.NativeEndian.AppendUint32(info, 8)
	info = append(info, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	info = append(append(info, name...), 0)
	binary.NativeEndian.PutUint16(info[2:], uint16(len(info)))
	b := binary.NativeEndian.AppendUint32(nil, uint32(metadataSize+len(info)))
	b = append(b, unix.FANOTIFY_METADATA_VERSION, 0, metadataSize, 0)
	b = binary.NativeEndian.AppendUint64(b, mask)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 42, 0, 0, 0)
	return append(b, info...)
}

func TestParse(t *testing.T) {
	n := 0
	err := parse(append(record(unix.FAN_CREATE, "a"), record(unix.FAN_DELETE, "bc")...), func(c *change) {
		n++
		if c.pid != 42 || len(c.at.dir) != fsidSize+handleHeader+8 || string(c.at.name) != []string{"", "a", "bc"}[n] {
			t.Errorf("event %d: %+v", n, c)
		}
	})
	if err != nil || n != 2 {
		t.Fatalf("%d events, %v", n, err)
	}
	for cut := range len(record(1, "name")) - 1 {
		if err := parse(record(1, "name")[:cut+1], func(*change) {}); err == nil {
			t.Fatalf("cut at %d is no error", cut+1)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(record(unix.FAN_CREATE, "name"))
	f.Add(record(unix.FAN_CREATE, "")[:30])
	f.Fuzz(func(t *testing.T, buf []byte) {
		parse(buf, func(c *change) {
			if len(c.at.dir)+len(c.at.name) > len(buf) {
				t.Fatal("more than there is")
			}
		})
	})
}
