package pcre

// frame is a way back of the backtracker, or something to undo on the way.
type frame struct {
	kind frameKind
	pc   int32 // where to go on; for undoSlot and undoMark the slot or register
	pos  int32 // position there; for undoSlot and undoMark the old value
	low  int32 // of a repeat: the position it may shrink to (greedy), or grow to (lazy)
}

type frameKind uint8

const (
	choice       frameKind = iota + 1 // go on at pc, pos
	shrink                            // a greedy repeat at pc: try one byte less
	extend                            // a lazy repeat at pc: try one byte more
	barrierFrame                      // go on at pc, pos, or fail if pc is -1
	undoSlot
	undoMark
)

// maxFrames bounds the memory of the backtracker to 16 MB.
const maxFrames = 1 << 20

// backtrack searches as PCRE does, for at most limit steps, and leaves the
// match in s.slots.
func (re *Regexp) backtrack(s *Scratch, subject []byte, start, limit int) error {
	if cap(s.marks) < re.steps.marks {
		s.marks = make([]int32, re.steps.marks)
	}
	s.marks = s.marks[:re.steps.marks]
	m := machine{s: s, code: re.steps.code, subject: subject, start: start, left: limit}
	defer func() { s.Steps += uint64(limit - m.left) }()
	for at := start; at <= len(subject); at++ {
		if re.first != nil && !re.anchored {
			from := at
			for at < len(subject) && !re.first.has(subject[at]) {
				at++
			}
			if m.left -= (at - from) >> 3; at == len(subject) {
				return nil
			}
		}
		found, err := m.run(at)
		if err != nil || found {
			return err
		}
		if re.anchored {
			return nil
		}
	}
	return nil
}

// machine is one search of the backtracker.
type machine struct {
	s       *Scratch
	code    []inst
	subject []byte
	start   int
	left    int // steps
}

// run tries to match at one position.
func (m *machine) run(at int) (bool, error) {
	s, subject := m.s, m.subject
	s.stack = s.stack[:0]
	pc, pos := int32(0), at
	for {
		if m.left--; m.left < 0 || len(s.stack) > maxFrames {
			return false, m.abandon()
		}
		i := &m.code[pc]
		ok := true
		pc++
		switch i.op {
		case iSet:
			if ok = pos < len(subject) && i.set.has(subject[pos]); ok {
				pos++
			}
		case iSplit:
			s.stack = append(s.stack, frame{choice, i.y, int32(pos), 0})
			pc = i.x
		case iJump:
			pc = i.x
		case iSave:
			m.setSlot(i.x, pos)
		case iKeep:
			m.setSlot(0, pos)
		case iAssert:
			ok = holds(assertion(i.x), subject, pos, m.start)
		case iMatch:
			return true, nil
		case iRepeat:
			pos, ok = m.repeat(pc-1, pos)
		case iBackref:
			pos, ok = m.backref(i, pos)
		case iMark:
			s.stack = append(s.stack, frame{undoMark, i.x, s.marks[i.x], 0})
			s.marks[i.x] = int32(pos)
		case iGroup:
			m.setSlot(2*i.x, int(s.marks[i.y]))
			m.setSlot(2*i.x+1, pos)
		case iMoved:
			if s.marks[i.x] == int32(pos) {
				pc = i.y
			}
		case iBarrier:
			s.stack = append(s.stack, frame{undoMark, i.x, s.marks[i.x], 0})
			s.marks[i.x] = int32(len(s.stack))
			s.stack = append(s.stack, frame{barrierFrame, i.y, int32(pos), 0})
		case iCommit:
			m.commit(s.marks[i.x])
		case iLooked:
			pos = int(s.stack[s.marks[i.x]].pos)
			m.commit(s.marks[i.x])
		case iNotLooked:
			pos = m.rewind(s.marks[i.x])
			pc, ok = i.y, i.y >= 0
		case iBack:
			pos -= int(i.x)
			ok = pos >= 0
		case iIfGroup:
			if s.slots[2*i.x+1] < 0 {
				pc = i.y
			}
		}
		if !ok {
			if pc, pos = m.fail(); pc < 0 {
				return false, nil
			}
		}
	}
}

// abandon undoes everything.
func (m *machine) abandon() error {
	for i := range m.s.slots {
		m.s.slots[i] = -1
	}
	return ErrLimit
}

func (m *machine) setSlot(slot int32, pos int) {
	m.s.stack = append(m.s.stack, frame{undoSlot, slot, m.s.slots[slot], 0})
	m.s.slots[slot] = int32(pos)
}

