package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/internal/tinyelf"
)

// stormCommand is how agentbench runs itself as a worker.
const stormCommand = "storm-worker"

// workers fork side by side; the machine of the figures has two cores.
const workers = 2

// containerID is what the storm's cgroup says its container is.
const containerID = "5707c0ffee5707c0ffee5707c0ffee5707c0ffee5707c0ffee5707c0ffee5707"

// arguments are those of a middling command line: seven, 330 bytes with the
// program's name.
var arguments = []string{
	"--user=storm", "--config=/etc/storm/" + strings.Repeat("conf.d/", 6) + "main.yaml",
	"-o", "/var/tmp/" + strings.Repeat("output-", 12) + "file", "--label=" + strings.Repeat("abcdefgh", 10), "last",
}

// storm makes short processes as fast as the machine does: vfork and exec of
// a program of 130 bytes that ends at once.
type storm struct {
	program string
	self    string
	cgroup  string // empty where none can be made
	parent  string
}

func newStorm(dir string) (*storm, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &storm{program: filepath.Join(dir, "short"), self: self}
	if err := tinyelf.WriteExit(s.program); err != nil {
		return nil, err
	}
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		s.parent = filepath.Join(root, fmt.Sprintf("agentbench-%d", os.Getpid()))
		s.cgroup = filepath.Join(s.parent, "docker-"+containerID+".scope")
		return s, nil
	}
	return s, nil
}

// enter makes the cgroup, while a collector listens or before it starts.
func (s *storm) enter() error {
	if s.cgroup == "" {
		return nil
	}
	return os.MkdirAll(s.cgroup, 0o755)
}

func (s *storm) close() {
	if s.cgroup != "" {
		os.Remove(s.cgroup) // fails if it was never made
		os.Remove(s.parent)
	}
}

// args is the argv of one short process.
func (s *storm) args() []string { return append([]string{s.program}, arguments...) }

// cost is what a storm took.
type cost struct {
	cpu  float64 // s, of the workers and all their short processes
	wall float64 // s
}

// run makes n processes.
func (s *storm) run(ctx context.Context, n int) (cost, error) {
	if err := s.enter(); err != nil {
		return cost{}, err
	}
	began := time.Now()
	var running []*exec.Cmd
	for range workers {
		cmd := exec.CommandContext(ctx, s.self, stormCommand, strconv.Itoa(n/workers), s.cgroup, s.program)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return cost{}, fmt.Errorf("start storm: %w", err)
		}
		running = append(running, cmd)
	}
	var c cost
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			return cost{}, fmt.Errorf("storm: %w", err)
		}
		c.cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	c.wall = time.Since(began).Seconds()
	return c, nil
}

// stormMain is a worker: count, cgroup, program.
func stormMain(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if args[1] != "" {
		if err := os.WriteFile(filepath.Join(args[1], "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	argv := append([]string{args[2]}, arguments...)
	attributes := &syscall.ProcAttr{Env: []string{"PATH=/usr/bin:/bin"}, Files: []uintptr{0, 1, 2}}
	var status syscall.WaitStatus
	for range n {
		pid, err := syscall.ForkExec(args[2], argv, attributes) // CLONE_VFORK and CLONE_VM
		if err != nil {
			return fmt.Errorf("exec: %w", err)
		}
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
			return fmt.Errorf("wait: %w", err)
		}
	}
	return nil
}
