package suricata_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata"
)

// canonical has options with their canonical text, "" if it is the same.
var canonical = []struct{ in, out string }{
	{`msg:"a \"quoted\" \; msg \\";`, ``},
	{`msg : "blank" ;`, `msg:"blank";`},
	{`CONTENT:"|41 4a|x|00FF|\;\"\\\|";`, `content:"AJx|00 FF 3B 22 5C 7C|";`},
	{`content: ! "x";`, `content:!"x";`},
	{`content:"a"; nocase; depth:+5; offset:0x02;`, `content:"a"; nocase; depth:5; offset:2;`},
	{`content:"abcd"; fast_pattern:1 , 2;`, `content:"abcd"; fast_pattern:1,2;`},
	{`content:"a"; pcre:/a\/b"c/Ri;`, `content:"a"; pcre:"/a\/b"c/Ri";`},
	{`pcre:"/(a)(b)/,flow:x,pkt:y";`, `pcre:"/(a)(b)/, flow:x, pkt:y";`},
	{`flow:from_client , ESTABLISHED;`, `flow:established,to_server;`},
	{`flowbits:isset, a | b;`, `flowbits:isset,a|b;`},
	{`flowint: n , notset;`, `flowint:n,isnotset;`},
	{`xbits:set, x, expire 10, track ip_pair;`, `xbits:set,x, track ip_pair, expire 10;`},
	{`threshold: seconds 1, count 2, type limit, track by_src;`, `threshold:type limit, track by_src, count 2, seconds 1;`},
	{`detection_filter:track by_dst,count 2,seconds 1;`, `detection_filter:track by_dst, count 2, seconds 1;`},
	{`tag:host,5,seconds,src;`, ``},
	{`dsize:3<>9;`, `dsize:3-9;`},
	{`dsize: = 1kb;`, `dsize:1024;`},
	{`ttl:!=5;`, `ttl:!5;`},
	{`ttl:&0x0f=0x03;`, `ttl:&15=3;`},
	{`itype:3-4;`, ``},
	{`flags:SA+,12;`, `tcp.flags:+SA,EC;`},
	{`fragbits:!D;`, ``},
	{`byte_test:4,!&,0x10,-2,relative,little;`, `byte_test:4, !&, 16, -2, relative, little;`},
	{`byte_jump:2,0,from_end,post_offset -3,string,dec;`, `byte_jump:2, 0, string, dec, from_end, post_offset -3;`},
	{`byte_extract:1,0,v,align 4; content:"a"; within:v;`, `byte_extract:1, 0, v, align 4; content:"a"; within:v;`},
	{`byte_math:bytes 2,offset 0,oper <<,rvalue 3,result v,endian little;`, `byte_math:bytes 2, offset 0, oper <<, rvalue 3, result v, endian little;`},
	{`isdataat:!5,relative;`, ``},
	{`http.uri; to_lowercase; content:"a";`, ``},
	{`file_data:to_client; content:"a";`, `file.data:to_client; content:"a";`},
	{`filesize:to_server, >5;`, `filesize:to_server, >5;`},
	{`dns.rrtype:AAAA,all;`, `dns.rrtype:aaaa,all;`},
	{`dcerpc.iface:367ABB81-9844-35f1-ad32-98f038001003,>5,any_frag;`, `dcerpc.iface:367abb81-9844-35f1-ad32-98f038001003,>5,any_frag;`},
	{`stream_size:both,>=,9;`, ``},
	{`iprep:src,Bad,<,30;`, ``},
	{`entropy:bytes 8, value >= 7.5; content:"a";`, ``},
	{`reference:CVE, 2020-1;`, `reference:cve,2020-1;`},
	{`metadata:a b,c  d , e;`, `metadata:a b, c d, e;`},
	{`requires: version>=7.0.3 <9|>=8, keyword sid;`, `requires:version >= 7.0.3 < 9 | >= 8, keyword sid;`},
	{`dns.query; dataset:isset,x, type string,load f.csv;`, `dns.query; dataset:isset,x, type string, load f.csv;`},
}

// TestCanonical: options are printed in one way, whatever way they are written.
func TestCanonical(t *testing.T) {
	for _, c := range canonical {
		want := c.out
		if want == "" {
			want = c.in
		}
		r, err := suricata.Parse("alert ip any any -> any any (" + c.in + " sid:1;)")
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		_, options, _ := strings.Cut(r.String(), "(")
		if got := strings.TrimSuffix(options, " sid:1;)"); got != want {
			t.Errorf("%s\nprints as %s\nwant      %s", c.in, got, want)
		}
		identity(t, r)
	}
}

func TestHeaderCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`Alert TCP !$HOME_NET 80 <> [ 1.2.3.4 , ![::1, $X] ] [1024: , !2000:3000]`: `alert tcp !$HOME_NET 80 <> [1.2.3.4,![::1,$X]] [1024:,!2000:3000]`,
		`drop:flow tls:client_hello_done any any -> any any`:                       ``,
		`accept:hook,alert http1:request_line any any -> any any`:                  ``,
	} {
		if want == "" {
			want = in
		}
		r, err := suricata.Parse(in + " (sid:1;)")
		if err != nil {
			t.Error(err)
			continue
		}
		if got := r.String(); got != want+" (sid:1;)" {
			t.Errorf("%s\nprints as %s", in, got)
		}
	}
}

