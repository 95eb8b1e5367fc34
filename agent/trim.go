package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimAfter is when a process gives back what only its start needed.
const trimAfter = 5 * time.Second

// trimLater gives memory back once, some time after the start: the heap's
// free pages, and the pages of the program that initialisation touched. What
// is needed again comes from the page cache. The returned function stops it.
func trimLater() (stop func() bool) {
	return time.AfterFunc(trimAfter, func() {
		debug.FreeOSMemory()
		smaps, err := os.Open("/proc/self/smaps")
		if err != nil {
			return // nothing is lost but some room
		}
		defer smaps.Close()
		for _, m := range cleanMappings(smaps) {
			// A failure changes nothing.
			unix.Syscall(unix.SYS_MADVISE, m.from, m.size, unix.MADV_DONTNEED)
		}
	}).Stop
}

type mapping struct{ from, size uintptr }

// cleanMappings returns the read-only mappings of files in a
// /proc/<pid>/smaps (proc(5)) that hold no page of this process's own: text
// and constants of a program that was not relocated.
func cleanMappings(smaps io.Reader) []mapping {
	var out []mapping
	var current mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			current = mapping{}
			if m, ok := parseMapping(fields); ok {
				current = m
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && current.size > 0:
			out = append(out, current)
		}
	}
	return out
}

// parseMapping reads the head of a mapping, if it is read-only and of a file.
func parseMapping(fields []string) (m mapping, ok bool) {
	if len(fields) < 6 || fields[1] != "r-xp" && fields[1] != "r--p" || !strings.HasPrefix(fields[5], "/") {
		return m, false
	}
	var to uintptr
	if n, err := fmt.Sscanf(fields[0], "%x-%x", &m.from, &to); n != 2 || err != nil || to <= m.from {
		return m, false
	}
	m.size = to - m.from
	return m, true
}
