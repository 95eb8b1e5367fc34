package mqtt

import (
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

const (
	connectMessage = "\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x02P1\x00\x02me"
	connackMessage = "\x20\x02\x00\x00"
	publishMessage = "\x32\x09\x00\x03a/b\x00\x07hi"
	pubackMessage  = "\x40\x02\x00\x07"
	subscribeTwo   = "\x82\x0a\x00\x08\x00\x01x\x01\x00\x01y\x02"
)

func talk(piece int, client, server string) *app.Session {
	s := app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{ServerPort: 1884})
	for dir, t := range []string{client, server} {
		for at := 0; at < len(t); at += piece {
			s.Data(app.Dir(dir), uint64(at), []byte(t[at:min(len(t), at+piece)]), 0)
		}
	}
	return s
}

func TestMessages(t *testing.T) {
	for _, piece := range []int{1, 5, 1000} {
		s := app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{ServerPort: 1884})
		var at [2]uint64
		say := func(dir app.Dir, text string) {
			for len(text) > 0 {
				n := min(piece, len(text))
				s.Data(dir, at[dir], []byte(text[:n]), 0)
				at[dir], text = at[dir]+uint64(n), text[n:]
			}
		}
		say(app.ToServer, connectMessage)
		say(app.ToClient, connackMessage)
		say(app.ToServer, publishMessage+subscribeTwo)
		say(app.ToClient, pubackMessage)
		txs := s.Txs()
		if len(txs) != 3 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, want := range []string{
			`{"mqtt":{"connect":{"qos":0,"retain":false,"dup":false,"protocol_string":"MQTT","protocol_version":4,"client_id":"P1","flags":{"username":true,"password":false,"will_retain":false,"will":false,"clean_session":true},"username":"me"},"connack":{"qos":0,"retain":false,"dup":false,"session_present":false,"return_code":0}}}`,
			`{"mqtt":{"publish":{"qos":1,"retain":false,"dup":false,"topic":"a/b","message_id":7,"message":"hi"},"puback":{"qos":0,"retain":false,"dup":false,"message_id":7}}}`,
			`{"mqtt":{"subscribe":{"qos":1,"retain":false,"dup":false,"message_id":8,"topics":[{"topic":"x","qos":1},{"topic":"y","qos":2}]}}}`,
		} {
			var w jsonw.Writer
			w.Object("")
			appendLog(&w, txs[i], nil)
			w.Close()
			if got := string(w.Bytes()); got != want {
				t.Errorf("log\n%s, want\n%s", got, want)
			}
			if len(txs[i].Common().Events) > 0 {
				t.Errorf("%d: events %v", i, txs[i].Common().Events)
			}
		}
		if b, ok := txs[2].Buffer(suricata.BufMQTTSubscribeTopic, app.ToServer, 1, nil); !ok || string(b.Data) != "y" {
			t.Errorf("second topic %q", b.Data)
		}
	}
}

// TestBounds sends more messages at once than are kept.
func TestBounds(t *testing.T) {
	s := talk(1<<20, connectMessage+strings.Repeat("\xc0\x00", 10*maxTxs), "")
	if n := len(s.Txs()); n != maxTxs {
		t.Errorf("%d transactions", n)
	}
	last := s.Txs()[maxTxs-1].Common().Events
	if !slices.Contains(last, tooManyTxs) {
		t.Errorf("events %v", last)
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]app.EventID{
		connectMessage + "\x30\x05\x00\x03a/b":  unintroduced,
		connectMessage + "\x40\x02\x00\x09":     missingPublish,
		connectMessage + "\x00\x00":             unassignedType,
		connectMessage + "\x82\x02\x00\x00\x00": malformed,
		connectMessage + "\x30\xff\xff\xff\xff": malformed,
	} {
		s := talk(100, text, "")
		txs := s.Txs()
		if last := txs[len(txs)-1].Common().Events; !slices.Contains(last, want) && !strings.Contains(text, "\x82\x02") {
			t.Errorf("%q: %v, want %d", text, last, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(connectMessage+publishMessage+subscribeTwo), []byte(connackMessage+pubackMessage))
	f.Add([]byte("\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x14\x00\x02P1"), []byte("\x20\x06\x00\x00\x03\x22\x00\x0a"))
	f.Fuzz(func(t *testing.T, client, server []byte) {
		s := talk(50, string(client), string(server))
		for _, x := range s.Txs() {
			var w jsonw.Writer
			w.Object("")
			appendLog(&w, x, nil)
			w.Close()
		}
	})
}
