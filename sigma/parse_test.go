package sigma_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hauberk/hauberk/sigma"
)

const complete = `title: Complete
id: 929a690e-bef0-4204-a928-ef5e620d6fcc
name: complete_rule
related:
    - id: 08fbc97d-0a2f-491c-ae21-8ffcfd3174e9
      type: derived
taxonomy: sigma
status: test
description: What it finds
license: DRL-1.1
references: [https://example.org/a]
author: A, B
date: 2024-01-02
modified: 2024/02/03
tags: [attack.defense-evasion, attack.t1059.004, attack.g0001, cve.2021-1234]
logsource: {category: process_creation, product: lab, definition: text}
detection:
    selection: {a: x}
    condition: selection
fields: [a]
falsepositives: [Admins]
level: high
scope: [server]
custom: {anything: 1}
`

func TestParseMetadata(t *testing.T) {
	r := mustParse(t, complete)[0]
	if r.Title != "Complete" || r.Name != "complete_rule" || r.Level != sigma.LevelHigh || r.Level.String() != "high" || r.Status != "test" ||
		r.Date != "2024-01-02" || r.Modified != "2024-02-03" || r.Author != "A, B" || r.License != "DRL-1.1" || r.Description != "What it finds" ||
		r.LogSource != (sigma.LogSource{Category: "process_creation", Product: "lab"}) || len(r.Related) != 1 || r.Related[0].Type != "derived" {
		t.Errorf("metadata: %+v", r)
	}
	if got := r.Techniques(); !slices.Equal(got, []string{"T1059.004"}) {
		t.Errorf("techniques %v", got)
	}
	if got := r.Tactics(); !slices.Equal(got, []string{"defense-evasion"}) {
		t.Errorf("tactics %v", got)
	}
	if r.Ref() != r.ID || !slices.Equal(r.FalsePositives, []string{"Admins"}) || !slices.Equal(r.References, []string{"https://example.org/a"}) {
		t.Errorf("lists: %+v", r)
	}
}

