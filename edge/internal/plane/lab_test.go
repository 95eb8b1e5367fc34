package plane

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/need"
)

// lab is three namespaces: client - edge - server, joined by veth pairs with
// the default offloads of Linux. The edge's ends are "toc" and "tos".
//
//	client 10.0.1.2 fd00:1::2 | edge 10.0.1.1, 10.0.2.1 fd00:1::1, fd00:2::1 | server 10.0.2.2-9 fd00:2::2-9
//	VIPs 10.0.8.0/24 fd00:8::/64, local addresses 10.0.9.0/28 fd00:9::/124
type lab struct {
	t                    testing.TB
	client, edge, server string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	need.BPF(t)
	need.Program(t, "ip")
	id := fmt.Sprintf("%d", os.Getpid())
	l := &lab{t, "hbc" + id, "hbe" + id, "hbs" + id}
	t.Cleanup(func() {
		for _, ns := range []string{l.client, l.edge, l.server} {
			_ = exec.Command("ip", "netns", "del", ns).Run() // one that was never made
		}
	})
	for _, ns := range []string{l.client, l.edge, l.server} {
		l.run("ip", "netns", "add", ns)
		l.in(ns, "ip", "link", "set", "lo", "up")
	}
	l.join(l.client, "eth0", l.edge, "toc", "1")
	l.join(l.server, "eth0", l.edge, "tos", "2")
	for i := 3; i <= 9; i++ {
		l.in(l.server, "ip", "addr", "add", fmt.Sprintf("10.0.2.%d/24", i), "dev", "eth0")
		l.in(l.server, "ip", "addr", "add", fmt.Sprintf("fd00:2::%d/64", i), "dev", "eth0", "nodad")
	}
	l.in(l.edge, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	return l
}

func (l *lab) join(host, hostEnd, edge, edgeEnd, net string) {
	l.run("ip", "-n", host, "link", "add", hostEnd, "type", "veth", "peer", "name", edgeEnd, "netns", edge)
	for _, end := range [][3]string{{host, hostEnd, "2"}, {edge, edgeEnd, "1"}} {
		l.in(end[0], "ip", "addr", "add", "10.0."+net+"."+end[2]+"/24", "dev", end[1])
		l.in(end[0], "ip", "addr", "add", "fd00:"+net+"::"+end[2]+"/64", "dev", end[1], "nodad")
		l.in(end[0], "ip", "link", "set", end[1], "up")
	}
	// A veth takes XDP frames only where its peer polls: GRO makes it.
	l.in(host, "ethtool", "-K", hostEnd, "gro", "on")
	l.in(host, "ip", "route", "add", "default", "via", "10.0."+net+".1")
	l.in(host, "ip", "-6", "route", "add", "default", "via", "fd00:"+net+"::1")
}

func (l *lab) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (l *lab) in(ns, name string, args ...string) string {
	l.t.Helper()
	return l.run("ip", append([]string{"netns", "exec", ns, name}, args...)...)
}

// inside runs f on a thread in a namespace; sockets made there stay there.
func (l *lab) inside(ns string, f func() error) {
	l.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		fd, err := unix.Open(filepath.Join("/run/netns", ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
}

// open loads the plane in the edge's namespace.
func (l *lab) open(o Options) *Plane {
	l.t.Helper()
	o.Interfaces = []string{"toc", "tos"}
	o.Partial = true
	var p *Plane
	l.inside(l.edge, func() (err error) {
		p, err = Open(o)
		return err
	})
	l.t.Cleanup(func() { p.Close(false) })
	return p
}
