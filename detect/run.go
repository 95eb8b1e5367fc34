package detect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/detect/internal/engine"
	"github.com/hauberk/hauberk/detect/internal/out"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/run"
)

// The pipeline, for each delivery of the bus:
//
//	decode    messages -> batches, borrowing from their bytes    sequential
//	warm      a partition's recent past -> correlations          once per partition
//	match     batches -> matches of rules                        parallel over partitions
//	judge     matches -> exceptions, correlations, folds         sequential, in order
//	publish   alerts -> hauberk.alerts, acknowledged             sequential
//	commit    the delivery's offsets, by the bus                 after publish
//	put out   alerts -> queues of file, webhook, syslog          each its own goroutine
//
// Why a crash at any point loses no alert and doubles none:
//
//   - Offsets are committed after the alerts of the delivery are acknowledged.
//     What was judged but not acknowledged is delivered again.
//   - Redelivered events make the same alerts: an alert's id is a hash of its
//     fingerprint and of the event it began with, and the store keeps one row
//     per id.
//   - Counts do not grow by redelivery: before consuming, open alerts are read
//     back from the tail of hauberk.alerts, and each knows the newest event it
//     counted. Events of one node and class come in order.
//   - Correlations are warmed: before the first message of a partition is
//     judged, the messages before it, as far back as the longest timespan, are
//     matched again without raising anything.
//
// What a crash can cost, and why that is harmless: repeats counted in the last
// Fold.Interval before it are missing in an alert's count (the alert itself
// was published when it opened); an alert last published before Fold.Window or further
// back than restoreDepth opens anew; alerts waiting in an output's queue do
// not reach that output, but are in the store.
const (
	// restoreDepth bounds the alerts read back per partition of the alerts
	// topic, warmDepth the batches per partition of events; recoverTimeout
	// bounds either.
	restoreDepth   = 2000
	warmDepth      = 500
	recoverTimeout = 10 * time.Second
	// tickEvery is how often time alone is looked at: well below Fold.Interval.
	tickEvery = 500 * time.Millisecond
	// parallelBytes is the size of a delivery below which goroutines cost more
	// than they bring.
	parallelBytes = 128 << 10
)

