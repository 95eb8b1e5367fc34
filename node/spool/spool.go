// Package spool is the node's queue between what it saw and what the centre
// has: bounded, on disk, specified in docs/formats/spool.md.
//
// Append gives events their sequence and writes them to a segment file before
// it returns, without waiting for the disk: a kill -9 of the process loses
// nothing that was appended, a power failure at most what Sync had not
// flushed. Reading goes through the page cache, so the queue needs no memory
// of its own and a file that is acknowledged soon never reaches the disk. If
// the disk refuses, segments live in bounded memory until it is back.
//
// Each start of the node is a new incarnation, made durable before the first
// event, so that no position (incarnation, sequence) is ever used twice.
package spool

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"google.golang.org/protobuf/encoding/protowire"
)

// Config is where and how much.
type Config struct {
	Dir      string // made 0700
	MaxBytes int64  // of all segments together, at least MinBytes
}

// MinBytes is the smallest bound that makes sense: the largest batch of each
// class twice over.
const MinBytes = 4 << 20

const (
	// segments is into how many files a full spool divides: what is dropped
	// at once when it is full.
	segments           = 32
	minSegment         = 64 << 10
	maxSegment         = 1 << 20
	memoryBytes        = 2 << 20   // of segments the disk refused
	batchBytes         = 128 << 10 // of a batch handed out; more compresses hardly better
	recordBytes        = 32 << 10  // events of one Append are cut into records of about this size
	maxEvent           = link.MaxBatch - 1<<10
	reclaim            = 256 << 10 // a segment all acknowledged is deleted from this size on
	payloadHead        = 32        // bytes of event.Batch before its events, at most
	dirMode, fileMode  = 0o700, 0o600
	classPri, classBlk = 0, 1
)

// In is one event to append.
type In struct {
	Class    event.Class
	Observed int64  // Unix ns
	Body     []byte // marshalled event.Event without skip and observed_delta
}

// Spool is safe for concurrent use. Make it with Open.
type Spool struct {
	cfg     Config
	segment int64
	log     *slog.Logger
	n       counters
	ready   chan struct{}
	inc     uint32

	mu       sync.Mutex
	sequence uint64 // of the last event appended
	lanes    [2]lane
	bytes    int64 // of segments on disk
	memory   int64 // of segments in memory
	out      []byte
	scratch  []byte
	lastInc  link.Position // end of the newest earlier incarnation found
	dirty    bool
}

// lane is the queue of one class, oldest segment first. The last one is
// appended to while it is of this incarnation and not sealed.
type lane struct {
	class    event.Class
	segments []*segment
	prev     uint64        // sequence of the last event appended in this incarnation
	acked    link.Position // everything up to here is on the bus
	handed   link.Position // handed out up to here
	read     cursor
}

// cursor is where Next reads on.
type cursor struct {
	segment *segment // nil: at the first one
	offset  int64
}

type counters struct {
	appended, dropped, droppedMemory, tooLarge, torn, bad, diskErrors, acked *obs.Counter
}

// Open opens or makes the spool, recovers what an earlier process left, and
// makes a new incarnation durable.
func Open(cfg Config, log *slog.Logger, r *obs.Registry) (*Spool, error) {
	if err := os.MkdirAll(cfg.Dir, dirMode); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{cfg: cfg, log: log, ready: make(chan struct{}, 1)}
	s.segment = segmentSize(cfg.MaxBytes)
	s.lanes[classPri].class, s.lanes[classBlk].class = event.Class_CLASS_PRIORITY, event.Class_CLASS_BULK
	s.register(r)
	if err := s.recover(); err != nil {
		return nil, err
	}
	inc, err := nextIncarnation(cfg.Dir, s.lastInc.Incarnation)
	if err != nil {
		return nil, err
	}
	s.inc = inc
	return s, nil
}

func (s *Spool) register(r *obs.Registry) {
	dropped := func(reason string) *obs.Counter {
		return r.Counter("hauberk_node_events_dropped_total", "reason="+reason, "Events the spool dropped.")
	}
	s.n = counters{
		appended: r.Counter("hauberk_node_events_total", "", "Events given a sequence."),
		dropped:  dropped("spool_full"), droppedMemory: dropped("no_disk"), tooLarge: dropped("too_large"),
		torn:       r.Counter("hauberk_node_spool_torn_total", "", "Segments whose end was torn by a crash; what was cut was never acknowledged."),
		bad:        r.Counter("hauberk_node_spool_unreadable_total", "", "Segment files that could not be read and were removed."),
		diskErrors: r.Counter("hauberk_node_spool_disk_errors_total", "", "Failed writes; the spool went on in memory."),
		acked:      r.Counter("hauberk_node_events_acknowledged_total", "", "Events known to be on the bus."),
	}
	r.Gauge("hauberk_node_spool_bytes", "", "Bytes of segments on disk and in memory.", func() uint64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return uint64(s.bytes + s.memory)
	})
}

