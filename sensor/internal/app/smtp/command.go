package smtp

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/mime"
)

// command is what a reply may belong to.
type command uint8

const (
	otherCommand command = iota
	startTLS
	dataCommand
	bdat
	bdatLast
	mailEnd // The end of the message behind DATA, which has a reply of its own.
	reset
	quit
)

// asked is a command that waits for its reply.
type asked struct {
	command
	tx *tx // nil: it belongs to none.
}

// Limits: Suricata's for a line, and for transactions that wait.
const (
	maxLine  = 4096
	maxTxs   = 256
	maxAsked = 1 << 16
)

type parser struct {
	app.Queue
	ctx    *app.Context
	mime   mime.Config
	raw    bool // Keep the message as it comes,
	decode bool // or read it.

	tx       *tx // Under way.
	helo     []byte
	command  command // The last one.
	asked    []asked
	inData   bool // What comes is of a message.
	piece    bool // of which a line began.
	chunk    uint64
	welcomed bool
	multi    bool // A reply goes on.
	pipeline bool // The server said that it takes commands in advance.
	discard  [2]bool
	files    uint32
}

func newParser(c *app.Context) *parser {
	p := &parser{ctx: c}
	p.mime, p.raw, p.decode = readConfig(c.Config)
	return p
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		n := 0
		switch {
		case in.Dir == app.ToServer && p.inData && (p.command == bdat || p.command == bdatLast):
			n = int(min(uint64(len(rest)), p.chunk))
			p.takeChunk(uint64(n))
		case in.Dir == app.ToServer && p.inData && p.command == dataCommand:
			n = p.mail(rest, in.End)
		default:
			n = p.line(in.Dir, rest, in.Offset+uint64(consumed))
		}
		if n == 0 {
			break
		}
		if n < 0 {
			return len(in.Data), 0
		}
		consumed += n
	}
	return consumed, 0
}

// line takes a command or a reply: its size, 0 if it is not complete, -1 if
// nothing can follow.
func (p *parser) line(dir app.Dir, b []byte, at uint64) int {
	n := bytes.IndexByte(b, '\n') + 1
	switch {
	case p.discard[dir]:
		if n == 0 {
			return len(b)
		}
		p.discard[dir] = false
		return n
	case n == 0 && len(b) < maxLine:
		return 0
	}
	size := n
	line := b[:n]
	if n == 0 || n >= maxLine {
		size, line = max(n, maxLine), b[:maxLine]
		p.discard[dir] = n == 0
	} else {
		line = bytes.TrimSuffix(line[:n-1], []byte{'\r'})
	}
	before := p.replyTx()
	ok := true
	if dir == app.ToClient {
		if len(line) > 0 {
			ok = p.reply(line)
		}
		p.frame(replyFrame, dir, at, int64(size), before)
	} else {
		p.request(line, at+uint64(size))
		p.frame(commandFrame, dir, at, int64(size), p.tx)
	}
	if len(line) == maxLine {
		p.raise(truncatedLine)
	}
	if !ok {
		p.ctx.Hooks.Stop(false)
		return -1
	}
	return size
}

func (p *parser) frame(kind app.FrameID, dir app.Dir, at uint64, size int64, t *tx) {
	f := app.Frame{Kind: kind, Dir: dir, Offset: at, Size: size}
	if t != nil {
		f.Tx, f.HasTx = t.ID, true
	}
	p.ctx.Hooks.Frame(f)
}

func (p *parser) raise(e app.EventID) {
	if p.tx != nil {
		p.tx.Raise(e)
	}
}

func starts(line []byte, word string) bool {
	return len(line) >= len(word) && strings.EqualFold(string(line[:len(word)]), word)
}

// request takes a command; next is the offset of what follows it.
func (p *parser) request(line []byte, next uint64) {
	closing := starts(line, "rset") || starts(line, "quit")
	if p.tx == nil && (p.Count() == 0 || !closing) || p.tx != nil && p.tx.Progress[app.ToServer] == complete && !closing {
		p.tx = &tx{helo: p.helo}
		p.Push(p.ctx.Hooks, p.tx, maxTxs)
	}
	if !p.welcomed {
		p.raise(noWelcome)
	}
	p.command = otherCommand
	switch {
	case starts(line, "rset"):
		p.command = reset
	case starts(line, "quit"):
		p.command = quit
	case starts(line, "starttls"):
		p.command = startTLS
	case starts(line, "data"):
		p.command = dataCommand
		if !p.data(next) {
			return
		}
	case starts(line, "bdat"):
		p.bdat(line)
	case starts(line, "helo"), starts(line, "ehlo"):
		p.hello(argument(line, 5))
	case starts(line, "mail from"):
		if p.tx.from != nil {
			p.raise(duplicate)
			break
		}
		p.tx.from = argument(line, 10)
	case starts(line, "rcpt to"):
		if len(p.tx.recipients) < maxRecipients {
			p.tx.recipients = append(p.tx.recipients, argument(line, 8))
		}
	}
	p.ask(p.command, p.tx)
}

