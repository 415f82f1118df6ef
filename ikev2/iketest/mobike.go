package iketest

import (
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2"
)

// MOBIKE has both ends know RFC 4555.
func MOBIKE() Option { return Both(func(p *ikev2.Policy) { p.MOBIKE = true }) }

// HubAddresses are what the hub tells its spokes, besides the one they use.
func HubAddresses(list ...string) Option {
	return func(p *Pair) { p.Hub.Common.Addresses = addresses(list) }
}

func addresses(list []string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// Migrate has the spoke move: its own address, the hub's; "" stays.
func (e *End) Migrate(local, remote string) (ok bool) {
	parse := func(a string) (out netip.Addr) {
		if a != "" {
			out = netip.MustParseAddr(a)
		}
		return out
	}
	e.Do(func(now time.Time, sa *ikev2.SA) { ok = sa.Migrate(now, parse(local), parse(remote)) })
	return ok
}

// SetAddresses gives an end its addresses.
func (e *End) SetAddresses(list ...string) {
	e.Do(func(now time.Time, sa *ikev2.SA) { sa.SetAddresses(now, addresses(list)) })
}

// Gone are addresses where nothing is sent from and nothing arrives.
func Gone(list ...string) func(ikev2.Path) bool {
	gone := addresses(list)
	return func(p ikev2.Path) bool {
		return slices.Contains(gone, p.Local.Addr()) || slices.Contains(gone, p.Remote.Addr())
	}
}

// WantMeet asserts that the data planes of both ends send to where the other one receives.
func (p *Pair) WantMeet(why string) {
	p.T.Helper()
	s, h := p.Spoke.Data, p.Hub.Data
	seen := p.through(Flight{From: p.Spoke, To: p.Hub, Path: s})
	if seen.Local.Addr() != h.Local.Addr() || seen.Remote != h.Remote || s.Encap != h.Encap {
		p.Fatalf("%s: the spoke's packets run from %s to %s (in UDP: %v) and arrive from %s, the hub's from %s to %s (in UDP: %v)",
			why, s.Local, s.Remote, s.Encap, seen.Remote, h.Local, h.Remote, h.Encap)
	}
}

// WantData asserts where the data plane of an end sends to and from.
func (e *End) WantData(local, remote, why string) {
	e.pair.T.Helper()
	if e.Data.Local.Addr().String() != local || e.Data.Remote.Addr().String() != remote {
		e.pair.Fatalf("%s: the data plane of the %s runs from %s to %s, want %s to %s", why, e.Name, e.Data.Local, e.Data.Remote, local, remote)
	}
}
