package sigma_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/sigmatest"
)

// labSchema and labMapping are what the tests without outside data use.
func labSchema(t testing.TB) *sigma.Schema {
	t.Helper()
	s, err := sigma.NewSchema([]sigma.Field{
		{Name: "a", Kind: sigma.KindText}, {Name: "b", Kind: sigma.KindText}, {Name: "message", Kind: sigma.KindText},
		{Name: "n", Kind: sigma.KindInt}, {Name: "ip", Kind: sigma.KindIP}, {Name: "list", Kind: sigma.KindList},
		{Name: "time", Kind: sigma.KindTime}, {Name: "flag", Kind: sigma.KindBool}, {Name: "user", Kind: sigma.KindText},
		{Name: "host", Kind: sigma.KindText},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const labMappingText = `
sources:
  - keywords: [message, b]
    fields:
      Alpha: a
      Outcome: {field: b, values: {"true": success, "false": failure}}
      arg1: list[1]
`

func labOptions(t testing.TB) sigma.Options {
	t.Helper()
	m, err := sigma.ParseMapping("lab", []byte(labMappingText))
	if err != nil {
		t.Fatal(err)
	}
	return sigma.Options{
		Schema:       labSchema(t),
		Mapping:      m,
		Classes:      []sigma.Class{{Name: "lab", Sources: []sigma.LogSource{{Product: "lab"}}}},
		Placeholders: map[string][]string{"servers": {"srv*", "db1"}, "one": {"1"}, "nets": {"10.0.0.0/8", "fd00::/8"}},
	}
}

// labRule wraps a detection, written without the indentation below "detection".
func labRule(detection string) string {
	if !strings.Contains(detection, "condition:") {
		detection += "\ncondition: s"
	}
	return "title: t\nlogsource: {product: lab}\ndetection:\n  " + strings.ReplaceAll(strings.TrimSpace(detection), "\n", "\n  ") + "\n"
}

func mustParse(t testing.TB, text string) []*sigma.Rule {
	t.Helper()
	rules, errs := sigma.Parse("test.yml", []byte(text))
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs, text)
	}
	return rules
}

// record makes an event of pairs of field and value.
func record(t testing.TB, s *sigma.Schema, pairs ...any) sigma.Record {
	t.Helper()
	ev := make(sigma.Record, len(s.Fields()))
	for i := 0; i < len(pairs); i += 2 {
		id, _, ok := s.Lookup(pairs[i].(string))
		if !ok {
			t.Fatalf("no field %v", pairs[i])
		}
		switch v := pairs[i+1].(type) {
		case string:
			ev[id] = sigma.Text(v)
		case int:
			ev[id] = sigma.Int(int64(v))
		case bool:
			ev[id] = sigma.Value{Kind: sigma.KindBool}
			if v {
				ev[id].Int = 1
			}
		case netip.Addr:
			ev[id] = sigma.Value{Kind: sigma.KindIP, Bytes: v.AsSlice()}
		case []string:
			ev[id] = sigma.List(v...)
		case time.Time:
			ev[id] = sigma.Time(v)
		default:
			t.Fatalf("value %T", v)
		}
	}
	return ev
}

func wide(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

var noon = time.Date(2026, 3, 5, 12, 34, 56, 0, time.UTC) // a Thursday of ISO week 10

// semantics is the table of the specification: a detection, an event, and
// whether they match.
var semantics = []struct {
	name      string
	detection string
	event     []any
	want      bool
}{
	{"equal, any case", "s: {a: FooBar}", []any{"a", "fOObAR"}, true},
	{"equal is whole", "s: {a: foo}", []any{"a", "foobar"}, false},
	{"mapped field", "s: {Alpha: foo}", []any{"a", "foo"}, true},
	{"mapped value", "s: {Outcome: 'True'}", []any{"b", "success"}, true},
	{"element of a list", "s: {arg1: -x}", []any{"list", []string{"cmd", "-x"}}, true},
	{"other element of a list", "s: {arg1: cmd}", []any{"list", []string{"cmd", "-x"}}, false},
	{"element beyond a list", "s: {arg1|exists: false}", []any{"list", []string{"cmd"}}, true},
	{"list of values is or", "s: {a: [x, foo]}", []any{"a", "foo"}, true},
	{"map is and", "s: {a: foo, b: bar}", []any{"a", "foo", "b", "baz"}, false},
	{"list of maps is or", "s: [{a: foo}, {b: bar}]", []any{"b", "bar"}, true},
	{"field with several values", "s: {list: two}", []any{"list", []string{"one", "two"}}, true},

	{"star", "s: {a: f*r}", []any{"a", "fooBAR"}, true},
	{"star is anchored", "s: {a: o*a}", []any{"a", "foobar"}, false},
	{"question mark", "s: {a: 'f?o'}", []any{"a", "f\u00e9o"}, true},
	{"question mark is one", "s: {a: 'f?o'}", []any{"a", "fo"}, false},
	{"escaped star", `s: {a: 'f\*o'}`, []any{"a", "f*o"}, true},
	{"escaped star is plain", `s: {a: 'f\*o'}`, []any{"a", "fxo"}, false},
	{"plain backslash", `s: {a: 'c:\win'}`, []any{"a", `C:\WIN`}, true},
	{"double backslash", `s: {a: 'c:\\win'}`, []any{"a", `c:\win`}, true},
	{"backslash before star", `s: {a: 'c:\\*'}`, []any{"a", `c:\x`}, true},
	{"backslash and star", `s: {a: 'c:\\\*'}`, []any{"a", `c:\*`}, true},
	{"four backslashes", `s: {a: '\\\\srv'}`, []any{"a", `\\srv`}, true},
	{"three pieces", "s: {a: '*a*b*'}", []any{"a", "xxayybzz"}, true},
	{"pieces in order", "s: {a: '*b*a*'}", []any{"a", "ab"}, false},

	{"contains", "s: {a|contains: OO}", []any{"a", "foobar"}, true},
	{"startswith", "s: {a|startswith: foo}", []any{"a", "Foobar"}, true},
	{"startswith not within", "s: {a|startswith: oo}", []any{"a", "foobar"}, false},
	{"endswith", "s: {a|endswith: bar}", []any{"a", "fooBAR"}, true},
	{"endswith, longer than automata hold", "s: {a|endswith: /very/long/path/end}", []any{"a", "/x/very/long/path/end"}, true},
	{"endswith not within", "s: {a|endswith: foo}", []any{"a", "foobar"}, false},
	{"all", "s: {a|contains|all: [foo, bar]}", []any{"a", "bar foo"}, true},
	{"all needs all", "s: {a|contains|all: [foo, bar]}", []any{"a", "foo"}, false},
	{"cased", "s: {a|cased: Foo}", []any{"a", "Foo"}, true},
	{"cased differs", "s: {a|contains|cased: Foo}", []any{"a", "xfoo"}, false},
	{"neq", "s: {a|neq: foo}", []any{"a", "bar"}, true},
	{"neq equal", "s: {a|neq: [bar, foo]}", []any{"a", "FOO"}, false},
	{"neq absent", "s: {a|neq: foo}", []any{"b", "x"}, true},
	{"unicode case", "s: {a: ÉCOLE}", []any{"a", "école"}, true},
	{"unicode contains", "s: {a|contains: Straße}", []any{"a", "x STRAßE y"}, true},

	{"exists", "s: {a|exists: true}", []any{"a", ""}, true},
	{"exists not", "s: {a|exists: true}", []any{"b", ""}, false},
	{"exists false", "s: {a|exists: false}", []any{"b", ""}, true},
	{"null absent", "s: {a: null}", []any{"b", "x"}, true},
	{"null present", "s: {a: null}", []any{"a", "x"}, false},
	{"not null", "s: {b: x}\nf: {a: null}\ncondition: s and not f", []any{"a", "y", "b", "x"}, true},
	{"empty text", "s: {a: ''}", []any{"a", ""}, true},
	{"empty text, absent", "s: {a: ''}", []any{"b", "x"}, true},
	{"empty text, present", "s: {a: ''}", []any{"a", "x"}, false},
	{"star is presence", "s: {a: '*'}", []any{"b", "x"}, false},

	{"re", `s: {a|re: 'fo{2}.*r$'}`, []any{"a", "xfoo-bar"}, true},
	{"re is cased", `s: {a|re: 'foo'}`, []any{"a", "FOO"}, false},
	{"re i", `s: {a|re|i: 'foo'}`, []any{"a", "FOO"}, true},
	{"re i with a letter that folds beyond ASCII", `s: {a|re|i: 'task'}`, []any{"a", "ta\u017f\u212a"}, true},
	{"re dot and newline", `s: {a|re: 'foo.bar'}`, []any{"a", "foo\nbar"}, false},
	{"re s", `s: {a|re|s: 'foo.bar'}`, []any{"a", "foo\nbar"}, true},
	{"re m", `s: {a|re|m: '^bar$'}`, []any{"a", "foo\nbar"}, true},
	{"re without m", `s: {a|re: '^bar$'}`, []any{"a", "foo\nbar"}, false},
	{"re alternatives", `s: {a|re: '(curl|wget) .*sh'}`, []any{"a", "wget x | sh"}, true},
	{"re short class", `s: {a|re: '-[RW] x'}`, []any{"a", "foo -W x"}, true},

	{"cidr v4", "s: {ip|cidr: 10.0.0.0/8}", []any{"ip", netip.MustParseAddr("10.1.2.3")}, true},
	{"cidr v4 outside", "s: {ip|cidr: 10.0.0.0/8}", []any{"ip", netip.MustParseAddr("11.1.2.3")}, false},
	{"cidr v6", "s: {ip|cidr: 'fe80::/10'}", []any{"ip", netip.MustParseAddr("fe80::1")}, true},
	{"cidr mapped", "s: {ip|cidr: 10.0.0.0/8}", []any{"ip", netip.MustParseAddr("::ffff:10.1.2.3")}, true},
	{"cidr written as mapped", "s: {ip|cidr: '::ffff:10.0.0.0/104'}", []any{"ip", netip.MustParseAddr("10.1.2.3")}, true},
	{"cidr of text", "s: {a|cidr: [10.0.0.0/8, 'fd00::/8']}", []any{"a", "fd00::17"}, true},
	{"cidr of v4 text", "s: {a|cidr: 10.0.0.0/8}", []any{"a", "10.250.0.9"}, true},
	{"cidr of no address", "s: {a|cidr: 10.0.0.0/8}", []any{"a", "10.x"}, false},
	{"ip equal", "s: {ip: '2001:DB8:0::1'}", []any{"ip", netip.MustParseAddr("2001:db8::1")}, true},
	{"ip prefix text", "s: {ip|startswith: '192.168.'}", []any{"ip", netip.MustParseAddr("192.168.7.1")}, true},

	{"fieldref", "s: {a|fieldref: b}", []any{"a", "X", "b", "x"}, true},
	{"fieldref differs", "s: {a|fieldref: b}", []any{"a", "x", "b", "y"}, false},
	{"fieldref cased", "s: {a|fieldref|cased: b}", []any{"a", "X", "b", "x"}, false},
	{"fieldref neq", "s: {a|fieldref|neq: b}", []any{"a", "x", "b", "y"}, true},
	{"fieldref startswith", "s: {a|fieldref|startswith: b}", []any{"a", "/usr/bin/x", "b", "/usr/"}, true},
	{"fieldref absent", "s: {a|fieldref: b}", []any{"a", "x"}, false},

	{"windash", "s: {a|windash|contains: ' -enc '}", []any{"a", "ps /enc x"}, true},
	{"windash en dash", "s: {a|windash|contains: ' -enc '}", []any{"a", "ps –enc x"}, true},
	{"windash two", "s: {a|windash|contains|all: [' -a ', ' /b ']}", []any{"a", "x ―a —b "}, true},
	{"windash leaves inner dashes", "s: {a|windash|contains: 'a-b'}", []any{"a", "a/b"}, false},
	{"base64", "s: {a|base64|contains: 'foo bar'}", []any{"a", "x" + base64.StdEncoding.EncodeToString([]byte("foo bar"))}, true},
	{"base64offset 0", "s: {a|base64offset|contains: foobar}", []any{"a", base64.StdEncoding.EncodeToString([]byte("foobarx"))}, true},
	{"base64offset 1", "s: {a|base64offset|contains: foobar}", []any{"a", base64.StdEncoding.EncodeToString([]byte("xfoobary"))}, true},
	{"base64offset 2", "s: {a|base64offset|contains: foobar}", []any{"a", base64.StdEncoding.EncodeToString([]byte("xyfoobarz"))}, true},
	{"wide", "s: {a|wide|contains: foo}", []any{"a", "x" + wide("foo")}, true},
	{"utf16le", "s: {a|utf16le: foo}", []any{"a", wide("foo")}, true},
	{"utf16be", "s: {a|utf16be: foo}", []any{"a", "\x00f\x00o\x00o"}, true},
	{"utf16", "s: {a|utf16: foo}", []any{"a", "\xff\xfe" + wide("foo")}, true},
	{"wide and base64offset", "s: {a|wide|base64offset|contains: foobar}", []any{"a", base64.StdEncoding.EncodeToString([]byte("z" + wide("foobar") + "z"))}, true},
	{"expand", "s: {a|expand: '%servers%'}", []any{"a", "SRV17"}, true},
	{"expand second", "s: {a|expand: '%servers%'}", []any{"a", "db1"}, true},
	{"expand within", "s: {a|expand|contains: 'x%one%y'}", []any{"a", "_x1y_"}, true},
	{"expand escaped", `s: {a|expand: '\%a%one%'}`, []any{"a", "%a1"}, true},
	{"expand cidr", "s: {ip|expand|cidr: '%nets%'}", []any{"ip", netip.MustParseAddr("fd00::1")}, true},
	{"percent without expand", "s: {a: '%one%'}", []any{"a", "%one%"}, true},

	{"gt", "s: {n|gt: 5}", []any{"n", 6}, true},
	{"gt equal", "s: {n|gt: 5}", []any{"n", 5}, false},
	{"gte", "s: {n|gte: 5}", []any{"n", 5}, true},
	{"lt", "s: {n|lt: 5.5}", []any{"n", 5}, true},
	{"lte", "s: {n|lte: -5}", []any{"n", -5}, true},
	{"gt of text", "s: {a|gt: 9}", []any{"a", "10"}, true},
	{"gt of no number", "s: {a|gt: 9}", []any{"a", "x10"}, false},
	{"number equal", "s: {n: 4625}", []any{"n", 4625}, true},
	{"number as text", "s: {n: '0x10'}", []any{"n", 16}, true},
	{"number pattern", "s: {n: '46*'}", []any{"n", 4625}, true},
	{"number neq", "s: {n|neq: 5}", []any{"n", 6}, true},
	{"bool", "s: {flag: true}", []any{"flag", true}, true},
	{"bool false", "s: {flag: 'False'}", []any{"flag", false}, true},

	{"minute", "s: {time|minute: 34}", []any{"time", noon}, true},
	{"hour", "s: {time|hour: [11, 12]}", []any{"time", noon}, true},
	{"hour from", "s: {time|hour|gte: 13}", []any{"time", noon}, false},
	{"day", "s: {time|day: 5}", []any{"time", noon}, true},
	{"week", "s: {time|week: 10}", []any{"time", noon}, true},
	{"month", "s: {time|month|lt: 3}", []any{"time", noon}, false},
	{"year", "s: {time|year: 2026}", []any{"time", noon}, true},
	{"hour of text", "s: {a|hour: 23}", []any{"a", "2026-03-05T23:59:00+02:00"}, true},
	{"hour of no date", "s: {a|hour: 10}", []any{"a", "2026-02-30T10:00"}, false},
	{"year neq", "s: {time|year|neq: 2025}", []any{"time", noon}, true},

	{"keyword", "s: [evil, other]", []any{"message", "an EVIL thing"}, true},
	{"keyword in another field", "s: [evil]", []any{"b", "evil"}, true},
	{"keyword not in all fields", "s: [evil]", []any{"a", "evil"}, false},
	{"keyword all", "s: {'|all': [one, two]}", []any{"message", "two", "b", "one"}, true},
	{"keyword all missing", "s: {'|all': [one, two]}", []any{"message", "two"}, false},
	{"keyword wildcard", "s: ['a*c']", []any{"message", "xx abbc xx"}, true},
	{"keyword re", "s: {'|re': 'e.il$'}", []any{"message", "so evil"}, true},
	{"keyword scalar", "s: evil", []any{"message", "evil"}, true},
	{"keywords and maps", "s: [evil, {a: foo}]", []any{"a", "foo"}, true},

	{"and or", "a: {a: x}\nb: {b: y}\nc: {n: 1}\ncondition: a and b or c", []any{"n", 1}, true},
	{"not binds first", "a: {a: x}\nb: {b: y}\ncondition: not a and b", []any{"b", "y"}, true},
	{"parentheses", "a: {a: x}\nb: {b: y}\nc: {n: 1}\ncondition: a and (b or c)", []any{"n", 1}, false},
	{"1 of", "s1: {a: x}\ns2: {b: y}\ncondition: 1 of s*", []any{"b", "y"}, true},
	{"all of", "s1: {a: x}\ns2: {b: y}\ncondition: all of s*", []any{"b", "y"}, false},
	{"2 of them", "s1: {a: x}\ns2: {b: y}\ns3: {n: 1}\ncondition: 2 of them", []any{"b", "y", "n", 1}, true},
	{"2 of them, one", "s1: {a: x}\ns2: {b: y}\ns3: {n: 1}\ncondition: 2 of them", []any{"b", "y"}, false},
	{"them without underscore", "s1: {a: x}\n_h: {b: y}\ncondition: 1 of them", []any{"b", "y"}, false},
	{"pattern in the middle", "s_a_x: {a: x}\ns_b_x: {b: y}\ncondition: all of s_*_x", []any{"a", "x", "b", "y"}, true},
	{"list of conditions", "s1: {a: x}\ns2: {b: y}\ncondition: [s1, s2]", []any{"b", "y"}, true},
	{"upper case operators", "s1: {a: x}\ns2: {b: y}\ncondition: s1 AND NOT s2", []any{"a", "x"}, true},
}

func TestSemantics(t *testing.T) {
	for _, c := range semantics {
		t.Run(c.name, func(t *testing.T) {
			opt := labOptions(t)
			set, errs, err := sigma.Compile(mustParse(t, labRule(c.detection)), opt)
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			ev := record(t, opt.Schema, c.event...)
			got := len(set.Match(ev, 0, set.NewScratch())) == 1
			if got != c.want {
				t.Errorf("match is %v, want %v", got, c.want)
			}
			if naive := len(sigmatest.NewNaive(set, opt).Match(ev, 0, nil)) == 1; naive != c.want {
				t.Errorf("naive match is %v, want %v", naive, c.want)
			}
		})
	}
}

// TestEveryModifierIsTested keeps the table complete.
func TestEveryModifierIsTested(t *testing.T) {
	for _, m := range sigma.Modifiers() {
		if !slices.ContainsFunc(semantics, func(c struct {
			name      string
			detection string
			event     []any
			want      bool
		}) bool {
			return strings.Contains(c.detection, "|"+m)
		}) {
			t.Errorf("modifier %q is in no test of the table", m)
		}
	}
}

// labRules is the whole table as one rule set.
func labRules(t testing.TB) []*sigma.Rule {
	t.Helper()
	var all strings.Builder
	for i, c := range semantics {
		fmt.Fprintf(&all, "---\nid: r%d\n%s", i, labRule(c.detection))
	}
	return mustParse(t, all.String())
}

// TestMatcherEqualsNaive runs generated events through all rules of the table
// compiled together.
func TestMatcherEqualsNaive(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2_000
	}
	if m := compare(t, labRules(t), labOptions(t), n); m < n {
		t.Errorf("only %d matches in %d events", m, n)
	}
}

// TestScratchReuse: nothing of one event is left for the next.
func TestScratchReuse(t *testing.T) {
	opt := labOptions(t)
	set, errs, err := sigma.Compile(labRules(t), opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	gen := sigmatest.NewGenerator(3, labRules(t), opt.Schema, opt.Classes, opt.Mapping)
	sc := set.NewScratch()
	for range 500 {
		ev, class := gen.Next()
		got := slices.Clone(set.Match(ev, class, sc))
		if fresh := set.Match(ev, class, set.NewScratch()); !slices.Equal(got, fresh) {
			t.Fatalf("reused scratch gives %v, a new one %v\n%s", got, fresh, show(opt.Schema, ev))
		}
	}
}

// TestLogSources: a rule sees the events of the classes its log source covers.
func TestLogSources(t *testing.T) {
	opt := labOptions(t)
	opt.Classes = []sigma.Class{
		{Name: "exec", Sources: []sigma.LogSource{{Product: "linux", Category: "process_creation"}, {Product: "linux", Service: "auditd"}}},
		{Name: "login", Sources: []sigma.LogSource{{Product: "linux", Service: "sshd"}}},
	}
	const text = `
title: process
logsource: {product: linux, category: process_creation}
detection: {s: {a: x}, condition: s}
---
title: any linux
logsource: {product: linux}
detection: {s: {a: x}, condition: s}
---
title: audit
logsource: {service: auditd}
detection: {s: {a: x}, condition: s}
---
title: windows
logsource: {product: windows}
detection: {s: {a: x}, condition: s}
`
	set, errs, err := sigma.Compile(mustParse(t, text), opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	ev := record(t, opt.Schema, "a", "x")
	for class, want := range [][]string{{"process", "any linux", "audit"}, {"any linux"}} {
		if got := titles(set, set.Match(ev, sigma.ClassID(class), set.NewScratch())); !slices.Equal(got, want) {
			t.Errorf("class %d: %v, want %v", class, got, want)
		}
	}
	if got := set.Classes(3); got != nil {
		t.Errorf("the windows rule has classes %v, want none", got)
	}
}

// TestConcurrentMatch: one set, several goroutines, each with its own scratch.
func TestConcurrentMatch(t *testing.T) {
	opt := labOptions(t)
	set, errs, err := sigma.Compile(labRules(t), opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	gen := sigmatest.NewGenerator(4, labRules(t), opt.Schema, opt.Classes, opt.Mapping)
	events := make([]sigma.Record, 300)
	want := make([][]sigma.RuleID, len(events))
	sc := set.NewScratch()
	for i := range events {
		events[i], _ = gen.Next()
		want[i] = slices.Clone(set.Match(events[i], 0, sc))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sc := set.NewScratch()
			for i := range events {
				if got := set.Match(events[i], 0, sc); !slices.Equal(got, want[i]) {
					t.Errorf("event %d: %v, want %v", i, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}
