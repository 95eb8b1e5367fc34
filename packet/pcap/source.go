package pcap

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// bufferSize holds a few hundred packets of full size, and with headers
	// always more than one of MaxPacket.
	bufferSize = 1 << 20
	// maxZstdWindow is what zstd itself asks for by default (--long=27); a file
	// that wants more to decompress is refused.
	maxZstdWindow = 128 << 20
)

// source is a buffer in front of a stream. What peek returned stays in place
// until fill is called.
type source struct {
	r      io.Reader
	buf    []byte
	at     int   // The next byte.
	end    int   // After the last byte read.
	offset int64 // Of the next byte in the stream.
	skip   int64 // Bytes still to throw away before the next one.
	err    error // Of r, once.
}

// decompressed returns the stream inside r, and how to free what reads it.
func decompressed(r io.Reader) (io.Reader, func(), error) {
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, nil, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	switch {
	case n >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		z, err := gzip.NewReader(whole)
		if err != nil {
			return nil, nil, fmt.Errorf("open gzip: %w", err)
		}
		return z, func() {}, nil
	case n == 4 && little.Uint32(head[:]) == 0xfd2fb528:
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("open zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return whole, func() {}, nil
}

// peek returns the next n bytes if they are in the buffer.
func (s *source) peek(n int) ([]byte, bool) {
	if s.skip > 0 || s.end-s.at < n {
		return nil, false
	}
	return s.buf[s.at : s.at+n : s.at+n], true
}

// take moves past n bytes that peek returned, or past any number of bytes that
// will not be looked at.
func (s *source) take(n int64) {
	s.offset += n
	here := min(n, int64(s.end-s.at))
	s.at += int(here)
	s.skip += n - here
}

// fill reads until n bytes can be peeked, moving what is left of the buffer to
// its front. It returns io.EOF if the stream ends before the first of them,
// io.ErrUnexpectedEOF if it ends among them or among those to be skipped.
func (s *source) fill(n int) error {
	copy(s.buf, s.buf[s.at:s.end])
	s.end -= s.at
	s.at = 0
	for idle := 0; s.skip > 0 || s.end < n; {
		if s.err != nil {
			if s.err == io.EOF && (s.skip > 0 || s.end > 0) {
				return io.ErrUnexpectedEOF
			}
			return s.err
		}
		var read int
		read, s.err = s.r.Read(s.buf[s.end:])
		if read == 0 && s.err == nil {
			if idle++; idle > 100 { // As bufio: a reader that gives nothing is broken.
				s.err = io.ErrNoProgress
			}
			continue
		}
		s.end += read
		if s.skip > 0 {
			drop := int(min(s.skip, int64(s.end)))
			s.skip -= int64(drop)
			s.end = copy(s.buf, s.buf[drop:s.end])
		}
	}
	return nil
}
