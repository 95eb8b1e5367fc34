package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cost is the time on a core, in ns, of a server's processes and of the thread that receives for it: exact whatever else the
// machine does.
func cost(pid int) (ns uint64, err error) {
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // Gone meanwhile.
		}
		// The name in parentheses may have spaces; state and parent follow it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		id, _ := strconv.Atoi(strings.Split(path, "/")[2])
		children[parent] = append(children[parent], id)
	}
	threads, err := receivers("near")
	if err != nil {
		return 0, err
	}
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		tasks, err := filepath.Glob(fmt.Sprint("/proc/", todo[0], "/task/*"))
		if err != nil {
			return 0, err
		}
		for _, t := range tasks {
			n, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				return 0, err
			}
			threads = append(threads, n)
		}
		todo = append(todo, children[todo[0]]...)
	}
	for _, t := range threads {
		text, err := os.ReadFile(fmt.Sprint("/proc/", t, "/schedstat"))
		if err != nil {
			continue
		}
		n, err := strconv.ParseUint(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		ns += n
	}
	return ns, nil
}

// receivers are the kernel threads that receive for a device.
func receivers(device string) (ids []int, err error) {
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	for _, path := range comms {
		comm, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(comm), "napi/"+device+"-") {
			continue // Gone meanwhile, or another.
		}
		id, _ := strconv.Atoi(strings.Split(path, "/")[2])
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("no thread receives for %s", device)
	}
	return ids, nil
}
