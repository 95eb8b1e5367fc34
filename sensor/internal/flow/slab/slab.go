// Package slab keeps the state of a pipeline in memory the garbage collector
// does not look into: records without pointers in a [Slab], bytes in an
// [Arena]. A record is named by a [Handle], which knows its generation, so that
// one kept too long is an error and not another's record.
//
// Neither is safe for concurrent use: a pipeline shares nothing.
package slab

// Handle names a record. The zero value names none.
type Handle uint64

// Index is the record's place: small numbers, used again after a release.
// Tables beside a slab may use it.
func (h Handle) Index() uint32 { return uint32(h) }

// chunkShift makes chunks of 1,024 records: a table of few flows is small, the
// list of chunks of a large one is short.
const chunkShift = 10

type cell[T any] struct {
	// generation is odd while the record is in use.
	generation uint32
	value      T
}

// Slab is a growing set of records of T, which must hold no pointers. Records
// never move. The zero value is ready.
type Slab[T any] struct {
	chunks []*[1 << chunkShift]cell[T]
	free   []uint32
	next   uint32 // The first index never used; index 0 is nobody's.
}

// New returns a record with the zero value of T.
func (s *Slab[T]) New() (Handle, *T) {
	var i uint32
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		if s.next == 0 {
			s.next = 1
		}
		i = s.next
		s.next++
		if int(i>>chunkShift) == len(s.chunks) {
			s.chunks = append(s.chunks, new([1 << chunkShift]cell[T]))
		}
	}
	c := s.cell(i)
	c.generation++
	var zero T
	c.value = zero
	return Handle(c.generation)<<32 | Handle(i), &c.value
}

// Get returns the record of a handle, or nil if it was released.
func (s *Slab[T]) Get(h Handle) *T {
	i := uint32(h)
	if int(i>>chunkShift) >= len(s.chunks) {
		return nil
	}
	if c := s.cell(i); c.generation == uint32(h>>32) && c.generation&1 == 1 {
		return &c.value
	}
	return nil
}

// At returns the record at an index, in use or not.
func (s *Slab[T]) At(i uint32) *T { return &s.cell(i).value }

// Handle returns the handle of the record at an index, 0 if it is not in use.
func (s *Slab[T]) Handle(i uint32) Handle {
	if g := s.cell(i).generation; g&1 == 1 {
		return Handle(g)<<32 | Handle(i)
	}
	return 0
}

// Release ends a record; its handles name nothing from now on. It says whether
// the handle named one.
func (s *Slab[T]) Release(h Handle) bool {
	if s.Get(h) == nil {
		return false
	}
	s.cell(h.Index()).generation++
	s.free = append(s.free, h.Index())
	return true
}

// Len is how many records are in use.
func (s *Slab[T]) Len() int {
	if s.next == 0 {
		return 0
	}
	return int(s.next) - 1 - len(s.free)
}

// End is one more than the largest index ever in use.
func (s *Slab[T]) End() uint32 { return s.next }

func (s *Slab[T]) cell(i uint32) *cell[T] {
	return &s.chunks[i>>chunkShift][i&(1<<chunkShift-1)]
}
