// Package run holds the goroutines of one owner: it starts them, catches
// their panics at the owner, and waits for them.
package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// Group runs functions until one fails or the context ends; then the context
// of all is cancelled and Wait returns the first failure. Make one with
// NewGroup.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// NewGroup returns a group and the context its functions get.
func NewGroup(ctx context.Context) (*Group, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: ctx, cancel: cancel}, ctx
}

// errStopped is the cause when Wait ends a group in which nothing failed.
var errStopped = errors.New("stopped")

// Go runs f in its own goroutine. An error or a panic of f ends the group;
// nil does not.
func (g *Group) Go(name string, f func(context.Context) error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		err := Protect(func() error { return f(g.ctx) })
		if err != nil && !(errors.Is(err, context.Canceled) && g.ctx.Err() != nil) {
			g.cancel(fmt.Errorf("%s: %w", name, err))
		}
	}()
}

// Wait waits for every function and returns the first failure; nil when the
// parent context ended or every function returned nil.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel(errStopped)
	cause := context.Cause(g.ctx)
	if errors.Is(cause, errStopped) || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return nil
	}
	return cause
}

// PanicError is a panic caught at its owner.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Protect calls f and returns its panic as a *PanicError.
func Protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Sleep waits for d or the end of the context, whose error it returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Backoff is exponential with full jitter: the n-th delay is uniform in
// (0, min(Max, Min*2^n)], so that a fleet does not come back in step.
type Backoff struct {
	Min, Max time.Duration
	n        int
}

// Next returns the next delay.
func (b *Backoff) Next() time.Duration {
	ceiling := b.Max
	if b.n < 62 && b.Min<<b.n > 0 && b.Min<<b.n < b.Max {
		ceiling = b.Min << b.n
	}
	b.n++
	return 1 + rand.N(ceiling)
}

// Reset starts again at Min, after a success.
func (b *Backoff) Reset() { b.n = 0 }
