// Package match shows Hauberk's events to Sigma: the schema of fields, the
// classes of events with the log sources they serve, and an event.Record as a
// sigma.Event. It holds no state and does no I/O.
package match

import (
	"strings"
	"unsafe"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

// The classes, in the order of Classes. A class is what one kind of event is
// to Sigma; the log sources say which rules look at it.
const (
	ClassExec sigma.ClassID = iota
	ClassExit
	ClassConnection
	ClassFileCreated
	ClassFileModified
	ClassFileDeleted
	ClassFileRenamed
	ClassDenied
	ClassLogin
	ClassDNS
	ClassHTTP
	ClassTLS
	ClassFlow
	ClassStatus
)

// linux is a log source of product linux.
func linux(category, service string) sigma.LogSource {
	return sigma.LogSource{Product: "linux", Category: category, Service: service}
}

// Classes lists the classes. Sigma has no category for denials, log-ins and
// the state of a node; rules of ours use access_denied, authentication and
// node_status. Events of processes and files also serve rules written for
// auditd's EXECVE and PATH records, whose type they bring along.
func Classes() []sigma.Class {
	return []sigma.Class{
		ClassExec:         {Name: "exec", Sources: []sigma.LogSource{linux("process_creation", ""), linux("", "auditd")}},
		ClassExit:         {Name: "exit", Sources: []sigma.LogSource{linux("process_termination", "")}},
		ClassConnection:   {Name: "connection", Sources: []sigma.LogSource{linux("network_connection", "")}},
		ClassFileCreated:  {Name: "file created", Sources: []sigma.LogSource{linux("file_event", ""), linux("", "auditd")}},
		ClassFileModified: {Name: "file modified", Sources: []sigma.LogSource{linux("file_event", ""), linux("file_change", ""), linux("", "auditd")}},
		ClassFileDeleted:  {Name: "file deleted", Sources: []sigma.LogSource{linux("file_delete", ""), linux("", "auditd")}},
		ClassFileRenamed:  {Name: "file renamed", Sources: []sigma.LogSource{linux("file_rename", ""), linux("file_event", ""), linux("", "auditd")}},
		ClassDenied:       {Name: "denied", Sources: []sigma.LogSource{linux("access_denied", ""), linux("file_access", "")}},
		ClassLogin: {Name: "login", Sources: []sigma.LogSource{linux("authentication", ""), linux("", "auth"), linux("", "sshd"),
			linux("", "sudo"), linux("", "syslog")}},
		ClassDNS:    {Name: "dns", Sources: []sigma.LogSource{{Category: "dns"}, linux("dns_query", ""), {Product: "zeek", Service: "dns"}}},
		ClassHTTP:   {Name: "http", Sources: []sigma.LogSource{{Category: "proxy"}, {Category: "webserver"}, {Product: "zeek", Service: "http"}}},
		ClassTLS:    {Name: "tls", Sources: []sigma.LogSource{{Product: "zeek", Service: "ssl"}}},
		ClassFlow:   {Name: "flow", Sources: []sigma.LogSource{{Category: "firewall"}, {Product: "zeek", Service: "conn"}}},
		ClassStatus: {Name: "status", Sources: []sigma.LogSource{linux("node_status", "")}},
	}
}

// ClassOf gives the class of an event; false for events that no rule can look
// at: alerts, and bodies this version does not know.
func ClassOf(e *event.Event) (sigma.ClassID, bool) {
	switch e.BodyKind() {
	case event.BodyExec:
		return ClassExec, true
	case event.BodyExit:
		return ClassExit, true
	case event.BodyConnection:
		return ClassConnection, true
	case event.BodyFile:
		switch e.GetFile().GetAction() {
		case event.FileAction_FILE_ACTION_CREATED:
			return ClassFileCreated, true
		case event.FileAction_FILE_ACTION_DELETED:
			return ClassFileDeleted, true
		case event.FileAction_FILE_ACTION_RENAMED:
			return ClassFileRenamed, true
		}
		return ClassFileModified, true
	case event.BodyDenied:
		return ClassDenied, true
	case event.BodyLogin:
		return ClassLogin, true
	case event.BodyDns:
		return ClassDNS, true
	case event.BodyHttp:
		return ClassHTTP, true
	case event.BodyTls:
		return ClassTLS, true
	case event.BodyFlow:
		return ClassFlow, true
	case event.BodyStatus:
		return ClassStatus, true
	}
	return 0, false
}

// labelPrefix begins the fields that are labels of the host.
const labelPrefix = "labels."

// Fields of auditd that events can answer.
const (
	auditRecord   = "auditd.log.record_type"
	auditNameType = "auditd.log.nametype"
)

// View is a schema and how its fields are found in a record. It is immutable.
type View struct {
	Schema *sigma.Schema
	labels []string // names of the fields after the fixed ones
}

// NewView makes a view with all fields of the event table, what auditd rules
// ask for, and the labels that the rules use.
func NewView(rules []*sigma.Rule) (*View, error) {
	fields := make([]sigma.Field, 0, len(event.Fields)+2)
	for _, f := range event.Fields {
		fields = append(fields, sigma.Field{Name: f.ECS, Kind: kinds[f.Kind]})
	}
	fields = append(fields, sigma.Field{Name: auditRecord, Kind: sigma.KindText}, sigma.Field{Name: auditNameType, Kind: sigma.KindText})
	v := &View{labels: labelsIn(rules)}
	for _, name := range v.labels {
		fields = append(fields, sigma.Field{Name: labelPrefix + name, Kind: sigma.KindText})
	}
	schema, err := sigma.NewSchema(fields)
	v.Schema = schema
	return v, err
}

// labelsIn gives the names of the labels that rules use, each once.
func labelsIn(rules []*sigma.Rule) []string {
	var names []string
	seen := map[string]bool{}
	note := func(field string) {
		if name, ok := strings.CutPrefix(field, labelPrefix); ok && name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	searches := func(d *sigma.Detection) {
		for _, s := range d.Searches {
			for _, g := range s.Groups {
				for _, i := range g.Items {
					note(i.Field)
				}
			}
		}
	}
	for _, r := range rules {
		switch {
		case r.Detection != nil:
			searches(r.Detection)
		case r.Filter != nil:
			searches(&r.Filter.Detection)
		case r.Correlation != nil:
			for _, f := range r.Correlation.GroupBy {
				note(f)
			}
			for _, a := range r.Correlation.Aliases {
				for _, f := range a.Fields {
					note(f)
				}
			}
		}
	}
	return names
}

// kinds translates the kinds of fields.
var kinds = [...]sigma.Kind{
	event.KindText: sigma.KindText,
	event.KindEnum: sigma.KindText,
	event.KindIP:   sigma.KindIP,
	event.KindInt:  sigma.KindInt,
	event.KindUint: sigma.KindInt,
	event.KindBool: sigma.KindBool,
	event.KindTime: sigma.KindTime,
	event.KindList: sigma.KindList,
	event.KindMap:  sigma.KindText, // never has a value: labels are fields of their own
}

// Event is a record as Sigma sees it. One is reused from record to record.
type Event struct {
	View   *View
	Record *event.Record
	paths  [2][]byte
}

// Value implements sigma.Event.
func (e *Event) Value(id sigma.FieldID, v *sigma.Value) bool {
	n := int(id)
	if n >= len(event.Fields) {
		return e.extra(n-len(event.Fields), v)
	}
	f := event.Field(n + 1)
	// A renamed file is at both paths: rules for writing a path look at the
	// one, rules for moving it away at the other.
	if f == event.FieldFilePath {
		if c := e.Record.Event.GetFile(); len(c.GetNewPath()) > 0 {
			e.paths = [2][]byte{c.GetPath(), c.GetNewPath()}
			*v = sigma.Value{Kind: sigma.KindList, List: e.paths[:]}
			return true
		}
	}
	got, ok := e.Record.Value(f)
	if !ok || got.Kind == event.KindMap {
		return false
	}
	v.Kind, v.Bytes, v.List, v.Int = kinds[got.Kind], got.Bytes, got.List, got.Int
	return true
}

// extra gives the fields after those of the event table.
func (e *Event) extra(n int, v *sigma.Value) bool {
	switch n {
	case 0:
		return e.auditRecord(v)
	case 1:
		return e.auditNameType(v)
	}
	text, ok := e.Record.Label(e.View.labels[n-2])
	v.Kind, v.Bytes = sigma.KindText, unsafe.Slice(unsafe.StringData(text), len(text))
	return ok
}

func (e *Event) auditRecord(v *sigma.Value) bool {
	switch e.Record.Event.BodyKind() {
	case event.BodyExec:
		v.Bytes = execve
	case event.BodyFile:
		v.Bytes = path
	default:
		return false
	}
	v.Kind = sigma.KindText
	return true
}

func (e *Event) auditNameType(v *sigma.Value) bool {
	switch e.Record.Event.GetFile().GetAction() {
	case event.FileAction_FILE_ACTION_CREATED:
		v.Bytes = create
	case event.FileAction_FILE_ACTION_DELETED:
		v.Bytes = remove
	case event.FileAction_FILE_ACTION_MODIFIED, event.FileAction_FILE_ACTION_ATTRIBUTES:
		v.Bytes = normal
	default:
		return false
	}
	v.Kind = sigma.KindText
	return true
}

// Words of auditd's records.
var (
	execve = []byte("EXECVE")
	path   = []byte("PATH")
	create = []byte("CREATE")
	remove = []byte("DELETE")
	normal = []byte("NORMAL")
)
