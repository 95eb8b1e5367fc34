package event

import (
	"strconv"
	"strings"
)

// The export to the Open Cybersecurity Schema Framework 1.3: one nested
// object. Hauberk stores and searches ECS; this is for lakes that want OCSF.

// ocsfVersion is the version of the schema, metadata.version.
const ocsfVersion = "1.3.0"

// ocsfField says where OCSF has a field.
type ocsfField struct {
	field Field
	path  string
}

// ocsfClass is the class of a body: class_uid, category_uid and what
// activity_id says unless activityOf knows better (99: other).
type ocsfClass struct{ class, category, activity int64 }

var ocsfClasses = [bodyCount]ocsfClass{
	BodyNone:       {0, 0, 0},
	BodyExec:       {1007, 1, 1},
	BodyExit:       {1007, 1, 2},
	BodyConnection: {4001, 4, 1},
	BodyFile:       {1001, 1, 3},
	BodyDenied:     {1001, 1, 14},
	BodyLogin:      {3002, 3, 1},
	BodyDns:        {4003, 4, 1},
	BodyHttp:       {4002, 4, 99},
	BodyTls:        {4001, 4, 99},
	BodyFlow:       {4001, 4, 6},
	BodyAlert:      {2004, 2, 1},
	BodyStatus:     {6002, 6, 99},
}

// activityOf gives activity_id where the class alone does not.
func activityOf(e *Event, otherwise int64) int64 {
	switch b := e.GetBody().(type) {
	case *Event_File:
		switch b.File.GetAction() {
		case FileAction_FILE_ACTION_CREATED:
			return 1
		case FileAction_FILE_ACTION_MODIFIED:
			return 3
		case FileAction_FILE_ACTION_DELETED:
			return 4
		case FileAction_FILE_ACTION_RENAMED:
			return 5
		case FileAction_FILE_ACTION_ATTRIBUTES:
			return 6
		}
	case *Event_Login:
		switch b.Login.GetKind() {
		case LoginKind_LOGIN_KIND_LOGOUT:
			return 2
		case LoginKind_LOGIN_KIND_SUDO, LoginKind_LOGIN_KIND_SU:
			return 99
		}
	case *Event_Connection:
		if b.Connection.GetDirection() == Direction_DIRECTION_LISTEN {
			return 7
		}
		if b.Connection.GetError() != 0 {
			return 4
		}
	case *Event_Dns:
		if b.Dns.GetResponse() {
			return 2
		}
	}
	return otherwise
}

// AppendOCSF appends the record as one JSON object in OCSF, without a line
// end. What OCSF has no attribute for is below "unmapped". Times are Unix
// milliseconds; bytes that are not UTF-8 are replaced by U+FFFD.
func AppendOCSF(dst []byte, r *Record) []byte {
	kind := r.Event.BodyKind()
	c := ocsfClasses[kind]
	activity := activityOf(r.Event, c.activity)
	dst = append(dst, '{')
	w := ocsfWriter{dst: dst, start: len(dst)}
	severity := int64(1) // informational
	if b, ok := r.Event.GetBody().(*Event_Alert); ok {
		severity = int64(b.Alert.GetSeverity())
	}
	for _, m := range [...]struct {
		name  string
		value int64
	}{
		{"activity_id", activity}, {"category_uid", c.category}, {"class_uid", c.class},
		{"type_uid", c.class*100 + activity},
	} {
		w.number(m.name, m.value)
	}
	if kind != BodyAlert {
		w.number("severity_id", severity)
	}
	for _, f := range ocsfFields[kind] {
		if v, ok := r.Value(f.field); ok && v.Kind != KindMap {
			w.member(f.path, v)
		}
	}
	w.close(0)
	return append(w.dst, '}')
}

// ocsfWriter writes members whose paths come in order, opening and closing the
// objects between them.
type ocsfWriter struct {
	dst   []byte
	start int      // where the members of the root begin
	open  []string // path segments of the open objects, "x[]" for an array of one
}

func (w *ocsfWriter) key(name string) {
	if last := w.dst[len(w.dst)-1]; len(w.dst) > w.start && last != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, '"')
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, '"', ':')
}

func (w *ocsfWriter) number(name string, v int64) {
	w.key(name)
	w.dst = strconv.AppendInt(w.dst, v, 10)
}

// close closes objects until depth are open.
func (w *ocsfWriter) close(depth int) {
	for len(w.open) > depth {
		last := w.open[len(w.open)-1]
		w.open = w.open[:len(w.open)-1]
		if last == "metadata" {
			w.metadata()
		}
		w.dst = append(w.dst, '}')
		if strings.HasSuffix(last, "[]") {
			w.dst = append(w.dst, ']')
		}
	}
}

// metadata adds what every object of OCSF says of its maker.
func (w *ocsfWriter) metadata() {
	w.dst = append(w.dst, `,"product":{"name":"Hauberk","vendor_name":"Hauberk"},"version":"`+ocsfVersion+`"`...)
}

// member writes one value at its path.
func (w *ocsfWriter) member(path string, v Value) {
	segments := strings.Split(path, ".")
	leaf := segments[len(segments)-1]
	objects := segments[:len(segments)-1]
	// A list below "x[]" is an array of objects of one member each.
	spread := v.Kind == KindList && len(objects) > 0 && firstArray(objects) >= 0
	if spread {
		at := firstArray(objects)
		w.enter(objects[:at])
		w.key(strings.TrimSuffix(objects[at], "[]"))
		w.spread(objects[at+1:], leaf, v.List)
		return
	}
	w.enter(objects)
	w.key(leaf)
	if v.Kind == KindTime {
		w.dst = strconv.AppendInt(w.dst, v.Int/1e6, 10)
		return
	}
	w.dst, _ = appendValue(w.dst, v)
}

// firstArray gives the first segment that is an array, or -1.
func firstArray(segments []string) int {
	for i, s := range segments {
		if strings.HasSuffix(s, "[]") {
			return i
		}
	}
	return -1
}

// enter closes and opens objects until exactly the given ones are open.
func (w *ocsfWriter) enter(objects []string) {
	same := 0
	for same < len(w.open) && same < len(objects) && w.open[same] == objects[same] {
		same++
	}
	w.close(same)
	for _, o := range objects[same:] {
		name, isArray := strings.CutSuffix(o, "[]")
		w.key(name)
		if isArray {
			w.dst = append(w.dst, '[')
		}
		w.dst = append(w.dst, '{')
		w.open = append(w.open, o)
	}
}

// spread writes [{"a":{"leaf":item}},...].
func (w *ocsfWriter) spread(objects []string, leaf string, list [][]byte) {
	w.dst = append(w.dst, '[')
	for i, item := range list {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, '{')
		for _, o := range objects {
			w.key(o)
			w.dst = append(w.dst, '{')
		}
		w.key(leaf)
		w.dst, _ = appendString(w.dst, item)
		for range len(objects) + 1 {
			w.dst = append(w.dst, '}')
		}
	}
	w.dst = append(w.dst, ']')
}
