// Command storebench measures the store: CPU and disk for each event from the
// bus to stored, on disk and searchable, beside two floors of the same run
// (the same batches appended to a file with zstd, and the same rows inserted
// into SQLite), how soon an event is found, and how long queries take beside
// a scan of the zstd file. It writes docs/perf/store.{json,md}.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/store"
	"github.com/hauberk/hauberk/store/storetest"
)

func main() {
	count := flag.Int("events", 300_000, "events")
	nodes := flag.Int("nodes", 100, "nodes they come from")
	dir := flag.String("dir", "", "where to work (default: a temporary folder)")
	out := flag.String("out", "docs/perf", "where to write the figures")
	flag.Parse()
	if err := run(*count, *nodes, *dir, *out); err != nil {
		log.Fatal("storebench: ", err)
	}
}

// perBatch is how many events a link batch holds under load.
const perBatch = 250

// needle is a word that one event in the whole set has.
const needle = "xj7qpineapple"

// workload makes all batches, as bus messages, over the last day.
func workload(count, nodes int) ([]bus.Message, error) {
	makers := make([]*storetest.Maker, nodes)
	for i := range makers {
		makers[i] = storetest.NewMaker(i)
	}
	begin := time.Now().Add(-23 * time.Hour)
	step := 22 * time.Hour / time.Duration(count/perBatch+1)
	var list []bus.Message
	offsets := map[int32]int64{}
	for i := range count / perBatch {
		m := makers[i%nodes]
		b := m.Batch(perBatch, begin.Add(time.Duration(i)*step).UnixNano())
		if i == count/perBatch/2 {
			b.Events[7] = &event.Event{Process: &event.Process{Pid: 7, Start: 9, Executable: []byte("/tmp/" + needle)}, Body: &event.Event_Exec{Exec: &event.ProcessExec{}}}
		}
		value, err := b.MarshalVT()
		if err != nil {
			return nil, err
		}
		partition := int32(i % nodes % 8)
		list = append(list, bus.Message{Topic: bus.Events, Key: b.Node, Value: value, Partition: partition, Offset: offsets[partition]})
		offsets[partition]++
	}
	return list, nil
}

// feed is a bus that delivers what it is given.
type feed struct{ deliveries chan delivery }

type delivery struct {
	messages []bus.Message
	done     chan struct{}
}

