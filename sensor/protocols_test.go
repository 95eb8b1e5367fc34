package sensor

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// TestProtocols reads real captures. The numbers are those of Suricata 8.0.8,
// but for FTP, whose replies of several lines are one event here, POP3, where
// a message that is fetched does not end the session, and SNMP, where errors
// that have no name are told.
func TestProtocols(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"ndpi/dhcp-fuzz.pcapng":   {"anomaly": 1},
		"ndpi/ftp.pcap":           {"ftp": 17, "ftp_data": 2, "fileinfo": 1},
		"ndpi/pop3.pcap":          {"pop3": 36, "anomaly": 3},
		"ndpi/pop3_stls.pcap":     {"pop3": 4, "tls": 1, "anomaly": 1},
		"ndpi/sip.pcap":           {"sip": 81},
		"ndpi/smtp.pcap":          {"smtp": 1, "anomaly": 1},
		"ndpi/smtp-starttls.pcap": {"smtp": 2, "tls": 2},
		"ndpi/snmp.pcap":          {"snmp": 72},
		"ndpi/tftp.pcap":          {"tftp": 5},
		"ndpi/vnc.pcap":           {"rfb": 2, "anomaly": 2},
	} {
		c := site(t, map[string]string{"suricata.yaml": yaml + `outputs:
  - eve-log: {types: [anomaly, dhcp, files, ftp, pop3, rfb, sip, smtp, snmp, tftp, tls]}
`})
		c.Capture, c.Checksums = need.Data(t, "pcaps/"+name), "none"
		if _, err := Read(t.Context(), c, func(Problem) {}); err != nil {
			t.Fatal(err)
		}
		eve, err := os.ReadFile(filepath.Join(c.LogDir, "eve.json"))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for line := range bytes.Lines(eve) {
			var e struct {
				Kind string `json:"event_type"`
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			got[e.Kind]++
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