// TestErrors: each wrong rule is refused with its place and reason, when it is
// parsed or when it is compiled.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"title: [", "test.yml:1: yaml: did not find expected node content"},
		{"- a", "test.yml:1:1: a rule must be a map of attributes"},
		{"title: t\ntitle: u", `test.yml:2:1: key "title" is given twice`},
		{"logsource: {product: x}\ndetection: {s: {a: x}, condition: s}", "test.yml:1:1: title is missing"},
		{"title: t\ndetection: {s: {a: x}, condition: s}", `test.yml:1:1: rule "t": logsource is missing`},
		{"title: t\nid: i\nlogsource: {product: x}", `test.yml:1:1: rule "t" (i): detection is missing`},
		{"title: t\nlogsource: {definition: x}\ndetection: {s: {a: x}, condition: s}", "test.yml:2:12: " + `rule "t": logsource gives none of category, product and service`},
		{"title: t\nlevel: huge", `test.yml:2:8: rule "t": level "huge" is not one of informational, low, medium, high, critical`},
		{"title: t\nstatus: new", `status "new" is not one of`},
		{"title: t\ndate: yesterday", `date "yesterday" is not a date (YYYY-MM-DD)`},
		{"title: t\ntaxonomy: other", `taxonomy "other" is not supported`},
		{"title: t\naction: global", `"action" is a form of Sigma 1`},
		{labRule("s: {a: x}\ncondition: t"), `test.yml:5:14: rule "t": condition "t": search identifier "t" is not defined`},
		{labRule("s: {a: x}\ncondition: s and"), `test.yml:5:19: rule "t": condition "s and": condition ends where a search identifier is expected`},
		{labRule("s: {a: x}\ncondition: 's or )'"), `test.yml:5:20: `},
		{labRule("s: {a: x}\ncondition: s | count() > 5"), "aggregation expressions"},
		{labRule("s: {a: x}\ncondition: 2 of s*"), `"2 of s*", but there are only 1`},
		{labRule("s: {a: x}\ncondition: 1 of x*"), `no search identifier matches "x*"`},
		{labRule("s: {a: x}\ncondition: (s"), "missing closing parenthesis"},
		{labRule("s: {a: x}\ncondition: them"), `"them" without`},
		{labRule("s: {a: x}\ncondition: " + strings.Repeat("(", 100) + "s"), "nested deeper than 64"},
		{labRule("s: {a: x}\ntimeframe: 5m\ncondition: s"), `"timeframe" belongs to the aggregations of Sigma 1`},
		{labRule("s: {}"), `an empty map`},
		{labRule("s: []"), `search identifier "s" is empty`},
		{labRule("s: {a: []}"), `the list of "a" is empty`},
		{labRule("s: {a: {b: c}}"), `the value of "a" must be a plain value or a list`},
		{labRule("s: {a: [[x]]}"), `a value of "a" is not a plain value`},
		{labRule("s: [[x]]"), "a list within a list"},
		{labRule("s: {a: [x, null]}"), "null cannot be part of a list of values"},
		{labRule("s: {a|foo: x}"), `modifier "foo" does not exist`},
		{labRule("s: {a|contains|contains: x}"), `modifier "contains" is given twice`},
		{labRule("s: {a|contains|startswith: x}"), `modifiers "contains" and "startswith" exclude each other`},
		{labRule("s: {a|i|re: x}"), `modifier "i" is only allowed after "re"`},
		{labRule("s: {a|re|cidr: x}"), `modifiers "re" and "cidr" exclude each other`},
		{labRule("s: {a|contains|base64: x}"), `modifier "base64" must stand before "contains"`},
		{labRule("s: {a|base64|re: x}"), `an encoding cannot be combined with "re"`},
		{labRule("s: {a|gt|cased: 1}"), `modifiers "cased" and "gt" exclude each other`},
		{labRule("s: {a|contains|gt: 1}"), `modifiers "contains" and "gt" exclude each other`},
		{labRule("s: {a|all: [x]}"), `modifier "all" needs a list of at least two values`},
		{labRule("s: {'|gt': 1}"), `modifier "gt" needs a field`},
		{labRule("s: {a|exists: maybe}"), `exists needs true or false, not "maybe"`},
		{labRule("s: {a|contains: null}"), `null cannot be combined with "contains"`},
		{labRule("s: {n|gt: many}"), `gt needs a number, not "many"`},
		{labRule("s: {time|hour: noon}"), `hour needs a number, not "noon"`},
		{labRule("s: ['']"), "an empty keyword"},

		{"title: " + strings.Repeat("é", 257) + "\n", "title is longer than 256 characters"},
		{"title: f\nlogsource: {product: lab}\nfilter:\n  rules: [x]\n  s: {a: x}\n  condition: [s, s]", "test.yml:6:18: " + `rule "f": a filter has one condition, not 2`},
		{"title: f\nlogsource: {product: lab}\nfilter: {s: {a: x}, condition: s}", "filter names no rules"},
		{"title: f\nlogsource: {product: lab}\nfilter: x", "filter must be a map"},
		{"title: t\ncorrelation: x", "correlation must be a map"},
		{"title: t\ndetection: x\nlogsource: {product: lab}", "detection must be a map"},
		{"title: t\ndetection: {}\ncorrelation: {}\n", "a rule has one of detection, correlation and filter"},
		{labRule("s: {a: x, unknown: y}"), `test.yml:4:13: rule "t": field "unknown" of log source lab/*/*: the schema has no field "unknown"`},
		{labRule("s: {a|fieldref: unknown}"), `the schema has no field "unknown"`},
		{labRule("s: {a|re: '(?=x)'}"), "test.yml:4:13: " + `rule "t": regular expression "(?=x)": invalid or unsupported Perl syntax`},
		{labRule(`s: {a|re|i: ')x\'}`), "unexpected )"},
		{labRule("s: {ip|cidr: 10.0.0.0/33}"), `"10.0.0.0/33" is not an IP network`},
		{labRule("s: {a|expand: '%nobody%'}"), "placeholder %nobody% has no values"},
		{labRule("s: {a|expand: plain}"), "expand without a placeholder"},
		{labRule("s: {a|expand: '%open'}"), "unpaired %"},
		{labRule("s: {a|base64: 'x*'}"), "cannot encode a value with wildcards"},
		{labRule("s: {a|base64offset: xy}"), "base64offset of fewer than 3 bytes"},
		{labRule("s: {a|windash: '-a -b -c -d -e -f'}"), "windash makes more than 4096 values"},
	} {
		rules, errs := sigma.Parse("test.yml", []byte(c.rule))
		if len(errs) == 0 {
			var err error
			if _, errs, err = sigma.Compile(rules, labOptions(t)); err != nil {
				t.Fatal(err)
			}
		}
		if len(errs) == 0 || !strings.Contains(errs[0].Error(), c.want) {
			t.Errorf("errors %v, want %q\n%s", errs, c.want, c.rule)
		}
	}
}

