package http1

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/apptest"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/http2"
	"github.com/hauberk/hauberk/suricata"
)

func TestEvents(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct{ client, server, want string }{
		"all is well":           {get, "HTTP/1.1 200 ok\r\nContent-Length: 2\r\n\r\nhi", ""},
		"a response alone":      {"", "HTTP/1.1 200 ok\r\nContent-Length: 2\r\n\r\nhi", "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST"},
		"no host":               {"GET / HTTP/1.1\r\n\r\n", "", "MISSING_HOST_HEADER"},
		"two hosts":             {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "", "HOST_HEADER_AMBIGUOUS"},
		"a bad host":            {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "", "REQUEST_HEADER_HOST_INVALID"},
		"a bad port":            {"GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", "", "REQUEST_HEADER_HOST_INVALID"},
		"no colon":              {"GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", "", "REQUEST_FIELD_MISSING_COLON"},
		"no name":               {"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", "", "REQUEST_INVALID_EMPTY_NAME"},
		"space after a name":    {"GET / HTTP/1.1\r\nHost: a\r\nx : y\r\n\r\n", "", "REQUEST_INVALID_LWS_AFTER_NAME"},
		"a header twice":        {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nx: y\r\n\r\n", "", "REQUEST_HEADER_REPETITION"},
		"two lengths":           {get, "HTTP/1.1 200 ok\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "RESPONSE_HEADER_REPETITION DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE"},
		"no length":             {get, "HTTP/1.1 200 ok\r\nContent-Length: x\r\n\r\n", "INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE"},
		"an unknown scheme":     {"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x y\r\n\r\n", "", "REQUEST_AUTH_UNRECOGNIZED"},
		"percent twice":         {"GET /%252e HTTP/1.1\r\nHost: a\r\n\r\n", "", "DOUBLE_ENCODED_URI"},
		"tabs":                  {"GET \t/ HTTP/1.1\r\nHost: a\r\n\r\n", "", "METHOD_DELIM_NON_COMPLIANT"},
		"no protocol":           {"GET /\r\nHost: a\r\n\r\n", "", "REQUEST_LINE_MISSING_PROTOCOL"},
		"an extension":          {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n", "", "REQUEST_CHUNK_EXTENSION"},
		"no chunk":              {get, "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "INVALID_RESPONSE_CHUNK_LEN"},
		"chunks before 1.1":     {get, "HTTP/1.0 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "RESPONSE_CHUNKED_OLD_PROTO"},
		"an odd coding":         {get, "HTTP/1.1 200 ok\r\nContent-Encoding: x\r\n\r\n", "ABNORMAL_CE_HEADER"},
		"many codings":          {get, "HTTP/1.1 200 ok\r\nContent-Encoding: gzip, gzip, gzip\r\n\r\n", "TOO_MANY_ENCODING_LAYERS"},
		"continue twice":        {get, "HTTP/1.1 100 go\r\n\r\nHTTP/1.1 100 go\r\n\r\nHTTP/1.1 204 ok\r\n\r\n", "100_CONTINUE_ALREADY_SEEN"},
		"a body behind":         {get + "a=b&c=d", "", "REQUEST_BODY_UNEXPECTED"},
		"a body behind another": {get, "HTTP/1.1 200 ok\r\nContent-Length: 2\r\n\r\nhi there", "RESPONSE_BODY_UNEXPECTED"},
		"no status":             {get, "HTTP/1.1 abc ok\r\nContent-Length: 0\r\n\r\n", "RESPONSE_INVALID_STATUS"},
	} {
		talk := apptest.New(Protocol, 80, nil)
		talk.Client(c.client)
		talk.Server(c.server)
		txs := talk.Session.Txs()
		if len(txs) != 1 {
			t.Errorf("%s: %d transactions", name, len(txs))
			continue
		}
		if got := apptest.Events(txs[0]); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestMultipart(t *testing.T) {
	body := "before\r\n--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n" +
		"--xyz\r\nContent-Disposition: form-data; name=\"b\"; filename=\"f.bin\"\r\nContent-Type: x/y\r\n\r\nfile\r\n--xy not yet\r\n" +
		"--xyz\r\nContent-Disposition: form-data; name=\"c\"; filename=\"g.bin\"\r\n\r\n\r\n--xyz--\r\n"
	head := "POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=xyz\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, piece := range []int{0, 1, 13} {
		talk := apptest.New(Protocol, 80, nil)
		talk.Piece = piece
		talk.Client(head + "fff\r\n" + body + strings.Repeat("x", 0xfff-len(body)) + "\r\n0\r\n\r\n")
		x := talk.Session.Txs()[0]
		files := x.Common().Files[app.ToServer]
		if len(files) != 2 || string(files[0].Name) != "f.bin" || string(files[1].Name) != "g.bin" {
			t.Fatalf("pieces of %d: %d files", piece, len(files))
		}
		if files[0].Size != uint64(len("file\r\n--xy not yet")) || files[0].State != file.Closed || files[1].Size != 0 {
			t.Errorf("pieces of %d: %d bytes, %s, %d bytes", piece, files[0].Size, files[0].State, files[1].Size)
		}
		if got := apptest.Buffers(x, suricata.BufFileData, app.ToServer); len(got) != 1 || got[0] != "file\r\n--xy not yet" {
			t.Errorf("file data %q", got)
		}
		if got := apptest.Buffers(x, suricata.BufHTTPRequestBody, app.ToServer); len(got) != 1 || !strings.HasPrefix(got[0], "before") {
			t.Errorf("body %q", got)
		}
	}
}

// TestGap loses the end of one response and the beginning of the next.
func TestGap(t *testing.T) {
	talk := apptest.New(Protocol, 80, nil)
	const answer = "HTTP/1.1 200 ok\r\nContent-Length: 10\r\n\r\n"
	for _, uri := range []string{"/1", "/2", "/3"} {
		talk.Client("GET " + uri + " HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	talk.Server(answer + "01234")
	talk.Session.Gap(app.ToClient, uint64(len(answer)+5), 30)
	at := uint64(len(answer) + 35)
	talk.Session.Data(app.ToClient, at, []byte("of what was lost\r\n"+answer+"0123456789"), 0)
	txs := talk.Session.Txs()
	if len(txs) != 3 {
		t.Fatalf("%d transactions", len(txs))
	}
	first, second := txs[0].Common(), txs[1].Common()
	if f := first.Files[app.ToClient][0]; f.Size != 10 || !f.Gaps || f.State != file.Truncated {
		t.Errorf("%d bytes, gaps %v, %s", f.Size, f.Gaps, f.State)
	}
	if f := second.Files[app.ToClient][0]; f.Size != 10 || f.Gaps || f.State != file.Closed {
		t.Errorf("%d bytes, gaps %v, %s", f.Size, f.Gaps, f.State)
	}
}

// TestUpgrade hands a connection over to HTTP/2.
func TestUpgrade(t *testing.T) {
	s := app.NewSession(app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol, http2.Protocol}), app.FlowInfo{ServerPort: 80})
	s.Data(app.ToServer, 0, []byte("GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"), 0)
	s.Data(app.ToClient, 0, []byte("HTTP/1.1 101 go\r\nUpgrade: h2c\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"), 0)
	if s.Protocol() != http2.Protocol || len(s.Txs()) != 4 {
		t.Fatalf("%d transactions", len(s.Txs()))
	}
	if log := apptest.Log(s.Txs()[2], 0, nil); !strings.Contains(log, `[{"name":":method","value":"GET"},{"name":":path","value":"/x"},{"name":":authority","value":"a"}`) {
		t.Error(log)
	}
}

func TestOptions(t *testing.T) {
	talk := apptest.New(Protocol, 80, nil)
	talk.Client("GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n")
	talk.Server("HTTP/1.1 200 ok\r\nContent-Length: 2\r\nDate: now\r\n\r\nhi")
	const basic = `{"http":{"hostname":"a","url":"/"`
	for _, c := range []struct {
		settings map[string]string
		want     string
	}{
		{nil, basic + "}}"},
		{map[string]string{"extended": "yes"}, basic + `,"http_method":"GET","protocol":"HTTP/1.1","status":200,"length":2}}`},
		{map[string]string{"dump-all-headers": "request"}, basic + `,"request_headers":[{"name":"Host","value":"a"},{"name":"X-A","value":"b"}]}}`},
		{map[string]string{"custom": "x_a date"}, basic + `,"request_headers":[{"name":"X-A","value":"b"}],"response_headers":[{"name":"Date","value":"now"}]}}`},
	} {
		o, err := readOptions(func(key string) (string, bool) { v, ok := c.settings[key]; return v, ok })
		if err != nil {
			t.Fatal(err)
		}
		if got := apptest.Log(talk.Session.Txs()[0], 0, o); got != c.want {
			t.Errorf("%v: %s", c.settings, got)
		}
	}
}
