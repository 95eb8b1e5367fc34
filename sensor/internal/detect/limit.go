package detect

import (
	"cmp"
	"net/netip"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

// limiter is a threshold or detection_filter.
type limiter struct {
	spec   suricata.Threshold
	filter bool
}

// trackKey names whose matches are counted together.
type trackKey struct {
	gid, sid uint32
	filter   bool
	a, b     netip.Addr
	flow     uint64
}

// window counts the matches of one tracked thing.
type window struct {
	start int64 // Nanoseconds since 1970.
	count uint32
	next  uint32 // backoff: the count of the next alert.
}

// maxWindows bounds what is tracked; beyond it the oldest half is forgotten.
const maxWindows = 1 << 18

// limits keeps what thresholds count.
type limits struct {
	windows  map[trackKey]*window
	suppress []siteconf.Entry
	events   []siteconf.Entry
}

func newLimits(site []siteconf.Entry) *limits {
	l := &limits{windows: map[trackKey]*window{}}
	l.site(site)
	return l
}

// site takes the entries of threshold.config.
func (l *limits) site(site []siteconf.Entry) {
	l.suppress, l.events = nil, nil
	for _, e := range site {
		switch e.Kind {
		case siteconf.Suppress:
			l.suppress = append(l.suppress, e)
		case siteconf.EventFilter:
			l.events = append(l.events, e)
		}
	}
}

func applies(e *siteconf.Entry, r *rule) bool {
	return (e.GID == 0 || e.GID == r.GID) && (e.SID == 0 || e.SID == r.SID)
}

// suppressed says whether the site wants no alert of the rule for these hosts.
func (l *limits) suppressed(r *rule, p *Packet) bool {
	for i := range l.suppress {
		if e := &l.suppress[i]; applies(e, r) && e.Suppresses(p.Src(), p.Dst()) {
			return true
		}
	}
	return false
}

// told says whether thresholds let an alert through: the site's if it has one
// for the rule, else the rule's.
func (l *limits) told(r *rule, p *Packet) bool {
	for i := range l.events {
		if e := &l.events[i]; applies(e, r) && e.SID != 0 {
			return l.allows(r, &limiter{spec: e.Threshold}, p)
		}
	}
	if r.limit != nil {
		return l.allows(r, r.limit, p)
	}
	return true
}

// allows counts a match and says whether it is one that is told.
func (l *limits) allows(r *rule, by *limiter, p *Packet) bool {
	k := trackKey{gid: r.GID, sid: r.SID, filter: by.filter}
	switch by.spec.Track {
	case "by_src":
		k.a = p.Src()
	case "by_dst":
		k.a = p.Dst()
	case "by_both":
		k.a, k.b = p.Src(), p.Dst()
	case "by_flow":
		if p.Flow == nil {
			return false
		}
		k.flow = p.Flow.ID
	}
	w := l.windows[k]
	if w == nil {
		if len(l.windows) >= maxWindows {
			l.forget(p.Time)
		}
		w = &window{start: p.Time, next: by.spec.Count}
		l.windows[k] = w
	}
	over := p.Time-w.start > int64(by.spec.Seconds)*1e9
	if over && by.spec.Type != "backoff" {
		w.start, w.count = p.Time, 0
	}
	w.count++
	count := cmp.Or(by.spec.Count, 1)
	switch by.spec.Type {
	case "limit":
		return w.count <= count
	case "threshold":
		if w.count >= count {
			w.count = 0
			w.start = p.Time
			return true
		}
		return false
	case "both":
		return w.count == count
	case "backoff":
		if w.count == w.next {
			w.next *= max(by.spec.Multiplier, 1)
			return true
		}
		return false
	}
	return w.count > count // detection_filter
}

// forget drops what was not begun anew for longest: windows older than a
// minute first, then any half.
func (l *limits) forget(now int64) {
	for k, w := range l.windows {
		if now-w.start > 60e9 {
			delete(l.windows, k)
		}
	}
	if len(l.windows) > maxWindows/2 {
		clear(l.windows)
	}
}
