package xdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four rings a socket shares with the kernel: a power of two of entries between a producer's and a
// consumer's index, which count up and wrap. The other side's index is read with acquire and ours written with release
// semantics, once a batch; Go's atomics are both.
type ring[T any] struct {
	producer, consumer, flags *uint32
	entries                   []T
	mask                      uint32
	own                       uint32 // Our index: of the producer in fill and tx, of the consumer in rx and completion.
	seen                      uint32 // The other side's index, when last looked at.
	mem                       []byte
}

// mapRing maps a ring of n entries of a socket.
func mapRing[T any](fd int, n uint32, page int64, o unix.XDPRingOffset) (*ring[T], error) {
	var entry T
	size := int(o.Desc) + int(n)*int(unsafe.Sizeof(entry))
	mem, err := unix.Mmap(fd, page, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map ring: %w", err)
	}
	at := func(off uint64) *uint32 { return (*uint32)(unsafe.Pointer(&mem[off])) }
	return &ring[T]{
		producer: at(o.Producer), consumer: at(o.Consumer), flags: at(o.Flags), mask: n - 1, mem: mem,
		entries: unsafe.Slice((*T)(unsafe.Pointer(&mem[o.Desc])), n),
	}, nil
}

// room says how many entries a producer may write, looking for at least want.
func (r *ring[T]) room(want uint32) uint32 {
	n := uint32(len(r.entries)) - (r.own - r.seen)
	if n < want {
		r.seen = atomic.LoadUint32(r.consumer)
		n = uint32(len(r.entries)) - (r.own - r.seen)
	}
	return n
}

// put writes an entry; publish shows it.
func (r *ring[T]) put(v T) {
	r.entries[r.own&r.mask] = v
	r.own++
}

func (r *ring[T]) publish() { atomic.StoreUint32(r.producer, r.own) }

// ready says how many entries a consumer may read.
func (r *ring[T]) ready() uint32 {
	if r.seen == r.own {
		r.seen = atomic.LoadUint32(r.producer)
	}
	return r.seen - r.own
}

// get reads an entry; free gives the room back.
func (r *ring[T]) get() T {
	v := r.entries[r.own&r.mask]
	r.own++
	return v
}

func (r *ring[T]) free() { atomic.StoreUint32(r.consumer, r.own) }

// pending says how many published entries the kernel has not taken.
func (r *ring[T]) pending() uint32 { return r.own - atomic.LoadUint32(r.consumer) }

// wanted says that the kernel waits for a system call (XDP_USE_NEED_WAKEUP).
func (r *ring[T]) wanted() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }

// unmap ends the ring. As long as it is mapped the kernel keeps the socket, and so the queue.
func (r *ring[T]) unmap() error {
	if r == nil {
		return nil
	}
	return unix.Munmap(r.mem)
}
