package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs the command and gives its exit code and outputs.
func call(args ...string) (int, string, string) {
	var stdout, stderr bytes.Buffer
	code := run(args, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestWhatItIs(t *testing.T) {
	for args, want := range map[string]string{
		"-V":              "compatible with Suricata version 8.0.8\n",
		"--build-info":    "\nFeatures: HAVE_JA3 HAVE_JA4\n",
		"--list-keywords": "\n- http.uri\n",
	} {
		if code, out, _ := call(args); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, no %q in %q", args, code, want, out)
		}
	}
	if _, out, _ := call("--list-keywords"); strings.Contains(out, "- lua\n") {
		t.Error("lua is listed, and no rule may use it")
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("suricata.yaml", "%YAML 1.1\n---\na: {b: yes}\nlogging: {default-log-level: info, outputs: [file: {enabled: yes}]}\n")
	good := write("good.rules", `alert tcp any any -> any any (msg:"a"; content:"x"; sid:1;)`+"\n")
	bad := write("bad.rules", `alert tcp any any -> any any (msg:"a"; nonsense; sid:7;)`+"\n")

	if code, _, msg := call("-T", "-vv", "-c", config, "-S"+good, "-l", dir); code != 0 || !strings.Contains(msg, "1 rules successfully loaded") {
		t.Errorf("good rules: exit %d\n%s", code, msg)
	}
	code, _, msg := call("-T", "-c", config, "-S", bad, "-l", dir, "--init-errors-fatal")
	if want := bad + ":1:40: sid 7: nonsense"; code != 1 || !strings.Contains(msg, want) {
		t.Errorf("bad rules: exit %d, no %q in\n%s", code, want, msg)
	}
	log, err := os.ReadFile(filepath.Join(dir, "suricata.log"))
	if err != nil || !strings.Contains(string(log), "1 rules successfully loaded") ||
		!strings.Contains(string(log), "Error: detect-nonsense: unknown rule keyword 'nonsense'.\n") || !strings.Contains(string(log), "from file "+bad+" at line 1\n") {
		t.Errorf("log %q, %v", log, err)
	}
	if code, out, _ := call("--dump-config", "-c", config, "--set", "a.b=no"); code != 0 || !strings.HasPrefix(out, "a = (null)\na.b = no\n") {
		t.Errorf("dump: exit %d, %q", code, out)
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]int{
		"": 2, "--no-such-option": 2, "-T stray": 2, "-T -s a -S b": 2, "-i eth1 -r x": 2,
		"-T -c /nowhere": 1, "-T -l /nowhere": 1,
	} {
		if code, _, msg := call(strings.Fields(line)...); code != want || msg == "" {
			t.Errorf("%q: exit %d, %q", line, code, msg)
		}
	}
	if code, _, msg := call("--help"); code != 0 || !strings.Contains(msg, "--dump-config") {
		t.Errorf("help: exit %d, %q", code, msg)
	}
}
