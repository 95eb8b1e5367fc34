// Package smtp reads SMTP (RFC 5321) with pipelining, BDAT (RFC 3030) and
// STARTTLS. A transaction is what leads to one message, and the message.
//
// command.go takes what the client says, reply.go what the server answers,
// log.go writes EVE's members smtp and email.
package smtp

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/mime"
	"github.com/hauberk/hauberk/sensor/internal/app/transfer"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The steps of a transaction in each direction.
const (
	started uint8 = iota
	data
	complete
)

// The events that are raised, by their number in Protocol.Events.
const (
	invalidReply app.EventID = iota
	unmatchedReply
	longCommand
	longReply
	invalidPipeline
	chunkExceeded
	invalidBDAT
	noWelcome
	tlsRejected
	dataRejected
	failedChange
	mimeFailed
	invalidBase64
	invalidQuoted
	longLine
	longEncodedLine
	longName
	longValue
	longBoundary
	longFilename
	duplicate
	unparsable
	truncatedLine
)

// The frames.
const (
	commandFrame app.FrameID = iota
	dataFrame
	replyFrame
)

// Protocol is SMTP.
var Protocol = &app.Protocol{
	Name: "smtp", Transport: app.TCP, Ports: []uint16{25, 465}, Probe: probe,
	Signatures: []app.Signature{
		{Dir: app.ToServer, Text: "EHLO", Fold: true, Depth: 4}, {Dir: app.ToServer, Text: "HELO", Fold: true, Depth: 4},
		{Dir: app.ToServer, Text: "QUIT", Fold: true, Depth: 4},
	},
	New:      func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{{"request_started", "request_data", "request_complete"}, {"response_started", "response_data", "response_complete"}},
	Buffers: slices.Concat(
		app.Extractors(app.ToServer, started, suricata.BufSMTPHelo, suricata.BufSMTPMailFrom, suricata.BufSMTPRcptTo),
		app.Extractors(app.ToServer, data, suricata.BufEmailFrom, suricata.BufEmailSubject, suricata.BufEmailTo, suricata.BufEmailCc,
			suricata.BufEmailDate, suricata.BufEmailMessageID, suricata.BufEmailXMailer, suricata.BufEmailURL, suricata.BufEmailReceived,
			suricata.BufFileData, suricata.BufFileName)),
	Events: []string{
		invalidReply: "INVALID_REPLY", unmatchedReply: "UNABLE_TO_MATCH_REPLY_WITH_REQUEST", longCommand: "MAX_COMMAND_LINE_LEN_EXCEEDED",
		longReply: "MAX_REPLY_LINE_LEN_EXCEEDED", invalidPipeline: "INVALID_PIPELINED_SEQUENCE", chunkExceeded: "BDAT_CHUNK_LEN_EXCEEDED",
		invalidBDAT: "INVALID_BDAT", noWelcome: "NO_SERVER_WELCOME_MESSAGE", tlsRejected: "TLS_REJECTED", dataRejected: "DATA_COMMAND_REJECTED",
		failedChange: "FAILED_PROTOCOL_CHANGE", mimeFailed: "MIME_PARSE_FAILED", invalidBase64: "MIME_INVALID_BASE64",
		invalidQuoted: "MIME_INVALID_QP", longLine: "MIME_LONG_LINE", longEncodedLine: "MIME_LONG_ENC_LINE", longName: "MIME_LONG_HEADER_NAME",
		longValue: "MIME_LONG_HEADER_VALUE", longBoundary: "MIME_LONG_BOUNDARY", longFilename: "MIME_LONG_FILENAME", duplicate: "DUPLICATE_FIELDS",
		unparsable: "UNPARSABLE_CONTENT", truncatedLine: "TRUNCATED_LINE",
	},
	Frames: []string{commandFrame: "command_line", dataFrame: "data", replyFrame: "response_line"},
	Logs:   []app.Log{{Type: "smtp", Step: [2]uint8{complete, complete}, Append: appendLog, Options: readOptions}},
}

// probe knows a server by its greeting: a code, and the name of a host. FTP's
// begin so too, and the client's first word tells more.
func probe(dir app.Dir, b []byte) app.Verdict {
	if dir == app.ToServer {
		return app.No
	}
	if len(b) < 5 {
		return app.Unsure
	}
	if string(b[:3]) != "220" || b[3] != ' ' && b[3] != '-' {
		return app.No
	}
	host := b[4:]
	if i := bytes.IndexFunc(host, func(r rune) bool { return r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }); i >= 0 {
		if host = host[:i]; bytes.IndexByte(host, '.') <= 0 {
			return app.No
		}
	}
	if bytes.IndexByte(b, '\n') < 0 {
		return app.Unsure
	}
	return app.Fallback
}

