package sigma_test

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sigma"
	"github.com/hauberk/hauberk/sigma/sigmatest"
)

// FuzzParse: no file makes the parser or the compiler panic, and every error
// has a file, a line and a reason.
func FuzzParse(f *testing.F) {
	f.Add([]byte(complete))
	f.Add([]byte(letters + correlationRule("X", "type: temporal\nrules: [A, B]\ngroup-by: [user]\ntimespan: 10s\ncondition: A and not B")))
	f.Add([]byte(labRule("s: {a: evil}") + "---\ntitle: f\nlogsource: {product: lab}\nfilter: {rules: [t], s: {a: x}, condition: not s}\n"))
	f.Add([]byte("a: &x [*x]\n---\n? [a]\n: b\n---\nb: &a {<<: *a}"))
	opt := labOptions(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, errs := sigma.Parse("f.yml", data)
		set, more, err := sigma.Compile(rules, opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range append(errs, more...) {
			if e.File != "f.yml" || e.Line < 1 || e.Reason == "" || strings.Contains(e.Reason, "\n") {
				t.Errorf("error %+v", e)
			}
		}
		sigma.NewCorrelator(set, sigma.Limits{})
	})
}

// FuzzMatch: a rule of one value with any modifiers, and an event of one text:
// the matcher and the naive evaluator agree.
func FuzzMatch(f *testing.F) {
	for _, c := range semantics {
		if _, rest, ok := strings.Cut(c.detection, "s: {a"); ok && len(c.event) == 2 {
			mods, value, _ := strings.Cut(rest, ": ")
			if text, ok := c.event[1].(string); ok {
				f.Add(strings.Trim(mods, "|"), strings.Trim(strings.TrimSuffix(value, "}"), "'"), text, uint8(0))
			}
		}
	}
	f.Add("contains", "a?b*", "xa\xffb", uint8(1))
	f.Add("lt", "1e5", "99999", uint8(2))
	opt := labOptions(f)
	fields := []string{"a", "n", "ip", "list", "time", "message"}
	f.Fuzz(func(t *testing.T, mods, value, text string, which uint8) {
		if strings.ContainsAny(mods+value, "\x00\r\n") || len(value) > 200 || len(text) > 500 {
			return
		}
		field := fields[int(which)%len(fields)]
		key := field
		if mods != "" {
			key += "|" + mods
		}
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		rules, _ := sigma.Parse("f.yml", []byte(labRule("s: {"+quote(key)+": "+quote(value)+"}")))
		set, _, err := sigma.Compile(rules, opt)
		if err != nil {
			t.Fatal(err)
		}
		if set.Len() == 0 {
			return
		}
		ev := record(t, opt.Schema, field, text)
		if field == "list" {
			ev = record(t, opt.Schema, field, strings.Split(text, " "))
		}
		got := len(set.Match(ev, 0, set.NewScratch()))
		if want := len(sigmatest.NewNaive(set, opt).Match(ev, 0, nil)); got != want {
			t.Errorf("%d matches, naive %d\n%s", got, want, labRule("s: {"+quote(key)+": "+quote(value)+"}"))
		}
	})
}

// FuzzMapping: no file makes the parser panic; what is read gives a schema or
// an error.
func FuzzMapping(f *testing.F) {
	f.Add([]byte(labMappingText))
	f.Add([]byte("types: {ip: [a]}\nsources: [{product: x, keywords: [a], fields: {b: 'c[3]', d: &x {field: e}, g: *x}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := sigma.ParseMapping("m.yml", data)
		if err != nil {
			return
		}
		if s, err := m.Schema(); err == nil {
			for i, field := range s.Fields() {
				if id, _, ok := s.Lookup(field.Name); !ok || int(id) != i {
					t.Errorf("field %q is not found", field.Name)
				}
			}
		}
	})
}
