package http1

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/app/mime"
)

// multipart takes a body of multipart/form-data apart (RFC 7578), as it comes.
type multipart struct {
	mark   []byte // "--" and the boundary.
	held   []byte // Not yet taken: a line, or what may be the beginning of a mark.
	inHead bool
	inPart bool // Behind the first mark.
	ended  bool
	name   []byte // The file's, nil if the part is none.
	open   bool   // A file was begun.

	// begin is called when a file begins, add with its bytes, end when it is
	// over, odd when a part's header is none.
	begin func(name []byte)
	add   func([]byte)
	end   func()
	odd   func()
}

const (
	maxBoundary = 200
	maxPartLine = 8 << 10
)

// boundary is that of a Content-Type, nil if it is no multipart/form-data.
func boundary(contentType []byte) []byte {
	if !bytes.HasPrefix(bytes.ToLower(contentType), []byte("multipart/form-data")) {
		return nil
	}
	b := mime.Parameter(contentType, "boundary")
	if len(b) == 0 || len(b) > maxBoundary {
		return nil
	}
	return b
}

// write takes the next bytes of the body.
func (m *multipart) write(data []byte) {
	if len(m.held) > 0 {
		data = append(m.held, data...)
		m.held = nil
	}
	for len(data) > 0 && !m.ended {
		n := m.step(data)
		if n == 0 {
			m.held = bytes.Clone(data)
			return
		}
		data = data[n:]
	}
}

// step takes a line of a part's head, or bytes of its content; 0: more are needed.
func (m *multipart) step(data []byte) int {
	if !m.inPart || m.inHead {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			if len(data) > maxPartLine {
				return len(data)
			}
			return 0
		}
		m.line(bytes.TrimSuffix(data[:i], []byte{'\r'}))
		return i + 1
	}
	i := bytes.Index(data, m.mark)
	if i < 0 {
		// What may be the beginning of a mark, with the line's end before it, waits.
		keep := len(m.mark) + 2
		if len(data) <= keep {
			return 0
		}
		m.content(data[:len(data)-keep])
		return len(data) - keep
	}
	m.content(bytes.TrimSuffix(bytes.TrimSuffix(data[:i], []byte{'\n'}), []byte{'\r'}))
	m.close()
	m.inPart = false // The mark is read as a line.
	if i == 0 {
		return m.step(data)
	}
	return i
}

// line takes a line outside of content.
func (m *multipart) line(line []byte) {
	if rest, ok := bytes.CutPrefix(line, m.mark); ok {
		m.inPart, m.inHead, m.name = true, true, nil
		m.ended = bytes.HasPrefix(rest, []byte("--"))
		return
	}
	if !m.inHead {
		return // Before the first mark.
	}
	if len(line) == 0 {
		m.inHead = false
		if m.name != nil {
			m.begin(m.name)
			m.open = true
		}
		return
	}
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		m.odd()
		return
	}
	if bytes.EqualFold(bytes.TrimSpace(name), []byte("content-disposition")) {
		m.name = mime.Parameter(value, "filename")
	}
}

func (m *multipart) content(data []byte) {
	if m.open && len(data) > 0 {
		m.add(data)
	}
}

func (m *multipart) close() {
	if m.open {
		m.open = false
		m.end()
	}
}
