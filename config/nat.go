package config

import (
	"fmt"
	"net/netip"
)

// NATRule translates the addresses of hosts to that of the interface by which their packets leave, many
// to one (PAT).
type NATRule struct {
	Inside  []string
	Outside string
	Source  []netip.Prefix // only these hosts; empty: all
}

// rawNAT mirrors one entry of nat.
type rawNAT struct {
	header
	inside   []given[string]
	outside  given[string]
	source   []given[netip.Prefix]
	overload given[string]
}

func (n *rawNAT) keys() []key {
	return []key{
		{name: "inside", part: oneOrListOf(&n.inside, interfacePart), required: true, example: "[eth1]", doc: "Interfaces of the hosts."},
		{name: "outside", part: named(&n.outside, interfaceName), required: true, example: "tunnel1", doc: "The interface by which the packets leave: a tunnel, or, for internet-bound traffic of a split tunnel, the WAN. Its address replaces the hosts', whichever it is at the time."},
		{name: "source", part: oneOrListOf(&n.source, network), otherwise: "all hosts", example: "[172.16.1.0/24]", doc: "Translate these hosts only."},
		{name: "overload", part: choice(&n.overload, "true"), def: "true", example: "true", doc: "All hosts share the one address by means of ports; there is no other way."},
	}
}

func natSideKey(into *given[string]) key {
	return key{
		name: "nat", part: choice(into, "outside"), otherwise: "what `nat` says", example: "outside",
		doc: "`outside`, as `ip nat outside`: an entry of `nat` must have this tunnel as its outside.",
	}
}

func (r *reader) nat(raw []rawNAT, tunnels []entry[rawTunnel], cfg *Config) []NATRule {
	var out []NATRule
	outside := map[string]bool{}
	seen := map[string]place{}
	for i := range raw {
		n := &raw[i]
		if !n.seen {
			continue
		}
		in := fmt.Sprintf("nat entry %d", i+1)
		rule := NATRule{Inside: r.insideInterfaces(n.inside, in, cfg), Outside: n.outside.v, Source: valid(n.source)}
		for _, name := range rule.Inside {
			if name == rule.Outside {
				r.fail(n.outside.at, "", "%s: interface %s is both inside and outside", in, name)
			}
			pair := name + " " + rule.Outside
			if first, again := seen[pair]; again {
				r.fail(n.outside.at, "give the sources of both in one entry", "%s: %s to %s is translated already (line %d)", in, name, rule.Outside, first.line)
			}
			seen[pair] = n.at
		}
		outside[rule.Outside] = true
		out = append(out, rule)
	}
	for i := range tunnels {
		if side := tunnels[i].v.nat; side.typed && side.ok && !outside[tunnels[i].name] {
			r.warn(side.at, "nat: [{inside: [eth1], outside: "+tunnels[i].name+"}]", "tunnel %s is outside of NAT, but no entry of nat has it as outside: nothing is translated", tunnels[i].name)
		}
	}
	return out
}
