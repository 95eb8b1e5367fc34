package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
)

// A result is what became of a test.
type result struct {
	Name     string   `json:"name"`
	Status   string   `json:"status"`
	Reason   string   `json:"reason,omitempty"`
	Families []string `json:"families"`
}

// A skip is a need of a test that the sensor or the machine does not meet.
type skip struct{ reason string }

func (s skip) Error() string { return s.reason }

// A runner holds what the tests share: a folder that looks like upstream's
// source tree with the sensor in it, and what the sensor says of itself.
type runner struct {
	src      string
	keep     string
	timeout  time.Duration
	version  [3]int
	features map[string]bool
}

func newRunner(ctx context.Context, o options) (*runner, error) {
	src, err := os.MkdirTemp("", "verify-src-")
	if err != nil {
		return nil, err
	}
	r := &runner{src: src, keep: o.keep, timeout: o.timeout, features: make(map[string]bool)}
	if err := r.prepare(ctx, o); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *runner) close() { os.RemoveAll(r.src) }

// prepare lays the tree out and asks the sensor for its version and features.
func (r *runner) prepare(ctx context.Context, o options) error {
	sensor, err := filepath.Abs(o.sensor)
	if err != nil {
		return err
	}
	etc, err := filepath.Abs(filepath.Join(o.data, "suricata-etc"))
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(r.src, "src"), 0o755); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"src/suricata": sensor, "etc": etc, "suricata.yaml": filepath.Join(etc, "suricata.yaml"),
		"classification.config": filepath.Join(etc, "classification.config"),
		"reference.config":      filepath.Join(etc, "reference.config"),
		"threshold.config":      filepath.Join(etc, "threshold.config"),
	} {
		if err := os.Symlink(target, filepath.Join(r.src, name)); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, r.sensor(), "-V").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", sensor, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("ask %s for its version: it says %q", sensor, out)
	}
	if r.version, err = parseVersion(string(m[1])); err != nil {
		return err
	}
	out, err = exec.CommandContext(ctx, r.sensor(), "--build-info").Output()
	if err != nil {
		return fmt.Errorf("ask %s for its features: %w", sensor, err)
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		if name == "Features" {
			for f := range strings.FieldsSeq(value) {
				r.features[f] = true
			}
		} else if f, ok := strings.CutSuffix(name, " support"); ok && value == "yes" {
			r.features[f] = true
		}
	}
	return nil
}

func (r *runner) sensor() string { return filepath.Join(r.src, "src", "suricata") }

var versionLine = regexp.MustCompile(`Suricata version ([0-9]+(?:\.[0-9]+)*)`)

// parseVersion reads 7, 7.0 or 7.0.1; what is not given is 0.
func parseVersion(s string) (v [3]int, err error) {
	parts := strings.SplitN(s, ".", 3)
	for i, p := range parts {
		if v[i], err = strconv.Atoi(p); err != nil {
			return v, fmt.Errorf("read version %q", s)
		}
	}
	return v, nil
}

// test runs one test. A failure's reason is the first thing that is wrong.
func (r *runner) test(ctx context.Context, t test) result {
	res := result{Name: t.name, Status: passed, Families: t.families()}
	err := t.err
	if err == nil {
		err = r.try(ctx, t)
	}
	var s skip
	switch {
	case errors.As(err, &s):
		res.Status, res.Reason = skipped, s.reason
	case err != nil:
		res.Status, res.Reason = failed, err.Error()
	}
	return res
}

