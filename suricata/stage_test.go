package suricata

import (
	"slices"
	"testing"
)

func TestStages(t *testing.T) {
	r, err := Parse(`alert http $HOME_NET any -> any 80 (msg:"m"; content:"POST"; nocase; http_method; flowbits:isset,a; flowbits:set,b; ` +
		`flow:established,to_server; http.uri; url_decode; content:"/x"; content:"y"; distance:0; byte_extract:1,0,n; bsize:>3; threshold:type limit, track by_src, count 1, seconds 60; classtype:bad; sid:7; rev:2;)`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range r.Stages() {
		got = append(got, s.Adds)
		if _, err := Parse(s.WithID(9, 10)); err != nil {
			t.Errorf("stage %q: %v", s.Adds, err)
		}
	}
	want := []string{"alert http any any -> any any", "alert http $HOME_NET any -> any 80", "flow:established,to_server;",
		`content:"POST"; nocase; http_method;`, "flowbits:isset,a;", `http.uri; url_decode; content:"/x";`, `content:"y"; distance:0;`, "byte_extract:1, 0, n;", "bsize:>3;"}
	if !slices.Equal(got, want) {
		t.Errorf("stages\n%q\nwant\n%q", got, want)
	}
	last := r.Stages()[len(want)-1]
	if text := last.WithID(9, 10); text != `alert http $HOME_NET any -> any 80 (flow:established,to_server; content:"POST"; nocase; http_method; flowbits:isset,a; `+
		`http.uri; url_decode; content:"/x"; content:"y"; distance:0; byte_extract:1, 0, n; bsize:>3; gid:9; sid:10;)` {
		t.Errorf("the last stage is\n%s", text)
	}
}
