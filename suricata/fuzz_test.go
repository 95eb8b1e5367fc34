package suricata_test

import (
	"testing"

	"github.com/hauberk/hauberk/suricata"
)

// FuzzParse: no input panics, and what parses prints to text that parses to
// the same text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`alert tcp $HOME_NET any -> [10.0.0.0/8,!10.1.2.3] [80,8000:8080] (msg:"a \"b\" \; c"; content:"|00 ff|x"; offset:1; depth:9; sid:1; rev:2;)`,
		`drop http any any <> any any (http.host; dotprefix; content:".example.com"; endswith; fast_pattern; pcre:"/a{2,}b/Ri"; sid:2;)`,
		`pass ip any any -> any any (ip_proto:!tcp; byte_extract:2,0,n,relative; byte_test:1,!&,0x80,n; isdataat:!1,relative; sid:3;)`,
		`reject http any any => any any (http.stat_code; content:"5"; http.uri; bsize:3-10; from_base64:offset 2; content:"x"; threshold:type limit, track by_src, count 1, seconds 5; sid:4;)`,
		`alert tls:client_hello_done any any -> any any (tls.sni; content:"a"; xbits:set,b,track ip_src,expire 10; flowint:n,+,1; sid:5;)`,
	} {
		f.Add(s)
	}
	for _, c := range canonical {
		f.Add("alert ip any any -> any any (" + c.in + " sid:1;)")
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := suricata.Parse(s); err == nil {
			identity(t, r)
		}
	})
}

// FuzzRuleFile: no file panics.
func FuzzRuleFile(f *testing.F) {
	f.Add("# alert tcp any any -> any any (sid:1;)\r\nalert tcp any any \\\r\n -> any any \\\n (sid:2;)")
	f.Fuzz(func(t *testing.T, s string) {
		set := suricata.ParseText(s, "x.rules", suricata.Options{Disabled: true})
		for _, e := range set.Errors {
			if e.Line < 1 || e.Column < 1 {
				t.Errorf("error without a place: %v", e)
			}
		}
	})
}
