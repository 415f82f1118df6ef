package rtnl

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
)

// watchBuffer is the receive buffer of a subscription: room for a burst of ten thousand changes. The
// kernel drops news that find no room, and says so.
const watchBuffer = 4 << 20

// Watch tells of changes of routes, links and addresses in this network namespace, those that exist
// first as if they had just come. The channel is closed when done is, and when news were lost: whoever
// still wants them watches again and looks at everything. Changes of one kind come in order; those of
// different kinds may overtake each other. It must be called in the network namespace of the Conn.
func (c *Conn) Watch(done <-chan struct{}) (<-chan dataplane.NetEvent, error) {
	w := &watch{c: c, stop: make(chan struct{}), out: make(chan dataplane.NetEvent, 256), links: map[int]Link{}, runs: map[int]bool{}, names: map[int]string{}}
	lost := func(error) {} // a reader that fails closes its channel
	routes := make(chan netlink.RouteUpdate, 256)
	links := make(chan netlink.LinkUpdate, 256)
	addrs := make(chan netlink.AddrUpdate, 256)
	err := netlink.LinkSubscribeWithOptions(links, w.stop, netlink.LinkSubscribeOptions{ErrorCallback: lost, ListExisting: true, ReceiveBufferSize: watchBuffer, ReceiveBufferForceSize: true})
	if err == nil {
		err = netlink.AddrSubscribeWithOptions(addrs, w.stop, netlink.AddrSubscribeOptions{ErrorCallback: lost, ListExisting: true, ReceiveBufferSize: watchBuffer, ReceiveBufferForceSize: true})
	}
	if err == nil {
		err = netlink.RouteSubscribeWithOptions(routes, w.stop, netlink.RouteSubscribeOptions{ErrorCallback: lost, ReceiveBufferSize: watchBuffer, ReceiveBufferForceSize: true})
	}
	if err != nil {
		close(w.stop)
		return nil, fmt.Errorf("watch the network: %w", err)
	}
	go w.run(done, links, addrs, routes)
	return w.out, nil
}

type watch struct {
	c     *Conn
	stop  chan struct{}
	out   chan dataplane.NetEvent
	links map[int]Link   // as last heard of
	runs  map[int]bool   // that have a carrier
	names map[int]string // of links, for routes
}

// run ends when done is closed or a subscription breaks.
func (w *watch) run(done <-chan struct{}, links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate, routes <-chan netlink.RouteUpdate) {
	defer close(w.out)
	defer close(w.stop)
	// What readers still hold is thrown away, so that they see that they are stopped.
	defer func() {
		go drain(links)
		go drain(addrs)
		go drain(routes)
	}()
	for {
		var e []dataplane.NetEvent
		select {
		case <-done:
			return
		case u, ok := <-links:
			if !ok {
				return
			}
			e = w.link(u)
		case u, ok := <-addrs:
			if !ok {
				return
			}
			e = w.address(u)
		case u, ok := <-routes:
			if !ok {
				return
			}
			e = w.route(u)
		}
		for _, e := range e {
			select {
			case w.out <- e:
			case <-done:
				return
			}
		}
	}
}

func drain[T any](ch <-chan T) {
	for range ch { //nolint:revive // nothing is done with them
	}
}

// link tells of a link that came up or went down. A link that was renamed or left its VRF went down
// as what it was.
func (w *watch) link(u netlink.LinkUpdate) (out []dataplane.NetEvent) {
	if u.Link == nil || u.IfInfomsg.Family != unix.AF_UNSPEC { // bridges tell of their ports in their own family
		return nil
	}
	l := linkOf(u.Link)
	before, known := w.links[l.Index]
	vrf := w.c.vrfName(u.Link.Attrs().MasterIndex)
	now := Link{Index: l.Index, Name: l.Name, Up: l.Up, Kind: vrf}
	gone := u.Header.Type == unix.RTM_DELLINK
	if known && before.Up && (gone || !now.Up || before.Name != now.Name || before.Kind != vrf) {
		out = append(out, dataplane.NetEvent{Kind: dataplane.LinkDown, Link: before.Name, VRF: before.Kind})
	}
	w.names[l.Index] = l.Name
	runs := u.Link.Attrs().RawFlags&unix.IFF_RUNNING != 0
	if known && runs != w.runs[l.Index] && before.Up && now.Up && !gone {
		out = append(out, dataplane.NetEvent{Kind: dataplane.Carrier, Link: now.Name, VRF: vrf})
	}
	w.runs[l.Index] = runs
	if gone {
		delete(w.runs, l.Index)
		delete(w.links, l.Index)
		delete(w.names, l.Index)
		return out
	}
	if now.Up && (!known || !before.Up || before.Name != now.Name || before.Kind != vrf) {
		out = append(out, dataplane.NetEvent{Kind: dataplane.LinkUp, Link: now.Name, VRF: vrf})
	} else if !known {
		out = append(out, dataplane.NetEvent{Kind: dataplane.LinkDown, Link: now.Name, VRF: vrf})
	}
	w.links[l.Index] = now
	return out
}

// vrfName is the name of the VRF device of an index; empty when it is none.
func (c *Conn) vrfName(index int) string {
	if index == 0 {
		return ""
	}
	l, err := c.h.LinkByIndex(index)
	if err != nil || l.Type() != "vrf" {
		return ""
	}
	return l.Attrs().Name
}

func (w *watch) address(u netlink.AddrUpdate) []dataplane.NetEvent {
	p, ok := prefixOf(&u.LinkAddress)
	l := w.links[u.LinkIndex]
	if l.Name == "" {
		// The link's own news has not come yet, or its end has: ask.
		if found, err := w.c.h.LinkByIndex(u.LinkIndex); err == nil {
			l = Link{Name: found.Attrs().Name, Kind: w.c.vrfName(found.Attrs().MasterIndex)}
		}
	}
	if !ok || l.Name == "" {
		return nil
	}
	kind := dataplane.AddressGone
	if u.NewAddr {
		kind = dataplane.AddressCame
	}
	return []dataplane.NetEvent{{Kind: kind, Link: l.Name, VRF: l.Kind, Address: p}}
}

func (w *watch) route(u netlink.RouteUpdate) []dataplane.NetEvent {
	if u.Table == unix.RT_TABLE_LOCAL || u.Flags&unix.RTM_F_CLONED != 0 {
		return nil
	}
	kind := dataplane.RouteGone
	if u.Type == unix.RTM_NEWROUTE {
		kind = dataplane.RouteCame
	}
	return []dataplane.NetEvent{{Kind: kind, Route: w.c.routeOf(u.Route, u.Family, w.names)}}
}
