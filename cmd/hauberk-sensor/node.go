package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/node"
	"github.com/hauberk/hauberk/node/identity"
	"github.com/hauberk/hauberk/sensor"
)

// defaultNodeDir is where an enrolled sensor keeps identity and spool.
const defaultNodeDir = "/var/lib/hauberk-sensor"

// enroll is the command of that name.
func enroll(args []string, stdout, stderr io.Writer) error {
	return node.EnrolCommand(node.EnrolOptions{Kind: "sensor", Version: version, DataDir: defaultNodeDir}, args, stdout, stderr)
}

// join makes a sensor whose machine is enrolled a node of the fleet: its
// events go to the centre as long as it runs. leave waits until what was seen
// last is sent or kept. Without an identity it does nothing.
func join(dir string, live *sensor.Live, stderr io.Writer) (leave func() error, err error) {
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	n, err := node.New(node.Config{DataDir: dir}, node.Deps{Kind: "sensor", Version: version, Log: log, Metrics: &obs.Registry{},
		Collector: event.Collector_COLLECTOR_SENSOR})
	if errors.Is(err, identity.ErrNotEnrolled) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	live.Publish(n)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return func() error { stop(); return <-done }, nil
}
