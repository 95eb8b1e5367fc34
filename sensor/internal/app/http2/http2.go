// Package http2 reads HTTP/2 (RFC 9113), from the client's preface on or after
// an upgrade of HTTP/1.
//
// A transaction is a stream, or a frame of stream 0, which is about the whole
// connection. parser.go cuts frames and leads streams, frame.go reads what
// frames hold, match.go is what rules see, log.go what EVE writes.
package http2

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/coding"
	"github.com/hauberk/hauberk/suricata"
)

// The events that are raised, by their number in Protocol.Events.
const (
	invalidMagic app.EventID = iota
	invalidFrameData
	invalidHeader
	invalidFrameLength
	longFrame
	streamReuse
	invalidSettings
	tooManyStreams
	hostMismatch
	userInfo
	headersTooLong
	dataOnZero
	tooManyFrames
	compressionBomb
)

// The kinds of parts of the stream, by their number in Protocol.Frames.
const (
	frameHeader app.FrameID = iota
	frameData
	framePDU
)

// The steps of a stream in each direction.
const (
	begun uint8 = iota
	headersDone
	bodyBegun
	complete
)

// preface is what a client says first (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Protocol is HTTP/2.
var Protocol = &app.Protocol{
	Name: "http2", Transport: app.TCP, Probe: probe,
	Signatures: []app.Signature{{Dir: app.ToServer, Text: preface, Depth: len(preface)}},
	New:        func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{
		{"request_started", "request_headers", "request_data", "request_complete"},
		{"response_started", "response_headers", "response_data", "response_complete"},
	},
	Buffers: extractors(),
	Events: []string{
		invalidMagic: "invalid_client_magic", invalidFrameData: "invalid_frame_data", invalidHeader: "invalid_header",
		invalidFrameLength: "invalid_frame_length", longFrame: "long_frame_data", streamReuse: "stream_id_reuse",
		invalidSettings: "invalid_http1_settings", tooManyStreams: "too_many_streams", hostMismatch: "authority_host_mismatch",
		userInfo: "userinfo_in_uri", headersTooLong: "reassembly_limit_reached", dataOnZero: "data_stream_zero",
		tooManyFrames: "too_many_frames", compressionBomb: "compression_bomb",
	},
	Frames: []string{frameHeader: "hdr", frameData: "data", framePDU: "pdu"},
	Logs:   []app.Log{{Type: "http", With: "http2", Step: [2]uint8{complete, complete}, Append: appendLog, Wanted: wanted}},
}

func extractors() (list []app.Extractor) {
	both := []suricata.Buffer{
		suricata.BufHTTPHeader, suricata.BufHTTPHeaderRaw, suricata.BufHTTPHeaderNames, suricata.BufHTTPCookie, suricata.BufHTTPContentLen,
		suricata.BufHTTPContentType, suricata.BufHTTPConnection, suricata.BufHTTPProtocol, suricata.BufHTTP2HeaderName,
	}
	list = append(list, app.Extractors(app.ToServer, headersDone, append(both,
		suricata.BufHTTPMethod, suricata.BufHTTPURI, suricata.BufHTTPURIRaw, suricata.BufHTTPRequestLine, suricata.BufHTTPRequestHeader,
		suricata.BufHTTPUserAgent, suricata.BufHTTPHost, suricata.BufHTTPHostRaw, suricata.BufHTTPAccept, suricata.BufHTTPAcceptEnc,
		suricata.BufHTTPAcceptLang, suricata.BufHTTPReferer)...)...)
	list = append(list, app.Extractors(app.ToClient, headersDone, append(both,
		suricata.BufHTTPResponseHeader, suricata.BufHTTPResponseLine, suricata.BufHTTPStatCode, suricata.BufHTTPStatMsg, suricata.BufHTTPServer,
		suricata.BufHTTPLocation)...)...)
	list = append(list, app.Extractors(app.ToServer, bodyBegun, suricata.BufHTTPRequestBody, suricata.BufFileData)...)
	return append(list, app.Extractors(app.ToClient, bodyBegun, suricata.BufHTTPResponseBody, suricata.BufFileData)...)
}

// probe takes a server's first frame for HTTP/2 if it is of settings.
func probe(dir app.Dir, data []byte) app.Verdict {
	if dir == app.ToServer {
		return app.No // The signature decides.
	}
	if len(data) < headSize {
		return app.Unsure
	}
	h := readHead(data)
	if h.kind != kindSettings || h.flags&^flagAck != 0 || h.reserved || h.size > defaultFrame || h.stream != 0 {
		return app.No
	}
	return app.Yes
}

// Upgrade is a request of HTTP/1 that asked for HTTP/2 and is answered in it,
// as stream 1 (RFC 7540 section 3.2).
type Upgrade struct {
	Method, URI []byte
	Headers     [][2][]byte // Names and values.
	Settings    []byte      // HTTP2-Settings: a frame's settings in base64url.
}

// tx is a stream, or a frame of stream 0.
type tx struct {
	app.State
	stream uint32
	sides  [2]side
	gone   bool // Freed, perhaps while it is still read.
}

// side is what one end said in a stream.
type side struct {
	kinds      uint16 // A bit for each kind of frame.
	frames     int
	fields     []field
	held       int // Bytes of fields.
	settings   []setting
	errors     []uint32
	goaway     bool // The first error is that of a frame GOAWAY.
	priorities []uint8
	windows    []uint32
	body       []byte
	coding     *coding.Decoder
	coded      bool // coding was made.
}

// field is a header, or a change of the size of the table headers are kept in.
type field struct {
	name, value []byte
	resize      bool
	size        uint64
}

// setting is one of a connection's (RFC 9113 section 6.5.1).
type setting struct {
	id    uint16
	value uint32
}

// each calls do with the headers until it returns false.
func (s *side) each(do func(name, value []byte) bool) {
	for i := range s.fields {
		if f := &s.fields[i]; !f.resize && !do(f.name, f.value) {
			return
		}
	}
}

// first is the value of the first header of a name, nil if there is none.
func (s *side) first(name string) (value []byte) {
	s.each(func(n, v []byte) bool {
		if string(n) == name {
			value = v
		}
		return value == nil
	})
	return value
}
