// Package sip reads SIP (RFC 3261) with the descriptions of sessions it
// carries. A transaction is a message: a request or a response.
package sip

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/sdp"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	incompleteData app.EventID = iota
	invalidData
)

// The frames.
const (
	pduFrame app.FrameID = iota
	requestLineFrame
	responseLineFrame
	requestHeadersFrame
	responseHeadersFrame
	requestBodyFrame
	responseBodyFrame
)

const complete = 1

// Protocol is SIP.
var Protocol = &app.Protocol{
	Name: "sip", Transport: app.TCP | app.UDP, Signatures: signatures(),
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: app.OneStep,
	Buffers: slices.Concat(
		app.Extractors(app.ToServer, complete, suricata.BufSIPMethod, suricata.BufSIPURI, suricata.BufSIPRequestLine),
		app.Extractors(app.ToClient, complete, suricata.BufSIPStatCode, suricata.BufSIPStatMsg, suricata.BufSIPResponseLine),
		app.Extractors(app.ToServer, complete, both...), app.Extractors(app.ToClient, complete, both...)),
	Events: []string{incompleteData: "incomplete_data", invalidData: "invalid_data"},
	Frames: []string{
		pduFrame: "pdu", requestLineFrame: "request.line", responseLineFrame: "response.line", requestHeadersFrame: "request.headers",
		responseHeadersFrame: "response.headers", requestBodyFrame: "request.body", responseBodyFrame: "response.body",
	},
	Logs: []app.Log{{Type: "sip", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// both are the buffers of requests and of responses.
var both = append([]suricata.Buffer{
	suricata.BufSIPProtocol, suricata.BufSIPFrom, suricata.BufSIPTo, suricata.BufSIPVia, suricata.BufSIPUserAgent, suricata.BufSIPContentType,
	suricata.BufSIPContentLength,
}, sdp.Buffers...)

func signatures() (list []app.Signature) {
	for _, m := range []string{"REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "REFER", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "INFO", "UPDATE"} {
		list = append(list, app.Signature{Dir: app.ToServer, Text: m, Depth: len(m)})
	}
	return append(list, app.Signature{Dir: app.ToClient, Text: "SIP/2.0", Depth: len("SIP/2.0")})
}

// Limits of what is kept.
const (
	maxTxs     = 256
	maxHeaders = 512
	maxMessage = 256 << 10 // Bytes, over TCP.
)

// header is one header, with its long name.
type header struct{ name, value []byte }

// message is a request or a response.
type message struct {
	app.Opaque
	response bool
	line     []byte
	words    [3][]byte // Method, URI, version; or version, code, reason.
	headers  []header
	body     *sdp.Description // nil: none.

	lineSize, headSize, size int // Bytes: of the line, line and headers, all.
}

type parser struct {
	app.Messages
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	udp := p.ctx.Flow.UDP
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		m, missing := read(rest, in.Dir == app.ToClient, udp)
		if m != nil {
			p.Single(p.ctx.Hooks, in.Dir, m, maxTxs)
			p.frames(in.Dir, in.Offset+uint64(consumed), m)
			consumed += m.size
			continue
		}
		if missing && !udp && len(rest) < maxMessage {
			return consumed, 0
		}
		if txs := p.Txs(); len(txs) > 0 {
			e := invalidData
			if missing {
				e = incompleteData
			}
			txs[len(txs)-1].Common().Raise(e)
		}
		if !udp {
			p.ctx.Hooks.Stop(false)
		}
		break
	}
	return len(in.Data), 0
}

func (p *parser) frames(dir app.Dir, at uint64, m *message) {
	line, headers, body := requestLineFrame, requestHeadersFrame, requestBodyFrame
	if m.response {
		line, headers, body = responseLineFrame, responseHeadersFrame, responseBodyFrame
	}
	const end = len("\r\n") // Of the headers.
	for _, f := range [...]struct {
		kind     app.FrameID
		from, to int
	}{{pduFrame, 0, m.size}, {line, 0, m.lineSize}, {headers, m.lineSize, m.headSize - end}, {body, m.headSize, m.size}} {
		if f.to > f.from {
			p.ctx.Hooks.Frame(app.Frame{Kind: f.kind, Dir: dir, Offset: at + uint64(f.from), Size: int64(f.to - f.from), Tx: m.ID, HasTx: true})
		}
	}
}

var crlf = []byte("\r\n")

// read takes a message, nil if b does not begin with one; missing says that
// more bytes may help. A datagram is one message.
func read(b []byte, response, datagram bool) (m *message, missing bool) {
	line, rest, ok := bytes.Cut(b, crlf)
	if !ok {
		return nil, true
	}
	m = &message{response: response, line: bytes.Clone(line), lineSize: len(b) - len(rest)}
	if !m.startLine() {
		return nil, false
	}
	for {
		line, rest, ok = bytes.Cut(rest, crlf)
		if !ok {
			return nil, true
		}
		if len(line) == 0 {
			break
		}
		if !m.headerLine(line) {
			return nil, false
		}
	}
	m.headSize, m.size = len(b)-len(rest), len(b)
	if !datagram {
		n, _ := strconv.Atoi(string(m.value("content-length", 0)))
		if n < 0 || n > maxMessage {
			return nil, false
		}
		if n > len(rest) {
			return nil, true
		}
		rest = rest[:n]
		m.size = m.headSize + n
	}
	m.body = sdp.Parse(rest)
	return m, false
}

// startLine takes the first line apart.
func (m *message) startLine() bool {
	first, rest, ok1 := bytes.Cut(m.line, []byte{' '})
	second, third, ok2 := bytes.Cut(rest, []byte{' '})
	m.words = [3][]byte{first, second, third}
	version := third
	if m.response {
		version = first
	}
	return ok1 && ok2 && len(second) > 0 && len(version) > len("SIP/") && bytes.HasPrefix(version, []byte("SIP/"))
}

// long are the names that have a short form (RFC 3261 section 7.3.3).
var long = map[byte]string{
	'i': "call-id", 'm': "contact", 'e': "content-encoding", 'l': "content-length", 'c': "content-type", 'f': "from", 's': "subject",
	'k': "supported", 't': "to", 'v': "via",
}

// headerLine takes a header, or more of the one before.
func (m *message) headerLine(line []byte) bool {
	if n := len(m.headers); n > 0 && (line[0] == ' ' || line[0] == '\t') {
		m.headers[n-1].value = append(append(m.headers[n-1].value, crlf...), line...)
		return true
	}
	name, value, ok := bytes.Cut(line, []byte{':'})
	name = bytes.ToLower(bytes.TrimRight(name, " \t"))
	if !ok || len(m.headers) >= maxHeaders {
		return false
	}
	if len(name) == 1 && long[name[0]] != "" {
		name = []byte(long[name[0]])
	}
	m.headers = append(m.headers, header{name, bytes.Clone(bytes.Trim(value, " \t"))})
	return true
}

// value is that of the i-th header of a name in lower case, nil if there is
// none.
func (m *message) value(name string, i int) []byte {
	for _, h := range m.headers {
		if string(h.name) != name {
			continue
		}
		if i == 0 {
			return h.value
		}
		i--
	}
	return nil
}

// headers are the headers that buffers are made of.
var headers = map[suricata.Buffer]string{
	suricata.BufSIPFrom: "from", suricata.BufSIPTo: "to", suricata.BufSIPVia: "via", suricata.BufSIPUserAgent: "user-agent",
	suricata.BufSIPContentType: "content-type", suricata.BufSIPContentLength: "content-length",
}

// Buffer implements app.Tx.
func (m *message) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	v := m.buffer(b, i)
	return match.Buffer{Data: v}, v != nil
}

func (m *message) buffer(b suricata.Buffer, i int) []byte {
	if name, ok := headers[b]; ok {
		return m.value(name, i)
	}
	word := -1
	switch b {
	case suricata.BufSIPMethod:
		word = 0
	case suricata.BufSIPURI, suricata.BufSIPStatCode:
		word = 1
	case suricata.BufSIPStatMsg:
		word = 2
	case suricata.BufSIPProtocol:
		if word = 2; m.response {
			word = 0
		}
	case suricata.BufSIPRequestLine, suricata.BufSIPResponseLine:
	default:
		return m.body.Buffer(b, i)
	}
	switch {
	case i > 0:
		return nil
	case word < 0:
		return m.line
	}
	return m.words[word]
}

// appendLog writes the member sip of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	m := x.(*message)
	keys, line := [3]string{"method", "uri", "version"}, "request_line"
	if m.response {
		keys, line = [3]string{"version", "code", "reason"}, "response_line"
	}
	w.Object("sip")
	for i, key := range keys {
		w.Text(key, m.words[i])
	}
	if m.body != nil {
		m.body.Append(w)
	}
	w.Text(line, m.line)
	w.Close()
}
