// Package http1 reads HTTP/1 as lenient servers and browsers do: what a
// client would take for a header, a chunk or compressed data is taken for it,
// because attackers hide in what only they read so.
//
// A transaction is a request and its answer. The parser takes lines and bodies
// as they come (parser.go); names and values of headers are those of
// header.go; package coding undoes the codings of bodies.
package http1

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The steps of a transaction in each direction.
const (
	started uint8 = iota
	lineDone
	headersDone
	bodyBegun
	trailer
	complete
)

var methods = []string{
	"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE ", "CONNECT ", "TRACE ", "PATCH ", "PROPFIND ", "PROPPATCH ", "MKCOL ", "COPY ",
	"MOVE ", "LOCK ", "UNLOCK ", "VERSION-CONTROL ", "REPORT ", "CHECKOUT ", "CHECKIN ", "UNCHECKOUT ", "MKWORKSPACE ", "UPDATE ",
	"LABEL ", "MERGE ", "BASELINE-CONTROL ", "MKACTIVITY ", "ORDERPATCH ", "ACL ", "ARBITRARY ", "INVALID ", "SEARCH ", "BCOPY ", "BDELETE ", "BMOVE ", "BPROPFIND ", "BPROPPATCH ", "NOTIFY ", "POLL ", "SUBSCRIBE ", "UNSUBSCRIBE ", "X-MS-ENUMATTS ",
}

// Protocol is HTTP/1.
var Protocol = &app.Protocol{
	Name: "http", Aliases: []string{"http1"}, Transport: app.TCP, Signatures: signatures(),
	New:      func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{{"request_started", "request_line", "request_headers", "request_body", "request_trailer", "request_complete"}, {"response_started", "response_line", "response_headers", "response_body", "response_trailer", "response_complete"}},
	Buffers: []app.Extractor{
		{Buffer: suricata.BufHTTPMethod, Dir: app.ToServer, Step: lineDone},
		{Buffer: suricata.BufHTTPURI, Dir: app.ToServer, Step: lineDone},
		{Buffer: suricata.BufHTTPURIRaw, Dir: app.ToServer, Step: lineDone},
		{Buffer: suricata.BufHTTPRequestLine, Dir: app.ToServer, Step: lineDone},
		{Buffer: suricata.BufHTTPRequestBody, Dir: app.ToServer, Step: bodyBegun},
		{Buffer: suricata.BufHTTPRequestHeader, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPUserAgent, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHost, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHostRaw, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPAccept, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPAcceptEnc, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPAcceptLang, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPReferer, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHeader, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHeader, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPHeaderRaw, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHeaderRaw, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPHeaderNames, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPHeaderNames, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPCookie, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPCookie, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPContentLen, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPContentLen, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPContentType, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPContentType, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPConnection, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPConnection, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPProtocol, Dir: app.ToServer, Step: lineDone},
		{Buffer: suricata.BufHTTPProtocol, Dir: app.ToClient, Step: lineDone},
		{Buffer: suricata.BufHTTPStart, Dir: app.ToServer, Step: headersDone},
		{Buffer: suricata.BufHTTPStart, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPResponseHeader, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPResponseLine, Dir: app.ToClient, Step: lineDone},
		{Buffer: suricata.BufHTTPResponseBody, Dir: app.ToClient, Step: bodyBegun},
		{Buffer: suricata.BufHTTPStatCode, Dir: app.ToClient, Step: lineDone},
		{Buffer: suricata.BufHTTPStatMsg, Dir: app.ToClient, Step: lineDone},
		{Buffer: suricata.BufHTTPServer, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufHTTPLocation, Dir: app.ToClient, Step: headersDone},
		{Buffer: suricata.BufFileData, Dir: app.ToServer, Step: bodyBegun},
		{Buffer: suricata.BufFileData, Dir: app.ToClient, Step: bodyBegun},
		{Buffer: suricata.BufFileName, Dir: app.ToServer, Step: bodyBegun},
		{Buffer: suricata.BufFileName, Dir: app.ToClient, Step: bodyBegun},
	},
	Events: events,
	Logs:   []app.Log{{Type: "http", Step: [2]uint8{complete, complete}, Append: appendLog, Options: readOptions}},
}

func signatures() (list []app.Signature) {
	for _, m := range methods {
		list = append(list, app.Signature{Dir: app.ToServer, Text: m, Depth: len(m)})
		list = append(list, app.Signature{Dir: app.ToServer, Text: m, Offset: 2, Depth: len(m) + 2}) // Behind an empty line.
	}
	return append(list, app.Signature{Dir: app.ToClient, Text: "HTTP/", Depth: len("HTTP/")})
}

// message is a request or a response.
type message struct {
	line     []byte // Without its end.
	protocol []byte
	headers  []header
	raw      []byte // All header lines as sent.
	bodySize uint64 // As sent.
	body     []byte // With its codings undone, as far as rules look.
	content  []byte // Of the files in it, if inParts.
	inParts  bool   // The body is multipart/form-data.
	whole    bool   // The body ended.
	files    file.List
}

