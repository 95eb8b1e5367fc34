// Package pipe is what the agent's two lasting processes say to each other,
// specified in docs/formats/collector.md: frames of internal/frame over two
// pipes, the collector's file descriptors 3 (in) and 4 (out). The first byte
// of a frame is its kind; a reader skips a kind it does not know.
//
// Events travel as they will travel on: marshalled once by the collector,
// without the fields the master sets (skip, observed_delta), so that the
// master never parses them.
package pipe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/frame"
)

// File descriptors of the collector process.
const (
	InFD  = 3 // master to collector
	OutFD = 4 // collector to master
)

// MaxFrame bounds a frame, in bytes: the 64 KiB a collector gathers, and one
// event of the largest size.
const MaxFrame = 512 << 10

// Kind is the first byte of a frame.
type Kind byte

const (
	// From the master.
	KindConfig Kind = 'C' // body: YAML of collect.Config; the first frame
	KindQuit   Kind = 'Q' // flush and end; so does the end of the pipe

	// From the collector.
	KindEvents Kind = 'E' // body: events, see AppendEvent
	KindStatus Kind = 'S' // body: event.NodeStatus, sensors and counters
)

// Write writes a frame of a kind in one write.
func Write(w io.Writer, k Kind, body []byte) error {
	if len(body)+1 > MaxFrame {
		return fmt.Errorf("write frame %q: %w", k, frame.ErrTooLarge)
	}
	buf := frame.AppendHeader(make([]byte, 0, frame.HeaderSize+1+len(body)), 1+len(body))
	buf = append(append(buf, byte(k)), body...)
	_, err := w.Write(buf)
	return err
}

// Read reads a frame into buf, growing it; the body aliases it. Errors are
// those of frame.Read.
func Read(r io.Reader, buf []byte) (k Kind, body, grown []byte, err error) {
	grown, err = frame.Read(r, buf, MaxFrame)
	if err != nil {
		return 0, nil, grown, err
	}
	if len(grown) == 0 {
		return 0, nil, grown, errors.New("read frame: empty")
	}
	return Kind(grown[0]), grown[1:], grown, nil
}

// eventHead is class (1), observed (8) and length (4) before each event.
const eventHead = 1 + 8 + 4

// AppendEvent appends one event to the body of a KindEvents frame: class,
// when it was observed (Unix ns), and the marshalled event.Event without skip
// and observed_delta.
func AppendEvent(dst []byte, class event.Class, observed int64, e *event.Event) ([]byte, error) {
	n := e.SizeVT()
	start := len(dst)
	dst = append(dst, byte(class))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(observed))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	body := len(dst)
	for cap(dst) < body+n {
		dst = append(dst[:cap(dst)], 0)
	}
	dst = dst[:body+n]
	if _, err := e.MarshalToSizedBufferVT(dst[body:]); err != nil {
		return dst[:start], fmt.Errorf("marshal event: %w", err)
	}
	return dst, nil
}

// Event is one event of a KindEvents frame; Body aliases the frame.
type Event struct {
	Class    event.Class
	Observed int64 // Unix ns
	Body     []byte
}

// Events yields the events of a KindEvents frame. It ends early with an error
// if the frame is not what AppendEvent makes.
func Events(body []byte, yield func(Event) error) error {
	for len(body) > 0 {
		if len(body) < eventHead {
			return errors.New("events frame: cut within an event's head")
		}
		e := Event{Class: event.Class(body[0]), Observed: int64(binary.LittleEndian.Uint64(body[1:]))}
		n := binary.LittleEndian.Uint32(body[9:])
		body = body[eventHead:]
		if uint64(n) > uint64(len(body)) {
			return errors.New("events frame: cut within an event")
		}
		if e.Class != event.Class_CLASS_PRIORITY && e.Class != event.Class_CLASS_BULK {
			return fmt.Errorf("events frame: event of class %d", e.Class)
		}
		e.Body, body = body[:n:n], body[n:]
		if err := yield(e); err != nil {
			return err
		}
	}
	return nil
}
