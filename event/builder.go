package event

import "fmt"

// Builder puts events into batches the way Batch wants them: sequences as
// gaps, times as differences. A node has one for each class. It knows no clock
// and is not safe for concurrent use.
type Builder struct {
	node        NodeID
	incarnation uint32
	class       Class
	batch       *Batch
	last        uint64
}

// NewBuilder returns a Builder without events.
func NewBuilder(node NodeID, incarnation uint32, class Class) *Builder {
	return &Builder{node: node, incarnation: incarnation, class: class}
}

// Add appends an event that was observed and happened at the given Unix ns;
// happened 0 means unknown. It sets the event's skip and times, and keeps it.
// The sequence must be higher than that of every event added before.
func (b *Builder) Add(sequence uint64, observed, happened int64, e *Event) error {
	if sequence <= b.last {
		return fmt.Errorf("add event: sequence %d is not after %d", sequence, b.last)
	}
	if b.batch == nil || sequence-b.last-1 > maxSkip {
		if b.batch != nil {
			return fmt.Errorf("add event: gap from sequence %d to %d is too wide for one batch", b.last, sequence)
		}
		b.batch = &Batch{
			Node: b.node[:], Incarnation: b.incarnation, Class: b.class, Schema: Schema,
			FirstSequence: sequence, BaseTime: observed,
		}
		b.last = sequence - 1
	}
	e.Skip = uint32(sequence - b.last - 1)
	e.ObservedDelta = observed - b.batch.BaseTime
	e.Lag = 0
	if happened != 0 {
		e.Lag = observed - happened
	}
	b.batch.Events = append(b.batch.Events, e)
	b.last = sequence
	return nil
}

// maxSkip is what Event.skip can hold.
const maxSkip = 1<<32 - 1

// Len returns the number of events that Take would return.
func (b *Builder) Len() int { return len(b.batch.GetEvents()) }

// Take returns the batch and begins the next; nil when there are no events.
func (b *Builder) Take() *Batch {
	batch := b.batch
	b.batch = nil
	return batch
}
