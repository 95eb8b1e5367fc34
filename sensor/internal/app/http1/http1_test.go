package http1

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// talk feeds a session with what client and server say, in pieces of a size.
func talk(t testing.TB, piece int, client, server string) []*tx {
	t.Helper()
	r := app.NewRegistry(&app.Config{Files: file.Config{MD5: true}}, []*app.Protocol{Protocol})
	s := app.NewSession(r, app.FlowInfo{ClientPort: 1, ServerPort: 80})
	for _, side := range []struct {
		dir  app.Dir
		text string
	}{{app.ToServer, client}, {app.ToClient, server}} {
		for at := 0; at < len(side.text); at += piece {
			s.Data(side.dir, uint64(at), []byte(side.text[at:min(len(side.text), at+piece)]), 0)
		}
		s.End(side.dir, 0)
	}
	s.Finish()
	var list []*tx
	for _, x := range s.Txs() {
		list = append(list, x.(*tx))
	}
	return list
}

func buffer(x *tx, b suricata.Buffer, dir app.Dir) string {
	var scratch []byte
	m, ok := x.Buffer(b, dir, 0, &scratch)
	if !ok {
		return "-"
	}
	return string(m.Data)
}

const request = "GET /a%20b?x=%41 HTTP/1.1\r\nHost: Example.COM:8080\r\nUser-Agent: me\r\nCookie: a=1\r\nX-Long: one\r\n two\r\n\r\n"

func TestBuffers(t *testing.T) {
	for _, piece := range []int{1, 7, 1000} {
		list := talk(t, piece, request, "HTTP/1.1 200 OK fine\r\nContent-Type: text/html; q\r\nContent-Length: 5\r\nSet-Cookie: s\r\n\r\nhello")
		if len(list) != 1 {
			t.Fatalf("%d transactions", len(list))
		}
		for _, c := range []struct {
			b    suricata.Buffer
			dir  app.Dir
			want string
		}{
			{suricata.BufHTTPMethod, 0, "GET"},
			{suricata.BufHTTPURI, 0, "/a b?x=A"},
			{suricata.BufHTTPURIRaw, 0, "/a%20b?x=%41"},
			{suricata.BufHTTPProtocol, 0, "HTTP/1.1"},
			{suricata.BufHTTPHost, 0, "example.com"},
			{suricata.BufHTTPHostRaw, 0, "Example.COM:8080"},
			{suricata.BufHTTPUserAgent, 0, "me"},
			{suricata.BufHTTPCookie, 0, "a=1"},
			{suricata.BufHTTPHeader, 0, "Host: Example.COM:8080\r\nUser-Agent: me\r\nX-Long: one two\r\n"},
			{suricata.BufHTTPHeaderNames, 0, "\r\nHost\r\nUser-Agent\r\nCookie\r\nX-Long\r\n\r\n"},
			{suricata.BufHTTPReferer, 0, "-"},
			{suricata.BufHTTPStatCode, 1, "200"},
			{suricata.BufHTTPStatMsg, 1, "OK fine"},
			{suricata.BufHTTPContentType, 1, "text/html; q"},
			{suricata.BufHTTPCookie, 1, "s"},
			{suricata.BufHTTPResponseBody, 1, "hello"},
			{suricata.BufFileData, 1, "hello"},
		} {
			if got := buffer(list[0], c.b, c.dir); got != c.want {
				t.Errorf("pieces of %d, %v: %q, want %q", piece, c.b, got, c.want)
			}
		}
		var w jsonw.Writer
		w.Object("")
		appendLog(&w, list[0], nil)
		w.Close()
		want := `{"http":{"hostname":"Example.COM","http_port":8080,"url":"/a%20b?x=%41","http_user_agent":"me","http_content_type":"text/html","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":5}}`
		if got := string(w.Bytes()); got != want {
			t.Errorf("log %s, want %s", got, want)
		}
	}
}

func pack(kind, text string) string {
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	} = gzip.NewWriter(&b)
	if kind == "zlib" {
		w = zlib.NewWriter(&b)
	}
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

