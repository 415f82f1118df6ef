package node

import (
	"context"
	"errors"
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
	n.tracks.Look()
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

// sourceOf finds the address by which an interface in the front-door VRF reaches a peer, and has the
// endpoint send from that address by that interface only.
func (n *Node) sourceOf(frontVRF string) func(iface string, to netip.Addr) (netip.Addr, error) {
	return func(iface string, to netip.Addr) (netip.Addr, error) {
		s, err := n.rtnl.LinkState(iface)
		if err != nil {
			return netip.Addr{}, err
		}
		a, err := sourceAddress(s, frontVRF, to)
		if err == nil {
			n.endpoint.SendBy(a, s.Index)
		}
		return a, err
	}
}

// sourceAddress is the address by which a link reaches a peer; the error says why there is none.
func sourceAddress(s rtnl.LinkState, frontVRF string, to netip.Addr) (netip.Addr, error) {
	switch {
	case !s.Exists:
		return netip.Addr{}, errors.New("there is no such interface")
	case !s.Up:
		return netip.Addr{}, errors.New("it is administratively down")
	case !s.Carrier:
		return netip.Addr{}, errors.New("it has no carrier")
	case s.VRF != frontVRF:
		return netip.Addr{}, fmt.Errorf("it is in %s, and the tunnel's packets travel in %s (front-vrf)", vrfText(s.VRF), vrfText(frontVRF))
	}
	for _, a := range s.Addresses {
		if a.Is4() == to.Is4() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("it has no address of the family of %s", to)
}

func vrfText(name string) string {
	if name == "" {
		return "no VRF"
	}
	return "VRF " + name
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
