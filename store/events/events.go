// Package events keeps events in embedded VictoriaLogs storage and searches
// them with LogsQL.
//
// The engine ends its process when the disk fails it, has no log of its own
// writes and knows no duplicates: what is added is searchable at once, on disk
// within two seconds (Durable says when), and stored as often as it is added.
// Package store makes exactly-once of that. Rows, their fields and their
// streams are specified in docs/formats/store.md; the choice of the engine is
// explained in docs/adr/0003-event-store.md.
package events

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"

	"github.com/hauberk/hauberk/internal/conf"
)

// Config of the event database. Retention and MaxBytes can change by a
// restart; Buckets only with an empty database.
type Config struct {
	Dir string `yaml:"dir"`
	// Retention is how long events are kept, by their own time: 1 day to 10
	// years, in whole days.
	Retention time.Duration `yaml:"retention"`
	// MaxBytes on disk; beyond it the oldest days go, but never the newest.
	// 64 MiB to 1 PiB, 0: unlimited.
	MaxBytes int64 `yaml:"max_bytes"`
	// Ahead is how far in the future an event's time may lie, 1 min to 24 h.
	Ahead time.Duration `yaml:"ahead"`
	// Buckets is by how many parts of the nodes a tenant's events of one
	// dataset are kept apart, 1 to 1024. More make the history of one node
	// faster to read and everything else slower and larger.
	Buckets uint32 `yaml:"buckets"`
	// CacheBytes bounds the engine's caches and the memory of queries,
	// 16 MiB to 1 TiB.
	CacheBytes int64 `yaml:"cache_bytes"`
	// Queries that run at once, 1 to 256; more wait.
	Queries int `yaml:"queries"`
	// QueryTimeout is the default, MaxQueryTimeout the most a query may ask
	// for: 1 s to 1 h.
	QueryTimeout    time.Duration `yaml:"query_timeout"`
	MaxQueryTimeout time.Duration `yaml:"max_query_timeout"`
}

const day = 24 * time.Hour

// DefaultConfig is for one machine; Dir is for cmd to fill in.
func DefaultConfig() Config {
	return Config{
		Retention: 30 * day, MaxBytes: 50 << 30, Ahead: time.Hour, Buckets: 8, CacheBytes: 64 << 20,
		Queries: 4, QueryTimeout: 30 * time.Second, MaxQueryTimeout: 10 * time.Minute,
	}
}

// Check notes problems, with keys below prefix.
func (c *Config) Check(p *conf.Problems, prefix string) {
	p.NotEmpty(prefix+".dir", c.Dir)
	p.DurationBetween(prefix+".retention", c.Retention, day, 3660*day)
	if c.Retention%day != 0 {
		p.Addf("%s.retention: %s is not in whole days", prefix, c.Retention)
	}
	if c.MaxBytes != 0 {
		p.Between(prefix+".max_bytes", c.MaxBytes, 64<<20, 1<<50)
	}
	p.DurationBetween(prefix+".ahead", c.Ahead, time.Minute, day)
	p.Between(prefix+".buckets", int64(c.Buckets), 1, 1024)
	p.Between(prefix+".cache_bytes", c.CacheBytes, 16<<20, 1<<40)
	p.Between(prefix+".queries", int64(c.Queries), 1, 256)
	p.DurationBetween(prefix+".query_timeout", c.QueryTimeout, time.Second, time.Hour)
	p.DurationBetween(prefix+".max_query_timeout", c.MaxQueryTimeout, c.QueryTimeout, time.Hour)
}

// Deps are what a Store uses of others; all may be nil.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
	// Dropped is told, before any is deleted, that events before a time (Unix
	// ns) go because of MaxBytes. An error keeps them for now.
	Dropped func(before int64) error
}

// Store is the event database. Add, Flush, Durable and Enforce are for one
// goroutine; everything else is safe for concurrent use.
type Store struct {
	config  Config
	deps    Deps
	engine  *logstorage.Storage
	slots   chan struct{} // bounds queries
	tails   tails
	builder builder
	rows    *logstorage.LogRows
	pending int // rows in it and in the engine's buffer, not searchable yet

	// steady is the time by a clock that does not jump: that of Open plus what
	// has passed since.
	steady func() time.Time

	mu      sync.Mutex
	dropped int64 // events before it (Unix ns) were dropped for their size
	// streams is how many streams the engine had made when that last changed,
	// streamsAt when: the index of streams reaches the disk on its own.
	streams   uint64
	streamsAt time.Time
}

// flushInterval is how long rows stay in memory before they go to disk: the
// engine's minimum.
const flushInterval = time.Second

const century = 100 * 366 * day

// bounds returns the times (Unix ns) before and after which events are not
// kept. The clock may have jumped since Open, or may have been wrong then and
// right now: only what is outside by either reading is outside.
func (s *Store) bounds() (oldest, newest int64) {
	wall, steady := s.deps.Now(), s.steady()
	if wall.After(steady) {
		wall, steady = steady, wall
	}
	return wall.Add(-s.config.Retention).UnixNano(), steady.Add(s.config.Ahead).UnixNano()
}

