package importer

import (
	"fmt"
	"strings"
	"testing"
)

func lines(notes []Note) string {
	var out []string
	for _, n := range notes {
		out = append(out, n.String())
	}
	return strings.Join(out, "\n")
}

func compare(t *testing.T, in, want, wantNotes string) {
	t.Helper()
	got, notes, err := Read(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if lines(notes) != wantNotes {
		t.Errorf("notes\n%s\nwant\n%s", lines(notes), wantNotes)
	}
}

func TestIPVS(t *testing.T) {
	compare(t, `-A -t 203.0.113.10:80 -s wlc
-a -t 203.0.113.10:80 -r 10.0.2.11:8080 -m -w 3 -x 100 -y 50
-a -t 203.0.113.10:80 -r 10.0.2.12:8080 -m -w 0
-a -t 203.0.113.10:80 -r 10.0.2.13:80 -g -w 1
-A -u [2001:db8::53]:53 -s rr -p 300 -M 64 -o
-a -u [2001:db8::53]:53 -r [fd00::5]:53 -i -w 1

-A -f 7 -s rr
-a -f 7 -r 10.0.2.1:80 -g -w 1
-A -t 203.0.113.11:443 -s sed --pe sip
-a -t 203.0.113.11:http -r 10.0.2.1:http -g -w 1
-D -t 203.0.113.10:80
`, `vips:
  - address: 203.0.113.10
    proto: tcp
    ports: "80"
    mode: fullnat
    scheduler: wlc
    backends:
      - {address: 10.0.2.11, port: 8080, weight: 3, max_connections: 100}
      - {address: 10.0.2.12, port: 8080, weight: 0}
  - address: 2001:db8::53
    proto: udp
    ports: "53"
    mode: ipip
    scheduler: sh
    persistence_bits: 64
    one_packet: true
    backends:
      - {address: 'fd00::5', weight: 1}
  - address: 203.0.113.11
    proto: tcp
    ports: "443"
    mode: dr
    scheduler: wlc
    backends: []
`, `line 2: -y 50: a full backend takes flows again as soon as one ended
line 4: 10.0.2.13: forwards by dr, the first of its VIP by fullnat; a VIP has one mode here
line 5: persistence: is by a hash of the client (scheduler sh) here, without a timeout; rr is given up
line 8: -f 7 -s rr: firewall marks are no VIPs here: name addresses and port ranges
line 9: -f 7 -r 10.0.2.1:80 -g -w 1: its service is not there
line 10: scheduler sed: there is none; wlc is the nearest
line 10: --pe sip: has no counterpart
line 11: -t 203.0.113.11:http -r 10.0.2.1:http -g -w 1: "http" is no port: save with ipvsadm -S -n
line 12: -D -t 203.0.113.10:80: is neither a service (-A) nor a server (-a)`)
}

const keepalived = `! Configuration File for keepalived
global_defs {
   router_id LVS
}
virtual_server 203.0.113.10 443 {
    delay_loop 6   # seconds
    lb_algo wrr
    lb_kind NAT
    persistence_timeout 50
    persistence_granularity 255.255.255.0
    protocol TCP
    quorum 2
    hysteresis 1
    quorum_up "/bin/true"
    sorry_server 192.168.200.200 1358
    real_server 192.168.201.100 443 {
        weight 1
        SSL_GET {
            url { path /alive
              digest ff20ad2481f97b1754ef3e12ecd3a9cc
              status_code 200 }
            connect_timeout 3
            nb_get_retry 3
        }
    }
    real_server 192.168.201.101 443 { weight 2
        inhibit_on_failure
        TCP_CHECK { connect_timeout 3 }
    }
}
virtual_server group shop { lb_algo rr }
`

func TestKeepalived(t *testing.T) {
	compare(t, keepalived, `vips:
  - address: 203.0.113.10
    proto: tcp
    ports: "443"
    mode: fullnat
    scheduler: sh
    persistence_bits: 24
    quorum: 2
    quorum_up: 3
    health: {type: https, interval: 6s, timeout: 3s, fall: 4, path: /alive, status: "200"}
    sorry: {address: 192.168.200.200, port: 1358}
    backends:
      - {address: 192.168.201.100, port: 443, weight: 1}
      - {address: 192.168.201.101, port: 443, weight: 2}
`, `line 2: global_defs: is no virtual_server
line 14: quorum_up /bin/true: has no counterpart
line 20: digest ff20ad2481f97b1754ef3e12ecd3a9cc: has no counterpart
line 27: inhibit_on_failure: has no counterpart
line 28: TCP_CHECK: differs from the check in line 18; a VIP has one here
line 9: persistence: is by a hash of the client (scheduler sh) here, without a timeout; wrr is given up
line 31: virtual_server group shop: only virtual servers with an address and a port number are taken`)
	for in, want := range map[string]string{
		"virtual_server 1.2.3.4 80 {\n lb_algo rr\n": "a block is not closed at the end",
		"a \"}\" {":                 "a block is not closed",
		"}":                         "line 1: } closes nothing",
		"{":                         "line 1: { opens nothing",
		strings.Repeat("a {\n", 40): "nested over 32 deep",
	} {
		if _, _, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(keepalived)
	f.Add("-A -t 203.0.113.10:80 -s wlc\n-a -t 203.0.113.10:80 -r 10.0.2.11:8080 -m -w 3\n")
	f.Add("-A -t\n-a --real-server=x")
	f.Add("real_server {{}{")
	f.Fuzz(func(t *testing.T, in string) {
		_, notes, err := Read(strings.NewReader(in))
		if err != nil {
			return
		}
		for _, n := range notes {
			if n.Line < 1 || n.Line > strings.Count(in, "\n")+1 {
				t.Errorf("%s is outside the text", n)
			}
		}
	})
}

// TestOnePacketNeedsNoAnswer: what the edge would refuse is not written.
func TestOnePacketNeedsNoAnswer(t *testing.T) {
	out, notes, err := Read(strings.NewReader("-A -u 203.0.113.10:53 -s rr -o\n-a -u 203.0.113.10:53 -r 10.0.2.11:53 -m -w 1\n"))
	if err != nil || strings.Contains(string(out), "one_packet") || len(notes) != 1 || !strings.Contains(fmt.Sprint(notes[0]), "needs dr or a tunnel") {
		t.Errorf("%v, %v\n%s", err, notes, out)
	}
}
