package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link"
)

const (
	magic      = "HBKSPL1\n"
	headerSize = 32 // magic, class u32, incarnation u32, base time i64, crc u32 of these, reserved 4
	recordHead = 36 // length u32, crc u32, count u32, prev u64, first u64, last u64
	segmentExt = ".seg"
	// maxRecord bounds what recovery will read as one record.
	maxRecord = recordBytes + maxEvent + 1<<10
)

// castagnoli is CRC-32C: processors compute it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is events that were appended together.
type record struct {
	length            uint32 // of the body
	count             uint32 // events
	prev, first, last uint64 // sequences; prev is that of the event before, of the same class
	crc               uint32
	file              []byte // room for the head, then elements of event.Batch.events
}

// seal fills the head in and returns the record as it stands in the file.
// r.file begins with room for the head.
func (r *record) seal() []byte {
	buf := r.file
	binary.LittleEndian.PutUint32(buf[0:], uint32(len(buf)-recordHead))
	binary.LittleEndian.PutUint32(buf[8:], r.count)
	binary.LittleEndian.PutUint64(buf[12:], r.prev)
	binary.LittleEndian.PutUint64(buf[20:], r.first)
	binary.LittleEndian.PutUint64(buf[28:], r.last)
	binary.LittleEndian.PutUint32(buf[4:], crc32.Checksum(buf[8:], castagnoli))
	return buf
}

// clear starts the next record in the same memory.
func (r *record) clear() {
	var head [recordHead]byte
	r.file, r.count = append(r.file[:0], head[:]...), 0
}

// parseHead reads a record's head and checks what can be checked without its
// body.
func parseHead(b []byte) (record, error) {
	r := record{
		length: binary.LittleEndian.Uint32(b[0:]), crc: binary.LittleEndian.Uint32(b[4:]), count: binary.LittleEndian.Uint32(b[8:]),
		prev: binary.LittleEndian.Uint64(b[12:]), first: binary.LittleEndian.Uint64(b[20:]), last: binary.LittleEndian.Uint64(b[28:]),
	}
	if r.length == 0 || r.length > maxRecord || r.count == 0 || r.prev >= r.first || r.first > r.last || r.last-r.first < uint64(r.count)-1 {
		return r, errors.New("bad record head")
	}
	return r, nil
}

// segment is a run of records of one class and incarnation, in a file or, if
// the disk refused it, in memory.
type segment struct {
	class       event.Class
	incarnation uint32
	base        int64 // event times are relative to it, Unix ns
	path        string
	file        *os.File
	data        []byte // instead of a file
	size        int64
	events      uint64
	last        uint64 // sequence
	sealed      bool   // nothing more is appended
	synced      int64
	ackedSize   int64  // records up to this offset are acknowledged
	acked       uint64 // events in them
	err         error  // why it is in memory
}

// newSegment makes a segment file, or a segment in memory with err set.
func newSegment(dir string, class event.Class, incarnation uint32, first uint64, base int64) *segment {
	s := &segment{class: class, incarnation: incarnation, base: base, ackedSize: headerSize}
	s.path = filepath.Join(dir, fmt.Sprintf("%d-%08x-%016x%s", class, incarnation, first, segmentExt))
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		if _, err = file.Write(s.header()); err == nil {
			s.file, s.size = file, headerSize
			return s
		}
		file.Close()
		os.Remove(s.path)
	}
	m := memorySegment(class, incarnation, base)
	m.err = err
	return m
}

func memorySegment(class event.Class, incarnation uint32, base int64) *segment {
	s := &segment{class: class, incarnation: incarnation, base: base, ackedSize: headerSize}
	s.data = s.header()
	s.size = headerSize
	return s
}

func (s *segment) header() []byte {
	h := make([]byte, headerSize)
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[8:], uint32(s.class))
	binary.LittleEndian.PutUint32(h[12:], s.incarnation)
	binary.LittleEndian.PutUint64(h[16:], uint64(s.base))
	binary.LittleEndian.PutUint32(h[24:], crc32.Checksum(h[:24], castagnoli))
	return h
}

func (s *segment) append(r *record) error {
	buf := r.seal()
	if s.file == nil {
		s.data = append(s.data, buf...)
	} else if _, err := s.file.WriteAt(buf, s.size); err != nil {
		// A part of it may stand there; cut it, so that no reader meets it.
		return errors.Join(err, s.file.Truncate(s.size))
	}
	s.size += int64(len(buf))
	s.events += uint64(r.count)
	s.last = r.last
	return nil
}

