// Package ssh reads the clear part of SSH: both banners, the algorithms that
// are offered, and where encryption begins. A connection is one transaction.
// The algorithms make the fingerprints HASSH and HASSHServer
// (github.com/salesforce/hassh).
package ssh

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// The events that are raised, by their number in Protocol.Events.
const (
	invalidBanner app.EventID = iota
	longBanner
	invalidRecord
	longRecord
)

// The steps of a connection in each direction.
const (
	begun uint8 = iota
	bannerDone
	keysDone // The algorithms are known.
	finished
)

// Protocol is SSH.
var Protocol = &app.Protocol{
	Name: "ssh", Transport: app.TCP,
	Signatures: []app.Signature{{Dir: app.ToServer, Text: "SSH-", Depth: 4}, {Dir: app.ToClient, Text: "SSH-", Depth: 4}},
	New:        func(c *app.Context) app.Parser { return newParser(c) },
	Progress: [2][]string{
		{"request_in_progress", "request_banner_done", "request_keys_done", "request_finished"},
		{"response_in_progress", "response_banner_done", "response_keys_done", "response_finished"},
	},
	Buffers: []app.Extractor{
		{Buffer: suricata.BufSSHProto, Dir: app.ToServer, Step: bannerDone}, {Buffer: suricata.BufSSHProto, Dir: app.ToClient, Step: bannerDone},
		{Buffer: suricata.BufSSHSoftware, Dir: app.ToServer, Step: bannerDone}, {Buffer: suricata.BufSSHSoftware, Dir: app.ToClient, Step: bannerDone},
		{Buffer: suricata.BufSSHHASSH, Dir: app.ToServer, Step: keysDone}, {Buffer: suricata.BufSSHHASSHString, Dir: app.ToServer, Step: keysDone},
		{Buffer: suricata.BufSSHHASSHServer, Dir: app.ToClient, Step: keysDone}, {Buffer: suricata.BufSSHHASSHServerString, Dir: app.ToClient, Step: keysDone},
	},
	Events: []string{invalidBanner: "invalid_banner", longBanner: "long_banner", invalidRecord: "invalid_record", longRecord: "long_kex_record"},
	Logs:   []app.Log{{Type: "ssh", Step: [2]uint8{keysDone, keysDone}, Append: appendLog, Wanted: wanted}},
}

// end is what one end of a connection says of itself.
type end struct {
	proto, software []byte
	algorithms      string // Those that make its fingerprint.
}

func (e *end) hash() string {
	sum := md5.Sum([]byte(e.algorithms))
	return hex.EncodeToString(sum[:])
}

// connection is the transaction.
type connection struct {
	app.State
	ends  [2]end
	hassh bool // Fingerprints are logged.
}

type parser struct {
	app.Queue
	ctx   *app.Context
	tx    *connection
	shown bool // There is something to tell of it.
}

func newParser(c *app.Context) *parser {
	return &parser{ctx: c, tx: &connection{
		hassh: c.Config.Fingerprints("ssh.hassh", suricata.BufSSHHASSH, suricata.BufSSHHASSHString, suricata.BufSSHHASSHServer, suricata.BufSSHHASSHServerString),
	}}
}

const (
	maxBanner = 256 // RFC 4253 section 4.2 allows 255.
	maxLine   = 4096
	maxPacket = 35000 // RFC 4253 section 6.1
)

// Parse implements app.Parser.
func (p *parser) Parse(in *app.Input) (consumed, need int) {
	consumed = p.messages(in)
	if !p.shown && (p.tx.Progress != [2]uint8{} || len(p.tx.Events) > 0) {
		p.shown = true
		p.Push(p.ctx.Hooks, p.tx, 1)
	}
	return consumed, 0
}

func (p *parser) messages(in *app.Input) (consumed int) {
	for {
		rest := in.Data[consumed:]
		n := 0
		switch p.tx.Progress[in.Dir] {
		case begun:
			n = p.banner(in.Dir, rest)
		case finished:
			return len(in.Data)
		default:
			n = p.packet(in.Dir, rest)
		}
		if n == 0 {
			return consumed
		}
		consumed += n
	}
}

// banner takes a line; a server may send others before its banner.
func (p *parser) banner(dir app.Dir, data []byte) int {
	i := bytes.IndexByte(data, '\n')
	if i < 0 {
		if len(data) > maxLine {
			p.tx.Raise(longBanner)
			p.stop()
		}
		return 0
	}
	line := bytes.TrimSuffix(data[:i], []byte{'\r'})
	text, ok := bytes.CutPrefix(line, []byte("SSH-"))
	if !ok {
		if dir == app.ToServer {
			p.tx.Raise(invalidBanner)
		}
		return i + 1
	}
	if len(line) > maxBanner {
		p.tx.Raise(longBanner)
	}
	proto, software, _ := bytes.Cut(text, []byte{'-'})
	software, _, _ = bytes.Cut(software, []byte{' '})
	p.tx.ends[dir].proto, p.tx.ends[dir].software = bytes.Clone(proto), bytes.Clone(software)
	p.tx.Progress[dir] = bannerDone
	return i + 1
}

