package modbus

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// headerSize is that of a message up to its function (Modbus over TCP, 3.1.3).
const headerSize = 8

// Functions (Modbus application protocol 1.1b3, 6).
const (
	readCoils      = 1
	readDiscretes  = 2
	readHolding    = 3
	readInputs     = 4
	writeCoil      = 5
	writeRegister  = 6
	readStatus     = 7
	diagnostic     = 8
	writeCoils     = 15
	writeRegisters = 16
	maskRegister   = 22
	readWrite      = 23
	encapsulated   = 43
	exceptionBit   = 0x80
)

// access says what a function does to what.
type access uint8

const (
	accessRead access = 1 << iota
	accessWrite
	accessDiscretes
	accessCoils
	accessInput
	accessHolding
	accessSingle
	accessMultiple
)

// accesses are those of functions.
var accesses = map[uint8]access{
	readCoils: accessRead | accessCoils, readDiscretes: accessRead | accessDiscretes, readHolding: accessRead | accessHolding,
	readInputs: accessRead | accessInput, writeCoil: accessWrite | accessCoils | accessSingle, writeRegister: accessWrite | accessHolding | accessSingle,
	writeCoils: accessWrite | accessCoils | accessMultiple, writeRegisters: accessWrite | accessHolding | accessMultiple,
	maskRegister: accessWrite | accessHolding, readWrite: accessRead | accessWrite | accessHolding | accessMultiple,
}

// category is who gave a function its meaning.
type category uint8

const (
	publicAssigned category = 1 << iota
	publicUnassigned
	userDefined
	reserved
	allCategories = publicAssigned | publicUnassigned | userDefined | reserved
)

func categoryOf(function uint8) category {
	switch {
	case functionNames[function] != "" && !reservedFunctions[function]:
		return publicAssigned
	case function >= 65 && function <= 72, function >= 100 && function <= 110:
		return userDefined
	case reservedFunctions[function]:
		return reserved
	}
	return publicUnassigned
}

// reservedFunctions are those of old (annex A).
var reservedFunctions = map[uint8]bool{9: true, 10: true, 13: true, 14: true, 18: true, 19: true, 41: true, 42: true, 90: true, 91: true, 125: true, 126: true, 127: true}

// flaw is what is wrong with a message.
type flaw uint8

const (
	flawValue flaw = 1 << iota
	flawLength
	flawException
	flawFunction
	flawProtocol
)

// message is a request or a response.
type message struct {
	id, protocol, size uint16
	unit               uint8
	function           uint8 // Of responses without the bit of exceptions.
	flaws              flaw

	exception bool
	code      uint8 // Of an exception, or the type of an encapsulated interface.
	sub       uint16

	read  *span
	write *span
	mask  [2]uint16
	data  []byte
}

// span is where is read or written.
type span struct {
	request           bool
	address, quantity uint16
	data              []byte // Read or to be written.
}

// read reads a message of which all is there.
func read(b []byte, response bool) *message {
	r := wire.Reader{B: b}
	m := &message{id: r.BE16(), protocol: r.BE16(), size: r.BE16(), unit: r.U8()}
	m.function = r.U8()
	if response && m.function&exceptionBit != 0 {
		m.function, m.exception = m.function&^exceptionBit, true
	}
	if m.protocol != 0 {
		m.flaws |= flawProtocol
	}
	if m.function == 0 || m.function >= exceptionBit {
		m.flaws |= flawFunction
	}
	switch {
	case m.exception:
		if m.code = r.U8(); exceptions[m.code] == "" {
			m.flaws |= flawException
		}
	case m.function == diagnostic:
		m.sub, m.data = r.BE16(), bytes.Clone(r.B)
	case m.function == encapsulated:
		m.code, m.data = r.U8(), bytes.Clone(r.B)
	case response:
		m.readResponse(&r)
	default:
		m.readRequest(&r)
	}
	if r.Bad {
		m.flaws |= flawLength
	}
	return m
}

// Limits of quantities (6.1 to 6.17).
const (
	maxBits      = 2000
	maxRegisters = 125
)

func (m *message) readRequest(r *wire.Reader) {
	switch m.function {
	case readCoils, readDiscretes, readHolding, readInputs:
		m.read = &span{request: true, address: r.BE16(), quantity: r.BE16()}
		m.check(m.read)
	case writeCoil, writeRegister:
		m.write = &span{address: r.BE16()}
		m.write.data = bytes.Clone(r.Take(2))
		if m.function == writeCoil && len(m.write.data) == 2 && (m.write.data[1] != 0 || m.write.data[0] != 0 && m.write.data[0] != 0xff) {
			m.flaws |= flawValue
		}
	case writeCoils, writeRegisters:
		m.write = m.readValues(r)
	case maskRegister:
		m.readMask(r)
	case readWrite:
		m.read = &span{request: true, address: r.BE16(), quantity: r.BE16()}
		m.check(m.read)
		m.write = m.readValues(r)
	default:
		m.data = bytes.Clone(r.B)
	}
}

// check compares a quantity with what its function allows.
func (m *message) check(s *span) {
	most := uint16(maxRegisters)
	if accesses[m.function]&(accessCoils|accessDiscretes) != 0 {
		most = maxBits
	}
	if s.quantity == 0 || s.quantity > most {
		m.flaws |= flawValue
	}
}

// readValues reads what is to be written to several places.
func (m *message) readValues(r *wire.Reader) *span {
	s := &span{request: true, address: r.BE16(), quantity: r.BE16()}
	size := r.U8()
	s.data = bytes.Clone(r.Take(int(size)))
	want := int(s.quantity) * 2
	if m.function == writeCoils {
		want = (int(s.quantity) + 7) / 8
	}
	if s.quantity == 0 || int(size) != want {
		m.flaws |= flawValue
	}
	return s
}

func (m *message) readMask(r *wire.Reader) {
	m.write = &span{address: r.BE16()}
	m.mask = [2]uint16{r.BE16(), r.BE16()}
}

func (m *message) readResponse(r *wire.Reader) {
	switch m.function {
	case readCoils, readDiscretes, readHolding, readInputs, readWrite:
		m.read = &span{data: bytes.Clone(r.Take(int(r.U8())))}
	case writeCoil, writeRegister, writeCoils, writeRegisters:
		m.write = &span{address: r.BE16()}
		m.write.data = bytes.Clone(r.Take(2))
	case maskRegister:
		m.readMask(r)
	default:
		m.data = bytes.Clone(r.B)
	}
}

// addresses are the first and the last place a message is about, counted from
// 1 as rules do (4.4).
func (m *message) addresses() (first, last uint16, ok bool) {
	s := m.read
	if s == nil || !s.request {
		s = m.write
	}
	if s == nil {
		return 0, 0, false
	}
	return s.address + 1, s.address + max(s.quantity, 1), true
}

// written is the value that is written to a place, counted from 1.
func (m *message) written(address uint16) (uint16, bool) {
	s := m.write
	if s == nil || address <= s.address {
		return 0, false
	}
	at := int(address-s.address) - 1
	switch {
	case m.function == writeCoils:
		if at >= int(s.quantity) || at/8 >= len(s.data) {
			return 0, false
		}
		return uint16(s.data[at/8] >> (at % 8) & 1), true
	case 2*at+2 <= len(s.data):
		return uint16(s.data[2*at])<<8 | uint16(s.data[2*at+1]), true
	}
	return 0, false
}
