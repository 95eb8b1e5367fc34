// Package event holds the words every part of Hauberk speaks: one envelope
// for what any kind of node saw, its identity, the table that names its
// fields in ECS and OCSF, and the one mapping to JSON.
//
// The messages come from proto/event.proto; fields.gen.go from the comments
// in it. Nothing here does I/O or knows a clock.
//
// An event's identity is (node, incarnation, sequence). The node is 128 bits
// given at enrolment, the incarnation counts the starts of that node's
// process, the sequence counts its events from 1. The node fixes all three
// before its first send, so identity needs no coordination, cannot collide,
// and a gap in the sequence is a loss that can be seen.
package event

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Schema is the version of the words in proto/event.proto. It rises when a
// reader must know more than "skip what you do not know"; so far never.
const Schema = 1

// MaxAncestors is how many ancestors a Process carries at most: deep enough
// for sshd > shell > sudo > shell > script > tool, small enough to copy.
const MaxAncestors = 8

// NodeID names a node for its whole life, across hosts' names and addresses.
type NodeID [16]byte

// NewNodeID draws a node id at random; called once, at enrolment.
func NewNodeID() NodeID {
	var id NodeID
	rand.Read(id[:]) // never fails (crypto/rand, Go 1.24)
	return id
}

// NodeIDFrom makes a NodeID of 16 bytes.
func NodeIDFrom(b []byte) (NodeID, error) {
	if len(b) != len(NodeID{}) {
		return NodeID{}, fmt.Errorf("node id has %d bytes, want 16", len(b))
	}
	return NodeID(b), nil
}

// ParseNodeID reads the 32 hexadecimal digits String writes.
func ParseNodeID(s string) (NodeID, error) {
	var id NodeID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("node id %q: want 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return id, fmt.Errorf("node id %q: want 32 hexadecimal digits", s)
	}
	return id, nil
}

// String returns 32 lower-case hexadecimal digits.
func (id NodeID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id was never set.
func (id NodeID) IsZero() bool { return id == NodeID{} }

// ID is the identity of one event.
type ID struct {
	Node        NodeID
	Incarnation uint32
	Sequence    uint64
}

// idLen is the length of an ID as text: 32 + 1 + 8 + 1 + 16.
const idLen = 58

// String returns node, incarnation and sequence in hexadecimal of fixed
// width, joined by '-': 58 bytes whose order as text is the order in which
// the node made its events.
func (id ID) String() string { return string(id.AppendText(make([]byte, 0, idLen))) }

// AppendText appends what String returns.
func (id ID) AppendText(dst []byte) []byte {
	dst = hex.AppendEncode(dst, id.Node[:])
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(id.Incarnation), 8)
	dst = append(dst, '-')
	return appendHex(dst, id.Sequence, 16)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const hexDigits = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// ParseID reads what ID.String writes.
func ParseID(s string) (ID, error) {
	var id ID
	bad := fmt.Errorf("event id %q: want 32, 8 and 16 hexadecimal digits joined by '-'", s)
	if len(s) != idLen || s[32] != '-' || s[41] != '-' {
		return id, bad
	}
	node, err := ParseNodeID(s[:32])
	if err != nil {
		return id, bad
	}
	incarnation, err := strconv.ParseUint(s[33:41], 16, 32)
	if err != nil {
		return id, bad
	}
	sequence, err := strconv.ParseUint(s[42:], 16, 64)
	if err != nil {
		return id, bad
	}
	return ID{node, uint32(incarnation), sequence}, nil
}

// Record is one event of a batch with what the batch says of it: identity,
// times (Unix ns), tenant and host. It is what rules match and sinks store.
// It borrows from the batch.
type Record struct {
	ID       ID
	Tenant   string
	Host     *Host
	Observed int64 // when the node saw it, Unix ns
	Time     int64 // when it happened, Unix ns; Observed if unknown
	Event    *Event

	scratch scratch
}

// Check reports what makes the batch unusable: a node id of the wrong size,
// no sequence, or a sequence that would pass 2^64.
func (b *Batch) Check() error {
	if _, err := NodeIDFrom(b.Node); err != nil {
		return err
	}
	if b.FirstSequence == 0 {
		return fmt.Errorf("batch of node %x has no first sequence", b.Node)
	}
	last := b.LastSequence()
	if last < b.FirstSequence && len(b.Events) > 0 {
		return fmt.Errorf("batch of node %x: sequence passes 2^64", b.Node)
	}
	return nil
}

// LastSequence returns the sequence of the last event, FirstSequence-1 for an
// empty batch.
func (b *Batch) LastSequence() uint64 {
	sequence := b.FirstSequence - 1
	for _, e := range b.Events {
		sequence += 1 + uint64(e.GetSkip())
	}
	return sequence
}

// Records yields the batch's events in order. The Record is reused: copy what
// must outlive one step. Check must have passed.
func (b *Batch) Records(yield func(int, *Record) bool) {
	var r Record
	b.Each(&r, yield)
}

// Each is Records with a Record of the caller, whose scratch it reuses: a
// caller with many batches allocates nothing.
func (b *Batch) Each(r *Record, yield func(int, *Record) bool) {
	r.Tenant, r.Host = b.Tenant, b.Host
	r.ID = ID{Node: NodeID(b.Node), Incarnation: b.Incarnation, Sequence: b.FirstSequence - 1}
	for i, e := range b.Events {
		if e == nil {
			e = &Event{}
		}
		r.ID.Sequence += 1 + uint64(e.Skip)
		r.Observed = b.BaseTime + e.ObservedDelta
		r.Time = r.Observed - e.Lag
		r.Event = e
		r.scratch.reset()
		if !yield(i, r) {
			return
		}
	}
}