// The messages that are read (RFC 4253 section 12).
const (
	msgKexInit = 20
	msgNewKeys = 21
)

// packet takes a binary packet (RFC 4253 section 6).
func (p *parser) packet(dir app.Dir, data []byte) int {
	if len(data) < 6 {
		return 0
	}
	size := int(binary.BigEndian.Uint32(data))
	if size < 2 || size > maxPacket {
		p.tx.Raise(invalidRecord)
		p.stop()
		return len(data)
	}
	if len(data) < 4+size {
		return 0
	}
	padding, payload := int(data[4]), data[5:4+size]
	if padding >= size {
		p.tx.Raise(invalidRecord)
		return 4 + size
	}
	payload = payload[:size-1-padding]
	if len(payload) == 0 {
		return 4 + size
	}
	switch payload[0] {
	case msgKexInit:
		if lists, ok := nameLists(payload[1:]); ok {
			// Keys, encryption, authentication and compression; of the
			// latter three those of the end's own direction.
			own := int(dir)
			p.tx.ends[dir].algorithms = strings.Join([]string{lists[0], lists[2+own], lists[4+own], lists[6+own]}, ";")
		}
		p.tx.Progress[dir] = keysDone
	case msgNewKeys:
		p.tx.Progress[dir] = finished
		if p.tx.Progress[dir.Other()] == finished {
			p.ctx.Hooks.Stop(p.ctx.Config.Text("ssh.encryption-handling", "") == "bypass")
		}
	}
	return 4 + size
}

func (p *parser) stop() {
	p.tx.Progress = [2]uint8{finished, finished}
	p.ctx.Hooks.Stop(false)
}

// nameLists are the first eight lists of a key exchange (RFC 4253 section 7.1).
func nameLists(b []byte) (lists [8]string, ok bool) {
	const cookie = 16
	if len(b) < cookie {
		return lists, false
	}
	b = b[cookie:]
	for i := range lists {
		if len(b) < 4 {
			return lists, false
		}
		n := int(binary.BigEndian.Uint32(b))
		if n > len(b)-4 {
			return lists, false
		}
		lists[i], b = string(b[4:4+n]), b[4+n:]
	}
	return lists, true
}

// Gap implements app.Parser.
func (p *parser) Gap(app.Dir, uint64) bool { return false }

// End implements app.Parser.
func (p *parser) End() { p.tx.Progress = [2]uint8{finished, finished} }

// Buffer implements app.Tx.
func (t *connection) Buffer(b suricata.Buffer, dir app.Dir, i int, _ *[]byte) (match.Buffer, bool) {
	if i > 0 {
		return match.Buffer{}, false
	}
	e := &t.ends[dir]
	switch b {
	case suricata.BufSSHProto:
		return match.Buffer{Data: e.proto}, e.proto != nil
	case suricata.BufSSHSoftware:
		return match.Buffer{Data: e.software}, len(e.software) > 0
	case suricata.BufSSHHASSH, suricata.BufSSHHASSHServer:
		return match.Buffer{Data: []byte(e.hash())}, e.algorithms != ""
	case suricata.BufSSHHASSHString, suricata.BufSSHHASSHServerString:
		return match.Buffer{Data: []byte(e.algorithms)}, e.algorithms != ""
	}
	return match.Buffer{}, false
}

// Match implements app.Tx.
func (t *connection) Match(o *suricata.Option, dir app.Dir) bool {
	text := strings.Trim(o.Value.String(), `"`)
	e := &t.ends[dir]
	switch o.Name {
	case "ssh.protoversion":
		if text == "2_compat" {
			return string(e.proto) == "2" || string(e.proto) == "2.0" || string(e.proto) == "1.99"
		}
		return string(e.proto) == text
	case "ssh.softwareversion":
		return bytes.Contains(e.software, []byte(text))
	}
	return false
}

func wanted(x app.Tx, _ any) bool {
	t := x.(*connection)
	return t.ends[0].proto != nil || t.ends[1].proto != nil
}

// appendLog writes the member ssh of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*connection)
	w.Object("ssh")
	for dir, key := range []string{"client", "server"} {
		e := &t.ends[dir]
		if e.proto == nil {
			continue
		}
		w.Object(key)
		w.Printable("proto_version", e.proto)
		if len(e.software) > 0 {
			w.Printable("software_version", e.software)
		}
		if t.hassh && e.algorithms != "" {
			w.Object("hassh")
			w.String("hash", e.hash())
			w.String("string", e.algorithms)
			w.Close()
		}
		w.Close()
	}
	w.Close()
}
