// Package authz resolves what a spoke gets: one Attributes value, each attribute with its origin,
// merged from local policies, RADIUS group, RADIUS user and interface-config lines. It also speaks
// the configuration payload, in which a hub tells a spoke what it gets (RFC 7296 section 3.15), and
// declares what a hub asks of AAA servers, whoever brings the questions to them.
package authz

import (
	"net/netip"
	"time"

	"flexvpn/config"
)

// Origin says where an attribute came from, in words for people: "local policy default".
type Origin string

// A Value is one attribute with its origin. The zero Value is unset.
type Value[T any] struct {
	V      T
	Origin Origin
}

// IsSet reports whether anybody gave the attribute.
func (v Value[T]) IsSet() bool { return v.Origin != "" }

// Attributes is what one spoke gets. Every consumer (configuration payload, vtemplate, routing,
// accounting) reads only this. Lists are shared between values: nobody changes them.
type Attributes struct {
	Pool, Pool6    Value[string]     // pool names
	Address        Value[netip.Addr] // leased or fixed IPv4 overlay address
	Address6       Value[netip.Addr] // leased or fixed IPv6 overlay address
	Netmask        Value[netip.Addr]
	DNS            Value[[]netip.Addr] // both families, at most two of each
	WINS           Value[[]netip.Addr] // IPv4, at most two
	SplitDNS       Value[[]string]     // at most ten
	DefDomain      Value[string]
	BackupGateways Value[[]string] // at most ten
	Banner         Value[string]
	RoutesSet      Value[[]netip.Prefix] // pushed to the spoke
	RouteInterface Value[bool]           // our tunnel addresses are pushed too ("route set interface")
	RoutesAccept   Value[Accept]         // what is taken from the spoke

	// From servers only.
	Prefix6   Value[netip.Prefix] // the spoke's link, routed to it
	Delegated Value[netip.Prefix] // behind the spoke, routed to it
	Routes    Value[[]Route]      // more routes of the hub towards the spoke
	VRF       Value[string]
	// FilterIn and FilterOut are access lists of the virtual-access, In for what comes from the spoke:
	// the name of one, or its lines ([IsLines]).
	FilterIn, FilterOut Value[string]
	QoSIn, QoSOut       Value[string] // policies
	// InterfaceConfig are lines of IOS for the virtual-access, in order: a later one wins.
	InterfaceConfig []Value[string]
	SessionTimeout  Value[time.Duration]
	IdleTimeout     Value[time.Duration]
	Interim         Value[time.Duration] // of accounting
	Class           Value[[]string]      // opaque octets, echoed in accounting
	UserName        Value[string]        // what the server calls the user
}

// Route is one route of the hub towards a spoke.
type Route struct {
	Prefix   netip.Prefix
	Distance uint8 // 0: the default
}

// String is the route as it is shown.
func (r Route) String() string { return r.Prefix.String() }

// Accept says which of the spoke's prefixes are installed.
type Accept struct {
	Any      bool
	Prefixes []netip.Prefix     // these and what lies inside them
	List     *config.PrefixList // what it permits; nil: no list
	Distance uint8
	Tag      uint32
}
