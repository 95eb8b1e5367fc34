package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/internal/run"
)

// Item is a key's value, or its absence, at a revision.
type Item struct {
	Key      string
	Value    []byte // nil: deleted
	Revision int64  // of the change
}

// page is how many keys one request reads: a page of enrolments stays far
// below etcd's message limit.
const page = 1000

// List reads every key below a prefix, in pages of one revision, and hands
// each to visit.
func List(ctx context.Context, c *clientv3.Client, prefix string, visit func(Item) error) (revision int64, err error) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page)}
		if revision != 0 {
			opts = append(opts, clientv3.WithRev(revision))
		}
		r, err := c.Get(ctx, from, opts...)
		if err != nil {
			return 0, fmt.Errorf("list %s: %w", prefix, err)
		}
		if revision == 0 {
			revision = r.Header.Revision
		}
		for _, kv := range r.Kvs {
			if err := visit(itemOf(kv)); err != nil {
				return 0, err
			}
		}
		if !r.More {
			return revision, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

func itemOf(kv *mvccpb.KeyValue) Item {
	return Item{string(kv.Key), kv.Value, kv.ModRevision}
}

// followMin and followMax bound the pause after a watch that broke.
const (
	followMin = 100 * time.Millisecond
	followMax = 5 * time.Second
)

// Follow reads everything below the prefix into one reset, then hands every
// change to change, in order, until the context ends; an error of either ends
// it too. When the watch broke in a way that may have lost a change, it
// begins again with a reset.
func Follow(ctx context.Context, c *clientv3.Client, log *slog.Logger, prefix string, reset, change func([]Item) error) error {
	return follow(ctx, log, prefix, func(worked func()) (bool, error) {
		var items []Item
		revision, err := List(ctx, c, prefix, func(i Item) error { items = append(items, i); return nil })
		if err != nil {
			return false, err
		}
		if err := reset(items); err != nil {
			return true, err
		}
		worked()
		return watch(ctx, c, prefix, revision, change)
	})
}

// FollowChanges is Follow for what is too much to read: begin stands for the
// reset, and every change after its call is handed to change. A failure of
// begin is tried again.
func FollowChanges(ctx context.Context, c *clientv3.Client, log *slog.Logger, prefix string, begin func(context.Context) error, change func([]Item) error) error {
	return follow(ctx, log, prefix, func(worked func()) (bool, error) {
		now, err := c.Get(ctx, prefix)
		if err != nil {
			return false, err
		}
		if err := begin(ctx); err != nil {
			return false, err
		}
		worked()
		return watch(ctx, c, prefix, now.Header.Revision, change)
	})
}

func follow(ctx context.Context, log *slog.Logger, prefix string, once func(worked func()) (fatal bool, err error)) error {
	backoff := run.Backoff{Min: followMin, Max: followMax}
	for {
		fatal, err := once(backoff.Reset)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fatal {
			return err
		}
		log.Warn("watch of etcd broke; reading again", "prefix", prefix, "cause", err)
		if err := run.Sleep(ctx, backoff.Next()); err != nil {
			return err
		}
	}
}

func watch(ctx context.Context, c *clientv3.Client, prefix string, revision int64, change func([]Item) error) (fatal bool, err error) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for w := range c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1)) {
		if err := w.Err(); err != nil {
			return false, err
		}
		changed := make([]Item, 0, len(w.Events))
		for _, e := range w.Events {
			i := itemOf(e.Kv)
			if e.Type == mvccpb.DELETE {
				i.Value = nil
			} else if i.Value == nil {
				i.Value = []byte{}
			}
			changed = append(changed, i)
		}
		if len(changed) == 0 {
			continue
		}
		if err := change(changed); err != nil {
			return true, err
		}
	}
	return false, fmt.Errorf("watch of %s ended", prefix)
}
