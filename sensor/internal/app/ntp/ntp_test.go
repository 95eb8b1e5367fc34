package ntp

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

var answer = "\x24\x02\x06\xe9" + strings.Repeat("\x00", 8) + "GPS\x00" + strings.Repeat("\x00", 32)

func TestMessage(t *testing.T) {
	talk := apptest.New(Protocol, 123, nil)
	talk.Server(answer)
	talk.Server("\x24short")
	x := talk.Session.Txs()[0]
	if got, want := apptest.Log(x, 0, nil), `{"ntp":{"version":4,"mode":4,"stratum":2,"reference_id":"47:50:53:00"}}`; got != want {
		t.Errorf("log %s, want %s", got, want)
	}
	if got := apptest.Buffers(x, suricata.BufNTPReferenceID, app.ToClient); len(got) != 1 || got[0] != "GPS\x00" {
		t.Errorf("reference %q", got)
	}
	if got := apptest.Events(x); got != "malformed_data" {
		t.Errorf("events %s", got)
	}
	if probe(app.ToServer, []byte("\x0c"+answer[1:])) == app.Yes {
		t.Error("version 1 is taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x1b"+answer[1:]), []byte(answer), []byte("\x1b"), uint16(0))
	apptest.Fuzz(f, Protocol, 123)
}
