package sigma_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/sigma"
)

// The detections that the correlations below refer to: an event matches the
// one whose letter is its field a.
var letters = func() string {
	var b strings.Builder
	for _, l := range []string{"A", "B", "C"} {
		fmt.Fprintf(&b, "---\nname: %s\n%s", l, labRule("s: {a: "+l+"}"))
	}
	return b.String()
}()

func correlationRule(name, body string) string {
	return "---\ntitle: " + name + "\nname: " + name + "\ncorrelation:\n  " + strings.ReplaceAll(strings.TrimSpace(body), "\n", "\n  ") + "\n"
}

// scriptRun feeds a script of events to a Correlator and collects its hits.
type scriptRun struct {
	t    *testing.T
	set  *sigma.Set
	opt  sigma.Options
	sc   *sigma.Scratch
	corr *sigma.Correlator
	n    int
}

func newRun(t *testing.T, rules string, limits sigma.Limits) *scriptRun {
	t.Helper()
	opt := labOptions(t)
	set, errs, err := sigma.Compile(mustParse(t, letters+rules), opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	return &scriptRun{t: t, set: set, opt: opt, sc: set.NewScratch(), corr: sigma.NewCorrelator(set, limits)}
}

func at(sec int) time.Time { return time.Unix(1_700_000_000+int64(sec), 0) }

// hit writes a hit as "rule[group] value evidence first-last".
func (r *scriptRun) hit(h sigma.Hit) string {
	var group []string
	for _, g := range h.Group {
		group = append(group, g.Value)
	}
	s := fmt.Sprintf("%s[%s] %g %s %d-%d", r.set.Rule(h.Rule).Title, strings.Join(group, ","), h.Value, strings.Join(h.Evidence, ""), h.First.Unix()-at(0).Unix(), h.Last.Unix()-at(0).Unix())
	if h.Subject != "" {
		s += " " + h.Subject
	}
	return s
}

// step is "second letter user [number]" or "second now".
func (r *scriptRun) step(line string) (out []string) {
	r.t.Helper()
	f := strings.Fields(line)
	var sec int
	if _, err := fmt.Sscan(f[0], &sec); err != nil {
		r.t.Fatal(err)
	}
	var hits []sigma.Hit
	if f[1] == "now" {
		hits = r.corr.Advance(at(sec))
	} else {
		ev := record(r.t, r.opt.Schema, "a", f[1])
		for i, name := range []string{"user", "n", "host"} {
			if len(f) > 2+i && f[2+i] != "-" {
				id, kind, _ := r.opt.Schema.Lookup(name)
				ev[id] = sigma.Text(f[2+i])
				if kind == sigma.KindInt {
					var n int64
					if _, err := fmt.Sscan(f[2+i], &n); err != nil {
						r.t.Fatal(err)
					}
					ev[id] = sigma.Int(n)
				}
			}
		}
		identity := string(rune('a' + r.n))
		r.n++
		hits = r.corr.Observe(ev, r.set.Match(ev, 0, r.sc), at(sec), identity)
	}
	for _, h := range hits {
		out = append(out, r.hit(h))
	}
	return out
}

func TestCorrelations(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		script     string // steps, hits indented by "->"
	}{
		{"event_count", "type: event_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {gte: 3}", `
			0 A bob
			5 A eve
			9 A bob
			10 A bob
			-> X[bob] 3 acd 0-10
			10 A bob
			19 A bob
			21 A bob
			21 A bob
			-> X[bob] 3 fgh 19-21`},
		{"event_count slides", "type: event_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {gt: 1}", `
			0 A bob
			11 A bob
			20 A bob
			-> X[bob] 2 bc 11-20`},
		{"event_count out of order", "type: event_count\nrules: [A]\ntimespan: 10s\ncondition: {gte: 3}", `
			10 A -
			8 A -
			-5 A -
			9 A -
			-> X[] 3 bda 8-10`},
		{"event_count over two rules", "type: event_count\nrules: [A, B]\ntimespan: 10s\ncondition: {gte: 2}", `
			0 A -
			1 C -
			2 B -
			-> X[] 2 ac 0-2`},
		{"event_count range is judged at the end", "type: event_count\nrules: [A]\ntimespan: 10s\ncondition: {gt: 1, lte: 2}", `
			0 A -
			1 A -
			2 A -
			11 now
			20 A -
			21 A -
			30 now
			31 now
			-> X[] 2 de 20-21`},
		{"event_count lt", "type: event_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {lt: 2}", `
			0 A bob
			0 A eve
			1 A eve
			11 now
			-> X[bob] 1 a 0-0`},
		{"event_count eq, closed by a later event", "type: event_count\nrules: [A]\ntimespan: 10s\ncondition: {eq: 2}", `
			0 A -
			1 A -
			50 A -
			-> X[] 2 ab 0-1`},
		{"event_count neq", "type: event_count\nrules: [A]\ntimespan: 10s\ncondition: {neq: 2}", `
			0 A -
			11 now
			-> X[] 1 a 0-0`},
		{"value_count", "type: value_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {field: n, gte: 2}", `
			0 A bob 1
			1 A bob 1
			2 A bob 2
			-> X[bob] 2 bc 1-2`},
		{"value_count of two fields", "type: value_count\nrules: [A]\ntimespan: 10s\ncondition: {field: [user, n], gte: 2}", `
			0 A bob 1
			1 A bob 1
			2 A bob 2
			-> X[] 2 bc 1-2`},
		{"value_count at most", "type: value_count\nrules: [A]\ntimespan: 10s\ncondition: {field: n, lte: 1}", `
			0 A - 7
			1 A - 7
			11 now
			-> X[] 1 ab 0-1`},
		{"value_sum", "type: value_sum\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {field: n, gt: 1000000}", `
			0 A bob 600000
			1 A bob
			2 A bob 400000
			5 A bob 1
			-> X[bob] 1.000001e+06 acd 0-5`},
		{"value_sum below", "type: value_sum\nrules: [A]\ntimespan: 10s\ncondition: {field: n, lt: 5}", `
			0 A - 1
			1 A - 2
			11 now
			-> X[] 3 ab 0-1`},
		{"value_avg", "type: value_avg\nrules: [A]\ntimespan: 10s\ncondition: {field: n, gt: 2.5}", `
			0 A - 2
			1 A - 4
			11 now
			-> X[] 3 ab 0-1
			20 A - 2
			31 now`},
		{"value_percentile, shares", "type: value_percentile\nrules: [A]\ntimespan: 10s\ncondition: {field: user, lte: 25}", `
			0 A bob
			1 A bob
			2 A eve
			3 A bob
			11 now
			-> X[] 25 abcd 0-3 eve`},
		{"value_percentile, median", "type: value_percentile\nrules: [A]\ntimespan: 10s\ncondition: {field: n, percentile: 50, gte: 5}", `
			0 A - 9
			1 A - 5
			2 A - 1
			11 now
			-> X[] 5 abc 0-2`},
		{"temporal", "type: temporal\nrules: [A, B, C]\ngroup-by: [user]\ntimespan: 10s", `
			0 C bob
			1 B bob
			1 B eve
			2 A bob
			-> X[bob] 3 abd 0-2`},
		{"temporal outside the span", "type: temporal\nrules: [A, B]\ntimespan: 10s", `
			0 A -
			11 B -
			20 A -
			-> X[] 2 bc 11-20`},
		{"temporal, two of three", "type: temporal\nrules: [A, B, C]\ntimespan: 10s\ncondition: {gte: 2}", `
			0 A -
			1 A -
			2 C -
			-> X[] 2 bc 1-2`},
		{"temporal, expression", "type: temporal\nrules: [A, B, C]\ntimespan: 10s\ncondition: A and (B or C)", `
			0 B -
			1 C -
			2 A -
			-> X[] 3 abc 0-2`},
		{"temporal, expression with not", "type: temporal\nrules: [A, B]\ntimespan: 10s\ncondition: A and not B", `
			0 A -
			11 now
			-> X[] 1 a 0-0
			20 A -
			21 B -
			31 now`},
		{"temporal_ordered", "type: temporal_ordered\nrules: [A, B]\ngroup-by: [user]\ntimespan: 10s", `
			0 B bob
			1 A bob
			2 A bob
			3 B eve
			9 B bob
			-> X[bob] 2 ce 2-9`},
		{"temporal_ordered outside the span", "type: temporal_ordered\nrules: [A, B, C]\ntimespan: 10s", `
			0 A -
			9 B -
			11 C -`},
		{"temporal_ordered, an event of the past does not follow", "type: temporal_ordered\nrules: [A, B]\ntimespan: 10s", `
			5 A -
			4 B -`},
		{"group-by of several fields", "type: event_count\nrules: [A]\ngroup-by: [user, host]\ntimespan: 10s\ncondition: {gte: 2}", `
			0 A bob 0 h1
			1 A bob 0 h2
			2 A bob
			3 A bob 0 h1
			-> X[bob,h1] 2 ad 0-3`},
		{"aliases", "type: temporal\nrules: [A, B]\naliases: {who: {A: user, B: host}}\ngroup-by: [who]\ntimespan: 10s", `
			0 A bob
			1 B x 0 bob
			-> X[bob] 2 ab 0-1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t, correlationRule("X", c.rule), sigma.Limits{})
			runScript(t, r, c.script)
		})
	}
}

func runScript(t *testing.T, r *scriptRun, script string) {
	t.Helper()
	var got, want []string
	for line := range strings.Lines(strings.TrimSpace(script)) {
		line = strings.TrimSpace(line)
		want = append(want, line)
		if strings.HasPrefix(line, "->") {
			continue
		}
		got = append(got, line)
		for _, h := range r.step(line) {
			got = append(got, "-> "+h)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestChain is the specification's example: many failed log-ins, then one that
// succeeds.
func TestChain(t *testing.T) {
	rules := correlationRule("Outer", "type: temporal_ordered\nrules: [Many, B]\ngroup-by: [user]\ntimespan: 10m") +
		correlationRule("Many", "type: event_count\nrules: [A]\ngroup-by: [user, host]\ntimespan: 10m\ncondition: {gte: 3}")
	r := newRun(t, rules, sigma.Limits{})
	runScript(t, r, `
		0 B bob 0 h
		1 A bob 0 h
		2 A bob 0 h
		3 A bob 0 h
		-> Many[bob,h] 3 bcd 1-3
		4 B eve 0 h
		5 B bob 0 other
		-> Outer[bob] 2 bcdf 3-5`)
	for name, want := range map[string]bool{"A": false, "B": false, "C": true, "Many": false, "Outer": true} {
		id, ok := r.set.Lookup(name)
		if !ok || r.set.Standalone(id) != want {
			t.Errorf("%s: standalone is %v, want %v", name, r.set.Standalone(id), want)
		}
	}
}

// TestChainBehindWindow: a correlation judged at the end of its window passes
// its group on, under its own names, and has no event for other fields.
func TestChainBehindWindow(t *testing.T) {
	inner := correlationRule("Few", "type: event_count\nrules: [A]\naliases: {who: {A: user}}\ngroup-by: [who]\ntimespan: 10s\ncondition: {lt: 3}")
	runScript(t, newRun(t, inner+correlationRule("Outer", "type: event_count\nrules: [Few]\ngroup-by: [who]\ntimespan: 1h\ncondition: {gte: 2}"), sigma.Limits{}), `
		0 A bob
		20 A bob
		-> Few[bob] 1 a 0-0
		31 now
		-> Few[bob] 1 b 20-20
		-> Outer[bob] 2 ab 0-20`)
	r := newRun(t, inner+correlationRule("Outer", "type: event_count\nrules: [Few]\ngroup-by: [host]\ntimespan: 1h\ncondition: {gte: 1}"), sigma.Limits{})
	runScript(t, r, `
		0 A bob 0 h
		11 now
		-> Few[bob] 1 a 0-0`)
	if c := r.corr.Counters(); c.NoGroup != 1 {
		t.Errorf("counters %+v", c)
	}
}

// TestOneEventTwoSteps: an event that matches two rules is not two steps.
func TestOneEventTwoSteps(t *testing.T) {
	rules := "---\nname: Also\n" + labRule("s: {a: A}") + correlationRule("X", "type: temporal_ordered\nrules: [A, Also]\ntimespan: 10s")
	runScript(t, newRun(t, rules, sigma.Limits{}), `
		0 A -
		1 A -
		-> X[] 2 ab 0-1`)
}

// TestOneEventCountsOnce: also when two rules match it, or it is given again.
func TestOneEventCountsOnce(t *testing.T) {
	also := "---\nname: Also\n" + labRule("s: {a: A}")
	for _, condition := range []string{"{gte: 3}", "{gte: 3, lt: 9}"} {
		r := newRun(t, also+correlationRule("X", "type: event_count\nrules: [A, Also]\ntimespan: 10s\ncondition: "+condition), sigma.Limits{})
		for range 3 {
			r.n = 0
			if hits := r.step("0 A -"); hits != nil {
				t.Errorf("%s: hits %v", condition, hits)
			}
		}
		if hits := append(r.step("1 A -"), r.step("2 A -")...); condition == "{gte: 3}" && len(hits) != 1 {
			t.Errorf("%s: hits %v, want one", condition, hits)
		}
		if hits := r.step("20 now"); condition != "{gte: 3}" && (len(hits) != 1 || hits[0] != "X[] 3 abc 0-2") {
			t.Errorf("%s: hits %v, want one", condition, hits)
		}
	}
}

func TestGenerate(t *testing.T) {
	for _, text := range []string{
		correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 3}\ngenerate: true"),
		correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 3}") + "generate: true\n",
	} {
		r := newRun(t, text, sigma.Limits{})
		if id, _ := r.set.Lookup("A"); !r.set.Standalone(id) {
			t.Errorf("generate has no effect:\n%s", text)
		}
	}
}

// TestCorrelatorLimits: memory is bounded and what is given up is counted.
func TestCorrelatorLimits(t *testing.T) {
	r := newRun(t, correlationRule("X", "type: event_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {gte: 3}"), sigma.Limits{Groups: 10})
	for i := range 100 {
		r.step(fmt.Sprintf("%d A user%d", i/50, i))
	}
	r.step("2 A -")
	if n, c := r.corr.Groups(), r.corr.Counters(); n != 10 || c.Evicted != 90 || c.Observed != 101 || c.NoGroup != 1 {
		t.Errorf("%d groups, counters %+v", n, c)
	}
	r.corr.Advance(at(100))
	if n := r.corr.Groups(); n != 0 {
		t.Errorf("%d groups are remembered after their timespan", n)
	}
	// The group used last stays when another has to go.
	r = newRun(t, correlationRule("X", "type: event_count\nrules: [A]\ngroup-by: [user]\ntimespan: 10s\ncondition: {gte: 3}"), sigma.Limits{Groups: 2})
	runScript(t, r, `
		0 A bob
		1 A eve
		2 A bob
		3 A mallory
		4 A bob
		-> X[bob] 3 ace 0-4`)
	r = newRun(t, correlationRule("X", "type: value_avg\nrules: [A]\ntimespan: 10s\ncondition: {field: n, gt: 1}")+
		correlationRule("Y", "type: value_percentile\nrules: [A]\ntimespan: 10s\ncondition: {field: n, gt: 1}"), sigma.Limits{Values: 3, Evidence: 2})
	for i := range 8 {
		r.step(fmt.Sprintf("%d A - %d", i, i))
	}
	r.step("8 A -")
	if c := r.corr.Counters(); c.Truncated != 5 || c.NoValue != 2 {
		t.Errorf("counters %+v", c)
	}
	for _, h := range r.corr.Advance(at(50)) {
		if len(h.Evidence) != 2 {
			t.Errorf("%d pieces of evidence, want 2", len(h.Evidence))
		}
	}
}

func TestCorrelationErrors(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{correlationRule("X", "type: median\nrules: [A]\ntimespan: 1m"), `correlation type "median" is not one of event_count`},
		{correlationRule("X", "rules: [A]\ntimespan: 1m"), "correlation type is missing"},
		{correlationRule("X", "type: temporal\ntimespan: 1m"), "correlation names no rules"},
		{correlationRule("X", "type: temporal\nrules: [A, B]"), "correlation timespan is missing"},
		{correlationRule("X", "type: temporal\nrules: [A, B]\ntimespan: 1w"), `timespan "1w" is not a positive number and one of s, m, h, d`},
		{correlationRule("X", "type: temporal\nrules: [A, B]\ntimespan: 9999999999999d"), `timespan "9999999999999d" is longer than 90 days`},
		{correlationRule("X", "type: temporal\nrules: [A, A]\ntimespan: 1m"), `names rule "A" twice`},
		{correlationRule("X", "type: temporal_ordered\nrules: [A]\ntimespan: 1m"), "temporal_ordered needs at least two rules"},
		{correlationRule("X", "type: temporal_ordered\nrules: [A, B]\ntimespan: 1m\ncondition: not A"), `cannot be combined with "not"`},
		{correlationRule("X", "type: temporal\nrules: [A, B]\ntimespan: 1m\ncondition: A and Z"), `search identifier "Z" is not defined`},
		{correlationRule("X", "type: temporal\nrules: [A, B]\ntimespan: 1m\ncondition: {gte: 3}"), "temporal asks for 3 of 2 rules"},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m"), "event_count needs a condition"},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {}"), "the condition has none of gt"},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: many}"), `gte needs a number, not "many"`},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {above: 1}"), `has no attribute "above"`},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1, field: n}"), "the condition of event_count takes no field"},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1, percentile: 5}"), "in a value_percentile correlation"},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1000000}"), "event_count asks for 1000000, more than 100000"},
		{correlationRule("X", "type: value_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1}"), "the condition of value_count needs a field"},
		{correlationRule("X", "type: value_sum\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1, field: [n, user]}"), "value_sum takes one field"},
		{correlationRule("X", "type: event_count\nrules: [Z]\ntimespan: 1m\ncondition: {gte: 1}"), `refers to rule "Z", which does not exist`},
		{correlationRule("X", "type: event_count\nrules: [A]\ntimespan: 1m\ncondition: {gte: 1}\nwindow: 5"), `correlation has no attribute "window"`},
		{correlationRule("X", "type: event_count\nrules: [A]\ngroup-by: [unknown]\ntimespan: 1m\ncondition: {gte: 1}"), `the schema has no field "unknown"`},
		{correlationRule("X", "type: event_count\nrules: [A]\ngroup-by: [w]\naliases: {w: {B: user}}\ntimespan: 1m\ncondition: {gte: 1}"), `alias "w" gives no field for rule "A"`},
		{correlationRule("X", "type: event_count\nrules: [A]\naliases: {w: {B: user}}\ntimespan: 1m\ncondition: {gte: 1}"), `alias "w" names rule "B", which is not among`},
		{correlationRule("X", "type: event_count\nrules: [Y]\ntimespan: 1m\ncondition: {gte: 1}") + correlationRule("Y", "type: event_count\nrules: [X]\ntimespan: 1m\ncondition: {gte: 1}"), "refer to each other in a circle"},
		{"---\nname: bad\n" + labRule("s: {unknown: x}") + correlationRule("X", "type: event_count\nrules: [bad]\ntimespan: 1m\ncondition: {gte: 1}"), `refers to rule "bad", which was refused`},
	} {
		rules, errs := sigma.Parse("test.yml", []byte(letters+c.rule))
		if len(errs) == 0 {
			var err error
			if _, errs, err = sigma.Compile(rules, labOptions(t)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.ContainsFunc(errs, func(e *sigma.Error) bool { return strings.Contains(e.Error(), c.want) && e.Line > 0 }) {
			t.Errorf("errors %v, want %q\n%s", errs, c.want, c.rule)
		}
	}
}
