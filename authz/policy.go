package authz

import (
	"net/netip"
	"slices"

	"flexvpn/config"
	"flexvpn/radiusdict"
)

// How many of each a spoke gets at most, as on IOS.
const (
	maxServers  = radiusdict.MaxServers
	maxDomains  = radiusdict.MaxDomains
	maxGateways = radiusdict.MaxGateways
)

// LocalPolicy is the origin of what the local authorization policy of a name gives.
func LocalPolicy(name string) Origin { return Origin("local policy " + name) }

// FromPolicy is what a local authorization policy gives.
func FromPolicy(p *config.AuthorizationPolicy) Attributes {
	from := LocalPolicy(p.Name)
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
		SessionTimeout: given(p.SessionTimeout, p.SessionTimeout > 0, from),
		IdleTimeout:    given(p.IdleTimeout, p.IdleTimeout > 0, from),
	}
	if p.Pool != nil {
		a.Pool = Value[string]{p.Pool.Name, from}
	}
	if p.Pool6 != nil {
		a.Pool6 = Value[string]{p.Pool6.Name, from}
	}
	if accept := p.Routes.Accept; accept.Any || len(accept.Prefixes) > 0 || accept.List != nil {
		a.RoutesAccept = Value[Accept]{Accept{
			Any: accept.Any, Prefixes: accept.Prefixes, List: accept.List, Distance: p.Routes.Distance, Tag: p.Routes.Tag,
		}, from}
	}
	for _, line := range p.InterfaceConfig {
		a.InterfaceConfig = append(a.InterfaceConfig, Value[string]{line, from})
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

		Prefix6:         first(high.Prefix6, low.Prefix6),
		Delegated:       first(high.Delegated, low.Delegated),
		Routes:          first(high.Routes, low.Routes),
		VRF:             first(high.VRF, low.VRF),
		FilterIn:        first(high.FilterIn, low.FilterIn),
		FilterOut:       first(high.FilterOut, low.FilterOut),
		QoSIn:           first(high.QoSIn, low.QoSIn),
		QoSOut:          first(high.QoSOut, low.QoSOut),
		InterfaceConfig: slices.Concat(low.InterfaceConfig, high.InterfaceConfig),
		SessionTimeout:  first(high.SessionTimeout, low.SessionTimeout),
		IdleTimeout:     first(high.IdleTimeout, low.IdleTimeout),
		Interim:         first(high.Interim, low.Interim),
		Class:           first(high.Class, low.Class),
		UserName:        first(high.UserName, low.UserName),
	}.limited()
}

// OfSession is what belongs to the session as such: it counts from an authentication's answer even
// when nothing else of it does (RFC 2865 section 5.25 has Class in accounting in any case).
func OfSession(a Attributes) Attributes {
	return Attributes{SessionTimeout: a.SessionTimeout, IdleTimeout: a.IdleTimeout, Interim: a.Interim, Class: a.Class, UserName: a.UserName}
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
