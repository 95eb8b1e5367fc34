package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Usage is how much of its retention a topic uses, and for whom.
type Usage struct {
	Topic string
	// Budget is the retention in bytes, 0 when it is unlimited.
	Budget int64
	// ByPartition says that Budget is that of each partition (Kafka), not of
	// the topic (embedded broker).
	ByPartition bool
	Partitions  []PartitionUsage
}

// PartitionUsage is one partition of Usage. Offsets count messages; Bytes is
// the size of the log.
type PartitionUsage struct {
	Partition  int32
	Start, End int64 // oldest message kept, next message to come
	Bytes      int64
	// Committed is the smallest commit of the groups registered for the
	// topic, End when there is none, and Group the group that has it.
	Committed int64
	Group     string
}

// Held returns the bytes that some registered group has not committed,
// estimated by their share of the partition's messages.
func (p PartitionUsage) Held() int64 {
	behind, all := p.End-max(p.Committed, p.Start), p.End-p.Start
	if behind <= 0 || all <= 0 {
		return 0
	}
	return int64(float64(p.Bytes) * float64(behind) / float64(all))
}

// Bytes returns the size of the topic.
func (u Usage) Bytes() int64 {
	var sum int64
	for _, p := range u.Partitions {
		sum += p.Bytes
	}
	return sum
}

// Fill returns the share of the retention, 0 to 1, taken by messages that
// some registered group has not committed.
func (u Usage) Fill() float64 {
	if u.Budget <= 0 {
		return 0
	}
	var sum, largest int64
	for _, p := range u.Partitions {
		sum += p.Held()
		largest = max(largest, p.Held())
	}
	if u.ByPartition {
		sum = largest
	}
	return min(1, float64(sum)/float64(u.Budget))
}

// WithdrawFill is the fill at which the gateway withdraws bulk credit, so
// that nodes spool before the broker refuses.
const WithdrawFill = 0.7

// Fill returns the largest fill of the declared topics, 0 to 1. The gateway
// polls it, every 1 to 2 s: below WithdrawFill it grants bulk credit, from
// there on none; at 1 the embedded broker answers ErrFull. It costs six
// requests.
func (c *Client) Fill(ctx context.Context) (float64, error) {
	all, err := c.Usage(ctx)
	if err != nil {
		return 0, err
	}
	fill := 0.0
	for _, u := range all {
		fill = max(fill, u.Fill())
	}
	return fill, nil
}

// Usage returns the usage of the declared topics that exist, in the order of
// Topics.
func (c *Client) Usage(ctx context.Context) ([]Usage, error) {
	names := topicNames()
	starts, err := c.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list oldest offsets: %w", classify(err))
	}
	ends, err := c.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list newest offsets: %w", classify(err))
	}
	sizes, err := c.sizes(ctx)
	if err != nil {
		return nil, err
	}
	commits, err := c.commits(ctx)
	if err != nil {
		return nil, err
	}
	budgets, err := c.budgets(ctx)
	if err != nil {
		return nil, err
	}
	var out []Usage
	for _, name := range names {
		u := Usage{Topic: name, Budget: budgets.bytes[name], ByPartition: !budgets.embedded}
		ends.Each(func(o kadm.ListedOffset) {
			if o.Topic != name || o.Err != nil {
				return
			}
			p := PartitionUsage{Partition: o.Partition, Start: -1, End: o.Offset, Bytes: sizes[name][o.Partition]}
			if start, ok := starts.Lookup(name, o.Partition); ok && start.Err == nil {
				p.Start = start.Offset
			}
			p.Committed, p.Group = slowest(commits, name, p)
			if p.Start >= 0 {
				u.Partitions = append(u.Partitions, p)
			}
		})
		if len(u.Partitions) > 0 {
			slices.SortFunc(u.Partitions, func(a, b PartitionUsage) int { return int(a.Partition - b.Partition) })
			out = append(out, u)
		}
	}
	return out, nil
}

func topicNames() []string {
	var names []string
	for _, t := range Topics() {
		names = append(names, t.Name)
	}
	return names
}

// slowest returns the smallest commit among the groups that committed
// anything of the topic; a partition that such a group has not committed
// counts from its start.
func slowest(commits map[string]kadm.OffsetResponses, topic string, p PartitionUsage) (int64, string) {
	lowest, name := p.End, ""
	for group, offsets := range commits {
		if len(offsets[topic]) == 0 {
			continue
		}
		at := p.Start
		if o, ok := offsets.Lookup(topic, p.Partition); ok && o.At >= 0 {
			at = o.At
		}
		if at < lowest || at == lowest && name != "" && group < name {
			lowest, name = at, group
		}
	}
	return lowest, name
}

// sizes returns the bytes of each partition's log; of replicas the largest.
func (c *Client) sizes(ctx context.Context) (map[string]map[int32]int64, error) {
	dirs, err := c.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("describe log dirs: %w", classify(err))
	}
	out := map[string]map[int32]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if out[p.Topic] == nil {
				out[p.Topic] = map[int32]int64{}
			}
			out[p.Topic][p.Partition] = max(out[p.Topic][p.Partition], p.Size)
		})
	})
	return out, nil
}

