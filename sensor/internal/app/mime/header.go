package mime

import (
	"bytes"
	"strconv"
)

const spaces = " \t\r\n"

// is compares with a name in lower case.
func is(b []byte, name string) bool { return len(b) == len(name) && bytes.EqualFold(b, []byte(name)) }

// readHeaders takes what the headers of a message or a part say about its
// content. It says whether that is a message.
func (m *Message) readHeaders() (inner bool) {
	for _, h := range m.part {
		switch {
		case is(h.Name, "content-disposition"):
			m.name(Parameter(h.Value, "filename"))
		case is(h.Name, "content-transfer-encoding"):
			switch {
			case is(h.Value, "base64"):
				m.encoding = base64Encoding
			case is(h.Value, "quoted-printable"):
				m.encoding = quotedEncoding
			}
		case is(h.Name, "content-type"):
			m.name(Parameter(h.Value, "name"))
			if b := Parameter(h.Value, "boundary"); b != nil && len(m.boundaries) < maxDepth {
				if len(b) > maxBoundary {
					m.anomalies |= LongBoundary
				}
				m.boundaries = append(m.boundaries, append([]byte("--"), b...))
			}
			value, _, _ := bytes.Cut(h.Value, []byte{';'})
			value = bytes.ToLower(value)
			switch {
			case string(value) == "text/plain", string(value) == "text/html":
				m.kind = text
			default:
				m.kind = other
				inner = inner || bytes.HasPrefix(value, []byte("message/"))
			}
		}
	}
	return inner
}

// name gives the part's file its name, unless it has one.
func (m *Message) name(name []byte) {
	if name == nil || len(m.filename) > 0 {
		return
	}
	if len(name) > maxFilename {
		m.anomalies |= LongFilename
		name = name[:maxFilename]
	}
	m.filename = name
	if len(m.Attachments) < maxFound {
		m.Attachments = append(m.Attachments, name)
	}
}

// maxSections bounds the pieces of one parameter (RFC 2231 section 3).
const maxSections = 64

// Parameter is that of a header's value, nil if there is none. Pieces are
// joined.
func Parameter(value []byte, name string) []byte {
	list := parameters(value)
	if v, ok := list[name]; ok {
		return v
	}
	var whole []byte
	for i := range maxSections {
		v, ok := list[name+"*"+strconv.Itoa(i)]
		if !ok {
			break
		}
		whole = append(whole, v...)
	}
	return whole
}

// parameters are those behind the first semicolon of a header's value; the
// last one of a name counts.
func parameters(value []byte) map[string][]byte {
	_, rest, _ := bytes.Cut(value, []byte{';'})
	list := map[string][]byte{}
	for len(rest) > 0 && len(list) < 2*maxSections {
		name, after, ok := bytes.Cut(bytes.TrimLeft(rest, spaces), []byte{'='})
		if !ok {
			break
		}
		var v []byte
		if v, rest, ok = quotedText(after); !ok {
			v, rest, _ = bytes.Cut(after, []byte{';'})
			v = bytes.TrimRight(v, spaces)
		} else {
			rest = bytes.TrimPrefix(bytes.TrimLeft(rest, spaces), []byte{';'})
		}
		list[string(name)] = bytes.Clone(v)
	}
	return list
}

// quotedText takes a text in quotes, as it is written between them.
func quotedText(b []byte) (inside, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:], true
		}
	}
	return nil, nil, false
}
