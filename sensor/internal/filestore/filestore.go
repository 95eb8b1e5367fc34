// Package filestore keeps files that traffic carried, once per content: below
// its folder each lies under its SHA-256, in a folder by the first two digits,
// as Suricata's file-store version 2 has it.
//
// What is to be kept is known late, when a rule matches or the file ends. Until
// then its bytes wait, the first of them in memory and the rest in the folder
// tmp.
package filestore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Counters of a store.
type Counters struct {
	Errors    uint64 // Files that could not be written.
	Open      int    // Waiting.
	MaxHit    uint64 // Files that were not kept, because too many waited.
	Stored    uint64 // Files that are new to the store.
	Duplicate uint64 // Files it had.
}

// Store is a folder of files. It belongs to one goroutine.
type Store struct {
	Counters Counters
	dir      string
	max      int
	next     uint64
}

// inMemory is how many bytes of a file wait in memory.
const inMemory = 64 << 10

// Open makes the folder. max bounds the files that wait in it at once.
func Open(dir string, max int) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o750); err != nil {
		return nil, fmt.Errorf("open file store: %w", err)
	}
	return &Store{dir: dir, max: max}, nil
}

// Item is a file that waits. Its methods after an error do nothing.
type Item struct {
	store *Store
	data  []byte
	file  *os.File
	bad   bool
}

// Begin begins a file.
func (s *Store) Begin() *Item { return &Item{store: s} }

// Add appends bytes.
func (i *Item) Add(b []byte) {
	if i.bad {
		return
	}
	if i.file == nil && len(i.data)+len(b) <= inMemory {
		i.data = append(i.data, b...)
		return
	}
	if i.file == nil && !i.spill() {
		return
	}
	if _, err := i.file.Write(b); err != nil {
		i.fail()
	}
}

// spill moves what waits in memory to the folder.
func (i *Item) spill() bool {
	s := i.store
	if s.Counters.Open >= s.max {
		s.Counters.MaxHit++
		i.bad, i.data = true, nil
		return false
	}
	s.next++
	f, err := os.OpenFile(filepath.Join(s.dir, "tmp", strconv.Itoa(os.Getpid())+"."+strconv.FormatUint(s.next, 10)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		s.Counters.Errors++
		i.bad, i.data = true, nil
		return false
	}
	i.file = f
	s.Counters.Open++
	_, err = f.Write(i.data)
	i.data = nil
	if err != nil {
		i.fail()
	}
	return err == nil
}

func (i *Item) fail() {
	i.store.Counters.Errors++
	i.bad = true
	i.Drop()
}

// Drop forgets the file.
func (i *Item) Drop() {
	i.data = nil
	if i.file != nil {
		i.store.Counters.Open--
		_ = errors.Join(i.file.Close(), os.Remove(i.file.Name())) // It is of no use any more.
		i.file = nil
	}
}

// Store puts the file under its SHA-256. It says where it is, and whether it
// is there.
func (i *Item) Store(sum []byte) (path string, ok bool) {
	defer i.Drop()
	s := i.store
	name := hex.EncodeToString(sum)
	if i.bad || len(name) < 2 {
		return "", false
	}
	path = filepath.Join(s.dir, name[:2], name)
	if _, err := os.Stat(path); err == nil {
		s.Counters.Duplicate++
		return path, true
	}
	if i.file == nil && !i.spill() {
		return "", false
	}
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = os.Rename(i.file.Name(), path)
	}
	if err != nil {
		i.fail()
		return "", false
	}
	s.Counters.Stored++
	s.Counters.Open--
	err = i.file.Close()
	i.file = nil
	if err != nil && !errors.Is(err, fs.ErrClosed) {
		s.Counters.Errors++
	}
	return path, err == nil
}
