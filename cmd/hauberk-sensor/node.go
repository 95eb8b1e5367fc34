package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/durable"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/node"
	"github.com/hauberk/hauberk/node/identity"
	"github.com/hauberk/hauberk/sensor"
)

// defaultNodeDir is where an enrolled sensor keeps identity, spool and the centre's rules.
const defaultNodeDir = "/var/lib/hauberk-sensor"

// enroll is the command of that name.
func enroll(args []string, stdout, stderr io.Writer) error {
	return node.EnrolCommand(node.EnrolOptions{Kind: "sensor", Version: version, DataDir: defaultNodeDir}, args, stdout, stderr)
}

// member is a sensor as a node of the fleet.
type member struct {
	*node.Node
	rules string // file of the centre's rules

	mu     sync.Mutex
	reload func() error // nil until the sensor is there
}

// join makes the sensor of an enrolled machine a node; nil on one that is not.
func join(dir string, stderr io.Writer) (*member, error) {
	m := &member{rules: filepath.Join(dir, "central.rules")}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	var err error
	m.Node, err = node.New(node.Config{DataDir: dir}, node.Deps{Kind: "sensor", Version: version, Log: log, Metrics: &obs.Registry{},
		Collector: event.Collector_COLLECTOR_SENSOR, Apply: m.apply})
	if errors.Is(err, identity.ErrNotEnrolled) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(m.rules, os.O_CREATE, 0o600) // so that it can be named among the rules
	if err != nil {
		return nil, err
	}
	return m, f.Close()
}

// apply takes the centre's rules; those before stay if they are wrong.
func (m *member) apply(body []byte) error {
	c, err := sensor.DecodeCentral(body)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(m.rules)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.WriteFile(m.rules, []byte(c.Rules), 0o600); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reload == nil {
		return nil
	}
	if err := m.reload(); err != nil {
		return errors.Join(err, durable.WriteFile(m.rules, before, 0o600))
	}
	return nil
}

// start sends what the sensor sees to the centre until leave is called, which
// waits until what was seen last is sent or kept.
func (m *member) start(live *sensor.Live, reload func() error) (leave func() error) {
	live.Publish(m)
	m.mu.Lock()
	m.reload = reload
	m.mu.Unlock()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return func() error { stop(); return <-done }
}
