package sensor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/packet"
	"github.com/hauberk/hauberk/packet/pcap"
	"github.com/hauberk/hauberk/packet/seqnum"
)

// download writes a capture of an HTTP download, complete with handshake and end.
func download(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	w, err := pcap.NewWriter(&b, packet.LinkRaw, 65535, pcap.Format{})
	if err != nil {
		t.Fatal(err)
	}
	client, server := []byte{10, 0, 0, 1}, []byte{192, 0, 2, 80}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).UnixNano()
	var next [2]seqnum.Value
	send := func(dir int, flags packet.Flags, payload string) {
		src, dst, ports := client, server, [2]uint16{40000, 80}
		if dir == 1 {
			src, dst, ports = server, client, [2]uint16{80, 40000}
		}
		s := packet.Segment{SrcPort: ports[0], DstPort: ports[1], Seq: next[dir], Ack: next[1-dir], Flags: flags, Window: 60000, Payload: []byte(payload)}
		if flags == packet.SYN {
			s.Ack = 0
		}
		tcp := packet.AppendTCP(nil, src, dst, &s)
		data := append(packet.AppendIP(nil, src, dst, packet.ProtoTCP, 64, 1, len(tcp)), tcp...)
		at += 1e6
		if err := w.Write(&pcap.Packet{Time: at, Data: data, Length: len(data), Link: packet.LinkRaw}); err != nil {
			t.Fatal(err)
		}
		next[dir] = next[dir].Add(seqnum.Size(len(payload)))
		if flags&(packet.SYN|packet.FIN) != 0 {
			next[dir] = next[dir].Add(1)
		}
	}
	send(0, packet.SYN, "")
	send(1, packet.SYN|packet.ACK, "")
	send(0, packet.ACK, "")
	send(0, packet.ACK|packet.PSH, "GET /evil.bin HTTP/1.1\r\nHost: bad.example\r\n\r\n")
	send(1, packet.ACK|packet.PSH, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nMALWARE")
	send(0, packet.ACK, "")
	send(1, packet.ACK|packet.PSH, "-BODY")
	send(0, packet.ACK|packet.FIN, "")
	send(1, packet.ACK|packet.FIN, "")
	send(0, packet.ACK, "")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

const eveYAML = yaml + `outputs:
  - eve-log: {types: [alert, http: {extended: yes}, files, flow, stats, anomaly]}
  - fast: {}
  - stats: {}
`

// TestRead follows a download from the capture to the logs, twice: the logs
// are the same to the byte.
func TestRead(t *testing.T) {
	var first []byte
	for round := range 2 {
		c := site(t, map[string]string{
			"suricata.yaml": eveYAML,
			"a.rules": `alert http any any -> any any (msg:"host"; http.host; content:"bad.example"; sid:1;)
alert http any any -> any any (msg:"body over two segments"; file.data; content:"MALWARE-BODY"; sid:2;)
alert tcp any any -> any any (msg:"stream"; flow:established,to_client; content:"MALWARE-BODY"; sid:3;)
alert http any any -> any any (msg:"not this"; http.method; content:"POST"; sid:4;)
`,
		})
		c.Capture = filepath.Join(t.TempDir(), "x.pcap")
		download(t, c.Capture)
		sum, err := Read(t.Context(), c, func(Problem) {})
		if err != nil || sum.Packets != 10 || sum.Alerts != 3 || sum.Files != 1 {
			t.Fatalf("%+v, %v", sum, err)
		}
		eve, err := os.ReadFile(filepath.Join(c.LogDir, "eve.json"))
		if err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			if !bytes.Equal(eve, first) {
				t.Errorf("another run gives\n%s, not\n%s", eve, first)
			}
			break
		}
		first = eve
		var kinds []string
		for line := range bytes.Lines(eve) {
			var e struct {
				Kind  string `json:"event_type"`
				Alert struct {
					SID int `json:"signature_id"`
				}
				HTTP struct {
					Hostname string
					Status   int
				}
				Flow struct{ State, Reason string }
				File struct {
					State string
					Size  int
				} `json:"fileinfo"`
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			kinds = append(kinds, e.Kind)
			switch {
			case e.Kind == "http" && (e.HTTP.Hostname != "bad.example" || e.HTTP.Status != 200),
				e.Kind == "fileinfo" && (e.File.State != "CLOSED" || e.File.Size != 12),
				e.Kind == "flow" && (e.Flow.State != "closed" || e.Flow.Reason != "shutdown"):
				t.Errorf("%s", line)
			}
		}
		slices.Sort(kinds)
		if want := []string{"alert", "alert", "alert", "fileinfo", "flow", "http", "stats"}; !slices.Equal(kinds, want) {
			t.Errorf("events %v, want %v", kinds, want)
		}
		fast, _ := os.ReadFile(filepath.Join(c.LogDir, "fast.log"))
		if !strings.Contains(string(fast), "03/04/2026-05:06:07") || !strings.Contains(string(fast), "{TCP} 10.0.0.1:40000 -> 192.0.2.80:80") {
			t.Errorf("fast.log: %s", fast)
		}
		stats, _ := os.ReadFile(filepath.Join(c.LogDir, "stats.log"))
		if !strings.Contains(string(stats), "decoder.pkts") {
			t.Errorf("stats.log: %s", stats)
		}
	}
}

func TestReadProblems(t *testing.T) {
	c := site(t, map[string]string{"suricata.yaml": eveYAML, "a.rules": "", "cut.pcap": "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "none.pcap": "no capture"})
	for name, want := range map[string]string{"absent.pcap": "no such file", "none.pcap": "none.pcap", "cut.pcap": "cut.pcap"} {
		c.Capture = filepath.Join(c.LogDir, name)
		if _, err := Read(t.Context(), c, func(Problem) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHostileCaptures reads upstream's captures with random bytes changed: no
// crash, and every packet is counted.
func TestHostileCaptures(t *testing.T) {
	root := need.Data(t, "suricata-verify")
	files, err := filepath.Glob(filepath.Join(root, "tests", "*", "*.pcap"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	c := site(t, map[string]string{
		"suricata.yaml": eveYAML,
		"a.rules":       `alert tcp any any -> any any (msg:"x"; content:"a"; pcre:"/a.*b/"; sid:1;)` + "\n" + `alert http any any -> any any (msg:"y"; http.uri; content:"a"; sid:2;)` + "\n",
	})
	dir := t.TempDir()
	for i, path := range files {
		if i%7 != 0 { // Enough for the gate.
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil || len(data) > 1<<20 {
			continue
		}
		seed := uint32(i + 1)
		for at := 60; at < len(data); {
			seed = seed*1664525 + 1013904223
			at += int(seed>>16) % 200
			if at < len(data) && at%16 > 3 { // Mostly not the lengths of records.
				data[at] ^= byte(seed >> 8)
			}
		}
		c.Capture = filepath.Join(dir, "x.pcap")
		if err := os.WriteFile(c.Capture, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Read(t.Context(), c, func(Problem) {}) // An error is as good as none.
	}
}
