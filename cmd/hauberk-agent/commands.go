package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hauberk/hauberk/agent"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/notify"
	"github.com/hauberk/hauberk/node"
)

func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("hauberk-agent "+name, flag.ContinueOnError)
	f.SetOutput(os.Stderr)
	return f
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", f.Name(), f.Arg(0))
	}
	return nil
}

// child is the main of the collector and the loader.
func child(run func(context.Context, *slog.Logger) error) error {
	agent.Tune(2) // hashing must not hold up the reader of the ring
	// Ctrl-C and a supervisor's SIGTERM reach the whole process group; the
	// master decides when its children end, and they end when it is gone.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	return run(context.Background(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

func runAgent(args []string, out io.Writer) error {
	f := flags("run")
	path := f.String("config", "", "YAML `file`; absent: defaults")
	dataDir := f.String("data-dir", "", "where identity and spool are kept (default "+agent.DefaultDataDir()+")")
	gateways := f.String("gateways", "", "`host:port,...` instead of those given at enrolment")
	level := f.String("log-level", "", "debug, info, warn or error")
	check := f.Bool("check-config", false, "check the configuration and end")
	print := f.Bool("print-config", false, "print the effective local configuration and end")
	if err := parse(f, args); err != nil {
		return err
	}
	cfg, err := agent.Load(*path, func(c *agent.Config) {
		if *dataDir != "" {
			c.DataDir = *dataDir
		}
		if *gateways != "" {
			c.Gateways = strings.Split(*gateways, ",")
		}
		if *level != "" {
			c.Log.Level = *level
		}
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	if *check {
		return nil
	}
	if *print {
		text, err := conf.Encode(cfg)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	agent.Tune(1)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logLevel := &slog.LevelVar{}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: logLevel}))
	a, err := agent.New(cfg, agent.Deps{Log: log, LogLevel: logLevel, Version: version, Ready: func(text string) {
		if err := notify.Ready(text); err != nil {
			log.Warn("readiness not told", "cause", err)
		}
	}})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

func enroll(args []string, out io.Writer) error {
	return node.EnrolCommand(node.EnrolOptions{Kind: "agent", Version: version, DataDir: agent.DefaultDataDir()}, args, out, os.Stderr)
}

func status(args []string, out io.Writer) error {
	f := flags("status")
	dataDir := f.String("data-dir", agent.DefaultDataDir(), "of the running agent")
	asJSON := f.Bool("json", false, "one JSON object")
	if err := parse(f, args); err != nil {
		return err
	}
	s, err := agent.ReadStatus(*dataDir)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	return s.Write(out)
}

func showIdentity(args []string, out io.Writer) error {
	f := flags("identity")
	dataDir := f.String("data-dir", agent.DefaultDataDir(), "of the agent")
	asJSON := f.Bool("json", false, "one JSON object")
	if err := parse(f, args); err != nil {
		return err
	}
	id, err := agent.ReadIdentity(*dataDir)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(id)
	}
	_, err = fmt.Fprintf(out, "node %s of tenant %s, certificate until %s\n", id.Node, id.Tenant, id.CertificateExpires.Format(time.RFC3339))
	return err
}
