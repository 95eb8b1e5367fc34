package pgsql

import (
	"bytes"
	"errors"

	"github.com/hauberk/hauberk/sensor/internal/app/wire"
)

// kind is what a message is.
type kind uint8

const (
	_ kind = iota
	// Of clients.
	sslRequest
	startup
	cancelRequest
	password
	saslInitial
	saslAnswer
	query
	copyFail
	terminate
	// Of both.
	copyData
	copyDone
	// Of servers.
	sslAccepted
	sslRejected
	authOK
	authClear
	authMD5
	authSSPI
	authSASL
	authContinue
	authFinal
	parameter
	backendKey
	ready
	rowDescription
	dataRow
	commandComplete
	copyIn
	copyOut
	failure
	notice
	notification
)

// message is one of either end (PostgreSQL 17, 53.7).
type message struct {
	kind         kind
	text, more   []byte
	major, minor uint16
	number, key  uint32 // Process and its secret; columns.
	pairs        []pair
	rows, bytes  uint64 // Of many messages that are told as one.
}

// pair is a parameter, or a field of an error.
type pair struct{ name, value []byte }

// What can be wrong with a message. errOther ends the packet's messages
// without an event.
var (
	errMissing   = errors.New("bytes are missing")
	errLength    = errors.New("length is impossible")
	errMalformed = errors.New("message is malformed")
	errOther     = errors.New("message makes no sense")
)

// maxPairs bounds parameters and fields.
const maxPairs = 256

// least is the smallest length of a message of a type, which counts itself.
func least(server bool, tag byte) (size int, exact bool) {
	switch {
	case tag == 'X', tag == 'c':
		return 4, true
	case tag == 'd', tag == 'f' && !server:
		return 5, false
	case !server:
		return 4, false
	}
	switch tag {
	case 'K':
		return 12, true
	case 'Z':
		return 5, true
	case 'R', 'H', 'G':
		return 8, false
	case 'T', 'D':
		return 7, false
	case 'E', 'N':
		return 11, false
	case 'A':
		return 10, false
	}
	return 4, false
}

// body reads the type and length of a message, and returns its content.
func body(b []byte, server bool) (tag byte, content []byte, size int, err error) {
	if len(b) == 0 {
		return 0, nil, 0, errMissing
	}
	head := 1
	if !server && b[0] == 0 {
		head = 0 // The first message has a length and no type.
	} else {
		tag = b[0]
	}
	if len(b) < head+4 {
		return tag, nil, 0, errMissing
	}
	r := wire.Reader{B: b[head:]}
	length := int(r.BE32())
	want, exact := least(server, tag)
	if head == 0 {
		want = 8
	}
	if length < want || exact && length != want {
		return tag, nil, 0, errLength
	}
	if size = head + length; len(b) < size {
		return tag, nil, size, errMissing
	}
	return tag, b[head+4 : size], size, nil
}

// readRequest reads a message of a client; state says which of those that
// begin alike is expected. size is that of the message.
func readRequest(b []byte, state state) (m *message, size int, err error) {
	tag, content, size, err := body(b, false)
	if err != nil {
		return nil, size, err
	}
	m = &message{}
	switch tag {
	case 0:
		return m, size, m.readStartup(content)
	case 'p':
		switch state {
		case saslOffered:
			return m, size, m.readSASL(content)
		case saslBegun, saslContinued:
			m.kind, m.text = saslAnswer, bytes.Clone(content)
		case passwordWanted:
			m.kind = password
			err = m.terminated(content)
		}
	case 'Q':
		m.kind = query
		err = m.terminated(content)
	case 'X':
		m.kind = terminate
	case 'd':
		m.kind, m.bytes = copyData, uint64(len(content))
	case 'c':
		m.kind = copyDone
	case 'f':
		m.kind, m.text = copyFail, bytes.Clone(content)
	}
	return m, size, err
}

// terminated takes text up to its zero.
func (m *message) terminated(b []byte) error {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return errOther
	}
	m.text = bytes.Clone(b[:i])
	return nil
}

