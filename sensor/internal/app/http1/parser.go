package http1

import (
	"bytes"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/coding"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/http2"
)

// step is what a side reads next.
type step uint8

const (
	readLine step = iota
	readHeaders
	readLength  // A body of known length.
	readChunk   // The size of a chunk.
	readData    // The data of a chunk.
	readDataEnd // The end of its line.
	readTrailer
	readBehind // What comes at once with the end of a response's body.
	readToEnd  // A body that ends with the connection.
	readTunnel
)

// Limits of what one message may have; more is part of none.
const (
	maxLine    = 64 << 10
	maxHeaders = 1024
	maxRaw     = 256 << 10
	// maxTxs bounds the transactions that wait, for an answer or to be judged.
	maxTxs = 256
	// maxKept bounds the bytes of bodies that all transactions of a flow hold,
	// maxUndone those that its compressed bodies have become. Beyond them
	// bodies are counted and hashed, and not looked into.
	maxKept   = 4 << 20
	maxUndone = 32 << 20
)

// side is the reading of one direction.
type side struct {
	step  step
	left  uint64 // Of a body or chunk.
	tx    *tx
	body  *coding.Decoder
	parts *multipart // Of a request's body.
	more  bool       // Behind the line that is taken, more has come.
	lost  bool       // Bytes are missing: where the next message begins is not known.
	bare  bool       // The line before ended in LF alone.
}

type parser struct {
	app.Queue
	ctx     *app.Context
	sides   [2]side
	last    *tx  // The request before.
	handed  bool // What follows is another protocol's.
	files   uint32
	limits  [2]int // Of bodies, for rules.
	minimal [2]int
	kept    int           // Bytes of bodies held.
	budget  coding.Budget // Bytes that compressed bodies may still become.
	layers  int
}

func newParser(c *app.Context) *parser {
	p := &parser{ctx: c, budget: maxUndone}
	const base = "http.libhtp.default-config."
	p.limits = [2]int{limit(c, base+"request-body-limit", 100<<10), limit(c, base+"response-body-limit", 100<<10)}
	p.minimal = [2]int{limit(c, base+"request-body-minimal-inspect-size", 32<<10), limit(c, base+"response-body-minimal-inspect-size", 40<<10)}
	p.layers = c.Config.Number(base+"response-body-decompress-layer-limit", 2)
	return p
}

// limit is a size at a path, where 0 is none.
func limit(c *app.Context, path string, def int) int {
	if n := c.Config.Size(path, def); n > 0 {
		return n
	}
	return 1 << 30
}

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	t, ok := x.(*tx)
	if !ok {
		return // Of another protocol that the flow had.
	}
	p.Queue.Free(x)
	p.kept -= t.kept
	t.kept, t.gone = 0, true
}

// End implements app.Parser.
func (p *parser) End() {
	for _, dir := range []app.Dir{app.ToServer, app.ToClient} {
		if s := &p.sides[dir]; s.tx != nil {
			p.endBody(dir, s, file.Truncated)
			s.tx = nil
		}
	}
}

// Gap implements app.Parser. What is lost of a body is missing in its file;
// where a head is lost, reading goes on with the next that looks like one.
func (p *parser) Gap(dir app.Dir, size uint64) bool {
	s := &p.sides[dir]
	for size > 0 {
		switch s.step {
		case readLength, readData:
			n := min(s.left, size)
			p.lose(dir, s, n)
			size -= n
			if s.left -= n; s.left > 0 {
				return true
			}
			if s.step == readData {
				s.step = readDataEnd
			} else {
				p.endBody(dir, s, file.Closed)
				p.finish(dir, s)
			}
		case readToEnd:
			p.lose(dir, s, size)
			return true
		case readTunnel:
			return true
		default:
			if s.tx != nil {
				p.endBody(dir, s, file.Truncated)
				p.finish(dir, s)
			}
			s.lost = true
			return true
		}
	}
	return true
}

