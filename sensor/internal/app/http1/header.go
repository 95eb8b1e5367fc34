package http1

import "bytes"

// header is a name with its value, without the spaces around them.
type header struct{ name, value []byte }

func (h *header) is(name string) bool {
	return len(h.name) == len(name) && bytes.EqualFold(h.name, []byte(name))
}

// addLine takes a header line, or one that goes on with the line before it
// (obs-fold, RFC 9112 section 5.2). A client takes a line that begins with a
// blank and has a name and a colon for a header of its own.
func (m *message) addLine(line []byte, client bool) {
	m.raw = append(append(m.raw, line...), "\r\n"...)
	folded := len(line) > 0 && (line[0] == ' ' || line[0] == '\t' || client && line[0] == 0)
	if !folded || len(m.headers) == 0 || client && looksWhole(line) {
		m.headers = append(m.headers, split(bytes.Clone(line)))
		return
	}
	last := &m.headers[len(m.headers)-1]
	rest := bytes.Trim(line, blank)
	if last.value == nil { // The colon was not there yet.
		m.headers[len(m.headers)-1] = split(append(append(bytes.Clone(last.name), ' '), rest...))
		return
	}
	if len(last.value) > 0 && len(rest) > 0 {
		last.value = append(last.value[:len(last.value):len(last.value)], ' ')
	}
	last.value = append(last.value[:len(last.value):len(last.value)], clean(rest)...)
}

// looksWhole says whether a line has a name, of the bytes names have, and a colon.
func looksWhole(line []byte) bool {
	name, _, ok := bytes.Cut(bytes.Trim(line, blank), []byte{':'})
	if !ok || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// clean drops NUL, which clients do not see.
func clean(b []byte) []byte {
	if bytes.IndexByte(b, 0) < 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte{0}, nil)
}

// blank are the bytes that stand around names and values.
const blank = " \t\x00\v\f\r"

func split(line []byte) header {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return header{name: bytes.Trim(line, blank)}
	}
	v := bytes.Trim(value, blank)
	if v == nil {
		v = []byte{}
	}
	return header{clean(bytes.Trim(name, blank)), clean(v)}
}

// appendHeaders writes the headers in normal form, without cookies.
func (m *message) appendHeaders(out []byte) []byte {
	for i := range m.headers {
		h := &m.headers[i]
		if h.is("cookie") || h.is("set-cookie") {
			continue
		}
		out = append(append(append(append(out, h.name...), ": "...), h.value...), "\r\n"...)
	}
	return out
}

// appendNames writes the names, each line ended, as http.header_names has them.
func (m *message) appendNames(out []byte) []byte {
	out = append(out, "\r\n"...)
	for i := range m.headers {
		out = append(append(out, m.headers[i].name...), "\r\n"...)
	}
	return append(out, "\r\n"...)
}

// normalURI appends the path and query of a URI with its escapes undone and
// without a scheme and host.
func normalURI(out, uri []byte) []byte {
	if i := bytes.Index(uri, []byte("://")); i > 0 && i < 10 {
		uri = uri[i+3:]
		if j := bytes.IndexByte(uri, '/'); j >= 0 {
			uri = uri[j:]
		} else {
			uri = []byte("/")
		}
	}
	query := bytes.IndexByte(uri, '?')
	for i := 0; i < len(uri); i++ {
		c := uri[i]
		inPath := query < 0 || i < query
		if c == '%' && i+2 < len(uri) {
			if hi, lo := unhex(uri[i+1]), unhex(uri[i+2]); hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		} else if c == '#' && inPath {
			break
		}
		out = append(out, c)
	}
	return out
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
