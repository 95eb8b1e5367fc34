package http1

import (
	"bytes"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
)

// The events that are raised, by their number in Protocol.Events. Where a
// request and a response have one each, the response's is the next number.
const (
	requestMissingColon app.EventID = iota
	responseMissingColon
	requestChunkLength
	responseChunkLength
	requestTransferEncoding
	responseTransferEncoding
	requestContentLength
	responseContentLength
	requestDuplicateLength
	responseDuplicateLength
	requestInvalidHeader
	responseInvalidHeader
	requestFolding
	responseFolding
	requestFieldTooLong
	responseFieldTooLong
	requestBodyUnexpected
	responseBodyUnexpected
	requestRepetition
	responseRepetition
	requestEmptyName
	responseEmptyName
	requestSpaceAfterName
	responseSpaceAfterName
	requestChunkExtension
	responseChunkExtension
	requestTooManyHeaders
	responseTooManyHeaders
	continueSeen
	unmatchedResponse
	missingHost
	ambiguousHost
	invalidHost
	invalidURIHost
	unknownAuth
	doubleEncoded
	uriDelimiter
	methodDelimiter
	leadingSpace
	unknownMethod
	unknownMethodNoProtocol
	unknownMethodInvalidProtocol
	missingProtocol
	tooManyLayers
	abnormalEncoding
	byteRanges
	abnormalTransfer
	chunkedOldProtocol
	invalidProtocol
	invalidStatus
	lengthExtraStart
	lengthExtraEnd
	switchWithLength
	multipartHeader
)

var events = []string{
	requestMissingColon: "REQUEST_FIELD_MISSING_COLON", responseMissingColon: "RESPONSE_FIELD_MISSING_COLON",
	requestChunkLength: "INVALID_REQUEST_CHUNK_LEN", responseChunkLength: "INVALID_RESPONSE_CHUNK_LEN",
	requestTransferEncoding: "INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST", responseTransferEncoding: "INVALID_TRANSFER_ENCODING_VALUE_IN_RESPONSE",
	requestContentLength: "INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST", responseContentLength: "INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE",
	requestDuplicateLength: "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST", responseDuplicateLength: "DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE",
	requestInvalidHeader: "REQUEST_HEADER_INVALID", responseInvalidHeader: "RESPONSE_HEADER_NAME_NOT_TOKEN",
	requestFolding: "INVALID_REQUEST_FIELD_FOLDING", responseFolding: "INVALID_RESPONSE_FIELD_FOLDING",
	requestFieldTooLong: "REQUEST_FIELD_TOO_LONG", responseFieldTooLong: "RESPONSE_FIELD_TOO_LONG",
	requestBodyUnexpected: "REQUEST_BODY_UNEXPECTED", responseBodyUnexpected: "RESPONSE_BODY_UNEXPECTED",
	requestRepetition: "REQUEST_HEADER_REPETITION", responseRepetition: "RESPONSE_HEADER_REPETITION",
	requestEmptyName: "REQUEST_INVALID_EMPTY_NAME", responseEmptyName: "RESPONSE_INVALID_EMPTY_NAME",
	requestSpaceAfterName: "REQUEST_INVALID_LWS_AFTER_NAME", responseSpaceAfterName: "RESPONSE_INVALID_LWS_AFTER_NAME",
	requestChunkExtension: "REQUEST_CHUNK_EXTENSION", responseChunkExtension: "RESPONSE_CHUNK_EXTENSION",
	requestTooManyHeaders: "REQUEST_TOO_MANY_HEADERS", responseTooManyHeaders: "RESPONSE_TOO_MANY_HEADERS",
	continueSeen: "100_CONTINUE_ALREADY_SEEN", unmatchedResponse: "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST",
	missingHost: "MISSING_HOST_HEADER", ambiguousHost: "HOST_HEADER_AMBIGUOUS", invalidHost: "REQUEST_HEADER_HOST_INVALID",
	invalidURIHost: "REQUEST_URI_HOST_INVALID", unknownAuth: "REQUEST_AUTH_UNRECOGNIZED", doubleEncoded: "DOUBLE_ENCODED_URI",
	uriDelimiter: "URI_DELIM_NON_COMPLIANT", methodDelimiter: "METHOD_DELIM_NON_COMPLIANT", leadingSpace: "REQUEST_LINE_LEADING_WHITESPACE",
	unknownMethod: "REQUEST_LINE_UNKNOWN_METHOD", unknownMethodNoProtocol: "REQUEST_LINE_UNKNOWN_METHOD_NO_PROTOCOL",
	unknownMethodInvalidProtocol: "REQUEST_LINE_UNKNOWN_METHOD_INVALID_PROTOCOL", missingProtocol: "REQUEST_LINE_MISSING_PROTOCOL",
	tooManyLayers: "TOO_MANY_ENCODING_LAYERS", abnormalEncoding: "ABNORMAL_CE_HEADER", byteRanges: "RESPONSE_MULTIPART_BYTERANGES",
	abnormalTransfer: "RESPONSE_ABNORMAL_TRANSFER_ENCODING", chunkedOldProtocol: "RESPONSE_CHUNKED_OLD_PROTO",
	invalidProtocol: "RESPONSE_INVALID_PROTOCOL", invalidStatus: "RESPONSE_INVALID_STATUS",
	lengthExtraStart: "CONTENT_LENGTH_EXTRA_DATA_START", lengthExtraEnd: "CONTENT_LENGTH_EXTRA_DATA_END",
	switchWithLength: "SWITCHING_PROTO_WITH_CONTENT_LENGTH",
	multipartHeader:  "MULTIPART_INVALID_HEADER",
}

