package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/hauberk/hauberk/sensor"
	"github.com/hauberk/hauberk/suricata/ruleset"
)

const rulesUsage = `usage: hauberk-sensor rules COMMAND [options]

  update                       fetch, tune, check and switch to a new set of rules (the default)
  rollback                     go back to the set before the last update; again: forward
  update-sources               fetch the list of public sources
  list-sources                 list the sources there are, and which are enabled
  enable-source NAME [K=V]...  use a source; K=V are what its URL needs, such as secret-code=...
  disable-source NAME          keep what is known of a source, and do not fetch it
  remove-source NAME           forget a source
  add-source NAME URL          use a source that is in no list
  dump-sample-configs          write samples of update.yaml, enable.conf, ... to the current folder

The files and folders are those of suricata-update: /etc/suricata/update.yaml, {enable,disable,drop,modify}.conf and
threshold.in are read where they are, rules go to /var/lib/suricata/rules/suricata.rules.

options:
`

// rulesOptions are the command line of "rules".
type rulesOptions struct {
	ruleset.Config
	configFile, sensorConf        string
	testCommand, reload, pidFile  string
	noTest, noReload, noIgnore    bool
	quiet, json, insecure         bool
	header                        string
	noChecksum, enabledOnly, free bool
	indexURL                      string
}

// rules is the command of that name.
func rules(args []string, stdout, stderr io.Writer) error {
	o := &rulesOptions{}
	f := o.flags(stderr)
	switch err := f.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case err != nil:
		return usageError(err.Error())
	}
	command, rest := "update", f.Args()
	if len(rest) > 0 {
		command, rest = rest[0], rest[1:]
	}
	if err := o.complete(f, stderr); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return o.command(ctx, command, rest, stdout, stderr)
}

