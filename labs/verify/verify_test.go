package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hauberk/hauberk/internal/need"
)

// fake is a sensor that logs the events the test left beside its spec, and
// its command line to its standard output.
const fake = `#!/bin/sh
case "$1" in
-V) echo "This is Suricata version 8.0.8 RELEASE"; exit 0;;
--build-info) echo "Features: HAVE_JA3 UNIX_SOCKET"; echo "  Lua support:   yes"; exit 0;;
esac
echo "$@"
cp "$TEST_DIR/events" "$OUTPUT_DIR/eve.json"
exit "${EXIT:-0}"
`

const sampleEvents = `{"event_type":"alert","alert":{"signature_id":1,"severity":3},"smtp":{"rcpt_to":["a","b"]},"ok":true,"text":"1"}
{"event_type":"alert","alert":{"signature_id":2},"ratio":1.5,"none":null}
{"event_type":"stats","stats":{"decoder":{"pkts":3}}}
`

// bench lays out data with one test per entry and gives the folder.
func bench(t *testing.T, specs map[string]string) options {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("sensor", fake, 0o755)
	write("suricata-etc/suricata.yaml", "%YAML 1.1\n", 0o644)
	write("suricata-verify/passes-8.0.8.txt", "good\nbad\nshort\n", 0o644)
	for name, spec := range specs {
		folder := "suricata-verify/tests/" + name + "/"
		write(folder+"test.yaml", spec, 0o644)
		write(folder+"events", sampleEvents, 0o644)
		write(folder+"x.pcap", "", 0o644)
		write(folder+"x.rules", `alert dns any any -> any any (sid:1;)`+"\n", 0o644)
	}
	return options{sensor: filepath.Join(dir, "sensor"), data: dir, jobs: 2, timeout: time.Minute}
}

func TestRun(t *testing.T) {
	o := bench(t, map[string]string{
		"good": `
args:
- -k none --set x=${TEST_DIR}/y
checks:
- filter: {count: 2, match: {event_type: alert}}
- filter: {count: 1, match: {alert.signature_id: 1, 'smtp.rcpt_to[1]': b, ok: yes}}
- stats: {decoder.pkts: 3}
- shell: {args: "grep -c -- '-k none --set x=/.*/good/y .*-S /.*x.rules' stdout", expect: 1}
- file-compare: {filename: eve.json, expected: events}
- filter: {requires: {min-version: 9}, count: 9, match: {}}
`,
		"bad":     "checks:\n- filter: {count: 1, match: {event_type: alert}}\n",
		"nine":    "requires: {min-version: 9}\n",
		"lua":     "requires: {features: [Lua, HAVE_JA3], lt-version: 8.0.9, gt-version: 8.0.7}\n",
		"magic":   "requires: {features: [MAGIC]}\n",
		"exit":    "env: {EXIT: 3}\n",
		"exit3":   "env: {EXIT: 3}\nexit-code: 3\n",
		"command": "command: |\n  ${SRCDIR}/src/suricata mine\nchecks: [{shell: {args: cat stdout, expect: mine}}]\n",
		"bug-ips": "checks: [{shell: {args: 'grep -c simulate-ips stdout', expect: 1}}]\n",
	})
	o.json = true
	var b strings.Builder
	if err := verify(context.Background(), o, &b); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(b.String())); d.More(); {
		var res result
		if err := d.Decode(&res); err != nil {
			t.Fatal(err)
		}
		got[res.Name] = strings.TrimSpace(res.Status + " " + res.Reason)
	}
	want := map[string]string{
		"good": "passed", "lua": "passed", "exit3": "passed", "command": "passed", "bug-ips": "passed",
		"bad":  "failed filter: 2 events, want 1, with map[event_type:alert]",
		"nine": "skipped requires min-version 9", "magic": "skipped requires features [MAGIC]",
		"exit": "failed exit code 3, want 0:",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReport(t *testing.T) {
	o := bench(t, map[string]string{"good": "", "bad": "exit-code: 7\n", "more": ""})
	var b strings.Builder
	if err := verify(context.Background(), o, &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"failed  bad exit code 0, want 7", "| dns | 1 | 2 | 50 % |", "| all | 1 | 2 | 50 % |", "1 more pass"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestTimeout(t *testing.T) {
	o := bench(t, map[string]string{"short": "command: sleep 100\n"})
	o.timeout = 10 * time.Millisecond
	r, err := newRunner(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	tests, err := find(filepath.Join(o.data, "suricata-verify", "tests"), []string{"short"})
	if err != nil || len(tests) != 1 {
		t.Fatal(tests, err)
	}
	if res := r.test(context.Background(), tests[0]); !strings.Contains(res.Reason, "did not end") {
		t.Errorf("got %+v", res)
	}
}

func TestMatch(t *testing.T) {
	var event any
	d := json.NewDecoder(strings.NewReader(`{"n":5,"f":1.5,"s":"abc","l":["a","b"],"m":{"k":"v"},"t":true,"d":"1","z":null}`))
	d.UseNumber()
	if err := d.Decode(&event); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		match string
		want  bool
	}{
		{"n: 5", true}, {"n: 5.0", true}, {`n: "5"`, false}, {"d: 1", false}, {`d: "1"`, true}, {"f: 1.5", true},
		{"t: yes", true}, {"t: on", true}, {`t: "yes"`, false}, {"l: [a, b]", true}, {"l: [a]", false}, {"m: {k: v}", true},
		{"l.__len: 2", true}, {"s.__len: 3", true}, {"n.__len: -1", true}, {"l.__contains: b", true}, {"s.__find: bc", true},
		{"l.__find: c", false}, {"s.__startswith: ab", true}, {"s.__endswith: ab", false}, {"n.__gt: 4", true}, {"n.__gt: 5", false},
		{"n.__gte: 5", true}, {"n.__lt: 5", false}, {"n.__lte: 5", true}, {"s.__gt: 1", false}, {"s.__odd: 1", false},
		{"has-key: m.k", true}, {"has-key: m.x", false}, {"has-key: z", false}, {"not-has-key: m.x", true}, {"not-has-key: s", false},
		{"l[1]: b", true}, {"l[2]: b", false}, {"n.x: 1", false}, {"has-key: l[0]", true},
	} {
		spec, err := parseSpec([]byte(c.match))
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(spec, event); got != c.want {
			t.Errorf("%s: %v, want %v", c.match, got, c.want)
		}
	}
}

// TestUpstream reads every spec of upstream and knows every key and check.
func TestUpstream(t *testing.T) {
	tests, err := find(filepath.Join(need.Data(t, "suricata-verify"), "tests"), nil)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := passes(filepath.Join(need.Data(t, "suricata-verify"), "passes-8.0.8.txt"))
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{src: "/src", version: [3]int{8, 0, 8}}
	known := 0
	for _, test := range tests {
		if test.err != nil {
			t.Errorf("%s: %v", test.name, test.err)
		}
		if !peer[test.name] {
			continue
		}
		known++
		if _, err := r.commandLine(test, "/out"); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, c := range list(test.spec["checks"]) {
			for kind := range object(c) {
				if !strings.Contains(" filter shell stats file-compare ", " "+kind+" ") {
					t.Errorf("%s: check %s", test.name, kind)
				}
			}
		}
	}
	if known != len(peer) {
		t.Errorf("found %d of the %d tests that Suricata passes", known, len(peer))
	}
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte("checks:\n- filter: {count: 1, match: {a: yes, b: 0x10, c: 1.5}}\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		spec, err := parseSpec(text)
		if err == nil && spec == nil {
			t.Error("no spec and no error")
		}
	})
}
