package ebpf

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer where it lies (Documentation/bpf/ringbuf.rst):
// a page with the consumer's position, a page with the producer's, and the
// data, mapped twice so that no record is ever split. A record has 8 bytes of
// header: length with two flag bits, and a page offset.
type ring struct {
	consumer []byte
	producer []byte // the producer's page and the data
	data     []byte
	mask     uint64
	position uint64
}

const (
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	ringHeader  = 8
)

func openRing(fd, size int) (*ring, error) {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring's consumer page: %w", err)
	}
	producer, err := unix.Mmap(fd, int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		unix.Munmap(consumer)
		return nil, fmt.Errorf("map ring: %w", err)
	}
	r := &ring{consumer: consumer, producer: producer, data: producer[page:], mask: uint64(size - 1)}
	r.position = atomic.LoadUint64(r.consumerWord())
	return r, nil
}

func (r *ring) close() {
	unix.Munmap(r.consumer)
	unix.Munmap(r.producer)
}

func (r *ring) consumerWord() *uint64 { return (*uint64)(unsafe.Pointer(&r.consumer[0])) }

// end returns the position after the last record begun.
func (r *ring) end() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.producer[0])))
}

// next returns the next record before end, nil when there is none or the next
// is still being written. It is valid until release.
func (r *ring) next(end uint64) []byte {
	for r.position < end {
		at := r.position & r.mask
		header := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if header&ringBusy != 0 {
			return nil
		}
		n := uint64(header &^ (ringBusy | ringDiscard))
		r.position += (n + ringHeader + 7) &^ 7
		if header&ringDiscard != 0 {
			continue
		}
		return r.data[at+ringHeader : at+ringHeader+n]
	}
	return nil
}

// release gives the room of everything read back to the producers.
func (r *ring) release() { atomic.StoreUint64(r.consumerWord(), r.position) }
