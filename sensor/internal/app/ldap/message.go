package ldap

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/ber"
)

// The operations (RFC 4511, 4.2 to 4.13), the numbers of their tags.
const (
	bindRequest      = 0
	bindResponse     = 1
	unbindRequest    = 2
	searchRequest    = 3
	searchEntry      = 4
	searchDone       = 5
	modifyRequest    = 6
	modifyResponse   = 7
	addRequest       = 8
	addResponse      = 9
	delRequest       = 10
	delResponse      = 11
	modDNRequest     = 12
	modDNResponse    = 13
	compareRequest   = 14
	compareResponse  = 15
	abandonRequest   = 16
	searchReference  = 19
	extendedRequest  = 23
	extendedResponse = 24
	intermediate     = 25
)

// message is one of either end (RFC 4511, 4.1.1).
type message struct {
	id       uint64
	op       uint8
	dn       []byte // Of the object, or matched by a result.
	fields   []field
	controls []control

	// Of results:
	hasResult bool
	code      uint64
	text      []byte

	name, value []byte // Of extended operations; nil: absent. Of binds: mechanism and credentials.
	numbers     [4]uint64
	flag        bool   // typesOnly, deleteoldrdn
	parent      []byte // newSuperior
	hasSASL     bool
}

// field is an attribute, with the operation that changes it.
type field struct {
	operation uint64
	name      []byte
	values    [][]byte
}

type control struct {
	name, value []byte
	critical    bool
}

// Limits of a message.
const (
	maxFields = 1024
	maxSize   = 1 << 20
)

// read reads a message that is there whole; v is its outermost value.
func read(v ber.Value) *message {
	if v.Tag != ber.Sequence {
		return nil
	}
	id, rest, ok := ber.Next(v.Data)
	if !ok || id.Tag != ber.Integer || len(id.Data) > 5 {
		return nil
	}
	op, rest, ok := ber.Next(rest)
	const application, class = 0x40, 0xc0
	if !ok || op.Tag&class != application {
		return nil
	}
	m := &message{id: uint64(id.Int()), op: op.Tag & 0x1f}
	if !m.readOp(op.Data) {
		return nil
	}
	if c, _, ok := ber.Next(rest); ok && c.Tag == ber.Context|ber.Constructed {
		m.readControls(c.Data)
	}
	return m
}

// values are the values in b.
func values(b []byte) (list []ber.Value, ok bool) {
	ok = ber.Each(b, func(v ber.Value) bool {
		list = append(list, v)
		return len(list) < maxFields
	})
	return list, ok
}

func (m *message) readOp(b []byte) bool {
	switch m.op {
	case unbindRequest, abandonRequest:
		return true
	case delRequest:
		m.dn = bytes.Clone(b)
		return true
	}
	list, ok := values(b)
	if !ok {
		return false
	}
	switch m.op {
	case bindRequest:
		return m.readBind(list)
	case searchRequest:
		return m.readSearch(list)
	case searchEntry, addRequest:
		if len(list) < 2 {
			return false
		}
		m.dn = bytes.Clone(list[0].Data)
		return m.readFields(list[1])
	case searchDone, bindResponse, modifyResponse, addResponse, delResponse, modDNResponse, compareResponse, extendedResponse:
		return m.readResult(list)
	case modifyRequest:
		return m.readModify(list)
	case modDNRequest:
		if len(list) < 3 {
			return false
		}
		m.dn, m.name, m.flag = bytes.Clone(list[0].Data), bytes.Clone(list[1].Data), list[2].Int() != 0
		if len(list) > 3 {
			m.parent = bytes.Clone(list[3].Data)
		}
	case compareRequest:
		if len(list) < 2 {
			return false
		}
		m.dn = bytes.Clone(list[0].Data)
		pair, ok := values(list[1].Data)
		if !ok || len(pair) < 2 {
			return false
		}
		m.name, m.value = bytes.Clone(pair[0].Data), bytes.Clone(pair[1].Data)
	case extendedRequest, intermediate:
		m.readNamed(list, 0, 1)
	case searchReference:
	default:
		return false
	}
	return true
}

