// Package ledger remembers which events of each node were handled, so that an
// event which comes again, at another place of the bus, is not stored again,
// and so that what became of every sequence number can be told.
//
// Sequences come nearly in order: with gaps where a node's classes overtake
// each other or where its spool had to drop events. A set of ranges holds them
// exactly in a few bytes. Pure: no clock, no I/O.
package ledger

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"
)

// Verdict is what a set knows of a sequence.
type Verdict uint8

// A sequence is New or Seen; Maybe means that the set had to forget, and that
// the event itself must be looked for.
const (
	New Verdict = iota + 1
	Seen
	Maybe
)

// MaxRanges bounds a set: 64 KiB for a node whose spool dropped events in
// thousands of places. Beyond it the oldest gaps are closed, and sequences
// below them become Maybe.
const MaxRanges = 4096

type span struct{ first, last uint64 }

// Ranges is a set of sequences. The zero value is empty and ready.
type Ranges struct {
	spans []span // ascending, apart from each other
	// Sequences below unsure are in the first span, but forgotten of them
	// were never put.
	unsure    uint64
	forgotten uint64
	count     uint64 // sequences put
}

// Look says what is known of a sequence.
func (r *Ranges) Look(sequence uint64) Verdict {
	if sequence < r.unsure {
		return Maybe
	}
	n := len(r.spans)
	if n == 0 || sequence > r.spans[n-1].last {
		return New
	}
	i := sort.Search(n, func(i int) bool { return r.spans[i].last >= sequence })
	if r.spans[i].first <= sequence {
		return Seen
	}
	return New
}

// Put adds a sequence that is New, or that was Maybe and turned out to be new.
// Putting one that is Seen changes nothing.
func (r *Ranges) Put(sequence uint64) {
	switch r.Look(sequence) {
	case Seen:
		return
	case Maybe:
		if r.forgotten > 0 {
			r.forgotten--
			r.count++
		}
		return
	}
	r.count++
	n := len(r.spans)
	if n > 0 && r.spans[n-1].last+1 == sequence {
		r.spans[n-1].last++
		return
	}
	i := sort.Search(n, func(i int) bool { return r.spans[i].first > sequence })
	joinsLeft := i > 0 && r.spans[i-1].last+1 == sequence
	joinsRight := i < n && r.spans[i].first == sequence+1
	switch {
	case joinsLeft && joinsRight:
		r.spans[i-1].last = r.spans[i].last
		r.spans = slices.Delete(r.spans, i, i+1)
	case joinsLeft:
		r.spans[i-1].last = sequence
	case joinsRight:
		r.spans[i].first = sequence
	default:
		r.spans = slices.Insert(r.spans, i, span{sequence, sequence})
		r.forget()
	}
}

// forget closes the oldest gap while there are too many; nothing in the span
// that results is certain any more.
func (r *Ranges) forget() {
	for len(r.spans) > MaxRanges {
		r.forgotten += r.spans[1].first - r.spans[0].last - 1
		r.spans[1].first = r.spans[0].first
		r.spans = slices.Delete(r.spans, 0, 1)
		r.unsure = r.spans[0].last + 1
	}
}

// Count returns how many sequences were put.
func (r *Ranges) Count() uint64 { return r.count }

// Highest returns the highest sequence put, 0 of none.
func (r *Ranges) Highest() uint64 {
	if len(r.spans) == 0 {
		return 0
	}
	return r.spans[len(r.spans)-1].last
}

// Gaps returns how many sequences below the highest were not put.
func (r *Ranges) Gaps() uint64 { return r.Highest() - r.count }

// format is the first byte of the encoding.
const format = 1

// Append appends the set's encoding: format, unsure, forgotten, and for each
// span the distance from the end of the one before and its length less one,
// all but the first as varints.
func (r *Ranges) Append(dst []byte) []byte {
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, r.unsure)
	dst = binary.AppendUvarint(dst, r.forgotten)
	end := uint64(0)
	for _, s := range r.spans {
		dst = binary.AppendUvarint(dst, s.first-end)
		dst = binary.AppendUvarint(dst, s.last-s.first)
		end = s.last
	}
	return dst
}

// errEncoding is all that is said of an encoding that is not one.
var errEncoding = errors.New("not a set of sequences")

// Parse reads what Append wrote. Empty bytes are an empty set.
func Parse(data []byte) (Ranges, error) {
	var r Ranges
	if len(data) == 0 {
		return r, nil
	}
	if data[0] != format {
		return r, errEncoding
	}
	data = data[1:]
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return 0, false
		}
		data = data[n:]
		return v, true
	}
	var ok1, ok2 bool
	r.unsure, ok1 = next()
	r.forgotten, ok2 = next()
	if !ok1 || !ok2 {
		return Ranges{}, errEncoding
	}
	end := uint64(0)
	for len(data) > 0 {
		gap, ok1 := next()
		length, ok2 := next()
		first := end + gap
		last := first + length
		// The first span may begin at 0; others leave a gap of at least one.
		if !ok1 || !ok2 || first < end || last < first || len(r.spans) > 0 && gap < 2 || len(r.spans) >= MaxRanges {
			return Ranges{}, errEncoding
		}
		r.spans = append(r.spans, span{first, last})
		r.count += length + 1
		end = last
	}
	if r.forgotten > r.count || r.unsure > 0 && (len(r.spans) == 0 || r.unsure > r.spans[0].last+1) {
		return Ranges{}, errEncoding
	}
	r.count -= r.forgotten
	return r, nil
}
