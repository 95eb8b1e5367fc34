package app

import "github.com/hauberk/hauberk/suricata"

import "slices"

// maxFrames bounds the frames of a direction that wait for bytes, maxFrameData
// what is kept of one.
const (
	maxFrames    = 64
	maxFrameData = 256 << 10
)

// LiveFrame is a frame with its bytes, as far as they are there.
type LiveFrame struct {
	Frame
	ID    uint64 // In its direction, from 0.
	Proto *Protocol
	Data  []byte
	// Fresh: there are bytes that were not inspected.
	Fresh bool
	// Complete: all bytes are there; Ended: no more will come.
	Complete, Ended bool
	Logged          bool
	// Inspect belongs to detection.
	Inspect any
}

// streamFrame is the kind of the frame that is all of a direction.
const streamFrame = FrameID(255)

// KindName is what rules and EVE call the kind of a frame.
func (f *LiveFrame) KindName() string {
	if f.Kind == streamFrame {
		return "stream"
	}
	return f.Proto.Frames[f.Kind]
}

// WantBuffers says which buffers rules look into.
func (r *Registry) WantBuffers(wanted func(suricata.Buffer) bool) { r.config.Wants = wanted }

// WantFrames says which frames are kept, by protocol and kind.
func (r *Registry) WantFrames(wanted func(p *Protocol, kind string) bool) {
	r.frames = map[*Protocol]uint32{}
	for _, p := range r.list {
		for kind, name := range p.Frames {
			if wanted(p, name) {
				r.frames[p] |= 1 << kind
			}
		}
		if wanted(p, "stream") {
			r.frames[p] |= wantStream
		}
	}
}

const wantStream = 1 << 31

// Frame implements Hooks. The same frame may be told again, when its size is
// known.
func (s *Session) Frame(f Frame) {
	if int(f.Kind) >= len(s.proto.Frames) || s.registry.frames[s.proto]>>f.Kind&1 == 0 {
		return
	}
	s.addFrame(f)
}

func (s *Session) addFrame(f Frame) {
	list := &s.frames[f.Dir]
	for _, have := range *list {
		if have.Kind == f.Kind && have.Offset == f.Offset && have.Proto == s.proto && !s.ctx.Flow.UDP {
			if have.Size < 0 && f.Size >= 0 {
				have.Size = f.Size
				have.Data = have.Data[:min(int64(len(have.Data)), f.Size)]
				have.settle()
			}
			return
		}
	}
	if len(*list) >= maxFrames {
		*list = slices.Delete(*list, 0, 1)
	}
	x := &LiveFrame{Frame: f, ID: s.frameIDs[f.Dir], Proto: s.proto}
	s.frameIDs[f.Dir]++
	*list = append(*list, x)
	data, at := s.pending[f.Dir], s.at[f.Dir]
	switch {
	case f.Offset > at+uint64(len(data)):
		return // It lies ahead: grow gives it its bytes.
	case f.Offset > at:
		data = data[f.Offset-at:]
	}
	x.add(data)
}

// add appends bytes that belong to the frame.
func (f *LiveFrame) add(data []byte) {
	if f.Complete || f.Ended {
		return
	}
	if f.Size >= 0 {
		data = data[:min(int64(len(data)), f.Size-int64(len(f.Data)))]
	}
	data = data[:min(len(data), maxFrameData-len(f.Data))]
	if len(data) > 0 {
		f.Data, f.Fresh = append(f.Data, data...), true
	}
	f.settle()
	f.Ended = f.Ended || len(f.Data) >= maxFrameData
}

func (f *LiveFrame) settle() {
	if f.Size >= 0 && int64(len(f.Data)) >= f.Size && !f.Complete {
		f.Complete, f.Fresh = true, true
	}
}

// grow gives the frames of a direction bytes that arrived at an offset.
func (s *Session) grow(dir Dir, offset uint64, data []byte) {
	for _, f := range s.frames[dir] {
		switch end := offset + uint64(len(data)); {
		case f.Offset >= end:
		case f.Offset > offset:
			f.add(data[f.Offset-offset:])
		default:
			f.add(data)
		}
	}
}

// endFrames says that nothing more comes for the frames of a direction.
func (s *Session) endFrames(dir Dir) {
	for _, f := range s.frames[dir] {
		f.Ended = true
		f.Fresh = f.Fresh || len(f.Data) > 0 && !f.Complete
	}
}

// Frames are those of a direction that are kept.
func (s *Session) Frames(dir Dir) []*LiveFrame { return s.frames[dir] }

// FreeFrames forgets those of a direction that were inspected whole.
func (s *Session) FreeFrames(dir Dir) {
	if len(s.frames[dir]) == 0 {
		return
	}
	s.frames[dir] = slices.DeleteFunc(s.frames[dir], func(f *LiveFrame) bool {
		return !f.Fresh && (f.Complete || f.Ended || s.ctx.Flow.UDP)
	})
}
