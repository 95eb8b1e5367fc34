package config

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		bodies []string
		want   string
	}{
		"nothing":             {nil, ""},
		"empty":               {[]string{"", "# only words\n", "null\n", "---\n"}, ""},
		"one, sorted":         {[]string{"b: 1\na: 2 # why\n"}, "a: 2\nb: 1\n"},
		"deep":                {[]string{"a:\n  b: 1\n  c: 2\n", "a:\n  c: 3\n"}, "a:\n  b: 1\n  c: 3\n"},
		"lists replace":       {[]string{"a: [1, 2]\n", "a: [3]\n"}, "a:\n  - 3\n"},
		"null removes":        {[]string{"a: 1\nb:\n  c: 1\n  d: 2\n", "a: null\nb:\n  c: ~\n"}, "b:\n  d: 2\n"},
		"null alone":          {[]string{"a: null\n"}, ""},
		"null then value":     {[]string{"a: null\n", "a: 1\n"}, "a: 1\n"},
		"mapping over scalar": {[]string{"a: 1\n", "a:\n  b: 2\n"}, "a:\n  b: 2\n"},
		"scalar over mapping": {[]string{"a:\n  b: 2\n", "a: 1\n"}, "a: 1\n"},
		"text stays text":     {[]string{"a: \"1.10\"\nb: 1.10\nc: 'yes'\nd: 0644\n"}, "a: \"1.10\"\nb: 1.10\nc: yes\nd: 0644\n"},
		"three layers":        {[]string{"a: 1\n", "a: 2\nb: 1\n", "a: 3\n"}, "a: 3\nb: 1\n"},
		"null in lower layer": {[]string{"a:\n  x: null\n  y: 1\n"}, "a:\n  y: 1\n"},
		"flow becomes block":  {[]string{"{a: {b: 1}}"}, "a:\n  b: 1\n"},
		"empty mapping stays": {[]string{"a: {}\n"}, "a: {}\n"},
		"multi-line text":     {[]string{"a: |\n  one\n  two\n"}, "a: |\n  one\n  two\n"},
	} {
		var bodies [][]byte
		for _, b := range c.bodies {
			bodies = append(bodies, []byte(b))
		}
		got, err := Merge(bodies...)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	for body, want := range map[string]string{
		"a: [":            "no YAML",
		"- 1":             "line 1: want keys",
		"x":               "line 1: want keys",
		"a: 1\na: 2":      `line 2: key "a" was already given on line 1`,
		"b: {a: 1, a: 2}": "already given",
		"a: &x 1":         "anchors",
		"a: {<<: {b: 1}}": "plain text",
		"a: !!python/x y": "tag",
		"[1]: a":          "plain text",
		"a: 1\n---\nb: 2": "more than one",
		"\ta: 1":          "no YAML",
		"a: \xff":         "no YAML",
	} {
		if _, err := Merge([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", body, err, want)
		}
	}
}

// FuzzMerge: whatever is taken prints as YAML that merges to itself.
func FuzzMerge(f *testing.F) {
	for _, seed := range [][2]string{{"a: 1", "a: {b: null}"}, {"a: [1, {b: c}]", "a: |\n  x"}, {"a: \"\\x00\"", ""}, {"? a\n: b", "a: ~"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got, err := Merge([]byte(a), []byte(b))
		if err != nil {
			return
		}
		again, err := Merge(got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q and %q give %q, then %q, %v", a, b, got, again, err)
		}
		var v map[string]any
		if err := yaml.Unmarshal(got, &v); err != nil {
			t.Fatalf("%q and %q give %q: %v", a, b, got, err)
		}
	})
}

func item(t *testing.T, revision int64, v *fleet.ConfigVersion) etcd.Item {
	t.Helper()
	value, err := v.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return etcd.Item{Key: v.Scope, Value: value, Revision: revision}
}

func TestSet(t *testing.T) {
	version := func(scope string, version uint64, selector, body string) *fleet.ConfigVersion {
		return &fleet.ConfigVersion{Scope: scope, Version: version, Kind: "agent", Selector: selector, Body: body}
	}
	urgent := version("a-urgent", 1, "all", "x: urgent\n")
	urgent.Priority = 10
	own := version("default", 1, "all", "t: acme\n")
	own.Tenant = "acme"
	gone := version("gone", 2, "all", "")
	gone.Deleted = true
	sensor := version("default", 1, "all", "x: sensor\n")
	sensor.Kind = "sensor"
	var broken []string
	s := NewSet([]etcd.Item{
		item(t, 5, version("default", 2, "all", "x: 2\ny: 2\n")),
		item(t, 3, version("default", 1, "all", "x: 1\nz: 1\n")),
		item(t, 7, urgent),
		item(t, 8, version("web", 1, "role=web", "x: web\nw: 1\n")),
		item(t, 9, own),
		item(t, 10, version("gone", 1, "all", "x: gone\n")),
		item(t, 11, gone),
		item(t, 12, version("bad", 1, "role=", "")),
		item(t, 6, sensor),
		{Key: "noise", Value: []byte{0xff}, Revision: 4},
	}, func(key string, err error) { broken = append(broken, key) })
	if len(broken) != 2 || s.Version() != 12 {
		t.Errorf("broken: %v, version %d", broken, s.Version())
	}
	node := func(tenant string, labels map[string]string) *fleet.Subject {
		return &fleet.Subject{ID: event.NodeID{1}, Tenant: tenant, Kind: "agent", Labels: labels}
	}
	for _, c := range []struct {
		node   *fleet.Subject
		body   string
		scopes string
	}{
		{node("acme", nil), "t: acme\nx: urgent\ny: 2\n", "default@2 default@1 a-urgent@1"},
		{node("umbrella", nil), "x: urgent\ny: 2\n", "default@2 a-urgent@1"},
		{node("umbrella", map[string]string{"role": "web"}), "w: 1\nx: urgent\ny: 2\n", "default@2 web@1 a-urgent@1"},
		{&fleet.Subject{Kind: "sensor"}, "x: sensor\n", "default@1"},
		{&fleet.Subject{Kind: "decoy"}, "", ""},
	} {
		e := s.For(c.node)
		if e.Err != nil || string(e.Body) != c.body || strings.Join(e.Scopes, " ") != c.scopes || e.Hash != Hash(e.Body) || e.Version != 12 {
			t.Errorf("%v: %v %v\n%s\nwant %s\n%s", c.node, e.Err, e.Scopes, e.Body, c.scopes, c.body)
		}
		if s.For(c.node) != e {
			t.Errorf("%v: built twice", c.node)
		}
		if !e.Fits(e.Hash) || e.Fits("other") || e.Fits("") != (len(e.Body) == 0) {
			t.Errorf("%v: what fits", c.node)
		}
	}
}
