package routing

import (
	"net/netip"
	"slices"
	"time"

	"flexvpn/dataplane"
)

// A dest is what a route leads to: a prefix in a VRF.
type dest struct {
	vrf    string
	prefix netip.Prefix
}

// A claim is one source's way to a dest.
type claim struct {
	prev, next *claim // in its rank, newest first

	key      string
	dest     dest
	source   string
	identity string
	distance uint8
	tag      uint32
	share    bool
	since    time.Time

	nexthops []netip.Addr    // to be resolved; nil when hops were given
	given    []dataplane.Hop // with interfaces of its own
	hops     []dataplane.Hop // where packets go now; empty: nowhere
	onlink   bool
	discard  bool
	from     netip.Addr // preferred source
	why      string     // why there are no hops
}

// preference is what decides among the claims to one dest, the least first. Among equals the newest
// wins: a spoke that comes again has moved.
type preference struct{ class, distance, order uint8 }

func (c *claim) preference() preference {
	s := sourceOf(c.source)
	return preference{s.class, c.distance, s.order}
}

func (p preference) compare(o preference) int {
	for _, d := range []int{int(p.class) - int(o.class), int(p.distance) - int(o.distance), int(p.order) - int(o.order)} {
		if d != 0 {
			return d
		}
	}
	return 0
}

// A rank is the claims of one preference, newest first.
type rank struct {
	preference
	newest *claim
}

// An entry is all claims to one dest, and what stands in the FIB.
type entry struct {
	ranks     []rank // best first
	installed dataplane.Route
	stands    bool
	problem   string          // why the wanted route does not stand
	told      *Best           // what watchers were told last; nil: nothing, or nobody watches
	carries   []dataplane.Hop // what next hops inside were resolved to last
}

// enter puts c before the other claims of its preference.
func (e *entry) enter(c *claim) {
	p := c.preference()
	i, found := slices.BinarySearchFunc(e.ranks, p, func(r rank, p preference) int { return r.compare(p) })
	if !found {
		e.ranks = slices.Insert(e.ranks, i, rank{preference: p})
	}
	head := &e.ranks[i].newest
	c.prev, c.next = nil, *head
	if c.next != nil {
		c.next.prev = c
	}
	*head = c
}

// leave takes c out; it must be called before c's preference changes.
func (e *entry) leave(c *claim) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		p := c.preference()
		i, _ := slices.BinarySearchFunc(e.ranks, p, func(r rank, p preference) int { return r.compare(p) })
		if e.ranks[i].newest = c.next; c.next == nil {
			e.ranks = slices.Delete(e.ranks, i, i+1)
		}
	}
	c.prev, c.next = nil, nil
}

// all goes through the claims, best first.
func (e *entry) all(yield func(*claim) bool) {
	for _, r := range e.ranks {
		for c := r.newest; c != nil; c = c.next {
			if !yield(c) {
				return
			}
		}
	}
}

// winner is the best claim that leads somewhere, or nil.
func (e *entry) winner() *claim {
	for c := range e.all {
		if c.usable() {
			return c
		}
	}
	return nil
}

// carrier is the best claim that next hops can be resolved by, or nil.
func (e *entry) carrier() *claim {
	for c := range e.all {
		if c.resolves() && c.usable() {
			return c
		}
	}
	return nil
}

func (c *claim) usable() bool { return c.discard || len(c.hops) > 0 }

// farEnd is the gateway that stands for the other end of a tunnel: IPv6 divides traffic over gateways only
// (ip6_route_multipath_add), and a tunnel asks nobody who has an address.
var farEnd = netip.MustParseAddr("fe80::f1e:ce11")

// hops are the ways that the FIB can have. Only tunnels, which IKEv2's routes lead into, get a gateway
// that they have not: of other IPv6 ways without one it takes the winner's own.
func (e *entry) hops(w *claim) []dataplane.Hop {
	ways := e.ways(w)
	if w.dest.prefix.Addr().Is4() || len(ways) < 2 || !slices.ContainsFunc(ways, func(h dataplane.Hop) bool { return !h.Via.IsValid() }) {
		return ways
	}
	if w.source != SourceIKEv2 {
		return w.hops[:1]
	}
	return viaHops(ways, farEnd)
}

// maxWays bounds equal-cost ways, as maximum-paths does on IOS.
const maxWays = 16

// ways are the winner's hops, and those of the claims that share with it. They are the caller's to read.
func (e *entry) ways(w *claim) []dataplane.Hop {
	if !w.share {
		return w.hops
	}
	hops := slices.Clone(w.hops)
	for c := w.next; c != nil && len(hops) < maxWays; c = c.next {
		if c.share && c.usable() && !c.discard && c.source == w.source {
			hops = append(hops, c.hops...)
		}
	}
	slices.SortFunc(hops, dataplane.Hop.Compare)
	hops = slices.Compact(hops)
	return hops[:min(len(hops), maxWays)]
}
