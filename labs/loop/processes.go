package loop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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

// Memory of a process, in MB (1e6 bytes), from /proc/PID/smaps_rollup.
type Memory struct{ PSS, RSS, Anonymous float64 }

// MemoryOf reads it. PSS counts shared pages by share, so that it can be
// added up over processes of one binary.
func MemoryOf(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kb, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			continue // the heading
		}
		mb := kb * 1024 / 1e6
		switch fields[0] {
		case "Pss:":
			m.PSS = mb
		case "Rss:":
			m.RSS = mb
		case "Anonymous:":
			m.Anonymous = mb
		}
	}
	return m, nil
}

// CPUTime is what a process used so far, user and system.
func CPUTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// After the name in parentheses, utime and stime are fields 14 and 15.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of %d: %q", pid, text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

// ticks is USER_HZ, 100 on every Linux that Go runs on.
const ticks = 100
