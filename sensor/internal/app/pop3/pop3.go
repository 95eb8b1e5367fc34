// Package pop3 reads POP3 (RFC 1939). A transaction is a command with its
// answer; messages that are fetched are passed over.
package pop3

import (
	"bytes"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// The events that are raised, by their number in Protocol.Events.
const (
	tooManyTxs app.EventID = iota
	longRequest
	wrongArguments
	unknownCommand
	longResponse
)

const complete = 1

// Protocol is POP3.
var Protocol = &app.Protocol{
	Name: "pop3", Transport: app.TCP, Ports: []uint16{110}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c, max: c.Config.Number("pop3.max-tx", maxTxs)} },
	Progress: app.OneStep,
	Events: []string{
		tooManyTxs: "too_many_transactions", longRequest: "request_too_long", wrongArguments: "incorrect_argument_count",
		unknownCommand: "unknown_command", longResponse: "response_too_long",
	},
	Logs: []app.Log{{Type: "pop3", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// arguments says how many a command may have (RFC 1939, RFC 2449, RFC 2595,
// RFC 5034, RFC 6856).
var arguments = map[string][2]int{
	"USER": {1, 1}, "PASS": {1, 1}, "LIST": {0, 1}, "STAT": {0, 0}, "RETR": {1, 1}, "DELE": {1, 1}, "NOOP": {0, 0}, "RSET": {0, 0}, "QUIT": {0, 0},
	"TOP": {2, 2}, "UIDL": {0, 1}, "APOP": {2, 2}, "AUTH": {1, 2}, "CAPA": {0, 0}, "STLS": {0, 0}, "UTF8": {0, 1}, "LANG": {0, 1},
}

// probe knows the answers of servers, and commands that stand alone or before
// a space.
func probe(dir app.Dir, b []byte) app.Verdict {
	if len(b) < 5 {
		return app.Unsure
	}
	if dir == app.ToClient {
		if bytes.HasPrefix(b, []byte("+OK")) || bytes.HasPrefix(b, []byte("-ERR")) {
			return app.Yes
		}
		return app.No
	}
	i := bytes.IndexAny(b, " \r\n")
	if i < 0 {
		return app.No
	}
	if _, ok := arguments[strings.ToUpper(string(b[:i]))]; ok {
		return app.Yes
	}
	return app.No
}

// Limits: of RFC 2449 section 4 for lines, Suricata's for transactions, and of
// what is kept.
const (
	maxRequest  = 255
	maxResponse = 512
	maxLine     = 4096
	maxTxs      = 256
	maxData     = 4096 // Lines of one answer.
	maxBytes    = 256 << 10
)

// tx is a command with its answer, or an answer to none.
type tx struct {
	app.Opaque
	command   string // In capital letters; "": none.
	word      []byte // As it was sent.
	arguments [][]byte
	answered  bool
	ok        bool
	header    []byte
	data      [][]byte
	size      int // Of the data.
}

type parser struct {
	app.Queue
	ctx   *app.Context
	max   int
	multi *tx  // Its answer goes on.
	login bool // The client's next line is of a dialogue that AUTH began.
	long  [2]bool
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 && len(rest) < maxLine {
			break
		}
		if n == 0 {
			n = len(rest)
		}
		line := rest[:n]
		consumed += n
		goesOn := p.long[in.Dir]
		if p.long[in.Dir] = line[n-1] != '\n'; goesOn {
			continue // Of a line that is too long, its beginning counts.
		}
		ok := true
		if in.Dir == app.ToServer {
			ok = p.request(line)
		} else {
			ok = p.response(line)
		}
		if !ok {
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		}
	}
	return consumed, 0
}

// add begins a transaction, nil if too many wait.
func (p *parser) add(t *tx) *tx {
	if len(p.Txs()) > p.max {
		for _, x := range p.Txs() {
			if s := x.Common(); s.Progress[app.ToClient] < complete {
				s.Progress[app.ToClient] = complete
				s.Raise(tooManyTxs)
			}
		}
		return nil
	}
	t.Progress[app.ToServer] = complete
	p.Push(p.ctx.Hooks, t, p.max+2)
	return t
}

// saslData stands for a line of the dialogue that AUTH begins.
const saslData = "<SASL DATA>"

// request takes a line of the client. It returns false if nothing can follow.
func (p *parser) request(line []byte) bool {
	text := bytes.TrimRight(line, "\r\n")
	if p.login {
		p.login = false
		return p.add(&tx{command: saslData, word: []byte(saslData)}) != nil
	}
	word, rest, _ := bytes.Cut(text, []byte{' '})
	t := &tx{command: strings.ToUpper(string(word)), word: bytes.Clone(word)}
	if t.command == "PASS" && len(rest) > 0 {
		t.arguments = [][]byte{bytes.Clone(rest)} // Spaces belong to it.
	} else {
		for _, a := range bytes.Fields(rest) {
			t.arguments = append(t.arguments, bytes.Clone(a))
		}
	}
	limits, known := arguments[t.command]
	switch {
	case !known:
		t.Raise(unknownCommand)
	case len(t.arguments) < limits[0] || len(t.arguments) > limits[1]:
		t.Raise(wrongArguments)
	}
	if len(line) > maxRequest {
		t.Raise(longRequest)
	}
	return p.add(t) != nil
}

// asked is the oldest transaction without an answer, nil if there is none.
func (p *parser) asked() *tx {
	for _, x := range p.Txs() {
		if t := x.(*tx); !t.answered {
			return t
		}
	}
	return nil
}

// response takes a line of the server. It returns false if nothing can follow.
func (p *parser) response(line []byte) bool {
	text := bytes.TrimRight(line, "\r\n")
	if p.multi != nil {
		p.more(text)
		return true
	}
	t := p.asked()
	if t == nil {
		if t = p.add(&tx{}); t == nil { // A greeting.
			return false
		}
	}
	if len(line) > maxResponse {
		t.Raise(longResponse)
	}
	rest, ok := bytes.CutPrefix(text, []byte("+OK"))
	if !ok {
		var refused bool
		if rest, refused = bytes.CutPrefix(text, []byte("-ERR")); !refused {
			if rest, ok = bytes.CutPrefix(text, []byte("+ ")); !ok || t.command == "" {
				return false
			}
			p.login = true // The server asks for more.
		}
	}
	t.answered, t.ok, t.header = true, ok, bytes.Clone(bytes.TrimPrefix(rest, []byte{' '}))
	switch {
	case ok && t.command == "AUTH":
		p.login = true
	case ok && t.command == "STLS":
		p.ctx.Hooks.Become("tls")
	case ok && t.long():
		p.multi = t
		return true
	}
	t.Progress[app.ToClient] = complete
	return true
}

// long says whether an answer has lines of data.
func (t *tx) long() bool {
	switch t.command {
	case "LIST", "UIDL", "LANG":
		return len(t.arguments) == 0
	case "TOP", "RETR", "CAPA":
		return true
	}
	return false
}

// more takes a line of data.
func (p *parser) more(text []byte) {
	t := p.multi
	switch {
	case len(text) == 1 && text[0] == '.':
		t.Progress[app.ToClient] = complete
		p.multi = nil
	case t.command != "RETR" && len(t.data) < maxData && t.size+len(text) <= maxBytes:
		t.data = append(t.data, bytes.Clone(text))
		t.size += len(text)
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(dir app.Dir, _ uint64) bool {
	p.long[dir] = true // It goes on with the next line.
	return true
}

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	if p.multi != nil && x == app.Tx(p.multi) {
		p.multi = nil
	}
	p.Queue.Free(x)
}

// End implements app.Parser.
func (p *parser) End() {}

// appendLog writes the member pop3 of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("pop3")
	if t.command != "" {
		w.Object("request")
		w.Text("command", t.word)
		texts(w, "args", t.arguments)
		w.Close()
	}
	if t.answered {
		w.Object("response")
		w.Bool("success", t.ok)
		status := "ERR"
		if t.ok {
			status = "OK"
		}
		w.String("status", status)
		w.Text("header", t.header)
		texts(w, "data", t.data)
		w.Close()
	}
	w.Close()
}

func texts(w *jsonw.Writer, key string, list [][]byte) {
	w.Array(key)
	for _, v := range list {
		w.Text("", v)
	}
	w.Close()
}
