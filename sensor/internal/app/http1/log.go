package http1

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// options are those of the type http in eve-log.
type options struct {
	extended bool
	all      [2]bool         // All headers of a direction are logged.
	custom   map[string]bool // Headers that are logged, in lower case.
}

// whole is what an alert shows, and what is logged without options.
var whole = &options{extended: true}

// readOptions reads extended, dump-all-headers and custom.
func readOptions(get func(string) (string, bool)) (any, error) {
	o := &options{extended: app.On(get, "extended"), custom: map[string]bool{}}
	all, _ := get("dump-all-headers")
	o.all = [2]bool{all == "both" || all == "request", all == "both" || all == "response"}
	custom, _ := get("custom")
	for _, name := range strings.Fields(custom) {
		o.custom[strings.ReplaceAll(strings.ToLower(name), "_", "-")] = true
	}
	return o, nil
}

// appendLog writes the member http of an event.
func appendLog(w *jsonw.Writer, x app.Tx, opts any) {
	t := x.(*tx)
	o, ok := opts.(*options)
	if !ok {
		o = whole
	}
	w.Object("http")
	t.appendBasic(w)
	if o.extended {
		t.appendExtended(w)
	}
	o.appendHeaders(w, "request_headers", o.all[app.ToServer], &t.request)
	o.appendHeaders(w, "response_headers", o.all[app.ToClient], &t.response)
	w.Close()
}

// appendHeaders writes the headers of a message that are wanted.
func (o *options) appendHeaders(w *jsonw.Writer, key string, all bool, m *message) {
	if !all && len(o.custom) == 0 {
		return
	}
	mark := w.Mark()
	w.Array(key)
	for i := range m.headers {
		h := &m.headers[i]
		if !all && !o.custom[strings.ToLower(string(h.name))] {
			continue
		}
		w.Object("")
		w.Printable("name", h.name)
		w.Printable("value", h.value)
		w.Close()
	}
	if w.Empty() {
		w.Back(mark)
		return
	}
	w.Close()
}

// text writes bytes that are there.
func text(w *jsonw.Writer, key string, v []byte) {
	if v != nil {
		w.Printable(key, v)
	}
}

func (t *tx) appendBasic(w *jsonw.Writer) {
	if h := t.host(); len(h) > 0 {
		w.Printable("hostname", h)
		if raw := t.request.value("host"); len(raw) > len(h) {
			if _, port, ok := strings.Cut(string(raw[len(h):]), ":"); ok {
				if n, err := strconv.ParseUint(strings.TrimSpace(port), 10, 16); err == nil {
					w.Uint("http_port", n)
				}
			}
		}
	}
	if len(t.uri) > 0 {
		text(w, "url", t.uri)
	}
	text(w, "http_user_agent", t.request.value("user-agent"))
	if v := t.response.value("content-type"); v != nil {
		v, _, _ = bytes.Cut(v, []byte{';'})
		text(w, "http_content_type", v)
	}
	if v := t.response.value("content-range"); v != nil {
		contentRange(w, v)
	}
}

func (t *tx) appendExtended(w *jsonw.Writer) {
	text(w, "http_refer", t.request.value("referer"))
	if len(t.method) > 0 {
		text(w, "http_method", t.method)
	}
	if len(t.request.protocol) > 0 {
		text(w, "protocol", t.request.protocol)
	}
	if n, err := strconv.ParseUint(string(t.status), 10, 16); err == nil {
		w.Uint("status", n)
		if n >= 300 && n < 400 {
			text(w, "redirect", t.response.value("location"))
		}
	}
	w.Uint("length", t.response.bodySize)
}

// contentRange writes what a Content-Range header says (RFC 9110 section 14.4).
func contentRange(w *jsonw.Writer, v []byte) {
	w.Object("content_range")
	w.Printable("raw", v)
	_, spec, _ := strings.Cut(string(v), " ")
	span, size, _ := strings.Cut(spec, "/")
	from, to, _ := strings.Cut(span, "-")
	for _, part := range []struct{ key, text string }{{"start", from}, {"end", to}, {"size", size}} {
		if n, err := strconv.ParseUint(strings.TrimSpace(part.text), 10, 63); err == nil {
			w.Uint(part.key, n)
		}
	}
	w.Close()
}