// Incarnation returns the number of this start of the node.
func (s *Spool) Incarnation() uint32 { return s.inc }

// Recovered returns the last position an earlier incarnation left on disk,
// zero if none.
func (s *Spool) Recovered() link.Position { return s.lastInc }

// Append gives the events the next sequences and queues them. It never
// blocks on the network and never fails: what cannot be kept is counted.
func (s *Spool) Append(events []In) {
	s.mu.Lock()
	for i := range s.lanes {
		s.appendLane(&s.lanes[i], events)
	}
	s.makeRoom()
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// appendLane writes the events of the lane's class as records. Sequences are
// given class by class: order across classes is by time, not by sequence.
func (s *Spool) appendLane(l *lane, events []In) {
	r := record{file: s.scratch}
	r.clear()
	for i := range events {
		e := &events[i]
		if e.Class != l.class {
			continue
		}
		if len(e.Body) > maxEvent {
			s.n.tooLarge.Inc()
			s.sequence++ // a gap says that something is missing
			continue
		}
		s.sequence++
		s.n.appended.Inc()
		seg := s.tail(l, e.Observed)
		if r.count == 0 {
			r.prev, r.first = l.prev, s.sequence
			if s.sequence-l.prev-1 > math.MaxUint32 {
				r.prev = s.sequence - 1
			}
			r.last = r.prev
		}
		r.file = appendEvent(r.file, uint32(s.sequence-r.last-1), e.Observed-seg.base, e.Body)
		r.last = s.sequence
		r.count++
		l.prev = s.sequence
		if len(r.file) >= recordBytes {
			s.write(l, &r)
		}
	}
	if r.count > 0 {
		s.write(l, &r)
	}
	s.scratch = r.file
	if cap(s.scratch) > 2*batchBytes {
		s.scratch = nil
	}
}

// appendEvent appends one element of event.Batch.events: the node's own
// fields first, then what the collector marshalled.
func appendEvent(dst []byte, skip uint32, delta int64, body []byte) []byte {
	var own [24]byte
	head := own[:0]
	if skip > 0 {
		head = protowire.AppendTag(head, 1, protowire.VarintType)
		head = protowire.AppendVarint(head, uint64(skip))
	}
	if delta != 0 {
		head = protowire.AppendTag(head, 2, protowire.VarintType)
		head = protowire.AppendVarint(head, protowire.EncodeZigZag(delta))
	}
	dst = protowire.AppendTag(dst, 8, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(head)+len(body)))
	return append(append(dst, head...), body...)
}

// tail returns the segment to append to, a new one if there is none.
func (s *Spool) tail(l *lane, observed int64) *segment {
	if n := len(l.segments); n > 0 && !l.segments[n-1].sealed {
		return l.segments[n-1]
	}
	seg := newSegment(s.cfg.Dir, l.class, s.inc, s.sequence, observed)
	if seg.err != nil {
		s.refused(seg.err)
	}
	s.count(seg, seg.size)
	l.segments = append(l.segments, seg)
	return seg
}

// write puts the record at the end of the lane and starts the next record.
func (s *Spool) write(l *lane, r *record) {
	seg := l.segments[len(l.segments)-1]
	before := seg.size
	if err := seg.append(r); err != nil {
		// What the file took so far stays; this record and all that follow
		// go to memory until a new segment finds the disk willing.
		s.refused(err)
		seg.sealed = true
		seg = memorySegment(l.class, s.inc, seg.base)
		l.segments = append(l.segments, seg)
		before = 0
		if err := seg.append(r); err != nil {
			panic(fmt.Sprint("append to memory: ", err)) // cannot happen
		}
	}
	s.count(seg, seg.size-before)
	s.dirty = true
	if seg.size >= s.segment {
		seg.sealed = true
	}
	r.clear()
}

