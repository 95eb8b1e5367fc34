package loop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one of a platform's.
type Process struct {
	Name string // up, the roles of a server, run (the agent), collector
	PID  int
}

// Processes lists the supervisor and its descendants, named by what they run.
func Processes(root int) ([]Process, error) {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		_, rest, found := bytes.Cut(data[bytes.LastIndexByte(data, ')'):], []byte(" ")) // state ppid ...
		fields := bytes.Fields(rest)
		if err1 != nil || !found || len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			continue
		}
		children[parent] = append(children[parent], pid)
	}
	list := []Process{{"up", root}}
	for queue := children[root]; len(queue) > 0; {
		pid := queue[0]
		queue = append(queue[1:], children[pid]...)
		if name := processName(pid); name != "" {
			list = append(list, Process{name, pid})
		}
	}
	return list, nil
}

// processName names a process of the platform by its command line, "" for
// others (a helper such as journalctl).
func processName(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	if !strings.HasPrefix(filepath.Base(args[0]), "hauberk") || len(args) < 2 {
		return ""
	}
	for i, a := range args[:len(args)-1] {
		if a == "--roles" {
			return args[i+1]
		}
	}
	return args[1]
}
