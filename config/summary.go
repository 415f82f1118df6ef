package config

import (
	"fmt"
	"math/big"
	"strings"
)

// Summary says in one line what a configuration contains:
// "2 profiles, 1 policy, 1 pool (253 addresses), 1 virtual-template".
func (c *Config) Summary() string {
	addresses := new(big.Int)
	for _, p := range c.Pools {
		addresses.Add(addresses, p.size())
	}
	listen, neighbors := 0, 0
	for _, b := range c.BGP {
		listen, neighbors = listen+len(b.Listen), neighbors+len(b.Neighbors)
	}
	parts := []string{plural(len(c.IKEv2.Profiles), "profile")}
	for _, p := range []struct {
		n           int
		noun, extra string
	}{
		{len(c.Policies), "authorization-policy", ""},
		{len(c.Pools), "pool", " (" + sizeText(addresses) + ")"},
		{len(c.Templates), "virtual-template", ""},
		{len(c.AAA.Servers), "AAA server", ""},
		{len(c.Clients), "client", ""},
		{len(c.Tunnels), "tunnel", ""},
		{len(c.Tracks), "track", ""},
		{len(c.BGP), "BGP speaker", fmt.Sprintf(" (%s, %s)", plural(listen, "listen range"), plural(neighbors, "neighbor"))},
		{len(c.StaticRoutes), "static route", ""},
		{len(c.PrefixLists), "prefix list", ""},
		{len(c.AccessLists), "access list", ""},
		{len(c.PolicyMaps), "policy map", ""},
		{len(c.DHCPPools), "DHCP pool", ""},
		{len(c.NAT), "NAT rule", ""},
	} {
		if p.n > 0 {
			parts = append(parts, plural(p.n, p.noun)+p.extra)
		}
	}
	if c.DNS.Enabled {
		parts = append(parts, "DNS")
	}
	return strings.Join(parts, ", ")
}

// sizeText is a number of addresses that people can read: a pool of IPv6 has one of up to 39 digits.
func sizeText(n *big.Int) string {
	if n.IsInt64() && n.Int64() < 1e9 {
		return plural(int(n.Int64()), "address")
	}
	return fmt.Sprintf("about 2^%d addresses", n.BitLen()-1)
}

func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
