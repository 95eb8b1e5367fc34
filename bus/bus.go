// Package bus is the event bus: a thin client of the Kafka protocol over
// franz-go. One machine speaks to the embedded broker (package bus/broker) on
// a 0600 Unix socket, a fleet to Apache Kafka or a compatible broker; the
// code, the ordering and the tests (package bus/bustest) are the same.
//
// What it promises: messages of one key arrive in the order in which one
// client published them, because a key belongs to one partition. A published
// message was acknowledged by the broker when Publish returns nil. A consumer
// group commits after the effect (at least once) or before it (at most once);
// Transform consumes, transforms and publishes in one transaction (exactly
// once inside the bus). Across a kill -9 of the embedded broker all three are
// at least once, so every sink dedupes by the identity of what it stores.
//
// Formats, topics and guarantees: docs/formats/bus.md; why one protocol and
// no second adapter: docs/adr/0002-bus.md.
package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Message is one record of a topic. Partition and Offset are set on messages
// that were consumed; Publish derives the partition from the key.
type Message struct {
	Topic     string
	Key       []byte
	Value     []byte
	Partition int32
	Offset    int64
	// Time is when the publisher made the message, in millisecond precision;
	// the zero time means now.
	Time time.Time
}

// Errors that callers tell apart with errors.Is. ErrFull and ErrUnavailable
// pass by themselves: Retryable reports them.
var (
	// ErrFull: the embedded broker refused the message because some
	// registered group has not consumed what fills the topic's retention, or
	// because the disk is at its reserve. Nothing was written.
	ErrFull = errors.New("bus is full")
	// ErrUnavailable: no broker answered in time. The message may or may not
	// have been written.
	ErrUnavailable = errors.New("bus is unavailable")
	// ErrTooLarge: the message exceeds MaxMessageBytes.
	ErrTooLarge = errors.New("message too large for the bus")
	// ErrUnknownTopic: the topic does not exist.
	ErrUnknownTopic = errors.New("unknown bus topic")
	// ErrDenied: the broker refused the credentials or the permission.
	ErrDenied = errors.New("bus access denied")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("bus client closed")
)

// Retryable reports whether the same call may succeed later.
func Retryable(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, ErrUnavailable)
}

// classify wraps an error of the Kafka client in the sentinel it stands for.
func classify(err error) error {
	if err == nil {
		return nil
	}
	for _, c := range [...]struct {
		cause    error
		sentinel error
	}{
		{kerr.PolicyViolation, ErrFull},
		{kerr.ThrottlingQuotaExceeded, ErrFull},
		{kerr.KafkaStorageError, ErrUnavailable},
		{kerr.MessageTooLarge, ErrTooLarge},
		{kerr.RecordListTooLarge, ErrTooLarge},
		{kerr.UnknownTopicOrPartition, ErrUnknownTopic},
		{kerr.UnknownTopicID, ErrUnknownTopic},
		{kerr.SaslAuthenticationFailed, ErrDenied},
		{kerr.TopicAuthorizationFailed, ErrDenied},
		{kerr.GroupAuthorizationFailed, ErrDenied},
		{kerr.ClusterAuthorizationFailed, ErrDenied},
		{kgo.ErrClientClosed, ErrClosed},
		{kgo.ErrRecordTimeout, ErrUnavailable},
		{kgo.ErrRecordRetries, ErrUnavailable},
	} {
		if errors.Is(err, c.cause) {
			return fmt.Errorf("%w: %w", c.sentinel, err)
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var protocol *kerr.Error
	if !errors.As(err, &protocol) || kerr.IsRetriable(protocol) || protocol == kerr.UnknownServerError {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
