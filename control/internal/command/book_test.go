package command

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/keyspace"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/fleet"
)

var (
	key     = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	foreign = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	start   = time.Unix(1_800_000_000, 0)
)

func commandItem(t *testing.T, signer ed25519.PrivateKey, id, tenant, selector string, from, to time.Duration) etcd.Item {
	t.Helper()
	s, err := fleet.SignCommand(signer, &fleet.Command{
		Id: id, Name: "ping", Tenant: tenant, Selector: selector, NotBefore: start.Add(from).UnixNano(), Expires: start.Add(to).UnixNano(),
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := s.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return etcd.Item{Key: keyspace.Command(id), Value: value}
}

func modeItem(t *testing.T, epoch uint64, tenant, selector string) etcd.Item {
	t.Helper()
	s, err := fleet.SignMode(key, &fleet.Mode{Epoch: epoch, Tenant: tenant, Selector: selector, Stopped: true})
	if err != nil {
		t.Fatal(err)
	}
	value, err := s.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return etcd.Item{Key: keyspace.Mode(epoch), Value: value}
}

func ids(orders []*Order) string {
	var out []string
	for _, o := range orders {
		out = append(out, o.ID)
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

func TestCommandsInTime(t *testing.T) {
	b := NewBook(fleet.Keys{key.Public().(ed25519.PublicKey)})
	for _, i := range []etcd.Item{
		commandItem(t, key, "now", "", "all", 0, time.Hour),
		commandItem(t, key, "later", "acme", "role=web", time.Minute, time.Hour),
		commandItem(t, key, "past", "", "all", -2*time.Hour, -time.Hour),
		commandItem(t, key, "taken-back", "", "all", time.Minute, time.Hour),
		{Key: keyspace.Command("taken-back")},
	} {
		if _, err := b.Apply(i); err != nil {
			t.Fatal(err)
		}
	}
	web := &fleet.Subject{ID: event.NodeID{1}, Tenant: "acme", Labels: map[string]string{"role": "web"}}
	db := &fleet.Subject{ID: event.NodeID{2}, Tenant: "acme"}
	foreigner := &fleet.Subject{ID: event.NodeID{3}, Tenant: "umbrella", Labels: map[string]string{"role": "web"}}
	for _, c := range []struct {
		at               time.Duration
		due, web, db, fo string
	}{
		{0, "now", "now", "now", "now"},
		{time.Second, "", "now", "now", "now"},
		{time.Minute, "later", "later now", "now", "now"},
		{-time.Minute, "", "", "", ""}, // a clock that went back
		{2 * time.Minute, "", "later now", "now", "now"},
		{time.Hour, "", "", "", ""},
	} {
		now := start.Add(c.at)
		got := fmt.Sprintf("%s|%s|%s|%s", ids(b.Due(now)), ids(b.Running(now, web)), ids(b.Running(now, db)), ids(b.Running(now, foreigner)))
		if want := c.due + "|" + c.web + "|" + c.db + "|" + c.fo; got != want {
			t.Errorf("at %s: %s, want %s", c.at, got, want)
		}
	}
	if len(b.commands)+len(b.waiting) != 0 {
		t.Errorf("%d commands and %d waiting stay for ever", len(b.commands), len(b.waiting))
	}
}

func TestModes(t *testing.T) {
	b := NewBook(fleet.Keys{key.Public().(ed25519.PublicKey)})
	web := &fleet.Subject{Tenant: "acme", Labels: map[string]string{"role": "web"}}
	other := &fleet.Subject{Tenant: "umbrella"}
	epoch := func(n *fleet.Subject) uint64 {
		if o := b.Mode(n); o != nil {
			return o.Epoch
		}
		return 0
	}
	for _, c := range []struct {
		item       etcd.Item
		web, other uint64
	}{
		{modeItem(t, 5, "", "role=web"), 5, 0},
		{modeItem(t, 3, "", "all"), 5, 3},
		{modeItem(t, 7, "umbrella", "all"), 5, 7},
		{modeItem(t, 9, "acme", "all"), 9, 7},
		{etcd.Item{Key: keyspace.Mode(9)}, 5, 7},
		{etcd.Item{Key: keyspace.Mode(5)}, 3, 7},
	} {
		o, err := b.Apply(c.item)
		if err != nil || (o != nil) != (c.item.Value != nil) {
			t.Fatalf("%s: %v, %v", c.item.Key, o, err)
		}
		if epoch(web) != c.web || epoch(other) != c.other {
			t.Errorf("after %s: %d and %d, want %d and %d", c.item.Key, epoch(web), epoch(other), c.web, c.other)
		}
	}
}

func TestBookBelievesOnlyItsKeys(t *testing.T) {
	b := NewBook(fleet.Keys{key.Public().(ed25519.PublicKey)})
	for name, i := range map[string]etcd.Item{
		"foreign":  commandItem(t, foreign, "x", "", "all", 0, time.Hour),
		"selector": commandItem(t, key, "x", "", "role=", 0, time.Hour),
		"noise":    {Key: keyspace.Command("x"), Value: []byte{0xff}},
		"mode":     {Key: keyspace.Mode(1), Value: []byte{0xff}},
		"moved":    {Key: keyspace.Mode(1), Value: commandItem(t, key, "x", "", "all", 0, time.Hour).Value},
	} {
		if o, err := b.Apply(i); err == nil || o != nil {
			t.Errorf("%s: %v taken", name, o)
		}
	}
	if got := ids(b.Due(start)); got != "" || b.Mode(&fleet.Subject{}) != nil {
		t.Errorf("sends %s", got)
	}
}

func TestCovers(t *testing.T) {
	mode := func(tenant, selector string) *fleet.Mode { return &fleet.Mode{Tenant: tenant, Selector: selector} }
	for _, c := range []struct {
		m, old *fleet.Mode
		want   bool
	}{
		{mode("", "all"), mode("", "role=web"), true},
		{mode("", "all"), mode("acme", "role=web"), true},
		{mode("acme", "all"), mode("acme", "role=web"), true},
		{mode("acme", "all"), mode("", "role=web"), false},
		{mode("acme", "all"), mode("umbrella", "all"), false},
		{mode("", "role = web"), mode("", "role in (web)"), true},
		{mode("", "role=web"), mode("acme", "role=web"), true},
		{mode("", "role=web"), mode("", "role=db"), false},
		{mode("", "role=web"), mode("", "all"), false},
	} {
		if covers(c.m, c.old) != c.want {
			t.Errorf("%v covers %v: %v", c.m, c.old, !c.want)
		}
	}
}