// lose counts bytes of a body that are missing.
func (p *parser) lose(dir app.Dir, s *side, size uint64) {
	m := s.message(dir)
	m.bodySize += size
	for _, f := range m.files {
		f.Gap(size)
	}
}

func (s *side) message(dir app.Dir) *message {
	if dir == app.ToServer {
		return &s.tx.request
	}
	return &s.tx.response
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	s := &p.sides[in.Dir]
	for {
		n, more := p.one(in.Dir, s, in.Data[consumed:], in.End)
		consumed += n
		if p.handed {
			return consumed, 0
		}
		if !more {
			break
		}
	}
	if in.End {
		if s.tx != nil && (s.step == readToEnd || s.step != readLine) {
			state := file.Truncated
			if s.step == readToEnd {
				state = file.Closed
			}
			p.endBody(in.Dir, s, state)
			p.finish(in.Dir, s)
		}
	}
	return consumed, 0
}

// one takes the next element. more says that there may be another.
func (p *parser) one(dir app.Dir, s *side, data []byte, end bool) (consumed int, more bool) {
	if s.step == readBehind {
		return p.behind(s, data)
	}
	if len(data) == 0 {
		return 0, false
	}
	switch s.step {
	case readTunnel:
		return len(data), false
	case readLength, readData:
		n := int(min(s.left, uint64(len(data))))
		p.body(dir, s, data[:n])
		s.left -= uint64(n)
		if s.left > 0 {
			return n, false
		}
		if s.step == readData {
			s.step = readDataEnd
		} else {
			p.over(dir, s)
		}
		return n, true
	case readToEnd:
		p.body(dir, s, data)
		return len(data), false
	}
	line, n := cutLine(data, dir, end)
	if n == 0 && s.step == readLine && dir == app.ToServer && p.ended() && !mayBeMethod(data) {
		p.surplus(data)
		return len(data), false
	}
	if n == 0 {
		if len(data) > maxLine {
			p.ctx.Hooks.Stop(false)
		}
		return 0, false
	}
	if s.step == readLine && dir == app.ToClient && !isStatus(line) && len(bytes.TrimSpace(line)) > 0 {
		// Something before the status line, if one follows.
		rest := data[n:]
		if len(rest) < len("HTTP/") && !end {
			return 0, false
		}
		if isStatus(rest) {
			return n, true
		}
	}
	if s.lost {
		method, _ := cutBlank(line)
		if dir == app.ToServer && !knownMethod(method) || dir == app.ToClient && !isStatus(line) {
			return n, true
		}
		s.lost = false
	}
	s.more = len(bytes.TrimSpace(data[n:])) > 0
	heading := s.step == readHeaders
	p.line(dir, s, line, data[:n])
	s.bare = n < 2 || data[n-2] != '\r'
	if heading && s.step != readHeaders && len(line) > 0 {
		// A blank line and an empty one end the headers together.
		for _, empty := range []string{"\n", "\r\n"} {
			if rest, ok := bytes.CutPrefix(data[n:], []byte(empty)); ok {
				return len(data) - len(rest), true
			}
		}
	}
	return n, true
}

func isStatus(line []byte) bool {
	text := bytes.TrimLeft(line, blank)
	return len(text) >= 4 && bytes.EqualFold(text[:4], []byte("HTTP"))
}

// cutLine finds a line and how many bytes it has with its end. Clients take
// more for the end of a server's line than LF, with a CR before it or not: a
// lone CR, and LF CR.
func cutLine(data []byte, dir app.Dir, end bool) (line []byte, n int) {
	skip := 0
	if dir == app.ToClient && len(data) > 1 && data[0] == '\r' && data[1] != '\n' && data[1] != '\r' {
		skip = 1
	}
	rest := data[skip:]
	i := bytes.IndexByte(rest, '\n')
	if dir == app.ToClient {
		j := bytes.IndexByte(rest, '\r')
		if j > 0 && j+1 < len(rest) && rest[j+1] != '\n' && (i < 0 || j < i) && rest[j+1] != '\r' {
			return rest[:j], skip + j + 1
		}
	}
	if i < 0 {
		if end {
			return bytes.TrimRight(rest, "\r"), len(data)
		}
		return nil, 0
	}
	return bytes.TrimSuffix(rest[:i], []byte{'\r'}), skip + i + 1
}

