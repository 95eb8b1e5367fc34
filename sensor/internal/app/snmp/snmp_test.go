package snmp

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

const (
	get   = "\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x07\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00"
	trap1 = "\x30\x25\x02\x01\x00\x04\x01c\xa4\x1d\x06\x03\x2b\x06\x01\x40\x04\x0a\x00\x00\x01\x02\x01\x03\x02\x01\x00\x43\x01\x05\x30\x07\x30\x05\x06\x01\x2b\x05\x00"
	v3    = "\x30\x2f\x02\x01\x03\x30\x0e\x02\x01\x01\x02\x02\x05\xdc\x04\x02\x00\x01\x02\x01\x03\x04\x12\x30\x10\x04\x02ab\x02\x01\x01\x02\x01\x02\x04\x02me\x04\x00\x04\x06secret"
)

func TestMessages(t *testing.T) {
	for text, want := range map[string]string{
		get:   `{"snmp":{"version":2,"pdu_type":"get_request","vars":["1.3.6.1.2.1.1.1.0"],"community":"public"}}`,
		trap1: `{"snmp":{"version":1,"pdu_type":"trap_v1","trap_type":"linkUp","trap_oid":"1.3.6.1","trap_address":"10.0.0.1","vars":["1.3"],"community":"c"}}`,
		v3:    `{"snmp":{"version":3,"pdu_type":"encrypted"}}`,
	} {
		talk := apptest.New(Protocol, 161, nil)
		talk.Client(text)
		txs := talk.Session.Txs()
		if len(txs) != 1 {
			t.Fatalf("%q: %d messages", text, len(txs))
		}
		if got := apptest.Log(txs[0], 0, nil); got != want {
			t.Errorf("log\n%s, want\n%s", got, want)
		}
	}
}

func TestEvents(t *testing.T) {
	talk := apptest.New(Protocol, 161, nil)
	talk.Client(get)
	talk.Client(v3)
	talk.Client("\x30\x01x")
	txs := talk.Session.Txs()
	if got := apptest.Events(txs[1]); got != "version_mismatch malformed_data" {
		t.Errorf("events %s", got)
	}
	if got := apptest.Buffers(txs[1], suricata.BufSNMPUSM, app.ToServer); len(got) != 1 || got[0] != "me" {
		t.Errorf("user %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(get), []byte(trap1), []byte(v3), uint16(0))
	apptest.Fuzz(f, Protocol, 161)
}
