package link

import (
	"encoding/binary"

	"github.com/hauberk/hauberk/event"
	"google.golang.org/protobuf/encoding/protowire"
)

// Folding rewrites a marshalled event.Batch so that zstd finds more to say
// shortly: times, pids and start times become columns of differences, and an
// event's ancestors become a reference to an earlier event of the batch that
// has the same ones, or is the parent itself. docs/formats/link.md specifies
// the layout. It is pure and reversible; a batch it cannot fold (fields out of
// order) is sent unfolded.

// Fields folding looks at; payload_test.go compares them with the messages.
const (
	eventObserved    = 2
	eventLag         = 3
	eventProcess     = 4
	processPID       = 1
	processStart     = 2
	processExe       = 3
	processArgs      = 4
	processDirectory = 6
	processUID       = 7
	processName      = 14
	processAncestors = 15

	ancestorName      = 5
	ancestorUID       = 6
	ancestorDirectory = 7
)

// What an event has, in its byte of the flags column. Zero values are absent,
// as in proto3.
const (
	hasProcess = 1 << iota
	hasAncestors
	hasSkip
	hasSame // the process is that of an earlier event: pid and start are its
)

// Columns of a folded batch, in order.
const (
	colFlags = iota
	colSkip
	colObserved
	colHappened
	colPID
	colStart
	colSame
	colAncestors
	columns
)

// The end of an event's and of a process's remaining fields: no field has
// number 0.
const endOfFields = 0

// piece is what a later event may refer to.
type piece struct {
	identity  []byte // marshalled Ancestor of the process itself
	ancestors []byte // elements of Process.ancestors, tags included
	pid       uint64
	start     uint64
}

// differ holds the last values of the columns.
type differ struct {
	observed, happened, pid, start int64
}

// folder folds batches; it keeps its memory.
type folder struct {
	cols   [columns][]byte
	rest   []byte
	pieces []piece
	byKey  map[[2]uint64]int // process -> index of the last event it caused
	byHead map[[2]uint64]int // first ancestor -> index of the last event with it
	arena  []byte
}

// fold appends the folded batch to dst. It reports false if payload cannot
// be folded.
func (f *folder) fold(dst, payload []byte) ([]byte, bool) {
	f.reset()
	var head []byte
	var last differ
	events := 0
	for rest := payload; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return dst, false
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return dst, false
		}
		if number == batchEvents && kind == protowire.BytesType {
			body, _ := protowire.ConsumeBytes(rest[n:])
			if !f.event(body, &last) {
				return dst, false
			}
			events++
		} else if events > 0 {
			return dst, false // fields after events: not what nodes send
		} else {
			head = payload[:len(payload)-len(rest)+n+size]
		}
		rest = rest[n+size:]
	}
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	dst = append(dst, head...)
	dst = binary.AppendUvarint(dst, uint64(events))
	for _, c := range f.cols {
		dst = binary.AppendUvarint(dst, uint64(len(c)))
		dst = append(dst, c...)
	}
	return append(dst, f.rest...), true
}

func (f *folder) reset() {
	for i := range f.cols {
		f.cols[i] = f.cols[i][:0]
	}
	f.rest, f.pieces, f.arena = f.rest[:0], f.pieces[:0], f.arena[:0]
	if f.byKey == nil {
		f.byKey, f.byHead = map[[2]uint64]int{}, map[[2]uint64]int{}
	}
	clear(f.byKey)
	clear(f.byHead)
}

// event folds one event.
func (f *folder) event(body []byte, last *differ) bool {
	var flags byte
	var observed, lag int64
	var process []byte
	previous := protowire.Number(0)
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		size := -1
		if n > 0 {
			size = protowire.ConsumeFieldValue(number, kind, body[n:])
		}
		if size < 0 || number <= previous {
			return false
		}
		previous = number
		value, field := body[n:n+size], body[:n+size]
		body = body[n+size:]
		switch {
		case number == eventSkip && kind == protowire.VarintType:
			flags |= hasSkip
			f.cols[colSkip] = append(f.cols[colSkip], value...)
		case number == eventObserved && kind == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			observed = protowire.DecodeZigZag(v)
		case number == eventLag && kind == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			lag = protowire.DecodeZigZag(v)
		case number == eventProcess && kind == protowire.BytesType:
			flags |= hasProcess
			process, _ = protowire.ConsumeBytes(value)
		case number <= eventProcess:
			return false
		default:
			f.rest = append(f.rest, field...)
		}
	}
	f.rest = append(f.rest, endOfFields)
	happened := observed - lag
	f.put(colObserved, observed-last.observed)
	f.put(colHappened, happened-last.happened)
	last.observed, last.happened = observed, happened
	if flags&hasProcess != 0 {
		ancestors, ok := f.process(process, last)
		if !ok {
			return false
		}
		flags |= ancestors
	} else {
		f.pieces = append(f.pieces, piece{})
	}
	f.cols[colFlags] = append(f.cols[colFlags], flags)
	return true
}

func (f *folder) put(column int, difference int64) {
	f.cols[column] = binary.AppendUvarint(f.cols[column], protowire.EncodeZigZag(difference))
}

