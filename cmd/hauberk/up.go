package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/notify"
)

const (
	// readyPatience is how long `up` waits for all its processes; opening
	// 2 GiB of bus after a crash takes seconds.
	readyPatience = 60 * time.Second
	// maxDataDir keeps <data>/run/notify-<name>.sock within the 107 bytes a
	// Unix socket's name may have (unix(7)).
	maxDataDir = 80
)

// groups are the server processes `up` starts, in the order of starting; they
// are stopped in the reverse order. The engines that panic on a bad disk
// (store) and the logs everything rests on (bus) live alone.
var groups = []struct{ name, roles string }{
	{"bus", "bus"},
	{"store", "store"},
	{"centre", "gateway,detect,api"},
}

type upOptions struct {
	dataDir string
	config  string
	console string
	nodes   string
	noAgent bool
	verbose bool
}

func upCommand(dataDir string) *cobra.Command {
	options := upOptions{dataDir: dataDir}
	c := &cobra.Command{
		Use:   "up",
		Short: "Start everything on this machine: server, console, and the agent that watches it",
		Long: `Start everything on this machine and stay in the foreground: the server with
all its roles, the web console, and an agent that watches this host. It prints
where the console is and what is watched by which method. Ctrl-C stops it all
and keeps the data; the next start finds it again.

Needs no configuration. As root it watches the whole host; without root it
starts what needs no privilege and says what is missing.`,
		Example: `  hauberk up
  hauberk up --data-dir /srv/hauberk --listen-nodes 0.0.0.0:7443
  hauberk alerts --follow        # in another shell`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return up(ctx, options, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&options.dataDir, "data-dir", options.dataDir, "where everything is kept")
	f.StringVar(&options.config, "config", "", "YAML file for the server's roles (see hauberk server --print-config)")
	f.StringVar(&options.console, "listen-console", "", "address of console and API (default 127.0.0.1:8443)")
	f.StringVar(&options.nodes, "listen-nodes", "", "address where nodes connect (default 127.0.0.1:7443)")
	f.BoolVar(&options.noAgent, "no-agent", false, "do not watch this host")
	f.BoolVarP(&options.verbose, "verbose", "v", false, "show the processes' logs here too")
	return c
}

// defaultDataDir is /var/lib/hauberk for root, else $XDG_STATE_HOME/hauberk
// (XDG Base Directory Specification 0.8: default ~/.local/state).
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/hauberk"
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		state = filepath.Join(os.Getenv("HOME"), ".local", "state")
	}
	return filepath.Join(state, "hauberk")
}

func up(ctx context.Context, options upOptions, out, errs io.Writer) error {
	began := time.Now()
	data, err := prepareDataDir(options.dataDir)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	unlock, err := lockDataDir(data)
	if err != nil {
		return err
	}
	defer unlock()

	level := slog.LevelWarn
	if options.verbose {
		level = slog.LevelInfo
	}
	s := &supervisor{
		runDir: filepath.Join(data, "run"),
		logDir: filepath.Join(data, "log"),
		log:    slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level})),
		warn:   errs,
		all:    options.verbose,
	}
	if _, err := loadServerConfig(options.config, func(c *serverConfig) { c.DataDir = data }); err != nil {
		return err
	}
	fmt.Fprintf(out, "hauberk %s starts on %s\n", version, data)
	var started []*process
	defer func() { s.stopAll(started, out) }()
	for _, p := range serverProcesses(options, data) {
		if err := s.start(context.WithoutCancel(ctx), p); err != nil {
			return err
		}
		started = append(started, p)
	}
	readyCtx, cancel := context.WithTimeoutCause(ctx, readyPatience, fmt.Errorf("not within %s", readyPatience))
	defer cancel()
	for _, p := range started {
		if err := p.awaitReady(readyCtx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("%w\nits log is %s", err, filepath.Join(s.logDir, p.name+".log"))
		}
	}
	local := newLocalAPI(filepath.Join(data, "run", "api.sock"))
	welcome := banner{out: out, data: data, ready: time.Since(began)}
	if welcome.password, err = local.firstPassword(ctx); err != nil {
		return fmt.Errorf("make the administrator: %w", err)
	}
	if welcome.status, err = local.addresses(ctx); err != nil {
		return fmt.Errorf("ask the server for its addresses: %w", err)
	}
	if !options.noAgent {
		agent, node, err := startAgent(ctx, s, local, data, welcome.status.Nodes)
		if err != nil {
			welcome.agentProblem = err
		} else {
			started = append(started, agent)
			welcome.node = node
			welcome.sensors, welcome.agentProblem = local.sensors(ctx, node, began)
		}
	}
	s.settled.Store(true)
	welcome.print()
	if err := notify.Ready("everything runs; console " + welcome.status.Console); err != nil {
		s.log.Warn("readiness not told", "cause", err)
	}

	ended := make(chan error, len(started))
	for _, p := range started {
		go func() { // ends with the process, which stopAll awaits
			<-p.done
			p.mu.Lock()
			defer p.mu.Unlock()
			ended <- p.failed
		}()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if err != nil {
				return err
			}
		}
	}
}

