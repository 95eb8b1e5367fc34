package sigma

import (
	"cmp"
	"container/heap"
	"container/list"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// Limits bound a Correlator's memory. The zero value of each means the default.
type Limits struct {
	Groups   int // groups over all correlations; default 100,000; the one idle longest is evicted
	Values   int // distinct or numeric values remembered per group; default 10,000
	Evidence int // identities kept per group, the latest; default 100
}

func (l Limits) withDefaults() Limits {
	if l.Groups <= 0 {
		l.Groups = 100_000
	}
	if l.Values <= 0 {
		l.Values = 10_000
	}
	if l.Evidence <= 0 {
		l.Evidence = 100
	}
	return l
}

// Hit is a correlation that holds.
type Hit struct {
	Rule  RuleID
	Group []GroupValue // as the rule's group-by
	First time.Time    // of the earliest match that counts
	Last  time.Time    // of the latest
	// Value is what the condition was judged by: the count, sum, average,
	// percentile or percentage; of a temporal type the number of its rules.
	Value float64
	// Subject is the value whose share a value_percentile was judged by.
	Subject string
	// Evidence holds the identities given to Observe, oldest first.
	Evidence []string
}

// GroupValue is one field of a group.
type GroupValue struct {
	Field string // as in group-by
	Value string
}

// Counters count what a Correlator gave up, since it was made.
type Counters struct {
	Observed  uint64 // matches that belong to a correlation
	NoGroup   uint64 // of those: not counted, because a group-by field was absent
	NoValue   uint64 // of those: not counted, because the value field was absent or no number
	Evicted   uint64 // groups given up because of Limits.Groups
	Truncated uint64 // values not remembered because of Limits.Values
	Hits      uint64
}

// Correlator follows the correlations of a Set. It has no clock: time is what
// Observe and Advance are told. It is not safe for concurrent use; the groups
// of one correlation must all be seen by one Correlator.
//
// A condition with only gt and gte (or none) is judged at each match over the
// timespan before it; when it holds, the hit is given and the group starts
// afresh. Other conditions can become false again by further matches: there a
// group's window begins with its first match, and the condition is judged when
// the timespan has passed.
type Correlator struct {
	set      *Set
	limits   Limits
	uses     map[RuleID][]use
	groups   map[string]*group
	idle     *list.List // of *group, most recently used first
	due      deadlines
	counters Counters
	key      []byte
}

// NewCorrelator makes a Correlator without history.
func NewCorrelator(s *Set, l Limits) *Correlator {
	c := &Correlator{set: s, limits: l.withDefaults(), uses: map[RuleID][]use{}, groups: map[string]*group{}, idle: list.New()}
	for i, cc := range s.compiled {
		for j, m := range cc.members {
			c.uses[m.rule] = append(c.uses[m.rule], use{i, j})
		}
	}
	return c
}

// Counters gives the counters.
func (c *Correlator) Counters() Counters { return c.counters }

// Groups is the number of groups remembered now.
func (c *Correlator) Groups() int { return len(c.groups) }

// group is the state of one correlation for one combination of group values.
type group struct {
	key         string
	correlation *compiledCorrelation
	values      []string
	place       *list.Element // in Correlator.idle
	due         int           // in Correlator.due
	deadline    int64         // Unix ns, after which the group is judged or forgotten
	window
}

// match is one match of a member, on its way through the correlations.
type match struct {
	ev       Event // nil when a window closed
	leaf     RuleID
	at       int64
	evidence []string
	inner    []string // group values when the member is a correlation
}

// Observe takes the detections that an event matched (the result of Set.Match),
// the event's time and its identity, and gives the correlations that hold by
// it, inner ones first.
func (c *Correlator) Observe(ev Event, matches []RuleID, at time.Time, identity string) []Hit {
	type step struct {
		use
		leaf RuleID
	}
	var todo []step
	for _, r := range matches {
		for _, u := range c.uses[r] {
			todo = append(todo, step{u, r})
		}
	}
	// Inner correlations first; in each the last member first, because one
	// event must not be two steps of an ordered one.
	slices.SortFunc(todo, func(a, b step) int {
		return cmp.Or(a.correlation-b.correlation, b.member-a.member)
	})
	var hits []Hit
	for _, s := range todo {
		m := match{ev: ev, leaf: s.leaf, at: at.UnixNano(), evidence: []string{identity}}
		hits = c.feed(s.use, m, hits)
	}
	return hits
}

// Advance says that the time is now: windows that have ended are judged, and
// groups without matches within their timespan are forgotten.
func (c *Correlator) Advance(now time.Time) []Hit {
	var hits []Hit
	t := now.UnixNano()
	for len(c.due) > 0 && c.due[0].deadline < t {
		g := c.due[0]
		c.drop(g)
		if g.correlation.closing {
			hits = c.judge(g, match{at: g.last}, hits)
		}
	}
	return hits
}

// feed gives a match to one correlation.
func (c *Correlator) feed(u use, m match, hits []Hit) []Hit {
	cc := &c.set.compiled[u.correlation]
	c.counters.Observed++
	mem := &cc.members[u.member]
	groupValues, ok := m.fields(mem.group)
	if !ok {
		c.counters.NoGroup++
		return hits
	}
	s := sample{at: m.at, member: u.member, evidence: m.evidence}
	if cc.source.Type.valued() {
		values, ok := m.fields(mem.value)
		if ok {
			ok = s.take(cc.source.Type, cc.source.Percentile, values)
		}
		if !ok {
			c.counters.NoValue++
			return hits
		}
	}
	g := c.group(u.correlation, groupValues)
	span := int64(cc.source.Timespan)
	if cc.closing && !g.isEmpty() && m.at > g.opened+span {
		hits = c.judge(g, match{at: g.last}, hits)
		g.window = window{}
	}
	if !g.add(cc, s, c.limits) {
		c.counters.Truncated++
	}
	g.deadline = max(g.last, m.at) + span
	if cc.closing {
		g.deadline = g.opened + span
	}
	heap.Fix(&c.due, g.due)
	if cc.closing {
		return hits
	}
	return c.judge(g, m, hits)
}

// judge gives the hits of a group, passes them on to the correlations that
// refer to this one, and starts the group afresh.
func (c *Correlator) judge(g *group, m match, hits []Hit) []Hit {
	cc := g.correlation
	for _, v := range g.verdicts(cc) {
		h := Hit{
			Rule: cc.id, Value: v.value, Subject: v.subject,
			First: time.Unix(0, v.first), Last: time.Unix(0, v.last), Evidence: v.evidence,
		}
		for i, f := range cc.source.GroupBy {
			h.Group = append(h.Group, GroupValue{f, g.values[i]})
		}
		hits = append(hits, h)
		c.counters.Hits++
		next := match{ev: m.ev, leaf: m.leaf, at: v.last, evidence: v.evidence, inner: g.values}
		g.window = window{}
		for _, u := range c.uses[cc.id] {
			hits = c.feed(u, next, hits)
		}
	}
	return hits
}

// group finds or makes a group and marks it as used.
func (c *Correlator) group(correlation int, values []string) *group {
	c.key = binary.AppendUvarint(c.key[:0], uint64(correlation))
	for _, v := range values {
		c.key = binary.AppendUvarint(c.key, uint64(len(v)))
		c.key = append(c.key, v...)
	}
	if g := c.groups[string(c.key)]; g != nil {
		c.idle.MoveToFront(g.place)
		return g
	}
	for len(c.groups) >= c.limits.Groups {
		c.drop(c.idle.Back().Value.(*group))
		c.counters.Evicted++
	}
	g := &group{key: string(c.key), correlation: &c.set.compiled[correlation], values: values}
	g.place = c.idle.PushFront(g)
	c.groups[g.key] = g
	heap.Push(&c.due, g)
	return g
}

func (c *Correlator) drop(g *group) {
	delete(c.groups, g.key)
	c.idle.Remove(g.place)
	heap.Remove(&c.due, g.due)
}

// maxField bounds one group or counted value, in bytes; longer ones are cut.
const maxField = 1024

// fields reads field values at a match; false if one is absent.
func (m *match) fields(paths []fieldPath) ([]string, bool) {
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		if p.inner >= 0 {
			out = append(out, m.inner[p.inner])
			continue
		}
		s, ok := p.slots[m.leaf]
		if !ok || m.ev == nil {
			return nil, false
		}
		text, ok := textOf(m.ev, s)
		if !ok {
			return nil, false
		}
		out = append(out, text)
	}
	return out, true
}

// textOf reads one slot outside a Scratch; the elements of a list are joined
// by commas.
func textOf(ev Event, s slot) (string, bool) {
	var v slotValue
	if !ev.Value(s.field, &v.val) || v.val.isNothing() {
		return "", false
	}
	v.present = true
	if s.element != wholeField {
		if int(s.element) >= v.count() {
			return "", false
		}
		return cut(v.raw(int(s.element))), true
	}
	if v.empty() {
		return "", false
	}
	var parts []string
	for i := range v.count() {
		parts = append(parts, cut(v.raw(i)))
	}
	return cut([]byte(strings.Join(parts, ","))), true
}

func cut(b []byte) string { return string(b[:min(len(b), maxField)]) }

// deadlines is a heap of groups, the earliest deadline first.
type deadlines []*group

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline < d[j].deadline }

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].due, d[j].due = i, j
}

// Push implements heap.Interface.
func (d *deadlines) Push(x any) {
	g := x.(*group)
	g.due = len(*d)
	*d = append(*d, g)
}

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	old := *d
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return g
}
