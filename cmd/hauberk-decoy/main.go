// Command hauberk-decoy is the honeypot: `hauberk-decoy help` says what it can do.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/decoy"
	"github.com/hauberk/hauberk/internal/conf"
)

// version is set by the linker.
var version = "dev"

const usage = `hauberk-decoy answers on every port of whole prefixes and tells who came.

  hauberk-decoy run --config FILE      answer (root)
  hauberk-decoy enroll --server HOST:PORT --token TOKEN   join a centre, which is then told of all sessions
  hauberk-decoy netstat [-i | -s]      connections, or the interface, or counters of the running decoy
  hauberk-decoy version

run takes --data-dir DIR, --check-config and --print-config; all take --help.
`

func main() {
	if err := dispatch(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hauberk-decoy:", err)
		os.Exit(1)
	}
}

func dispatch(args []string, out io.Writer) error {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "run":
		return answer(args, out)
	case "enroll", "enrol":
		return enroll(args, out, os.Stderr)
	case "netstat":
		return netstat(args, out)
	case "version", "--version":
		_, err := fmt.Fprintln(out, "hauberk-decoy", version)
		return err
	case "help", "--help", "-h":
		_, err := io.WriteString(out, usage)
		return err
	}
	return fmt.Errorf("no command %q; hauberk-decoy help lists them", name)
}

// answer is run: it returns when told to stop.
func answer(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hauberk-decoy run", flag.ContinueOnError)
	path := flags.String("config", "/etc/hauberk/decoy.yaml", "configuration `file`")
	dir := flags.String("data-dir", defaultNodeDir, "where an enrolled decoy keeps identity and spool")
	check := flags.Bool("check-config", false, "check the configuration and the zones, and end")
	show := flags.Bool("print-config", false, "print the configuration in effect, and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := decoy.DefaultConfig()
	if err := conf.Load(*path, &cfg); err != nil {
		return err
	}
	if *show {
		text, err := conf.Encode(cfg)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if *check {
		_, err := decoy.New(cfg, decoy.Deps{Log: log})
		return err
	}
	sink, leave, err := join(*dir, &cfg, log)
	if err != nil {
		return err
	}
	d, err := decoy.New(cfg, decoy.Deps{Log: log, Sink: sink})
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = d.Run(ctx)
	}
	return errors.Join(err, leave())
}

// netstat asks every process of the running decoy.
func netstat(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hauberk-decoy netstat", flag.ContinueOnError)
	socket := flags.String("socket", decoy.DefaultConfig().Socket, "the decoy's Unix socket")
	iface := flags.Bool("i", false, "the interface, its addresses, counters and neighbours")
	statistics := flags.Bool("s", false, "counters")
	if err := flags.Parse(args); err != nil {
		return err
	}
	what := "netstat"
	if *iface {
		what = "ifconfig"
	} else if *statistics {
		what = "statistics"
	}
	more, err := filepath.Glob(*socket + ".queue*")
	if err != nil {
		return err
	}
	for i, path := range append([]string{*socket}, more...) {
		if len(more) > 0 {
			fmt.Fprintf(out, "queue %d\n", i)
		}
		if err := ask(path, what, out); err != nil {
			return fmt.Errorf("is the decoy running? %w", err)
		}
	}
	return nil
}

func ask(path, what string, out io.Writer) error {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, what); err != nil {
		return err
	}
	_, err = io.Copy(out, bufio.NewReader(c))
	return err
}
