package smb

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

var le = binary.LittleEndian

// session puts a record into a message of NetBIOS.
func session(record string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(record)))) + record
}

// smb2 is a record of SMB 2.
func smb2(command uint16, response bool, message uint64, status uint32, body string) string {
	b := []byte("\xfeSMB\x40\x00\x00\x00")
	b = le.AppendUint32(b, status)
	b = le.AppendUint16(b, command)
	b = le.AppendUint16(b, 0)
	flags := uint32(0)
	if response {
		flags = 1
	}
	b = le.AppendUint32(b, flags)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, message)
	b = append(b, "\x00\x00\x00\x00\x05\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00"...) // Tree 5, session 9.
	return session(string(b) + strings.Repeat("\x00", 16) + body)
}

func wideText(s string) string {
	var b []byte
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return string(b)
}

const guid = "0123456789abcdef"

func createRequest(message uint64, name string) string {
	w := wideText(name)
	return smb2(smb2Create, false, message, 0, strings.Repeat("\x00", 36)+"\x01\x00\x00\x00\x00\x00\x00\x00\x78\x00"+string(le.AppendUint16(nil, uint16(len(w))))+strings.Repeat("\x00", 8)+w)
}

func createAnswer(message uint64) string {
	return smb2(smb2Create, true, message, 0, strings.Repeat("\x00", 8+32+8)+"\x05\x00\x00\x00\x00\x00\x00\x00"+strings.Repeat("\x00", 8)+guid+strings.Repeat("\x00", 8))
}

func writeRequest(message, offset uint64, data string) string {
	b := append([]byte("\x31\x00\x70\x00"), le.AppendUint32(nil, uint32(len(data)))...)
	b = le.AppendUint64(b, offset)
	return smb2(smb2Write, false, message, 0, string(b)+guid+strings.Repeat("\x00", 16)+data)
}

func closeRequest(message uint64) string {
	return smb2(smb2Close, false, message, 0, strings.Repeat("\x00", 8)+guid)
}

func treeConversation() (client, server string) {
	client = smb2(smb2TreeConnect, false, 1, 0, "\x09\x00\x00\x00\x48\x00"+wideText(`\\host\share`))
	server = smb2(smb2TreeConnect, true, 1, 0, "\x10\x00\x01\x00"+strings.Repeat("\x00", 12))
	return client, server
}

func open() *app.Session {
	c := &app.Config{Files: file.Config{MD5: true}}
	return app.NewSession(app.NewRegistry(c, []*app.Protocol{Protocol}), app.FlowInfo{ServerPort: 445})
}

// talker says texts in pieces.
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

func logOf(x app.Tx) string {
	var w jsonw.Writer
	w.Object("")
	appendLog(&w, x, nil)
	w.Close()
	return string(w.Bytes())
}

func TestFile(t *testing.T) {
	for _, piece := range []int{1, 700, 1 << 20} {
		c := &talker{s: open(), piece: piece}
		client, server := treeConversation()
		c.say(app.ToServer, client)
		c.say(app.ToClient, server)
		c.say(app.ToServer, createRequest(2, "a.txt"))
		c.say(app.ToClient, createAnswer(2))
		long := strings.Repeat("x", 3000)
		c.say(app.ToServer, writeRequest(3, 3, "tail")+writeRequest(4, 0, "abc")+writeRequest(5, 7, long)+closeRequest(6))
		txs := c.s.Txs()
		if len(txs) != 4 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		for i, want := range []string{
			`{"smb":{"id":1,"dialect":"unknown","command":"SMB2_COMMAND_TREE_CONNECT","status":"STATUS_SUCCESS","status_code":"0x0","session_id":9,"tree_id":5,"share":"\\host\\share","share_type":"FILE"}}`,
			`{"smb":{"id":2,"dialect":"unknown","command":"SMB2_COMMAND_CREATE","status":"STATUS_SUCCESS","status_code":"0x0","session_id":9,"tree_id":5,"filename":"a.txt","disposition":"FILE_OPEN","access":"normal","created":0,"accessed":0,"modified":0,"changed":0,"size":5,"fuid":"33323130-3534-3736-3938-626166656463"}}`,
			`{"smb":{"id":3,"dialect":"unknown","command":"SMB2_COMMAND_WRITE","status":"STATUS_SUCCESS","status_code":"0x0","session_id":9,"tree_id":5,"filename":"a.txt","share":"\\host\\share","fuid":"33323130-3534-3736-3938-626166656463"}}`,
		} {
			if got := logOf(txs[i]); got != want {
				t.Errorf("pieces of %d: log\n%s, want\n%s", piece, got, want)
			}
		}
		f := txs[2].Common().Files[app.ToServer][0]
		if f.State != file.Closed || f.Size != 7+3000 || f.Gaps || f.Sums()[0] == nil {
			t.Errorf("pieces of %d: file %+v", piece, f)
		}
		if b, ok := txs[2].Buffer(suricata.BufFileData, app.ToServer, 0, nil); !ok || string(b.Data) != "abctail"+long {
			t.Errorf("pieces of %d: %d bytes for rules", piece, len(b.Data))
		}
		if b, ok := txs[0].Buffer(suricata.BufSMBShare, app.ToServer, 0, nil); !ok || string(b.Data) != `\host\share` {
			t.Errorf("share %q", b.Data)
		}
	}
}

