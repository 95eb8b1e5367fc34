package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
	"github.com/hauberk/hauberk/netstack/engine"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/packet"
)

// responder answers a request and closes, as the smallest web server does.
type responder struct{ answer []byte }

func (r *responder) Opened(*engine.Stack, engine.ID) {}
func (r *responder) Data(s *engine.Stack, id engine.ID, p []byte) int {
	_, _ = s.Write(id, r.answer)
	s.Close(id)
	return len(p)
}
func (r *responder) EOF(*engine.Stack, engine.ID)           {}
func (r *responder) Writable(*engine.Stack, engine.ID)      {}
func (r *responder) Closed(*engine.Stack, engine.ID, error) {}

const (
	warm     = 160_000 // Connections before measuring, so that TIME_WAIT is full: then each new one ends an old one or skips.
	measured = 160_000
	gap      = 2_000 // ns between connections: half a million a second.
)

var request = []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")

// learn plays all connections once and gives their frames, with the numbers a stack of this seed and clock answers with.
func learn(s *engine.Stack, out *output, r *responder) (frames [][3][]byte) {
	for i := range warm + measured {
		now := int64(i+1) * gap
		var f [3][]byte
		f[0] = segment(nil, i, 99, 0, packet.SYN, nil)
		s.Input(now, port.Frame{Data: f[0]})
		ack := uint32(packet.TCP(out.sent[len(out.sent)-1][20:]).Seq()) + 1
		f[1] = segment(nil, i, 100, ack, packet.ACK|packet.PSH, request)
		f[2] = segment(nil, i, 100+uint32(len(request)), ack+uint32(len(r.answer))+1, packet.ACK|packet.FIN, nil)
		s.Input(now, port.Frame{Data: f[1]})
		s.Input(now, port.Frame{Data: f[2]})
		s.Advance(now)
		out.recycle()
		frames = append(frames, f)
	}
	return frames
}

// replay gives the frames to a stack in batches of 32 connections, as a driver does: from a few buffers that were just
// written, which is not counted. It returns ns of each connection and allocations of all after the warm-up.
func replay(s *engine.Stack, out *output, frames [][3][]byte) (ns float64, allocs uint64) {
	const batch = 32
	var took time.Duration
	var before, after runtime.MemStats
	rx := make([][]byte, 3*batch)
	for i := range rx {
		rx[i] = make([]byte, 0, 256)
	}
	for i := 0; i < len(frames); i += batch {
		for k, f := range frames[i : i+batch] {
			for m := range f {
				rx[3*k+m] = append(rx[3*k+m][:0], f[m]...)
			}
		}
		if i == warm {
			runtime.ReadMemStats(&before)
			took = 0
		}
		start := time.Now()
		for k := range batch {
			now := int64(i+k+1) * gap
			s.Input(now, port.Frame{Data: rx[3*k]})
			s.Input(now, port.Frame{Data: rx[3*k+1]})
			s.Input(now, port.Frame{Data: rx[3*k+2]})
			s.Advance(now)
		}
		took += time.Since(start)
		out.recycle()
	}
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / measured, after.Mallocs - before.Mallocs
}

// conversation plays all connections on a fresh stack: without frames it learns them.
func conversation(frames [][3][]byte) ([][3][]byte, float64, uint64, error) {
	out := &output{}
	s, err := engine.New(config(), out, 0)
	if err != nil {
		return nil, 0, 0, err
	}
	r := &responder{answer: []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")}
	if _, err := s.Listen(ours, r); err != nil {
		return nil, 0, 0, err
	}
	var ns float64
	var allocs uint64
	if frames == nil {
		frames = learn(s, out, r)
	} else {
		ns, allocs = replay(s, out, frames)
	}
	if s.Count.Opened != warm+measured || s.Count.SegmentsOut != 3*(warm+measured) || s.Count.Resets > 0 {
		return nil, 0, 0, fmt.Errorf("short connections went wrong: %+v", s.Count)
	}
	return frames, ns, allocs, nil
}

// short measures a whole connection: SYN, request and FIN in; SYN-ACK, answer with FIN, and last acknowledgement out.
func short(report *perf.Report) error {
	frames, _, _, err := conversation(nil)
	if err != nil {
		return err
	}
	var ns, allocs []float64
	for range 7 {
		_, t, a, err := conversation(frames)
		if err != nil {
			return err
		}
		ns, allocs = append(ns, t), append(allocs, float64(a))
	}
	took, made := perf.Median(ns), perf.Median(allocs)
	report.Add(perf.Figure{
		Name: "compute of one whole short connection, callback API", Value: took, Unit: "ns", Target: "250 ns", Reached: took <= 250,
		Note: "complete stack, TIME_WAIT included, checksums both ways; 3 segments in, 3 out; 320,000 different clients",
	})
	report.Add(perf.Figure{Name: "allocations of it", Value: made, Unit: "in 160,000 connections", Target: "0", Reached: made < 10})
	return nil
}
