package etcd

import (
	"context"
	"log/slog"
	"sort"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Mirror keeps a decoded copy of a small prefix and hands the whole of it, in
// order of key, to use: at first and after every change, until the context
// ends. A value that does not decode is reported and left out.
func Mirror[T any](ctx context.Context, c *clientv3.Client, log *slog.Logger, prefix string, decode func([]byte) (T, error), use func([]T)) error {
	set := map[string]T{}
	change := func(items []Item) error {
		for _, i := range items {
			delete(set, i.Key)
			if i.Value == nil {
				continue
			}
			v, err := decode(i.Value)
			if err != nil {
				log.Warn("entry of etcd left out", "key", i.Key, "cause", err)
				continue
			}
			set[i.Key] = v
		}
		keys := make([]string, 0, len(set))
		for key := range set {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		out := make([]T, len(keys))
		for i, key := range keys {
			out[i] = set[key]
		}
		use(out)
		return nil
	}
	return Follow(ctx, c, log, prefix, func(items []Item) error {
		clear(set)
		return change(items)
	}, change)
}
