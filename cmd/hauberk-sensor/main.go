// Command hauberk-sensor is the network sensor, with Suricata's command line. It
// reads captures (-r), watches an interface (-i), tests configuration and rules (-T), and tells what it
// is and knows. An option it does not have is an error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/hauberk/hauberk/sensor"
	"github.com/hauberk/hauberk/suricata"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// exitUsage says that the command line asks for what this binary does not do,
// which is no verdict on rules or configuration.
const exitUsage = 2

// run gives the exit code: 0, exitUsage, or 1 for all else that went wrong.
func run(args []string, stdout, stderr io.Writer) int {
	err := dispatch(args, stdout, stderr)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, "hauberk-sensor:", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return 1
}

// dispatch runs a command that is a word, or else what the options ask for.
func dispatch(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "rules":
			return rules(args[1:], stdout, stderr)
		case "explain":
			return explain(args[1:], stdout, stderr)
		case "enroll":
			return enroll(args[1:], stdout, stderr)
		}
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return o.do(stdout, stderr)
}

// A usageError is about the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func (o *options) do(stdout, stderr io.Writer) error {
	switch {
	case o.version:
		_, err := fmt.Fprintf(stdout, "This is hauberk-sensor %s, compatible with Suricata version %s\n", version, suricata.Version)
		return err
	case o.buildInfo:
		_, err := fmt.Fprintf(stdout, "This is hauberk-sensor %s, compatible with Suricata version %s\nFeatures: HAVE_JA3 HAVE_JA4\nCompiler: %s\nArchitecture: %s/%s\n",
			version, suricata.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	case o.listKeywords:
		return listKeywords(stdout)
	case o.dumpConfig:
		return sensor.DumpConfig(o.config, stdout)
	case o.analysis:
		return o.check(sensor.Analyse, stderr)
	case o.test:
		return o.check(sensor.Check, stderr)
	}
	switch {
	case o.config.Capture != "" && o.config.Interface != "":
		return usageError("use either -r or -i, not both")
	case o.config.Capture != "":
		return o.read(stdout, stderr)
	case o.config.Interface != "":
		return o.watch(stdout, stderr)
	}
	return usageError("nothing to do: give -r, -i, -T, -V, --build-info, --dump-config or --list-keywords")
}

// problems tells problems as lines, errors and warnings apart.
func problems(stdout, stderr io.Writer) func(sensor.Problem) {
	return func(p sensor.Problem) {
		w, level := stdout, "Warning"
		if p.Fatal {
			w, level = stderr, "Error"
		}
		fmt.Fprintf(w, "%s: %s: %s\n", level, p.Part, p.Text)
	}
}

// read is -r: errors to stderr, warnings and a summary to stdout.
func (o *options) read(stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	sum, err := sensor.Read(ctx, o.config, problems(stdout, stderr))
	if err == nil || sum.Packets > 0 {
		took := time.Since(began)
		fmt.Fprintf(stdout, "Notice: %d rules; read %d files, %d packets, %d bytes in %s (%.0f packets/s); %d alerts\n",
			sum.Rules, sum.Files, sum.Packets, sum.Bytes, took.Round(time.Millisecond), float64(sum.Packets)/took.Seconds(), sum.Alerts)
	}
	return err
}

// watch is -i: until a signal ends it.
func (o *options) watch(stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	member, err := join(o.nodeDir, stderr)
	if err != nil {
		return err
	}
	if member != nil && !o.config.NoDetection {
		o.config.Rules = append(o.config.Rules, member.rules)
	}
	live, err := sensor.OpenLive(o.config, problems(stdout, stderr))
	if err != nil {
		return err
	}
	var one sync.Mutex
	reload := func() error {
		one.Lock()
		defer one.Unlock()
		n, err := live.Reload()
		if err == nil {
			fmt.Fprintf(stderr, "Notice: rules reloaded, %d are applied\n", n)
		}
		return err
	}
	defer obey(live, reload, stderr)()
	leave := func() error { return nil }
	if member != nil {
		leave = member.start(live, reload)
	}
	fmt.Fprintf(stderr, "Notice: watching %s; Ctrl-C ends it\n", o.config.Interface)
	sum, err := live.Run(ctx)
	err = errors.Join(err, leave())
	fmt.Fprintf(stderr, "Notice: %d rules; %d packets, %d bytes, %d dropped by the kernel; %d alerts\n", sum.Rules, sum.Packets, sum.Bytes, sum.Dropped, sum.Alerts)
	return err
}

// obey follows SIGHUP (new logs) and SIGUSR2 (rules again) until done is called.
func obey(live *sensor.Live, reload func() error, stderr io.Writer) (done func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	go func() { // Ends with the process.
		for s := range signals {
			if s == syscall.SIGHUP {
				live.Reopen()
			} else if err := reload(); err != nil {
				fmt.Fprintln(stderr, "Error:", err)
			}
		}
	}()
	return func() { signal.Stop(signals) }
}

// listKeywords prints those that a rule may use, in the original's form.
func listKeywords(w io.Writer) error {
	var names []string
	for _, k := range suricata.Keywords() {
		if k.Unsupported == "" {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	text := "=====Supported keywords=====\n"
	for _, name := range names {
		text += "- " + name + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
