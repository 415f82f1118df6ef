package routing

import (
	"net/netip"

	"flexvpn/authz"
)

// never are the ranges that no peer can be the way to: this network, loopback, link-local,
// multicast, reserved; unspecified, loopback, IPv4-mapped, link-local and multicast of IPv6.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), // 224/4 and 240/4
	netip.MustParsePrefix("::/127"),
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// Accept divides what a peer announced into what is installed and what is not. Refused are:
//
//   - what the policy does not accept: not any, not by its prefix list, and not inside of one of its prefixes;
//   - ranges that no peer can be the way to (loopback, link-local, multicast …);
//   - a default route, and a prefix so short that it takes in such a range, which is a default route
//     in two halves;
//   - what covers the peer's own transport address, because our packets to it would then go into
//     its tunnel. transport may be invalid: a client that pins the way to its hub need not refuse.
//
// The last two are accepted when the policy lists the family's default route itself; the peer's
// transport address as a host route never is.
func Accept(policy authz.Accept, offered []netip.Prefix, transport netip.Addr) (ok, refused []netip.Prefix) {
	transport = transport.Unmap().WithZone("")
	for _, p := range offered {
		if p = p.Masked(); acceptable(policy, p, transport) {
			ok = append(ok, p)
		} else {
			refused = append(refused, p)
		}
	}
	return ok, refused
}

// Martian reports whether p is inside of a range that no peer can be the way to.
func Martian(p netip.Prefix) bool {
	for _, n := range never {
		if n.Overlaps(p) && n.Bits() <= p.Bits() {
			return true
		}
	}
	return false
}

func acceptable(policy authz.Accept, p netip.Prefix, transport netip.Addr) bool {
	if !p.IsValid() || !allows(policy, p) {
		return false
	}
	byDefault := listsDefault(policy, p.Addr().Is4())
	for _, n := range never {
		inside := n.Overlaps(p) && n.Bits() <= p.Bits()
		if inside || n.Overlaps(p) && !byDefault {
			return false
		}
	}
	if p.Contains(transport) {
		return byDefault && !p.IsSingleIP()
	}
	return true
}

func allows(policy authz.Accept, p netip.Prefix) bool {
	if policy.Any || policy.List != nil && policy.List.Permits(p) {
		return true
	}
	for _, allowed := range policy.Prefixes {
		if allowed.Bits() <= p.Bits() && allowed.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

func listsDefault(policy authz.Accept, four bool) bool {
	if policy.List != nil && policy.List.Permits(defaultRoute(four)) {
		return true
	}
	for _, allowed := range policy.Prefixes {
		if allowed.IsValid() && allowed.Bits() == 0 && allowed.Addr().Is4() == four {
			return true
		}
	}
	return false
}

func defaultRoute(four bool) netip.Prefix {
	if four {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
