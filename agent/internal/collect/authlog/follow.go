package authlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLine bounds a line; the rest of a longer one is thrown away and counted.
const maxLine = 8 << 10

// follower reads the lines that are added to a file, across its rotation by
// renaming or by truncation, and its being made anew.
type follower struct {
	path   string
	notify *os.File
	fd     int
	file   *os.File
	offset int64
	buf    []byte
	long   bool // within a line longer than maxLine
	cut    func()
}

const (
	fileEvents = unix.IN_MODIFY | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ATTRIB
	dirEvents  = unix.IN_CREATE | unix.IN_MOVED_TO
)

// follow begins at the end of the file.
func follow(path string, cut func()) (*follower, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open inotify: %w", err)
	}
	f := &follower{path: path, fd: fd, notify: os.NewFile(uintptr(fd), "inotify"), cut: cut}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), dirEvents); err != nil {
		f.notify.Close()
		return nil, fmt.Errorf("watch directory of %s: %w", path, err)
	}
	if err := f.open(true); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *follower) close() {
	f.notify.Close()
	if f.file != nil {
		f.file.Close()
	}
}

// open opens the file of that name; that there is none is no error.
func (f *follower) open(atEnd bool) error {
	file, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	f.file, f.offset, f.buf, f.long = file, 0, f.buf[:0], false
	if atEnd {
		if f.offset, err = file.Seek(0, io.SeekEnd); err != nil {
			return fmt.Errorf("find end of log: %w", err)
		}
	}
	if _, err := unix.InotifyAddWatch(f.fd, f.path, fileEvents); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("watch %s: %w", f.path, err)
	}
	return nil
}

// run calls each with every line until ctx ends. The line is valid during the
// call. done is called after each batch.
func (f *follower) run(ctx context.Context, each func([]byte), done func()) error {
	stop := context.AfterFunc(ctx, func() { f.notify.Close() })
	defer stop()
	defer f.close()
	var events [4096]byte
	for {
		// A rotated file is read to its end before the new one.
		for {
			if err := f.readLines(each); err != nil {
				return err
			}
			changed, err := f.rotated()
			if err != nil {
				return err
			}
			if !changed {
				break
			}
		}
		done()
		// What happened does not matter, only that something did.
		if _, err := f.notify.Read(events[:]); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("wait for log: %w", err)
		}
	}
}

// rotated looks whether the name stands for another file than the one open,
// and opens that.
func (f *follower) rotated() (bool, error) {
	named, err := os.Stat(f.path)
	if err != nil {
		return false, nil // between rename and creation; the directory tells
	}
	if f.file != nil {
		open, err := f.file.Stat()
		if err != nil {
			return false, fmt.Errorf("look at log: %w", err)
		}
		if os.SameFile(named, open) {
			if open.Size() >= f.offset {
				return false, nil
			}
			f.offset, f.buf, f.long = 0, f.buf[:0], false // truncated
			return true, nil
		}
		f.file.Close()
		f.file = nil
	}
	return true, f.open(false)
}

func (f *follower) readLines(each func([]byte)) error {
	if f.file == nil {
		return nil
	}
	var chunk [4096]byte
	for {
		n, err := f.file.ReadAt(chunk[:], f.offset)
		f.offset += int64(n)
		f.lines(chunk[:n], each)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, syscall.ESTALE) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

// lines cuts what was read into lines and keeps the unfinished one.
func (f *follower) lines(data []byte, each func([]byte)) {
	for len(data) > 0 {
		part, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		if room := maxLine - len(f.buf); len(part) > room {
			part = part[:room]
			if !f.long {
				f.long = true
				f.cut()
			}
		}
		f.buf = append(f.buf, part...)
		if !whole {
			return
		}
		each(f.buf)
		f.buf, f.long = f.buf[:0], false
	}
}
