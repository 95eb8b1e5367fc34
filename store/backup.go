package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/store/cases"
)

// A backup is a folder: cases.db, the tree events/, and manifest.json, which
// names every other file with its size and SHA-256.
const (
	backupCases    = "cases.db"
	backupEvents   = "events"
	backupManifest = "manifest.json"
	backupFormat   = 1
	// staged is where a backup waits, below Config.Dir, to be put in place at
	// the next start; replacedPrefix begins the name of what it replaced.
	staged         = "restoring"
	stagedMark     = "ready"
	replacedPrefix = "replaced-"
	// settlePatience bounds how long a backup waits for durability.
	settlePatience = time.Minute
)

type manifest struct {
	Format int                     `json:"format"`
	Time   int64                   `json:"time"` // Unix ns
	Files  map[string]manifestFile `json:"files"`
}

type manifestFile struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// backup writes a copy of both databases at one moment to dir.
func (s *Store) backup(ctx context.Context, dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: %q is not an absolute path", cases.ErrInvalid, dir)
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%w: %s exists", cases.ErrConflict, dir)
	}
	making := dir + ".making"
	if err := os.RemoveAll(making); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	err := s.copyDatabases(ctx, making)
	if err == nil {
		err = writeManifest(making, s.deps.Now())
	}
	if err == nil {
		err = os.Rename(making, dir)
	}
	if err != nil {
		return fmt.Errorf("back up: %w", errors.Join(err, os.RemoveAll(making)))
	}
	return nil
}

// copyDatabases holds intake while it takes the moment.
func (s *Store) copyDatabases(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	days, err := func() ([]string, error) {
		s.ingest.Lock()
		defer s.ingest.Unlock()
		patience, cancel := context.WithTimeout(ctx, settlePatience)
		defer cancel()
		if err := s.settle(patience); err != nil {
			return nil, fmt.Errorf("wait until all events are on disk: %w", err)
		}
		if err := s.cases.Backup(ctx, filepath.Join(dir, backupCases)); err != nil {
			return nil, err
		}
		return s.events.Freeze(), nil
	}()
	if err != nil {
		return err
	}
	return s.events.Thaw(days, filepath.Join(dir, backupEvents))
}

func writeManifest(dir string, now time.Time) error {
	m := manifest{Format: backupFormat, Time: now.UnixNano(), Files: map[string]manifestFile{}}
	if err := eachFile(dir, func(name, path string) error {
		f, err := hashFile(path)
		m.Files[name] = f
		return err
	}); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, backupManifest), text, 0o600)
}

// eachFile calls each with every regular file below dir and its name within,
// with slashes.
func eachFile(dir string, each func(name, path string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return each(filepath.ToSlash(name), path)
	})
}

func hashFile(path string) (manifestFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return manifestFile{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return manifestFile{n, hex.EncodeToString(h.Sum(nil))}, err
}

// checkBackup compares a backup with its manifest.
func checkBackup(ctx context.Context, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, backupManifest))
	if err != nil {
		return fmt.Errorf("%w: %w", cases.ErrInvalid, err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%w: %s: %w", cases.ErrInvalid, backupManifest, err)
	}
	if m.Format != backupFormat {
		return fmt.Errorf("%w: backup of format %d, this program knows %d", cases.ErrInvalid, m.Format, backupFormat)
	}
	left := len(m.Files)
	if _, ok := m.Files[backupCases]; !ok {
		return fmt.Errorf("%w: %s lacks %s", cases.ErrInvalid, backupManifest, backupCases)
	}
	if err := eachFile(dir, func(name, path string) error {
		if name == backupManifest {
			return nil
		}
		want, ok := m.Files[name]
		if !ok {
			return fmt.Errorf("%s is not in the manifest", name)
		}
		have, err := hashFile(path)
		if err == nil && have != want {
			err = fmt.Errorf("%s is damaged", name)
		}
		left--
		return err
	}); err != nil {
		return fmt.Errorf("%w: %w", cases.ErrInvalid, err)
	}
	if left != 0 {
		return fmt.Errorf("%w: %d files are missing", cases.ErrInvalid, left)
	}
	return nil
}

// stageRestore checks a backup and copies it to where New finds it, then ends
// Run.
func (s *Store) stageRestore(ctx context.Context, dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: %q is not an absolute path", cases.ErrInvalid, dir)
	}
	if err := checkBackup(ctx, dir); err != nil {
		return fmt.Errorf("check backup %s: %w", dir, err)
	}
	place := filepath.Join(s.config.Dir, staged)
	if err := os.RemoveAll(place); err != nil {
		return fmt.Errorf("stage backup: %w", err)
	}
	if err := os.CopyFS(place, os.DirFS(dir)); err != nil {
		return fmt.Errorf("stage backup: %w", err)
	}
	err := os.MkdirAll(filepath.Join(place, backupEvents), 0o700) // a backup without events has no files there
	if err == nil {
		err = cases.Check(ctx, filepath.Join(place, backupCases))
	}
	if err == nil {
		unix.Sync() // what the mark promises must not be lost with the power
		err = os.WriteFile(filepath.Join(place, stagedMark), []byte(s.deps.Now().UTC().Format("20060102T150405.000000000Z")), 0o600)
	}
	if err != nil {
		return fmt.Errorf("stage backup: %w", errors.Join(err, os.RemoveAll(place)))
	}
	s.deps.Log.Warn("a backup is staged, the store ends to restore it", "backup", dir)
	time.AfterFunc(restartDelay, func() {
		select {
		case s.restart <- struct{}{}:
		case <-time.After(drainTime): // Run has ended
		}
	})
	return nil
}

// restartDelay lets the answer reach the caller before the socket closes.
const restartDelay = 100 * time.Millisecond

// finishRestore puts a staged backup in place of the databases, which are
// kept. Each step can be repeated after a crash.
func finishRestore(config Config, log *slog.Logger) error {
	place := filepath.Join(config.Dir, staged)
	stamp, err := os.ReadFile(filepath.Join(place, stagedMark))
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(place) // not complete: it was never promised
	}
	if err != nil {
		return err
	}
	kept := filepath.Join(config.Dir, replacedPrefix+string(stamp))
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	db := config.casesPath()
	for _, move := range []struct {
		from string
		to   string
		with []string // files beside it that belong to it
	}{
		{filepath.Join(place, backupCases), db, []string{db + "-wal", db + "-shm"}},
		{filepath.Join(place, backupEvents), config.Events.Dir, nil},
	} {
		if _, err := os.Lstat(move.from); errors.Is(err, fs.ErrNotExist) {
			continue // done before a crash
		}
		for _, old := range append([]string{move.to}, move.with...) {
			if err := os.Rename(old, filepath.Join(kept, filepath.Base(old))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := os.Rename(move.from, move.to); err != nil {
			return err
		}
	}
	log.Warn("a backup was restored; the databases it replaced are kept", "in", kept)
	return os.RemoveAll(place)
}
