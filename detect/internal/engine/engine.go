// Package engine is detection without streams: batches and time in, alerts
// out. Matching is parallel, one Matcher for each goroutine; judging is
// sequential. It knows no bus, no clock and no file.
//
//	Matcher.Batch   records -> matches of rules                      parallel
//	Engine.Judge    matches -> exceptions -> correlations -> folds    sequential
//	Engine.Tick     what time alone brings: closing windows, counts   sequential
package engine

import (
	"time"

	"github.com/hauberk/hauberk/detect/internal/except"
	"github.com/hauberk/hauberk/detect/internal/fold"
	"github.com/hauberk/hauberk/detect/internal/match"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

// Limits bound an Engine.
type Limits struct {
	Fold fold.Limits
	// Minimum is the lowest severity that becomes an alert.
	Minimum event.Severity
	// Storm is how many alerts one rule may open on all nodes within a
	// minute; past it, its matches fold by rule and node alone.
	Storm int
}

// Found is one event and the rules it matched, in rising order; none for an
// alert that a node raised.
type Found struct {
	Record event.Record
	Rules  []sigma.RuleID
	rules  *ruleset.Rules
}

// Matcher matches events with a rule set. One goroutine uses it at a time.
type Matcher struct {
	rules   *ruleset.Rules
	scratch *sigma.Scratch
	view    match.Event
	record  event.Record
	// Events and Matched count since the Matcher was made.
	Events, Matched uint64
}

// NewMatcher returns the working memory of one goroutine.
func NewMatcher(rules *ruleset.Rules) *Matcher {
	return &Matcher{rules: rules, scratch: rules.Set.NewScratch(), view: match.Event{View: rules.View}}
}

// Batch matches the events of a batch whose Check has passed, and appends
// those that match some rule. What it appends borrows from the batch.
func (m *Matcher) Batch(b *event.Batch, out []Found) []Found {
	b.Each(&m.record, func(_ int, r *event.Record) bool {
		m.Events++
		if r.Event.GetAlert() != nil {
			m.Matched++
			out = append(out, Found{Record: *r, rules: m.rules})
			return true
		}
		class, ok := match.ClassOf(r.Event)
		if !ok {
			return true
		}
		m.view.Record = r
		rules := m.rules.Set.Match(&m.view, class, m.scratch)
		if len(rules) > 0 {
			m.Matched++
			out = append(out, Found{
				Record: event.Record{ID: r.ID, Tenant: r.Tenant, Host: r.Host, Observed: r.Observed, Time: r.Time, Event: r.Event},
				Rules:  append([]sigma.RuleID(nil), rules...),
				rules:  m.rules,
			})
		}
		return true
	})
	return out
}

// Counters count what an Engine did since it was made.
type Counters struct {
	Matches    uint64 // rule matches judged
	Excepted   uint64 // of those: silenced by an exception
	BelowLevel uint64 // of those: under the minimum severity
	Stormed    uint64 // folded by rule and node alone, because of Limits.Storm
	Fold       fold.Counters
	Correlate  sigma.Counters
}

// Engine judges matches. Not safe for concurrent use.
type Engine struct {
	rules      *ruleset.Rules
	limits     Limits
	exceptions *except.List
	correlator *sigma.Correlator
	folder     *fold.Folder
	memory     memory
	storm      map[sigma.RuleID]int
	stormEnds  time.Time
	// relayed is storm for rules of nodes.
	relayed     map[string]int
	relayedEnds time.Time
	counters    Counters
	view        match.Event
}

// New returns an Engine without history.
func New(rules *ruleset.Rules, limits Limits) *Engine {
	e := &Engine{limits: limits, exceptions: except.New(nil), folder: fold.New(limits.Fold), relayed: map[string]int{}}
	e.SetRules(rules)
	return e
}

// SetRules changes the rules for what comes. Open folds stay; correlations
// begin afresh.
func (e *Engine) SetRules(rules *ruleset.Rules) {
	e.rules = rules
	e.correlator = sigma.NewCorrelator(rules.Set, sigma.Limits{})
	e.memory = memory{}
	e.storm = map[sigma.RuleID]int{}
	e.view = match.Event{View: rules.View}
}

// SetLimits changes the limits for what comes.
func (e *Engine) SetLimits(l Limits) {
	e.limits = l
	e.folder.SetLimits(l.Fold)
}

// SetExceptions changes the exceptions for what comes.
func (e *Engine) SetExceptions(l *except.List) { e.exceptions = l }

// Counters returns the counters.
func (e *Engine) Counters() Counters {
	c := e.counters
	c.Fold = e.folder.Counters()
	c.Correlate = e.correlator.Counters()
	return c
}

// Folds returns the number of open folds.
func (e *Engine) Folds() int { return e.folder.Len() }

// Restore takes an alert published before this process began.
func (e *Engine) Restore(a *event.Alert, published, now time.Time) bool {
	return e.folder.Restore(a, published, now)
}

// Drain appends the alerts whose count has grown since they were published.
func (e *Engine) Drain(out []*event.Alert) []*event.Alert { return e.folder.Drain(out) }

// Judge turns matches into alerts to publish now, appended to out. They are
// good until the next call. Matches of rules that are no longer in force are
// dropped.
func (e *Engine) Judge(found []Found, now time.Time, out []*event.Alert) []*event.Alert {
	for i := range found {
		f := &found[i]
		if f.rules != e.rules {
			continue
		}
		if f.Record.Event.GetAlert() != nil {
			out = e.relay(f, now, out)
			continue
		}
		rules := e.allowed(f, now)
		if len(rules) == 0 {
			continue
		}
		hits := e.correlate(f, rules)
		for _, r := range rules {
			if info := &e.rules.Info[r]; info.Raises {
				out = e.raise(r, info, f, now, out)
			}
		}
		for i := range hits {
			out = e.raiseHit(&hits[i], now, out)
		}
	}
	return out
}

// Warm feeds correlations with matches that were judged before this process
// began; alerts came of them then.
func (e *Engine) Warm(found []Found, now time.Time) {
	for i := range found {
		if f := &found[i]; f.rules == e.rules {
			if rules := e.allowed(f, now); len(rules) > 0 {
				e.correlate(f, rules)
			}
		}
	}
}

// Tick judges what time brings and appends the alerts to publish.
func (e *Engine) Tick(now time.Time, out []*event.Alert) []*event.Alert {
	for _, hit := range e.correlator.Advance(now) {
		out = e.raiseHit(&hit, now, out)
	}
	return e.folder.Flush(now, out)
}

// allowed removes the rules that an exception silences; it reuses f.Rules.
func (e *Engine) allowed(f *Found, now time.Time) []sigma.RuleID {
	e.counters.Matches += uint64(len(f.Rules))
	if e.exceptions.Len() == 0 {
		return f.Rules
	}
	kept := f.Rules[:0]
	for _, r := range f.Rules {
		if e.exceptions.Match(e.rules.Info[r].Key, &f.Record, now) != nil {
			e.counters.Excepted++
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// correlate feeds the correlations and remembers the event while one may cite
// it.
func (e *Engine) correlate(f *Found, rules []sigma.RuleID) []sigma.Hit {
	if !e.rules.Correlated {
		return nil
	}
	feeds := false
	for _, r := range rules {
		feeds = feeds || e.rules.Info[r].Feeds
	}
	if !feeds {
		return nil
	}
	id := f.Record.ID.String()
	e.memory.keep(id, &f.Record)
	e.view.Record = &f.Record
	return e.correlator.Observe(&e.view, rules, time.Unix(0, f.Record.Time), id)
}

// raise folds one match of a rule.
func (e *Engine) raise(rule sigma.RuleID, info *ruleset.Info, f *Found, now time.Time, out []*event.Alert) []*event.Alert {
	if info.Severity < e.limits.Minimum {
		e.counters.BelowLevel++
		return out
	}
	r := &f.Record
	fingerprint := fingerprintOf(info.Key, r)
	if e.storming(rule, now) {
		e.counters.Stormed++
		fingerprint = coarse(info.Key, r)
	}
	opened := e.folder.Counters().Opened
	out = e.folder.Add(fold.Match{
		Fingerprint: fingerprint, Event: r.ID, Time: r.Time,
		Open:     func() *event.Alert { return newAlert(info, r, summaryOf(r)) },
		Evidence: func() []*event.Evidence { return []*event.Evidence{evidenceOf(r)} },
	}, now, out)
	if e.folder.Counters().Opened > opened {
		e.storm[rule]++
	}
	return out
}

// storming reports whether a rule has opened too many alerts this minute.
func (e *Engine) storming(rule sigma.RuleID, now time.Time) bool {
	if now.After(e.stormEnds) {
		clear(e.storm)
		e.stormEnds = now.Add(time.Minute)
	}
	return e.storm[rule] >= e.limits.Storm
}

// raiseHit folds one hit of a correlation. It is an alert of the node of its
// latest event; a hit whose events are all forgotten has no host.
func (e *Engine) raiseHit(hit *sigma.Hit, now time.Time, out []*event.Alert) []*event.Alert {
	info := &e.rules.Info[hit.Rule]
	if !info.Raises {
		return out
	}
	if info.Severity < e.limits.Minimum {
		e.counters.BelowLevel++
		return out
	}
	records := e.memory.find(hit.Evidence)
	r := &event.Record{Event: &event.Event{}}
	if len(records) > 0 {
		r = records[len(records)-1]
	}
	if e.exceptions.Match(info.Key, r, now) != nil {
		e.counters.Excepted++
		return out
	}
	return e.folder.Add(fold.Match{
		Fingerprint: fingerprintOfHit(info.Key, r.Tenant, hit), Event: r.ID, Time: hit.Last.UnixNano(),
		Open: func() *event.Alert { return newAlert(info, r, summaryOfHit(hit, r)) },
		Evidence: func() []*event.Evidence {
			var all []*event.Evidence
			for _, r := range records {
				all = append(all, evidenceOf(r))
			}
			return all
		},
	}, now, out)
}
