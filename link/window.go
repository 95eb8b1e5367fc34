package link

import "github.com/hauberk/hauberk/event"

// Position is a place in a node's stream of events; positions are ordered by
// incarnation, then sequence.
type Position struct {
	Incarnation uint32
	Sequence    uint64
}

// Less reports whether p comes before q.
func (p Position) Less(q Position) bool {
	return p.Incarnation < q.Incarnation || p.Incarnation == q.Incarnation && p.Sequence < q.Sequence
}

// Credit windows a gateway grants as a rule, in bytes before compression:
// enough for the events of a busy host during one round trip through the bus.
const (
	DefaultPriorityWindow = 256 << 10
	DefaultBulkWindow     = 1 << 20
)

// classes are the classes that have a window, in order of preference.
var classes = [...]event.Class{event.Class_CLASS_PRIORITY, event.Class_CLASS_BULK}

// lane returns the index of a class in per-class state, or false.
func lane(c event.Class) (int, bool) {
	switch c {
	case event.Class_CLASS_PRIORITY:
		return 0, true
	case event.Class_CLASS_BULK:
		return 1, true
	}
	return 0, false
}

// flight is a batch sent and not acknowledged.
type flight struct {
	last Position
	size uint64
}

// Sender is the node's half of credit and acknowledgement on one connection:
// what may be sent, and what an Ack sets free. It is pure; the zero value has
// no credit.
type Sender struct {
	lanes [len(classes)]struct {
		window uint64
		flying []flight
		size   uint64
	}
}

// Credit replaces a class's window.
func (s *Sender) Credit(c *Credit) error {
	i, ok := lane(c.Class)
	if !ok {
		return broken("credit of class %d", c.Class)
	}
	s.lanes[i].window = c.Window
	return nil
}

// Room returns how many bytes of a class may be sent now. With nothing in
// flight and any window at all it is MaxBatch at least, so that one large
// batch cannot be stuck behind a small window.
func (s *Sender) Room(class event.Class) int {
	i, ok := lane(class)
	if !ok {
		return 0
	}
	l := &s.lanes[i]
	switch {
	case l.window == 0:
		return 0
	case len(l.flying) == 0:
		return int(max(MaxBatch, min(l.window, 1<<30)))
	case l.size >= l.window:
		return 0
	}
	return int(min(l.window-l.size, 1<<30))
}

// Sent notes a batch of size bytes before compression.
func (s *Sender) Sent(class event.Class, last Position, size int) {
	if i, ok := lane(class); ok {
		l := &s.lanes[i]
		l.flying = append(l.flying, flight{last, uint64(size)})
		l.size += uint64(size)
	}
}

// Acked frees what an Ack covers. Acknowledging what was not sent on this
// connection breaks the protocol: the node would forget events nobody has.
func (s *Sender) Acked(a *Ack) error {
	i, ok := lane(a.Class)
	if !ok {
		return broken("ack of class %d", a.Class)
	}
	l, upTo := &s.lanes[i], Position{a.Incarnation, a.Sequence}
	n := 0
	for n < len(l.flying) && !upTo.Less(l.flying[n].last) {
		l.size -= l.flying[n].size
		n++
	}
	if n == 0 || l.flying[n-1].last != upTo {
		return broken("ack of %s up to %d/%d, which ends no batch in flight", a.Class, a.Incarnation, a.Sequence)
	}
	l.flying = append(l.flying[:0], l.flying[n:]...)
	return nil
}

// InFlight returns how many batches of all classes await acknowledgement.
func (s *Sender) InFlight() int {
	n := 0
	for i := range s.lanes {
		n += len(s.lanes[i].flying)
	}
	return n
}

// Receiver is the gateway's half on one connection: it holds the node to its
// windows and to the order of positions, and acknowledges only what is done
// and all before it. It is pure; the zero value has granted nothing.
type Receiver struct {
	lanes [len(classes)]struct {
		granted uint64 // largest window ever granted: a smaller one takes a round trip to arrive
		last    Position
		size    uint64
		open    []arrival
		base    uint64 // ticket of open[0]
	}
}

type arrival struct {
	flight
	done bool
}

// Granted notes a window sent to the node.
func (r *Receiver) Granted(class event.Class, window uint64) {
	if i, ok := lane(class); ok {
		r.lanes[i].granted = max(r.lanes[i].granted, window)
	}
}

// Arrived checks a batch against order and window, and returns the ticket
// with which Done names it.
func (r *Receiver) Arrived(b *Batch) (ticket uint64, err error) {
	i, ok := lane(b.Class)
	if !ok {
		return 0, broken("batch of class %d", b.Class)
	}
	l := &r.lanes[i]
	first, last := Position{b.Incarnation, b.FirstSequence}, Position{b.Incarnation, b.LastSequence}
	if b.FirstSequence == 0 || last.Less(first) || !l.last.Less(first) {
		return 0, broken("batch of %s from %d/%d to %d after %d/%d", b.Class, b.Incarnation, b.FirstSequence, b.LastSequence, l.last.Incarnation, l.last.Sequence)
	}
	if l.granted == 0 || len(l.open) > 0 && l.size+uint64(b.Size) > l.granted {
		return 0, broken("batch of %s with %d bytes beyond the window of %d, %d in flight", b.Class, b.Size, l.granted, l.size)
	}
	l.last = last
	l.size += uint64(b.Size)
	l.open = append(l.open, arrival{flight: flight{last, uint64(b.Size)}})
	return l.base + uint64(len(l.open)) - 1, nil
}

// Done notes that the batch is on the bus. It returns the Ack to send, or nil
// while an earlier batch of the class is not done.
func (r *Receiver) Done(class event.Class, ticket uint64) *Ack {
	i, ok := lane(class)
	if !ok {
		return nil
	}
	l := &r.lanes[i]
	if ticket < l.base || ticket-l.base >= uint64(len(l.open)) {
		return nil
	}
	l.open[ticket-l.base].done = true
	n, upTo := 0, Position{}
	for n < len(l.open) && l.open[n].done {
		l.size -= l.open[n].size
		upTo = l.open[n].last
		n++
	}
	if n == 0 {
		return nil
	}
	l.base += uint64(n)
	if l.open = append(l.open[:0], l.open[n:]...); len(l.open) == 0 {
		l.open = nil // an idle connection holds nothing
	}
	return &Ack{Class: class, Incarnation: upTo.Incarnation, Sequence: upTo.Sequence}
}

// Open returns how many batches are not done.
func (r *Receiver) Open() int { return len(r.lanes[0].open) + len(r.lanes[1].open) }
