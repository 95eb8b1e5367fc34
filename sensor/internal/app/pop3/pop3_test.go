package pop3

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

func TestSession(t *testing.T) {
	for _, piece := range []int{0, 1, 11} {
		talk := apptest.New(Protocol, 110, nil)
		talk.Piece = piece
		talk.Server("+OK ready\r\n")
		talk.Client("USER me\r\nPASS a b\r\nLIST\r\nRETR 1\r\nQUIT\r\n")
		talk.Server("+OK\r\n-ERR no\r\n+OK 1\r\n1 5\r\n.\r\n+OK 5 octets\r\nhello\r\n.\r\n+OK bye\r\n")
		var got []string
		for _, x := range talk.Session.Txs() {
			got = append(got, apptest.Log(x, 0, nil))
		}
		want := []string{
			`{"pop3":{"response":{"success":true,"status":"OK","header":"ready","data":[]}}}`,
			`{"pop3":{"request":{"command":"USER","args":["me"]},"response":{"success":true,"status":"OK","header":"","data":[]}}}`,
			`{"pop3":{"request":{"command":"PASS","args":["a b"]},"response":{"success":false,"status":"ERR","header":"no","data":[]}}}`,
			`{"pop3":{"request":{"command":"LIST","args":[]},"response":{"success":true,"status":"OK","header":"1","data":["1 5"]}}}`,
			`{"pop3":{"request":{"command":"RETR","args":["1"]},"response":{"success":true,"status":"OK","header":"5 octets","data":[]}}}`,
			`{"pop3":{"request":{"command":"QUIT","args":[]},"response":{"success":true,"status":"OK","header":"bye","data":[]}}}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("pieces of %d: log\n%s, want\n%s", piece, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]string{
		"XYZZY\r\n": "unknown_command", "DELE\r\n": "incorrect_argument_count", "USER " + strings.Repeat("a", 300) + "\r\n": "request_too_long",
	} {
		talk := apptest.New(Protocol, 110, nil)
		talk.Client("NOOP\r\n" + text)
		if got := apptest.Events(talk.Session.Txs()[1]); got != want {
			t.Errorf("%.20q: %s, want %s", text, got, want)
		}
	}
	talk := apptest.New(Protocol, 110, map[string]string{"pop3.max-tx": "3"})
	talk.Client(strings.Repeat("NOOP\r\n", 10))
	if got := apptest.Events(talk.Session.Txs()[0]); got != "too_many_transactions" || len(talk.Session.Txs()) > 5 {
		t.Errorf("events %s, %d transactions", got, len(talk.Session.Txs()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("USER a\r\nAUTH PLAIN\r\n"), []byte("+OK x\r\n+OK\r\n+ \r\n"), []byte("AGEA\r\nCAPA\r\nSTLS\r\n"), uint16(4))
	apptest.Fuzz(f, Protocol, 110)
}
