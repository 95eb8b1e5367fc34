package broker_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hauberk/hauberk/bus"
	"github.com/hauberk/hauberk/bus/broker"
)

// start runs a broker in this process until the test ends.
func start(t *testing.T, change func(*broker.Config)) (socket string) {
	t.Helper()
	dir := t.TempDir()
	config := broker.DefaultConfig()
	config.Dir, config.Socket = filepath.Join(dir, "log"), filepath.Join(dir, "run", "bus.sock")
	if change != nil {
		change(&config)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- broker.Run(ctx, config, broker.Deps{Ready: func() { close(ready) }}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("broker ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("broker did not start: %v", err)
	}
	return config.Socket
}

func open(t *testing.T, socket string) *bus.Client {
	t.Helper()
	config := bus.DefaultConfig()
	config.Brokers = []string{"unix:" + socket}
	client, err := bus.Open(t.Context(), config, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestPublishAndConsume(t *testing.T) {
	socket := start(t, nil)
	client := open(t, socket)
	const n = 100
	for i := range n {
		if err := client.Publish(t.Context(), bus.Message{Topic: bus.Events, Key: []byte("k"), Value: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	err := client.Consume(ctx, bus.Group{Name: "g", Topics: []string{bus.Events}, Mode: bus.AtLeastOnce}, func(_ context.Context, batch []bus.Message) error {
		for _, m := range batch {
			got = append(got, string(m.Value))
		}
		if len(got) == n {
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got[i])
		}
	}
	if lag, err := client.Lag(t.Context(), "g"); err != nil || lag != 0 {
		t.Fatalf("lag %d, %v", lag, err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	socket := start(t, nil)
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
}