func TestGap(t *testing.T) {
	c := &talker{s: open(), piece: 1 << 20}
	text := writeRequest(1, 0, strings.Repeat("x", 2000))
	c.say(app.ToServer, text[:1000])
	c.s.Gap(app.ToServer, c.at[0], 500)
	c.at[0] += 500
	c.say(app.ToServer, text[1500:]+closeRequest(2))
	f := c.s.Txs()[0].Common().Files[app.ToServer][0]
	if f.Size != 2000 || !f.Gaps || f.State != file.Closed {
		t.Errorf("file %+v", f)
	}
	// Where records begin is found again.
	c.s.Gap(app.ToServer, c.at[0], 100)
	c.at[0] += 100
	c.say(app.ToServer, "rest of a record"+createRequest(3, "b"))
	txs := c.s.Txs()
	if last := logOf(txs[len(txs)-1]); !strings.Contains(last, `"filename":"b"`) {
		t.Errorf("after the gap: %s", last)
	}
}

// smb1 is a record of SMB 1.
func smb1(command uint8, response bool, body string) string {
	flags := "\x18"
	if response {
		flags = "\x98"
	}
	return session("\xffSMB" + string([]byte{command}) + "\x00\x00\x00\x00" + flags + "\x00\x40" + strings.Repeat("\x00", 12) + "\x05\x00\x00\x00\x09\x00\x01\x00" + body)
}

func TestSMB1(t *testing.T) {
	c := &talker{s: open(), piece: 1 << 20}
	c.say(app.ToServer, smb1(smb1Negotiate, false, "\x00\x0c\x00\x02NT LM 0.12\x00"))
	c.say(app.ToClient, smb1(smb1Negotiate, true, "\x11\x00\x00"+strings.Repeat("\x00", 1+16+4+8+2+1)+"\x10\x00"+guid))
	c.say(app.ToServer, smb1(smb1Negotiate, false, "\x00\x02\x00\x02\x00"))
	txs := c.s.Txs()
	want := `{"smb":{"id":1,"dialect":"NT LM 0.12","command":"SMB1_COMMAND_NEGOTIATE_PROTOCOL","status":"STATUS_SUCCESS","status_code":"0x0","session_id":0,"tree_id":0,"client_dialects":["NT LM 0.12"],"server_guid":"33323130-3534-3736-3938-626166656463"}}`
	if got := logOf(txs[0]); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
	if !slices.Contains(txs[0].Common().Events, duplicateNegotiate) {
		t.Errorf("events %v", txs[0].Common().Events)
	}
}

func TestLogon(t *testing.T) {
	part := func(size, at int) string {
		b := le.AppendUint16(nil, uint16(size))
		b = le.AppendUint16(b, uint16(size))
		return string(le.AppendUint32(b, uint32(at)))
	}
	const head = 72
	token := "NTLMSSP\x00\x03\x00\x00\x00" + part(0, head) + part(0, head) + part(6, head) + part(4, head+6) + part(2, head+10) + part(0, head) +
		"\x00\x00\x00\x02" + "\x0a\x00\x5a\x29\x00\x00\x00\x0f" + wideText("DOM") + wideText("me") + wideText("h")
	_, n := readToken([]byte("junk" + token))
	if n == nil || string(n.domain) != "DOM" || string(n.user) != "me" || string(n.host) != "h" || n.version != "10.0 build 10586 rev 15" || n.unusual {
		t.Fatalf("%+v", n)
	}
	if _, n := readToken([]byte(token[:head+4])); n != nil {
		t.Errorf("cut: %+v", n)
	}
}

