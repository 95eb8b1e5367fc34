package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// TestAssets reads a visit of a web page, and what a server of SSH says of itself.
func TestAssets(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "suricata.yaml")
	text := "%YAML 1.1\n---\nvars: {address-groups: {HOME_NET: any}}\noutputs:\n  - assets: {enabled: yes}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"http__100-continue.pcap", "arp-who-has.pcap", "ssh__single-conn.pcap"} {
		c := DefaultConfig()
		c.File, c.LogDir, c.NoDetection = conf, dir, true
		c.Capture = need.Data(t, "pcaps/zeek/"+name)
		if _, err := Read(t.Context(), c, func(p Problem) { t.Error(p) }); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "assets.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"asset":"host","ip":"192.168.3.103","os_guess":"macOS or iOS","software":["curl/7.17.1 (i386-apple-darwin8.11.1) libcurl/7.17.1 zlib/1.2.3"],`,
		`{"asset":"service","ip":"128.146.216.51","proto":"TCP","port":80,"app_proto":"http","software":["`,
		`"client":"192.168.3.103","server":"128.146.216.51","proto":"TCP","port":80,"app_proto":"http","flows":1,"pkts_toserver":18,"bytes_toserver":3218,`,
		`{"asset":"host","ip":"10.0.0.1","mac":"f8:ed:a5:c0:a4:f1",`,
		`"proto":"TCP","port":22,"app_proto":"ssh","software":["`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
