package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/internal/perf"
)

// audit measures auditd with one rule for execve, in a private instance that
// is ended by its pid. It is left out, with the reason, where auditd is not
// installed or another one runs.
func (b *benchmark) audit(report *perf.Report) error {
	daemon, err := exec.LookPath("auditd")
	if err != nil {
		say("auditd left out: %v", err)
		return nil
	}
	status, err := exec.Command("auditctl", "-s").CombinedOutput()
	if err != nil || !bytes.Contains(status, []byte("\npid 0\n")) {
		say("auditd left out: another one runs, or the kernel has no audit: %s", bytes.TrimSpace(status))
		return nil
	}
	alone, err := b.storm.run(b.ctx, b.execs)
	if err != nil {
		return err
	}
	a, err := startAudit(daemon, b.dir)
	if err != nil {
		say("auditd left out: %v", err)
		return nil
	}
	before := cpuOf(a.cmd.Process.Pid)
	with, err := b.storm.run(b.ctx, b.execs)
	if err == nil {
		err = a.settle()
	}
	used := cpuOf(a.cmd.Process.Pid) - before
	lost := a.lost()
	a.stop()
	if err != nil {
		return err
	}
	seen, size, err := a.count(b.storm.program)
	if err != nil {
		return err
	}
	percent := 100 * float64(seen) / float64(b.total())
	add := func(name string, value float64, unit, note string) {
		report.Add(perf.Figure{Name: "auditd: " + name, Value: value, Unit: unit, Target: "for comparison", Reached: true, Note: note})
	}
	add("execs captured with argv", percent, "%", fmt.Sprintf("one storm; Debian's defaults, one rule for execve; %s by its own count", lost))
	add("CPU of auditd / of the storm", 100*used/with.cpu, "%", "without the kernel's kauditd")
	add("storm's CPU with / without", with.cpu/alone.cpu, "x", fmt.Sprintf("wall x%.2f", with.wall/alone.wall))
	add("bytes on disk per exec", float64(size)/float64(max(1, seen)), "bytes", "")
	return nil
}

// auditor is a private auditd.
type auditor struct {
	cmd *exec.Cmd
	log string
}

func startAudit(daemon, dir string) (*auditor, error) {
	own := filepath.Join(dir, "audit")
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, err
	}
	a := &auditor{log: filepath.Join(own, "audit.log")}
	text := strings.Join([]string{
		"log_file = " + a.log, "log_format = RAW", "log_group = root", "write_logs = yes", "flush = INCREMENTAL_ASYNC", "freq = 50",
		"max_log_file = 4000", "num_logs = 2", "max_log_file_action = IGNORE", "space_left = 75", "space_left_action = IGNORE",
		"admin_space_left = 50", "admin_space_left_action = IGNORE", "disk_full_action = IGNORE", "disk_error_action = IGNORE", "local_events = yes",
	}, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(own, "auditd.conf"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	a.cmd = exec.Command(daemon, "-n", "-s", "enable", "-c", own)
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start auditd: %w", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		status, _ := exec.Command("auditctl", "-s").Output()
		if bytes.Contains(status, fmt.Appendf(nil, "\npid %d\n", a.cmd.Process.Pid)) {
			break
		}
		if time.Now().After(deadline) {
			a.stop()
			return nil, fmt.Errorf("auditd did not take the kernel's events within 10 s: %s", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, rule := range [][]string{{"-b", "8192"}, {"--backlog_wait_time", "60000"}, {"-a", "always,exit", "-F", "arch=b64", "-S", "execve", "-k", "agentbench"}} {
		if out, err := exec.Command("auditctl", rule...).CombinedOutput(); err != nil {
			a.stop()
			return nil, fmt.Errorf("auditctl %v: %s", rule, bytes.TrimSpace(out))
		}
	}
	return a, nil
}

// settle waits until the kernel's queue was empty twice, half a second apart:
// by then the daemon, which writes what it has at once, is done with ours.
func (a *auditor) settle() error {
	empty := 0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		status, err := exec.Command("auditctl", "-s").Output()
		if err != nil {
			return err
		}
		if !bytes.Contains(status, []byte("\nbacklog 0\n")) {
			empty = 0
		} else if empty++; empty == 2 {
			return nil
		}
	}
	return fmt.Errorf("auditd is not done after %s", patience)
}

// lost returns the kernel's line about lost records.
func (a *auditor) lost() string {
	status, _ := exec.Command("auditctl", "-s").Output()
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "lost ") {
			return strings.TrimSpace(line)
		}
	}
	return "lost unknown"
}

// stop removes the rule, turns auditing off and ends the daemon.
func (a *auditor) stop() {
	exec.Command("auditctl", "-D").Run()
	exec.Command("auditctl", "-e", "0").Run()
	a.cmd.Process.Signal(syscall.SIGTERM)
	a.cmd.Wait()
}

// count returns how many EXECVE records of the program have all arguments,
// and the size of the log.
func (a *auditor) count(program string) (seen int, size int64, err error) {
	f, err := os.Open(a.log)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	begin := []byte(fmt.Sprintf(`argc=%d a0="%s"`, len(arguments)+1, program))
	last := []byte(`="` + arguments[len(arguments)-1] + `"`)
	for lines.Scan() {
		line := lines.Bytes()
		if bytes.HasPrefix(line, []byte("type=EXECVE")) && bytes.Contains(line, begin) && bytes.HasSuffix(line, last) {
			seen++
		}
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return seen, info.Size(), lines.Err()
}
