package dns

import (
	"net/netip"
	"sync"
)

// Bounds of what is under way at once: in all, and for one host, so that a host that floods takes no
// service from the others. A host's IPv6 addresses are one /64.
const (
	maxInFlight = 512
	maxPerHost  = 64
)

type limits struct {
	mu     sync.Mutex
	all    int
	byHost map[netip.Prefix]int
}

func newLimits() *limits { return &limits{byHost: map[netip.Prefix]int{}} }

func hostOf(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // an invalid address gives the zero prefix, a host like others
	return p
}

func (l *limits) take(a netip.Addr) bool {
	h := hostOf(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == maxInFlight || l.byHost[h] == maxPerHost {
		return false
	}
	l.all++
	l.byHost[h]++
	return true
}

func (l *limits) give(a netip.Addr) {
	h := hostOf(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.byHost[h]--; l.byHost[h] == 0 {
		delete(l.byHost, h)
	}
}

func (l *limits) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
