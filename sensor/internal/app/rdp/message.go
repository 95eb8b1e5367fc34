package rdp

import (
	"bytes"
	"strconv"
	"unicode/utf16"

	"github.com/hauberk/hauberk/sensor/internal/app/ber"
	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// kind is what a message says; the names are EVE's.
type kind uint8

const (
	other kind = iota
	initialRequest
	initialResponse
	connectRequest
	connectResponse
	tlsHandshake
)

// message is one before the connection is set up.
type message struct {
	kind kind

	cookie          []byte
	flags           uint8 // Of the negotiation,
	negotiated      bool  // if there is one,
	protocol, error uint32
	failed          bool

	client   *client
	channels []string
	serials  []string
}

// client is what a client says of itself (MS-RDPBCGR 2.2.1.3.2).
type client struct {
	version                      uint32
	width, height                uint16
	color                        uint16
	layout, build                uint32
	name                         string
	keyboard, subtype, functions uint32
	ime                          string

	extra                           int // How many of the following are there.
	beta2Color, product             uint16
	serial                          uint32
	highColor, colors, capabilities uint16
	id                              string
	hint                            uint8
	physicalWidth, physicalHeight   uint32
	orientation                     uint16
	desktopScale, deviceScale       uint32
}

// The numbers of client's fields that may be missing, in order.
const (
	extraBeta2Color = iota + 1
	extraProduct
	extraSerial
	extraHighColor
	extraColors
	extraCapabilities
	extraID
	extraHint
	extraPad
	extraProtocol
	extraWidth
	extraHeight
	extraOrientation
	extraDesktopScale
	extraDeviceScale
)

// Types of X.224 (ITU-T X.224, 13).
const (
	x224Request = 0xe0
	x224Confirm = 0xd0
	x224Data    = 0xf0
)

// read reads the content of a packet of TPKT (RFC 1006).
func read(b []byte) *message {
	r := wire.Reader{B: b}
	m := &message{}
	r.Skip(1)
	switch kind := r.U8(); kind & 0xf0 {
	case x224Request, x224Confirm:
		r.Skip(5)
		if r.Bad {
			return m
		}
		if kind&0xf0 == x224Request {
			m.kind = initialRequest
			m.readCookie(&r)
		} else {
			m.kind = initialResponse
		}
		m.readNegotiation(&r)
	case x224Data:
		r.Skip(1)
		m.readConnect(r.B)
	}
	return m
}

// readCookie reads what a client says of its user (MS-RDPBCGR 2.2.1.1).
func (m *message) readCookie(r *wire.Reader) {
	rest, ok := bytes.CutPrefix(r.B, []byte("Cookie: mstshash="))
	if !ok {
		return
	}
	if cookie, after, ok := bytes.Cut(rest, []byte("\r\n")); ok {
		m.cookie, r.B = bytes.Clone(cookie), after
	}
}

func (m *message) readNegotiation(r *wire.Reader) {
	const failure = 3
	kind, flags := r.U8(), r.U8()
	size, value := r.LE16(), r.LE32()
	if r.Bad || size != 8 {
		return
	}
	m.negotiated, m.flags = true, flags
	if m.failed = kind == failure; m.failed {
		m.error = value
	} else {
		m.protocol = value
	}
}

// readConnect reads what opens a conference (MS-RDPBCGR 2.2.1.3, 2.2.1.4).
func (m *message) readConnect(b []byte) {
	switch {
	case bytes.HasPrefix(b, []byte("\x7f\x66")):
		m.kind = connectResponse
		return
	case !bytes.HasPrefix(b, []byte("\x7f\x65")):
		return
	}
	m.kind = connectRequest
	_, data, ok := bytes.Cut(b, []byte("Duca"))
	if !ok {
		return
	}
	r := wire.Reader{B: data}
	if size := int(r.U8()); size&0x80 != 0 {
		r.U8() // A length of two bytes.
	}
	const core, network = 0xc001, 0xc003
	for len(r.B) > 0 && !r.Bad {
		kind, size := r.LE16(), int(r.LE16())
		block := wire.Reader{B: r.Take(size - 4)}
		switch {
		case r.Bad:
		case kind == core:
			m.client = readClient(&block)
		case kind == network:
			for range min(block.LE32(), maxChannels) {
				name, _, _ := bytes.Cut(block.Take(8), []byte{0})
				block.Skip(4)
				if block.Bad {
					break
				}
				m.channels = append(m.channels, string(name))
			}
		}
	}
}

// maxChannels is the most a client may ask for (MS-RDPBCGR 2.2.1.3.4).
const maxChannels = 31

// wide is UTF-16 up to its zero.
func wide(b []byte) string {
	var units []uint16
	for i := 0; i+1 < len(b) && (b[i] != 0 || b[i+1] != 0); i += 2 {
		units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return string(utf16.Decode(units))
}

func readClient(r *wire.Reader) *client {
	c := &client{version: r.LE32(), width: r.LE16(), height: r.LE16(), color: r.LE16()}
	r.Skip(2)
	c.layout, c.build = r.LE32(), r.LE32()
	c.name = wide(r.Take(32))
	c.keyboard, c.subtype, c.functions = r.LE32(), r.LE32(), r.LE32()
	c.ime = wide(r.Take(64))
	if r.Bad {
		return nil
	}
	for _, read := range []func(){
		func() { c.beta2Color = r.LE16() },
		func() { c.product = r.LE16() },
		func() { c.serial = r.LE32() },
		func() { c.highColor = r.LE16() },
		func() { c.colors = r.LE16() },
		func() { c.capabilities = r.LE16() },
		func() { c.id = wide(r.Take(64)) },
		func() { c.hint = r.U8() },
		func() { r.Skip(1) },
		func() { r.Skip(4) },
		func() { c.physicalWidth = r.LE32() },
		func() { c.physicalHeight = r.LE32() },
		func() { c.orientation = r.LE16() },
		func() { c.desktopScale = r.LE32() },
		func() { c.deviceScale = r.LE32() },
	} {
		if read(); r.Bad {
			break
		}
		c.extra++
	}
	return c
}

// readCertificates reads a message of TLS 1.2 with certificates (RFC 5246,
// 7.4.2): their serial numbers.
func readCertificates(b []byte) *message {
	m := &message{kind: tlsHandshake}
	r := wire.Reader{B: b}
	u24 := func() int { return int(r.U8())<<16 | int(r.BE16()) }
	u24()
	for len(r.B) > 0 && !r.Bad {
		cert, _, _ := ber.Next(r.Take(u24()))
		body, _, _ := ber.Next(cert.Data)
		if serial, ok := body.Inner(ber.Integer); ok {
			m.serials = append(m.serials, hexNumber(serial.Data))
		}
	}
	return m
}

// hexNumber is a number without zeros before it.
func hexNumber(b []byte) string {
	var out []byte
	for _, c := range b {
		if len(out) == 0 {
			if c != 0 {
				out = strconv.AppendUint(out, uint64(c), 16)
			}
			continue
		}
		const digits = "0123456789abcdef"
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}