// process folds Event.process and returns its flags.
func (f *folder) process(body []byte, last *differ) (flags byte, ok bool) {
	var p piece
	var known identityFields
	previous := protowire.Number(0)
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		size := -1
		if n > 0 {
			size = protowire.ConsumeFieldValue(number, kind, body[n:])
		}
		if size < 0 || number < previous || number == previous && number != processAncestors {
			return 0, false
		}
		previous = number
		value, field := body[n:n+size], body[:n+size]
		body = body[n+size:]
		known.note(number, value)
		switch {
		case number == processPID && kind == protowire.VarintType:
			p.pid, _ = protowire.ConsumeVarint(value)
		case number == processStart && kind == protowire.VarintType:
			p.start, _ = protowire.ConsumeVarint(value)
		case number <= processStart:
			return 0, false
		case number == processAncestors && kind == protowire.BytesType:
			if len(p.ancestors) == 0 {
				p.ancestors = field
			} else { // elements follow each other in the payload
				p.ancestors = p.ancestors[:len(p.ancestors)+len(field)]
			}
		default:
			f.rest = append(f.rest, field...)
		}
	}
	f.rest = append(f.rest, endOfFields)
	key := [2]uint64{p.pid, p.start}
	if i, found := f.byKey[key]; found {
		flags |= hasSame
		f.cols[colSame] = binary.AppendUvarint(f.cols[colSame], uint64(len(f.pieces)-i))
	} else {
		f.put(colPID, int64(p.pid)-last.pid)
		offset := int64(p.start) - last.happened
		f.put(colStart, offset-last.start)
		last.pid, last.start = int64(p.pid), offset
	}
	at := len(f.arena)
	f.arena = known.appendAncestor(f.arena, p.pid, p.start)
	p.identity = f.arena[at:len(f.arena):len(f.arena)]
	if len(p.ancestors) > 0 {
		flags |= hasAncestors
		f.refer(&p)
	}
	f.pieces = append(f.pieces, p)
	f.byKey[key] = len(f.pieces) - 1
	return flags, true
}

// refer writes the ancestors as a reference if an earlier event has them:
// 2k for "those of the event k before this", 2k+1 for "that event's process,
// then its ancestors". 0 means that they follow in full.
func (f *folder) refer(p *piece) {
	index := len(f.pieces)
	key, ok := firstAncestor(p.ancestors)
	if ok {
		if i, found := f.byHead[key]; found && string(f.pieces[i].ancestors) == string(p.ancestors) {
			f.cols[colAncestors] = binary.AppendUvarint(f.cols[colAncestors], uint64(2*(index-i)))
			f.byHead[key] = index
			return
		}
		if i, found := f.byKey[key]; found && isParent(&f.pieces[i], p.ancestors) {
			f.cols[colAncestors] = binary.AppendUvarint(f.cols[colAncestors], uint64(2*(index-i)+1))
			f.byHead[key] = index
			return
		}
		f.byHead[key] = index
	}
	f.cols[colAncestors] = append(f.cols[colAncestors], 0)
	f.rest = append(f.rest, p.ancestors...)
	f.rest = append(f.rest, endOfFields)
}

// firstAncestor returns pid and start of the first element.
func firstAncestor(ancestors []byte) (key [2]uint64, ok bool) {
	_, _, n := protowire.ConsumeTag(ancestors)
	if n < 0 {
		return key, false
	}
	body, size := protowire.ConsumeBytes(ancestors[n:])
	if size < 0 {
		return key, false
	}
	for i := range key {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 || number != protowire.Number(i+1) || kind != protowire.VarintType {
			return key, i > 0 // a parent without start time: the kernel's own
		}
		v, size := protowire.ConsumeVarint(body[n:])
		if size < 0 {
			return key, false
		}
		key[i], body = v, body[n+size:]
	}
	return key, true
}

// isParent reports whether ancestors are those of a child of p.
func isParent(p *piece, ancestors []byte) bool {
	size := protowire.SizeTag(processAncestors) + protowire.SizeBytes(len(p.identity))
	if len(ancestors) < size {
		return false
	}
	_, _, n := protowire.ConsumeTag(ancestors)
	first, m := protowire.ConsumeBytes(ancestors[n:])
	return m > 0 && string(first) == string(p.identity) && string(ancestors[n+m:]) == string(inherited(p.ancestors))
}

// inherited returns what a child has of its parent's ancestors: all but those
// beyond MaxAncestors.
func inherited(ancestors []byte) []byte {
	size := 0
	for range event.MaxAncestors - 1 {
		if size == len(ancestors) {
			break
		}
		_, _, n := protowire.ConsumeField(ancestors[size:])
		if n < 0 {
			break
		}
		size += n
	}
	return ancestors[:size]
}

// identityFields are the values of a Process that its children repeat in
// their Ancestor, as they stand in the message, without tags.
type identityFields struct{ exe, args, name, uid, directory []byte }

func (k *identityFields) note(number protowire.Number, value []byte) {
	switch number {
	case processExe:
		k.exe = value
	case processArgs:
		k.args = value
	case processName:
		k.name = value
	case processUID:
		k.uid = value
	case processDirectory:
		k.directory = value
	}
}

// appendAncestor appends the marshalled Ancestor of the process.
func (k *identityFields) appendAncestor(dst []byte, pid, start uint64) []byte {
	if pid != 0 {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, processPID, protowire.VarintType), pid)
	}
	if start != 0 {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, processStart, protowire.VarintType), start)
	}
	for _, f := range []struct {
		number protowire.Number
		kind   protowire.Type
		value  []byte
	}{
		{processExe, protowire.BytesType, k.exe}, {processArgs, protowire.BytesType, k.args},
		{ancestorName, protowire.BytesType, k.name}, {ancestorUID, protowire.VarintType, k.uid},
		{ancestorDirectory, protowire.BytesType, k.directory},
	} {
		if len(f.value) > 0 {
			dst = append(protowire.AppendTag(dst, f.number, f.kind), f.value...)
		}
	}
	return dst
}
