package config

import (
	"net/netip"
	"time"

	"flexvpn/secret"
)

// BGP is the BGP speaker of the main table or of one VRF.
type BGP struct {
	VRF          string // its device; empty: the main table
	ASN          uint32
	RouterID     netip.Addr
	ClusterID    netip.Addr // default: RouterID
	Listen       []BGPListen
	ListenLimit  int
	Groups       map[string]*BGPPeer
	Neighbors    []BGPNeighbor
	Networks     []netip.Prefix
	Aggregates   []BGPAggregate
	Redistribute []BGPRedistribute
	MaxPaths     int
	External     uint8 // distances
	Internal     uint8
}

// BGPListen takes dynamic neighbors from a range.
type BGPListen struct {
	Range netip.Prefix
	Group *BGPPeer
}

// BGPNeighbor is a neighbor that stands in the configuration.
type BGPNeighbor struct {
	Address netip.Addr
	Peer    *BGPPeer
}

// NextHopSelf says which routes get this node as next hop.
type NextHopSelf string

// The words: none, those that are not learned by iBGP, all.
const (
	NextHopUnchanged NextHopSelf = "false"
	NextHopOwn       NextHopSelf = "true"
	NextHopAll       NextHopSelf = "all"
)

// BGPPeer is how neighbors are treated: a peer-group, or a neighbor's own.
type BGPPeer struct {
	Group            string // its name; empty: a neighbor's own
	RemoteASNs       []uint32
	AnyASN           bool // instead of RemoteASNs
	Description      string
	Password         secret.Bytes // TCP MD5; empty: none
	TTLSecurity      int          // hops; 0: off
	Multihop         int          // TTL for eBGP; 0: 1
	Client           bool         // route-reflector client
	NextHopSelf      NextHopSelf
	Unsuppress       Filter
	Import, Export   Filter
	MaxPrefixes      int // 0: no limit
	OnlyOwn          bool
	GracefulRestart  time.Duration // restart time; 0: off
	Keepalive, Hold  time.Duration
	Source           netip.Addr // invalid: the routing table chooses
	Passive          bool
	DefaultOriginate bool
	IPv4, IPv6       bool // families; neither: that of the neighbor's address
}

// Internal reports whether neighbors of p are in the AS asn.
func (p *BGPPeer) Internal(asn uint32) bool { return len(p.RemoteASNs) == 1 && p.RemoteASNs[0] == asn }

// BGPAggregate is an aggregate address.
type BGPAggregate struct {
	Prefix      netip.Prefix
	SummaryOnly bool
}

// BGPRedistribute announces routes of another source.
type BGPRedistribute struct {
	Source string // connected, static, ikev2
	Filter Filter
}

// Filter permits prefixes: all, those of a list, or none.
type Filter struct {
	Any  bool
	List *PrefixList
}

// Permits reports whether f lets p through.
func (f Filter) Permits(p netip.Prefix) bool { return f.Any || f.List != nil && f.List.Permits(p) }

// PrefixList is an ordered list of rules; the first that fits decides, and what none fits is denied.
type PrefixList struct {
	Name  string
	Rules []PrefixRule
}

// PrefixRule fits prefixes inside of Prefix whose length is Least to Most.
type PrefixRule struct {
	Permit      bool
	Prefix      netip.Prefix
	Least, Most int
}

// Permits reports whether l lets p through.
func (l *PrefixList) Permits(p netip.Prefix) bool {
	for _, r := range l.Rules {
		if r.Prefix.Addr().Is4() == p.Addr().Is4() && p.Bits() >= r.Least && p.Bits() <= r.Most && r.Prefix.Contains(p.Addr()) {
			return r.Permit
		}
	}
	return false
}

// StaticRoute is a static route.
type StaticRoute struct {
	Prefix    netip.Prefix
	Via       netip.Addr // invalid: by Interface alone
	Interface string
	Discard   bool
	VRF       string
	Distance  uint8
	Tag       uint32
}