// TestOneBadRule: the others of the file and set are not affected.
func TestOneBadRule(t *testing.T) {
	text := labRule("s: {a: one}") + "---\n" + "title: [\n" + "---\n" + labRule("s: {a|nope: x}") + "---\n" + labRule("s: {unknown: x}") + "---\n" + labRule("s: {a: two}")
	rules, errs := sigma.Parse("f.yml", []byte(text))
	if len(rules) != 3 || len(errs) != 2 {
		t.Fatalf("%d rules, errors %v", len(rules), errs)
	}
	if errs[0].Line != 7 || errs[1].Line != 12 {
		t.Errorf("lines %d and %d, want 7 and 12", errs[0].Line, errs[1].Line)
	}
	set, errs, err := sigma.Compile(rules, labOptions(t))
	if err != nil || len(errs) != 1 || errs[0].Line != 18 || set.Len() != 2 {
		t.Errorf("%d rules, errors %v %v", set.Len(), errs, err)
	}
	opt := labOptions(t)
	opt.Missing = sigma.AbsentMissing
	if set, errs, err = sigma.Compile(rules, opt); err != nil || len(errs) != 0 || set.Len() != 3 {
		t.Fatalf("with AbsentMissing: %d rules, errors %v %v", set.Len(), errs, err)
	}
	if !slices.Equal(set.Missing(1), []string{"unknown"}) || !set.Never(1) || set.Never(0) || set.Missing(0) != nil {
		t.Errorf("missing %v, never %v", set.Missing(1), set.Never(1))
	}
}

