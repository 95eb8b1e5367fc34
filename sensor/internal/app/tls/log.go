package tls

import (
	"fmt"
	"strings"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/app/hello"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// options are those of the type tls in eve-log.
type options struct {
	fields  field
	resumed bool // Connections that resume an older one are logged too.
}

// field is a set of what may be logged.
type field uint32

const (
	fieldVersion field = 1 << iota
	fieldSubject
	fieldIssuer
	fieldSerial
	fieldFingerprint
	fieldNotBefore
	fieldNotAfter
	fieldSNI
	fieldCertificate
	fieldChain
	fieldResumed
	fieldJA3
	fieldJA3S
	fieldClient
	fieldClientCertificate
	fieldClientChain
	fieldJA4
	fieldAltNames
	fieldClientALPNs
	fieldServerALPNs
	fieldClientHandshake
	fieldServerHandshake
)

// fieldNames are the words of the list custom, by bit.
var fieldNames = [...]string{
	"version", "subject", "issuer", "serial", "fingerprint", "not_before", "not_after", "sni", "certificate", "chain", "session_resumed", "ja3", "ja3s",
	"client", "client_certificate", "client_chain", "ja4", "subjectaltname", "client_alpns", "server_alpns", "client_handshake", "server_handshake",
}

const (
	basic    = fieldSubject | fieldIssuer | fieldAltNames
	extended = basic | fieldVersion | fieldSerial | fieldFingerprint | fieldNotBefore | fieldNotAfter | fieldSNI | fieldJA3 | fieldJA3S | fieldJA4 |
		fieldClient | fieldClientALPNs | fieldServerALPNs
)

// readOptions reads extended, custom and session-resumption.
func readOptions(get func(string) (string, bool)) (any, error) {
	o := &options{fields: basic}
	if app.On(get, "extended") {
		o.fields = extended
	}
	o.resumed = app.On(get, "session-resumption")
	custom, ok := get("custom")
	if ok {
		o.fields = 0
	}
	for _, word := range strings.Fields(custom) {
		known := false
		for i, name := range fieldNames {
			if name == word {
				o.fields |= 1 << i
				known = true
			}
		}
		if !known {
			return nil, fmt.Errorf("read tls custom: no field %q", word)
		}
	}
	if o.resumed {
		o.fields |= fieldResumed
	}
	return o, nil
}

// whole is what an alert shows, and what is logged without options.
var whole = &options{fields: extended | fieldResumed, resumed: true}

// wanted says whether there is something to tell: a server's hello, and a
// certificate unless the connection needs none.
func wanted(x app.Tx, opts any) bool {
	t := x.(*connection)
	if !t.hellos[app.ToClient].Known {
		return false
	}
	if len(t.certs[app.ToClient]) > 0 || t.hellos[app.ToClient].Modern() {
		return true
	}
	o, _ := opts.(*options)
	return t.hellos[app.ToServer].Known && (o == nil || o.resumed)
}

// versionName is how EVE calls a version.
func versionName(v uint16) string {
	switch v {
	case 0:
		return "UNDETERMINED"
	case hello.SSL2:
		return "SSLv2"
	case hello.SSL3:
		return "SSLv3"
	case hello.TLS10:
		return "TLSv1"
	case hello.TLS11, hello.TLS12, hello.TLS13:
		return "TLS 1." + string('0'+rune(v-hello.TLS10))
	}
	if v>>8 == 0x7f {
		return fmt.Sprintf("TLS 1.3 draft-%d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", v)
}

// appendLog writes the member tls of an event.
func appendLog(w *jsonw.Writer, x app.Tx, opts any) {
	t := x.(*connection)
	o, ok := opts.(*options)
	if !ok {
		o = whole
	}
	has := func(f field) bool { return o.fields&f != 0 }
	client, server := &t.hellos[app.ToServer], &t.hellos[app.ToClient]
	chain := t.certs[app.ToClient]
	w.Object("tls")
	if len(chain) > 0 {
		chain[0].append(w, o.fields)
	}
	if has(fieldResumed) && t.resumed && len(chain) == 0 {
		w.Bool("session_resumed", true)
	}
	if has(fieldSNI) && client.SNI != nil {
		w.Printable("sni", client.SNI)
	}
	if has(fieldVersion) {
		w.String("version", versionName(t.version()))
	}
	if has(fieldCertificate) && len(chain) > 0 {
		w.Base64("certificate", chain[0].der)
	}
	if has(fieldChain) {
		appendChain(w, chain)
	}
	if has(fieldJA3) && t.ja3 && client.Known {
		appendJA3(w, "ja3", client)
	}
	if has(fieldJA3S) && t.ja3 && server.Known {
		appendJA3(w, "ja3s", server)
	}
	if has(fieldJA4) && t.ja4 && client.Known {
		w.Text("ja4", client.JA4('t'))
	}
	if has(fieldClientALPNs) {
		appendALPNs(w, "client_alpns", client)
	}
	if has(fieldServerALPNs) {
		appendALPNs(w, "server_alpns", server)
	}
	if has(fieldClientHandshake) {
		appendHandshake(w, "client_handshake", client)
	}
	if has(fieldServerHandshake) {
		appendHandshake(w, "server_handshake", server)
	}
	if own := t.certs[app.ToServer]; has(fieldClient) && len(own) > 0 {
		w.Object("client")
		own[0].append(w, extended&^fieldAltNames)
		if has(fieldClientCertificate) {
			w.Base64("certificate", own[0].der)
		}
		if has(fieldClientChain) {
			appendChain(w, own)
		}
		w.Close()
	}
	w.Close()
}

// append writes the members that tell a certificate.
func (x *certificate) append(w *jsonw.Writer, fields field) {
	if fields&fieldSubject != 0 {
		w.Printable("subject", []byte(x.subject))
	}
	if fields&fieldIssuer != 0 {
		w.Printable("issuerdn", []byte(x.issuer))
	}
	if fields&fieldAltNames != 0 && len(x.names) > 0 {
		w.Array("subjectaltname")
		for _, n := range x.names {
			w.Printable("", n)
		}
		w.Close()
	}
	if fields&fieldSerial != 0 {
		w.String("serial", x.serial)
	}
	if fields&fieldFingerprint != 0 {
		w.String("fingerprint", x.fingerprint)
	}
	const layout = "2006-01-02T15:04:05"
	if fields&fieldNotBefore != 0 && x.dated {
		w.String("notbefore", x.before.Format(layout))
	}
	if fields&fieldNotAfter != 0 && x.dated {
		w.String("notafter", x.after.Format(layout))
	}
}

func appendChain(w *jsonw.Writer, chain []certificate) {
	if len(chain) == 0 {
		return
	}
	w.Array("chain")
	for i := range chain {
		w.Base64("", chain[i].der)
	}
	w.Close()
}

func appendJA3(w *jsonw.Writer, key string, h *hello.Hello) {
	w.Object(key)
	w.Text("hash", h.JA3Hash())
	w.Text("string", h.JA3())
	w.Close()
}

func appendALPNs(w *jsonw.Writer, key string, h *hello.Hello) {
	if len(h.ALPN) == 0 {
		return
	}
	w.Array(key)
	for _, a := range h.ALPN {
		w.Printable("", a)
	}
	w.Close()
}

// appendHandshake writes what a hello offers or chooses.
func appendHandshake(w *jsonw.Writer, key string, h *hello.Hello) {
	if !h.Known {
		return
	}
	w.Object(key)
	w.String("version", versionName(h.Agreed()))
	if h.Client {
		appendNumbers(w, "ciphers", h.Ciphers)
	} else {
		w.Uint("cipher", uint64(h.Ciphers[0]))
	}
	appendNumbers(w, "exts", h.Extensions)
	if h.Client {
		appendNumbers(w, "sig_algs", h.Signatures)
	}
	w.Close()
}

func appendNumbers(w *jsonw.Writer, key string, list []uint16) {
	if list = hello.Plain(list); len(list) == 0 {
		return
	}
	w.Array(key)
	for _, n := range list {
		w.Uint("", uint64(n))
	}
	w.Close()
}
