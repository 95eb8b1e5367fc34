package cases

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the case database. It is safe for concurrent use.
type DB struct {
	write *sql.DB // one connection: the one writer
	read  *sql.DB
	now   func() time.Time
	hash  chan struct{} // bounds password hashing, which takes memory

	mu      sync.Mutex
	changed chan struct{} // closed when an alert changed
}

const (
	// readers bounds the connections that only read; each costs some 100 KB
	// and its page cache.
	readers = 4
	// cacheKiB is the page cache of a connection. SQLite's 2 MB would be most
	// of the store's idle memory; the kernel caches the file anyway.
	cacheKiB = 512
	// busyTimeout is how long a backup of another process may hold a lock.
	busyTimeout = 5 * time.Second
	// hashers bounds how many passwords are hashed at once, 19 MiB each.
	hashers = 2
)

// Memory, as a path, makes a database in memory, for tests of others.
const Memory = ":memory:"

// Open opens the database file, making it (0600) and bringing its schema up to
// date. The clock may be nil.
func Open(ctx context.Context, path string, now func() time.Time) (*DB, error) {
	if now == nil {
		now = time.Now
	}
	d := &DB{now: now, hash: make(chan struct{}, hashers), changed: make(chan struct{})}
	if path != Memory {
		if err := touch(path); err != nil {
			return nil, err
		}
	}
	var err error
	if d.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, fmt.Errorf("open case database: %w", err)
	}
	d.write.SetMaxOpenConns(1)
	d.write.SetConnMaxIdleTime(0)
	if err := migrate(ctx, d.write, migrations); err != nil {
		d.write.Close()
		return nil, fmt.Errorf("open case database %s: %w", path, err)
	}
	if path == Memory {
		d.read = d.write // each connection would have a database of its own
		return d, nil
	}
	if d.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		d.write.Close()
		return nil, fmt.Errorf("open case database: %w", err)
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(1)
	return d, nil
}

// touch makes the file private before SQLite opens it; its WAL inherits the mode.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open case database: %w", err)
	}
	return f.Close()
}

func dsn(path string, readOnly bool) string {
	v := url.Values{}
	for _, p := range []string{
		"journal_mode(WAL)",
		"synchronous(FULL)", // an alert is committed to the bus after it is here
		"foreign_keys(ON)",
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
		"temp_store(MEMORY)",
	} {
		v.Add("_pragma", p)
	}
	if readOnly {
		v.Add("_pragma", "query_only(ON)")
	} else {
		v.Set("_txlock", "immediate")
	}
	if path == Memory {
		return Memory + "?" + v.Encode()
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: v.Encode()}).String()
}

// Close closes the database.
func (d *DB) Close() error {
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// migrate applies the numbered files of the folder above the database's
// version, each in its own transaction.
func migrate(ctx context.Context, db *sql.DB, files fs.FS) error {
	names, err := fs.Glob(files, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if version > len(names) {
		return fmt.Errorf("schema version %d is newer than this program, which knows %d", version, len(names))
	}
	for i, name := range names[version:] {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, string(text)+fmt.Sprintf(";\nPRAGMA user_version = %d;", version+i+1))
		if err != nil {
			return errors.Join(fmt.Errorf("migrate to %s: %w", filepath.Base(name), err), tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("migrate to %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// update runs f in the one write transaction.
func (d *DB) update(ctx context.Context, what string, f func(*sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := f(tx); err != nil {
		if back := tx.Rollback(); back != nil {
			err = errors.Join(err, back)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// query calls each with every row.
func (d *DB) query(ctx context.Context, what string, each func(*sql.Rows) error, text string, args ...any) error {
	rows, err := d.read.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Size returns the bytes of the database, its log not counted.
func (d *DB) Size(ctx context.Context) (int64, error) {
	var pages, size int64
	if err := d.read.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return 0, fmt.Errorf("measure case database: %w", err)
	}
	if err := d.read.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		return 0, fmt.Errorf("measure case database: %w", err)
	}
	return pages * size, nil
}

// Backup writes a consistent copy to a file that must not exist, while the
// database is in use.
func (d *DB) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s exists", ErrConflict, path)
	}
	if err := touch(path); err != nil { // VACUUM INTO accepts an empty file, and keeps its mode
		return err
	}
	if _, err := d.write.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("back up case database: %w", err)
	}
	return nil
}

// Check verifies the database file of a backup: that it is whole and that this
// program knows its schema.
func Check(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("check case database: %w", err)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro"}).String())
	if err != nil {
		return fmt.Errorf("check case database: %w", err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check case database %s: %w", path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check case database %s: %s", path, verdict)
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("check case database %s: %w", path, err)
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if version < 1 || version > len(names) {
		return fmt.Errorf("check case database %s: schema version %d, this program knows 1 to %d", path, version, len(names))
	}
	return nil
}

// Prune removes what is older than its time: alerts last seen before alerts,
// results before results, lives of nodes that ended before lives, and expired
// sessions. It returns how many alerts went.
func (d *DB) Prune(ctx context.Context, alerts, results, lives time.Time) (int64, error) {
	var gone int64
	err := d.update(ctx, "prune case database", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM alert_history WHERE alert IN (SELECT id FROM alerts WHERE last_seen < ?)", alerts.UnixNano()); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, "DELETE FROM alerts WHERE last_seen < ?", alerts.UnixNano())
		if err != nil {
			return err
		}
		if gone, err = r.RowsAffected(); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM results WHERE time < ?", results.UnixNano()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM lives WHERE changed < ?", lives.UnixNano()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE expires <= ?", d.now().UnixNano())
		return err
	})
	return gone, err
}

// where builds a WHERE clause.
type where struct {
	parts []string
	args  []any
}

func (w *where) add(text string, args ...any) {
	w.parts = append(w.parts, "("+text+")")
	w.args = append(w.args, args...)
}

// equal adds a condition unless value is empty.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// in adds a condition unless the list is empty.
func (w *where) in(column string, values []any) {
	if len(values) > 0 {
		w.add(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", values...)
	}
}

func (w *where) String() string {
	if len(w.parts) == 0 {
		return "1"
	}
	return strings.Join(w.parts, " AND ")
}

func pageLimit(n int) (int, error) {
	switch {
	case n == 0:
		return DefaultPage, nil
	case n < 0 || n > MaxPage:
		return 0, fmt.Errorf("%w: limit %d is outside 1 to %d", ErrInvalid, n, MaxPage)
	}
	return n, nil
}

// likeText escapes text for LIKE ... ESCAPE '\'.
func likeText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}
