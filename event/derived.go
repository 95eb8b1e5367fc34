package event

import (
	"bytes"
	"encoding/hex"
	"strconv"
)

// This file works out the fields that no protobuf field holds as they are;
// the list of them is tools/fieldgen/derived.go.

// bodyWords are what a kind of body says of its events in ECS's words.
type bodyWords struct{ kind, category, eventType, action, dataset string }

var wordsOfBody = [bodyCount]bodyWords{
	BodyNone:       {"event", "host", "info", "unknown", "unknown"},
	BodyExec:       {"event", "process", "start", "exec", "process.exec"},
	BodyExit:       {"event", "process", "end", "exit", "process.exit"},
	BodyConnection: {"event", "network", "connection", "connect", "network.connection"},
	BodyFile:       {"event", "file", "change", "changed", "file.change"},
	BodyDenied:     {"event", "file", "denied", "denied", "access.denied"},
	BodyLogin:      {"event", "authentication", "start", "login", "auth.login"},
	BodyDns:        {"event", "network", "protocol", "dns", "network.dns"},
	BodyHttp:       {"event", "web", "protocol", "http", "network.http"},
	BodyTls:        {"event", "network", "protocol", "tls", "network.tls"},
	BodyFlow:       {"event", "network", "end", "flow", "network.flow"},
	BodyAlert:      {"alert", "intrusion_detection", "indicator", "alert", "detect.alert"},
	BodyStatus:     {"state", "host", "info", "status", "node.status"},
}

// Dataset returns the value of event.dataset of events with the body: one
// stable word, e.g. "process.exec". Storage keeps one stream for each.
func (k BodyKind) Dataset() string {
	if k >= bodyCount {
		k = BodyNone
	}
	return wordsOfBody[k].dataset
}

func (r *Record) words() *bodyWords { return &wordsOfBody[r.Event.BodyKind()] }

func (r *Record) timestamp() (Value, bool) { return timeValue(r.Time), true }
func (r *Record) created() (Value, bool)   { return timeValue(r.Observed), true }
func (r *Record) kind() (Value, bool)      { return enumValue(r.words().kind), true }
func (r *Record) dataset() (Value, bool)   { return enumValue(r.words().dataset), true }
func (r *Record) tenant() (Value, bool)    { return stringValue(r.Tenant), r.Tenant != "" }

// A record without a sequence has no identity: an alert that detect made.

func (r *Record) sequence() (Value, bool) {
	return uintValue(r.ID.Sequence), r.ID.Sequence != 0
}

func (r *Record) incarnation() (Value, bool) {
	return uintValue(uint64(r.ID.Incarnation)), r.ID.Sequence != 0
}

func (r *Record) eventID() (Value, bool) {
	if r.ID.Sequence == 0 {
		return Value{}, false
	}
	start := len(r.scratch.text)
	r.scratch.text = r.ID.AppendText(r.scratch.text)
	return textValue(r.scratch.text[start:len(r.scratch.text):len(r.scratch.text)]), true
}

func (r *Record) hostID() (Value, bool) {
	start := len(r.scratch.text)
	r.scratch.text = hex.AppendEncode(r.scratch.text, r.ID.Node[:])
	return textValue(r.scratch.text[start:len(r.scratch.text):len(r.scratch.text)]), !r.ID.Node.IsZero()
}

func (r *Record) category() (Value, bool) {
	if b, ok := r.Event.GetBody().(*Event_Denied); ok {
		switch b.Denied.GetOperation() {
		case "exec":
			return enumValue("process"), true
		case "connect":
			return enumValue("network"), true
		}
	}
	return enumValue(r.words().category), true
}

func (r *Record) eventType() (Value, bool) {
	switch b := r.Event.GetBody().(type) {
	case *Event_File:
		switch b.File.GetAction() {
		case FileAction_FILE_ACTION_CREATED:
			return enumValue("creation"), true
		case FileAction_FILE_ACTION_DELETED:
			return enumValue("deletion"), true
		}
	case *Event_Login:
		if b.Login.GetKind() == LoginKind_LOGIN_KIND_LOGOUT {
			return enumValue("end"), true
		}
	case *Event_Exec:
		if b.Exec.GetSnapshot() {
			return enumValue("info"), true
		}
	}
	return enumValue(r.words().eventType), true
}

// action is what event.action says where the body has no action of its own.
func (r *Record) action() (Value, bool) {
	switch b := r.Event.GetBody().(type) {
	case *Event_Connection:
		switch b.Connection.GetDirection() {
		case Direction_DIRECTION_INBOUND:
			return enumValue("accept"), true
		case Direction_DIRECTION_LISTEN:
			return enumValue("listen"), true
		}
	case *Event_Denied:
		if operation := b.Denied.GetOperation(); operation != "" {
			return enumValue(operation), true
		}
	}
	return enumValue(r.words().action), true
}

