package quic

import (
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// cryptoFrame is the frame with the hello of RFC 9001 appendix A.2.
const cryptoFrame = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// seal protects the first packet of a direction, of 1200 bytes if it is the
// client's.
func seal(v version, dir app.Dir, dcid, frames []byte, number byte) []byte {
	k := newKeys(v, dcid)
	first := byte(0xc3)
	if v == v2 {
		first = 0xd3
	}
	for len(frames) < 1162 {
		frames = append(frames, 0)
	}
	head := binary.BigEndian.AppendUint32([]byte{first}, uint32(v))
	head = append(append(head, byte(len(dcid))), dcid...)
	head = append(head, 0, 0)
	head = binary.BigEndian.AppendUint16(head, uint16(0x4000|4+len(frames)+16))
	at := len(head)
	head = append(head, 0, 0, 0, number)
	nonce := append([]byte(nil), k.iv[dir]...)
	nonce[11] ^= number
	packet := k.packet[dir].Seal(head, nonce, frames, head)
	var mask [aes.BlockSize]byte
	k.header[dir].Encrypt(mask[:], packet[at+4:at+20])
	packet[0] ^= mask[0] & 0x0f
	for i := range 4 {
		packet[at+i] ^= mask[1+i]
	}
	return packet
}

func session() *app.Session {
	return app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{UDP: true, ServerPort: 443})
}

func logOf(x app.Tx) string {
	var w jsonw.Writer
	w.Object("")
	appendLog(&w, x, nil)
	w.Close()
	return string(w.Bytes())
}

// TestRFC9001 seals the example of appendix A.2 and opens it.
func TestRFC9001(t *testing.T) {
	dcid := unhex(t, "8394c8f03e515708")
	packet := seal(1, app.ToServer, dcid, unhex(t, cryptoFrame), 2)
	if got := hex.EncodeToString(packet[:38]); got != "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9b" {
		t.Errorf("sealed: %s", got)
	}
	s := session()
	s.Data(app.ToServer, 0, packet, 0)
	if len(s.Txs()) != 1 {
		t.Fatalf("%d transactions", len(s.Txs()))
	}
	log := logOf(s.Txs()[0])
	for _, want := range []string{
		`"version":"1","sni":"example.com","ja3":{`, `"name":"server_name","type":0,"values":["example.com"]`, `"values":["alpn"]`,
		`"values":["Tls13"]`, `"name":"renegotiation_info","type":65281}`, `"ja4":"q13d02`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%s lacks %s", log, want)
		}
	}
	if b, ok := s.Txs()[0].Buffer(suricata.BufQUICVersion, app.ToServer, 0, new([]byte)); !ok || string(b.Data) != "\x00\x00\x00\x01" {
		t.Errorf("version %q", b.Data)
	}
}

// TestPieces sends a hello in two packets, the end first, in each version.
func TestPieces(t *testing.T) {
	whole := unhex(t, cryptoFrame)[4:]
	dcid := []byte("12345678")
	for _, v := range []version{1, v2, 0xff00001d, 0xff000017} {
		s := session()
		frame := append([]byte{frameCrypto, 0x40, 100, 0x40, byte(len(whole) - 100)}, whole[100:]...)
		s.Data(app.ToServer, 0, seal(v, app.ToServer, dcid, frame, 0), 0)
		if log := logOf(s.Txs()[0]); strings.Contains(log, "sni") {
			t.Errorf("half of it: %s", log)
		}
		frame = append([]byte{framePing, frameAck, 0, 0, 0, 0, frameCrypto, 0, 0x40, 100}, whole[:100]...)
		s.Data(app.ToServer, 0, seal(v, app.ToServer, dcid, frame, 1), 0)
		if log := logOf(s.Txs()[1]); !strings.Contains(log, `"sni":"example.com"`) {
			t.Errorf("version %v: %s", v, log)
		}
		s.Data(app.ToServer, 0, []byte("\xc0encrypted"), 0)
		if n := len(s.Txs()); n != 2 {
			t.Errorf("%d transactions behind the hello", n)
		}
	}
}

func TestBroken(t *testing.T) {
	dcid := []byte("12345678")
	packet := seal(1, app.ToServer, dcid, unhex(t, cryptoFrame), 0)
	packet[len(packet)-1]++
	for name, c := range map[string]struct {
		packet []byte
		event  app.EventID
	}{
		"a changed tag":      {packet, failedDecrypt},
		"half a frame":       {seal(1, app.ToServer, dcid, append(make([]byte, 1162), frameCrypto, 0, 5), 0), errorOnData},
		"a handshake beyond": {seal(1, app.ToServer, dcid, []byte{frameCrypto, 0x80, 1, 0, 0, 1, 'x'}, 0), cryptoTooLong},
	} {
		s := session()
		s.Data(app.ToServer, 0, c.packet, 0)
		if len(s.Txs()) != 1 || len(s.Txs()[0].Common().Events) != 1 || s.Txs()[0].Common().Events[0] != c.event {
			t.Errorf("%s: %d transactions", name, len(s.Txs()))
		}
	}
}

// google is a packet of Google's QUIC 46 with a message of two tags.
const google = "\xc3Q046\x5012345678\x00\x00\x00\x01" + "............" +
	"\xa0\x01\x00\x24" + "CHLO\x02\x00\x00\x00" + "SNI\x00\x05\x00\x00\x00" + "UAID\x0c\x00\x00\x00" + "a.comChrome1"

func TestGoogle(t *testing.T) {
	s := session()
	s.Data(app.ToServer, 0, []byte(google), 0)
	if len(s.Txs()) != 1 {
		t.Fatalf("%d transactions", len(s.Txs()))
	}
	want := `{"quic":{"version":"Q046","sni":"a.com","ua":"Chrome1","cyu":[{"hash":"3ee85c355061ebe189ec4ca49623e324","string":"46,SNI-UAID"}]}}`
	if log := logOf(s.Txs()[0]); log != want {
		t.Errorf("%s", log)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(google), true)
	f.Add(seal(1, app.ToServer, []byte("12345678"), unhex(f, cryptoFrame), 0), true)
	f.Add(seal(v2, app.ToClient, []byte("12345678"), unhex(f, cryptoFrame), 0), false)
	f.Fuzz(func(t *testing.T, data []byte, client bool) {
		s := session()
		dir := app.ToClient
		if client {
			dir = app.ToServer
		}
		s.Data(dir, 0, data, 0)
		s.Data(dir, 0, data, 0)
		for _, x := range s.Txs() {
			logOf(x)
		}
	})
}

// FuzzFrames feeds what is under the protection.
func FuzzFrames(f *testing.F) {
	f.Add(unhex(f, cryptoFrame), uint32(1))
	f.Add([]byte(google[30:]), uint32(q046))
	f.Fuzz(func(t *testing.T, data []byte, v uint32) {
		var a assembly
		frames(data, version(v), func(offset uint64, piece []byte) { a.add(offset, piece) })
		a.message()
	})
}
