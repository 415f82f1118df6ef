package hub

import (
	"net/netip"
	"testing"
)

// One source fills a quarter of the places, however many addresses of its network it has; the others
// stay for the rest of the world.
func TestLoginsAreBounded(t *testing.T) {
	var l logins
	loud, alsoLoud, other := sourceOf(netip.MustParseAddr("2001:db8::1")), sourceOf(netip.MustParseAddr("2001:db8::ffff")), sourceOf(netip.MustParseAddr("::ffff:192.0.2.1"))
	if loud != alsoLoud || other.String() != "192.0.2.1/32" {
		t.Errorf("the sources are %s, %s and %s", loud, alsoLoud, other)
	}
	for i := range maxLoginsOf {
		if !l.enter(loud) {
			t.Fatalf("login %d is refused", i)
		}
	}
	if l.enter(alsoLoud) || !l.enter(other) {
		t.Error("the loud one gets more, or the other nothing")
	}
	l.leave(loud)
	if !l.enter(loud) {
		t.Error("a place that is free again is not given")
	}
	for i := range maxLogins - l.underWay() {
		if !l.enter(sourceOf(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))) {
			t.Fatalf("with %d under way a login is refused", l.underWay())
		}
	}
	if l.enter(sourceOf(netip.MustParseAddr("203.0.113.1"))) || l.underWay() != maxLogins {
		t.Errorf("%d are under way", l.underWay())
	}
	for from, n := range l.of {
		for range n {
			l.leave(from)
		}
	}
	if l.underWay() != 0 || len(l.of) != 0 {
		t.Errorf("at the end there are %d of %v", l.underWay(), l.of)
	}
}
