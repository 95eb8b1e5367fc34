package state

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

// prepare compiles a rule that lies in a folder and prepares it.
func prepare(t *testing.T, d *Data, dir, text string) ([]*Lookup, error) {
	t.Helper()
	set := suricata.ParseText(text, filepath.Join(dir, "x.rules"), suricata.Options{})
	if len(set.Errors) > 0 || len(set.Rules) != 1 {
		t.Fatalf("%s: %v", text, set.Errors)
	}
	c, err := suricata.NewCompiler(netset.Vars{}).Compile(set.Rules[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(c); err != nil {
		return nil, err
	}
	var list []*Lookup
	for _, chain := range c.Chains() {
		for _, step := range chain.Steps {
			if s, ok := step.(*suricata.DataStep); ok {
				list = append(list, d.Lookup(s))
			}
		}
	}
	return list, nil
}

func rule(conditions string) string {
	return `alert http any any -> any any (` + conditions + ` sid:1;)`
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func matches(l *Lookup, data string) bool {
	_, ok := l.Match([]byte(data))
	return ok
}

func TestDatasets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.csv", "Y3VybA==\nd2dldA==\r\n")
	write(t, dir, "md5.csv", "b65d49730d16e5a8a7b2ab95350848b8\nnot a digest\n")
	write(t, dir, "four.csv", "10.0.0.1\n")
	write(t, dir, "ip.csv", "::ffff:10.0.0.1\n2001:db8::1\n")
	write(t, dir, "domains.csv", "LmV4YW1wbGUub3Jn\n") // .example.org
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		conditions, data string
		want             bool
	}{
		{`http.user_agent; dataset:isset,a,type string,load a.csv;`, "curl", true},
		{`http.user_agent; dataset:isset,a,type string,load a.csv;`, "wget", true},
		{`http.user_agent; dataset:isset,a,type string,load a.csv;`, "Curl", false},
		{`http.user_agent; dataset:isset,a,type string,load a.csv;`, "", false},
		{`http.user_agent; dataset:isnotset,a,type string,load a.csv;`, "lynx", true},
		{`http.user_agent; dataset:isnotset,a,type string,load a.csv;`, "", false},
		{`http.user_agent; dataset:isnotset,a,type string,load a.csv;`, "curl", false},
		{`http.host; to_md5; dataset:isset,m,type md5,load md5.csv;`, "\xb6\x5d\x49\x73\x0d\x16\xe5\xa8\xa7\xb2\xab\x95\x35\x08\x48\xb8", true},
		{`http.host; to_md5; dataset:isset,m,type md5,load md5.csv;`, "\xb6\x5d", false},
		{`ip.src; dataset:isset,f,type ipv4,load four.csv;`, string(v4.AsSlice()), true},
		{`ip.src; dataset:isset,f,type ipv4,load four.csv;`, string(v6.AsSlice()), false},
		{`ip.src; dataset:isset,i,type ip,load ip.csv;`, string(v4.AsSlice()), true},
		{`ip.src; dataset:isset,i,type ipv6,load ip.csv;`, string(v6.AsSlice()), true},
		{`ip.src; dataset:isset,i,type ip,load ip.csv;`, "\x0a\x00\x00\x02", false},
	} {
		l, err := prepare(t, New(Config{}), dir, rule(c.conditions))
		if err != nil {
			t.Errorf("%s: %v", c.conditions, err)
			continue
		}
		if got := matches(l[0], c.data); got != c.want {
			t.Errorf("%s: %q: %v", c.conditions, c.data, got)
		}
	}
}

func TestParentDomains(t *testing.T) {
	s := &Set{spec: Spec{Kind: String}, values: map[string]value{}}
	s.add([]byte(".example.org"), value{})
	l := &Lookup{set: s, cmd: "isset", subdomain: true}
	for name, want := range map[string]bool{"www.example.org": true, "a.b.example.org": true, ".example.org": true, "example.org": false, "wwwexample.org": false, "": false} {
		if matches(l, name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	d := New(Config{Dir: dir})
	set, err := prepare(t, d, "/nowhere", rule(`http.uri; dataset:set,seen,type string,state seen.csv;`))
	if err != nil {
		t.Fatal(err)
	}
	unset, err := prepare(t, d, "/nowhere", rule(`http.uri; dataset:unset,seen;`))
	if err != nil {
		t.Fatal(err)
	}
	isset, err := prepare(t, d, "/nowhere", rule(`http.uri; dataset:isset,seen;`))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		l    *Lookup
		data string
		want bool
	}{
		{isset[0], "/a", false}, {set[0], "/a", true}, {set[0], "/a", false}, {isset[0], "/a", true},
		{unset[0], "/b", false}, {unset[0], "/a", true}, {isset[0], "/a", false},
		{set[0], "/c", true}, {set[0], "/b", true}, {set[0], "/a", true},
	} {
		if got := matches(c.l, c.data); got != c.want {
			t.Errorf("%d: %s %q: %v", i, c.l.cmd, c.data, got)
		}
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "seen.csv"))
	if want := "L2M=\nL2I=\nL2E=\n"; err != nil || string(text) != want {
		t.Errorf("saved %q, %v", text, err)
	}
	again, err := prepare(t, New(Config{Dir: dir}), "/nowhere", rule(`http.uri; dataset:isset,seen,type string,state seen.csv;`))
	if err != nil || !matches(again[0], "/c") || matches(again[0], "/d") {
		t.Errorf("loaded again: %v", err)
	}
}

// TestSavedIsRead holds text against parse.
func TestSavedIsRead(t *testing.T) {
	for kind, list := range map[Kind][]string{
		String: {"a", "\x00,\n"}, MD5: {strings.Repeat("m", 16)}, SHA256: {strings.Repeat("s", 32)},
		IPv4: {"\x0a\x00\x00\x01"}, IP: {"\x0a\x00\x00\x01", string(netip.MustParseAddr("2001:db8::1").AsSlice())},
	} {
		s := &Set{spec: Spec{Kind: kind}, values: map[string]value{}}
		for _, v := range list {
			s.add([]byte(v), value{})
		}
		r := &Set{spec: Spec{Kind: kind}, values: map[string]value{}}
		if err := r.loadCSV(s.text()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for _, v := range list {
			if _, ok := r.has([]byte(v)); !ok {
				t.Errorf("%s: %q is lost", kind, v)
			}
		}
	}
}

func TestDatarep(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "r.csv", "YQ==,200\nYg==,7\n")
	for conditions, want := range map[string][2]bool{
		"datarep:r, >, 100, load r.csv, type string;":  {true, false},
		"datarep:r, <, 100, load r.csv, type string;":  {false, true},
		"datarep:r, ==, 200, load r.csv, type string;": {true, false},
	} {
		l, err := prepare(t, New(Config{}), dir, rule("http.uri; "+conditions))
		if err != nil {
			t.Errorf("%s: %v", conditions, err)
			continue
		}
		if got := [2]bool{matches(l[0], "a"), matches(l[0], "b")}; got != want || matches(l[0], "c") {
			t.Errorf("%s: %v", conditions, got)
		}
	}
}

func TestContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.json", `{"info":{"threat":[{"host":{"fqdn":"a","x":1}, "year":2005},{"host":{"fqdn":"a"},"year":2006},{"host":{}}]}}`)
	write(t, dir, "a.ndjson", `{"year":7,"ip":"10.0.0.1"}`+"\n\n"+`{"ip":"2001:db8::1"}`+"\n")
	for _, c := range []struct{ conditions, data, want string }{
		{`http.host; dataset:isset,a,type string,load a.json,format json,context_key k,value_key host.fqdn,array_key info.threat;`, "a", `{"host":{"fqdn":"a","x":1},"year":2005}`},
		{`http.host; dataset:isset,a,type string,load a.json,format json,context_key k,value_key host.fqdn,array_key info.threat,remove_key;`, "a", `{"host":{"x":1},"year":2005}`},
		{`ip.src; dataset:isset,a,type ip,load a.ndjson,format ndjson,context_key k,value_key ip;`, "\x0a\x00\x00\x01", `{"year":7,"ip":"10.0.0.1"}`},
		{`ip.src; dataset:isset,a,type ip,load a.ndjson,format ndjson,context_key k,value_key ip,remove_key;`, "\x0a\x00\x00\x01", `{"year":7}`},
	} {
		l, err := prepare(t, New(Config{}), dir, rule(c.conditions))
		if err != nil {
			t.Errorf("%s: %v", c.conditions, err)
			continue
		}
		if got, ok := l[0].Match([]byte(c.data)); !ok || got != (Context{"k", c.want}) {
			t.Errorf("%s: %v, %v", c.conditions, got, ok)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bad64.csv", "Y3Vy!\n")
	write(t, dir, "curl.csv", "Y3VybC83LjQzLjA=\n")
	write(t, dir, "rep.csv", "YQ==,x\n")
	write(t, dir, "mixed.csv", "YQ==\nYg==,3\n")
	write(t, dir, "four.csv", "10.0.0.1\n")
	write(t, dir, "not.json", "10.0.0.1,2\n")
	write(t, dir, "number.json", `{"v":1}`)
	for conditions, want := range map[string]string{
		`http.uri; dataset:isset,a;`:                                                                  "dataset a not defined",
		`http.uri; dataset:isset,a,type string,load gone.csv;`:                                        "load dataset a: open gone.csv",
		`http.uri; dataset:isset,a,type string,load bad64.csv;`:                                       "bad base64 encoding a in ",
		`http.uri; dataset:isset,a,type string,load mixed.csv;`:                                       "cannot mix dataset and datarep",
		`ip.src; dataset:isset,a,type ip,load four.csv;`:                                              "invalid Ipv6 value a in",
		`http.uri; datarep:a, >, 1, type string, load rep.csv;`:                                       "invalid datarep value a in",
		`http.uri; dataset:set,a,type string,save ../a;`:                                              "traversals not allowed",
		`http.uri; dataset:set,a,type string,save /a;`:                                                "absolute paths not allowed",
		`http.uri; dataset:isset,a,type ip,load not.json,format json,context_key k,value_key v;`:      "failed to parse from",
		`http.uri; dataset:isset,a,type ip,load number.json,format ndjson,context_key k,value_key v;`: "failed to get value because it is not a string",
		`http.uri; dataset:isset,a,type ip,load number.json,format ndjson,value_key v;`:               "'context_key'",
		`http.uri; dataset:isset,a,type string,load curl.csv,memcap 104064,hashsize 1;`:               "dataset too large for set memcap",
		`http.uri; dataset:isset,a,type string,load curl.csv,hashsize 1kb;`:                           "'single-hashsize' limit",
		`iprep:src,no,>,1;`: `unknown category "no"`,
	} {
		_, err := prepare(t, New(Config{MaxHashSize: 1000, HashSize: 100}), dir, rule(conditions))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", conditions, err, want)
		}
	}
	if _, err := prepare(t, New(Config{ForbidWrite: true}), dir, rule(`http.uri; dataset:set,a,type string,save a;`)); err == nil {
		t.Error("a set is saved in spite of allow-write: no")
	}
	d := New(Config{})
	if _, err := prepare(t, d, dir, rule(`http.uri; dataset:isset,a,type string,load curl.csv,memcap 104075,hashsize 1;`)); err != nil {
		t.Error(err)
	}
	if _, err := prepare(t, d, dir, rule(`http.uri; dataset:isset,a,type md5;`)); err == nil {
		t.Error("one name, two kinds")
	}
}

func TestReputation(t *testing.T) {
	var r Reputation
	if err := r.ReadCategories([]byte("# categories\n1,test,Testing\n2,two,\n"), "c"); err != nil {
		t.Fatal(err)
	}
	list := "ip,category,score\n10.0.0.1,1,0\n10.0.0.2,2,100\n10.1.0.0/16,1,50\n10.1.2.0/24,1,7\n2001:db8::/32,1,3\n"
	if err := r.ReadList([]byte(list), "l"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		condition, src, dst string
		want                bool
	}{
		{"src,test,=,0", "10.0.0.1", "1.1.1.1", true},
		{"src,test,=,0", "10.0.0.2", "1.1.1.1", true}, // Listed, in another category.
		{"src,test,=,0", "1.1.1.1", "10.0.0.1", false},
		{"dst,test,<,10", "1.1.1.1", "10.1.2.3", true},
		{"dst,test,>,10", "1.1.1.1", "10.1.3.3", true},
		{"any,two,=,100", "1.1.1.1", "10.0.0.2", true},
		{"both,test,!=,1", "10.0.0.1", "10.1.2.3", true},
		{"both,test,!=,1", "10.0.0.1", "1.1.1.1", false},
		{"src,test,isset", "10.1.2.3", "1.1.1.1", true},
		{"src,test,isnotset", "10.1.2.3", "1.1.1.1", false},
		{"any,test,isnotset", "10.1.2.3", "1.1.1.1", true},
		{"src,test,=,3", "2001:db8::9", "::1", true},
		{"src,test,isset", "2001:db9::9", "::1", false},
	} {
		o, err := suricata.Parse(rule("iprep:" + c.condition + ";"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.Condition(o.Options[0].Value.(*suricata.Reputation))
		if err != nil {
			t.Fatal(err)
		}
		if got := f(netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)); got != c.want {
			t.Errorf("%s: %s %s: %v", c.condition, c.src, c.dst, got)
		}
	}
	for _, bad := range []string{"10.0.0.1,1", "10.0.0.1,1,128", "10.0.0.1,60,1", "x,1,1", "10.0.0.0/33,1,1"} {
		if r.ReadList([]byte(bad+"\n"), "l") == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// FuzzLoad reads any text in each format, as each kind.
func FuzzLoad(f *testing.F) {
	f.Add("YQ==\n", uint8(0))
	f.Add("10.0.0.1,1,3\n", uint8(3))
	f.Add(`[{"v":"::1","w":{"v":2}}]`, uint8(9))
	f.Fuzz(func(t *testing.T, text string, how uint8) {
		kind := []Kind{String, MD5, SHA256, IPv4, IP}[how%5]
		s := &Set{spec: Spec{Kind: kind, ValueKey: "v", RemoveKey: how&64 != 0}, values: map[string]value{}}
		for _, load := range []func([]byte) error{s.loadCSV, s.loadJSON, s.loadLines} {
			_ = load([]byte(text)) // What is wrong is refused.
		}
		for key := range s.values {
			if n := kind.size(); n > 0 && len(key) != n {
				t.Errorf("%s holds %q", kind, key)
			}
		}
		var r Reputation
		_ = errors.Join(r.ReadCategories([]byte(text), "c"), r.ReadList([]byte(text), "l"))
	})
}
