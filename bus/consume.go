package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Mode is when a group commits.
type Mode uint8

// AtLeastOnce commits after the handler returned nil: after a crash messages
// come again. AtMostOnce commits before the handler runs: after a crash
// messages are missing. Exactly once is Transform.
const (
	AtLeastOnce Mode = iota + 1
	AtMostOnce
)

// Group is a consumer group. From its first Consume until Forget it is
// registered: the embedded broker keeps what it has not committed.
type Group struct {
	Name   string
	Topics []string
	Mode   Mode
	// Instance, when set, names this member for ever (KIP-345): a restarted
	// process takes its partitions back at once instead of waiting for the
	// session of its dead predecessor. Unique within the group.
	Instance string
	// MaxBatch bounds the messages of one handler call, 1 to 100,000; 0
	// means 1,000.
	MaxBatch int
	// Settle, when set, parts handling from committing (AtLeastOnce only): the
	// handler may return before its effect lasts, and what it handled is
	// committed once Settle reports that all of it does. Settle is asked after
	// each delivery, and every 100 ms while something is not committed; never
	// at the same time as the handler. Its error ends Consume.
	Settle func(context.Context) (settled bool, err error) `json:"-"`
}

const (
	defaultMaxBatch = 1000
	commitTimeout   = 10 * time.Second
	// settlePoll is how often Settle is asked while nothing arrives.
	settlePoll = 100 * time.Millisecond
)

func (g *Group) validate() error {
	var p conf.Problems
	p.NotEmpty("group name", g.Name)
	if len(g.Topics) == 0 {
		p.Addf("group topics: must not be empty")
	}
	if g.MaxBatch == 0 {
		g.MaxBatch = defaultMaxBatch
	}
	p.Between("group max batch", int64(g.MaxBatch), 1, 100_000)
	if g.Mode != AtLeastOnce && g.Mode != AtMostOnce {
		p.Addf("group mode: must be AtLeastOnce or AtMostOnce")
	}
	if g.Settle != nil && g.Mode != AtLeastOnce {
		p.Addf("group settle: needs AtLeastOnce")
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	return nil
}

func (c *Client) groupOptions(g Group) []kgo.Opt {
	opts := append([]kgo.Opt{
		kgo.ConsumerGroup(g.Name),
		kgo.ConsumeTopics(g.Topics...),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.config.SessionTimeout),
		kgo.HeartbeatInterval(c.config.SessionTimeout / 3),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { c.lose(g.Name, lost) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { c.lose(g.Name, lost) }),
	}, c.fetchOptions()...)
	if g.Instance != "" {
		opts = append(opts, kgo.InstanceID(g.Instance))
	}
	return opts
}

func (c *Client) fetchOptions() []kgo.Opt {
	return append([]kgo.Opt{
		kgo.FetchMaxWait(fetchMaxWait),
		kgo.FetchMinBytes(1),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(MaxMessageBytes),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}, c.common...)
}

// Consume joins the group and calls handle with what arrives, at most
// g.MaxBatch messages a call, those of one partition in their order, one call
// at a time, until ctx ends (nil) or handle fails (its error; in AtLeastOnce
// what was not committed comes again at the next Consume). A new group begins at the
// oldest message. The bytes of a message are valid during the call and after.
func (c *Client) Consume(ctx context.Context, g Group, handle func(context.Context, []Message) error) error {
	if err := g.validate(); err != nil {
		return err
	}
	if err := c.register(ctx, g); err != nil {
		return ended(ctx, fmt.Errorf("register group %s: %w", g.Name, classify(err)))
	}
	kafka, err := kgo.NewClient(c.groupOptions(g)...)
	if err != nil {
		return fmt.Errorf("join group %s: %w", g.Name, err)
	}
	defer kafka.CloseAllowingRebalance()
	unsettled := false
	for {
		wait := time.Duration(0)
		if unsettled {
			wait = settlePoll
		}
		messages, err := c.poll(ctx, kafka.PollRecords, g.MaxBatch, g.Name, wait)
		if err != nil {
			return ended(ctx, fmt.Errorf("consume as group %s: %w", g.Name, err))
		}
		if len(messages) > 0 || unsettled {
			if unsettled, err = c.deliver(ctx, kafka, g, messages, handle); err != nil {
				return ended(ctx, err)
			}
		}
		kafka.AllowRebalance()
	}
}

// deliver runs the handler and commits, in the order that the mode asks for.
// It reports whether something handled is not committed yet.
func (c *Client) deliver(ctx context.Context, kafka *kgo.Client, g Group, messages []Message, handle func(context.Context, []Message) error) (unsettled bool, err error) {
	if g.Mode == AtMostOnce {
		if err := c.commit(ctx, kafka, g); err != nil {
			return false, err
		}
	}
	settled := true
	err = run.Protect(func() (err error) {
		if len(messages) > 0 {
			err = handle(ctx, messages)
		}
		if err == nil && g.Settle != nil {
			settled, err = g.Settle(ctx)
		}
		return err
	})
	if err != nil {
		c.count.handleFailed.Inc()
		return false, fmt.Errorf("handle messages of group %s: %w", g.Name, err)
	}
	if g.Mode == AtLeastOnce && settled {
		// A commit that fails only means that messages come again; the next
		// one covers it.
		if err := c.commit(ctx, kafka, g); err != nil {
			c.log.Warn("bus commit failed", "group", g.Name, "err", err)
		}
	}
	return !settled, nil
}