// of is the event of a direction, of those there is one of for each.
func of(e app.EventID, dir app.Dir) app.EventID { return e + app.EventID(dir) }

// knownMethod says whether a method is one of those that are recognised.
func knownMethod(m []byte) bool {
	for _, known := range methods {
		if string(m) == known[:len(known)-1] {
			return true
		}
	}
	return false
}

// mayBeMethod says whether bytes are the beginning of a request with a known
// method, or could become one.
func mayBeMethod(data []byte) bool {
	data = bytes.TrimLeft(data, blank+"\n")
	for _, known := range methods {
		if n := min(len(known), len(data)); string(data[:n]) == known[:n] {
			return true
		}
	}
	return false
}

// judgeLine raises what is odd about the beginning of a request's line: what
// stands before the method, and between it and the URI.
func (t *tx) judgeLine(indented bool, between []byte) {
	if indented {
		t.Raise(leadingSpace)
	}
	if len(bytes.Trim(between, " ")) > 0 {
		t.Raise(methodDelimiter)
	}
}

// judgeProtocol raises what is odd about the line as a whole.
func (t *tx) judgeProtocol() {
	protocol := t.request.protocol
	switch {
	case bytes.IndexByte(t.uri, '\t') >= 0:
		t.Raise(uriDelimiter)
	case knownMethod(t.method):
	case len(t.uri) == 0:
		t.Raise(unknownMethod)
	case protocol == nil:
		t.Raise(unknownMethodNoProtocol)
	case len(protocol) != len("HTTP/1.1") || !bytes.HasPrefix(protocol, []byte("HTTP/")):
		t.Raise(unknownMethodInvalidProtocol)
	}
}

// longField is the length of a line from which on it is told, in bytes.
const longField = 18000

// judgeField raises what is odd about a line of the headers, before it is taken.
func (t *tx) judgeField(dir app.Dir, m *message, line []byte) {
	if len(line) > longField {
		t.Raise(of(requestFieldTooLong, dir))
	}
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		if len(m.headers) == 0 {
			t.Raise(of(requestFolding, dir))
		}
		return
	}
	name, value, colon := bytes.Cut(line, []byte{':'})
	trimmed := bytes.TrimRight(name, blank)
	switch {
	case !colon:
		t.Raise(of(requestMissingColon, dir))
		return
	case len(trimmed) == 0:
		t.Raise(of(requestEmptyName, dir))
		return
	case len(trimmed) < len(name):
		t.Raise(of(requestSpaceAfterName, dir))
	case !token(trimmed):
		t.Raise(of(requestInvalidHeader, dir))
	}
	for i := range m.headers {
		if h := &m.headers[i]; bytes.EqualFold(h.name, trimmed) {
			t.Raise(of(requestRepetition, dir))
			if h.is("content-length") && !bytes.Equal(h.value, bytes.Trim(value, blank)) {
				t.Raise(of(requestDuplicateLength, dir))
			}
			break
		}
	}
}

