package link

import (
	"github.com/hauberk/hauberk/event"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of event.Batch and event.Event that the gateway must see without
// unmarshalling every event; payload_test.go compares them with the messages.
const (
	batchNode        = 1
	batchIncarnation = 2
	batchTenant      = 3
	batchFirst       = 4
	batchClass       = 7
	batchEvents      = 8
	batchHost        = 9
	eventSkip        = 1
)

// scrub checks a marshalled event.Batch against what its frame claims and
// removes, in place, the fields only the gateway may set: node, incarnation,
// tenant and host. It looks no deeper than an event's own fields: what is
// inside a body, readers of the bus must bear.
func scrub(payload []byte, claim *Batch) ([]byte, error) {
	kept := payload[:0]
	sequence, seenFirst := uint64(0), false
	events := uint32(0)
	for rest := payload; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, broken("batch payload: %v", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if size < 0 {
			return nil, broken("batch payload: %v", protowire.ParseError(size))
		}
		value, field := rest[n:n+size], rest[:n+size]
		rest = rest[n+size:]
		switch number {
		case batchNode, batchIncarnation, batchTenant, batchHost:
			continue
		case batchFirst:
			first, _ := protowire.ConsumeVarint(value)
			if kind != protowire.VarintType || seenFirst || first != claim.FirstSequence || events > 0 {
				return nil, broken("batch payload: first sequence differs from its frame")
			}
			seenFirst, sequence = true, first-1
		case batchClass:
			if class, _ := protowire.ConsumeVarint(value); kind != protowire.VarintType || class != uint64(claim.Class) {
				return nil, broken("batch payload: class differs from its frame")
			}
		case batchEvents:
			if kind != protowire.BytesType || !seenFirst {
				return nil, broken("batch payload: event out of place")
			}
			body, _ := protowire.ConsumeBytes(value)
			skip, err := scanEvent(body)
			if err != nil {
				return nil, err
			}
			if events++; events > MaxBatchEvents {
				return nil, broken("batch payload: more than %d events", MaxBatchEvents)
			}
			next := sequence + 1 + uint64(skip)
			if next <= sequence {
				return nil, broken("batch payload: sequence passes 2^64")
			}
			sequence = next
		}
		kept = append(kept, field...)
	}
	if events == 0 || events != claim.Events || sequence != claim.LastSequence {
		return nil, broken("batch payload: %d events up to %d, its frame says %d up to %d", events, sequence, claim.Events, claim.LastSequence)
	}
	return kept, nil
}

// scanEvent returns an event's skip.
func scanEvent(body []byte) (uint32, error) {
	skip := uint64(0)
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return 0, broken("event: %v", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, body[n:])
		if size < 0 {
			return 0, broken("event: %v", protowire.ParseError(size))
		}
		if number == eventSkip {
			v, _ := protowire.ConsumeVarint(body[n:])
			if kind != protowire.VarintType || v > 1<<32-1 {
				return 0, broken("event: skip of %d", v)
			}
			skip = v
		}
		body = body[n+size:]
	}
	return uint32(skip), nil
}

// stamp puts the gateway's word of a batch before its scrubbed payload: one
// bus record, a marshalled event.Batch. Order of fields does not matter in
// protobuf.
func stamp(payload []byte, id Identity, incarnation uint32, host *event.Host) ([]byte, error) {
	head := &event.Batch{Node: id.Node[:], Incarnation: incarnation, Tenant: id.Tenant, Host: host}
	n := head.SizeVT()
	out := make([]byte, n+len(payload))
	if _, err := head.MarshalToSizedBufferVT(out[:n]); err != nil {
		return nil, err
	}
	copy(out[n:], payload)
	return out, nil
}
