package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/hauberk/hauberk/sensor"
)

// options are the command line.
type options struct {
	nodeDir                                                      string
	config                                                       sensor.Config
	version, buildInfo, listKeywords, dumpConfig, test, analysis bool
}

// parse reads the options as getopt does: -Sfile, -vv, --set=a=b.
func parse(args []string, w io.Writer) (*options, error) {
	o := &options{config: sensor.DefaultConfig()}
	f := pflag.NewFlagSet("hauberk-sensor", pflag.ContinueOnError)
	f.SetOutput(w)
	f.SortFlags = false
	f.Usage = func() {
		fmt.Fprintf(w, "usage: hauberk-sensor -r CAPTURE | -i INTERFACE | -T | --engine-analysis | --dump-config | -V [options]\n       hauberk-sensor rules COMMAND [options]\n       hauberk-sensor explain --sid SID -r CAPTURE [options]\n       hauberk-sensor enroll --server HOST:PORT --token TOKEN\n\n%s", f.FlagUsages())
	}
	f.StringVarP(&o.config.File, "config", "c", o.config.File, "read this suricata.yaml")
	f.StringVarP(&o.config.Capture, "read", "r", "", "read this capture, or all captures of this folder (pcap, pcapng; gz, zst)")
	f.StringVarP(&o.config.Interface, "interface", "i", "", "watch this interface; SIGUSR2 reloads the rules, SIGHUP begins the logs anew")
	f.StringVarP(&o.config.Checksums, "checksums", "k", "", "whether wrong checksums count: all, none or auto")
	f.BoolVar(&o.config.SimulateIPS, "simulate-ips", false, "judge a capture as if it were inline")
	f.StringVar(&o.config.DataDir, "data-dir", "", "keep datasets in this folder")
	f.StringVar(&o.nodeDir, "node-dir", defaultNodeDir, "with -i: send events to the centre as the node enrolled in this folder")
	f.Bool("no-random", false, "accepted; nothing is random")
	f.BoolVarP(&o.test, "test", "T", false, "check configuration and rules, tell every problem, and exit")
	also := f.StringArrayP("rules", "s", nil, "read these rules besides those of the configuration")
	only := f.StringArrayP("only-rules", "S", nil, "read only these rules; a file or a pattern")
	f.StringVarP(&o.config.LogDir, "log-dir", "l", "", "write logs to this folder")
	f.StringArrayVar(&o.config.Set, "set", nil, "set a value of the configuration: path=value")
	f.BoolVar(&o.config.NoDetection, "disable-detection", false, "read no rules")
	f.BoolVar(&o.analysis, "engine-analysis", false, "like -T, and write rules.json to the folder of -l")
	f.BoolVar(&o.dumpConfig, "dump-config", false, "print the configuration and exit")
	f.BoolVar(&o.listKeywords, "list-keywords", false, "print the keywords of rules and exit")
	f.BoolVar(&o.buildInfo, "build-info", false, "print what this binary can do and exit")
	f.BoolVarP(&o.version, "version", "V", false, "print the version and exit")
	f.CountP("verbose", "v", "accepted; everything is told anyway")
	f.String("runmode", "", "accepted; a capture is read in one thread")
	f.BoolVar(&o.config.Strict, "init-errors-fatal", false, "do not run with rules that are wrong; -T implies it")
	f.String("strict-rule-keywords", "", "accepted; every keyword is strict")
	switch err := f.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, usageError(err.Error())
	case f.NArg() > 0:
		return nil, usageError(fmt.Sprintf("not an option: %q", f.Arg(0)))
	case len(*also) > 0 && len(*only) > 0:
		return nil, usageError("use either -s or -S, not both")
	}
	o.config.Rules, o.config.Exclusive = append(*also, *only...), len(*only) > 0
	return o, nil
}
