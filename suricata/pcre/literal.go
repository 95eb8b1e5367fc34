package pcre

// requiredLiteral returns the longest run of single bytes that each match of
// the tree contains.
func requiredLiteral(n *node) literal {
	var r literalRun
	r.walk(n)
	r.end()
	return r.best
}

// literalRun collects bytes that follow one another.
type literalRun struct {
	best, now literal
}

func (r *literalRun) end() {
	if len(r.now.text) > len(r.best.text) {
		r.best = r.now
		if r.best.fold {
			for i, b := range r.best.text {
				r.best.text[i] = lower(b)
			}
		}
	}
	r.now = literal{}
}

func (r *literalRun) walk(n *node) {
	switch n.op {
	case opCat:
		for _, s := range n.subs {
			r.walk(s)
		}
	case opCapture, opAtomic:
		r.walk(n.subs[0])
	case opSet:
		b := n.set.lowest()
		switch both := ranges(b, b).folded(); {
		case n.set.len() == 1:
			r.now.text = append(r.now.text, b)
		case n.set == both:
			r.now.text = append(r.now.text, b)
			r.now.fold = true
		default:
			r.end()
		}
	case opRepeat:
		if n.min == 0 {
			r.end()
			return
		}
		for range min(n.min, 16) {
			r.walk(n.subs[0])
		}
		if n.min > 16 || n.max != n.min {
			r.end()
		}
	case opEmpty, opAssert, opLook, opBehind, opKeep:
	default:
		r.end()
	}
}
