package suricata_test

import (
	"testing"

	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/netset"
)

var site = netset.Vars{
	AddressGroups: map[string]string{"HOME_NET": "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]", "EXTERNAL_NET": "!$HOME_NET",
		"HTTP_SERVERS": "$HOME_NET", "SMTP_SERVERS": "$HOME_NET", "SQL_SERVERS": "$HOME_NET", "DNS_SERVERS": "$HOME_NET",
		"TELNET_SERVERS": "$HOME_NET", "AIM_SERVERS": "$EXTERNAL_NET", "MODBUS_SERVER": "$HOME_NET", "MODBUS_CLIENT": "$HOME_NET",
		"ENIP_SERVER": "$HOME_NET", "ENIP_CLIENT": "$HOME_NET", "DC_SERVERS": "$HOME_NET"},
	PortGroups: map[string]string{"HTTP_PORTS": "80", "SHELLCODE_PORTS": "!80", "ORACLE_PORTS": "1521", "SSH_PORTS": "22",
		"FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]", "FTP_PORTS": "21", "MODBUS_PORTS": "502", "DNP3_PORTS": "20000", "SMTP_PORTS": "25"},
}

func compile(t testing.TB, text string) *suricata.Compiled {
	t.Helper()
	r, err := suricata.Parse(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	c, err := suricata.NewCompiler(site).Compile(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTypes(t *testing.T) {
	for _, c := range []struct{ want, rule string }{
		{"ip_only", `ip 1.2.3.4 any -> any any (sid:1;)`},
		{"ip_only", `tcp 1.2.3.4 any -> any any (flowbits:set,a; threshold:type limit, track by_src, count 1, seconds 9; sid:1;)`},
		{"like_ip_only", `ip !1.2.3.4 any -> any any (sid:1;)`},
		{"pd_only", `tcp any any -> any any (app-layer-protocol:http; sid:1;)`},
		{"pd_only", `tcp any any -> any any (flow:to_server; app-layer-protocol:!tls; sid:1;)`},
		{"de_only", `pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)`},
		{"pkt", `tcp any any -> any any (flags:S; sid:1;)`},
		{"pkt", `ip any any -> any any (flow:to_server; sid:1;)`},
		{"pkt", `tcp any any -> any any (stream-event:est_synack_resend; sid:1;)`},
		{"pkt", `tcp-pkt any any -> any any (content:"a"; sid:1;)`},
		{"pkt", `tcp any any -> any any (dsize:5; content:"a"; sid:1;)`},
		{"pkt", `tcp any any -> any any (tcp.hdr; content:"a"; sid:1;)`},
		{"stream", `tcp any any -> any any (content:"a"; sid:1;)`},
		{"stream", `tcp-stream any any -> any any (content:"a"; depth:9; sid:1;)`},
		{"pkt_stream", `tcp any any -> any any (content:"a"; depth:9; sid:1;)`},
		{"pkt_stream", `tcp any any -> any any (content:"a"; stream_size:client,>,9; sid:1;)`},
		{"pkt_stream", `udp any any -> any any (content:"a"; sid:1;)`},
		{"app_layer", `http any any -> any any (sid:1;)`},
		{"app_tx", `http any any -> any any (http.uri; content:"a"; sid:1;)`},
		{"app_tx", `tls any any -> any any (tls.version:1.2; sid:1;)`},
		{"app_tx", `http any any -> any any (app-layer-event:http.gzip_decompression_failed; sid:1;)`},
		{"pkt", `ip any any -> any any (app-layer-event:applayer_unexpected_protocol; sid:1;)`},
		{"app_tx", `http1:request_started any any -> any any (sid:1;)`},
		{"app_tx", `smtp any any -> any any (frame:smtp.data; content:"a"; sid:1;)`},
	} {
		if got := compile(t, "alert "+c.rule).Type.String(); got != c.want {
			t.Errorf("%s is %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestFastPattern(t *testing.T) {
	for _, c := range []struct{ want, rule string }{
		{"longest", `tcp any any -> any any (content:"short"; content:"longest"; content:"short"; sid:1;)`},
		{"aBc", `tcp any any -> any any (content:"aaa"; content:"aBc"; sid:1;)`},
		{"chosen", `tcp any any -> any any (content:"chosen"; fast_pattern; content:"longer one"; sid:1;)`},
		{"ose", `tcp any any -> any any (content:"chosen"; fast_pattern:2,3; sid:1;)`},
		{"/u", `http any any -> any any (http.method; content:"OPTIONS"; http.uri; content:"/u"; sid:1;)`},
		{"/u", `http any any -> any any (content:"payload"; http.uri; content:"/u"; sid:1;)`},
		{"x", `tcp any any -> any any (content:!"negated"; content:"x"; sid:1;)`},
		{"negated", `tcp any any -> any any (content:!"negated"; sid:1;)`},
		{"b", `http any any -> any any (http.host; absent:or_else; content:!"aaaa"; http.uri; content:"b"; sid:1;)`},
		{"/q", `http any any => any any (http.stat_msg; content:"response"; http.uri; content:"/q"; sid:1;)`},
		{"", `tcp any any -> any any (pcre:"/a/"; sid:1;)`},
	} {
		f := compile(t, "alert "+c.rule).Fast
		got := ""
		if f != nil {
			got = string(f.Bytes)
		}
		if got != c.want {
			t.Errorf("%s scans for %q, want %q", c.rule, got, c.want)
		}
	}
}

// TestDigests: contents are changed to the case of the buffer.
func TestDigests(t *testing.T) {
	for want, rule := range map[string]string{
		"0123456789abcdef0123456789abcdef": `ja3.hash; content:"0123456789ABCDEF0123456789ABCDEF";`,
		"0A:0B":                            `tls.cert_serial; content:"0a:0b";`,
	} {
		c := compile(t, "alert tls any any -> any any ("+rule+" sid:1;)")
		if got := string(c.Chains()[0].Steps[0].(*suricata.Content).Pattern); got != want || string(c.Fast.Bytes) != want {
			t.Errorf("%s looks for %s", rule, got)
		}
	}
}

func TestHeader(t *testing.T) {
	c := compile(t, `alert dns $HOME_NET any -> any 53 (dns.query; content:"a"; sid:1;)`)
	if c.Dir != suricata.ToServer || len(c.IPProtos) != 2 || !c.Src.Negated() && c.Src.Any() || !c.DstPort.Contains(53) || c.DstPort.Contains(54) {
		t.Errorf("dir %v protos %v src %v ports %v", c.Dir, c.IPProtos, c.Src.Ranges(), c.DstPort.Ranges())
	}
	if c := compile(t, `alert icmpv6 any any -> any any (itype:8; sid:1;)`); c.IPv4 || !c.IPv6 || len(c.IPProtos) != 1 || len(c.Packet) != 1 {
		t.Errorf("icmpv6: %v %v %v %v", c.IPv4, c.IPv6, c.IPProtos, c.Packet)
	}
	if c := compile(t, `alert tls:server_hello any any -> any any (sid:1;)`); c.Dir != suricata.ToClient {
		t.Errorf("server_hello is %v", c.Dir)
	}
	r, err := suricata.Parse(`alert tcp $NOWHERE any -> any $NOPORT (sid:1;)`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = suricata.NewCompiler(site).Compile(r)
	if errs, ok := err.(suricata.Errors); !ok || len(errs) != 2 {
		t.Errorf("undefined variables: %v, want two problems", err)
	}
}

// TestCompileETOpen: all public rules compile.
func TestCompileETOpen(t *testing.T) {
	set := load(t, "etopen", "*.rules")
	c := suricata.NewCompiler(site)
	types := map[suricata.Type]int{}
	for _, r := range append(set.Rules, set.Disabled...) {
		out, err := c.Compile(r)
		if err != nil {
			t.Error(err)
			continue
		}
		types[out.Type]++
	}
	t.Log(types)
}
