package node

import (
	"net/netip"
	"strings"
	"testing"

	"flexvpn/dataplane/rtnl"
)

// A source is an interface that is up, in the tunnel's front-door VRF, with an address of the peer's
// family.
func TestSourceAddress(t *testing.T) {
	good := rtnl.LinkState{Exists: true, Up: true, Carrier: true, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}}
	four, six := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:113::1")
	with := func(f func(*rtnl.LinkState)) rtnl.LinkState { s := good; f(&s); return s }
	for _, c := range []struct {
		s    rtnl.LinkState
		vrf  string
		to   netip.Addr
		want string // an address, or part of the error
	}{
		{good, "", four, "192.0.2.9"},
		{good, "", six, "2001:db8::9"},
		{rtnl.LinkState{}, "", four, "no such interface"},
		{with(func(s *rtnl.LinkState) { s.Up = false }), "", four, "administratively down"},
		{with(func(s *rtnl.LinkState) { s.Carrier = false }), "", four, "no carrier"},
		{with(func(s *rtnl.LinkState) { s.Addresses = s.Addresses[:1] }), "", six, "no address of the family of 2001:db8:113::1"},
		{good, "internet", four, "it is in no VRF, and the tunnel's packets travel in VRF internet"},
		{with(func(s *rtnl.LinkState) { s.VRF = "internet" }), "", four, "it is in VRF internet, and the tunnel's packets travel in no VRF"},
		{with(func(s *rtnl.LinkState) { s.VRF = "internet" }), "internet", four, "192.0.2.9"},
	} {
		a, err := sourceAddress(c.s, c.vrf, c.to)
		if got := a.String(); err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v in %q towards %s: %s, %v, want %s", c.s, c.vrf, c.to, a, err, c.want)
		}
	}
}