// ask notes that a reply will come.
func (p *parser) ask(c command, t *tx) {
	if n := len(p.asked); n > 0 && (p.asked[n-1].command == startTLS || p.asked[n-1].command == dataCommand) {
		p.raise(invalidPipeline) // What follows these depends on their reply.
	}
	if len(p.asked) < maxAsked {
		p.asked = append(p.asked, asked{c, t})
	}
}

// argument is the first word from place at on.
func argument(line []byte, at int) []byte {
	word, _, _ := bytes.Cut(bytes.TrimLeft(line[min(at, len(line)):], " "), []byte{' '})
	return append([]byte{}, word...)
}

// hello takes the client's name. Between messages it begins anew (RFC 5321
// section 4.1.4).
func (p *parser) hello(name []byte) {
	if p.helo != nil {
		p.raise(duplicate)
	} else {
		p.helo, p.tx.helo = name, name
	}
	if p.tx.from != nil || p.tx.recipients != nil || p.tx.Progress[app.ToServer] != started {
		p.command = reset
	}
}

// data begins a message. It says whether the command counts.
func (p *parser) data(next uint64) bool {
	t := p.tx
	t.Progress[app.ToServer] = max(t.Progress[app.ToServer], data)
	if t.hasData { // The client asks once more, without an answer.
		p.raise(unparsable)
		return false
	}
	t.hasData = true
	sink := &mailFile{p, t}
	switch {
	case p.raw:
		sink.Open([]byte("rawmsg"))
	case p.decode:
		t.mail = mime.New(&p.mime, sink)
	}
	p.inData = p.pipeline
	p.frame(dataFrame, app.ToServer, next, -1, t)
	return true
}

// bdat begins a chunk (RFC 3030 section 2).
func (p *parser) bdat(line []byte) {
	words := strings.Fields(string(line[len("bdat"):]))
	last := len(words) == 2 && strings.EqualFold(words[1], "last")
	var size uint64
	err := strconv.ErrSyntax
	if len(line) > len("bdat") && line[len("bdat")] == ' ' && (len(words) == 1 || last) {
		size, err = strconv.ParseUint(words[0], 10, 32)
	}
	if err != nil {
		p.raise(invalidBDAT)
		return
	}
	p.command, p.chunk = bdat, size
	if last {
		p.command = bdatLast
	}
	p.tx.Progress[app.ToServer] = max(p.tx.Progress[app.ToServer], data)
	p.inData = size > 0
	if size == 0 && last {
		p.tx.Progress[app.ToServer] = complete
	}
}

// takeChunk takes bytes of a chunk.
func (p *parser) takeChunk(n uint64) {
	p.chunk -= n
	if p.chunk > 0 {
		return
	}
	p.inData = false
	if p.command == bdatLast && p.tx != nil {
		p.tx.Progress[app.ToServer] = complete
	}
}

// mail takes a line of a message, or a piece of a long one: its size, 0 if it
// is not complete.
func (p *parser) mail(b []byte, last bool) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		if len(b) < maxLine && !last {
			return 0
		}
		n = len(b)
	}
	line := bytes.TrimSuffix(b[:n], []byte{'\n'})
	if len(line) < n {
		line = bytes.TrimSuffix(line, []byte{'\r'})
	}
	end := b[len(line):n]
	begins := !p.piece
	p.piece = len(end) == 0
	if begins && len(line) == 1 && line[0] == '.' {
		p.endMail()
		return n
	}
	if p.tx == nil {
		return n // A reply to what was asked before ended the transaction.
	}
	if p.tx.mail == nil {
		if p.raw {
			(&mailFile{p, p.tx}).Add(b[:n])
		}
		return n
	}
	if len(line) > maxLine && !p.tx.mail.InBody() {
		line = line[:maxLine]
		p.raise(truncatedLine)
	}
	p.anomalies(p.tx.mail.Line(line, end))
	return n
}

func (p *parser) endMail() {
	p.inData = false
	p.ask(mailEnd, p.tx)
	if p.tx == nil {
		return
	}
	if p.tx.mail != nil {
		p.tx.mail.Finish()
	} else {
		(&mailFile{p, p.tx}).Close()
	}
	p.tx.Progress[app.ToServer] = complete
}

// anomalies raises what is wrong with a message.
func (p *parser) anomalies(a mime.Anomaly) {
	if a == 0 {
		return
	}
	for _, x := range [...]struct {
		mime.Anomaly
		app.EventID
	}{
		{mime.InvalidBase64, invalidBase64}, {mime.InvalidQuoted, invalidQuoted}, {mime.LongLine, longLine}, {mime.LongEncodedLine, longEncodedLine},
		{mime.LongName, longName}, {mime.LongValue, longValue}, {mime.LongBoundary, longBoundary}, {mime.LongFilename, longFilename},
	} {
		if a&x.Anomaly != 0 {
			p.raise(x.EventID)
		}
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	if p.tx != nil && x == app.Tx(p.tx) {
		p.tx = nil
	}
	p.Queue.Free(x)
}

// End implements app.Parser.
func (p *parser) End() {
	for _, x := range p.Txs() {
		for _, a := range x.(*tx).files {
			a.Close(file.Truncated)
		}
	}
}
