package bgp

import (
	"net/netip"
	"slices"

	"flexvpn/config"
)

// A group is the neighbors, established or about to be, that are told the same, their own paths aside. What a group is
// not told costs nothing per neighbor: of a thousand spokes that get only a summary, none is looked at
// when a specific prefix changes.
type group struct {
	peers map[*peer]struct{}
	told  map[netip.Prefix]struct{}
}

type groupKey struct {
	cfg      *config.BGPPeer
	internal bool
	four     bool // the family of the session
}

func (s *Speaker) keyOf(p *peer) groupKey { return groupKey{p.cfg, p.internal, p.address.Is4()} }

// offer tells a new neighbor everything.
func (s *Speaker) offer(p *peer) {
	if p.offered {
		return
	}
	p.offered = true
	k := s.keyOf(p)
	g := s.groups[k]
	if g == nil {
		g = &group{peers: map[*peer]struct{}{}, told: map[netip.Prefix]struct{}{}}
		s.groups[k] = g
		for prefix, d := range s.table {
			if s.mayTell(k, prefix, d.best()) {
				g.told[prefix] = struct{}{}
			}
		}
	}
	g.peers[p] = struct{}{}
	if p.cfg.DefaultOriginate {
		s.offerDefault(p)
	}
	for prefix := range g.told {
		s.tell(p, prefix, s.table[prefix].best())
	}
}

// offerDefault sends a default route, as neighbor default-originate does on IOS.
func (s *Speaker) offerDefault(p *peer) {
	four, six := speaks(p.cfg, p.address)
	for _, d := range []struct {
		is bool
		a  netip.Addr
	}{{four, netip.IPv4Unspecified()}, {six, netip.IPv6Unspecified()}} {
		if d.is {
			prefix := netip.PrefixFrom(d.a, 0)
			s.tell(p, prefix, &path{prefix: prefix, local: localNetwork, attrs: Attributes{LocalPref: defaultLocalPref, NextHop: d.a}})
		}
	}
}

func (s *Speaker) leaveGroup(p *peer) {
	k := s.keyOf(p)
	if g := s.groups[k]; g != nil {
		if delete(g.peers, p); len(g.peers) == 0 {
			delete(s.groups, k)
		}
	}
}

// spread tells every neighbor that should know what a prefix has come to.
func (s *Speaker) spread(prefix netip.Prefix, best *path) {
	for k, g := range s.groups {
		may := s.mayTell(k, prefix, best)
		_, was := g.told[prefix]
		if !may && !was {
			continue
		}
		for p := range g.peers {
			if may {
				s.tell(p, prefix, best)
			} else {
				s.untell(p, prefix)
			}
		}
		if may {
			g.told[prefix] = struct{}{}
		} else {
			delete(g.told, prefix)
		}
	}
}

// mayTell decides for all neighbors of a group.
func (s *Speaker) mayTell(k groupKey, prefix netip.Prefix, best *path) bool {
	if best == nil {
		return false
	}
	four, six := k.cfg.IPv4, k.cfg.IPv6
	if !four && !six {
		four, six = k.four, !k.four
	}
	switch {
	case prefix.Addr().Is4() && !four, prefix.Addr().Is6() && !six:
		return false
	case slices.Contains(best.attrs.Communities, noAdvertise):
		return false
	case slices.Contains(best.attrs.Communities, noExport) && !k.internal:
		return false
	case best.internal() && k.internal && !best.from.cfg.Client && !k.cfg.Client:
		return false // RFC 4456 section 6: not from one non-client to another
	case s.suppressed(prefix) && !k.cfg.Unsuppress.Permits(prefix):
		return false
	}
	return k.cfg.Export.Permits(prefix)
}

// tell announces the best path to one neighbor, unless it is the neighbor's own.
func (s *Speaker) tell(p *peer, prefix netip.Prefix, best *path) {
	if best.from == p || !p.internal && best.attrs.through(p.asn) {
		s.untell(p, prefix)
		return
	}
	a := s.outgoing(p, prefix, best)
	if a == nil {
		s.untell(p, prefix)
		return
	}
	if old := p.sent[prefix]; old != nil && same(old, a) {
		return
	} else if old == nil {
		s.counters.out++
	}
	p.sent[prefix] = a
	if err := p.link.Announce(prefix, a); err != nil {
		s.log.Warn("bgp announce", "neighbor", p.address, "err", err)
	}
}

func (s *Speaker) untell(p *peer, prefix netip.Prefix) {
	if p.sent[prefix] == nil {
		return
	}
	delete(p.sent, prefix)
	s.counters.out--
	if p.gone || p.blocked != "" {
		return // the session goes with it
	}
	if err := p.link.Withdraw(prefix); err != nil {
		s.log.Warn("bgp withdraw", "neighbor", p.address, "err", err)
	}
}

// outgoing are the attributes for one neighbor; nil when it cannot be told.
func (s *Speaker) outgoing(p *peer, prefix netip.Prefix, best *path) *Attributes {
	a := best.attrs
	if self(p, best) {
		a.NextHop = unspecified(prefix)
	}
	if a.NextHop.IsUnspecified() && prefix.Addr().Is4() != p.local.Is4() {
		return nil // this end of the session is no next hop for the other family
	}
	if !p.internal {
		a.LocalPref, a.Originator, a.ClusterList = 0, netip.Addr{}, nil
		if best.from != nil {
			a.MED, a.HasMED = 0, false // it is for our AS alone, RFC 4271 section 5.1.4
		}
		return &a
	}
	switch {
	case !best.internal():
		a.Originator, a.ClusterList = netip.Addr{}, nil
	case !a.Originator.IsValid():
		a.Originator = best.from.routerID
	}
	return &a
}

// self reports whether this node puts itself in as next hop: always towards another AS, for what others
// told when the neighbor's settings say so.
func self(p *peer, best *path) bool {
	switch {
	case best.from == nil || !p.internal:
		return true
	case best.internal():
		return p.cfg.NextHopSelf == config.NextHopAll
	}
	return p.cfg.NextHopSelf != config.NextHopUnchanged
}

func same(a, b *Attributes) bool {
	return a.Origin == b.Origin && a.NextHop == b.NextHop && a.MED == b.MED && a.HasMED == b.HasMED && a.LocalPref == b.LocalPref &&
		a.Originator == b.Originator && slices.Equal(a.ClusterList, b.ClusterList) && slices.Equal(a.Communities, b.Communities) &&
		slices.EqualFunc(a.ASPath, b.ASPath, func(x, y Segment) bool { return x.Set == y.Set && slices.Equal(x.ASNs, y.ASNs) }) &&
		len(a.more) == 0 && len(b.more) == 0
}