func (o *rulesOptions) flags(w io.Writer) *pflag.FlagSet {
	f := pflag.NewFlagSet("hauberk-sensor rules", pflag.ContinueOnError)
	f.SetOutput(w)
	f.SortFlags = false
	f.Usage = func() { fmt.Fprint(w, rulesUsage, f.FlagUsages()) }
	f.StringVarP(&o.DataDir, "data-dir", "D", "/var/lib/suricata", "keep sources, what was fetched and the rules here")
	f.StringVarP(&o.Output, "output", "o", "", "write the rules to this folder (default: the folder rules of --data-dir)")
	f.StringVarP(&o.configFile, "config", "c", "/etc/suricata/update.yaml", "read these settings")
	f.StringVar(&o.sensorConf, "suricata-conf", sensor.DefaultConfig().File, "check rules with this configuration")
	f.StringArrayVar(&o.URLs, "url", nil, "also use the rules of this URL: an archive or a file; more than once")
	f.StringArrayVar(&o.Local, "local", nil, "also use the rules of this file, folder, archive or pattern; more than once")
	f.BoolVar(&o.ETOpen, "etopen", false, "use Emerging Threats Open besides the others (alone it is the default)")
	f.StringVar(&o.Disable, "disable-conf", "", "rules to switch off")
	f.StringVar(&o.Enable, "enable-conf", "", "rules to switch on")
	f.StringVar(&o.Drop, "drop-conf", "", "rules that drop")
	f.StringVar(&o.Modify, "modify-conf", "", "changes to the text of rules")
	f.StringArrayVar(&o.Ignore, "ignore", nil, "leave out rule files whose name is like this; more than once (default *deleted.rules)")
	f.BoolVar(&o.noIgnore, "no-ignore", false, "leave out no rule file")
	f.StringVar(&o.ThresholdIn, "threshold-in", "", "template of the threshold file")
	f.StringVar(&o.ThresholdOut, "threshold-out", "", "write the threshold file here (default threshold.config beside the rules)")
	f.StringVar(&o.SIDMap, "sid-msg-map", "", "also write a sid-msg.map here")
	f.BoolVarP(&o.Force, "force", "f", false, "fetch what was fetched just now, and take a set that is much smaller than the old one")
	f.BoolVar(&o.Offline, "offline", false, "use what was fetched before")
	f.BoolVar(&o.Strict, "fail", false, "any problem fails the update: a source that is away, a line or a rule that is wrong")
	f.StringVarP(&o.testCommand, "test-command", "T", "", "run this command to check; $OUTPUT_FILENAME is the new rule file (default: check as -T does)")
	f.BoolVar(&o.noTest, "no-test", false, "do not check the new set")
	f.StringVar(&o.pidFile, "pidfile", "", "tell the sensor of this pid file to reload")
	f.StringVar(&o.reload, "reload-command", "", "run this command after the switch")
	f.BoolVar(&o.noReload, "no-reload", false, "have nothing reloaded")
	f.StringVar(&o.Agent, "user-agent", "hauberk-sensor/"+version, "send this User-Agent")
	f.BoolVar(&o.insecure, "no-check-certificate", false, "accept any certificate of a server")
	f.StringVar(&o.indexURL, "index-url", ruleset.IndexURL, "of update-sources: where the list is")
	f.StringVar(&o.header, "http-header", "", "of add-source: send this header, NAME: VALUE")
	f.BoolVar(&o.noChecksum, "no-checksum", false, "of add-source: there is no URL.md5")
	f.BoolVar(&o.enabledOnly, "enabled", false, "of list-sources: only those in use")
	f.BoolVar(&o.free, "free", false, "of list-sources: only those without a subscription")
	f.BoolVar(&o.json, "json", false, "say what was done in JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "tell problems only")
	f.BoolP("verbose", "v", false, "accepted; everything is told anyway")
	return f
}

// updateFile is update.yaml.
type updateFile struct {
	Disable  string   `yaml:"disable-conf"`
	Enable   string   `yaml:"enable-conf"`
	Drop     string   `yaml:"drop-conf"`
	Modify   string   `yaml:"modify-conf"`
	Ignore   []string `yaml:"ignore"`
	Agent    string   `yaml:"user-agent"`
	Test     string   `yaml:"test-command"`
	Reload   string   `yaml:"reload-command"`
	Sources  []string `yaml:"sources"`
	Local    []string `yaml:"local"`
	ThreshIn string   `yaml:"threshold-in"`
}

// complete adds what the files say to what the command line says.
func (o *rulesOptions) complete(f *pflag.FlagSet, stderr io.Writer) error {
	var file updateFile
	text, err := os.ReadFile(o.configFile)
	switch {
	case errors.Is(err, os.ErrNotExist) && !f.Changed("config"):
	case err != nil:
		return err
	default:
		if err := yaml.Unmarshal(text, &file); err != nil {
			return fmt.Errorf("read %s: %w", o.configFile, err)
		}
	}
	if o.Output == "" {
		o.Output = filepath.Join(o.DataDir, "rules")
	}
	for _, c := range []struct{ value, said, usual *string }{
		{&o.Disable, &file.Disable, usual("disable.conf")}, {&o.Enable, &file.Enable, usual("enable.conf")},
		{&o.Drop, &file.Drop, usual("drop.conf")}, {&o.Modify, &file.Modify, usual("modify.conf")},
		{&o.ThresholdIn, &file.ThreshIn, usual("threshold.in")}, {&o.testCommand, &file.Test, nil}, {&o.reload, &file.Reload, nil},
	} {
		switch {
		case *c.value != "":
		case *c.said != "":
			*c.value = *c.said
		case c.usual != nil:
			if _, err := os.Stat(*c.usual); err == nil {
				*c.value = *c.usual
			}
		}
	}
	if file.Agent != "" && !f.Changed("user-agent") {
		o.Agent = file.Agent
	}
	switch {
	case o.noIgnore:
		o.Ignore = nil
	case o.Ignore == nil && file.Ignore != nil:
		o.Ignore = file.Ignore
	case o.Ignore == nil:
		o.Ignore = []string{"*deleted.rules"}
	}
	o.URLs, o.Local = append(o.URLs, file.Sources...), append(o.Local, file.Local...)
	o.Client = &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: o.insecure}, //nolint:gosec // asked for by --no-check-certificate
	}}
	o.Say = func(format string, args ...any) {
		if !o.quiet {
			fmt.Fprintf(stderr, "Info: "+format+"\n", args...)
		}
	}
	return nil
}

// usual is a file that is read where it is there.
func usual(name string) *string {
	path := "/etc/suricata/" + name
	return &path
}

