package config

import (
	"fmt"
	"math/big"
	"strings"
)

// resolve makes the typed configuration and checks what spans sections. It goes on after errors, so
// that all of a file are told; a value that was refused already is not judged again.
func (r *reader) resolve(raw *rawConfig) *Config {
	cfg := &Config{
		Node:      raw.node.v,
		StateDir:  raw.stateDir.v,
		Control:   Control{Socket: raw.control.socket.v},
		DataPlane: raw.dataPlane.v,
		Log:       Log{Level: raw.log.level.v, Format: raw.log.format.v},
		Metrics:   Metrics{Listen: raw.metrics.listen.v},
		IKEv2:     r.ikev2(&raw.ikev2),
		IPsec: IPsec{
			Proposals:    r.proposals(raw.ipsec.proposals, true),
			ReplayWindow: uint32(raw.ipsec.replayWindow.v),
			Lifetime:     raw.ipsec.lifetime.lifetime(),
		},
	}
	cfg.Kernel = r.kernel(&raw.kernel)
	cfg.AAA = r.aaa(&raw.aaa)
	cfg.IKEv2.Manglers = r.manglers(raw.ikev2.manglers)
	cfg.Pools = r.pools(raw.pools)
	r.ownAddresses(raw.pools, interfaceClaims(raw))
	cfg.AccessLists = accessLists(raw.accessLists)
	cfg.PrefixLists = prefixLists(raw.prefixLists)
	cfg.StaticRoutes = r.statics(raw.statics)
	cfg.PolicyMaps = r.policyMaps(raw.policyMaps)
	cfg.Templates = r.templates(raw.templates, cfg)
	cfg.Tunnels = r.tunnels(raw.tunnels, cfg)
	r.frontVRFs(raw, cfg)
	cfg.BGP = r.bgp(&raw.bgp, cfg)
	cfg.IKEv2.Keyrings = r.keyrings(raw.ikev2.keyrings, cfg)
	cfg.Policies = r.policies(raw.ikev2.policies, cfg)
	cfg.IKEv2.Profiles = r.profiles(raw.ikev2.profiles, cfg)
	cfg.Tracks = r.tracks(raw.tracks)
	cfg.Clients = r.clients(raw.clients, cfg)
	cfg.DNS = r.dns(&raw.dns, cfg)
	cfg.DHCPPools = r.dhcpPools(raw.dhcpPools, cfg)
	cfg.NAT = r.nat(raw.nat, raw.tunnels, cfg)
	r.usedBy(raw.ikev2.profiles, cfg.Clients)
	r.unusedTunnels(raw.tunnels, cfg.Clients)
	r.usedAAA(&raw.aaa, cfg)
	r.unusedTracks(raw.tracks, cfg)
	return cfg
}

func (r *reader) ikev2(raw *rawIKEv2) IKEv2 {
	if raw.port.ok && raw.natPort.ok && raw.port.v == raw.natPort.v {
		at := raw.natPort.at
		if !raw.natPort.typed {
			at = raw.port.at
		}
		r.fail(at, "", "port and nat-port are both %d: packets on them have different forms (RFC 3948 section 2)", raw.port.v)
	}
	return IKEv2{
		Listen:       listenIn(raw.listen),
		ListenVRF:    listenInVRFs(raw.listen),
		Addresses:    r.reachableAt(raw.addresses, listenIn(raw.listen)),
		Port:         uint16(raw.port.v),
		NATPort:      uint16(raw.natPort.v),
		Proposals:    r.proposals(raw.proposals, false),
		MaxHalfOpen:  raw.maxHalfOpen.v,
		CookieAlways: raw.cookie.v == "always",
		HalfOpenLife: raw.halfOpenLife.v,
		FragmentSize: raw.fragmentSize.v,
		NATKeepalive: raw.natKeepalive.v,
		MaxSessions:  raw.maxSessions.v,
	}
}

// Summary says in one line what a configuration contains:
// "2 profiles, 1 policy, 1 pool (253 addresses), 1 virtual-template".
func (c *Config) Summary() string {
	addresses := new(big.Int)
	for _, p := range c.Pools {
		addresses.Add(addresses, p.size())
	}
	parts := []string{plural(len(c.IKEv2.Profiles), "profile")}
	add := func(n int, noun, extra string) {
		if n > 0 {
			parts = append(parts, plural(n, noun)+extra)
		}
	}
	add(len(c.Policies), "authorization-policy", "")
	add(len(c.Pools), "pool", fmt.Sprintf(" (%s addresses)", thousands(addresses)))
	add(len(c.Templates), "virtual-template", "")
	add(len(c.AAA.Servers), "AAA server", "")
	add(len(c.Clients), "client", "")
	add(len(c.Tunnels), "tunnel", "")
	add(len(c.Tracks), "track", "")
	return strings.Join(parts, ", ")
}

// thousands is a number that people can read: a pool of IPv6 has up to 39 digits.
func thousands(n *big.Int) string {
	if s := n.String(); len(s) <= 9 {
		return s
	}
	return fmt.Sprintf("about 2^%d", n.BitLen()-1)
}

func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(noun, "y"))
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
