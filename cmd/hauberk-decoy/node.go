package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/hauberk/hauberk/decoy"
	"github.com/hauberk/hauberk/event"
	"github.com/hauberk/hauberk/internal/obs"
	"github.com/hauberk/hauberk/netstack/nic"
	"github.com/hauberk/hauberk/node"
	"github.com/hauberk/hauberk/node/identity"
)

// defaultNodeDir is where an enrolled decoy keeps identity and spool.
const defaultNodeDir = "/var/lib/hauberk-decoy"

// enroll is the command of that name.
func enroll(args []string, stdout, stderr io.Writer) error {
	return node.EnrolCommand(node.EnrolOptions{Kind: "decoy", Version: version, DataDir: defaultNodeDir}, args, stdout, stderr)
}

// join makes a decoy whose machine is enrolled a node of the fleet. leave waits until what was told last is sent or kept.
// Without an identity there is no sink.
func join(dir string, cfg *decoy.Config, log *slog.Logger) (sink decoy.Sink, leave func() error, err error) {
	n, err := node.New(node.Config{DataDir: dir}, node.Deps{Kind: "decoy", Version: version, Log: log, Metrics: &obs.Registry{},
		Collector: event.Collector_COLLECTOR_DECOY})
	if errors.Is(err, identity.ErrNotEnrolled) {
		return nil, func() error { return nil }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	if cfg.Queues == 0 && nic.ReceiveQueues(cfg.Interface) == 1 {
		cfg.Queues = 1
	}
	if cfg.Queues != 1 { // Each queue is a process, and a node is one.
		err = fmt.Errorf("queues %d: an enrolled decoy serves one; set queues: 1, and give the interface one by ethtool -L", cfg.Queues)
		stop()
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	leave = func() error { stop(); return <-done }
	if err != nil {
		return nil, nil, errors.Join(err, leave())
	}
	return n, leave, nil
}
