package cnproc

import (
	"encoding/binary"
	"testing"
)

// datagram makes one process event as the kernel sends it.
func datagram(kind what, words ...uint32) []byte {
	ne := binary.NativeEndian
	body := ne.AppendUint32(nil, uint32(kind))
	body = ne.AppendUint32(body, 1)
	body = ne.AppendUint64(body, 77)
	for _, w := range words {
		body = ne.AppendUint32(body, w)
	}
	b := ne.AppendUint32(nil, uint32(netlinkHeader+connectorSize+len(body)))
	b = ne.AppendUint16(b, netlinkDone)
	b = append(b, make([]byte, 10+16)...)
	b = ne.AppendUint16(b, uint16(len(body)))
	b = append(b, 0, 0)
	return append(b, body...)
}

func TestParse(t *testing.T) {
	buf := append(datagram(whatFork, 1, 2, 3, 4), datagram(whatExec, 5, 6)...)
	buf = append(buf, datagram(whatExit, 7, 8, 0x100, 17)...)
	want := []happening{
		{what: whatFork, cpu: 1, time: 77, parent: 2, pid: 3, tgid: 4},
		{what: whatExec, cpu: 1, time: 77, pid: 5, tgid: 6},
		{what: whatExit, cpu: 1, time: 77, pid: 7, tgid: 8, code: 0x100},
	}
	n := 0
	err := parse(buf, func(h happening) {
		if h != want[n] {
			t.Errorf("event %d is %+v, want %+v", n, h, want[n])
		}
		n++
	})
	if err != nil || n != len(want) {
		t.Fatalf("%d events, %v", n, err)
	}
	whole := datagram(whatFork, 1, 2, 3, 4)
	for cut := 1; cut < len(whole); cut++ {
		if err := parse(whole[:cut], func(happening) {}); err == nil {
			t.Fatalf("cut at %d is no error", cut)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(datagram(whatFork, 1, 2, 3, 4))
	f.Add(datagram(whatExit, 1))
	f.Add(datagram(whatNone))
	f.Fuzz(func(t *testing.T, buf []byte) {
		n := 0
		parse(buf, func(happening) { n++ })
		if n*netlinkHeader > len(buf) {
			t.Fatalf("%d events in %d bytes", n, len(buf))
		}
	})
}
