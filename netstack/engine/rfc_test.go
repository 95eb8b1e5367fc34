package engine

import "testing"

// The opening lines of most scripts.
const (
	accepted = `
		listen
		< S 0(0) mss 1460 sackok
		> +0.00 S. 0(0) ack 1 win 65535 mss 1460 sackok
		< . 1(0) ack 1
		* opened
`
	accepted1000 = `
		greedy
		listen
		< S 0(0) mss 1000 sackok
		> +0.00 S. 0(0) ack 1 win 65535 mss 1460 sackok
		wait 0.1
		< . 1(0) ack 1
		* opened
`
)

// TestScripts are conversations by the sections of the RFCs that ask for them.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		name, script string
		edit         func(*Config)
	}{
		{name: "9293 3.5 accept, 3.6 the peer closes first", script: accepted + `
			< P. 1(10) ack 1
			* data 10
			read 100
			* read 10 eof false
			write 20
			> +0.00 P. 1(20) ack 11 win 65525
			< F. 11(0) ack 21
			* eof
			> +0.00 . 21(0) ack 12 win 65524
			read 1
			* read 0 eof true
			close
			> +0.00 F. 21(0) ack 12 win 65524
			< . 12(0) ack 22
			* closed <nil>
			< . 12(0) ack 22
			> +0.00 R 22(0) win 0
		`},
		{name: "9293 3.6 we close first; TIME_WAIT acknowledges a FIN again and ends", script: accepted + `
			close
			> +0.00 F. 1(0) ack 1 win 65535
			< . 1(0) ack 2
			< F. 1(0) ack 2
			* eof
			* closed <nil>
			> +0.00 . 2(0) ack 2 win 65534
			< F. 1(0) ack 2
			> +0.00 . 2(0) ack 2 win 65534
			wait 61
			< . 2(0) ack 2
			> +0.00 R 2(0) win 0
		`},
		{name: "9293 3.6 both close at once", script: accepted + `
			close
			> +0.00 F. 1(0) ack 1 win 65535
			< F. 1(0) ack 1
			* eof
			> +0.00 . 2(0) ack 2 win 65534
			< . 2(0) ack 2
			* closed <nil>
		`},
		{name: "9293 3.5 dial", script: `
			dial
			> +0.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			< S. 0(0) ack 1 mss 1460 ws 7 sackok ts 77
			* opened
			> +0.00 . 1(0) ack 1 win 65535 ts
			write 3000
			> +0.00 . 1(1448) ack 1 win 65535 ts
			> +0.00 . 1449(1448) ack 1 win 65535 ts
			> +0.00 P. 2897(104) ack 1 win 65535 ts
			abort
			> +0.00 R. 3001(0) ack 1 win 0 ts
			* closed connection aborted
		`},
		{name: "9293 3.5 dial at once from both sides", script: `
			dial
			> +0.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			< S 0(0) mss 1460
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			< . 1(0) ack 1
			* opened
		`},
		{name: "9293 3.10.7.3 refused; a blind reset is not believed", script: `
			dial
			> +0.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			< R. 0(0) ack 7
			< R 0(0)
			< R. 0(0) ack 1
			* closed connection refused
		`},
		{name: "9293 3.10.7.1 segments of no connection", script: `
			< S 0(0)
			> +0.00 R. 0(0) ack 1 win 0
			< . 5(9) ack 7
			> +0.00 R 7(0) win 0
			< R 5(0)
		`},
		{name: "6298 5 a SYN is sent again after 1, 2, 4 s, then given up", edit: func(c *Config) { c.SynRetries = 2 }, script: `
			dial
			> +0.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			wait 10
			> +1.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			> +3.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			* closed connection timed out
		`},
		{name: "1122 4.2.3.2 an acknowledgement waits 40 ms, or for the second full segment", script: accepted + `
			greedy
			< . 1(100) ack 1
			* data 100
			wait 0.1
			> +0.04 . 1(0) ack 101 win 65435
			< . 101(1460) ack 1
			* data 1460
			< . 1561(1460) ack 1
			* data 1460
			> +0.00 . 1(0) ack 3021 win 65535
		`},
		{name: "2018 4 segments out of order", script: accepted + `
			greedy
			< . 101(100) ack 1
			> +0.00 . 1(0) ack 1 win 65535 sack 101-201
			< . 301(100) ack 1
			> +0.00 . 1(0) ack 1 win 65535 sack 101-201 sack 301-401
			< . 1(100) ack 1
			* data 100
			* data 100
			> +0.00 . 1(0) ack 201 win 65335 sack 301-401
			< . 151(200) ack 1
			* data 150
			* data 50
			> +0.00 . 1(0) ack 401 win 65135
		`},
		{name: "8985 6.2 three segments arrived past a hole: the hole is sent at once", script: accepted1000 + `
			write 5000
			> +0.00 . 1(1000) ack 1 win 65535
			> +0.00 . 1001(1000) ack 1 win 65535
			> +0.00 . 2001(1000) ack 1 win 65535
			> +0.00 . 3001(1000) ack 1 win 65535
			> +0.00 P. 4001(1000) ack 1 win 65535
			wait 0.1
			< . 1(0) ack 1 sack 1001-2001
			< . 1(0) ack 1 sack 1001-3001
			< . 1(0) ack 1 sack 1001-4001
			> +0.00 . 1(1000) ack 1 win 65535
			< . 1(0) ack 1 sack 1001-5001
			wait 0.1
			< . 1(0) ack 5001
		`},
		{name: "8985 7 the tail is probed after 2 RTT, its loss repaired", script: accepted1000 + `
			write 2000
			> +0.00 . 1(1000) ack 1 win 65535
			> +0.00 P. 1001(1000) ack 1 win 65535
			wait 0.35
			> +0.20 P. 1001(1000) ack 1 win 65535
			< . 1(0) ack 1 sack 1001-2001
			> +0.00 . 1(1000) ack 1 win 65535
			< . 1(0) ack 2001
		`},
		{name: "6298 5.5 the timer doubles; 5.3 new data's acknowledgement ends it", edit: func(c *Config) { c.MinRTO = 1_000_000_000 }, script: `
			listen
			< S 0(0) mss 1000
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			wait 0.1
			< . 1(0) ack 1
			* opened
			write 500
			> +0.00 P. 1(500) ack 1 win 65535
			wait 8
			> +1.00 P. 1(500) ack 1 win 65535
			> +3.00 P. 1(500) ack 1 win 65535
			> +7.00 P. 1(500) ack 1 win 65535
			< . 1(0) ack 501
			write 500
			> +0.00 P. 501(500) ack 1 win 65535
			wait 2
			> +1.00 P. 501(500) ack 1 win 65535
		`},
		{name: "6582 without SACK: three duplicates, then partial acknowledgements", edit: func(c *Config) { c.NewReno = true }, script: `
			listen
			< S 0(0) mss 1000
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			wait 0.1
			< . 1(0) ack 1
			* opened
			write 6000
			> +0.00 . 1(1000) ack 1 win 65535
			> +0.00 . 1001(1000) ack 1 win 65535
			> +0.00 . 2001(1000) ack 1 win 65535
			> +0.00 . 3001(1000) ack 1 win 65535
			> +0.00 . 4001(1000) ack 1 win 65535
			> +0.00 P. 5001(1000) ack 1 win 65535
			wait 0.1
			< . 1(0) ack 1
			< . 1(0) ack 1
			< . 1(0) ack 1
			> +0.00 . 1(1000) ack 1 win 65535
			wait 0.1
			< . 1(0) ack 2001
			> +0.00 . 2001(1000) ack 1 win 65535
			wait 0.1
			< . 1(0) ack 6001
		`},
		{name: "9293 3.8.6.1 a shut window is probed and opens", script: accepted + `
			< . 1(0) ack 1 win 0
			write 100
			wait 1
			> +0.20 . 0(0) ack 1 win 65535
			> +0.60 . 0(0) ack 1 win 65535
			< . 1(0) ack 1 win 1000
			> +0.00 P. 1(100) ack 1 win 65535
			< . 1(0) ack 101
		`},
		{name: "9293 3.8.6.2 our window shuts, and opens by enough to be worth it", edit: func(c *Config) { c.ReceiveBuffer = 4096 }, script: `
			listen
			< S 0(0) mss 1000
			> +0.00 S. 0(0) ack 1 win 4096 mss 1460
			< . 1(0) ack 1
			* opened
			< . 1(1000) ack 1
			* data 1000
			< . 1001(1000) ack 1
			> +0.00 . 1(0) ack 2001 win 2096
			< . 2001(1000) ack 1
			< . 3001(1000) ack 1
			> +0.00 . 1(0) ack 4001 win 96
			< . 4001(1000) ack 1
			> +0.00 . 1(0) ack 4097 win 0
			read 500
			* read 500 eof false
			read 3000
			> +0.00 . 1(0) ack 4097 win 3500
			* read 3000 eof false
		`},
		{name: "5961 3.2 a reset must hit the exact number, 4.2 a SYN never does", script: accepted + `
			< R 100(0)
			> +0.00 . 1(0) ack 1 win 65535
			< S 100(0)
			> +0.00 . 1(0) ack 1 win 65535
			< R 70000(0)
			< R 1(0)
			* closed connection reset by peer
		`},
		{name: "5961 5.2 an acknowledgement of what was never sent", script: accepted + `
			< . 1(10) ack 999
			> +0.00 . 1(0) ack 1 win 65535
			< . 1(10) ack 4294800000
			> +0.00 . 1(0) ack 1 win 65535
		`},
		{name: "5961 7 within a limit", edit: func(c *Config) { c.SegmentRate = 1 }, script: accepted + `
			< R 100(0)
			> +0.00 . 1(0) ack 1 win 65535
			< R 100(0)
			wait 1
			< R 100(0)
			> +0.00 . 1(0) ack 1 win 65535
		`},
		{name: "7323 5 a segment from before is dropped by its timestamp", script: `
			greedy
			listen
			< S 0(0) mss 1460 ts 1000
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460 ts
			< . 1(0) ack 1 ts 1001
			* opened
			< . 1(10) ack 1 ts 900
			> +0.00 . 1(0) ack 1 win 65535 ts
			< . 1(10) ack 1 ts 1001
			* data 10
		`},
		{name: "7323 2 windows are scaled when both say so", edit: func(c *Config) { c.ReceiveBuffer = 256 << 10 }, script: `
			listen
			< S 0(0) mss 1460 ws 0
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460 ws 3
			< . 1(0) ack 1
			* opened
			< P. 1(1460) ack 1
			* data 1460
			wait 0.1
			> +0.04 . 1(0) ack 1461 win 32585
		`},
		{name: "1191 a narrow path: what was too long is sent again, shorter", script: accepted + `
			write 1460
			> +0.00 P. 1(1460) ack 1 win 65535
			icmp mtu 1000
			> +0.00 . 1(960) ack 1 win 65535
			> +0.00 P. 961(500) ack 1 win 65535
			icmp mtu 68
			> +0.00 . 1(512) ack 1 win 65535
			> +0.00 . 513(448) ack 1 win 65535
			< . 1(0) ack 1461
		`},
		{name: "1122 4.2.3.9 an ICMP error ends only a connection that is being opened", script: `
			dial
			> +0.00 S 0(0) win 65535 mss 1460 ws 0 sackok ts
			icmp unreachable
			* closed connection refused
		` + accepted + `
			write 1
			> +0.00 P. 1(1) ack 1 win 65535
			icmp unreachable
			< . 1(0) ack 2
		`},
		{name: "1122 4.2.3.6 keep-alive", edit: func(c *Config) { c.KeepEvery, c.KeepProbes = 5_000_000_000, 2 }, script: accepted + `
			keep 10
			wait 11
			> +10.00 . 0(0) ack 1 win 65535
			< . 1(0) ack 1
			wait 30
			> +10.00 . 0(0) ack 1 win 65535
			> +15.00 . 0(0) ack 1 win 65535
			* closed connection timed out
		`},
		{name: "1122 4.2.3.6 the peer's keep-alive is answered", script: accepted + `
			< . 0(0) ack 1
			> +0.00 . 1(0) ack 1 win 65535
		`},
		{name: "896 Nagle", script: accepted + `
			nagle
			write 10
			> +0.00 P. 1(10) ack 1 win 65535
			write 10
			write 10
			< . 1(0) ack 11
			> +0.00 P. 11(20) ack 1 win 65535
		`},
		{name: "1122 4.2.2.13 half closed: the peer is done, we are not", script: accepted + `
			< F. 1(0) ack 1
			* eof
			> +0.00 . 1(0) ack 2 win 65534
			write 10
			> +0.00 P. 1(10) ack 2 win 65534
			< . 2(0) ack 11
			shut
			> +0.00 F. 11(0) ack 2 win 65534
			< . 2(0) ack 12
			* closed <nil>
		`},
		{name: "1122 4.2.2.13 data that nobody will read is refused", script: accepted + `
			close
			> +0.00 F. 1(0) ack 1 win 65535
			< . 1(0) ack 2
			< P. 1(10) ack 2
			> +0.00 R. 2(0) ack 1 win 0
			* closed connection aborted
		`},
		{name: "4987 3.6 SYN cookies keep nothing and lose nothing with timestamps", edit: func(c *Config) { c.MaxHalfOpen = 0 }, script: `
			greedy
			listen
			< S 0(0) mss 1400 sackok ws 5
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			< . 1(0) ack 2
			> +0.00 R 2(0) win 0
			< P. 1(10) ack 1
			* opened
			* data 10
			write 1401
			> +0.00 . 1(1400) ack 11 win 65525
			> +0.00 P. 1401(1) ack 11 win 65525
		`},
		{name: "6191 a later SYN ends TIME_WAIT, an earlier one does not", script: accepted + `
			close
			> +0.00 F. 1(0) ack 1 win 65535
			< F. 1(0) ack 2
			* eof
			* closed <nil>
			> +0.00 . 2(0) ack 2 win 65534
			< S 0(0)
			> +0.00 . 2(0) ack 2 win 65534
		`},
		{name: "3168 6.1 ECN is agreed on, a mark is echoed until CWR", edit: func(c *Config) { c.ECN = true }, script: `
			greedy
			listen
			< SEC 0(0) mss 1460
			> +0.00 S.E 0(0) ack 1 win 65535 mss 1460
			< . 1(0) ack 1
			* opened
			< . 1(10) ack 1 ce
			* data 10
			> +0.00 .E 1(0) ack 11 win 65525
			write 1
			> +0.00 P.E 1(1) ack 11 win 65525
			< .C 11(10) ack 2
			* data 10
			write 1
			> +0.00 P. 2(1) ack 21 win 65515
			< .E 21(0) ack 3
			write 1
			> +0.00 P.C 3(1) ack 21 win 65515
		`},
		{name: "a SYN whose answer was lost is answered again", script: `
			listen
			< S 0(0) mss 1460
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			< S 0(0) mss 1460
			> +0.00 S. 0(0) ack 1 win 65535 mss 1460
			wait 1.5
			> +1.00 S. 0(0) ack 1 win 65535 mss 1460
		`},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, c.script, c.edit) })
	}
}
