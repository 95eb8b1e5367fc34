package smtp

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

const (
	mail = "From: a@b\r\nTo: \"x, y\" <c@d>, e@f\r\nSubject: s\r\nContent-Disposition: attachment; filename=n.txt\r\n\r\nhello\r\n..\r\n.\r\n"
	want = `{"smtp":{"helo":"me","mail_from":"<a@b>","rcpt_to":["<c@d>","<e@f>"]},"email":{"from":"a@b","to":["\"x, y\" <c@d>","e@f"],"status":"PARSE_DONE","attachment":["n.txt"]}}`
)

func session(t *apptest.Talk) {
	t.Server("220 here\r\n")
	t.Client("EHLO me\r\n")
	t.Server("250-here\r\n250 8BITMIME\r\n")
	t.Client("MAIL FROM:<a@b> SIZE=9\r\n")
	t.Server("250 ok\r\n")
	t.Client("RCPT TO:<c@d>\r\nRCPT TO: <e@f>\r\n")
	t.Server("250 ok\r\n250 ok\r\n")
	t.Client("DATA\r\n")
	t.Server("354 go\r\n")
	t.Client(mail)
	t.Server("250 ok\r\n")
}

func TestMail(t *testing.T) {
	for _, piece := range []int{1, 7, 0} {
		talk := apptest.New(Protocol, 25, nil)
		talk.Piece = piece
		session(talk)
		txs := talk.Session.Txs()
		if len(txs) != 1 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		x := txs[0]
		if got := apptest.Log(x, 0, nil); got != want {
			t.Errorf("log\n%s, want\n%s", got, want)
		}
		if x.Common().Progress != [2]uint8{complete, complete} || len(x.Common().Events) > 0 {
			t.Errorf("progress %v, events %s", x.Common().Progress, apptest.Events(x))
		}
		if got := apptest.Buffers(x, suricata.BufFileData, app.ToServer); len(got) != 1 || got[0] != "hello\r\n.." {
			t.Errorf("file %q", got)
		}
		if f := x.Common().Files[app.ToServer][0]; f.State != file.Closed || f.Size != 9 {
			t.Errorf("file is %v with %d bytes", f.State, f.Size)
		}
		if got := apptest.Buffers(x, suricata.BufSMTPRcptTo, app.ToServer); len(got) != 2 || got[1] != "<e@f>" {
			t.Errorf("recipients %q", got)
		}
	}
}

func TestOptions(t *testing.T) {
	talk := apptest.New(Protocol, 25, map[string]string{"smtp.mime.body-md5": "yes"})
	session(talk)
	o, err := readOptions(func(key string) (string, bool) {
		v, ok := map[string]string{"extended": "yes", "custom": "reply-to date", "md5": "body subject"}[key]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	got := apptest.Log(talk.Session.Txs()[0], 0, o)
	for _, part := range []string{`"subject":"s"`, `"subject_md5":"03c7c0ace395d80182db07ae2c30f034"`, `"body_md5":"`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is not in %s", part, got)
		}
	}
}

func TestChunks(t *testing.T) {
	talk := apptest.New(Protocol, 25, nil)
	talk.Server("220 here\r\n")
	talk.Client("EHLO me\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nBDAT 5\r\nQUIT\nBDAT 6 LAST\r\nRSET\r\nMAIL FROM:<c>\r\n")
	talk.Server("250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n")
	txs := talk.Session.Txs()
	if len(txs) != 2 || string(txs[0].(*tx).from) != "<a>" {
		t.Fatalf("%d transactions", len(txs))
	}
	if p := txs[0].Common().Progress; p != [2]uint8{complete, complete} {
		t.Errorf("progress %v", p)
	}
}

func TestEvents(t *testing.T) {
	for _, x := range []struct{ client, server, want string }{
		{"EHLO a\r\nBDAT x\r\n", "220 h\r\n", "NO_SERVER_WELCOME_MESSAGE INVALID_BDAT"},
		{"EHLO a\r\nEHLO b\r\n", "220 h\r\n", "NO_SERVER_WELCOME_MESSAGE DUPLICATE_FIELDS"},
		{"EHLO a\r\nDATA\r\nRSET\r\n", "250 ok\r\n", "NO_SERVER_WELCOME_MESSAGE INVALID_PIPELINED_SEQUENCE"},
		{"EHLO a\r\nDATA\r\n", "250 ok\r\n500 no\r\n", "NO_SERVER_WELCOME_MESSAGE DATA_COMMAND_REJECTED"},
		{"EHLO a\r\nSTARTTLS\r\n", "250 ok\r\n454 no\r\n", "NO_SERVER_WELCOME_MESSAGE TLS_REJECTED"},
		{"EHLO " + strings.Repeat("a", maxLine) + "\r\n", "999 h\r\n", "NO_SERVER_WELCOME_MESSAGE TRUNCATED_LINE INVALID_REPLY"},
	} {
		talk := apptest.New(Protocol, 25, nil)
		talk.Client(x.client)
		talk.Server(x.server)
		if got := apptest.Events(talk.Session.Txs()[0]); got != x.want {
			t.Errorf("%.40q: %s, want %s", x.client, got, x.want)
		}
	}
}

// TestRaw keeps a message as it comes.
func TestRaw(t *testing.T) {
	talk := apptest.New(Protocol, 25, map[string]string{"smtp.raw-extraction": "yes", "smtp.mime.decode-mime": "no"})
	session(talk)
	if got := apptest.Buffers(talk.Session.Txs()[0], suricata.BufFileData, app.ToServer); len(got) != 1 || got[0] != strings.TrimSuffix(mail, ".\r\n") {
		t.Errorf("message %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("EHLO me\r\nMAIL FROM:<a>\r\nDATA\r\n"), []byte("220 h\r\n250-h\r\n250-PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n"), []byte(mail), uint16(0))
	f.Add([]byte("HELO x\r\nBDAT 3 LAST\r\nabcRSET\r\nSTARTTLS\r\n"), []byte("220 h\r\n250 ok\r\n250 ok\r\n250 ok\r\n220 go\r\n"), []byte("\x16\x03\x01"), uint16(3))
	apptest.Fuzz(f, Protocol, 25)
}

// TestFreedUnderWay goes on with a message whose transaction a reply to an
// earlier command ended.
func TestFreedUnderWay(t *testing.T) {
	for _, x := range []struct{ begin, rest string }{
		{"BDAT 5 LAST\r\n", "hello"},
		{"DATA\r\n", "hello\r\n.\r\n"},
	} {
		c := apptest.New(Protocol, 25, nil)
		c.Server("220 here\r\n")
		c.Client("EHLO me\r\n")
		c.Server("250-here\r\n250-PIPELINING\r\n250 ok\r\n")
		c.Client("RSET\r\n" + x.begin)
		c.Server("250 ok\r\n")
		for len(c.Session.Txs()) > 0 {
			c.Session.Free(c.Session.Txs()[0])
		}
		c.Client(x.rest)
		c.Client("MAIL FROM:<a@b>\r\n")
		if n := len(c.Session.Txs()); n != 1 {
			t.Errorf("%q: %d transactions", x.begin, n)
		}
	}
}