// commit commits all that was polled, even when ctx just ended: the effect
// has happened.
func (c *Client) commit(ctx context.Context, kafka *kgo.Client, g Group) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := kafka.CommitUncommittedOffsets(ctx); err != nil {
		c.count.commitFailed.Inc()
		return fmt.Errorf("commit for group %s: %w", g.Name, classify(err))
	}
	return nil
}

// ended turns an error after the end of ctx into nil: that is how consuming
// ends.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// poll waits for messages, at most for wait unless that is 0. Errors of single
// partitions that pass by themselves are counted.
func (c *Client) poll(ctx context.Context, pollRecords func(context.Context, int) kgo.Fetches, limit int, group string, wait time.Duration) ([]Message, error) {
	polling, cancel := ctx, context.CancelFunc(func() {})
	if wait > 0 {
		polling, cancel = context.WithTimeout(ctx, wait)
	}
	fetches := pollRecords(polling, limit)
	cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if fetches.IsClientClosed() {
		return nil, ErrClosed
	}
	var fatal error
	fetches.EachError(func(topic string, partition int32, err error) {
		if wait > 0 && errors.Is(err, context.DeadlineExceeded) {
			return // nothing arrived
		}
		var lost *kgo.ErrDataLoss
		switch err := classify(err); {
		case errors.As(err, &lost):
			c.count.dataLost.Inc()
			c.log.Error("bus lost messages", "topic", topic, "partition", partition, "err", err)
		case errors.Is(err, ErrDenied):
			fatal = err
		default:
			c.count.fetchFailed.Inc()
			c.log.Warn("bus fetch failed", "topic", topic, "partition", partition, "err", err)
		}
	})
	if fatal != nil {
		return nil, fatal
	}
	messages := make([]Message, 0, fetches.NumRecords())
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			messages = append(messages, message(r))
		}
		c.note(group, p)
	})
	c.count.consumed.Add(uint64(len(messages)))
	return messages, nil
}

func message(r *kgo.Record) Message {
	return Message{Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp}
}

// note counts redeliveries of a group and follows its lag.
func (c *Client) note(group string, p kgo.FetchTopicPartition) {
	if group == "" || len(p.Records) == 0 {
		return
	}
	c.mu.Lock()
	partitions, known := c.groups[group]
	if !known {
		partitions = map[topicPartition]*progress{}
		c.groups[group] = partitions
	}
	at := partitions[topicPartition{p.Topic, p.Partition}]
	if at == nil {
		at = &progress{}
		partitions[topicPartition{p.Topic, p.Partition}] = at
	}
	for _, r := range p.Records {
		if r.Offset >= at.delivered {
			break
		}
		c.count.redelivered.Inc()
	}
	last := p.Records[len(p.Records)-1].Offset + 1
	at.delivered = max(at.delivered, last)
	at.behind = max(0, p.HighWatermark-last)
	c.mu.Unlock()
	if !known {
		c.registry.Gauge("hauberk_bus_lag_messages", "group="+group, "messages that wait for the group's consumer in this process",
			func() uint64 { return c.behind(group) })
	}
}

// lose takes partitions that another member has now out of the lag.
func (c *Client) lose(group string, lost map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range lost {
		for _, partition := range partitions {
			if at := c.groups[group][topicPartition{topic, partition}]; at != nil {
				at.behind = 0
			}
		}
	}
}

func (c *Client) behind(group string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sum int64
	for _, at := range c.groups[group] {
		sum += at.behind
	}
	return uint64(sum)
}

// register makes the group known to the broker before its first message, by
// committing the start of partitions that have no commit. Only an empty group
// accepts that; in one with members, a member has done it.
func (c *Client) register(ctx context.Context, g Group) error {
	committed, err := c.admin.FetchOffsetsForTopics(ctx, g.Name, g.Topics...)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return err
	}
	starts, err := c.admin.ListStartOffsets(ctx, g.Topics...)
	if err != nil {
		return err
	}
	missing := kadm.Offsets{}
	starts.Each(func(o kadm.ListedOffset) {
		if have, ok := committed.Lookup(o.Topic, o.Partition); o.Err == nil && (!ok || have.At < 0) {
			missing.AddOffset(o.Topic, o.Partition, o.Offset, -1)
		}
	})
	if len(missing) == 0 {
		return nil
	}
	responses, err := c.admin.CommitOffsets(ctx, g.Name, missing)
	if err != nil {
		return err
	}
	if err := responses.Error(); err != nil {
		c.log.Debug("bus group registers with its first commit", "group", g.Name, "err", err)
	}
	return nil
}
