// Package fold makes one alert of the repeats of one thing. Matches with the
// same fingerprint within a window are one alert with a count; it is published
// when it opens, and again with its new count at most once per interval. Pure:
// time is what it is told, and publishing is the caller's.
//
// A fold's id is made of its fingerprint and its first event, and it remembers
// the newest event it counted. Events of a node come in order, so an event at
// or before that one was counted already: redelivery after a crash changes
// nothing, once Restore has been given the alerts published before.
package fold

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/hauberk/hauberk/event"
)

// Fingerprint says what repeats of each other are.
type Fingerprint [16]byte

// String returns 32 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Limits bound a Folder.
type Limits struct {
	// Window is how long after a match a repeat still belongs to it.
	Window time.Duration
	// Interval is the least time between two publications of one alert.
	Interval time.Duration
	// Folds bounds the open folds; the one idle longest is closed.
	Folds int
}

// Evidence kept per alert: the first events, because they say how it began,
// and the latest.
const (
	maxFirst  = 2
	maxLatest = 3
)

// Match is one match on its way into a fold.
type Match struct {
	Fingerprint Fingerprint
	Event       event.ID
	Time        int64 // Unix ns
	// Open makes the alert, without id, count, times and evidence; it is
	// called only when the match begins a fold.
	Open func() *event.Alert
	// Evidence makes copies of the events; called only when they are kept.
	Evidence func() []*event.Evidence
}

// Counters count what a Folder did.
type Counters struct {
	Opened      uint64
	Repeated    uint64
	Redelivered uint64 // matches that had been counted before
	Evicted     uint64 // folds closed early because of Limits.Folds
}

// Folder holds the open folds. Not safe for concurrent use.
type Folder struct {
	limits   Limits
	folds    map[Fingerprint]*fold
	idle     *list.List // of *fold, most recently matched first
	due      []*fold    // changed since they were published, by due time
	counters Counters
}

type fold struct {
	fingerprint Fingerprint
	alert       *event.Alert
	last        event.ID
	place       *list.Element
	published   time.Time
	touched     time.Time
	queued      bool
}

// New returns a Folder without folds.
func New(l Limits) *Folder {
	return &Folder{limits: l, folds: map[Fingerprint]*fold{}, idle: list.New()}
}

// SetLimits changes the limits for what comes.
func (f *Folder) SetLimits(l Limits) { f.limits = l }

// Counters returns the counters.
func (f *Folder) Counters() Counters { return f.counters }

// Len returns the number of open folds.
func (f *Folder) Len() int { return len(f.folds) }

// Add folds a match and appends the alert to out if it must be published now.
// An appended alert is the fold's own: it is good until the next call.
func (f *Folder) Add(m Match, now time.Time, out []*event.Alert) []*event.Alert {
	old := f.folds[m.Fingerprint]
	if old != nil && m.Time-old.alert.LastSeen > int64(f.limits.Window) {
		out = f.close(old, out)
		old = nil
	}
	if old == nil {
		return f.open(m, now, out)
	}
	if old.counted(m.Event) {
		f.counters.Redelivered++
		return out
	}
	f.counters.Repeated++
	a := old.alert
	a.Count++
	a.FirstSeen = min(a.FirstSeen, m.Time)
	a.LastSeen = max(a.LastSeen, m.Time)
	a.LastEvent = m.Event.String()
	a.Evidence = keep(a.Evidence, m.Evidence())
	old.last = m.Event
	old.touched = now
	f.idle.MoveToFront(old.place)
	if now.Sub(old.published) >= f.limits.Interval && !old.queued {
		old.published = now
		return append(out, a)
	}
	f.queue(old)
	return out
}

// counted reports whether the fold has counted the event or a later one of the
// same life of the node.
func (f *fold) counted(id event.ID) bool {
	return f.last.Node == id.Node && (id.Incarnation < f.last.Incarnation ||
		id.Incarnation == f.last.Incarnation && id.Sequence <= f.last.Sequence)
}

