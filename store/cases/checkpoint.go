package cases

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Checkpoint is what the event store remembers across a crash: every event
// that the lives of nodes have seen is on disk or was rejected.
type Checkpoint struct {
	// Floor: no event older (Unix ns) was stored since.
	Floor int64
	// Dropped: events before it (Unix ns) went because of the size limit.
	Dropped int64
	// Next offset of the bus, by partition of the events topic.
	Next map[int32]int64
}

// Life is what became of the events of one incarnation of a node.
type Life struct {
	Node        string
	Incarnation uint32
	Seen        []byte // store/ledger's ranges
	Rejected    map[string]uint64
	Produced    uint64
	Dropped     map[string]uint64
}

// Checkpoint returns the last one saved.
func (d *DB) Checkpoint(ctx context.Context) (Checkpoint, error) {
	c := Checkpoint{Next: map[int32]int64{}}
	if err := d.read.QueryRowContext(ctx, "SELECT floor, dropped FROM checkpoint").Scan(&c.Floor, &c.Dropped); err != nil {
		return c, fmt.Errorf("read checkpoint: %w", err)
	}
	err := d.query(ctx, "read checkpoint", func(rows *sql.Rows) error {
		var partition int32
		var next int64
		err := rows.Scan(&partition, &next)
		c.Next[partition] = next
		return err
	}, "SELECT partition, next FROM positions")
	return c, err
}

// SaveCheckpoint replaces the checkpoint and, of the lives that changed, what
// was seen and rejected, at once. Partitions it does not name keep their
// offset.
func (d *DB) SaveCheckpoint(ctx context.Context, c Checkpoint, lives []Life) error {
	return d.update(ctx, "save checkpoint", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE checkpoint SET floor = ?, dropped = ?", c.Floor, c.Dropped); err != nil {
			return err
		}
		for partition, next := range c.Next {
			if _, err := tx.ExecContext(ctx, `INSERT INTO positions (partition, next) VALUES (?,?)
				ON CONFLICT (partition) DO UPDATE SET next = excluded.next`, partition, next); err != nil {
				return err
			}
		}
		for _, l := range lives {
			if err := putLife(ctx, tx, l, d.now().UnixNano()); err != nil {
				return err
			}
		}
		return nil
	})
}

func putLife(ctx context.Context, tx *sql.Tx, l Life, now int64) error {
	rejected, err := json.Marshal(l.Rejected)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO lives (node, incarnation, seen, rejected, produced, dropped, changed) VALUES (?,?,?,?,0,'{}',?)
		ON CONFLICT (node, incarnation) DO UPDATE SET seen = excluded.seen, rejected = excluded.rejected, changed = excluded.changed`,
		l.Node, l.Incarnation, l.Seen, string(rejected), now)
	return err
}

// putCounters keeps what a node says of an incarnation. Its counters only
// rise, so that an old word changes nothing.
func putCounters(ctx context.Context, tx *sql.Tx, node string, incarnation uint32, produced uint64, dropped map[string]uint64, now int64) error {
	text, err := json.Marshal(dropped)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO lives (node, incarnation, seen, rejected, produced, dropped, changed) VALUES (?,?,x'','{}',?,?,?)
		ON CONFLICT (node, incarnation) DO UPDATE SET produced = excluded.produced, dropped = excluded.dropped, changed = excluded.changed
		WHERE excluded.produced >= lives.produced`, node, incarnation, int64(min(produced, math.MaxInt64)), string(text), now)
	return err
}

const lifeColumns = "node, incarnation, seen, rejected, produced, dropped"

func scanLife(row interface{ Scan(...any) error }) (Life, error) {
	var l Life
	var rejected, dropped string
	if err := row.Scan(&l.Node, &l.Incarnation, &l.Seen, &rejected, &l.Produced, &dropped); err != nil {
		return l, err
	}
	if err := json.Unmarshal([]byte(rejected), &l.Rejected); err != nil {
		return l, err
	}
	return l, json.Unmarshal([]byte(dropped), &l.Dropped)
}

// Life returns what was saved of an incarnation, ErrNotFound if nothing was.
func (d *DB) Life(ctx context.Context, node string, incarnation uint32) (Life, error) {
	l, err := scanLife(d.read.QueryRowContext(ctx, "SELECT "+lifeColumns+" FROM lives WHERE node = ? AND incarnation = ?", node, incarnation))
	if errors.Is(err, sql.ErrNoRows) {
		return l, fmt.Errorf("life %d of node %s: %w", incarnation, node, ErrNotFound)
	}
	if err != nil {
		return l, fmt.Errorf("read life %d of node %s: %w", incarnation, node, err)
	}
	return l, nil
}

// Lives calls each with every life of a node, newest first; of every node with
// "".
func (d *DB) Lives(ctx context.Context, node string, each func(Life) error) error {
	w := &where{}
	w.equal("node", node)
	return d.query(ctx, "list lives", func(rows *sql.Rows) error {
		l, err := scanLife(rows)
		if err != nil {
			return err
		}
		return each(l)
	}, "SELECT "+lifeColumns+" FROM lives WHERE "+w.String()+" ORDER BY node, incarnation DESC", w.args...)
}

// Tenants returns the numbers of all tenants.
func (d *DB) Tenants(ctx context.Context) (map[string]uint32, error) {
	out := map[string]uint32{}
	err := d.query(ctx, "list tenants", func(rows *sql.Rows) error {
		var name string
		var number uint32
		err := rows.Scan(&name, &number)
		out[name] = number
		return err
	}, "SELECT name, number FROM tenants")
	return out, err
}

// Tenant returns the number of a tenant, giving it the next one if it has
// none: from 1, and never used again.
func (d *DB) Tenant(ctx context.Context, name string) (uint32, error) {
	var number uint32
	err := d.update(ctx, "number tenant", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO tenants (name, number) SELECT ?, 1 + coalesce(max(number), 0) FROM tenants", name); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT number FROM tenants WHERE name = ?", name).Scan(&number)
	})
	return number, err
}
