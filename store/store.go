// Package store is the store role: it consumes the bus, keeps events in
// store/events and everything that changes (alerts with their state, nodes,
// command results, users, audit) in store/cases, and serves both on a Unix
// socket that only its own user can open. Client is the other end of the
// socket; the protocol is specified in docs/formats/store.md.
//
// It is a process of its own, because the event engine ends its process when
// the disk fails it (docs/adr/0003-event-store.md). run.go has the pipeline
// and the argument why a kill -9 at any moment loses and doubles nothing.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/disk"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/events"
)

// Config of the store role; restart-only.
type Config struct {
	// Dir is the data folder: events go to Dir/events, cases to Dir/cases.
	Dir string `yaml:"dir"`
	// Socket is the Unix socket to serve, by default Dir/run/store.sock.
	Socket string `yaml:"socket"`
	// Events without Dir, which is Dir/events.
	Events events.Config `yaml:"events"`
	// Reserve is the disk space below which nothing is taken in; it should be
	// smaller than that below which ingest stops.
	Reserve disk.Config `yaml:"-"`
	// AlertRetention, ResultRetention: how long alerts are kept after they
	// were last seen, and command results; 1 day to 10 years.
	AlertRetention  time.Duration `yaml:"alert_retention"`
	ResultRetention time.Duration `yaml:"result_retention"`
	// Instance names this member of the consumer groups for ever, so that it
	// takes its partitions back at once after a crash. Empty: a new member at
	// every start.
	Instance string `yaml:"instance"`
}

const day = 24 * time.Hour

// DefaultConfig is for one machine; Dir is for cmd to fill in.
func DefaultConfig() Config {
	return Config{
		Events: events.DefaultConfig(), Reserve: disk.DefaultConfig().Half(),
		AlertRetention: 400 * day, ResultRetention: 90 * day, Instance: "store",
	}
}

// maxSocketPath is the limit of the kernel (sun_path) less the final NUL.
const maxSocketPath = 107

// Validate reports all problems. It fills in what follows from Dir.
func (c *Config) Validate() error {
	var p conf.Problems
	p.NotEmpty("dir", c.Dir)
	if c.Dir != "" && c.Events.Dir == "" {
		c.Events.Dir = filepath.Join(c.Dir, "events")
	}
	if c.Dir != "" && c.Socket == "" {
		c.Socket = filepath.Join(c.Dir, "run", "store.sock")
	}
	if len(c.Socket) > maxSocketPath {
		p.Addf("socket: %s is longer than %d bytes", c.Socket, maxSocketPath)
	}
	c.Events.Check(&p, "events")
	c.Reserve.Check(&p, "reserve")
	p.DurationBetween("alert_retention", c.AlertRetention, day, 3660*day)
	p.DurationBetween("result_retention", c.ResultRetention, day, 3660*day)
	return p.Err()
}

func (c *Config) casesPath() string { return filepath.Join(c.Dir, "cases", "cases.db") }

// Bus is what the store needs of the bus; *bus.Client has it.
type Bus interface {
	Consume(ctx context.Context, g bus.Group, handle func(context.Context, []bus.Message) error) error
	Replay(ctx context.Context, topic string, partition int32, offset int64, handle func(context.Context, []bus.Message) error) error
}

// Deps are what the store uses of others. All but Bus may be nil; without a
// bus the store only serves what it has.
type Deps struct {
	Bus     Bus
	Log     *slog.Logger
	Metrics *obs.Registry
	Now     func() time.Time
	Ready   func() // called once, when the socket serves
}

// ErrRestart ends Run after a backup was staged by Restore: whoever started
// the store starts it again, and New puts the backup in place.
var ErrRestart = errors.New("restart the store to restore a backup")

// Store is the store role. Run may be called once.
type Store struct {
	config  Config
	deps    Deps
	cases   *cases.DB
	events  *events.Store
	reserve *disk.Reserve
	count   counters
	book    *book

	// ingest is held while events are added and while a checkpoint is made: a
	// backup takes it to find both databases at one moment.
	ingest sync.Mutex
	// flushed is when rows were made searchable last; unsettled since when
	// something is not in the checkpoint, zero if all is. ingest guards both.
	flushed, unsettled time.Time
	// checkpoint is the one saved last; ingest guards it.
	checkpoint cases.Checkpoint
	// next is the bus offset to come, by partition, of this process.
	next map[int32]int64

	tenants tenants
	health  healthState
	restart chan struct{} // a backup is staged
	stats   statsCache
}

type counters struct {
	stored, duplicates, replayed     *obs.Counter
	rejected                         map[string]*obs.Counter
	malformed                        map[string]*obs.Counter
	checkpoints, looked              *obs.Counter
	queries, queryFailures, requests *obs.Counter
	waits                            *obs.Counter
}

