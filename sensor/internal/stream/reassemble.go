package stream

import (
	"bytes"

	"github.com/hauberk/hauberk/packet/seqnum"
	"github.com/hauberk/hauberk/sensor/internal/decode"
	"github.com/hauberk/hauberk/sensor/internal/decode/hostos"
	"github.com/hauberk/hauberk/sensor/internal/flow"
	"github.com/hauberk/hauberk/sensor/internal/flow/slab"
)

// segment is bytes of a direction that were not handed on.
type segment struct {
	next   uint32 // By offset, then by arrival.
	offset uint64
	size   uint32
	block  slab.Block
}

func (s *segment) end() uint64 { return s.offset + uint64(s.size) }

// maxWindow is the largest window there is (RFC 7323 section 2.3).
const maxWindow = 1 << 30

// maxSegments bounds the segments that wait in a direction: what comes out of
// order is put in its place by walking them.
const maxSegments = 2048

// offset is the place of a number in the stream, near what was handed on.
func (h *half) offset(v seqnum.Value) uint64 {
	at := h.base.Add(seqnum.Size(uint32(h.delivered)))
	distance := int64(int32(v - at))
	if distance < 0 && uint64(-distance) > h.delivered {
		return 0
	}
	return uint64(int64(h.delivered) + distance)
}

// add keeps a segment's bytes. It says whether any of them are new.
func (t *Tracker) add(f *flow.Flow, dir flow.Dir, h *half, p *decode.Packet, seq seqnum.Value, data []byte) bool {
	if len(data) == 0 || h.stopped || !h.begun {
		return false
	}
	before := int64(int32(h.base.Add(seqnum.Size(uint32(h.delivered))) - seq))
	if before >= int64(len(data)) {
		return false // Sent again, and handed on long ago.
	}
	if before > 0 {
		data, seq = data[before:], seq.Add(seqnum.Size(before))
	}
	offset := h.offset(seq)
	if offset > h.delivered+maxWindow {
		p.Events.Add(decode.EvStreamReassemblyInsertInvalid)
		return false
	}
	if depth := t.cfg.Depth; depth > 0 && !h.deep && offset+uint64(len(data)) > depth {
		p.Events.Add(decode.EvStreamReassemblyDepthReached)
		if offset >= depth {
			t.finishAtDepth(f, dir, h)
			return false
		}
		data = data[:depth-offset]
	}
	if h.segments >= maxSegments {
		t.Counters.InsertLimit++
		p.Events.Add(decode.EvStreamReassemblyInsertLimit)
		return false
	}
	if h.first == 0 && offset == h.delivered && (t.cfg.Inline || h.acked >= offset+uint64(len(data))) {
		// In order, and the receiver has it already.
		h.delivered += uint64(len(data))
		h.high = max(h.high, h.delivered)
		t.sink.StreamData(f, dir, offset, data)
		return true
	}
	block := t.arena.Alloc(len(data))
	if block == 0 {
		t.Counters.NoRoom++
		p.Events.Add(decode.EvStreamReassemblyInsertMemcap)
		return false
	}
	handle, s := t.segments.New()
	s.offset, s.size, s.block = offset, uint32(len(data)), block
	copy(t.arena.Bytes(block), data)
	t.insert(h, handle.Index(), s, p)
	h.high = max(h.high, s.end())
	if t.cfg.Inline {
		t.deliver(f, dir, h, h.high, false)
	}
	return true
}

// insert puts a segment in its place and settles whose bytes count where it
// overlaps others.
func (t *Tracker) insert(h *half, index uint32, s *segment, p *decode.Packet) {
	h.segments++
	defer t.countRegions(h, s)
	if h.first == 0 {
		h.first, h.last = index, index
		return
	}
	if tail := t.segments.At(h.last); tail.offset <= s.offset && h.high <= s.offset {
		tail.next, h.last = index, index // In order, as nearly all are.
		return
	}
	at, overlap := &h.first, false
	for *at != 0 {
		old := t.segments.At(*at)
		if old.offset > s.offset {
			break
		}
		overlap = overlap || old.end() > s.offset
		at = &old.next
	}
	s.next, *at = *at, index
	if s.next == 0 {
		h.last = index
	}
	if s.next != 0 && t.segments.At(s.next).offset < s.end() {
		overlap = true
	}
	if !overlap {
		return
	}
	t.Counters.Overlap++
	different := false
	for i := h.first; i != 0; {
		old := t.segments.At(i)
		if old.offset >= s.end() {
			break
		}
		if old != s && old.end() > s.offset {
			different = t.overlap(h.policy, old, s) || different
		}
		i = old.next
	}
	if different {
		t.Counters.OverlapDifferent++
		if t.cfg.CheckOverlap {
			p.Events.Add(decode.EvStreamReassemblyOverlapDifferentData)
		}
	}
}

