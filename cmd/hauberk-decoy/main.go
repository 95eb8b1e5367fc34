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
  hauberk-decoy netstat [-i | -s]      connections, or the interface, or counters of the running decoy
  hauberk-decoy version

run takes --check-config and --print-config; all take --help.
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
	d, err := decoy.New(cfg, decoy.Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil || *check {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return d.Run(ctx)
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
	more, err := filepath.Glob(*socket + ".*")
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
