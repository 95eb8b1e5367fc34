package fold

import (
	"fmt"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
)

var limits = Limits{Window: time.Hour, Interval: 5 * time.Second, Folds: 3}

func match(fp byte, sequence uint64, at time.Duration) Match {
	id := event.ID{Node: event.NodeID{1}, Incarnation: 1, Sequence: sequence}
	return Match{
		Fingerprint: Fingerprint{fp}, Event: id, Time: int64(at),
		Open:     func() *event.Alert { return &event.Alert{RuleId: fmt.Sprint(fp)} },
		Evidence: func() []*event.Evidence { return []*event.Evidence{{Id: id.String(), Time: int64(at)}} },
	}
}

func at(d time.Duration) time.Time { return time.Unix(0, int64(d)) }

func TestRepeatsAreOneAlertWithABoundedRate(t *testing.T) {
	f := New(limits)
	published := 0
	var last *event.Alert
	for i := range 100 {
		now := time.Duration(i) * time.Second
		out := f.Add(match(1, uint64(i+1), now), at(now), nil)
		out = f.Flush(at(now), out)
		published += len(out)
		if len(out) > 0 {
			last = out[len(out)-1]
		}
	}
	if published != 20 {
		t.Errorf("%d publications in 100 s, want one per 5 s: 20", published)
	}
	out := f.Drain(nil)
	if len(out) != 1 || out[0] != last || last.Count != 100 {
		t.Fatalf("after the end: %v", out)
	}
	if last.FirstSeen != 0 || last.LastSeen != int64(99*time.Second) {
		t.Errorf("seen from %d to %d", last.FirstSeen, last.LastSeen)
	}
	var ids []string
	for _, e := range last.Evidence {
		ids = append(ids, e.Id[len(e.Id)-2:])
	}
	if got := fmt.Sprint(ids); got != "[01 02 62 63 64]" {
		t.Errorf("evidence %s, want the first 2 and the latest 3", got)
	}
}

func TestTheWindowEndsAFold(t *testing.T) {
	f := New(limits)
	first := f.Add(match(1, 1, 0), at(0), nil)[0]
	f.Add(match(1, 2, time.Hour), at(time.Hour), nil)
	out := f.Add(match(1, 3, 3*time.Hour), at(3*time.Hour), nil)
	if len(out) != 1 || out[0].Id == first.Id || out[0].Count != 1 || out[0].Fingerprint != first.Fingerprint {
		t.Errorf("after the window: %v", out)
	}
	if f.Flush(at(5*time.Hour), nil); f.Len() != 0 {
		t.Errorf("%d folds after the window, want 0", f.Len())
	}
}

func TestRedeliveryChangesNothing(t *testing.T) {
	run := func(f *Folder, from, to uint64) (alerts []*event.Alert) {
		for i := from; i <= to; i++ {
			alerts = f.Add(match(1, i, time.Duration(i)), at(0), alerts)
		}
		return f.Drain(alerts)
	}
	a := New(limits)
	published := run(a, 1, 10)
	alert := published[len(published)-1]
	if alert.Count != 10 {
		t.Fatalf("count %d", alert.Count)
	}
	if out := run(a, 4, 10); len(out) != 0 || a.Counters().Redelivered != 7 {
		t.Errorf("redelivery published %v", out)
	}
	// A new process that restores what was published.
	b := New(limits)
	for _, p := range published {
		b.Restore(p, at(0), at(0))
	}
	out := run(b, 4, 12)
	if len(out) == 0 || out[len(out)-1].Count != 12 || out[len(out)-1].Id != alert.Id {
		t.Errorf("after a restart: %v", out)
	}
	// And one that has nothing to restore names the alert the same.
	if c := run(New(limits), 1, 1); c[0].Id != alert.Id {
		t.Errorf("id %s, want %s", c[0].Id, alert.Id)
	}
}

func TestRestoreKeepsTheNewest(t *testing.T) {
	f := New(limits)
	id := event.ID{Node: event.NodeID{1}, Incarnation: 1, Sequence: 9}.String()
	alert := func(name string, count uint64, seen int64) *event.Alert {
		return &event.Alert{Id: name, Fingerprint: Fingerprint{7}.String(), Count: count, LastSeen: seen, LastEvent: id}
	}
	for _, step := range []struct {
		a         *event.Alert
		published time.Duration
		want      bool
	}{
		{alert("a", 2, 20), 0, true},
		{alert("a", 1, 10), 0, false},
		{alert("b", 1, 30), 0, true},
		{alert("a", 5, 25), 0, false},
		{alert("c", 1, 40), -2 * time.Hour, false},
		{alert("d", 1, 50), -time.Minute, true},
		{&event.Alert{Fingerprint: "zz", LastEvent: id}, 0, false},
		{&event.Alert{Fingerprint: Fingerprint{7}.String()}, 0, false},
	} {
		if got := f.Restore(step.a, at(step.published), at(0)); got != step.want {
			t.Errorf("restore %s with count %d: %v, want %v", step.a.Id, step.a.Count, got, step.want)
		}
	}
}

func TestFoldsAreBounded(t *testing.T) {
	f := New(limits)
	f.Add(match(1, 1, 0), at(0), nil)
	f.Add(match(1, 2, 0), at(0), nil) // changed, not yet published
	for i := byte(2); i <= 3; i++ {
		f.Add(match(i, uint64(i)+1, 0), at(0), nil)
	}
	out := f.Add(match(4, 9, 0), at(0), nil)
	if f.Len() != 3 || f.Counters().Evicted != 1 {
		t.Errorf("%d folds, %d evicted", f.Len(), f.Counters().Evicted)
	}
	if len(out) != 2 || out[0].Count != 2 {
		t.Errorf("what the evicted fold had not published is lost: %v", out)
	}
	if out := f.Flush(at(time.Minute), nil); len(out) != 0 {
		t.Errorf("an evicted fold was published twice: %v", out)
	}
}
