package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/control"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// childVariable makes the test binary a gateway that can be killed: it holds
// the gateway's config as JSON.
const childVariable = "HAUBERK_TEST_GATEWAY"

// child runs the gateway until it is killed, and prints its address.
func child() int {
	var c control.Config
	err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c)
	if err == nil {
		var g *control.Gateway
		g, err = control.New(c, control.Deps{Bus: newMemoryBus(), Ready: func(a net.Addr) { fmt.Println(a) }})
		if err == nil {
			err = g.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// startChild returns a gateway in a process of its own.
func (c *centre) startChild(name string) (*running, *exec.Cmd) {
	c.t.Helper()
	cfg := c.Config
	cfg.Name = name
	text, err := json.Marshal(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return &running{Address: strings.TrimSpace(line)}, cmd
}

// TestGatewayDies kills a gateway: its nodes are unknown until they return,
// and those of another gateway are not.
func TestGatewayDies(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	other := c.gateway(func(cfg *control.Config) { cfg.Name = "other"; cfg.Advertise = "127.0.0.1:1" })
	doomed, process := c.startChild("doomed")
	m, safe := c.enrol(doomed, "a", nil), c.enrol(other, "b", nil)
	_, w := m.connect(t, doomed)
	safe.connect(t, other)
	here := c.Bus.presence(t, safe.Identity.Node, "online", is(online))
	// The child's bus is its own: this is what it says there.
	there := &fleet.Presence{Node: m.Identity.Node[:], State: online, Gateway: w.Gateway}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lists, ended := make(chan []*fleet.Gateway), make(chan error, 1)
	go func() {
		ended <- c.Admin.WatchGateways(ctx, func(all []*fleet.Gateway) {
			select {
			case lists <- all:
			case <-ctx.Done():
			}
		})
	}()
	await := func(want func(alive func(string) bool) bool) {
		t.Helper()
		for all := range lists {
			if want(func(id string) bool {
				return slices.ContainsFunc(all, func(g *fleet.Gateway) bool { return g.Id == id })
			}) {
				return
			}
		}
	}
	await(func(alive func(string) bool) bool { return alive(w.Gateway) && alive(here.Gateway) })
	if there.Seen(func(string) bool { return true }) != online {
		t.Error("a living gateway's node is not online")
	}
	process.Process.Kill()
	await(func(alive func(string) bool) bool {
		return there.Seen(alive) == fleet.PresenceState_PRESENCE_STATE_UNKNOWN && here.Seen(alive) == online
	})
	// It returns at the other gateway, which knows where gateways are.
	_, w = m.connect(t, other)
	if len(w.Gateways) != 1 || w.Gateways[0] != "127.0.0.1:1" {
		t.Errorf("told gateways %v", w.Gateways)
	}
	c.Bus.presence(t, m.Identity.Node, "back online", is(online))
	cancel()
	<-ended
}

// TestDrain: a gateway that ends sends its nodes away one after the other,
// leaves the list, and does not call them offline.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newCentre(t)
	r := c.gateway(func(cfg *control.Config) { cfg.Drain = 50 * time.Millisecond })
	m, n := c.enrol(r, "a", nil), c.enrol(r, "b", nil)
	p, _ := m.connect(t, r)
	q, _ := n.connect(t, r)
	if all, err := c.Admin.Gateways(t.Context()); err != nil || len(all) != 1 || all[0].Name != "gateway" {
		t.Errorf("gateways: %v, %v", all, err)
	}
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	for _, peer := range []*linktest.Peer{p, q} {
		peer.Refused(t, link.Reason_REASON_SHUTDOWN)
		peer.Close()
	}
	<-stopped
	if all, err := c.Admin.Gateways(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("gateways after its end: %v, %v", all, err)
	}
	c.Bus.presence(t, m.Identity.Node, "its last word", func(p *fleet.Presence) bool {
		if p.State == offline {
			t.Error("the end of the gateway made a node offline")
		}
		return true
	})
}