// engineFlags are the settings that the engine takes from global flags.
var engineFlags sync.Once

// Open opens the database, making it if it is not there. dropped is the last
// time (Unix ns) that Deps.Dropped was told. It panics when the disk fails
// (so does everything else here), or with a database that is damaged in a way
// no crash of the process leaves behind.
func Open(config Config, dropped int64, deps Deps) (*Store, error) {
	var p conf.Problems
	config.Check(&p, "events")
	if err := p.Err(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if err := setFlags(config); err != nil {
		return nil, fmt.Errorf("set up event engine: %w", err)
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open event database: %w", err)
	}
	if err := emptyTrash(config.Dir); err != nil {
		return nil, fmt.Errorf("open event database: %w", err)
	}
	s := &Store{
		config: config, deps: deps, dropped: dropped,
		slots: make(chan struct{}, config.Queries),
		rows:  logstorage.GetLogRows(nil, nil, nil, nil, ""),
		engine: logstorage.MustOpenStorage(filepath.Join(config.Dir, "logs"), &logstorage.StorageConfig{
			// The engine would drop rows outside its bounds in silence, and
			// days when the clock jumps: bounds are for Add and Enforce.
			Retention:       century,
			FutureRetention: century,
			FlushInterval:   flushInterval,
		}),
	}
	s.builder.init(config.Buckets)
	opened, began := deps.Now(), time.Now()
	s.steady = func() time.Time { return opened.Add(time.Since(began)) }
	return s, nil
}

// setFlags gives the engine what it takes from flags. Other settings of the
// process's flags are left alone.
func setFlags(config Config) error {
	var err error
	engineFlags.Do(func() {
		if !flag.Parsed() {
			err = flag.CommandLine.Parse(nil) // the engine refuses to run before
		}
		for name, value := range map[string]string{
			"memory.allowedBytes":     strconv.FormatInt(config.CacheBytes, 10),
			"loggerLevel":             "ERROR",
			"loggerDisableTimestamps": "true",
		} {
			err = errors.Join(err, flag.Set(name, value))
		}
		logger.InitNoLogFlags()
	})
	return err
}

// Close makes everything added durable and closes the database. Queries must
// have ended.
func (s *Store) Close() {
	s.Flush()
	logstorage.PutLogRows(s.rows)
	s.rows = nil
	s.engine.MustClose()
}

// Flush makes everything added searchable.
func (s *Store) Flush() {
	if s.pending == 0 {
		return
	}
	s.hand()
	s.engine.DebugFlush()
	s.pending = 0
}

// hand gives the rows built so far to the engine.
func (s *Store) hand() {
	if s.rows.RowsCount() > 0 {
		s.engine.MustAddRows(s.rows)
		s.rows.ResetKeepSettings()
	}
}

// streamDelay is how long after a new stream its entry in the index of streams
// is certainly on disk: the engine writes it within two flush intervals.
const streamDelay = 3 * flushInterval

// Durable flushes and reports whether everything added so far would survive a
// kill -9 of the process now.
func (s *Store) Durable() bool {
	s.Flush()
	var st logstorage.StorageStats
	s.engine.UpdateStats(&st)
	if st.StreamsCreatedTotal != s.streams {
		s.streams, s.streamsAt = st.StreamsCreatedTotal, time.Now()
	}
	if s.streams > 0 && time.Since(s.streamsAt) < streamDelay { // monotonic, whatever Deps.Now says
		return false
	}
	return st.PendingRows+st.InmemoryRowsCount == 0
}

// Stats are the database's numbers.
type Stats struct {
	Rows, Bytes    uint64
	Days           int
	Oldest, Newest int64 // Unix ns; 0 when there are no events
	InMemory       uint64
	Parts          uint64
	Streams        uint64 // made since Open
}

// Stats returns the database's numbers.
func (s *Store) Stats() Stats {
	var st logstorage.StorageStats
	s.engine.UpdateStats(&st)
	out := Stats{
		Rows:     st.RowsCount() + st.PendingRows,
		Bytes:    st.IndexdbSizeBytes + st.CompressedSmallPartSize + st.CompressedBigPartSize,
		Days:     int(st.PartitionsCount),
		InMemory: st.InmemoryRowsCount + st.PendingRows,
		Parts:    st.InmemoryParts + st.SmallParts + st.BigParts,
		Streams:  st.StreamsCreatedTotal,
	}
	if st.RowsCount() > 0 {
		out.Oldest, out.Newest = st.MinTimestamp, st.MaxTimestamp
	}
	return out
}

// Merge merges the database's parts into few, as the engine does by itself in
// time.
func (s *Store) Merge() {
	s.Flush()
	s.engine.MustForceMerge("")
}
