package authz

import (
	"net/netip"
	"slices"

	"flexvpn/config"
)

// How many of each a spoke gets at most, as on IOS.
const (
	maxServers  = 2 // DNS servers of each family, WINS servers
	maxDomains  = 10
	maxGateways = 10
)

// FromPolicy is what a local authorization policy gives.
func FromPolicy(p *config.AuthorizationPolicy) Attributes {
	from := Origin("local policy " + p.Name)
	a := Attributes{
		Netmask:        given(p.Netmask, p.Netmask.IsValid(), from),
		DNS:            list(p.DNS, from),
		WINS:           list(p.WINS, from),
		SplitDNS:       list(p.SplitDNS, from),
		DefDomain:      given(p.DefDomain, p.DefDomain != "", from),
		BackupGateways: list(p.BackupGateways, from),
		Banner:         given(p.Banner, p.Banner != "", from),
		RoutesSet:      list(p.Routes.Set, from),
		RouteInterface: given(true, p.Routes.SetInterface, from),
	}
	if p.Pool != nil {
		a.Pool = Value[string]{p.Pool.Name, from}
	}
	if p.Pool6 != nil {
		a.Pool6 = Value[string]{p.Pool6.Name, from}
	}
	if accept := p.Routes.Accept; accept.Any || len(accept.Prefixes) > 0 {
		a.RoutesAccept = Value[Accept]{Accept{
			Any: accept.Any, Prefixes: accept.Prefixes, Distance: p.Routes.Distance, Tag: p.Routes.Tag,
		}, from}
	}
	return a.limited()
}

func given[T any](v T, isGiven bool, from Origin) Value[T] {
	if !isGiven {
		return Value[T]{}
	}
	return Value[T]{v, from}
}

func list[T any](v []T, from Origin) Value[[]T] { return given(v, len(v) > 0, from) }

// Merge lays over upon base, attribute by attribute: where both give one, over's wins. So a user's
// attributes go over the group's; with override ("aaa authorization group override") the group's
// win instead.
func Merge(base, over Attributes, override bool) Attributes {
	low, high := base, over
	if override {
		low, high = over, base
	}
	return Attributes{
		Pool:           first(high.Pool, low.Pool),
		Pool6:          first(high.Pool6, low.Pool6),
		Address:        first(high.Address, low.Address),
		Address6:       first(high.Address6, low.Address6),
		Netmask:        first(high.Netmask, low.Netmask),
		DNS:            first(high.DNS, low.DNS),
		WINS:           first(high.WINS, low.WINS),
		SplitDNS:       first(high.SplitDNS, low.SplitDNS),
		DefDomain:      first(high.DefDomain, low.DefDomain),
		BackupGateways: first(high.BackupGateways, low.BackupGateways),
		Banner:         first(high.Banner, low.Banner),
		RoutesSet:      first(high.RoutesSet, low.RoutesSet),
		RouteInterface: first(high.RouteInterface, low.RouteInterface),
		RoutesAccept:   first(high.RoutesAccept, low.RoutesAccept),
	}.limited()
}

func first[T any](high, low Value[T]) Value[T] {
	if high.IsSet() {
		return high
	}
	return low
}

// limited cuts the lists to what a spoke may get, whoever gave them.
func (a Attributes) limited() Attributes {
	a.DNS.V = slices.Concat(atMost(a.DNS.V, maxServers, netip.Addr.Is4), atMost(a.DNS.V, maxServers, netip.Addr.Is6))
	a.WINS.V = atMost(a.WINS.V, maxServers, netip.Addr.Is4) // NBNS over IPv6 does not exist
	a.SplitDNS.V = a.SplitDNS.V[:min(len(a.SplitDNS.V), maxDomains)]
	a.BackupGateways.V = a.BackupGateways.V[:min(len(a.BackupGateways.V), maxGateways)]
	return a
}

func atMost(all []netip.Addr, most int, is func(netip.Addr) bool) []netip.Addr {
	var kept []netip.Addr
	for _, addr := range all {
		if addr = addr.Unmap(); is(addr) && len(kept) < most {
			kept = append(kept, addr)
		}
	}
	return kept
}
