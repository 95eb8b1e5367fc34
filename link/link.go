// Package link is the protocol between a node and its gateway: length-prefixed
// protobuf (proto/link.proto) over one mutually authenticated TLS 1.3
// connection. docs/formats/link.md is its specification; this package is both
// sides of it, and link/linktest the suite a server of it must pass.
//
// The gateway's side is Server, which accepts, authenticates and reads, and
// calls a Handler; an idle connection costs it one goroutine and no buffer.
// The node's side is Client, which stays connected and drains a Source.
//
// What both must agree on without a socket stands apart, pure and tested by
// scripts: Token, Identity, Sender and Receiver (credit and acknowledgement),
// Backoff, Rank, and the codec of batches.
package link

import (
	"errors"
	"fmt"
	"time"

	"github.com/hauberk/hauberk/internal/frame"
)

// Protocol is the version this package speaks. A later version must still
// speak this one as long as MinProtocol says so.
const (
	Protocol    = 1
	MinProtocol = 1
)

// Limits of the protocol. A peer that passes one is cut off with
// REASON_PROTOCOL and counted.
const (
	// MaxFrame bounds every frame, in bytes: a batch that does not compress,
	// with its header.
	MaxFrame = MaxBatch + 64<<10
	// MaxBatch bounds a batch before compression, in bytes. One event with
	// the longest argv of its process and of MaxAncestors ancestors, cut to
	// 32 KiB each, still fits.
	MaxBatch = 512 << 10
	// MaxFirstFrame bounds the first frame, in bytes: what a stranger can
	// make the gateway hold.
	MaxFirstFrame = 32 << 10
	// MaxConfig bounds Config.body, in bytes.
	MaxConfig = 256 << 10
	// MaxBatchEvents bounds the events of one batch, so that tiny events do
	// not multiply work per byte.
	MaxBatchEvents = 16 << 10
)

const (
	// DefaultHeartbeat is the pause between two Status frames.
	DefaultHeartbeat = 30 * time.Second
	// silentHeartbeats is after how many heartbeats without a frame the peer
	// counts as gone.
	silentHeartbeats = 2.5
	// RenewGrace is how long after its expiry a certificate may still be used
	// to renew itself, and for nothing else.
	RenewGrace = 30 * 24 * time.Hour
)

// silence returns how long a peer may be silent at that heartbeat.
func silence(heartbeat time.Duration) time.Duration {
	return time.Duration(silentHeartbeats * float64(heartbeat))
}

// ErrProtocol is wrapped by every error a peer's breach of the protocol makes.
var ErrProtocol = errors.New("protocol broken by peer")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// Refusal is an error with the reason a Goaway carries. A Handler returns it
// to choose what the node is told; the Client returns it when it was told.
type Refusal struct {
	Reason Reason
	Detail string
	Retry  time.Duration // at least, before the next attempt
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "refused by gateway: " + r.Reason.word()
	}
	return "refused by gateway: " + r.Reason.word() + ": " + r.Detail
}

// word returns the reason in plain English.
func (r Reason) word() string {
	switch r {
	case Reason_REASON_SHUTDOWN:
		return "shutting down"
	case Reason_REASON_BUSY:
		return "busy"
	case Reason_REASON_UNAUTHORIZED:
		return "not authorized"
	case Reason_REASON_PROTOCOL:
		return "protocol broken"
	case Reason_REASON_TOKEN:
		return "token not valid"
	case Reason_REASON_RENEW_ONLY:
		return "certificate expired, may only renew"
	case Reason_REASON_REPLACED:
		return "replaced by a newer connection"
	case Reason_REASON_UNAVAILABLE:
		return "unavailable"
	case Reason_REASON_VERSION:
		return "no common protocol version"
	default:
		return "no reason given"
	}
}

func (g *Goaway) refusal() *Refusal {
	return &Refusal{g.Reason, g.Detail, time.Duration(g.Retry) * time.Millisecond}
}

// Encoded is a frame ready to be written, prefix included. One Encoded may be
// sent to any number of connections; nobody changes it.
type Encoded []byte

// Encode marshals a frame.
func Encode(f *Frame) (Encoded, error) {
	n := f.SizeVT()
	if n > MaxFrame {
		return nil, fmt.Errorf("encode frame: %w: %d bytes, limit %d", frame.ErrTooLarge, n, MaxFrame)
	}
	buf := frame.AppendHeader(make([]byte, 0, frame.HeaderSize+n), n)
	buf = buf[:frame.HeaderSize+n]
	if _, err := f.MarshalToSizedBufferVT(buf[frame.HeaderSize:]); err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return buf, nil
}

// Decode unmarshals the body of a frame (without the prefix). A frame of an
// unknown kind has no Body; readers skip it.
func Decode(body []byte) (*Frame, error) {
	f := &Frame{}
	if err := f.UnmarshalVT(body); err != nil {
		return nil, broken("frame of %d bytes: %v", len(body), err)
	}
	return f, nil
}
