package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/link"
	"github.com/hauberk/hauberk/link/linktest"
	"github.com/hauberk/hauberk/node/identity"
)

func open(t *testing.T, dir string, apply func([]byte) error) *Node {
	t.Helper()
	n, err := New(Config{DataDir: dir}, Deps{Kind: "decoy", Version: "test", Log: slog.New(slog.DiscardHandler), Metrics: &obs.Registry{},
		Collector: event.Collector_COLLECTOR_DECOY, Apply: apply, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// start runs a node; stop ends it and waits.
func start(t *testing.T, n *Node) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func put(t *testing.T, n *Node, detail string) {
	t.Helper()
	e := &event.Event{Body: &event.Event_Status{Status: &event.NodeStatus{Reason: "test", Detail: detail}}}
	if err := n.Put(event.Class_CLASS_PRIORITY, time.Now(), e); err != nil {
		t.Fatal(err)
	}
}

// has says whether the gateway has an event of ours whose detail begins so.
func has(v *linktest.View, detail string) bool {
	for _, e := range v.Bodies() {
		if s := e.GetStatus(); s != nil && strings.HasPrefix(s.Detail, detail) {
			return e.Collector == event.Collector_COLLECTOR_DECOY
		}
	}
	return false
}

func TestNode(t *testing.T) {
	g := linktest.NewGateway(t, linktest.GatewayOptions{})
	dir := filepath.Join(t.TempDir(), "decoy")
	if _, err := New(Config{DataDir: dir}, Deps{}); !errors.Is(err, identity.ErrNotEnrolled) {
		t.Fatalf("before it is enrolled: %v", err)
	}
	var out bytes.Buffer
	if err := EnrolCommand(EnrolOptions{Kind: "decoy", DataDir: dir}, []string{"--server", g.Address, "--token", g.NewToken().String()}, &out, &out); err != nil ||
		!strings.HasPrefix(out.String(), "enrolled as node ") {
		t.Fatalf("enrol: %v\n%s", err, &out)
	}
	applied := make(chan string, 4)
	n := open(t, dir, func(body []byte) error {
		if string(body) == "bad" {
			return errors.New("refused by the test")
		}
		applied <- string(body)
		return nil
	})
	if _, err := New(Config{DataDir: dir}, Deps{Metrics: &obs.Registry{}}); err == nil || !strings.Contains(err.Error(), "another node runs") {
		t.Fatalf("a second node of the same folder: %v", err)
	}
	put(t, n, "before the link")
	stop := start(t, n)
	g.Await(t, "the first event", func(v *linktest.View) bool { return has(v, "before the link") })

	var c *linktest.NodeConn
	g.Await(t, "the connection", func(v *linktest.View) bool { c = v.Node(n.identity.Node()); return c != nil })
	for i, body := range []string{"bad", "good"} {
		sum := sha256.Sum256([]byte(body))
		c.SendConfig(&link.Config{Version: uint64(i + 1), Hash: hex.EncodeToString(sum[:]), Body: []byte(body)})
	}
	g.Await(t, "results", func(v *linktest.View) bool {
		r := v.Configs()
		return len(r) == 2 && r[0].Error == "refused by the test" && r[1].Error == ""
	})
	if got := <-applied; got != "good" {
		t.Fatalf("applied %q", got)
	}
	mode, err := fleet.SignMode(g.CommandKey, &fleet.Mode{Epoch: 1, Stopped: true, Author: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	c.SendMode(mode)
	g.Await(t, "the stop", func(v *linktest.View) bool { return has(v, "stop by ann: ") })
	put(t, n, "while stopped")
	if n.silenced.Value() != 1 {
		t.Error("a stopped node took an event")
	}
	stop()
	g.Await(t, "the end", func(v *linktest.View) bool {
		return has(v, "decoy ends: ") && !has(v, "while stopped")
	})

	g.Stop()
	n = open(t, dir, func(body []byte) error { applied <- string(body); return nil })
	if got := <-applied; got != "good" || n.central.Version != 2 {
		t.Errorf("a start without a gateway applied %q, version %d", got, n.central.Version)
	}
	stop = start(t, n)
	stop()
}
