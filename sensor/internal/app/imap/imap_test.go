package imap

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
)

func TestRecognise(t *testing.T) {
	for text, want := range map[string]bool{"* ok server ready\r\n": true, "* FETCH\r\n": false, "HTTP/1.1 200 OK\r\n": false} {
		talk := apptest.New(Protocol, 143, nil)
		talk.Server(text)
		if got := talk.Session.Protocol() != nil; got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	talk := apptest.New(Protocol, 143, nil)
	talk.Client("a001 capability\r\n")
	if talk.Session.Protocol() == nil {
		t.Error("a command is not recognised")
	}
}
