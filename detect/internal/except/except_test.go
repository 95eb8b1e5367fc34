package except

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

func TestMatch(t *testing.T) {
	now := time.Unix(1000, 0)
	record := &event.Record{Tenant: "acme", Host: &event.Host{Name: "web1", Labels: map[string]string{"role": "build"}},
		Event: &event.Event{Process: &event.Process{Executable: []byte("/usr/bin/curl"), Args: []byte("curl\x00-s\x00http://x\x00"), Uid: 33, User: "www-data",
			Ancestors: []*event.Ancestor{{Executable: []byte("/usr/bin/make")}}}}}
	for _, test := range []struct {
		name string
		e    *fleet.Exception
		want bool
	}{
		{"rule alone", &fleet.Exception{Rule: "r"}, true},
		{"every rule", &fleet.Exception{Rule: "*"}, true},
		{"other rule", &fleet.Exception{Rule: "q"}, false},
		{"executable", &fleet.Exception{Rule: "r", Executable: "/usr/bin/cur?"}, true},
		{"other executable", &fleet.Exception{Rule: "r", Executable: "/usr/bin/wget"}, false},
		{"parent", &fleet.Exception{Rule: "r", Parent: "*/make"}, true},
		{"other parent", &fleet.Exception{Rule: "r", Parent: "*/cron"}, false},
		{"user name", &fleet.Exception{Rule: "r", User: "www-*"}, true},
		{"user id", &fleet.Exception{Rule: "r", User: "33"}, true},
		{"other user", &fleet.Exception{Rule: "r", User: "root"}, false},
		{"command line", &fleet.Exception{Rule: "r", CommandLine: "curl -s *"}, true},
		{"other command line", &fleet.Exception{Rule: "r", CommandLine: "curl -k *"}, false},
		{"label", &fleet.Exception{Rule: "r", Labels: map[string]string{"role": "b*"}}, true},
		{"other label", &fleet.Exception{Rule: "r", Labels: map[string]string{"role": "web"}}, false},
		{"absent label", &fleet.Exception{Rule: "r", Labels: map[string]string{"zone": "*"}}, false},
		{"all must hold", &fleet.Exception{Rule: "r", User: "www-data", Parent: "*/cron"}, false},
		{"not yet expired", &fleet.Exception{Rule: "r", Expires: now.UnixNano() + 1}, true},
		{"expired", &fleet.Exception{Rule: "r", Expires: now.UnixNano()}, false},
		{"its tenant", &fleet.Exception{Rule: "r", Tenant: "acme"}, true},
		{"other tenant", &fleet.Exception{Rule: "r", Tenant: "evil"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := New([]*fleet.Exception{test.e})
			if got := l.Match("r", record, now) != nil; got != test.want {
				t.Errorf("silenced: %v, want %v", got, test.want)
			}
		})
	}
	if New(nil).Match("r", record, now) != nil {
		t.Error("no exceptions silence")
	}
	bare := &event.Record{Event: &event.Event{}}
	if New([]*fleet.Exception{{Rule: "r", Parent: "*"}}).Match("r", bare, now) != nil {
		t.Error("a condition on the parent holds without one")
	}
}

func FuzzGlob(f *testing.F) {
	for _, s := range [][2]string{{"a*b?c", "axxbyc"}, {"*", ""}, {"**a", "ba"}, {"?", ""}, {"a*", "a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := glob(pattern, []byte(text))
		if pattern == "" || len(pattern) > 64 || len(text) > 64 {
			return
		}
		// path.Match is the oracle where the two agree on the language.
		for _, s := range []string{pattern, text} {
			if strings.ContainsAny(s, `\[]/`) || !isASCII(s) {
				return
			}
		}
		if want, err := path.Match(pattern, text); err == nil && got != want {
			t.Errorf("glob(%q, %q) = %v, want %v", pattern, text, got, want)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 }) < 0
}
