package http2

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
)

// frame makes a frame.
func frame(k kind, flags byte, stream uint32, body string) string {
	b := []byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), byte(k), flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + body
}

// packed are headers, compressed; they alternate names and values.
func packed(headers ...string) string {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(headers); i += 2 {
		// An encoder does not fail into a buffer.
		_ = e.WriteField(hpack.HeaderField{Name: headers[i], Value: headers[i+1], Sensitive: true})
	}
	return b.String()
}

func request() string {
	block := packed(":method", "GET", ":path", "/a?b", ":authority", "U@Example.com:80", "cookie", "c=1", "user-agent", " ua ")
	return preface + frame(kindSettings, 0, 0, "\x00\x03\x00\x00\x00\x64") +
		frame(kindHeaders, flagPriority|flagEndStream, 1, "\x00\x00\x00\x00\x0f"+block[:9]) + frame(kindContinuation, flagEndHeaders, 1, block[9:])
}

func response(t testing.TB) string {
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	if _, err := w.Write([]byte("hello, world")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z := zip.String()
	return frame(kindSettings, flagAck, 0, "") + frame(kindWindow, 0, 0, "\x00\x00\x01\x00") +
		frame(kindHeaders, flagEndHeaders, 1, "\x3f\xe1\x1f"+packed(":status", "200", "content-encoding", "gzip", "content-length", "12")) +
		frame(kindData, flagPadded, 1, "\x03"+z[:8]+"pad") + frame(kindData, flagEndStream, 1, z[8:]) +
		frame(kindGoAway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x02bye")
}

func TestStream(t *testing.T) {
	for _, piece := range []int{0, 1, 7} {
		talk := apptest.New(Protocol, 80, nil)
		talk.Piece = piece
		talk.Client(request())
		talk.Server(response(t))
		txs := talk.Session.Txs()
		if len(txs) != 4 {
			t.Fatalf("pieces of %d: %d transactions", piece, len(txs))
		}
		x := txs[1]
		if c := x.Common(); c.Progress != [2]uint8{complete, complete} || apptest.Events(x) != "userinfo_in_uri" {
			t.Errorf("progress %v, events %s", c.Progress, apptest.Events(x))
		}
		for _, c := range []struct {
			buffer suricata.Buffer
			dir    app.Dir
			want   string
		}{
			{suricata.BufHTTPMethod, 0, "GET"}, {suricata.BufHTTPURI, 0, "/a?b"}, {suricata.BufHTTPHost, 0, "example.com"},
			{suricata.BufHTTPHostRaw, 0, "U@Example.com:80"}, {suricata.BufHTTPCookie, 0, "c=1"}, {suricata.BufHTTPRequestLine, 0, "GET /a?b HTTP/2\r\n"},
			{suricata.BufHTTPHeader, 0, ":method: GET\r\n:path: /a?b\r\n:authority: U@Example.com:80\r\nuser-agent: ua\r\n"},
			{suricata.BufHTTPHeaderNames, 0, "\r\n:method\r\n:path\r\n:authority\r\ncookie\r\nuser-agent\r\n\r\n"},
			{suricata.BufHTTP2HeaderName, 0, ":method|:path|:authority|cookie|user-agent"},
			{suricata.BufHTTPStatCode, 1, "200"}, {suricata.BufHTTPResponseLine, 1, "HTTP/2 200\r\n"}, {suricata.BufHTTPStatMsg, 1, ""},
			{suricata.BufHTTPResponseBody, 1, "hello, world"}, {suricata.BufFileData, 1, "hello, world"}, {suricata.BufHTTPServer, 1, ""},
		} {
			if got := strings.Join(apptest.Buffers(x, c.buffer, c.dir), "|"); got != c.want {
				t.Errorf("%s: %q", c.buffer, got)
			}
		}
		if f := x.Common().Files[1][0]; f.Size != 12 || f.State != file.Closed {
			t.Errorf("file of %d bytes, %s", f.Size, f.State)
		}
		log := apptest.Log(x, 0, nil)
		for _, want := range []string{
			`"version":"2","request_headers":[{"name":":method","value":"GET"}`, `"response_headers":[{"table_size_update":4096},`,
			`"length":12,"status":200,"http2":{"stream_id":1,"request":{"priority":15}}`,
		} {
			if !strings.Contains(log, want) {
				t.Errorf("%s lacks %s", log, want)
			}
		}
		if log := apptest.Log(txs[0], 0, nil); !strings.Contains(log, `"settings":[{"settings_id":"SETTINGSMAXCONCURRENTSTREAMS","settings_value":100}]`) {
			t.Error(log)
		}
		if log := apptest.Log(txs[3], 0, nil); !strings.Contains(log, `"response":{"error_code":"INTERNALERROR"}`) {
			t.Error(log)
		}
		if log := apptest.Log(txs[2], 0, nil); log != "" {
			t.Errorf("a window is logged: %s", log)
		}
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string]struct{ client, want string }{
		"no preface":         {strings.Repeat(frame(kindPing, 0, 0, "12345678"), 2), "invalid_client_magic"},
		"a header too many":  {preface + frame(kindHeaders, flagEndHeaders, 1, "\xbe"), "invalid_header"},
		"a long reset":       {preface + frame(kindReset, 0, 1, "\x00\x00\x00\x01x"), "invalid_frame_length"},
		"padding alone":      {preface + frame(kindHeaders, flagEndHeaders|flagPadded, 1, "\x09x"), "invalid_frame_data"},
		"data of no stream":  {preface + frame(kindData, 0, 0, "x"), "data_stream_zero"},
		"a very long frame":  {preface + frame(kindHeaders, 0, 1, strings.Repeat("x", 70000)), "long_frame_data"},
		"two hosts":          {preface + frame(kindHeaders, flagEndHeaders, 1, packed(":authority", "a", "host", "b")), "authority_host_mismatch"},
		"headers in 8 parts": {preface + frame(kindHeaders, 0, 1, "") + strings.Repeat(frame(kindContinuation, 0, 1, strings.Repeat("\x82", 15000)), 8), "reassembly_limit_reached"},
	} {
		talk := apptest.New(Protocol, 80, nil)
		talk.Server(frame(kindSettings, 0, 0, "\x00\x03\x00\x00\x00\x64"))
		talk.Client(c.client)
		var events []string
		for _, x := range talk.Session.Txs() {
			events = append(events, apptest.Events(x))
		}
		if got := strings.TrimSpace(strings.Join(events, " ")); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestBomb repeats one long header in a small block.
func TestBomb(t *testing.T) {
	talk := apptest.New(Protocol, 80, nil)
	long := "\x40\x01x\x7f\xd1\x1e" + strings.Repeat("v", 4048)
	talk.Client(preface + frame(kindHeaders, flagEndHeaders, 1, long[:6]+strings.Repeat("v", 4048)+strings.Repeat("\xbe", 12000)))
	held := 0
	for _, x := range talk.Session.Txs() {
		x.(*tx).sides[app.ToServer].each(func(n, v []byte) bool {
			held += len(n) + len(v)
			return true
		})
	}
	if held == 0 || held > maxFieldBytes {
		t.Errorf("%d bytes of headers are held", held)
	}
}

func TestMatch(t *testing.T) {
	talk := apptest.New(Protocol, 80, nil)
	talk.Client(request())
	talk.Server(response(t))
	txs := talk.Session.Txs()
	u := func(n uint64) *suricata.Uint { return &suricata.Uint{Op: suricata.Eq, A: n} }
	for i, c := range []struct {
		x    app.Tx
		o    suricata.Option
		dir  app.Dir
		want bool
	}{
		{txs[0], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.frametype"}, Value: u(4)}, 0, true},
		{txs[0], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.frametype"}, Value: u(1)}, 0, false},
		{txs[0], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.settings"}, Value: &suricata.HTTP2Setting{ID: 3, Value: u(100)}}, 0, true},
		{txs[1], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.priority"}, Value: u(15)}, 0, true},
		{txs[1], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.size_update"}, Value: u(4096)}, 1, true},
		{txs[2], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.window"}, Value: u(256)}, 1, true},
		{txs[3], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.errorcode"}, Value: u(2)}, 1, true},
		{txs[3], suricata.Option{Keyword: &suricata.Keyword{Name: "http2.errorcode"}, Value: u(2)}, 0, false},
	} {
		if c.x.Match(&c.o, c.dir) != c.want {
			t.Errorf("%d: %s is not %v", i, c.o.Name, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(request()), []byte(response(f)), []byte(frame(kindPush, 0, 1, "\x00\x00\x00\x02")), uint16(5))
	f.Add([]byte(preface+frame(kindData, flagPadded|flagEndStream, 3, "\x01ab")), []byte(frame(kindReset, 0, 1, "\x00\x00\x00\x01")), []byte{}, uint16(0))
	apptest.Fuzz(f, Protocol, 80)
}

// TestHeaderBomb keeps no more of headers than there is room for, though a byte
// stands for thousands of theirs, and has the room again once they are freed.
func TestHeaderBomb(t *testing.T) {
	var first bytes.Buffer
	e := hpack.NewEncoder(&first)
	if err := e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("a", 3999)}); err != nil {
		t.Fatal(err)
	}
	const again = "\xbe" // The newest entry of the table (RFC 7541 section 6.1).
	talk := apptest.New(Protocol, 80, nil)
	talk.Client(preface + frame(kindHeaders, flagEndHeaders, 1, first.String()))
	stream := uint32(3)
	bomb := func() {
		for range 100 {
			talk.Client(frame(kindHeaders, flagEndHeaders, stream, strings.Repeat(again, 50)))
			stream += 2
		}
	}
	held := func() (n int) {
		for _, x := range talk.Session.Txs() {
			for _, f := range x.(*tx).sides[app.ToServer].fields {
				n += len(f.name) + len(f.value)
			}
		}
		return n
	}
	for range 2 {
		bomb()
		if n := held(); n > maxHeaders || n < maxHeaders-4000 {
			t.Errorf("%d bytes of headers are held", n)
		}
		for len(talk.Session.Txs()) > 0 {
			talk.Session.Free(talk.Session.Txs()[0])
		}
	}
}
