package rfb

import (
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/suricata"
)

const (
	key     = "0123456789abcdef"
	screen1 = "\x03\x20\x02\x58\x20\x18\x00\x01\x00\xff\x00\xff\x00\xff\x10\x08\x00\x00\x00\x00\x00\x00\x00\x02pc"
)

func TestSession(t *testing.T) {
	for _, piece := range []int{0, 1, 5} {
		talk := apptest.New(Protocol, 5900, nil)
		talk.Piece = piece
		talk.Server("RFB 003.008\n")
		talk.Client("RFB 003.008\n")
		talk.Server("\x02\x01\x02")
		talk.Client("\x02")
		talk.Server(key)
		talk.Client(key)
		talk.Server("\x00\x00\x00\x00")
		talk.Client("\x01")
		talk.Server(screen1 + "pictures")
		x := talk.Session.Txs()[0]
		const want = `{"rfb":{"server_protocol_version":{"major":"003","minor":"008"},"client_protocol_version":{"major":"003","minor":"008"},"authentication":{"security_type":2,"vnc":{"challenge":"30313233343536373839616263646566","response":"30313233343536373839616263646566"},"security_result":"OK"},"screen_shared":true,"framebuffer":{"width":800,"height":600,"name":"pc","pixel_format":{"bits_per_pixel":32,"depth":24,"big_endian":false,"true_color":true,"red_max":255,"green_max":255,"blue_max":255,"red_shift":16,"green_shift":8,"blue_shift":0}}}}`
		if got := apptest.Log(x, 0, nil); got != want {
			t.Errorf("pieces of %d: log\n%s, want\n%s", piece, got, want)
		}
		if got := apptest.Buffers(x, suricata.BufRFBName, app.ToClient); len(got) != 1 || got[0] != "pc" {
			t.Errorf("name %q", got)
		}
		if x.Common().Progress[0] != complete || apptest.Events(x) != "" {
			t.Errorf("progress %v, events %s", x.Common().Progress, apptest.Events(x))
		}
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]string{
		"\x01\x05": "", "\x00\x00\x00\x00\x02no": "", "\x00\xff\xff\xff\xff": "malformed_message",
	} {
		talk := apptest.New(Protocol, 5900, nil)
		talk.Server("RFB 003.008\n")
		talk.Client("RFB 003.008\n")
		talk.Server(text)
		if got := apptest.Events(talk.Session.Txs()[0]); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	talk := apptest.New(Protocol, 5900, nil)
	talk.Server("RFB 003.003\n")
	talk.Client("RFB 003.003\n")
	talk.Server("\x00\x00\x00\x09")
	if got := apptest.Events(talk.Session.Txs()[0]); got != "unimplemented_security_type" {
		t.Errorf("events %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("RFB 003.003\n"), []byte("RFB 003.003\n\x00\x00\x00\x02"+key), []byte(key), uint16(0))
	f.Add([]byte(""), []byte("RFB 003.008\n"), []byte("RFB 003.008\n\x01\x01"), uint16(3))
	apptest.Fuzz(f, Protocol, 5900)
}