// Run consumes and publishes until ctx ends; then it publishes the counts that
// are not out yet. An error is that of the bus or of the exceptions' source.
func (d *Detect) Run(ctx context.Context) error {
	d.mu.Lock()
	instance := d.config.Instance
	d.mu.Unlock()
	group, ctx := run.NewGroup(ctx)
	for _, o := range d.outputs {
		group.Go("output", o.Run)
	}
	if d.deps.Exceptions != nil {
		group.Go("watch exceptions", func(ctx context.Context) error { return d.deps.Exceptions.Watch(ctx, d.SetExceptions) })
	}
	group.Go("watch rules", d.watchRules)
	group.Go("consume events", func(ctx context.Context) error {
		if err := d.restore(ctx); err != nil {
			return err
		}
		return d.deps.Bus.Consume(ctx, bus.Group{
			Name: bus.GroupDetect, Topics: []string{bus.Events}, Mode: bus.AtLeastOnce, Instance: instance,
		}, d.handle)
	})
	group.Go("tick", func(ctx context.Context) error {
		for run.Sleep(ctx, tickEvery) == nil {
			if err := d.tick(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	err := group.Wait()
	return errors.Join(err, d.drain(ctx))
}

// watchRules reloads rules whose files changed. The interval may change with
// Apply; while it is 0 nothing is looked at.
func (d *Detect) watchRules(ctx context.Context) error {
	for {
		d.mu.Lock()
		interval, watched := d.config.Rules.Watch, len(d.config.Rules.Dirs) > 0
		d.mu.Unlock()
		look := interval > 0 && watched
		if !look {
			interval = tickEvery
		}
		if run.Sleep(ctx, interval) != nil {
			return nil
		}
		if look {
			if err := d.reloadIfChanged(); err != nil {
				d.deps.Log.Warn("rules not reloaded", "err", err)
			}
		}
	}
}

// delivery is a batch with its place in the bus.
type delivery struct {
	partition int32
	batch     *event.Batch
	found     []engine.Found
}

// handle judges one delivery; it returns nil when its alerts are acknowledged.
func (d *Detect) handle(ctx context.Context, messages []bus.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := 0
	deliveries := make([]delivery, 0, len(messages))
	for _, m := range messages {
		d.warm(ctx, m)
		d.next[m.Partition] = m.Offset + 1
		size += len(m.Value)
		if b := d.decode(m.Value); b != nil {
			deliveries = append(deliveries, delivery{partition: m.Partition, batch: b})
		}
	}
	d.match(deliveries, size)
	var alerts []*event.Alert
	now := d.deps.Now()
	for i := range deliveries {
		alerts = d.engine.Judge(deliveries[i].found, now, alerts)
	}
	d.note()
	return d.publish(ctx, alerts)
}

// decode reads a batch; it returns nil for one that is not.
func (d *Detect) decode(value []byte) *event.Batch {
	b := &event.Batch{}
	if err := b.UnmarshalVTUnsafe(value); err != nil {
		d.count.malformed.Inc()
		return nil
	}
	if err := b.Check(); err != nil {
		d.count.invalid.Inc()
		return nil
	}
	d.count.batches.Inc()
	d.count.events.Add(uint64(len(b.Events)))
	return b
}

// match fills in what the events of the deliveries match. Partitions are
// spread over the matchers; a panic costs the batch, not the rest.
func (d *Detect) match(deliveries []delivery, size int) {
	workers := len(d.matchers)
	if size < parallelBytes {
		workers = 1
	}
	var wg sync.WaitGroup
	for w := range workers {
		work := func() {
			m := d.matchers[w]
			for i := range deliveries {
				x := &deliveries[i]
				if int(x.partition)%workers != w {
					continue
				}
				if err := run.Protect(func() error { x.found = m.Batch(x.batch, nil); return nil }); err != nil {
					d.count.unmatched.Inc()
					d.deps.Log.Error("batch not matched", "node", fmt.Sprintf("%x", x.batch.Node), "sequence", x.batch.FirstSequence, "err", err)
				}
			}
		}
		if workers == 1 {
			work()
			break
		}
		wg.Go(work)
	}
	wg.Wait()
	for i := range deliveries {
		d.count.matched.Add(uint64(len(deliveries[i].found)))
	}
}

// tick publishes what time brings.
func (d *Detect) tick(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	alerts := d.engine.Tick(d.deps.Now(), nil)
	d.note()
	return d.publish(ctx, alerts)
}

// drain publishes the last counts, as far as a bus that is going away lets it.
func (d *Detect) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.publish(ctx, d.engine.Drain(nil)); err != nil {
		d.deps.Log.Warn("last counts not published", "err", err)
	}
	return nil
}

// drainTimeout bounds how long the end waits for the bus.
const drainTimeout = 2 * time.Second

// publish publishes alerts, waiting for a bus that is full or away, and hands
// them to the outputs.
func (d *Detect) publish(ctx context.Context, alerts []*event.Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	messages := make([]bus.Message, 0, len(alerts))
	for _, a := range alerts {
		value, err := d.encode(a)
		if err != nil {
			return fmt.Errorf("write alert of rule %s: %w", a.RuleId, err)
		}
		messages = append(messages, bus.Message{Topic: bus.Alerts, Key: []byte(a.Fingerprint), Value: value})
		d.putOut(a)
	}
	backoff := run.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for {
		err := d.deps.Bus.Publish(ctx, messages...)
		if err == nil {
			d.count.alerts.Add(uint64(len(messages)))
			return nil
		}
		if !bus.Retryable(err) {
			return fmt.Errorf("publish alerts: %w", err)
		}
		d.count.retried.Inc()
		if run.Sleep(ctx, backoff.Next()) != nil {
			return fmt.Errorf("publish alerts: %w", err)
		}
	}
}

// maxAlertBytes is what an alert may have; with more its evidence is cut to
// the first event, then to none.
const maxAlertBytes = bus.MaxMessageBytes - 64<<10

func (d *Detect) encode(a *event.Alert) ([]byte, error) {
	for a.SizeVT() > maxAlertBytes && len(a.Evidence) > 0 {
		d.count.tooLarge.Inc()
		a.Evidence = a.Evidence[:len(a.Evidence)/2]
	}
	return a.MarshalVT()
}

// putOut queues an alert for the outputs.
func (d *Detect) putOut(a *event.Alert) {
	if len(d.outputs) == 0 {
		return
	}
	x := &out.Alert{
		JSON: event.AppendAlertJSON(nil, a), Severity: a.Severity, Time: time.Unix(0, a.LastSeen),
		ID: a.Id, Host: a.Host, Rule: a.RuleName, Summary: a.Summary,
	}
	for _, o := range d.outputs {
		o.Put(x)
	}
}
