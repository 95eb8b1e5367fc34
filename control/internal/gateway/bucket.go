package gateway

import (
	"net/netip"
	"sync"
	"time"
)

// bucket admits connections at a steady rate with bursts of a second: what a
// storm of reconnecting nodes meets before the costly handshake. It goes by
// the monotonic clock.
type bucket struct {
	rate float64 // per second

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(rate int) *bucket {
	return &bucket{rate: float64(rate), tokens: float64(rate), last: time.Now()}
}

func (b *bucket) admit(netip.AddrPort) bool { return b.take(time.Now()) }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.last); passed > 0 {
		b.tokens = min(b.rate, b.tokens+b.rate*passed.Seconds())
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
