package detect

import (
	"cmp"
	"maps"
	"math"
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
	lasts int64 // Nanoseconds.
	count uint32
	next  uint32 // backoff: the count of the next alert.
}

// over says whether a window has ended.
func (w *window) over(now int64) bool { return now-w.start > w.lasts }

// maxWindows bounds what is tracked; beyond it any half is forgotten.
const maxWindows = 1 << 18

// limits keeps what thresholds count.
type limits struct {
	windows   map[trackKey]*window
	suppress  []siteconf.Entry
	events    []siteconf.Entry
	forgotten *uint64 // Windows that had not ended.
}

func newLimits(site []siteconf.Entry, forgotten *uint64) *limits {
	l := &limits{windows: map[trackKey]*window{}, forgotten: forgotten}
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
			*l.forgotten += halve(l.windows, maxWindows, func(w *window) bool { return w.over(p.Time) })
		}
		w = &window{start: p.Time, next: by.spec.Count}
		l.windows[k] = w
	}
	w.lasts = int64(by.spec.Seconds) * 1e9
	if by.spec.Type == "backoff" {
		w.lasts = math.MaxInt64
	}
	if w.over(p.Time) {
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

// halve makes room in a map: it drops what is over, and if that is not half of
// max, any others. It says how many of those there were.
func halve[K comparable, V any](m map[K]V, max int, over func(V) bool) (forgotten uint64) {
	maps.DeleteFunc(m, func(_ K, v V) bool { return over(v) })
	for k := range m {
		if len(m) <= max/2 {
			break
		}
		delete(m, k)
		forgotten++
	}
	return forgotten
}
