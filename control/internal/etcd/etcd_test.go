package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
	"github.com/hauberk/hauberk/control/internal/etcd/etcdtest"
	"github.com/hauberk/hauberk/internal/conf"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

var discard = slog.New(slog.DiscardHandler)

// start runs an etcd of the test's own until stop.
func start(t *testing.T, c etcd.ServerConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- etcd.Serve(ctx, c, discard, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func dial(t *testing.T, socket string) *clientv3.Client {
	t.Helper()
	c := etcd.DefaultClientConfig()
	c.Endpoints = []string{"unix:" + socket}
	return etcdtest.Dial(t, c)
}

func TestServerKeepsItsDataAndItsSocketToItself(t *testing.T) {
	dir := t.TempDir()
	c := etcd.ServerConfig{Dir: filepath.Join(dir, "etcd"), Socket: filepath.Join(dir, "etcd.sock"), Quota: 16 << 20}
	before := listening(t)
	stop := start(t, c)
	info, err := os.Stat(c.Socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	for port := range listening(t) {
		if !before[port] {
			t.Errorf("etcd listens on TCP %s", port)
		}
	}
	if _, err := dial(t, c.Socket).Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	second := c
	second.Socket = filepath.Join(dir, "other.sock")
	if err := etcd.Serve(t.Context(), second, discard, func() { t.Error("second server is ready") }); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("second server on one folder: %v", err)
	}
	stop()
	stop = start(t, c)
	defer stop()
	r, err := dial(t, c.Socket).Get(t.Context(), "a")
	if err != nil || len(r.Kvs) != 1 || string(r.Kvs[0].Value) != "1" {
		t.Errorf("after a restart: %v, %v", r, err)
	}
}

// listening returns the TCP sockets of this process that listen.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			own[strings.Trim(target, "socket:[]")] = true
		}
	}
	out := map[string]bool{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && own[f[9]] {
				out[f[1]] = true
			}
		}
	}
	return out
}

func TestPrefixesAreApart(t *testing.T) {
	a, b := etcdtest.Client(t), etcdtest.Client(t)
	if _, err := a.Put(t.Context(), "k", "a"); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Get(t.Context(), "", clientv3.WithPrefix()); err != nil || r.Count != 0 {
		t.Errorf("another prefix shows %v, %v", r, err)
	}
}

func TestList(t *testing.T) {
	c := etcdtest.Client(t)
	const n = 2500 // more than two pages
	for i := 0; i < n; i += 100 {
		var ops []clientv3.Op
		for j := i; j < i+100; j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("list/%05d", j), "x"))
		}
		if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	if _, err := etcd.List(t.Context(), c, "list/", func(i etcd.Item) error {
		if i.Key != fmt.Sprintf("list/%05d", next) {
			t.Fatalf("item %d is %s", next, i.Key)
		}
		next++
		return nil
	}); err != nil || next != n {
		t.Errorf("%d items, %v", next, err)
	}
	stop := errors.New("stop")
	if _, err := etcd.List(t.Context(), c, "list/", func(etcd.Item) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visitor's error: %v", err)
	}
}

func TestFollow(t *testing.T) {
	c := etcdtest.Client(t)
	put := func(key, value string) {
		t.Helper()
		if _, err := c.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	put("f/a", "1")
	put("elsewhere", "1")
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string, 10)
	tell := func(kind string) func([]etcd.Item) error {
		return func(items []etcd.Item) error {
			for _, i := range items {
				value := "deleted"
				if i.Value != nil {
					value = string(i.Value)
				}
				seen <- kind + " " + i.Key + " " + value
			}
			return nil
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- etcd.Follow(ctx, c, discard, "f/", tell("reset"), tell("change")) }()
	expect := func(want string) {
		t.Helper()
		if got := <-seen; got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	expect("reset f/a 1")
	put("f/b", "")
	expect("change f/b ")
	if _, err := c.Delete(t.Context(), "f/a"); err != nil {
		t.Fatal(err)
	}
	expect("change f/a deleted")
	put("elsewhere", "2")
	put("f/c", "3")
	expect("change f/c 3")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("follow ended with %v", err)
	}
	failed := errors.New("no")
	if err := etcd.Follow(t.Context(), c, discard, "f/", func([]etcd.Item) error { return failed }, nil); !errors.Is(err, failed) {
		t.Errorf("error of reset: %v", err)
	}
}

// TestFollowBeginsAgain stops the server under a watch and compacts what the
// watch has not seen.
func TestFollowBeginsAgain(t *testing.T) {
	dir := t.TempDir()
	sc := etcd.ServerConfig{Dir: filepath.Join(dir, "etcd"), Socket: filepath.Join(dir, "s"), Quota: 16 << 20, NoSync: true}
	stop := start(t, sc)
	c := dial(t, sc.Socket)
	resets, changes := make(chan int, 10), make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- etcd.Follow(ctx, c, discard, "f/", func(i []etcd.Item) error { resets <- len(i); return nil },
			func(i []etcd.Item) error { changes <- i[0].Key; return nil })
	}()
	if n := <-resets; n != 0 {
		t.Fatalf("%d items at first", n)
	}
	stop()
	stop = start(t, sc)
	other := dial(t, sc.Socket)
	if _, err := other.Put(t.Context(), "f/after", "1"); err != nil {
		t.Fatal(err)
	}
	// Either the watch went on, or it began again; nothing is lost.
	select {
	case key := <-changes:
		if key != "f/after" {
			t.Errorf("changed: %s", key)
		}
	case n := <-resets:
		if n != 1 {
			t.Errorf("began again with %d items", n)
		}
	}
	cancel()
	<-ended
	stop()
}

func TestClientConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*etcd.ClientConfig)
		want   string
	}{
		"good":              {func(c *etcd.ClientConfig) {}, ""},
		"external":          {func(c *etcd.ClientConfig) { c.Endpoints = []string{"https://a:2379", "https://b:2379"} }, ""},
		"none":              {func(c *etcd.ClientConfig) { c.Endpoints = nil }, "must not be empty"},
		"relative":          {func(c *etcd.ClientConfig) { c.Endpoints = []string{"unix:etcd.sock"} }, "absolute path"},
		"bare":              {func(c *etcd.ClientConfig) { c.Endpoints = []string{"a:2379"} }, "want unix:/path or https"},
		"two sockets":       {func(c *etcd.ClientConfig) { c.Endpoints = []string{"unix:/a", "unix:/b"} }, "stands alone"},
		"prefix":            {func(c *etcd.ClientConfig) { c.Prefix = "hauberk" }, "begin and end with a slash"},
		"half a key pair":   {func(c *etcd.ClientConfig) { c.CertFile = "x" }, "one needs the other"},
		"user without":      {func(c *etcd.ClientConfig) { c.User = "x" }, "one needs the other"},
		"all of it at once": {func(c *etcd.ClientConfig) { c.Prefix, c.Endpoints = "", nil }, "endpoints"},
	} {
		config := etcd.DefaultClientConfig()
		config.Endpoints = []string{"unix:/run/etcd.sock"}
		c.change(&config)
		var p conf.Problems
		config.Check(&p)
		if err := p.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
