// Package sdp reads descriptions of sessions (RFC 4566), which SIP carries.
package sdp

import (
	"bytes"

	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// Time is when a session is active.
type Time struct {
	Time   []byte
	Repeat []byte // nil: it is not repeated.
}

// Media is one stream of a session. What is not said is nil.
type Media struct {
	Media, Info, Connection, Key []byte
	Bandwidths, Attributes       [][]byte
}

// Description is that of a session. What is not said is nil.
type Description struct {
	Origin, Name, URI, Email, Phone, Zone []byte
	Session                               Media // What it has in common with its streams.
	Times                                 []Time
	Streams                               []Media
}

// maxLines bounds the lines of a description that are kept.
const maxLines = 1024

// Parse reads a description; nil if b is none.
func Parse(b []byte) *Description {
	d := &Description{}
	m := &d.Session
	version := false
	for n := 0; len(b) > 0 && n < maxLines; n++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 {
			break
		}
		if len(line) < 2 || line[1] != '=' || n == 0 && string(line) != "v=0" {
			break
		}
		version = true
		m = d.take(m, line[0], line[2:])
	}
	if !version || d.Origin == nil || d.Name == nil || d.Times == nil {
		return nil
	}
	return d
}

// take keeps a line's value. It returns what following lines are of.
func (d *Description) take(m *Media, kind byte, value []byte) *Media {
	value = append([]byte{}, value...)
	session := m == &d.Session
	switch kind {
	case 'm':
		d.Streams = append(d.Streams, Media{Media: value})
		return &d.Streams[len(d.Streams)-1]
	case 'i':
		m.Info = value
	case 'c':
		m.Connection = value
	case 'k':
		m.Key = value
	case 'b':
		m.Bandwidths = append(m.Bandwidths, value)
	case 'a':
		m.Attributes = append(m.Attributes, value)
	}
	if !session {
		return m
	}
	switch kind {
	case 'o':
		d.Origin = value
	case 's':
		d.Name = value
	case 'u':
		d.URI = value
	case 'e':
		d.Email = value
	case 'p':
		d.Phone = value
	case 'z':
		d.Zone = value
	case 't':
		d.Times = append(d.Times, Time{Time: value})
	case 'r':
		if n := len(d.Times); n > 0 {
			d.Times[n-1].Repeat = value
		}
	}
	return m
}

// Buffers are those rules may look into; all belong to both directions.
var Buffers = []suricata.Buffer{
	suricata.BufSDPSessionName, suricata.BufSDPSessionInfo, suricata.BufSDPOrigin, suricata.BufSDPURI, suricata.BufSDPEmail,
	suricata.BufSDPPhoneNumber, suricata.BufSDPConnectionData, suricata.BufSDPBandwidth, suricata.BufSDPTime, suricata.BufSDPRepeatTime,
	suricata.BufSDPTimezone, suricata.BufSDPEncryptionKey, suricata.BufSDPAttribute, suricata.BufSDPMediaMedia, suricata.BufSDPMediaMediaInfo,
	suricata.BufSDPMediaConnectionData, suricata.BufSDPMediaEncryptionKey,
}

// Buffer is the i-th value of a buffer, nil if there is none. There is none of
// a nil Description.
func (d *Description) Buffer(b suricata.Buffer, i int) []byte {
	if d == nil {
		return nil
	}
	switch b {
	case suricata.BufSDPBandwidth:
		return at(d.Session.Bandwidths, i)
	case suricata.BufSDPAttribute:
		return at(d.Session.Attributes, i)
	case suricata.BufSDPTime, suricata.BufSDPRepeatTime:
		if i >= len(d.Times) {
			return nil
		}
		if b == suricata.BufSDPTime {
			return d.Times[i].Time
		}
		return d.Times[i].Repeat
	case suricata.BufSDPMediaMedia, suricata.BufSDPMediaMediaInfo, suricata.BufSDPMediaConnectionData, suricata.BufSDPMediaEncryptionKey:
		if i >= len(d.Streams) {
			return nil
		}
		return d.Streams[i].buffer(b)
	}
	if i > 0 {
		return nil
	}
	switch b {
	case suricata.BufSDPSessionName:
		return d.Name
	case suricata.BufSDPSessionInfo:
		return d.Session.Info
	case suricata.BufSDPOrigin:
		return d.Origin
	case suricata.BufSDPURI:
		return d.URI
	case suricata.BufSDPEmail:
		return d.Email
	case suricata.BufSDPPhoneNumber:
		return d.Phone
	case suricata.BufSDPConnectionData:
		return d.Session.Connection
	case suricata.BufSDPTimezone:
		return d.Zone
	case suricata.BufSDPEncryptionKey:
		return d.Session.Key
	}
	return nil
}

func (m *Media) buffer(b suricata.Buffer) []byte {
	switch b {
	case suricata.BufSDPMediaMedia:
		return m.Media
	case suricata.BufSDPMediaMediaInfo:
		return m.Info
	case suricata.BufSDPMediaConnectionData:
		return m.Connection
	}
	return m.Key
}

func at(list [][]byte, i int) []byte {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// Append writes the member sdp of an event.
func (d *Description) Append(w *jsonw.Writer) {
	w.Object("sdp")
	text(w, "origin", d.Origin)
	text(w, "session_name", d.Name)
	text(w, "session_info", d.Session.Info)
	text(w, "uri", d.URI)
	text(w, "email", d.Email)
	text(w, "phone_number", d.Phone)
	text(w, "connection_data", d.Session.Connection)
	w.Texts("bandwidths", d.Session.Bandwidths)
	w.Array("time_descriptions")
	for _, t := range d.Times {
		w.Object("")
		text(w, "time", t.Time)
		text(w, "repeat_time", t.Repeat)
		w.Close()
	}
	w.Close()
	text(w, "timezone", d.Zone)
	text(w, "encryption_key", d.Session.Key)
	w.Texts("attributes", d.Session.Attributes)
	if len(d.Streams) > 0 {
		w.Array("media_descriptions")
		for i := range d.Streams {
			d.Streams[i].append(w)
		}
		w.Close()
	}
	w.Close()
}

func (m *Media) append(w *jsonw.Writer) {
	w.Object("")
	text(w, "media", m.Media)
	text(w, "media_info", m.Info)
	w.Texts("bandwidths", m.Bandwidths)
	text(w, "connection_data", m.Connection)
	text(w, "encryption_key", m.Key)
	w.Texts("attributes", m.Attributes)
	w.Close()
}

func text(w *jsonw.Writer, key string, v []byte) {
	if v != nil {
		w.Text(key, v)
	}
}
