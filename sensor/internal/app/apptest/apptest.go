// Package apptest lets tests talk to a protocol's parser as the sensor does.
package apptest

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// Talk is a flow under test.
type Talk struct {
	Session *app.Session
	// Piece is how many bytes come at once; 0: all.
	Piece int
	// Announced are the flows that were.
	Announced []app.Expectation

	at [2]uint64
}

// New begins a flow of one protocol to a server's port. settings are texts
// of suricata.yaml by their paths below app-layer.protocols.
func New(p *app.Protocol, port uint16, settings map[string]string) *Talk {
	c := &app.Config{
		Files: file.Config{MD5: true},
		Get:   func(path string) (string, bool) { v, ok := settings[path]; return v, ok },
	}
	t := &Talk{}
	udp := p.Transport&app.TCP == 0
	t.Session = app.NewSession(app.NewRegistry(c, []*app.Protocol{p}), app.FlowInfo{UDP: udp, ClientPort: 40000, ServerPort: port})
	t.Session.Attach(t)
	return t
}

// Reverse implements app.Host.
func (*Talk) Reverse() bool { return true }

// Bypass implements app.Host.
func (*Talk) Bypass() {}

// Expect implements app.Host.
func (t *Talk) Expect(e app.Expectation) { t.Announced = append(t.Announced, e) }

// Say brings bytes of a direction; of a datagram protocol, one datagram.
func (t *Talk) Say(dir app.Dir, text string) {
	for len(text) > 0 {
		n := len(text)
		if t.Piece > 0 {
			n = min(n, t.Piece)
		}
		t.Session.Data(dir, t.at[dir], []byte(text[:n]), 0)
		t.at[dir], text = t.at[dir]+uint64(n), text[n:]
	}
}

// Client and Server bring bytes of their directions.
func (t *Talk) Client(text string) { t.Say(app.ToServer, text) }

// Server brings bytes to the client.
func (t *Talk) Server(text string) { t.Say(app.ToClient, text) }

// End ends both directions.
func (t *Talk) End() {
	t.Session.End(app.ToServer, 0)
	t.Session.End(app.ToClient, 0)
	t.Session.Finish()
}

// Log is what the protocol's n-th log writes of a transaction.
func Log(x app.Tx, n int, options any) string {
	l := &x.Common().Protocol.Logs[n]
	if l.Wanted != nil && !l.Wanted(x, options) {
		return ""
	}
	var w jsonw.Writer
	w.Object("")
	l.Append(&w, x, options)
	w.Close()
	return string(w.Bytes())
}

// Buffers are the values of a buffer in a direction.
func Buffers(x app.Tx, b suricata.Buffer, dir app.Dir) (list []string) {
	var scratch []byte
	for i := 0; ; i++ {
		v, ok := x.Buffer(b, dir, i, &scratch)
		if !ok {
			return list
		}
		list = append(list, string(v.Data))
	}
}

// Events are the names of the events a transaction raised.
func Events(x app.Tx) string {
	var names []string
	for _, e := range x.Common().Events {
		names = append(names, x.Common().Protocol.Events[e])
	}
	return strings.Join(names, " ")
}

// maxValues is more than a buffer of a transaction may have values.
const maxValues = 1 << 16

// Fuzz feeds a parser what its fuzzer comes up with, in three turns, and
// reads all that becomes of it.
func Fuzz(f *testing.F, p *app.Protocol, port uint16) {
	f.Fuzz(func(t *testing.T, client, server, again []byte, piece uint16) {
		talk := New(p, port, nil)
		talk.Session.Expected(app.Expectation{Proto: p.Name}) // Whatever it looks like.
		talk.Piece = int(piece)
		talk.Client(string(client))
		talk.Server(string(server))
		talk.Client(string(again))
		talk.End()
		for _, x := range talk.Session.Txs() {
			for n := range x.Common().Protocol.Logs {
				Log(x, n, nil)
			}
			for _, b := range x.Common().Protocol.Buffers {
				if n := len(Buffers(x, b.Buffer, b.Dir)); n > maxValues {
					t.Fatalf("%s has %d values", b.Buffer, n)
				}
			}
			Events(x)
		}
	})
}
