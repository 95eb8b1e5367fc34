package match

import (
	"testing"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/sigma"
)

func TestEveryFieldOfTheTableIsInTheSchema(t *testing.T) {
	v, err := NewView(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range event.Fields {
		id, kind, ok := v.Schema.Lookup(f.ECS)
		if !ok || int(id) != int(f.Field)-1 || kind != kinds[f.Kind] {
			t.Errorf("%s: number %d, kind %v, %v", f.ECS, id, kind, ok)
		}
	}
}

// Every class serves the mapping's types: a field that the default mapping
// calls a number is one here.
func TestKindsAgreeWithTheDefaultMapping(t *testing.T) {
	v, err := NewView(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range sigma.DefaultMapping().Types {
		if _, kind, ok := v.Schema.Lookup(name); ok && kind != want {
			t.Errorf("%s is %v here and %v in the mapping", name, kind, want)
		}
	}
}

func TestClassOf(t *testing.T) {
	file := func(a event.FileAction) *event.Event {
		return &event.Event{Body: &event.Event_File{File: &event.FileChange{Action: a}}}
	}
	for _, test := range []struct {
		e    *event.Event
		want sigma.ClassID
		ok   bool
	}{
		{&event.Event{Body: &event.Event_Exec{}}, ClassExec, true},
		{&event.Event{Body: &event.Event_Exit{}}, ClassExit, true},
		{file(event.FileAction_FILE_ACTION_CREATED), ClassFileCreated, true},
		{file(event.FileAction_FILE_ACTION_ATTRIBUTES), ClassFileModified, true},
		{file(event.FileAction_FILE_ACTION_DELETED), ClassFileDeleted, true},
		{file(event.FileAction_FILE_ACTION_RENAMED), ClassFileRenamed, true},
		{&event.Event{Body: &event.Event_Denied{}}, ClassDenied, true},
		{&event.Event{Body: &event.Event_Login{}}, ClassLogin, true},
		{&event.Event{Body: &event.Event_Status{}}, ClassStatus, true},
		{&event.Event{Body: &event.Event_Alert{}}, 0, false},
		{&event.Event{}, 0, false},
	} {
		got, ok := ClassOf(test.e)
		if ok != test.ok || got != test.want {
			t.Errorf("%T: class %d, %v", test.e.Body, got, ok)
		}
	}
	if len(Classes()) != int(ClassStatus)+1 {
		t.Errorf("%d classes", len(Classes()))
	}
}

func TestEventValues(t *testing.T) {
	rules, errs := sigma.Parse("r.yml", []byte("title: t\nlogsource: {product: linux}\ndetection:\n  s: {labels.role: web, labels.zone: a}\n  condition: s\n"))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	v, err := NewView(rules)
	if err != nil {
		t.Fatal(err)
	}
	r := &event.Record{Host: &event.Host{Labels: map[string]string{"role": "db"}}, Event: &event.Event{Process: &event.Process{Uid: 7}, Body: &event.Event_File{File: &event.FileChange{
		Action: event.FileAction_FILE_ACTION_RENAMED, Path: []byte("/a"), NewPath: []byte("/b")}}}}
	e := &Event{View: v, Record: r}
	get := func(name string) (sigma.Value, bool) {
		id, _, ok := v.Schema.Lookup(name)
		if !ok {
			t.Fatalf("no field %s", name)
		}
		var value sigma.Value
		has := e.Value(id, &value)
		return value, has
	}
	if got, ok := get("file.path"); !ok || got.Kind != sigma.KindList || string(got.List[0]) != "/a" || string(got.List[1]) != "/b" {
		t.Errorf("file.path of a rename: %v", got)
	}
	if got, ok := get("labels.role"); !ok || string(got.Bytes) != "db" {
		t.Errorf("labels.role: %v", got)
	}
	if _, ok := get("labels.zone"); ok {
		t.Error("a label that the host lacks has a value")
	}
	if got, ok := get("user.id"); !ok || got.Kind != sigma.KindInt || got.Int != 7 {
		t.Errorf("user.id: %v", got)
	}
	if got, ok := get("auditd.log.record_type"); !ok || string(got.Bytes) != "PATH" {
		t.Errorf("record type: %v", got)
	}
	if _, ok := get("auditd.log.nametype"); ok {
		t.Error("a rename has no nametype")
	}
	if _, ok := get("process.command_line"); ok {
		t.Error("no argv, but a command line")
	}
}
