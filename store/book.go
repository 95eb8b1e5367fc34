package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/ledger"
)

// book holds the lives (incarnations of nodes) that sent events of late, each
// with the set of its events that were handled. It belongs to whoever holds
// Store.ingest.
type book struct {
	db    *cases.DB
	lives map[lifeKey]*life
}

type lifeKey struct {
	node        event.NodeID
	incarnation uint32
}

type life struct {
	seen     ledger.Ranges
	rejected map[string]uint64
	changed  bool
	used     time.Time
}

// lifeIdle is how long a life that sends nothing stays in memory.
const lifeIdle = 10 * time.Minute

func newBook(db *cases.DB) *book { return &book{db: db, lives: map[lifeKey]*life{}} }

// life returns an incarnation's life, from the database if it is not in
// memory.
func (b *book) life(ctx context.Context, key lifeKey, now time.Time) (*life, error) {
	if l := b.lives[key]; l != nil {
		l.used = now
		return l, nil
	}
	saved, err := b.db.Life(ctx, key.node.String(), key.incarnation)
	if err != nil && !errors.Is(err, cases.ErrNotFound) {
		return nil, err
	}
	l := &life{rejected: saved.Rejected, used: now}
	if l.rejected == nil {
		l.rejected = map[string]uint64{}
	}
	if l.seen, err = ledger.Parse(saved.Seen); err != nil {
		return nil, fmt.Errorf("life %d of node %s: %w", key.incarnation, key.node, err)
	}
	b.lives[key] = l
	return l, nil
}

// changed returns the lives to save, as they are now.
func (b *book) changed() []cases.Life {
	var list []cases.Life
	for key, l := range b.lives {
		if l.changed {
			list = append(list, cases.Life{
				Node: key.node.String(), Incarnation: key.incarnation, Seen: l.seen.Append(nil), Rejected: maps.Clone(l.rejected),
			})
		}
	}
	return list
}

// saved marks the lives as saved and forgets those long idle.
func (b *book) saved(now time.Time) {
	for key, l := range b.lives {
		l.changed = false
		if now.Sub(l.used) > lifeIdle {
			delete(b.lives, key)
		}
	}
}
