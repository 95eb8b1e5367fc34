package tftp

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

func TestRequest(t *testing.T) {
	talk := apptest.New(Protocol, 69, nil)
	for _, text := range []string{"\x00\x01rfc1350.txt\x00OCTET\x00", "\x00\x02a\x00mail\x00", "\x00\x06a\x00octet\x00", "\x00\x01a\x00ccc\x00", "\x00\x01octet"} {
		talk.Client(text)
	}
	txs := talk.Session.Txs()
	if len(txs) != 2 {
		t.Fatalf("%d requests", len(txs))
	}
	if got, want := apptest.Log(txs[0], 0, nil), `{"tftp":{"packet":"read","file":"rfc1350.txt","mode":"octet"}}`; got != want {
		t.Errorf("log %s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00octet\x00"), []byte("\x00\x03\x00\x01data"), []byte("\x00\x02a"), uint16(0))
	apptest.Fuzz(f, Protocol, 69)
}