// countRegions counts the pieces that wait, when a segment that leaves a gap
// before it may have made one more.
func (t *Tracker) countRegions(h *half, s *segment) {
	if s.offset == h.delivered {
		return
	}
	n, end := uint32(0), uint64(0)
	for i := h.first; i != 0; i = t.segments.At(i).next {
		x := t.segments.At(i)
		if n == 0 || x.offset > end {
			n++
		}
		end = max(end, x.end())
	}
	h.regions = max(h.regions, n)
}

// overlap makes both segments agree where they overlap and says whether they
// did not.
func (t *Tracker) overlap(policy hostos.Policy, old, s *segment) (different bool) {
	from, to := max(old.offset, s.offset), min(old.end(), s.end())
	a := t.arena.Bytes(old.block)[from-old.offset : to-old.offset]
	b := t.arena.Bytes(s.block)[from-s.offset : to-s.offset]
	if bytes.Equal(a, b) {
		return false
	}
	if newWins(policy, old, s) {
		copy(a, b)
	} else {
		copy(b, a)
	}
	return true
}

// newWins says whether a receiver takes the later of two segments that
// overlap (Novak and Sturges, "Target-Based TCP Stream Reassembly", 2007, as
// Suricata has it).
func newWins(policy hostos.Policy, old, s *segment) bool {
	switch policy {
	case hostos.First, hostos.Vista:
		return false
	case hostos.Last:
		return true
	}
	solaris := policy == hostos.Solaris || policy == hostos.HPUX11
	switch {
	case s.offset == old.offset:
		if s.end() < old.end() {
			return false
		}
		return solaris || policy == hostos.OldLinux || policy == hostos.Linux && s.end() > old.end()
	case s.offset < old.offset:
		return !solaris || s.end() >= old.end()
	default:
		return solaris && s.end() > old.end()
	}
}

// acknowledge hands on what the receiver has now.
func (t *Tracker) acknowledge(f *flow.Flow, dir flow.Dir, h *half, ack seqnum.Value) {
	if !h.begun {
		return
	}
	to := h.offset(ack)
	if h.fin && to > h.high {
		to = h.high // The FIN has a number too.
	}
	if to <= h.acked {
		return
	}
	h.acked = to
	if h.stopped {
		t.drop(h)
	} else if !t.cfg.Inline {
		t.deliver(f, dir, h, to, true)
	}
}

// deliver hands on the segments up to an offset, over gaps if it may. What was
// never seen and lies behind all segments is left open: the segment may come
// behind its acknowledgement.
func (t *Tracker) deliver(f *flow.Flow, dir flow.Dir, h *half, to uint64, gaps bool) {
	for h.first != 0 && h.delivered < to {
		index := h.first
		s := t.segments.At(index)
		if s.offset >= to {
			break
		}
		if s.offset > h.delivered {
			if !gaps {
				return
			}
			t.gap(f, dir, h, s.offset)
		}
		if s.end() > h.delivered {
			data := t.arena.Bytes(s.block)[h.delivered-s.offset : s.size]
			if s.end() > to {
				data = data[:to-h.delivered]
			}
			offset := h.delivered
			h.delivered += uint64(len(data))
			t.sink.StreamData(f, dir, offset, data)
			if h.stopped {
				t.drop(h)
				return
			}
		}
		if s.end() > h.delivered {
			return // Acknowledged in part.
		}
		h.first = s.next
		t.release(h, index, s)
	}
}

func (t *Tracker) gap(f *flow.Flow, dir flow.Dir, h *half, to uint64) {
	t.Counters.Gap++
	offset := h.delivered
	h.delivered = to
	t.sink.StreamGap(f, dir, offset, to-offset)
}

// settle ends a direction whose sender closed and whose bytes are all handed on.
func (t *Tracker) settle(f *flow.Flow, dir flow.Dir, h *half) {
	if h.fin && h.first == 0 {
		t.tellEnd(f, dir, h)
	}
}

func (t *Tracker) tellEnd(f *flow.Flow, dir flow.Dir, h *half) {
	if !h.ended {
		h.ended, h.stopped = true, true
		t.sink.StreamEnd(f, dir)
	}
}

func (t *Tracker) finishAtDepth(f *flow.Flow, dir flow.Dir, h *half) {
	if h.first == 0 {
		h.stopped = true
		t.Counters.Stopped++
		t.tellEnd(f, dir, h)
	}
}

// drop forgets all segments of a direction.
func (t *Tracker) drop(h *half) {
	for h.first != 0 {
		index := h.first
		s := t.segments.At(index)
		h.first = s.next
		t.release(h, index, s)
	}
}

func (t *Tracker) release(h *half, index uint32, s *segment) {
	h.segments--
	t.arena.Free(s.block)
	t.segments.Release(t.segments.Handle(index))
}
