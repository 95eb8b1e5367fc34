package hash

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hauberk/hauberk/internal/obs"
)

func keyOf(t *testing.T, path string) Key {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return Key{Inode: stat.Ino, Size: uint64(stat.Size), Modified: stat.Mtim.Sec, Nsec: uint32(stat.Mtim.Nsec)}
}

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("abc"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := New(100, 1<<20, &obs.Registry{})
	answered := make(chan struct{}, 10)
	c.OnDone(func() { answered <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	defer func() { cancel(); <-done }()

	key := keyOf(t, path)
	if sum, pending := c.Lookup(key, 0, []byte(path)); sum != "" || !pending {
		t.Fatalf("first answer %q, pending %v", sum, pending)
	}
	<-answered
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	if sum, pending := c.Lookup(key, 0, nil); sum != abc || pending {
		t.Fatalf("second answer %q, pending %v", sum, pending)
	}
	other := key
	other.Nsec++ // the file changed between exec and hash
	c.Lookup(other, 0, []byte(path))
	<-answered
	if sum, pending := c.Lookup(other, 0, nil); sum != "" || pending || c.changed.Value() != 1 {
		t.Fatalf("a changed file has %q, pending %v", sum, pending)
	}
	if _, pending := c.Lookup(Key{Size: 101}, 0, nil); pending {
		t.Fatal("a file over the bound is hashed")
	}
	for i := range uint64(2 * maxCached) {
		c.put(Key{Inode: i}, "x")
	}
	if len(c.sums) != maxCached || len(c.order) != maxCached {
		t.Fatalf("%d answers, %d in order", len(c.sums), len(c.order))
	}
}

func TestBudget(t *testing.T) {
	var b budget
	now := time.Unix(0, 0)
	if d := b.take(now, 200, 100); d != 0 {
		t.Fatalf("the burst waits %s", d)
	}
	if d := b.take(now, 100, 100); d != time.Second {
		t.Fatalf("over the budget waits %s, want 1s", d)
	}
	if d := b.take(now.Add(10*time.Second), 200, 100); d != 0 {
		t.Fatalf("after a pause waits %s", d)
	}
}
