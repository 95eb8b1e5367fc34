// Package websocket reads WebSocket (RFC 6455) behind an upgrade of HTTP, with
// its compression (RFC 7692). A transaction is a frame; the last of a
// fragmented message has the payload of all.
package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	skipped app.EventID = iota
	tooLong
)

// The kinds of parts of the stream, by their number in Protocol.Frames.
const (
	frameHeader app.FrameID = iota
	framePDU
	frameData
)

// Protocol is WebSocket. Nothing tells it from other protocols: HTTP announces it.
var Protocol = &app.Protocol{
	Name: "websocket", Transport: app.TCP,
	New:      func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{{"request_started", "request_complete"}, {"response_started", "response_complete"}},
	Buffers: []app.Extractor{
		{Buffer: suricata.BufWebSocketPayload, Dir: app.ToServer, Step: 1}, {Buffer: suricata.BufWebSocketPayload, Dir: app.ToClient, Step: 1},
	},
	Events: []string{skipped: "skip_end_of_payload", tooLong: "reassembly_limit_reached"},
	Frames: []string{frameHeader: "header", framePDU: "pdu", frameData: "data"},
	Logs:   []app.Log{{Type: "websocket", Step: [2]uint8{1, 1}, Append: appendLog}},
}

// The bits of a frame's first two bytes (RFC 6455 section 5.2).
const (
	flagFin      = 0x80
	flagCompress = 0x40 // RFC 7692 section 6
	maskOpcode   = 0x0f
	flagMask     = 0x80
)

// control is the first opcode of control frames, which stand between the
// fragments of a message.
const control = 8

// tx is a frame.
type tx struct {
	app.State
	flags   uint8
	opcode  uint8
	masked  bool
	mask    uint32
	payload []byte
}

// lane is the reading of one direction.
type lane struct {
	skip       int    // Bytes of a payload that is too long.
	message    []byte // Of a message whose end is not there.
	open       bool   // There is one.
	compressed bool
	window     []byte // Plain bytes; what follows may repeat the last maxWindow.
	inflater   io.ReadCloser
}

type parser struct {
	app.Messages
	ctx   *app.Context
	lanes [2]lane
	max   int // Bytes of a payload that are read.
}

const (
	maxTxs    = 256
	maxWindow = 32 << 10
)

func newParser(c *app.Context) *parser {
	return &parser{ctx: c, max: min(c.Config.Size("websocket.max-payload-size", 0xffff), app.MaxPending/2)}
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	l := &p.lanes[in.Dir]
	for {
		rest := in.Data[consumed:]
		if n := min(l.skip, len(rest)); n > 0 {
			l.skip -= n
			consumed += n
			continue
		}
		t, head, size, ok := readHead(rest)
		if !ok {
			return consumed, 0
		}
		have := min(size, p.max)
		if len(rest) < head+have {
			return consumed, head + have - len(rest)
		}
		if have < size {
			t.Raise(skipped)
			l.skip = size - have
		}
		t.payload = bytes.Clone(rest[head : head+have])
		t.unmask()
		p.message(l, t)
		p.Single(p.ctx.Hooks, in.Dir, t, maxTxs)
		p.frames(in.Dir, in.Offset+uint64(consumed), t.ID, int64(head), int64(size))
		consumed += head + have
	}
}

// readHead reads a frame's header of head bytes and the size of its payload;
// ok is false if bytes are missing.
func readHead(b []byte) (t *tx, head, size int, ok bool) {
	if len(b) < 2 {
		return nil, 0, 0, false
	}
	t = &tx{flags: b[0] &^ maskOpcode, opcode: b[0] & maskOpcode, masked: b[1]&flagMask != 0}
	head, size = 2, int(b[1]&^flagMask)
	extra := map[int]int{126: 2, 127: 8}[size]
	head += extra
	if t.masked {
		head += 4
	}
	if len(b) < head {
		return nil, 0, 0, false
	}
	switch extra {
	case 2:
		size = int(binary.BigEndian.Uint16(b[2:]))
	case 8:
		size = int(min(binary.BigEndian.Uint64(b[2:]), 1<<62))
	}
	if t.masked {
		t.mask = binary.BigEndian.Uint32(b[head-4:])
	}
	return t, head, size, true
}

func (t *tx) unmask() {
	if !t.masked {
		return
	}
	key := binary.BigEndian.AppendUint32(nil, t.mask)
	for i := range t.payload {
		t.payload[i] ^= key[i&3]
	}
}

// message puts fragments together and undoes the compression of a whole message.
func (p *parser) message(l *lane, t *tx) {
	if t.opcode >= control {
		return
	}
	last := t.flags&flagFin != 0
	compressed := t.flags&flagCompress != 0
	if l.open || !last {
		if !l.open {
			l.open, l.compressed = true, compressed
		}
		n := min(p.max-len(l.message), len(t.payload))
		if n < len(t.payload) {
			t.Raise(tooLong)
		}
		l.message = append(l.message, t.payload[:n]...)
		if !last {
			return
		}
		t.payload, compressed = l.message, l.compressed
		l.message, l.open = nil, false
	}
	if compressed {
		t.payload = l.inflate(t.payload, p.max)
	}
}

// inflate undoes the compression of a message (RFC 7692 section 7.2.2), as far
// as it goes.
func (l *lane) inflate(data []byte, most int) []byte {
	in := io.MultiReader(bytes.NewReader(data), bytes.NewReader([]byte{0, 0, 0xff, 0xff}))
	dict := l.window[max(0, len(l.window)-maxWindow):]
	if r, ok := l.inflater.(flate.Resetter); !ok || r.Reset(in, dict) != nil {
		l.inflater = flate.NewReaderDict(in, dict)
	}
	plain, err := io.ReadAll(io.LimitReader(l.inflater, int64(most)))
	if err != nil && len(plain) == 0 {
		return data
	}
	l.window = append(l.window, plain...)
	if n := len(l.window) - maxWindow; n > maxWindow { // Not for every small message.
		l.window = l.window[:copy(l.window, l.window[n:])]
	}
	return plain
}

// frames tells the parts of the stream.
func (p *parser) frames(dir app.Dir, offset, id uint64, head, size int64) {
	for _, f := range []app.Frame{
		{Kind: frameHeader, Offset: offset, Size: head},
		{Kind: framePDU, Offset: offset, Size: head + size},
		{Kind: frameData, Offset: offset + uint64(head), Size: size},
	} {
		f.Dir, f.Tx, f.HasTx = dir, id, true
		p.ctx.Hooks.Frame(f)
	}
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	return match.Buffer{Data: t.payload}, b == suricata.BufWebSocketPayload && i == 0
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	switch o.Name {
	case "websocket.opcode":
		return app.MatchUint(o, uint64(t.opcode))
	case "websocket.mask":
		return t.masked && app.MatchUint(o, uint64(t.mask))
	case "websocket.flags":
		if n, err := strconv.ParseUint(o.Value.String(), 0, 8); err == nil {
			return n == uint64(t.flags)
		}
		return app.MatchFlags(o, map[string]bool{"fin": t.flags&flagFin != 0, "comp": t.flags&flagCompress != 0})
	}
	return false
}

var opcodeNames = map[uint8]string{0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

// appendLog writes the member websocket of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("websocket")
	w.Bool("fin", t.flags&flagFin != 0)
	if t.masked {
		w.Uint("mask", uint64(t.mask))
	}
	name, ok := opcodeNames[t.opcode]
	if !ok {
		name = "unknown-" + strconv.Itoa(int(t.opcode))
	}
	w.String("opcode", name)
	w.Close()
}
