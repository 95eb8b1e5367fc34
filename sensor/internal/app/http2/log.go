package http2

import (
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// wanted says whether there is something to tell.
func wanted(x app.Tx, _ any) bool {
	t := x.(*tx)
	for i := range t.sides {
		s := &t.sides[i]
		if len(s.fields) > 0 || len(s.settings) > 0 || len(s.errors) > 0 || len(s.priorities) > 0 {
			return true
		}
	}
	return false
}

// appendLog writes the member http of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("http")
	w.String("version", "2")
	for dir, key := range []string{"request_headers", "response_headers"} {
		appendFields(w, key, t.sides[dir].fields)
	}
	for dir := range t.sides {
		t.sides[dir].appendKnown(w)
	}
	w.Object("http2")
	w.Uint("stream_id", uint64(t.stream))
	for dir, key := range []string{"request", "response"} {
		t.sides[dir].append(w, key)
	}
	w.Close()
	w.Close()
}

func appendFields(w *jsonw.Writer, key string, fields []field) {
	if len(fields) == 0 {
		return
	}
	w.Array(key)
	for _, f := range fields {
		w.Object("")
		if f.resize {
			w.Uint("table_size_update", f.size)
		} else {
			w.Printable("name", f.name)
			w.Printable("value", f.value)
		}
		w.Close()
	}
	w.Close()
}

// appendKnown writes the headers that have members of their own.
func (s *side) appendKnown(w *jsonw.Writer) {
	for _, k := range []struct {
		name, key string
		number    bool
	}{
		{":method", "http_method", false}, {":path", "url", false}, {"host", "hostname", false}, {"user-agent", "http_user_agent", false},
		{"content-length", "length", true}, {":status", "status", true},
	} {
		v := s.first(k.name)
		if v == nil {
			continue
		}
		if !k.number {
			w.Printable(k.key, v)
		} else if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			w.Uint(k.key, n)
		}
	}
}

// settingNames are EVE's, by their number.
var settingNames = [...]string{
	1: "SETTINGSHEADERTABLESIZE", 2: "SETTINGSENABLEPUSH", 3: "SETTINGSMAXCONCURRENTSTREAMS", 4: "SETTINGSINITIALWINDOWSIZE",
	5: "SETTINGSMAXFRAMESIZE", 6: "SETTINGSMAXHEADERLISTSIZE",
}

// errorNames are EVE's, by their number (RFC 9113 section 7).
var errorNames = [...]string{
	"NoError", "ProtocolError", "InternalError", "FlowControlError", "SettingsTimeout", "StreamClosed", "FrameSizeError", "RefusedStream",
	"Cancel", "CompressionError", "ConnectError", "EnhanceYourCalm", "InadequateSecurity", "Http11Required",
}

// append writes what frames other than HEADERS and DATA said.
func (s *side) append(w *jsonw.Writer, key string) {
	m := w.Mark()
	w.Object(key)
	if len(s.settings) > 0 {
		w.Array("settings")
		for _, x := range s.settings {
			w.Object("")
			name := "SETTINGSUNKNOWN(" + strconv.Itoa(int(x.id)) + ")"
			if int(x.id) < len(settingNames) && x.id > 0 {
				name = settingNames[x.id]
			}
			w.String("settings_id", name)
			w.Uint("settings_value", uint64(x.value))
			w.Close()
		}
		w.Close()
	}
	if len(s.errors) > 0 {
		name := strconv.Itoa(int(s.errors[0]))
		if int(s.errors[0]) < len(errorNames) {
			name = errorNames[s.errors[0]]
		}
		if s.goaway {
			name = strings.ToUpper(name)
		}
		w.String("error_code", name)
	}
	if len(s.priorities) > 0 {
		w.Uint("priority", uint64(s.priorities[0]))
	}
	switch {
	case len(s.errors) > 1:
		w.String("has_multiple", "error_code")
	case len(s.priorities) > 1:
		w.String("has_multiple", "priority")
	}
	if w.Empty() {
		w.Back(m)
		return
	}
	w.Close()
}
