package console_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/event"
)

// TestRecordedAnswersFit holds the fake's recordings to the API's own
// document, so that the browser tests do not test a console of another API.
func TestRecordedAnswersFit(t *testing.T) {
	text, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Schemas map[string]any }
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	s := schemas{t, document.Components.Schemas}
	for name, schema := range map[string]string{"alerts": "AlertDetail", "nodes": "Node", "events": "Event"} {
		var list []any
		record(t, name, &list)
		for i, one := range list {
			s.check(fmt.Sprintf("%s[%d]", name, i), s.named(schema), one)
			if schema == "Event" {
				for field := range one.(map[string]any) {
					if _, ok := event.FieldByName(field); !ok {
						t.Errorf("events[%d]: no event has a field %s", i, field)
					}
				}
			}
		}
	}
	var status any
	record(t, "status", &status)
	s.check("status", s.named("Status"), status)
	f := startFake(t)
	f.raise("a1")
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, value := range map[string]any{"Alert": summary(f.raised[0]), "Status": f.status, "Session": f.session()} {
		made, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(made, &plain); err != nil {
			t.Fatal(err)
		}
		s.check("made "+name, s.named(name), plain)
	}
}

// schemas checks values by the few words of JSON Schema the document uses.
type schemas struct {
	t   *testing.T
	all map[string]any
}

func (s schemas) named(name string) map[string]any {
	schema, ok := s.all[name].(map[string]any)
	if !ok {
		s.t.Fatalf("openapi.yaml has no schema %s", name)
	}
	return schema
}

func (s schemas) check(at string, schema map[string]any, value any) {
	s.t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = s.named(ref[strings.LastIndex(ref, "/")+1:])
	}
	if either, ok := schema["anyOf"].([]any); ok && value != nil { // this, or null
		s.check(at, either[0].(map[string]any), value)
		return
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		s.t.Errorf("%s: %v is none of %v", at, value, enum)
	}
	switch v := value.(type) {
	case map[string]any:
		s.object(at, schema, v)
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, inner := range v {
			s.check(fmt.Sprintf("%s[%d]", at, i), items, inner)
		}
	}
	kinds := map[string]string{"string": "string", "integer": "float64", "number": "float64", "boolean": "bool", "array": "[]interface {}", "object": "map[string]interface {}"}
	if kind, ok := schema["type"].(string); ok && value != nil && fmt.Sprintf("%T", value) != kinds[kind] {
		s.t.Errorf("%s: %v is no %s", at, value, kind)
	}
}

func (s schemas) object(at string, schema map[string]any, value map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := value[name.(string)]; !ok {
			s.t.Errorf("%s: no %s", at, name)
		}
	}
	for name, inner := range value {
		property, known := properties[name].(map[string]any)
		if !known && schema["additionalProperties"] == false {
			s.t.Errorf("%s: the API has no %s", at, name)
		}
		s.check(at+"."+name, property, inner)
	}
}
