// Package rfb reads how a session of RFB (VNC, RFC 6143) begins: versions, the
// logon, the screen. A session is one transaction.
package rfb

import (
	"bytes"
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	unimplementedSecurity app.EventID = iota
	unknownResult
	malformedMessage
	confusedState
)

const complete = 1

// Protocol is RFB.
var Protocol = &app.Protocol{
	Name: "rfb", Transport: app.TCP,
	Signatures: []app.Signature{{Dir: app.ToServer, Text: "RFB ", Depth: 4}, {Dir: app.ToClient, Text: "RFB ", Depth: 4}},
	New:        func(c *app.Context) app.Parser { return &parser{ctx: c} },
	Progress:   app.OneStep,
	Buffers:    app.Extractors(app.ToClient, complete, suricata.BufRFBName),
	Events: []string{
		unimplementedSecurity: "unimplemented_security_type", unknownResult: "unknown_security_result", malformedMessage: "malformed_message",
		confusedState: "confused_state",
	},
	Frames: []string{"pdu"},
	Logs:   []app.Log{{Type: "rfb", ByPacket: true, Step: [2]uint8{complete, complete}, Append: appendLog}},
}

// state is the message that comes next.
type state uint8

const (
	serverVersion state = iota
	clientVersion
	securityTypes
	securityType // Version 3.3: the server decides.
	chosenType
	challenge
	response
	result
	reason
	clientInit
	serverInit
	skip // Nothing that follows is read.
)

// from is the direction a message comes from.
func (s state) from() app.Dir {
	switch s {
	case clientVersion, chosenType, response, clientInit:
		return app.ToServer
	}
	return app.ToClient
}

// version is that of one side.
type version struct{ major, minor []byte }

// The types of security (RFC 6143 section 7.1.2).
const (
	typeNone = 1
	typeVNC  = 2
)

// screen is what the server shows.
type screen struct {
	width, height                   uint16
	bits, depth                     uint8
	bigEndian, trueColor            bool
	redMax, greenMax, blueMax       uint16
	redShift, greenShift, blueShift uint8
	name                            []byte
}

// tx is a session. What was not said is nil.
type tx struct {
	app.State
	server, client      *version
	security            *uint32
	challenge, response []byte
	result              *uint32
	reason              []byte
	shared              *bool
	screen              *screen
}

type parser struct {
	app.Queue
	ctx   *app.Context
	tx    *tx
	state state
}

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	for consumed < len(in.Data) && p.state != skip {
		if p.state.from() != in.Dir {
			p.give(confusedState)
			break
		}
		r := wire.Reader{B: in.Data[consumed:]}
		before := len(r.B)
		e, ok := p.read(&r)
		if r.Bad {
			return consumed, 0
		}
		if !ok {
			p.give(e)
			break
		}
		size := before - len(r.B)
		p.ctx.Hooks.Frame(app.Frame{Dir: in.Dir, Offset: in.Offset + uint64(consumed), Size: int64(size)})
		consumed += size
	}
	if p.state == skip {
		return len(in.Data), 0
	}
	return consumed, 0
}

// give ends the session's beginning: it is not understood. A type of security
// that the client chose may still be one.
func (p *parser) give(e app.EventID) {
	chosen := p.state == chosenType && e == unimplementedSecurity
	p.state = skip
	if p.tx == nil {
		p.ctx.Hooks.Stop(false)
		return
	}
	p.tx.Raise(e)
	if !chosen {
		p.tx.Progress = [2]uint8{complete, complete}
	}
}

// maxText bounds names and reasons.
const maxText = 64 << 10

// text reads one behind its length.
func text(r *wire.Reader) (b []byte, ok bool) {
	n := r.BE32()
	if n > maxText {
		return nil, false
	}
	return append([]byte{}, r.Take(int(n))...), true
}

// read takes the next message, unless it is not complete (r.Bad). If it is not
// ok, an event says why.
func (p *parser) read(r *wire.Reader) (e app.EventID, ok bool) {
	e = malformedMessage
	switch p.state {
	case serverVersion, clientVersion:
		v, ok := readVersion(r)
		if r.Bad || !ok {
			return e, ok
		}
		p.versions(v)
	case securityTypes:
		n := r.U8()
		r.Skip(int(n))
		if p.state = chosenType; n == 0 {
			p.state = reason
		}
		if r.Bad {
			p.state = securityTypes
		}
	case securityType:
		if n := r.BE32(); !r.Bad {
			return p.secure(n)
		}
	case chosenType:
		return p.secure(uint32(r.U8()))
	case challenge:
		if b := r.Take(16); b != nil {
			p.tx.challenge, p.state = bytes.Clone(b), response
		}
	case response:
		if b := r.Take(16); b != nil {
			p.tx.response, p.state = bytes.Clone(b), result
		}
	case result:
		if n := r.BE32(); !r.Bad {
			return p.judged(n)
		}
	case reason:
		b, ok := text(r)
		if r.Bad || !ok {
			return e, ok
		}
		p.tx.reason, p.state = b, skip
		p.tx.Progress = [2]uint8{complete, complete}
	case clientInit:
		shared := r.U8() != 0
		p.tx.shared, p.state = &shared, serverInit
	case serverInit:
		s, ok := readScreen(r)
		if r.Bad || !ok {
			return e, ok
		}
		p.tx.screen, p.state = s, skip
		p.tx.Progress = [2]uint8{complete, complete}
	}
	return e, true
}

