package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/hauberk/hauberk/internal/run"
	"github.com/twmb/franz-go/pkg/kgo"
)

// From is a point in every partition of a topic where reading begins.
type From struct{ offset kgo.Offset }

// FromEnd begins with what is published from now on.
func FromEnd() From { return From{kgo.NewOffset().AtEnd()} }

// FromStart begins with the oldest message kept.
func FromStart() From { return From{kgo.NewOffset().AtStart()} }

// FromTime begins, in each partition, with the first message made at t or
// later, at the end if there is none.
func FromTime(t time.Time) From { return From{kgo.NewOffset().AfterMilli(t.UnixMilli())} }

// tailBatch bounds the messages of one call of a Tail handler.
const tailBatch = defaultMaxBatch

// Tail reads topics without a group, all partitions, nothing committed, and
// calls handle as Consume does, until ctx ends (nil) or handle fails. It is
// for live pages and for replay from a point in time.
func (c *Client) Tail(ctx context.Context, topics []string, from From, handle func(context.Context, []Message) error) error {
	return c.tail(ctx, handle, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(from.offset))
}

// Replay reads one partition from an offset on, as Tail does. An offset that
// retention has removed begins with the oldest message kept.
func (c *Client) Replay(ctx context.Context, topic string, partition int32, offset int64, handle func(context.Context, []Message) error) error {
	return c.tail(ctx, handle,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

func (c *Client) tail(ctx context.Context, handle func(context.Context, []Message) error, opts ...kgo.Opt) error {
	kafka, err := kgo.NewClient(append(opts, c.fetchOptions()...)...)
	if err != nil {
		return fmt.Errorf("tail bus: %w", err)
	}
	defer kafka.Close()
	for {
		messages, err := c.poll(ctx, kafka.PollRecords, tailBatch, "", 0)
		if err != nil {
			return ended(ctx, fmt.Errorf("tail bus: %w", err))
		}
		if len(messages) == 0 {
			continue
		}
		if err := run.Protect(func() error { return handle(ctx, messages) }); err != nil {
			c.count.handleFailed.Inc()
			return ended(ctx, fmt.Errorf("handle tailed messages: %w", err))
		}
	}
}
