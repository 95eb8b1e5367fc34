package mqtt

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/sensor/internal/yamlconf"
)

// names are how EVE calls the messages.
var names = [...]string{
	"unassigned", "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe", "unsuback",
	"pingreq", "pingresp", "disconnect", "auth",
}

// propertyNames are how EVE calls the properties.
var propertyNames = map[uint32]string{
	1: "payload_format_indicator", 2: "message_expiry_interval", 3: "content_type", 8: "response_topic", 9: "correlation_data", 11: "subscription_identifier",
	17: "session_expiry_interval", 18: "assigned_client_identifier", 19: "server_keep_alive", 21: "authentication_method", 22: "authentication_data",
	23: "request_problem_information", 24: "will_delay_interval", 25: "request_response_information", 26: "response_information", 28: "server_reference",
	31: "reason_string", 33: "receive_maximum", 34: "topic_alias_maximum", 35: "topic_alias", 36: "maximum_qos", 37: "retain_available",
	39: "maximum_packet_size", 40: "wildcard_subscription_available", 41: "subscription_identifier_available", 42: "shared_subscription_available",
}

// options are those of the type mqtt in eve-log.
type options struct {
	passwords bool
	maxText   int // How much of a text is logged.
}

var defaults = &options{passwords: true, maxText: 1024}

// readOptions reads passwords and string-log-limit.
func readOptions(get func(string) (string, bool)) (any, error) {
	o := *defaults
	if _, ok := get("passwords"); ok {
		o.passwords = app.On(get, "passwords")
	}
	if text, ok := get("string-log-limit"); ok {
		n, ok := yamlconf.ParseSize(text)
		if !ok {
			return nil, fmt.Errorf("read mqtt string-log-limit: %q is no size", text)
		}
		o.maxText = int(n)
	}
	return &o, nil
}

// writer writes the texts of a message as long as the options allow.
type writer struct {
	*jsonw.Writer
	*options
}

func (w writer) text(key string, b []byte) { w.Printable(key, cut(b, w.maxText)) }

// cut is a text of at most n bytes, or what is left of it.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	return fmt.Appendf(nil, "%s[truncated %d additional bytes]", b[:n], len(b)-n)
}

// appendLog writes the member mqtt of an event.
func appendLog(out *jsonw.Writer, x app.Tx, opts any) {
	o, ok := opts.(*options)
	if !ok {
		o = defaults
	}
	w := writer{out, o}
	w.Object("mqtt")
	for _, m := range x.(*tx).messages {
		if m.kind == unassigned {
			continue
		}
		w.Object(names[m.kind])
		w.Uint("qos", uint64(m.qos))
		w.Bool("retain", m.retain)
		w.Bool("dup", m.dup)
		if m.cut > 0 {
			w.Bool("truncated", true)
			w.Uint("skipped_length", uint64(m.cut))
		} else {
			m.log(w)
		}
		w.Close()
	}
	w.Close()
}

func (m *message) log(w writer) {
	switch m.kind {
	case connect:
		m.logConnect(w)
	case connack:
		w.Bool("session_present", m.present)
		w.Uint("return_code", uint64(m.reason))
	case publish:
		w.text("topic", m.topic)
		if m.hasID {
			w.Uint("message_id", uint64(m.id))
		}
		w.text("message", m.payload)
	case puback, pubrec, pubrel, pubcomp:
		w.Uint("message_id", uint64(m.id))
		if m.hasReason {
			w.Uint("reason_code", uint64(m.reason))
		}
	case subscribe, unsubscribe:
		w.Uint("message_id", uint64(m.id))
		w.Array("topics")
		room := w.maxText // Of all topics together.
		for _, t := range m.topics {
			name := cut(t.name, room)
			room = max(0, room-len(t.name))
			if m.kind == unsubscribe {
				w.Printable("", name)
				continue
			}
			w.Object("")
			w.Printable("topic", name)
			w.Uint("qos", uint64(t.qos))
			w.Close()
		}
		w.Close()
	case suback, unsuback:
		w.Uint("message_id", uint64(m.id))
		key := "qos_granted"
		if m.kind == unsuback {
			key = "reason_codes"
		}
		if m.kind == suback || len(m.codes) > 0 {
			w.Array(key)
			for _, c := range m.codes {
				w.Uint("", uint64(c))
			}
			w.Close()
		}
		return // Their properties are not logged.
	case disconnect, auth:
		if m.hasReason || m.kind == auth {
			w.Uint("reason_code", uint64(m.reason))
		}
	}
	if m.kind != unsubscribe {
		logProperties(w, m.properties)
	}
}

func (m *message) logConnect(w writer) {
	w.Printable("protocol_string", m.protocol)
	w.Uint("protocol_version", uint64(m.version))
	w.text("client_id", m.client)
	w.Object("flags")
	for _, f := range [...]struct {
		name string
		bit  uint8
	}{{"username", flagUser}, {"password", flagPassword}, {"will_retain", flagWillRetain}, {"will", flagWill}, {"clean_session", flagClean}} {
		w.Bool(f.name, m.flags&f.bit != 0)
	}
	w.Close()
	if m.user != nil {
		w.text("username", m.user)
	}
	if m.password != nil && w.passwords {
		w.Printable("password", m.password)
	}
	if m.flags&flagWill != 0 {
		w.Object("will")
		w.text("topic", m.willTopic)
		w.text("message", m.will)
		logProperties(w, m.willProperties)
		w.Close()
	}
}

func logProperties(w writer, list []property) {
	if list == nil {
		return
	}
	w.Object("properties")
	for _, p := range list {
		const user = 38
		name := propertyNames[p.id]
		switch {
		case p.id == user:
			w.Member(p.text, p.more)
		case p.text != nil:
			w.text(name, p.text)
		default:
			w.Uint(name, uint64(p.number))
		}
	}
	w.Close()
}
