package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hauberk/hauberk/agent"
	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
	"github.com/hauberk/hauberk/console"
	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/detect"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/disk"
	"github.com/hauberk/hauberk/internal/gctune"
	"github.com/hauberk/hauberk/internal/notify"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/internal/run"
	netsensor "github.com/hauberk/hauberk/sensor"
	"github.com/hauberk/hauberk/store"
)

// roles of the server, in the order of their start.
var roles = []string{"bus", "store", "gateway", "detect", "api"}

type serverOptions struct {
	roles       []string
	config      string
	dataDir     string
	console     string
	nodes       string
	logLevel    string
	checkConfig bool
	printConfig bool
}

func serverCommand(dataDir string) *cobra.Command {
	var options serverOptions
	c := &cobra.Command{
		Use:   "server",
		Short: "Run roles of the centre: gateway, bus, detect, store, api",
		Long: `Run roles of the centre in one process. On one machine ` + "`hauberk up`" + ` starts them all;
systemd units for each are in deploy/systemd.

  bus      embedded etcd and embedded broker (leave it out when both are external)
  store    event and case databases; the only role that opens them
  gateway  where nodes connect
  detect   rules over events, alerts
  api      REST API and console

The roles find each other by the sockets in <data-dir>/run, or by what the
configuration says.`,
		Example: `  hauberk server --roles gateway,bus,detect,store,api
  hauberk server --roles gateway --config /etc/hauberk/server.yaml
  hauberk server --print-config > server.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return serve(ctx, options, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringSliceVar(&options.roles, "roles", roles, "which roles, by comma")
	f.StringVar(&options.config, "config", "", "YAML file (see --print-config)")
	f.StringVar(&options.dataDir, "data-dir", "", "where everything is kept (default the file's, else "+dataDir+")")
	f.StringVar(&options.console, "listen-console", "", "address of console and API, instead of the file's")
	f.StringVar(&options.nodes, "listen-nodes", "", "address where nodes connect, instead of the file's")
	f.StringVar(&options.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&options.checkConfig, "check-config", false, "check the configuration and end")
	f.BoolVar(&options.printConfig, "print-config", false, "print the effective configuration, secrets left out, and end")
	return c
}

// override puts what the command line says into a config.
func (o serverOptions) override(c *serverConfig) {
	if o.dataDir != "" {
		c.DataDir = o.dataDir
	}
	if o.console != "" {
		c.API.Listen = o.console
	}
	if o.nodes != "" {
		c.Gateway.Listen = o.nodes
	}
}

func serve(ctx context.Context, options serverOptions, out, errs io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(options.logLevel)); err != nil {
		return fmt.Errorf("%w: --log-level: %w", errConfig, err)
	}
	for _, role := range options.roles {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("%w: --roles: %q is none of %s", errConfig, role, strings.Join(roles, ", "))
		}
	}
	config, err := loadServerConfig(options.config, options.override)
	switch {
	case err != nil:
		return err
	case options.checkConfig:
		return nil
	case options.printConfig:
		text, err := conf.Encode(config)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log) // for libraries that log by themselves
	if _, err := prepareDataDir(config.DataDir); err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	s := &server{config: config, log: log, metrics: &obs.Registry{}, reserve: disk.NewReserve(config.DataDir, config.Disk)}
	return s.run(ctx, options.roles)
}

// server is one process of the centre: its roles and what they share.
type server struct {
	config  serverConfig
	log     *slog.Logger
	metrics *obs.Registry
	reserve *disk.Reserve

	bus    *bus.Client
	admin  *control.Admin
	detect atomic.Pointer[detect.Detect] // nil unless the role runs here

	mu      sync.Mutex
	console net.Addr
	nodes   net.Addr
}

// run starts the roles and waits for them. Roles of one process use each
// other's sockets as those of another would, so the order does not matter:
// each waits until what it needs answers. The process is ready when all its
// roles are.
func (s *server) run(ctx context.Context, names []string) error {
	g, _ := run.NewGroup(ctx)
	if os.Getenv("GOGC") == "" {
		g.Go("memory", gctune.Run)
	}
	var ready sync.WaitGroup
	start := map[string]func(context.Context, func()) error{
		"bus": s.runBus, "store": s.runStore, "gateway": s.runGateway, "detect": s.runDetect, "api": s.runAPI,
	}
	needed := slices.ContainsFunc(names, func(name string) bool { return name != "bus" })
	connected := make(chan struct{})
	for _, name := range names {
		ready.Add(1)
		g.Go(name, func(ctx context.Context) error {
			if name != "bus" {
				select {
				case <-connected:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			s.log.Info("role starts", "role", name)
			return start[name](ctx, sync.OnceFunc(ready.Done))
		})
	}
	if needed {
		g.Go("connect", func(ctx context.Context) error {
			if err := s.connect(ctx, names); err != nil {
				return err
			}
			close(connected)
			return nil
		})
	}
	go func() { // ends with the roles' readiness, or is left waiting with the process at its end
		ready.Wait()
		s.log.Info("ready", "roles", strings.Join(names, ","))
		if err := notify.Ready(strings.Join(names, ",")); err != nil {
			s.log.Warn("readiness not told", "cause", err)
		}
	}()
	err := g.Wait()
	s.disconnect()
	return err
}

// connect opens what the roles share: the bus, and the control plane.
func (s *server) connect(ctx context.Context, names []string) error {
	client, err := bus.Open(ctx, s.config.Bus, s.log, s.metrics)
	if err != nil {
		return fmt.Errorf("connect to the bus: %w", err)
	}
	s.bus = client
	if !isEmbedded(s.config.Bus) {
		if err := client.CreateTopics(ctx); err != nil {
			return fmt.Errorf("make topics: %w", err)
		}
	}
	if slices.Contains(names, "detect") || slices.Contains(names, "api") {
		s.admin, err = control.OpenAdmin(ctx, s.config.Gateway, control.AdminDeps{
			CheckConfig: map[string]func([]byte) error{"agent": agent.CheckCentral, "sensor": netsensor.CheckCentral},
			Log:         s.log, Metrics: s.metrics,
		})
		if err != nil {
			return fmt.Errorf("connect to the control plane: %w", err)
		}
	}
	return nil
}

func isEmbedded(c bus.Config) bool {
	return len(c.Brokers) == 1 && strings.HasPrefix(c.Brokers[0], "unix:")
}

func (s *server) disconnect() {
	if s.bus != nil {
		s.bus.Close()
	}
	if s.admin != nil {
		if err := s.admin.Close(); err != nil {
			s.log.Warn("control plane not closed", "cause", err)
		}
	}
}

// runBus runs the embedded engines.
func (s *server) runBus(ctx context.Context, ready func()) error {
	var both sync.WaitGroup
	both.Add(2)
	g, _ := run.NewGroup(ctx)
	g.Go("etcd", func(ctx context.Context) error {
		return control.RunEtcd(ctx, s.config.Etcd, s.log, sync.OnceFunc(both.Done))
	})
	g.Go("broker", func(ctx context.Context) error {
		return broker.Run(ctx, s.config.Broker, broker.Deps{Log: s.log, Counters: s.metrics, Ready: sync.OnceFunc(both.Done)})
	})
	go func() { both.Wait(); ready() }() // as run's: ends with readiness
	return g.Wait()
}

func (s *server) runStore(ctx context.Context, ready func()) error {
	role, err := store.New(s.config.Store, store.Deps{Bus: s.bus, Log: s.log, Metrics: s.metrics, Ready: ready})
	if err != nil {
		return err
	}
	return role.Run(ctx)
}

func (s *server) runGateway(ctx context.Context, ready func()) error {
	role, err := control.New(s.config.Gateway, control.Deps{
		Bus: s.bus, Ingest: s.ingest, Version: version, Log: s.log, Metrics: s.metrics,
		Ready: func(a net.Addr) {
			s.mu.Lock()
			s.nodes = a
			s.mu.Unlock()
			ready()
		},
	})
	if err != nil {
		return err
	}
	return role.Run(ctx)
}

// ingest says whether there is room for events on this machine's disk, where
// the bus and the store are on one machine too.
func (s *server) ingest() (bool, string) {
	space, err := s.reserve.Space()
	if err != nil {
		return false, fmt.Sprintf("disk not measured: %v", err)
	}
	if space.Low {
		return false, "disk is at its reserve: " + space.String()
	}
	return true, ""
}

func (s *server) runDetect(ctx context.Context, ready func()) error {
	role, err := detect.New(s.config.Detect, detect.Deps{
		Bus: s.bus, Exceptions: watchedExceptions{s.admin}, Log: s.log, Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	s.detect.Store(role)
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	g, _ := run.NewGroup(ctx)
	g.Go("detect", role.Run)
	g.Go("reload", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-reload:
				if err := role.Reload(); err != nil {
					s.log.Error("rules not reloaded; the old ones stay", "cause", err)
				}
			}
		}
	})
	ready()
	return g.Wait()
}

func (s *server) runAPI(ctx context.Context, ready func()) error {
	client := store.NewClient(s.config.Store.Socket)
	defer client.Close()
	if err := s.writeAuthority(); err != nil {
		return err
	}
	role, err := api.New(s.config.API, api.Deps{
		Store: client, Control: fleetControl{s.admin, time.Now}, Live: s.bus,
		Faults:      api.Faults{Unknown: control.ErrUnknown, Conflict: control.ErrConflict, Invalid: control.ErrInvalid},
		Certificate: s.admin.ServerCertificate(s.config.Names),
		Console:     console.Handler(),
		Status:      func(ctx context.Context) api.Status { return s.status(ctx, client) },
		Rules:       func() []api.Rule { return rulesInForce(s.detect.Load()) },
		CheckRules:  func(dir string) (any, error) { return detect.CheckRules(dir) },
		Backup:      func(ctx context.Context, w io.Writer) error { return s.backup(ctx, client, w) },
		Restore:     func(ctx context.Context, r io.Reader) error { return s.restore(ctx, client, r) },
		Ready: func(a net.Addr) {
			s.mu.Lock()
			s.console = a
			s.mu.Unlock()
			ready()
		},
		Version: version, Log: s.log, Metrics: s.metrics,
	})
	if err != nil {
		return err
	}
	return role.Run(ctx)
}

// writeAuthority leaves the authority's certificate where the CLI, browsers
// and other machines can be given it.
func (s *server) writeAuthority() error {
	path := filepath.Join(s.config.DataDir, "tls", "ca.crt")
	if err := writeFile(path, certificatePEM(s.admin.Authority()), 0o644); err != nil {
		return fmt.Errorf("write authority: %w", err)
	}
	return nil
}

// status gathers what this process knows of the platform.
func (s *server) status(ctx context.Context, client *store.Client) api.Status {
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	out := api.Status{Counters: map[string]uint64{}}
	say := func(name string, detail string, err error) {
		role := api.RoleStatus{Name: name, State: "ready", Detail: detail}
		if err != nil {
			role.State, role.Detail = "down", err.Error()
		}
		out.Roles = append(out.Roles, role)
	}
	fill, err := s.bus.Fill(ctx)
	say("bus", fmt.Sprintf("%.0f %% of retention waits to be consumed", 100*fill), errors.Join(err, s.admin.Check(ctx)))

	health, err := client.Health(ctx)
	if err == nil && !health.OK {
		err = errors.New(strings.Join(health.Reasons, "; "))
	}
	stats, statsErr := client.Stats(ctx)
	say("store", fmt.Sprintf("%d events, %d nodes", stats.Events.Rows, stats.Nodes), errors.Join(err, statsErr))
	for name, value := range stats.Counters {
		out.Counters[name] = value
	}

	gateways, err := s.admin.Gateways(ctx)
	nodes := 0
	for _, g := range gateways {
		nodes += int(g.GetNodes())
		if g.GetIngestStopped() {
			out.Ingest = api.Ingest{Stopped: true, Reason: g.GetIngestReason()}
		}
	}
	if err == nil && len(gateways) == 0 {
		err = errors.New("no gateway is alive")
	}
	say("gateway", fmt.Sprintf("%d alive, %d nodes connected", len(gateways), nodes), err)

	lag, err := s.bus.Lag(ctx, bus.GroupDetect)
	say("detect", fmt.Sprintf("%d batches behind", lag), err)
	say("api", "", nil)

	s.mu.Lock()
	if s.console != nil {
		out.Addresses.Console = "https://" + s.console.String()
	}
	if s.nodes != nil {
		out.Addresses.Nodes = s.nodes.String()
	}
	s.mu.Unlock()
	if space, err := s.reserve.Space(); err == nil {
		out.Disk = api.Disk{Free: space.Free, Total: space.Total, Reserve: space.Reserve}
		if space.Low {
			out.Ingest = api.Ingest{Stopped: true, Reason: "disk is at its reserve: " + space.String()}
		}
	}
	return out
}

// statusPatience bounds the gathering of a status.
const statusPatience = 3 * time.Second
