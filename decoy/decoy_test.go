package decoy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/hauberk/hauberk/decoy"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/conf"
	"github.com/hauberk/hauberk/internal/need"
	"github.com/hauberk/hauberk/netstack/port/porttest"
)

const zone = `
@   3600 IN SOA ns h 1 3600 600 86400 300
@   3600 IN NS ns
ns  60 A 10.9.0.2
www 60 A 192.0.2.80
`

// TestDecoy answers curl, dig, redis-cli, an SSH client and a scan of ports, all on the kernel, for a whole prefix, and
// tells of each.
func TestDecoy(t *testing.T) {
	porttest.InNamespace(t, func(t *testing.T) {
		for _, c := range []string{
			"ip link set lo up", "ip link add near numrxqueues 1 numtxqueues 1 type veth peer name far numrxqueues 1 numtxqueues 1",
			"ip addr add 10.9.0.1/24 dev far", "ip link set near up", "ip link set far up", "ip route add 10.66.0.0/16 via 10.9.0.2",
		} {
			porttest.Command(t, c)
		}
		dir := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		cfg := decoy.DefaultConfig()
		if err := conf.Decode([]byte(fmt.Sprintf(`
interface: near
addresses: [10.9.0.2/24]
traps: [10.66.0.0/16]
trust_checksums: true
events: {file: %s/events.jsonl}
socket: %s/decoy.sock
capture: %s/all.pcap
dns: {zones: [{name: decoy.test, file: %s}]}
`, dir, dir, dir, write("zone", zone))), &cfg); err != nil {
			t.Fatal(err)
		}
		var sink keeper
		d, err := decoy.New(cfg, decoy.Deps{Log: slog.New(slog.DiscardHandler), Sink: &sink})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		waitFor(t, filepath.Join(dir, "decoy.sock"), ended)
		visit(t)
		statistics := ask(t, filepath.Join(dir, "decoy.sock"), "statistics")
		if !strings.Contains(statistics, "decoy.Sessions") || !strings.Contains(ask(t, filepath.Join(dir, "decoy.sock"), "ifconfig"), "trap 10.66.0.0/16") {
			t.Errorf("views: %s", statistics)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		told(t, filepath.Join(dir, "events.jsonl"))
		sink.check(t)
		if info, err := os.Stat(filepath.Join(dir, "all.pcap")); err != nil || info.Size() < 1000 {
			t.Errorf("capture: %v %v", info, err)
		}
	})
}

// waitFor waits until the decoy's socket is there.
func waitFor(t *testing.T, path string, ended chan error) {
	t.Helper()
	for {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("run: %v", err)
		default:
		}
	}
}

func ask(t *testing.T, path, what string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, what)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// visit comes as strangers do.
func visit(t *testing.T) {
	for _, c := range []struct{ want, command string }{
		{"401 Authorization Required", "curl -s -m 20 -u anna:geheim http://10.66.1.2:8080/shell.php"},
		{"401 Authorization Required", "curl -s -k -m 20 https://10.66.255.1/login"},
		{"WRONGPASS", "redis-cli -h 10.66.7.7 AUTH hunter2"},
		{"192.0.2.80", "dig @10.9.0.2 +tries=1 +time=20 www.decoy.test"},
		{"192.0.2.80", "dig @10.9.0.2 +tcp +tries=1 +time=20 www.decoy.test"},
		{"NXDOMAIN", "dig @10.9.0.2 +tries=1 +time=20 nobody.decoy.test"},
		{"REFUSED", "dig @10.66.3.3 +tries=1 +time=20 +noedns www.bank.test"},
	} {
		words := strings.Fields(c.command)
		out, err := exec.Command(need.Program(t, words[0]), words[1:]...).CombinedOutput()
		if !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
	}
	if _, err := ssh.Dial("tcp", "10.66.9.9:22", &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password("letmein")}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 20 * time.Second,
	}); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("ssh: %v", err)
	}
	for port := 1; port < 65536; port += 2113 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("10.66.4.4:%d", port), 20*time.Second)
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		c.Close()
	}
}

// told looks for what was seen in the events.
func told(t *testing.T, path string) {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e map[string]any
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		text := lines.Text()
		if e["source.ip"] != "10.9.0.1" {
			t.Errorf("source: %s", text)
		}
		for _, what := range []string{"anna", "geheim", "hunter2", "letmein", "shell.php", "hassh", "ja3", `"dns"`, "GET /login", "payload.sha256"} {
			if strings.Contains(text, what) {
				seen[what] = true
			}
		}
		if e["destination.ip"] == "10.66.4.4" {
			seen["scan"] = true
		}
	}
	if len(seen) != 11 {
		t.Errorf("told of %v only", seen)
	}
}

// keeper is a centre.
type keeper struct {
	priority, bulk []*event.Event
}

// Put keeps an event; the journal calls it from one goroutine, which has ended when check looks.
func (k *keeper) Put(class event.Class, observed time.Time, e *event.Event) error {
	if class == event.Class_CLASS_PRIORITY {
		k.priority = append(k.priority, e)
	} else {
		k.bulk = append(k.bulk, e)
	}
	return nil
}

func (k *keeper) check(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range append(k.priority, k.bulk...) {
		if e.Collector != event.Collector_COLLECTOR_DECOY {
			t.Fatalf("collector of %v", e)
		}
		switch {
		case e.GetLogin() != nil:
			seen["login "+string(e.GetLogin().Service)+" "+string(e.GetLogin().User)] = true
		case e.GetTls() != nil:
			seen["tls"] = len(e.GetTls().Ja3) == 32
		case e.GetHttp() != nil:
			seen[string(e.GetHttp().Host)+string(e.GetHttp().Url)] = true
		case e.GetFlow() != nil:
			seen["flow "+e.GetFlow().Application] = e.GetFlow().Endpoints.Flow != 0
		}
	}
	for _, want := range []string{"login ssh root", "login http anna", "login redis default", "tls", "10.66.1.2:8080/shell.php", "flow dns", "flow ssh"} {
		if !seen[want] {
			t.Errorf("the centre was not told of %q but of %v", want, seen)
		}
	}
}

// TestValidate tells all problems at once.
func TestValidate(t *testing.T) {
	cfg := decoy.DefaultConfig()
	cfg.Driver, cfg.Limits.PerSource, cfg.Events.File = "fastest", 0, ""
	cfg.Gateway4 = netip.MustParseAddr("fd00::1")
	err := cfg.Validate()
	for _, want := range []string{"interface", "addresses", "per_source", "events.file", "fastest", "gateway4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

// TestBadZone names the file, the line and the reason.
func TestBadZone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.zone")
	if err := os.WriteFile(path, []byte(zone+"oops A 1.2.3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := decoy.DefaultConfig()
	cfg.Interface, cfg.Addresses = "eth0", []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}
	cfg.DNS.Zones = []decoy.Zone{{Name: "decoy.test", File: path}}
	if _, err := decoy.New(cfg, decoy.Deps{}); err == nil || !strings.Contains(err.Error(), "bad.zone:6: A: \"1.2.3\"") {
		t.Errorf("new: %v", err)
	}
}