// endsHead says whether a line ends the headers: an empty one, and for clients
// one of blanks that ends in LF alone, or of CR behind a line that does.
func (s *side) endsHead(dir app.Dir, line, raw []byte) bool {
	if len(line) == 0 || dir == app.ToServer {
		return len(line) == 0
	}
	if s.bare && len(bytes.Trim(line, "\r")) == 0 {
		return true
	}
	return len(bytes.Trim(line, " \t")) == 0 && len(raw) == len(line)+1 && raw[len(raw)-1] == '\n'
}

// line takes a line of a message's head, or of its chunks.
func (p *parser) line(dir app.Dir, s *side, line, raw []byte) {
	switch s.step {
	case readLine:
		p.first(dir, s, line, raw)
	case readHeaders:
		if s.endsHead(dir, line, raw) {
			p.head(dir, s)
			return
		}
		p.field(dir, s, line)
	case readChunk:
		p.chunk(dir, s, line, raw)
	case readDataEnd:
		s.step = readChunk
		if len(line) > 0 { // Not the end of the line: perhaps the next size.
			p.chunk(dir, s, line, raw)
		}
	case readTrailer:
		if len(line) == 0 {
			p.over(dir, s)
			return
		}
		p.field(dir, s, line)
	}
}

// field takes a line of the headers.
func (p *parser) field(dir app.Dir, s *side, line []byte) {
	m := s.message(dir)
	if len(m.headers) >= maxHeaders || len(m.raw) >= maxRaw {
		s.tx.Raise(of(requestTooManyHeaders, dir))
		return
	}
	s.tx.judgeField(dir, m, line)
	m.addLine(line, dir == app.ToClient)
}

// first takes the first line of a message.
func (p *parser) first(dir app.Dir, s *side, line, raw []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return // Empty lines before a message count for nothing.
	}
	if dir == app.ToServer {
		if method, _ := cutBlank(bytes.TrimLeft(line, blank)); p.ended() && !knownMethod(method) {
			p.surplus(raw)
			return
		}
		s.tx = p.add()
		p.last = s.tx
		p.request(s, line)
		return
	}
	s.tx = p.answered()
	p.response(s, line, raw)
}

// ended says whether there was a request that bytes may still belong to.
func (p *parser) ended() bool { return p.last != nil && !p.last.gone && !p.sides[app.ToServer].lost }

// surplus takes bytes behind a request that are no other: they are its body.
func (p *parser) surplus(raw []byte) {
	t := p.last
	t.Raise(requestBodyUnexpected)
	t.request.body = p.keep(t, app.ToServer, t.request.body, raw)
}

func (p *parser) add() *tx {
	t := &tx{minimal: p.minimal}
	p.Push(p.ctx.Hooks, t, maxTxs)
	return t
}

// answered is the transaction a response belongs to: the oldest without one.
func (p *parser) answered() *tx {
	for _, x := range p.Txs() {
		if t := x.(*tx); t.Progress[app.ToClient] == started {
			return t
		}
	}
	t := p.add()
	t.Raise(unmatchedResponse)
	t.Progress[app.ToServer] = complete
	t.uri = []byte("/libhtp::request_uri_not_seen")
	return t
}