// tx is a request with its response.
type tx struct {
	app.State
	request, response message
	method, uri       []byte
	status            []byte
	reason            []byte
	continued         bool // A 100 Continue was seen.
	minimal           [2]int
	kept              int  // Bytes of its bodies that are held.
	gone              bool // Freed, perhaps while it is still read.
}

// value is the value of the first header of a name, nil if there is none.
func (m *message) value(name string) []byte {
	for i := range m.headers {
		if m.headers[i].is(name) {
			return m.headers[i].value
		}
	}
	return nil
}

// all joins the values of all headers of a name.
func (m *message) all(name string) (joined []byte) {
	n := 0
	for i := range m.headers {
		if m.headers[i].is(name) {
			if n++; n == 1 {
				joined = m.headers[i].value
				continue
			}
			joined = append(append(bytes.Clone(joined), ", "...), m.headers[i].value...)
		}
	}
	return joined
}

var named = map[suricata.Buffer]string{
	suricata.BufHTTPUserAgent: "user-agent", suricata.BufHTTPAccept: "accept", suricata.BufHTTPAcceptEnc: "accept-encoding",
	suricata.BufHTTPAcceptLang: "accept-language", suricata.BufHTTPReferer: "referer", suricata.BufHTTPContentLen: "content-length",
	suricata.BufHTTPContentType: "content-type", suricata.BufHTTPConnection: "connection", suricata.BufHTTPServer: "server", suricata.BufHTTPLocation: "location",
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, dir app.Dir, i int, scratch *[]byte) (match.Buffer, bool) {
	m := &t.request
	if dir == app.ToClient {
		m = &t.response
	}
	one := func(data []byte, ok bool) (match.Buffer, bool) { return match.Buffer{Data: data}, ok && i == 0 }
	if name, ok := named[b]; ok {
		v := m.all(name)
		return one(v, v != nil)
	}
	switch b {
	case suricata.BufHTTPMethod:
		return one(t.method, len(t.method) > 0)
	case suricata.BufHTTPURI:
		*scratch = normalURI((*scratch)[:0], t.uri)
		return one(*scratch, len(t.uri) > 0)
	case suricata.BufHTTPURIRaw:
		return one(t.uri, len(t.uri) > 0)
	case suricata.BufHTTPRequestLine, suricata.BufHTTPResponseLine:
		return one(m.line, len(m.line) > 0)
	case suricata.BufHTTPProtocol:
		return one(m.protocol, len(m.protocol) > 0)
	case suricata.BufHTTPStatCode:
		return one(t.status, len(t.status) > 0)
	case suricata.BufHTTPStatMsg:
		return one(t.reason, len(t.reason) > 0)
	case suricata.BufHTTPHost:
		*scratch = append((*scratch)[:0], bytes.ToLower(t.host())...)
		return one(*scratch, len(*scratch) > 0)
	case suricata.BufHTTPHostRaw:
		v := m.value("host")
		return one(v, v != nil)
	case suricata.BufHTTPCookie:
		v := m.all("cookie")
		if dir == app.ToClient {
			v = m.all("set-cookie")
		}
		return one(v, v != nil)
	case suricata.BufHTTPHeader:
		*scratch = m.appendHeaders((*scratch)[:0])
		return one(*scratch, len(m.headers) > 0)
	case suricata.BufHTTPHeaderRaw:
		return one(m.raw, len(m.raw) > 0)
	case suricata.BufHTTPHeaderNames:
		*scratch = m.appendNames((*scratch)[:0])
		return one(*scratch, len(m.headers) > 0)
	case suricata.BufHTTPStart:
		*scratch = append(append(append(append((*scratch)[:0], m.line...), "\r\n"...), m.raw...), "\r\n"...)
		return one(*scratch, len(m.line) > 0)
	case suricata.BufHTTPRequestHeader, suricata.BufHTTPResponseHeader:
		if i >= len(m.headers) {
			return match.Buffer{}, false
		}
		h := &m.headers[i]
		*scratch = append(append(append((*scratch)[:0], h.name...), ": "...), h.value...)
		return match.Buffer{Data: *scratch}, true
	case suricata.BufHTTPRequestBody, suricata.BufHTTPResponseBody:
		return one(m.body, len(m.body) > 0 && t.ready(m, dir))
	case suricata.BufFileData:
		if m.inParts {
			return one(m.content, len(m.content) > 0)
		}
		return one(m.body, len(m.body) > 0 && len(m.files) > 0 && t.ready(m, dir))
	case suricata.BufFileName:
		if i >= len(m.files) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: m.files[i].Name}, true
	}
	return match.Buffer{}, false
}

// ready says whether enough of a body is there to be looked at.
func (t *tx) ready(m *message, dir app.Dir) bool { return m.whole || len(m.body) >= t.minimal[dir] }

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, dir app.Dir) bool {
	if v, ok := o.Value.(*suricata.URILen); ok {
		uri := t.uri
		if !v.Raw {
			uri = normalURI(nil, t.uri)
		}
		return v.Match(uint64(len(uri)))
	}
	return false
}

// host is the name in the Host header or in the URI, without a port.
func (t *tx) host() []byte {
	h := t.request.value("host")
	if h == nil {
		h = uriHost(t.uri)
	}
	return hostName(h)
}
