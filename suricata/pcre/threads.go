package pcre

// threadList is the threads at one position of the subject, most preferred
// first, with their slots.
type threadList struct {
	pcs   []int32
	slots []int32 // per thread
}

// pathStep is a pending piece of following what consumes nothing.
type pathStep struct {
	pc   int32 // instruction to follow; -1: restore
	slot int32
	old  int32
}

// runThreads finds the match that the backtracker would, in time linear in
// the subject: all ways are followed at once, each instruction by the most
// preferred one only (Pike's method). re.linear must not be nil.
func (re *Regexp) runThreads(s *Scratch, subject []byte, start int) {
	n := len(s.slots)
	current, next := &s.threads[0], &s.threads[1]
	current.pcs, current.slots = current.pcs[:0], current.slots[:0]
	code := re.linear.code
	s.work.slots = grow(s.work.slots, n)
	work := s.work.slots
	found := false
	for pos := start; ; pos++ {
		s.work.begin(len(code))
		next.pcs, next.slots = next.pcs[:0], next.slots[:0]
		for t, pc := range current.pcs {
			copy(work, current.slots[t*n:])
			re.follow(s, next, work, pc, subject, pos)
		}
		if !found && (pos == start || !re.anchored) {
			for i := range work {
				work[i] = -1
			}
			re.follow(s, next, work, 0, subject, pos)
		}
		current.pcs, current.slots = current.pcs[:0], current.slots[:0]
		for t, pc := range next.pcs {
			if code[pc].op == iMatch {
				copy(s.slots, next.slots[t*n:(t+1)*n])
				found = true
				break // what comes is less preferred
			}
			if pos < len(subject) && code[pc].set.has(subject[pos]) {
				current.pcs = append(current.pcs, pc+1)
				current.slots = append(current.slots, next.slots[t*n:(t+1)*n]...)
			}
		}
		if pos >= len(subject) || len(current.pcs) == 0 && (found || re.anchored) {
			return
		}
	}
}

// follow adds to list the consuming and matching instructions that pc leads
// to, in order of preference.
func (re *Regexp) follow(s *Scratch, list *threadList, slots []int32, pc int32, subject []byte, pos int) {
	code := re.linear.code
	path := append(s.path[:0], pathStep{pc: pc})
	for len(path) > 0 {
		step := path[len(path)-1]
		path = path[:len(path)-1]
		if step.pc < 0 {
			slots[step.slot] = step.old
			continue
		}
		for pc := step.pc; s.work.seen[pc] != s.work.gen; {
			s.work.seen[pc] = s.work.gen
			i := &code[pc]
			switch i.op {
			case iSplit:
				path = append(path, pathStep{pc: i.y})
				pc = i.x
				continue
			case iJump:
				pc = i.x
				continue
			case iSave:
				path = append(path, pathStep{pc: -1, slot: i.x, old: slots[i.x]})
				slots[i.x] = int32(pos)
				pc++
				continue
			case iAssert:
				if holds(assertion(i.x), subject, pos, 0) {
					pc++
					continue
				}
			default:
				list.pcs = append(list.pcs, pc)
				list.slots = append(list.slots, slots...)
			}
			break
		}
	}
	s.path = path
}
