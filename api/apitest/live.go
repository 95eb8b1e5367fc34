package apitest

import (
	"context"
	"slices"
	"sync"

	"github.com/hauberk/hauberk/api"
	"github.com/hauberk/hauberk/bus"
)

// Live is a bus that only has an end.
type Live struct {
	mu    sync.Mutex
	tails map[chan bus.Message][]string
}

var _ api.Live = (*Live)(nil)

// Publish hands a message to the tails of its topic, and waits until each has
// it.
func (l *Live) Publish(m bus.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for tail, topics := range l.tails {
		if slices.Contains(topics, m.Topic) {
			tail <- m
		}
	}
}

// Tail hands what is published from now on to handle.
func (l *Live) Tail(ctx context.Context, topics []string, _ bus.From, handle func(context.Context, []bus.Message) error) error {
	tail := make(chan bus.Message, 1024)
	l.mu.Lock()
	if l.tails == nil {
		l.tails = map[chan bus.Message][]string{}
	}
	l.tails[tail] = topics
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.tails, tail)
	}()
	for {
		select {
		case m := <-tail:
			if err := handle(ctx, []bus.Message{m}); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
