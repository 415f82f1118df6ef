package hub

import (
	"fmt"
	"net/netip"
	"sync"

	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
)

// Bounds of the logins under way. Each may last as long as eap.timeout, since people type; what has got
// so far has agreed on keys and shown that it receives at its address, so that it is no half-open
// handshake any more and takes no place from those (RFC 7296 section 2.6).
const (
	maxLogins   = 4096
	maxLoginsOf = 1024 // from one source: a site behind a NAT, or somebody who means no good
)

// logins counts the logins under way by where they come from.
type logins struct {
	mu    sync.Mutex
	total int
	of    map[netip.Prefix]int
}

// sourceOf is an address, or in IPv6 the network that one host may have.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// enter counts one more; false: there are too many.
func (l *logins) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxLogins || l.of[from] >= maxLoginsOf {
		return false
	}
	if l.of == nil {
		l.of = map[netip.Prefix]int{}
	}
	l.total++
	l.of[from]++
	return true
}

func (l *logins) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.of[from]--; l.of[from] == 0 {
		delete(l.of, from)
	}
}

func (l *logins) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// logsIn counts s among the logins under way, or refuses it: for now, which is no verdict on the peer.
func (s *session) logsIn(q ikev2.Authenticate) *ikev2.Refusal {
	from := sourceOf(q.Path.Remote.Addr())
	if !s.hub.logins.enter(from) {
		return &ikev2.Refusal{
			Notify: wire.TemporaryFailure,
			Reason: fmt.Sprintf("too many logins are under way: %d in all, at most %d and %d from one source; look for their source in show sessions --failed", s.hub.logins.underWay(), maxLogins, maxLoginsOf),
		}
	}
	s.loginFrom = from
	return nil
}

// loggedIn ends it, however it went. Only jobs of the session call it, and those that follow admit.
func (s *session) loggedIn() {
	if s.loginFrom.IsValid() {
		s.hub.logins.leave(s.loginFrom)
		s.loginFrom = netip.Prefix{}
	}
}