func (f *Folder) open(m Match, now time.Time, out []*event.Alert) []*event.Alert {
	for len(f.folds) >= f.limits.Folds && f.idle.Len() > 0 {
		f.counters.Evicted++
		out = f.close(f.idle.Back().Value.(*fold), out)
	}
	a := m.Open()
	a.Id = alertID(m.Fingerprint, m.Event)
	a.Fingerprint = m.Fingerprint.String()
	a.Count = 1
	a.FirstSeen, a.LastSeen = m.Time, m.Time
	a.LastEvent = m.Event.String()
	a.Evidence = keep(nil, m.Evidence())
	n := &fold{fingerprint: m.Fingerprint, alert: a, last: m.Event, published: now, touched: now}
	n.place = f.idle.PushFront(n)
	f.folds[m.Fingerprint] = n
	f.counters.Opened++
	return append(out, a)
}

// alertID names a fold by what it is and the event it began with, so that the
// same events always make the same ids.
func alertID(f Fingerprint, first event.ID) string {
	sum := sha256.Sum256(first.AppendText(f[:]))
	return hex.EncodeToString(sum[:16])
}

// keep adds evidence, keeping the first and the latest events.
func keep(have, more []*event.Evidence) []*event.Evidence {
	for _, e := range more {
		if len(have) < maxFirst+maxLatest {
			have = append(have, e)
			continue
		}
		copy(have[maxFirst:], have[maxFirst+1:])
		have[len(have)-1] = e
	}
	return have
}

func (f *Folder) queue(x *fold) {
	if !x.queued {
		x.queued = true
		f.due = append(f.due, x)
	}
}

// close forgets a fold; what was not published yet is appended to out.
func (f *Folder) close(x *fold, out []*event.Alert) []*event.Alert {
	f.idle.Remove(x.place)
	delete(f.folds, x.fingerprint)
	if x.queued {
		x.queued = false // stays in due, where Flush skips it
		out = append(out, x.alert)
	}
	return out
}

// Flush appends the alerts that changed and may be published again by now, and
// forgets the folds whose window has passed.
func (f *Folder) Flush(now time.Time, out []*event.Alert) []*event.Alert {
	kept := f.due[:0]
	for _, x := range f.due {
		switch {
		case !x.queued:
		case now.Sub(x.published) >= f.limits.Interval:
			x.queued = false
			x.published = now
			out = append(out, x.alert)
		default:
			kept = append(kept, x)
		}
	}
	clear(f.due[len(kept):])
	f.due = kept
	for f.idle.Len() > 0 {
		x := f.idle.Back().Value.(*fold)
		if now.Sub(x.touched) <= f.limits.Window {
			break
		}
		out = f.close(x, out)
	}
	return out
}

// Drain appends every alert that changed since it was published, for the end.
func (f *Folder) Drain(out []*event.Alert) []*event.Alert {
	for _, x := range f.due {
		if x.queued {
			x.queued = false
			out = append(out, x.alert)
		}
	}
	f.due = nil
	return out
}

// Restore takes an alert that was published before this process began. Of
// several publications of one alert the one with the highest count stays, of
// several alerts with one fingerprint the newest. An alert last published
// before the window is closed; its events may be much older, as those of a
// program that ran long before its node began to watch.
func (f *Folder) Restore(a *event.Alert, published, now time.Time) bool {
	raw, err := hex.DecodeString(a.GetFingerprint())
	last, err2 := event.ParseID(a.GetLastEvent())
	if err != nil || err2 != nil || len(raw) != len(Fingerprint{}) {
		return false // made by a sensor, or by something older
	}
	if now.Sub(published) > f.limits.Window {
		return false
	}
	fp := Fingerprint(raw)
	if old := f.folds[fp]; old != nil {
		if old.alert.Id == a.Id && old.alert.Count >= a.Count || old.alert.Id != a.Id && old.alert.LastSeen >= a.LastSeen {
			return false
		}
		old.alert, old.last = a, last
		return true
	}
	if len(f.folds) >= f.limits.Folds {
		return false
	}
	n := &fold{fingerprint: fp, alert: a, last: last, published: now, touched: now}
	n.place = f.idle.PushFront(n)
	f.folds[fp] = n
	return true
}