// commits returns the committed offsets of every group.
func (c *Client) commits(ctx context.Context) (map[string]kadm.OffsetResponses, error) {
	groups, err := c.admin.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", classify(err))
	}
	out := map[string]kadm.OffsetResponses{}
	if len(groups) == 0 {
		return out, nil
	}
	for name, r := range c.admin.FetchManyOffsets(ctx, groups.Groups()...) {
		if r.Err != nil {
			return nil, fmt.Errorf("fetch offsets of group %s: %w", name, classify(r.Err))
		}
		out[name] = r.Fetched
	}
	return out, nil
}

// budget is what retention allows.
type budget struct {
	embedded bool
	bytes    map[string]int64
}

// budgets asks for the retention. The embedded broker states the whole in
// log.retention.bytes and shares it by topic; Kafka states it by topic.
func (c *Client) budgets(ctx context.Context) (*budget, error) {
	c.mu.Lock()
	known := c.budget
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	metadata, err := c.admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for cluster id: %w", classify(err))
	}
	b := &budget{embedded: metadata.Cluster == EmbeddedClusterID, bytes: map[string]int64{}}
	if b.embedded {
		err = c.embeddedBudgets(ctx, b, metadata.Brokers.NodeIDs())
	} else {
		err = c.topicBudgets(ctx, b)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.budget = b
	c.mu.Unlock()
	return b, nil
}

func (c *Client) embeddedBudgets(ctx context.Context, b *budget, nodes []int32) error {
	configs, err := c.admin.DescribeBrokerConfigs(ctx, nodes...)
	if err != nil {
		return fmt.Errorf("describe broker config: %w", classify(err))
	}
	for _, r := range configs {
		total := configInt(r, "log.retention.bytes")
		for _, t := range Topics() {
			b.bytes[t.Name] = Budget(total, t)
		}
	}
	return nil
}

func (c *Client) topicBudgets(ctx context.Context, b *budget) error {
	configs, err := c.admin.DescribeTopicConfigs(ctx, topicNames()...)
	if err != nil {
		return fmt.Errorf("describe topic configs: %w", classify(err))
	}
	for _, r := range configs {
		if r.Err == nil {
			b.bytes[r.Name] = configInt(r, "retention.bytes")
		}
	}
	return nil
}

// Budget returns the topic's part of a retention of total bytes.
func Budget(total int64, t Topic) int64 { return total / 100 * t.Share }

func configInt(r kadm.ResourceConfig, key string) int64 {
	for _, entry := range r.Configs {
		if entry.Key == key && entry.Value != nil {
			if n, err := strconv.ParseInt(*entry.Value, 10, 64); err == nil {
				return max(0, n)
			}
		}
	}
	return 0
}

// Lag returns how many messages the group has not committed, over all
// topics it is registered for; 0 for a group that does not exist.
func (c *Client) Lag(ctx context.Context, group string) (int64, error) {
	commits, err := c.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("fetch offsets of group %s: %w", group, classify(err))
	}
	topics := make([]string, 0, len(commits))
	for topic := range commits {
		topics = append(topics, topic)
	}
	if len(topics) == 0 {
		return 0, nil
	}
	ends, err := c.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("list newest offsets: %w", classify(err))
	}
	starts, err := c.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return 0, fmt.Errorf("list oldest offsets: %w", classify(err))
	}
	var lag int64
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		at := start.Offset
		if o, ok := commits.Lookup(end.Topic, end.Partition); ok {
			at = max(at, o.At)
		}
		if end.Err == nil {
			lag += max(0, end.Offset-at)
		}
	})
	return lag, nil
}

// Forget removes a group that will not come back, so that retention no longer
// waits for it. It fails while the group has members.
func (c *Client) Forget(ctx context.Context, group string) error {
	_, err := c.admin.DeleteGroup(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("forget group %s: %w", group, classify(err))
	}
	return nil
}

// CreateTopics makes the declared topics that do not exist. Retention of
// external brokers is the operator's and stays at the broker's default.
func (c *Client) CreateTopics(ctx context.Context) error {
	metadata, err := c.admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("ask for cluster id: %w", classify(err))
	}
	configs := topicConfigs(metadata.Cluster == EmbeddedClusterID)
	for _, t := range Topics() {
		_, err := c.admin.CreateTopic(ctx, t.Partitions, -1, configs, t.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Name, classify(err))
		}
	}
	return nil
}

func topicConfigs(embedded bool) map[string]*string {
	set := map[string]string{"max.message.bytes": strconv.Itoa(MaxMessageBytes), "cleanup.policy": "delete"}
	if embedded {
		// Package broker deletes, because it knows the slowest group.
		set["retention.bytes"], set["retention.ms"] = "-1", "-1"
		set["segment.bytes"] = strconv.Itoa(SegmentBytes)
	}
	out := map[string]*string{}
	for key, value := range set {
		out[key] = kadm.StringPtr(value)
	}
	return out
}
