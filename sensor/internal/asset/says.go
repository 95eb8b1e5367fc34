package asset

import (
	"net"
	"net/netip"
	"time"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/eve"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// saying is where a protocol's transactions tell what their ends are.
type saying struct {
	client, server                       suricata.Buffer
	subject, issuer, serial, fingerprint suricata.Buffer // of the server's certificate
}

var sayings = map[string]saying{
	"http":  {client: suricata.BufHTTPUserAgent, server: suricata.BufHTTPServer},
	"http2": {client: suricata.BufHTTPUserAgent, server: suricata.BufHTTPServer},
	"ssh":   {client: suricata.BufSSHSoftware, server: suricata.BufSSHSoftware},
	"sip":   {client: suricata.BufSIPUserAgent},
	"quic":  {client: suricata.BufQUICUA},
	"tls": {subject: suricata.BufTLSCertSubject, issuer: suricata.BufTLSCertIssuer, serial: suricata.BufTLSCertSerial,
		fingerprint: suricata.BufTLSCertFingerprint},
}

// text is the first value of a buffer, "" if there is none.
func (v *Inventory) text(tx app.Tx, b suricata.Buffer, dir app.Dir) string {
	if b == suricata.NoBuffer {
		return ""
	}
	got, ok := tx.Buffer(b, dir, 0, &v.scratch)
	if !ok {
		return ""
	}
	return clean(got.Data)
}

func (s *seen) append(w *jsonw.Writer) {
	w.String("first_seen", time.Unix(0, s.first).UTC().Format(time.RFC3339Nano))
	w.String("last_seen", time.Unix(0, s.last).UTC().Format(time.RFC3339Nano))
}

func texts(w *jsonw.Writer, key string, list []string) {
	if len(list) == 0 {
		return
	}
	w.Array(key)
	for _, text := range list {
		w.String("", text)
	}
	w.Close()
}

func optional(w *jsonw.Writer, key, text string) {
	if text != "" {
		w.String(key, text)
	}
}

func (h *host) append(w *jsonw.Writer, a netip.Addr) {
	w.Object("")
	w.String("asset", "host")
	w.String("ip", a.String())
	if h.hasMAC {
		w.String("mac", net.HardwareAddr(h.mac[:]).String())
	}
	if h.vlan != 0 {
		w.Uint("vlan", uint64(h.vlan))
	}
	optional(w, "os_guess", h.system)
	texts(w, "software", h.software)
	h.seen.append(w)
	w.Close()
	w.Newline()
}

func (k serviceKey) append(w *jsonw.Writer) {
	w.String("proto", eve.ProtoName(k.proto))
	if transport(k.proto) {
		w.Uint("port", uint64(k.port))
	}
}

func (s *service) append(w *jsonw.Writer, k serviceKey) {
	w.Object("")
	w.String("asset", "service")
	w.String("ip", k.addr.String())
	k.append(w)
	optional(w, "app_proto", s.app)
	texts(w, "software", s.software)
	if s.certificate != (certificate{}) {
		w.Object("certificate")
		optional(w, "subject", s.certificate.subject)
		optional(w, "issuer", s.certificate.issuer)
		optional(w, "serial", s.certificate.serial)
		optional(w, "fingerprint", s.certificate.fingerprint)
		w.Close()
	}
	s.seen.append(w)
	w.Close()
	w.Newline()
}

func (t *talk) append(w *jsonw.Writer, k talkKey) {
	w.Object("")
	w.String("asset", "conversation")
	w.String("client", k.client.String())
	w.String("server", k.addr.String())
	k.serviceKey.append(w)
	optional(w, "app_proto", t.app)
	w.Uint("flows", t.flows)
	for d, name := range [...]string{"toserver", "toclient"} {
		w.Uint("pkts_"+name, t.packets[d])
		w.Uint("bytes_"+name, t.bytes[d])
	}
	t.seen.append(w)
	w.Close()
	w.Newline()
}