func (p *parser) request(s *side, line []byte) {
	t := s.tx
	t.request.line = bytes.Clone(line)
	text := bytes.TrimLeft(line, blank)
	method, rest := cutBlank(text)
	t.method = bytes.Clone(method)
	uri := bytes.TrimLeft(rest, blank)
	t.judgeLine(len(text) < len(line), rest[:len(rest)-len(uri)])
	rest = uri
	if i := bytes.LastIndexAny(rest, " \t"); i >= 0 && bytes.HasPrefix(bytes.ToUpper(bytes.TrimLeft(rest[i:], blank)), []byte("HTTP/")) {
		uri = rest[:i]
		t.request.protocol = bytes.Clone(bytes.Trim(rest[i:], blank))
	}
	t.uri = bytes.Clone(bytes.TrimRight(uri, blank))
	t.Progress[app.ToServer] = lineDone
	t.judgeProtocol()
	if t.request.protocol == nil && !s.more { // HTTP/0.9 has no headers.
		p.head(app.ToServer, s)
		return
	}
	if t.request.protocol == nil {
		t.Raise(missingProtocol)
	}
	s.step = readHeaders
}

func cutBlank(b []byte) (word, rest []byte) {
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i:]
}

func (p *parser) response(s *side, line, raw []byte) {
	t := s.tx
	text := bytes.TrimLeft(line, blank)
	if !isStatus(line) {
		// No status line: all of it is the body (HTTP/0.9).
		if t.request.protocol != nil {
			t.Raise(invalidProtocol)
		}
		t.Progress[app.ToClient] = headersDone
		p.beginBody(app.ToClient, s)
		s.step = readToEnd
		p.body(app.ToClient, s, raw)
		return
	}
	t.response.line = bytes.Clone(line)
	proto, rest := cutBlank(text)
	status, rest := cutBlank(bytes.TrimLeft(rest, blank))
	t.response.protocol, t.status, t.reason = bytes.Clone(proto), bytes.Clone(status), bytes.Clone(bytes.TrimLeft(rest, blank))
	t.Progress[app.ToClient] = lineDone
	if !bytes.HasPrefix(bytes.ToUpper(proto), []byte("HTTP/")) {
		t.Raise(invalidProtocol)
	}
	if n, err := strconv.Atoi(string(status)); err != nil || n < 100 || n > 999 {
		t.Raise(invalidStatus)
	}
	s.step = readHeaders
}

// head takes the end of the headers: what follows is decided now.
func (p *parser) head(dir app.Dir, s *side) {
	t, m := s.tx, s.message(dir)
	t.Progress[dir] = headersDone
	t.judgeCodings(m.all("content-encoding"), p.layers)
	if dir == app.ToServer {
		t.judgeRequest()
	} else {
		t.judgeResponse()
	}
	coded := bytes.ToLower(m.all("transfer-encoding"))
	length, hasLength := contentLength(m.all("content-length"))
	bodied := hasLength && length > 0 || len(coded) > 0
	if dir == app.ToClient && !bodied && len(t.status) == 3 && t.status[0] == '1' && !bytes.Equal(t.status, []byte("101")) {
		if t.continued {
			t.Raise(continueSeen)
		}
		t.continued = true
		t.response, t.status, t.reason = message{}, nil, nil // The answer itself follows.
		t.Progress[dir] = started
		s.step = readLine
		return
	}
	if dir == app.ToClient {
		if bytes.EqualFold(t.method, []byte("CONNECT")) && len(t.status) > 0 && t.status[0] == '2' {
			p.finish(dir, s)
			p.become("")
			return
		}
		if bytes.Equal(t.status, []byte("101")) && !bodied {
			p.finish(dir, s)
			p.upgrade(t)
			return
		}
	}
	switch {
	case bytes.Contains(coded, []byte("chunked")):
		p.beginBody(dir, s)
		s.step = readChunk
	case dir == app.ToClient && bytes.EqualFold(t.method, []byte("HEAD")):
		p.finish(dir, s)
	case hasLength && length > 0:
		p.beginBody(dir, s)
		s.step, s.left = readLength, length
	case hasLength, dir == app.ToServer:
		p.finish(dir, s)
	case bytes.Equal(t.status, []byte("204")), bytes.Equal(t.status, []byte("304")):
		p.finish(dir, s)
	default:
		p.beginBody(dir, s)
		s.step = readToEnd
	}
}

