// Package frame reads and writes length-prefixed messages: four bytes of
// length, big endian, then that many bytes. link, the agent's pipe between
// collector and master, and the store's socket share it.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// HeaderSize is the size of the length prefix in bytes.
const HeaderSize = 4

// ErrTooLarge is wrapped by the error of a frame over its limit.
var ErrTooLarge = errors.New("frame too large")

// Write writes one frame. The caller bounds len(body).
func Write(w io.Writer, body []byte) error {
	var header [HeaderSize]byte
	binary.BigEndian.PutUint32(header[:], uint32(len(body)))
	if _, err := w.Write(header[:]); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

// AppendHeader appends the prefix of a body of n bytes, for callers that
// build header and body in one buffer.
func AppendHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// Read reads one frame of at most limit bytes into buf, growing it only as
// bytes arrive, so that a hostile length costs no memory. It returns the body,
// which aliases the buffer. io.EOF means the stream ended between frames,
// io.ErrUnexpectedEOF within one.
func Read(r io.Reader, buf []byte, limit int) ([]byte, error) {
	var header [HeaderSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return buf[:0], err
	}
	return ReadBody(r, header, buf, limit)
}

// ReadBody is Read after the caller has read the prefix itself, so that
// waiting for a frame need not hold a buffer.
func ReadBody(r io.Reader, header [HeaderSize]byte, buf []byte, limit int) ([]byte, error) {
	n := int(binary.BigEndian.Uint32(header[:]))
	if n > limit {
		return buf[:0], fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, n, limit)
	}
	const step = 64 << 10
	buf = buf[:0]
	for len(buf) < n {
		want := min(n-len(buf), max(step, cap(buf)-len(buf)))
		start := len(buf)
		if cap(buf)-start < want {
			grown := make([]byte, start, min(n, 2*(start+want)))
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:start+want]
		if _, err := io.ReadFull(r, buf[start:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return buf[:0], err
		}
	}
	return buf, nil
}
