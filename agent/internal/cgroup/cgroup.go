// Package cgroup puts a process into a control group with limits, under
// version 1 or 2, whichever this machine has. Where it cannot, it says why,
// and the agent goes on with the breaker alone.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits are the bounds; 0 means none.
type Limits struct {
	CPU    float64 // cores
	Memory uint64  // bytes
}

// period is the length of a CPU accounting period in us. Short enough that a
// throttled collector still reads its ring in time.
const period = 20_000

// Group is a group made by Make.
type Group struct {
	dirs   []dir
	Detail string // what limits what, and what could not be limited
}

type dir struct {
	path string
	v2   bool
	cpu  bool
	mem  bool
}

// Make makes a group called name below this process's own, with the limits.
// proc is "/proc" except in tests. An error means that nothing is limited;
// a part that could not be is said in Detail.
func Make(proc, name string, l Limits) (*Group, error) {
	mounts, err := os.ReadFile(filepath.Join(proc, "self/mountinfo"))
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile(filepath.Join(proc, "self/cgroup"))
	if err != nil {
		return nil, err
	}
	g := &Group{}
	var said []string
	for _, h := range locate(mounts, own) {
		if h.v2 && len(g.dirs) > 0 {
			continue // version 1 has the controllers
		}
		d, err := h.make(name)
		if err != nil {
			said = append(said, fmt.Sprintf("%s: %v", strings.Join(h.controllers, "+"), err))
			continue
		}
		g.dirs = append(g.dirs, d)
	}
	if err := g.Set(l); err != nil {
		g.Remove()
		return nil, err
	}
	g.describe(l, said)
	if len(g.dirs) == 0 {
		return nil, fmt.Errorf("no control group: %s", g.Detail)
	}
	return g, nil
}

func (g *Group) describe(l Limits, said []string) {
	cpu, mem := false, false
	for _, d := range g.dirs {
		cpu, mem = cpu || d.cpu, mem || d.mem
		said = append(said, d.path)
	}
	if l.CPU > 0 && !cpu {
		said = append(said, "cpu not limited")
	}
	if l.Memory > 0 && !mem {
		said = append(said, "memory not limited")
	}
	if len(said) == 0 {
		said = append(said, "this machine mounts neither cpu nor memory controller")
	}
	g.Detail = strings.Join(said, "; ")
}

// hierarchy is a mounted hierarchy with a controller of ours, and this
// process's folder in it.
type hierarchy struct {
	v2          bool
	controllers []string
	path        string
}

// locate finds the hierarchies with the cpu and memory controllers, version 1
// first. See cgroups(7) and proc(5) for the two files.
func locate(mountinfo, self []byte) []hierarchy {
	own := map[string]string{} // controller, "" for version 2 -> path
	for line := range strings.Lines(string(self)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, c := range strings.Split(parts[1], ",") {
			own[c] = parts[2]
		}
	}
	var v1, v2 []hierarchy
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(line, " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		root, point := unescape(head[3]), unescape(head[4])
		switch tail[0] {
		case "cgroup2":
			if path, ok := own[""]; ok {
				v2 = append(v2, hierarchy{true, []string{"cpu", "memory"}, below(point, root, path)})
			}
		case "cgroup":
			var ours []string
			for _, c := range strings.Split(tail[2], ",") {
				if c == "cpu" || c == "memory" {
					ours = append(ours, c)
				}
			}
			if len(ours) > 0 {
				v1 = append(v1, hierarchy{false, ours, below(point, root, own[ours[0]])})
			}
		}
	}
	return append(v1, v2...)
}

// below returns the folder of a group path in a mount that shows root.
func below(point, root, path string) string {
	if root != "/" {
		if rest, ok := strings.CutPrefix(path, root); ok {
			path = rest
		}
	}
	return filepath.Join(point, path)
}

// unescape undoes the octal escapes of mountinfo (proc(5)).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func (h hierarchy) make(name string) (dir, error) {
	d := dir{v2: h.v2}
	parent := h.path
	if h.v2 {
		if err := delegate(parent); err != nil {
			return d, err
		}
	}
	d.path = filepath.Join(parent, name)
	if err := os.Mkdir(d.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return d, err
	}
	d.cpu = exists(d.path, "cpu.cfs_quota_us") || exists(d.path, "cpu.max")
	d.mem = exists(d.path, "memory.limit_in_bytes") || exists(d.path, "memory.max")
	return d, nil
}

func exists(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return err == nil
}

// delegate makes a version 2 group able to have limited children: a group
// with children may have no processes of its own, so this process moves into
// a leaf. That is only done where it is alone, which is what Delegate=yes of
// a systemd unit gives.
func delegate(parent string) error {
	available, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !bytes.Contains(available, []byte("memory")) && !bytes.Contains(available, []byte("cpu")) {
		return errors.New("no controller is delegated to this group")
	}
	procs, err := os.ReadFile(filepath.Join(parent, "cgroup.procs"))
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(procs)); got != "" {
		if got != strconv.Itoa(os.Getpid()) {
			return errors.New("this group holds other processes too")
		}
		leaf := filepath.Join(parent, "master")
		if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := write(leaf, "cgroup.procs", got); err != nil {
			return err
		}
	}
	return errors.Join(enable(parent, available, "cpu"), enable(parent, available, "memory"))
}

func enable(parent string, available []byte, controller string) error {
	if !bytes.Contains(available, []byte(controller)) {
		return nil
	}
	return write(parent, "cgroup.subtree_control", "+"+controller)
}

func write(dir, file, value string) error {
	// Not os.WriteFile: these files are never created by opening them.
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// Set changes the limits.
func (g *Group) Set(l Limits) error {
	var errs []error
	for _, d := range g.dirs {
		quota := "-1"
		if l.CPU > 0 {
			quota = strconv.Itoa(max(1000, int(l.CPU*period)))
		}
		switch {
		case !d.cpu:
		case d.v2:
			if quota == "-1" {
				quota = "max"
			}
			errs = append(errs, write(d.path, "cpu.max", fmt.Sprintf("%s %d", quota, period)))
		default:
			errs = append(errs, write(d.path, "cpu.cfs_period_us", strconv.Itoa(period)), write(d.path, "cpu.cfs_quota_us", quota))
		}
		switch {
		case !d.mem:
		case d.v2:
			limit := "max"
			if l.Memory > 0 {
				limit = strconv.FormatUint(l.Memory, 10)
			}
			errs = append(errs, write(d.path, "memory.max", limit))
		default:
			limit := "-1"
			if l.Memory > 0 {
				limit = strconv.FormatUint(l.Memory, 10)
			}
			errs = append(errs, write(d.path, "memory.limit_in_bytes", limit))
		}
	}
	return errors.Join(errs...)
}

// Add moves a process into the group.
func (g *Group) Add(pid int) error {
	var errs []error
	for _, d := range g.dirs {
		errs = append(errs, write(d.path, "cgroup.procs", strconv.Itoa(pid)))
	}
	return errors.Join(errs...)
}

// Remove removes the group; its processes must have ended.
func (g *Group) Remove() error {
	var errs []error
	for _, d := range g.dirs {
		errs = append(errs, os.Remove(d.path))
	}
	return errors.Join(errs...)
}
