package smtp

import (
	"bytes"
	"crypto/md5"
	"slices"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// field is a header that may be logged.
type field struct {
	key, header string
	form        form
	extended    bool // With the option of that name.
}

// form is how the values of a header are told.
type form uint8

const (
	first  form = iota
	all         // Of all headers of that name.
	commas      // Split at commas.
)

var fields = []field{
	{key: "reply_to", header: "reply-to"}, {key: "bcc", header: "bcc", form: commas, extended: true},
	{key: "message_id", header: "message-id", extended: true}, {key: "subject", header: "subject", extended: true},
	{key: "x_mailer", header: "x-mailer", extended: true}, {key: "user_agent", header: "user-agent", extended: true},
	{key: "received", header: "received", form: all}, {key: "x_originating_ip", header: "x-originating-ip"},
	{key: "in_reply_to", header: "in-reply-to"}, {key: "references", header: "references"}, {key: "importance", header: "importance"},
	{key: "priority", header: "priority"}, {key: "sensitivity", header: "sensitivity"}, {key: "organization", header: "organization"},
	{key: "content_md5", header: "content-md5"}, {key: "date", header: "date"},
}

// options are those of smtp in eve-log.
type options struct {
	fields                 []field
	subjectDigest, bodyMD5 bool
}

func readOptions(get func(string) (string, bool)) (any, error) {
	o := &options{}
	extended := app.On(get, "extended")
	custom, _ := get("custom")
	names := strings.Fields(custom)
	for _, f := range fields {
		wanted := slices.ContainsFunc(names, func(name string) bool { return name == f.key || strings.EqualFold(name, f.header) })
		if wanted || f.extended && extended {
			o.fields = append(o.fields, f)
		}
	}
	digests, _ := get("md5")
	o.subjectDigest, o.bodyMD5 = strings.Contains(digests, "subject"), strings.Contains(digests, "body")
	return o, nil
}

// appendLog writes the members smtp and email of an event.
func appendLog(w *jsonw.Writer, x app.Tx, opts any) {
	t := x.(*tx)
	w.Object("smtp")
	if t.helo != nil {
		w.Text("helo", t.helo)
	}
	if t.from != nil {
		w.Text("mail_from", t.from)
	}
	w.Texts("rcpt_to", t.recipients)
	w.Close()
	if t.mail == nil {
		return
	}
	w.Object("email")
	if v := t.mail.Value("from"); v != nil {
		w.Text("from", v)
	}
	w.Texts("to", split(t.mail.Value("to")))
	w.Texts("cc", split(t.mail.Value("cc")))
	w.String("status", "PARSE_DONE")
	w.Texts("attachment", t.mail.Attachments)
	urls := slices.Clone(t.mail.URLs)
	slices.Reverse(urls) // The last comes first, as in Suricata.
	w.Texts("url", urls)
	if o, ok := opts.(*options); ok {
		t.logMore(w, o)
	}
	w.Close()
}

func (t *tx) logMore(w *jsonw.Writer, o *options) {
	for _, f := range o.fields {
		switch v := t.mail.Value(f.header); {
		case v == nil:
		case f.form == all:
			w.Texts(f.key, t.mail.Values(f.header))
		case f.form == commas:
			w.Texts(f.key, split(v))
		default:
			w.Text(f.key, v)
		}
	}
	if v := t.mail.Value("subject"); v != nil && o.subjectDigest {
		sum := md5.Sum(v)
		w.Hex("subject_md5", sum[:])
	}
	if t.mail.BodyMD5 != nil && o.bodyMD5 {
		w.Hex("body_md5", t.mail.BodyMD5)
	}
}

// split takes a list of addresses apart, at the commas that are not in quotes.
func split(v []byte) (list [][]byte) {
	quoted := false
	begin := 0
	for i := 0; i <= len(v); i++ {
		switch {
		case i == len(v) || v[i] == ',' && !quoted:
			if part := bytes.TrimLeft(v[begin:i], " \t"); len(part) > 0 {
				list = append(list, part)
			}
			begin = i + 1
		case v[i] == '"':
			quoted = !quoted
		}
	}
	return list
}
