package pcre

// opcode says what an instruction does.
type opcode uint8

const (
	iSet       opcode = iota + 1 // consume a byte of set
	iSplit                       // go on at x, or else at y
	iJump                        // go on at x
	iSave                        // slot x becomes the position
	iAssert                      // test assertion x
	iMatch                       // done
	iRepeat                      // consume x to y bytes of set (backtracker only, as all below)
	iBackref                     // consume the text of group x; y is 1 to ignore case
	iMark                        // register x becomes the position
	iGroup                       // group x is from register y to the position
	iMoved                       // go on at y if the position is that of register x
	iBarrier                     // note in register x how to come back here, else go on at y (-1: fail)
	iCommit                      // forget the ways back since the barrier of register x
	iLooked                      // as iCommit, and return to the barrier's position
	iNotLooked                   // undo all since the barrier of register x; go on at y (-1: fail)
	iBack                        // step back x bytes
	iIfGroup                     // go on, or at y if group x is not set
	iKeep                        // the match begins here
)

type inst struct {
	op   opcode
	mode greed // of iRepeat
	x, y int32
	set  *set
}

// program is a compiled tree. It starts at instruction 0.
type program struct {
	code  []inst
	marks int // registers
}

// maxProgram bounds the instructions of the backtracker's program: nested
// counts multiply. It is what PCRE2's link size of 2 allows, about.
const maxProgram = 1 << 16

// Bounds of the automaton's program, where large counts are written out: its
// states are sets of instructions, and a thread list copies all slots for each.
const (
	maxLinear      = 1 << 11 // instructions
	maxLinearSlots = 1 << 15 // instructions times slots
)

type compiler struct {
	program
	limit  int
	linear bool // write counts out, for the automaton and the thread list
	full   bool // the limit was passed
}

func compile(tree *node, groups int, linear bool) (*program, error) {
	c := &compiler{limit: maxProgram, linear: linear}
	if linear {
		c.limit = min(maxLinear, maxLinearSlots/(2*groups+2))
	}
	c.emit(inst{op: iSave, x: 0})
	c.node(tree)
	c.emit(inst{op: iSave, x: 1})
	c.emit(inst{op: iMatch})
	if c.full {
		return nil, &Error{0, "expression is too large"}
	}
	return &c.program, nil
}

// emit appends an instruction and returns where it is.
func (c *compiler) emit(i inst) int32 {
	if len(c.code) >= c.limit {
		c.full = true
		c.code = c.code[:0]
	}
	c.code = append(c.code, i)
	return int32(len(c.code) - 1)
}

func (c *compiler) here() int32 { return int32(len(c.code)) }

func (c *compiler) register() int32 {
	c.marks++
	return int32(c.marks - 1)
}

// at returns the instruction at pc, or one to throw away when the limit was
// passed.
func (c *compiler) at(pc int32) *inst {
	if c.full {
		return &inst{}
	}
	return &c.code[pc]
}

func (c *compiler) node(n *node) {
	if c.full {
		return
	}
	switch n.op {
	case opSet:
		c.emit(inst{op: iSet, set: &n.set})
	case opCat:
		for _, s := range n.subs {
			c.node(s)
		}
	case opAlt:
		c.alternatives(n.subs, false)
	case opRepeat:
		c.repeat(n)
	case opCapture:
		c.capture(n)
	case opAtomic:
		c.atomic(func() { c.node(n.subs[0]) })
	case opLook, opBehind:
		c.look(n)
	case opAssert:
		c.emit(inst{op: iAssert, x: int32(n.assert)})
	case opBackref:
		i := inst{op: iBackref, x: int32(n.n)}
		if n.fold {
			i.y = 1
		}
		c.emit(i)
	case opCond:
		c.conditional(n)
	case opKeep:
		c.emit(inst{op: iKeep})
	}
}

// alternatives tries each in turn. In a look-behind each first steps back by
// its width.
func (c *compiler) alternatives(alts []*node, behind bool) {
	var ends []int32
	for i, a := range alts {
		last := i == len(alts)-1
		var split int32
		if !last {
			split = c.emit(inst{op: iSplit, x: c.here() + 1})
		}
		if width, _ := a.width(); behind {
			c.emit(inst{op: iBack, x: int32(width)})
		}
		c.node(a)
		if !last {
			ends = append(ends, c.emit(inst{op: iJump}))
			c.at(split).y = c.here()
		}
	}
	for _, e := range ends {
		c.at(e).x = c.here()
	}
}

