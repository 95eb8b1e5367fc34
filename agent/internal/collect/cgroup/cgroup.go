// Package cgroup tells which container a cgroup belongs to. Paths come from
// the kernel: of every cgroup that is there at the start, and of every one
// made later, before a process can be in it.
package cgroup

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Hierarchy is the tree of cgroups in which containers are looked for.
type Hierarchy struct {
	// Controller is empty for cgroup v2, else the v1 controller of the tree.
	Controller string
	// ID is the kernel's number of the hierarchy, 0 for v2.
	ID uint32
	// Root is where it is mounted.
	Root string
}

// Detect picks the hierarchy: v2 where it is the only one, else the v1 tree
// of pids or memory, which every container runtime uses.
func Detect() (Hierarchy, error) {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("read mounts: %w", err)
	}
	defer mounts.Close()
	list, err := os.Open("/proc/cgroups")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("read cgroup controllers: %w", err)
	}
	defer list.Close()
	return detect(mounts, list)
}

func detect(mounts, controllers io.Reader) (Hierarchy, error) {
	ids := map[string]uint32{}
	for s := bufio.NewScanner(controllers); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) >= 2 && !strings.HasPrefix(fields[0], "#") {
			id, _ := strconv.ParseUint(fields[1], 10, 32)
			ids[fields[0]] = uint32(id)
		}
	}
	unified := ""
	roots := map[string]string{}
	for s := bufio.NewScanner(mounts); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch point := fields[4]; kind[0] {
		case "cgroup2":
			unified = point
		case "cgroup":
			for option := range strings.SplitSeq(kind[2], ",") {
				roots[option] = point
			}
		}
	}
	for _, controller := range []string{"pids", "memory"} {
		if root := roots[controller]; root != "" && ids[controller] != 0 {
			return Hierarchy{Controller: controller, ID: ids[controller], Root: root}, nil
		}
	}
	if unified == "" {
		return Hierarchy{}, fmt.Errorf("no cgroup hierarchy is mounted")
	}
	return Hierarchy{Root: unified}, nil
}

// maxContainers bounds the cgroups remembered; one host runs a few hundred
// containers, each with a few cgroups.
const maxContainers = 16384

// Names maps cgroup ids to container ids. Cgroups outside containers take no
// room. It is not safe for concurrent use.
type Names struct {
	ids map[uint64]string
	// Overflow counts cgroups not remembered.
	Overflow uint64
}

// Scan reads the cgroups that exist below root.
func (n *Names) Scan(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // gone since, or a control file
		}
		id := ContainerID([]byte(path[len(root):]))
		if id == "" {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				n.add(stat.Ino, id)
			}
		}
		return nil
	})
}

// Add notes a cgroup by its id and its path in the hierarchy.
func (n *Names) Add(cgroup uint64, path []byte) {
	if id := ContainerID(path); id != "" {
		n.add(cgroup, id)
	} else {
		delete(n.ids, cgroup)
	}
}

func (n *Names) add(cgroup uint64, id string) {
	if n.ids == nil {
		n.ids = map[uint64]string{}
	}
	if len(n.ids) >= maxContainers {
		n.Overflow++
		for old := range n.ids { // any: most of them are gone by now
			delete(n.ids, old)
			break
		}
	}
	n.ids[cgroup] = id
}

// Container returns the container id of a cgroup, empty outside containers.
func (n *Names) Container(cgroup uint64) string { return n.ids[cgroup] }

// ContainerID finds the container in a cgroup's path: the 64 hexadecimal
// digits of Docker, containerd, CRI-O and Podman, wherever they stand
// (/docker/<id>, docker-<id>.scope, .../cri-containerd-<id>.scope), the
// innermost if there are several, or the name of an LXC container.
func ContainerID(path []byte) string {
	for end := len(path); end > 0; {
		start := bytes.LastIndexByte(path[:end], '/') + 1
		component := path[start:end]
		if id := hexRun(component); id != "" {
			return id
		}
		for _, prefix := range []string{"lxc.payload.", "lxc.monitor."} {
			if name, ok := bytes.CutPrefix(component, []byte(prefix)); ok {
				return string(name)
			}
		}
		end = start - 1
	}
	return ""
}

const idDigits = 64

// hexRun returns the first run of exactly 64 hexadecimal digits.
func hexRun(s []byte) string {
	run := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f') {
			run++
			continue
		}
		if run == idDigits {
			return string(s[i-idDigits : i])
		}
		run = 0
	}
	return ""
}
