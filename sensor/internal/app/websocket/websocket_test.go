package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

// frame makes a frame; masked with a key if it is not zero.
func frame(first byte, key uint32, payload string) string {
	b := []byte{first, byte(len(payload))}
	if len(payload) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(len(payload)))
	}
	if key == 0 {
		return string(b) + payload
	}
	b[1] |= flagMask
	mask := binary.BigEndian.AppendUint32(nil, key)
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i&3])
	}
	return string(b)
}

// wrapped lets a flow begin with the protocol, as HTTP does.
var wrapped = func() *app.Protocol {
	p := *Protocol
	p.Probe = func(app.Dir, []byte) app.Verdict { return app.Yes }
	return &p
}()

// squeeze compresses messages with one window for all.
func squeeze(t testing.TB, messages ...string) (out []string) {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		b.Reset()
		if _, err := w.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSuffix(b.String(), "\x00\x00\xff\xff"))
	}
	return out
}

func TestFrames(t *testing.T) {
	text := strings.Repeat("a long and winding text ", 20)
	z := squeeze(t, text, text)
	for _, piece := range []int{0, 1, 5} {
		talk := apptest.New(wrapped, 80, nil)
		talk.Piece = piece
		talk.Client(frame(0x89, 0x01020304, "ping") + frame(0x01, 0x01020304, "half ") + frame(0x8a, 9, "") + frame(0x80, 7, "whole"))
		talk.Server(frame(0xc1, 0, z[0]) + frame(0xc1, 0, z[1]) + frame(0x82, 0, strings.Repeat("x", 300)))
		var got []string
		for _, x := range talk.Session.Txs() {
			got = append(got, strings.Join(apptest.Buffers(x, suricata.BufWebSocketPayload, 0), ""))
		}
		want := []string{"ping", "half ", "", "half whole", text, text, strings.Repeat("x", 300)}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("pieces of %d: %q", piece, got)
		}
		if log := apptest.Log(talk.Session.Txs()[0], 0, nil); log != `{"websocket":{"fin":true,"mask":16909060,"opcode":"ping"}}` {
			t.Error(log)
		}
	}
}

func TestLimits(t *testing.T) {
	talk := apptest.New(wrapped, 80, map[string]string{"websocket.max-payload-size": "100"})
	talk.Client(frame(0x82, 1, strings.Repeat("x", 300)) + frame(0x02, 1, strings.Repeat("y", 90)) + frame(0x80, 1, strings.Repeat("z", 90)) + frame(0x89, 1, "ping"))
	var events []string
	for _, x := range talk.Session.Txs() {
		events = append(events, apptest.Events(x))
	}
	if got := strings.Join(events, "|"); got != "skip_end_of_payload||reassembly_limit_reached|" {
		t.Error(got)
	}
}

func TestMatch(t *testing.T) {
	x := &tx{flags: flagFin, opcode: 9, masked: true, mask: 5}
	for keyword, value := range map[string]suricata.Value{
		"websocket.opcode": &suricata.Uint{Op: suricata.Eq, A: 9}, "websocket.mask": &suricata.Uint{Op: suricata.Gt, A: 4},
	} {
		if !x.Match(&suricata.Option{Keyword: &suricata.Keyword{Name: keyword}, Value: value}, app.ToServer) {
			t.Errorf("%s does not match", keyword)
		}
	}
}

func FuzzParse(f *testing.F) {
	z := squeeze(f, "hello", "hello")
	f.Add([]byte(frame(0x89, 3, "ping")+frame(0x01, 3, "half")), []byte(frame(0xc1, 0, z[0])+frame(0xc1, 0, z[1])), []byte(frame(0x80, 3, "whole")), uint16(3))
	f.Add([]byte("\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00abcdxyz"), []byte{}, []byte{}, uint16(0))
	apptest.Fuzz(f, wrapped, 80)
}

// TestSmallMessages undoes the compression of small messages with little memory
// for each.
func TestSmallMessages(t *testing.T) {
	l := &lane{window: make([]byte, maxWindow)}
	const messages, most = 1000, 8 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range messages {
		if got := l.inflate([]byte("\x4a\x04\x00"), 100); string(got) != "a" {
			t.Fatalf("%q", got)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / messages; n > most {
		t.Errorf("%d bytes for each", n)
	}
}
