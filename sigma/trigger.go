package sigma

import (
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sigma/internal/automaton"
)

// maxLiteral is how much of a literal the automata hold, in bytes: longer ones
// make tables larger and hits hardly rarer.
const maxLiteral = 8

// trigger is a literal in a slot. An event can match a rule only if at least
// one of the rule's triggers occurs.
type trigger struct {
	slot    int32
	leaf    int32 // the predicate that needs the literal
	literal automaton.Literal
}

// triggersOf gives the cheapest set of triggers of a tree, nil if it has none.
func (c *compiler) triggersOf(t *tree) []trigger {
	switch t.op {
	case treeLeaf:
		return c.leafTriggers(t.leaf)
	case treeAnd:
		var best []trigger
		bestCost := 0.0
		for _, k := range t.kids {
			if ts := c.triggersOf(k); ts != nil {
				if cost := setCost(ts); best == nil || cost < bestCost {
					best, bestCost = ts, cost
				}
			}
		}
		return best
	case treeOr, treeAtLeast:
		var all []trigger
		for _, k := range t.kids {
			ts := c.triggersOf(k)
			if ts == nil {
				return nil
			}
			all = append(all, ts...)
		}
		return all
	}
	return nil
}

func (c *compiler) leafTriggers(id int32) []trigger {
	p := &c.set.predicates[id]
	one := func(text []byte, start, end bool) []trigger {
		l := automaton.Shorten(automaton.Literal{Text: text, Start: start, End: end}, maxLiteral, rarity)
		return []trigger{{p.slot, id, l}}
	}
	switch p.op {
	case opEquals:
		return one(p.lit, true, true)
	case opPrefix:
		return one(p.lit, true, false)
	case opSuffix:
		return one(p.lit, false, true)
	case opContains:
		return one(p.lit, false, false)
	case opGlob:
		var best []trigger
		for _, n := range p.glob.Literals() {
			if ts := one(n.Text, n.Start, n.End); best == nil || setCost(ts) < setCost(best) {
				best = ts
			}
		}
		return best
	case opRegexp:
		var out []trigger
		for _, text := range automaton.FromRegexp(c.sources[id], rarity) {
			out = append(out, one(text, false, false)...)
		}
		return out
	}
	return nil
}

// setCost is the expected number of hits per event, plus a little for the room
// each literal takes.
func setCost(ts []trigger) float64 {
	sum := 0.0
	for _, t := range ts {
		cost := rarity(t.literal.Text)
		if t.literal.Start || t.literal.End {
			cost /= 8 // bound to one place
		}
		sum += cost + 0.0002
	}
	return sum
}

// frequent holds texts that are common in command lines, paths and URLs: a
// literal within one of them is a poor trigger however long it is.
var frequent = strings.ToLower(strings.Join([]string{
	"/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/local/bin/", "/bin/bash", "/bin/sh", "/bin/dash", "/dev/null", "/etc/",
	"/var/lib/", "/var/log/", "/var/run/", "/home/", "/root/", "/tmp/", "/opt/", "/proc/self/", "python3", "perl", "https://", "http://", "www.", ".com/",
	"--no-", " -c ", " -e ", " -r", "sudo ", ".conf", ".sh", ".py", ".so", ".service", "systemctl ", "curl ", "wget ", "grep ", "cat ", "root", "mozilla/5.0 (", "get", "post",
}, "\n"))

// rarity estimates how often a text occurs in a value of about 64 bytes.
func rarity(text []byte) float64 {
	if strings.Contains(frequent, strings.ToLower(string(text))) {
		return 0.5
	}
	p := 64.0
	for _, c := range text {
		p *= byteRarity[c]
	}
	return min(p, 1)
}

// byteRarity is the share of each byte in command lines, roughly.
var byteRarity = func() (t [256]float64) {
	for i := range t {
		t[i] = 0.002
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = 0.02, 0.02
	}
	for _, c := range []byte("etaoinsrlcETAOINSRLC") {
		t[c] = 0.06
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = 0.02
	}
	t['/'], t[' '], t['-'], t['.'] = 0.08, 0.08, 0.05, 0.03
	return t
}()

// index is the automaton of one slot and what its hits mean.
type index struct {
	slot int32
	dfa  *automaton.DFA
	// rules[at[l]:at[l+1]] are the rules that literal l makes candidates.
	at    []int32
	rules []RuleID
	// leaves[leafAt[l]:leafAt[l+1]] are the predicates that it makes possible.
	leafAt []int32
	leaves []int32
}

// buildIndexes compiles the triggers of all rules into one automaton per slot.
func (s *Set) buildIndexes(triggers [][]trigger) {
	type slotLiterals struct {
		ids      map[string]int
		literals []automaton.Literal
		rules    [][]RuleID
		leaves   [][]int32
	}
	bySlot := map[int32]*slotLiterals{}
	for rule, ts := range triggers {
		for _, t := range ts {
			sl := bySlot[t.slot]
			if sl == nil {
				sl = &slotLiterals{ids: map[string]int{}}
				bySlot[t.slot] = sl
			}
			key := literalKey(t.literal)
			id, ok := sl.ids[key]
			if !ok {
				id = len(sl.literals)
				sl.ids[key] = id
				sl.literals = append(sl.literals, t.literal)
				sl.rules = append(sl.rules, nil)
				sl.leaves = append(sl.leaves, nil)
			}
			if !slices.Contains(sl.leaves[id], t.leaf) {
				sl.leaves[id] = append(sl.leaves[id], t.leaf)
			}
			if !slices.Contains(sl.rules[id], RuleID(rule)) {
				sl.rules[id] = append(sl.rules[id], RuleID(rule))
			}
		}
	}
	var slots []int32
	for slot := range bySlot {
		slots = append(slots, slot)
	}
	slices.Sort(slots)
	for _, slot := range slots {
		sl := bySlot[slot]
		x := index{slot: slot, dfa: automaton.New(sl.literals)}
		for l, rules := range sl.rules {
			x.at = append(x.at, int32(len(x.rules)))
			x.rules = append(x.rules, rules...)
			x.leafAt = append(x.leafAt, int32(len(x.leaves)))
			x.leaves = append(x.leaves, sl.leaves[l]...)
		}
		x.at = append(x.at, int32(len(x.rules)))
		x.leafAt = append(x.leafAt, int32(len(x.leaves)))
		for _, leaf := range x.leaves {
			s.predicates[leaf].index = int32(len(s.indexes))
		}
		s.indexes = append(s.indexes, x)
	}
}

func literalKey(l automaton.Literal) string {
	b := []byte{'-', '-'}
	if l.Start {
		b[0] = '^'
	}
	if l.End {
		b[1] = '$'
	}
	return string(append(b, l.Text...))
}

// never reports whether no event at all can match a detection.
func (s *Set) never(r RuleID) bool {
	root := s.rules[r].root
	return root >= 0 && s.nodes[root].op == treeFalse
}

// planClasses says for each class which automata to run and which rules, for
// want of a trigger, to evaluate at every event.
func (s *Set) planClasses(triggers [][]trigger) {
	s.plans = make([]plan, len(s.classes))
	for class := range s.plans {
		p := &s.plans[class]
		bit := uint64(1) << class
		for i, x := range s.indexes {
			if slices.ContainsFunc(x.rules, func(r RuleID) bool { return s.rules[r].classes&bit != 0 }) {
				p.indexes = append(p.indexes, int32(i))
			}
		}
		for r := range triggers {
			if triggers[r] == nil && s.rules[r].classes&bit != 0 && !s.never(RuleID(r)) {
				p.always = append(p.always, RuleID(r))
			}
		}
	}
}
