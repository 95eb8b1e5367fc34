package engine

import (
	"strings"
	"time"

	"github.com/hauberk/hauberk/detect/internal/fold"
	"github.com/hauberk/hauberk/event"
)

// A sensor, an edge or a decoy judges on its own and sends alerts as events.
// They pass the same exceptions and folds as those of rules here. What a node
// says of rule, severity and evidence is taken; who it is, the gateway says.

// Bounds of a relayed alert.
const (
	maxRelayedEvidence = 4
	maxRelayedRules    = 4096 // that storms are counted for
)

// relay folds an alert that a node raised.
func (e *Engine) relay(f *Found, now time.Time, out []*event.Alert) []*event.Alert {
	r := &f.Record
	said := r.Event.GetAlert()
	e.counters.Matches++
	switch {
	case said.Severity < e.limits.Minimum:
		e.counters.BelowLevel++
		return out
	case e.exceptions.Match(said.RuleId, r, now) != nil:
		e.counters.Excepted++
		return out
	}
	fingerprint, key := relayedFingerprint(said, r), e.stormKey(said.RuleId, now)
	if e.relayed[key] >= e.limits.Storm {
		e.counters.Stormed++
		fingerprint = coarse(key, r)
	}
	opened := e.folder.Counters().Opened
	out = e.folder.Add(fold.Match{
		Fingerprint: fingerprint, Event: r.ID, Time: r.Time,
		Open:     func() *event.Alert { return relayedAlert(said, r) },
		Evidence: func() []*event.Evidence { return relayedEvidence(said, r) },
	}, now, out)
	if e.folder.Counters().Opened > opened {
		e.relayed[strings.Clone(key)]++
	}
	return out
}

// stormKey is what a rule's storm is counted by. Of nodes' rules there may be
// any number: those beyond the bound storm together.
func (e *Engine) stormKey(rule string, now time.Time) string {
	if now.After(e.relayedEnds) {
		clear(e.relayed)
		e.relayedEnds = now.Add(time.Minute)
	}
	if _, known := e.relayed[rule]; !known && len(e.relayed) >= maxRelayedRules {
		return ""
	}
	return rule
}

// relayedFingerprint says what repeats are: the same rule, tenant and node,
// and what the node calls the same.
func relayedFingerprint(said *event.Alert, r *event.Record) fold.Fingerprint {
	h := newHash(said.RuleId, r.Tenant)
	h.add(r.ID.Node[:])
	h.add([]byte(said.Fingerprint))
	return h.sum()
}

// relayedAlert is what the node says, with its place in the fleet from the gateway.
func relayedAlert(said *event.Alert, r *event.Record) *event.Alert {
	a := &event.Alert{
		RuleId: show([]byte(said.RuleId)), RuleName: show([]byte(said.RuleName)), Severity: min(said.Severity, event.Severity_SEVERITY_CRITICAL),
		Description: show([]byte(said.Description)), Ruleset: show([]byte(said.Ruleset)), Summary: show([]byte(said.Summary)),
		Techniques: shown(said.Techniques), TechniqueNames: shown(said.TechniqueNames), Tactics: shown(said.Tactics), References: shown(said.References),
	}
	place(a, r)
	return a
}

// maxList bounds the lists of a relayed alert.
const maxList = 16

func shown(list []string) []string {
	out := make([]string, 0, min(len(list), maxList))
	for _, text := range list[:min(len(list), maxList)] {
		out = append(out, show([]byte(text)))
	}
	return out
}

// relayedEvidence is what the node gave, or else the alert's own event.
func relayedEvidence(said *event.Alert, r *event.Record) []*event.Evidence {
	var all []*event.Evidence
	for _, one := range said.Evidence[:min(len(said.Evidence), maxRelayedEvidence)] {
		if one.Event != nil {
			all = append(all, &event.Evidence{Id: r.ID.String(), Time: one.Time, Event: clone(one.Event)})
		}
	}
	if len(all) == 0 {
		all = append(all, evidenceOf(r))
	}
	return all
}
