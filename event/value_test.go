package event

import (
	"slices"
	"strings"
	"testing"
)

// text gives the value of a field as text.
func text(t *testing.T, r *Record, name string) string {
	t.Helper()
	f, ok := FieldByName(name)
	if !ok {
		t.Fatalf("no field %s", name)
	}
	v, ok := r.Value(f)
	if !ok {
		return ""
	}
	return string(v.AppendText(nil))
}

func TestValues(t *testing.T) {
	node := sampleNode()
	event := func(e *Event) *Record {
		return &Record{ID: ID{node, 1, 2}, Tenant: "acme", Host: &Host{Name: "web1"}, Event: e}
	}
	process := &Process{Pid: 7, Start: 9, Uid: 0, User: "root", Args: []byte("ls\x00-l\x00\x00last\x00"), Tty: []byte("pts/9"),
		Ancestors: []*Ancestor{{Pid: 3, Start: 4, Executable: []byte("/bin/sh"), Args: []byte("sh\x00-c\x00ls")}, {Executable: []byte("/sbin/init")}, {}}}
	withBody := func(body isEvent_Body) *Record { return event(&Event{Process: process, Body: body}) }
	for _, test := range []struct {
		r           *Record
		field, want string
	}{
		{withBody(&Event_Exec{&ProcessExec{}}), "process.command_line", "ls -l  last"},
		{withBody(&Event_Exec{&ProcessExec{}}), "process.args", "ls -l  last"},
		{withBody(&Event_Exec{&ProcessExec{}}), "process.args_count", "4"},
		{withBody(&Event_Exec{&ProcessExec{}}), "process.entity_id", "7-9"},
		{withBody(&Event_Exec{&ProcessExec{}}), "process.parent.entity_id", "3-4"},
		{withBody(&Event_Exec{&ProcessExec{}}), "process.parent.command_line", "sh -c ls"},
		{withBody(&Event_Exec{&ProcessExec{}}), "hauberk.process.ancestors", "/bin/sh /sbin/init"},
		{withBody(&Event_Exec{&ProcessExec{}}), "user.id", "0"},
		{withBody(&Event_Exec{&ProcessExec{}}), "user.name", "root"},
		{withBody(&Event_Exec{&ProcessExec{}}), "event.type", "start"},
		{withBody(&Event_Exec{&ProcessExec{Snapshot: true}}), "event.type", "info"},
		{withBody(&Event_Exec{&ProcessExec{}}), "hauberk.process.from_memory", ""},
		{withBody(&Event_Exit{&ProcessExit{}}), "process.exit_code", "0"},
		{withBody(&Event_Login{&Login{User: []byte("eve")}}), "user.name", "eve"},
		{withBody(&Event_Login{&Login{}}), "user.name", "root"},
		{withBody(&Event_Login{&Login{Command: []byte("id")}}), "process.command_line", "id"},
		{withBody(&Event_Login{&Login{Kind: LoginKind_LOGIN_KIND_SU}}), "event.action", "su"},
		{withBody(&Event_Login{&Login{}}), "event.outcome", "failure"},
		{withBody(&Event_Login{&Login{Success: true}}), "event.outcome", "success"},
		{withBody(&Event_Login{&Login{Tty: []byte("pts/1")}}), "process.tty.name", "pts/1"},
		{withBody(&Event_Denied{&AccessDenied{Operation: "connect"}}), "event.action", "connect"},
		{withBody(&Event_Denied{&AccessDenied{Operation: "connect"}}), "event.category", "network"},
		{withBody(&Event_File{&FileChange{Action: FileAction_FILE_ACTION_CREATED}}), "event.type", "creation"},
		{withBody(&Event_File{&FileChange{Action: 99}}), "event.action", "unknown"},
		{withBody(&Event_Connection{&Connection{Error: 111}}), "event.outcome", "failure"},
		{withBody(&Event_Connection{&Connection{Direction: Direction_DIRECTION_LISTEN}}), "event.action", "listen"},
		{withBody(&Event_Connection{&Connection{DestinationIp: []byte{1, 2, 3}}}), "destination.ip", ""},
		{withBody(&Event_Connection{&Connection{DestinationIp: append(append(make([]byte, 10), 0xff, 0xff), 192, 0, 2, 1)}}), "destination.ip", "192.0.2.1"},
		{withBody(&Event_Alert{&Alert{Severity: Severity_SEVERITY_HIGH}}), "event.severity", "4"},
		{withBody(&Event_Alert{&Alert{Severity: Severity_SEVERITY_HIGH}}), "hauberk.alert.severity", "high"},
		{withBody(&Event_Alert{&Alert{Host: "db1"}}), "host.name", "db1"},
		{withBody(&Event_Alert{&Alert{}}), "host.name", "web1"},
		{event(&Event{}), "user.id", ""},
		{event(&Event{}), "host.id", "000102030405060708090a0b0c0d0e0f"},
		{event(&Event{}), "event.id", "000102030405060708090a0b0c0d0e0f-00000001-0000000000000002"},
		{event(&Event{}), "organization.id", "acme"},
		{event(&Event{}), "event.kind", "event"},
		{event(&Event{}), "process.command_line", ""},
		{event(&Event{Collector: Collector_COLLECTOR_DECOY}), "event.module", "decoy"},
		{event(&Event{Collector: Collector_COLLECTOR_CNPROC}), "event.provider", "cnproc"},
		{event(&Event{}), "@timestamp", "1970-01-01T00:00:00.000000000Z"},
	} {
		if got := text(t, test.r, test.field); got != test.want {
			t.Errorf("%s of %v: got %q, want %q", test.field, test.r.Event.BodyKind().Dataset(), got, test.want)
		}
	}
}

