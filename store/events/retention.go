package events

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// partitionFormat is the engine's name for the folder of a day.
const partitionFormat = "20060102"

// trash is where days go before they are deleted, so that a crash leaves no
// half of one for the engine to find.
const trash = "trash"

func emptyTrash(dir string) error { return os.RemoveAll(filepath.Join(dir, trash)) }

func (s *Store) partitions() string { return filepath.Join(s.config.Dir, "logs", "partitions") }

// Enforce deletes days that are older than Retention, and the oldest days
// while the database is larger than MaxBytes, but never the newest. It returns
// how many days went.
func (s *Store) Enforce() (int, error) {
	s.Flush() // what was added to a day goes with it
	days := s.engine.PartitionList()
	slices.Sort(days)
	gone := 0
	oldest, _ := s.bounds()
	tooOld := time.Unix(0, oldest).UTC().Format(partitionFormat)
	for len(days) > 0 && days[0] < tooOld {
		if err := s.drop(days[0]); err != nil {
			return gone, err
		}
		days, gone = days[1:], gone+1
	}
	for len(days) > 1 && s.config.MaxBytes > 0 && s.Stats().Bytes > uint64(s.config.MaxBytes) {
		first, err := time.Parse(partitionFormat, days[0])
		if err != nil {
			return gone, fmt.Errorf("drop the oldest day: %w", err)
		}
		before := first.Add(day).UnixNano()
		if s.deps.Dropped != nil {
			if err := s.deps.Dropped(before); err != nil {
				return gone, fmt.Errorf("drop the oldest day: %w", err)
			}
		}
		s.mu.Lock()
		s.dropped = max(s.dropped, before)
		s.mu.Unlock()
		if err := s.drop(days[0]); err != nil {
			return gone, err
		}
		s.deps.Log.Warn("dropped the oldest day of events, the database is over its size", "day", days[0])
		days, gone = days[1:], gone+1
	}
	return gone, nil
}

// drop takes a day from the engine and deletes it.
func (s *Store) drop(name string) error {
	if err := s.engine.PartitionDetach(name); err != nil {
		return fmt.Errorf("drop day %s: %w", name, err)
	}
	bin := filepath.Join(s.config.Dir, trash)
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return fmt.Errorf("drop day %s: %w", name, err)
	}
	if err := os.Rename(filepath.Join(s.partitions(), name), filepath.Join(bin, name)); err != nil {
		return fmt.Errorf("drop day %s: %w", name, err)
	}
	return emptyTrash(s.config.Dir)
}

// Freeze takes a snapshot of every day, for Thaw. Everything added must be
// durable. It costs little: files are linked.
func (s *Store) Freeze() []string { return s.engine.PartitionSnapshotMustCreate("") }

// Thaw copies snapshots to a database below dir, which must not exist, and
// deletes them. Files are linked where dir is on the same file system: the
// engine never changes one.
func (s *Store) Thaw(snapshots []string, dir string) error {
	var err error
	for _, snapshot := range snapshots {
		name := filepath.Base(filepath.Dir(filepath.Dir(snapshot))) // <day>/snapshots/<name>
		if err == nil {
			if err = copyTree(snapshot, filepath.Join(dir, "logs", "partitions", name)); err != nil {
				err = fmt.Errorf("copy events of %s: %w", name, err)
			}
		}
		err = errors.Join(err, s.engine.PartitionSnapshotDelete(snapshot))
	}
	if err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(dir, "logs", "partitions"), 0o700)
}

// copyTree copies files, by link where possible.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.ReadFrom(in); err != nil {
		return err
	}
	return out.Sync()
}
