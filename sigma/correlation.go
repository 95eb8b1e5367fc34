package sigma

import (
	"slices"

	"github.com/hauberk/hauberk/sigma/internal/cond"
)

// MaxCount bounds the count that an event_count or value_count may ask for
// without an upper bound, because so many events are remembered per group.
const MaxCount = 100_000

// compiledCorrelation is a correlation over the rules of its Set.
type compiledCorrelation struct {
	id      RuleID
	source  *Correlation
	members []member
	// closing: the condition can become false again when more events come, so
	// that it is judged when the window ends; else at each event.
	closing bool
	needed  int // count that lower bounds ask for; of temporal types, of members
}

// member is one of the rules a correlation refers to.
type member struct {
	rule  RuleID
	group []fieldPath // as Correlation.GroupBy
	value []fieldPath // as Correlation.Fields
}

// fieldPath says where a group-by or value field is found at a match.
type fieldPath struct {
	// inner is the index into the group of a member that is a correlation
	// itself and groups by the same name; -1 otherwise.
	inner int
	// slots gives the place in the event by the detection that matched.
	slots map[RuleID]slot
}

// use says which member of which correlation a rule is.
type use struct {
	correlation int
	member      int
}

// correlations compiles all correlations, those that others refer to first.
func (c *compiler) correlations(rules []*Rule) {
	byRef := map[string]*Rule{}
	for _, r := range rules {
		if r.Correlation != nil {
			byRef[r.ID], byRef[r.Name] = r, r
		}
	}
	delete(byRef, "")
	state := map[*Rule]int{} // 1: being compiled, 2: done
	var visit func(r *Rule)
	visit = func(r *Rule) {
		state[r] = 1
		for _, ref := range r.Correlation.Rules {
			if inner := byRef[ref]; inner != nil {
				if state[inner] == 1 {
					c.refuse(r, faultAt(r.Correlation.Position, "correlations refer to each other in a circle at %q", ref))
					state[r] = 2
					return
				}
				if state[inner] == 0 {
					visit(inner)
				}
			}
		}
		state[r] = 2
		if f := c.correlation(r); f != nil {
			c.refuse(r, f)
		}
	}
	for _, r := range rules {
		if r.Correlation != nil && state[r] == 0 {
			visit(r)
		}
	}
	c.markQuiet()
}

// markQuiet finds the rules that only serve correlations without generate.
func (c *compiler) markQuiet() {
	loud := map[RuleID]bool{}
	for _, cc := range c.set.compiled {
		for _, m := range cc.members {
			c.set.rules[m.rule].quiet = true
			loud[m.rule] = loud[m.rule] || cc.source.Generate
		}
	}
	for r := range loud {
		c.set.rules[r].quiet = !loud[r]
	}
}

func (c *compiler) correlation(r *Rule) *fault {
	src := r.Correlation
	cc := compiledCorrelation{source: src}
	for _, ref := range src.Rules {
		id, ok := c.set.byRef[ref]
		switch {
		case !ok && c.refused[ref]:
			return faultAt(src.Position, "correlation refers to rule %q, which was refused", ref)
		case !ok:
			return faultAt(src.Position, "correlation refers to rule %q, which does not exist", ref)
		}
		m := member{rule: id}
		for _, g := range src.GroupBy {
			p, f := c.fieldPath(src, id, ref, g)
			if f != nil {
				return f
			}
			m.group = append(m.group, p)
		}
		for _, v := range src.Fields {
			p, f := c.fieldPath(src, id, ref, v)
			if f != nil {
				return f
			}
			m.value = append(m.value, p)
		}
		cc.members = append(cc.members, m)
	}
	if f := c.checkAliases(src); f != nil {
		return f
	}
	cc.plan()
	if cc.needed > len(cc.members) && (src.Type == Temporal || src.Type == TemporalOrdered) {
		return faultAt(src.Position, "%s asks for %d of %d rules", src.Type, cc.needed, len(cc.members))
	}
	if cc.needed > MaxCount && !cc.closing {
		return faultAt(src.Position, "%s asks for %d, more than %d are not remembered", src.Type, cc.needed, MaxCount)
	}
	cc.id = c.add(compiledRule{rule: r})
	c.set.compiled = append(c.set.compiled, cc)
	return nil
}

// checkAliases refuses aliases of rules that the correlation does not use.
func (c *compiler) checkAliases(src *Correlation) *fault {
	for _, a := range src.Aliases {
		for ref := range a.Fields {
			if !slices.Contains(src.Rules, ref) {
				return faultAt(src.Position, "alias %q names rule %q, which is not among the correlation's rules", a.Name, ref)
			}
		}
	}
	return nil
}

