package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/frame"
)

// measured is what a floor cost for each event.
type measured struct {
	each float64 // us of CPU
	size float64 // bytes
	path string
}

// appendFloor does the least that keeps an event on disk: the batch as it
// came, compressed, appended, synced as often as the store settles. Nothing
// can be searched but by reading all of it, and nothing is deduped.
func appendFloor(messages []bus.Message, path string) (measured, error) {
	before := cpu()
	f, err := os.Create(path)
	if err != nil {
		return measured{}, err
	}
	defer f.Close()
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return measured{}, err
	}
	count := 0
	for i, m := range messages {
		if err := frame.Write(z, m.Value); err != nil {
			return measured{}, err
		}
		count += perBatch
		if i%deliveryMessages == deliveryMessages-1 {
			if err := errors.Join(z.Flush(), f.Sync()); err != nil {
				return measured{}, err
			}
		}
	}
	if err := errors.Join(z.Close(), f.Sync()); err != nil {
		return measured{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return measured{}, err
	}
	return measured{micros(cpu()-before, count), float64(info.Size()) / float64(count), path}, nil
}

// scanFloor looks for a word by decompressing everything, in ms.
func scanFloor(path string, word []byte) (float64, error) {
	began := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	r := bufio.NewReaderSize(z, 1<<20)
	found := 0
	var buf []byte
	for {
		if buf, err = frame.Read(r, buf, bus.MaxMessageBytes); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
		found += bytes.Count(buf, word)
	}
	if found == 0 {
		return 0, errors.New("the word is not in the file")
	}
	return float64(time.Since(began).Microseconds()) / 1000, nil
}

// tableFloor inserts each event as JSON into a table keyed by identity.
func tableFloor(messages []bus.Message, path string) (measured, error) {
	before := cpu()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return measured{}, err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE events (id TEXT PRIMARY KEY, at INTEGER, body TEXT) WITHOUT ROWID"); err != nil {
		return measured{}, err
	}
	count := 0
	for rest := messages; len(rest) > 0; {
		n := min(deliveryMessages, len(rest))
		inserted, err := insertAll(db, rest[:n])
		if err != nil {
			return measured{}, err
		}
		count, rest = count+inserted, rest[n:]
	}
	var pages, size float64
	if err := db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		return measured{}, err
	}
	if err := db.QueryRow("PRAGMA page_size").Scan(&size); err != nil {
		return measured{}, err
	}
	return measured{micros(cpu()-before, count), pages * size / float64(count), path}, nil
}

func insertAll(db *sql.DB, messages []bus.Message) (int, error) {
	tx, err := db.Begin()
	if err != nil {
		return 0, err
	}
	insert, err := tx.Prepare("INSERT OR IGNORE INTO events VALUES (?,?,?)")
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	count := 0
	var body []byte
	for _, m := range messages {
		var b event.Batch
		if err := b.UnmarshalVT(m.Value); err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
		for _, r := range b.Records {
			body = event.AppendJSON(body[:0], r)
			if _, err := insert.Exec(r.ID.String(), r.Time, string(body)); err != nil {
				return 0, errors.Join(err, tx.Rollback())
			}
			count++
		}
	}
	return count, tx.Commit()
}