func (m *message) readStartup(b []byte) error {
	r := wire.Reader{B: b}
	m.major, m.minor = r.BE16(), r.BE16()
	const special, cancels, ssl = 1234, 5678, 5679
	switch {
	case m.major == special && m.minor == ssl:
		m.kind = sslRequest
	case m.major == special && m.minor == cancels:
		m.kind, m.number, m.key = cancelRequest, r.BE32(), r.BE32()
	case m.major >= 1 && m.major <= 3:
		m.kind = startup
		for len(r.B) > 0 && r.B[0] != 0 && len(m.pairs) < maxPairs {
			p := pair{bytes.Clone(r.Until(0)), bytes.Clone(r.Until(0))}
			if string(p.name) == "user" {
				m.text = p.value
			} else {
				m.pairs = append(m.pairs, p)
			}
		}
		if len(m.text) == 0 {
			return errOther
		}
	default:
		return errMalformed
	}
	if r.Bad {
		return errOther
	}
	return nil
}

func (m *message) readSASL(b []byte) error {
	r := wire.Reader{B: b}
	m.kind = saslInitial
	switch string(r.Until(0)) {
	case "SCRAM-SHA-256":
		m.more = []byte("scram_SHA256")
	case "SCRAM-SHA-256-PLUS":
		m.more = []byte("scram_SHA256_plus")
	default:
		return errOther
	}
	m.text = bytes.Clone(r.Take(int(r.BE32())))
	if r.Bad {
		return errOther
	}
	return nil
}

// readResponse reads a message of a server; afterSSL: that answers a request
// for TLS by one byte.
func readResponse(b []byte, afterSSL bool) (m *message, size int, err error) {
	if afterSSL {
		switch {
		case len(b) == 0:
			return nil, 0, errMissing
		case b[0] == 'S':
			return &message{kind: sslAccepted}, 1, nil
		case b[0] == 'N':
			return &message{kind: sslRejected}, 1, nil
		}
		return nil, 0, errOther
	}
	tag, content, size, err := body(b, true)
	if err != nil {
		return nil, size, err
	}
	m = &message{}
	r := wire.Reader{B: content}
	switch tag {
	case 'R':
		err = m.readAuth(&r)
	case 'K':
		m.kind, m.number, m.key = backendKey, r.BE32(), r.BE32()
	case 'S':
		m.kind = parameter
		m.pairs = []pair{{bytes.Clone(r.Until(0)), bytes.Clone(r.Until(0))}}
	case 'E', 'N':
		m.kind = failure
		if tag == 'N' {
			m.kind = notice
		}
		for len(r.B) > 0 && r.B[0] != 0 && len(m.pairs) < maxPairs {
			m.pairs = append(m.pairs, pair{bytes.Clone(r.Take(1)), bytes.Clone(r.Until(0))})
		}
	case 'C':
		m.kind = commandComplete
		err = m.terminated(content)
	case 'c':
		m.kind = copyDone
	case 'Z':
		m.kind = ready
		if s := r.U8(); s != 'I' && s != 'T' && s != 'E' {
			err = errOther
		}
	case 'T':
		m.kind, m.number = rowDescription, uint32(r.BE16())
	case 'A':
		m.kind, m.number, m.more, m.text = notification, r.BE32(), bytes.Clone(r.Until(0)), bytes.Clone(r.Until(0))
	case 'D':
		m.kind = dataRow
		m.readRow(&r)
	case 'd':
		m.kind, m.bytes = copyData, uint64(len(content))
	case 'H', 'G':
		m.kind = copyOut
		if tag == 'G' {
			m.kind = copyIn
		}
		r.Skip(1)
		m.number = uint32(r.BE16())
	}
	if r.Bad {
		err = errOther
	}
	return m, size, err
}

func (m *message) readAuth(r *wire.Reader) error {
	kinds := map[uint32]kind{0: authOK, 3: authClear, 5: authMD5, 9: authSSPI, 10: authSASL, 11: authContinue, 12: authFinal}
	k, ok := kinds[r.BE32()]
	if !ok {
		return errMalformed
	}
	m.kind, m.text = k, bytes.Clone(r.B)
	if k == authMD5 && len(r.B) != 4 {
		return errOther
	}
	return nil
}

// readRow sums up the sizes of the values of a row.
func (m *message) readRow(r *wire.Reader) {
	for range r.BE16() {
		n := int32(r.BE32())
		if n < 0 {
			continue // NULL
		}
		r.Skip(int(n))
		if r.Bad {
			return
		}
		m.bytes += uint64(n)
	}
}