func newCounters(r *obs.Registry) counters {
	c := counters{
		stored:        r.Counter("hauberk_store_events_stored_total", "", "events written to the event database"),
		duplicates:    r.Counter("hauberk_store_events_duplicate_total", "", "events that came again and were skipped"),
		replayed:      r.Counter("hauberk_store_messages_replayed_total", "", "bus messages read again to fill a gap, after a backup was restored"),
		checkpoints:   r.Counter("hauberk_store_checkpoints_total", "", "times that everything taken in was durable"),
		looked:        r.Counter("hauberk_store_identity_lookups_total", "", "events searched for because the ledger had forgotten their range"),
		queries:       r.Counter("hauberk_store_queries_total", "", "event queries"),
		queryFailures: r.Counter("hauberk_store_query_failures_total", "", "event queries that failed or timed out"),
		requests:      r.Counter("hauberk_store_requests_total", "", "calls on the socket"),
		waits:         r.Counter("hauberk_store_disk_waits_total", "", "times that intake stopped because the disk was at its reserve"),
		rejected:      map[string]*obs.Counter{},
		malformed:     map[string]*obs.Counter{},
	}
	for _, reason := range events.Reasons() {
		c.rejected[reason] = r.Counter("hauberk_store_events_rejected_total", "reason="+reason, "events not stored")
	}
	for _, topic := range []string{bus.Events, bus.Alerts, bus.Presence, bus.Results} {
		c.malformed[topic] = r.Counter("hauberk_store_messages_malformed_total", "topic="+topic, "bus messages that are not what their topic holds")
	}
	return c
}

// healthState is what is wrong at the moment, by who noticed.
type healthState struct {
	mu   sync.Mutex
	what map[string]string
}

func (h *healthState) set(who, what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if what == "" {
		delete(h.what, who)
		return
	}
	if h.what == nil {
		h.what = map[string]string{}
	}
	h.what[who] = what
}

func (h *healthState) reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for who, what := range h.what {
		list = append(list, who+": "+what)
	}
	return list
}

// tenants knows the numbers of tenants.
type tenants struct {
	mu      sync.Mutex
	numbers map[string]uint32
}

// statsCache keeps what is expensive to count.
type statsCache struct {
	mu     sync.Mutex
	at     time.Time
	ledger Reconciliation
}

// New opens both databases, putting a staged backup in place first.
func New(config Config, deps Deps) (*Store, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("store config: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		deps.Metrics = &obs.Registry{}
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	for _, dir := range []string{config.Dir, config.Events.Dir, filepath.Dir(config.casesPath()), filepath.Dir(config.Socket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	if err := finishRestore(config, deps.Log); err != nil {
		return nil, fmt.Errorf("restore backup: %w", err)
	}
	ctx := context.Background()
	db, err := cases.Open(ctx, config.casesPath(), deps.Now)
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: config, deps: deps, cases: db, reserve: disk.NewReserve(config.Events.Dir, config.Reserve),
		count: newCounters(deps.Metrics), book: newBook(db), next: map[int32]int64{}, restart: make(chan struct{}),
	}
	if s.checkpoint, err = db.Checkpoint(ctx); err == nil {
		s.tenants.numbers, err = db.Tenants(ctx)
	}
	if err == nil {
		s.events, err = events.Open(config.Events, s.checkpoint.Dropped, events.Deps{Log: deps.Log, Now: deps.Now, Dropped: s.noteDropped})
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.gauges(deps.Metrics)
	return s, nil
}

func (s *Store) gauges(r *obs.Registry) {
	r.Gauge("hauberk_store_events", "", "events in the database", func() uint64 { return s.events.Stats().Rows })
	r.Gauge("hauberk_store_events_bytes", "", "bytes of the event database on disk", func() uint64 { return s.events.Stats().Bytes })
	r.Gauge("hauberk_store_tail_dropped_rows", "", "rows that slow tails lost", s.events.TailDropped)
	r.Gauge("hauberk_store_disk_free_bytes", "", "free bytes of the disk", func() uint64 {
		space, err := s.reserve.Space()
		if err != nil {
			return 0
		}
		return space.Free
	})
}

// Close closes the databases; for a Store whose Run was never called.
func (s *Store) Close() error {
	s.events.Close()
	return s.cases.Close()
}

// tenant returns a tenant's number, giving it one if it is new.
func (s *Store) tenant(ctx context.Context, name string) (uint32, error) {
	s.tenants.mu.Lock()
	defer s.tenants.mu.Unlock()
	if n, ok := s.tenants.numbers[name]; ok {
		return n, nil
	}
	n, err := s.cases.Tenant(ctx, name)
	if err != nil {
		return 0, err
	}
	s.tenants.numbers[name] = n
	return n, nil
}

// searched returns the numbers of a tenant, of all with "".
func (s *Store) searched(name string) []uint32 {
	s.tenants.mu.Lock()
	defer s.tenants.mu.Unlock()
	if name != "" {
		if n, ok := s.tenants.numbers[name]; ok {
			return []uint32{n}
		}
		return nil
	}
	var list []uint32
	for _, n := range s.tenants.numbers {
		list = append(list, n)
	}
	return list
}
