package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/run"
	"github.com/hauberk/hauberk/store/cases"
	"github.com/hauberk/hauberk/store/events"
	"github.com/hauberk/hauberk/store/ledger"
)

// The pipeline. Events, one delivery of the bus after the other:
//
//	wait        for room on the disk                                  blocks intake
//	decode      message -> batch                                      sequential
//	judge       event -> new, seen, rejected; by its identity         sequential
//	add         new events -> event engine                            sequential
//	flush       searchable                                            at most every flushEvery
//
// and, when the engine has everything on disk (1 to 2 s later as a rule), while
// further deliveries are taken; after longestUnsettled they wait for it:
//
//	checkpoint  what was seen, counters, bus positions -> SQLite      one transaction
//	commit      the offsets of all deliveries so far, by the bus      after checkpoint
//
// Alerts, presences and results, in a consumer group of their own so that they
// never wait for the above:
//
//	decode      message -> words                                      sequential
//	put         words -> SQLite, one transaction for each topic       sequential
//	commit      by the bus
//
// Why a kill -9 at any point loses no acknowledged event and doubles none:
//
//   - Offsets are committed after the checkpoint, and the checkpoint is made
//     when everything added is on disk. What is not is delivered again.
//   - Every identity in the checkpoint is on disk or was rejected; what was
//     added after it is read back from the engine at the start, by its bus
//     position, before anything is consumed. So at any time the ledger knows
//     exactly what is stored, and an event that comes again is skipped, be it
//     the same message or the node sending again at another bus position.
//   - Reading back looks only at events not older than the checkpoint's floor
//     and from its positions on. An event or a position below them lowers
//     them in the checkpoint before it is added.
//   - Alerts, presences and results are upserts whose outcome does not depend
//     on how often they come.
const (
	// durablePoll is how often the engine is asked whether all is on disk.
	durablePoll = 50 * time.Millisecond
	// floorSlack is how far below the present the floor begins: a day's
	// spool lowers it once for a batch, not for each event.
	floorSlack = time.Hour
	// diskPoll is how often the disk is looked at while it is full.
	diskPoll = 500 * time.Millisecond
	// housekeeping is how often sizes are looked at, pruneEvery how often old
	// cases are.
	housekeeping = 30 * time.Second
	pruneEvery   = time.Hour
	retryMin     = 200 * time.Millisecond
	retryMax     = 10 * time.Second
	// maxBatches bounds the messages of one delivery: a flush costs the same
	// for many as for one.
	maxBatches = 5000
	// flushEvery bounds how often rows are made searchable: each flush makes
	// a part that the engine merges with others later.
	flushEvery = 250 * time.Millisecond
	// longestUnsettled is how long deliveries are taken without a checkpoint:
	// under load there is always something that is not on disk yet, and what
	// was taken after the checkpoint is read back after a crash.
	longestUnsettled = 5 * time.Second
)

// groupCases is the consumer group of alerts, presences and results.
const groupCases = bus.GroupStore + "-cases"

// Run serves the socket and consumes the bus until ctx ends (nil), or until a
// backup was staged (ErrRestart). It closes the databases.
func (s *Store) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	g, _ := run.NewGroup(ctx)
	g.Go("restart", func(ctx context.Context) error {
		select {
		case <-s.restart:
			return ErrRestart
		case <-ctx.Done():
			return nil
		}
	})
	g.Go("serve socket", s.serve)
	g.Go("keep house", s.keepHouse)
	if s.deps.Bus != nil {
		g.Go("consume events", func(ctx context.Context) error {
			if err := s.recover(ctx); err != nil {
				return err
			}
			return s.consume(ctx, bus.Group{Name: bus.GroupStore, Topics: []string{bus.Events}, MaxBatch: maxBatches, Settle: s.settled}, s.takeEvents)
		})
		g.Go("consume cases", func(ctx context.Context) error {
			return s.consume(ctx, bus.Group{Name: groupCases, Topics: []string{bus.Alerts, bus.Presence, bus.Results}}, s.takeCases)
		})
	}
	return g.Wait()
}

