package loop

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hauberk/hauberk/internal/need"
)

// wire makes a namespace that is joined with this one by a pair of
// interfaces: near has 10.77.0.1, the other end 10.77.0.2.
func wire(t *testing.T, near, namespace string) {
	t.Helper()
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", namespace).Run() })
	for _, args := range []string{
		"netns add " + namespace, "link add " + near + " type veth peer name far netns " + namespace,
		"addr add 10.77.0.1/24 dev " + near, "link set " + near + " up",
		"-n " + namespace + " addr add 10.77.0.2/24 dev far", "-n " + namespace + " link set far up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
}

// TestSensorLoop is the way of an alert from the wire to the analyst: an
// enrolled sensor watches an interface, a client asks a server for what a rule
// knows, and the alert is in the CLI with the request as its evidence.
func TestSensorLoop(t *testing.T) {
	need.Root(t)
	curl := need.Program(t, "curl")
	chromium := need.Program(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	bin := t.TempDir()
	binaries, err := Build(ctx, bin)
	if err != nil {
		t.Fatal(err)
	}
	sensor, err := BuildOne(ctx, bin, "hauberk-sensor")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Up(ctx, binaries, dataDir(t), "--no-agent")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, p)
	gateway, err := p.Gateway(ctx)
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(ctx, sensor, "enroll", "--server", gateway, "--token", token, "--data-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	rules := filepath.Join(dir, "test.rules")
	rule := `alert http any any -> any any (msg:"TEST what a dropper asks for"; flow:established,to_server; http.uri; content:"/dropper.sh"; classtype:trojan-activity; priority:1; sid:77; rev:1;)`
	if err := os.WriteFile(rules, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	wire(t, "hbsensor", "hbsensor-client")
	watch := exec.Command(sensor, "-i", "hbsensor", "-S", rules, "-l", dir, "--node-dir", dir)
	var said strings.Builder
	watch.Stderr = &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = watch.Process.Signal(os.Interrupt)
		if err := watch.Wait(); err != nil {
			t.Errorf("sensor: %v\n%s", err, &said)
		}
	}()
	if err := p.AwaitOnline(ctx); err != nil {
		t.Fatal(err)
	}

	listener, err := net.Listen("tcp4", "10.77.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	// The sensor may be on the link before it is on the wire: ask until it tells.
	done := make(chan struct{})
	asking, enough := context.WithCancel(ctx)
	go func() {
		defer close(done)
		for asking.Err() == nil {
			_ = exec.CommandContext(asking, "ip", "netns", "exec", "hbsensor-client", curl, "-s", "-o", "/dev/null", "http://"+listener.Addr().String()+"/dropper.sh").Run()
		}
	}()
	a, err := p.AwaitAlert(ctx, func(a Alert) bool { return a.RuleID == "suricata:1:77" })
	if err == nil {
		err = centralRule(ctx, p, dir)
	}
	enough()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	lookInBrowser(t, chromium, p, a.RuleName)
	if a.Severity != "high" || !strings.Contains(a.Raw, "GET 10.77.0.1/dropper.sh") {
		t.Errorf("alert %s", a.Raw)
	}
}

// centralRule gives the sensor a rule from the centre, and waits for its alert.
func centralRule(ctx context.Context, p *Platform, dir string) error {
	file := filepath.Join(dir, "central.yaml")
	text := "rules: |\n  alert http any any -> any any (msg:\"TEST of the centre\"; http.uri; content:\"/dropper.sh\"; sid:78;)\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := p.CLI(ctx, "config", "put", "wire", "--kind", "sensor", "--file", file, "-m", "test"); err != nil {
		return err
	}
	_, err := p.AwaitAlert(ctx, func(a Alert) bool { return a.RuleID == "suricata:1:78" })
	return err
}