func (m *message) readBind(list []ber.Value) bool {
	if len(list) < 3 || list[0].Tag != ber.Integer {
		return false
	}
	m.numbers[0] = uint64(list[0].Int())
	m.dn = bytes.Clone(list[1].Data)
	const sasl = ber.Context | ber.Constructed | 3
	if list[2].Tag == sasl {
		in, ok := values(list[2].Data)
		if !ok || len(in) == 0 {
			return false
		}
		m.hasSASL, m.name = true, bytes.Clone(in[0].Data)
		if len(in) > 1 {
			m.value = some(in[1].Data)
		}
	}
	return true
}

// some clones bytes that are there, be they none.
func some(b []byte) []byte { return append([]byte{}, b...) }

func (m *message) readSearch(list []ber.Value) bool {
	if len(list) < 8 {
		return false
	}
	m.dn = bytes.Clone(list[0].Data)
	for i := range m.numbers {
		m.numbers[i] = uint64(list[1+i].Int())
	}
	m.flag = list[5].Int() != 0
	const present = ber.Context | 7
	if list[6].Tag == present {
		m.value = some(list[6].Data)
	}
	names, ok := values(list[7].Data)
	for _, n := range names {
		m.fields = append(m.fields, field{name: bytes.Clone(n.Data)})
	}
	return ok
}

// readField reads an attribute with its values.
func readField(v ber.Value) (f field, ok bool) {
	list, ok := values(v.Data)
	if !ok || len(list) < 2 {
		return f, false
	}
	f.name = bytes.Clone(list[0].Data)
	in, ok := values(list[1].Data)
	for _, x := range in {
		f.values = append(f.values, bytes.Clone(x.Data))
	}
	return f, ok
}

func (m *message) readFields(v ber.Value) bool {
	list, ok := values(v.Data)
	for _, x := range list {
		f, fine := readField(x)
		ok = ok && fine
		m.fields = append(m.fields, f)
	}
	return ok
}

func (m *message) readModify(list []ber.Value) bool {
	if len(list) < 2 {
		return false
	}
	m.dn = bytes.Clone(list[0].Data)
	changes, ok := values(list[1].Data)
	for _, c := range changes {
		in, fine := values(c.Data)
		if !fine || len(in) < 2 {
			return false
		}
		f, fine := readField(in[1])
		if !fine {
			return false
		}
		f.operation = uint64(in[0].Int())
		m.fields = append(m.fields, f)
	}
	return ok
}

func (m *message) readResult(list []ber.Value) bool {
	if len(list) < 3 || list[0].Tag != ber.Enumerated {
		return false
	}
	m.hasResult, m.code = true, uint64(list[0].Int())
	m.dn, m.text = bytes.Clone(list[1].Data), bytes.Clone(list[2].Data)
	if m.op == bindResponse {
		m.readNamed(list[3:], 0xff, 7)
	} else {
		m.readNamed(list[3:], 10, 11)
	}
	return true
}

// readNamed reads a name and a value by the numbers of their tags.
func (m *message) readNamed(list []ber.Value, name, value byte) {
	for _, v := range list {
		switch v.Tag {
		case ber.Context | name:
			m.name = some(v.Data)
		case ber.Context | value:
			m.value = some(v.Data)
		}
	}
}

func (m *message) readControls(b []byte) {
	list, _ := values(b)
	for _, v := range list {
		var c control
		ber.Each(v.Data, func(x ber.Value) bool {
			switch {
			case x.Tag == ber.Boolean:
				c.critical = x.Int() != 0
			case c.name == nil:
				c.name = some(x.Data)
			default:
				c.value = some(x.Data)
			}
			return true
		})
		m.controls = append(m.controls, c)
	}
}
