package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

func TestExplain(t *testing.T) {
	capture := need.Data(t, "pcaps/zeek/http__100-continue.pcap")
	rules := filepath.Join(t.TempDir(), "a.rules")
	text := `alert http any any -> any any (msg:"fires"; flow:established,to_server; http.method; content:"POST"; http.uri; content:"/"; sid:1; rev:2;)
alert http any any -> any any (msg:"does not"; flow:established,to_server; http.method; content:"GET"; http.uri; content:"/"; sid:2;)
# alert http any any -> any any (msg:"off"; http.method; content:"POST"; sid:3;)
alert http any any -> any any (nosuch; sid:4;)
alert http any any -> any any (msg:"asks"; http.method; content:"POST"; flowbits:isset,b; noalert; sid:5;)
alert http any any -> any any (http.method; content:"POST"; flowbits:set,b; noalert; sid:6;)
pass http any any -> any any (http.method; content:"POST"; sid:7;)
`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Rules, c.Exclusive, c.Capture = []string{rules}, true, capture
	flows := func(x *Explanation) (list []int) {
		for _, s := range x.Stages {
			list = append(list, s.Flows)
		}
		return list
	}
	for sid, want := range map[uint32]struct {
		flows            []int
		alerts, silenced uint64
		problem          string
	}{
		1: {[]int{1, 1, 1, 1}, 1, 0, ""},
		2: {[]int{1, 1, 0, 0}, 0, 0, ""},
		3: {[]int{1, 1}, 1, 0, ""},
		4: {nil, 0, 0, "unknown keyword"},
		5: {[]int{1, 1, 1}, 0, 1, ""},
	} {
		x, err := Explain(t.Context(), c, sid)
		if err != nil {
			t.Fatalf("sid %d: %v", sid, err)
		}
		got := flows(x)
		same := len(got) == len(want.flows)
		for i := range want.flows {
			same = same && got[i] == want.flows[i]
		}
		if !same || x.Alerts != want.alerts || x.Silenced != want.silenced || !strings.Contains(x.Problem, want.problem) || x.Enabled != (sid != 3) {
			t.Errorf("sid %d: %+v", sid, x)
		}
		if sid == 1 {
			if len(x.Passed) != 1 || x.Passed[0] != 7 {
				t.Errorf("sid 1: pass rules %v, want 7", x.Passed)
			}
			if s := x.Stages[1].Samples[0]; s.Packet == 0 || s.To != "128.146.216.51:80" || !strings.Contains(s.Tx, `"http_method":"POST"`) {
				t.Errorf("sid 1: sample %+v", s)
			}
		}
	}
	if _, err := Explain(t.Context(), c, 99); err == nil || !strings.Contains(err.Error(), "no rule has sid 99") {
		t.Errorf("sid 99: %v", err)
	}
}
