package mime

import "bytes"

// encoding is how the bytes of a part are written (RFC 2045 section 6).
type encoding uint8

const (
	plain encoding = iota
	base64Encoding
	quotedEncoding
)

// content takes a line of a part that is no boundary.
func (m *Message) content(line, end []byte) {
	if len(m.filename) == 0 && m.kind == other {
		return
	}
	if m.encoding != plain && len(line) > maxEncoded {
		m.anomalies |= LongEncodedLine
	}
	switch m.encoding {
	case plain:
		m.lines(line, end)
	case base64Encoding:
		if !m.config.Base64 {
			return
		}
		out, ok := m.base64.add(nil, line)
		if !ok {
			m.anomalies |= InvalidBase64
			return
		}
		m.scan(out)
		m.add(out)
	case quotedEncoding:
		if !m.config.Quoted {
			return
		}
		out, joined, ok := m.quoted.add(nil, line, len(end) > 0)
		if !ok {
			m.anomalies |= InvalidQuoted
		}
		if joined {
			end = nil
		}
		m.lines(out, end)
	}
}

// lines takes text. The end of the last line before a boundary belongs to that.
func (m *Message) lines(line, end []byte) {
	m.scan(line)
	m.scan(end)
	m.add(m.end)
	m.add(line)
	m.end = bytes.Clone(end)
}

// add appends to the part's file.
func (m *Message) add(data []byte) {
	if len(data) > 0 && len(m.filename) > 0 {
		m.sink.Add(data)
	}
}

// maxText is the longest line of text that is waited for.
const maxText = 8 << 10

// scan looks for addresses of web pages in whole lines.
func (m *Message) scan(data []byte) {
	if !m.config.URLs || len(data) == 0 {
		return
	}
	waited := len(m.text)
	m.text = append(m.text, data...)
	n := bytes.LastIndexByte(data, '\n') + 1 // There is none in what waited.
	switch {
	case n > 0:
		n += waited
	case len(m.text) <= maxText:
		return
	default:
		n = len(m.text)
	}
	m.find(m.text[:n])
	m.text = m.text[:copy(m.text, m.text[n:])]
}

// find takes the addresses of web pages in lines, those of one scheme after
// those of another.
func (m *Message) find(lines []byte) {
	lower := bytes.ToLower(lines)
	for _, scheme := range m.config.Schemes {
		for at := 0; len(m.URLs) < maxFound; {
			i := bytes.Index(lower[at:], []byte(scheme))
			if i < 0 {
				break
			}
			i += at
			url := lines[i:]
			if n := bytes.IndexAny(url, " \"'<>]\t\r\n"); n >= 0 {
				url = url[:n]
			}
			at = i + max(len(url), len(scheme))
			if !m.config.LogScheme {
				url = url[min(len(scheme), len(url)):]
			}
			m.URLs = append(m.URLs, bytes.Clone(url))
		}
	}
}

// base64 undoes base64 that comes in pieces. What is no letter of it is
// skipped (RFC 2045 section 6.8).
type base64 struct {
	quad [4]byte // Values of letters that wait; pad stands for =.
	n    int
}

const pad = 64

func base64Value(c byte) (byte, bool) {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A', true
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26, true
	case c >= '0' && c <= '9':
		return c - '0' + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	case c == '=':
		return pad, true
	}
	return 0, false
}

// add appends what data stands for; false says that it is no base64.
func (d *base64) add(out, data []byte) ([]byte, bool) {
	for _, c := range data {
		v, ok := base64Value(c)
		if !ok {
			continue
		}
		d.quad[d.n] = v
		if d.n++; d.n < len(d.quad) {
			continue
		}
		d.n = 0
		q := d.quad
		if q[0] == pad || q[1] == pad || q[2] == pad && q[3] != pad {
			return out, false
		}
		out = append(out, q[0]<<2|q[1]>>4)
		if q[2] != pad {
			out = append(out, q[1]<<4|q[2]>>2)
			if q[3] != pad {
				out = append(out, q[2]<<6|q[3])
			}
		}
	}
	return out, true
}

// flush appends what an end without padding stands for.
func (d *base64) flush(out []byte) []byte {
	if d.n < 2 {
		return out
	}
	out, _ = d.add(out, []byte("===")[:len(d.quad)-d.n])
	return out
}

// quoted undoes quoted-printable that comes in pieces (RFC 2045 section 6.7).
type quoted struct {
	held []byte // An escape that is not complete.
}

// add appends what a line, or a piece of one, stands for. An equals sign at its
// end joins it to the next. ok is false if not all of it makes sense.
func (d *quoted) add(out, line []byte, ends bool) (text []byte, joined, ok bool) {
	if len(d.held) > 0 {
		line = append(d.held, line...)
		d.held = nil
	}
	ok = true
	for {
		i := bytes.IndexByte(line, '=')
		if i < 0 {
			return append(out, line...), false, ok
		}
		out, line = append(out, line[:i]...), line[i:]
		if len(line) < 3 {
			if !ends {
				d.held = bytes.Clone(line)
			}
			return out, ends && len(line) == 1, ok && (!ends || len(line) == 1)
		}
		high, ok1 := hexValue(line[1])
		low, ok2 := hexValue(line[2])
		if ok1 && ok2 {
			out = append(out, high<<4|low)
		} else {
			ok = false
		}
		line = line[3:]
	}
}

func hexValue(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
