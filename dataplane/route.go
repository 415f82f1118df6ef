package dataplane

import (
	"net/netip"
	"slices"
)

// Route is one route of the machine's forwarding table.
type Route struct {
	Prefix    netip.Prefix // masked
	Interface string
	Via       netip.Addr // gateway; invalid: on the link
	Source    netip.Addr // preferred source; invalid: the machine chooses
	Metric    int        // 0: the kernel's default for the family
	Table     int        // 0: main
	Protocol  int        // who made it (rtm_protocol); ours are in package routing
	OnLink    bool       // gateways are on their links, whatever the tables say
	Discard   bool       // packets are dropped; Interface and Via are empty
	More      []Hop      // further ways of equal cost besides Interface and Via, in Compare's order
}

// Hop is one way of a route.
type Hop struct {
	Interface string
	Via       netip.Addr // invalid: on the link
}

// Compare orders hops by interface, then by gateway.
func (h Hop) Compare(o Hop) int {
	switch {
	case h.Interface < o.Interface:
		return -1
	case h.Interface > o.Interface:
		return 1
	}
	return h.Via.Compare(o.Via)
}

// Equal reports whether both are the same route.
func (r Route) Equal(o Route) bool {
	return r.Prefix == o.Prefix && r.Interface == o.Interface && r.Via == o.Via && r.Source == o.Source &&
		r.Metric == o.Metric && r.Table == o.Table && r.Protocol == o.Protocol &&
		r.OnLink == o.OnLink && r.Discard == o.Discard && slices.Equal(r.More, o.More)
}

// Hops are all ways of the route.
func (r Route) Hops() []Hop {
	if r.Discard {
		return nil
	}
	return append([]Hop{{r.Interface, r.Via}}, r.More...)
}

// WithHops gives the route its ways, the first in Compare's order in Interface and Via.
func (r Route) WithHops(hops []Hop) Route {
	sorted := slices.Compact(slices.SortedFunc(slices.Values(hops), Hop.Compare))
	r.Interface, r.Via, r.More = sorted[0].Interface, sorted[0].Via, nil
	if len(sorted) > 1 {
		r.More = sorted[1:]
	}
	return r
}

// NetEventKind says what happened to the machine's network.
type NetEventKind uint8

// The kinds. RouteGone and RouteCame carry Route; LinkUp and LinkDown carry Link (a deleted link is
// down), Carrier, too: it came or went, on a link that is set up; AddressCame and AddressGone carry Link
// and Address.
const (
	RouteGone NetEventKind = iota + 1
	RouteCame
	LinkUp
	LinkDown
	AddressCame
	AddressGone
	Carrier
)

// NetEvent is a change of the machine's network, whoever made it.
type NetEvent struct {
	Kind    NetEventKind
	Route   Route
	Link    string
	VRF     string // the device of the VRF that Link is a port of; empty: none
	Address netip.Prefix
}
