package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/detect/internal/except"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

// raised gives a batch with an alert that a node raised.
func raised(node byte, sequence uint64, a *event.Alert) *event.Batch {
	b := event.NewBuilder(event.NodeID{node}, 1, event.Class_CLASS_PRIORITY)
	if err := b.Add(sequence, at(int(sequence)).UnixNano(), 0, &event.Event{Body: &event.Event_Alert{Alert: a}}); err != nil {
		panic(err)
	}
	return b.Take()
}

func said(rule, fingerprint string) *event.Alert {
	return &event.Alert{RuleId: rule, RuleName: "ET " + rule, Severity: event.Severity_SEVERITY_HIGH, Fingerprint: fingerprint, Node: "someone else's", Host: "not this",
		Tenant: "other", Summary: "a\x1b[31mred", Evidence: []*event.Evidence{{Time: 7, Event: &event.Event{Body: &event.Event_Dns{Dns: &event.Dns{QuestionName: []byte("x.y")}}}}}}
}

func TestRelay(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	judge := func(b *event.Batch) []*event.Alert {
		return slices.Clone(e.Judge(m.Batch(b, nil), at(1), nil))
	}
	first := judge(raised(1, 1, said("suricata:1:7", "a")))
	if len(first) != 1 {
		t.Fatalf("%d alerts of the first", len(first))
	}
	a := first[0]
	if a.RuleName != "ET suricata:1:7" || a.Node != (event.NodeID{1}).String() || a.Host != "" || a.Tenant != "" || a.Summary != "a?[31mred" || a.Count != 1 {
		t.Errorf("relayed as %+v", a)
	}
	if len(a.Evidence) != 1 || string(a.Evidence[0].Event.GetDns().GetQuestionName()) != "x.y" {
		t.Errorf("evidence %v", a.Evidence)
	}
	if again := judge(raised(1, 2, said("suricata:1:7", "a"))); len(again) != 0 {
		t.Errorf("a repeat was raised: %s", names(again))
	}
	for _, other := range []*event.Batch{raised(1, 3, said("suricata:1:7", "b")), raised(2, 1, said("suricata:1:7", "a")), raised(1, 4, said("suricata:1:8", "a"))} {
		if got := judge(other); len(got) != 1 {
			t.Errorf("not a repeat, and not raised: %s", names(got))
		}
	}
	low := said("suricata:1:9", "a")
	low.Severity = event.Severity_SEVERITY_INFORMATIONAL
	if got := judge(raised(1, 5, low)); len(got) != 0 || e.Counters().BelowLevel != 1 {
		t.Errorf("below the minimum: %s", names(got))
	}
	e.SetExceptions(except.New([]*fleet.Exception{{Rule: "suricata:1:10"}}))
	if got := judge(raised(1, 6, said("suricata:1:10", "a"))); len(got) != 0 || e.Counters().Excepted != 1 {
		t.Errorf("in spite of an exception: %s", names(got))
	}
}

func TestRelayedStormsFold(t *testing.T) {
	rules := load(t)
	m, e := NewMatcher(rules), New(rules, limits)
	opened := 0
	for i := range 20 {
		opened += len(e.Judge(m.Batch(raised(1, uint64(i+1), said("suricata:1:7", fmt.Sprint(i))), nil), at(1), nil))
	}
	if opened != limits.Storm+1 || e.Counters().Stormed != 15 {
		t.Errorf("%d alerts, %d stormed; want %d and one for the rest", opened, e.Counters().Stormed, limits.Storm)
	}
	for i := range 2 * maxRelayedRules {
		e.Judge(m.Batch(raised(1, uint64(100+i), said(strings.Repeat("r", i%7)+fmt.Sprint(i), "a")), nil), at(2), nil)
	}
	if len(e.relayed) > maxRelayedRules+1 {
		t.Errorf("storms of %d rules are counted", len(e.relayed))
	}
}
