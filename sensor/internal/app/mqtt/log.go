package mqtt

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
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

// maxText is how much of a text is logged.
const maxText = 1024

func text(w *jsonw.Writer, key string, b []byte) {
	if len(b) > maxText {
		w.Printable(key, fmt.Appendf(nil, "%s[truncated %d additional bytes]", b[:maxText], len(b)-maxText))
		return
	}
	w.Printable(key, b)
}

// appendLog writes the member mqtt of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
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

func (m *message) log(w *jsonw.Writer) {
	switch m.kind {
	case connect:
		m.logConnect(w)
	case connack:
		w.Bool("session_present", m.present)
		w.Uint("return_code", uint64(m.reason))
	case publish:
		text(w, "topic", m.topic)
		if m.hasID {
			w.Uint("message_id", uint64(m.id))
		}
		text(w, "message", m.payload)
	case puback, pubrec, pubrel, pubcomp:
		w.Uint("message_id", uint64(m.id))
		if m.hasReason {
			w.Uint("reason_code", uint64(m.reason))
		}
	case subscribe, unsubscribe:
		w.Uint("message_id", uint64(m.id))
		w.Array("topics")
		for _, t := range m.topics {
			if m.kind == unsubscribe {
				w.Printable("", t.name)
				continue
			}
			w.Object("")
			text(w, "topic", t.name)
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

func (m *message) logConnect(w *jsonw.Writer) {
	w.Printable("protocol_string", m.protocol)
	w.Uint("protocol_version", uint64(m.version))
	text(w, "client_id", m.client)
	w.Object("flags")
	for _, f := range [...]struct {
		name string
		bit  uint8
	}{{"username", flagUser}, {"password", flagPassword}, {"will_retain", flagWillRetain}, {"will", flagWill}, {"clean_session", flagClean}} {
		w.Bool(f.name, m.flags&f.bit != 0)
	}
	w.Close()
	if m.user != nil {
		text(w, "username", m.user)
	}
	if m.password != nil {
		w.Printable("password", m.password)
	}
	if m.flags&flagWill != 0 {
		w.Object("will")
		text(w, "topic", m.willTopic)
		text(w, "message", m.will)
		logProperties(w, m.willProperties)
		w.Close()
	}
}

func logProperties(w *jsonw.Writer, list []property) {
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
			text(w, name, p.text)
		default:
			w.Uint(name, uint64(p.number))
		}
	}
	w.Close()
}