// consume keeps a consumer group going: a failure of the bus or of a database
// is reported in Health and tried again.
func (s *Store) consume(ctx context.Context, g bus.Group, handle func(context.Context, []bus.Message) error) error {
	g.Mode, g.Instance = bus.AtLeastOnce, s.config.Instance
	who := "group " + g.Name
	backoff := run.Backoff{Min: retryMin, Max: retryMax}
	for {
		err := s.deps.Bus.Consume(ctx, g, func(ctx context.Context, messages []bus.Message) error {
			err := handle(ctx, messages)
			if err == nil {
				s.health.set(who, "")
				backoff.Reset()
			}
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("consumer ended")
		}
		s.health.set(who, err.Error())
		s.deps.Log.Error("store consumer failed, trying again", "group", g.Name, "err", err)
		if run.Sleep(ctx, backoff.Next()) != nil {
			return nil
		}
	}
}

// recover reads back what was stored after the checkpoint.
func (s *Store) recover(ctx context.Context) error {
	s.ingest.Lock()
	defer s.ingest.Unlock()
	began, now, found := time.Now(), s.deps.Now(), 0
	err := s.events.Beyond(ctx, s.searched(""), s.checkpoint.Floor, s.checkpoint.Next, func(id event.ID) error {
		l, err := s.book.life(ctx, lifeKey{id.Node, id.Incarnation}, now)
		if err != nil {
			return err
		}
		if l.seen.Look(id.Sequence) == ledger.New {
			l.seen.Put(id.Sequence)
			l.changed = true
			found++
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	maps.Copy(s.next, s.checkpoint.Next)
	s.deps.Log.Info("store recovered", "events after the checkpoint", found, "took", time.Since(began))
	return nil
}

// takeEvents adds a delivery of batches to the engine.
func (s *Store) takeEvents(ctx context.Context, messages []bus.Message) error {
	if err := s.awaitRoom(ctx); err != nil {
		return err
	}
	s.ingest.Lock()
	defer s.ingest.Unlock()
	for _, m := range messages {
		if err := s.takeMessage(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// settled makes what was taken searchable, and once it is durable, or has not
// been for too long, saves the checkpoint.
func (s *Store) settled(ctx context.Context) (bool, error) {
	s.ingest.Lock()
	defer s.ingest.Unlock()
	now := time.Now() // monotonic, whatever Deps.Now says
	if s.unsettled.IsZero() {
		s.unsettled = now
	}
	if now.Sub(s.flushed) < flushEvery {
		return false, nil
	}
	s.flushed = now
	if !s.events.Durable() && now.Sub(s.unsettled) < longestUnsettled {
		return false, nil
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	s.unsettled = time.Time{}
	return true, nil
}

// takeMessage adds the events of one message, after what the bus still has of
// the gap before it, if there is one.
func (s *Store) takeMessage(ctx context.Context, m bus.Message) error {
	next, known := s.next[m.Partition]
	if known && m.Offset > next {
		if err := s.fill(ctx, m.Partition, next, m.Offset); err != nil {
			return err
		}
	}
	if err := s.lowerPosition(ctx, m); err != nil {
		return err
	}
	if err := s.addMessage(ctx, m); err != nil {
		return err
	}
	s.next[m.Partition] = m.Offset + 1
	return nil
}

// errFilled ends a replay.
var errFilled = errors.New("gap filled")

// fill replays a partition from an offset up to another: after a backup was
// restored the group's commits are ahead of the databases.
func (s *Store) fill(ctx context.Context, partition int32, from, to int64) error {
	s.deps.Log.Info("reading bus messages again that the databases lack", "partition", partition, "from", from, "to", to)
	err := s.deps.Bus.Replay(ctx, bus.Events, partition, from, func(ctx context.Context, messages []bus.Message) error {
		for _, m := range messages {
			if m.Offset >= to {
				return errFilled
			}
			if err := s.addMessage(ctx, m); err != nil {
				return err
			}
			s.count.replayed.Inc()
			s.next[partition] = m.Offset + 1
			if m.Offset == to-1 {
				return errFilled
			}
		}
		return nil
	})
	if errors.Is(err, errFilled) {
		return nil
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// addMessage adds the new events of a message's batch.
func (s *Store) addMessage(ctx context.Context, m bus.Message) error {
	var b event.Batch
	err := b.UnmarshalVT(m.Value)
	if err == nil {
		err = b.Check()
	}
	if err != nil {
		s.count.malformed[bus.Events].Inc()
		s.deps.Log.Warn("bus message is not a batch of events", "partition", m.Partition, "offset", m.Offset, "err", err)
		return nil
	}
	tenant, err := s.tenant(ctx, b.Tenant)
	if err != nil {
		return err
	}
	l, err := s.book.life(ctx, lifeKey{event.NodeID(b.Node), b.Incarnation}, s.deps.Now())
	if err != nil {
		return err
	}
	for _, r := range b.Records {
		if err := s.addEvent(ctx, l, r, tenant, events.Position{Partition: m.Partition, Offset: m.Offset}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) addEvent(ctx context.Context, l *life, r *event.Record, tenant uint32, at events.Position) error {
	switch l.seen.Look(r.ID.Sequence) {
	case ledger.Seen:
		s.count.duplicates.Inc()
		return nil
	case ledger.Maybe:
		s.count.looked.Inc()
		s.events.Flush()
		stored, err := s.events.Has(ctx, tenant, r.ID, r.Time)
		if err != nil {
			return err
		}
		if stored {
			s.count.duplicates.Inc()
			return nil
		}
	}
	if err := s.lowerFloor(ctx, r.Time); err != nil {
		return err
	}
	if reason := s.events.Add(r, tenant, at); reason != "" {
		l.rejected[reason]++
		s.count.rejected[reason].Inc()
	} else {
		s.count.stored.Inc()
	}
	l.seen.Put(r.ID.Sequence)
	l.changed = true
	return nil
}

// lowerPosition widens the checkpoint before a message from before it: the
// bus began anew, or delivers again what was stored.
func (s *Store) lowerPosition(ctx context.Context, m bus.Message) error {
	next, known := s.checkpoint.Next[m.Partition]
	if !known || m.Offset >= next {
		return nil
	}
	c := s.checkpoint
	c.Next = map[int32]int64{m.Partition: m.Offset}
	if err := s.cases.SaveCheckpoint(ctx, c, nil); err != nil {
		return err
	}
	s.checkpoint.Next[m.Partition] = m.Offset
	return nil
}

// lowerFloor widens the checkpoint before an event from before its floor.
func (s *Store) lowerFloor(ctx context.Context, at int64) error {
	if at >= s.checkpoint.Floor {
		return nil
	}
	c := cases.Checkpoint{Floor: at - int64(floorSlack), Dropped: s.checkpoint.Dropped}
	if err := s.cases.SaveCheckpoint(ctx, c, nil); err != nil {
		return err
	}
	s.checkpoint.Floor = c.Floor
	return nil
}

// noteDropped makes the checkpoint remember that days were dropped. s.ingest
// is held.
func (s *Store) noteDropped(before int64) error {
	c := cases.Checkpoint{Floor: s.checkpoint.Floor, Dropped: before}
	if err := s.cases.SaveCheckpoint(context.Background(), c, nil); err != nil {
		return err
	}
	s.checkpoint.Dropped = before
	return nil
}

// settle waits until everything added is on disk and saves the checkpoint.
// s.ingest is held.
func (s *Store) settle(ctx context.Context) error {
	for !s.events.Durable() {
		if err := run.Sleep(ctx, durablePoll); err != nil {
			return err
		}
	}
	c := cases.Checkpoint{
		Floor:   s.deps.Now().Add(-floorSlack).UnixNano(),
		Dropped: s.checkpoint.Dropped,
		Next:    maps.Clone(s.next),
	}
	if err := s.cases.SaveCheckpoint(ctx, c, s.book.changed()); err != nil {
		return err
	}
	s.checkpoint = c
	s.book.saved(s.deps.Now())
	s.count.checkpoints.Inc()
	return nil
}

// awaitRoom returns when the disk is above its reserve.
func (s *Store) awaitRoom(ctx context.Context) error {
	for waiting := false; ; waiting = true {
		space, err := s.reserve.Space()
		if err != nil {
			return err
		}
		if !space.Low {
			if waiting {
				s.deps.Log.Info("disk has room again, intake goes on", "space", space.String())
			}
			return nil
		}
		if !waiting {
			s.count.waits.Inc()
			s.deps.Log.Error("disk is at its reserve, intake stops", "space", space.String())
		}
		if err := run.Sleep(ctx, diskPoll); err != nil {
			return err
		}
	}
}

// takeCases stores a delivery of alerts, presences and results.
func (s *Store) takeCases(ctx context.Context, messages []bus.Message) error {
	if err := s.awaitRoom(ctx); err != nil {
		return err
	}
	var alerts []*event.Alert
	var presences []*fleet.Presence
	var results []*fleet.CommandResult
	for _, m := range messages {
		ok := false
		switch m.Topic {
		case bus.Alerts:
			a := &event.Alert{}
			if ok = a.UnmarshalVT(m.Value) == nil && a.GetId() != ""; ok {
				alerts = append(alerts, a)
			}
		case bus.Presence:
			p := &fleet.Presence{}
			if ok = p.UnmarshalVT(m.Value) == nil && len(p.GetNode()) == len(event.NodeID{}); ok {
				presences = append(presences, p)
			}
		case bus.Results:
			r := &fleet.CommandResult{}
			if ok = r.UnmarshalVT(m.Value) == nil && len(r.GetNode()) == len(event.NodeID{}) && r.GetCommand() != ""; ok {
				results = append(results, r)
			}
		}
		if !ok {
			if c := s.count.malformed[m.Topic]; c != nil {
				c.Inc()
			}
			s.deps.Log.Warn("bus message is not what its topic holds", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset)
		}
	}
	if len(alerts) > 0 {
		if err := s.cases.PutAlerts(ctx, alerts); err != nil {
			return err
		}
	}
	if len(presences) > 0 {
		if err := s.cases.PutPresences(ctx, presences); err != nil {
			return err
		}
	}
	if len(results) > 0 {
		return s.cases.PutResults(ctx, results)
	}
	return nil
}

// keepHouse enforces retention until ctx ends.
func (s *Store) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	var pruned time.Time
	for {
		s.ingest.Lock() // no event may be added to a day that goes
		_, err := s.events.Enforce()
		s.ingest.Unlock()
		if err != nil {
			s.deps.Log.Error("enforce retention of events", "err", err)
		}
		if now := s.deps.Now(); now.Sub(pruned) >= pruneEvery || now.Before(pruned) {
			pruned = now
			if _, err := s.cases.Prune(ctx, now.Add(-s.config.AlertRetention), now.Add(-s.config.ResultRetention),
				now.Add(-s.config.Events.Retention-day)); err != nil && ctx.Err() == nil {
				s.deps.Log.Error("prune cases", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
