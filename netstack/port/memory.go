package port

import (
	"net"
	"sync"
	"time"
)

// memoryDepth is how many frames one direction of an in-memory link holds; more are dropped, as by a NIC's ring.
const memoryDepth = 4096

// Memory is one end of an in-memory link.
type Memory struct {
	info  Info
	in    *queue
	out   *queue
	free  [][]byte
	stage []Frame

	mu    sync.Mutex
	stats Stats
}

// queue is one direction of a link.
type queue struct {
	mu     sync.Mutex
	frames [][]byte
	closed bool
	ready  chan struct{} // One token: frames came, Wake was called, or the end was closed.
}

// NewLink makes the two ends of an Ethernet link in memory with the given MTU.
func NewLink(mtu int) (a, b *Memory) {
	ab, ba := &queue{ready: make(chan struct{}, 1)}, &queue{ready: make(chan struct{}, 1)}
	a = &Memory{info: Info{Name: "mem-a", MTU: mtu, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, in: ba, out: ab}
	b = &Memory{info: Info{Name: "mem-b", MTU: mtu, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}, in: ab, out: ba}
	return a, b
}

// Info describes the end.
func (m *Memory) Info() Info { return m.info }

// Receive takes frames the other end has flushed.
func (m *Memory) Receive(rx []Frame) (int, error) {
	m.in.mu.Lock()
	n := min(len(rx), len(m.in.frames))
	for i := range n {
		rx[i] = Frame{Data: m.in.frames[i]}
	}
	m.in.frames = m.in.frames[:copy(m.in.frames, m.in.frames[n:])]
	closed := m.in.closed
	m.in.mu.Unlock()
	m.mu.Lock()
	for i := range n {
		m.stats.RxFrames++
		m.stats.RxBytes += uint64(len(rx[i].Data))
	}
	m.mu.Unlock()
	if n == 0 && closed {
		return 0, ErrClosed
	}
	return n, nil
}

// Release takes the memory of frames back.
func (m *Memory) Release(frames ...Frame) {
	for _, f := range frames {
		if len(m.free) < memoryDepth {
			m.free = append(m.free, f.Data[:0])
		}
	}
}

// Buffer gives an empty frame.
func (m *Memory) Buffer() (Frame, bool) {
	if n := len(m.free); n > 0 {
		f := Frame{Data: m.free[n-1]}
		m.free = m.free[:n-1]
		return f, true
	}
	return Frame{Data: make([]byte, 0, m.info.MTU+18)}, true
}

// Transmit queues a frame for Flush.
func (m *Memory) Transmit(f Frame) { m.stage = append(m.stage, f) }

// Flush moves the queued frames to the other end.
func (m *Memory) Flush() error {
	if len(m.stage) == 0 {
		return nil
	}
	m.out.mu.Lock()
	closed := m.out.closed
	room := max(0, memoryDepth-len(m.out.frames))
	sent := m.stage[:min(room, len(m.stage))]
	for _, f := range sent {
		m.out.frames = append(m.out.frames, f.Data)
	}
	m.out.mu.Unlock()
	m.out.wake()
	m.mu.Lock()
	for _, f := range sent {
		m.stats.TxFrames++
		m.stats.TxBytes += uint64(len(f.Data))
	}
	m.stats.TxFull += uint64(len(m.stage) - len(sent))
	m.mu.Unlock()
	m.stage = m.stage[:0]
	if closed {
		return ErrClosed
	}
	return nil
}

// Wait waits for frames of the other end.
func (m *Memory) Wait(timeout time.Duration) error {
	m.in.mu.Lock()
	ready, closed := len(m.in.frames) > 0, m.in.closed
	m.in.mu.Unlock()
	if ready {
		return nil
	}
	if closed {
		return ErrClosed
	}
	if timeout < 0 {
		<-m.in.ready
		return nil
	}
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-m.in.ready:
	case <-t.C:
	}
	return nil
}

// Wake ends a Wait.
func (m *Memory) Wake() { m.in.wake() }

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// Stats counts.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Close ends the link for both ends.
func (m *Memory) Close() error {
	for _, q := range []*queue{m.in, m.out} {
		q.mu.Lock()
		q.closed = true
		q.mu.Unlock()
		q.wake()
	}
	return nil
}
