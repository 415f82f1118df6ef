package authz

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/radiusdict"
)

// A ListNetworks finds the networks that a local access list permits: what "route-set=access-list
// NAME" pushes.
type ListNetworks func(name string) ([]netip.Prefix, bool)

// FromRADIUS is what a server's reply gives. An error says why it cannot be acted on, which refuses
// the session: half of what an operator demanded is not what was demanded.
func FromRADIUS(r *radiusdict.Reply, from Origin, lists ListNetworks) (Attributes, error) {
	a := Attributes{
		Pool:           given(r.Pool, r.Pool != "", from),
		Pool6:          given(r.Pool6, r.Pool6 != "", from),
		Address:        given(r.Address, r.Address.IsValid(), from),
		Address6:       given(address6(r), address6(r).IsValid(), from),
		Netmask:        given(r.Netmask, r.Netmask.IsValid(), from),
		DNS:            list(r.DNS, from),
		WINS:           list(r.WINS, from),
		SplitDNS:       list(r.SplitDNS, from),
		DefDomain:      given(r.DefDomain, r.DefDomain != "", from),
		BackupGateways: list(r.BackupGateways, from),
		Banner:         given(r.Banner, r.Banner != "", from),
		RouteInterface: given(true, r.RouteInterface, from),
		Prefix6:        given(r.Prefix6, r.Prefix6.IsValid() && !r.Prefix6.IsSingleIP(), from),
		Delegated:      given(r.Delegated, r.Delegated.IsValid(), from),
		VRF:            given(r.VRF, r.VRF != "", from),
		FilterIn:       given(r.FilterIn, r.FilterIn != "", from),
		FilterOut:      given(r.FilterOut, r.FilterOut != "", from),
		QoSIn:          given(r.QoSIn, r.QoSIn != "", from),
		QoSOut:         given(r.QoSOut, r.QoSOut != "", from),
		SessionTimeout: given(r.SessionTimeout, r.SessionTimeout > 0, from),
		IdleTimeout:    given(r.IdleTimeout, r.IdleTimeout > 0, from),
		Interim:        given(r.Interim, r.Interim > 0, from),
		UserName:       given(r.UserName, r.UserName != "", from),
	}
	for _, line := range r.InterfaceConfig {
		a.InterfaceConfig = append(a.InterfaceConfig, Value[string]{line, from})
	}
	for _, c := range r.Class {
		a.Class.V, a.Class.Origin = append(a.Class.V, string(c)), from
	}
	for _, route := range r.Routes {
		a.Routes.V, a.Routes.Origin = append(a.Routes.V, Route(route)), from
	}
	if r.Accept != nil {
		a.RoutesAccept = Value[Accept]{Accept{Any: r.Accept.Any, Distance: orDefault(r.Accept.Distance, 2), Tag: orDefault(r.Accept.Tag, 1)}, from}
	}
	if err := a.addFilters(r, from); err != nil {
		return Attributes{}, fmt.Errorf("%s: %w", from, err)
	}
	pushed, err := pushedOf(r, from, lists)
	if err != nil {
		return Attributes{}, err
	}
	a.RoutesSet = list(pushed, from)
	return a.limited(), nil
}

// pushedOf are the routes to push: literal ones, then those of the lists named.
func pushedOf(r *radiusdict.Reply, from Origin, lists ListNetworks) ([]netip.Prefix, error) {
	pushed := slices.Clone(r.RoutesSet)
	for _, name := range r.RouteLists {
		var networks []netip.Prefix
		ok := lists != nil
		if ok {
			networks, ok = lists(name)
		}
		if !ok {
			return nil, fmt.Errorf("%s names access list %s, which is not configured here: add it under access-lists", from, name)
		}
		pushed = append(pushed, networks...)
	}
	return pushed, nil
}

// address6 is the spoke's IPv6 address: given as such, or the host that Framed-Interface-Id names
// in Framed-IPv6-Prefix, the first one when nothing names any.
func address6(r *radiusdict.Reply) netip.Addr {
	switch {
	case r.Address6.IsValid():
		return r.Address6
	case !r.Prefix6.IsValid() || r.Prefix6.IsSingleIP():
		return r.Prefix6.Addr()
	}
	b, id := r.Prefix6.Addr().As16(), r.InterfaceID
	if id == [8]byte{} || r.Prefix6.Bits() > 64 {
		return r.Prefix6.Addr().Next()
	}
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(id[:]))
	return netip.AddrFrom16(b)
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
