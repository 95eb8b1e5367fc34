package xdp

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/netstack/filter"
	"github.com/hauberk/hauberk/netstack/port"
	"github.com/hauberk/hauberk/netstack/port/porttest"
)

// ours is the address of the suite's packets.
var ours = filter.Rules{Take: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}}

func config(edit func(*Config)) Config {
	cfg := DefaultConfig()
	cfg.Interface, cfg.Rules = "near", ours
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

func open(t *testing.T, cfg Config) *Port {
	t.Helper()
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestSuite runs the suite of ports in each way to open one.
func TestSuite(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		for _, c := range []struct {
			name, mtu string
			edit      func(*Config)
		}{
			{"native", "1500", nil},
			{"generic", "1500", func(c *Config) { c.Mode = filter.Generic }},
			{"few frames", "1500", func(c *Config) { c.Frames = 256 }},
			{"long chunks", "3000", nil},
			{"pieces", "9000", nil},
			{"busy poll", "1500", func(c *Config) { c.BusyPoll = 20 }},
		} {
			t.Run(c.name, func(t *testing.T) {
				porttest.Run(t, func(t *testing.T) porttest.Link {
					l := porttest.Veth(t, "near", "far", c.mtu)
					l.Port = open(t, config(c.edit))
					return l
				})
			})
		}
	})
}

// TestTaken opens a queue twice, and a queue that is not there.
func TestTaken(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		l := porttest.Veth(t, "near", "far", "1500")
		first := open(t, config(nil))
		for _, c := range []struct {
			edit func(*Config)
			want string
		}{
			{nil, "another AF_XDP socket has the queue"},
			{func(c *Config) { c.Queue = 7 }, "no such queue"},
			{func(c *Config) { c.Interface = "nowhere" }, "nowhere"},
		} {
			if _, err := Open(config(c.edit)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		}
		// The first has lost nothing by it.
		l.Inject(t, porttest.Packet(first.Info(), 1, 64))
		for rx := make([]port.Frame, 1); first.Stats().RxFrames == 0; {
			if _, err := first.Receive(rx); err != nil {
				t.Fatal(err)
			}
			if err := first.Wait(time.Second); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestKernelAddress refuses to take an address of the kernel, and keeps it out of a prefix.
func TestKernelAddress(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		l := porttest.Veth(t, "near", "far", "1500")
		porttest.Command(t, "ip addr add 192.0.2.2/24 dev near")
		if _, err := Open(config(nil)); err == nil || !strings.Contains(err.Error(), "the kernel has this address") {
			t.Fatalf("open: %v", err)
		}
		p := open(t, config(func(c *Config) { c.Rules.Take = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }))
		l.Inject(t, porttest.Packet(p.Info(), 1, 64))
		for {
			counts, err := p.Filter().Counts()
			if err != nil || counts.Ours != 0 {
				t.Fatalf("%+v %v", counts, err)
			}
			if counts.Kernel > 0 {
				break
			}
			runtime.Gosched()
		}
	})
}

// TestDetach looks whether the interface is left as it was found.
func TestDetach(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		porttest.Veth(t, "near", "far", "1500")
		attached := func() bool {
			out, err := exec.Command("ip", "link", "show", "near").CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(out), "xdp")
		}
		p := open(t, config(nil))
		if !attached() {
			t.Fatal("no program while open")
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if attached() {
			t.Fatal("a program after close")
		}
	})
}

// TestKilled kills a process that has the interface: nothing of it stays.
func TestKilled(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		if os.Getenv("XDP_VICTIM") != "" {
			open(t, config(nil))
			fmt.Println("opened")
			select {}
		}
		porttest.Veth(t, "near", "far", "1500")
		victim := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
		victim.Env = append(os.Environ(), "XDP_VICTIM=yes")
		out, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "opened\n" {
			t.Errorf("victim: %q %v", line, err)
		}
		if err := victim.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = victim.Wait()                                // It was killed.
		for end := time.Now().Add(10 * time.Second); ; { // The kernel lets go a moment later.
			link, err := exec.Command("ip", "link", "show", "near").CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(link), "xdp") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("left behind: %s", link)
			}
		}
		open(t, config(nil))
	})
}

// TestVanish takes the interface away while a port waits.
func TestVanish(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		porttest.Veth(t, "near", "far", "1500")
		p := open(t, config(nil))
		done := make(chan error, 1)
		go func() { done <- p.Wait(time.Minute) }()
		porttest.Command(t, "ip link del far")
		if err := <-done; !errors.Is(err, port.ErrClosed) {
			t.Fatalf("wait: %v", err)
		}
		if _, err := p.Receive(make([]port.Frame, 1)); !errors.Is(err, port.ErrClosed) {
			t.Fatalf("receive: %v", err)
		}
	})
}

func TestValidate(t *testing.T) {
	bad := Config{Queue: -1, Frames: 1000, Mode: "fast", BusyBudget: 0}
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "want") != 5 {
		t.Errorf("got %v", err)
	}
	good := config(nil)
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