func (s *Spool) refused(err error) {
	if s.n.diskErrors.Inc(); s.n.diskErrors.Value() == 1 || s.n.diskErrors.Value()%1000 == 0 {
		s.log.Error("spool goes on in memory", "cause", err, "times", s.n.diskErrors.Value())
	}
}

func (s *Spool) count(seg *segment, n int64) {
	if seg.file == nil {
		s.memory += n
	} else {
		s.bytes += n
	}
}

// makeRoom drops the oldest segments, bulk first, until the bounds hold. The
// segment being appended to is dropped last and only with the lane's others
// gone.
func (s *Spool) makeRoom() {
	for s.bytes > s.cfg.MaxBytes {
		if !s.dropOldest(func(seg *segment) bool { return seg.file != nil }, s.n.dropped) {
			break
		}
	}
	for s.memory > memoryBytes {
		if !s.dropOldest(func(seg *segment) bool { return seg.file == nil }, s.n.droppedMemory) {
			break
		}
	}
}

func (s *Spool) dropOldest(which func(*segment) bool, why *obs.Counter) bool {
	for _, i := range []int{classBlk, classPri} {
		l := &s.lanes[i]
		if at := slices.IndexFunc(l.segments, which); at >= 0 {
			why.Add(l.segments[at].unacked())
			s.remove(l, at)
			return true
		}
	}
	return false
}

// remove deletes the segment and moves the cursor past it.
func (s *Spool) remove(l *lane, at int) {
	seg := l.segments[at]
	if l.read.segment == seg {
		switch {
		case at+1 < len(l.segments):
			l.read = cursor{l.segments[at+1], headerSize}
		case at > 0: // what is appended next is read next
			l.read = cursor{l.segments[at-1], l.segments[at-1].size}
		default:
			l.read = cursor{}
		}
	}
	s.count(seg, -seg.size)
	seg.delete()
	l.segments = slices.Delete(l.segments, at, at+1)
}

// Ready implements link.Source.
func (s *Spool) Ready() <-chan struct{} { return s.ready }

// Rewind implements link.Source.
func (s *Spool) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lanes {
		s.lanes[i].read = cursor{}
	}
}

// Next implements link.Source: consecutive records of one segment, at most
// limit bytes of them.
func (s *Spool) Next(class event.Class, limit int) (*link.Outgoing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lanes[classBlk]
	if class == event.Class_CLASS_PRIORITY {
		l = &s.lanes[classPri]
	}
	for l.seek() {
		out, err := s.batch(l, limit)
		if err == nil {
			return out, nil
		}
		// The file no longer says what was written to it. What cannot be
		// read cannot be sent: it is lost, and said so.
		s.log.Error("spool segment unreadable", "cause", err)
		at := slices.Index(l.segments, l.read.segment)
		s.n.bad.Inc()
		s.n.dropped.Add(l.read.segment.unacked())
		s.remove(l, at)
	}
	return nil, nil
}

// seek moves the cursor to the next record, over segments read to their end.
func (l *lane) seek() bool {
	if l.read.segment == nil {
		if len(l.segments) == 0 {
			return false
		}
		l.read = cursor{l.segments[0], headerSize}
	}
	for l.read.offset >= l.read.segment.size {
		at := slices.Index(l.segments, l.read.segment)
		if at+1 >= len(l.segments) {
			return false
		}
		l.read = cursor{l.segments[at+1], headerSize}
	}
	return true
}

// batch makes a batch of the records at the cursor and moves it past them. It
// returns nil if the first record is larger than limit.
func (s *Spool) batch(l *lane, limit int) (*link.Outgoing, error) {
	seg, offset := l.read.segment, max(l.read.offset, l.read.segment.ackedSize)
	out := &link.Outgoing{Class: l.class, Incarnation: seg.incarnation}
	want := min(limit, batchBytes)
	s.out = s.out[:0]
	for offset < seg.size {
		head, err := seg.head(offset)
		if err != nil {
			return nil, err
		}
		if out.Events > 0 && (len(s.out)+int(head.length) > want || head.prev != out.Last || out.Events+int(head.count) > link.MaxBatchEvents) {
			break
		}
		if out.Events == 0 {
			if int(head.length)+payloadHead > limit {
				return nil, nil
			}
			out.First = head.prev + 1
			if s.out, err = appendBatchHead(s.out, out.First, seg.base, l.class); err != nil {
				return nil, err
			}
		}
		if s.out, err = seg.body(s.out, offset, head); err != nil {
			return nil, err
		}
		out.Last = head.last
		out.Events += int(head.count)
		offset += recordHead + int64(head.length)
	}
	if out.Events == 0 {
		return nil, nil
	}
	l.read.offset = offset
	if end := (link.Position{Incarnation: seg.incarnation, Sequence: out.Last}); l.handed.Less(end) {
		l.handed = end
	}
	out.Payload = s.out
	return out, nil
}

