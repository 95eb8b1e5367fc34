package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/decoy"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/link/linktest"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(good, []byte("interface: eth0\naddresses: [192.0.2.2/24]\ntraps: [198.51.100.0/24]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("interface: eth0\nadresses: [192.0.2.2/24]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      []string
		out, fail string
	}{
		{args: []string{"help"}, out: "hauberk-decoy answers"},
		{args: []string{"version"}, out: "hauberk-decoy dev"},
		{args: []string{"fly"}, fail: `no command "fly"`},
		{args: []string{"run", "--config", good, "--check-config"}},
		{args: []string{"run", "--config", good, "--print-config"}, out: "- 198.51.100.0/24"},
		{args: []string{"run", "--config", bad, "--check-config"}, fail: `unknown key "adresses"`},
		{args: []string{"netstat", "--socket", filepath.Join(dir, "none")}, fail: "is the decoy running?"},
	} {
		var out bytes.Buffer
		err := dispatch(c.args, &out)
		if c.fail == "" && err != nil || c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) || !strings.Contains(out.String(), c.out) {
			t.Errorf("%v: %v\n%s", c.args, err, out.String())
		}
	}
}

// TestNode joins a centre, which is then told; more than one queue is refused.
func TestNode(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	dir := filepath.Join(t.TempDir(), "decoy")
	log := slog.New(slog.DiscardHandler)
	cfg := decoy.DefaultConfig()
	if sink, _, err := join(dir, &cfg, log); sink != nil || err != nil {
		t.Fatalf("before it is enrolled: %v %v", sink, err)
	}
	var out bytes.Buffer
	if err := enroll([]string{"--data-dir", dir, "--server", g.Address, "--token", g.NewToken().String()}, &out, &out); err != nil {
		t.Fatal(err, out.String())
	}
	cfg.Queues = 2
	if _, _, err := join(dir, &cfg, log); err == nil || !strings.Contains(err.Error(), "queues: 1") {
		t.Fatalf("with two queues: %v", err)
	}
	cfg.Queues = 0 // as many as the interface has, which is one
	sink, leave, err := join(dir, &cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	login := &event.Event{Body: &event.Event_Login{Login: &event.Login{User: []byte("root"), Service: []byte("ssh")}}}
	if err := sink.Put(event.Class_CLASS_PRIORITY, time.Now(), login); err != nil {
		t.Fatal(err)
	}
	g.Await(t, "the login", func(v *linktest.View) bool {
		for _, e := range v.Bodies() {
			if l := e.GetLogin(); l != nil && string(l.User) == "root" {
				return e.Collector == event.Collector_COLLECTOR_DECOY
			}
		}
		return false
	})
	if err := leave(); err != nil {
		t.Error(err)
	}
}
