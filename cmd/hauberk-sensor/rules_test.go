package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/sensor"
)

func TestRules(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := write("my.rules", `alert tcp any any -> any any (msg:"a"; content:"x"; sid:1;)`+"\n"+`alert tcp $NO any -> any any (sid:2;)`+"\n")
	conf := write("suricata.yaml", "%YAML 1.1\n---\nvars: {address-groups: {HOME_NET: any}}\n")
	update := write("update.yaml", "disable-conf: "+write("disable.conf", "7\nwhat\n")+"\nreload-command: echo reloaded $PPID >&2\n")
	common := []string{"-c", update, "--suricata-conf", conf, "-D", dir, "--local", rules}

	code, out, msg := call(append([]string{"rules", "update", "--json"}, common...)...)
	if code != 0 || !strings.Contains(out, `"enabled":1`) || !strings.Contains(out, `"switched":true`) {
		t.Fatalf("update: exit %d, %s\n%s", code, out, msg)
	}
	for _, want := range []string{`disable.conf:2: "what": want a sid`, "rule 2 of my.rules is off", "reloaded "} {
		if !strings.Contains(msg, want) {
			t.Errorf("update does not say %q:\n%s", want, msg)
		}
	}
	written := filepath.Join(dir, "rules", "suricata.rules")
	first, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	write("my.rules", `alert tcp any any -> any any (msg:"b"; content:"x"; sid:1; rev:2;)`)
	if code, _, msg = call(append([]string{"rules", "-T", "exit 3"}, common...)...); code == 0 || !strings.Contains(msg, "the old ones are kept") {
		t.Errorf("a test command that fails: exit %d\n%s", code, msg)
	}
	if code, _, msg = call(append([]string{"rules", "-T", `grep -q 'msg:"b"' "$OUTPUT_FILENAME"`}, common...)...); code != 0 {
		t.Errorf("a test command that passes: exit %d\n%s", code, msg)
	}
	if code, _, msg = call(append([]string{"rules", "rollback"}, common...)...); code != 0 {
		t.Fatalf("roll back: exit %d\n%s", code, msg)
	}
	if now, err := os.ReadFile(written); err != nil || string(now) != string(first) {
		t.Errorf("rolled back to %q, %v", now, err)
	}

	if code, _, msg = call("rules", "-D", dir, "add-source", "acme/one", "http://127.0.0.1:1/x.rules"); code != 0 {
		t.Errorf("add source: exit %d\n%s", code, msg)
	}
	if _, out, _ = call("rules", "-D", dir, "list-sources", "--enabled"); !strings.Contains(out, "acme/one  enabled") {
		t.Errorf("list sources: %s", out)
	}
	if code, _, msg = call("rules", "add-source", "x"); code != exitUsage || !strings.Contains(msg, "1 arguments, want 2") {
		t.Errorf("add source without URL: exit %d\n%s", code, msg)
	}
}

func TestSampleConfigs(t *testing.T) {
	t.Chdir(t.TempDir())
	if code, _, msg := call("rules", "dump-sample-configs"); code != 0 {
		t.Fatalf("exit %d\n%s", code, msg)
	}
	if code, _, msg := call("rules", "-c", "update.yaml", "-D", ".", "--suricata-conf", "/etc/suricata/suricata.yaml", "--local", "modify.conf",
		"--disable-conf", "disable.conf", "--enable-conf", "enable.conf", "--drop-conf", "drop.conf", "--modify-conf", "modify.conf", "--threshold-in", "threshold.in"); code != 1 ||
		!strings.Contains(msg, "never an empty one") || strings.Contains(msg, "Warning") {
		t.Errorf("samples: exit %d\n%s", code, msg)
	}
}

func TestExplain(t *testing.T) {
	if code, _, msg := call("explain", "-r", "x.pcap"); code != exitUsage || !strings.Contains(msg, "want --sid SID -r CAPTURE") {
		t.Errorf("without sid: exit %d\n%s", code, msg)
	}
	x := &sensor.Explanation{SID: 7, Enabled: true, Stages: []sensor.Stage{{Adds: "alert tcp any any -> any any", Matches: 3, Flows: 2,
		Samples: []sensor.Sample{{Packet: 4, From: "10.0.0.1:1", To: "10.0.0.2:2"}}}, {Adds: "dsize:1;"}, {Adds: "ttl:2;"}}}
	text := explained(x)
	for _, want := range []string{"        3       2  alert tcp any any -> any any\n", "        0       0  dsize:1;   <- nothing gets past this\n",
		"        0       0  ttl:2;\n", "  packet 4, ", "It does not fire: nothing meets dsize:1; with all before it.\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
