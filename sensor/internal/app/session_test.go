package app

import (
	"bytes"
	"slices"
	"testing"
)

// line is a protocol whose messages are lines; each is a frame. The line
// UPGRADE asks for the protocol "other".
type line struct {
	ctx *Context
	got []string
}

func (l *line) Parse(in *Input) (int, int) {
	i := bytes.IndexByte(in.Data, '\n')
	if i < 0 {
		l.ctx.Hooks.Frame(Frame{Dir: in.Dir, Offset: in.Offset, Size: -1})
		return 0, 1
	}
	l.ctx.Hooks.Frame(Frame{Dir: in.Dir, Offset: in.Offset, Size: int64(i + 1)})
	text := string(in.Data[:i])
	l.got = append(l.got, text)
	switch text {
	case "UPGRADE":
		l.ctx.Hooks.Become("other")
	case "EXPECT":
		l.ctx.Hooks.Expect(Expectation{Proto: "line", ServerPort: 7, Data: text})
	case "STOP":
		l.ctx.Hooks.Stop(true)
	}
	return i + 1, 0
}

func (l *line) Gap(Dir, uint64) bool { return false }
func (l *line) Txs() []Tx            { return nil }
func (l *line) Free(Tx)              {}
func (l *line) End()                 {}

var _ = (Tx)(nil) // Buffers and conditions are not needed here:

func lineProto() *Protocol {
	return &Protocol{
		Name: "line", Transport: TCP | UDP, Frames: []string{"line"}, ClientFirst: true,
		Signatures: []Signature{{Dir: ToServer, Text: "HELLO", Depth: 5}, {Dir: ToClient, Text: "HI", Depth: 2}},
		Ports:      []uint16{9},
		Probe: func(dir Dir, data []byte) Verdict {
			if bytes.HasPrefix(data, []byte("REV")) {
				return Reversed
			}
			return No
		},
		New: func(c *Context) Parser { return &line{ctx: c} },
	}
}

func other() *Protocol {
	return &Protocol{Name: "other", Transport: TCP, Signatures: []Signature{{Dir: ToServer, Text: "OTHER", Depth: 5}, {Dir: ToClient, Text: "OTHER", Depth: 5}}}
}

// host notes what a session does to its flow.
type host struct {
	turn, bypassed bool
	expected       []Expectation
}

func (h *host) Reverse() bool        { return h.turn }
func (h *host) Expect(e Expectation) { h.expected = append(h.expected, e) }
func (h *host) Bypass()              { h.bypassed = true }

// say is bytes of a direction.
type say struct {
	dir  Dir
	text string
}

func talk(udp bool, h *host, list ...say) *Session {
	r := NewRegistry(&Config{}, []*Protocol{lineProto(), other()})
	r.WantFrames(func(*Protocol, string) bool { return true })
	s := NewSession(r, FlowInfo{UDP: udp, ClientPort: 5, ServerPort: 9})
	s.Attach(h)
	var at [2]uint64
	for _, x := range list {
		s.Data(x.dir, at[x.dir], []byte(x.text), 0)
		at[x.dir] += uint64(len(x.text))
	}
	return s
}

func TestEventsOfRecognition(t *testing.T) {
	for name, test := range map[string]struct {
		said []say
		want []string
	}{
		"agree":     {[]say{{ToServer, "HELLO\n"}, {ToClient, "HI\n"}}, nil},
		"mismatch":  {[]say{{ToServer, "HELLO\n"}, {ToClient, "OTHER\n"}}, []string{EvMismatch}},
		"one":       {[]say{{ToServer, "HELLO\n"}, {ToClient, "what\n"}}, []string{EvOneDirection}},
		"first":     {[]say{{ToClient, "HI\n"}, {ToServer, "HELLO\n"}}, []string{EvWrongFirst}},
		"skipped":   {[]say{{ToServer, string(make([]byte, skipAfter+1))}, {ToServer, "x"}}, []string{EvSkipped}},
		"upgrade":   {[]say{{ToServer, "HELLO\nUPGRADE\n"}, {ToServer, "OTHER"}}, nil},
		"not other": {[]say{{ToServer, "HELLO\nUPGRADE\n"}, {ToServer, "HELLO\n"}}, []string{EvUnexpectedProto}},
	} {
		s := talk(false, &host{}, test.said...)
		if got := s.TakeEvents(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestReversed(t *testing.T) {
	for _, udp := range []bool{true, false} {
		for _, turn := range []bool{true, false} {
			s := talk(udp, &host{turn: turn}, say{ToServer, "REV\n"})
			want := ToServer
			if turn {
				want = ToClient
			}
			if p := s.Protocol(); p == nil || p.Name != "line" {
				if turn { // By a server first, it is not followed.
					if got := s.TakeEvents(); udp || !slices.Equal(got, []string{EvWrongFirst}) {
						t.Errorf("udp %v: not recognised: %v", udp, got)
					}
					continue
				}
				t.Fatalf("udp %v turn %v: not recognised", udp, turn)
			}
			lines := func(dir Dir) (n int) {
				for _, f := range s.Frames(dir) {
					if f.Kind != streamFrame {
						n++
					}
				}
				return n
			}
			if lines(want) != 1 || lines(want.Other()) != 0 {
				t.Errorf("udp %v turn %v: frames %d, %d", udp, turn, len(s.Frames(0)), len(s.Frames(1)))
			}
		}
	}
}

func TestHost(t *testing.T) {
	h := &host{}
	s := talk(false, h, say{ToServer, "HELLO\nEXPECT\nSTOP\nLOST\n"})
	if len(h.expected) != 1 || h.expected[0].Data != "EXPECT" {
		t.Errorf("expected %v", h.expected)
	}
	if !h.bypassed {
		t.Error("not bypassed")
	}
	if got := s.parser.(*line).got; !slices.Equal(got, []string{"HELLO", "EXPECT", "STOP"}) {
		t.Errorf("parsed %q", got)
	}
	next := NewSession(s.registry, FlowInfo{ServerPort: 7})
	next.Expected(h.expected[0])
	if next.Protocol() == nil || next.ctx.Expected != "EXPECT" {
		t.Error("an announced flow is not what it was announced as")
	}
}

func TestFrames(t *testing.T) {
	s := talk(false, &host{}, say{ToServer, "HEL"}, say{ToServer, "LO"}, say{ToServer, " you"}, say{ToServer, "\nand"}, say{ToServer, " more"})
	var got []string
	for _, f := range s.Frames(ToServer) {
		text := f.KindName() + ":" + string(f.Data)
		if f.Complete {
			text += "."
		}
		got = append(got, text)
		f.Fresh = false
	}
	// The stream's own frame is told at recognition.
	want := []string{"stream:HELLO you\nand more", "line:HELLO you\n.", "line:and more"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	s.FreeFrames(ToServer)
	if n := len(s.Frames(ToServer)); n != 2 {
		t.Errorf("%d frames are left, want 2", n)
	}
	s.End(ToServer, 0)
	if f := s.Frames(ToServer)[1]; !f.Ended || !f.Fresh {
		t.Error("a frame does not end with its stream")
	}
}

func TestFramesAreBounded(t *testing.T) {
	s := talk(false, &host{}, say{ToServer, "HELLO\n"})
	for i := range 3 * maxFrames {
		s.Data(ToServer, uint64(6+2*i), []byte("x\n"), 0)
	}
	if n := len(s.Frames(ToServer)); n > maxFrames {
		t.Errorf("%d frames", n)
	}
}
