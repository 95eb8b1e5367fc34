package sigma

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sigma/internal/cond"
)

// RuleID numbers the rules of a Set, from 0: detections, then correlations.
type RuleID int32

// MissingPolicy says what to do with a rule that uses a field which the schema
// does not have.
type MissingPolicy uint8

const (
	// RefuseMissing refuses the rule and names the field.
	RefuseMissing MissingPolicy = iota
	// AbsentMissing compiles the rule as if no event had the field.
	AbsentMissing
)

// Options say what rules are compiled for.
type Options struct {
	Schema *Schema
	// Classes are the kinds of events, at most MaxClasses.
	Classes []Class
	// Mapping translates field names; nil means DefaultMapping.
	Mapping *Mapping
	// Placeholders gives the values of %name% for the expand modifier; they
	// may hold wildcards.
	Placeholders map[string][]string
	Missing      MissingPolicy
}

// Set is a compiled rule set: immutable, safe for concurrent use.
type Set struct {
	schema     *Schema
	classes    []Class
	rules      []compiledRule
	byRef      map[string]RuleID
	slots      []slot
	predicates []predicate
	nodes      []node
	kids       []int32
	indexes    []index
	plans      []plan
	detections int // rules[:detections] are detections
	compiled   []compiledCorrelation
}

type compiledRule struct {
	rule    *Rule
	root    int32 // reference, see node
	classes uint64
	// quiet: only a correlation without generate uses it.
	quiet bool
	// missing: the fields it uses that the schema does not have.
	missing []string
}

// slot is a place that values are read from: a field or one of its elements.
type slot struct {
	field   FieldID
	element int32 // wholeField, or index into the list of slot base
	base    int32
}

// plan is what is done for each event of a class.
type plan struct {
	indexes []int32
	always  []RuleID
}

type compiler struct {
	opt          Options
	set          *Set
	slotIDs      map[slot]int32
	predicateIDs map[string]int32
	sources      []string // of predicates, see leaf
	regexps      map[string]*regexp.Regexp
	refused      map[string]bool // references of refused rules
	missing      []string        // fields that the current rule misses
	errs         []*Error
}

// Compile makes one matcher of all rules. A rule that cannot be compiled is
// left out and has at least one error. The last result is about opt itself.
func Compile(rules []*Rule, opt Options) (*Set, []*Error, error) {
	switch {
	case opt.Schema == nil:
		return nil, nil, errors.New("compile sigma rules: no schema")
	case len(opt.Classes) == 0 || len(opt.Classes) > MaxClasses:
		return nil, nil, fmt.Errorf("compile sigma rules: %d classes, expected 1 to %d", len(opt.Classes), MaxClasses)
	}
	if opt.Mapping == nil {
		opt.Mapping = DefaultMapping()
	}
	c := &compiler{
		opt:          opt,
		set:          &Set{schema: opt.Schema, classes: slices.Clone(opt.Classes), byRef: map[string]RuleID{}},
		slotIDs:      map[slot]int32{},
		predicateIDs: map[string]int32{},
		regexps:      map[string]*regexp.Regexp{},
		refused:      map[string]bool{},
	}
	rules = c.unique(rules)
	filters := c.filters(rules)
	var triggers [][]trigger
	for _, r := range rules {
		if r.Detection == nil {
			continue
		}
		c.missing = nil
		t, f := c.detection(r, filters)
		if f != nil {
			c.refuse(r, f)
			continue
		}
		triggers = append(triggers, c.triggersOf(t))
		root, _ := c.set.flatten(t)
		c.add(compiledRule{rule: r, root: root, classes: c.set.classesOf(r.LogSource), missing: c.missing})
	}
	c.set.detections = len(c.set.rules)
	c.set.buildIndexes(triggers)
	c.set.planClasses(triggers)
	c.correlations(rules)
	slices.SortStableFunc(c.errs, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line)
	})
	return c.set, c.errs, nil
}

func (c *compiler) add(r compiledRule) RuleID {
	id := RuleID(len(c.set.rules))
	c.set.rules = append(c.set.rules, r)
	for _, ref := range []string{r.rule.ID, r.rule.Name} {
		if ref != "" {
			c.set.byRef[ref] = id
		}
	}
	return id
}