func (s *segment) readAt(b []byte, offset int64) error {
	if s.file == nil {
		if copy(b, s.data[min(offset, int64(len(s.data))):]) < len(b) {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	_, err := s.file.ReadAt(b, offset)
	return err
}

func (s *segment) head(offset int64) (record, error) {
	var b [recordHead]byte
	if err := s.readAt(b[:], offset); err != nil {
		return record{}, fmt.Errorf("read record of %s: %w", s.path, err)
	}
	r, err := parseHead(b[:])
	if err != nil {
		return r, fmt.Errorf("%s at %d: %w", s.path, offset, err)
	}
	return r, nil
}

// body appends the record's body to dst, once its checksum is right.
func (s *segment) body(dst []byte, offset int64, r record) ([]byte, error) {
	start := len(dst)
	need := recordHead + int(r.length)
	if cap(dst) < start+need {
		dst = append(make([]byte, 0, start+need+batchBytes), dst...)
	}
	buf := dst[start : start+need]
	if err := s.readAt(buf, offset); err != nil {
		return dst, fmt.Errorf("read record of %s: %w", s.path, err)
	}
	if crc32.Checksum(buf[8:], castagnoli) != r.crc {
		return dst, fmt.Errorf("%s at %d: checksum differs", s.path, offset)
	}
	copy(buf, buf[recordHead:])
	return dst[:start+int(r.length)], nil
}

// ack advances over the records up to a position and returns how many events
// they hold. Positions handed out end records, and so do acknowledgements.
func (s *segment) ack(upTo link.Position) (uint64, error) {
	n := uint64(0)
	for s.ackedSize < s.size {
		r, err := s.head(s.ackedSize)
		if err != nil {
			return n, err
		}
		if upTo.Less(link.Position{Incarnation: s.incarnation, Sequence: r.last}) {
			break
		}
		s.ackedSize += recordHead + int64(r.length)
		s.acked += uint64(r.count)
		n += uint64(r.count)
	}
	return n, nil
}

// unacked returns how many events are not on the bus yet.
func (s *segment) unacked() uint64 { return s.events - s.acked }

func (s *segment) close() {
	if s.file != nil {
		s.file.Close()
	}
}

func (s *segment) delete() {
	s.close()
	if s.path != "" && s.file != nil {
		os.Remove(s.path) // if it stays, its events are sent again, and dropped by the store
	}
}

// readSegment opens a file an earlier process wrote, cuts a torn end off and
// returns how many bytes that were.
func readSegment(path string) (s *segment, torn int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	s = &segment{path: path, file: file, sealed: true, ackedSize: headerSize}
	if err := s.parse(info.Size()); err != nil {
		return nil, 0, err
	}
	if torn = info.Size() - s.size; torn > 0 {
		if err := file.Truncate(s.size); err != nil {
			return nil, 0, err
		}
	}
	return s, torn, nil
}

// parse reads header and records up to the first that is not whole.
func (s *segment) parse(size int64) error {
	var h [headerSize]byte
	if err := s.readAt(h[:], 0); err != nil || string(h[:8]) != magic || binary.LittleEndian.Uint32(h[24:]) != crc32.Checksum(h[:24], castagnoli) {
		return fmt.Errorf("%s is no whole spool segment", s.path)
	}
	s.class = event.Class(binary.LittleEndian.Uint32(h[8:]))
	s.incarnation = binary.LittleEndian.Uint32(h[12:])
	s.base = int64(binary.LittleEndian.Uint64(h[16:]))
	if s.class != event.Class_CLASS_PRIORITY && s.class != event.Class_CLASS_BULK || s.incarnation == 0 {
		return fmt.Errorf("%s has class %d, incarnation %d", s.path, s.class, s.incarnation)
	}
	s.size = headerSize
	var buf []byte
	for s.size+recordHead <= size {
		r, err := s.head(s.size)
		if err != nil || s.size+recordHead+int64(r.length) > size || r.first <= s.last {
			return nil
		}
		if buf, err = s.body(buf[:0], s.size, r); err != nil {
			return nil
		}
		s.size += recordHead + int64(r.length)
		s.events += uint64(r.count)
		s.last = r.last
	}
	return nil
}
