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
// Called again it follows the machine's own routes: a session that moves to another uplink (MOBIKE) pins
// anew. Where there is no way to the hub a pin stays as it was.
func (t *Table) PinTransport(key string, hub netip.Addr, pushed []netip.Prefix) error {
	return t.PinTransports(key, hub, nil, pushed)
}

// PinTransports does the same for a hub with further addresses, to which its sessions may move. Those
// without a way to them are left out.
func (t *Table) PinTransports(key string, hub netip.Addr, further []netip.Addr, pushed []netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hubs[key] = append([]netip.Addr{hub.Unmap().WithZone("")}, further...)
	again := t.sets[key].len() > 0
	pin, err := t.pin(key, hub, pushed, again)
	if err != nil {
		return fmt.Errorf("pin the route to %s: %w", hub.Unmap(), err)
	}
	var pins []*claim
	if pin != nil {
		pins = append(pins, pin)
	}
	for _, a := range further {
		if pin, err := t.pin(key, a, pushed, again); err == nil && pin != nil {
			pins = append(pins, pin)
		}
	}
	return problems(t.set(key, pins))
}

// pin is the claim that keeps the way to one address; nil when nothing pushed is in its way. again says
// that there were pins before: then the present way may lead into the tunnel itself, and what counts are
// the routes beside ours.
func (t *Table) pin(key string, hub netip.Addr, pushed []netip.Prefix, again bool) (*claim, error) {
	hub = hub.Unmap().WithZone("")
	if !covers(pushed, hub) && !t.swallowed(hub) {
		return nil, nil
	}
	at := dest{prefix: netip.PrefixFrom(hub, hub.BitLen())}
	way, err := t.fib.RouteTo(hub)
	if again {
		way, err = t.fib.RouteBeside(hub, Ours)
	}
	if was := t.sets[key].get(at); err != nil && was != nil {
		return was, nil
	}
	if err != nil {
		return nil, err
	}
	if t.tunnels[way.Interface] > 0 {
		return nil, fmt.Errorf("it leads into our own tunnel %s: add a route to the hub outside of it", way.Interface)
	}
	return &claim{
		key: key, dest: at, source: SourceTransport, from: way.Source, given: []dataplane.Hop{{Interface: way.Interface, Via: way.Via}},
	}, nil
}

// swallowed reports whether a routing protocol's route is around an address.
func (t *Table) swallowed(a netip.Addr) bool {
	for bits := a.BitLen() - 1; bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if e := t.entries[dest{prefix: p}]; e != nil {
			for c := range e.all {
				if !c.resolves() {
					return true
				}
			}
		}
	}
	return false
}

// keepOut pins the hubs that a route which a routing protocol is about to bring would swallow.
func (t *Table) keepOut(p netip.Prefix) (errs []error) {
	for key, hubs := range t.hubs {
		for _, hub := range hubs {
			if hub = hub.Unmap(); !p.Contains(hub) || t.sets[key].get(dest{prefix: netip.PrefixFrom(hub, hub.BitLen())}) != nil {
				continue
			}
			pin, err := t.pin(key, hub, []netip.Prefix{p}, true)
			if err != nil {
				errs = append(errs, fmt.Errorf("pin the route to %s: %w", hub, err))
				continue
			}
			errs = append(errs, t.put(pin)...)
		}
	}
	return errs
}

// WayTo is the way to a host outside of our tunnels, whatever routes lead into them.
// One that can only be reached through one of them is reached so.
func (t *Table) WayTo(a netip.Addr) (dataplane.Route, error) {
	way, err := t.fib.RouteBeside(a.Unmap(), Ours)
	if err != nil {
		return t.fib.RouteTo(a.Unmap())
	}
	return way, nil
}

func covers(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
