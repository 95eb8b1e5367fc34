package slab

import "math/bits"

const (
	// pageSize is what an arena takes from the heap at a time.
	pageSize = 256 << 10
	// The classes are powers of two: 128 bytes to 128 KiB in pages, above
	// that whole pages of their own.
	minShift, maxShift = 7, 17
	classes            = maxShift - minShift + 1
	// maxBlock is the largest block an arena gives.
	maxBlock = 64 << 20
)

// Block names bytes in an arena. The zero value names none.
type Block uint32

// Arena gives blocks of bytes of any size out of a budget. A block is at most
// twice as large as what was asked for, except that the smallest has 128 bytes.
// What is freed serves blocks of all sizes again, page by page.
type Arena struct {
	budget int
	held   int // Bytes taken from the heap.
	used   int // Bytes of blocks in use.
	pages  []page
	spare  []uint32 // Numbers of empty pages that still hold their memory.
	gone   []uint32 // Numbers of pages without memory.
	open   [classes]uint32
}

// page is one piece of memory: many blocks of a class, or one large block.
type page struct {
	bytes      []byte
	class      uint8 // classes for a large block
	used       uint16
	fresh      uint16 // Slots from here on were never used.
	free       uint16 // One more than the first free slot; each holds the next.
	next, prev uint32 // Pages of the class with room.
}

// NewArena returns an arena that never holds more than budget bytes.
func NewArena(budget int) *Arena {
	return &Arena{budget: budget, pages: make([]page, 1)} // Page 0 is nobody's.
}

// Budget is the most bytes the arena may hold.
func (a *Arena) Budget() int { return a.budget }

// Held is how many bytes the arena has taken from the heap.
func (a *Arena) Held() int { return a.held }

// Used is how many bytes the blocks in use have.
func (a *Arena) Used() int { return a.used }

// Alloc returns a block of at least n bytes, or 0 if the budget does not allow
// one. Its bytes are whatever they were.
func (a *Arena) Alloc(n int) Block {
	class := max(0, bits.Len(uint(max(n, 1)-1))-minShift)
	if class >= classes {
		return a.large(n)
	}
	number := a.open[class]
	if number == 0 {
		if number = a.page(pageSize); number == 0 {
			return 0
		}
		a.pages[number].class = uint8(class)
		a.link(number)
	}
	p := &a.pages[number]
	size := 1 << (class + minShift)
	slot := p.free
	if slot > 0 {
		slot--
		p.free = uint16(p.bytes[int(slot)*size]) | uint16(p.bytes[int(slot)*size+1])<<8
	} else {
		slot = p.fresh
		p.fresh++
	}
	p.used++
	if p.free == 0 && int(p.fresh) == pageSize/size {
		a.unlink(number)
	}
	a.used += size
	return Block(number<<11 | uint32(slot))
}

// Bytes are those of a block, all it has.
func (a *Arena) Bytes(b Block) []byte {
	p := &a.pages[b>>11]
	if p.class == classes {
		return p.bytes
	}
	size := 1 << (p.class + minShift)
	at := int(b&(1<<11-1)) * size
	return p.bytes[at : at+size : at+size]
}

// Free gives a block back. Freeing 0 does nothing.
func (a *Arena) Free(b Block) {
	if b == 0 {
		return
	}
	number := uint32(b >> 11)
	p := &a.pages[number]
	if p.class == classes {
		a.used -= len(p.bytes)
		a.held -= len(p.bytes)
		*p = page{}
		a.gone = append(a.gone, number)
		return
	}
	size := 1 << (p.class + minShift)
	full := p.free == 0 && int(p.fresh) == pageSize/size
	slot := uint16(b & (1<<11 - 1))
	p.bytes[int(slot)*size], p.bytes[int(slot)*size+1] = byte(p.free), byte(p.free>>8)
	p.free = slot + 1
	p.used--
	a.used -= size
	if full {
		a.link(number)
	}
	if p.used == 0 {
		a.unlink(number)
		*p = page{bytes: p.bytes}
		a.spare = append(a.spare, number)
	}
}

// large returns a block of whole pages.
func (a *Arena) large(n int) Block {
	if n > maxBlock {
		return 0
	}
	size := (n + pageSize - 1) &^ (pageSize - 1)
	number := a.page(size)
	if number == 0 {
		return 0
	}
	a.pages[number].class = classes
	a.used += size
	return Block(number << 11)
}

// page returns the number of a page of that size, or 0.
func (a *Arena) page(size int) uint32 {
	if n := len(a.spare); size == pageSize && n > 0 {
		number := a.spare[n-1]
		a.spare = a.spare[:n-1]
		return number
	}
	for a.held+size > a.budget && len(a.spare) > 0 {
		n := len(a.spare) - 1
		number := a.spare[n]
		a.spare = a.spare[:n]
		a.pages[number] = page{}
		a.gone = append(a.gone, number)
		a.held -= pageSize
	}
	if a.held+size > a.budget {
		return 0
	}
	var number uint32
	if n := len(a.gone); n > 0 {
		number = a.gone[n-1]
		a.gone = a.gone[:n-1]
	} else {
		if len(a.pages) == 1<<21 {
			return 0 // No numbers left, at 512 GiB.
		}
		number = uint32(len(a.pages))
		a.pages = append(a.pages, page{})
	}
	a.pages[number] = page{bytes: make([]byte, size)}
	a.held += size
	return number
}

// link puts a page first among those of its class with room.
func (a *Arena) link(number uint32) {
	p := &a.pages[number]
	first := &a.open[p.class]
	p.next, p.prev = *first, 0
	if *first != 0 {
		a.pages[*first].prev = number
	}
	*first = number
}

func (a *Arena) unlink(number uint32) {
	p := &a.pages[number]
	if p.prev != 0 {
		a.pages[p.prev].next = p.next
	} else {
		a.open[p.class] = p.next
	}
	if p.next != 0 {
		a.pages[p.next].prev = p.prev
	}
	p.next, p.prev = 0, 0
}
