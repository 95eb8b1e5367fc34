package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hauberk/hauberk/internal/perf"
)

// cost is what one run used.
type cost struct {
	cpu  float64 // Seconds, by its control group: of all its processes.
	peak float64 // MB resident.
}

// sensor is one of the two.
type sensor struct {
	name   string
	binary []string // With what comes before the arguments.
	folder string   // The work folder as it sees it.
	out    string   // Its logs, by our path.

	empty, small, large, silent []cost
	seen                        *events // Of the large mix.
}

// sensors are both, with folders for their logs.
func (b *bench) sensors() (ours, theirs *sensor, err error) {
	ours = &sensor{name: "hauberk-sensor", binary: []string{filepath.Join(b.work, "hauberk-sensor")}, folder: b.work}
	theirs = &sensor{name: "Suricata 8.0.8", binary: []string{"chroot", b.root, "suricata", "--runmode", "single"}, folder: "/bench"}
	for i, s := range []*sensor{ours, theirs} {
		s.out = filepath.Join(b.work, fmt.Sprintf("logs%d", i))
		if err := os.MkdirAll(s.out, 0o755); err != nil {
			return nil, nil, err
		}
	}
	return ours, theirs, nil
}

// race runs both in turn, and checks that they saw the same.
func (b *bench) race() (ours, theirs *sensor, err error) {
	if ours, theirs, err = b.sensors(); err != nil {
		return nil, nil, err
	}
	for round := range b.rounds {
		for _, s := range []*sensor{ours, theirs} {
			for _, leg := range []struct {
				list   *[]cost
				mix    string
				silent bool
			}{{&s.empty, emptyMix, false}, {&s.small, smallMix, false}, {&s.silent, smallMix, true}, {&s.large, largeMix, false}} {
				c, err := s.run(leg.mix, leg.silent)
				if err != nil {
					return nil, nil, err
				}
				*leg.list = append(*leg.list, c)
				fmt.Fprintf(os.Stderr, "round %d: %s, %s, events %v: %.2f s, %.0f MB\n", round+1, s.name, leg.mix, !leg.silent, c.cpu, c.peak)
			}
			if s.seen == nil {
				if s.seen, err = readEvents(filepath.Join(s.out, "eve.json")); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	return ours, theirs, nil
}

// run reads a mix in a control group of its own.
func (s *sensor) run(mix string, silent bool) (c cost, err error) {
	group, err := newGroup()
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.Remove(group.path)) }()
	if err := os.RemoveAll(filepath.Join(s.out, "eve.json")); err != nil {
		return c, err
	}
	args := append(s.binary[1:len(s.binary):len(s.binary)], "-c", s.folder+"/"+config, "-S", s.folder+"/"+rules, "-r", s.folder+"/"+mix,
		"-l", s.folder+"/"+filepath.Base(s.out), "-k", "none",
		"--set", "classification-file="+s.folder+"/classification.config", "--set", "reference-config-file="+s.folder+"/reference.config")
	if silent {
		args = append(args, "--set", "outputs.0.eve-log.enabled=no")
	}
	script := "echo $$ >" + group.path + "/cgroup.procs; exec \"$@\""
	cmd := exec.Command("sh", append([]string{"-c", script, "sh", s.binary[0]}, args...)...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		return c, fmt.Errorf("run %s on %s: %w\n%s", s.name, mix, err, tail(string(said)))
	}
	if c.cpu, err = group.cpu(); err != nil {
		return c, err
	}
	c.peak = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	return c, nil
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// group is a control group, of either version.
type group struct {
	path string
	v2   bool
}

func newGroup() (g group, err error) {
	name := fmt.Sprintf("sensorbench-%d", os.Getpid())
	g = group{path: "/sys/fs/cgroup/cpuacct/" + name}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		g = group{path: "/sys/fs/cgroup/" + name, v2: true}
	}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return g, fmt.Errorf("make a control group: %w", err)
	}
	return g, nil
}

// cpu is the seconds used by all processes that were in the group.
func (g group) cpu() (float64, error) {
	if !g.v2 {
		data, err := os.ReadFile(g.path + "/cpuacct.usage")
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseFloat(strings.TrimSpace(string(data)), 64)
		return ns / 1e9, err
	}
	data, err := os.ReadFile(g.path + "/cpu.stat")
	if err != nil {
		return 0, err
	}
	var us float64
	_, err = fmt.Sscanf(string(data), "usage_usec %f", &us)
	return us / 1e6, err
}

// median is that of what f says of each run.
func median(runs []cost, f func(cost) float64) float64 {
	var list []float64
	for _, r := range runs {
		list = append(list, f(r))
	}
	return perf.Median(list)
}

func cpuOf(c cost) float64  { return c.cpu }
func peakOf(c cost) float64 { return c.peak }

// slope is the CPU seconds that the large mix takes more than the small.
func (s *sensor) slope() float64 { return median(s.large, cpuOf) - median(s.small, cpuOf) }

// perEvent is what an event of the small mix costs, in microseconds: its share
// of the large mix's events is that of its bytes.
func (s *sensor) perEvent(share float64) float64 {
	return 1e6 * (median(s.small, cpuOf) - median(s.silent, cpuOf)) / (share * float64(s.seen.count))
}
