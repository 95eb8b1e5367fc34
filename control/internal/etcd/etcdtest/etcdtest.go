// Package etcdtest gives tests a real etcd: one embedded server for the test
// binary, or the cluster that $HAUBERK_TEST_ETCD names (endpoints with
// commas between them), and for each test a client whose keys nobody else
// sees.
package etcdtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hauberk/hauberk/control/internal/etcd"
)

var (
	endpoints []string
	number    atomic.Uint64
	session   = rand.Text() // keeps runs on one external cluster apart
)

// Main starts the server, runs the tests, and stops it. Call it from
// TestMain.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdtest:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if external := os.Getenv("HAUBERK_TEST_ETCD"); external != "" {
		endpoints = strings.Split(external, ",")
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "etcdtest")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "etcd.sock")
	endpoints = []string{"unix:" + socket}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- etcd.Serve(ctx, etcd.ServerConfig{Dir: filepath.Join(dir, "data"), Socket: socket, Quota: 64 << 20, NoSync: true},
			slog.New(slog.DiscardHandler), func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return 1, err
	}
	code := m.Run()
	cancel()
	return code, <-ended
}

// Config returns a client config whose keys are the test's own.
func Config() etcd.ClientConfig {
	c := etcd.DefaultClientConfig()
	c.Endpoints = endpoints
	c.Prefix = fmt.Sprintf("/test/%s/%d/", session, number.Add(1))
	return c
}

// Client returns a client that is closed at the end of the test.
func Client(t testing.TB) *clientv3.Client { return Dial(t, Config()) }

// Dial connects with that config, until the end of the test.
func Dial(t testing.TB, c etcd.ClientConfig) *clientv3.Client {
	t.Helper()
	client, err := etcd.Dial(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}
