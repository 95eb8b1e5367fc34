package link

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// unfolder undoes fold for one batch.
type unfolder struct {
	cols   [columns]reader
	rest   reader
	limit  int // bytes the batch may have
	pieces []piece
	out    []byte
	event  []byte // scratch
	proc   []byte // scratch
}

// reader takes varints and fields off a slice; after a failure it gives
// zeros.
type reader struct {
	data   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.failed, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) difference() int64 { return protowire.DecodeZigZag(r.uvarint()) }

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.failed, r.data = true, nil
		return nil
	}
	out := r.data[:n:n]
	r.data = r.data[n:]
	return out
}

// field returns the next field, tag included, and its number; 0 at the end of
// fields or after a failure.
func (r *reader) field() (number protowire.Number, field, value []byte) {
	if len(r.data) > 0 && r.data[0] == endOfFields {
		r.data = r.data[1:]
		return 0, nil, nil
	}
	number, kind, n := protowire.ConsumeTag(r.data)
	size := -1
	if n > 0 {
		size = protowire.ConsumeFieldValue(number, kind, r.data[n:])
	}
	if size < 0 {
		r.failed, r.data = true, nil
		return 0, nil, nil
	}
	field, value = r.data[:n+size], r.data[n:n+size]
	r.data = r.data[n+size:]
	return number, field, value
}

// unfold returns the batch that was folded. It never makes more than limit
// bytes: references could otherwise multiply a small frame without end.
func unfold(folded []byte, limit int) ([]byte, error) {
	in := reader{data: folded}
	head := in.bytes(in.uvarint())
	events := in.uvarint()
	if in.failed || events > MaxBatchEvents || len(head) > limit {
		return nil, broken("folded batch: head")
	}
	u := &unfolder{limit: limit, out: append(make([]byte, 0, limit), head...)}
	for i := range u.cols {
		u.cols[i].data = in.bytes(in.uvarint())
	}
	if in.failed {
		return nil, broken("folded batch: columns")
	}
	u.rest.data = in.data
	u.pieces = make([]piece, 0, min(events, uint64(len(u.cols[colFlags].data))))
	var last differ
	for range events {
		if err := u.one(&last); err != nil {
			return nil, err
		}
	}
	if len(u.rest.data) > 0 {
		return nil, broken("folded batch: %d bytes too many", len(u.rest.data))
	}
	return u.out, nil
}

// one unfolds the next event.
func (u *unfolder) one(last *differ) error {
	flags := u.cols[colFlags].bytes(1)
	if len(flags) == 0 {
		return broken("folded batch: flags missing")
	}
	u.event = u.event[:0]
	if flags[0]&hasSkip != 0 {
		u.event = appendVarintField(u.event, eventSkip, u.cols[colSkip].uvarint())
	}
	last.observed += u.cols[colObserved].difference()
	last.happened += u.cols[colHappened].difference()
	u.event = appendVarintField(u.event, eventObserved, protowire.EncodeZigZag(last.observed))
	u.event = appendVarintField(u.event, eventLag, protowire.EncodeZigZag(last.observed-last.happened))
	// The fields after the process stand before it.
	var after []byte
	begin := u.rest.data
	for number, _, _ := u.rest.field(); number != 0; number, _, _ = u.rest.field() {
		after = begin[:len(begin)-len(u.rest.data)]
	}
	if flags[0]&hasProcess != 0 {
		if err := u.process(flags[0], last); err != nil {
			return err
		}
		u.event = protowire.AppendTag(u.event, eventProcess, protowire.BytesType)
		u.event = protowire.AppendBytes(u.event, u.proc)
	} else {
		u.pieces = append(u.pieces, piece{})
	}
	for i := range u.cols {
		if u.cols[i].failed {
			return broken("folded batch: column %d ends early", i)
		}
	}
	if u.rest.failed {
		return broken("folded batch: fields end early")
	}
	size := protowire.SizeTag(batchEvents) + protowire.SizeBytes(len(u.event)+len(after))
	if len(u.out)+size > u.limit {
		return broken("folded batch: more than %d bytes", u.limit)
	}
	u.out = protowire.AppendTag(u.out, batchEvents, protowire.BytesType)
	u.out = protowire.AppendVarint(u.out, uint64(len(u.event)+len(after)))
	u.out = append(append(u.out, u.event...), after...)
	return nil
}

// appendVarintField appends a field unless it is zero, as proto3 does.
func appendVarintField(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), v)
}

// process unfolds the event's process into u.proc.
func (u *unfolder) process(flags byte, last *differ) error {
	var p piece
	if flags&hasSame != 0 {
		same, err := u.back(u.cols[colSame].uvarint())
		if err != nil {
			return err
		}
		p.pid, p.start = same.pid, same.start
	} else {
		last.pid += u.cols[colPID].difference()
		last.start += u.cols[colStart].difference()
		p.pid, p.start = uint64(last.pid), uint64(last.start+last.happened)
	}
	u.proc = appendVarintField(u.proc[:0], processPID, p.pid)
	u.proc = appendVarintField(u.proc, processStart, p.start)
	var known identityFields
	split := -1 // where in u.proc the ancestors belong
	for {
		number, field, value := u.rest.field()
		if number == 0 {
			break
		}
		known.note(number, value)
		if number > processAncestors && split < 0 {
			split = len(u.proc)
		}
		u.proc = append(u.proc, field...)
	}
	if split < 0 {
		split = len(u.proc)
	}
	p.identity = known.appendAncestor(nil, p.pid, p.start)
	if flags&hasAncestors != 0 {
		ancestors, err := u.ancestors()
		if err != nil {
			return err
		}
		p.ancestors = ancestors
		if len(u.proc)+len(ancestors) > u.limit {
			return broken("folded batch: more than %d bytes", u.limit)
		}
		tail := append([]byte(nil), u.proc[split:]...)
		u.proc = append(append(u.proc[:split], ancestors...), tail...)
	}
	u.pieces = append(u.pieces, p)
	return nil
}

// back returns the piece of the event n before this one.
func (u *unfolder) back(n uint64) (*piece, error) {
	if n == 0 || n > uint64(len(u.pieces)) {
		return nil, broken("folded batch: reference to %d events back", n)
	}
	return &u.pieces[uint64(len(u.pieces))-n], nil
}

// ancestors returns what a reference names, or what follows in full.
func (u *unfolder) ancestors() ([]byte, error) {
	reference := u.cols[colAncestors].uvarint()
	if reference == 0 {
		begin := u.rest.data
		var all []byte
		for number, _, _ := u.rest.field(); number != 0; number, _, _ = u.rest.field() {
			if number != processAncestors {
				return nil, broken("folded batch: field %d among ancestors", number)
			}
			all = begin[:len(begin)-len(u.rest.data)]
		}
		return all, nil
	}
	p, err := u.back(reference / 2)
	if err != nil {
		return nil, err
	}
	if reference%2 == 0 {
		return p.ancestors, nil
	}
	from := inherited(p.ancestors)
	out := make([]byte, 0, protowire.SizeTag(processAncestors)+protowire.SizeBytes(len(p.identity))+len(from))
	out = protowire.AppendTag(out, processAncestors, protowire.BytesType)
	out = protowire.AppendBytes(out, p.identity)
	return append(out, from...), nil
}
