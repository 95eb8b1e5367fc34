package suricata

import (
	"slices"
	"strings"
)

// frames are the parts of a protocol's stream that `frame` selects. Protocols
// over TCP also have the frame "stream".
var frames = map[string][]string{
	"http1":     {"request", "response"},
	"http2":     {"hdr", "data", "pdu"},
	"tls":       {"pdu", "hdr", "data", "alert", "heartbeat"},
	"smtp":      {"command_line", "data", "response_line"},
	"ssh":       {"record.hdr", "record.data", "record.pdu"},
	"dns":       {"pdu"},
	"mdns":      {"pdu"},
	"enip":      {"hdr", "data", "pdu", "cip", "enip.item"},
	"rfb":       {"pdu"},
	"mqtt":      {"pdu", "header", "data"},
	"dcerpc":    {"pdu", "hdr", "data"},
	"ldap":      {"pdu"},
	"telnet":    {"pdu", "ctl", "data"},
	"websocket": {"header", "pdu", "data"},
	"smb": {"nbss.pdu", "nbss.hdr", "nbss.data", "smb1.pdu", "smb1.hdr", "smb1.data", "smb2.pdu", "smb2.hdr",
		"smb2.data", "smb3.pdu", "smb3.hdr", "smb3.data"},
	"sip": {"pdu", "request.line", "response.line", "request.headers", "response.headers", "request.body", "response.body"},
	"nfs": {"rpc.pdu", "rpc.hdr", "rpc.data", "rpc.creds", "nfs.pdu", "nfs.status", "nfs4.pdu", "nfs4.hdr", "nfs4.ops", "nfs4.status"},
}

// frame resolves the argument of frame to its long form, protocol.frame. The
// short form takes the rule's protocol.
func (r *resolver) frame(o *Option) string {
	name := strings.ToLower(o.Value.String())
	app, rest, dotted := strings.Cut(name, ".")
	if _, known := apps[app]; dotted && known {
		name = rest
	} else if app = r.rule.Proto.App(); app == "" {
		r.failAt(o, "the short form %q needs an application protocol in the header", name)
		return ""
	} else if app == "http" {
		app = "http1"
	}
	r.bind(o, []string{app})
	if !slices.Contains(frames[app], name) && (name != "stream" || !slices.Contains(apps[app], 6)) {
		r.failAt(o, "protocol %s has no frame %q", app, name)
	}
	return app + "." + name
}
