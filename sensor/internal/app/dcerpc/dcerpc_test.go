package dcerpc

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

const (
	id     = "0123456789abcdef"
	idText = "33323130-3534-3736-3839-616263646566"
	head   = "\x10\x00\x00\x00" // Little-endian.
)

var (
	bind     = "\x05\x00\x0b\x03" + head + "\x48\x00\x00\x00\x01\x00\x00\x00" + zeros(8) + "\x01\x00\x00\x00" + "\x00\x00\x01\x00" + id + "\x01\x00\x02\x00" + zeros(20)
	bindAck  = "\x05\x00\x0c\x03" + head + "\x3c\x00\x00\x00\x01\x00\x00\x00" + zeros(8) + "\x04\x00abc\x00\x00\x00" + "\x01\x00\x00\x00" + "\x00\x00\x00\x00" + zeros(20)
	request  = "\x05\x00\x00\x03" + head + "\x1b\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00\x0f\x00abc"
	response = "\x05\x00\x02\x03" + head + "\x1a\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00xy"
)

func zeros(n int) string { return strings.Repeat("\x00", n) }

func open(udp bool) *app.Session {
	return app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{UDP: udp, ServerPort: 135})
}

func logOf(x app.Tx) string {
	var w jsonw.Writer
	w.Object("")
	appendLog(&w, x, nil)
	w.Close()
	return string(w.Bytes())
}

func say(s *app.Session, at *[2]uint64, dir app.Dir, text string, piece int) {
	for len(text) > 0 {
		n := min(piece, len(text))
		s.Data(dir, at[dir], []byte(text[:n]), 0)
		at[dir], text = at[dir]+uint64(n), text[n:]
	}
}

func TestConnection(t *testing.T) {
	for _, piece := range []int{1, 20, 1000} {
		s, at := open(false), &[2]uint64{}
		say(s, at, app.ToServer, bind, piece)
		say(s, at, app.ToClient, bindAck, piece)
		say(s, at, app.ToServer, request, piece)
		say(s, at, app.ToClient, response, piece)
		txs := s.Txs()
		if len(txs) != 2 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		face := `"interfaces":[{"uuid":"` + idText + `","version":"1.2","ack_result":0}]`
		for i, want := range []string{
			`{"dcerpc":{"request":"BIND",` + face + `,"response":"BINDACK","call_id":1,"rpc_version":"5.0"}}`,
			`{"dcerpc":{"request":"REQUEST","req":{"opnum":15,"frag_cnt":1,"stub_data_size":3},` + face + `,"response":"RESPONSE","res":{"frag_cnt":1,"stub_data_size":10},"call_id":2,"rpc_version":"5.0"}}`,
		} {
			if got := logOf(txs[i]); got != want {
				t.Errorf("log\n%s, want\n%s", got, want)
			}
		}
		if b, ok := txs[1].Buffer(suricata.BufDCERPCStubData, app.ToServer, 0, nil); !ok || string(b.Data) != "abc" || !b.Little {
			t.Errorf("arguments %q", b.Data)
		}
	}
}

func TestGap(t *testing.T) {
	s, at := open(false), &[2]uint64{}
	say(s, at, app.ToServer, bind, 1000)
	say(s, at, app.ToClient, bindAck, 1000)
	s.Gap(app.ToServer, at[0], 10)
	at[0] += 10
	say(s, at, app.ToServer, "junk"+request, 1000)
	if txs := s.Txs(); len(txs) != 2 || !strings.Contains(logOf(txs[1]), `"opnum":15`) {
		t.Errorf("%d transactions", len(txs))
	}
}

func TestDatagram(t *testing.T) {
	s := open(true)
	datagram := "\x04\x00\x00\x00" + head + zeros(32) + id + zeros(8) + "\x07\x00\x00\x00" + "\x02\x00" + zeros(4) + "\x03\x00\x00\x00\x00\x00abc"
	s.Data(app.ToServer, 0, []byte(datagram), 0)
	s.Data(app.ToClient, 0, []byte("\x04\x02"+datagram[2:]), 0)
	want := `{"dcerpc":{"request":"REQUEST","req":{"opnum":2,"frag_cnt":1,"stub_data_size":3},"response":"RESPONSE","res":{"frag_cnt":1,"stub_data_size":3},"activityuuid":"` + idText + `","seqnum":7,"rpc_version":"4.0"}}`
	if txs := s.Txs(); len(txs) != 1 || logOf(txs[0]) != want {
		t.Errorf("%d transactions, %s", len(txs), logOf(txs[0]))
	}
}

func TestMatch(t *testing.T) {
	rule, err := suricata.Parse(`alert dcerpc any any -> any any (dcerpc.iface:` + idText + `,>0; dcerpc.opnum:1,14-16; sid:1;)`)
	if err != nil {
		t.Fatal(err)
	}
	x := &tx{calls: &calls{}, op: 15}
	f := Interface{UUID: readUUID([]byte(id), true), Version: 1, Acked: true, first: true}
	match := func() (all bool) {
		x.calls.interfaces = []Interface{f}
		all = true
		for i := range rule.Options {
			if o := &rule.Options[i]; o.Name == "dcerpc.iface" || o.Name == "dcerpc.opnum" {
				all = all && x.Match(o, app.ToServer)
			}
		}
		return all
	}
	if !match() {
		t.Error("does not match")
	}
	if x.op = 17; match() {
		t.Error("matches another operation")
	}
	x.op, f.Result = 1, 2
	if match() {
		t.Error("matches an interface that was refused")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(bind+request), []byte(bindAck+response), false)
	f.Add([]byte("\x04\x00\x00\x00"+head+zeros(72)), []byte{}, true)
	f.Fuzz(func(_ *testing.T, client, server []byte, udp bool) {
		s, at := open(udp), &[2]uint64{}
		say(s, at, app.ToServer, string(client), 100)
		say(s, at, app.ToClient, string(server), 100)
		for _, x := range s.Txs() {
			logOf(x)
		}
	})
}