func appendBatchHead(dst []byte, first uint64, base int64, class event.Class) ([]byte, error) {
	head := event.Batch{FirstSequence: first, BaseTime: base, Schema: event.Schema, Class: class}
	b, err := head.MarshalVT()
	return append(dst, b...), err
}

// Acked implements link.Source: segments that are on the bus as a whole are
// deleted. A position beyond what was handed out is not believed.
func (s *Spool) Acked(class event.Class, upTo link.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lanes[classBlk]
	if class == event.Class_CLASS_PRIORITY {
		l = &s.lanes[classPri]
	}
	if l.handed.Less(upTo) || !l.acked.Less(upTo) {
		return
	}
	l.acked = upTo
	for len(l.segments) > 0 {
		seg := l.segments[0]
		n, err := seg.ack(upTo)
		s.n.acked.Add(n)
		if err != nil {
			s.log.Error("spool segment unreadable", "cause", err) // Next meets it too, and removes it
			return
		}
		if seg.unacked() > 0 || !seg.sealed && seg.size < reclaim {
			return
		}
		s.remove(l, 0)
	}
}

// Backlog returns how many events wait for acknowledgement.
func (s *Spool) Backlog() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := uint64(0)
	for i := range s.lanes {
		l := &s.lanes[i]
		for _, seg := range l.segments {
			n += seg.unacked()
		}
	}
	return n
}

// Sync makes everything appended so far survive a power failure. The owner
// calls it from time to time while there is a backlog.
func (s *Spool) Sync() error {
	s.mu.Lock()
	var waiting []*segment
	if s.dirty {
		for i := range s.lanes {
			for _, seg := range s.lanes[i].segments {
				if seg.file != nil && seg.synced < seg.size {
					seg.synced = seg.size
					waiting = append(waiting, seg)
				}
			}
		}
	}
	s.dirty = false
	s.mu.Unlock()
	// Not under the lock: the disk may take its time while events come in.
	for _, seg := range waiting {
		if err := seg.file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("sync spool: %w", err)
		}
	}
	return nil
}

// Close syncs and closes all files. The spool must not be used afterwards.
func (s *Spool) Close() error {
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.lanes {
		for _, seg := range s.lanes[i].segments {
			seg.close()
		}
	}
	return err
}

// recover reads what earlier processes left, oldest first.
func (s *Spool) recover() error {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(s.cfg.Dir, entry.Name())
		if filepath.Ext(path) != segmentExt {
			continue
		}
		seg, torn, err := readSegment(path)
		if err != nil {
			s.log.Error("spool segment removed", "file", path, "cause", err)
			s.n.bad.Inc()
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("open spool: %w", err)
			}
			continue
		}
		if torn > 0 {
			s.n.torn.Inc()
			s.log.Warn("spool segment had a torn end", "file", path, "bytes", torn)
		}
		if seg.events == 0 {
			seg.delete()
			continue
		}
		l := &s.lanes[classBlk]
		if seg.class == event.Class_CLASS_PRIORITY {
			l = &s.lanes[classPri]
		}
		l.segments = append(l.segments, seg)
		s.bytes += seg.size
		if end := (link.Position{Incarnation: seg.incarnation, Sequence: seg.last}); s.lastInc.Less(end) {
			s.lastInc = end
		}
	}
	for i := range s.lanes {
		slices.SortFunc(s.lanes[i].segments, func(a, b *segment) int {
			if a.incarnation != b.incarnation {
				return cmp.Compare(a.incarnation, b.incarnation)
			}
			return cmp.Compare(a.last, b.last)
		})
	}
	s.makeRoom() // the bound may be lower than last time
	return nil
}

// SetMaxBytes changes the bound of all segments together.
func (s *Spool) SetMaxBytes(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.MaxBytes = n
	s.segment = segmentSize(n)
	s.makeRoom()
}

func segmentSize(limit int64) int64 { return min(max(limit/segments, minSegment), maxSegment) }
