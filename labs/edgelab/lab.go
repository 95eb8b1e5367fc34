package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A node of the lab hangs on the router by a network of its own: the router
// is .1 of it, the node .2.
type node struct {
	name string
	net  int // 10.81.net.0/24, fd81:net::/64
	// local are the addresses a balancer speaks to backends from.
	local4, local6 string
}

func (n node) addr4() string { return fmt.Sprintf("10.81.%d.2", n.net) }
func (n node) addr6() string { return fmt.Sprintf("fd81:%d::2", n.net) }

var (
	client   = node{name: "client", net: 1}
	edges    = []node{{"edge1", 2, "10.81.129.0/28", "fd81:129::/124"}, {"edge2", 3, "10.81.130.0/28", "fd81:130::/124"}}
	backends = []node{{name: "web1", net: 11}, {name: "web2", net: 12}, {name: "web3", net: 13}}
)

const (
	vip4, vip6 = "203.0.113.10", "2001:db8:81::10"
	echoPort   = 7
)

// lab is the namespaces and the processes in them.
type lab struct {
	ctx      context.Context
	dir, bin string
	made     []string
	balancer [2]*exec.Cmd
	others   []*exec.Cmd
	closers  []func()
	stopEcho map[string]func()
}

// ns is the namespace of a node: names of this process, so that two labs can run.
func (l *lab) ns(name string) string { return fmt.Sprintf("hbl%d-%s", os.Getpid(), name) }

func (l *lab) run(name string, args ...string) (string, error) {
	out, err := exec.CommandContext(l.ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

func (l *lab) in(node string, args ...string) (string, error) {
	return l.run("ip", append([]string{"netns", "exec", l.ns(node)}, args...)...)
}

// all runs commands of ip(8), one a line.
func (l *lab) all(lines ...string) error {
	for _, line := range lines {
		if _, err := l.run("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// build makes the namespaces and joins them.
func (l *lab) build() error {
	nodes := append(append([]node{client}, edges...), backends...)
	router := l.ns("router")
	for _, name := range append([]string{"router"}, names(nodes)...) {
		if err := l.all("netns add "+l.ns(name), "-n "+l.ns(name)+" link set lo up"); err != nil {
			return err
		}
		l.made = append(l.made, l.ns(name))
	}
	if _, err := l.in("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.fib_multipath_hash_policy=3", "net.ipv4.fib_multipath_hash_fields=55",
		"net.ipv6.fib_multipath_hash_policy=3", "net.ipv6.fib_multipath_hash_fields=55"); err != nil {
		return err
	}
	for _, n := range nodes {
		own, at := l.ns(n.name), "to-"+n.name
		if err := l.all(
			fmt.Sprintf("-n %s link add eth0 type veth peer name %s netns %s", own, at, router),
			fmt.Sprintf("-n %s addr add %s/24 dev eth0", own, n.addr4()), fmt.Sprintf("-n %s addr add %s/64 dev eth0 nodad", own, n.addr6()),
			fmt.Sprintf("-n %s addr add 10.81.%d.1/24 dev %s", router, n.net, at), fmt.Sprintf("-n %s addr add fd81:%d::1/64 dev %s nodad", router, n.net, at),
			fmt.Sprintf("-n %s link set eth0 up", own), fmt.Sprintf("-n %s link set %s up", router, at),
			fmt.Sprintf("-n %s route add default via 10.81.%d.1", own, n.net), fmt.Sprintf("-n %s -6 route add default via fd81:%d::1", own, n.net),
		); err != nil {
			return err
		}
		// A veth takes frames of XDP only where its peer polls: GRO makes it.
		if _, err := l.in("router", "ethtool", "-K", at, "gro", "on"); err != nil {
			return err
		}
	}
	for _, e := range edges {
		if err := l.inside("router", func() error { return l.pass("to-" + e.name) }); err != nil {
			return err
		}
		if _, err := l.in(e.name, "sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1", "net.ipv6.conf.eth0.forwarding=1"); err != nil {
			return err
		}
	}
	// The router spreads the VIPs over both balancers by its hash, and sends
	// each local block to its owner.
	vips4, vips6 := "-n "+router+" route add 203.0.113.0/24", "-n "+router+" -6 route add 2001:db8:81::/64"
	for _, e := range edges {
		vips4 += " nexthop via " + e.addr4()
		vips6 += " nexthop via " + e.addr6()
		if err := l.all("-n "+router+" route add "+e.local4+" via "+e.addr4(), "-n "+router+" -6 route add "+e.local6+" via "+e.addr6()); err != nil {
			return err
		}
	}
	return l.all(vips4, vips6)
}

// pass puts an XDP program that passes everything on an interface of the router.
// A veth whose peer answers with XDP_TX is woken only if it has a program.
func (l *lab) pass(name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		return fmt.Errorf("load program: %w", err)
	}
	defer p.Close()
	at, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: i.Index})
	if err != nil {
		return fmt.Errorf("attach program to %s: %w", name, err)
	}
	l.closers = append(l.closers, func() { at.Close() })
	return nil
}

func names(nodes []node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.name)
	}
	return out
}

