// Command hauberk-edge is the layer 4 load balancer: its data plane is XDP, its
// configuration edge.yaml. `hauberk edge` shows and steers a running one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/hauberk/hauberk/edge"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/notify"
)

// version is set by the linker.
var version = "dev"

// exitConfig says that starting again would fail alike: sysexits.h's EX_CONFIG.
const exitConfig = 78

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run gives the exit code: 0, exitConfig, or 1 for all else that went wrong.
func run(args []string, stdout, stderr io.Writer) int {
	f := pflag.NewFlagSet("hauberk-edge", pflag.ContinueOnError)
	f.SetOutput(stderr)
	path := f.String("config", "/etc/hauberk/edge.yaml", "the configuration; SIGHUP reads it again")
	check := f.Bool("check-config", false, "check the configuration and end")
	print := f.Bool("print-config", false, "print the configuration with its defaults and end")
	show := f.Bool("version", false, "print the version and end")
	err := f.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return 0
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case err == nil && *show:
		fmt.Fprintln(stdout, "hauberk-edge", version)
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "hauberk-edge:", err)
		return 1
	}
	cfg, err := edge.Load(*path)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "hauberk-edge:", err)
		return exitConfig
	case *check:
		return 0
	case *print:
		text, err := conf.Encode(&cfg)
		if err == nil {
			_, err = stdout.Write(text)
		}
		return code(stderr, err)
	}
	return code(stderr, balance(cfg, *path, slog.New(slog.NewTextHandler(stderr, nil))))
}

func code(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "hauberk-edge:", err)
	return 1
}

func balance(cfg edge.Config, path string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1) // before anything: a SIGHUP that nobody waits for ends the process
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	e, err := edge.New(cfg, edge.Deps{
		Log: log, Version: version, Reload: func() (edge.Config, error) { return edge.Load(path) },
		Ready: func(text string) {
			log.Info(text)
			if err := notify.Ready(text); err != nil {
				log.Warn("readiness not told", "cause", err)
			}
		},
	})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				if err := e.Reload(ctx); err != nil {
					log.Error("configuration not taken; the last one goes on", "cause", err)
				} else {
					log.Info("configuration taken")
				}
			}
		}
	}()
	err = e.Run(ctx)
	stop()
	<-done
	return err
}
