package nfs

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/transfer"
)

// transferFile is a file that is read or written.
type transferFile struct {
	transfer.Transfer
	tx              *tx
	dir             app.Dir
	last, committed bool
	lastCall        uint32
	chunks          int
}

// open is the transaction of a file that is not closed, nil if there is none.
func (p *parser) open(dir app.Dir, handle []byte) *tx {
	for _, x := range p.Txs() {
		t := x.(*tx)
		if f := t.file; f != nil && f.dir == dir && string(t.handle) == string(handle) && t.Progress != [2]uint8{complete, complete} {
			return t
		}
	}
	return nil
}

// maxIO is the most bytes one record may read or write.
const maxIO = 16 << 20

// bytes gives a file bytes of which some may be missing yet; last: they are
// its end.
func (p *parser) bytes(dir app.Dir, c *call, procedure uint32, offset uint64, size uint32, data []byte, last bool) {
	if size == 0 || size > maxIO {
		return
	}
	t := p.open(dir, c.handle)
	if t == nil {
		t = p.add(c)
		t.procedure = procedure
		p.files++
		t.file = &transferFile{tx: t, dir: dir}
		t.file.File = file.New(p.ctx.Config.Files, p.files, c.name)
		t.Files[dir] = file.List{t.file.File}
	}
	f := t.file
	f.chunks++
	if full, many := f.Full(size); full || many || last && offset != f.Next {
		f.Close(file.Truncated)
	}
	if last {
		f.last, f.lastCall = true, c.xid
	}
	f.Begin(offset, size, data)
	p.left[dir], p.to[dir] = int(size)-len(data), f
	f.settle()
}

// settle closes the file if all of its last chunk came.
func (f *transferFile) settle() {
	if f.last && f.Done() {
		f.close(file.Closed)
	}
}

func (f *transferFile) close(s file.State) {
	f.last = true
	f.Close(s)
	f.tx.Progress = [2]uint8{complete, complete}
}

// close ends what is written to a file.
func (p *parser) close(c *call, handle []byte) {
	if t := p.open(app.ToServer, handle); t != nil {
		t.file.lastCall = c.xid
		t.file.close(file.Closed)
	}
}