func TestLabel(t *testing.T) {
	r := &Record{Host: &Host{Labels: map[string]string{"role": "web", "zone": "a"}}, Event: &Event{Body: &Event_Alert{&Alert{Labels: map[string]string{"role": "db"}}}}}
	for name, want := range map[string]string{"role": "db", "zone": "a", "none": ""} {
		if got, _ := r.Label(name); got != want {
			t.Errorf("label %s: %q, want %q", name, got, want)
		}
	}
}

func TestValuesOfOneEventLiveTogether(t *testing.T) {
	for _, r := range sampleBatch().Records {
		var values []Value
		var texts []string
		for _, f := range r.Event.BodyKind().Fields() {
			if v, ok := r.Value(f); ok {
				values = append(values, v)
				texts = append(texts, string(v.AppendText(nil)))
			}
		}
		for i, v := range values {
			if got := string(v.AppendText(nil)); got != texts[i] {
				t.Errorf("%q became %q after other values were asked for", texts[i], got)
			}
		}
	}
}

func TestTableIsSound(t *testing.T) {
	if !slices.IsSortedFunc(Fields, func(a, b FieldInfo) int { return strings.Compare(a.ECS, b.ECS) }) {
		t.Error("the table is not sorted")
	}
	for i, f := range Fields {
		if got, ok := FieldByName(f.ECS); !ok || got != f.Field || int(got) != i+1 || f.Field.String() != f.ECS {
			t.Errorf("%s: number %d at %d", f.ECS, got, i)
		}
	}
	if _, ok := FieldByName("nonsense"); ok || FieldInvalid.String() != "" || Field(60000).String() != "" {
		t.Error("a field that does not exist was found")
	}
}

func TestSeverityWords(t *testing.T) {
	for s := range Severity_name {
		got, ok := ParseSeverity(Severity(s).Word())
		if ok != (s != 0) || ok && got != Severity(s) {
			t.Errorf("severity %d: word %q read as %d", s, Severity(s).Word(), got)
		}
	}
}

func TestValueDoesNotAllocate(t *testing.T) {
	b := sampleBatch()
	var r Record
	n := testing.AllocsPerRun(50, func() {
		b.Each(&r, func(_ int, r *Record) bool {
			for _, f := range r.Event.BodyKind().Fields() {
				r.Value(f)
			}
			return true
		})
	})
	if n != 0 {
		t.Errorf("%.0f allocations for a batch, want 0", n)
	}
}

func TestAppendJSONDoesNotAllocate(t *testing.T) {
	b := sampleBatch()
	b.Host.Labels = nil // sorting the names of labels allocates
	b.Events = b.Events[:5]
	var r Record
	buf := make([]byte, 0, 1<<16)
	n := testing.AllocsPerRun(50, func() {
		buf = buf[:0]
		b.Each(&r, func(_ int, r *Record) bool {
			buf = AppendJSON(buf, r)
			return true
		})
	})
	if n != 0 {
		t.Errorf("%.0f allocations for a batch, want 0", n)
	}
}
