// Package ftp reads FTP (RFC 959) and the connections it transfers files on. A
// transaction is a command with its replies; of a transfer, the file.
//
// ftp.go follows commands and replies, port.go reads where files will go,
// data.go follows them, log.go writes EVE's members ftp and ftp_data.
package ftp

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	longRequest app.EventID = iota
	longResponse
	tooManyTxs
	fileBeforePort
	fileWithoutName
)

const complete = 1

// Protocol is FTP's control connection.
var Protocol = &app.Protocol{
	Name: "ftp", Transport: app.TCP, Ports: []uint16{21}, Probe: probe,
	Signatures: []app.Signature{
		{Dir: app.ToClient, Text: "220 (", Depth: 5}, {Dir: app.ToServer, Text: "FEAT", Fold: true, Depth: 4}, {Dir: app.ToServer, Text: "USER ", Depth: 5},
		{Dir: app.ToServer, Text: "PASS ", Fold: true, Depth: 5}, {Dir: app.ToServer, Text: "PORT ", Fold: true, Depth: 5},
	},
	New:      func(c *app.Context) app.Parser { return newParser(c) },
	Progress: app.OneStep,
	Buffers: slices.Concat(
		app.Extractors(app.ToServer, complete, suricata.BufFTPCommand, suricata.BufFTPCommandData),
		app.Extractors(app.ToClient, complete, suricata.BufFTPReply, suricata.BufFTPCompletionCode)),
	Events: []string{
		longRequest: "request_command_too_long", longResponse: "response_command_too_long", tooManyTxs: "too_many_transactions",
		fileBeforePort: "file_before_port", fileWithoutName: "file_without_name",
	},
	Logs: []app.Log{{Type: "ftp", Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// probe knows a server's greeting, which mail servers share: what the client
// says tells more.
func probe(dir app.Dir, b []byte) app.Verdict {
	switch {
	case dir == app.ToServer:
		return app.No
	case len(b) < 5:
		return app.Unsure
	case string(b[:3]) != "220" || b[3] != ' ' && b[3] != '-':
		return app.No
	case bytes.IndexByte(b, '\n') < 0:
		return app.Unsure
	}
	return app.Fallback
}

// commands are those that begin a transaction.
var commands = strings.Fields("PORT EPRT PASV EPSV RETR STOR ABOR ACCT ALLO APPE CDUP CHMOD CWD DELE HELP IDLE LIST MAIL MDTM MKD MLFL MLSD MODE " +
	"MRCP MRSQ MSAM MSND MSOM NLST NOOP PASS PWD QUIT REIN REST RMD RNFR RNTO SITE SIZE SMNT STAT STOU STRU SYST TYPE UMASK USER")

const authTLS = "AUTH TLS"

// commandOf is the command a line begins with, "" if it is none.
func commandOf(line []byte) string {
	if len(line) >= len(authTLS) && strings.EqualFold(string(line[:len(authTLS)]), authTLS) {
		return "AUTH_TLS"
	}
	word, _, _ := bytes.Cut(bytes.TrimRight(line, "\r "), []byte{' '})
	name := strings.ToUpper(string(word))
	if slices.Contains(commands, name) {
		return name
	}
	return ""
}

// Limits: Suricata's, if suricata.yaml has no others.
const (
	maxLine    = 4096
	maxTxs     = 1024
	maxReplies = 256 // Lines of one transaction.
)

// reply is a line of a server.
type reply struct{ code, text []byte }

// tx is a command with its replies, or replies to none.
type tx struct {
	app.State
	command    string // "": none.
	request    []byte // The line of the command.
	cut        bool   // of which more came than is kept.
	replies    []reply
	repliesCut bool
	port       uint16 // That was agreed on,
	active     bool   // of the client.
	bounce     bool   // It is that of a third host.
}

// data is what follows the command.
func (t *tx) data() []byte {
	if len(t.request) <= len(t.command) {
		return nil
	}
	return t.request[len(t.command)+1:]
}

type parser struct {
	app.Queue
	ctx     *app.Context
	max     int // Transactions that wait.
	port    uint16
	active  bool
	long    [2]bool // More of a long line is to come.
	multi   []byte  // The code that ends the reply of several lines.
	current *tx     // That the last reply was of.
}

func newParser(c *app.Context) *parser {
	return &parser{ctx: c, max: c.Config.Number("ftp.max-tx", maxTxs)}
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 && len(rest) < maxLine {
			break
		}
		size := n
		if n == 0 {
			size = len(rest)
		}
		consumed += size
		skip := p.long[in.Dir]
		p.long[in.Dir] = n == 0
		if skip {
			continue
		}
		line := bytes.TrimRight(rest[:min(size, maxLine)], "\r\n")
		cut := size >= maxLine
		ok := true
		if in.Dir == app.ToServer {
			ok = p.request(line, cut)
		} else {
			ok = p.reply(line, cut)
		}
		if !ok {
			p.ctx.Hooks.Stop(false)
			return len(in.Data), 0
		}
	}
	return consumed, 0
}

// begin begins a transaction, nil if too many wait.
func (p *parser) begin(t *tx) *tx {
	txs := p.Txs()
	if len(txs) > 0 && p.Count()-txs[0].Common().ID > uint64(p.max) {
		for _, x := range txs {
			if s := x.Common(); s.Progress[app.ToClient] < complete {
				s.Progress[app.ToClient] = complete
				s.Raise(tooManyTxs)
				break
			}
		}
		return nil
	}
	t.Progress[app.ToServer] = complete
	p.Push(p.ctx.Hooks, t, p.max+2)
	return t
}

// request takes a line of the client. It returns false if nothing can follow.
func (p *parser) request(line []byte, cut bool) bool {
	name := commandOf(line)
	if name == "" {
		return true
	}
	t := p.begin(&tx{command: name, request: bytes.Clone(bytes.TrimRight(line, " \t")), cut: cut})
	if t == nil {
		return false
	}
	if cut {
		t.Raise(longRequest)
	}
	switch name {
	case "RETR", "STOR", "APPE", "STOU", "NLST", "LIST", "MLSD":
		p.transfer(t)
	case "PORT":
		host, _, _ := hostPort(t.data())
		t.bounce = host.IsValid() && p.ctx.Flow.Client.IsValid() && host != p.ctx.Flow.Client
	}
	return true
}

// transfer announces the connection a file will come on.
func (p *parser) transfer(t *tx) {
	x := &Transfer{Command: t.command}
	switch t.command {
	case "RETR", "STOR", "APPE", "STOU":
		x.Name = t.data()
		if x.Name == nil && t.command == "STOU" {
			x.Name = []byte("<stou>")
		}
		if x.Name == nil {
			t.Raise(fileWithoutName)
			return
		}
	}
	if p.port == 0 {
		t.Raise(fileBeforePort)
		return
	}
	sends := t.command == "STOR" || t.command == "APPE" || t.command == "STOU" // The client of FTP does.
	x.Dir = app.ToClient
	if sends != p.active {
		x.Dir = app.ToServer
	}
	p.ctx.Hooks.Expect(app.Expectation{Proto: Data.Name, ServerPort: p.port, Reversed: p.active, Data: x})
	p.port, p.active = 0, false
}

// answered is the transaction a reply is of: the oldest that waits, else the
// last.
func (p *parser) answered() *tx {
	var last *tx
	for _, x := range p.Txs() {
		last = x.(*tx)
		if last.Progress[app.ToClient] < complete {
			break
		}
	}
	return last
}

// reply takes a line of the server. It returns false if nothing can follow.
func (p *parser) reply(line []byte, cut bool) bool {
	t := p.current
	if p.multi == nil || t == nil {
		if t = p.answered(); t == nil {
			if t = p.begin(&tx{}); t == nil {
				return false
			}
			t.Skip[app.ToServer] = true
		}
		p.current = t
	}
	code := line[:min(3, len(line))]
	first, last := len(line) > 3 && line[3] == '-' && digits(code), len(line) > 3 && line[3] == ' ' || len(line) == 3
	switch {
	case p.multi == nil && first:
		p.multi = bytes.Clone(code)
	case p.multi != nil && last && bytes.Equal(code, p.multi):
		p.multi = nil
	}
	if p.multi == nil {
		p.agree(t, line)
	}
	t.answer(bytes.TrimRight(line, " \t"), cut)
	if p.multi == nil && !(digits(code) && code[0] == '1' && last) { // 1yz: another one follows.
		t.Progress[app.ToClient] = complete
		p.current = nil
	}
	return true
}

func digits(b []byte) bool {
	return len(b) == 3 && !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
}

// answer keeps a line of a reply.
func (t *tx) answer(line []byte, cut bool) {
	if cut {
		t.repliesCut = true
		t.Raise(longResponse)
	}
	if len(line) == 0 || len(t.replies) >= maxReplies {
		return
	}
	r := reply{text: bytes.Clone(line)}
	if code, text, ok := bytes.Cut(r.text, []byte{' '}); ok && digits(code) {
		r.code, r.text = code, text
	}
	t.replies = append(t.replies, r)
}

// agree takes what a reply says of connections to come.
func (p *parser) agree(t *tx, line []byte) {
	port, active := uint16(0), false
	switch t.command {
	case "AUTH_TLS":
		if bytes.HasPrefix(line, []byte("234 ")) {
			p.ctx.Hooks.Become("tls")
		}
	case "PORT":
		_, port, active = hostPort(t.data())
	case "EPRT":
		port, active = extendedPort(t.data())
	case "PASV":
		if bytes.HasPrefix(line, []byte("227 ")) {
			port = passivePort(line)
		}
	case "EPSV":
		if bytes.HasPrefix(line, []byte("229 ")) {
			port = extendedPassivePort(line)
		}
	}
	if port != 0 {
		p.port, p.active = port, active
		t.port, t.active = port, active
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	if p.current != nil && x == app.Tx(p.current) {
		p.current = nil
	}
	p.Queue.Free(x)
}

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, scratch *[]byte) (match.Buffer, bool) {
	if t.command == "" {
		return match.Buffer{}, false
	}
	switch b {
	case suricata.BufFTPCommand:
		*scratch = append((*scratch)[:0], t.command...)
		return match.Buffer{Data: *scratch}, i == 0
	case suricata.BufFTPCommandData:
		return match.Buffer{Data: t.data()}, i == 0 && t.data() != nil
	case suricata.BufFTPReply:
		if i < len(t.replies) {
			return match.Buffer{Data: t.replies[i].text}, true
		}
	case suricata.BufFTPCompletionCode:
		for _, r := range t.replies {
			if r.code == nil {
				continue
			}
			if i == 0 {
				return match.Buffer{Data: r.code}, true
			}
			i--
		}
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "ftp.dynamic_port":
		return t.port != 0 && app.MatchUint(o, uint64(t.port))
	case "ftp.mode":
		return t.port != 0 && t.active == (o.Value.String() == "active")
	case "ftp.reply_received":
		wanted := slices.Contains([]string{"yes", "true", "on", "1"}, o.Value.String())
		return (t.Progress[app.ToClient] == complete) == wanted
	case "ftpbounce":
		return t.bounce
	}
	return false
}