func readVersion(r *wire.Reader) (*version, bool) {
	b := r.Take(len("RFB 003.008\n"))
	if b == nil {
		return nil, true
	}
	ok := string(b[:4]) == "RFB " && b[7] == '.' && b[11] == '\n'
	return &version{bytes.Clone(b[4:7]), bytes.Clone(b[8:11])}, ok
}

func (p *parser) versions(v *version) {
	if p.state == serverVersion {
		p.tx = &tx{server: v}
		p.Push(p.ctx.Hooks, p.tx, 1)
		p.state = clientVersion
		return
	}
	p.tx.client, p.state = v, securityTypes
	if string(v.major) == "003" && string(v.minor) == "003" {
		p.state = securityType
	}
}

// secure takes the type of security that was chosen.
func (p *parser) secure(n uint32) (app.EventID, bool) {
	p.tx.security = &n
	switch n {
	case 0:
		p.state = reason
	case typeNone:
		p.state = clientInit
	case typeVNC:
		p.state = challenge
	default:
		return unimplementedSecurity, false
	}
	return 0, true
}

// judged takes the result of the logon.
func (p *parser) judged(n uint32) (app.EventID, bool) {
	p.tx.result = &n
	switch n {
	case 0:
		p.state = clientInit
	case 1:
		p.state = reason
	default:
		return unknownResult, false
	}
	return 0, true
}

// readScreen reads the server's initialisation (RFC 6143 section 7.3.2).
func readScreen(r *wire.Reader) (*screen, bool) {
	s := &screen{width: r.BE16(), height: r.BE16(), bits: r.U8(), depth: r.U8(), bigEndian: r.U8() != 0, trueColor: r.U8() != 0}
	s.redMax, s.greenMax, s.blueMax = r.BE16(), r.BE16(), r.BE16()
	s.redShift, s.greenShift, s.blueShift = r.U8(), r.U8(), r.U8()
	r.Skip(3)
	var ok bool
	s.name, ok = text(r)
	return s, ok
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return p.state == skip }

// End implements app.Parser.
func (p *parser) End() {}

// Buffer implements app.Tx.
func (t *tx) Buffer(_ suricata.Buffer, _ app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if t.screen == nil || i > 0 {
		return match.Buffer{}, false
	}
	return match.Buffer{Data: t.screen.name}, true
}

// Match implements app.Tx. The type is the client's to choose, the result the
// server's.
func (t *tx) Match(o *suricata.Option, dir app.Dir) bool {
	switch {
	case o.Name == "rfb.sectype" && dir == app.ToServer:
		return t.security != nil && app.MatchUint(o, uint64(*t.security))
	case o.Name == "rfb.secresult" && dir == app.ToClient:
		return t.result != nil && app.MatchUint(o, uint64(*t.result))
	}
	return false
}

// results are the names of the results of a logon.
var results = []string{"OK", "FAIL", "TOO_MANY", "UNKNOWN"}

// appendLog writes the member rfb of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("rfb")
	t.server.log(w, "server_protocol_version")
	t.client.log(w, "client_protocol_version")
	w.Object("authentication")
	if t.security != nil {
		w.Uint("security_type", uint64(*t.security))
		if *t.security == typeVNC {
			w.Object("vnc")
			if t.challenge != nil {
				w.Hex("challenge", t.challenge)
			}
			if t.response != nil {
				w.Hex("response", t.response)
			}
			w.Close()
		}
	}
	if t.result != nil {
		name := fmt.Sprintf("UNKNOWN (%d)", *t.result)
		if int(*t.result) < len(results) {
			name = results[*t.result]
		}
		w.String("security_result", name)
	}
	w.Close()
	if t.reason != nil {
		w.Text("server_security_failure_reason", t.reason)
	}
	if t.shared != nil {
		w.Bool("screen_shared", *t.shared)
	}
	if t.screen != nil {
		t.screen.log(w)
	}
	w.Close()
}

func (v *version) log(w *jsonw.Writer, key string) {
	if v == nil {
		return
	}
	w.Object(key)
	w.Text("major", v.major)
	w.Text("minor", v.minor)
	w.Close()
}

func (s *screen) log(w *jsonw.Writer) {
	w.Object("framebuffer")
	w.Uint("width", uint64(s.width))
	w.Uint("height", uint64(s.height))
	w.Text("name", s.name)
	w.Object("pixel_format")
	w.Uint("bits_per_pixel", uint64(s.bits))
	w.Uint("depth", uint64(s.depth))
	w.Bool("big_endian", s.bigEndian)
	w.Bool("true_color", s.trueColor)
	w.Uint("red_max", uint64(s.redMax))
	w.Uint("green_max", uint64(s.greenMax))
	w.Uint("blue_max", uint64(s.blueMax))
	w.Uint("red_shift", uint64(s.redShift))
	w.Uint("green_shift", uint64(s.greenShift))
	w.Uint("blue_shift", uint64(s.blueShift))
	w.Close()
	w.Close()
}
