package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hauberk/hauberk/internal/need"
)

func TestLocate(t *testing.T) {
	for name, c := range map[string]struct {
		mounts, self string
		want         []hierarchy
	}{
		"version 1 beside an empty unified hierarchy": {
			`30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 /box /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 29 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
`, "4:memory:/box/a\n1:cpu,cpuacct:/\n8:pids:/\n0::/\n",
			[]hierarchy{
				{false, []string{"cpu"}, "/sys/fs/cgroup/cpu,cpuacct"},
				{false, []string{"memory"}, "/sys/fs/cgroup/memory/a"},
				{true, []string{"cpu", "memory"}, "/sys/fs/cgroup/unified"},
			},
		},
		"version 2, a systemd unit": {
			"25 20 0:22 / /sys/fs/cgroup\\040x rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
			"0::/system.slice/hauberk-agent.service\n",
			[]hierarchy{{true, []string{"cpu", "memory"}, "/sys/fs/cgroup x/system.slice/hauberk-agent.service"}},
		},
		"none": {"1 1 0:1 / / rw - ext4 /dev/sda rw\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := locate([]byte(c.mounts), []byte(c.self))
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fake makes a folder that looks like a group to this package.
func fake(t *testing.T, v2 bool, procs string) (proc, group string) {
	t.Helper()
	root := t.TempDir()
	proc, group = filepath.Join(root, "proc"), filepath.Join(root, "cg")
	files := map[string]string{
		filepath.Join(proc, "self/cgroup"):             "0::/\n",
		filepath.Join(proc, "self/mountinfo"):          "1 1 0:1 / " + group + " rw - cgroup2 cgroup2 rw\n",
		filepath.Join(group, "cgroup.controllers"):     "cpu memory",
		filepath.Join(group, "cgroup.procs"):           procs,
		filepath.Join(group, "cgroup.subtree_control"): "",
		filepath.Join(group, "master/cgroup.procs"):    "",
		filepath.Join(group, "x/cpu.max"):              "",
		filepath.Join(group, "x/memory.max"):           "",
		filepath.Join(group, "x/cgroup.procs"):         "",
	}
	if !v2 {
		files[filepath.Join(proc, "self/cgroup")] = "1:cpu,memory:/\n"
		files[filepath.Join(proc, "self/mountinfo")] = "1 1 0:1 / " + group + " rw - cgroup cgroup rw,cpu,memory\n"
		delete(files, filepath.Join(group, "x/cpu.max"))
		delete(files, filepath.Join(group, "x/memory.max"))
		files[filepath.Join(group, "x/cpu.cfs_quota_us")] = ""
		files[filepath.Join(group, "x/cpu.cfs_period_us")] = ""
		files[filepath.Join(group, "x/memory.limit_in_bytes")] = ""
	}
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return proc, group
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLimitsAreWritten(t *testing.T) {
	limits := Limits{CPU: 0.3, Memory: 48 << 20}
	proc, group := fake(t, true, strconv.Itoa(os.Getpid())+"\n")
	g, err := Make(proc, "x", limits)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(77); err != nil {
		t.Fatal(err)
	}
	if got := content(t, group, "x/cpu.max") + "|" + content(t, group, "x/memory.max") + "|" + content(t, group, "x/cgroup.procs"); got != "6000 20000|50331648|77" {
		t.Errorf("version 2: %s", got)
	}
	if got := content(t, group, "master/cgroup.procs"); got != strconv.Itoa(os.Getpid()) {
		t.Errorf("the master did not move: %q", got)
	}

	proc, group = fake(t, false, "")
	if g, err = Make(proc, "x", limits); err != nil {
		t.Fatal(err)
	}
	if got := content(t, group, "x/cpu.cfs_quota_us") + "|" + content(t, group, "x/memory.limit_in_bytes"); got != "6000|50331648" {
		t.Errorf("version 1: %s", got)
	}
	if strings.Contains(g.Detail, "not limited") {
		t.Error(g.Detail)
	}
}

func TestReasons(t *testing.T) {
	proc, _ := fake(t, true, "1\n2\n")
	if _, err := Make(proc, "x", Limits{CPU: 1}); err == nil || !strings.Contains(err.Error(), "other processes") {
		t.Errorf("shared group: %v", err)
	}
	proc, group := fake(t, true, "")
	os.WriteFile(filepath.Join(group, "cgroup.controllers"), nil, 0o644)
	if _, err := Make(proc, "x", Limits{CPU: 1}); err == nil || !strings.Contains(err.Error(), "no controller") {
		t.Errorf("nothing delegated: %v", err)
	}
}

// TestReal limits a real process on this machine.
func TestReal(t *testing.T) {
	need.Root(t)
	g, err := Make("/proc", "hauberk-test-"+strconv.Itoa(os.Getpid()), Limits{CPU: 0.5, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command(need.Program(t, "sleep"), "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(sleep.Process.Pid); err != nil {
		t.Error(err)
	}
	if self := content(t, "/proc", strconv.Itoa(sleep.Process.Pid), "cgroup"); !strings.Contains(self, "hauberk-test-") {
		t.Errorf("the process is in %s", self)
	}
	sleep.Process.Kill()
	sleep.Wait()
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func FuzzLocate(f *testing.F) {
	f.Add([]byte("31 29 0:27 /box /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n"), []byte("4:memory:/box/a\n"))
	f.Fuzz(func(t *testing.T, mounts, self []byte) { locate(mounts, self) })
}
