package routing

import (
	"net/netip"
	"slices"

	"flexvpn/dataplane"
)

// lengthOf names the prefixes of one length in one family of one VRF.
type lengthOf struct {
	vrf  string
	four bool
	bits int
}

// resolves reports whether next hops may be resolved by claims of this kind: those that have an
// interface of their own. One protocol's routes do not carry another's, so nothing can go round.
func (c *claim) resolves() bool { return c.nexthops == nil && !c.discard }

func (t *Table) countLength(c *claim, by int) {
	if !c.resolves() {
		return
	}
	at := lengthOf{c.dest.vrf, c.dest.prefix.Addr().Is4(), c.dest.prefix.Bits()}
	if t.lengths[at] += by; t.lengths[at] == 0 {
		delete(t.lengths, at)
	}
}

// hook enters c in the indexes, with its next hops resolved.
func (t *Table) hook(c *claim) {
	for _, a := range c.nexthops {
		at := dest{c.dest.vrf, netip.PrefixFrom(a, a.BitLen())}
		if t.waiting[at] == nil {
			t.waiting[at] = map[*claim]struct{}{}
		}
		t.waiting[at][c] = struct{}{}
	}
	t.resolve(c)
	t.lead(c, 1)
}

func (t *Table) unhook(c *claim) {
	t.lead(c, -1)
	for _, a := range c.nexthops {
		at := dest{c.dest.vrf, netip.PrefixFrom(a, a.BitLen())}
		if delete(t.waiting[at], c); len(t.waiting[at]) == 0 {
			delete(t.waiting, at)
		}
	}
}

// lead keeps the index by interfaces, and tunnels. A pin's own interface is not a tunnel, nor is one
// of the machine's own.
func (t *Table) lead(c *claim, by int) {
	for _, h := range c.wanted() {
		if by > 0 && t.through[h.Interface] == nil {
			t.through[h.Interface] = byClaim()
		}
		if by > 0 {
			t.through[h.Interface].put(c)
		} else if t.through[h.Interface].remove(c); t.through[h.Interface].len() == 0 {
			delete(t.through, h.Interface)
		}
		if c.source == SourceAddress || c.source == SourceIKEv2 {
			if t.tunnels[h.Interface] += by; t.tunnels[h.Interface] == 0 {
				delete(t.tunnels, h.Interface)
			}
		}
	}
}

// wanted are the hops that c has when their interfaces are up.
func (c *claim) wanted() []dataplane.Hop {
	if c.nexthops == nil {
		return c.given
	}
	return c.hops
}

// resolve finds the hops of c: those it was given as far as they are up, or those that lead to its
// next hops.
func (t *Table) resolve(c *claim) {
	if c.discard {
		return
	}
	if c.nexthops == nil {
		c.hops, c.why = c.given, ""
		for _, h := range c.given {
			if t.down[h.Interface] {
				c.why = "interface " + h.Interface + " is down"
			}
		}
		if c.why != "" {
			c.hops = slices.DeleteFunc(slices.Clone(c.given), func(h dataplane.Hop) bool { return t.down[h.Interface] })
		}
		return
	}
	c.hops, c.why = nil, ""
	for _, a := range c.nexthops {
		hops, why := t.lookUp(c.dest.vrf, a)
		if c.hops = append(c.hops, hops...); why != "" {
			c.why = why
		}
	}
	slices.SortFunc(c.hops, dataplane.Hop.Compare)
	c.hops = slices.Compact(c.hops)
}

// lookUp finds the way to a next hop: the longest prefix of the RIB that can carry it, else whatever
// the machine has besides us.
func (t *Table) lookUp(vrf string, a netip.Addr) ([]dataplane.Hop, string) {
	if len(t.own[dest{vrf, netip.PrefixFrom(a, a.BitLen())}]) > 0 {
		return nil, "next hop " + a.String() + " is this machine itself"
	}
	for bits := a.BitLen(); bits >= 0; bits-- {
		if t.lengths[lengthOf{vrf, a.Is4(), bits}] == 0 {
			continue
		}
		p, _ := a.Prefix(bits)
		if e := t.entries[dest{vrf, p}]; e != nil {
			if c := e.carrier(); c != nil {
				return viaHops(e.ways(c), a), ""
			}
		}
	}
	if vrf == "" {
		if way, err := t.fib.RouteTo(a); err == nil && !Ours(way.Protocol) && !way.Discard && t.tunnels[way.Interface] == 0 && way.Interface != "lo" {
			if !way.Via.IsValid() {
				way.Via = a
			}
			return []dataplane.Hop{{Interface: way.Interface, Via: way.Via}}, ""
		}
	}
	return nil, "next hop " + a.String() + " is unreachable"
}

// viaHops makes a the gateway on ways that have none.
func viaHops(ways []dataplane.Hop, a netip.Addr) []dataplane.Hop {
	out := slices.Clone(ways)
	for i := range out {
		if !out[i].Via.IsValid() {
			out[i].Via = a
		}
	}
	return out
}

// again resolves the next hops that d carries or carried, and settles what they lead to.
func (t *Table) again(d dest) (errs []error) {
	if d.prefix.IsSingleIP() {
		for c := range t.waiting[d] {
			errs = append(errs, t.reresolve(c)...)
		}
		return errs
	}
	for at, claims := range t.waiting {
		if at.vrf != d.vrf || !d.prefix.Contains(at.prefix.Addr()) {
			continue
		}
		for c := range claims {
			errs = append(errs, t.reresolve(c)...)
		}
	}
	return errs
}

func (t *Table) reresolve(c *claim) []error {
	t.lead(c, -1)
	t.resolve(c)
	t.lead(c, 1)
	return t.settle(c.dest)
}
