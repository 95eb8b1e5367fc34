package events

import (
	"bytes"
	"hash/fnv"
	"strconv"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/hauberk/hauberk/event"
)

// Names of the fields that are not in event.Fields.
const (
	fieldBucket    = "hauberk.bucket"
	fieldPartition = "hauberk.bus.partition"
	fieldOffset    = "hauberk.bus.offset"
	fieldTenant    = "organization.id"
	fieldDataset   = "event.dataset"
	fieldID        = "event.id"
	fieldHostID    = "host.id"
)

// Reasons why an event is rejected; a closed set.
const (
	TooOld   = "too_old"     // older than the retention
	TooNew   = "too_new"     // too far in the future
	Dropped  = "over_size"   // of a day that was dropped because of MaxBytes
	TooLarge = "too_large"   // of more bytes or labels than the engine takes
	NoID     = "no_sequence" // without a sequence, which only a broken node sends
)

// Reasons lists the reasons.
func Reasons() []string { return []string{TooOld, TooNew, Dropped, TooLarge, NoID} }

// Limits of the engine, less some room: it would drop what passes them in
// silence.
const (
	maxRowBytes  = 2<<20 - 64<<10
	maxNameBytes = 128
	maxFields    = 1900
)

// Position is where in the bus an event was.
type Position struct {
	Partition int32
	Offset    int64
}

// Add stores one event, or returns the reason why not. It is searchable after
// Flush and safe when Durable says so. tenant is the tenant's number, from 1.
// The record is not kept.
func (s *Store) Add(r *event.Record, tenant uint32, at Position) (rejected string) {
	if reason := s.outside(r); reason != "" {
		return reason
	}
	fields, ok := s.builder.build(r, at)
	if !ok {
		return TooLarge
	}
	s.rows.MustAdd(logstorage.TenantID{AccountID: tenant}, r.Time, fields, streamFields)
	s.pending++
	s.tails.offer(tenant, r.Time, fields)
	if s.rows.NeedFlush() {
		s.hand()
	}
	return ""
}

// outside returns the reason why the event's time is not kept.
func (s *Store) outside(r *event.Record) string {
	oldest, newest := s.bounds()
	switch {
	case r.ID.Sequence == 0:
		return NoID
	case r.Time < oldest:
		return TooOld
	case r.Time > newest:
		return TooNew
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Time < s.dropped {
		return Dropped
	}
	return ""
}

// Bucket returns the part of the nodes that a node is in: FNV-1a of its id,
// modulo the number of buckets.
func Bucket(id event.NodeID, buckets uint32) uint32 {
	h := fnv.New32a()
	h.Write(id[:])
	return h.Sum32() % buckets
}

// builder turns records into rows. It reuses its memory: a row is good until
// the next.
type builder struct {
	buckets uint32
	fields  []logstorage.Field
	text    []byte
	node    event.NodeID
	bucket  string
}

// streamFields is how many fields of a row, the first, name its stream.
const streamFields = 3

func (b *builder) init(buckets uint32) {
	b.buckets = buckets
	b.bucket = strconv.FormatUint(uint64(Bucket(b.node, buckets)), 10)
}

// view gives bytes as a string without a copy; they must not change while it
// is in use.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (b *builder) add(name, value string) {
	b.fields = append(b.fields, logstorage.Field{Name: name, Value: value})
}

// addText adds what f appends to the builder's memory.
func (b *builder) addText(name string, f func([]byte) []byte) {
	start := len(b.text)
	b.text = f(b.text)
	b.add(name, view(b.text[start:]))
}

func (b *builder) build(r *event.Record, at Position) ([]logstorage.Field, bool) {
	b.fields, b.text = b.fields[:0], b.text[:0]
	if r.ID.Node != b.node {
		b.node = r.ID.Node
		b.bucket = strconv.FormatUint(uint64(Bucket(b.node, b.buckets)), 10)
	}
	b.add(fieldTenant, r.Tenant)
	b.add(fieldDataset, r.Event.BodyKind().Dataset())
	b.add(fieldBucket, b.bucket)
	b.addText(fieldPartition, func(t []byte) []byte { return strconv.AppendInt(t, int64(at.Partition), 10) })
	b.addText(fieldOffset, func(t []byte) []byte { return strconv.AppendInt(t, at.Offset, 10) })
	kind := r.Event.BodyKind()
	for _, f := range kind.Fields() {
		if !keeps(r, kind, f) {
			continue
		}
		v, ok := r.Value(f)
		if !ok {
			continue
		}
		if !b.addValue(r, kind, f, v) {
			return nil, false
		}
	}
	return b.fields, len(b.fields) <= maxFields && logstorage.EstimatedJSONRowLen(b.fields) <= maxRowBytes
}

// keeps reports whether a field is stored: not those that a stream names, nor
// those that restore can work out of others.
func keeps(r *event.Record, kind event.BodyKind, f event.Field) bool {
	switch f {
	case event.FieldTimestamp, event.FieldOrganizationId, event.FieldEventDataset,
		event.FieldEventSequence, event.FieldHauberkIncarnation, event.FieldProcessArgsCount:
		return false
	case event.FieldEventCreated:
		return r.Observed != r.Time
	case event.FieldHauberkProcessStart:
		return r.Event.GetProcess().GetPid() == 0
	case event.FieldHauberkProcessParentStart:
		list := r.Event.GetProcess().GetAncestors()
		return len(list) == 0 || list[0].GetPid() == 0
	case event.FieldProcessArgs:
		return kind == event.BodyLogin || spaced(r.Event.GetProcess().GetArgs())
	case event.FieldProcessParentArgs:
		list := r.Event.GetProcess().GetAncestors()
		return len(list) > 0 && spaced(list[0].GetArgs())
	}
	return true
}

// spaced reports whether argv cannot be had from the command line again.
func spaced(argv []byte) bool { return bytes.IndexByte(argv, ' ') >= 0 }

func (b *builder) addValue(r *event.Record, kind event.BodyKind, f event.Field, v event.Value) bool {
	name := f.Info().ECS
	switch v.Kind {
	case event.KindText, event.KindEnum:
		b.add(name, view(v.Bytes))
	case event.KindList:
		b.addText(name, func(t []byte) []byte { return appendList(t, v.List) })
	case event.KindMap:
		for k, value := range v.Map {
			label := name + "." + k
			if len(label) > maxNameBytes {
				return false
			}
			b.add(label, value)
		}
	default:
		b.addText(name, v.AppendText)
	}
	return true
}

// listSeparator joins the items of a list: no item of a list that is NUL
// separated on the wire holds it.
const listSeparator = 0

// escape stands before a NUL or an escape within an item.
const escape = 1

func appendList(dst []byte, list [][]byte) []byte {
	for i, item := range list {
		if i > 0 {
			dst = append(dst, listSeparator)
		}
		if bytes.IndexByte(item, listSeparator) < 0 && bytes.IndexByte(item, escape) < 0 {
			dst = append(dst, item...)
			continue
		}
		for _, c := range item {
			if c == listSeparator || c == escape {
				dst = append(dst, escape, c+2)
				continue
			}
			dst = append(dst, c)
		}
	}
	return dst
}

// parseList is the inverse of appendList.
func parseList(text string) [][]byte {
	list := [][]byte{nil}
	for i := 0; i < len(text); i++ {
		last := len(list) - 1
		switch c := text[i]; {
		case c == listSeparator:
			list = append(list, nil)
		case c == escape && i+1 < len(text):
			i++
			list[last] = append(list[last], text[i]-2)
		default:
			list[last] = append(list[last], c)
		}
	}
	return list
}