// TestErrors: what is refused, where and why.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{`alert tcp any any -> any any (msg:"x";)`, `1:1: sid: missing`},
		{`alert tcp any any -> any any`, `no options`},
		{`alert tcp any any -> any any (sid:1`, `not closed`},
		{`alert tcp any any -> any any (sid:1)`, `1:31: no terminating ";"`},
		{`alarm tcp any any -> any any (sid:1;)`, `1:1: sid 1: unknown action "alarm"`},
		{`alert tpc any any -> any any (sid:1;)`, `1:7: sid 1: unknown protocol "tpc"`},
		{`alert tcp:request_started any any -> any any (sid:1;)`, `has no hook`},
		{`alert tcp any any <- any any (sid:1;)`, `1:19: sid 1: direction "<-"`},
		{`alert tcp [1.2.3.4 any -> any any (sid:1;)`, `[ is not closed`},
		{`alert tcp any any -> any any (sid:1; sid:2;)`, `1:38: sid 2: sid: given twice`},
		{`alert tcp any any -> any any (foo:1; sid:1;)`, `1:31: sid 1: foo: unknown keyword`},
		{`alert tcp any any -> any any (lua:x.lua; sid:1;)`, `lua: not supported`},
		{`alert tcp any any -> any any (content:a; sid:1;)`, `in double quotes`},
		{`alert tcp any any -> any any (content:"a" nocase; sid:1;)`, `is a semicolon missing?`},
		{`alert tcp any any -> any any (ttl:"5"; sid:1;)`, `must not be in quotes`},
		{`alert tcp any any -> any any (ttl; sid:1;)`, `needs an argument`},
		{`alert tcp any any -> any any (content:"a"; nocase:1; sid:1;)`, `takes no argument`},
		{`alert tcp any any -> any any (ttl:256; sid:1;)`, `no number of 8 bits`},
		{`alert tcp any any -> any any (ttl:>255; sid:1;)`, `true or false for every`},
		{`alert tcp any any -> any any (nocase; sid:1;)`, `needs a content before it`},
		{`alert tcp any any -> any any (content:"a"; fast_pattern; content:"b"; fast_pattern; sid:1;)`, `only one content`},
		{`alert http any any -> any any (http.uri; sid:1;)`, `nothing is matched in it`},
		{`alert dns any any -> any any (http.uri; content:"a"; sid:1;)`, `bound to [dns doh2]`},
		{`alert http any any -> any any (flow:to_client; http.uri; content:"a"; sid:1;)`, `bound to to_client`},
		{`alert http any any -> any any (dsize:5; http.uri; content:"a"; sid:1;)`, `mixes keywords of packets`},
		{`alert http any any -> any any (http.uri; content:"a"; http_uri; sid:1;)`, `sticky buffer is still set`},
		{`alert http any any -> any any (http.uri; content:"a"; bsize:>5; bsize:0; sid:1;)`, `cannot match: the contents need`},
		{`alert tcp any any -> any any (content:"a"; to_md5; sid:1;)`, `needs a sticky buffer`},
		{`alert http any any -> any any (app-layer-protocol:tls; sid:1;)`, `contradicts protocol http`},
		{`alert tcp any any -> any any (flow:to_server,to_client; sid:1;)`, `repeats or contradicts`},
		{"alert tcp any any -> any any (msg:\"\x01\"; sid:1;)", `1:36: control character`},
		{`alert tcp any any -> any any (threshold:type limit, track by_src, count 1, seconds 1; detection_filter:track by_src, count 1, seconds 1; sid:1;)`, `together with threshold`},
		{`alert tcp any any -> any any (pcre:"/(/"; sid:1;)`, `pcre: parse expression at offset`},
		{`alert http any any -> any any (http.uri; pcrexform:"abc"; content:"a"; sid:1;)`, `no group to keep`},
		{`alert tls any any -> any any (ja3.hash; content:"abc"; sid:1;)`, `32 hex digits`},
		{`alert http any any -> any any (http.header.raw; content:"a"; sid:1;)`, `needs a direction`},
		{`alert smtp any any -> any any (frame:nothing; content:"a"; sid:1;)`, `protocol smtp has no frame "nothing"`},
		{`alert tcp any any -> any any (frame:pdu; content:"a"; sid:1;)`, `needs an application protocol`},
		{`alert http any any => any any (http.uri; content:"a"; sid:1;)`, `must look at the request and at the response`},
		{`alert http any any => any any (http.uri; content:"a"; http.stat_code; content:"200"; http.header; content:"a"; sid:1;)`, `is in both directions`},
		{`alert tcp any any -> any any (requires:version >= 9; foo:1; sid:1;)`, `is not asked for`},
	} {
		_, err := suricata.Parse(c.rule)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nerror %v\nwant  %s", c.rule, err, c.want)
		}
	}
}

