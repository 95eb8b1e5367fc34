// Command edgelab builds a small data centre in network namespaces (a client, a
// router, two balancers, three backends with nginx) and shows that the edge
// balances and that nothing breaks: numbered data flows over many connections
// while a backend is drained, added, killed, while the configuration changes
// and while a balancer's process dies and comes back. It needs root, and takes
// about a minute.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder of hauberk-edge and hauberk")
	connections := flag.Int("connections", 500, "that live through everything")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := show(ctx, *bin, *connections)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "edgelab:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }

// maxGap is the longest that a connection may hear nothing.
const maxGap = 3 * time.Second

// show runs the whole lab; what it started ends with it.
func show(ctx context.Context, bin string, connections int) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("namespaces need root")
	}
	dir, err := os.MkdirTemp("", "edgelab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{ctx: ctx, dir: dir, bin: bin, stopEcho: map[string]func(){}}
	defer func() {
		if err != nil {
			l.explain()
		}
		err = errors.Join(err, l.close())
	}()
	say("a client, a router, %d balancers, %d backends", len(edges), len(backends))
	if err := l.build(); err != nil {
		return err
	}
	for _, b := range backends {
		if err := l.startBackend(b); err != nil {
			return err
		}
	}
	for i := range edges {
		if err := l.writeConfig(i, backends[:2]); err != nil {
			return err
		}
		if err := l.startEdge(i); err != nil {
			return err
		}
	}
	if err := l.showBalance(); err != nil {
		return err
	}
	return l.nothingBreaks(connections)
}

// showBalance asks nginx a hundred times through the VIP.
func (l *lab) showBalance() error {
	say("100 requests of curl, IPv4 and IPv6")
	for _, url := range []string{"http://" + vip4 + "/", "http://[" + vip6 + "]/"} {
		count := map[string]int{}
		for range 50 {
			out, err := l.in("client", "curl", "-s", "--max-time", "5", url)
			if err != nil {
				return fmt.Errorf("curl %s: %w", url, err)
			}
			count[out]++
		}
		fmt.Println(url, count)
		if len(count) != 2 {
			return fmt.Errorf("%s: %d of 2 backends answered", url, len(count))
		}
	}
	for _, what := range []string{"status", "vips", "backends"} {
		say("hauberk edge %s", what)
		if err := l.edgeCommand(0, "edge", what); err != nil {
			return err
		}
	}
	return nil
}

// nothingBreaks changes everything under live connections.
func (l *lab) nothingBreaks(connections int) error {
	say("%d connections send numbered data, ten a second each", connections)
	traffic, err := l.startTraffic(connections)
	if err != nil {
		return err
	}
	defer traffic.stop()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a backend is added: SIGHUP, and the third takes new connections", func() error { return l.eachEdge(func(i int) error { return l.reconfigure(i, backends) }) }},
		{"a backend is drained: its connections live on", func() error {
			return l.eachEdge(func(i int) error { return l.edgeCommand(i, "edge", "drain", backends[0].name) })
		}},
		{"and taken back", func() error {
			return l.eachEdge(func(i int) error { return l.edgeCommand(i, "edge", "drain", "--undo", backends[0].name) })
		}},
		{"a broken configuration is refused whole", func() error { return l.refused(0) }},
		{"the process of the first balancer is killed; its data plane goes on", func() error { return l.kill(0) }},
		{"and comes back, taking its tables over", func() error { return l.startEdge(0) }},
	} {
		say("%s", step.name)
		traffic.mark()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if err := pause(l.ctx, 3*time.Second); err != nil {
			return err
		}
		v := traffic.verdict()
		fmt.Println(v)
		if v.broken > 0 || v.gap > maxGap {
			return fmt.Errorf("%s: %s", step.name, v)
		}
	}
	say("a backend dies: its connections end, the others live on")
	if err := l.backendDies(traffic, backends[1]); err != nil {
		return err
	}
	say("hauberk edge backends of the first balancer")
	return l.edgeCommand(0, "edge", "backends")
}

// maxReset is how long after the health decision a dead backend's connections
// may wait for their reset.
const maxReset = time.Second

// backendDies closes a backend's listening socket and looks what becomes of
// its connections, which stay open on its side.
func (l *lab) backendDies(t *traffic, dead node) error {
	its := 0
	for i := range edges {
		n, _, err := l.echoOf(i, dead.name)
		if err != nil {
			return err
		}
		its += n
	}
	l.stopEcho[dead.name]()
	for end := time.Now().Add(patience); ; {
		down := 0
		for i := range edges {
			if _, state, err := l.echoOf(i, dead.name); err != nil {
				return err
			} else if state == "down" {
				down++
			}
		}
		if down == len(edges) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not down within %s", dead.name, patience)
		}
		if err := pause(l.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	decided := time.Now()
	for t.verdict().broken < its && time.Since(decided) < patience {
		if err := pause(l.ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	took := time.Since(decided)
	if err := pause(l.ctx, 2*time.Second); err != nil {
		return err
	}
	v := t.verdict()
	fmt.Printf("%d connections were its own, all ended %s after the decision. %s\n", its, took.Round(time.Millisecond), v)
	if took > maxReset {
		fmt.Printf("not reached: a reset within %s; clients noticed by their own timeouts\n", maxReset)
	}
	if v.broken != its {
		return fmt.Errorf("%d connections broke, %d were of %s", v.broken, its, dead.name)
	}
	return nil
}

// refused gives a balancer a configuration with a mistake.
func (l *lab) refused(i int) error {
	path := l.config(i)
	good, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(good, "vipz: 1\n"...), 0o600); err != nil {
		return err
	}
	if err := l.edgeCommand(i, "edge", "reload"); err == nil {
		return errors.New("it was taken")
	}
	return os.WriteFile(path, good, 0o600)
}

func (l *lab) config(i int) string { return filepath.Join(l.dir, edges[i].name+".yaml") }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
