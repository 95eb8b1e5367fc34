package mqtt

import (
	"slices"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/suricata"
)

// Match implements app.Tx.
func (t *tx) Match(o *suricata.Option, _ app.Dir) bool {
	return slices.ContainsFunc(t.messages, func(m *message) bool { return m.matches(o) })
}

func (m *message) matches(o *suricata.Option) bool {
	switch o.Name {
	case "mqtt.type":
		return app.MatchUint(o, uint64(m.kind))
	case "mqtt.qos":
		return app.MatchUint(o, uint64(m.qos))
	case "mqtt.protocol_version":
		return m.kind == connect && app.MatchUint(o, uint64(m.version))
	case "mqtt.reason_code":
		if m.hasReason && app.MatchUint(o, uint64(m.reason)) {
			return true
		}
		return slices.ContainsFunc(m.codes, func(c byte) bool { return app.MatchUint(o, uint64(c)) })
	case "mqtt.connack.session_present":
		word := o.Value.String()
		return m.kind == connack && m.present == (word == "yes" || word == "true")
	case "mqtt.flags":
		return app.MatchFlags(o, map[string]bool{"dup": m.dup, "retain": m.retain})
	case "mqtt.connect.flags":
		return m.kind == connect && app.MatchFlags(o, map[string]bool{
			"username": m.flags&flagUser != 0, "password": m.flags&flagPassword != 0, "will": m.flags&flagWill != 0,
			"will_retain": m.flags&flagWillRetain != 0, "clean_session": m.flags&flagClean != 0,
		})
	}
	return false
}
