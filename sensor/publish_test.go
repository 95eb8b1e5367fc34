package sensor

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/need"
)

// memorySink keeps events; each must survive being written and read.
type memorySink struct {
	t      *testing.T
	events []*event.Event
}

func (s *memorySink) Put(_ event.Class, observed time.Time, e *event.Event) error {
	data, err := e.MarshalVT()
	if err != nil {
		return err
	}
	read := &event.Event{}
	if err := read.UnmarshalVT(data); err != nil {
		s.t.Error(err)
	}
	if observed.Year() < 2000 {
		s.t.Errorf("observed at %s", observed)
	}
	s.events = append(s.events, read)
	return nil
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	c := DefaultConfig()
	c.Rules, c.Exclusive, c.LogDir = []string{filepath.Join(dir, "a.rules")}, true, dir
	rule := `alert http any any -> any any (msg:"curl"; http.user_agent; content:"curl/"; reference:url,x.example/a; metadata:mitre_technique_id T1071, mitre_tactic_name Command_And_Control; priority:2; sid:9;)`
	if err := os.WriteFile(c.Rules[0], []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{t: t}
	for _, name := range []string{"http__100-continue.pcap", "dns-caa.pcap"} {
		pl, err := open(c, func(Problem) {})
		if err != nil {
			t.Fatal(err)
		}
		pl.sink = sink
		var sum Summary
		if err := pl.read(t.Context(), need.Data(t, "pcaps/zeek/"+name), &sum); err != nil {
			t.Fatal(err)
		}
		if err := pl.finish(); err != nil {
			t.Fatal(err)
		}
		if err := pl.out.close(); err != nil {
			t.Fatal(err)
		}
	}
	var alert *event.Alert
	kinds := map[string]int{}
	for _, e := range sink.events {
		switch body := e.Body.(type) {
		case *event.Event_Alert:
			alert = body.Alert
		case *event.Event_Http:
			kinds["http"]++
			if h := body.Http; string(h.Host) != "www.osu.edu" || string(h.Method) != "POST" || h.Status != 405 && h.Status != 200 || h.Endpoints.DestinationPort != 80 {
				t.Errorf("http: %v", h)
			}
		case *event.Event_Dns:
			kinds["dns"]++
			if d := body.Dns; len(d.QuestionName) == 0 || d.QuestionType == "" || d.Response && d.ResponseCode == "" {
				t.Errorf("dns: %v", d)
			}
		case *event.Event_Flow:
			kinds["flow"]++
			if f := body.Flow; f.EndReason == "" || f.SourcePackets == 0 {
				t.Errorf("flow: %v", f)
			}
		}
	}
	if alert == nil {
		t.Fatal("no alert was published")
	}
	if alert.RuleId != "suricata:1:9" || alert.Severity != event.Severity_SEVERITY_MEDIUM || alert.Summary != "192.168.3.103:54102 -> 128.146.216.51:80: POST www.osu.edu/" ||
		alert.References[0] != "https://x.example/a" || alert.Techniques[0] != "T1071" || alert.Tactics[0] != "Command And Control" || alert.Fingerprint != "192.168.3.103 128.146.216.51" {
		t.Errorf("alert: %v", alert)
	}
	if string(alert.Evidence[0].Event.GetHttp().GetUserAgent()[:5]) != "curl/" {
		t.Errorf("evidence: %v", alert.Evidence[0])
	}
	if kinds["http"] == 0 || kinds["dns"] == 0 || kinds["flow"] < 2 {
		t.Errorf("published %v", kinds)
	}
}
