// Package telnet takes TELNET (RFC 854) apart into commands and lines, which
// rules see as frames. There are no transactions.
package telnet

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app"
)

// The frames.
const (
	pduFrame app.FrameID = iota
	ctlFrame
	dataFrame
)

// Protocol is TELNET: whatever is said at its port.
var Protocol = &app.Protocol{
	Name: "telnet", Transport: app.TCP, Ports: []uint16{23}, Probe: probe,
	New:    func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Frames: []string{pduFrame: "pdu", ctlFrame: "ctl", dataFrame: "data"},
}

func probe(_ app.Dir, b []byte) app.Verdict {
	if len(b) < 2 {
		return app.Unsure
	}
	return app.Yes
}

// state is how far a logon is.
type state uint8

const (
	idle state = iota
	askedName
	gaveName
	askedPassword
	gavePassword
	inside
	refused
)

type parser struct {
	app.Messages
	ctx   *app.Context
	state state
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) {
		rest := in.Data[consumed:]
		kind, size, n := dataFrame, int64(-1), 0
		if rest[0] == iac {
			kind = ctlFrame
			n = control(rest)
		} else {
			n = p.line(in.Dir, rest)
		}
		if n == 0 && len(rest) >= maxMessage {
			n = len(rest)
		}
		if n > 0 {
			size = int64(n)
		}
		for _, k := range [...]app.FrameID{pduFrame, kind} {
			p.ctx.Hooks.Frame(app.Frame{Kind: k, Dir: in.Dir, Offset: in.Offset + uint64(consumed), Size: size})
		}
		if n == 0 {
			break
		}
		if kind == dataFrame {
			p.said(in.Dir, rest[:n])
		}
		consumed += n
	}
	return consumed, 0
}

// maxMessage is the longest line or command that is waited for.
const maxMessage = 64 << 10

// Bytes of commands (RFC 854).
const (
	iac         = 0xff
	endOfSub    = 0xf0
	beginOfSub  = 0xfa
	firstOption = 0xfb // WILL, and WONT, DO, DONT after it.
	lastOption  = 0xfe
)

// control is the size of a command, 0 if it is not complete.
func control(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	size := 2
	switch c := b[1]; {
	case c >= firstOption && c <= lastOption:
		size = 3
	case c == beginOfSub:
		size = bytes.Index(b, []byte{iac, endOfSub})
		if size < 0 {
			return 0
		}
		// What ends the option is a command of its own, as in Suricata.
	}
	if len(b) < size {
		return 0
	}
	return size
}

// line is the size of a line, 0 if it is not complete. While the client logs
// on, what the server asks ends in a colon.
func (p *parser) line(dir app.Dir, b []byte) int {
	end := []byte{'\n'}
	if dir == app.ToClient && (p.state == idle || p.state == refused || p.state == gaveName) {
		end = []byte(": ")
	}
	i := bytes.Index(b, end)
	if i < 0 {
		return 0
	}
	return i + len(end)
}

// said follows the logon.
func (p *parser) said(dir app.Dir, line []byte) {
	text := bytes.TrimRight(line, "\r\n")
	switch {
	case dir == app.ToServer && p.state == askedName:
		p.state = gaveName
	case dir == app.ToServer && p.state == askedPassword:
		p.state = gavePassword
	case dir == app.ToServer:
	case p.state == idle, p.state == refused:
		p.state = askedName
	case p.state == gaveName:
		p.state = askedPassword
	case p.state == gavePassword && string(text) == "Login incorrect":
		p.state = refused
	case p.state == gavePassword && len(text) > 0:
		p.state = inside
	}
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return true }
