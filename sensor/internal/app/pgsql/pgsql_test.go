package pgsql

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// msg is a message with its length.
func msg(tag, content string) string {
	return tag + string(binary.BigEndian.AppendUint32(nil, uint32(4+len(content)))) + content
}

var (
	startupMessage = msg("", "\x00\x03\x00\x00user\x00me\x00database\x00db\x00\x00")
	authOKMessage  = msg("R", "\x00\x00\x00\x00")
	readyMessage   = msg("Z", "I")
	rowMessage     = msg("D", "\x00\x02\x00\x00\x00\x03abc\xff\xff\xff\xff")
	copyInMessage  = msg("G", "\x00\x00\x01\x00\x00")
)

func open() *app.Session {
	return app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol}), app.FlowInfo{ServerPort: 5432})
}

type talker struct {
	s     *app.Session
	piece int
	at    [2]uint64
}

func (t *talker) say(dir app.Dir, text string) {
	for len(text) > 0 {
		n := min(t.piece, len(text))
		t.s.Data(dir, t.at[dir], []byte(text[:n]), 0)
		t.at[dir], text = t.at[dir]+uint64(n), text[n:]
	}
}

func logOf(x app.Tx, options any) string {
	var w jsonw.Writer
	w.Object("")
	appendLog(&w, x, options)
	w.Close()
	return string(w.Bytes())
}

func TestSession(t *testing.T) {
	for _, piece := range []int{1, 7, 1000} {
		c := &talker{s: open(), piece: piece}
		c.say(app.ToServer, msg("", "\x04\xd2\x16\x2f"))
		c.say(app.ToClient, "N")
		c.say(app.ToServer, startupMessage)
		c.say(app.ToClient, msg("R", "\x00\x00\x00\x03"))
		c.say(app.ToServer, msg("p", "secret\x00"))
		c.say(app.ToClient, authOKMessage+msg("S", "TimeZone\x00UTC\x00")+msg("S", "x\x00y\x00")+msg("K", "\x00\x00\x00\x07\x00\x00\x00\x08")+readyMessage)
		c.say(app.ToServer, msg("Q", "select 1\x00"))
		c.say(app.ToClient, msg("T", "\x00\x01n\x00"+"\x00\x00\x00\x00")+rowMessage+rowMessage+msg("C", "SELECT 2\x00")+readyMessage)
		c.say(app.ToServer, msg("X", ""))
		txs := c.s.Txs()
		want := []string{
			`{"pgsql":{"tx_id":1,"request":{"message":"SSL Request"},"response":{"ssl_accepted":false}}}`,
			`{"pgsql":{"tx_id":2,"request":{"protocol_version":"3.0","startup_parameters":{"user":"me","optional_parameters":[{"database":"db"}]}},"response":{"message":"authentication_cleartext_password"}}}`,
			`{"pgsql":{"tx_id":3,"request":{"password_redacted":true},"response":{"message":"authentication_ok","parameter_status":[{"time_zone":"UTC"},{"x":"y"}],"process_id":7,"secret_key":8}}}`,
			`{"pgsql":{"tx_id":4,"request":{"simple_query":"select 1"},"response":{"field_count":1,"data_rows":2,"data_size":6,"command_completed":"SELECT 2"}}}`,
			`{"pgsql":{"tx_id":5,"request":{"message":"termination_message"}}}`,
		}
		if len(txs) != len(want) {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, x := range txs {
			if got := logOf(x, nil); got != want[i] {
				t.Errorf("log\n%s, want\n%s", got, want[i])
			}
			if x.Common().Progress != [2]uint8{complete, complete} {
				t.Errorf("%d: progress %v", i, x.Common().Progress)
			}
		}
		if got := logOf(txs[2], true); got[:51] != `{"pgsql":{"tx_id":3,"request":{"password":"secret"}` {
			t.Errorf("with passwords: %s", got)
		}
		if b, ok := txs[3].Buffer(suricata.BufPgSQLQuery, app.ToServer, 0, nil); !ok || string(b.Data) != "select 1" {
			t.Errorf("query %q", b.Data)
		}
	}
}

func TestCopy(t *testing.T) {
	c := &talker{s: open(), piece: 1000}
	c.say(app.ToServer, startupMessage)
	c.say(app.ToClient, authOKMessage+readyMessage)
	c.say(app.ToServer, msg("Q", "copy t from stdin\x00"))
	c.say(app.ToClient, copyInMessage)
	c.say(app.ToServer, msg("d", "1\t2\n")+msg("d", "3\n")+msg("c", ""))
	c.say(app.ToClient, msg("C", "COPY 2\x00")+readyMessage)
	txs := c.s.Txs()
	want := `{"pgsql":{"tx_id":3,"request":{"copy_data_in":{"msg_count":2,"data_size":6},"message":"copy_done"},"response":{"data_rows":2,"data_size":6,"command_completed":"COPY 2"}}}`
	if got := logOf(txs[len(txs)-1], nil); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]app.EventID{
		startupMessage + "Q\x00\x00\x00\x01":         invalidLength,
		startupMessage + msg("", "\x00\x09\x00\x00"): malformedRequest,
	} {
		c := &talker{s: open(), piece: 1000}
		c.say(app.ToServer, text)
		txs := c.s.Txs()
		if last := txs[len(txs)-1].Common().Events; !slices.Contains(last, want) {
			t.Errorf("%q: %v", text, last)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(msg("p", "secret\x00")+msg("Q", "select 1\x00")), []byte(authOKMessage+readyMessage+rowMessage+msg("C", "x\x00")))
	f.Add([]byte(msg("d", "1")+msg("c", "")), []byte(copyInMessage+msg("E", "SERROR\x00C42601\x00\x00")))
	f.Fuzz(func(_ *testing.T, client, server []byte) {
		c := &talker{s: open(), piece: 50}
		c.say(app.ToServer, startupMessage+string(client))
		c.say(app.ToClient, authOKMessage+string(server))
		for _, x := range c.s.Txs() {
			logOf(x, true)
		}
	})
}