// Limits of what is kept.
const (
	maxRecipients  = 1024
	maxAttachments = 256     // Of one message.
	maxKept        = 1 << 20 // Bytes of one message's files that rules may look into.
	inspectFrom    = 32 << 10
)

// tx is a message, or what led to none.
type tx struct {
	app.Opaque
	helo       []byte // Of the connection.
	from       []byte
	recipients [][]byte
	mail       *mime.Message
	files      []*transfer.Content
	hasData    bool // DATA was asked for.
	kept       int
}

// Open implements mime.Sink.
func (m *mailFile) Open(name []byte) {
	if len(m.tx.files) >= maxAttachments {
		return
	}
	m.p.files++
	f := file.New(m.p.ctx.Config.Files, m.p.files, name)
	m.tx.files = append(m.tx.files, &transfer.Content{File: f})
	m.tx.Files[app.ToServer] = append(m.tx.Files[app.ToServer], f)
}

// mailFile takes the files of a transaction's message.
type mailFile struct {
	p  *parser
	tx *tx
}

// Add implements mime.Sink.
func (m *mailFile) Add(b []byte) {
	if len(m.tx.files) == 0 {
		return
	}
	m.tx.kept += m.tx.files[len(m.tx.files)-1].Add(b, maxKept-m.tx.kept)
}

// Close implements mime.Sink.
func (m *mailFile) Close() {
	if n := len(m.tx.files); n > 0 {
		m.tx.files[n-1].Close(file.Closed)
	}
}

// headers are the headers that buffers are made of.
var headers = map[suricata.Buffer]string{
	suricata.BufEmailFrom: "from", suricata.BufEmailSubject: "subject", suricata.BufEmailTo: "to", suricata.BufEmailCc: "cc",
	suricata.BufEmailDate: "date", suricata.BufEmailMessageID: "message-id", suricata.BufEmailXMailer: "x-mailer",
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	one := func(v []byte) (match.Buffer, bool) { return match.Buffer{Data: v}, v != nil && i == 0 }
	list := func(v [][]byte) (match.Buffer, bool) {
		if i >= len(v) {
			return match.Buffer{}, false
		}
		return match.Buffer{Data: v[i]}, true
	}
	switch b {
	case suricata.BufSMTPHelo:
		return one(t.helo)
	case suricata.BufSMTPMailFrom:
		return one(t.from)
	case suricata.BufSMTPRcptTo:
		return list(t.recipients)
	case suricata.BufFileData, suricata.BufFileName:
		if i >= len(t.files) {
			return match.Buffer{}, false
		}
		if b == suricata.BufFileName {
			return match.Buffer{Data: t.files[i].Name}, true
		}
		return match.Buffer{Data: t.files[i].Ready(inspectFrom)}, true
	}
	if t.mail == nil {
		return match.Buffer{}, false
	}
	switch b {
	case suricata.BufEmailURL:
		return list(t.mail.URLs)
	case suricata.BufEmailReceived:
		return list(t.mail.Values("received"))
	}
	return one(t.mail.Value(headers[b]))
}

// readConfig reads what suricata.yaml says of messages.
func readConfig(c *app.Config) (m mime.Config, raw, decode bool) {
	on := func(key, def string) bool { return yamlconf.IsTrue(c.Text("smtp."+key, def)) }
	m = mime.Config{
		Base64: on("mime.decode-base64", "yes"), Quoted: on("mime.decode-quoted-printable", "yes"), URLs: on("mime.extract-urls", "yes"),
		LogScheme: on("mime.log-url-scheme", "no"), BodyMD5: on("mime.body-md5", "no"),
	}
	for _, scheme := range strings.Fields(c.Text("smtp.mime.extract-urls-schemes", "http")) {
		if !strings.HasSuffix(scheme, "/") {
			scheme += "://"
		}
		m.Schemes = append(m.Schemes, strings.ToLower(scheme))
	}
	decode = on("mime.decode-mime", "yes")
	return m, on("raw-extraction", "no") && !decode, decode
}
