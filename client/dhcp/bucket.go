package dhcp

import (
	"sync"
	"time"
)

// A bucket lets so many messages a second through, and a burst.
type bucket struct {
	rate, burst float64

	mu   sync.Mutex
	left float64
	last time.Time
}

func newBucket(rate, burst float64) *bucket { return &bucket{rate: rate, burst: burst, left: burst} }

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.left = min(b.burst, b.left+max(0, now.Sub(b.last).Seconds())*b.rate)
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
