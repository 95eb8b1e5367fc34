package sigma

import "slices"

// treeOp is the kind of a tree's node.
type treeOp uint8

const (
	treeFalse treeOp = iota
	treeTrue
	treeLeaf
	treeAnd
	treeOr
	treeNot
	treeAtLeast // n of kids
)

// tree is a rule's logic over predicates while it is compiled.
type tree struct {
	op   treeOp
	leaf int32
	n    int
	kids []*tree
}

func constant(b bool) *tree {
	if b {
		return &tree{op: treeTrue}
	}
	return &tree{op: treeFalse}
}

func negate(t *tree) *tree {
	switch t.op {
	case treeTrue, treeFalse:
		return constant(t.op == treeFalse)
	case treeNot:
		return t.kids[0]
	}
	return &tree{op: treeNot, kids: []*tree{t}}
}

// join makes an And or Or: nested ones of the same kind are merged, constants
// and repetitions removed.
func join(op treeOp, kids []*tree) *tree {
	neutral, absorbing := treeTrue, treeFalse
	if op == treeOr {
		neutral, absorbing = treeFalse, treeTrue
	}
	var out []*tree
	seen := map[int32]bool{}
	var add func(kids []*tree) bool
	add = func(kids []*tree) bool {
		for _, k := range kids {
			switch k.op {
			case absorbing:
				return false
			case neutral:
			case op:
				if !add(k.kids) {
					return false
				}
			case treeLeaf:
				if !seen[k.leaf] {
					seen[k.leaf] = true
					out = append(out, k)
				}
			default:
				out = append(out, k)
			}
		}
		return true
	}
	switch {
	case !add(kids):
		return &tree{op: absorbing}
	case len(out) == 0:
		return &tree{op: neutral}
	case len(out) == 1:
		return out[0]
	}
	return &tree{op: op, kids: out}
}

func atLeast(n int, kids []*tree) *tree {
	switch {
	case n == 1:
		return join(treeOr, kids)
	case n == len(kids):
		return join(treeAnd, kids)
	}
	return &tree{op: treeAtLeast, n: n, kids: kids}
}

// node is a tree's node in a Set. A reference to a kid is a node's number, or
// the complement of a predicate's.
type node struct {
	op    treeOp
	n     int32
	first int32 // into Set.kids
	count int32
}

// flatten stores a tree in the set, cheap tests first, and gives its reference
// and cost.
func (s *Set) flatten(t *tree) (ref int32, cost int) {
	if t.op == treeLeaf {
		return ^t.leaf, s.predicates[t.leaf].cost()
	}
	type kid struct {
		ref  int32
		cost int
	}
	kids := make([]kid, len(t.kids))
	for i, k := range t.kids {
		kids[i].ref, kids[i].cost = s.flatten(k)
		cost += kids[i].cost
	}
	slices.SortStableFunc(kids, func(a, b kid) int { return a.cost - b.cost })
	n := node{op: t.op, n: int32(t.n), first: int32(len(s.kids)), count: int32(len(kids))}
	for _, k := range kids {
		s.kids = append(s.kids, k.ref)
	}
	s.nodes = append(s.nodes, n)
	return int32(len(s.nodes) - 1), cost
}
