package tls

import (
	"fmt"
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

func itoa(n int) string { return strconv.Itoa(n) }

// wanted says whether there is something to tell: a hello at least.
func wanted(x app.Tx, _ any) bool {
	t := x.(*connection)
	return t.hello[app.ToClient].known && (len(t.certs[app.ToClient]) > 0 || t.hello[app.ToServer].known)
}

// versionName is how EVE calls a version.
func versionName(v uint16) string {
	switch v {
	case 0:
		return "UNDETERMINED"
	case 0x0200:
		return "SSLv2"
	case 0x0300:
		return "SSLv3"
	case 0x0301:
		return "TLSv1"
	case 0x0302:
		return "TLS 1.1"
	case 0x0303:
		return "TLS 1.2"
	case 0x0304:
		return "TLS 1.3"
	}
	if v>>8 == 0x7f {
		return fmt.Sprintf("TLS 1.3 draft-%d", v&0xff)
	}
	return fmt.Sprintf("0x%04x", v)
}

// versionNumber is how rules call a version.
func versionNumber(v uint16) string {
	switch v {
	case 0x0301:
		return "1.0"
	case 0x0302:
		return "1.1"
	case 0x0303:
		return "1.2"
	case 0x0304:
		return "1.3"
	}
	return fmt.Sprintf("0x%04x", v)
}

// appendLog writes the member tls of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*connection)
	w.Object("tls")
	if len(t.certs[app.ToClient]) > 0 {
		c := &t.certs[app.ToClient][0]
		w.Printable("subject", []byte(c.subject))
		w.Printable("issuerdn", []byte(c.issuer))
		if len(c.names) > 0 {
			w.Array("subjectaltname")
			for _, n := range c.names {
				w.Printable("", n)
			}
			w.Close()
		}
		w.String("serial", c.serial)
		w.String("fingerprint", c.fingerprint)
	}
	if t.resumed {
		w.Bool("session_resumed", true)
	}
	client, server := &t.hello[app.ToServer], &t.hello[app.ToClient]
	if client.sni != nil {
		w.Printable("sni", client.sni)
	}
	w.String("version", versionName(t.version()))
	if len(t.certs[app.ToClient]) > 0 && t.certs[app.ToClient][0].dated {
		c := &t.certs[app.ToClient][0]
		const layout = "2006-01-02T15:04:05"
		w.String("notbefore", c.before.Format(layout))
		w.String("notafter", c.after.Format(layout))
	}
	if t.ja3 && client.known {
		fingerprint(w, "ja3", client)
	}
	if t.ja3 && server.known {
		fingerprint(w, "ja3s", server)
	}
	if t.ja4 && client.known {
		w.String("ja4", client.ja4)
	}
	protocols(w, "client_alpns", client)
	protocols(w, "server_alpns", server)
	w.Close()
}

func fingerprint(w *jsonw.Writer, key string, h *hello) {
	w.Object(key)
	w.String("hash", h.ja3Hash())
	w.String("string", h.ja3)
	w.Close()
}

func protocols(w *jsonw.Writer, key string, h *hello) {
	if len(h.alpn) == 0 {
		return
	}
	w.Array(key)
	for _, a := range h.alpn {
		w.Printable("", a)
	}
	w.Close()
}
