package bgp

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/need"
)

func TestValidate(t *testing.T) {
	bad := Config{
		ASN: 65001, Communities: []string{"65000:70000"}, GracefulRestart: 1500 * time.Millisecond,
		Neighbors: []Neighbor{{}, {Address: netip.MustParseAddr("10.0.0.1"), ASN: 1, BFD: time.Millisecond}},
		NextHop:   NextHops{V6: netip.MustParseAddr("10.0.0.1")},
	}
	var p conf.Problems
	bad.Validate(&p)
	for _, want := range []string{"router_id", "neighbors[0]", "neighbors[1].bfd", `"65000:70000"`, "next_hop", "whole seconds"} {
		if err := p.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	var none conf.Problems
	if (&Config{}).Validate(&none); none.Err() != nil {
		t.Errorf("no BGP at all: %v", none.Err())
	}
	var half conf.Problems
	if (&Config{Neighbors: bad.Neighbors}).Validate(&half); half.Err() == nil {
		t.Error("neighbors without an ASN")
	}
}

// TestBird announces to bird in another namespace and looks into its routes.
func TestBird(t *testing.T) {
	need.Root(t)
	bird, birdc := need.Program(t, "bird"), need.Program(t, "birdc")
	const inside = "HAUBERK_TEST_BIRD"
	if ns := os.Getenv(inside); ns != "" {
		speak(t, bird, birdc, ns)
		return
	}
	own, router := fmt.Sprintf("hbbgp%d", os.Getpid()), fmt.Sprintf("hbbird%d", os.Getpid())
	ip := func(line string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", line, err, out)
		}
	}
	for _, ns := range []string{own, router} {
		ip("netns add " + ns)
		t.Cleanup(func() { ip("netns del " + ns) })
		ip("-n " + ns + " link set lo up")
	}
	ip("-n " + own + " link add va type veth peer name vb netns " + router)
	ip("-n " + own + " addr add 10.99.0.2/24 dev va")
	ip("-n " + own + " addr add fd99::2/64 dev va nodad")
	ip("-n " + router + " addr add 10.99.0.1/24 dev vb")
	ip("-n " + router + " addr add fd99::1/64 dev vb nodad")
	ip("-n " + own + " link set va up")
	ip("-n " + router + " link set vb up")
	c := exec.Command("ip", "netns", "exec", own, os.Args[0], "-test.run", "^TestBird$", "-test.v")
	c.Env = append(os.Environ(), inside+"="+router)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("in its namespace: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// speak is the test in the speaker's namespace; bird runs in ns.
func speak(t *testing.T, bird, birdc, ns string) {
	dir := t.TempDir()
	config, socket := filepath.Join(dir, "bird.conf"), filepath.Join(dir, "ctl")
	if err := os.WriteFile(config, []byte(`router id 10.99.0.1;
protocol device { }
protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }; }
protocol kernel { ipv4 { export all; import none; }; }
protocol kernel { ipv6 { export all; import none; }; }
protocol bgp edge {
	local 10.99.0.1 as 65002; neighbor 10.99.0.2 as 65001; bfd on; graceful restart on;
	ipv4 { import all; export none; };
	ipv6 { import all; export none; };
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	router := exec.Command("nsenter", "--net=/run/netns/"+ns, bird, "-f", "-c", config, "-s", socket)
	router.Stdout, router.Stderr = log, log
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		router.Process.Kill()
		router.Wait()
	}()
	med := uint32(50)
	s, err := Start(t.Context(), Config{
		ASN: 65001, RouterID: netip.MustParseAddr("10.99.0.2"), Communities: []string{"65001:80"}, MED: &med,
		NextHop: NextHops{V6: netip.MustParseAddr("fd99::2")}, GracefulRestart: 30 * time.Second,
		Neighbors: []Neighbor{{Address: netip.MustParseAddr("10.99.0.1"), ASN: 65002, BFD: 300 * time.Millisecond}},
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	// shown waits until bird has a route, or has it no longer.
	shown := func(prefix string, want bool, words ...string) time.Duration {
		t.Helper()
		began := time.Now()
		var out []byte
		for time.Since(began) < 20*time.Second {
			out, _ = exec.Command(birdc, "-s", socket, "show", "route", "all", prefix).CombinedOutput() // it may not run yet
			if strings.Contains(string(out), prefix) == want && !strings.Contains(string(out), "Unable to connect") {
				for _, w := range words {
					if !strings.Contains(string(out), w) {
						t.Fatalf("no %q in bird's %s:\n%s", w, prefix, out)
					}
				}
				return time.Since(began)
			}
			time.Sleep(2 * time.Millisecond)
		}
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%s is not as wanted (%v) in bird:\n%s\n%s", prefix, want, out, text)
		return 0
	}
	four, six, block := netip.MustParsePrefix("203.0.113.10/32"), netip.MustParsePrefix("2001:db8::10/128"), netip.MustParsePrefix("10.9.0.0/28")
	if err := s.Announce([]netip.Prefix{four, six, block}); err != nil {
		t.Fatal(err)
	}
	shown("203.0.113.10/32", true, "via 10.99.0.2", "BGP.community: (65001,80)", "BGP.med: 50")
	shown("2001:db8::10/128", true, "BGP.next_hop: fd99::2")
	shown("10.9.0.0/28", true)
	if n, err := s.Neighbors(t.Context()); err != nil || n["10.99.0.1"] != "established" {
		t.Errorf("neighbors: %v, %v", n, err)
	}
	if err := s.Announce([]netip.Prefix{six, block}); err != nil {
		t.Fatal(err)
	}
	t.Logf("withdrawn within %s", shown("203.0.113.10/32", false))
	if err := s.Announce([]netip.Prefix{four, six, block}); err != nil {
		t.Fatal(err)
	}
	t.Logf("announced within %s", shown("203.0.113.10/32", true))
	if got := fmt.Sprint(s.Routes()); got != "[10.9.0.0/28 2001:db8::10/128 203.0.113.10/32]" {
		t.Errorf("routes: %s", got)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	shown("203.0.113.10/32", false)
}