// plan decides when the condition is judged and what has to be remembered.
func (cc *compiledCorrelation) plan() {
	src := cc.source
	cc.needed = 1
	temporal := src.Type == Temporal || src.Type == TemporalOrdered
	if temporal {
		cc.needed = len(cc.members)
	}
	if temporal && len(src.Bounds) > 0 {
		cc.needed = 1
	}
	cc.closing = src.Type == ValueAvg || src.Type == ValuePercentile || src.Expr != nil && src.Expr.expr.HasNot()
	counts := temporal || src.Type == EventCount || src.Type == ValueCount
	for _, b := range src.Bounds {
		switch {
		case !counts && (b.Op == Greater || b.Op == GreaterEqual):
		case b.Op == GreaterEqual:
			cc.needed = max(cc.needed, ceil(b.Value))
		case b.Op == Greater:
			cc.needed = max(cc.needed, floor(b.Value)+1)
		default:
			cc.closing = true
		}
	}
}

// ceil and floor are bounded, so that a huge bound does not overflow.
func ceil(f float64) int {
	n := floor(f)
	if float64(n) < f {
		n++
	}
	return n
}

func floor(f float64) int {
	f = max(min(f, 1<<40), -1<<40)
	n := int(f)
	if float64(n) > f {
		n--
	}
	return n
}

// leaves gives the detections below a rule.
func (s *Set) leaves(id RuleID) []RuleID {
	if int(id) < s.detections {
		return []RuleID{id}
	}
	var out []RuleID
	for _, m := range s.compiled[int(id)-s.detections].members {
		for _, l := range s.leaves(m.rule) {
			if !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// fieldPath resolves a field name or alias for one member.
func (c *compiler) fieldPath(src *Correlation, id RuleID, ref, name string) (fieldPath, *fault) {
	p := fieldPath{inner: -1, slots: map[RuleID]slot{}}
	field := name
	for _, a := range src.Aliases {
		if a.Name == name {
			var ok bool
			if field, ok = a.Fields[ref]; !ok {
				return p, faultAt(src.Position, "alias %q gives no field for rule %q", name, ref)
			}
		}
	}
	if int(id) >= c.set.detections {
		inner := c.set.compiled[int(id)-c.set.detections].source
		p.inner = slices.Index(inner.GroupBy, field)
	}
	for _, leaf := range c.set.leaves(id) {
		l := c.set.rules[leaf].rule.LogSource
		n, err := c.slot(c.opt.Mapping.Field(l, field).Field)
		switch {
		case err == nil:
			p.slots[leaf] = c.set.slots[n]
		case p.inner < 0 && c.opt.Missing == RefuseMissing:
			return p, faultAt(src.Position, "field %q of log source %s: %s", field, l, err)
		}
	}
	return p, nil
}

// holds judges a temporal condition: present tells which members have matched.
func (cc *compiledCorrelation) holds(present []bool) bool {
	if cc.source.Expr != nil {
		return holds(cc.source.Expr.expr, cc.source.Rules, present)
	}
	n := 0
	for _, p := range present {
		if p {
			n++
		}
	}
	if len(cc.source.Bounds) == 0 {
		return n >= cc.needed
	}
	return cc.bounds(float64(n))
}

func holds(e *cond.Expr, names []string, present []bool) bool {
	switch e.Op {
	case cond.Name:
		return present[slices.Index(names, e.Text)]
	case cond.Not:
		return !holds(e.Kids[0], names, present)
	case cond.And:
		return !slices.ContainsFunc(e.Kids, func(k *cond.Expr) bool { return !holds(k, names, present) })
	case cond.Or:
		return slices.ContainsFunc(e.Kids, func(k *cond.Expr) bool { return holds(k, names, present) })
	}
	chosen, n := cond.Select(e.Text, names), 0
	for _, i := range chosen {
		if present[i] {
			n++
		}
	}
	if e.Count == cond.All {
		return n == len(chosen)
	}
	return n >= e.Count
}

// bounds reports whether a value meets all bounds of the condition.
func (cc *compiledCorrelation) bounds(v float64) bool {
	for _, b := range cc.source.Bounds {
		if !b.Op.Holds(v, b.Value) {
			return false
		}
	}
	return true
}

func (t CorrelationType) valued() bool {
	return t == ValueCount || t == ValueSum || t == ValueAvg || t == ValuePercentile
}
