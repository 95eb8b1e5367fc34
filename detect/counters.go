package detect

import (
	"sync/atomic"

	"github.com/hauberk/hauberk/detect/internal/engine"
	"github.com/hauberk/hauberk/internal/obs"
)

// counters are what detect counts itself; the engine's are read by gauges.
type counters struct {
	batches, events, matched             *obs.Counter
	malformed, invalid                   *obs.Counter
	alerts, retried, tooLarge, unmatched *obs.Counter
	restored, warmed                     *obs.Counter
	rules, refused, folds                *atomic.Uint64
}

func newCounters(r *obs.Registry) counters {
	dropped := func(reason string) *obs.Counter {
		return r.Counter("hauberk_detect_batches_dropped_total", "reason="+reason, "batches that cannot be read")
	}
	return counters{
		batches:   r.Counter("hauberk_detect_batches_total", "", "batches consumed"),
		events:    r.Counter("hauberk_detect_events_total", "", "events matched against the rules"),
		matched:   r.Counter("hauberk_detect_events_matched_total", "", "events that matched some rule"),
		malformed: dropped("malformed"),
		invalid:   dropped("invalid"),
		alerts:    r.Counter("hauberk_detect_alerts_published_total", "", "alerts and updates published"),
		retried:   r.Counter("hauberk_detect_publish_retries_total", "", "publications tried again because the bus was full or away"),
		tooLarge:  r.Counter("hauberk_detect_evidence_trimmed_total", "", "alerts published without evidence because they were too large"),
		unmatched: r.Counter("hauberk_detect_panics_total", "", "batches given up because matching panicked"),
		restored:  r.Counter("hauberk_detect_alerts_restored_total", "", "open alerts read back from the bus at start"),
		warmed:    r.Counter("hauberk_detect_batches_warmed_total", "", "batches read back for correlations"),
		rules:     &atomic.Uint64{},
		refused:   &atomic.Uint64{},
		folds:     &atomic.Uint64{},
	}
}

// gauges registers what is read when asked for.
func (d *Detect) gauges(r *obs.Registry) {
	r.Gauge("hauberk_detect_rules", "", "rules in force", d.count.rules.Load)
	r.Gauge("hauberk_detect_rules_refused", "", "rules that could not be loaded", d.count.refused.Load)
	engineGauge := func(name, label, help string, read func(engine.Counters) uint64) {
		r.Gauge(name, label, help, func() uint64 { return read(*d.seen.Load()) })
	}
	const matches = "hauberk_detect_matches_total"
	engineGauge(matches, "outcome=judged", "matches of rules, by what became of them", func(c engine.Counters) uint64 { return c.Matches })
	engineGauge(matches, "outcome=excepted", "", func(c engine.Counters) uint64 { return c.Excepted })
	engineGauge(matches, "outcome=below_level", "", func(c engine.Counters) uint64 { return c.BelowLevel })
	engineGauge(matches, "outcome=opened", "", func(c engine.Counters) uint64 { return c.Fold.Opened })
	engineGauge(matches, "outcome=repeated", "", func(c engine.Counters) uint64 { return c.Fold.Repeated })
	engineGauge(matches, "outcome=redelivered", "", func(c engine.Counters) uint64 { return c.Fold.Redelivered })
	engineGauge(matches, "outcome=stormed", "", func(c engine.Counters) uint64 { return c.Stormed })
	engineGauge("hauberk_detect_folds_evicted_total", "", "open alerts forgotten early because of fold.limit",
		func(c engine.Counters) uint64 { return c.Fold.Evicted })
	engineGauge("hauberk_detect_groups_evicted_total", "", "groups of correlations forgotten early",
		func(c engine.Counters) uint64 { return c.Correlate.Evicted })
	r.Gauge("hauberk_detect_folds", "", "open alerts remembered", d.count.folds.Load)
}

// note keeps the engine's counters for the gauges, which must not wait while
// alerts are being published; d.mu is held.
func (d *Detect) note() {
	c := d.engine.Counters()
	d.seen.Store(&c)
	d.count.folds.Store(uint64(d.engine.Folds()))
}