// token says whether a name has only the bytes that names may have (RFC 9110
// section 5.6.2).
func token(name []byte) bool {
	for _, c := range name {
		if !alnum(c) && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return true
}

func alnum(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }

// judgeRequest raises what is odd about a request, when its headers are there.
func (t *tx) judgeRequest() {
	m := &t.request
	host, target := m.value("host"), uriHost(t.uri)
	switch {
	case host == nil && target == nil && len(m.protocol) > 0 && !bytes.HasSuffix(m.protocol, []byte("1.0")):
		t.Raise(missingHost)
	case host != nil && target != nil && !bytes.EqualFold(hostName(host), hostName(target)):
		t.Raise(ambiguousHost)
	}
	if host != nil && !validHost(host) {
		t.Raise(invalidHost)
	}
	if target != nil && !validHost(target) {
		t.Raise(invalidURIHost)
	}
	if v := m.value("authorization"); v != nil {
		scheme, _ := cutBlank(v)
		known := false
		for _, s := range []string{"basic", "digest", "bearer"} {
			known = known || bytes.EqualFold(scheme, []byte(s))
		}
		if !known {
			t.Raise(unknownAuth)
		}
	}
	for i := 0; i+4 < len(t.uri); i++ {
		if t.uri[i] == '%' && t.uri[i+1] == '2' && t.uri[i+2] == '5' && unhex(t.uri[i+3]) >= 0 && unhex(t.uri[i+4]) >= 0 {
			t.Raise(doubleEncoded)
			break
		}
	}
	if coded := m.all("transfer-encoding"); coded != nil && !bytes.Contains(bytes.ToLower(coded), []byte("chunked")) {
		t.Raise(requestTransferEncoding)
	}
	t.judgeLength(app.ToServer, m)
}

// judgeResponse raises what is odd about a response, when its headers are there.
func (t *tx) judgeResponse() {
	m := &t.response
	if coded := m.all("transfer-encoding"); bytes.Contains(bytes.ToLower(coded), []byte("chunked")) {
		if !bytes.EqualFold(coded, []byte("chunked")) {
			t.Raise(abnormalTransfer)
		}
		if bytes.HasSuffix(m.protocol, []byte("1.0")) {
			t.Raise(chunkedOldProtocol)
		}
	} else {
		t.judgeLength(app.ToClient, m)
	}
	if bytes.HasPrefix(bytes.ToLower(m.value("content-type")), []byte("multipart/byteranges")) {
		t.Raise(byteRanges)
	}
	if bytes.Equal(t.status, []byte("101")) && m.value("content-length") != nil {
		t.Raise(switchWithLength)
	}
}

// judgeLength raises what is odd about a Content-Length.
func (t *tx) judgeLength(dir app.Dir, m *message) {
	v := m.value("content-length")
	if v == nil {
		return
	}
	i := bytes.IndexAny(v, "0123456789")
	if i < 0 {
		t.Raise(of(requestContentLength, dir))
		return
	}
	if i > 0 {
		t.Raise(lengthExtraStart)
	}
	if end := bytes.LastIndexAny(v, "0123456789"); end < len(v)-1 || bytes.IndexByte(v, ',') >= 0 {
		t.Raise(lengthExtraEnd)
	}
}

// judgeCodings raises what is odd about a Content-Encoding.
func (t *tx) judgeCodings(value []byte, layers int) {
	n := 0
	for _, c := range bytes.FieldsFunc(bytes.ToLower(value), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		switch string(c) {
		case "gzip", "x-gzip", "deflate", "x-deflate", "lzma", "br":
			n++
		case "inflate", "identity", "none", "":
		default:
			t.Raise(abnormalEncoding)
		}
	}
	if n > layers {
		t.Raise(tooManyLayers)
	}
}

// uriHost is the authority of an absolute URI, nil if there is none.
func uriHost(uri []byte) []byte {
	scheme, rest, ok := bytes.Cut(uri, []byte("://"))
	if !ok || len(scheme) == 0 || len(scheme) > 10 || bytes.IndexByte(scheme, '/') >= 0 {
		return nil
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := bytes.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return rest
}

// hostName is an authority without its port.
func hostName(h []byte) []byte {
	if i := bytes.LastIndexByte(h, ':'); i >= 0 && bytes.IndexByte(h[i:], ']') < 0 {
		h = h[:i]
	}
	return bytes.TrimSpace(h)
}

// validHost says whether an authority is a name or an address, and perhaps a port.
func validHost(h []byte) bool {
	name := hostName(h)
	if rest := bytes.TrimSpace(h)[len(name):]; len(rest) > 1 {
		if n, err := strconv.ParseUint(string(rest[1:]), 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if len(name) > 0 && name[0] == '[' {
		return name[len(name)-1] == ']'
	}
	if len(name) == 0 || len(name) > 255 {
		return false
	}
	for _, label := range bytes.Split(bytes.TrimSuffix(name, []byte{'.'}), []byte{'.'}) {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for _, c := range label {
			if !alnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
