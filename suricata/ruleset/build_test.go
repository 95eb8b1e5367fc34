package ruleset

import (
	"strings"
	"testing"

	"github.com/hauberk/hauberk/suricata/netset"
)

const sample = `# a comment
alert tcp any any -> any 80 (msg:"ET one \; two"; content:"a|3b|b"; sid:100; rev:2; metadata:deployment Perimeter, created_at 2020;)
#alert tcp any any -> any 80 (msg:"off"; flowbits:set,seen; sid:101; rev:1;)
alert tcp any any -> any 80 (msg:"asks"; flowbits:isset,seen; sid:102; rev:1;)
alert tcp any any -> any 80 \
  (msg:"continued"; sid:103; rev:1;)
alert tcp any any -> any 80 (msg:"broken"; nosuchkeyword:1; sid:104; rev:1;)
alert dns any any -> any any (msg:"list"; dns.query; dataset:isset,bad, type string, load bad.lst; sid:105; rev:1;)
alert dns any any -> any any (msg:"lost"; dns.query; dataset:isset,lost, type string, load lost.lst; sid:106; rev:1;)
`

func sources() []File {
	return []File{
		{"src/rules/emerging-web.rules", []byte(sample)},
		{"src/rules/bad.lst", []byte("Zm9v\n")},
		{"src/rules/old-deleted.rules", []byte(`alert ip any any -> any any (sid:900; rev:1;)`)},
		{"src/rules/newer.rules", []byte(`alert tcp any any -> any 80 (msg:"newer"; sid:103; rev:2;)`)},
		{"src/classification.config", []byte("config classification: bad,Bad things,2\nconfig classification: bad,Bad things,1\n")},
	}
}

func rule(t *testing.T, s *Set, sid uint32) *Rule {
	t.Helper()
	for _, r := range s.Rules {
		if r.ID.SID == sid {
			return r
		}
	}
	t.Fatalf("no rule %d", sid)
	return nil
}

func TestBuild(t *testing.T) {
	s := Build(sources(), &Tuning{Ignore: []string{"*deleted.rules"}}, nil)
	for sid, on := range map[uint32]bool{100: true, 101: true, 102: true, 103: true, 104: false, 105: true, 106: false} {
		if rule(t, s, sid).Enabled != on {
			t.Errorf("rule %d: enabled %v, want %v", sid, !on, on)
		}
	}
	if got := rule(t, s, 103).msg(); got != "newer" {
		t.Errorf("rule 103 is %q: the newer revision was not taken", got)
	}
	if got := rule(t, s, 101).Text; !strings.HasSuffix(got, "rev:1; noalert;)") {
		t.Errorf("rule 101 was switched on for its flowbit and alerts: %s", got)
	}
	want := Counts{Rules: 7, Enabled: 5, Flowbits: 1, Refused: 2}
	if s.Counts != want {
		t.Errorf("counts %+v, want %+v", s.Counts, want)
	}
	if len(s.Problems) != 2 || !strings.Contains(s.Problems[0].Error(), "rule 104 of rules/emerging-web.rules is off: ") ||
		!strings.Contains(s.Problems[1].Error(), "lost.lst") {
		t.Errorf("problems %v", s.Problems)
	}
	name := "datasets/" + digest([]byte("Zm9v\n")) + ".lst"
	if string(s.Beside[name]) != "Zm9v\n" || !strings.Contains(rule(t, s, 105).Text, "load "+name+";") {
		t.Errorf("the dataset was not brought along: %v, %s", s.Beside, rule(t, s, 105).Text)
	}
	if got := string(s.Classes); got != "config classification: bad,Bad things,1\n" {
		t.Errorf("classes %q", got)
	}
}

