// Package proctable remembers which processes live on a host and what they
// run, so that every event can carry its process and its ancestors. It is
// bounded in entries and in bytes, allocates nothing in steady state, and
// knows no kernel, no clock and no lock.
//
// A process is named by (pid, start), because pids are reused. A forked child
// shares its parent's image until it execs. Ended processes are kept while
// there is room, because their children and late events still name them; the
// longest ended go first. When every entry is a living process, newcomers are
// not remembered and counted as overflow: the oldest are the ancestors of
// everything else and worth more.
package proctable

// Key names one process life: start is ns since boot.
type Key struct {
	PID   uint32
	Start uint64
}

// NoUID is an unset login uid.
const NoUID = 1<<32 - 1

// Facts is what is known of a process besides its image.
type Facts struct {
	Key
	Parent       Key
	UID          uint32
	GID          uint32
	EffectiveUID uint32
	LoginUID     uint32 // NoUID when unset
	Session      uint32
	Cgroup       uint64
	Name         [16]byte // NUL ended
	Terminal     [16]byte // NUL ended
}

// Image is what exec made. Its texts are valid until the table changes.
type Image struct {
	Executable []byte
	Args       []byte // NUL ended texts, cut at maxArgs
	Directory  []byte
	ArgsLength uint32 // true length of argv
	SHA256     string // hexadecimal; empty: not hashed

	buf  []byte
	refs int32
}

// Process is one entry.
type Process struct {
	Facts
	Exited bool

	image *Image
	epoch uint64 // of its last change, unique in the table
	slot  int32
	older int32 // an earlier life of the same pid, or none
	// Neighbours in the list of ended processes, longest ended first.
	previous, next int32
}

// Image returns what the process runs; never nil.
func (p *Process) Image() *Image {
	if p.image == nil {
		return &noImage
	}
	return p.image
}

var noImage Image

const (
	none = -1

	// maxArgs is what the table keeps of an argv: enough for a process tree.
	maxArgs = 1024
	// keepBuffer is the largest buffer a free image keeps, so that one wave
	// of long command lines does not stay in memory.
	keepBuffer = 512
)

// Counters say what the bounds cost. All are monotonic.
type Counters struct {
	Overflow uint64 // processes not remembered: every entry was a living one
	Evicted  uint64 // ended processes forgotten to make room
	ArgsCut  uint64 // argv not kept for descendants: over the bytes bound
}

// Table is the process table. Make one with New.
type Table struct {
	epoch      uint64
	byPID      map[uint32]int32
	chunks     [][]Process // of chunkSize, so that entries never move
	used       int         // entries ever handed out
	free       []int32
	images     []*Image // free ones
	bytes      int
	ended      int
	first      int32 // longest ended
	last       int32
	maxEntries int
	maxBytes   int
	maxEnded   int

	Counters Counters
}

const chunkSize = 256

// New returns an empty table of at most that many entries, which keep at most
// maxBytes of text. It grows as processes come.
func New(entries, maxBytes int) *Table {
	return &Table{
		byPID: map[uint32]int32{}, first: none, last: none,
		maxEntries: entries, maxBytes: maxBytes, maxEnded: max(1, entries/4),
	}
}

// Len returns the number of entries, ended ones included.
func (t *Table) Len() int { return t.used - len(t.free) }

// Bytes returns the bytes of text kept.
func (t *Table) Bytes() int { return t.bytes }

func (t *Table) at(slot int32) *Process { return &t.chunks[slot/chunkSize][slot%chunkSize] }

// Get returns the entry of key, or nil.
func (t *Table) Get(key Key) *Process {
	slot, ok := t.byPID[key.PID]
	if !ok {
		return nil
	}
	for ; slot != none; slot = t.at(slot).older {
		if p := t.at(slot); p.Start == key.Start {
			return p
		}
	}
	return nil
}

// Latest returns the newest life of a pid, or nil.
func (t *Table) Latest(pid uint32) *Process {
	slot, ok := t.byPID[pid]
	if !ok {
		return nil
	}
	return t.at(slot)
}

// Parent returns the entry of p's parent, or nil. It is the process that
// forked p, even if p was handed to another since.
func (t *Table) Parent(p *Process) *Process {
	if p.Parent.PID == 0 || p.Parent == p.Key {
		return nil
	}
	return t.Get(p.Parent)
}

// Adopt makes parent the parent of p.
func (t *Table) Adopt(p *Process, parent Key) {
	p.Parent = parent
	t.touch(p)
}

// touch notes that p's facts or its image changed.
func (t *Table) touch(p *Process) {
	t.epoch++
	p.epoch = t.epoch
}

// Chain is a line of ancestors as it was at one moment.
type Chain struct {
	slots  [maxChain]int32
	epochs [maxChain]uint64
	n      int
}

// maxChain is the most ancestors a Chain remembers.
const maxChain = 16

// Chain returns p and those above it, at most limit and maxChain, calling
// visit with each. known is false if there is one more that the table lacks.
func (t *Table) Chain(p *Process, limit int, visit func(*Process)) (c Chain, known bool) {
	for p != nil && c.n < min(limit, maxChain) {
		c.slots[c.n], c.epochs[c.n] = p.slot, p.epoch
		c.n++
		visit(p)
		above := t.Parent(p)
		if above == nil && p.Parent.PID != 0 && p.Parent != p.Key {
			return c, false
		}
		p = above
	}
	return c, true
}

