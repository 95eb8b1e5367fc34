package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
)

// errReached ends a replay that has come far enough.
var errReached = errors.New("replay reached its end")

// replayUntil reads messages of a partition from an offset on, before end.
func (d *Detect) replayUntil(ctx context.Context, topic string, partition int32, from, end int64, each func(bus.Message)) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	err := d.deps.Bus.Replay(ctx, topic, partition, from, func(_ context.Context, messages []bus.Message) error {
		for _, m := range messages {
			if m.Offset < end {
				each(m)
			}
			if m.Offset >= end-1 {
				return errReached
			}
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	if err == nil && ctx.Err() != nil {
		return fmt.Errorf("replay %s partition %d: %w", topic, partition, ctx.Err())
	}
	return err
}

// restore reads back the alerts that are still open. What cannot be read is
// logged: those alerts may open a second time.
func (d *Detect) restore(ctx context.Context) error {
	all, err := d.deps.Bus.Usage(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("restore open alerts: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.deps.Now()
	for _, topic := range all {
		if topic.Topic != bus.Alerts {
			continue
		}
		for _, p := range topic.Partitions {
			if p.End <= p.Start {
				continue
			}
			err := d.replayUntil(ctx, bus.Alerts, p.Partition, max(p.Start, p.End-restoreDepth), p.End, func(m bus.Message) {
				a := &event.Alert{}
				if a.UnmarshalVT(m.Value) == nil && d.engine.Restore(a, m.Time, now) {
					d.count.restored.Inc()
				}
			})
			if err != nil && ctx.Err() == nil {
				d.deps.Log.Warn("open alerts not restored", "partition", p.Partition, "err", err)
			}
		}
	}
	return nil
}

// warm feeds correlations with what came before the first message of a
// partition that this process sees: the partition is new to it, or another
// member had it in between. d.mu is held.
func (d *Detect) warm(ctx context.Context, first bus.Message) {
	next, known := d.next[first.Partition]
	if !d.rules.Correlated || first.Offset == 0 || known && first.Offset <= next {
		return
	}
	from := max(0, first.Offset-warmDepth)
	if known {
		from = max(from, next)
	}
	now := d.deps.Now()
	oldest := now.Add(-d.rules.Span)
	err := d.replayUntil(ctx, bus.Events, first.Partition, from, first.Offset, func(m bus.Message) {
		if m.Time.Before(oldest) {
			return
		}
		b := &event.Batch{}
		if b.UnmarshalVTUnsafe(m.Value) != nil || b.Check() != nil {
			return // counted when it was consumed
		}
		d.count.warmed.Inc()
		d.engine.Warm(d.matchers[0].Batch(b, nil), now)
	})
	if err != nil && ctx.Err() == nil {
		d.deps.Log.Warn("correlations begin without their past", "partition", first.Partition, "err", err)
	}
}