func (r *runner) try(ctx context.Context, t test) error {
	if v, ok := t.spec["skip"]; ok && v != false {
		return skip{"the test says so"}
	}
	if err := r.require(ctx, object(t.spec["requires"]), t.dir); err != nil {
		return err
	}
	runs := 1
	if n, ok := t.spec["count"].(int64); ok {
		runs = int(min(max(n, 1), 100))
	}
	for range runs {
		if err := r.once(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// require says what of a test's or a check's needs is not met.
func (r *runner) require(ctx context.Context, needs map[string]any, dir string) error {
	for key, need := range needs {
		met := true
		switch key {
		case "min-version", "lt-version", "gt-version":
			v, err := parseVersion(fmt.Sprint(need))
			if err != nil {
				return err
			}
			d := compare(r.version, v)
			met = key == "min-version" && d >= 0 || key == "lt-version" && d < 0 || key == "gt-version" && d > 0
		case "features":
			for _, f := range list(need) {
				met = met && r.features[fmt.Sprint(f)]
			}
		case "os":
			met = strings.EqualFold(fmt.Sprint(need), runtime.GOOS)
		case "arch":
			met = strings.EqualFold(fmt.Sprint(need), map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH])
		case "env":
			for _, name := range list(need) {
				met = met && os.Getenv(fmt.Sprint(name)) != ""
			}
		case "files":
			for _, name := range list(need) {
				_, err := os.Stat(filepath.Join(dir, fmt.Sprint(name)))
				met = met && err == nil
			}
		case "script":
			for _, line := range list(need) {
				cmd := exec.CommandContext(ctx, "/bin/sh", "-c", fmt.Sprint(line))
				cmd.Dir = r.src
				met = met && cmd.Run() == nil
			}
		case "pcap":
		default:
			return fmt.Errorf("requires %s: not known", key)
		}
		if !met {
			return skip{fmt.Sprintf("requires %s %v", key, need)}
		}
	}
	return nil
}

func compare(a, b [3]int) int {
	for i := range a {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return 0
}

// once runs the sensor in a fresh output folder and checks what it left.
func (r *runner) once(ctx context.Context, t test) error {
	out, done, err := r.output(t)
	if err != nil {
		return err
	}
	defer done()
	cmdline, err := r.commandLine(t, out)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, cmdline[0], cmdline[1:]...)
	cmd.Dir, cmd.WaitDelay = t.dir, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(os.Environ(), r.env(t, out)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	for name, text := range map[string][]byte{"stdout": stdout.Bytes(), "stderr": stderr.Bytes()} {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o600); err != nil {
			return err
		}
	}
	if limited.Err() != nil {
		return fmt.Errorf("the sensor did not end within %v", r.timeout)
	}
	want := int64(0)
	if v, ok := t.spec["exit-code"].(int64); ok {
		want = v
	}
	if cmd.ProcessState == nil {
		return runErr
	}
	if got := cmd.ProcessState.ExitCode(); int64(got) != want {
		return fmt.Errorf("exit code %d, want %d: %s", got, want, lastLine(stderr.Bytes()))
	}
	return r.checkAll(ctx, t, out)
}

func (r *runner) output(t test) (dir string, done func(), err error) {
	if r.keep == "" {
		dir, err = os.MkdirTemp("", "verify-out-")
		return dir, func() { os.RemoveAll(dir) }, err
	}
	dir, err = filepath.Abs(filepath.Join(r.keep, t.name))
	if err == nil {
		err = errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	}
	return dir, func() {}, err
}

// env is what tests and their commands may use.
func (r *runner) env(t test, out string) []string {
	env := []string{"TZ=UTC", "SRCDIR=" + r.src, "TEST_DIR=" + t.dir, "OUTPUT_DIR=" + out, "TOPDIR=" + filepath.Dir(t.dir)}
	for name, value := range object(t.spec["env"]) {
		env = append(env, name+"="+fmt.Sprint(value))
	}
	return env
}

// commandLine is the test's own command, or the one upstream's runner makes
// from what lies in the folder.
func (r *runner) commandLine(t test, out string) ([]string, error) {
	if command, ok := t.spec["command"].(string); ok {
		return []string{"/bin/sh", "-c", command}, nil
	}
	vars := make(map[string]string)
	for _, e := range r.env(t, out) {
		name, value, _ := strings.Cut(e, "=")
		vars[name] = value
	}
	line := []string{r.sensor()}
	for _, arg := range list(t.spec["args"]) {
		for word := range strings.FieldsSeq(fmt.Sprint(arg)) {
			line = append(line, os.Expand(word, func(name string) string { return vars[name] }))
		}
	}
	line = append(line, "--set", "classification-file="+filepath.Join(r.src, "etc", "classification.config"),
		"--set", "reference-config-file="+filepath.Join(r.src, "etc", "reference.config"), "--init-errors-fatal", "-l", out)
	if strings.Contains(t.name, "ips") {
		line = append(line, "--simulate-ips")
	}
	config := filepath.Join(t.dir, "suricata.yaml")
	if _, err := os.Stat(config); err != nil {
		config = filepath.Join(r.src, "suricata.yaml")
	}
	line = append(line, "-c", config)
	pcap, err := t.pcap()
	if err != nil {
		return nil, err
	}
	if pcap != "" {
		line = append(line, "-r", pcap)
	}
	return t.addRules(line)
}

// pcap is the capture to read: the one named, or the only one in the folder.
func (t test) pcap() (string, error) {
	switch v := t.spec["pcap"].(type) {
	case string:
		return filepath.Join(t.dir, v), nil
	case bool:
		if !v {
			return "", nil
		}
	}
	found, err := t.one("capture", "*.pcap", "*.pcapng")
	if err != nil || found != "" || object(t.spec["requires"])["pcap"] == false {
		return found, err
	}
	return "", errors.New("no capture in the folder")
}

func (t test) addRules(line []string) ([]string, error) {
	firewall := filepath.Join(t.dir, "firewall.rules")
	if _, err := os.Stat(firewall); err == nil {
		line = append(line, "--firewall-rules-exclusive="+firewall)
		td := filepath.Join(t.dir, "td.rules")
		if _, err := os.Stat(td); err == nil {
			line = append(line, "-S", td)
		}
		return line, nil
	}
	rules, err := t.one("rules file", "*.rules")
	switch {
	case err != nil:
		return nil, err
	case rules == "":
		return append(line, "--disable-detection"), nil
	}
	return append(line, "-S", rules), nil
}

// one is the only file of the folder that fits a pattern, or "".
func (t test) one(what string, patterns ...string) (string, error) {
	var found []string
	for _, p := range patterns {
		m, err := filepath.Glob(filepath.Join(t.dir, p))
		if err != nil {
			return "", err
		}
		found = append(found, m...)
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("more than one %s in the folder", what)
}

func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