// startBackend runs nginx, which says its name, and an echo server.
func (l *lab) startBackend(n node) error {
	dir := filepath.Join(l.dir, n.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
server { listen 8080; listen [::]:8080; location / { return 200 "%[2]s"; } } }
`, dir, n.name)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := l.start(n.name, filepath.Join(dir, "out"), "nginx", "-c", path); err != nil {
		return err
	}
	return l.echo(n)
}

// start runs a program in a namespace; what it prints goes to a file.
func (l *lab) start(node, out string, args ...string) (*exec.Cmd, error) {
	f, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := exec.CommandContext(context.WithoutCancel(l.ctx), "ip", append([]string{"netns", "exec", l.ns(node)}, args...)...)
	c.Stdout, c.Stderr = f, f
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	l.others = append(l.others, c)
	return c, nil
}

// writeConfig writes a balancer's edge.yaml.
func (l *lab) writeConfig(i int, to []node) error {
	var b strings.Builder
	e := edges[i]
	fmt.Fprintf(&b, "data_dir: %s\ninterfaces: [eth0]\npin_dir: %s\npartial_checksums: true\ntables: {sessions: 65536, flows: 65536}\nlocal: {v4: %s, v6: %q}\nvips:\n",
		filepath.Join(l.dir, e.name), l.pins(i), e.local4, e.local6)
	for _, v := range []struct {
		name, address string
		port, server  int
		addr          func(node) string
		health        string
	}{
		{"web", vip4, 80, 8080, node.addr4, "{type: http, interval: 500ms}"},
		{"web6", vip6, 80, 8080, node.addr6, "{type: http, interval: 500ms}"},
		{"echo", vip4, echoPort, echoPort, node.addr4, "{type: tcp, interval: 500ms}"},
	} {
		fmt.Fprintf(&b, "  - name: %s\n    address: %q\n    ports: %d\n    health: %s\n    backends:\n", v.name, v.address, v.port, v.health)
		for _, n := range to {
			fmt.Fprintf(&b, "      - {name: %s, address: %q, port: %d}\n", n.name, v.addr(n), v.server)
		}
	}
	return os.WriteFile(l.config(i), []byte(b.String()), 0o600)
}

// pins is where a balancer mounts a BPF filesystem of its own.
func (l *lab) pins(i int) string { return filepath.Join(l.dir, edges[i].name+"-bpf") }

// patience is how long something may take to come up.
const patience = 20 * time.Second

// startEdge starts a balancer and waits until it serves.
func (l *lab) startEdge(i int) error {
	name := edges[i].name
	out := filepath.Join(l.dir, name+".log")
	// nsenter leaves the machine's mounts in place, where ip netns exec would
	// hide the BPF filesystem behind a new /sys.
	c := exec.Command("nsenter", "--net=/run/netns/"+l.ns(name), filepath.Join(l.bin, "hauberk-edge"), "--config", l.config(i))
	f, err := os.OpenFile(out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	if err := c.Start(); err != nil {
		return err
	}
	l.balancer[i] = c
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if text, err := l.ask(i, "edge", "status"); err == nil && strings.Contains(text, "vips         3, 3 serve") {
			return nil
		}
		if err := pause(l.ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	text, _ := os.ReadFile(out)
	return fmt.Errorf("%s does not serve within %s:\n%s", name, patience, text)
}

// kill ends a balancer's process as a crash would.
func (l *lab) kill(i int) error {
	c := l.balancer[i]
	if err := c.Process.Kill(); err != nil {
		return err
	}
	c.Wait() // it says that it was killed
	l.balancer[i] = nil
	return nil
}

func (l *lab) ask(i int, args ...string) (string, error) {
	return l.run(filepath.Join(l.bin, "hauberk"), append(args, "--data-dir", filepath.Join(l.dir, edges[i].name))...)
}

// edgeCommand prints what a command says of a balancer.
func (l *lab) edgeCommand(i int, args ...string) error {
	out, err := l.ask(i, args...)
	if err == nil {
		fmt.Println(out)
	}
	return err
}

// explain prints what the balancers know and said, after a failure.
func (l *lab) explain() {
	for i, e := range edges {
		for _, what := range []string{"status", "vips"} {
			text, err := l.ask(i, "edge", what)
			fmt.Printf("\n-- %s: edge %s (%v)\n%s\n", e.name, what, err, text)
		}
		text, err := os.ReadFile(filepath.Join(l.dir, e.name+".log"))
		fmt.Printf("\n-- %s said (%v)\n%s\n", e.name, err, text)
	}
}

// echoOf is the sessions and the state of a backend of the VIP "echo".
func (l *lab) echoOf(i int, name string) (sessions int, state string, err error) {
	text, err := l.ask(i, "edge", "backends", "--json")
	if err != nil {
		return 0, "", err
	}
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var b struct {
			VIP, Name, State string
			Sessions         int
		}
		if err := d.Decode(&b); err != nil {
			return 0, "", fmt.Errorf("find backend %s: %w", name, err)
		}
		if b.VIP == "echo" && b.Name == name {
			return b.Sessions, b.State, nil
		}
	}
}

func (l *lab) eachEdge(f func(int) error) error {
	for i := range edges {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) reconfigure(i int, to []node) error {
	if err := l.writeConfig(i, to); err != nil {
		return err
	}
	return l.balancer[i].Process.Signal(syscall.SIGHUP)
}

// close ends the processes and takes the namespaces away.
func (l *lab) close() error {
	var bad []error
	for _, f := range l.closers {
		f()
	}
	for _, c := range l.balancer {
		if c != nil {
			bad = append(bad, c.Process.Signal(syscall.SIGTERM))
			c.Wait() // ended by a signal or not
		}
	}
	for _, c := range l.others {
		bad = append(bad, c.Process.Kill())
		c.Wait()
	}
	for _, ns := range l.made {
		out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput() // also when the context has ended
		if err != nil {
			bad = append(bad, fmt.Errorf("delete namespace %s: %w: %s", ns, err, out))
		}
	}
	for i := range edges {
		if err := unix.Unmount(l.pins(i), 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			bad = append(bad, fmt.Errorf("unmount %s: %w", l.pins(i), err))
		}
	}
	return errors.Join(bad...)
}
