package pgsql

import (
	"fmt"

	"github.com/hauberk/hauberk/sensor/internal/app"
	"github.com/hauberk/hauberk/sensor/internal/jsonw"
)

// appendLog writes the member pgsql of an event; options says whether
// passwords are told.
func appendLog(w *jsonw.Writer, x app.Tx, options any) {
	t := x.(*tx)
	passwords, _ := options.(bool)
	w.Object("pgsql")
	w.Uint("tx_id", t.ID+1)
	if len(t.requests) > 0 {
		w.Object("request")
		for _, m := range t.requests {
			m.logRequest(w, passwords)
		}
		w.Close()
	}
	if len(t.responses) > 0 {
		w.Object("response")
		list := false // Parameters that follow each other are one.
		for _, m := range t.responses {
			if is := m.kind == parameter; is != list {
				if list {
					w.Close()
				} else {
					w.Array("parameter_status")
				}
				list = is
			}
			m.logResponse(w)
		}
		if list {
			w.Close()
		}
		w.Close()
	}
	w.Close()
}

func (m *message) logRequest(w *jsonw.Writer, passwords bool) {
	switch m.kind {
	case startup:
		w.String("protocol_version", fmt.Sprintf("%d.%d", m.major, m.minor))
		w.Object("startup_parameters")
		w.Text("user", m.text)
		if len(m.pairs) > 0 {
			w.Array("optional_parameters")
			for _, p := range m.pairs {
				p.log(w)
			}
			w.Close()
		}
		w.Close()
	case sslRequest:
		w.String("message", "SSL Request")
	case saslInitial:
		w.Text("sasl_authentication_mechanism", m.more)
		w.Text("sasl_param", m.text)
	case password:
		if passwords {
			w.Text("password", m.text)
		} else {
			w.Bool("password_redacted", true)
		}
	case saslAnswer:
		w.Text("sasl_response", m.text)
	case query:
		w.Text("simple_query", m.text)
	case copyFail:
		w.Text("copy_fail", m.text)
	case cancelRequest:
		w.String("message", "cancel_request")
		w.Uint("process_id", uint64(m.number))
		w.Uint("secret_key", uint64(m.key))
	case copyData:
		m.logData(w, "copy_data_in", "msg_count")
	case copyDone:
		w.String("message", "copy_done")
	case terminate:
		w.String("message", "termination_message")
	}
}

func (m *message) logData(w *jsonw.Writer, key, count string) {
	w.Object(key)
	w.Uint(count, m.rows)
	w.Uint("data_size", m.bytes)
	w.Close()
}

// errorFields are the names of the fields of errors (PostgreSQL 17, 53.8).
var errorFields = map[byte]string{
	'S': "severity_localizable", 'V': "severity_non_localizable", 'C': "code", 'M': "message", 'D': "detail", 'H': "hint", 'P': "position",
	'p': "internal_position", 'q': "internal_query", 'W': "where", 's': "schema_name", 't': "table_name", 'c': "column_name", 'd': "data_type",
	'n': "constraint_name", 'F': "file", 'L': "line", 'R': "routine",
}

// messages are the answers that are told by their name alone.
var messages = map[kind]string{
	authOK: "authentication_ok", authClear: "authentication_cleartext_password", authSASL: "authentication_sasl",
	authContinue: "authentication_sasl_continue", copyDone: "copy_done",
}

// texts are the answers that are told with their content.
var texts = map[kind]string{
	authMD5: "authentication_md5_password", authSSPI: "authentication_sspi", authFinal: "authentication_sasl_final",
	commandComplete: "command_completed",
}

func (m *message) logResponse(w *jsonw.Writer) {
	switch m.kind {
	case sslAccepted, sslRejected:
		w.Bool("ssl_accepted", m.kind == sslAccepted)
	case failure, notice:
		for _, p := range m.pairs {
			name, ok := errorFields[p.name[0]]
			if !ok {
				name = "unknown_field_type"
			}
			w.Text(name, p.value)
		}
	case authMD5, authSSPI, authFinal, commandComplete:
		w.Text(texts[m.kind], m.text)
	case authOK, authClear, authSASL, authContinue, copyDone:
		w.String("message", messages[m.kind])
	case parameter:
		m.pairs[0].log(w)
	case copyIn, copyOut:
		key := "copy_in_response"
		if m.kind == copyOut {
			key = "copy_out_response"
		}
		w.Object(key)
		w.Uint("columns", uint64(m.number))
		w.Close()
	case backendKey:
		w.Uint("process_id", uint64(m.number))
		w.Uint("secret_key", uint64(m.key))
	case copyData:
		m.logData(w, "copy_data_out", "row_count")
	case rowDescription:
		w.Uint("field_count", uint64(m.number))
	case dataRow:
		w.Uint("data_rows", m.rows)
		w.Uint("data_size", m.bytes)
	case notification:
		w.Uint("pid", uint64(m.number))
		w.Text("channel_name", m.more)
		w.Text("payload", m.text)
	}
}

// styles are parameters that EVE writes otherwise than PostgreSQL.
var styles = map[string]string{"DateStyle": "date_style", "IntervalStyle": "interval_style", "TimeZone": "time_zone"}

func (p *pair) log(w *jsonw.Writer) {
	w.Object("")
	if name, ok := styles[string(p.name)]; ok {
		w.Text(name, p.value)
	} else {
		w.Member(p.name, p.value)
	}
	w.Close()
}
