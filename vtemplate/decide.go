package vtemplate

import (
	"fmt"
	"net/netip"
	"strings"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/ikev2/wire"
)

// A Proposal is what an initiator proposed for its first Child SA and what is known of it.
type Proposal struct {
	TSi, TSr  []wire.Selector // with NAT substitution done (RFC 7296 section 2.23.1)
	Transport bool            // USE_TRANSPORT_MODE was asked for
	FlexVPN   bool            // FLEXVPN-SUPPORTED was announced
	Assigned  []netip.Addr    // overlay addresses the initiator was given
	Outer     netip.Addr      // its transport address; invalid: not checked
}

// A Decision says how packets travel between a spoke and its virtual-access.
type Decision struct {
	Mode      dataplane.Mode
	Transport bool
	TSi, TSr  []wire.Selector // narrowed, in the initiator's order
}

const protoGRE = 47

// A data plane compares each packet with the prefixes of its selectors, so that their number is
// bounded. Any-any of both families, which FlexVPN peers propose, is two.
const (
	maxSelectors = 32
	maxPrefixes  = 128
)

// Decide chooses between GRE and native IPsec for a spoke, as IOS does with "virtual-template N
// mode auto". Selectors of protocol 47 between two hosts mean GRE; everything else is native. A
// native peer that was given addresses and did not announce FLEXVPN-SUPPORTED is a plain
// remote-access client, whose TSi is narrowed to them; all others keep what they proposed, so that
// routes alone decide what travels.
//
// When the refusal is not empty the answer is TS_UNACCEPTABLE and the refusal says why.
func Decide(t *config.VirtualTemplate, p Proposal) (d Decision, refusal string) {
	if len(p.TSi) == 0 || len(p.TSr) == 0 {
		return Decision{}, "the peer proposed no traffic selectors"
	}
	if len(p.TSi) > maxSelectors || len(p.TSr) > maxSelectors {
		return Decision{}, fmt.Sprintf("the peer proposed more than %d traffic selectors", maxSelectors)
	}
	gre := isGRE(p.TSi) && isGRE(p.TSr)
	switch {
	case gre && t.Mode == "ipsec":
		return Decision{}, fmt.Sprintf("the peer wants GRE, virtual-template %d is mode ipsec: set mode: auto, or tunnel mode ipsec on the spoke", t.Number)
	case !gre && t.Mode == "gre":
		return Decision{}, fmt.Sprintf("the peer wants native IPsec (%s), virtual-template %d is mode gre: set mode: auto, or tunnel mode gre on the spoke", selectors(p.TSi), t.Number)
	case gre:
		return decideGRE(p)
	}
	return decideNative(p)
}

// isGRE reports whether all selectors are protocol 47 of a single host.
func isGRE(list []wire.Selector) bool {
	for _, s := range list {
		if s.Protocol != protoGRE || s.Start != s.End {
			return false
		}
	}
	return len(list) > 0
}

// decideGRE takes GRE in transport mode, which is what IOS sends by default, and in tunnel mode where
// the peer does not ask for transport: one more IP header, whose addresses are the selectors.
func decideGRE(p Proposal) (Decision, string) {
	if !p.Transport {
		return decideGRETunnel(p)
	}
	// In transport mode the selectors are the packets' outer addresses: a peer whose selector is
	// another host could send nothing that reaches it.
	if p.Outer.IsValid() && !anyHost(p.TSi, p.Outer.Unmap()) {
		return Decision{}, fmt.Sprintf("the peer wants GRE from %s but comes from %s: use one address as tunnel source and for IKE", selectors(p.TSi), p.Outer)
	}
	return Decision{Mode: dataplane.GRE, Transport: true, TSi: p.TSi, TSr: p.TSr}, ""
}

// decideGRETunnel narrows the selectors to the first pair of one family: the ends of GRE, which are
// two addresses.
func decideGRETunnel(p Proposal) (Decision, string) {
	for n, i := range p.TSi {
		for m, r := range p.TSr {
			if i.Start.IsValid() && i.Start.Is4() == r.Start.Is4() {
				return Decision{Mode: dataplane.GRE, TSi: p.TSi[n : n+1], TSr: p.TSr[m : m+1]}, ""
			}
		}
	}
	return Decision{}, fmt.Sprintf("the peer wants GRE in tunnel mode from %s to %s, addresses of two families: propose ends of one, or set mode transport in its transform set", selectors(p.TSi), selectors(p.TSr))
}

func anyHost(list []wire.Selector, a netip.Addr) bool {
	for _, s := range list {
		if s.Start == a {
			return true
		}
	}
	return false
}

func decideNative(p Proposal) (Decision, string) {
	d := Decision{Mode: dataplane.IPsec, TSi: p.TSi, TSr: p.TSr}
	if n := max(len(prefixes(p.TSi)), len(prefixes(p.TSr))); n > maxPrefixes {
		return Decision{}, fmt.Sprintf("the peer's traffic selectors make %d prefixes, more than %d: propose ranges that are prefixes", n, maxPrefixes)
	}
	if p.FlexVPN || len(p.Assigned) == 0 {
		return d, ""
	}
	d.TSi = nil
	for _, a := range p.Assigned {
		host := wire.SelectorFromPrefix(netip.PrefixFrom(a, a.BitLen()), 0)
		for _, s := range p.TSi {
			if narrowed, ok := s.Intersect(host); ok {
				d.TSi = append(d.TSi, narrowed)
			}
		}
	}
	// What is left of TSr must have a counterpart: an IPv6 range is of no use to a client that was
	// given an IPv4 address.
	d.TSr = sameFamily(p.TSr, d.TSi)
	if len(d.TSi) == 0 || len(d.TSr) == 0 {
		return Decision{}, fmt.Sprintf("the peer proposes traffic from %s to %s, which leaves nothing for its address %s", selectors(p.TSi), selectors(p.TSr), addresses(p.Assigned))
	}
	return d, ""
}

// sameFamily keeps the selectors whose address family occurs in other.
func sameFamily(list, other []wire.Selector) []wire.Selector {
	var four, six bool
	for _, s := range other {
		four = four || s.Start.Is4()
		six = six || s.Start.Is6()
	}
	var kept []wire.Selector
	for _, s := range list {
		if s.Start.Is4() && four || s.Start.Is6() && six {
			kept = append(kept, s)
		}
	}
	return kept
}

// selectors prints the first few of a peer's selectors.
func selectors(list []wire.Selector) string {
	var all []string
	for i, s := range list {
		if i == 4 {
			all = append(all, "…")
			break
		}
		all = append(all, s.String())
	}
	return strings.Join(all, ", ")
}

func addresses(list []netip.Addr) string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}
