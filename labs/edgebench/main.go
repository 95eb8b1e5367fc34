// Command edgebench measures the edge's data plane and writes
// docs/perf/edge.{json,md}. It needs root, and makes a network namespace of
// its own.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/edge/planebench"
	"github.com/hauberk/hauberk/internal/perf"
)

func main() {
	rounds := flag.Int("rounds", 15, "rounds, of which the median counts")
	dir := flag.String("o", "docs/perf", "folder to write to")
	flag.Parse()
	if err := run(*rounds, *dir); err != nil {
		log.Fatal(err)
	}
}

func run(rounds int, dir string) error {
	runtime.LockOSThread() // the namespace is the thread's
	if err := namespace(); err != nil {
		return err
	}
	b, err := planebench.New()
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Prepare(); err != nil {
		return err
	}
	ns, err := b.Measure(rounds)
	if err != nil {
		return err
	}
	r := &perf.Report{Area: "edge", Command: "make bench-edge"}
	add := func(what, floor, peer, peerFloor string, target float64) {
		net, peerNet := ns[what]-ns[floor], ns[peer]-ns[peerFloor]
		r.Add(perf.Figure{
			Name: what + ", 64 bytes, IPv4, net", Value: net, Unit: "ns/packet", Peer: peer, PeerValue: peerNet,
			Target: fmt.Sprintf("%g of it", target), Reached: net <= target*peerNet,
		})
	}
	add("tunnel 1k", "F tunnel", "L tunnel 1k", "F tunnel", 0.22)
	add("fullnat forward 1k", "F", "L fullnat 1k", "F", 0.37)
	add("fullnat reply 1k", "F", "L fullnat 1k", "F", 0.18)
	add("tunnel 1M", "F tunnel", "R", "F 1M", 1.2)
	add("fullnat forward 1M", "F 1M", "R", "F 1M", 1.2)
	add("fullnat reply 1M", "F reply 1M", "R", "F 1M", 1.0)
	add("tunnel new", "F tunnel", "L tunnel new", "F tunnel", 0.33)
	add("fullnat new", "F new", "L fullnat new", "F new", 0.20)
	begin, n := time.Now(), 0
	for range rounds {
		b.Plane().References()
		n++
	}
	perSecond := float64(n) * float64(1<<21) / time.Since(begin).Seconds() / 1e6
	r.Add(perf.Figure{Name: "scan of the session table by the owner", Value: perSecond, Unit: "M slots/s", Target: "80 % of the memory bandwidth, which is not measured here"})
	return r.Write(os.Stdout, dir)
}

// namespace moves this thread into a new one, where packets find a way.
func namespace() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	for _, line := range []string{
		"ip link set lo up",
		// Everything is on the interface a test run comes in on, so that the
		// data plane answers XDP_TX as what it is compared with does.
		"ip addr add 10.0.2.1/32 dev lo", "ip addr add 10.0.1.1/32 dev lo",
		"ip route add 10.0.2.0/24 dev lo scope link", "ip route add 10.0.1.0/24 dev lo scope link",
		"ip neigh replace 10.0.2.2 lladdr 02:00:00:00:00:01 dev lo nud permanent",
		"ip neigh replace 10.0.2.3 lladdr 02:00:00:00:00:02 dev lo nud permanent",
		"ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:03 dev lo nud permanent",
		"ip route add 10.64.0.0/10 via 10.0.1.2 dev lo",
		"sysctl -qw net.ipv4.ip_forward=1",
	} {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}
