// Command netwirebench measures servers on AF_XDP beside the same servers on kernel sockets and NSD, over a veth pair: a client
// in XDP keeps 128 questions in flight, in rounds that are interleaved.
//
//	go run ./labs/netwirebench        # root; NSD for its figure
//
// Each server has core 0 (GOMAXPROCS 1), which also receives for it; the client's end has core 1. What is compared is the time
// on a core that an answer costs, the kernel's thread that receives for the server included, so that other work on the machine
// changes little. Ratios of one run count, rates do not.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hauberk/hauberk/internal/perf"
)

// The environment of a process of the bench: "bench" is the one in the namespace, others name a server.
const role = "HAUBERK_NETWIREBENCH"

func main() {
	rounds := flag.Int("rounds", 5, "rounds of all servers")
	dir := flag.String("out", "docs/perf", "where the figures go")
	flag.Parse()
	var err error
	switch name := os.Getenv(role); name {
	case "":
		err = enter()
	case "bench":
		err = bench(*rounds, *dir)
	default:
		err = serve(name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netwirebench:", err)
		os.Exit(1)
	}
}

// enter runs the bench in a network namespace of its own.
func enter() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), role+"=bench")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}

// server is one that is measured.
type server struct {
	name  string // For serve.
	label string
	dns   bool
	xdp   bool // Opens the interface itself.
	rates []float64
}

func bench(rounds int, dir string) error {
	// The devices of this namespace are in a sysfs of its own.
	if err := errors.Join(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("sysfs", "/sys", "sysfs", 0, "")); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	servers := []*server{
		{name: "echo-kernel", label: "UDP echo, Go on a kernel socket"},
		{name: "echo-callback", label: "UDP echo, callback on AF_XDP", xdp: true},
		{name: "echo-packetconn", label: "UDP echo, net.PacketConn on AF_XDP", xdp: true},
		{name: "dns-miekg-kernel", label: "miekg/dns on a kernel socket", dns: true},
		{name: "dns-miekg-stack", label: "miekg/dns unchanged on AF_XDP", dns: true, xdp: true},
		{name: "dns-decoy", label: "hauberk-decoy's responder on AF_XDP", dns: true, xdp: true},
	}
	if _, err := exec.LookPath("nsd"); err == nil {
		servers = append(servers, &server{name: "dns-nsd", label: "NSD, one server", dns: true})
	}
	for range rounds {
		for _, s := range servers {
			rate, err := measure(s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.label, err)
			}
			fmt.Fprintf(os.Stderr, "%-40s %9.0f/CPU s\n", s.label, rate)
			s.rates = append(s.rates, rate)
		}
	}
	report := &perf.Report{Area: "netwire", Command: "go run ./labs/netwirebench"}
	by := map[string]*server{}
	for _, s := range servers {
		by[s.name] = s
	}
	for _, g := range []struct {
		ours, theirs string
		goal         float64
	}{
		// The goals are those of the spike; for net.PacketConn, which has none, the one against batches of recvmmsg.
		{"echo-callback", "echo-kernel", 6}, {"echo-packetconn", "echo-kernel", 4.5}, {"dns-miekg-stack", "dns-miekg-kernel", 3},
		{"dns-decoy", "dns-miekg-kernel", 9}, {"dns-decoy", "dns-nsd", 5},
	} {
		a, b := by[g.ours], by[g.theirs]
		if b == nil {
			continue
		}
		var ratios []float64
		for i := range a.rates {
			ratios = append(ratios, a.rates[i]/b.rates[i])
		}
		f := perf.Figure{
			Name: a.label, Value: perf.Median(a.rates), Unit: "answers/CPU s", Peer: b.label, PeerValue: perf.Median(b.rates),
			Ratio: perf.Median(ratios), Note: "veth, native XDP, copy mode; the ratio is the median of the rounds'",
			Target: fmt.Sprintf("x%g", g.goal), Reached: perf.Median(ratios) >= g.goal,
		}
		report.Add(f)
	}
	return report.Write(os.Stdout, dir)
}

// measure starts a server and the client, and after half a second counts for one: answers for each second that the server,
// and the kernel's thread that receives for it, were on a core.
func measure(s *server) (rate float64, err error) {
	c, err := newClient(s.dns, !s.xdp)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "netwirebench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("taskset", "-c", "0", self)
	cmd.Env = append(os.Environ(), role+"="+s.name, "GOMAXPROCS=1", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for end := time.Now().Add(10 * time.Second); ; { // Until it answers the first question.
		if err := c.ask(1); err != nil {
			return 0, err
		}
		time.Sleep(20 * time.Millisecond)
		if n, err := c.count(); err != nil || n > 0 {
			break
		}
		if time.Now().After(end) {
			return 0, errors.New("no answer within 10 s")
		}
	}
	for end, core := range map[string]int{"near": 0, "far": 1} {
		if err := place(end, core); err != nil {
			return 0, err
		}
	}
	if err := c.ask(127); err != nil {
		return 0, err
	}
	time.Sleep(500 * time.Millisecond)
	before, err := c.count()
	if err != nil {
		return 0, err
	}
	spent, err := cost(cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(time.Second)
	after, err := c.count()
	if err != nil {
		return 0, err
	}
	total, err := cost(cmd.Process.Pid)
	if err == nil && (total == spent || after == before) {
		err = errors.New("the client has nothing left in flight")
	}
	return float64(after-before) / (float64(total-spent) / 1e9), err
}

// place makes a kernel thread receive for a device, on a core.
func place(device string, core int) error {
	if err := os.WriteFile("/sys/class/net/"+device+"/threaded", []byte("1"), 0o644); err != nil {
		return err
	}
	ids, err := receivers(device)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(core)
	for _, id := range ids {
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("place thread of %s: %w", device, err)
		}
	}
	return nil
}

func ip(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}
