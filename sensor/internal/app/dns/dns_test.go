package dns

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

func fromHex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	query  = "1234 0100 0001 0000 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001"
	answer = "1234 8180 0001 0002 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001" +
		"c00c 0005 0001 0000003c 0006 0361 6161 c010" + "c00c 0001 0001 0000003c 0004 c0000201"
)

func talk(t testing.TB, udp bool, messages ...[]byte) *app.Session {
	s := app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{UDP: udp, ClientPort: 9, ServerPort: 53})
	var at [2]uint64
	for i, m := range messages {
		dir := app.Dir(i % 2)
		if !udp {
			m = append([]byte{byte(len(m) >> 8), byte(len(m))}, m...)
		}
		s.Data(dir, at[dir], m, 0)
		at[dir] += uint64(len(m))
	}
	return s
}

func TestQueryAndAnswer(t *testing.T) {
	for _, udp := range []bool{true, false} {
		s := talk(t, udp, fromHex(t, query), fromHex(t, answer))
		if s.Protocol() != Protocol || len(s.Txs()) != 2 {
			t.Fatalf("udp %v: %d transactions", udp, len(s.Txs()))
		}
		q, a := s.Txs()[0], s.Txs()[1]
		if b, ok := q.Buffer(suricata.BufDNSQuery, app.ToServer, 0, nil); !ok || string(b.Data) != "www.example.com" {
			t.Errorf("query %q", b.Data)
		}
		if _, ok := q.Buffer(suricata.BufDNSQuery, app.ToServer, 1, nil); ok {
			t.Error("a second query")
		}
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, a, nil)
		w.Close()
		want := `{"dns":{"version":3,"type":"response","tx_id":1,"id":4660,"flags":"8180","qr":true,"rd":true,"ra":true,"opcode":0,"rcode":"NOERROR",` +
			`"queries":[{"rrname":"www.example.com","rrtype":"A"}],` +
			`"answers":[{"rrname":"www.example.com","rrtype":"CNAME","ttl":60,"rdata":"aaa.example.com"},{"rrname":"www.example.com","rrtype":"A","ttl":60,"rdata":"192.0.2.1"}],` +
			`"grouped":{"CNAME":["aaa.example.com"],"A":["192.0.2.1"]}}}`
		if got := string(w.Bytes()); got != want {
			t.Errorf("log\n%s, want\n%s", got, want)
		}
	}
}

// TestSections reads the names of all sections by one buffer, in order.
func TestSections(t *testing.T) {
	m := "1234 8180 0001 0001 0001 0001 0161 00 0001 0001" + "0162 00 0001 0001 00000000 0000" + "0163 00 0002 0001 00000000 0000" + "0164 00 0001 0001 00000000 0000"
	p := &parser{ctx: &app.Context{Flow: app.FlowInfo{UDP: true}}}
	p.message(app.ToClient, fromHex(t, m))
	var names []string
	for i := 0; ; i++ {
		b, ok := p.Txs()[0].Buffer(suricata.BufDNSResponseName, app.ToClient, i, nil)
		if !ok {
			break
		}
		names = append(names, string(b.Data))
	}
	if got := strings.Join(names, " "); got != "a b c d" {
		t.Errorf("names %s", got)
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]app.EventID{
		strings.Replace(query, "0100", "0140", 1):                      zFlag,
		strings.Replace(query, "0100", "8180", 1):                      notRequest,
		"1234 0100 0001 0000 0000 0000 c00c 0001 0001":                 infiniteLoop,
		"1234 0100 0002 0000 0000 0000 03777777 00 0001 0001 00000000": malformed,
	} {
		p := &parser{ctx: &app.Context{Flow: app.FlowInfo{UDP: true}}}
		p.message(app.ToServer, fromHex(t, text))
		found := false
		for _, e := range p.Txs()[0].Common().Events {
			found = found || e == want
		}
		if !found {
			t.Errorf("%s: %v, want %v", text, p.Txs()[0].Common().Events, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(fromHex(f, query))
	f.Add(fromHex(f, answer))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &parser{ctx: &app.Context{Flow: app.FlowInfo{UDP: true}}}
		p.message(app.ToClient, b)
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, p.Txs()[0], nil)
		w.Close()
		probe(app.ToServer, b)
	})
}
