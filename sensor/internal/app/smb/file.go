package smb

import (
	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/transfer"
)

// maxIO is the most bytes one record may read or write.
const maxIO = 16 << 20

// fileTransfer is a file that is read or written.
type fileTransfer struct {
	transfer.Transfer
	dir   app.Dir
	id    string
	share []byte
}

// transfer is that of a file in a direction; open: only if it is not closed.
func (p *parser) transfer(dir app.Dir, id string, open bool) *fileTransfer {
	t := p.fileTx(dir, id, open)
	if t == nil {
		return nil
	}
	return t.data.(*fileTransfer)
}

func (p *parser) fileTx(dir app.Dir, id string, open bool) *tx {
	return p.find(func(t *tx) bool {
		f, ok := t.data.(*fileTransfer)
		return ok && f.dir == dir && f.id == id && (!open || t.Progress != [2]uint8{complete, complete})
	})
}

// io is bytes of a file in a record.
type io struct {
	dir     app.Dir
	id      string
	offset  uint64
	size    uint32
	data    []byte // As many of them as are there,
	missing uint32 // and how many of the record are not.
}

// tooLarge says whether a record reads or writes more than it may, or than it has.
func (p *parser) tooLarge(x *io, limit uint32) bool {
	if int64(x.size) <= int64(len(x.data))+int64(x.missing) && (limit == 0 || x.size <= limit) && x.size <= maxIO {
		return false
	}
	e := writeRequestTooLarge
	if x.dir == app.ToClient {
		e = readResponseTooLarge
	}
	p.raise(e)
	p.skip[x.dir] = int(x.missing)
	return true
}

// take adds bytes to a file, which begins with them if it is not there.
func (p *parser) take(r *record, command uint16, name []byte, x *io) {
	t := p.fileTx(x.dir, x.id, true)
	if t == nil {
		share, _ := p.trees.get(r.key(roleShare))
		p.files++
		f := &fileTransfer{dir: x.dir, id: x.id, share: share.name}
		f.File = file.New(p.ctx.Config.Files, p.files, name)
		t = p.add(key{role: roleHeader, session: r.session, tree: r.tree}, f)
		if r.version == 1 {
			t.at = key{}
		}
		t.Progress = [2]uint8{}
		t.of(r.version, command)
		t.Files[x.dir] = file.List{f.File}
	}
	f := t.data.(*fileTransfer)
	if x.offset < f.Next {
		p.raise(fileOverlap)
	}
	full, many := f.Full(x.size)
	switch {
	case full:
		p.raise(pick(x.dir, writeQueueSize, readQueueSize))
	case many:
		p.raise(pick(x.dir, writeQueueCount, readQueueCount))
	default:
		f.Begin(x.offset, x.size, x.data)
		p.rest(x)
		return
	}
	p.skip[x.dir] = int(x.missing)
}

// rest says whose the bytes are that are missing of a record.
func (p *parser) rest(x *io) {
	p.to[x.dir] = x.id
	p.left[x.dir] = max(0, int(x.size)-len(x.data))
	p.skip[x.dir] = 0
	if more := int(x.missing) - p.left[x.dir]; more > 0 {
		p.left[x.dir] += more // Padding: the file does not take it.
	}
}

func pick(dir app.Dir, toServer, toClient app.EventID) app.EventID {
	if dir == app.ToServer {
		return toServer
	}
	return toClient
}

// closeFile ends what is read and written of a file. It says whether it was.
func (p *parser) closeFile(dir app.Dir, id string) *tx {
	t := p.fileTx(dir, id, false)
	if t == nil {
		return nil
	}
	if t.Progress[app.ToServer] != complete {
		t.data.(*fileTransfer).Close(file.Closed)
	}
	t.done(app.ToServer, app.ToClient)
	return t
}