// TestBodies reads one text in all the ways a server may send it.
func TestBodies(t *testing.T) {
	const text = "EICAR-STANDARD"
	clen := func(coding, body string) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", coding, len(body), body)
	}
	for name, rest := range map[string]string{
		"length":               clen("", text),
		"to the end":           "\r\n" + text,
		"chunks":               "Transfer-Encoding: chunked\r\n\r\n5\r\nEICAR\r\n9;x=y\r\n-STANDARD\r\n0\r\n\r\n",
		"chunks, spaces":       "Transfer-Encoding : xchunked\r\n\r\n  5 \r\nEICAR\r\n\t9\r\n-STANDARD\r\n0\r\n\r\n",
		"chunks that are none": "Transfer-Encoding: chunked\r\n\r\n" + strings.ReplaceAll(text, "EICAR", "XEICAR"),
		"gzip":                 clen("Content-Encoding: gzip\r\n", pack("gzip", text)),
		"deflate":              clen("Content-Encoding: deflate\r\n", pack("zlib", text)),
		"gzip called deflate":  clen("Content-Encoding: deflate\r\n", pack("gzip", text)),
		"twice":                clen("Content-Encoding: gzip, gzip\r\n", pack("gzip", pack("gzip", text))),
		"gzip that is none":    clen("Content-Encoding: gzip\r\n", text),
		"gzip cut short":       clen("Content-Encoding: gzip\r\n", pack("gzip", text)[:len(pack("gzip", text))-9]),
		"204 with a body":      clen("", text),
	} {
		status := "200"
		if strings.HasPrefix(name, "204") {
			status = "204"
		}
		list := talk(t, 3, request, "HTTP/1.1 "+status+" ok\r\n"+rest)
		if len(list) != 1 || !strings.Contains(buffer(list[0], suricata.BufFileData, 1), text) {
			t.Errorf("%s: %d transactions, %q", name, len(list), buffer(list[0], suricata.BufFileData, 1))
		}
	}
	if list := talk(t, 100, request, text); !strings.Contains(buffer(list[0], suricata.BufFileData, 1), text) {
		t.Errorf("no head at all: %q", buffer(list[0], suricata.BufFileData, 1))
	}
}

func TestFiles(t *testing.T) {
	list := talk(t, 9, request+"POST /up HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ok\r\nContent-Disposition: attachment; filename=\"e.txt\"\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 ok\r\nContent-Length: 9\r\n\r\ncut")
	if len(list) != 2 {
		t.Fatalf("%d transactions", len(list))
	}
	f := list[0].Files[app.ToClient][0]
	if string(f.Name) != "e.txt" || f.State != file.Closed || f.Size != 2 || f.Sums()[0] == nil {
		t.Errorf("%+v", f)
	}
	if f := list[1].Files[app.ToServer][0]; string(f.Name) != "/up" || buffer(list[1], suricata.BufFileData, 0) != "abc" {
		t.Errorf("%+v", f)
	}
	if f := list[1].Files[app.ToClient][0]; f.State != file.Truncated || f.Size != 3 {
		t.Errorf("%+v", f)
	}
}

// TestBomb says of a file that was not undone to its end that it is cut.
func TestBomb(t *testing.T) {
	body := pack("gzip", strings.Repeat("a", 2*1<<20))
	list := talk(t, 1000, request, fmt.Sprintf("HTTP/1.1 200 ok\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if f := list[0].Files[app.ToClient][0]; f.State != file.Truncated || f.Size != 1<<20 {
		t.Errorf("%v, %d bytes", f.State, f.Size)
	}
}

// TestBounds lets a server answer without end what nobody asked, with bodies
// that grow a thousandfold.
func TestBounds(t *testing.T) {
	bomb := pack("gzip", strings.Repeat("a", 1<<20))
	r := app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol})
	s := app.NewSession(r, app.FlowInfo{ServerPort: 80})
	at := uint64(0)
	for range 2 * maxTxs {
		text := fmt.Sprintf("HTTP/1.1 200 ok\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(bomb), bomb)
		s.Data(app.ToClient, at, []byte(text), 0)
		at += uint64(len(text))
	}
	held := 0
	for _, x := range s.Txs() {
		held += cap(x.(*tx).response.body)
	}
	if len(s.Txs()) != maxTxs || r.GivenUp != maxTxs || held > 2*maxKept {
		t.Errorf("%d transactions, %d given up, %d bytes held", len(s.Txs()), r.GivenUp, held)
	}
}

// TestTunnels keeps the transactions of every CONNECT, and gives up in time.
func TestTunnels(t *testing.T) {
	r := app.NewRegistry(&app.Config{}, []*app.Protocol{Protocol})
	s := app.NewSession(r, app.FlowInfo{ServerPort: 80})
	var at [2]uint64
	say := func(dir app.Dir, text string) {
		s.Data(dir, at[dir], []byte(text), 0)
		at[dir] += uint64(len(text))
	}
	for i := range 20 {
		say(app.ToServer, "CONNECT a:80 HTTP/1.1\r\n\r\n")
		say(app.ToClient, "HTTP/1.1 200 ok\r\n\r\n")
		if n := len(s.Txs()); i < 8 && n != i+1 || n > 9 {
			t.Fatalf("after %d tunnels %d transactions", i+1, n)
		}
	}
	late := app.NewSession(r, app.FlowInfo{ServerPort: 80})
	late.Data(app.ToServer, 0, bytes.Repeat([]byte{0xff}, 8192), 0)
	late.Data(app.ToServer, 8192, []byte("GET / HTTP/1.1\r\n\r\n"), 0)
	if late.Protocol() != nil {
		t.Error("recognised in the middle of something else")
	}
}

// FuzzParse holds that pieces of any size give the same transactions, and that
// nothing crashes.
func FuzzParse(f *testing.F) {
	f.Add(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", uint8(3))
	f.Add("POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 200\r\nContent-Encoding: gzip\r\n\r\n"+pack("gzip", "x"), uint8(1))
	f.Fuzz(func(t *testing.T, client, server string, piece uint8) {
		if len(client)+len(server) > 1<<14 {
			return
		}
		talk(t, int(piece)+1, client, server)
	})
}
