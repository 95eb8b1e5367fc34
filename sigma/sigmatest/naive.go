package sigmatest

import (
	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/internal/naive"
)

// Naive evaluates every rule by itself, straight from its parsed form: what a
// Set must agree with, and what it is measured against. Filters and
// correlations are not applied. It is not safe for concurrent use.
type Naive struct {
	twin    naive.Evaluator
	byClass [][]naiveRule
}

type naiveRule struct {
	id   sigma.RuleID
	rule *sigma.Rule
}

// NewNaive evaluates the detections of a set compiled with the same options.
func NewNaive(set *sigma.Set, opt sigma.Options) *Naive {
	if opt.Mapping == nil {
		opt.Mapping = sigma.DefaultMapping()
	}
	n := &Naive{
		twin:    naive.Evaluator{Schema: opt.Schema, Classes: opt.Classes, Mapping: opt.Mapping, Placeholders: opt.Placeholders},
		byClass: make([][]naiveRule, len(opt.Classes)),
	}
	for id := range sigma.RuleID(set.Len()) {
		for _, c := range set.Classes(id) {
			n.byClass[c] = append(n.byClass[c], naiveRule{id, set.Rule(id)})
		}
	}
	return n
}

// Match appends the rules that an event of a class matches, in rising order.
func (n *Naive) Match(ev sigma.Event, class sigma.ClassID, out []sigma.RuleID) []sigma.RuleID {
	for _, r := range n.byClass[class] {
		if n.twin.Match(r.rule, ev, class) {
			out = append(out, r.id)
		}
	}
	return out
}
