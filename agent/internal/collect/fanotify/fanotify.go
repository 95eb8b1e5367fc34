// Package fanotify sees changes of watched paths and who made them, by
// fanotify(7) with FAN_REPORT_DFID_NAME: creation, writing, deletion, renaming
// and attributes, of names that need not exist before.
//
// It marks directories, not file systems, so that work elsewhere costs
// nothing. What is written through a mapping, and what another machine does
// to a network file system, is not seen. It wants Linux 5.9 (5.17 for both
// names of a renaming) and CAP_SYS_ADMIN.
package fanotify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/agent/internal/collect/host"
	"github.com/hauberk/hauberk/agent/internal/collect/source"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
)

const (
	// maxMarks bounds the directories marked; the kernel's own bound is 8192
	// by default (fs.fanotify.max_user_marks).
	maxMarks = 4096
	// maxHashed is the size of the largest file whose content is hashed: the
	// watched ones are configuration.
	maxHashed = 1 << 20
	// quiet is how long one process's writes to one file are one event.
	quiet = time.Second
	// maxRecent bounds the writes remembered for that.
	maxRecent = 256
)

// Source watches. Make one with Open.
type Source struct {
	host    *host.Host
	watches watches
	file    *os.File
	fd      int
	events  uint64
	dirs    map[handle]string
	// Why a directory could not be marked, one of them.
	refusal error

	message host.Message
	body    event.Event_File
	recent  map[writing]time.Time

	overflow *obs.Counter
	noRoom   *obs.Counter
	refused  *obs.Counter
	unknown  *obs.Counter
	folded   *obs.Counter
}

// handle names a directory as the kernel does: file system, type, bytes.
type handle string

type writing struct {
	pid  int32
	path string
}

const allEvents = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MODIFY | unix.FAN_ATTRIB | unix.FAN_ONDIR | unix.FAN_EVENT_ON_CHILD

// Open marks what must be marked. Paths are clean and absolute, with * and ?
// within a component.
func Open(paths []string, h *host.Host, counters *obs.Registry) (*Source, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open fanotify: %w", err)
	}
	s := &Source{
		host: h, watches: compile(paths), fd: fd, file: os.NewFile(uintptr(fd), "fanotify"), recent: map[writing]time.Time{},
		events: allEvents | unix.FAN_RENAME, body: event.Event_File{File: &event.FileChange{}},
	}
	const name = "hauberk_collect_file_events_total"
	s.overflow = counters.Counter(name, "reason=overflow", "times the kernel's queue of file events was full")
	s.unknown = counters.Counter(name, "reason=unknown_directory", "file events of a directory whose name is not known")
	s.folded = counters.Counter(name, "reason=folded", "further writes of one process to one file within a second")
	s.noRoom = counters.Counter("hauberk_collect_directories_total", "reason=too_many", "directories not watched")
	s.refused = counters.Counter("hauberk_collect_directories_total", "reason=refused", "directories that the kernel does not let be watched")
	s.mark()
	if len(s.dirs) == 0 {
		s.file.Close()
		return nil, fmt.Errorf("watch %d paths: none can be: %w", len(paths), s.refusal)
	}
	return s, nil
}

// Name is the method, as Sensor.method has it.
func (s *Source) Name() string { return "fanotify" }

// Capabilities says what it sees.
func (s *Source) Capabilities() source.Capability { return source.File }

// mark marks the directories there are now; marking twice is harmless.
func (s *Source) mark() {
	s.dirs = map[handle]string{}
	s.watches.directories(func(dir string) bool {
		if len(s.dirs) >= maxMarks {
			s.noRoom.Inc()
			return false
		}
		if err := s.markOne(dir); err != nil {
			s.refused.Inc()
			s.refusal = err
		}
		return true
	})
}

func (s *Source) markOne(dir string) error {
	const flags = unix.FAN_MARK_ADD | unix.FAN_MARK_ONLYDIR
	err := unix.FanotifyMark(s.fd, flags, s.events, unix.AT_FDCWD, dir)
	if errors.Is(err, unix.EINVAL) && s.events&unix.FAN_RENAME != 0 {
		s.events = allEvents | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO // before Linux 5.17
		err = unix.FanotifyMark(s.fd, flags, s.events, unix.AT_FDCWD, dir)
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	h, err := handleOf(dir)
	if err != nil {
		return fmt.Errorf("name %s: %w", dir, err)
	}
	s.dirs[h] = dir
	return nil
}

func handleOf(dir string) (handle, error) {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, dir, 0)
	if err != nil {
		return "", err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return "", err
	}
	key := make([]byte, 0, 64)
	key = binary.NativeEndian.AppendUint32(key, uint32(stat.Fsid.Val[0]))
	key = binary.NativeEndian.AppendUint32(key, uint32(stat.Fsid.Val[1]))
	key = binary.NativeEndian.AppendUint32(key, uint32(h.Size()))
	key = binary.NativeEndian.AppendUint32(key, uint32(h.Type()))
	return handle(append(key, h.Bytes()...)), nil
}

// Run emits changes until ctx ends.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	stop := context.AfterFunc(ctx, func() { s.file.Close() })
	defer s.file.Close()
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		n, err := s.file.Read(buf)
		if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read file events: %w", err)
		}
		if s.host.Refresh != nil {
			s.host.Refresh() // so that who did it is known
		}
		if err := parse(buf[:n], func(c *change) { s.handle(sink, c) }); err != nil {
			return fmt.Errorf("read file events: %w", err)
		}
		sink.Flush()
	}
}