// Holds says whether nothing in a chain changed since it was taken: Chain
// would return the same. An ended process does not change.
func (t *Table) Holds(c *Chain) bool {
	for i := range c.n {
		if t.at(c.slots[i]).epoch != c.epochs[i] {
			return false
		}
	}
	return c.n > 0
}

// Fork notes that parent made child, which runs the same image with the same
// facts. It returns nil when the child is not remembered.
func (t *Table) Fork(child, parent Key) *Process {
	if p := t.Get(child); p != nil {
		return p
	}
	p := t.insert(child)
	if p == nil {
		return nil
	}
	facts := Facts{LoginUID: NoUID}
	if from := t.Get(parent); from != nil {
		facts = from.Facts
		if from.image != nil {
			from.image.refs++
			p.image = from.image
		}
	}
	facts.Key, facts.Parent = child, parent
	p.Facts = facts
	t.touch(p)
	return p
}

// Exec notes that a process runs a new image. The parent known from the fork
// is kept, because facts hold the one the process has now. It returns nil
// when the process is not remembered.
func (t *Table) Exec(facts *Facts, executable, args, directory []byte, argsLength uint32) *Process {
	p := t.Get(facts.Key)
	if p == nil {
		if p = t.insert(facts.Key); p == nil {
			return nil
		}
		p.Facts = *facts
	} else {
		parent := p.Parent
		p.Facts = *facts
		if parent.PID != 0 {
			p.Parent = parent
		}
	}
	t.release(p)
	p.image = t.newImage(executable, args, directory, argsLength)
	t.touch(p)
	return p
}

// Exit notes the end of a process.
func (t *Table) Exit(key Key) {
	p := t.Get(key)
	if p == nil || p.Exited {
		return
	}
	t.end(p)
	if t.ended > t.maxEnded {
		t.evict()
	}
}

// end appends p to the list of ended processes.
func (t *Table) end(p *Process) {
	p.Exited = true
	p.previous, p.next = t.last, none
	if t.last != none {
		t.at(t.last).next = p.slot
	} else {
		t.first = p.slot
	}
	t.last = p.slot
	t.ended++
}

// insert takes an entry for a key that has none; nil when there is no room.
func (t *Table) insert(key Key) *Process {
	slot := t.take()
	if slot == none {
		t.Counters.Overflow++
		return nil
	}
	older, ok := t.byPID[key.PID]
	if !ok {
		older = none
	} else if before := t.at(older); !before.Exited {
		// The pid lives again, so its end was missed.
		t.end(before)
	}
	p := t.at(slot)
	*p = Process{Facts: Facts{Key: key, LoginUID: NoUID}, slot: slot, older: older, previous: none, next: none}
	t.byPID[key.PID] = slot
	t.touch(p)
	return p
}

func (t *Table) take() int32 {
	if len(t.free) == 0 && t.used >= t.maxEntries && t.first != none {
		t.evict()
	}
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		return slot
	}
	if t.used >= t.maxEntries {
		return none
	}
	if t.used == len(t.chunks)*chunkSize {
		t.chunks = append(t.chunks, make([]Process, chunkSize))
	}
	t.used++
	return int32(t.used - 1)
}

// evict forgets the longest ended process.
func (t *Table) evict() {
	slot := t.first
	p := t.at(slot)
	t.first = p.next
	if t.first == none {
		t.last = none
	} else {
		t.at(t.first).previous = none
	}
	t.ended--
	t.Counters.Evicted++

	// Take it out of the lives of its pid.
	if head := t.byPID[p.PID]; head == slot {
		if p.older == none {
			delete(t.byPID, p.PID)
		} else {
			t.byPID[p.PID] = p.older
		}
	} else {
		for ; head != none; head = t.at(head).older {
			if q := t.at(head); q.older == slot {
				q.older = p.older
				break
			}
		}
	}
	t.release(p)
	t.free = append(t.free, slot)
}

func (t *Table) newImage(executable, args, directory []byte, argsLength uint32) *Image {
	if len(args) > maxArgs {
		args = args[:maxArgs]
	}
	if t.bytes+len(executable)+len(args)+len(directory) > t.maxBytes {
		args, directory = nil, nil
		t.Counters.ArgsCut++
	}
	var image *Image
	if n := len(t.images); n > 0 {
		image = t.images[n-1]
		t.images = t.images[:n-1]
	} else {
		image = &Image{}
	}
	image.buf = append(append(append(image.buf[:0], executable...), args...), directory...)
	e, a := len(executable), len(executable)+len(args)
	image.Executable, image.Args, image.Directory = image.buf[:e:e], image.buf[e:a:a], image.buf[a:]
	image.ArgsLength, image.SHA256, image.refs = argsLength, "", 1
	t.bytes += len(image.buf)
	return image
}

// release takes p's image from it.
func (t *Table) release(p *Process) {
	image := p.image
	if image == nil {
		return
	}
	p.image = nil
	if image.refs--; image.refs > 0 {
		return
	}
	t.bytes -= len(image.buf)
	if cap(image.buf) > keepBuffer {
		image.buf = nil
	}
	image.Executable, image.Args, image.Directory = nil, nil, nil
	t.images = append(t.images, image)
}
