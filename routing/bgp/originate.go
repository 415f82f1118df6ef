package bgp

import (
	"net/netip"
	"slices"

	"flexvpn/config"
	"flexvpn/routing"
)

// What makes a path ours.
const (
	localNetwork   = "network"
	localAggregate = "aggregate"
)

// origins as in RFC 4271 section 5.1.1.
const (
	originIGP        = 0
	originIncomplete = 2
)

// follow begins or ends the announcement of a prefix of this node: one of bgp.networks, as long as the
// RIB has it from elsewhere, or one that is redistributed.
func (s *Speaker) follow(prefix netip.Prefix) {
	b, there := s.best[prefix]
	elsewhere := there && b.Source != routing.SourceEBGP && b.Source != routing.SourceIBGP && b.Source != routing.SourceAggregate
	network := slices.Contains(s.cfg.Networks, prefix) && elsewhere
	s.originate(prefix, localNetwork, network, originIGP)
	source := ""
	if elsewhere && !network {
		source = s.redistributed(b)
	}
	for _, r := range []string{"connected", "static", "ikev2"} {
		s.originate(prefix, r, source == r, originIncomplete)
	}
}

// redistributed is the word of bgp.redistribute that takes a route in; empty: none.
func (s *Speaker) redistributed(b routing.Best) string {
	word := b.Source
	if word == routing.SourceAddress {
		word = "ikev2" // the addresses that IKEv2 gave
	}
	for _, r := range s.cfg.Redistribute {
		if r.Source == word && r.Filter.Permits(b.Prefix) && !routing.Martian(b.Prefix) {
			return word
		}
	}
	return ""
}

// originate makes a prefix ours, or ends that.
func (s *Speaker) originate(prefix netip.Prefix, local string, is bool, origin uint8) {
	d := s.table[prefix]
	was := d != nil && slices.ContainsFunc(d.paths, func(p *path) bool { return p.from == nil && p.local == local })
	switch {
	case is == was:
		return
	case is:
		s.dest(prefix).put(&path{prefix: prefix, local: local, since: s.now(), attrs: Attributes{Origin: origin, LocalPref: defaultLocalPref, NextHop: unspecified(prefix)}})
	default:
		d.remove(nil, local)
	}
	s.decide(prefix)
}

// unspecified stands for this end of whatever session a path goes to.
func unspecified(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// A summary is an aggregate: ours as long as something is inside of it.
type summary struct {
	config.BGPAggregate
	inside map[netip.Prefix]struct{}
}

func (a *summary) covers(p netip.Prefix) bool {
	return a.Prefix.Bits() < p.Bits() && a.Prefix.Contains(p.Addr())
}

// summarize notes that a prefix came or went in the aggregates that cover it.
func (s *Speaker) summarize(prefix netip.Prefix, there bool) {
	for _, a := range s.summaries {
		if !a.covers(prefix) {
			continue
		}
		if there {
			a.inside[prefix] = struct{}{}
		} else {
			delete(a.inside, prefix)
		}
		s.originate(a.Prefix, localAggregate, len(a.inside) > 0, originIGP)
	}
}

// suppressed reports whether an aggregate speaks for a prefix.
func (s *Speaker) suppressed(prefix netip.Prefix) bool {
	return slices.ContainsFunc(s.summaries, func(a *summary) bool { return a.SummaryOnly && a.covers(prefix) })
}
