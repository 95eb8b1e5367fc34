// Command sensorbench measures the sensor beside Suricata 8.0.8 of Debian's
// trixie-backports (with Hyperscan), which it installs into a root of its own:
// the mix of tools/benchmix in two sizes, all rules of ../shared/data/etopen,
// one thread, the same configuration (suricata.yaml here). It writes
// docs/perf/sensor.*. It needs root, debootstrap and the package registry.
//
//	go run ./labs/sensorbench [-small 1000000000 -large 2000000000 -rounds 3]
//	go run ./labs/sensorbench -verify    compares what both say of every capture
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	var b bench
	flag.StringVar(&b.data, "data", dataDir(), "folder with etopen, pcaps and suricata-verify")
	flag.StringVar(&b.root, "root", "/var/tmp/hauberk-reference", "root of the reference; made if it is not there")
	out := flag.String("out", "docs/perf", "folder for the report")
	flag.Int64Var(&b.small, "small", 1e9, "bytes of the small mix")
	flag.Int64Var(&b.large, "large", 2e9, "bytes of the large mix")
	flag.IntVar(&b.rounds, "rounds", 3, "interleaved rounds")
	verify := flag.Bool("verify", false, "compare the events of every capture instead")
	flag.Parse()
	run := func() error { return b.run(*out) }
	if *verify {
		run = b.verify
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sensorbench:", err)
		os.Exit(1)
	}
}

func dataDir() string {
	if d := os.Getenv("HAUBERK_DATA"); d != "" {
		return d
	}
	return "../shared/data"
}

// bench is one measurement. Everything lies in work, a folder of the
// reference's root, so that both sensors read the same files.
type bench struct {
	data, root   string
	small, large int64
	rounds       int
	work         string
	sums         []string // What benchmix says of its files.
}

// The input files in work.
const (
	smallMix = "small.pcap"
	largeMix = "large.pcap"
	emptyMix = "empty.pcap"
	rules    = "all.rules"
	config   = "suricata.yaml"
)

func (b *bench) run(out string) error {
	if err := b.prepare(); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	r := &perf.Report{Area: "sensor", Command: "make bench-sensor", Lessons: lessons}
	ours, theirs, err := b.race()
	if err != nil {
		return err
	}
	report(r, ours, theirs, float64(b.small)/float64(b.large), b.sums)
	if err := b.attacked(r, ours); err != nil {
		return err
	}
	if err := flowTable(r); err != nil {
		return err
	}
	return r.Write(os.Stdout, out)
}

// prepare makes the root, builds ours, and writes the inputs.
func (b *bench) prepare() error {
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	if err := reference(b.root); err != nil {
		return err
	}
	b.work = filepath.Join(b.root, "bench")
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return err
	}
	if _, err := command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(b.work, "hauberk-sensor"), "./cmd/hauberk-sensor"); err != nil {
		return err
	}
	for _, file := range []string{emptyMix, smallMix, largeMix} {
		size := map[string]int64{smallMix: b.small, largeMix: b.large, emptyMix: 1}[file]
		line, err := command("go", "run", "./tools/benchmix", "-data", b.data, "-size", fmt.Sprint(size), "-o", filepath.Join(b.work, file))
		if err != nil {
			return err
		}
		b.sums = append(b.sums, strings.TrimPrefix(strings.Join(strings.Fields(line), " "), b.work+"/"))
	}
	if err := b.copyRules(); err != nil {
		return err
	}
	for file, from := range map[string]string{
		config:                  "labs/sensorbench/suricata.yaml",
		"classification.config": filepath.Join(b.data, "suricata-etc", "classification.config"),
		"reference.config":      filepath.Join(b.data, "suricata-etc", "reference.config"),
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.work, file), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyRules joins all rule files.
func (b *bench) copyRules() error {
	files, err := filepath.Glob(filepath.Join(b.data, "etopen", "*.rules"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("find rules: there are none"))
	}
	var all []byte
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		all = append(append(all, data...), '\n')
	}
	return os.WriteFile(filepath.Join(b.work, rules), all, 0o644)
}

// command runs a program and returns what it says.
func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// reference installs Suricata into a root of Debian trixie, if it is not there.
func reference(root string) error {
	if _, err := os.Stat(filepath.Join(root, "usr/bin/suricata")); err == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "installing the reference into", root)
	if _, err := command("debootstrap", "--variant=minbase", "trixie", root); err != nil {
		return err
	}
	script := `set -e
echo "deb http://deb.debian.org/debian trixie-backports main" >/etc/apt/sources.list.d/backports.list
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -t trixie-backports suricata`
	_, err := command("chroot", root, "sh", "-c", script)
	return err
}
