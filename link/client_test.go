package link_test

import (
	"context"
	"crypto"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
)

// start runs a client of the node until the test ends.
func start(t *testing.T, n *linktest.Node, metrics *obs.Registry, gateways ...string) (c *link.Client, stop func()) {
	t.Helper()
	return startWith(t, n, link.ClientConfig{Gateways: gateways, Metrics: metrics})
}

func startWith(t *testing.T, n *linktest.Node, cfg link.ClientConfig) (c *link.Client, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 5*time.Millisecond
	c = link.NewClient(cfg, n, n)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Errorf("client: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}

// await polls a condition no channel tells of.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func value(r *obs.Registry, name, label string) uint64 { return r.Counter(name, label, "").Value() }

const (
	bulk     = event.Class_CLASS_BULK
	priority = event.Class_CLASS_PRIORITY
)

func TestClientDelivers(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	n.Make(bulk, 5000)
	start(t, n, nil, g.Address)
	n.Make(priority, 95)
	g.Await(t, "5095 events", func(v *linktest.View) bool { return len(v.Events()) == 5095 })
	await(t, "all acknowledged", func() bool { return n.Unacked() == 0 })
	g.Await(t, "each once", func(v *linktest.View) bool {
		for id, times := range v.Events() {
			if times != 1 || id.Node != n.Creds.Identity.Node {
				t.Errorf("%s came %d times", id, times)
			}
		}
		return true
	})
}

// TestResume kills every connection again and again while batches fly: all
// events arrive, with the identity they were given first.
func TestResume(t *testing.T) {
	authority := linktest.NewAuthority(t)
	g := linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority})
	n := linktest.NewNode(authority.Node(t, "acme"))
	id := n.Creds.Identity.Node
	g.Hold(true)
	start(t, n, nil, g.Address)
	total := 0
	for round := range 8 {
		n.Make(bulk, 300)
		n.Make(priority, 7)
		total += 307
		g.Await(t, "batches in flight", func(v *linktest.View) bool { return v.Node(id) != nil && v.Held() > 0 })
		if round%2 == 0 {
			g.Hold(false) // some are acknowledged
			g.Hold(true)
		}
		var c *linktest.NodeConn
		g.Await(t, "the connection", func(v *linktest.View) bool { c = v.Node(id); return c != nil })
		c.Goaway(link.Reason_REASON_UNAVAILABLE, "test", 0)
		g.Await(t, "the next connection", func(v *linktest.View) bool { return v.Node(id) != nil && v.Node(id) != c })
	}
	g.Hold(false)
	g.Await(t, "all events", func(v *linktest.View) bool { return len(v.Events()) == total })
	await(t, "all acknowledged", func() bool { g.Hold(false); return n.Unacked() == 0 })
}

func TestGatewayLostAndBack(t *testing.T) {
	authority := linktest.NewAuthority(t)
	first := linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority})
	n := linktest.NewNode(authority.Node(t, "acme"))
	metrics := &obs.Registry{}
	c, _ := start(t, n, metrics, first.Address)
	n.Make(bulk, 10)
	first.Await(t, "events", func(v *linktest.View) bool { return len(v.Events()) == 10 })
	first.Stop()
	await(t, "the loss seen", func() bool { return !c.State().Connected })
	n.Make(bulk, 20)
	second := linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority, Address: first.Address})
	second.Await(t, "events", func(v *linktest.View) bool { return len(v.Events()) >= 20 })
	await(t, "all acknowledged", func() bool { return n.Unacked() == 0 })
	if value(metrics, "hauberk_link_connects_total", "") < 2 || value(metrics, "hauberk_link_failures_total", "") == 0 {
		t.Error("connects and failures were not counted")
	}
}

func TestSecondGatewayServes(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	start(t, n, nil, dead.Addr().String(), g.Address)
	g.Await(t, "a connection", func(v *linktest.View) bool { return v.Nodes() == 1 })
}

func TestWithdrawnBulk(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	g.SetWelcome(func() *link.Welcome {
		return &link.Welcome{Credits: []*link.Credit{{Class: priority, Window: 1000}, {Class: bulk, Window: 0}}}
	})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	n.Make(bulk, 50)
	n.Make(priority, 20)
	start(t, n, nil, g.Address)
	g.Await(t, "priority events", func(v *linktest.View) bool { return len(v.Events()) == 20 })
	await(t, "bulk alone unacknowledged", func() bool { return n.Unacked() == 5 })
	var c *linktest.NodeConn
	g.Await(t, "no bulk", func(v *linktest.View) bool {
		c = v.Node(n.Creds.Identity.Node)
		if len(v.Events()) != 20 {
			t.Errorf("%d events without bulk credit", len(v.Events()))
		}
		return true
	})
	c.Grant(bulk, 1<<20)
	g.Await(t, "bulk events", func(v *linktest.View) bool { return len(v.Events()) == 70 })
}

func TestPushesReachTheNode(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	client, _ := start(t, n, nil, g.Address)
	var c *linktest.NodeConn
	g.Await(t, "a connection", func(v *linktest.View) bool { c = v.Node(n.Creds.Identity.Node); return c != nil })
	command, err := link.EncodeCommand(&fleet.SignedCommand{Command: []byte("c")})
	if err != nil {
		t.Fatal(err)
	}
	c.Send(command)
	c.SendMode(&fleet.SignedMode{Mode: []byte("m")})
	c.SendConfig(&link.Config{Version: 7, Hash: "h"})
	g.Await(t, "the config's result", func(v *linktest.View) bool { return len(v.Configs()) == 1 && v.Configs()[0].Version == 7 })
	if commands, modes := n.Told(); len(commands) != 1 || len(modes) != 1 {
		t.Errorf("told %v and %v", commands, modes)
	}
	client.Result(&fleet.CommandResult{Command: "c", Tenant: "forged", Node: []byte("forged")})
	client.Nudge()
	g.Await(t, "status and result", func(v *linktest.View) bool { return len(v.Results()) == 1 && len(v.Statuses()) == 1 })
	g.Await(t, "the node's true name", func(v *linktest.View) bool {
		r := v.Results()[0]
		return r.Tenant == "acme" && event.NodeID(r.Node) == n.Creds.Identity.Node
	})
}

