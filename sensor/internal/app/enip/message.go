package enip

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// headerSize is that of a message's header.
const headerSize = 24

// The commands (CIP volume 2, 2-3.2).
const (
	nop               = 0x00
	listServices      = 0x04
	listIdentity      = 0x63
	listInterfaces    = 0x64
	registerSession   = 0x65
	unregisterSession = 0x66
	sendRRData        = 0x6f
	sendUnitData      = 0x70
)

// message is one of either end.
type message struct {
	command, size   uint16
	session, status uint32
	options         uint32

	invalid bool // What follows the header could not be read.
	items   []item

	registers         bool // It opens a session:
	version, register uint16
}

// Types of items (CIP volume 2, 2-6.2).
const (
	itemIdentity    = 0x0c
	itemConnected   = 0xb1
	itemUnconnected = 0xb2
	itemServices    = 0x100
)

// item is one of a message, with what its type brings.
type item struct {
	kind  uint16
	start int // In the message.
	size  int

	sequence uint16 // Of connected data.
	cip      *cip
	at       int // Where it is in the message.
	identity *identity
	services *services
}

// identity is what a device says of itself (CIP volume 2, 2-4.3).
type identity struct {
	version, vendor, device, product uint16
	major, minor                     uint8
	status                           uint16
	serial                           uint32
	name                             []byte
	state                            uint8
}

type services struct {
	version, capabilities uint16
	name                  []byte
}

// cip is a request or a response of the Common Industrial Protocol.
type cip struct {
	service  uint8
	response bool
	start    int // From the beginning of the one that holds it,
	size     int // and its length.

	path       []segment
	attributes []uint16

	status   uint8
	extended []byte

	inner []*cip // Of a packet of several services.
}

// segment is one of a path.
type segment struct {
	kind  uint8
	value uint32
}

// Kinds of segments.
const (
	segmentClass     = 8
	segmentInstance  = 9
	segmentAttribute = 12
)

// Limits of a message.
const (
	maxItems = 64
	maxInner = 256
)

// readHeader reads the header of a message.
func readHeader(b []byte) (m *message, ok bool) {
	r := wire.Reader{B: b}
	m = &message{command: r.LE16(), size: r.LE16(), session: r.LE32(), status: r.LE32()}
	r.Skip(8)
	m.options = r.LE32()
	return m, !r.Bad
}

// read reads what follows the header; b is all of the message.
func (m *message) read(b []byte) {
	r := wire.Reader{B: b[headerSize:]}
	switch m.command {
	case registerSession:
		m.registers, m.version, m.register = true, r.LE16(), r.LE16()
		m.invalid = r.Bad
	case listServices, listInterfaces, listIdentity:
		if m.size > 0 {
			m.readItems(&r, len(b))
		}
	case sendRRData, sendUnitData:
		r.Skip(6)
		m.readItems(&r, len(b))
	}
	if m.invalid {
		m.items, m.registers = nil, false
	}
}

func (m *message) readItems(r *wire.Reader, size int) {
	for range r.LE16() {
		x := item{start: size - len(r.B), kind: r.LE16()}
		x.size = int(r.LE16())
		x.at = x.start + 4
		data := wire.Reader{B: r.Take(x.size)}
		if r.Bad || !x.read(&data) || len(m.items) >= maxItems {
			m.invalid = true
			return
		}
		m.items = append(m.items, x)
	}
	m.invalid = r.Bad
}

func (x *item) read(r *wire.Reader) (ok bool) {
	switch x.kind {
	case itemIdentity:
		x.identity = readIdentity(r)
	case itemServices:
		x.services = &services{r.LE16(), r.LE16(), bytes.Clone(r.Take(16))}
	case itemConnected, itemUnconnected:
		if x.kind == itemConnected {
			x.sequence = r.LE16()
			x.at += 2
		}
		if x.cip = readCIP(r, true); x.cip == nil {
			return false
		}
	}
	return !r.Bad
}

func readIdentity(r *wire.Reader) *identity {
	x := &identity{version: r.LE16()}
	r.Skip(16) // Its address.
	x.vendor, x.device, x.product = r.LE16(), r.LE16(), r.LE16()
	x.major, x.minor, x.status, x.serial = r.U8(), r.U8(), r.LE16(), r.LE32()
	x.name = bytes.Clone(r.Take(int(r.U8())))
	x.state = r.U8()
	return x
}

// Services whose content is read.
const (
	getAttributes    = 3
	setAttributes    = 4
	multipleServices = 10
)

// readCIP reads a request or a response, which may be of several services;
// nil if it makes no sense.
func readCIP(r *wire.Reader, several bool) *cip {
	size := len(r.B)
	service := r.U8()
	c := &cip{service: service &^ 0x80, response: service&0x80 != 0}
	if c.response {
		r.Skip(1)
		c.status = r.U8()
		c.extended = bytes.Clone(r.Take(int(r.U8())))
	} else if !c.readPath(r) {
		return nil
	}
	switch {
	case c.service == multipleServices && several:
		if !c.readInner(r, size-len(r.B)) {
			return nil
		}
	case c.response:
	case c.service == getAttributes:
		for range r.LE16() {
			if c.attributes = append(c.attributes, r.LE16()); r.Bad {
				return nil
			}
		}
	case c.service == setAttributes:
		if r.LE16() > 0 {
			c.attributes = []uint16{r.LE16()}
		}
	}
	if r.Bad {
		return nil
	}
	c.size = size - len(r.B)
	return c
}

func (c *cip) readPath(r *wire.Reader) bool {
	in := wire.Reader{B: r.Take(2 * int(r.U8()))}
	for len(in.B) > 0 {
		s := segment{kind: in.U8()}
		if s.kind>>5 != 1 {
			return false // Not one of a logical address.
		}
		switch s.kind & 3 {
		case 0:
			s.value = uint32(in.U8())
		case 1:
			in.Skip(1)
			s.value = uint32(in.LE16())
		case 2:
			in.Skip(1)
			s.value = in.LE32()
		default:
			return false
		}
		c.path = append(c.path, s)
	}
	return !in.Bad && !r.Bad
}

// readInner reads the services of a packet of several; at is where their
// offsets count from.
func (c *cip) readInner(r *wire.Reader, at int) bool {
	all := r.B
	var offsets []int
	for range r.LE16() {
		if offsets = append(offsets, int(r.LE16())); r.Bad || len(offsets) > maxInner {
			return false
		}
	}
	for _, o := range offsets {
		if o >= len(all) {
			return false
		}
		r.B = all[o:]
		x := readCIP(r, false)
		if x == nil {
			return false
		}
		x.start = at + o
		c.inner = append(c.inner, x)
	}
	return true
}

// each calls f with a request or response and those within.
func (c *cip) each(f func(*cip)) {
	f(c)
	for _, x := range c.inner {
		f(x)
	}
}

// cip is the first of a message, nil if there is none.
func (m *message) cip() *cip {
	if m != nil {
		for i := range m.items {
			if c := m.items[i].cip; c != nil {
				return c
			}
		}
	}
	return nil
}

// identity and services are those of the first item.
func (m *message) identity() *identity {
	if m == nil || m.command != listIdentity || len(m.items) == 0 {
		return nil
	}
	return m.items[0].identity
}

func (m *message) services() *services {
	if m == nil || m.command != listServices || len(m.items) == 0 {
		return nil
	}
	return m.items[0].services
}