// capture sets both slots of a group at its end for the backtracker: until
// then a back-reference means what the group matched before.
func (c *compiler) capture(n *node) {
	if c.linear {
		c.emit(inst{op: iSave, x: int32(2 * n.n)})
		c.node(n.subs[0])
		c.emit(inst{op: iSave, x: int32(2*n.n + 1)})
		return
	}
	r := c.register()
	c.emit(inst{op: iMark, x: r})
	c.node(n.subs[0])
	c.emit(inst{op: iGroup, x: int32(n.n), y: r})
}

func (c *compiler) atomic(body func()) {
	r := c.register()
	c.emit(inst{op: iBarrier, x: r, y: -1})
	body()
	c.emit(inst{op: iCommit, x: r})
}

// look emits a look-around that fails when it does not hold, and returns the
// instruction whose y says where to go instead.
func (c *compiler) look(n *node) (otherwise int32) {
	r := c.register()
	barrier := c.emit(inst{op: iBarrier, x: r, y: -1})
	switch sub := n.subs[0]; {
	case n.op == opLook:
		c.node(sub)
	case sub.op == opAlt:
		c.alternatives(sub.subs, true)
	default:
		c.alternatives(n.subs, true)
	}
	if !n.negative {
		c.emit(inst{op: iLooked, x: r})
		return barrier
	}
	end := c.emit(inst{op: iNotLooked, x: r, y: -1})
	c.at(barrier).y = c.here()
	return end
}

func (c *compiler) conditional(n *node) {
	var test int32
	if n.cond != nil {
		test = c.look(n.cond)
	} else {
		test = c.emit(inst{op: iIfGroup, x: int32(n.n)})
	}
	c.node(n.subs[0])
	end := c.emit(inst{op: iJump})
	c.at(test).y = c.here()
	c.node(n.subs[1])
	c.at(end).x = c.here()
}

func (c *compiler) repeat(n *node) {
	if !c.linear && n.subs[0].op == opSet {
		c.emit(inst{op: iRepeat, mode: n.greed, x: int32(n.min), y: int32(n.max), set: &n.subs[0].set})
		return
	}
	if n.greed == possessive {
		c.atomic(func() { c.loop(n, greedy) })
		return
	}
	c.loop(n, n.greed)
}

// loop writes the counts out: min copies, then optional ones or a loop.
func (c *compiler) loop(n *node, mode greed) {
	body, copies := n.subs[0], n.min
	if n.max == unlimited && copies > 0 {
		copies-- // the loop makes the last one
	}
	for range copies {
		c.node(body)
		if c.full {
			return
		}
	}
	if n.max == unlimited {
		c.endless(body, n.min == 0, mode)
		return
	}
	var splits []int32
	for range n.max - n.min {
		splits = append(splits, c.emit(inst{op: iSplit}))
		c.node(body)
		if c.full {
			return
		}
	}
	for _, s := range splits {
		c.choose(s, s+1, c.here(), mode)
	}
}

// endless is a loop without end, from no round on or from one. A body that
// may be empty leaves the loop when it was, as PCRE does.
func (c *compiler) endless(body *node, none bool, mode greed) {
	var enter int32
	if none {
		enter = c.emit(inst{op: iSplit})
	}
	top := c.here()
	if body.nullable() {
		r := c.register()
		c.emit(inst{op: iMark, x: r})
		c.node(body)
		moved := c.emit(inst{op: iMoved, x: r})
		c.at(moved).y = moved + 2
	} else {
		c.node(body)
	}
	again := c.emit(inst{op: iSplit})
	c.choose(again, top, c.here(), mode)
	if none {
		c.choose(enter, top, c.here(), mode)
	}
}

// choose makes a split prefer its body or what comes after.
func (c *compiler) choose(split, body, after int32, mode greed) {
	i := c.at(split)
	if i.x, i.y = body, after; mode == lazy {
		i.x, i.y = after, body
	}
}
