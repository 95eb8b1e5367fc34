package breaker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// userHZ is the unit of times in /proc/<pid>/stat: 1/100 s on every
// architecture Go runs on (proc(5), sysconf(_SC_CLK_TCK)).
const userHZ = 100

// Read returns what the processes use together; at is the monotonic time of
// the sample. proc is "/proc" except in tests. A process that is gone counts
// nothing.
func Read(proc string, at time.Duration, pids ...int) (Sample, error) {
	s := Sample{At: at}
	for _, pid := range pids {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		ticks, err := parseStat(stat)
		if err != nil {
			return s, err
		}
		s.CPU += time.Duration(ticks) * time.Second / userHZ
		memory, err := readMemory(dir)
		if err != nil {
			return s, err
		}
		s.Memory += memory
	}
	return s, nil
}

// readMemory returns the proportional set size: a ring's mapping is counted
// twice in the resident set, and the text is shared by both processes. Where
// the kernel does not tell it, the resident set must do.
func readMemory(dir string) (uint64, error) {
	for _, source := range []struct{ file, key string }{{"smaps_rollup", "Pss:"}, {"status", "VmRSS:"}} {
		data, err := os.ReadFile(filepath.Join(dir, source.file))
		if err != nil {
			continue
		}
		if kb, ok := parseKB(data, source.key); ok {
			return kb << 10, nil
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	// A zombie has no memory: its status lacks VmRSS.
	return 0, nil
}

// parseStat returns user and system time of a line of /proc/<pid>/stat, in
// ticks. The name in it may hold anything, spaces and parentheses included.
func parseStat(stat []byte) (uint64, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("parse process statistics %.60q", stat)
	}
	user, err1 := strconv.ParseUint(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseUint(string(fields[12]), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("parse process statistics: %w", err)
	}
	return user + system, nil
}

// parseKB returns the number of a "Key:   123 kB" line.
func parseKB(data []byte, key string) (uint64, bool) {
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			fields := bytes.Fields(rest)
			if len(fields) == 0 {
				return 0, false
			}
			n, err := strconv.ParseUint(string(fields[0]), 10, 53)
			return n, err == nil
		}
	}
	return 0, false
}
