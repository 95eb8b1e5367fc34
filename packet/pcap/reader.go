package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/hauberk/hauberk/packet"
)

// maxInterfaces of one section: a hostile capture declares them 20 bytes each.
const maxInterfaces = 1 << 16

// Reader reads a capture. It is not safe for concurrent use.
type Reader struct {
	source     source
	order      binary.ByteOrder
	interfaces []Interface
	// next reads one record that begins at the source's place. It returns false
	// with no error when the buffer does not hold it whole; then need says how
	// much it takes to see further.
	next   func(*Packet) (bool, error)
	need   int
	record int // pcap: size of a record's header
	err    error
	close  func()
	one    [1]Packet // for Next
}

// NewReader begins to read a capture, compressed or not. It reads the file
// header, and fails if there is none.
func NewReader(r io.Reader) (*Reader, error) {
	plain, release, err := decompressed(r)
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	reader := &Reader{source: source{r: plain, buf: make([]byte, bufferSize)}, close: release}
	if err := reader.open(); err != nil {
		release()
		return nil, err
	}
	return reader, nil
}

// Close frees what decompresses; it does not close the reader below.
func (r *Reader) Close() { r.close() }

// Interfaces are those of the section read last. A pcapng capture may declare
// more between its packets.
func (r *Reader) Interfaces() []Interface { return r.interfaces }

// Next returns the next packet, io.EOF after the last, or an *[Error].
func (r *Reader) Next() (Packet, error) {
	n, err := r.Batch(r.one[:])
	if n == 1 {
		return r.one[0], nil
	}
	return Packet{}, err
}

// Batch fills packets with the next ones, as many as are there without waiting
// for more, and returns how many: at least one unless there is an error. The
// packets share the reader's buffer, until its next call.
func (r *Reader) Batch(packets []Packet) (int, error) {
	if r.err != nil || len(packets) == 0 {
		return 0, r.err
	}
	n := 0
	for n < len(packets) {
		ok, err := r.next(&packets[n])
		if err != nil {
			r.err = err
			break
		}
		if ok {
			n++
			continue
		}
		if n > 0 {
			return n, nil
		}
		if err := r.source.fill(r.need); err != nil {
			if err != io.EOF {
				err = r.bad(err)
			}
			r.err = err
			break
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// bad is an error at the record where the reader stands.
func (r *Reader) bad(err error) error { return &Error{r.source.offset, err} }

// more tells that the buffer must hold n bytes to go on.
func (r *Reader) more(n int) (bool, error) {
	r.need = n
	return false, nil
}

var errNoCapture = errors.New("neither pcap nor pcapng")

func (r *Reader) open() error {
	if err := r.source.fill(4); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errNoCapture
		}
		return r.bad(err)
	}
	magic, _ := r.source.peek(4)
	if little.Uint32(magic) == blockSection {
		r.next = r.nextBlock
		return nil
	}
	if err := r.source.fill(24); err != nil {
		return r.bad(err)
	}
	header, _ := r.source.peek(24)
	units := microseconds
	r.record = 16
	for _, r.order = range []binary.ByteOrder{little, big} {
		switch r.order.Uint32(header) {
		case magicNano:
			units = nanoseconds
		case magicMicro:
		case magicModified:
			r.record = 24
		default:
			continue
		}
		r.interfaces = []Interface{{
			// The top bits may tell the size of the frame check sequence.
			Link:    packet.LinkType(r.order.Uint32(header[20:]) & 0x0fffffff),
			SnapLen: int(r.order.Uint32(header[16:])),
			units:   units,
		}}
		r.source.take(24)
		r.next = r.nextRecord
		return nil
	}
	return r.bad(errNoCapture)
}

// nextRecord reads one record of a pcap file.
func (r *Reader) nextRecord(p *Packet) (bool, error) {
	header, ok := r.source.peek(r.record)
	if !ok {
		return r.more(r.record)
	}
	seconds, fraction := r.order.Uint32(header), r.order.Uint32(header[4:])
	captured, length := r.order.Uint32(header[8:]), r.order.Uint32(header[12:])
	if captured > MaxPacket {
		return false, r.bad(fmt.Errorf("packet of %d bytes", captured))
	}
	size := r.record + int(captured)
	whole, ok := r.source.peek(size)
	if !ok {
		return r.more(size)
	}
	nanos := int64(fraction)
	if r.interfaces[0].units == microseconds {
		nanos *= 1000
	}
	*p = Packet{
		Time:   int64(seconds)*1e9 + nanos,
		Data:   whole[r.record:],
		Length: clampLength(length),
		Link:   r.interfaces[0].Link,
	}
	r.source.take(int64(size))
	return true, nil
}

// clampLength keeps a length on the wire in the range of 32-bit machines.
func clampLength(n uint32) int { return int(min(n, math.MaxInt32)) }
