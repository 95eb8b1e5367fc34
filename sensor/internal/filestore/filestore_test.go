package filestore

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
)

func waiting(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestStore: small and large files, one of them twice, and one that is not kept.
func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5, inMemory + 1, inMemory + 1, 3 * inMemory} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		i := s.Begin()
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
			i.Add(rest[:min(len(rest), 1000)])
		}
		sum := sha256.Sum256(data)
		path, ok := i.Store(sum[:])
		if !ok {
			t.Fatalf("%d bytes are not stored", size)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: stored %d, %v", size, len(got), err)
		}
	}
	i := s.Begin()
	i.Add(make([]byte, 2*inMemory))
	if waiting(t, dir) != 1 {
		t.Error("a large file does not wait in the folder")
	}
	i.Drop()
	if waiting(t, dir) != 0 || s.Counters != (Counters{Stored: 4, Duplicate: 1}) {
		t.Errorf("%d wait, %+v", waiting(t, dir), s.Counters)
	}
}

func TestStoreIsBounded(t *testing.T) {
	s, err := Open(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a, b := s.Begin(), s.Begin()
	a.Add(make([]byte, 2*inMemory))
	b.Add(make([]byte, 2*inMemory))
	b.Add([]byte("more"))
	if _, ok := b.Store(make([]byte, 32)); ok || s.Counters.MaxHit != 1 {
		t.Errorf("more wait than may: %+v", s.Counters)
	}
	if _, ok := a.Store(make([]byte, 32)); !ok {
		t.Error("the first is not stored")
	}
}

// TestFull: a store that cannot be written counts and goes on.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	i := s.Begin()
	i.Add(make([]byte, 2*inMemory))
	if _, ok := i.Store(make([]byte, 32)); ok || s.Counters.Errors != 1 {
		t.Errorf("%+v", s.Counters)
	}
}
