package node

import (
	"fmt"
	"net/netip"

	"flexvpn/client"
	"flexvpn/dataplane"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
)

// localTo finds the address that the routing table of a VRF ("": the main one) would use towards a
// peer.
func (n *Node) localTo(vrf string) func(peer netip.Addr) (netip.Addr, error) {
	way := n.routes.WayTo
	if vrf != "" {
		way = func(a netip.Addr) (dataplane.Route, error) { return n.rtnl.RouteInVRF(a, vrf) }
	}
	return func(peer netip.Addr) (netip.Addr, error) {
		r, err := way(peer)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("no route to the peer %s: %w", peer, err)
		}
		return r.Source, nil
	}
}

// starter begins SAs in a VRF.
func (n *Node) starter(vrf string) client.Starter { return starter{n.endpoint, vrf} }

type starter struct {
	endpoint *endpoint.Endpoint
	vrf      string
}

func (s starter) Initiate(h endpoint.Handler, data any, p *ikev2.Policy, local netip.Addr, remote netip.AddrPort) (*endpoint.Conn, error) {
	return s.endpoint.InitiateIn(s.vrf, h, data, p, local, remote)
}
