package siteconf_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
	"github.com/hauberk/hauberk/suricata/siteconf"
)

func TestClasses(t *testing.T) {
	c, err := siteconf.ParseClasses([]byte("# x\nconfig classification: Bad-Thing,A bad, bad thing,1\r\n\nthis is not correct\nconfig classification: x,y,300\n"), "c")
	if got, ok := c.Lookup("bad-thing"); !ok || got.Description != "A bad, bad thing" || got.Priority != 1 {
		t.Errorf("bad-thing is %+v", got)
	}
	if err == nil || !strings.Contains(err.Error(), "c:4: ") || !strings.Contains(err.Error(), "c:5: priority") {
		t.Errorf("errors: %v", err)
	}
}

func TestReferences(t *testing.T) {
	r, err := siteconf.ParseReferences([]byte("config reference: cve http://cve/?\nconfig reference: bad\n"), "r")
	if got := r.URL(suricata.Reference{System: "CVE", ID: "2020-1"}); got != "http://cve/?2020-1" {
		t.Errorf("URL %q", got)
	}
	if err == nil || !strings.Contains(err.Error(), "r:2: ") {
		t.Errorf("errors: %v", err)
	}
}

func TestThresholds(t *testing.T) {
	vars := netset.Vars{AddressGroups: map[string]string{"HOME_NET": "10.0.0.0/8"}}
	text := `
threshold gen_id 1, sig_id 2, type limit, track by_src, count 3, seconds 4
event_filter gen_id 0, sig_id 0, type both, track by_rule, \
   count 3, seconds 4
rate_filter gen_id 1, sig_id 5, track by_dst, count 6, seconds 7, new_action drop, timeout 8
suppress gen_id 1, sig_id 9
suppress gen_id 1, sig_id 9, track by_either, ip [$HOME_NET,!10.1.1.1]
suppress gen_id 1, sig_id 9, track by_src
suppress gen_id 1
rate_filter gen_id 1, sig_id 5, track by_dst, count 6, seconds 7, new_action laugh, timeout 8
event_filter gen_id 1, sig_id 2, type limit, track by_src, count 0, seconds 4
this is not correct
`
	entries, err := siteconf.ParseThresholds([]byte(text), "t", vars)
	if len(entries) != 5 {
		t.Fatalf("%d entries", len(entries))
	}
	for _, line := range []string{"t:8:", "t:9:", "t:10:", "t:11:", "t:12:"} {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("no error for %s in %v", line, err)
		}
	}
	if e := entries[2]; e.Action != suricata.Drop || e.Timeout != 8 || e.Threshold.Track != "by_dst" || e.Threshold.Count != 6 || e.Threshold.Seconds != 7 {
		t.Errorf("rate filter %+v", e)
	}
	in, out := netip.MustParseAddr("10.2.3.4"), netip.MustParseAddr("10.1.1.1")
	if e := entries[4]; !e.Suppresses(out, in) || e.Suppresses(out, out) || !entries[3].Suppresses(out, out) || entries[0].Suppresses(in, in) {
		t.Error("suppress is wrong")
	}
}

// TestUpstreamFiles: the files that come with Suricata 8.0 have no bad line.
func TestUpstreamFiles(t *testing.T) {
	dir := need.Data(t, "suricata-etc")
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	c, err := siteconf.ParseClasses(read("classification.config"), "c")
	if err != nil || len(c) < 40 {
		t.Errorf("%d classes, %v", len(c), err)
	}
	r, err := siteconf.ParseReferences(read("reference.config"), "r")
	if err != nil || len(r) < 10 {
		t.Errorf("%d references, %v", len(r), err)
	}
	if _, err := siteconf.ParseThresholds(read("threshold.config"), "t", netset.Vars{}); err != nil {
		t.Error(err)
	}
}

func FuzzConfigs(f *testing.F) {
	f.Add("config classification: a,b,1")
	f.Add("config reference: a b")
	f.Add("suppress gen_id 1, sig_id 2, track by_src, ip [1.2.3.4,!5.6.7.8/9]")
	f.Fuzz(func(_ *testing.T, s string) {
		_, _ = siteconf.ParseClasses([]byte(s), "c")
		_, _ = siteconf.ParseReferences([]byte(s), "r")
		_, _ = siteconf.ParseThresholds([]byte(s), "t", netset.Vars{})
	})
}
