package suricata

import (
	"fmt"
	"slices"
	"strings"
)

// Verb is what a rule does when it matches.
type Verb string

// The verbs. Reject is another name of RejectSrc's behaviour and printed as it
// was written.
const (
	Alert      Verb = "alert"
	Drop       Verb = "drop"
	Pass       Verb = "pass"
	Reject     Verb = "reject"
	RejectSrc  Verb = "rejectsrc"
	RejectDst  Verb = "rejectdst"
	RejectBoth Verb = "rejectboth"
	Config     Verb = "config"
	Accept     Verb = "accept" // firewall rules only
)

var verbs = []Verb{Alert, Drop, Pass, Reject, RejectSrc, RejectDst, RejectBoth, Config, Accept}

// scopes a verb may be limited to (drop:flow).
var scopes = map[Verb][]string{
	Drop: {"packet", "flow"}, Pass: {"packet", "flow"}, Accept: {"packet", "flow", "tx", "hook"}, Config: {"packet"},
	Reject: {"packet", "flow"}, RejectSrc: {"packet", "flow"}, RejectDst: {"packet", "flow"}, RejectBoth: {"packet", "flow"},
}

// Deed is one of a rule's actions with its scope.
type Deed struct {
	Verb  Verb
	Scope string // "" unless written
}

// String is verb or verb:scope.
func (d Deed) String() string {
	if d.Scope == "" {
		return string(d.Verb)
	}
	return string(d.Verb) + ":" + d.Scope
}

// parseActions reads the first field: one verb, or several of a firewall rule.
func parseActions(s string) ([]Deed, error) {
	var out []Deed
	for _, part := range splitList(s) {
		verb, scope, scoped := strings.Cut(part, ":")
		d := Deed{Verb(strings.ToLower(verb)), scope}
		if !slices.Contains(verbs, d.Verb) {
			return nil, fmt.Errorf("unknown action %q", verb)
		}
		if scoped && !slices.Contains(scopes[d.Verb], scope) {
			return nil, fmt.Errorf("action %s has no scope %q", d.Verb, scope)
		}
		out = append(out, d)
	}
	return out, nil
}

// Proto is the second header field.
type Proto struct {
	Name string // lower case, as written
	Hook string // "" unless written: http1:request_started
}

// String is name or name:hook.
func (p Proto) String() string {
	if p.Hook == "" {
		return p.Name
	}
	return p.Name + ":" + p.Hook
}

// Transports are the protocols below the application ones a header may name,
// and the IP protocol numbers they stand for; none: all.
var transports = map[string][]uint8{
	"tcp": {6}, "tcp-pkt": {6}, "tcp-stream": {6}, "udp": {17}, "sctp": {132}, "icmp": {1, 58}, "icmpv4": {1},
	"icmpv6": {58}, "ip": {}, "pkthdr": {}, "ipv4": {}, "ip4": {}, "ipv6": {}, "ip6": {},
}

// apps are the application protocols, with the IP protocols they run over.
var apps = map[string][]uint8{
	"http": {6}, "http1": {6}, "http2": {6}, "tls": {6}, "smb": {6}, "dcerpc": {6, 17}, "smtp": {6}, "ftp": {6},
	"ftp-data": {6}, "ssh": {6}, "imap": {6}, "pop3": {6}, "jabber": {6}, "irc": {6}, "dns": {6, 17}, "doh2": {6}, "mdns": {17},
	"nfs": {6, 17}, "ntp": {17}, "tftp": {17}, "ike": {17}, "krb5": {6, 17}, "dhcp": {17}, "snmp": {17},
	"sip": {6, 17}, "rfb": {6}, "mqtt": {6}, "pgsql": {6}, "telnet": {6}, "websocket": {6}, "ldap": {6, 17},
	"rdp": {6}, "bittorrent-dht": {17}, "quic": {17}, "modbus": {6}, "dnp3": {6}, "enip": {6, 17}, "template": {6},
}

// oldApps are former names of application protocols.
var oldApps = map[string]string{"ssl": "tls", "ikev2": "ike", "dcerpc-udp": "dcerpc"}

// packetHooks of transport protocols, and appHooks of each application protocol.
var (
	packetHooks = []string{"flow_start", "pre_flow", "pre_stream", "all"}
	anyAppHooks = []string{"request_started", "request_complete", "response_started", "response_complete"}
	appHooks    = map[string][]string{
		"http1": {"request_line", "request_headers", "request_body", "request_trailer", "response_line", "response_headers", "response_body", "response_trailer"},
		"tls": {"client_in_progress", "client_hello_done", "client_cert_done", "client_handshake_done", "client_finished",
			"server_in_progress", "server_hello", "server_cert_done", "server_hello_done", "server_handshake_done", "server_finished"},
		"ssh":  {"request_in_progress", "request_banner_wait_eol", "request_banner_done", "request_finished", "response_in_progress", "response_banner_wait_eol", "response_banner_done", "response_finished"},
		"smtp": {"request_data", "response_data"},
	}
)

// parseProto reads protocol and hook.
func parseProto(s string) (Proto, error) {
	name, hook, hooked := strings.Cut(s, ":")
	p := Proto{strings.ToLower(name), hook}
	_, transport := transports[p.Name]
	if _, isApp := apps[appName(p.Name)]; !transport && !isApp {
		return p, fmt.Errorf("unknown protocol %q", name)
	}
	if !hooked {
		return p, nil
	}
	known := packetHooks
	if !transport {
		known = append(slices.Clip(anyAppHooks), appHooks[p.Name]...)
	}
	if !slices.Contains(known, strings.TrimPrefix(hook, "<")) {
		return p, fmt.Errorf("protocol %s has no hook %q", p.Name, hook)
	}
	return p, nil
}

// appName is the current name of an application protocol.
func appName(name string) string {
	if now, ok := oldApps[name]; ok {
		return now
	}
	return name
}

// HookDir is the direction an application protocol's hook binds a rule to.
func (p Proto) HookDir() Direction {
	hook := strings.TrimPrefix(p.Hook, "<")
	switch {
	case p.App() == "":
		return 0
	case strings.HasPrefix(hook, "request_") || strings.HasPrefix(hook, "client_"):
		return ToServer
	case strings.HasPrefix(hook, "response_") || strings.HasPrefix(hook, "server_"):
		return ToClient
	}
	return 0
}

// App is the application protocol of the header, "" if it names none.
func (p Proto) App() string {
	if _, ok := apps[appName(p.Name)]; ok {
		return appName(p.Name)
	}
	return ""
}

// Way is the arrow between the two ends.
type Way string

// The arrows. Suricata has no <-.
const (
	OneWay        Way = "->"
	Either        Way = "<>" // the rule also counts with its ends swapped
	Transactional Way = "=>" // request and response of one transaction (8.0)
)

func parseWay(s string) (Way, error) {
	switch w := Way(s); w {
	case OneWay, Either, Transactional:
		return w, nil
	}
	return "", fmt.Errorf("direction %q is none of ->, <>, =>", s)
}
