// Package tftp reads the requests of TFTP (RFC 1350); the files follow in
// flows of their own.
package tftp

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

const complete = 1

// Protocol is TFTP.
var Protocol = &app.Protocol{
	Name: "tftp", Transport: app.UDP, Ports: []uint16{69}, Probe: probe,
	New:      func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress: app.OneStep,
	Logs:     []app.Log{{Type: "tftp", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

const (
	minSize = 4
	maxTxs  = 256
)

func probe(_ app.Dir, b []byte) app.Verdict {
	if len(b) >= minSize && b[0] == 0 {
		return app.Yes
	}
	return app.No
}

// request asks for a file or offers one.
type request struct {
	app.Opaque
	op   uint16
	file []byte
	mode string
}

type parser struct {
	app.Messages
	ctx *app.Context
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	if in.Dir == app.ToServer {
		if r, ok := read(in.Data); ok {
			p.Single(p.ctx.Hooks, in.Dir, r, maxTxs)
		}
	}
	return len(in.Data), 0
}

// The operations (RFC 1350 section 5).
const (
	opRead  = 1
	opWrite = 2
	opError = 5
)

func read(b []byte) (*request, bool) {
	r := wire.Reader{B: b}
	m := &request{op: r.BE16()}
	m.file = bytes.Clone(r.Until(0))
	mode, _, _ := bytes.Cut(r.B, []byte{0})
	m.mode = strings.ToLower(string(mode))
	return m, !r.Bad && m.op >= opRead && m.op <= opError && slices.Contains([]string{"netascii", "octet", "mail"}, m.mode)
}

// appendLog writes the member tftp of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	r := x.(*request)
	w.Object("tftp")
	switch r.op {
	case opRead:
		w.String("packet", "read")
	case opWrite:
		w.String("packet", "write")
	default:
		w.String("packet", "error")
	}
	w.Text("file", r.file)
	w.String("mode", r.mode)
	w.Close()
}
