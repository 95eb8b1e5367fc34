package spool

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
)

const (
	pri  = event.Class_CLASS_PRIORITY
	bulk = event.Class_CLASS_BULK
)

var node = event.NodeID{1}

func open(t testing.TB, dir string, limit int64) (*Spool, *obs.Registry) {
	t.Helper()
	r := &obs.Registry{}
	s, err := Open(Config{Dir: dir, MaxBytes: limit}, slog.New(slog.DiscardHandler), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, r
}

func counter(r *obs.Registry, name, label string) uint64 { return r.Counter(name, label, "").Value() }

// in makes n events of a class; each carries its number and size of padding.
func in(t testing.TB, class event.Class, from, n, padding int) []In {
	t.Helper()
	var out []In
	for i := from; i < from+n; i++ {
		e := &event.Event{Process: &event.Process{Pid: uint32(i), Args: make([]byte, padding)}}
		body, err := e.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, In{class, int64(1_000_000 + i), body})
	}
	return out
}

// seen is what a receiver got: pid by position.
type seen map[link.Position]uint32

// take reads batches of a class until there are none, checking each, and
// returns the position of the last.
func take(t testing.TB, s *Spool, class event.Class, limit, batches int, got seen) (last link.Position) {
	t.Helper()
	for range batches {
		out, err := s.Next(class, limit)
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			return last
		}
		if len(out.Payload) > limit {
			t.Fatalf("batch of %d bytes, limit %d", len(out.Payload), limit)
		}
		var b event.Batch
		if err := b.UnmarshalVT(out.Payload); err != nil {
			t.Fatal(err)
		}
		b.Node, b.Incarnation = node[:], out.Incarnation
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if b.FirstSequence != out.First || b.LastSequence() != out.Last || len(b.Events) != out.Events || b.Class != class {
			t.Fatalf("batch %d to %d with %d events, said to be %d to %d with %d", b.FirstSequence, b.LastSequence(), len(b.Events), out.First, out.Last, out.Events)
		}
		if first := (link.Position{Incarnation: out.Incarnation, Sequence: out.First}); !last.Less(first) {
			t.Fatalf("batch from %v after %v", first, last)
		}
		for _, r := range b.Records {
			p := link.Position{Incarnation: r.ID.Incarnation, Sequence: r.ID.Sequence}
			if pid, again := got[p]; again && pid != r.Event.Process.Pid {
				t.Fatalf("position %v was event %d and is event %d", p, pid, r.Event.Process.Pid)
			}
			if r.Observed != int64(1_000_000+r.Event.Process.Pid) {
				t.Fatalf("event %d observed at %d", r.Event.Process.Pid, r.Observed)
			}
			got[p] = r.Event.Process.Pid
		}
		last = link.Position{Incarnation: out.Incarnation, Sequence: out.Last}
	}
	return last
}

const all = 1 << 30

func TestOrderAndAck(t *testing.T) {
	s, r := open(t, t.TempDir(), MinBytes)
	s.Append(append(in(t, bulk, 0, 100, 10), in(t, pri, 100, 5, 10)...))
	s.Append(in(t, bulk, 105, 50, 10))
	got := seen{}
	lastPri := take(t, s, pri, link.MaxBatch, all, got)
	if len(got) != 5 {
		t.Fatalf("%d priority events", len(got))
	}
	lastBulk := take(t, s, bulk, link.MaxBatch, all, got)
	if len(got) != 155 || s.Backlog() != 155 {
		t.Fatalf("%d events, backlog %d", len(got), s.Backlog())
	}
	s.Acked(bulk, link.Position{Incarnation: s.Incarnation(), Sequence: 1 << 40}) // was never handed out
	if s.Backlog() != 155 {
		t.Fatal("believed an ack of what nobody has")
	}
	s.Acked(bulk, lastBulk)
	s.Acked(pri, lastPri)
	if s.Backlog() != 0 || counter(r, "hauberk_node_events_acknowledged_total", "") != 155 {
		t.Fatalf("backlog %d, acknowledged %d", s.Backlog(), counter(r, "hauberk_node_events_acknowledged_total", ""))
	}
	s.Rewind()
	if out, _ := s.Next(bulk, link.MaxBatch); out != nil {
		t.Fatalf("sends acknowledged events again: %v", out)
	}
}

