package ftp

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

func TestTransfer(t *testing.T) {
	for _, piece := range []int{1, 9, 0} {
		talk := apptest.New(Protocol, 21, nil)
		talk.Piece = piece
		talk.Server("220-hello\r\n220 there\r\n")
		talk.Client("USER me\r\n")
		talk.Server("331 who\r\n")
		talk.Client("PASV\r\n")
		talk.Server("227 Entering (10,0,0,1,4,1).\r\n")
		talk.Client("RETR a.txt\r\nQUIT\r\n")
		talk.Server("150 go\r\n226 done\r\n")
		if n := len(talk.Announced); n != 1 || talk.Announced[0].ServerPort != 1025 || talk.Announced[0].Reversed {
			t.Fatalf("pieces of %d: announced %+v", piece, talk.Announced)
		}
		x := talk.Announced[0].Data.(*Transfer)
		if x.Command != "RETR" || string(x.Name) != "a.txt" || x.Dir != app.ToClient {
			t.Errorf("transfer %+v", x)
		}
		var got []string
		for _, x := range talk.Session.Txs() {
			got = append(got, apptest.Log(x, 0, nil))
		}
		want := []string{
			`{"ftp":{"completion_code":["220"],"reply":["220-hello","there"],"reply_received":"yes","reply_truncated":false}}`,
			`{"ftp":{"command":"USER","command_data":"me","command_truncated":false,"completion_code":["331"],"reply":["who"],"reply_received":"yes","reply_truncated":false}}`,
			`{"ftp":{"command":"PASV","completion_code":["227"],"reply":["Entering (10,0,0,1,4,1)."],"dynamic_port":1025,"mode":"passive","reply_received":"yes","reply_truncated":false}}`,
			`{"ftp":{"command":"RETR","command_data":"a.txt","command_truncated":false,"completion_code":["150","226"],"reply":["go","done"],"reply_received":"yes","reply_truncated":false}}`,
			`{"ftp":{"command":"QUIT","reply_received":"no","reply_truncated":false}}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("pieces of %d: log\n%s, want\n%s", piece, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestPorts(t *testing.T) {
	if host, port, ok := hostPort([]byte("192,168,0,13, 234,10")); !ok || port != 59914 || host.String() != "192.168.0.13" {
		t.Errorf("PORT: %v %d", host, port)
	}
	if _, _, ok := hostPort([]byte("1,2,3,4,257,1")); ok {
		t.Error("a byte of 257")
	}
	if p := extendedPassivePort([]byte("229 Entering (|||48758|).")); p != 48758 {
		t.Errorf("EPSV: %d", p)
	}
	if p, ok := extendedPort([]byte("|2|2a01::1|41813|")); !ok || p != 41813 {
		t.Errorf("EPRT: %d", p)
	}
	if p, ok := extendedPort([]byte("|2|2a01::1|81813|")); ok {
		t.Errorf("EPRT: %d", p)
	}
}

func TestEvents(t *testing.T) {
	for client, want := range map[string]string{
		"USER a\r\nRETR x\r\n": "file_before_port", "USER a\r\nSTOR\r\n": "file_without_name",
		"USER " + strings.Repeat("a", 2*maxLine) + "\r\n": "request_command_too_long",
	} {
		talk := apptest.New(Protocol, 21, nil)
		talk.Client(client)
		txs := talk.Session.Txs()
		if got := apptest.Events(txs[len(txs)-1]); got != want {
			t.Errorf("%.30q: %s, want %s", client, got, want)
		}
	}
	talk := apptest.New(Protocol, 21, map[string]string{"ftp.max-tx": "2"})
	talk.Client(strings.Repeat("USER a\r\n", 9))
	txs := talk.Session.Txs()
	if len(txs) != 3 || apptest.Events(txs[0]) != "too_many_transactions" {
		t.Errorf("%d transactions, events %s", len(txs), apptest.Events(txs[0]))
	}
}

// TestActive is a transfer the server opens a connection for.
func TestActive(t *testing.T) {
	talk := apptest.New(Protocol, 21, nil)
	talk.Client("USER a\r\nPORT 10,0,0,2,4,2\r\n")
	talk.Server("331 x\r\n200 ok\r\n")
	talk.Client("STOR up\r\n")
	if len(talk.Announced) != 1 || !talk.Announced[0].Reversed {
		t.Fatalf("announced %+v", talk.Announced)
	}
	x := talk.Announced[0].Data.(*Transfer)
	data := apptest.New(Data, 1026, nil)
	data.Session.Expected(talk.Announced[0])
	data.Say(x.Dir, "content")
	data.Say(x.Dir.Other(), "noise")
	data.End()
	txs := data.Session.Txs()
	if len(txs) != 1 {
		t.Fatalf("%d transfers", len(txs))
	}
	f := txs[0].Common().Files[x.Dir]
	if len(f) != 1 || f[0].State != file.Closed || f[0].Size != 7 {
		t.Errorf("files %+v", f)
	}
	if got := apptest.Buffers(txs[0], suricata.BufFileData, x.Dir); len(got) != 1 || got[0] != "content" {
		t.Errorf("content %q", got)
	}
	if got := apptest.Log(txs[0], 0, nil); got != `{"ftp_data":{"filename":"up","command":"STOR"}}` {
		t.Errorf("log %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("USER a\r\nPASV\r\n"), []byte("220 x\r\n331 y\r\n227 (1,2,3,4,5,6)\r\n"), []byte("RETR x\r\nEPRT |1|a|5|\r\nLIST\r\n"), uint16(0))
	f.Add([]byte("FEAT\r\nAUTH TLS\r\nPORT 1,2,3,4,5,6\r\n"), []byte("211-a\r\n b\r\n211 end\r\n234 ok\r\n"), []byte("x"), uint16(2))
	apptest.Fuzz(f, Protocol, 21)
}
