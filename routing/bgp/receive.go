package bgp

import (
	"fmt"
	"net/netip"
	"slices"

	"flexvpn/routing"
)

// refusals are the kinds of what is turned away: the closed set of a metric's label.
var refusals = []string{"stranger", "limit", "asn", "open", "filter", "martian", "not-own", "next-hop", "loop", "maximum-prefix"}

// update takes in one path of a neighbor.
func (s *Speaker) update(p *peer, prefix netip.Prefix, a *Attributes) {
	if p.blocked != "" {
		return
	}
	kind, reason := s.judge(p, prefix, a)
	if kind != "" {
		if p.refused[prefix] != kind {
			s.counters.refused[kind]++
			s.log.Debug("bgp path refused", "neighbor", p.address, "prefix", prefix, "reason", reason)
		}
		s.lose(p, prefix)
		p.refused[prefix] = kind
		s.count(p)
		return
	}
	delete(p.refused, prefix)
	if !p.internal {
		a.LocalPref = defaultLocalPref
	}
	path := &path{prefix: prefix, from: p, attrs: *a, since: s.now()}
	if old := p.paths[prefix]; old != nil {
		path.since = old.since
	} else {
		s.counters.in++
	}
	p.paths[prefix] = path
	s.dest(prefix).put(path)
	s.count(p)
	s.decide(prefix)
}

// count holds a neighbor to its maximum of prefixes; those that were refused count as well, or a flood
// of them would cost nothing.
func (s *Speaker) count(p *peer) {
	if most := p.cfg.MaxPrefixes; most > 0 && len(p.paths)+len(p.refused) > most {
		s.counters.refused["maximum-prefix"]++
		s.log.Warn(fmt.Sprintf("%%BGP-3-MAXPFXEXCEED: Number of prefixes received from %s: %d exceed limit %d", p.name(), len(p.paths)+len(p.refused), most), "identity", p.identity)
		s.block(p, "maximum prefixes reached")
	}
}

// judge says why a path is not believed; an empty kind is none.
func (s *Speaker) judge(p *peer, prefix netip.Prefix, a *Attributes) (kind, reason string) {
	switch {
	case slices.Contains(a.ClusterList, s.cfg.ClusterID), a.Originator == s.cfg.RouterID && a.Originator.IsValid():
		return "loop", "it was reflected by this node before" // RFC 4456 section 8
	case !p.internal && a.through(s.cfg.ASN):
		return "loop", "our AS is in its AS path" // RFC 4271 section 9.1.2
	case routing.Martian(prefix):
		return "martian", "nobody can be the way to it"
	case p.dynamic && p.policy.Transport.IsValid() && prefix.Contains(p.policy.Transport):
		return "martian", "it covers the spoke's own transport address"
	case !p.cfg.Import.Permits(prefix):
		return "filter", "the import list denies it"
	case p.cfg.OnlyOwn && !own(p, prefix):
		return "not-own", "the spoke's authorization does not allow it"
	}
	return s.judgeNextHop(p, a)
}

// own reports whether a prefix is one that the spoke's authorization gives or accepts.
func own(p *peer, prefix netip.Prefix) bool {
	if prefix == netip.PrefixFrom(p.address, p.address.BitLen()) {
		return true
	}
	ok, _ := routing.Accept(p.policy.Accept, []netip.Prefix{prefix}, netip.Addr{})
	return len(ok) == 1
}

// judgeNextHop refuses what would lead to this node itself, or to another spoke than the one that says it.
func (s *Speaker) judgeNextHop(p *peer, a *Attributes) (kind, reason string) {
	switch {
	case !a.NextHop.IsValid() || a.NextHop.IsUnspecified():
		return "next-hop", "it has no next hop"
	case a.NextHop == p.local:
		return "next-hop", "its next hop is this node"
	case p.dynamic && a.NextHop != p.address && s.listenOf(a.NextHop) != nil:
		return "next-hop", fmt.Sprintf("its next hop %s is another spoke", a.NextHop)
	}
	return "", ""
}

// lose withdraws a neighbor's path.
func (s *Speaker) lose(p *peer, prefix netip.Prefix) {
	if p.paths[prefix] == nil {
		return
	}
	delete(p.paths, prefix)
	s.counters.in--
	if d := s.table[prefix]; d != nil && d.remove(p, "") {
		s.decide(prefix)
	}
}

func (s *Speaker) dest(prefix netip.Prefix) *destination {
	d := s.table[prefix]
	if d == nil {
		d = &destination{}
		s.table[prefix] = d
	}
	return d
}

// told is what the RIB was given for a prefix.
type told struct {
	source   string
	distance uint8
	identity string
	discard  bool
	hops     string
}

// decide follows a change of a prefix's paths: the RIB, the aggregates, the neighbors.
func (s *Speaker) decide(prefix netip.Prefix) {
	d := s.table[prefix]
	if d == nil {
		return
	}
	s.install(prefix, d)
	s.summarize(prefix, len(d.paths) > 0)
	s.spread(prefix, d.best())
	if len(d.paths) == 0 {
		delete(s.table, prefix)
	}
}

// install gives the RIB what a prefix has come to.
func (s *Speaker) install(prefix netip.Prefix, d *destination) {
	path, now := s.ribPath(prefix, d)
	if now == d.told {
		return
	}
	d.told = now
	var err error
	if now.source == "" {
		err = s.rib.RemovePath(s.key(), s.cfg.VRF, prefix)
	} else {
		err = s.rib.SetPath(s.key(), path)
	}
	if err != nil {
		s.log.Warn("bgp route", "prefix", prefix, "err", err)
	}
}

func (s *Speaker) ribPath(prefix netip.Prefix, d *destination) (routing.Path, told) {
	best := d.best()
	if best == nil || best.from == nil && best.local != localAggregate {
		return routing.Path{}, told{} // ours are in the RIB already
	}
	path := routing.Path{VRF: s.cfg.VRF, Prefix: prefix}
	if best.from == nil {
		path.Source, path.Discard, path.Distance = routing.SourceAggregate, true, 200
		return path, told{source: path.Source, discard: true}
	}
	path.Source, path.Distance, path.Identity = routing.SourceEBGP, s.cfg.External, best.from.address.String()
	if best.internal() {
		path.Source, path.Distance = routing.SourceIBGP, s.cfg.Internal
	}
	hops := ""
	for _, p := range d.equals(s.cfg.MaxPaths) {
		path.NextHops = append(path.NextHops, p.attrs.NextHop)
		hops += p.attrs.NextHop.String() + " "
	}
	return path, told{source: path.Source, distance: path.Distance, identity: path.Identity, hops: hops}
}