func TestCheck(t *testing.T) {
	fsys := fstest.MapFS{
		"b/two.yml":   {Data: []byte(labRule("s: {a: one}") + "---\n" + labRule("s: {unknown: x}"))},
		"a.yaml":      {Data: []byte("title: broken\n")},
		"c.yml":       {Data: []byte("title: windows\nlogsource: {product: windows}\ndetection: {s: {n|gt: 1}, condition: s}\n")},
		"ignored.txt": {Data: []byte("title: [")},
	}
	rep, err := sigma.Check(fsys, ".", labOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range rep.Rules {
		line := v.File + " " + v.Title
		for _, e := range v.Errors {
			line += " | " + e.Reason
		}
		if v.Idle {
			line += " idle"
		}
		if v.Untriggered {
			line += " untriggered"
		}
		got = append(got, line)
	}
	want := []string{
		"a.yaml broken | detection is missing",
		"b/two.yml t",
		`b/two.yml t | field "unknown" of log source lab/*/*: the schema has no field "unknown"`,
		"c.yml windows idle untriggered",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rep.Supported() != 2 {
		t.Errorf("%d supported, want 2", rep.Supported())
	}
}

func TestDuplicateIDs(t *testing.T) {
	text := "id: x\n" + labRule("s: {a: one}") + "---\nid: x\n" + labRule("s: {a: two}")
	set, errs, err := sigma.Compile(mustParse(t, text), labOptions(t))
	if err != nil || set.Len() != 1 || len(errs) != 1 || !strings.Contains(errs[0].Reason, `"x" is already the id or name of the rule at test.yml:1`) {
		t.Errorf("%d rules, errors %v %v", set.Len(), errs, err)
	}
}

func TestOptionErrors(t *testing.T) {
	for _, opt := range []sigma.Options{{}, {Schema: labSchema(t)}, {Schema: labSchema(t), Classes: make([]sigma.Class, 65)}} {
		if _, _, err := sigma.Compile(nil, opt); err == nil {
			t.Errorf("no error for %+v", opt)
		}
	}
}

func TestFilters(t *testing.T) {
	rule := "id: r1\n" + labRule("s: {a: evil}")
	for _, c := range []struct {
		name, filter string
		user         string
		want         bool
		err          string
	}{
		{"suppresses", "  rules: [r1]\n  selection: {user|startswith: adm_}\n  condition: selection", "adm_x", false, ""},
		{"passes others", "  rules: [r1]\n  selection: {user|startswith: adm_}\n  condition: selection", "bob", true, ""},
		{"as pySigma writes it", "  rules: [r1]\n  selection: {user|startswith: adm_}\n  condition: not selection", "adm_x", false, ""},
		{"as pySigma writes it, others", "  rules: [r1]\n  selection: {user|startswith: adm_}\n  condition: not selection", "bob", true, ""},
		{"unknown rule", "  rules: [r2]\n  selection: {user: x}\n  condition: selection", "x", true, `filter names rule "r2", which does not exist`},
		{"bad field makes the rule too loud", "  rules: [r1]\n  selection: {unknown: x}\n  condition: selection", "x", false, `the schema has no field "unknown"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := rule + "---\ntitle: f\nlogsource: {product: lab}\nfilter:\n" + c.filter + "\n"
			opt := labOptions(t)
			set, errs, err := sigma.Compile(mustParse(t, text), opt)
			if err != nil || (len(errs) > 0) != (c.err != "") {
				t.Fatal(err, errs)
			}
			if c.err != "" && !slices.ContainsFunc(errs, func(e *sigma.Error) bool { return strings.Contains(e.Reason, c.err) }) {
				t.Errorf("errors %v, want %q", errs, c.err)
			}
			if got := len(set.Match(record(t, opt.Schema, "a", "evil", "user", c.user), 0, set.NewScratch())) == 1; got != c.want {
				t.Errorf("match is %v, want %v", got, c.want)
			}
		})
	}
	other := rule + "---\ntitle: f\nlogsource: {product: windows}\nfilter:\n  rules: [r1]\n  selection: {user: x}\n  condition: selection\n"
	if _, errs, _ := sigma.Compile(mustParse(t, other), labOptions(t)); len(errs) != 1 || !strings.Contains(errs[0].Reason, "filter for log source windows/*/*") {
		t.Errorf("filter of another log source: %v", errs)
	}
}

func TestMapping(t *testing.T) {
	m := sigma.DefaultMapping()
	exec := sigma.LogSource{Product: "linux", Category: "process_creation"}
	for _, c := range []struct {
		source      sigma.LogSource
		field, want string
	}{
		{exec, "Image", "process.executable"},
		{exec, "process.name", "process.name"},
		{sigma.LogSource{Product: "linux", Service: "auditd"}, "a1", "process.args[1]"},
		{sigma.LogSource{Product: "linux", Service: "auditd"}, "name", "file.path"},
		{sigma.LogSource{Product: "zeek", Service: "smb_files"}, "name", "file.path"},
		{sigma.LogSource{Category: "dns"}, "query", "dns.question.name"},
		{sigma.LogSource{Category: "proxy"}, "c-uri", "url.original"},
	} {
		if got := m.Field(c.source, c.field).Field; got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.field, c.source, got, c.want)
		}
	}
	if k := m.Keywords(sigma.LogSource{Product: "other"}); !slices.Equal(k, []string{"message", "event.original"}) {
		t.Errorf("keywords of an unknown source: %v", k)
	}
	for _, bad := range []string{"typo: {}", "types: {words: [a]}", "sources: [{fields: {a: [1]}}]", "sources: [{fields: {a: {values: {b: c}}}}]"} {
		if _, err := sigma.ParseMapping("m.yml", []byte(bad)); err == nil || !strings.Contains(err.Error(), "m.yml") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	bad, err := sigma.ParseMapping("m.yml", []byte("sources: [{fields: {a: 'x[b]'}}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Schema(); err == nil {
		t.Error("x[b] is accepted")
	}
}

func TestSchemaErrors(t *testing.T) {
	if _, err := sigma.NewSchema([]sigma.Field{{Name: "a", Kind: sigma.KindText}, {Name: "a", Kind: sigma.KindText}, {Name: "b"}}); err == nil ||
		!strings.Contains(err.Error(), `"a" is empty or used twice`) || !strings.Contains(err.Error(), `"b": invalid kind`) {
		t.Errorf("error %v", err)
	}
}