func (p *parser) become(proto string) {
	p.handed = true
	p.ctx.Hooks.Become(proto)
}

// upgrade leaves the connection to the protocol it is switched to (RFC 9110
// section 7.8).
func (p *parser) upgrade(t *tx) {
	p.sides[0].step, p.sides[1].step = readTunnel, readTunnel
	switch to := t.response.value("upgrade"); {
	case bytes.EqualFold(to, []byte("h2c")):
		up := &http2.Upgrade{Method: t.method, URI: t.uri, Settings: t.request.value("http2-settings")}
		for i := range t.request.headers {
			up.Headers = append(up.Headers, [2][]byte{t.request.headers[i].name, t.request.headers[i].value})
		}
		p.ctx.Expected = up
		p.become("http2")
	case bytes.EqualFold(to, []byte("websocket")):
		p.become("websocket")
	}
}

// contentLength reads the number of a Content-Length, whatever stands before
// it. One that is followed by something else says nothing, unless that is the
// same number again.
func contentLength(v []byte) (n uint64, ok bool) {
	i := bytes.IndexAny(v, "0123456789")
	if i < 0 {
		return 0, false
	}
	start := i
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
		if n = n*10 + uint64(v[i]-'0'); n > 1<<50 {
			return 0, false
		}
	}
	rest := bytes.Trim(v[i:], blank)
	for len(rest) > 0 {
		again, found := bytes.CutPrefix(rest, []byte(", "))
		again, same := bytes.CutPrefix(again, v[start:i])
		if !found || !same {
			return 0, false
		}
		rest = again
	}
	return n, true
}

// chunk takes the size of a chunk; what is none ends the chunks, and all that
// follows is the body.
func (p *parser) chunk(dir app.Dir, s *side, line, raw []byte) {
	text := bytes.TrimLeft(line, blank)
	if len(text) == 0 {
		return // An empty line before the size.
	}
	n, digits := uint64(0), 0
	for digits < len(text) && unhex(text[digits]) >= 0 {
		if n = n<<4 | uint64(unhex(text[digits])); n > 1<<40 {
			digits = 0
			break
		}
		digits++
	}
	if rest := bytes.TrimLeft(text[digits:], blank); digits > 0 && len(rest) > 0 && rest[0] == ';' {
		s.tx.Raise(of(requestChunkExtension, dir))
	}
	switch {
	case digits == 0:
		s.tx.Raise(of(requestChunkLength, dir))
		s.step = readToEnd
		p.body(dir, s, raw)
	case n == 0:
		s.step = readTrailer
		s.tx.Progress[dir] = trailer
	default:
		s.step, s.left = readData, n
	}
}

// beginBody makes the file that a body is.
func (p *parser) beginBody(dir app.Dir, s *side) {
	m := s.message(dir)
	s.tx.Progress[dir] = bodyBegun
	s.body = coding.New(m.all("content-encoding"), p.layers, &p.budget)
	if dir == app.ToServer {
		if mark := boundary(m.value("content-type")); mark != nil {
			s.parts = p.parts(s.tx, mark)
			return
		}
		if !bytes.EqualFold(s.tx.method, []byte("POST")) && !bytes.EqualFold(s.tx.method, []byte("PUT")) {
			return
		}
	}
	p.file(s.tx, dir, fileName(s.tx, m))
}

// file begins a file.
func (p *parser) file(t *tx, dir app.Dir, name []byte) *file.File {
	m := &t.request
	if dir == app.ToClient {
		m = &t.response
	}
	p.files++
	f := file.New(p.ctx.Config.Files, p.files, name)
	m.files = append(m.files, f)
	t.Files[dir] = m.files
	return f
}

// maxParts bounds the files of one body.
const maxParts = 256

