package sip

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

const (
	invite = "INVITE sip:you@b SIP/2.0\r\nv: SIP/2.0/UDP a\r\nVia: c\r\nFrom : <sip:me@a>\r\n ;tag=1\r\nl: 51\r\n\r\nv=0\r\no=me 1 2 IN IP4 10.0.0.1\r\ns=call\r\nt=0 0\r\na=x\r\n"
	ok     = "SIP/2.0 200 All fine\r\nTo: x\r\n\r\n"
)

// udp is SIP over datagrams alone, for the tests.
var udp = func() *app.Protocol { p := *Protocol; p.Transport = app.UDP; return &p }()

func TestMessages(t *testing.T) {
	for _, x := range []struct {
		proto *app.Protocol
		piece int
	}{{udp, 0}, {Protocol, 0}, {Protocol, 1}, {Protocol, 30}} {
		talk := apptest.New(x.proto, 5060, nil)
		talk.Piece = x.piece
		talk.Client(invite)
		if x.proto != udp {
			talk.Client(invite)
		}
		talk.Server(ok)
		txs := talk.Session.Txs()
		if want := map[bool]int{true: 2, false: 3}[x.proto == udp]; len(txs) != want {
			t.Fatalf("pieces of %d: %d messages", x.piece, len(txs))
		}
		const want = `{"sip":{"method":"INVITE","uri":"sip:you@b","version":"SIP/2.0","sdp":{"origin":"me 1 2 IN IP4 10.0.0.1","session_name":"call","time_descriptions":[{"time":"0 0"}],"attributes":["x"]},"request_line":"INVITE sip:you@b SIP/2.0"}}`
		if got := apptest.Log(txs[0], 0, nil); got != want {
			t.Errorf("log\n%s, want\n%s", got, want)
		}
		last := txs[len(txs)-1]
		if got, want := apptest.Log(last, 0, nil), `{"sip":{"version":"SIP/2.0","code":"200","reason":"All fine","response_line":"SIP/2.0 200 All fine"}}`; got != want {
			t.Errorf("log\n%s, want\n%s", got, want)
		}
		for b, want := range map[suricata.Buffer][]string{
			suricata.BufSIPVia: {"SIP/2.0/UDP a", "c"}, suricata.BufSIPFrom: {"<sip:me@a>\r\n ;tag=1"}, suricata.BufSDPAttribute: {"x"}, suricata.BufSIPProtocol: {"SIP/2.0"},
		} {
			got := apptest.Buffers(txs[0], b, app.ToServer)
			if len(got) != len(want) || got[0] != want[0] {
				t.Errorf("%s is %q, want %q", b, got, want)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]string{"INVITE sip:x SIP/2.0\r\nnothing": "incomplete_data", "INVITE x\r\n\r\n": "invalid_data", "INVITE x SIP/2.0\r\nnothing\r\n\r\n": "invalid_data"} {
		talk := apptest.New(udp, 5060, nil)
		talk.Client(invite)
		talk.Client(text)
		if got := apptest.Events(talk.Session.Txs()[0]); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(invite), []byte(ok), []byte("ACK x SIP/2.0\r\nl: 3\r\n\r\nab"), uint16(9))
	f.Add([]byte("REGISTER sip:a SIP/2.0\r\n\r\n"), []byte("SIP/2.0 1 x\r\nl: -1\r\n\r\n"), []byte("BYE"), uint16(0))
	apptest.Fuzz(f, Protocol, 5060)
}
