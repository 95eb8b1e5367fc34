package run

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestGroup(t *testing.T) {
	boom := errors.New("boom")
	g, _ := NewGroup(context.Background())
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Go("fails", func(context.Context) error { return boom })
	if err := g.Wait(); !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "fails: ") {
		t.Fatalf("first failure: %v", err)
	}

	g, _ = NewGroup(context.Background())
	g.Go("panics", func(context.Context) error { panic("oh") })
	var caught *PanicError
	if err := g.Wait(); !errors.As(err, &caught) || caught.Value != "oh" {
		t.Fatalf("panic: %v", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	g, _ = NewGroup(ctx)
	g.Go("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatalf("the end of the parent is no failure: %v", err)
	}
}

func TestBackoffStaysInBounds(t *testing.T) {
	b := Backoff{Min: time.Second, Max: time.Minute}
	for i := range 200 {
		ceiling := time.Minute
		if i < 6 {
			ceiling = min(ceiling, time.Second<<i)
		}
		if d := b.Next(); d <= 0 || d > ceiling {
			t.Fatalf("delay %d is %s, want at most %s", i, d, ceiling)
		}
	}
}