// outcome is what event.outcome says of connections and denials.
func (r *Record) outcome() (Value, bool) {
	switch b := r.Event.GetBody().(type) {
	case *Event_Connection:
		return choose(b.Connection.GetError() == 0, "success", "failure"), true
	case *Event_Denied:
		return enumValue("failure"), true
	}
	return Value{}, false
}

func (r *Record) severity() (Value, bool) {
	if b, ok := r.Event.GetBody().(*Event_Alert); ok && b.Alert.GetSeverity() != 0 {
		return word(wordsSeverity[:], int32(b.Alert.GetSeverity())), true
	}
	return Value{}, false
}

// Word returns the severity as one lower-case word, "" if unspecified.
func (s Severity) Word() string {
	if s > 0 && int(s) < len(wordsSeverity) {
		return wordsSeverity[s]
	}
	return ""
}

// ParseSeverity reads what Severity.Word writes.
func ParseSeverity(word string) (Severity, bool) {
	for i, w := range wordsSeverity {
		if w == word && w != "" {
			return Severity(i), true
		}
	}
	return Severity_SEVERITY_UNSPECIFIED, false
}

func (r *Record) module() (Value, bool) {
	if r.Event.BodyKind() == BodyAlert && r.Event.GetCollector() == 0 {
		return enumValue("detect"), true
	}
	switch r.Event.GetCollector() {
	case Collector_COLLECTOR_SENSOR:
		return enumValue("sensor"), true
	case Collector_COLLECTOR_EDGE:
		return enumValue("edge"), true
	case Collector_COLLECTOR_DECOY:
		return enumValue("decoy"), true
	}
	return enumValue("agent"), true
}

// EntityID names a process life on its node: its pid and its start in ns
// since boot, in decimal, joined by '-'.
func EntityID(pid uint32, start uint64) string {
	return string(appendEntityID(nil, pid, start))
}

func appendEntityID(dst []byte, pid uint32, start uint64) []byte {
	dst = strconv.AppendUint(dst, uint64(pid), 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, start, 10)
}

func (r *Record) entity(pid uint32, start uint64) (Value, bool) {
	if pid == 0 {
		return Value{}, false
	}
	at := len(r.scratch.text)
	r.scratch.text = appendEntityID(r.scratch.text, pid, start)
	return textValue(r.scratch.text[at:len(r.scratch.text):len(r.scratch.text)]), true
}

func (r *Record) entityID() (Value, bool) {
	p := r.Event.GetProcess()
	return r.entity(p.GetPid(), p.GetStart())
}

func (r *Record) parentEntityID() (Value, bool) {
	a := first(r.Event.GetProcess().GetAncestors())
	return r.entity(a.GetPid(), a.GetStart())
}

func (r *Record) commandLine() (Value, bool) { return r.line(r.Event.GetProcess().GetArgs()) }

func (r *Record) parentCommandLine() (Value, bool) {
	return r.line(first(r.Event.GetProcess().GetAncestors()).GetArgs())
}

func (r *Record) line(argv []byte) (Value, bool) {
	line := r.join(argv)
	return textValue(line), len(line) > 0
}

func (r *Record) argsCount() (Value, bool) {
	argv := bytes.TrimSuffix(r.Event.GetProcess().GetArgs(), []byte{0})
	if len(argv) == 0 {
		return Value{}, false
	}
	return uintValue(uint64(bytes.Count(argv, []byte{0}) + 1)), true
}

func (r *Record) ancestors() (Value, bool) {
	list := r.Event.GetProcess().GetAncestors()
	start := len(r.scratch.list)
	for _, a := range list {
		if exe := a.GetExecutable(); len(exe) > 0 {
			r.scratch.list = append(r.scratch.list, exe)
		}
	}
	end := len(r.scratch.list)
	return Value{Kind: KindList, List: r.scratch.list[start:end:end]}, end > start
}

// Label returns a label: of the alert if the event is one, else of the host.
func (r *Record) Label(name string) (string, bool) {
	if b, ok := r.Event.GetBody().(*Event_Alert); ok {
		if v, ok := b.Alert.GetLabels()[name]; ok {
			return v, true
		}
	}
	v, ok := r.Host.GetLabels()[name]
	return v, ok
}

// CommandLine joins argv, texts separated by NUL, by spaces.
func CommandLine(argv []byte) string {
	argv = bytes.TrimSuffix(argv, []byte{0})
	return string(bytes.ReplaceAll(argv, []byte{0}, []byte{' '}))
}
