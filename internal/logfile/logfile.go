// Package logfile is a log file that cannot fill the disk: when it reaches
// its size the older of two is dropped.
package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// File is an append-only file that is renamed to <path>.1 when it is full.
// Safe for concurrent use.
type File struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens or makes the file (0600). limit is in bytes; both files together
// take at most twice that.
func Open(path string, limit int64) (*File, error) {
	f := &File{path: path, limit: limit}
	return f, f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open log: %w", err)
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Write appends p, rotating before it if p would pass the limit.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > 0 && f.size+int64(len(p)) > f.limit {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// rotate begins the file anew. Where that fails, as on a full disk, the next
// write tries again.
func (f *File) rotate() error {
	f.size = f.limit
	if err := f.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := os.Rename(f.path, f.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rotate log: %w", err)
	}
	return f.open()
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