func (c *compiler) refuse(r *Rule, f *fault) {
	c.errs = append(c.errs, r.errorAt(f.at, "%s", f.reason))
	for _, ref := range []string{r.ID, r.Name} {
		if ref != "" {
			c.refused[ref] = true
		}
	}
}

// unique refuses rules whose id or name an earlier rule has.
func (c *compiler) unique(rules []*Rule) []*Rule {
	first := map[string]*Rule{}
	var out []*Rule
	for _, r := range rules {
		ok := true
		for _, ref := range []string{r.ID, r.Name} {
			if o := first[ref]; o != nil && ref != "" && o != r {
				c.errs = append(c.errs, r.errorAt(Position{}, "%q is already the id or name of the rule at %s:%d", ref, o.File, o.Line))
				ok = false
				break
			}
			first[ref] = r
		}
		if ok {
			out = append(out, r)
		}
	}
	return out
}

// filters gives the filters of each rule, by the reference they use.
func (c *compiler) filters(rules []*Rule) map[string][]*Rule {
	known := map[string]*Rule{}
	for _, r := range rules {
		known[r.ID], known[r.Name] = r, r
	}
	out := map[string][]*Rule{}
	for _, f := range rules {
		if f.Filter == nil {
			continue
		}
		for _, ref := range f.Filter.Rules {
			switch r := known[ref]; {
			case r == nil || ref == "":
				c.refuse(f, faultAt(f.Filter.Position, "filter names rule %q, which does not exist", ref))
			case r.Detection == nil:
				c.refuse(f, faultAt(f.Filter.Position, "filter names rule %q, which is not a detection", ref))
			case !f.LogSource.Covers(r.LogSource):
				c.refuse(f, faultAt(f.Filter.Position, "filter for log source %s names rule %q of log source %s", f.LogSource, ref, r.LogSource))
			default:
				out[r.Ref()] = append(out[r.Ref()], f)
			}
		}
	}
	return out
}

// detection compiles a rule's logic with its filters.
func (c *compiler) detection(r *Rule, filters map[string][]*Rule) (*tree, *fault) {
	t, f := c.conditions(r.LogSource, r.Detection)
	if f != nil {
		return nil, f
	}
	for _, fr := range filters[r.Ref()] {
		ft, f := c.conditions(r.LogSource, &fr.Filter.Detection)
		if f != nil {
			// The filter is at fault; the rule would be too loud without it.
			c.refuse(fr, f)
			return nil, faultAt(Position{}, "its filter %q (%s:%d) was refused: %s", fr.Title, fr.File, fr.Line, f.reason)
		}
		if fr.Filter.Detection.Conditions[0].expr.Op != cond.Not {
			ft = negate(ft)
		}
		t = join(treeAnd, []*tree{t, ft})
	}
	return t, nil
}

func (c *compiler) conditions(l LogSource, d *Detection) (*tree, *fault) {
	names := make([]string, len(d.Searches))
	trees := make([]*tree, len(d.Searches))
	for i := range d.Searches {
		names[i] = d.Searches[i].Name
		t, f := c.search(l, &d.Searches[i])
		if f != nil {
			return nil, f
		}
		trees[i] = t
	}
	var all []*tree
	for _, cn := range d.Conditions {
		all = append(all, expression(cn.expr, names, trees))
	}
	return join(treeOr, all), nil
}

func (c *compiler) search(l LogSource, s *Search) (*tree, *fault) {
	var groups []*tree
	for g := range s.Groups {
		var items []*tree
		for i := range s.Groups[g].Items {
			t, f := c.item(l, &s.Groups[g].Items[i])
			if f != nil {
				return nil, f
			}
			items = append(items, t)
		}
		groups = append(groups, join(treeAnd, items))
	}
	return join(treeOr, groups), nil
}

// expression puts the trees of the searches into a condition.
func expression(e *cond.Expr, names []string, trees []*tree) *tree {
	kids := make([]*tree, 0, len(e.Kids))
	for _, k := range e.Kids {
		kids = append(kids, expression(k, names, trees))
	}
	switch e.Op {
	case cond.And:
		return join(treeAnd, kids)
	case cond.Or:
		return join(treeOr, kids)
	case cond.Not:
		return negate(kids[0])
	case cond.Name:
		return trees[slices.Index(names, e.Text)]
	}
	var chosen []*tree
	for _, i := range cond.Select(e.Text, names) {
		chosen = append(chosen, trees[i])
	}
	if e.Count == cond.All {
		return join(treeAnd, chosen)
	}
	return atLeast(e.Count, chosen)
}