func (o *rulesOptions) command(ctx context.Context, command string, args []string, stdout, stderr io.Writer) error {
	want := map[string]int{"add-source": 2, "enable-source": 1, "disable-source": 1, "remove-source": 1}[command]
	if len(args) < want || len(args) > want && command != "enable-source" {
		return usageError(fmt.Sprintf("rules %s: %d arguments, want %d; --help says which", command, len(args), want))
	}
	sources := o.Sources()
	switch command {
	case "update":
		return o.update(ctx, stdout, stderr)
	case "rollback":
		if err := ruleset.Rollback(&o.Config); err != nil {
			return err
		}
		o.Say("back to the rules before the last update")
		return o.reloadSensor(ctx, stderr)
	case "update-sources":
		return sources.Refresh(ctx, o.Fetcher(), o.indexURL)
	case "list-sources":
		return o.listSources(sources, stdout)
	case "list-enabled-sources":
		o.enabledOnly = true
		return o.listSources(sources, stdout)
	case "enable-source":
		params := map[string]string{}
		for _, arg := range args[1:] {
			key, value, ok := strings.Cut(arg, "=")
			if !ok {
				return usageError(fmt.Sprintf("rules enable-source: %q: want KEY=VALUE", arg))
			}
			params[key] = value
		}
		return sources.Enable(args[0], params)
	case "disable-source":
		return sources.Disable(args[0])
	case "remove-source":
		return sources.Remove(args[0])
	case "add-source":
		return sources.Add(args[0], args[1], o.header, !o.noChecksum)
	case "dump-sample-configs":
		return dumpSamples(o.Say)
	}
	return usageError(fmt.Sprintf("rules: no command %q; --help lists them", command))
}

func (o *rulesOptions) update(ctx context.Context, stdout, stderr io.Writer) error {
	conf := sensor.DefaultConfig()
	conf.File = o.sensorConf
	vars, err := sensor.Variables(conf)
	if err != nil {
		return err
	}
	o.Vars = &vars
	if !o.noTest {
		o.Check = func(file string) error { return o.check(ctx, conf, file, stderr) }
	}
	r, err := ruleset.Update(ctx, &o.Config)
	if r != nil {
		for _, p := range r.Problems {
			fmt.Fprintln(stderr, "Warning:", p)
		}
	}
	if err != nil {
		return err
	}
	if err := o.report(r, stdout); err != nil || !r.Switched {
		return err
	}
	return o.reloadSensor(ctx, stderr)
}

// check judges the new set as -T does, or by the operator's command.
func (o *rulesOptions) check(ctx context.Context, conf sensor.Config, file string, stderr io.Writer) error {
	if o.testCommand != "" {
		return shell(ctx, o.testCommand, stderr, "OUTPUT_FILENAME="+file, "OUTPUT_DIR="+filepath.Dir(file), "SURICATA_PATH="+os.Args[0])
	}
	conf.Rules, conf.Exclusive = []string{file}, true
	report, err := sensor.Check(conf)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range report.Problems {
		if p.Fatal {
			errs = append(errs, fmt.Errorf("%s: %s", p.Part, p.Text))
		}
	}
	return errors.Join(errs...)
}

func (o *rulesOptions) report(r *ruleset.Result, stdout io.Writer) error {
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	switch file := filepath.Join(o.Output, ruleset.RuleFile); {
	case r.Switched:
		o.Say("%s: %d rules, %d on; %d added, %d changed, %d removed", file, r.Rules, r.Enabled, r.Added, r.Changed, r.Removed)
	default:
		o.Say("%s: nothing is new: %d rules, %d on", file, r.Rules, r.Enabled)
	}
	o.Say("by the operator's files %d off, %d on, %d drop, %d modified; %d on for flowbits; %d refused",
		r.TunedOff, r.TunedOn, r.Dropping, r.Modified, r.Flowbits, r.Refused)
	return nil
}

// reloadSensor has the new rules read.
func (o *rulesOptions) reloadSensor(ctx context.Context, stderr io.Writer) error {
	switch {
	case o.noReload:
		return nil
	case o.reload != "":
		return shell(ctx, o.reload, stderr)
	case o.pidFile == "":
		return nil
	}
	text, err := os.ReadFile(o.pidFile)
	if err != nil {
		return fmt.Errorf("reload rules: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("reload rules: %s has no process id", o.pidFile)
	}
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		return fmt.Errorf("reload rules: signal process %d: %w", pid, err)
	}
	o.Say("told the sensor, process %d, to reload", pid)
	return nil
}

func shell(ctx context.Context, command string, w io.Writer, env ...string) error {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Env = append(os.Environ(), env...)
	c.Stdout, c.Stderr = w, w
	if err := c.Run(); err != nil {
		return fmt.Errorf("run %q: %w", command, err)
	}
	return nil
}

func (o *rulesOptions) listSources(s ruleset.Sources, stdout io.Writer) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(one *ruleset.Source) bool {
		return o.enabledOnly && one.State != "enabled" || o.free && one.SubscribeURL != ""
	})
	if o.json {
		return json.NewEncoder(stdout).Encode(list)
	}
	w := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tLICENSE\tSUMMARY")
	for _, one := range list {
		summary := one.Summary
		if len(one.Parameters) > 0 {
			summary += " (needs " + strings.Join(slices.Sorted(maps.Keys(one.Parameters)), ", ") + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", one.Name, one.State, one.License, summary)
	}
	return w.Flush()
}
