package mqtt

import "github.com/hauberk/hauberk/sensor/internal/app/wire"

// kind is a control packet type (MQTT 5.0 section 2.1.2).
type kind uint8

const (
	unassigned kind = iota
	connect
	connack
	publish
	puback
	pubrec
	pubrel
	pubcomp
	subscribe
	suback
	unsubscribe
	unsuback
	pingreq
	pingresp
	disconnect
	auth
)

// The flags of CONNECT (section 3.1.2.3).
const (
	flagClean      = 1 << 1
	flagWill       = 1 << 2
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUser       = 1 << 7
)

// message is a control packet.
type message struct {
	kind        kind
	dup, retain bool
	qos         uint8
	cut         int // Bytes that were skipped, because there were too many.

	id    uint16
	hasID bool

	// CONNECT.
	protocol                                []byte
	version, flags                          uint8
	client, user, password, willTopic, will []byte
	willProperties                          []property

	present   bool // CONNACK
	reason    uint8
	hasReason bool
	codes     []byte // SUBACK, UNSUBACK

	topic, payload []byte // PUBLISH
	topics         []topic

	properties []property
}

// topic is one that is subscribed to.
type topic struct {
	name []byte
	qos  uint8
}

// property is one of MQTT 5 (section 2.2.2).
type property struct {
	id         uint32
	number     uint32
	text, more []byte // more: the value of a user property.
}

// length reads a variable byte integer (section 1.5.5): its value and size; 0
// says that bytes are missing, a negative size that it is none.
func length(b []byte) (value, size int) {
	for i := range 4 {
		if i >= len(b) {
			return 0, 0
		}
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, -1
}

// cursor reads parts of a message.
type cursor struct{ wire.Reader }

// text reads bytes behind their length and copies them.
func (c *cursor) text() []byte {
	r := c.Piece(2)
	if r.Bad {
		return nil
	}
	return append([]byte{}, r.B...)
}

func (c *cursor) variable() int {
	v, n := length(c.B)
	if n <= 0 {
		c.Bad, c.B = true, nil
		return 0
	}
	c.Skip(n)
	return v
}

// maxProperties bounds the properties of one message.
const maxProperties = 256

func (c *cursor) properties() (list []property) {
	p := &cursor{wire.Reader{B: c.Take(c.variable())}}
	for len(p.B) > 0 && len(list) < maxProperties {
		x := property{id: uint32(p.variable())}
		switch x.id {
		case 1, 23, 25, 36, 37, 40, 41, 42:
			x.number = uint32(p.U8())
		case 2, 17, 24, 39:
			x.number = p.BE32()
		case 19, 33, 34, 35:
			x.number = uint32(p.BE16())
		case 11:
			x.number = uint32(p.variable())
		case 3, 8, 9, 18, 21, 22, 26, 28, 31:
			x.text = p.text()
		case 38:
			x.text, x.more = p.text(), p.text()
		default:
			p.Bad = true
		}
		if !p.Bad {
			list = append(list, x)
		}
	}
	c.Bad = c.Bad || p.Bad
	return list
}

// read reads what follows the fixed header. It returns false if that makes no
// sense.
func (m *message) read(body []byte, version uint8) bool {
	c := &cursor{wire.Reader{B: body}}
	five := version == 5
	switch m.kind {
	case connect:
		m.readConnect(c)
	case connack:
		m.present = c.U8()&1 != 0
		m.reason, m.hasReason = c.U8(), true
		if five {
			m.properties = c.properties()
		}
	case publish:
		m.topic = c.text()
		if m.qos > 0 {
			m.id, m.hasID = c.BE16(), true
		}
		if five {
			m.properties = c.properties()
		}
		if !c.Bad {
			m.payload = append([]byte{}, c.B...)
		}
	case puback, pubrec, pubrel, pubcomp:
		m.id, m.hasID = c.BE16(), true
		m.hasReason = five // Without one it is 0 (section 3.4.2.1).
		if five && len(c.B) > 0 {
			m.reason = c.U8()
			if len(c.B) > 0 {
				m.properties = c.properties()
			}
		}
	case subscribe, unsubscribe:
		m.id, m.hasID = c.BE16(), true
		if five {
			m.properties = c.properties()
		}
		for len(c.B) > 0 {
			t := topic{name: c.text()}
			if m.kind == subscribe {
				t.qos = c.U8() & 3
			}
			if !c.Bad {
				m.topics = append(m.topics, t)
			}
		}
	case suback, unsuback:
		m.id, m.hasID = c.BE16(), true
		if five {
			m.properties = c.properties()
		}
		if !c.Bad {
			m.codes = append([]byte{}, c.B...)
		}
	case disconnect, auth:
		m.hasReason = five // Without one it is 0 (section 3.14.2.1).
		if five && len(c.B) == 1 {
			c.U8() // As Suricata has it, a reason counts only with properties behind it.
		} else if five && len(c.B) > 0 {
			m.reason = c.U8()
			m.properties = c.properties()
		}
	}
	return !c.Bad
}

func (m *message) readConnect(c *cursor) {
	m.protocol = c.text()
	m.version, m.flags = c.U8(), c.U8()
	c.BE16() // Keep alive.
	if m.version == 5 {
		m.properties = c.properties()
	}
	m.client = c.text()
	if m.flags&flagWill != 0 {
		if m.version == 5 {
			m.willProperties = c.properties()
		}
		m.willTopic, m.will = c.text(), c.text()
	}
	if m.flags&flagUser != 0 {
		m.user = c.text()
	}
	if m.flags&flagPassword != 0 {
		m.password = c.text()
	}
}