// slot numbers the place that a target names.
func (c *compiler) slot(target string) (int32, error) {
	name, element, err := splitElement(target)
	if err != nil {
		return absentSlot, err
	}
	field, _, ok := c.opt.Schema.Lookup(name)
	if !ok {
		return absentSlot, fmt.Errorf("the schema has no field %q", name)
	}
	intern := func(s slot) int32 {
		id, ok := c.slotIDs[s]
		if !ok {
			id = int32(len(c.set.slots))
			c.slotIDs[s] = id
			c.set.slots = append(c.set.slots, s)
		}
		return id
	}
	whole := intern(slot{field: field, element: wholeField, base: absentSlot})
	if element == wholeField {
		return whole, nil
	}
	return intern(slot{field: field, element: element, base: whole}), nil
}

// miss notes a field that the schema does not have.
func (c *compiler) miss(field string) {
	if !slices.Contains(c.missing, field) {
		c.missing = append(c.missing, field)
	}
}

func (c *compiler) kindOf(slot int32) Kind {
	if slot == absentSlot || c.set.slots[slot].element != wholeField {
		return KindText
	}
	return c.opt.Schema.fields[c.set.slots[slot].field].Kind
}

// classesOf gives the classes whose events a rule is for, a bit each.
func (s *Set) classesOf(l LogSource) (mask uint64) {
	for i, cl := range s.classes {
		if slices.ContainsFunc(cl.Sources, l.Covers) {
			mask |= 1 << i
		}
	}
	return mask
}

// Len is the number of rules, correlations included; RuleIDs are below it.
func (s *Set) Len() int { return len(s.rules) }

// Rule gives a rule.
func (s *Set) Rule(id RuleID) *Rule { return s.rules[id].rule }

// Lookup finds a rule by id or name.
func (s *Set) Lookup(ref string) (RuleID, bool) {
	id, ok := s.byRef[ref]
	return id, ok
}

// Standalone reports whether a match of the rule is a finding of its own: not
// if it only serves correlations, none of which says generate.
func (s *Set) Standalone(id RuleID) bool { return !s.rules[id].quiet }

// Missing gives the fields, as the schema would name them, that a detection
// uses and the schema does not have; only with AbsentMissing.
func (s *Set) Missing(id RuleID) []string { return s.rules[id].missing }

// Never reports whether no event can match a detection, because of what it
// misses.
func (s *Set) Never(id RuleID) bool { return int(id) < s.detections && s.never(id) }

// Classes gives the classes whose events a detection is matched against; none
// means that no event of this set can match it.
func (s *Set) Classes(id RuleID) []ClassID {
	var out []ClassID
	for i := range s.classes {
		if s.rules[id].classes&(1<<i) != 0 {
			out = append(out, ClassID(i))
		}
	}
	return out
}

// Stats describes a set's size.
type Stats struct {
	Rules          int // detections
	Correlations   int
	Predicates     int
	Automata       int
	States         int
	AutomatonBytes int // tables of all automata
	Untriggered    int // detections without a necessary literal: evaluated at every event of their classes
}

// Stats describes the set's size.
func (s *Set) Stats() Stats {
	st := Stats{Rules: s.detections, Correlations: len(s.rules) - s.detections, Predicates: len(s.predicates), Automata: len(s.indexes)}
	for _, x := range s.indexes {
		st.States += x.dfa.States()
		st.AutomatonBytes += x.dfa.Size()
	}
	st.Untriggered = len(s.untriggered())
	return st
}

// untriggered gives the detections that no automaton can find.
func (s *Set) untriggered() map[RuleID]bool {
	out := map[RuleID]bool{}
	for r := range s.detections {
		if !s.never(RuleID(r)) {
			out[RuleID(r)] = true
		}
	}
	for _, x := range s.indexes {
		for _, r := range x.rules {
			delete(out, r)
		}
	}
	return out
}
