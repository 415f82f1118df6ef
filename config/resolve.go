package config

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
	r.insideOfVRFs(raw.clients, cfg)
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
