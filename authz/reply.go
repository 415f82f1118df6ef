package authz

import (
	"net/netip"
	"slices"

	"flexvpn/ikev2/wire"
)

// ciscoPrivate is the first of the attributes that Cisco took from the private range.
const ciscoPrivate = wire.CiscoBanner

// Wants reports which overlay addresses a CFG_REQUEST asks for. An IOS spoke with a static tunnel
// address sends a request without any: it must not cost a lease.
func Wants(requested []wire.Attribute) (v4, v6 bool) {
	return asks(requested, wire.InternalIP4Address), asks(requested, wire.InternalIP6Address)
}

// Asked are the addresses that a CFG_REQUEST names, invalid when it leaves the choice to us: a peer
// may ask for the address it had before (RFC 7296 section 3.15.1).
func Asked(requested []wire.Attribute) (v4, v6 netip.Addr) {
	for _, r := range requested {
		addr, _, ok := r.Addr()
		switch {
		case !ok || addr.IsUnspecified():
		case r.Type == wire.InternalIP4Address && !v4.IsValid():
			v4 = addr
		case r.Type == wire.InternalIP6Address && !v6.IsValid():
			v6 = addr
		}
	}
	return v4, v6
}

func asks(requested []wire.Attribute, t wire.AttributeType) bool {
	return slices.ContainsFunc(requested, func(r wire.Attribute) bool { return r.Type == t })
}

// Reply is the CFG_REPLY that gives a spoke its attributes: one value per attribute, repeated for
// lists. own are our tunnel addresses, pushed as host routes with "route set interface"; version is
// ours, told to those who asked.
//
// Addresses go to those who asked for one. Servers and routes go to everybody, as IOS does:
// RFC 7296 section 3.15.1 lets a responder return what was not requested, and the FlexVPN clients
// of strongSwan take INTERNAL_IP4_SUBNET without asking. Cisco's private attributes go to peers
// that asked for any of them; others that asked get split-DNS as INTERNAL_DNS_DOMAIN (RFC 8598).
func Reply(a Attributes, requested []wire.Attribute, own []netip.Prefix, version string) []wire.Attribute {
	var reply []wire.Attribute
	add := func(attr wire.Attribute) { reply = append(reply, attr) }

	v4, v6 := Wants(requested)
	if v4 && a.Address.IsSet() {
		add(wire.AttrAddr(wire.InternalIP4Address, a.Address.V, 0))
		if a.Netmask.IsSet() {
			add(wire.AttrAddr(wire.InternalIP4Netmask, a.Netmask.V, 0))
		}
	}
	if v6 && a.Address6.IsSet() {
		add(wire.AttrAddr(wire.InternalIP6Address, a.Address6.V, 128))
	}
	for _, server := range a.DNS.V {
		add(wire.AttrAddr(perFamily(server, wire.InternalIP4DNS, wire.InternalIP6DNS), server, 0))
	}
	for _, server := range a.WINS.V {
		add(wire.AttrAddr(wire.InternalIP4NBNS, server, 0))
	}
	reply = append(reply, RouteSet(a.pushed(own))...)
	if asks(requested, wire.InternalDNSDomain) {
		for _, domain := range a.SplitDNS.V {
			add(wire.AttrText(wire.InternalDNSDomain, domain))
		}
	}
	if slices.ContainsFunc(requested, func(r wire.Attribute) bool { return r.Type >= ciscoPrivate }) {
		reply = append(reply, a.private()...)
	}
	if version != "" && asks(requested, wire.ApplicationVersion) {
		add(wire.AttrText(wire.ApplicationVersion, version))
	}
	return reply
}

// private are the attributes in Cisco's part of the private range.
func (a Attributes) private() []wire.Attribute {
	var all []wire.Attribute
	add := func(t wire.AttributeType, text string) { all = append(all, wire.AttrText(t, text)) }
	for _, domain := range a.SplitDNS.V {
		add(wire.CiscoSplitDNS, domain)
	}
	if a.Banner.IsSet() {
		add(wire.CiscoBanner, a.Banner.V)
	}
	for _, gateway := range a.BackupGateways.V {
		add(wire.CiscoBackupServers, gateway)
	}
	if a.DefDomain.IsSet() {
		add(wire.CiscoDefaultDomain, a.DefDomain.V)
	}
	return all
}

// pushed are the spoke's routes through us.
func (a Attributes) pushed(own []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	if a.RouteInterface.V {
		for _, p := range own {
			all = append(all, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return append(all, a.RoutesSet.V...)
}

// RouteSet says which prefixes are behind us: INTERNAL_IP4_SUBNET and INTERNAL_IP6_SUBNET, one
// prefix each. In a CFG_SET it is the complete list, which replaces the one sent before.
func RouteSet(prefixes []netip.Prefix) []wire.Attribute {
	var all []wire.Attribute
	seen := make(map[netip.Prefix]bool, len(prefixes))
	for _, p := range prefixes {
		if p = p.Masked(); p.IsValid() && !seen[p] {
			seen[p] = true
			all = append(all, wire.AttrPrefix(p))
		}
	}
	return all
}

func perFamily(a netip.Addr, four, six wire.AttributeType) wire.AttributeType {
	if a.Is4() {
		return four
	}
	return six
}