// parts makes files of those in a request's body.
func (p *parser) parts(t *tx, mark []byte) *multipart {
	m := &t.request
	m.inParts = true
	var f *file.File
	return &multipart{
		mark: append([]byte("--"), mark...),
		begin: func(name []byte) {
			if len(m.files) < maxParts {
				f = p.file(t, app.ToServer, name)
			}
		},
		add: func(data []byte) {
			if f != nil {
				f.Add(data)
				m.content = p.keep(t, app.ToServer, m.content, data)
			}
		},
		end: func() {
			if f != nil {
				f.Close(file.Closed)
				f = nil
			}
		},
		odd: func() { t.Raise(multipartHeader) },
	}
}

// fileName is that of Content-Disposition, else the path of the request.
func fileName(t *tx, m *message) []byte {
	if v := m.value("content-disposition"); v != nil {
		if i := bytes.Index(bytes.ToLower(v), []byte("filename=")); i >= 0 {
			name := v[i+len("filename="):]
			if len(name) > 0 && name[0] == '"' {
				name, _, _ = bytes.Cut(name[1:], []byte{'"'})
			} else {
				name, _, _ = bytes.Cut(name, []byte{';'})
			}
			return bytes.TrimSpace(name)
		}
	}
	path, _, _ := bytes.Cut(normalURI(nil, t.uri), []byte{'?'})
	return path
}

// body takes bytes of a body.
func (p *parser) body(dir app.Dir, s *side, data []byte) {
	s.message(dir).bodySize += uint64(len(data))
	p.plain(dir, s, s.body.Add(data))
}

// over ends a body that is whole.
func (p *parser) over(dir app.Dir, s *side) {
	if dir == app.ToClient {
		s.step = readBehind
		return
	}
	p.endBody(dir, s, file.Closed)
	p.finish(dir, s)
}

// behind takes what comes at once with the end of a response's body: unless it
// is the next response, it is part of the body to clients.
func (p *parser) behind(s *side, data []byte) (consumed int, more bool) {
	const status = "HTTP"
	if n := min(len(status), len(data)); string(data[:n]) == status[:n] {
		p.endBody(app.ToClient, s, file.Closed)
		p.finish(app.ToClient, s)
		return 0, n > 0
	}
	n := bytes.IndexByte(data, '\n') + 1
	if n == 0 {
		n = len(data)
	}
	s.tx.Raise(responseBodyUnexpected)
	p.body(app.ToClient, s, data[:n])
	return n, true
}

// plain takes bytes of a body with its codings undone.
func (p *parser) plain(dir app.Dir, s *side, data []byte) {
	m := s.message(dir)
	if s.parts != nil {
		s.parts.write(data)
	} else if len(m.files) > 0 {
		m.files[len(m.files)-1].Add(data)
	}
	m.body = p.keep(s.tx, dir, m.body, data)
}

// keep appends bytes for rules to look at, as far as the limits allow.
func (p *parser) keep(t *tx, dir app.Dir, have, data []byte) []byte {
	n := min(p.limits[dir]-len(have), maxKept-p.kept, len(data))
	if n <= 0 || t.gone {
		return have
	}
	p.kept, t.kept = p.kept+n, t.kept+n
	t.Grown[dir] += uint64(n)
	return append(have, data[:n]...)
}

func (p *parser) endBody(dir app.Dir, s *side, state file.State) {
	p.plain(dir, s, s.body.End())
	if s.body.Cut() && state == file.Closed {
		state = file.Truncated // Not all of it was undone.
	}
	m := s.message(dir)
	m.whole = true
	for _, f := range m.files {
		if f.Gaps {
			state = file.Truncated
		}
		f.Close(state)
	}
}

// finish ends a message.
func (p *parser) finish(dir app.Dir, s *side) {
	if s.tx == nil {
		return
	}
	s.message(dir).whole = true
	s.tx.Progress[dir] = complete
	*s = side{}
}
