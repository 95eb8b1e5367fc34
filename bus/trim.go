package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Limit is what a topic may keep.
type Limit struct {
	// Above is the size in bytes beyond which messages go, To the size that
	// is then aimed at.
	Above, To int64
	// Age is how old messages may get.
	Age time.Duration
}

// Trim deletes the oldest messages of a topic beyond the limit, but none that
// a registered group has not committed, and keeps the newest message of every
// partition, so that a broker reopened after a crash still knows the offset
// to go on with. It returns how many messages went.
func (c *Client) Trim(ctx context.Context, u Usage, limit Limit) (int64, error) {
	expired := map[int32]int64{}
	if limit.Age > 0 {
		listed, err := c.admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-limit.Age).UnixMilli(), u.Topic)
		if err != nil {
			return 0, fmt.Errorf("list expired offsets of %s: %w", u.Topic, classify(err))
		}
		listed.Each(func(o kadm.ListedOffset) {
			if o.Err == nil && o.Offset >= 0 {
				expired[o.Partition] = o.Offset
			}
		})
	}
	var (
		trim  = kadm.Offsets{}
		total int64
	)
	for partition, to := range plan(u, limit, expired) {
		trim.AddOffset(u.Topic, partition, to, -1)
	}
	if len(trim) == 0 {
		return 0, nil
	}
	responses, err := c.admin.DeleteRecords(ctx, trim)
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", u.Topic, classify(err))
	}
	for _, p := range u.Partitions {
		if r, ok := responses.Lookup(u.Topic, p.Partition); ok && r.Err == nil {
			total += max(0, r.LowWatermark-p.Start)
		}
	}
	return total, nil
}

// plan decides, without I/O, up to which offset each partition is trimmed.
// Bytes are taken from all partitions in proportion to what each may give.
func plan(u Usage, limit Limit, expired map[int32]int64) map[int32]int64 {
	var free int64 // bytes that no registered group still needs
	for _, p := range u.Partitions {
		free += p.Bytes - p.Held()
	}
	excess := int64(0)
	if size := u.Bytes(); size > limit.Above {
		excess = min(free, size-limit.To)
	}
	out := map[int32]int64{}
	for _, p := range u.Partitions {
		ceiling := min(p.Committed, p.End-1) // the newest message stays
		to := p.Start
		if at, ok := expired[p.Partition]; ok {
			to = max(to, at)
		}
		if excess > 0 && free > 0 && p.Bytes > 0 {
			give := float64(p.Bytes-p.Held()) * float64(excess) / float64(free)
			to = max(to, p.Start+int64(give/float64(p.Bytes)*float64(p.End-p.Start)))
		}
		if to = min(to, ceiling); to > p.Start {
			out[p.Partition] = to
		}
	}
	return out
}

// RewindCommits moves commits beyond the end of their partition, which a log
// that lost its tail leaves behind, back to the end; or else the group would
// skip what takes those offsets next. Members must not be connected. It
// returns how many commits it moved.
func (c *Client) RewindCommits(ctx context.Context) (int, error) {
	commits, err := c.commits(ctx)
	if err != nil {
		return 0, err
	}
	ends, err := c.admin.ListEndOffsets(ctx, topicNames()...)
	if err != nil {
		return 0, fmt.Errorf("list newest offsets: %w", classify(err))
	}
	moved := 0
	for group, offsets := range commits {
		back := kadm.Offsets{}
		offsets.Each(func(o kadm.OffsetResponse) {
			if end, ok := ends.Lookup(o.Topic, o.Partition); ok && end.Err == nil && o.At > end.Offset {
				back.AddOffset(o.Topic, o.Partition, end.Offset, -1)
				moved++
			}
		})
		if len(back) == 0 {
			continue
		}
		if err := c.admin.CommitAllOffsets(ctx, group, back); err != nil {
			return 0, fmt.Errorf("rewind commits of group %s: %w", group, classify(err))
		}
	}
	return moved, nil
}
