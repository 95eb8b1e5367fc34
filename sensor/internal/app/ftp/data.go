package ftp

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/transfer"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// Data is a connection that FTP transfers a file on. Nothing in it tells what
// it is: FTP announces it.
var Data = &app.Protocol{
	Name: "ftp-data", Transport: app.TCP,
	New:      func(c *app.Context) app.Parser { return newDataParser(c) },
	Progress: app.OneStep,
	Buffers: slices.Concat(
		app.Extractors(app.ToServer, 0, suricata.BufFileData, suricata.BufFileName),
		app.Extractors(app.ToClient, 0, suricata.BufFileData, suricata.BufFileName)),
	Logs: []app.Log{{Type: "ftp_data", With: "ftp", Step: [2]uint8{complete, complete}, Append: appendDataLog}},
}

// Transfer is what FTP says of the connection it announces.
type Transfer struct {
	Command string
	Name    []byte  // Of the file; nil: it is a list of files.
	Dir     app.Dir // That it goes, in the connection to come.
}

// Of a file, rules look into no more than maxKept bytes; into an open one
// from inspectFrom bytes on.
const (
	maxKept     = 1 << 20
	inspectFrom = 4 << 10
)

// dataTx is a transfer.
type dataTx struct {
	app.State
	*Transfer
	content transfer.Content // Of a file.
}

type dataParser struct {
	app.Queue
	ctx *app.Context
	tx  *dataTx
}

func newDataParser(c *app.Context) *dataParser { return &dataParser{ctx: c} }

// Parse implements app.Parser.
func (p *dataParser) Parse(in *app.Input) (consumed, need int) {
	x, ok := p.ctx.Expected.(*Transfer)
	if !ok || in.Dir != x.Dir {
		return len(in.Data), 0
	}
	t := p.begin(x)
	if t.content.File != nil {
		t.content.Add(in.Data, maxKept-len(t.content.Begin))
	}
	if in.End {
		p.finish(file.Closed)
	}
	return len(in.Data), 0
}

// begin is the transfer, made with its first bytes.
func (p *dataParser) begin(x *Transfer) *dataTx {
	if p.tx != nil {
		return p.tx
	}
	p.tx = &dataTx{Transfer: x}
	p.tx.Skip[x.Dir.Other()] = true
	if x.Name != nil {
		p.tx.content.File = file.New(p.ctx.Config.Files, 1, x.Name)
		p.tx.Files[x.Dir] = file.List{p.tx.content.File}
	}
	p.Push(p.ctx.Hooks, p.tx, 1)
	return p.tx
}

func (p *dataParser) finish(s file.State) {
	if p.tx == nil {
		return
	}
	if p.tx.content.File != nil {
		p.tx.content.Close(s)
	}
	p.tx.Progress = [2]uint8{complete, complete}
}

// Gap implements app.Parser.
func (p *dataParser) Gap(dir app.Dir, size uint64) bool {
	if p.tx != nil && dir == p.tx.Dir && p.tx.content.File != nil {
		p.tx.content.Gap(size)
	}
	return true
}

// End implements app.Parser.
func (p *dataParser) End() { p.finish(file.Truncated) }

// Buffer implements app.Tx.
func (t *dataTx) Buffer(b suricata.Buffer, dir app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if t.content.File == nil || dir != t.Dir || i > 0 {
		return match.Buffer{}, false
	}
	if b == suricata.BufFileName {
		return match.Buffer{Data: t.content.Name}, true
	}
	return match.Buffer{Data: t.content.Ready(inspectFrom)}, true
}

// Match implements app.Tx.
func (t *dataTx) Match(o *suricata.Option, _ app.Dir) bool {
	want := o.Value.String()
	return o.Name == "ftpdata_command" && (want == "stor" && t.Command == "STOR" || want == "retr" && t.Command == "RETR")
}
