package http2

import (
	"bytes"
	"encoding/base64"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/coding"
	"github.com/hauberk/hauberk/sensor/internal/app/file"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// Limits of what one flow may have; more is counted and not looked into.
const (
	maxTxs    = 1024
	maxFrames = 1 << 16 // Of one side of a stream.
	// maxWhole is the largest frame that is waited for; DATA is taken as it comes.
	maxWhole = 64 << 10
	maxKept  = 4 << 20 // Bytes of bodies that all streams hold.
	maxBody  = 1 << 20 // Of one of them.
	// maxHeaders is the bytes of headers that all streams hold: one byte of a
	// compressed header may stand for maxString of them.
	maxHeaders = 8 << 20
	// maxUndone bounds the bytes that compressed bodies become.
	maxUndone = 32 << 20
	maxLayers = 2
)

// lane is the reading of one direction.
type lane struct {
	begun bool // The client's preface was looked for.
	skip  int  // Bytes of a frame that is not read.
	data  body // The DATA frame that is being read.
	table *table
	// A header block that goes on in the next frame, and its stream.
	block  []byte
	stream uint32
}

// body is the rest of a DATA frame.
type body struct {
	tx   *tx
	left int
	pad  int
	last bool // The stream ends with it.
}

type parser struct {
	app.Queue
	ctx    *app.Context
	lanes  [2]lane
	files  uint32
	kept   int // Bytes of bodies
	held   int // and of headers.
	budget coding.Budget
}

func newParser(c *app.Context) *parser {
	p := &parser{ctx: c, budget: maxUndone}
	for i := range p.lanes {
		p.lanes[i].table = newTable()
	}
	if up, ok := c.Expected.(*Upgrade); ok {
		p.upgrade(up)
	}
	return p
}

// upgrade makes of a request of HTTP/1 what it would be in HTTP/2.
func (p *parser) upgrade(up *Upgrade) {
	settings, err := base64.RawURLEncoding.DecodeString(string(bytes.TrimRight(up.Settings, "=")))
	g := p.add(0)
	if err != nil || len(settings)%6 != 0 {
		g.Raise(invalidSettings)
	}
	s := &g.sides[app.ToServer]
	s.kinds = 1 << kindSettings
	s.settings = readSettings(settings)

	t := p.add(1)
	s = &t.sides[app.ToServer]
	s.kinds = 1 << kindHeaders
	s.fields = []field{{name: []byte(":method"), value: up.Method}, {name: []byte(":path"), value: up.URI}}
	for _, h := range up.Headers {
		name := h[0]
		if bytes.EqualFold(name, []byte("host")) {
			name = []byte(":authority")
		}
		if len(s.fields) < maxFields {
			s.fields = append(s.fields, field{name: name, value: h[1]})
		}
	}
	t.Progress[app.ToServer] = complete
}

// add makes a transaction. Those of stream 0 are complete at once.
func (p *parser) add(stream uint32) *tx {
	t := &tx{stream: stream}
	if stream == 0 {
		t.Progress = [2]uint8{complete, complete}
	}
	if list := p.Txs(); len(list) >= maxTxs {
		p.release(list[0].(*tx))
	}
	if p.Push(p.ctx.Hooks, t, maxTxs) {
		t.Raise(tooManyStreams)
	}
	return t
}

// of is the transaction of a stream.
func (p *parser) of(stream uint32, k kind) *tx {
	if stream == 0 {
		return p.add(0)
	}
	t, _ := p.Find(func(x app.Tx) bool { return x.(*tx).stream == stream }).(*tx)
	if t == nil {
		return p.add(stream)
	}
	if t.Progress == [2]uint8{complete, complete} && k != kindReset && k != kindWindow && k != kindPriority {
		t.Raise(streamReuse)
	}
	return t
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	l := &p.lanes[in.Dir]
	if in.Dir == app.ToServer && !l.begun {
		if len(in.Data) < len(preface) {
			return 0, len(preface) - len(in.Data)
		}
		l.begun = true
		if string(in.Data[:len(preface)]) == preface {
			consumed = len(preface)
		} else {
			p.last().Raise(invalidMagic)
		}
	}
	for {
		n, need := p.one(in, l, in.Data[consumed:], in.Offset+uint64(consumed))
		if consumed += n; n == 0 {
			return consumed, need
		}
	}
}

// last is the transaction that an event without one of its own belongs to.
func (p *parser) last() *tx {
	if list := p.Txs(); len(list) > 0 {
		return list[len(list)-1].(*tx)
	}
	return p.add(0)
}

// one takes the next part: of a frame that was begun, or a frame.
func (p *parser) one(in *app.Input, l *lane, data []byte, offset uint64) (consumed, need int) {
	if l.skip > 0 {
		n := min(l.skip, len(data))
		l.skip -= n
		return n, 0
	}
	if l.data.tx != nil {
		return p.body(in.Dir, l, data), 0
	}
	if len(data) < headSize {
		return 0, headSize - len(data)
	}
	h := readHead(data)
	rest := data[headSize:]
	if h.kind == kindData {
		if h.flags&flagPadded != 0 && h.size > 0 && len(rest) == 0 {
			return 0, 1
		}
	} else if h.size <= maxWhole && len(rest) < h.size {
		return 0, h.size - len(rest)
	}
	if h.size == 0 && h.kind == kindSettings {
		p.frames(in.Dir, offset, &h, nil)
		return headSize, 0 // An acknowledgement.
	}
	stream := h.stream
	if h.kind == kindPush && len(rest) >= 5 {
		stream = pushed(rest, h.flags)
	}
	t := p.of(stream, h.kind)
	p.frames(in.Dir, offset, &h, t)
	s := &t.sides[in.Dir]
	s.kinds |= 1 << min(h.kind, 15)
	if s.frames++; s.frames > maxFrames {
		t.Raise(tooManyFrames)
	}
	switch {
	case h.kind == kindData:
		return headSize + p.begin(t, in.Dir, l, &h, rest), 0
	case h.size > maxWhole:
		t.Raise(longFrame)
		l.skip = h.size
		return headSize, 0
	}
	p.frame(t, in.Dir, l, &h, rest[:h.size])
	return headSize + h.size, 0
}

// pushed is the stream that a frame PUSH_PROMISE announces.
func pushed(b []byte, flags uint8) uint32 {
	r := wire.Reader{B: b}
	if flags&flagPadded != 0 {
		r.U8()
	}
	return r.BE32() &^ (1 << 31)
}

// frames tells the parts of the stream; t may be nil.
func (p *parser) frames(dir app.Dir, offset uint64, h *head, t *tx) {
	f := app.Frame{Kind: frameHeader, Dir: dir, Offset: offset, Size: headSize}
	if t != nil {
		f.Tx, f.HasTx = t.ID, true
	}
	p.ctx.Hooks.Frame(f)
	f.Kind, f.Size = framePDU, int64(headSize+h.size)
	p.ctx.Hooks.Frame(f)
	f.Kind, f.Offset, f.Size = frameData, offset+headSize, int64(h.size)
	p.ctx.Hooks.Frame(f)
}

// begin begins a DATA frame; it returns how many bytes of rest it took.
func (p *parser) begin(t *tx, dir app.Dir, l *lane, h *head, rest []byte) (took int) {
	b := body{tx: t, left: h.size, last: h.flags&flagEndStream != 0}
	if h.size > maxWhole {
		t.Raise(longFrame)
	}
	if h.flags&flagPadded != 0 && h.size > 0 {
		took = 1
		b.pad = min(int(rest[0]), h.size-1)
		b.left = h.size - 1 - b.pad
	}
	if t.stream == 0 {
		t.Raise(dataOnZero)
		l.skip = h.size - took
		return took
	}
	t.Progress[dir] = max(t.Progress[dir], bodyBegun)
	if len(t.Files[dir]) == 0 {
		p.files++
		t.Files[dir] = append(t.Files[dir], file.New(p.ctx.Config.Files, p.files, nil))
	}
	l.data = b
	p.body(dir, l, nil)
	return took
}

// body takes bytes of the DATA frame that is being read.
func (p *parser) body(dir app.Dir, l *lane, data []byte) (took int) {
	b := &l.data
	took = min(b.left, len(data))
	b.left -= took
	s := &b.tx.sides[dir]
	if !s.coded {
		s.coded = true
		s.coding = coding.New(s.first("content-encoding"), maxLayers, &p.budget)
	}
	p.plain(b.tx, dir, s.coding.Add(data[:took]))
	if b.left > 0 {
		return took
	}
	if b.last {
		p.finish(b.tx, dir, file.Closed)
	}
	l.skip, l.data = b.pad, body{}
	return took
}

// plain takes bytes of a body with its codings undone.
func (p *parser) plain(t *tx, dir app.Dir, data []byte) {
	s := &t.sides[dir]
	for _, f := range t.Files[dir] {
		f.Add(data)
	}
	n := min(maxBody-len(s.body), maxKept-p.kept, len(data))
	if n <= 0 || t.gone {
		return
	}
	s.body = append(s.body, data[:n]...)
	p.kept += n
	t.Grown[dir] = uint64(len(s.body))
}

// finish ends a direction of a stream.
func (p *parser) finish(t *tx, dir app.Dir, state file.State) {
	s := &t.sides[dir]
	p.plain(t, dir, s.coding.End())
	if s.coding.Cut() {
		t.Raise(compressionBomb)
		state = file.Truncated
	}
	for _, f := range t.Files[dir] {
		f.Close(state)
	}
	t.Progress[dir] = complete
}

// frame takes a whole frame other than DATA.
func (p *parser) frame(t *tx, dir app.Dir, l *lane, h *head, b []byte) {
	s := &t.sides[dir]
	r := wire.Reader{B: b}
	switch h.kind {
	case kindHeaders, kindPush:
		unpad(&r, h.flags)
		if h.kind == kindPush {
			r.BE32()
		} else if h.flags&flagPriority != 0 {
			r.BE32()
			s.priorities = add(s.priorities, r.U8())
		}
		if r.Bad {
			t.Raise(invalidFrameData)
			return
		}
		l.block, l.stream = append(l.block[:0], r.B...), h.stream
		p.block(t, dir, l, h)
	case kindContinuation:
		if l.stream != h.stream {
			l.block, l.stream = l.block[:0], h.stream
		}
		if len(l.block)+len(b) > maxBlock {
			t.Raise(headersTooLong)
			b = b[:max(0, maxBlock-len(l.block))]
		}
		l.block = append(l.block, b...)
		p.block(t, dir, l, h)
	case kindPriority:
		r.BE32()
		s.priorities = add(s.priorities, r.U8())
	case kindReset:
		s.errors = add(s.errors, r.BE32())
	case kindGoAway:
		r.BE32()
		s.goaway = s.goaway || len(s.errors) == 0
		s.errors = add(s.errors, r.BE32())
		r.B = nil // Debug data.
	case kindWindow:
		s.windows = add(s.windows, r.BE32()&^(1<<31))
	case kindSettings:
		s.settings = readSettings(b)
		r.Skip(len(b) / 6 * 6)
	default:
		r.B = nil
	}
	if h.kind >= kindPriority && h.kind <= kindWindow && h.kind != kindPush && (r.Bad || len(r.B) > 0) {
		t.Raise(invalidFrameLength)
	}
}

// block reads a header block if it is whole.
func (p *parser) block(t *tx, dir app.Dir, l *lane, h *head) {
	last := h.kind == kindHeaders && h.flags&flagEndStream != 0
	if h.flags&flagEndHeaders != 0 {
		fields, err := l.table.decode(l.block)
		l.block, l.stream = l.block[:0], 0
		if err != nil {
			t.Raise(invalidHeader)
		}
		p.headers(t, dir, fields)
	}
	t.Progress[dir] = max(t.Progress[dir], headersDone)
	if last {
		p.finish(t, dir, file.Closed)
	}
}

func (p *parser) headers(t *tx, dir app.Dir, fields []field) {
	s := &t.sides[dir]
	p.keep(t, s, fields)
	var authority, host []byte
	for i := range fields {
		switch f := &fields[i]; {
		case bytes.EqualFold(f.name, []byte(":authority")):
			authority = f.value
		case bytes.EqualFold(f.name, []byte("host")):
			host = f.value
		}
	}
	if bytes.IndexByte(authority, '@') >= 0 {
		t.Raise(userInfo)
	}
	if authority != nil && host != nil && !bytes.EqualFold(authority, host) {
		t.Raise(hostMismatch)
	}
}

// keep appends headers to those of a stream's side, while there is room.
func (p *parser) keep(t *tx, s *side, fields []field) {
	for _, f := range fields {
		n := len(f.name) + len(f.value)
		if len(s.fields) >= maxFields || t.gone {
			return
		}
		if p.held+n > maxHeaders {
			t.Raise(headersTooLong)
			return
		}
		p.held += n
		s.held += n
		s.fields = append(s.fields, f)
	}
}

// Free implements app.Parser.
func (p *parser) Free(x app.Tx) {
	t, ok := x.(*tx)
	if !ok {
		return // Of another protocol that the flow had.
	}
	p.release(t)
	p.Queue.Free(x)
}

// release gives back what a transaction holds of the flow's room.
func (p *parser) release(t *tx) {
	for dir := range t.sides {
		s := &t.sides[dir]
		p.kept -= len(s.body)
		p.held -= s.held
		s.body, s.held = nil, 0
	}
	t.gone = true
}

// Gap implements app.Parser. Only the bytes of a body may be lost: without
// its headers nothing that follows can be read.
func (p *parser) Gap(dir app.Dir, size uint64) bool {
	l := &p.lanes[dir]
	switch {
	case uint64(l.skip) >= size:
		l.skip -= int(size)
	case l.data.tx != nil && uint64(l.data.left) > size:
		l.data.left -= int(size)
		for _, f := range l.data.tx.Files[dir] {
			f.Gap(size)
		}
	default:
		return false
	}
	return true
}

// End implements app.Parser.
func (p *parser) End() {
	for _, x := range p.Txs() {
		t := x.(*tx)
		for dir := range t.sides {
			if t.Progress[dir] == bodyBegun {
				p.plain(t, app.Dir(dir), t.sides[dir].coding.End())
				for _, f := range t.Files[dir] {
					f.Close(file.Truncated)
				}
			}
		}
	}
}
