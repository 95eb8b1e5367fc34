package gateway

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	b := newBucket(10)
	now := b.last
	take := func(n int) (taken int) {
		for range n {
			if b.take(now) {
				taken++
			}
		}
		return taken
	}
	if got := take(100); got != 10 {
		t.Errorf("burst of %d, want 10", got)
	}
	now = now.Add(100 * time.Millisecond)
	if got := take(100); got != 1 {
		t.Errorf("%d after 100 ms, want 1", got)
	}
	now = now.Add(time.Hour)
	if got := take(100); got != 10 {
		t.Errorf("%d after an hour, want 10", got)
	}
	now = now.Add(-time.Hour) // not from a monotonic clock, but no harm
	if got := take(100); got != 0 {
		t.Errorf("%d after the clock went back, want 0", got)
	}
}

func TestInterner(t *testing.T) {
	var i interner
	a := i.share(map[string]string{"role": "web", "room": "f2"})
	b := i.share(map[string]string{"room": "f2", "role": "web"})
	a["mark"] = "shared"
	if b["mark"] != "shared" {
		t.Error("equal labels do not share one map")
	}
	if c := i.share(map[string]string{"role": "we", "b": "room"}); c["mark"] != "" {
		t.Error("different labels share one map")
	}
	if i.share(nil) != nil || i.share(map[string]string{}) != nil {
		t.Error("no labels are not nil")
	}
	for n := range 2 * maxShared {
		i.share(map[string]string{"n": time.Duration(n).String()})
	}
	if len(i.sets) > maxShared {
		t.Errorf("%d sets kept", len(i.sets))
	}
}
