package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

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

// resolverIn looks up the names of hubs in a tunnel's front-door VRF, where the hubs are, too. A resolver
// of this machine (127.0.0.53) is in no VRF.
func resolverIn(vrf string) *net.Resolver {
	if vrf == "" {
		return net.DefaultResolver
	}
	bound := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.BindToDevice(int(fd), vrf) })
		return errors.Join(err, failed)
	}}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		if to, err := netip.ParseAddrPort(server); err == nil && to.Addr().IsLoopback() {
			return new(net.Dialer).DialContext(ctx, network, server)
		}
		return bound.DialContext(ctx, network, server)
	}}
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
