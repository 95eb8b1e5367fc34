// Package mime reads messages of electronic mail line by line (RFC 5322, RFC
// 2045): headers, parts between boundaries, files that are attached, addresses
// of web pages in text.
//
// mime.go follows the structure, header.go reads what headers say, body.go
// undoes the encodings of parts.
package mime

import (
	"bytes"
	"crypto/md5"
	"hash"
)

// Config says what is made of a message.
type Config struct {
	Base64, Quoted bool // undo these encodings
	URLs           bool // look for addresses of web pages
	Schemes        []string
	LogScheme      bool // keep the scheme before what is found
	BodyMD5        bool
}

// Anomaly is a set of what is wrong with a message.
type Anomaly uint16

// The anomalies.
const (
	InvalidBase64 Anomaly = 1 << iota
	InvalidQuoted
	LongLine
	LongEncodedLine
	LongName
	LongValue
	LongBoundary
	LongFilename
)

// Limits: of RFC 5322 section 2.1.1 and RFC 2045 section 6.7 without the end of
// the line, and Suricata's.
const (
	maxLine     = 998
	maxEncoded  = 76
	maxName     = 75
	maxValue    = 2000
	maxBoundary = 254
	maxFilename = 255
)

// What is kept of a message.
const (
	maxHeaders     = 1024
	maxHeaderBytes = 64 << 10 // Of one header,
	maxAllBytes    = 1 << 20  // of those of one part.
	maxDepth       = 64       // Of parts in parts.
	maxFound       = 256      // Attachments and URLs, each.
)

// Header is a header, folded lines joined.
type Header struct{ Name, Value []byte }

// Sink takes the files of a message.
type Sink interface {
	Open(name []byte)
	Add(data []byte)
	Close()
}

// state is what a line is taken for.
type state uint8

const (
	start  state = iota // Of the headers of a message or a part.
	header              // Behind a first one.
	body
)

// kind is the type of a part's content.
type kind uint8

const (
	message kind = iota // Nothing said what it is.
	text
	other
)

// Message is a message that is read.
type Message struct {
	Headers     []Header // Of the message, not of its parts.
	Attachments [][]byte // Names of files.
	URLs        [][]byte
	BodyMD5     []byte // Once the message ended, if wanted.

	config     *Config
	sink       Sink
	state      state
	part       []Header // Those under way,
	size       int      // and their bytes.
	boundaries [][]byte // From the outside in, with the two hyphens.
	anomalies  Anomaly

	// Of the part under way.
	filename []byte
	kind     kind
	encoding encoding
	base64   base64
	quoted   quoted
	end      []byte // Of the last line: it may belong to the boundary.
	text     []byte // A line of text that is not complete.
	digest   hash.Hash
}

// New begins a message.
func New(c *Config, s Sink) *Message { return &Message{config: c, sink: s} }

// InBody says that lines may be of any length and come in pieces.
func (m *Message) InBody() bool { return m.state == body }

// Line takes a line and its end, which is empty for a piece of one. It returns
// what is wrong with it.
func (m *Message) Line(line, end []byte) Anomaly {
	m.anomalies = 0
	if len(line) > maxLine {
		m.anomalies |= LongLine
	}
	switch {
	case m.state == body:
		m.bodyLine(line, end)
	case len(line) == 0:
		m.headersEnd()
	case m.state == header && (line[0] == ' ' || line[0] == '\t'):
		h := &m.part[len(m.part)-1]
		if len(h.Value)+len(line) <= maxHeaderBytes && m.size+len(line) <= maxAllBytes {
			m.size += len(line)
			h.Value = append(h.Value, line[1:]...)
		}
	default:
		m.headerLine(line)
	}
	return m.anomalies
}

func (m *Message) headerLine(line []byte) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(m.part) >= maxHeaders || m.size+len(line) > maxAllBytes {
		return
	}
	m.size += len(line)
	m.state = header
	value = bytes.TrimLeft(value, spaces)
	if len(name) > maxName {
		m.anomalies |= LongName
	}
	if len(value) > maxValue {
		m.anomalies |= LongValue
	}
	m.part = append(m.part, Header{bytes.Clone(name), bytes.Clone(value)})
}

// headersEnd takes the empty line behind headers.
func (m *Message) headersEnd() {
	inner := m.readHeaders()
	if m.Headers == nil {
		m.Headers = m.part
	}
	m.part, m.size = nil, 0
	if inner { // A message in a part: its headers follow.
		m.restart()
		return
	}
	m.state = body
	if len(m.filename) > 0 {
		m.sink.Open(m.filename)
	}
}

// restart begins a part.
func (m *Message) restart() {
	m.state, m.part, m.size = start, nil, 0
	m.filename, m.kind, m.encoding = nil, message, plain
	m.base64, m.quoted, m.end, m.text = base64{}, quoted{}, nil, m.text[:0]
}

func (m *Message) bodyLine(line, end []byte) {
	if m.config.BodyMD5 {
		if m.digest == nil {
			m.digest = md5.New()
		}
		m.digest.Write(line)
		m.digest.Write(end)
	}
	if n := len(m.boundaries); n > 0 {
		if b := m.boundaries[n-1]; bytes.HasPrefix(line, b) {
			m.boundary(line[len(b):])
			return
		}
	}
	m.content(line, end)
}

// boundary takes what follows a boundary in its line.
func (m *Message) boundary(rest []byte) {
	if m.encoding == base64Encoding && m.config.Base64 && len(m.filename) > 0 {
		m.sink.Add(m.base64.flush(nil))
	}
	if bytes.HasPrefix(rest, []byte("--")) {
		m.boundaries = m.boundaries[:len(m.boundaries)-1]
	}
	if len(m.filename) > 0 {
		m.sink.Close()
	}
	m.restart()
}

// Finish takes the end of the message.
func (m *Message) Finish() {
	if m.digest != nil {
		m.BodyMD5 = m.digest.Sum(nil)
	}
	m.scan([]byte{'\n'})
	m.sink.Close()
}

// Values are those of the headers with a name, in lower case.
func (m *Message) Values(name string) (list [][]byte) {
	for _, h := range m.Headers {
		if is(h.Name, name) {
			list = append(list, h.Value)
		}
	}
	return list
}

// Value is that of the first header with a name, in lower case; nil if there
// is none.
func (m *Message) Value(name string) []byte {
	for _, h := range m.Headers {
		if is(h.Name, name) {
			return h.Value
		}
	}
	return nil
}