func (f *feed) Consume(ctx context.Context, g bus.Group, handle func(context.Context, []bus.Message) error) error {
	if g.Name != bus.GroupStore {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		select {
		case d := <-f.deliveries:
			if err := handle(ctx, d.messages); err != nil {
				return err
			}
			close(d.done)
		case <-tick.C:
			if _, err := g.Settle(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// settlePoll is how often the bus asks whether what was taken is safe.
const settlePoll = 50 * time.Millisecond

func (f *feed) Replay(context.Context, string, int32, int64, func(context.Context, []bus.Message) error) error {
	return errors.New("nothing to replay")
}

func (f *feed) deliver(messages []bus.Message) <-chan struct{} {
	d := delivery{messages, make(chan struct{})}
	f.deliveries <- d
	return d.done
}

// cpu returns the CPU time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func run(count, nodes int, dir, out string) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "storebench"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	messages, err := workload(count, nodes)
	if err != nil {
		return err
	}
	count = count / perBatch * perBatch
	raw := 0
	for _, m := range messages {
		raw += len(m.Value)
	}
	fmt.Printf("%d events, %d bytes of protobuf each\n", count, raw/count)
	report := &perf.Report{Area: "store", Command: "go run ./labs/storebench"}
	floor, err := appendFloor(messages, filepath.Join(dir, "floor.zst"))
	if err != nil {
		return err
	}
	table, err := tableFloor(messages[:len(messages)/5], filepath.Join(dir, "floor.db"))
	if err != nil {
		return err
	}
	s, err := begin(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	if err := s.ingest(report, messages, count, floor, table); err != nil {
		return errors.Join(err, s.end())
	}
	if err := s.queries(report, floor); err != nil {
		return errors.Join(err, s.end())
	}
	if err := s.visible(report); err != nil {
		return errors.Join(err, s.end())
	}
	if err := s.end(); err != nil {
		return err
	}
	return report.Write(os.Stdout, out)
}

// bench is a store with a client.
type bench struct {
	dir    string
	feed   *feed
	client *store.Client
	stop   context.CancelFunc
	ended  chan error
}

func begin(dir string) (*bench, error) {
	c := store.DefaultConfig()
	c.Dir = dir
	b := &bench{dir: dir, feed: &feed{make(chan delivery)}, ended: make(chan error, 1)}
	ready := make(chan struct{})
	s, err := store.New(c, store.Deps{Bus: b.feed, Ready: func() { close(ready) }})
	if err != nil {
		return nil, err
	}
	b.client = store.NewClient(filepath.Join(dir, "run", "store.sock"))
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() { b.ended <- s.Run(ctx) }()
	select {
	case <-ready:
		return b, nil
	case err := <-b.ended:
		stop()
		return nil, err
	}
}

func (b *bench) end() error {
	b.stop()
	return <-b.ended
}

// deliveryMessages is about what the bus hands over at once under load.
const deliveryMessages = 200

func (b *bench) ingest(report *perf.Report, messages []bus.Message, count int, floor, table measured) error {
	before := cpu()
	for rest := messages; len(rest) > 0; {
		n := min(deliveryMessages, len(rest))
		<-b.feed.deliver(rest[:n])
		rest = rest[n:]
	}
	stats, err := b.stored(uint64(count))
	if err != nil {
		return err
	}
	each := micros(cpu()-before, count)
	report.Add(perf.Figure{Name: "CPU of an event from bus message to on disk and searchable", Value: each, Unit: "us", Peer: "append to a zstd file, with fsync", PeerValue: floor.each,
		Target: "15 us (the store's part of the pipeline's 25)", Reached: each <= 15, Note: "merges in the background counted"})
	report.Add(perf.Figure{Name: "the same beside SQLite", Value: each, Unit: "us", Peer: "insert the same row as JSON into SQLite, indexed by identity", PeerValue: table.each,
		Target: "less than SQLite", Reached: each < table.each})
	size := float64(stats.Events.Bytes) / float64(count)
	report.Add(perf.Figure{Name: "event on disk", Value: size, Unit: "bytes", Peer: "zstd file", PeerValue: floor.size, Target: "50 bytes", Reached: size <= 50,
		Note: fmt.Sprintf("SQLite %.0f", table.size)})
	report.Add(perf.Figure{Name: "produced - stored - rejected", Value: float64(stats.Ledger.Difference), Unit: "events", Target: "0", Reached: stats.Ledger.Difference == 0})
	return nil
}

// settle bounds the wait for what was delivered to be on disk and in the ledger.
const settle = 30 * time.Second

// stored waits until so many events are stored and accounted for.
func (b *bench) stored(count uint64) (store.Stats, error) {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		stats, err := b.client.Stats(context.Background())
		if err != nil {
			return stats, err
		}
		if stats.Events.Rows == count && stats.Ledger.Stored == count && stats.Ledger.Difference == 0 {
			return stats, nil
		}
		if time.Since(began) > settle {
			return stats, fmt.Errorf("stored %d rows, ledger %+v, want %d", stats.Events.Rows, stats.Ledger, count)
		}
	}
}

func micros(d time.Duration, n int) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }

// queries times queries over the socket; each is run several times, the
// median counts.
func (b *bench) queries(report *perf.Report, floor measured) error {
	scan, err := scanFloor(floor.path, []byte(needle))
	if err != nil {
		return err
	}
	node := storetest.Node(3).String()
	now := time.Now()
	for _, q := range []struct {
		name, text string
		limit      int
		window     time.Duration // back from now; 0: everything
		rows       uint64        // 0: some
		target     float64       // ms
	}{
		{"a rare word in any field", needle, 100, 0, 1, 100},
		{"an indicator that is nowhere", `destination.ip:="203.0.113.9"`, 100, 0, 0, 50},
		{"the newest 100 events", "", 100, 0, 100, 100},
		{"the newest 100 events of a node", `host.id:="` + node + `"`, 100, 0, 100, 200},
		{"the 10 programs run most", `{event.dataset="process.exec"} | stats by (process.executable) count() n | sort by (n desc) | limit 10`, 100, 0, 9, 500},
		{"count of a regular expression", `process.command_line:~"items/[0-9]+7$" | stats count() n`, 1, 0, 1, 1000},
	} {
		var times []float64
		for range 7 {
			began := time.Now()
			r := store.Query{LogsQL: q.text, Limit: q.limit}
			if q.window > 0 {
				r.Start = now.Add(-q.window).UnixNano()
			}
			end, err := b.client.Query(context.Background(), r, func([]byte) error { return nil })
			if err != nil {
				return fmt.Errorf("query %s: %w", q.name, err)
			}
			if end.Rows != q.rows {
				return fmt.Errorf("query %s: %d rows, want %d", q.name, end.Rows, q.rows)
			}
			times = append(times, float64(time.Since(began).Microseconds())/1000)
		}
		median := perf.Median(times)
		report.Add(perf.Figure{Name: "query: " + q.name, Value: median, Unit: "ms", Peer: "scan of the zstd file", PeerValue: scan,
			Target: fmt.Sprintf("%g ms", q.target), Reached: median <= q.target})
	}
	return nil
}

// alone is a partition with nothing before the messages of visible.
const alone = 100

// visible measures how long after its delivery an event is found, with
// deliveries coming all the time.
func (b *bench) visible(report *perf.Report) error {
	m := storetest.NewMaker(9999)
	var times []float64
	for i := range 20 {
		batch := m.Batch(1, time.Now().UnixNano())
		id := event.ID{Node: m.Node, Incarnation: m.Incarnation, Sequence: m.Next - 1}.String()
		value, err := batch.MarshalVT()
		if err != nil {
			return err
		}
		began := time.Now()
		go b.feed.deliver([]bus.Message{{Topic: bus.Events, Key: batch.Node, Value: value, Partition: alone, Offset: int64(i)}})
		for found := false; !found; {
			if _, err := b.client.Query(context.Background(), store.Query{LogsQL: `event.id:="` + id + `"`, Limit: 1}, func(row []byte) error {
				found = json.Valid(row) && bytes.Contains(row, []byte(id))
				return nil
			}); err != nil {
				return err
			}
		}
		times = append(times, float64(time.Since(began).Milliseconds()))
	}
	p50, p99 := perf.Median(times), perf.Quantile(times, 0.99)
	report.Add(perf.Figure{Name: "event found after its delivery, worst of 20 (median in the note)", Value: p99, Unit: "ms", Target: "2000 ms", Reached: p99 <= 2000,
		Note: fmt.Sprintf("median %.0f ms", p50)})
	return nil
}
