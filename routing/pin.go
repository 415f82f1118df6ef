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
		return problems(t.set(key, Announcement{}, nil))
	}
	if t.sets[key][host] != nil {
		return problems([]error{t.settle(host)})
	}
	way, err := t.fib.RouteTo(hub)
	if err != nil {
		return fmt.Errorf("pin the route to %s: %w", hub, err)
	}
	if t.tunnels[way.Interface] > 0 {
		return fmt.Errorf("pin the route to %s: it leads into our own tunnel %s: add a route to the hub outside of it", hub, way.Interface)
	}
	r := dataplane.Route{
		Prefix: host, Interface: way.Interface, Via: way.Via, Source: way.Source,
		Metric: defaultMetric, Table: 0, Protocol: Protocol,
	}
	return problems(t.set(key, Announcement{Source: SourceTransport}, []dataplane.Route{r}))
}

func covers(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