// fail goes back to the last way not yet tried; pc is -1 if there is none.
func (m *machine) fail() (pc int32, pos int) {
	s := m.s
	for len(s.stack) > 0 {
		top := len(s.stack) - 1
		f := &s.stack[top]
		switch f.kind {
		case choice:
			s.stack = s.stack[:top]
			return f.pc, int(f.pos)
		case barrierFrame:
			s.stack = s.stack[:top]
			if f.pc >= 0 {
				return f.pc, int(f.pos)
			}
		case undoSlot:
			s.slots[f.pc] = f.pos
			s.stack = s.stack[:top]
		case undoMark:
			s.marks[f.pc] = f.pos
			s.stack = s.stack[:top]
		case shrink:
			pc, pos = f.pc+1, int(f.pos)-1
			pos = m.land(pc, pos, int(f.low))
			if f.pos = int32(pos); pos <= int(f.low) {
				s.stack = s.stack[:top]
			}
			if pos >= int(f.low) {
				return pc, pos
			}
		case extend:
			pos = int(f.pos)
			if pos >= int(f.low) || pos >= len(m.subject) || !m.code[f.pc].set.has(m.subject[pos]) {
				s.stack = s.stack[:top]
				continue
			}
			f.pos++
			return f.pc + 1, pos + 1
		}
	}
	return -1, 0
}

// land moves back from pos, not below low, to where the byte is one that the
// instruction at pc can consume; low-1 if there is none.
func (m *machine) land(pc int32, pos, low int) int {
	i := &m.code[pc]
	if i.op != iSet {
		return pos
	}
	from := pos
	for pos >= low && (pos == len(m.subject) || !i.set.has(m.subject[pos])) {
		pos--
	}
	m.left -= (from - pos) >> 3
	return pos
}

// commit drops the ways back from the barrier up, but keeps what must be
// undone when something before it fails.
func (m *machine) commit(barrier int32) {
	kept := m.s.stack[:barrier]
	m.left -= (len(m.s.stack) - int(barrier)) >> 3
	for _, f := range m.s.stack[barrier:] {
		if f.kind == undoSlot || f.kind == undoMark {
			kept = append(kept, f)
		}
	}
	m.s.stack = kept
}

// rewind undoes everything up to the barrier, and returns the position there.
func (m *machine) rewind(barrier int32) int {
	s := m.s
	for top := len(s.stack) - 1; top > int(barrier); top-- {
		switch f := s.stack[top]; f.kind {
		case undoSlot:
			s.slots[f.pc] = f.pos
		case undoMark:
			s.marks[f.pc] = f.pos
		}
	}
	pos := int(s.stack[barrier].pos)
	s.stack = s.stack[:barrier]
	return pos
}

// repeat runs the iRepeat at pc.
func (m *machine) repeat(pc int32, pos int) (int, bool) {
	i := &m.code[pc]
	least, most := pos+int(i.x), len(m.subject)
	if least > most {
		return pos, false
	}
	if i.y != unlimited {
		most = min(most, pos+int(i.y))
	}
	from, end := pos, most
	if i.mode == lazy {
		end = least
	}
	for pos < end && i.set.has(m.subject[pos]) {
		pos++
	}
	m.left -= (pos - from) >> 3
	if pos < least {
		return pos, false
	}
	switch i.mode {
	case lazy:
		m.s.stack = append(m.s.stack, frame{extend, pc, int32(pos), int32(most)})
	case greedy:
		if pos > least {
			m.s.stack = append(m.s.stack, frame{shrink, pc, int32(pos), int32(least)})
		}
	}
	return pos, true
}

func (m *machine) backref(i *inst, pos int) (int, bool) {
	from, to := m.s.slots[2*i.x], m.s.slots[2*i.x+1]
	if from < 0 || to < from || int(to-from) > len(m.subject)-pos {
		return pos, false
	}
	text := m.subject[from:to]
	m.left -= len(text) >> 3
	for k, b := range text {
		c := m.subject[pos+k]
		if b != c && (i.y == 0 || lower(b) != lower(c)) {
			return pos, false
		}
	}
	return pos + len(text), true
}

// holds evaluates a zero-width test at pos.
func holds(a assertion, subject []byte, pos, start int) bool {
	switch a {
	case atStart:
		return pos == 0
	case atLineStart:
		return pos == 0 || subject[pos-1] == '\n' && pos < len(subject)
	case atEnd:
		return pos == len(subject)
	case atFinal:
		return pos == len(subject) || pos == len(subject)-1 && subject[pos] == '\n'
	case atLineEnd:
		return pos == len(subject) || subject[pos] == '\n'
	case atSearchStart:
		return pos == start
	}
	before := pos > 0 && isWord(subject[pos-1])
	after := pos < len(subject) && isWord(subject[pos])
	return (before != after) == (a == atBoundary)
}
