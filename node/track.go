package node

import (
	"context"
	"fmt"
	"net/netip"

	"flexvpn/client/track"
	"flexvpn/dataplane/rtnl"
	"flexvpn/ops/view"
)

// kernelState is the kernel as tracked objects see it.
type kernelState struct{ c *rtnl.Conn }

// Watch implements track.Kernel.
func (k kernelState) Watch(ctx context.Context) (<-chan track.Change, error) {
	changes, err := k.c.Changes(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan track.Change)
	go func() {
		defer close(out)
		for c := range changes {
			select {
			case out <- track.Change{Links: c.Links, Route: c.Route}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// Link implements track.Kernel.
func (k kernelState) Link(name string) (track.Link, error) {
	s, err := k.c.LinkState(name)
	l := track.Link{Exists: s.Exists, Up: s.Up, Carrier: s.Carrier, Forwards4: s.Forwards4, Forwards6: s.Forwards6}
	for _, a := range s.Addresses {
		l.IPv4, l.IPv6 = l.IPv4 || a.Is4(), l.IPv6 || a.Is6()
	}
	return l, err
}

// Route implements track.Kernel.
func (k kernelState) Route(prefix netip.Prefix, table int, vrf string) (track.Route, error) {
	s, err := k.c.RouteState(prefix, table, vrf)
	return track.Route{Exists: s.Exists, Interface: s.Interface, Dead: s.Dead}, err
}

// buildTracks makes the tracked objects; a change of one has every client look again.
func (n *Node) buildTracks() {
	cfg := track.Config{Tracks: n.cfg.Tracks, Log: n.log}
	if n.rtnl != nil {
		cfg.Kernel = kernelState{n.rtnl}
	}
	n.tracks = track.New(cfg)
	n.tracks.Watch(func(int, bool) { n.clientsChanged() })
}

func (n *Node) clientsChanged() {
	for _, c := range n.clients {
		c.Changed()
	}
}

// Tracks implements ops.Node.
func (n *Node) Tracks() []view.Track {
	if n.tracks == nil {
		return nil
	}
	return n.tracks.View()
}

// sourceOf is the address by which an interface reaches a peer, and has the endpoint send from that
// address by that interface only.
func (n *Node) sourceOf(iface string, to netip.Addr) (netip.Addr, error) {
	s, err := n.rtnl.LinkState(iface)
	switch {
	case err != nil:
		return netip.Addr{}, err
	case !s.Exists:
		return netip.Addr{}, fmt.Errorf("there is no such interface")
	case !s.Up:
		return netip.Addr{}, fmt.Errorf("it is administratively down")
	case !s.Carrier:
		return netip.Addr{}, fmt.Errorf("it has no carrier")
	}
	for _, a := range s.Addresses {
		if a.Is4() == to.Is4() {
			n.endpoint.SendBy(a, s.Index)
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("it has no address of the family of %s", to)
}

// traceClient hands a line of a client profile to debug.
func (n *Node) traceClient(name string, line func() string) {
	n.debug.Say(view.TopicClient, name, line)
}

// addTracks adds the state of the tracked objects to v.
func (n *Node) addTracks(v *view.Stats) {
	if n.tracks != nil {
		v.Tracks = n.tracks.States()
	}
}
