package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/api"
)

// operation is what openapi.yaml says of one.
type operation struct {
	OperationID string `yaml:"operationId"`
	Role        string `yaml:"x-role"`
	Local       bool   `yaml:"x-local"`
	Security    *[]any `yaml:"security"`
	Parameters  []struct {
		Name string `yaml:"name"`
		In   string `yaml:"in"`
		Ref  string `yaml:"$ref"`
	} `yaml:"parameters"`
	RequestBody struct {
		Content map[string]struct {
			Schema map[string]any `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema map[string]any `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"responses"`
}

// openAPI is the document, as far as the tests hold it.
type openAPI struct {
	OpenAPI    string                          `yaml:"openapi"`
	Paths      map[string]map[string]operation `yaml:"paths"`
	Components struct {
		Schemas    map[string]map[string]any `yaml:"schemas"`
		Parameters map[string]struct {
			Name string `yaml:"name"`
		} `yaml:"parameters"`
	} `yaml:"components"`
}

func readDocument(t testing.TB) *openAPI {
	t.Helper()
	var doc openAPI
	if err := yaml.Unmarshal(api.Document, &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// find returns the operation a request is.
func (d *openAPI) find(method, path string) (operation, bool) {
	var best operation
	fixed := -1
	for pattern, methods := range d.Paths {
		op, ok := methods[strings.ToLower(method)]
		if !ok {
			continue
		}
		want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
		n := 0
		same := len(want) == len(got)
		for i := 0; same && i < len(want); i++ {
			if strings.HasPrefix(want[i], "{") {
				continue
			}
			same = want[i] == got[i]
			n++
		}
		if same && n > fixed {
			best, fixed = op, n
		}
	}
	return best, fixed >= 0
}

// check appends what is wrong with a value by a schema. It knows the part of
// JSON Schema that openapi.yaml uses.
func (d *openAPI) check(schema map[string]any, v any, at string, problems *[]string) {
	add := func(format string, args ...any) {
		*problems = append(*problems, at+": "+fmt.Sprintf(format, args...))
	}
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		target, known := d.Components.Schemas[name]
		if !known {
			add("schema %s is not defined", ref)
			return
		}
		d.check(target, v, at, problems)
		return
	}
	if choice, ok := schema["anyOf"].([]any); ok {
		for _, s := range choice {
			var sub []string
			if d.check(s.(map[string]any), v, at, &sub); len(sub) == 0 {
				return
			}
		}
		add("%v is none of the alternatives", v)
		return
	}
	kind, _ := schema["type"].(string)
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		add("%v is none of %v", v, enum)
	}
	switch x := v.(type) {
	case nil:
		if kind != "null" && kind != "" {
			add("null where %s should be", kind)
		}
	case string:
		if kind != "string" && kind != "" {
			add("a text where %s should be", kind)
		}
		if schema["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, x); err != nil {
				add("%q is no time", x)
			}
		}
	case bool:
		if kind != "boolean" && kind != "" {
			add("a bool where %s should be", kind)
		}
	case float64:
		if kind == "integer" && x != float64(int64(x)) || kind != "integer" && kind != "number" && kind != "" {
			add("%v where %s should be", x, kind)
		}
	case []any:
		if kind != "array" && kind != "" {
			add("a list where %s should be", kind)
		}
		if items, ok := schema["items"].(map[string]any); ok {
			for i, item := range x {
				d.check(items, item, fmt.Sprintf("%s[%d]", at, i), problems)
			}
		}
	case map[string]any:
		if kind != "object" && kind != "" {
			add("an object where %s should be", kind)
		}
		d.checkObject(schema, x, at, problems)
	}
}

func (d *openAPI) checkObject(schema map[string]any, v map[string]any, at string, problems *[]string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			*problems = append(*problems, at+": "+name.(string)+" is missing")
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range v {
		if s, ok := properties[name].(map[string]any); ok {
			d.check(s, value, at+"."+name, problems)
		} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
			d.check(more, value, at+"."+name, problems)
		} else if schema["additionalProperties"] == false {
			*problems = append(*problems, at+": "+name+" is not documented")
		}
	}
}

// checkJSON holds a JSON text against a schema.
func (d *openAPI) checkJSON(t testing.TB, what string, schema map[string]any, text []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Errorf("%s: %v in %q", what, err, text)
		return
	}
	var problems []string
	d.check(schema, v, "$", &problems)
	for _, p := range problems {
		t.Errorf("%s: %s", what, p)
	}
}

func TestDocumentAndRoutesAgree(t *testing.T) {
	doc := readDocument(t)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %q", doc.OpenAPI)
	}
	documented := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, r := range api.Routes() {
		key := r.Method + " " + r.Path
		op, ok := doc.Paths[r.Path][strings.ToLower(r.Method)]
		if !ok {
			t.Errorf("%s is not documented", key)
			continue
		}
		delete(documented, key)
		if open := op.Security != nil; op.OperationID != r.Name || op.Role != r.Role || op.Local != r.Local || open != r.Open {
			t.Errorf("%s: documented as %s, role %q, local %v, open %v; it is %+v", key, op.OperationID, op.Role, op.Local, open, r)
		}
		var inPath []string
		for _, p := range op.Parameters {
			if p.In == "path" {
				inPath = append(inPath, "{"+p.Name+"}")
			}
		}
		for _, part := range strings.Split(r.Path, "/") {
			if strings.HasPrefix(part, "{") && !slices.Contains(inPath, part) {
				t.Errorf("%s: %s is not a documented parameter", key, part)
			}
		}
	}
	for key := range documented {
		t.Errorf("%s is documented and does not exist", key)
	}
}

func TestDocumentRefersToWhatItHas(t *testing.T) {
	doc := readDocument(t)
	var whole any
	if err := yaml.Unmarshal(api.Document, &whole); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if ref, ok := x["$ref"].(string); ok {
				used[ref] = true
			}
			for _, sub := range x {
				walk(sub)
			}
		case []any:
			for _, sub := range x {
				walk(sub)
			}
		}
	}
	walk(whole)
	for ref := range used {
		if name, ok := strings.CutPrefix(ref, "#/components/schemas/"); ok && doc.Components.Schemas[name] == nil {
			t.Errorf("%s does not exist", ref)
		}
		if name, ok := strings.CutPrefix(ref, "#/components/parameters/"); ok && doc.Components.Parameters[name].Name == "" {
			t.Errorf("%s does not exist", ref)
		}
	}
	for name := range doc.Components.Schemas {
		if !used["#/components/schemas/"+name] {
			t.Errorf("schema %s is used nowhere", name)
		}
	}
}
