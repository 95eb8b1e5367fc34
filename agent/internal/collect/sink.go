package collect

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/hauberk/hauberk/agent/internal/pipe"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/frame"
	"github.com/hauberk/hauberk/internal/obs"
)

// frameBytes is how much a frame of events gathers at most between flushes.
const frameBytes = 128 << 10

// head is what stands before the events of a frame: its length and its kind.
const head = frame.HeaderSize + 1

// writer is the sink of all sources: it marshals each event once into the
// frame that will be written. Writing blocks while the master is slow; what
// the kernel cannot keep meanwhile is counted there.
type writer struct {
	mu     sync.Mutex
	out    io.Writer
	buf    []byte
	err    error
	failed func(error)

	canary  *canary
	emitted [event.Class_CLASS_BULK + 1]*obs.Counter
	tooBig  *obs.Counter
}

func newWriter(out io.Writer, c *canary, counters *obs.Registry, failed func(error)) *writer {
	w := &writer{out: out, canary: c, failed: failed, buf: make([]byte, head, head+frameBytes+frameBytes/2)}
	const name = "hauberk_collect_events_total"
	w.emitted[event.Class_CLASS_PRIORITY] = counters.Counter(name, "class=priority", "events handed to the master")
	w.emitted[event.Class_CLASS_BULK] = counters.Counter(name, "class=bulk", "events handed to the master")
	w.tooBig = counters.Counter("hauberk_collect_events_dropped_total", "reason=too_big", "events that fit no frame")
	return w
}

// Emit marshals the event, unless it is a canary's.
func (w *writer) Emit(class event.Class, observed int64, e *event.Event) {
	if w.canary.caught(e) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	before := len(w.buf)
	buf, err := pipe.AppendEvent(w.buf, class, observed, e)
	if err != nil || len(buf)-before > pipe.MaxFrame-head {
		w.tooBig.Inc()
		return
	}
	w.buf = buf
	w.emitted[class].Inc()
	if len(w.buf) >= frameBytes {
		w.flush()
	}
}

// Flush writes what was gathered as one frame.
func (w *writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

func (w *writer) flush() {
	if len(w.buf) == head || w.err != nil {
		return
	}
	binary.BigEndian.PutUint32(w.buf, uint32(len(w.buf)-frame.HeaderSize))
	w.buf[frame.HeaderSize] = byte(pipe.KindEvents)
	_, err := w.out.Write(w.buf)
	if cap(w.buf) > 2*frameBytes {
		w.buf = make([]byte, head, head+frameBytes+frameBytes/2)
	}
	w.buf = w.buf[:head]
	w.note(err)
}

func (w *writer) note(err error) {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write to the master: %w", err)
		w.failed(w.err)
	}
}

// status writes a status frame, after the events before it.
func (w *writer) status(status *event.NodeStatus) error {
	body, err := status.MarshalVT()
	if err != nil {
		return fmt.Errorf("marshal status: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	if w.err == nil {
		w.note(pipe.Write(w.out, pipe.KindStatus, body))
	}
	return w.err
}