// TestAllProblems: one rule's problems are reported together.
func TestAllProblems(t *testing.T) {
	_, err := suricata.Parse(`alarm tcp any any <- any any (foo:1; ttl:999; sid:1;)`)
	var errs suricata.Errors
	if !errors.As(err, &errs) || len(errs) != 4 {
		t.Errorf("problems: %v, want 4", err)
	}
}

// TestRuleFile: line ends, continuations, comments, a byte order mark, disabled
// rules, revisions.
func TestRuleFile(t *testing.T) {
	text := "\ufeff# comment\r\n" +
		"alert tcp any any -> any any ( \\\r\n" +
		"  msg:\"two\"; \\\r\n" +
		"  sid:2; rev:1;)\r\n" +
		"\r\n" +
		"#alert tcp any any -> any any (sid:3;)\n" +
		"# alert me (please)\n" +
		"alert tcp any any -> any any (msg:\"newer\"; sid:2; rev:2;)\n" +
		"alert tcp any any -> any any (msg:\"older\"; sid:2; rev:1;)\n" +
		"   alert tcp any any -> any any \\\n" +
		"    (bad; sid:4;)\n" +
		"alert tcp any any -> any any (sid:5;)"
	set := suricata.ParseText(text, "f", suricata.Options{Disabled: true})
	var sids []uint32
	for _, r := range set.Rules {
		sids = append(sids, r.SID)
	}
	if len(sids) != 2 || set.Rules[0].Msg != "newer" || set.Rules[0].Line != 8 || sids[1] != 5 {
		t.Errorf("rules %v", set.Rules)
	}
	if len(set.Disabled) != 1 || set.Disabled[0].SID != 3 || set.Disabled[0].Enabled || set.Disabled[0].Line != 6 {
		t.Errorf("disabled %v", set.Disabled)
	}
	got := set.Errors.Error()
	for _, want := range []string{"f:9:1: sid 2: sid: duplicate", `f:11:6: sid 4: bad: unknown keyword "bad"`} {
		if !strings.Contains(got, want) {
			t.Errorf("errors %s\nlack %s", got, want)
		}
	}
}

// TestUint: comparisons, against their meaning.
func TestUint(t *testing.T) {
	for _, c := range []struct {
		arg     string
		in, out []uint64
	}{
		{"5", []uint64{5}, []uint64{4, 6}}, {"!5", []uint64{4}, []uint64{5}}, {">5", []uint64{6}, []uint64{5}},
		{">=5", []uint64{5}, []uint64{4}}, {"<5", []uint64{4}, []uint64{5}}, {"<=5", []uint64{5}, []uint64{6}},
		{"3-6", []uint64{4, 5}, []uint64{3, 6}}, {"!3-6", []uint64{3, 6}, []uint64{4, 5}}, {"0x10", []uint64{16}, []uint64{10}},
		{"&0xf0=0x10", []uint64{0x1f}, []uint64{0x2f}}, {"&0xf0!=0x10", []uint64{0x2f}, []uint64{0x1f}}, {"1kb", []uint64{1024}, []uint64{1}},
	} {
		r, err := suricata.Parse("alert ip any any -> any any (dsize:" + c.arg + "; sid:1;)")
		if err != nil {
			t.Error(err)
			continue
		}
		u := r.Find("dsize").Value.(*suricata.Uint)
		for _, x := range c.in {
			if !u.Match(x) {
				t.Errorf("%s does not match %d", c.arg, x)
			}
		}
		for _, x := range c.out {
			if u.Match(x) {
				t.Errorf("%s matches %d", c.arg, x)
			}
		}
	}
}

// TestFlags: TCP flags, by the bits of the header.
func TestFlags(t *testing.T) {
	const fin, syn, ack, ece, cwr = 1, 2, 16, 64, 128
	for _, c := range []struct {
		arg     string
		in, out []uint8
	}{
		{"S", []uint8{syn}, []uint8{syn | ack, 0}},
		{"S,12", []uint8{syn, syn | cwr, syn | ece}, []uint8{syn | ack}},
		{"+S", []uint8{syn, syn | ack}, []uint8{ack}},
		{"*SF", []uint8{syn, fin | ack}, []uint8{ack}},
		{"!S", []uint8{ack}, []uint8{syn | ack}},
		{"0", []uint8{0}, []uint8{ack}},
	} {
		r, err := suricata.Parse("alert tcp any any -> any any (flags:" + c.arg + "; sid:1;)")
		if err != nil {
			t.Error(err)
			continue
		}
		f := r.Find("tcp.flags").Value.(*suricata.Flags)
		for _, x := range c.in {
			if !f.Match(suricata.TCPFlagOrder, x) {
				t.Errorf("%s does not match %#x", c.arg, x)
			}
		}
		for _, x := range c.out {
			if f.Match(suricata.TCPFlagOrder, x) {
				t.Errorf("%s matches %#x", c.arg, x)
			}
		}
	}
}