func TestPipe(t *testing.T) {
	c := &talker{s: open(), piece: 1 << 20}
	bind := "\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 8) + "\x01\x00\x00\x00" +
		"\x00\x00\x01\x00" + guid + "\x01\x00\x00\x00" + strings.Repeat("\x00", 20)
	request := "\x05\x00\x00\x03\x10\x00\x00\x00\x1b\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00\x0f\x00abc"
	c.say(app.ToServer, createRequest(1, "svcctl"))
	c.say(app.ToClient, createAnswer(1))
	c.say(app.ToServer, writeRequest(2, 0, bind)+writeRequest(3, 0, request))
	txs := c.s.Txs()
	want := `{"smb":{"id":3,"dialect":"unknown","command":"SMB2_COMMAND_WRITE","session_id":9,"tree_id":5,"dcerpc":{"request":"REQUEST","response":"UNREPLIED","opnum":15,"req":{"frag_cnt":1,"stub_data_size":3},"interfaces":[{"uuid":"33323130-3534-3736-3839-616263646566","version":"1.0"}],"call_id":2}}}`
	if got := logOf(txs[len(txs)-1]); got != want {
		t.Errorf("log\n%s, want\n%s", got, want)
	}
}

func TestBounds(t *testing.T) {
	c := &talker{s: open(), piece: 1 << 20}
	for i := range uint64(2 * maxTxs) {
		c.say(app.ToServer, createRequest(i, "f"))
	}
	txs := c.s.Txs()
	if len(txs) != maxTxs || !slices.Contains(txs[maxTxs-1].Common().Events, tooManyTxs) {
		t.Errorf("%d transactions", len(txs))
	}
	var k cache[int, int]
	for i := range 10 * maxCached {
		k.put(i, i)
	}
	if n := len(k.young) + len(k.old); n > maxCached {
		t.Errorf("%d values are remembered", n)
	}
	if v, ok := k.get(10*maxCached - 1); !ok || v != 10*maxCached-1 {
		t.Error("the last value is forgotten")
	}
}

func TestProbe(t *testing.T) {
	request, answer := []byte(closeRequest(1)), []byte(createAnswer(1))
	for _, c := range []struct {
		dir  app.Dir
		data []byte
		want app.Verdict
	}{
		{app.ToServer, request, app.Yes}, {app.ToServer, answer, app.Reversed}, {app.ToClient, answer, app.Yes}, {app.ToServer, request[:6], app.Unsure},
		{app.ToServer, []byte("GET / HTTP/1.1"), app.No}, {app.ToServer, append([]byte("\x81\x00\x00\x02xx"), request...), app.Yes},
		{app.ToServer, bytes.Repeat([]byte{0}, 50), app.No},
	} {
		if got := probe(c.dir, c.data); got != c.want {
			t.Errorf("%.20q: %d, want %d", c.data, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	client, server := treeConversation()
	f.Add([]byte(client+createRequest(2, "a")+writeRequest(3, 0, "abc")), []byte(server+createAnswer(2)))
	f.Add([]byte(smb1(smb1Negotiate, false, "\x00\x0c\x00\x02NT LM 0.12\x00")), []byte(smb1(smb1Negotiate, true, "\x00\x00\x00")))
	f.Add([]byte(smb1(smb1Trans, false, "\x10"+strings.Repeat("\x00", 60))), []byte(smb1(smb1ReadAndX, true, strings.Repeat("\x01", 60))))
	f.Fuzz(func(_ *testing.T, client, server []byte) {
		c := &talker{s: open(), piece: 600}
		first, answer := treeConversation()
		c.say(app.ToServer, first+string(client))
		c.say(app.ToClient, answer+string(server))
		c.s.Finish()
		for _, x := range c.s.Txs() {
			logOf(x)
			x.Buffer(suricata.BufDCERPCStubData, app.ToServer, 0, nil)
		}
	})
}

// TestChain ends a chain of commands that each begin within the one before.
func TestChain(t *testing.T) {
	b := []byte("\xffSMB\x24" + strings.Repeat("\x00", header1-5)) // LOCKING_ANDX
	for range 1000 {
		b = append(b, 2, smb1LockingAndX, 0)
		b = le.AppendUint16(b, uint16(len(b)+2))
	}
	s := open()
	(&talker{s: s, piece: 1 << 20}).say(app.ToServer, session(string(b)))
	if n := len(s.Txs()); n != maxChain {
		t.Errorf("%d transactions", n)
	}
}
