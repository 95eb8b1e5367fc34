package http2

import (
	"bytes"
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
	"github.com/hauberk/hauberk/suricata/match"
)

// named are the buffers that are the values of a header, joined.
var named = map[suricata.Buffer]string{
	suricata.BufHTTPUserAgent: "user-agent", suricata.BufHTTPAccept: "accept", suricata.BufHTTPAcceptEnc: "accept-encoding",
	suricata.BufHTTPAcceptLang: "accept-language", suricata.BufHTTPReferer: "referer", suricata.BufHTTPContentLen: "content-length",
	suricata.BufHTTPContentType: "content-type", suricata.BufHTTPConnection: "connection", suricata.BufHTTPServer: "server",
	suricata.BufHTTPLocation: "location", suricata.BufHTTPHostRaw: ":authority",
}

// single are those that are the value of the first header of a name.
var single = map[suricata.Buffer]string{
	suricata.BufHTTPMethod: ":method", suricata.BufHTTPURI: ":path", suricata.BufHTTPURIRaw: ":path", suricata.BufHTTPStatCode: ":status",
}

// cookies are the names of the headers with cookies, by direction.
var cookies = [2]string{app.ToServer: "cookie", app.ToClient: "set-cookie"}

// appendAll appends the values of all headers of a name.
func (s *side) appendAll(out []byte, name string) (_ []byte, found bool) {
	s.each(func(n, v []byte) bool {
		if string(n) == name {
			if found {
				out = append(out, ", "...)
			}
			out, found = append(out, v...), true
		}
		return true
	})
	return out, found
}

// Buffer implements app.Tx.
func (t *tx) Buffer(b suricata.Buffer, dir app.Dir, i int, scratch *[]byte) (match.Buffer, bool) {
	s := &t.sides[dir]
	switch b {
	case suricata.BufHTTP2HeaderName, suricata.BufHTTPRequestHeader, suricata.BufHTTPResponseHeader:
		return s.nth(i, b == suricata.BufHTTP2HeaderName, scratch)
	}
	if i > 0 {
		return match.Buffer{}, false
	}
	if name, ok := single[b]; ok {
		v := s.first(name)
		return match.Buffer{Data: v}, v != nil
	}
	out, ok := (*scratch)[:0], true
	if name, isNamed := named[b]; isNamed {
		out, ok = s.appendAll(out, name)
	} else {
		out, ok = t.appendBuffer(out, b, dir)
	}
	*scratch = out
	return match.Buffer{Data: out}, ok
}

// nth is the i-th header, or its name alone.
func (s *side) nth(i int, name bool, scratch *[]byte) (b match.Buffer, ok bool) {
	s.each(func(n, v []byte) bool {
		if i--; i >= 0 {
			return true
		}
		ok = true
		if name {
			b.Data = n
		} else {
			*scratch = append(append(append((*scratch)[:0], n...), ": "...), v...)
			b.Data = *scratch
		}
		return false
	})
	return b, ok
}

// appendBuffer makes the buffers that are made of several headers.
func (t *tx) appendBuffer(out []byte, b suricata.Buffer, dir app.Dir) ([]byte, bool) {
	s := &t.sides[dir]
	switch b {
	case suricata.BufHTTPHost:
		out, ok := s.appendAll(out, ":authority")
		return append(out[:0], normalHost(out)...), ok
	case suricata.BufHTTPCookie:
		return s.appendAll(out, cookies[dir])
	case suricata.BufHTTPProtocol:
		return append(out, "HTTP/2"...), true
	case suricata.BufHTTPStatMsg:
		return out, true // HTTP/2 has none.
	case suricata.BufHTTPRequestLine:
		out = append(append(append(out, s.first(":method")...), ' '), s.first(":path")...)
		return append(out, " HTTP/2\r\n"...), true
	case suricata.BufHTTPResponseLine:
		return append(append(append(out, "HTTP/2 "...), s.first(":status")...), "\r\n"...), true
	case suricata.BufHTTPRequestBody, suricata.BufHTTPResponseBody, suricata.BufFileData:
		return append(out, s.body...), len(s.body) > 0
	case suricata.BufHTTPHeaderNames:
		out = append(out, "\r\n"...)
		s.each(func(n, _ []byte) bool {
			out = append(append(out, n...), "\r\n"...)
			return true
		})
		return append(out, "\r\n"...), len(out) > 2
	case suricata.BufHTTPHeader, suricata.BufHTTPHeaderRaw:
		s.each(func(n, v []byte) bool {
			if b == suricata.BufHTTPHeader {
				if bytes.EqualFold(n, []byte(cookies[dir])) {
					return true
				}
				v = bytes.Trim(v, " \t")
			}
			out = append(append(append(append(out, n...), ": "...), v...), "\r\n"...)
			return true
		})
		return out, len(out) > 0
	}
	return out, false
}

// normalHost is the name in an authority, in lower case.
func normalHost(v []byte) []byte {
	if i := bytes.IndexByte(v, '@'); i >= 0 {
		v = v[i+1:]
	}
	if i := bytes.IndexByte(v, ':'); i >= 0 {
		v = v[:i]
	}
	return bytes.ToLower(v)
}

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, dir app.Dir) bool {
	s := &t.sides[dir]
	switch v := o.Value.(type) {
	case *suricata.HTTP2Setting:
		return slices.ContainsFunc(s.settings, func(x setting) bool {
			return uint64(x.id) == v.ID && (v.Value == nil || v.Value.Match(uint64(x.value)))
		})
	case *suricata.Uint:
		return s.match(o.Name, v)
	case *suricata.URILen:
		return dir == app.ToServer && v.Match(uint64(len(s.first(":path"))))
	}
	return false
}

func (s *side) match(name string, u *suricata.Uint) bool {
	switch name {
	case "http2.frametype":
		for k := range uint64(16) {
			if s.kinds>>k&1 == 1 && u.Match(k) {
				return true
			}
		}
	case "http2.errorcode":
		return slices.ContainsFunc(s.errors, func(e uint32) bool { return u.Match(uint64(e)) })
	case "http2.priority":
		return slices.ContainsFunc(s.priorities, func(x uint8) bool { return u.Match(uint64(x)) })
	case "http2.window":
		return slices.ContainsFunc(s.windows, func(x uint32) bool { return u.Match(uint64(x)) })
	case "http2.size_update":
		return slices.ContainsFunc(s.fields, func(f field) bool { return f.resize && u.Match(f.size) })
	}
	return false
}