// handle turns one change into events. Where directories came or went, marks
// are set anew.
func (s *Source) handle(sink source.Sink, c *change) {
	if c.mask&unix.FAN_Q_OVERFLOW != 0 {
		s.overflow.Inc()
		s.mark()
		return
	}
	from, to, at := s.path(c.from), s.path(c.to), s.path(c.at)
	if from == "" && to == "" && at == "" {
		s.unknown.Inc()
		return
	}
	if at != "" && s.watches.match(at) {
		s.changed(sink, c, at)
	}
	switch {
	case from != "" && s.watches.match(from):
		s.emit(sink, c.pid, event.FileAction_FILE_ACTION_RENAMED, from, to)
	case to != "" && s.watches.match(to):
		s.emit(sink, c.pid, event.FileAction_FILE_ACTION_CREATED, to, "")
	}
	if c.mask&unix.FAN_ONDIR == 0 || c.mask&moves == 0 {
		return
	}
	for _, path := range []string{from, to, at} {
		if path != "" && (s.watches.match(path) || s.watches.leads(path)) {
			s.mark()
			// What came with the directory, or before its mark, is told as made.
			s.adopt(sink, c, at, to)
			return
		}
	}
}

// moves are the events after which a directory is, or is not, where it was.
const moves = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_RENAME | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO

// changed emits what the mask says of one path; the kernel folds events of
// one process on one name that were not read yet.
func (s *Source) changed(sink source.Sink, c *change, path string) {
	for _, each := range []struct {
		bits   uint64
		action event.FileAction
	}{
		{unix.FAN_CREATE | unix.FAN_MOVED_TO, event.FileAction_FILE_ACTION_CREATED},
		{unix.FAN_MODIFY, event.FileAction_FILE_ACTION_MODIFIED},
		{unix.FAN_ATTRIB, event.FileAction_FILE_ACTION_ATTRIBUTES},
		{unix.FAN_DELETE | unix.FAN_MOVED_FROM, event.FileAction_FILE_ACTION_DELETED},
	} {
		if c.mask&each.bits == 0 || each.bits == unix.FAN_MODIFY && s.fold(c.pid, path) {
			continue
		}
		s.emit(sink, c.pid, each.action, path, "")
	}
}

// adopt tells of watched files in a directory that appeared with them, or got
// them before it could be marked.
func (s *Source) adopt(sink source.Sink, c *change, paths ...string) {
	for _, dir := range paths {
		if dir == "" || !isDirectory(dir) {
			continue
		}
		left := maxMarks
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if left--; left == 0 {
				return filepath.SkipAll
			}
			if err == nil && path != dir && s.watches.match(path) {
				s.emit(sink, c.pid, event.FileAction_FILE_ACTION_CREATED, path, "")
			}
			return nil
		})
	}
}

// fold reports whether the write is one more of a process that was told of a
// moment ago.
func (s *Source) fold(pid int32, path string) bool {
	now := time.Now()
	key := writing{pid, path}
	if last, ok := s.recent[key]; ok && now.Sub(last) < quiet {
		s.folded.Inc()
		return true
	}
	if len(s.recent) >= maxRecent {
		clear(s.recent)
	}
	s.recent[key] = now
	return false
}

func (s *Source) emit(sink source.Sink, pid int32, action event.FileAction, path, newPath string) {
	now := time.Now().UnixNano()
	f := s.body.File
	*f = event.FileChange{Action: action, Path: []byte(path)}
	if newPath != "" {
		f.NewPath = []byte(newPath)
	}
	if action != event.FileAction_FILE_ACTION_DELETED {
		describe(f, path, newPath)
	}
	s.host.Lock()
	defer s.host.Unlock()
	s.message.Start(event.Collector_COLLECTOR_FANOTIFY, 0)
	if pid > 0 { // 0: of a process in another pid namespace
		if p := s.host.ProcessOf(uint32(pid), now); p != nil {
			s.message.Full(s.host, p)
		} else {
			s.message.Process = event.Process{Pid: uint32(pid)}
			s.message.Event.Process = &s.message.Process
		}
	}
	s.message.Event.Body = &s.body
	sink.Emit(event.Class_CLASS_BULK, now, &s.message.Event)
}

// describe adds what the file is now, if it still is.
func describe(f *event.FileChange, path, newPath string) {
	if newPath != "" {
		path = newPath
	}
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	f.Mode, f.Owner, f.Size = stat.Mode, stat.Uid, uint64(stat.Size)
	if info.Mode().IsRegular() && stat.Size > 0 && stat.Size <= maxHashed {
		if content, err := os.ReadFile(path); err == nil && len(content) <= maxHashed {
			sum := sha256.Sum256(content)
			f.Sha256 = hex.EncodeToString(sum[:])
		}
	}
}

// path is the full path of a name in a marked directory, empty if the
// directory is not known.
func (s *Source) path(e entry) string {
	dir, ok := s.dirs[handle(e.dir)]
	if !ok {
		return ""
	}
	if len(e.name) == 0 || string(e.name) == "." {
		return dir
	}
	return filepath.Join(dir, string(e.name))
}
