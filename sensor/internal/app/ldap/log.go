package ldap

import (
	"strconv"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
	"github.com/hauberk/hauberk/suricata"
)

// appendLog writes the member ldap of an event.
func appendLog(w *jsonw.Writer, x app.Tx, _ any) {
	t := x.(*tx)
	w.Object("ldap")
	if m := t.request; m != nil {
		w.Object("request")
		w.Uint("message_id", m.id)
		w.String("operation", suricata.LDAPOperations[uint64(m.op)])
		m.log(w)
		w.Close()
	}
	if len(t.responses) > 0 {
		w.Array("responses")
		for _, m := range t.responses {
			w.Object("")
			w.String("operation", suricata.LDAPOperations[uint64(m.op)])
			if t.request == nil {
				w.Uint("message_id", m.id)
			}
			m.log(w)
			w.Close()
		}
		w.Close()
	}
	w.Close()
}

func (m *message) log(w *jsonw.Writer) {
	switch m.op {
	case unbindRequest, abandonRequest, searchReference:
	default:
		w.Object(suricata.LDAPOperations[uint64(m.op)])
		m.logOp(w)
		w.Close()
	}
	if m.controls == nil {
		return
	}
	w.Array("controls")
	for _, c := range m.controls {
		w.Object("")
		w.Text("control_type", c.name)
		w.Bool("criticality", c.critical)
		if c.value != nil {
			w.Hex("control_value", c.value)
		}
		w.Close()
	}
	w.Close()
}

func (m *message) logOp(w *jsonw.Writer) {
	switch m.op {
	case bindRequest:
		w.Uint("version", m.numbers[0])
		w.Text("name", m.dn)
		if m.hasSASL {
			w.Object("sasl")
			w.Text("mechanism", m.name)
			if m.value != nil {
				w.Hex("credentials", m.value)
			}
			w.Close()
		}
	case searchRequest:
		m.logSearch(w)
	case searchEntry:
		w.Text("base_object", m.dn)
		m.logFields(w, "type")
	case addRequest:
		w.Text("entry", m.dn)
		m.logFields(w, "name")
	case delRequest:
		w.Text("dn", m.dn)
	case modifyRequest:
		w.Text("object", m.dn)
		m.logChanges(w)
	case modDNRequest:
		w.Text("entry", m.dn)
		w.Text("new_rdn", m.name)
		w.Bool("delete_old_rdn", m.flag)
		if m.parent != nil {
			w.Text("new_superior", m.parent)
		}
	case compareRequest:
		w.Text("entry", m.dn)
		w.Object("attribute_value_assertion")
		w.Text("description", m.name)
		w.Text("value", m.value)
		w.Close()
	default:
		m.logResult(w)
	}
}

func (m *message) logResult(w *jsonw.Writer) {
	if m.hasResult {
		name, ok := suricata.LDAPResults[m.code]
		if !ok {
			name = "unknown-" + strconv.FormatUint(m.code, 10)
		}
		w.String("result_code", name)
		w.Text("matched_dn", m.dn)
		w.Text("message", m.text)
	}
	if m.op == bindResponse {
		if m.value != nil {
			w.Hex("server_sasl_creds", m.value)
		}
		return
	}
	if m.name != nil {
		w.Text("name", m.name)
	}
	if m.value != nil {
		w.Text("value", m.value)
	}
}

func (m *message) logSearch(w *jsonw.Writer) {
	w.Text("base_object", m.dn)
	for i, key := range []string{"scope", "deref_alias", "size_limit", "time_limit"} {
		w.Uint(key, m.numbers[i])
	}
	w.Bool("types_only", m.flag)
	if m.value != nil {
		w.Object("filter")
		w.String("type", "present")
		w.Text("value", m.value)
		w.Close()
	}
	if len(m.fields) > 0 {
		w.Array("attributes")
		for _, f := range m.fields {
			w.Text("", f.name)
		}
		w.Close()
	}
}

func (m *message) logFields(w *jsonw.Writer, key string) {
	if len(m.fields) == 0 {
		return
	}
	w.Array("attributes")
	for _, f := range m.fields {
		w.Object("")
		w.Text(key, f.name)
		f.logValues(w, "values")
		w.Close()
	}
	w.Close()
}

func (f *field) logValues(w *jsonw.Writer, key string) {
	if len(f.values) == 0 {
		return
	}
	w.Array(key)
	for _, v := range f.values {
		w.Text("", v)
	}
	w.Close()
}

func (m *message) logChanges(w *jsonw.Writer) {
	if len(m.fields) == 0 {
		return
	}
	w.Array("changes")
	for _, f := range m.fields {
		w.Object("")
		operation := strconv.FormatUint(f.operation, 10)
		if names := [...]string{"add", "delete", "replace"}; f.operation < uint64(len(names)) {
			operation = names[f.operation]
		}
		w.String("operation", operation)
		w.Object("modification")
		w.Text("attribute_type", f.name)
		f.logValues(w, "attribute_values")
		w.Close()
		w.Close()
	}
	w.Close()
}