// TestRestart leaves a spool as kill -9 does, without Close.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	first, _ := open(t, dir, MinBytes)
	first.Append(in(t, bulk, 0, 1000, 100))
	before := seen{}
	last := take(t, first, bulk, 20_000, 3, before)
	first.Acked(bulk, last)
	second, _ := open(t, dir, MinBytes)
	if second.Incarnation() != first.Incarnation()+1 {
		t.Fatalf("incarnation %d after %d", second.Incarnation(), first.Incarnation())
	}
	second.Append(in(t, bulk, 1000, 10, 100))
	after := seen{}
	take(t, second, bulk, link.MaxBatch, all, after)
	for p, pid := range before {
		if again, ok := after[p]; ok && again != pid {
			t.Fatalf("position %v was event %d and is event %d", p, pid, again)
		}
		after[p] = pid
	}
	pids := slices.Sorted(maps.Values(after))
	if len(pids) != 1010 || pids[0] != 0 || pids[1009] != 1009 {
		t.Fatalf("%d events of 1010 came through", len(pids))
	}
	if want := (link.Position{Incarnation: first.Incarnation(), Sequence: 1000}); second.Recovered() != want {
		t.Fatalf("recovered up to %v, want %v", second.Recovered(), want)
	}
}

// TestTornTail cuts and spoils the last segment at every place: what is
// before the damage comes back, nothing after, and nothing invented.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, MinBytes)
	var ends []int // of the records, in the file
	for i := range 10 {
		s.Append(in(t, bulk, 10*i, 10, 3))
		ends = append(ends, int(s.lanes[classBlk].segments[0].size))
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	if len(paths) != 1 {
		t.Fatalf("segments %v", paths)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 7 {
		for _, spoil := range []bool{false, true} {
			data := slices.Clone(whole[:at])
			if spoil {
				data = slices.Clone(whole)
				data[at] ^= 0x55
			}
			fresh := t.TempDir()
			if err := os.WriteFile(filepath.Join(fresh, filepath.Base(paths[0])), data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, r := open(t, fresh, MinBytes)
			got := seen{}
			take(t, s, bulk, link.MaxBatch, all, got)
			want := 0
			for _, end := range ends {
				if end <= at {
					want += 10
				}
			}
			if spoil && at >= 28 && at < headerSize { // reserved bytes
				want = 100
			}
			if len(got) != want {
				t.Fatalf("damage at %d (spoil %v): %d events, want %d", at, spoil, len(got), want)
			}
			if want > 0 && want < 100 && !slices.Contains(ends, at) && counter(r, "hauberk_node_spool_torn_total", "") != 1 {
				t.Fatalf("damage at %d was not counted", at)
			}
			s.Close()
		}
	}
}

func TestFullDropsOldestBulkFirst(t *testing.T) {
	s, r := open(t, t.TempDir(), MinBytes)
	s.Append(in(t, pri, 0, 50, 1000))
	made := 50
	for s.n.dropped.Value() == 0 {
		s.Append(in(t, bulk, made, 100, 1000))
		made += 100
	}
	got := seen{}
	take(t, s, pri, link.MaxBatch, all, got)
	if len(got) != 50 {
		t.Fatalf("%d of 50 priority events are left", len(got))
	}
	take(t, s, bulk, link.MaxBatch, all, got)
	dropped := counter(r, "hauberk_node_events_dropped_total", "reason=spool_full")
	if len(got)+int(dropped) != made {
		t.Fatalf("%d kept + %d dropped, %d made", len(got), dropped, made)
	}
	for p := range got {
		if p.Sequence > 50 && p.Sequence <= 50+dropped {
			t.Fatalf("event %d was kept, younger ones were dropped", p.Sequence)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s, r := open(t, t.TempDir(), MinBytes)
	s.Append(in(t, bulk, 0, 1, link.MaxBatch))
	s.Append(in(t, bulk, 1, 1, link.MaxBatch-4096))
	got := seen{}
	take(t, s, bulk, link.MaxBatch, all, got)
	if len(got) != 1 || counter(r, "hauberk_node_events_dropped_total", "reason=too_large") != 1 {
		t.Fatalf("%d events, %v", len(got), r.Readings())
	}
	if out, err := s.Next(bulk, 100); out != nil || err != nil {
		t.Fatalf("read beyond the end: %v, %v", out, err)
	}
}

func TestSmallRoomWaits(t *testing.T) {
	s, _ := open(t, t.TempDir(), MinBytes)
	s.Append(in(t, bulk, 0, 1, 5000))
	if out, err := s.Next(bulk, 1000); out != nil || err != nil {
		t.Fatalf("handed out %v, %v", out, err)
	}
	if out, err := s.Next(bulk, 10_000); out == nil || err != nil {
		t.Fatalf("nothing handed out: %v", err)
	}
}

// TestDiskLost takes the folder away: the spool goes on in memory, bounded.
func TestDiskLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s, r := open(t, dir, MinBytes)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Append(in(t, bulk, 0, 100, 100))
	got := seen{}
	last := take(t, s, bulk, link.MaxBatch, all, got)
	if len(got) != 100 || counter(r, "hauberk_node_spool_disk_errors_total", "") == 0 {
		t.Fatalf("%d of 100 events through memory", len(got))
	}
	s.Acked(bulk, last)
	for i := range 60 {
		s.Append(in(t, bulk, 100+100*i, 100, 1000))
	}
	if s.memory > memoryBytes {
		t.Fatalf("%d bytes in memory", s.memory)
	}
	take(t, s, bulk, link.MaxBatch, all, got)
	if dropped := counter(r, "hauberk_node_events_dropped_total", "reason=no_disk"); dropped == 0 || len(got)+int(dropped) != 6100 {
		t.Fatalf("%d through + %d dropped of 6100", len(got), dropped)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		s.Append(in(t, bulk, 6100+100*i, 100, 1000))
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(files) == 0 {
		t.Fatal("the disk is back and not used")
	}
}

func TestIncarnationNeverRepeats(t *testing.T) {
	dir := t.TempDir()
	used := map[uint32]bool{}
	last := uint32(0)
	for i, spoil := range []func(){
		nil,
		nil,
		func() { os.Remove(filepath.Join(dir, incarnationFile)) },
		func() { os.WriteFile(filepath.Join(dir, incarnationFile), []byte("nonsense"), 0o600) },
		func() { os.WriteFile(filepath.Join(dir, incarnationFile), nil, 0o600) },
		nil,
	} {
		if spoil != nil {
			spoil()
		}
		s, _ := open(t, dir, MinBytes)
		s.Append(in(t, bulk, 0, 1, 1))
		if used[s.Incarnation()] || s.Incarnation() <= last {
			t.Fatalf("start %d: incarnation %d after %d", i, s.Incarnation(), last)
		}
		last = s.Incarnation()
		used[last] = true
	}
}

// TestProperty compares the spool with the naive twin "a list of events":
// under random appends, reads, acks, reconnects and restarts every event is
// delivered or counted as dropped, with one position for life.
func TestProperty(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		dir := t.TempDir()
		s, _ := open(t, dir, MinBytes)
		got := map[event.Class]seen{pri: {}, bulk: {}}
		lasts := map[event.Class][]link.Position{}
		made := 0
		for range 300 {
			class := []event.Class{pri, bulk}[rng.IntN(2)]
			switch rng.IntN(6) {
			case 0, 1:
				n := rng.IntN(200)
				events := append(in(t, bulk, made, n, rng.IntN(300)), in(t, pri, made+n, 3, 10)...)
				rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				s.Append(events)
				made += n + 3
			case 2, 3:
				if last := take(t, s, class, 5000+rng.IntN(100_000), 1+rng.IntN(4), got[class]); last != (link.Position{}) {
					lasts[class] = append(lasts[class], last)
				}
			case 4:
				if len(lasts[class]) > 0 {
					s.Acked(class, lasts[class][0])
					lasts[class] = lasts[class][1:]
				}
			case 5:
				clear(lasts)
				if rng.IntN(4) == 0 {
					s.Close()
					s, _ = open(t, dir, MinBytes)
				} else {
					s.Rewind()
				}
			}
		}
		s.Rewind()
		pids := map[uint32]int{}
		for _, class := range []event.Class{pri, bulk} {
			s.Acked(class, take(t, s, class, link.MaxBatch, all, got[class]))
			for _, pid := range got[class] {
				pids[pid]++
			}
		}
		for pid := range made {
			if pids[uint32(pid)] != 1 {
				t.Fatalf("seed %d: event %d has %d positions", seed, pid, pids[uint32(pid)])
			}
		}
		if s.Backlog() != 0 {
			t.Fatalf("seed %d: backlog %d", seed, s.Backlog())
		}
	}
}

func FuzzSegment(f *testing.F) {
	seg := memorySegment(bulk, 3, 77)
	for _, r := range []record{{count: 1, first: 1, last: 1}, {count: 2, prev: 1, first: 3, last: 4}} {
		r.file = append(make([]byte, recordHead), 0x42, 2, 8, 1)
		seg.append(&r)
	}
	f.Add(seg.data)
	f.Add(seg.data[:len(seg.data)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &segment{data: data, ackedSize: headerSize}
		if err := s.parse(int64(len(data))); err != nil {
			return
		}
		if s.size > int64(len(data)) {
			t.Fatalf("read %d bytes of %d", s.size, len(data))
		}
		n, err := s.ack(link.Position{Incarnation: s.incarnation, Sequence: s.last})
		if err != nil || n != s.events || s.unacked() != 0 {
			t.Fatalf("acknowledged %d of %d, %v", n, s.events, err)
		}
	})
}

func BenchmarkAppendNextAck(b *testing.B) {
	s, _ := open(b, b.TempDir(), 64<<20)
	events := in(b, bulk, 0, 150, 300)
	b.ReportAllocs()
	for range b.N {
		s.Append(events)
		out, err := s.Next(bulk, link.MaxBatch)
		if err != nil || out == nil {
			b.Fatal(out, err)
		}
		s.Acked(bulk, link.Position{Incarnation: out.Incarnation, Sequence: out.Last})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/150, "ns/event")
}