func serverProcesses(options upOptions, data string) []*process {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	var list []*process
	for _, g := range groups {
		args := []string{"server", "--roles", g.roles, "--data-dir", data}
		if options.config != "" {
			args = append(args, "--config", options.config)
		}
		if options.console != "" {
			args = append(args, "--listen-console", options.console)
		}
		if options.nodes != "" {
			args = append(args, "--listen-nodes", options.nodes)
		}
		list = append(list, &process{name: g.name, path: self, args: args, fatal: func(code int) bool { return code == exitConfig }})
	}
	return list
}

// stopAll stops the processes, last started first, so that each can still
// hand over what it holds to those it depends on.
func (s *supervisor) stopAll(started []*process, out io.Writer) {
	if len(started) == 0 {
		return
	}
	fmt.Fprintln(out, "stopping ...")
	for i := len(started) - 1; i >= 0; i-- {
		started[i].end()
	}
	fmt.Fprintln(out, "stopped; the data is kept")
}

// prepareDataDir makes the folders `up` needs and returns their absolute root.
func prepareDataDir(dir string) (string, error) {
	data, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if len(data) > maxDataDir {
		return "", fmt.Errorf("--data-dir %s has %d bytes; at most %d, because the names of its Unix sockets are bounded", data, len(data), maxDataDir)
	}
	for _, sub := range []string{"", "run", "log", "tls", "agent"} {
		if err := os.MkdirAll(filepath.Join(data, sub), 0o700); err != nil {
			return "", fmt.Errorf("make the data directory (choose another with --data-dir): %w", err)
		}
	}
	// The directory may exist with wider permissions from a package.
	if err := os.Chmod(data, 0o700); err != nil {
		return "", fmt.Errorf("close the data directory to others: %w", err)
	}
	return data, nil
}

// lockDataDir makes sure that only one `up` works on the directory.
func lockDataDir(data string) (unlock func(), err error) {
	path := filepath.Join(data, "run", "up.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path) // best effort: only for the message
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("hauberk already runs on %s (process %s); stop it or choose another --data-dir", data, strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	fmt.Fprintf(f, "%d\n", os.Getpid())
	return func() { f.Close() }, nil
}

// startAgent enrols the agent of this machine, unless it is, and starts it.
// It returns the node's id.
func startAgent(ctx context.Context, s *supervisor, local *localAPI, data, gateway string) (*process, string, error) {
	path, err := agentBinary()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(data, "agent")
	if _, err := os.Stat(filepath.Join(dir, "identity", "identity.json")); errors.Is(err, os.ErrNotExist) {
		token, err := local.enrolmentToken(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("make an enrolment token: %w", err)
		}
		enrol := exec.CommandContext(ctx, path, "enroll", "--data-dir", dir, "--server", gateway, "--token", "-")
		enrol.Stdin = strings.NewReader(token + "\n")
		if out, err := enrol.CombinedOutput(); err != nil {
			return nil, "", fmt.Errorf("enrol this machine's agent: %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	node, err := agentNode(ctx, path, dir)
	if err != nil {
		return nil, "", err
	}
	// The gateway of now: the one of enrolment may have had another address.
	args := []string{"run", "--data-dir", dir, "--gateways", gateway}
	p := &process{name: "agent", path: path, args: args, fatal: func(code int) bool { return code == exitConfig }}
	return p, node, s.start(context.WithoutCancel(ctx), p)
}

// agentBinary finds hauberk-agent beside this binary, else on PATH.
func agentBinary() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "hauberk-agent")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("hauberk-agent")
	if err != nil {
		return "", errors.New("hauberk-agent is neither beside this binary nor on PATH; build it with `make build` or start with --no-agent")
	}
	return path, nil
}