func TestRenewal(t *testing.T) {
	for name, age := range map[string]struct{ before, after time.Duration }{
		"while valid":          {-23 * time.Hour, time.Hour},
		"expired last week":    {-9 * 24 * time.Hour, -7 * 24 * time.Hour},
		"clock jumped forward": {-time.Hour, 23 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			o := linktest.GatewayOptions{Heartbeat: 100 * time.Millisecond}
			if name == "clock jumped forward" {
				o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) } // only the gateway's
			}
			g := linktest.NewGateway(t, o)
			g.NodeLife = 100 * time.Hour
			n := linktest.NewNode(g.Authority.NodeAt(t, "acme", time.Now().Add(age.before), time.Now().Add(age.after)))
			old := n.Creds.Leaf.SerialNumber
			key := n.Creds.Certificate.PrivateKey.(crypto.Signer)
			n.Store = func(r *link.Renewed) (*link.Credentials, error) { return link.NewCredentials(r.Chain, key, r.Roots) }
			start(t, n, nil, g.Address)
			n.Make(bulk, 10)
			g.Await(t, "events", func(v *linktest.View) bool { return len(v.Events()) == 10 })
			await(t, "a new certificate", func() bool {
				creds, _ := n.Credentials()
				return creds.Leaf.SerialNumber.Cmp(old) != 0
			})
			g.Await(t, "a connection with it", func(v *linktest.View) bool { return v.Nodes() == 1 })
		})
	}
}

// TestNodeClockAhead lets the node's own clock be two days fast: it renews
// once, sees that this does not help, and works on.
func TestNodeClockAhead(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{Heartbeat: 100 * time.Millisecond})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	key := n.Creds.Certificate.PrivateKey.(crypto.Signer)
	renewals := 0
	n.Store = func(r *link.Renewed) (*link.Credentials, error) {
		renewals++
		return link.NewCredentials(r.Chain, key, r.Roots)
	}
	_, stop := startWith(t, n, link.ClientConfig{
		Gateways: []string{g.Address}, Now: func() time.Time { return time.Now().Add(48 * time.Hour) },
	})
	n.Make(bulk, 10)
	g.Await(t, "events and two heartbeats", func(v *linktest.View) bool { return len(v.Events()) == 10 && len(v.Statuses()) >= 2 })
	stop()
	if renewals != 1 {
		t.Errorf("renewed %d times", renewals)
	}
}

// TestNodeClockBehind is a node whose clock is slow, or jumped back: the
// gateway's certificate is not valid yet; the node says so and keeps its events.
func TestNodeClockBehind(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	n.Make(bulk, 10)
	c, stop := startWith(t, n, link.ClientConfig{
		Gateways: []string{g.Address}, Now: func() time.Time { return time.Now().Add(-60 * 24 * time.Hour) },
	})
	await(t, "the reason", func() bool { return strings.Contains(c.State().Error, "not yet valid") })
	stop()
	if n.Unacked() != 1 {
		t.Error("events were forgotten")
	}
}

func TestRefusedForGood(t *testing.T) {
	authority := linktest.NewAuthority(t)
	g := linktest.NewGateway(t, linktest.GatewayOptions{Authority: authority})
	t.Run("expired long ago", func(t *testing.T) {
		n := linktest.NewNode(authority.NodeAt(t, "acme", time.Now().Add(-40*24*time.Hour), time.Now().Add(-31*24*time.Hour)))
		c, _ := start(t, n, nil, g.Address)
		await(t, "the reason", func() bool { return strings.Contains(c.State().Error, "enrol again") })
	})
	t.Run("foreign gateway", func(t *testing.T) {
		n := linktest.NewNode(linktest.NewAuthority(t).Node(t, "acme"))
		c, _ := start(t, n, nil, g.Address)
		await(t, "the reason", func() bool { return strings.Contains(c.State().Error, "unknown authority") })
	})
	t.Run("a node as gateway", func(t *testing.T) {
		creds := authority.Node(t, "acme")
		address := impostor(t, creds)
		n := linktest.NewNode(authority.Node(t, "acme"))
		c, _ := start(t, n, nil, address)
		await(t, "the reason", func() bool { return strings.Contains(c.State().Error, "not of a gateway") })
	})
}

func TestSessionIsResumed(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	n := linktest.NewNode(g.Authority.Node(t, "acme"))
	metrics := &obs.Registry{}
	start(t, n, metrics, g.Address)
	n.Make(bulk, 1)
	await(t, "an ack, and with it the ticket", func() bool { return n.Unacked() == 0 })
	g.Await(t, "the connection", func(v *linktest.View) bool {
		v.Node(n.Creds.Identity.Node).Goaway(link.Reason_REASON_SHUTDOWN, "", 0)
		return true
	})
	await(t, "a resumption", func() bool { return value(metrics, "hauberk_link_resumptions_total", "") == 1 })
	n.Make(bulk, 1)
	g.Await(t, "events over the resumed session", func(v *linktest.View) bool { return len(v.Events()) == 2 })
}
