package app

import (
	"slices"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// Queue is the transactions of a flow that are not yet judged and logged,
// oldest first. Embedded in a parser it is half of [Parser].
type Queue struct {
	list []Tx
	next uint64
}

// Txs implements Parser.
func (q *Queue) Txs() []Tx { return q.list }

// Free implements Parser.
func (q *Queue) Free(t Tx) {
	if i := slices.Index(q.list, t); i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
	}
}

// Count is how many transactions there were.
func (q *Queue) Count() uint64 { return q.next }

// Push appends a transaction and gives it its id. If more than most wait, the
// oldest is given up; full says so.
func (q *Queue) Push(h Hooks, t Tx, most int) (full bool) {
	if full = len(q.list) >= most; full {
		h.GiveUp(q.list[0])
		q.list = slices.Delete(q.list, 0, 1)
	}
	t.Common().ID = q.next
	q.next++
	q.list = append(q.list, t)
	return full
}

// Find is the last transaction that waits and is asked for, nil if none is.
func (q *Queue) Find(want func(Tx) bool) Tx {
	for i := len(q.list) - 1; i >= 0; i-- {
		if want(q.list[i]) {
			return q.list[i]
		}
	}
	return nil
}

// Messages is the rest of a [Parser] whose transactions are single messages:
// nothing waits for the end, and nothing can follow a gap.
type Messages struct{ Queue }

// Gap implements Parser.
func (*Messages) Gap(Dir, uint64) bool { return false }

// End implements Parser.
func (*Messages) End() {}

// Single appends a message that is a transaction of its own: it is complete,
// and the other direction never has anything.
func (m *Messages) Single(h Hooks, dir Dir, t Tx, most int) {
	s := t.Common()
	s.Skip[dir.Other()] = true
	s.Progress = [2]uint8{1, 1}
	m.Push(h, t, most)
}

// MatchUint compares a number with the argument of a keyword.
func MatchUint(o *suricata.Option, n uint64) bool {
	u, ok := o.Value.(*suricata.Uint)
	return ok && u.Match(n)
}

// Extractors are buffers of one direction that may be read from one step on.
func Extractors(dir Dir, step uint8, buffers ...suricata.Buffer) (list []Extractor) {
	for _, b := range buffers {
		list = append(list, Extractor{Buffer: b, Dir: dir, Step: step})
	}
	return list
}

// OneStep is the progress of transactions that are complete or not.
var OneStep = [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}}

// Opaque is a transaction that rules cannot look into. Embedded, it leaves a
// protocol to say what they can.
type Opaque struct{ State }

// Buffer implements Tx.
func (*Opaque) Buffer(suricata.Buffer, Dir, int, *[]byte) (match.Buffer, bool) {
	return match.Buffer{}, false
}

// Match implements Tx.
func (*Opaque) Match(*suricata.Option, Dir) bool { return false }
