package engine

// slabShift makes chunks of 256 elements: small enough that a stack with few connections is small, large enough that
// the list of chunks is short.
const slabShift = 8

// slab holds elements by number, in chunks that never move. With an element type without pointers the garbage
// collector never looks inside. Number 0 is nobody's.
type slab[T any] struct {
	chunks []*[1 << slabShift]T
	free   []uint32
	next   uint32
}

func (s *slab[T]) init() { s.next = 1 }

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i>>slabShift][i&(1<<slabShift-1)] }

// alloc gives a number whose element holds whatever it last held.
func (s *slab[T]) alloc() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	i := s.next
	s.next++
	if int(i>>slabShift) == len(s.chunks) {
		s.chunks = append(s.chunks, new([1 << slabShift]T))
	}
	return i
}

func (s *slab[T]) release(i uint32) { s.free = append(s.free, i) }

// inUse counts elements.
func (s *slab[T]) inUse() int { return int(s.next) - 1 - len(s.free) }

// block is a piece of a chain of bytes.
type block struct {
	next       uint32
	start, end uint16
	data       [blockSize]byte
}

// blockSize makes a block 2 KiB with its header, so that a segment of an Ethernet frame fits in one.
const blockSize = 2040

// chain is a queue of bytes in blocks.
type chain struct {
	head, tail uint32
	size       uint32
}

// room says whether the stack's buffers may grow by another block.
func (s *Stack) room() bool { return s.bufBlocks*(blockSize+8) < s.cfg.MaxMemory }

// pressed says that three quarters of the memory are used: from there on a connection gets no more than fairShare, so that
// those who make us hold much for them do not starve those who need little.
func (s *Stack) pressed() bool { return s.bufBlocks*(blockSize+8) >= s.cfg.MaxMemory/4*3 }

// fairShare is what each direction of a connection may hold when memory is short: two blocks.
const fairShare = 2 * blockSize

// push appends p, or as much of it as memory allows, and says how much.
func (s *Stack) push(c *chain, p []byte) int {
	total := 0
	for len(p) > 0 {
		if c.tail != 0 {
			b := s.blocks.at(c.tail)
			n := copy(b.data[b.end:], p)
			b.end += uint16(n)
			p = p[n:]
			total += n
			if len(p) == 0 {
				break
			}
		}
		if !s.room() {
			break
		}
		i := s.blocks.alloc()
		s.bufBlocks++
		b := s.blocks.at(i)
		b.next, b.start, b.end = 0, 0, 0
		if c.tail == 0 {
			c.head = i
		} else {
			s.blocks.at(c.tail).next = i
		}
		c.tail = i
	}
	c.size += uint32(total)
	return total
}

// drop removes n bytes from the front.
func (s *Stack) drop(c *chain, n uint32) {
	c.size -= n
	for n > 0 {
		b := s.blocks.at(c.head)
		have := uint32(b.end - b.start)
		if n < have {
			b.start += uint16(n)
			return
		}
		n -= have
		next := b.next
		s.freeBlock(c.head)
		if c.head = next; next == 0 {
			c.tail = 0
		}
	}
}

func (s *Stack) freeBlock(i uint32) {
	s.blocks.release(i)
	s.bufBlocks--
}

// clear frees all.
func (s *Stack) clear(c *chain) {
	for i := c.head; i != 0; {
		next := s.blocks.at(i).next
		s.freeBlock(i)
		i = next
	}
	*c = chain{}
}

// peek copies from the offset into p, which the chain must be able to fill, starting at a block of the chain whose first
// byte has offset 0. It returns the block the copy ended in and the offset of that block's first byte.
func (s *Stack) peek(from uint32, offset uint32, p []byte) (at uint32, first int64) {
	var pos uint32
	for i := from; i != 0; {
		b := s.blocks.at(i)
		have := uint32(b.end - b.start)
		if offset < pos+have {
			n := copy(p, b.data[uint32(b.start)+offset-pos:b.end])
			p = p[n:]
			offset += uint32(n)
			at, first = i, int64(pos)
			if len(p) == 0 {
				return at, first
			}
		}
		pos += have
		i = b.next
	}
	return at, first
}

// pop moves up to len(p) bytes from the front into p.
func (s *Stack) pop(c *chain, p []byte) int {
	n := min(len(p), int(c.size))
	if n > 0 {
		s.peek(c.head, 0, p[:n])
		s.drop(c, uint32(n))
	}
	return n
}
