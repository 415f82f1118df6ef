package opstest

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// BGP implements ops.Node.
func (n *Node) BGP(_ context.Context, neighbor netip.Addr) ([]view.BGP, error) {
	if !neighbor.IsValid() {
		return n.Speakers, n.Fail
	}
	for _, s := range n.Speakers {
		s.Neighbors = slices.DeleteFunc(slices.Clone(s.Neighbors), func(b view.BGPNeighbor) bool { return b.Address != neighbor })
		if len(s.Neighbors) > 0 {
			return []view.BGP{s}, n.Fail
		}
	}
	return nil, firstError(n.Fail, ops.NotFound("there is no BGP neighbor "+neighbor.String(), "flexvpn show bgp summary lists them"))
}

// BGPRoutes implements ops.Node.
func (n *Node) BGPRoutes(_ context.Context, prefix netip.Prefix) ([]view.BGPRoute, error) {
	out := slices.DeleteFunc(slices.Clone(n.Paths), func(r view.BGPRoute) bool { return prefix.IsValid() && r.Prefix != prefix })
	return out, n.Fail
}

// ClearBGP implements ops.Node.
func (n *Node) ClearBGP(_ context.Context, neighbor netip.Addr) (int, error) {
	return 1, n.did("clear bgp " + neighbor.String())
}

func speakers(ago func(time.Duration) time.Time) []view.BGP {
	addr := netip.MustParseAddr
	return []view.BGP{{
		ASN: 65001, RouterID: addr("10.1.1.1"), ClusterID: addr("10.1.1.1"), ListenRanges: []netip.Prefix{prefix("10.1.1.0/24")},
		Dynamic: 1, Prefixes: 4, Paths: 3, Neighbors: []view.BGPNeighbor{
			{
				Address: addr("10.1.1.2"), Dynamic: true, PeerGroup: "spokes", ASN: 65001, Internal: true, RouterID: addr("172.16.1.1"), State: "Established",
				Since: ago(time.Hour), Session: "h1", Identity: "spoke1.branch.example.net", Interface: "va-1", Local: addr("10.1.1.1"), Accepted: 1, Advertised: 1,
				Refused: 1, MaxPrefixes: 10, MessagesIn: 64, MessagesOut: 65, UpdatesIn: 2, UpdatesOut: 1, HoldTime: 180, Keepalive: 60, HeldBack: 2, HeldBackSince: ago(3 * time.Minute), Client: true, NextHopSelf: "all",
				Capabilities: []string{"Route refresh", "Four-octets ASN Capability"}, AcceptedPrefixes: []netip.Prefix{prefix("172.16.1.0/24")},
				RefusedPrefixes: []view.BGPRefused{{Prefix: prefix("0.0.0.0/0"), Kind: "filter"}}, SentPrefixes: []netip.Prefix{prefix("10.0.0.0/8")},
			},
			{
				Address: addr("192.0.2.2"), PeerGroup: "hubs", ASN: 65001, Internal: true, State: "Active", Since: ago(5 * time.Minute), LastReset: "Peer closed the session",
				Drops: 1, Interface: "eth1", MD5: true, NextHopSelf: "all",
			},
		},
	}}
}

func paths(ago func(time.Duration) time.Time) []view.BGPRoute {
	addr := netip.MustParseAddr
	return []view.BGPRoute{
		{Prefix: prefix("10.0.0.0/8"), Paths: []view.BGPPath{{Best: true, Local: "aggregate", NextHop: addr("0.0.0.0"), LocalPref: 100, Origin: "IGP", Since: ago(time.Hour)}}},
		{Prefix: prefix("172.16.1.0/24"), Suppressed: true, Paths: []view.BGPPath{
			{Best: true, Neighbor: addr("10.1.1.2"), Internal: true, NextHop: addr("10.1.1.2"), LocalPref: 100, Origin: "IGP", Since: ago(time.Hour)},
			{
				Neighbor: addr("192.0.2.2"), Internal: true, NextHop: addr("192.0.2.2"), LocalPref: 90, ASPath: "65010", Origin: "incomplete",
				Originator: addr("10.1.2.7"), ClusterList: []netip.Addr{addr("10.1.1.2")}, Since: ago(time.Minute), Why: "lower local preference",
			},
		}},
	}
}