func TestTuning(t *testing.T) {
	tuning := &Tuning{}
	for kind, text := range map[string]string{
		"disable": "# all of a group\ngroup:emerging-web # with a comment\nnonsense\n",
		"enable":  "re:ONE \\\\; two\n1:103, 102\n",
		"drop":    "metadata: deployment perimeter\n",
		"modify": "100 \"msg:.ET (one) \\\\\\\\; (?P<n>two)\" 'msg:\"\\g<n> \\1'\n" +
			"modifysid * \"rev:(\\d+)\" | \"rev:${1}0\"\n" +
			"metadata-add filename:rules/* seen yes\n" +
			"re:(unclosed a b\n100 a '\\2'\n",
	} {
		problems := tuning.Read(kind, File{kind + ".conf", []byte(text)})
		switch kind {
		case "disable":
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), "disable.conf:3: \"nonsense\": want a sid") {
				t.Errorf("disable: %v", problems)
			}
		case "modify":
			if len(problems) != 2 || !strings.HasPrefix(problems[0].Error(), "modify.conf:4: ") || !strings.HasPrefix(problems[1].Error(), "modify.conf:5: ") {
				t.Errorf("modify: %v", problems)
			}
		default:
			if problems != nil {
				t.Errorf("%s: %v", kind, problems)
			}
		}
	}
	s := Build(sources(), tuning, nil)
	want := `drop tcp any any -> any 80 (msg:"two one"; content:"a|3b|b"; sid:100; rev:20; metadata:deployment Perimeter, created_at 2020; metadata: seen yes;)`
	if got := rule(t, s, 100).String(); got != want {
		t.Errorf("rule 100:\n%s\nwant\n%s", got, want)
	}
	if got := rule(t, s, 105).String(); !strings.HasPrefix(got, "# alert ") {
		t.Errorf("rule 105 was not disabled: %s", got)
	}
	if s.Counts.TunedOff != 5 || s.Counts.TunedOn != 2 || s.Counts.Dropping != 1 {
		t.Errorf("counts %+v", s.Counts)
	}
}

func TestThresholds(t *testing.T) {
	s := Build(sources(), &Tuning{}, nil)
	got, problems := s.Thresholds(File{"threshold.in", []byte("# kept\nsuppress gen_id 1, sig_id 5\nsuppress re:\"one|asks\", track by_src, ip 10.0.0.1\nthreshold re:(, x\n")})
	want := `# kept
suppress gen_id 1, sig_id 5
# asks
suppress gen_id 1, sig_id 102, track by_src, ip 10.0.0.1
# ET one \; two
suppress gen_id 1, sig_id 100, track by_src, ip 10.0.0.1
`
	lines := strings.Split(strings.TrimSpace(string(got)), "\n")
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(string(got), line+"\n") {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines:\n%s", len(lines), got)
	}
	if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), "threshold.in:4: ") {
		t.Errorf("problems %v", problems)
	}
}

func TestUnknownVariable(t *testing.T) {
	files := []File{{"s/a.rules", []byte("alert tcp $NOWHERE any -> any any (sid:1;)\nalert tcp $HOME_NET any -> any any (sid:2;)\n")}}
	s := Build(files, &Tuning{}, &netset.Vars{AddressGroups: map[string]string{"HOME_NET": "10.0.0.0/8"}})
	if rule(t, s, 1).Enabled || !rule(t, s, 2).Enabled || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), "NOWHERE") {
		t.Errorf("problems %v", s.Problems)
	}
}

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*deleted*", "a/old-deleted.rules", true},
		{"emerging-[a-d]??.rules", "emerging-dns.rules", true},
		{"emerging-[!d]ns.rules", "emerging-dns.rules", false},
		{"[", "[", true},
		{"*a*b", "xaxxbxb", true},
		{"*a*b", "xaxxbx", false},
		{"", "", true},
		{"?", "", false},
		{"abc", "abcd", false},
	} {
		if got := wildcard(c.pattern, c.name); got != c.want {
			t.Errorf("wildcard(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// FuzzBuild looks that no source and no tuning file panics, and that what is
// written reads back as the same rules.
func FuzzBuild(f *testing.F) {
	f.Add(sample, "re:one\n100\n", `100 "a" "b"`, "suppress re:x, track by_src, ip 1.1.1.1")
	f.Add("alert ip any any -> any any (sid:1; dataset:isset,a, load b; lua:x;)", "[a-", `re:. ^alert "drop\1"`, `threshold re:"a`)
	f.Fuzz(func(t *testing.T, rules, match, modify, thresholds string) {
		tuning := &Tuning{}
		for _, kind := range []string{"disable", "enable", "drop"} {
			tuning.Read(kind, File{kind, []byte(match)})
		}
		tuning.Read("modify", File{"modify", []byte(modify)})
		s := Build([]File{{"s/a.rules", []byte(rules)}, {"s/b", []byte("x")}}, tuning, nil)
		s.Thresholds(File{"t", []byte(thresholds)})
		again := parseFile(File{Data: s.Text()})
		if len(again) != len(s.Rules) {
			t.Fatalf("%d rules written, %d read:\n%s", len(s.Rules), len(again), s.Text())
		}
		for i, r := range again {
			if r.ID != s.Rules[i].ID || r.Enabled != s.Rules[i].Enabled || r.Text != s.Rules[i].Text {
				t.Fatalf("wrote %v, read %v", s.Rules[i], r)
			}
		}
	})
}
