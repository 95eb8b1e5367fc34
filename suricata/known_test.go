package suricata

import (
	"os"
	"path/filepath"
	"testing"
)

// What is read with the help of what was known is what is read without.
func TestKnownRulesNeedNoParsing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some.rules")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first = `alert tcp any any -> any 80 (msg:"a"; content:"x"; sid:1;)` + "\n"
	const second = `alert udp any any -> any any (msg:"b"; sid:2;)` + "\n"
	write(first + second)
	before, err := Load(Options{}, file)
	if err != nil || len(before.Rules) != 2 {
		t.Fatalf("%v, %v", before, err)
	}
	known := map[string]*Rule{}
	for _, r := range before.Rules {
		known[r.Text()] = r
	}
	write("# new\n" + `alert ip any any -> any any (msg:"c"; sid:3;)` + "\n" + second + `alert tcp any any -> any 81 (msg:"a"; content:"x"; sid:1; rev:2;)` + "\n")
	again, err := Load(Options{Known: known}, file)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := Load(Options{}, file)
	if err != nil || len(again.Rules) != 3 || len(fresh.Rules) != 3 {
		t.Fatalf("%v, %v, %v", again, fresh, err)
	}
	for i, r := range again.Rules {
		want := fresh.Rules[i]
		if r.String() != want.String() || r.Line != want.Line || r.Text() != want.Text() || !r.Enabled {
			t.Errorf("rule %d: line %d, %s; want line %d, %s", i, r.Line, r, want.Line, want)
		}
	}
	if before.Rules[1].Line != 2 {
		t.Error("a rule of the set before was changed")
	}
	if again.Rules[1].facts.dir != before.Rules[1].facts.dir || &again.Rules[1].Options[0] != &before.Rules[1].Options[0] {
		t.Error("a known rule was parsed again")
	}
}
