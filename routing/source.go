package routing

import "slices"

// Our numbers in the kernel's table of routing protocols (rtm_protocol; numbers from 5 on are for user
// space to agree upon, /etc/iproute2/rt_protos). An operator finds our routes with
// "ip route show proto 178".
const (
	ProtocolIKEv2  = 178 // sessions: assigned addresses, IKEv2 routing, transport pins
	ProtocolBGP    = 179
	ProtocolStatic = 180

	// Protocol is that of the sessions' routes.
	Protocol = ProtocolIKEv2
)

// Protocols are all numbers of ours.
var Protocols = []int{ProtocolIKEv2, ProtocolBGP, ProtocolStatic}

// Ours reports whether a protocol number is one of ours.
func Ours(protocol int) bool { return slices.Contains(Protocols, protocol) }

// Where an announcement comes from.
const (
	SourceTransport = "transport" // the pinned way to a hub
	SourceConnected = "connected" // the kernel's, because of an interface's address
	SourceAddress   = "address"   // the address a spoke was assigned
	SourceStatic    = "static"    // the configuration's
	SourceIKEv2     = "ikev2"     // what a peer announced
	SourceEBGP      = "ebgp"
	SourceIBGP      = "ibgp"
	SourceAggregate = "aggregate" // the discard route of an aggregate of ours
)

// source is what the RIB knows of a source.
type source struct {
	// class decides before the distance: the way to the hub must not lead into its own tunnel, and no
	// spoke takes another's assigned address or our own networks by announcing them.
	class    uint8
	distance uint8 // when the announcement gives none; as on IOS
	protocol int   // 0: not ours to write
	order    uint8 // among equal distances
}

var sources = map[string]source{
	SourceTransport: {class: 0, distance: 1, protocol: ProtocolIKEv2},
	SourceConnected: {class: 1, distance: 0},
	SourceAddress:   {class: 2, distance: 1, protocol: ProtocolIKEv2},
	SourceStatic:    {class: 3, distance: 1, protocol: ProtocolStatic, order: 0},
	SourceIKEv2:     {class: 3, distance: 1, protocol: ProtocolIKEv2, order: 1},
	SourceEBGP:      {class: 3, distance: 20, protocol: ProtocolBGP, order: 2},
	SourceIBGP:      {class: 3, distance: 200, protocol: ProtocolBGP, order: 3},
	SourceAggregate: {class: 3, distance: 200, protocol: ProtocolBGP, order: 2},
}

// sourceOf is what is known of a source by its name; a name that is none counts as IKEv2.
func sourceOf(name string) source {
	if s, ok := sources[name]; ok {
		return s
	}
	return sources[SourceIKEv2]
}
