package ssh

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// binaryPacket wraps a message.
func binaryPacket(message string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(message)+4))
	b = append(b, 4)
	return string(b) + message + "\x00\x00\x00\x00"
}

func kexInit(lists ...string) string {
	b := append([]byte{msgKexInit}, make([]byte, 16)...)
	for _, l := range append(lists, "", "") {
		b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
		b = append(b, l...)
	}
	return binaryPacket(string(b) + "\x00\x00\x00\x00\x00")
}

func TestConnection(t *testing.T) {
	client := "SSH-2.0-PuTTY_0.80 a comment\r\n" + kexInit("kex", "key", "e1", "e2", "m1", "m2", "c1", "c2") + binaryPacket(string(rune(msgNewKeys))) + "secret"
	server := "welcome\r\nSSH-1.99-OpenSSH_9.2\r\n" + kexInit("kex", "key", "e1", "e2", "m1", "m2", "c1", "c2") + binaryPacket(string(rune(msgNewKeys)))
	for _, piece := range []int{1, 9, 1000} {
		r := app.NewRegistry(&app.Config{Get: func(path string) (string, bool) { return "yes", path == "ssh.hassh" }}, []*app.Protocol{Protocol})
		s := app.NewSession(r, app.FlowInfo{ServerPort: 22})
		for dir, text := range []string{client, server} {
			for at := 0; at < len(text); at += piece {
				s.Data(app.Dir(dir), uint64(at), []byte(text[at:min(len(text), at+piece)]), 0)
			}
		}
		if len(s.Txs()) != 1 {
			t.Fatalf("%d transactions", len(s.Txs()))
		}
		x := s.Txs()[0].(*connection)
		if x.Progress != [2]uint8{finished, finished} {
			t.Errorf("progress %v", x.Progress)
		}
		for b, want := range map[suricata.Buffer]string{suricata.BufSSHProto: "2.0", suricata.BufSSHSoftware: "PuTTY_0.80", suricata.BufSSHHASSHString: "kex;e1;m1;c1"} {
			if got, _ := x.Buffer(b, app.ToServer, 0, nil); string(got.Data) != want {
				t.Errorf("%v: %q, want %q", b, got.Data, want)
			}
		}
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, x, nil)
		w.Close()
		for _, want := range []string{`"client":{"proto_version":"2.0","software_version":"PuTTY_0.80","hassh":{"hash":"`, `"server":{"proto_version":"1.99","software_version":"OpenSSH_9.2"`, `"string":"kex;e2;m2;c2"`} {
			if !strings.Contains(string(w.Bytes()), want) {
				t.Errorf("%s lacks %s", w.Bytes(), want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("SSH-2.0-x\r\n"+kexInit("a", "b", "c", "d", "e", "f", "g", "h")), false)
	f.Fuzz(func(t *testing.T, b []byte, server bool) {
		p := newParser(&app.Context{Config: &app.Config{}, Hooks: app.NewSession(app.NewRegistry(&app.Config{}, nil), app.FlowInfo{})})
		dir := app.ToServer
		if server {
			dir = app.ToClient
		}
		p.Parse(&app.Input{Dir: dir, Data: b})
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, p.tx, nil)
		w.Close()
	})
}
