package routing

import (
	"fmt"
	"net/netip"

	"flexvpn/dataplane"
)

// PinTransport keeps a hub reachable outside of its own tunnel: when one of the pushed prefixes
// covers the hub's transport address, a host route to it by the present gateway is set under key,
// else one set before is removed. Call it before the prefixes are set; Remove(key) undoes it, after
// they were removed.
//
// A pin stays as it was found: when the gateway changes, dead peer detection ends the session, and
// the next one pins anew.
func (t *Table) PinTransport(key string, hub netip.Addr, pushed []netip.Prefix) error {
	hub = hub.Unmap().WithZone("")
	t.mu.Lock()
	defer t.mu.Unlock()
	host := netip.PrefixFrom(hub, hub.BitLen())
	if !covers(pushed, hub) {
		return problems(t.set(key, nil))
	}
	at := dest{prefix: host}
	if t.sets[key][at] != nil {
		return problems(t.settle(at))
	}
	way, err := t.fib.RouteTo(hub)
	if err != nil {
		return fmt.Errorf("pin the route to %s: %w", hub, err)
	}
	if t.tunnels[way.Interface] > 0 {
		return fmt.Errorf("pin the route to %s: it leads into our own tunnel %s: add a route to the hub outside of it", hub, way.Interface)
	}
	return problems(t.set(key, []*claim{{
		key: key, dest: at, source: SourceTransport, from: way.Source, given: []dataplane.Hop{{Interface: way.Interface, Via: way.Via}},
	}}))
}

func covers(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
